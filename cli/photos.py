"""The commands that show photos to a model."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli._errors import handled

# As many pictures as fit a small sheet.
PASTED_UNITS = 9

IMAGE = click.Path(exists=True, dir_okay=False)


@click.command()
@options.model_options
@click.argument("image", type=IMAGE)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A path, a pattern such as 'fire*', or logit for the classes; may be given "
    "several times. By default the classes and a late layer.",
)
@click.option(
    "-n",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Units of each layer.",
)
@click.option(
    "--levels",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The usual levels, made by `tfviz levels`. squeezenet has its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def top(
    image: str,
    layers: tuple[str, ...],
    n: int,
    levels: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """List the units that respond most to IMAGE.

    For each layer, the units that are furthest above what is usual: their mean
    activation, how many deviations that is above it, and where they respond most.
    What is usual is measured over real photos where there are levels, or else is the
    mean of the layer's units for this photo.

    \b
    tfviz top goldfish.jpg
    tfviz top goldfish.jpg -l 'fire*' -l logit -n 3 -m squeezenet
    """
    adapter = options.load_adapter(**model)
    from tfviz._top import PHOTOS, top_units  # noqa: PLC0415

    found = top_units(adapter, image, layers or None, n=n, levels=levels)
    first = {unit.layer: unit.unit for unit in reversed(found)}
    command = _render_command(list(first.values())[::-1], model)
    if as_json:
        rows = [asdict(unit) for unit in found]
        click.echo(json.dumps({"units": rows, "render": command}, indent=2))
        return
    width = max(len(unit.unit) for unit in found)
    layer = None
    for unit in found:
        if unit.layer != layer:
            layer = unit.layer
            usual = "usual" if unit.usual == PHOTOS else "the layer's mean"
            click.echo(f"{layer}, sigma above {usual}:")
        peak = f"  most at {unit.peak} ({unit.peak_value:.3g})" if unit.peak else ""
        click.echo(f"  {unit.unit:{width}}  {unit.value:8.3g}  {unit.above:+5.1f}{peak}")
    click.echo(command)
