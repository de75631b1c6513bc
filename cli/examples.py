"""`tfviz examples`: the images that units respond to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfviz._errors import count_of
from tfviz._files import delete_partials
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import defer_interrupt, fail, report_errors
from tfviz.cli.help import Command
from tfviz.cli.progress import LateProgress
from tfviz.cli.ray_options import (
    RAY_OPTIONS,
    RAY_SECTION,
    open_cluster,
    ray_options,
    respond_to_of,
    unsent,
)
from tfviz.runs.lock import lock_file

# The most files that are named if they cannot be read.
NAMED = 5


# The sections of the help.
_SECTIONS = {
    "Most used options": ("--images", "--output", "--model", "--layers", "-k", "--by"),
    "How the model is fed": options.MODEL_SECTION,
    "What is kept": ("--spread", "--bins", "--sample", "--seed", "--json"),
    "Advanced options": (
        "--batch-size",
        "--threads",
        *RAY_SECTION,
        "-h",
        "--help",
    ),
}


@click.command(cls=Command, sections=_SECTIONS)
@options.model_options
@options.images_option("The folder of images; its subfolders are searched, too.")
@click.option(
    "-l",
    "--layer",
    "--layers",
    "layers",
    metavar="PATTERN",
    multiple=True,
    show_default="all layers, and the classes",
    help="The layers: a path, a pattern such as 'fire*', or logit for the classes. May "
    "be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".npz"),
    required=True,
    help="The file to write the examples to; its name ends in .npz.",
)
@click.option(
    "-k",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="The number of images to keep for each unit: so many that it responds to "
    "most, and as many that it responds to least.",
)
@click.option(
    "--by",
    type=click.Choice(["peak", "mean"]),
    default="peak",
    show_default=True,
    help="What counts as the response of a unit: its highest activation in the map, "
    "or the mean over the map.",
)
@click.option(
    "--spread",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="The number of images at evenly spaced quantiles of a unit's responses.",
)
@click.option(
    "--bins",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    help="The number of bins of the histograms.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="The largest number of images, drawn at random, from which the spread images, "
    "the correlations between units, and the mean of the features are computed.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="The random seed with which this sample is drawn.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="The number of images in a batch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@ray_options
@report_errors
def examples(
    folder: Path, layers: tuple[str, ...], output: Path, as_json: bool, **settings: Any
) -> None:
    """Find the images that each unit responds to.

    Reads a folder of images once, and writes one file: for each unit of the layers, the
    images that it responds to most, least and in between, with the places where; the
    receptive fields; the histogram of its responses; and the share of images on which
    it fires. Files that cannot be read are left out and named.

    If the command is interrupted, the same command continues it. `tfviz levels
    --examples` and `tfviz top --levels` take the file as well.

    \b
    tfviz examples --images photos -l 'fire*' -l logit -o examples.npz
    tfviz examples --images photos -m mine.keras --by mean -o mine.npz
    tfviz examples --images /shared/photos -o examples.npz --ray 10.0.0.5:6379
    """
    options.make_folder(output.parent)
    # Before the model is loaded, so that a second command does not wait for it.
    with lock_file(output):
        found = _find(folder, layers, output, settings)
    rows = [_summarize(path, layer) for path, layer in found.layers.items()]
    if as_json:
        summary = {
            "file": str(output),
            "images": found.count,
            "unreadable": [
                {"file": file, "reason": reason} for file, reason in found.unreadable
            ],
            "layers": rows,
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        _print_layers(rows)
        count = len(found.unreadable)
        left_out = f", {count} could not be read" if count else ""
        layers_and_images = (
            f"{count_of(len(rows), 'layer')}, {count_of(found.count, 'image')}"
        )
        click.echo(f"{output}: {layers_and_images}{left_out}")
    _name_unreadable(found.unreadable)


def _find(
    folder: Path, layers: tuple[str, ...], output: Path, settings: dict[str, Any]
) -> Any:
    """Go through the images, or continue an interrupted pass, and write the file."""
    state = output.with_name(f"{output.name}.partial")
    delete_partials(output)
    delete_partials(state)
    if state.exists():
        click.echo(f"Continuing from {state}.", err=True)
    model = {name: settings.pop(name) for name in options.MODEL_OPTIONS}
    ray = {name: settings.pop(name) for name in RAY_OPTIONS}
    with open_cluster(ray, **unsent(model)) as cluster:
        adapter = options.load_adapter(**model)
        from tfviz import dataset_examples  # noqa: PLC0415

        with (
            defer_interrupt("batch") as interrupted,
            ExamplesProgress(output, interrupted) as progress,
        ):
            return dataset_examples(
                adapter,
                folder,
                layers or None,
                output=output,
                progress=progress.note,
                respond_to=respond_to_of(cluster, model),
                **settings,
            )


def _summarize(path: str, layer: Any) -> dict[str, Any]:
    """Return the facts about a layer that the command prints."""
    import numpy as np  # noqa: PLC0415

    from tfviz.analysis.layer_selection import unit_prefix  # noqa: PLC0415

    return {
        "layer": unit_prefix(path),
        "units": len(layer.fires),
        "map": list(layer.map_shape),
        # Fields at the margin of the image are cut off.
        "field": [
            int(np.ptp(axis, axis=1).max()) for axis in (layer.rows, layer.columns)
        ],
        "never_fire": int((layer.fires == 0).sum()),
        "fires": float(np.median(layer.fires)),
    }


def _print_layers(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["layer"]) for row in rows)
    for row in rows:
        shape, field = ("x".join(map(str, row[name])) for name in ("map", "field"))
        click.echo(
            f"{row['layer']:{width}}  {row['units']:5} units  {shape or '-':>9}  field "
            f"{field:>9}  fire on {row['fires']:4.0%} of the images (median)  "
            f"{row['never_fire']} never {'fires' if row['never_fire'] == 1 else 'fire'}"
        )


def _name_unreadable(unreadable: tuple[tuple[str, str], ...]) -> None:
    """Say on stderr which files could not be read."""
    for file, reason in unreadable[:NAMED]:
        click.echo(f"Not read: {file}: {reason}", err=True)
    if len(unreadable) > NAMED:
        click.echo(f"and {len(unreadable) - NAMED} more", err=True)


class ExamplesProgress(LateProgress):
    """The progress of a pass over images, which ends when Ctrl-C has been pressed.

    Args:
        output: The file of the examples, for the message of an interruption.
        interrupted: A function that says whether Ctrl-C has been pressed.
    """

    def __init__(self, output: Path, interrupted: Callable[[], bool]) -> None:
        super().__init__("image")
        self._output, self._interrupted = output, interrupted

    def note(self, done: int, total: Any) -> None:
        """Show how many images are done, and stop if Ctrl-C has been pressed.

        Raises:
            click.ClickException: If it has.
        """
        self(done, total)
        if self._interrupted() and done < total:
            fail(
                f"Interrupted: {done} of {count_of(total, 'image')} are done. The same "
                f"command continues from {self._output}.partial."
            )
