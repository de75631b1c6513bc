"""Commands that describe a model: its layers, its input range, its top units."""

import json
import shlex
from dataclasses import asdict
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import report_errors, warn
from tfviz.cli.help import Command

IMAGE = click.Path(exists=True, dir_okay=False)


def _sections(*most_used: str) -> dict[str, tuple[str, ...]]:
    """Return the sections of the help of a command that only looks at a model."""
    return {
        "Most used options": most_used,
        "How the model is fed": options.MODEL_SECTION,
        "Advanced options": ("--threads", "-h", "--help"),
    }


@click.command(
    cls=Command,
    sections=_sections("--model", "--size", "--json"),
)
@options.model_options
@click.option(
    "--size",
    type=types.Size(),
    show_default="the model's input size, or 224",
    help="The size of the images in pixels, for which the shapes are listed: N for a "
    "square, or HEIGHTxWIDTH.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the layers as JSON.")
@report_errors
def layers(size: tuple[int, int] | None, as_json: bool, **model: Any) -> None:
    """List the layers of a model with their units and shapes.

    Prints the path, number of units, output shape and kind of each layer.

    \b
    tfviz layers -m keras:MobileNetV2
    """
    adapter = options.load_adapter(**model)
    rows = adapter.layers(size)
    if as_json:
        entries = [
            {"path": row.path, "units": row.units, "shape": row.shape, "kind": row.kind}
            for row in rows
        ]
        click.echo(json.dumps(entries, indent=2))
        return
    width = max((len(row.path) for row in rows), default=0)
    for row in rows:
        shape = "x".join("?" if n is None else str(n) for n in row.shape[1:])
        click.echo(f"{row.path:{width}}  {row.units!s:>6}  {shape:>14}  {row.kind}")


