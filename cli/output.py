"""The rendering of a job into a folder, which an interrupted run can continue."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from tfviz import images
from tfviz._storage import AnyPath
from tfviz.cli.console import count_of, defer_interrupt, fail
from tfviz.cli.folder import SHEET
from tfviz.cli.progress import Pace, show_progress
from tfviz.cli.work import Work, join_first

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
) -> None:
    """Render the pictures of a job that are not in its folder yet.

    Args:
        work: What there is to do.
        model: The name or path of the model, for the manifest.
        sheet: Whether to draw all pictures of the job in `sheet.png` at the end.
        as_json: Whether to print a line of JSON for each picture.
        max_seconds: The time after which no further batch is begun.

    Raises:
        click.ClickException: If the run was interrupted, or pictures failed or were
            deleted by somebody else.
        SystemExit: With the code `TIME_IS_OVER`, if the time is over before all
            pictures are made.
    """
    from tfviz.optimize.attempts import attempt_batches  # noqa: PLC0415
    from tfviz.optimize.dead_units import warn_of_dead_units  # noqa: PLC0415

    began = time.monotonic()
    work.announce()
    work.repair_folder()
    run = _Run(work, model, as_json)
    run.print_earlier()
    total = len(work.files)
    stopped = None
    with (
        defer_interrupt("batch") as interrupted,
        show_progress(work.job, run.pace, total, len(work.skip)) as progress,
    ):
        started = time.monotonic()
        for attempt in attempt_batches(
            work.job, work.skip, [progress.update], succeeded=bool(work.finished)
        ):
            layer, names = run.keep(attempt, time.monotonic() - started)
            progress.finish_batch(layer, names)
            started = time.monotonic()
            if run.left and interrupted():
                stopped = "interrupted"
                break
            if run.left and max_seconds is not None and started - began > max_seconds:
                stopped = "time"
                break
    warn_of_dead_units(run.dead_units)
    deleted = run.forget_deleted()
    run.print_summary(stopped)
    in_folder = f"{len(run.finished)} of {total} pictures are in {work.pictures.path}"
    if stopped == "interrupted":
        fail(f"interrupted: {in_folder}. The same command goes on from here.")
    if stopped == "time":
        click.echo(
            f"the time is over: {in_folder}. The same command goes on from here.",
            err=True,
        )
        raise SystemExit(TIME_IS_OVER)
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
    run.report_failures()


class _Run:
    """What a run has made so far, and its lines of JSON.

    Args:
        work: What there is to do.
        model: The name or path of the model, for the manifest.
        as_json: Whether to print a line of JSON for each picture.

    Attributes:
        finished: The places of all pictures that are in the folder.
        failed: The reasons why pictures failed in this run, by their places.
        pace: The speed by layer.
        dead_units: The dead units.
    """

    def __init__(self, work: Work, model: str, as_json: bool) -> None:
        self._work, self._model, self._as_json = work, model, as_json
        self.finished = set(work.finished)
        self.failed: dict[int, str] = {}
        self.pace = Pace(work.plans)
        self.dead_units: list[Any] = []
        self._began = time.monotonic()

    @property
    def left(self) -> int:
        """The number of pictures that are neither finished nor failed."""
        done = len(self.finished) + len(self.failed) + len(self._work.failed)
        return len(self._work.files) - done

    def keep(self, attempt: Any, seconds: float) -> tuple[Any, list[str]]:
        """Write the pictures of a batch, and note its failures.

        Args:
            attempt: The `tfviz.optimize.attempts.Attempt`.
            seconds: The time that it took.

        Returns:
            The speed of the layer, and the names of all pictures of the batch.
        """
        from tfviz.optimize.attempts import describe  # noqa: PLC0415
        from tfviz.optimize.render import as_result  # noqa: PLC0415

        job, pictures, files = self._work.job, self._work.pictures, self._work.files
        made = sum(len(batch.places) for batch in attempt.batches)
        for batch in attempt.batches:
            result = as_result(job, [batch])
            for row, place in enumerate(sorted(batch.places)):
                line = pictures.write(
                    files[place],
                    result.picture(row),
                    result.picture_spec(row),
                    model=self._model,
                    seconds=round(seconds / made, 3),
                )
                self.finished.add(place)
                self._print(line, "finished", files[place])
            self.dead_units += batch.dead_units
        for place, failure in attempt.failures.items():
            picture, reason = job.pictures[place], describe(failure)
            line = pictures.note_failure(picture, reason)
            self.failed[place] = reason
            self._print(line, "failed")
            click.echo(f"{picture.name} failed: {reason}", err=True)
        compilation = seconds - sum(batch.seconds for batch in attempt.batches)
        layer = self.pace.add(attempt.number, made, seconds, compilation)
        places = [*attempt.failures, *(p for b in attempt.batches for p in b.places)]
        return layer, [job.pictures[place].name for place in sorted(places)]

    def forget_deleted(self) -> list[str]:
        """Return the names of pictures that somebody else deleted during the run."""
        there = {file.name for file in self._work.pictures.path.iterdir()}
        files = self._work.files
        deleted = [i for i in sorted(self.finished) if files[i].name not in there]
        self.finished.difference_update(deleted)
        return [files[place].name for place in deleted]

    def print_earlier(self) -> None:
        """Print the lines of the pictures that need not be made."""
        work = self._work
        for place in sorted(work.finished):
            file = work.files[place]
            self._print(work.pictures.entry(file), "before", file)
        for place in sorted(work.failed):
            picture = work.job.pictures[place]
            reason = work.pictures.failed[picture.text, picture.repeat]
            line = {"unit": picture.text, "repeat": picture.repeat}
            self._print(
                line | {"name": picture.name, "failed": reason}, "failed before"
            )

    def print_summary(self, stopped: str | None) -> None:
        """Print the last line of JSON."""
        if not self._as_json:
            return
        summary = {
            "folder": str(self._work.pictures.path),
            "pictures": len(self._work.files),
            "finished": len(self.finished),
            "made": self.pace.made,
            "failed": len(self.failed) + len(self._work.failed),
            "left": self.left,
            "stopped": stopped,
            "seconds": round(time.monotonic() - self._began, 3),
            "units_a_minute": round(self.pace.units_a_minute, 2),
            "layers": [
                {
                    "layer": layer.name,
                    "made": layer.made,
                    "seconds": round(layer.seconds, 3),
                    "compilation": round(layer.compilation or 0, 3),
                    "units_a_minute": round(layer.units_a_minute, 2),
                }
                for layer in self.pace.layers
                if layer.made
            ],
        }
        click.echo(json.dumps({"summary": summary}))

    def report_failures(self) -> None:
        """End the command with an error if any picture of the job has failed.

        Raises:
            click.ClickException: If there are such pictures.
        """
        if self.failed:
            names = {
                place: self._work.job.pictures[place].name for place in self.failed
            }
            reasons = [f"{names[i]} ({reason})" for i, reason in self.failed.items()]
            fail(
                f"{len(self.failed)} of {len(self._work.files)} pictures failed: "
                f"{join_first(reasons)}. The manifest lists them; --retry-failed tries "
                "them again."
            )
        if self._work.failed:
            fail(
                f"{len(self._work.failed)} of {len(self._work.files)} pictures failed "
                "before. The manifest lists the reasons; --retry-failed tries them "
                "again."
            )

    def _print(
        self, line: Mapping[str, Any], status: str, file: AnyPath | None = None
    ) -> None:
        if self._as_json:
            row: dict[str, Any] = {"status": status}
            row |= {} if file is None else {"file": str(file)}
            row |= {name: line[name] for name in _PRINTED if name in line}
            click.echo(json.dumps(row))


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
