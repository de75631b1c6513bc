"""A folder of pictures, and the rendering that fills it and can be continued.

The picture files are the truth: each is complete or absent, and contains the settings
it was made with. Everything else in the folder can be restored from them.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tfviz import images
from tfviz._files import check_same_settings
from tfviz.cli.console import defer_interrupt, format_duration
from tfviz.images import file_names

MANIFEST = "manifest.jsonl"
SHEET = "sheet.png"
# A sheet's pictures are scaled down so that it has at most about this many pixels on a
# side, but not to less than the second number each.
SHEET_SIDE = 8000
SMALLEST_ON_SHEET = 32

# Entries of a picture's description that are about this picture alone. All other
# entries are settings that the pictures of a folder share, except for the versions of
# tfviz and its dependencies: those may change between two runs.
_OF_PICTURE = {
    "name",
    "score",
    "unit_score",
    "distances",
    "stuck",
    "steps_taken",
    "stopped",
    "unit",
    "repeat",
    "slot",
    "batch_size",
}
_NOT_SHARED = _OF_PICTURE | {"tfviz", "versions", "pictures"}

# The unit of a picture, and its number among the pictures of that unit, from 0.
Key = tuple[str, int]


def render_to_folder(
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
        job: The `tfviz.optimize.job.Job`.
        folder: The folder to write to, which exists.
        model: The name or path of the model, for the manifest.
        suffix: The suffix of the files, `.png` or `.webp`.
        force: Whether to render pictures again that are in the folder.
        sheet: Whether to draw all pictures of the job in `sheet.png` at the end.
        as_json: Whether to print the files and scores as JSON.

    Raises:
        ValueError: If the folder contains pictures with other settings.
        click.ClickException: If the run was interrupted.
    """
    from tfviz.optimize.dead_units import warn_of_dead_units  # noqa: PLC0415
    from tfviz.optimize.render import as_result  # noqa: PLC0415

    pictures = PictureFolder(folder)
    keys = [(picture.text, picture.repeat) for picture in job.pictures]
    pictures.check_settings(job.settings, replaced=keys if force else ())
    pictures.repair_manifest()
    files = pictures.choose_files(job.pictures, suffix)
    finished = pictures.finished
    done = set() if force else {i for i, key in enumerate(keys) if key in finished}
    files = [finished[keys[i]] if i in done else file for i, file in enumerate(files)]
    if done:
        click.echo(f"{len(done)} of {len(keys)} are finished already", err=True)
    dead_units = []
    with (
        defer_interrupt("batch") as interrupted,
        _show_progress(job, done) as progress,
    ):
        started = time.monotonic()
        for batch in job.run(done, callbacks=[progress.update]):
            seconds = time.monotonic() - started
            result = as_result(job, [batch])
            for row, place in enumerate(sorted(batch.places)):
                pictures.write(
                    files[place],
                    result.picture(row),
                    result.picture_spec(row),
                    model=model,
                    seconds=round(seconds / len(batch.places), 3),
                )
                done.add(place)
            dead_units += batch.dead_units
            progress.finish_batch([job.pictures[place].name for place in batch.places])
            started = time.monotonic()
            if interrupted() and len(done) < len(keys):
                raise click.ClickException(
                    f"interrupted: {len(done)} of {len(keys)} pictures are in "
                    f"{folder}. The same command goes on from here."
                )
    warn_of_dead_units(dead_units)
    if sheet:
        _write_sheet(files, folder / SHEET)
    _print_outcome(files, folder, as_json=as_json)


