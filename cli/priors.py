"""The commands that tell about learned priors and draw from them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import tfviz
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, handled
from tfviz.cli.train import train

# Of fewer images, the bounds of a calibration are those of these images.
FEWEST = 20
# More tell nothing new, and all of them are held in memory.
MOST = 2_000
# Random images that `check` looks at.
CHECKED = 32

# What users write for the arguments of `load_prior`.
OPTION_OF = {"value_range": "--range", "given": "--give", "encoder": "--encoder"}


def prior_options(command: Callable) -> Callable:
    """Add the options that say how to load a prior."""
    chosen = [
        click.option(
            "--range",
            "value_range",
            type=types.Range(),
            help="What black and white are in the generator's images: -1,1 after "
            "tanh, 0,1 after a sigmoid. Needed for Keras models and SavedModels.",
        ),
        click.option(
            "--give",
            "given",
            type=types.Held(),
            multiple=True,
            help="A number that the generator takes and that does not change: a class, "
            "such as y=207, or truncation=0.4.",
        ),
        click.option(
            "--encoder",
            type=click.Path(exists=True),
            metavar="FILE",
            help="From images to latents, for TAESD and Keras models.",
        ),
    ]
    for option in reversed(chosen):
        command = option(command)
    return command


def load_prior(
    source: str,
    size: tuple[int, int] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    given: tuple[tuple[str, float], ...] = (),
    encoder: str | None = None,
    calibrated: bool = True,
    network: Any = None,
) -> Any:
    """Load a prior as the options say."""
    options.quiet_tensorflow()
    from tfviz import priors  # noqa: PLC0415

    return priors.load(
        source,
        size,
        value_range=value_range,
        given=dict(given),
        encoder=encoder,
        calibrated=calibrated,
        network=network,
    )


source_argument = click.argument("source", type=types.PriorSource())
size_option = click.option(
    "--size", type=types.Size(), help="Of the images, where it can be chosen."
)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def list_(as_json: bool) -> None:
    """List the priors that come with the package, and which others there are."""
    options.quiet_tensorflow()
    from tfviz.priors._trained import bundled_file, read_facts  # noqa: PLC0415

    found = {name: read_facts(bundled_file(name)) for name in types.PriorSource.bundled}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, facts in found.items():
        line = f"not in this copy; `tfviz priors train {name}` makes one"
        if facts is not None:
            line = (
                f"trained in {facts['steps']:,} steps on {facts['photos']:,} photos of "
                f"{facts['size']} pixels; held-out ones come back with "
                f"{facts['psnr']:.1f} dB"
            )
        click.echo(f"{name:12}  {line}")
    click.echo(
        "\nAlso: FILE.npz of `tfviz priors train`, a TAESD decoder (.safetensors), a "
        "Keras generator\nor decoder (.keras, .h5) or SavedModel with --range, and "
        "hub:URL."
    )


@click.command()
@source_argument
@size_option
@prior_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def info(source: str, size: Any, as_json: bool, **settings: Any) -> None:
    """Tell what a prior makes and what it is made of.

    \b
    tfviz priors info faces.keras --range=-1,1
    """
    prior = load_prior(source, size, **settings)
    facts = {
        "source": source,
        "images": list(prior.shape),
        "value_range": list(prior.value_range),
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
        "digest": prior.spec["digest"],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    low, high = prior.value_range
    click.echo(
        f"images    {_by(prior.shape)}, from {low:g} (black) to {high:g} (white)"
    )
    for name, latent in prior.latents.items():
        kind = "optimized" if latent.optimized else "held"
        kind += ", bounded" * (latent.domain is not None)
        click.echo(f"latent    {name}: {_by(latent.shape) or 'one number'}, {kind}")
    start = "can" if prior.encode else "cannot"
    click.echo(f"encoder   {start} start from an image or be calibrated with images")
    click.echo(f"measured  {', '.join(sorted(prior.measured)) or 'nothing'}")


@click.command()
@source_argument
@size_option
@prior_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def check(source: str, size: Any, as_json: bool, **settings: Any) -> None:
    """Test a prior: gradients, range and variety of its random images.

    Ends with status 1 where something is wrong. A range that is too wide shows as
    images without black and white, one that is too narrow as pixels out of range.

    \b
    tfviz priors check faces.keras --range=-1,1
    """
    prior = load_prior(source, size, **settings)
    from tfviz.priors import checked  # noqa: PLC0415

    facts, warnings = checked(prior, CHECKED)
    if as_json:
        click.echo(json.dumps({**facts, "warnings": warnings}, indent=2))
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):24} {value:.4g}")
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
        if not warnings:
            click.echo("gradients reach all latents; nothing looks wrong")
    if warnings:
        sys.exit(1)


@click.command()
@source_argument
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".png", ".webp"),
    required=True,
    help="A sheet of all images.",
)
@click.option("-n", "count", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="For other ones.")
@size_option
@prior_options
@handled
def sample(
    source: str, output: Path, count: int, seed: int, size: Any, **settings: Any
) -> None:
    """Draw random images of a prior.

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
    click.echo(f"{count} images of {_by(prior.shape)} in {output}")


