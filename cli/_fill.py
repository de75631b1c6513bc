"""Render many pictures into a folder, safely."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tfviz.cli._clock import clock
from tfviz.cli._folder import Folder
from tfviz.cli._interrupt import until_interrupted

# A sheet of very many pictures shows them smaller.
SHEET_WIDTH = 8000


def fill(
    job: Any,
    folder: Path,
    *,
    model: str,
    suffix: str,
    force: bool = False,
    sheet: bool = False,
    as_json: bool = False,
) -> None:
    """Render the pictures of a job that are not in its folder yet.

    Args:
        job: A `Job` of the core.
        folder: Where to.
        model: The name or path of the model, for the manifest.
        suffix: `.png` or `.webp`.
        force: Whether to render pictures again that are there.
        sheet: Whether to draw all pictures of the job in `sheet.png` at the end.
        as_json: Whether to print the outcome as JSON.

    Raises:
        click.ClickException: If the folder holds pictures of other settings, cannot
            be written, or the run was interrupted.
    """
    from tfviz._render import as_result  # noqa: PLC0415
    from tfviz._stuck import warn_stuck  # noqa: PLC0415

    here = Folder(folder)
    keys = [(picture.text, picture.repeat) for picture in job.pictures]
    other = here.other_settings(job.settings, keys if force else ())
    if other:
        raise click.ClickException(
            f"{folder} holds pictures of other settings: {other}. Choose another "
            "folder" + ("." if force else ", or replace these with --force.")
        )
    here.repair_manifest()
    files = here.names(job.pictures, suffix)
    done = set() if force else {i for i, k in enumerate(keys) if k in here.finished}
    files = [here.finished[keys[i]] if i in done else f for i, f in enumerate(files)]
    if done:
        click.echo(f"{len(done)} of {len(keys)} are finished already", err=True)
    stuck = []
    with until_interrupted("batch") as interrupted, _progress(job, done) as progress:
        started = time.monotonic()
        for batch in job.run(done, callbacks=[progress.step]):
            seconds = time.monotonic() - started
            result = as_result(job, [batch])
            for row, place in enumerate(sorted(batch.places)):
                spec = result.picture_spec(row)
                here.write(
                    files[place],
                    result.picture(row),
                    spec,
                    model=model,
                    seconds=round(seconds / len(batch.places), 3),
                )
                done.add(place)
            stuck += batch.tried
            progress.finished([job.pictures[p].name for p in batch.places])
            started = time.monotonic()
            if interrupted() and len(done) < len(keys):
                raise click.ClickException(
                    f"interrupted: {len(done)} of {len(keys)} pictures are in "
                    f"{folder}. The same command goes on from here."
                )
    warn_stuck(stuck)
    if sheet:
        _write_sheet(files, folder / "sheet.png")
    _report(files, folder, as_json)


def _report(files: list[Path], folder: Path, as_json: bool) -> None:
    from tfviz import images  # noqa: PLC0415

    if not as_json:
        click.echo(f"{len(files)} pictures in {folder}")
        return
    rows = []
    for file in files:
        spec = images.read_spec(file) or {}
        kept = {name: spec[name] for name in ("unit", "name", "score", "stuck")}
        rows.append(kept | {"file": str(file)})
    click.echo(json.dumps({"pictures": rows}, indent=2))


def _write_sheet(files: list[Path], path: Path) -> None:
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    columns = int(len(files) ** 0.5 + 0.999)
    pictures, captions = [], []
    for file in files:
        spec = images.read_spec(file) or {}
        captions.append(f"{spec['name']}  {spec['score']:.4g}")
        with Image.open(file) as image:
            side = max(32, SHEET_WIDTH // columns)
            image.thumbnail((side, side))
            pictures.append(np.asarray(image.convert("RGB")))
    images.save(images.sheet(pictures, captions, columns), path)


class _Lines:
    """Progress for a log: a line for each batch."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done, self._here = total, done, 0
        self._start = time.monotonic()

    def step(self, progress: Any) -> None:
        """Say nothing between batches."""

    def finished(self, names: list[str]) -> None:
        """Print which pictures are finished, and the time that is left."""
        self._here += len(names)
        spent = time.monotonic() - self._start
        left = (self._total - self._done - self._here) * spent / self._here
        shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        click.echo(
            f"{self._done + self._here}/{self._total}  {shown}  {clock(left)} left",
            err=True,
        )


class _Bar:
    """Progress for a terminal."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._step = bar, 0

    def step(self, progress: Any) -> None:
        """Move the bar by the steps that were taken."""
        self._bar.current_item = progress.names[0]
        self._bar.update(progress.step - self._step)
        self._step = progress.step

    def finished(self, names: list[str]) -> None:
        """Begin the next batch."""
        self._step = 0


@contextmanager
def _progress(job: Any, done: set[int]) -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield _Lines(len(job.pictures), len(done))
        return
    batches = job.batches_left(done)
    with click.progressbar(
        length=batches * job.steps * job.restarts,
        label=f"{len(job.pictures) - len(done)} pictures",
        item_show_func=lambda item: item,
        file=sys.stderr,
    ) as bar:
        yield _Bar(bar)