class PictureFolder:
    """The pictures in a folder, identified by the descriptions in their files.

    Attributes:
        path: The folder.
        finished: The file of each picture, by its unit and number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished: dict[Key, Path] = {}
        self._specs: dict[Path, dict[str, Any]] = {}
        for file in sorted(path.iterdir()):
            if file.name.startswith(".tfviz-") and file.suffix == ".part":
                file.unlink()  # left by a run that was killed while it wrote
            elif file.suffix in images.FORMATS:
                self._add(file)

    def _add(self, file: Path) -> None:
        try:
            spec = images.read_spec(file)
        except ValueError:
            return  # not an image, so not written by tfviz
        if spec and "unit" in spec:
            self._specs[file] = spec
            self.finished[spec["unit"], spec["repeat"]] = file

    def check_settings(
        self, settings: Mapping[str, Any], replaced: Iterable[Key] = ()
    ) -> None:
        """Refuse settings other than those of the pictures in the folder.

        Args:
            settings: The settings of the job that is to write to the folder.
            replaced: The pictures that the job replaces, whatever their settings.

        Raises:
            ValueError: If another picture has other settings.
        """
        wanted = _select_shared(settings)
        replaced = set(replaced)
        remedy = "use the same settings to continue"
        if not replaced:
            remedy += ", or replace these pictures with --force"
        for key, file in self.finished.items():
            if key not in replaced:
                shared = _select_shared(self._specs[file])
                work = f"job's pictures, such as {file.name}"
                check_same_settings(self.path, shared, wanted, work, remedy=remedy)

    def repair_manifest(self) -> None:
        """Make the manifest agree with the picture files.

        Lines of files that are missing or were replaced are removed, and missing lines
        are added; other lines keep their times.
        """
        path = self.path / MANIFEST
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        by_file: dict[str, dict[str, Any]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                by_file[entry["file"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # cut off when a run was killed
        entries = []
        for file, spec in self._specs.items():
            entry = _manifest_entry(file, spec)
            listed = by_file.get(file.name, {})
            agrees = all(listed.get(name) == value for name, value in entry.items())
            entries.append(listed if agrees else entry)
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if text != "".join(line + "\n" for line in lines):
            images.write_safely(path, lambda file: file.write(text.encode()))

    def choose_files(self, pictures: Iterable[Any], suffix: str) -> list[Path]:
        """Return a file for each picture; one that is in the folder keeps its name.

        Args:
            pictures: The pictures of a job.
            suffix: The suffix of the files.
        """
        pictures = list(pictures)
        keys = [(picture.text, picture.repeat) for picture in pictures]
        existing = [self.finished.get(key) for key in keys]
        # The names of all other pictures, and of the sheet, come first, so that none
        # of them is used again.
        wanted = set(keys)
        taken = [f.stem for key, f in self.finished.items() if key not in wanted]
        taken.append(Path(SHEET).stem)
        names = file_names((*taken, *(p.name for p in pictures)))[len(taken) :]
        return [
            file.with_suffix(suffix) if file else self.path / f"{name}{suffix}"
            for file, name in zip(existing, names, strict=True)
        ]

    def write(
        self, file: Path, picture: Any, spec: Mapping[str, Any], **facts: Any
    ) -> None:
        """Write a picture, then its line in the manifest.

        Args:
            file: The file, in the folder.
            picture: The picture as a `PIL.Image.Image`.
            spec: The description of the picture, which is stored in its file.
            **facts: Entries for the manifest alone, such as times and paths, which
                would make equal pictures have different files.
        """
        images.save(picture, file, spec)
        line = _manifest_entry(file, spec) | facts
        line["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with (self.path / MANIFEST).open("a", encoding="utf-8") as manifest:
            manifest.write(json.dumps(line) + "\n")


def _select_shared(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that all pictures of a folder have in common."""
    return {name: value for name, value in spec.items() if name not in _NOT_SHARED}


def _manifest_entry(file: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: spec[name] for name in sorted(_OF_PICTURE & spec.keys())}
    return {"file": file.name} | own


def _print_outcome(files: list[Path], folder: Path, *, as_json: bool) -> None:
    if not as_json:
        click.echo(f"{len(files)} pictures in {folder}")
        return
    rows = []
    for file in files:
        spec = images.read_spec(file) or {}
        row = {name: spec[name] for name in ("unit", "name", "score", "stuck")}
        rows.append(row | {"file": str(file)})
    click.echo(json.dumps({"pictures": rows}, indent=2))


def _write_sheet(files: list[Path], path: Path) -> None:
    """Draw the pictures in a square grid, with their names and scores."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    columns = int(len(files) ** 0.5 + 0.999)
    side = max(SMALLEST_ON_SHEET, SHEET_SIDE // columns)
    pictures, captions = [], []
    for file in files:
        spec = images.read_spec(file) or {}
        captions.append(f"{spec['name']}  {spec['score']:.4g}")
        with Image.open(file) as image:
            image.thumbnail((side, side))
            pictures.append(np.asarray(image.convert("RGB")))
    images.save(images.sheet(pictures, captions, columns), path)


@contextmanager
def _show_progress(job: Any, done: set[int]) -> Iterator[Any]:
    """Show the progress on stderr: a bar in a terminal, lines elsewhere.

    Args:
        job: The job.
        done: The places of the pictures that are finished already.

    Yields:
        A `_ProgressBar` or `_ProgressLines`.
    """
    if not sys.stderr.isatty():
        yield _ProgressLines(len(job.pictures), len(done))
        return
    batches = job.batches_left(done)
    with click.progressbar(
        length=batches * job.options.steps * job.options.restarts,
        label=f"{len(job.pictures) - len(done)} pictures",
        item_show_func=lambda item: item,
        file=sys.stderr,
    ) as bar:
        yield _ProgressBar(bar)


class _ProgressLines:
    """Progress for a log file: a line for each batch.

    Args:
        total: The number of pictures of the job.
        done: The number of those that are finished already.
    """

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done_before, self._done_now = total, done, 0
        self._start = time.monotonic()

    def update(self, progress: Any) -> None:
        """Print nothing between batches."""

    def finish_batch(self, names: list[str]) -> None:
        """Print which pictures are finished, and the remaining time."""
        self._done_now += len(names)
        done = self._done_before + self._done_now
        spent = time.monotonic() - self._start
        left = format_duration((self._total - done) * spent / self._done_now)
        batch = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        click.echo(f"{done}/{self._total}  {batch}  {left} left", err=True)


class _ProgressBar:
    """Progress for a terminal: a bar that moves with the gradient steps.

    Args:
        bar: The bar of click.
    """

    def __init__(self, bar: Any) -> None:
        self._bar, self._step = bar, 0

    def update(self, progress: Any) -> None:
        """Move the bar by the steps since the last call."""
        self._bar.current_item = progress.names[0]
        self._bar.update(progress.step - self._step)
        self._step = progress.step

    def finish_batch(self, names: list[str]) -> None:
        """Count the steps of the next batch from 0."""
        self._step = 0