@click.command()
@source_argument
@options.images_option(
    "Photos; those in its folders as well. They go through the encoder.",
    required=False,
)
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=FEWEST),
    help="Measure this many photos, spread over the folder, or random draws without "
    f"--images. By default {MOST:,} photos at most.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    help="By default SOURCE.calibration.npz, where it is found by itself. Needed for "
    "what is no file.",
)
@size_option
@prior_options
@handled
def calibrate(
    source: str,
    folder: Path | None,
    count: int | None,
    output: Path | None,
    size: Any,
    **settings: Any,
) -> None:
    """Measure where the latents of photos are, so that a search stays there.

    \b
    tfviz priors calibrate taesd_decoder.safetensors --encoder
        taesd_encoder.safetensors --images photos
    """
    if folder is None and count is None:
        raise click.UsageError("Give photos with --images, or a number of draws: -n.")
    if output is None and not Path(source).exists():
        raise click.UsageError(f"Say with -o where the calibration of {source} goes.")
    files = [] if folder is None else options.files_in(folder, types.PICTURES)
    most = min(count or MOST, len(files))
    # Folders of classes follow each other, so the first would be of one.
    files = [files[k * len(files) // most] for k in range(most)]
    if folder is not None and len(files) < FEWEST:
        fail(
            f"{folder} holds {len(files)} photos, and {FEWEST} are the fewest that "
            "tell anything about their kind."
        )
    output = output or Path(f"{Path(source)}.calibration.npz")
    options.make_folder(output.parent)
    prior = load_prior(source, size, **settings, calibrated=False)
    measured = prior.calibrate(_photos(files, prior) if files else count)
    measured.save_calibration(output)
    for name, found in measured.measured.items():
        falls = ""
        if found.decay is not None:
            least, most = found.decay.min(), found.decay.max()
            falls = f", waves fall as 1/f^{least:.2f} to 1/f^{most:.2f}"
        click.echo(
            f"{name}: mean {found.mean.mean():.3f}, "
            f"deviation {found.stddev.mean():.3f}, "
            f"from {found.low.min():.3f} to {found.high.max():.3f}{falls}"
        )
    click.echo(f"{output}: {found.count} measured")


def _photos(files: list[Path], prior: Any) -> Any:
    """Return photos at the size of the prior's images."""
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    unreadable: list[Path] = []
    found = [
        images.centre_crop(photo, prior.shape[:2])
        for photo in options.read_photos(files, unreadable.append)
    ]
    for file in unreadable:
        click.echo(f"not read: {file}", err=True)
    if len(found) < FEWEST:
        fail(f"{len(found)} of {len(files)} photos could be read; {FEWEST} are needed.")
    photos = np.stack(found)
    return photos.mean(axis=-1, keepdims=True) if prior.shape[2] == 1 else photos


def _by(shape: Any) -> str:
    return " x ".join(str(n) for n in shape)


@click.group()
def priors() -> None:
    """Learned priors: generators, whose images are all that a unit may choose from."""


for command in (list_, info, check, sample, calibrate, train):
    priors.add_command(command)
