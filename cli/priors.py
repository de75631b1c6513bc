"""The command group `priors`: describe, test, sample and calibrate learned priors."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import tfviz
from tfviz._errors import count_of
from tfviz._files import find_files
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, report_errors, warn
from tfviz.cli.train import train
from tfviz.optimize.options import PRECISIONS

# The bounds from fewer images say more about these images than about their kind.
FEWEST = 20
# More images hardly change the result, and all of them are held in memory.
MOST = 2_000
# The number of random images that `check` looks at.
CHECKED = 32

# The options that set the arguments of `load_prior`.
OPTION_OF = {
    "value_range": "--range",
    "given": "--give",
    "encoder": "--encoder",
    "precision": "--precision",
}


@click.group()
def priors() -> None:
    """Learned priors: generators that a visualization is limited to.

    Only the generator's images can be reached. Any prior that these commands take can
    be passed to `tfviz render --param`.

    \b
    tfviz priors list
    tfviz render logit:goldfish --param inverter -o out
    """


priors.add_command(train)


def prior_options(command: Callable) -> Callable:
    """Add the options that say how to load a prior."""
    decorators = [
        click.option(
            "--range",
            "value_range",
            type=types.Range(),
            show_default="read from the generator's last activation",
            help="The values of black and white in the generator's images, such as "
            "-1,1 after tanh or 0,1 after a sigmoid.",
        ),
        click.option(
            "--give",
            "given",
            type=types.NamedNumbers(),
            multiple=True,
            help="A fixed value for an input of the generator, such as the class "
            "label=3 or truncation=0.4. May be given several times.",
        ),
        click.option(
            "--encoder",
            type=click.Path(exists=True),
            metavar="FILE",
            help="The encoder from images to latents, for TAESD and Keras models.",
        ),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            show_default="32 bits",
            help="Let the decoder compute with numbers of 16 bits, which is faster on "
            "graphics cards: bfloat16, or float16, which is more exact and overflows "
            "sooner. For priors of tfviz and Keras models.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def file_options(command: Callable) -> Callable:
    """Add the options of files with code; `options.model_options` has the same."""
    decorators = [
        click.option(
            "--custom",
            metavar="MODULE:NAME",
            multiple=True,
            help="A layer or function of your own that the generator's file needs. May "
            "be given several times.",
        ),
        click.option(
            "--allow-unsafe",
            is_flag=True,
            help="Allow the generator's file to run Python code (Lambda layers).",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def load_prior(
    source: str,
    size: tuple[int, int] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    given: tuple[tuple[str, float], ...] = (),
    encoder: str | None = None,
    precision: str | None = None,
    calibrated: bool = True,
    network: Any = None,
    custom: tuple[str, ...] = (),
    allow_unsafe: bool = False,
) -> Any:
    """Load the prior that the options describe.

    Prints on stderr which value range is used, unless it was given.

    Args:
        source: The name, file, folder or URL.
        size: The height and width of its images, if they can be chosen.
        value_range: The values of black and white in its images.
        given: Fixed values of its inputs, by name.
        encoder: The file of its encoder.
        precision: What its decoder computes with, one of `PRECISIONS`.
        calibrated: Whether to apply the calibration file beside it.
        network: The adapter of the network that an inverter was trained with, if it
            is loaded already.
        custom: Layers and functions that its file needs, as `MODULE:NAME`.
        allow_unsafe: Whether its file may contain Python code.
    """
    options.import_custom(custom)
    options.import_tensorflow()
    from tfviz.priors import load  # noqa: PLC0415

    prior = load(
        source,
        size,
        value_range=value_range,
        given=dict(given),
        encoder=encoder,
        precision=precision,
        calibrated=calibrated,
        network=network,
        allow_unsafe=allow_unsafe,
    )
    if prior.reading.value_range and value_range is None:
        low, high = prior.value_range
        click.echo(
            f"{Path(source).name}: values from {low:g} (black) to {high:g} (white), "
            f"{prior.range_source}",
            err=True,
        )
    return prior


source_argument = click.argument("source", type=types.PriorSource())
size_option = click.option(
    "--size",
    type=types.Size(),
    help="The size of the images in pixels, if the prior makes images of any size: N "
    "for a square, or HEIGHTxWIDTH.",
)


@priors.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@report_errors
def list_priors(as_json: bool) -> None:
    """List the bundled priors, and other generators to use.

    \b
    tfviz priors list
    """
    options.import_tensorflow()
    from tfviz.priors._trained import bundled_file, read_facts  # noqa: PLC0415

    bundled = {
        name: read_facts(bundled_file(name)) for name in types.PriorSource.bundled
    }
    if as_json:
        click.echo(json.dumps(bundled, indent=2))
        return
    for name, facts in bundled.items():
        line = f"not in this installation; `tfviz priors train {name}` makes one"
        if facts is not None:
            line = (
                f"trained in {facts['steps']:,} steps on {facts['photos']:,} photos of "
                f"{facts['size']} pixels; held-out ones come back with "
                f"{facts['psnr']:.1f} dB"
            )
        click.echo(f"{name:12}  {line}")
    click.echo(
        "\nOthers: a file that `tfviz priors train` wrote (.npz), a TAESD decoder "
        "(.safetensors),\na Keras generator or decoder (.keras, .h5), the folder of a "
        "SavedModel, and hub:URL."
    )


@priors.command()
@source_argument
@size_option
@prior_options
@file_options
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
@report_errors
def info(source: str, size: Any, as_json: bool, **settings: Any) -> None:
    """Describe a prior: its images, latents and training.

    The last lines say what the prior was trained with, and how it is related to the
    networks that may be visualized with it: the more it has in common with a network,
    the less its pictures prove about the network.

    \b
    tfviz priors info inverter
    tfviz priors info faces.keras
    """
    prior = load_prior(source, size, **settings)
    from tfviz.comparison.kinship import describe, kinships  # noqa: PLC0415

    facts = {
        "source": source,
        "images": list(prior.shape),
        "value_range": list(prior.value_range),
        "range_source": prior.range_source,
        "classes": dict(prior.reading.classes),
        "encoder": prior.encode is not None,
        "calibrated": sorted(prior.measured),
        "latents": {
            name: {
                "shape": list(latent.shape),
                "optimized": latent.optimized,
                "bounded": latent.domain is not None,
            }
            for name, latent in prior.latents.items()
        },
        "trained": dict(prior.trained),
        "kinship": kinships(prior),
        "digest": prior.spec["digest"],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    low, high = prior.value_range
    shape = _format_shape(prior.shape)
    click.echo(
        f"images    {shape}, from {low:g} (black) to {high:g} (white), "
        f"{prior.range_source}"
    )
    for name, latent in prior.latents.items():
        kind = "optimized" if latent.optimized else "held"
        kind += ", bounded" * (latent.domain is not None)
        if name in prior.reading.classes:
            kind = f"one of {prior.reading.classes[name]} classes, {kind}"
        shape = _format_shape(latent.shape) or "one number"
        click.echo(f"latent    {name}: {shape}, {kind}")
    can = "can" if prior.encode else "cannot"
    click.echo(f"encoder   {can} start from an image or be calibrated with images")
    click.echo(f"measured  {', '.join(sorted(prior.measured)) or 'nothing'}")
    click.echo(f"training  {describe(prior.trained)}")
    for network, level in kinships(prior).items():
        click.echo(f"kinship   {network}: {level}")


@priors.command()
@source_argument
@size_option
@prior_options
@file_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@report_errors
def check(source: str, size: Any, as_json: bool, **settings: Any) -> None:
    """Test whether the random images of a prior look as they should.

    Prints measurements of 32 random images, and a warning for each thing that looks
    wrong: a value range that is not that of the generator's last activation; images
    that are nearly black, nearly white, all alike or like noise; latents that seem to
    have another scale; an input that is an image or stands for a class. The exit code
    is 1 if there is a warning.

    \b
    tfviz priors check faces.keras
    tfviz priors check digits.h5 --give label=3
    """
    options.import_tensorflow()
    from tfviz.priors._value_range import RangeWarning  # noqa: PLC0415

    with warnings.catch_warnings():
        # `checked` finds the same, and it is not to be printed twice.
        warnings.simplefilter("ignore", RangeWarning)
        prior = load_prior(source, size, **settings)
    from tfviz.priors import checked  # noqa: PLC0415

    facts, problems = checked(prior, CHECKED)
    if as_json:
        click.echo(json.dumps({**facts, "warnings": problems}, indent=2))
    else:
        for name, value in facts.items():
            # Not in the names of inputs, which --give takes as they are.
            kind, of, own = name.partition("_of_")
            label = f"{kind} of {own}" if of else name.replace("_", " ")
            click.echo(f"{label:24} {value:.4g}")
    for problem in problems:
        warn(problem)
    if problems:
        sys.exit(1)
    if not as_json:
        click.echo("gradients reach all latents; nothing looks wrong")


@priors.command()
@source_argument
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".png", ".webp"),
    required=True,
    help="The .png or .webp file to write a sheet of the images to.",
)
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="The number of images.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed; another seed gives other images.",
)
@size_option
@prior_options
@file_options
@report_errors
def sample(
    source: str, output: Path, count: int, seed: int, size: Any, **settings: Any
) -> None:
    """Draw random images from a prior, as a sheet.

    \b
    tfviz priors sample inverter -o samples.png -n 64
    """
    options.make_folder(output.parent)
    prior = load_prior(source, size, **settings)
    from tfviz import images  # noqa: PLC0415

    pictures = prior.sample(count, seed=seed)
    sheet = images.sheet(list(pictures), [""] * count)
    spec = {"tfviz": tfviz.__version__, "param": dict(prior.spec), "seed": seed}
    images.save(sheet, output, spec)
    number = count_of(count, "image")
    click.echo(f"{number} of {_format_shape(prior.shape)} in {output}")


@priors.command()
@source_argument
@options.images_option(
    "The folder of photos to encode and measure, also in subfolders. Without it, "
    "random latents are measured.",
    required=False,
)
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=FEWEST),
    show_default=f"up to {MOST:,} photos",
    help="The number of photos to measure, spread evenly over the folder, or of random "
    "latents if there is no --images.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    show_default="SOURCE.calibration.npz",
    help="The file to write the calibration to. At its default path it is applied "
    "whenever the prior is loaded. Required if SOURCE is not a file or folder.",
)
@size_option
@prior_options
@file_options
@report_errors
def calibrate(
    source: str,
    folder: Path | None,
    count: int | None,
    output: Path | None,
    size: Any,
    **settings: Any,
) -> None:
    """Measure the latents of photos, for use when rendering.

    Pictures that are rendered with the prior then start from latents like those of
    photos, and stay in their range.

    \b
    tfviz priors calibrate taesd_decoder.safetensors \\
        --encoder taesd_encoder.safetensors --images photos
    tfviz priors calibrate gan.keras --range=-1,1 -n 1000
    """
    if folder is None and count is None:
        raise click.UsageError(
            "Give photos with --images, or a number of random latents with -n."
        )
    if output is None and not Path(source).exists():
        raise click.UsageError(
            f"{source} is not a file beside which its calibration could lie. Say where "
            "it goes, such as -o calibration.npz."
        )
    files = [] if folder is None else find_files(folder)
    most = min(count or MOST, len(files))
    # Spread over all files: the first ones may lie in the folder of a single class.
    files = [files[k * len(files) // most] for k in range(most)]
    if folder is not None and len(files) < FEWEST:
        fail(
            f"{folder} holds {count_of(len(files), 'photo')}, and {FEWEST} are the "
            "fewest that represent their kind. Give a folder with more."
        )
    output = output or Path(f"{Path(source)}.calibration.npz")
    options.make_folder(output.parent)
    prior = load_prior(source, size, **settings, calibrated=False)
    measured = prior.calibrate(_read_photos(files, prior) if files else count)
    measured.save_calibration(output)
    for name, latent in measured.measured.items():
        spectrum = ""
        if latent.decay is not None:
            least, most = latent.decay.min(), latent.decay.max()
            spectrum = f", spectrum falls as 1/f^{least:.2f} to 1/f^{most:.2f}"
        click.echo(
            f"{name}: mean {latent.mean.mean():.3f}, "
            f"deviation {latent.stddev.mean():.3f}, "
            f"from {latent.low.min():.3f} to {latent.high.max():.3f}{spectrum}"
        )
    what = count_of(latent.count, "photo" if files else "random latent")
    click.echo(f"{output}: measured on {what}")


def _read_photos(files: list[Path], prior: Any) -> Any:
    """Return photos with the size and channels of the prior's images.

    Returns:
        An array `(n, height, width, channels)` in [0, 1].
    """
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    unreadable: list[Path] = []
    cropped = [
        images.centre_crop(photo, prior.shape[:2])
        for photo in options.read_photos(files, unreadable.append)
    ]
    for file in unreadable:
        click.echo(f"{file} cannot be read as an image and is left out", err=True)
    if len(cropped) < FEWEST:
        fail(
            f"Only {len(cropped)} of {len(files)} photos could be read, and {FEWEST} "
            "are the fewest that represent their kind."
        )
    photos = np.stack(cropped)
    return photos.mean(axis=-1, keepdims=True) if prior.shape[2] == 1 else photos


def _format_shape(shape: Any) -> str:
    return " x ".join(str(n) for n in shape)
