"""The progress of a run: which batch is made, its steps, what is finished, how fast."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tfviz._errors import count_of
from tfviz.cli.console import format_duration
from tfviz.cli.progress import Progress
from tfviz.runs.pace import LayerPace, Pace
from tfviz.runs.work import Work


@contextmanager
def show_progress(
    work: Work, pace: Pace, *, is_remote: bool = False, allows_bar: bool = True
) -> Iterator["RunProgress"]:
    """Show the progress of a run on stderr: a bar on a terminal, lines elsewhere.

    Args:
        work: What there is to do.
        pace: The speed, which the caller keeps up to date.
        is_remote: Whether several batches are made at a time, by workers.
        allows_bar: Whether a bar may be shown, if there is a terminal.

    Yields:
        What the caller tells about each step and each batch.
    """
    options = work.job.options
    steps = options.steps * options.restarts
    batches = sum(len(layer.numbers) for layer in pace.layers)
    with Progress(batches * steps, "picture", allows_bar=allows_bar) as progress:
        run = RunProgress(progress, work, pace, steps, is_remote=is_remote)
        run.announce_batch()
        yield run


class RunProgress:
    """Shows the steps and the batches of a run.

    Args:
        progress: What shows them.
        work: What there is to do.
        pace: The speed.
        steps: The number of steps of a batch.
        is_remote: Whether several batches are made at a time, by workers.
    """

    def __init__(
        self, progress: Progress, work: Work, pace: Pace, steps: int, *, is_remote: bool
    ) -> None:
        self._progress, self._work, self._pace = progress, work, pace
        self._steps, self._is_remote = steps, is_remote
        self._total, self._done = len(work.files), len(work.skip)
        # The steps of the batches that are finished, and of the one that is being made.
        self._earlier, self._step = 0, 0

    def announce_batch(self) -> None:
        """Show which batch is made next."""
        layers = [layer for layer in self._pace.layers if layer.numbers]
        if not layers:
            self._show("")
        elif self._is_remote:
            self._show("" if self._pace.made else "waiting for the first pictures")
        else:
            layer = min(layers, key=lambda layer: min(layer.numbers))
            job, number = self._work.job, min(layer.numbers)
            places = job.batches[number].places
            wanted = [places[i] for i in job.wanted(number, self._work.skip)]
            names = _join([job.pictures[place].name for place in wanted])
            state = f"step 0 of {self._steps}," if layer.recent else "starting"
            self._show(f"{state} {names}")

    def update(self, progress: Any) -> None:
        """Show how many steps of a batch are done; a callback of the run."""
        # The parts of a batch that failed repeat its steps, which count once.
        self._step = max(progress.step, self._step)
        step = f"step {progress.step} of {progress.steps}"
        self._show(f"{step}, {_join(progress.names)}")

    def finish_batch(self, layer: LayerPace, names: Sequence[str]) -> None:
        """Show which pictures are finished, the speed, and the time left."""
        self._done += len(names)
        self._earlier += self._steps
        self._step = 0
        self._show("")
        self._progress.print_line(
            f"{self._done}/{self._total}  {_join(names)}  "
            f"{layer.units_a_minute:.3g} a minute  {self._progress.left}"
        )
        if not layer.numbers and layer.batches > 1:
            made, spent = count_of(layer.made, "picture"), layer.seconds
            self._progress.print_line(
                f"{layer.name} is finished: {made} in {format_duration(spent)}, "
                f"{layer.units_a_minute:.3g} a minute"
            )
        self.announce_batch()

    def _show(self, text: str) -> None:
        """Show the steps done, and a text on what is being worked on."""
        self._progress.show(
            self._earlier + self._step,
            text,
            count=f"{self._done}/{count_of(self._total, 'picture')}",
            seconds_left=self._pace.seconds_left if self._pace.made else None,
        )


def _join(names: Sequence[str]) -> str:
    """Return the names of a batch in a few words."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
