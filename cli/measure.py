"""Commands that measure images: their statistics, and a model's usual activations."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import click

from tfviz._errors import count_of, did_you_mean
from tfviz._files import PICTURES, describe_lack, find_files
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, report_errors, warn
from tfviz.cli.help import Command
from tfviz.cli.progress import track

# The spectrum of fewer images says more about these images than about their kind.
FEWEST = 10
# The most files that a warning names.
NAMED = 5


@click.command()
@options.images_option(
    "The folder of images to measure, which are pictures and .npy arrays; its "
    "subfolders are searched, too."
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    required=True,
    help="The file to write the statistics to; its name ends in .npz.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    default=224,
    show_default=True,
    help="The side of the square that is measured, in pixels. Images are scaled to "
    "cover it, and cropped.",
)
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    show_default="those of the first image",
    help="The number of channels that the images must have. With 1, pictures are "
    "converted to grey.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the statistics as JSON.")
@report_errors
def calibrate(
    folder: Path, output: Path, size: int, channels: int | None, as_json: bool
) -> None:
    """Measure the colours and the spectrum of your images.

    Visualizations start out with the statistics of ordinary photos. If your model
    sees another kind of image, or channels other than red, green and blue, measure
    its images and pass the file to `tfviz render --statistics`.

    An array (.npy) has the shape (height, width, channels), with bytes or with floats
    in [0, 1]. Files that cannot be measured are left out, with a warning.

    \b
    tfviz calibrate --images photos -o photos.npz
    tfviz render fire8:20 --statistics photos.npz -o out
    """
    options.make_folder(output.parent)
    files = find_files(folder, (*PICTURES, ".npy"))
    if not files:
        fail(describe_lack(folder, ".npy"))
    from tfviz import statistics  # noqa: PLC0415

    left_out: list[str] = []
    images = _load_images(track(files, "image"), size, channels, left_out.append)
    first = next(images, None)
    if first is not None:
        stats = statistics.measure(chain([first], images), size=size)
    count = len(files) - len(left_out)
    if left_out:
        more = f"; and {len(left_out) - NAMED} more" * (len(left_out) > NAMED)
        warn(
            f"{len(left_out)} of {count_of(len(files), 'file')} "
            f"{'is' if len(left_out) == 1 else 'are'} left out: "
            f"{'; '.join(left_out[:NAMED])}{more}"
        )
    if count < FEWEST:
        fail(
            f"Only {count} of {count_of(len(files), 'file')} could be measured; at "
            f"least {FEWEST} are needed to represent their kind. Add images to "
            f"{str(folder)!r}."
        )
    _print_statistics(stats.save(output), as_json)


def _load_images(
    files: Any, size: int, channels: int | None, leave_out: Callable[[str], None]
) -> Iterator[Any]:
    """Yield the images that can be measured, all with the same number of channels.

    Args:
        files: The paths of the files.
        size: The side of the square that is measured, in pixels.
        channels: The number of channels, or None for that of the first image.
        leave_out: Called with the path of each other file and the reason.
    """
    from tfviz.statistics import crop_to_square  # noqa: PLC0415

    for file in files:
        try:
            image = crop_to_square(_read(file, channels), size)
            own_channels = image.shape[-1]
            if own_channels != (channels or own_channels):
                raise ValueError(
                    f"It has {count_of(own_channels, 'channel')}, not {channels}."
                )
        except (ValueError, OSError, EOFError) as error:
            leave_out(f"{file}: {str(error).rstrip('.')}")
            continue
        channels = own_channels
        yield image


def _read(file: Path, channels: int | None) -> Any:
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    if file.suffix.lower() == ".npy":
        values = np.load(file, allow_pickle=False)
        return values[..., None] if values.ndim == 2 else values
    picture = images.read(file)
    return picture.mean(axis=-1, keepdims=True) if channels == 1 else picture


def _print_statistics(stats: Any, as_json: bool) -> None:
    facts = {
        "file": stats.source,
        "images": stats.count,
        "size": stats.size,
        "mean": stats.mean.tolist(),
        "contrast": stats.contrast,
        "color": stats.color.tolist(),
        "slope": stats.slope().tolist(),
        "digest": stats.digest,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(
        f"{stats.source}: {stats.count} images of {stats.size}x{stats.size} pixels, "
        f"{count_of(stats.channels, 'channel')}"
    )
    click.echo(f"mean      {_row(stats.mean)}")
    click.echo(
        f"contrast  {stats.contrast:.3f} (standard deviation along the first column "
        "below)"
    )
    for row in stats.color:
        click.echo(f"colours   {_row(row)}")
    click.echo(f"slope     {_row(stats.slope())} (amplitude ~ 1 / frequency ** slope)")
    click.echo(
        "\nIn Python:\n"
        f"  stats = tfviz.statistics.load({stats.source!r})\n"
        f"  tfviz.params.maco(224, 224, {stats.channels}, statistics=stats)\n"
        f"  tfviz.params.fourier(224, 224, {stats.channels}, color=stats.color)"
    )


def _row(values: Any) -> str:
    return " ".join(f"{value:7.3f}" for value in values)


# The sections of the help of `levels`.
_SECTIONS = {
    "Most used options": ("--images", "--output", "--model", "--layer", "--examples"),
    "How the model is fed": options.MODEL_SECTION,
    "Advanced options": ("--threads", "-h", "--help"),
}


@click.command(cls=Command, sections=_SECTIONS)
@options.model_options
@options.images_option(
    "The folder of photos; its subfolders are searched, too.", required=False
)
@click.option(
    "--examples",
    type=types.ExistingPath(dir_okay=False),
    metavar="FILE",
    help="Take the levels from this file of `tfviz examples` instead of measuring "
    "them. The model is not needed then; if it is given, it must be that of the file.",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    show_default="all layers",
    help="The path of a layer to measure. May be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    required=True,
    help="The file to write the levels to; its name ends in .npz.",
)
@click.pass_context
@report_errors
def levels(
    ctx: click.Context,
    folder: Path | None,
    examples: str | None,
    layers: tuple[str, ...],
    output: Path,
    **model: Any,
) -> None:
    """Measure the usual activations of a model's channels.

    They are measured over a folder of photos. A few hundred photos are enough if they
    are like those that the model was trained on. With the resulting file, `tfviz
    top --levels` says how far a response is above the usual.

    \b
    tfviz levels --images photos -m mine.keras -o mine.npz
    tfviz levels --examples examples.npz -o mine.npz
    """
    if (folder is None) == (examples is None):
        raise click.UsageError(
            "Give either --images, a folder of photos, or --examples, a file of `tfviz "
            "examples`."
        )
    if folder is not None:
        measured, unreadable = _measure_levels(folder, layers, output, model)
    else:
        options.make_folder(output.parent)
        options.import_tensorflow()
        from tfviz import load_examples  # noqa: PLC0415

        found = load_examples(str(examples))
        if ctx.get_parameter_source("model") is click.core.ParameterSource.COMMANDLINE:
            found.check(options.load_adapter(**model))
        measured, unreadable = _select_levels(found.levels(), layers), []
    measured.save(output)
    for file in unreadable:
        click.echo(f"Not read: {file}", err=True)
    left_out = f", {len(unreadable)} could not be read" if unreadable else ""
    click.echo(
        f"{output}: {count_of(len(measured.layers), 'layer')}, "
        f"{count_of(measured.count, 'photo')}{left_out}"
    )


def _measure_levels(
    folder: Path, layers: tuple[str, ...], output: Path, model: dict[str, Any]
) -> tuple[Any, list[Path]]:
    """Return the levels over a folder of photos, and the files that were not read."""
    files = find_files(folder)
    if not files:
        fail(describe_lack(folder))
    options.make_folder(output.parent)
    adapter = options.load_adapter(**model)
    from tfviz import levels as levels_  # noqa: PLC0415

    unreadable: list[Path] = []
    photos = options.read_photos(files, unreadable.append)
    return levels_.measure(adapter, photos, layers or None), unreadable


def _select_levels(measured: Any, layers: tuple[str, ...]) -> Any:
    """Return the levels of some layers, and of the classes if there are any."""
    if not layers:
        return measured
    from tfviz.analysis.layer_selection import unit_prefix  # noqa: PLC0415

    names = [unit_prefix(path) for path in measured.layers]
    missing = [name for name in layers if name not in names]
    if missing:
        fail(
            f"The examples have no layer {missing[0]!r}."
            f"{did_you_mean(missing[0], names)} They have {', '.join(names)}."
        )
    kept = {
        path: level
        for path, level in measured.layers.items()
        if unit_prefix(path) in (*layers, "logit")
    }
    return replace(measured, layers=kept)
