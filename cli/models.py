"""The commands that tell about a model."""

import json
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli import _types as types
from tfviz.cli._errors import handled


@click.command()
@options.model_options
@click.option("--size", type=types.Size(), help="Of the images, in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def layers(size: tuple[int, int] | None, as_json: bool, **model: Any) -> None:
    """List a model's layers: path, units, shape, kind.

    \b
    tfviz layers -m keras:MobileNetV2
    """
    adapter = options.load_adapter(**model)
    found = adapter.layers(size)
    if as_json:
        rows = [
            {"path": f.path, "units": f.units, "shape": f.shape, "kind": f.kind}
            for f in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(layer.path) for layer in found), default=0)
    for layer in found:
        shape = "x".join("?" if n is None else str(n) for n in layer.shape[1:])
        click.echo(
            f"{layer.path:{width}}  {layer.units!s:>6}  {shape:>14}  {layer.kind}"
        )
