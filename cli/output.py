"""The rendering of a job into a folder, as the command line shows it."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import click

from tfviz import images
from tfviz._errors import count_of
from tfviz._storage import AnyPath
from tfviz.cli.console import defer_interrupt, fail
from tfviz.cli.plan import announce, join_first
from tfviz.cli.run_progress import show_progress
from tfviz.optimize.dead_units import warn_of_dead_units
from tfviz.runs.picture_folder import SHEET
from tfviz.runs.run import Batches, FinishedBatch, Run, make_batches
from tfviz.runs.work import Work

# A sheet's pictures are scaled down so that it has at most about this many pixels on a
# side, but not to less than the second number each.
SHEET_SIDE = 8000
SMALLEST_ON_SHEET = 32
# The exit code when `--max-seconds` are over and pictures are left to be made.
TIME_IS_OVER = 3
# Why a run ended before all of its pictures were made.
INTERRUPTED, TIME = "interrupted", "time"
# The entries of a manifest's line that `--json` prints.
_PRINTED = ("unit", "repeat", "name", "score", "stuck", "seconds", "failed")


def render_to_folder(
    work: Work,
    *,
    model: str,
    sheet: bool = False,
    as_json: bool = False,
    max_seconds: float | None = None,
    batches: Batches = make_batches,
) -> None:
    """Render the pictures of a job that are not in its folder yet.

    Args:
        work: What there is to do.
        model: The name or path of the model, for the manifest.
        sheet: Whether to draw all pictures of the job in `sheet.png` at the end.
        as_json: Whether to print a line of JSON for each picture.
        max_seconds: The time after which no further batch is begun.
        batches: What makes the pictures.

    Raises:
        click.ClickException: If the run was interrupted, or pictures failed or were
            deleted by somebody else.
        SystemExit: With the code `TIME_IS_OVER`, if the time is over before all
            pictures are made.
    """
    announce(work)
    run = Run(work)
    total = len(work.files)
    lines = _JsonLines(run) if as_json else None
    if lines:
        lines.print_earlier()
    with defer_interrupt("batch") as interrupted:
        stopped = show_run(
            run,
            model=model,
            interrupted=interrupted,
            deadline=None if max_seconds is None else run.began + max_seconds,
            note=lines.print_batch if lines else None,
            batches=batches,
        )
    deleted = run.forget_deleted()
    if lines:
        click.echo(json.dumps({"summary": run.summary(stopped)}))
    made = f"{len(run.finished)} of {count_of(total, 'picture')}"
    in_folder = f"{made} {'is' if total == 1 else 'are'} in {work.pictures.path}"
    if stopped is not None:
        end_early(stopped, in_folder)
    if deleted:
        verb = "was" if len(deleted) == 1 else "were"
        fail(
            f"{count_of(len(deleted), 'picture')} {verb} deleted during the run: "
            f"{join_first(deleted)}. The same command goes on from here."
        )
    files = [work.files[place] for place in sorted(run.finished)]
    if sheet and files:
        _write_sheet(files, work.pictures.path / SHEET)
    if not as_json:
        click.echo(f"{count_of(len(files), 'picture')} in {work.pictures.path}")
    report_failures([run])


def show_run(
    run: Run,
    *,
    model: str,
    interrupted: Callable[[], bool],
    deadline: float | None = None,
    note: Callable[[FinishedBatch], Any] | None = None,
    batches: Batches = make_batches,
) -> str | None:
    """Make the pictures of a run that are missing, and show the progress.

    Args:
        run: The run.
        model: The name or path of the model, for the manifest.
        interrupted: Says whether the run is to end after this batch.
        deadline: The time, by `time.monotonic`, after which no batch is begun.
        note: Called with each finished batch.
        batches: What makes the pictures.

    Returns:
        Why the run ended before all pictures were made: `interrupted`, `time`, or None
        if it did not.
    """
    work = run.work
    pictures = work.job.pictures

    def reason() -> str | None:
        """Return why the run is to stop, if it is."""
        if interrupted():
            return INTERRUPTED
        late = deadline is not None and time.monotonic() > deadline
        return TIME if late else None

    def stopping() -> bool:
        return reason() is not None

    with show_progress(
        work,
        run.pace,
        is_remote=batches is not make_batches,
        # Lines of JSON on the same terminal would break up the bar.
        allows_bar=note is None or not sys.stdout.isatty(),
    ) as progress:
        for batch in batches(work, model, [progress.update], stopping):
            layer = run.note(batch)
            if note is not None:
                note(batch)
            for place, failure in batch.failures.items():
                click.echo(f"{pictures[place].name} failed: {failure}", err=True)
            names = [pictures[place].name for place in batch.places]
            progress.finish_batch(layer, names)
        stopped = reason() if run.left else None
    warn_of_dead_units(run.dead_units)
    return stopped


class _JsonLines:
    """Prints a line of JSON for each picture of a run."""

    def __init__(self, run: Run) -> None:
        self._work = run.work

    def print_earlier(self) -> None:
        """Print the lines of the pictures that need not be made."""
        work = self._work
        for place in sorted(work.finished):
            file = work.files[place]
            self._print(work.pictures.entry(file), "before", file)
        for place in sorted(work.failed):
            reason = work.pictures.failed[work.keys[place]]
            self._print(self._describe_failure(place, reason), "failed before")

    def print_batch(self, batch: FinishedBatch) -> None:
        """Print the lines of the pictures of a batch."""
        for place, entry in batch.entries.items():
            self._print(entry, "finished", self._work.files[place])
        for place, reason in batch.failures.items():
            self._print(self._describe_failure(place, reason), "failed")

    def _describe_failure(self, place: int, reason: str) -> dict[str, Any]:
        unit, repeat = self._work.keys[place]
        name = self._work.job.pictures[place].name
        return {"unit": unit, "repeat": repeat, "name": name, "failed": reason}

    def _print(
        self, line: Mapping[str, Any], status: str, file: AnyPath | None = None
    ) -> None:
        row: dict[str, Any] = {"status": status}
        row |= {} if file is None else {"file": str(file)}
        row |= {name: line[name] for name in _PRINTED if name in line}
        click.echo(json.dumps(row))


def end_early(stopped: str, made: str) -> NoReturn:
    """End the command because the work was stopped.

    Args:
        stopped: `INTERRUPTED` or `TIME`.
        made: What is made so far, for the message.

    Raises:
        click.ClickException: If the work was interrupted.
        SystemExit: With the code `TIME_IS_OVER`, if the time is over.
    """
    if stopped == INTERRUPTED:
        fail(f"Interrupted: {made}. The same command goes on from here.")
    click.echo(
        f"The time is over: {made}. The same command goes on from here.", err=True
    )
    raise SystemExit(TIME_IS_OVER)


def report_failures(runs: Sequence[Run]) -> None:
    """End the command with an error if any picture of some runs has failed.

    Raises:
        click.ClickException: If there are such pictures.
    """
    total = sum(len(run.work.files) for run in runs)
    reasons = [
        f"{run.work.job.pictures[place].name} ({reason})"
        for run in runs
        for place, reason in run.failed.items()
    ]
    if reasons:
        fail(
            f"{len(reasons)} of {count_of(total, 'picture')} failed: "
            f"{join_first(reasons)}. The manifest lists them; --retry-failed tries "
            f"{'it' if len(reasons) == 1 else 'them'} again."
        )
    before = sum(len(run.work.failed) for run in runs)
    if before:
        fail(
            f"{before} of {count_of(total, 'picture')} failed before. The manifest "
            f"lists {'the reason' if before == 1 else 'the reasons'}; --retry-failed "
            f"tries {'it' if before == 1 else 'them'} again."
        )


def _write_sheet(files: Sequence[AnyPath], path: AnyPath) -> None:
    """Draw the pictures in a square grid, with their names and scores."""
    columns = int(len(files) ** 0.5 + 0.999)
    side = max(SMALLEST_ON_SHEET, SHEET_SIDE // columns)
    captions = []
    for file in files:
        spec = images.read_spec(file) or {}
        captions.append(f"{spec['name']}  {spec['score']:.4g}")
    images.save(images.sheet(_read_small(files, side), captions, columns), path)


def _read_small(files: Iterable[AnyPath], side: int) -> Iterator[Any]:
    """Yield the pictures in files one by one, scaled down to a length of the sides."""
    import io  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as image:
            image.thumbnail((side, side))
            yield np.asarray(image.convert("RGB"))