@click.command(
    cls=Command,
    sections=_sections("--model", "--class", "--json"),
)
@options.model_options
@click.argument("pictures", metavar="IMAGE...", type=IMAGE, nargs=-1, required=True)
@click.option(
    "--class",
    "truth",
    metavar="NAME",
    help="The class that all the images show: its name, WordNet identifier or index.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@report_errors
def check(
    pictures: tuple[str, ...], truth: str | None, as_json: bool, **model: Any
) -> None:
    """Check whether a model gets the input range it was trained on.

    Prints the five most probable classes of each IMAGE, and a warning if another
    input range fits the model better than the one in use, which would make its
    visualizations wrong as well. Use photos like those that the model was trained on;
    three photos are much more conclusive than one.

    A model of several outputs is checked by the one with the classes (--output-name),
    a model of several inputs with constants for all but the image (--hold). A
    segmentation, a detector or any other model without classes is checked by its batch
    normalization and by what its layers reveal.

    \b
    tfviz check goldfish.jpg -m keras:MobileNetV2
    tfviz check goldfish.jpg --class goldfish -m mine.keras --preprocess=-1,1
    tfviz check a.jpg b.jpg c.jpg -m faces.keras --output-name gender
    """
    adapter = options.load_adapter(**model)
    from tfviz import check_range  # noqa: PLC0415
    from tfviz.analysis.input_range import WRONG  # noqa: PLC0415

    outcome = check_range(adapter, list(pictures), truth=truth)
    top_five = [
        _most_probable(adapter, outcome.trials[0], place)
        for place in range(len(pictures))
    ]
    if as_json:
        click.echo(
            json.dumps(_check_as_json(adapter, outcome, pictures, top_five), indent=2)
        )
    elif any(top_five):
        for picture, five in zip(pictures, top_five, strict=True):
            if len(pictures) > 1:
                click.echo(f"{picture}:")
            for row in five:
                name = row["name"] or ""
                click.echo(f"{row['probability']:7.1%}  {row['index']:4}  {name}")
    verdict = _describe_check(adapter, outcome)
    if outcome.verdict == WRONG:
        warn(verdict)
    else:
        click.echo(verdict, err=True)


def _most_probable(adapter: Any, trial: Any, place: int = 0) -> list[dict[str, Any]]:
    """Return the five most probable classes of an image; none without classes."""
    if trial.probabilities is None:
        return []
    probabilities = trial.probabilities[place]
    return [
        {
            "index": int(i),
            "name": adapter.class_name(int(i)),
            "probability": float(probabilities[i]),
        }
        for i in (-probabilities).argsort()[:5]
    ]


def _check_as_json(
    adapter: Any, outcome: Any, pictures: tuple[str, ...], top_five: list[Any]
) -> dict[str, Any]:
    return {
        "preprocess": adapter.preprocess.name,
        "top": top_five[0],
        "images": [
            {"file": picture, "top": five}
            for picture, five in zip(pictures, top_five, strict=True)
        ],
        "verdict": outcome.verdict,
        "probable": outcome.probable,
        "reason": outcome.reason,
        "advice": outcome.advice,
        "ranges": [
            {
                "preprocess": trial.preprocess,
                "movement": trial.movement,
                "misfit": trial.misfit,
                "top": _most_probable(adapter, trial),
            }
            for trial in outcome.trials
        ],
    }


def _describe_check(adapter: Any, outcome: Any) -> str:
    """Return the verdict on the input range as a sentence."""
    from tfviz.analysis.input_range import RIGHT, UNSURE  # noqa: PLC0415

    used = outcome.trials[0]
    if outcome.verdict == RIGHT:
        return f"The range {used.preprocess} seems right: {outcome.reason}."
    if outcome.verdict == UNSURE:
        return (
            f"Not sure that the range {used.preprocess} is right: {outcome.reason}. "
            f"{outcome.advice}"
        )
    best, *others = outcome.probable
    trial = next((t for t in outcome.trials if t.preprocess == best), used)
    less = f", less probably on {' or '.join(others)}" if others else ""
    if used.probabilities is None:
        return (
            f"the model was probably trained on {best}{less}, not on "
            f"{used.preprocess}, as used ({outcome.reason}): pass --preprocess={best}"
        )
    return (
        f"with {used.preprocess}, as used, the model gives "
        f"{_describe_answer(adapter, used)}; with {best} it gives "
        f"{_describe_answer(adapter, trial)}. It was probably trained on {best}{less} "
        f"({outcome.reason}): pass --preprocess={best}"
    )


def _describe_answer(adapter: Any, trial: Any) -> str:
    """Return the most probable class of the first image, such as `93% to 'lion'`."""
    row = _most_probable(adapter, trial)[0]
    name = row["name"] or f"class {row['index']}"
    return f"{row['probability']:.0%} to {name!r}"


# The most units that the suggested `tfviz render` command names: a sheet of 3 by 3.
PASTED_UNITS = 9


@click.command(
    cls=Command,
    sections=_sections("--model", "--layer", "-n", "--levels", "--json"),
)
@options.model_options
@click.argument("image", type=IMAGE)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    show_default="the classes and a late layer",
    help="A layer to search: its path, a pattern such as 'fire*', or logit for the "
    "classes. May be given several times.",
)
@click.option(
    "-n",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="The number of units to list for each layer.",
)
@click.option(
    "--levels",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    show_default="those of squeezenet are built in",
    help="The usual activations of the model's channels, measured by `tfviz levels` or "
    "`tfviz examples`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the units as JSON.")
@report_errors
def top(
    image: str,
    layers: tuple[str, ...],
    n: int,
    levels: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """List the units that respond most to IMAGE.

    For each layer, lists the units whose activation is furthest above its usual
    value: their mean activation, by how many standard deviations it is above the
    usual, and the position where they respond most. The usual value is the channel's
    mean over many photos if it has been measured (--levels), or else the mean over
    the layer's channels for this image.

    The last line is a command that renders the first unit of each layer.

    \b
    tfviz top goldfish.jpg
    tfviz top goldfish.jpg -l 'fire*' -l logit -n 3 -m squeezenet
    """
    adapter = options.load_adapter(**model)
    from tfviz.analysis.top_units import PHOTOS, top_units  # noqa: PLC0415

    units = top_units(adapter, image, layers or None, n=n, levels=levels)
    command = _render_command(units, model)
    if as_json:
        rows = [asdict(unit) for unit in units]
        click.echo(json.dumps({"units": rows, "render": command}, indent=2))
        return
    width = max(len(unit.unit) for unit in units)
    for unit in units:
        usual = "usual" if unit.usual == PHOTOS else "its layer's mean"
        peak = f"   most at {unit.peak} ({unit.peak_value:.3g})" if unit.peak else ""
        click.echo(
            f"{unit.unit:{width}}  {unit.value:8.3g}  {unit.above:5.1f} sigma above "
            f"{usual}{peak}"
        )
    click.echo(command)


def _render_command(units: list[Any], model: dict[str, Any]) -> str:
    """Return a command that renders the first unit of each layer.

    Args:
        units: The `TopUnit` entries.
        model: The values of `options.model_options`.
    """
    first: dict[str, str] = {}
    for unit in units:
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
