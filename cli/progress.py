"""The progress of a run on stderr: what is finished, how fast, and the time left."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tfviz.cli.console import count_of, format_duration
from tfviz.runs.pace import LayerPace, Pace


@contextmanager
def show_progress(job: Any, pace: Pace, total: int, done: int) -> Iterator[Any]:
    """Show the progress on stderr: a bar in a terminal, lines elsewhere.

    Args:
        job: The job.
        pace: The speed, which the caller keeps up to date.
        total: The number of pictures of the job.
        done: The number of those that need not be made.

    Yields:
        A `_ProgressBar` or `_ProgressLines`.
    """
    if not sys.stderr.isatty():
        yield _ProgressLines(pace, total, done)
        return
    batches = sum(len(layer.numbers) for layer in pace.layers)
    with click.progressbar(
        length=batches * job.options.steps * job.options.restarts,
        label=f"{total - done} pictures",
        item_show_func=lambda item: item,
        file=sys.stderr,
    ) as bar:
        yield _ProgressBar(bar, pace, job.options.steps * job.options.restarts)


class _ProgressLines:
    """Progress for a log file: a line for each batch, and one for each layer."""

    def __init__(self, pace: Pace, total: int, done: int) -> None:
        self._pace, self._total, self._done = pace, total, done

    def update(self, progress: Any) -> None:
        """Print nothing between batches."""

    def finish_batch(self, layer: LayerPace, names: Sequence[str]) -> None:
        """Print which pictures are finished, the speed, and the time left."""
        self._done += len(names)
        batch = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        left = format_duration(self._pace.seconds_left)
        click.echo(
            f"{self._done}/{self._total}  {batch}  "
            f"{layer.units_a_minute:.3g} a minute  {left} left",
            err=True,
        )
        if not layer.numbers and layer.batches > 1:
            made, spent = count_of(layer.made, "picture"), layer.seconds
            click.echo(
                f"{layer.name} is finished: {made} in {format_duration(spent)}, "
                f"{layer.units_a_minute:.3g} a minute",
                err=True,
            )


class _ProgressBar:
    """Progress for a terminal: a bar that moves with the gradient steps.

    Args:
        bar: The bar of click.
        pace: The speed.
        steps: The number of steps of a batch.
    """

    def __init__(self, bar: Any, pace: Pace, steps: int) -> None:
        self._bar, self._pace, self._steps = bar, pace, steps
        self._step = 0

    def update(self, progress: Any) -> None:
        """Move the bar by the steps since the last call."""
        self._bar.current_item = progress.names[0] + self._speed()
        # The parts of a batch that failed repeat its steps, which count once.
        self._bar.update(max(progress.step - self._step, 0))
        self._step = max(progress.step, self._step)

    def finish_batch(self, layer: LayerPace, names: Sequence[str]) -> None:
        """Count the steps of the next batch from 0."""
        self._bar.update(max(self._steps - self._step, 0))
        self._step = 0

    def _speed(self) -> str:
        if not self._pace.made:
            return ""
        left = format_duration(self._pace.seconds_left)
        return f"  {self._pace.units_a_minute:.3g} a minute  {left} left"
