"""The command that dreams on a photo."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, handled

# Of the bundled network: eyes, fur and feathers.
DEFAULT_UNIT = "fire7"


class Ratio(types.Positive):
    """A finite number above 1."""

    def __init__(self) -> None:
        super().__init__()
        self.min = 1


@click.command(cls=types.Units)
@click.argument("photo", type=click.Path(exists=True, dir_okay=False))
@click.argument("unit", required=False)
@click.option(
    "-o",
    "--output",
    type=types.OutputFile(".png", ".webp"),
    required=True,
    help="A .png or .webp file.",
)
@options.model_options
@click.option(
    "--octaves",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Sizes of the photo to dream on, up to its own; more of them for larger "
    "things.",
)
@click.option(
    "--ratio",
    type=Ratio(),
    default=1.4,
    show_default=True,
    help="Of the sizes of two octaves.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Gradient steps in each octave.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    default=0.005,
    show_default=True,
    help="How far a step moves a pixel's value, on average.",
)
@click.option(
    "--tile",
    type=click.IntRange(min=1),
    help="Side of the tiles, in pixels: a smaller one needs less memory. By default "
    "the model's size, or up to 512.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    help="Longest side of the picture, where the photo's is longer.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="For other ones.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@handled
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
    """Let UNIT exaggerate what it sees in PHOTO (DeepDream).

    \b
    UNIT is one of
      fire7             a whole layer             fire8:20          a channel
      logit:goldfish    a class                   fire5+fire9:3     both at once
    and fire7 of the bundled network if it is left out. Early layers give strokes and
    spirals, late ones eyes and animals.

    \b
    tfviz dream photo.jpg -o dream.png
    tfviz dream photo.jpg fire5 -o dream.png --size 1024 --octaves 6
    """
    if unit is None and model["model"] != "squeezenet":
        raise click.UsageError(
            "Which layers there are depends on the model. Name one as UNIT; `tfviz "
            f"layers -m {model['model']}` lists them."
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
    with _progress(work) as step:
        result = work.run([step])
    try:
        result.save(output)
    except OSError as error:
        fail(f"cannot write {str(output)!r} ({error.strerror}).")
    click.echo(
        f"{output}: {result.names[0]} scores {result.scores[0]:.4g}, in the photo "
        f"{result.spec['photo_score']:.4g}"
    )


def _check_output(output: Path, photo: str, force: bool) -> None:
    if not output.exists():
        return
    if output.samefile(photo):
        reason = "is the photo itself. Choose another name."
    elif not force:
        reason = "is there already. Choose another name, or replace it with --force."
    else:
        return
    raise click.BadParameter(
        f"{str(output)!r} {reason}", param_hint="'-o' / '--output'"
    )


@contextmanager
def _progress(work: Any) -> Iterator[Any]:
    """Yield a callback that shows how much of the work is done, on stderr.

    A step's cost is its number of tiles: a late octave has more of them.
    """
    costs = [work.tiles_in(octave) for octave in range(len(work.sizes))]
    total = work.steps * sum(costs)
    if sys.stderr.isatty():
        with click.progressbar(length=total, label="dream", file=sys.stderr) as bar:
            yield lambda progress: bar.update(costs[progress.batch])
        return
    started, done = time.monotonic(), 0

    def say(progress: Any) -> None:
        nonlocal done
        done += costs[progress.batch]
        if progress.step % work.steps == 0:
            left = (total - done) * (time.monotonic() - started) / done
            height, width = work.sizes[progress.batch]
            click.echo(
                f"octave {progress.batch + 1}/{progress.batches}  {height}x{width}  "
                f"{left:.0f} s left",
                err=True,
            )

    yield say
