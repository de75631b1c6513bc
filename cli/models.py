"""The commands that tell about a model."""

import json
import shlex
from dataclasses import asdict
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import handled


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
    from tfviz.analysis.top_units import PHOTOS, top_units  # noqa: PLC0415

    found = top_units(adapter, image, layers or None, n=n, levels=levels)
    command = _render_command(found, model)
    if as_json:
        rows = [asdict(unit) for unit in found]
        click.echo(json.dumps({"units": rows, "render": command}, indent=2))
        return
    width = max(len(unit.unit) for unit in found)
    for unit in found:
        usual = "usual" if unit.usual == PHOTOS else "its layer's mean"
        peak = f"   most at {unit.peak} ({unit.peak_value:.3g})" if unit.peak else ""
        click.echo(
            f"{unit.unit:{width}}  {unit.value:8.3g}  {unit.above:5.1f} sigma above "
            f"{usual}{peak}"
        )
    click.echo(command)


def _render_command(found: list[Any], model: dict[str, Any]) -> str:
    """Return a command that renders the first unit of each layer."""
    first: dict[str, str] = {}
    for unit in found:
        first.setdefault(unit.layer, unit.unit)
    words = ["tfviz", "render", *list(first.values())[:PASTED_UNITS]]
    words += ["-m", model["model"]]
    if model["preprocess"]:
        words.append(f"--preprocess={model['preprocess']}")
    if model["labels"]:
        words += ["--labels", model["labels"]]
    for custom in model["custom"]:
        words += ["--custom", custom]
    if model["allow_unsafe"]:
        words.append("--allow-unsafe")
    for name, value in model["hold"]:
        numbers = value if isinstance(value, list) else [value]
        text = ",".join(f"{number:g}" for number in numbers)
        words += ["--hold", f"{name}={text}"]
    for option in ("image_input", "output_name"):
        if model[option]:
            words += [f"--{option.replace('_', '-')}", model[option]]
    return shlex.join([*words, "-o", "out"])


@click.command()
@options.model_options
@click.argument("pictures", metavar="IMAGE...", type=IMAGE, nargs=-1, required=True)
@click.option(
    "--class",
    "truth",
    metavar="NAME",
    help="What all the images show, by name, identifier or index.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def check(
    pictures: tuple[str, ...], truth: str | None, as_json: bool, **model: Any
) -> None:
    """Find out on IMAGEs whether the model gets the range it was trained on.

    Prints the five likeliest classes of each image, and warns if another range than
    the one in use fits the model better: its visualizations would be as wrong. Take
    photos such as the model was trained on; three tell much more than one.

    \b
    tfviz check goldfish.jpg -m keras:MobileNetV2
    tfviz check goldfish.jpg --class goldfish -m mine.keras --preprocess=-1,1
    """
    adapter = options.load_adapter(**model)
    from tfviz import check_range  # noqa: PLC0415

    found = check_range(adapter, list(pictures), truth=truth)
    rows = [_likeliest(adapter, p) for p in found.trials[0].probabilities]
    if as_json:
        click.echo(json.dumps(_outcome(adapter, found, pictures, rows), indent=2))
    else:
        for picture, five in zip(pictures, rows, strict=True):
            if len(pictures) > 1:
                click.echo(f"{picture}:")
            for row in five:
                name = row["name"] or ""
                click.echo(f"{row['probability']:7.1%}  {row['index']:4}  {name}")
    click.echo(_in_words(adapter, found), err=True)


def _likeliest(adapter: Any, probabilities: Any) -> list[dict[str, Any]]:
    return [
        {
            "index": int(i),
            "name": adapter.class_name(int(i)),
            "probability": float(probabilities[i]),
        }
        for i in (-probabilities).argsort()[:5]
    ]


def _outcome(
    adapter: Any, found: Any, pictures: tuple[str, ...], rows: list[Any]
) -> dict[str, Any]:
    return {
        "preprocess": adapter.preprocess.name,
        "top": rows[0],
        "images": [
            {"file": picture, "top": five}
            for picture, five in zip(pictures, rows, strict=True)
        ],
        "verdict": found.verdict,
        "probable": found.probable,
        "reason": found.reason,
        "ranges": [
            {
                "preprocess": trial.preprocess,
                "movement": trial.movement,
                "misfit": trial.misfit,
                "top": _likeliest(adapter, trial.probabilities[0]),
            }
            for trial in found.trials
        ],
    }


def _in_words(adapter: Any, found: Any) -> str:
    from tfviz.analysis.input_range import RIGHT, UNSURE  # noqa: PLC0415

    used = found.trials[0]
    if found.verdict == RIGHT:
        return f"The range {used.preprocess} seems right: {found.reason}."
    if found.verdict == UNSURE:
        return (
            f"Not sure that the range {used.preprocess} is right: {found.reason}. More "
            "photos tell more, as does --class."
        )
    best, *others = found.probable
    trial = next((t for t in found.trials if t.preprocess == best), used)
    less = f", less likely on {' or '.join(others)}" if others else ""
    return (
        f"Warning: with {used.preprocess}, as used, the model gives "
        f"{_answer(adapter, used)}; with {best} it gives {_answer(adapter, trial)}. "
        f"It was probably trained on {best}{less} ({found.reason}): pass "
        f"--preprocess={best}"
    )


def _answer(adapter: Any, trial: Any) -> str:
    (row,) = _likeliest(adapter, trial.probabilities[0])[:1]
    name = row["name"] or f"class {row['index']}"
    return f"{row['probability']:.0%} to {name!r}"
