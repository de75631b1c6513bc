"""The command `dream`: DeepDream on a photo."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, report_errors
from tfviz.cli.progress import Progress

# A layer of the bundled network that dreams of eyes, fur and feathers.
DEFAULT_UNIT = "fire7"


class Ratio(types.Positive):
    """A finite number above 1."""

    def __init__(self) -> None:
        super().__init__()
        self.min = 1


# The sections of the help.
_SECTIONS = {
    "Most used options": (
        "--output",
        "--model",
        "--octaves",
        "--steps",
        "--size",
        "--force",
    ),
    "How the model is fed": options.MODEL_SECTION,
    "Advanced options": (
        "--ratio",
        "--learning-rate",
        "--tile",
        "--seed",
        "--threads",
        "-h",
        "--help",
    ),
}


@click.command(cls=types.UnitsCommand, sections=_SECTIONS)
@click.argument("photo", type=types.ExistingPath(dir_okay=False))
@click.argument("unit", required=False)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".png", ".webp"),
    required=True,
    help="The .png or .webp file to write the picture to.",
)
@options.model_options
@click.option(
    "--octaves",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="The number of sizes in which the photo is processed, from small to full "
    "size. More octaves give larger patterns.",
)
@click.option(
    "--ratio",
    type=Ratio(),
    default=1.4,
    show_default=True,
    help="How many times as large each octave is as the one before.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="The number of gradient steps in each octave.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    default=0.005,
    show_default=True,
    help="The average change of a pixel's value in one step.",
)
@click.option(
    "--tile",
    type=click.IntRange(min=1),
    show_default="the model's input size, or up to 512",
    help="The side of the tiles that the photo is divided into, in pixels. Smaller "
    "tiles need less memory.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    show_default="that of the photo",
    help="The longest side of the picture, in pixels. A larger photo is scaled down; a "
    "smaller one keeps its size.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed; another seed gives another picture.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@report_errors
def dream(  # noqa: PLR0917 (click passes by name)
    photo: str,
    unit: str | None,
    output: Path,
    octaves: int,
    ratio: float,
    steps: int,
    learning_rate: float,
    tile: int | None,
    size: int | None,
    seed: int,
    force: bool,
    **model: Any,
) -> None:
    """Exaggerate in PHOTO what UNIT responds to (DeepDream).

    Early layers give strokes and spirals, late layers give eyes and animals.

    \b
    UNIT is one of
      fire7             a whole layer             fire8:20          a channel
      logit:goldfish    a class                   fire5+fire9:3     the sum of both
    If UNIT is left out, it is fire7 of the bundled network.

    \b
    tfviz dream photo.jpg -o dream.png
    tfviz dream photo.jpg fire5 -o dream.png --size 1024 --octaves 6
    """
    if unit is None and model["model"] != "squeezenet":
        raise click.UsageError(
            "UNIT can be left out only for the bundled network. Name a layer of this "
            f"model; `tfviz layers -m {model['model']}` lists them."
        )
    _check_output(output, photo, force)
    from tfviz import images  # noqa: PLC0415

    picture = images.read(photo)
    options.make_folder(output.parent)
    adapter = options.load_adapter(**model)
    from tfviz.optimize.dream import Dream, shrunk  # noqa: PLC0415

    if adapter.channels == 1:
        picture = picture.mean(axis=-1, keepdims=True)
    work = Dream(
        adapter,
        shrunk(picture, size) if size else picture,
        unit or DEFAULT_UNIT,
        octaves=octaves,
        ratio=ratio,
        steps=steps,
        learning_rate=learning_rate,
        tile=tile,
        seed=seed,
    )
    with _show_progress(work) as callback:
        result = work.run([callback])
    try:
        result.save(output)
    except OSError as error:
        fail(f"Cannot write {str(output)!r} ({error.strerror}). Choose another file.")
    click.echo(
        f"{output}: {result.names[0]} scores {result.scores[0]:.4g}, in the photo "
        f"{result.spec['photo_score']:.4g}"
    )


def _check_output(output: Path, photo: str, force: bool) -> None:
    """Refuse an output file that would replace the photo, or another file unasked."""
    if not output.exists():
        return
    if output.samefile(photo):
        reason = "is the photo itself. Choose another name."
    elif not force:
        reason = "already exists. Choose another name, or replace it with --force."
    else:
        return
    raise click.BadParameter(
        f"{str(output)!r} {reason}", param_hint="'-o' / '--output'"
    )


@contextmanager
def _show_progress(work: Any) -> Iterator[Any]:
    """Yield a callback that shows the progress on stderr.

    It is a bar on a terminal, and a line for each octave elsewhere. A step is weighted
    by its number of tiles, as a later octave has more of them.
    """
    costs = [work.tiles_in(octave) for octave in range(len(work.sizes))]
    done = 0

    def note_step(step: Any) -> None:
        nonlocal done
        done += costs[step.batch]
        height, width = work.sizes[step.batch]
        octave = f"octave {step.batch + 1}/{step.batches}  {height}x{width}"
        in_octave = (step.step - 1) % work.steps + 1
        progress.show(done, f"step {in_octave} of {work.steps}", count=octave)
        if in_octave == work.steps:
            progress.print_line(f"{octave}  {progress.left}")

    with Progress(work.steps * sum(costs), "step") as progress:
        progress.show(0, "starting", count=f"octave 1/{len(costs)}")
        yield note_step
