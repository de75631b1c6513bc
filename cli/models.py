"""The commands that tell about a model."""

import json
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli._errors import fail, handled


@click.command()
@options.model_options
@click.option("--size", type=options.Size(), help="Of the images, in pixels.")
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


@click.command()
@options.model_options
@click.argument("image", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def check(image: str, as_json: bool, **model: Any) -> None:
    """Predict the classes of IMAGE, to see that the preprocessing is right.

    If the five likeliest classes are nonsense, the model gets a range that it was not
    trained on, and its visualizations would be as wrong: see --preprocess.

    \b
    tfviz check goldfish.jpg -m keras:MobileNetV2
    """
    adapter = options.load_adapter(**model)
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    picture = images.read(image)
    if adapter.channels == 1:
        picture = picture.mean(axis=-1, keepdims=True)
    picture = images.centre_crop(picture, adapter.size)
    values = np.asarray(adapter.probabilities(picture[None])[0])
    if values.ndim != 1:
        fail(
            f"model {adapter.name!r} has an output of shape {values.shape}, not one "
            "number for each class, so there is nothing to name. Render its layers."
        )
    rows = [
        {
            "index": int(i),
            "name": adapter.class_name(int(i)),
            "probability": float(values[i]),
        }
        for i in np.argsort(-values)[:5]
    ]
    if as_json:
        outcome = {"preprocess": adapter.preprocess.name, "top": rows}
        click.echo(json.dumps(outcome, indent=2))
        return
    for row in rows:
        click.echo(f"{row['probability']:7.1%}  {row['index']:4}  {row['name'] or ''}")
