"""The progress of a rendering: what is finished, how fast, and the time left."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tfviz.cli.console import count_of, format_duration

# The rate of a layer is that of so many of its last batches, as it may change: by the
# heat of a processor, or other programs.
RECENT = 8


class LayerPace:
    """The speed of one layer.

    Attributes:
        name: The layer.
        numbers: The numbers of the batches that are left.
        batches: The number of batches that were left at first.
        made: The number of pictures made.
        seconds: The time that they took, with compilation.
        compilation: The time of the first batch beyond that of its steps; None until it
            is finished.
        recent: The seconds of the last batches, without compilation.
    """

    def __init__(self, name: str, numbers: Sequence[int]) -> None:
        self.name, self.numbers = name, set(numbers)
        self.batches = len(numbers)
        self.made, self.seconds = 0, 0.0
        self.compilation: float | None = None
        self.recent: deque[float] = deque(maxlen=RECENT)

    @property
    def units_a_minute(self) -> float:
        """How many pictures are made in a minute."""
        return 60 * self.made / self.seconds if self.seconds else 0.0


class Pace:
    """The speed of a run by layer, from which the time left is estimated.

    A layer that has not begun is assumed to be as fast as the others on average.

    Args:
        plans: The `tfviz.optimize.plan.LayerPlan` of each layer.
    """

    def __init__(self, plans: Sequence[Any]) -> None:
        self.layers = [LayerPace(plan.layer, plan.numbers) for plan in plans]

    def add(
        self, number: int, made: int, seconds: float, compilation: float
    ) -> LayerPace:
        """Note that a batch is finished, and return its layer.

        Args:
            number: The number of the batch.
            made: How many pictures it gave.
            seconds: The time that it took.
            compilation: How much of that was not spent on its steps. Only that of the
                first batch counts as compilation.
        """
        layer = next(layer for layer in self.layers if number in layer.numbers)
        layer.numbers.discard(number)
        layer.made += made
        layer.seconds += seconds
        if layer.compilation is None:
            layer.compilation = compilation
            seconds -= compilation
        layer.recent.append(seconds)
        return layer

    @property
    def seconds_left(self) -> float:
        """An estimate of the time that the batches take that are left."""
        begun = [layer for layer in self.layers if layer.recent]
        if not begun:
            return 0.0
        means = {layer.name: sum(layer.recent) / len(layer.recent) for layer in begun}
        usual = sum(means.values()) / len(means)
        compilation = sum(layer.compilation or 0 for layer in begun) / len(begun)
        return sum(
            len(layer.numbers) * means.get(layer.name, usual)
            + compilation * (bool(layer.numbers) and not layer.recent)
            for layer in self.layers
        )

    @property
    def units_a_minute(self) -> float:
        """How many pictures were made in a minute, of all layers together."""
        seconds = sum(layer.seconds for layer in self.layers)
        return 60 * self.made / seconds if seconds else 0.0

    @property
    def made(self) -> int:
        """How many pictures were made."""
        return sum(layer.made for layer in self.layers)


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
