"""The command that measures how active a model's channels usually are."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli._errors import fail, handled

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class LevelsFile(click.ParamType):
    """A file that levels can be written to."""

    name = "FILE"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse what cannot be written, before any work is done."""
        path = Path(value)
        if path.suffix != ".npz":
            self.fail(f"{value!r} must end in .npz to hold levels.", param, ctx)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            self.fail(
                f"cannot write to {value!r}. Choose another folder, or make it.",
                param,
                ctx,
            )
        return path


@click.command()
@options.model_options
@click.option(
    "--images",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Photos; those in its folders as well.",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A path; may be given several times. By default all layers.",
)
@click.option("-o", "--output", type=LevelsFile(), required=True, help="Ends in .npz.")
@handled
def levels(folder: Path, layers: tuple[str, ...], output: Path, **model: Any) -> None:
    """Measure how active a model's channels are on the photos in a folder.

    `tfviz top --levels` says with it how far a response is above the usual. A few
    hundred photos such as the model was trained on are enough.

    \b
    tfviz levels --images photos -m mine.keras -o mine.npz
    """
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        fail(
            f"{str(folder)!r} holds no photos: no file that ends in "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    adapter = options.load_adapter(**model)
    from tfviz import levels as core  # noqa: PLC0415

    unreadable: list[Path] = []
    found = core.measure(adapter, _read(files, unreadable), layers or None)
    found.save(output)
    for file in unreadable:
        click.echo(f"not read: {file}", err=True)
    left_out = f", {len(unreadable)} could not be read" if unreadable else ""
    click.echo(f"{output}: {len(found.layers)} layers, {found.count} photos{left_out}")


def _read(files: list[Path], unreadable: list[Path]) -> Iterator[Any]:
    """Yield the photos that can be read, and note the others."""
    from tfviz import images  # noqa: PLC0415

    with click.progressbar(files, label="photos", file=sys.stderr) as bar:
        for file in bar:
            try:
                photo = images.read(file)
            except ValueError:
                unreadable.append(file)
            else:
                yield photo
