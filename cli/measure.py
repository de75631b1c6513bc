"""The command that measures a user's images."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, handled

# Of fewer images, the spectrum is that of these images, not of their kind.
FEWEST = 10
# Files that are left out are named up to this number.
NAMED = 5


@click.command()
@options.images_option("Pictures and .npy arrays, also in folders inside.")
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    required=True,
    help="Ends in .npz.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    default=224,
    show_default=True,
    help="Images are scaled to cover this square, in pixels.",
)
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    help="Of the images. By default those of the first; 1 makes pictures grey.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def calibrate(
    folder: Path, output: Path, size: int, channels: int | None, as_json: bool
) -> None:
    """Measure the colours and the spectrum of your images.

    \b
    tfviz calibrate --images photos -o photos.npz

    Pictures that look like yours, not like photographs, need the statistics of yours:
    for another kind of image, or for channels that are not red, green and blue. An
    array (.npy) is (height, width, channels), of bytes or of floats in [0, 1]. Files
    that cannot be measured are left out with a warning.
    """
    options.make_folder(output.parent)
    files = options.files_in(folder, (*types.PICTURES, ".npy"))
    if not files:
        fail(
            f"there are no images in {folder}. Expected files that end in "
            f"{', '.join(types.PICTURES)} or .npy."
        )
    from tfviz import statistics  # noqa: PLC0415

    left_out: list[str] = []
    with click.progressbar(files, label="measuring", file=sys.stderr) as progress:
        found = _images(progress, size, channels, left_out.append)
        first = next(found, None)
        if first is not None:
            stats = statistics.measure(chain([first], found), size=size)
    count = len(files) - len(left_out)
    if left_out:
        more = f"; and {len(left_out) - NAMED} more" * (len(left_out) > NAMED)
        click.echo(
            f"Warning: {len(left_out)} of {len(files)} files are left out: "
            f"{'; '.join(left_out[:NAMED])}{more}",
            err=True,
        )
    if count < FEWEST:
        fail(
            f"{count} of {len(files)} files could be measured, and {FEWEST} are the "
            "fewest that tell anything about their kind."
        )
    _report(stats.save(output), as_json)


def _images(
    files: Any, size: int, channels: int | None, leave_out: Callable[[str], None]
) -> Iterator[Any]:
    """Yield the images that can be measured, all of the same channels."""
    from tfviz.statistics import crop_to_square  # noqa: PLC0415

    for file in files:
        try:
            image = crop_to_square(_read(file, channels), size)
            found = image.shape[-1]
            if found != (channels or found):
                raise ValueError(f"It has {found} channels, not {channels}.")
        except (ValueError, OSError, EOFError) as error:
            leave_out(f"{file}: {str(error).rstrip('.')}")
            continue
        channels = found
        yield image


def _read(file: Path, channels: int | None) -> Any:
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    if file.suffix.lower() == ".npy":
        values = np.load(file, allow_pickle=False)
        return values[..., None] if values.ndim == 2 else values
    picture = images.read(file)
    return picture.mean(axis=-1, keepdims=True) if channels == 1 else picture


def _report(stats: Any, as_json: bool) -> None:
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
        f"{stats.channels} channels"
    )
    click.echo(f"mean      {_row(stats.mean)}")
    click.echo(f"contrast  {stats.contrast:.3f} along the first column of")
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


@click.command()
@options.model_options
@options.images_option("Photos; those in its folders as well.")
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A path; may be given several times. By default all layers.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    required=True,
    help="Ends in .npz.",
)
@handled
def levels(folder: Path, layers: tuple[str, ...], output: Path, **model: Any) -> None:
    """Measure how active a model's channels are on the photos in a folder.

    `tfviz top --levels` says with it how far a response is above the usual. A few
    hundred photos such as the model was trained on are enough.

    \b
    tfviz levels --images photos -m mine.keras -o mine.npz
    """
    files = options.files_in(folder, types.PICTURES)
    if not files:
        fail(
            f"{str(folder)!r} holds no photos: no file that ends in "
            f"{', '.join(types.PICTURES)}."
        )
    options.make_folder(output.parent)
    adapter = options.load_adapter(**model)
    from tfviz import levels as core  # noqa: PLC0415

    unreadable: list[Path] = []
    found = core.measure(
        adapter, options.read_photos(files, unreadable.append), layers or None
    )
    found.save(output)
    for file in unreadable:
        click.echo(f"not read: {file}", err=True)
    left_out = f", {len(unreadable)} could not be read" if unreadable else ""
    click.echo(f"{output}: {len(found.layers)} layers, {found.count} photos{left_out}")
