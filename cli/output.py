"""The rendering of a job into a folder, as the command line shows it."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from tfviz import images
from tfviz._storage import AnyPath
from tfviz.cli.console import count_of, defer_interrupt, fail
from tfviz.cli.plan import announce, join_first
from tfviz.cli.progress import show_progress
from tfviz.optimize.dead_units import warn_of_dead_units
from tfviz.runs.picture_folder import SHEET
from tfviz.runs.run import FinishedBatch, Run, make_batches
from tfviz.runs.work import Work

# A sheet's pictures are scaled down so that it has at most about this many pixels on a
# side, but not to less than the second number each.
SHEET_SIDE = 8000
SMALLEST_ON_SHEET = 32
# The exit code when `--max-seconds` are over and pictures are left to be made.
TIME_IS_OVER = 3
# The entries of a manifest's line that `--json` prints.
_PRINTED = ("unit", "repeat", "name", "score", "stuck", "seconds", "failed")


def render_to_folder(
    work: Work,
    *,
    model: str,
    sheet: bool = False,
    as_json: bool = False,
    max_seconds: float | None = None,
    batches: Callable[..., Iterator[FinishedBatch]] = make_batches,
) -> None:
    """Render the pictures of a job that are not in its folder yet.

    Args:
        work: What there is to do.
        model: The name or path of the model, for the manifest.
        sheet: Whether to draw all pictures of the job in `sheet.png` at the end.
        as_json: Whether to print a line of JSON for each picture.
        max_seconds: The time after which no further batch is begun.
        batches: What makes the batches: `make_batches`, or another function that takes
            the same arguments.

    Raises:
        click.ClickException: If the run was interrupted, or pictures failed.
        SystemExit: With the code `TIME_IS_OVER`, if the time is over before all
            pictures are made.
    """
    announce(work)
    run = Run(work)
    total = len(work.files)
    lines = _JsonLines(run) if as_json else None
    if lines:
        lines.print_earlier()
    with (
        defer_interrupt("batch") as interrupted,
        show_progress(work.job, run.pace, total, len(work.skip)) as progress,
    ):

        def reason() -> str | None:
            """Return why the run is to stop, if it is."""
            if interrupted():
                return "interrupted"
            spent = time.monotonic() - run.began
            return "time" if max_seconds is not None and spent > max_seconds else None

        def stopping() -> bool:
            return reason() is not None

        for batch in batches(work, model, [progress.update], stopping):
            layer = run.note(batch)
            if lines:
                lines.print_batch(batch)
            names = [work.job.pictures[place].name for place in batch.places]
            for place, failure in batch.failures.items():
                click.echo(
                    f"{work.job.pictures[place].name} failed: {failure}", err=True
                )
            progress.finish_batch(layer, names)
        stopped = reason() if run.left else None
    warn_of_dead_units(run.dead_units)
    if lines:
        click.echo(json.dumps({"summary": run.summary(stopped)}))
    in_folder = f"{len(run.finished)} of {total} pictures are in {work.pictures.path}"
    if stopped == "interrupted":
        fail(f"interrupted: {in_folder}. The same command goes on from here.")
    if stopped == "time":
        click.echo(
            f"the time is over: {in_folder}. The same command goes on from here.",
            err=True,
        )
        raise SystemExit(TIME_IS_OVER)
    files = [work.files[place] for place in sorted(run.finished)]
    if sheet and files:
        _write_sheet(files, work.pictures.path / SHEET)
    if not as_json:
        click.echo(f"{count_of(len(files), 'picture')} in {work.pictures.path}")
    _report_failures(run)


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


def _report_failures(run: Run) -> None:
    """End the command with an error if any picture of the job has failed.

    Raises:
        click.ClickException: If there are such pictures.
    """
    work = run.work
    total = len(work.files)
    if run.failed:
        reasons = [
            f"{work.job.pictures[place].name} ({reason})"
            for place, reason in run.failed.items()
        ]
        fail(
            f"{len(run.failed)} of {total} pictures failed: {join_first(reasons)}. The "
            "manifest lists them; --retry-failed tries them again."
        )
    if work.failed:
        fail(
            f"{len(work.failed)} of {total} pictures failed before. The manifest lists "
            "the reasons; --retry-failed tries them again."
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
