"""The command that measures how active a model's channels usually are."""

from pathlib import Path
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli import _types as types
from tfviz.cli._errors import fail, handled


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
