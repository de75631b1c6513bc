"""A folder of pictures that a job fills, and can go on filling after a break."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tfviz import images
from tfviz._files import list_differences
from tfviz.cli.console import clock, until_interrupted
from tfviz.images import file_names

MANIFEST = "manifest.jsonl"
# What a picture's description tells about the picture, not about the job. Versions
# may change between two runs; they are compared where a picture is made again.
_OWN = {
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
_VERSIONS = {"tfviz", "versions"}

Key = tuple[str, int]


class Folder:
    """The pictures in a folder, known by what their files say.

    The files are the truth: each is whole or absent, and holds its description. The
    manifest is a list of them that can be made again.

    Attributes:
        path: The folder.
        finished: The file of each picture, by its unit and repeat number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished: dict[Key, Path] = {}
        self._specs: dict[Path, dict[str, Any]] = {}
        for file in sorted(path.iterdir()):
            if file.name.startswith(".tfviz-") and file.suffix == ".part":
                file.unlink()  # of a run that was killed
            elif file.suffix in images.FORMATS:
                self._note(file)

    def _note(self, file: Path) -> None:
        try:
            spec = images.read_spec(file)
        except ValueError:
            return  # not ours
        if spec and "unit" in spec:
            self._specs[file] = spec
            self.finished[spec["unit"], spec["repeat"]] = file

    def other_settings(
        self, settings: Mapping[str, Any], replaced: Iterable[Key] = ()
    ) -> str | None:
        """Say how a picture that is here was made otherwise, or None.

        Args:
            settings: Of the job that is to write here.
            replaced: Pictures that it would replace.
        """
        wanted = shared_settings(settings)
        replaced = set(replaced)
        for key, file in self.finished.items():
            if key in replaced:
                continue
            others = list_differences(shared_settings(self._specs[file]), wanted)
            if others:
                return f"{file.name} was made with {others[0]}"
        return None

    def repair_manifest(self) -> None:
        """Make the manifest say what the files say."""
        known: dict[str, dict[str, Any]] = {}
        path = self.path / MANIFEST
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
                known[entry["file"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # cut off when a run was killed
        entries = []
        for file, spec in self._specs.items():
            own = _entry(file, spec)
            there = known.get(file.name, {})
            same = all(there.get(name) == value for name, value in own.items())
            entries.append(there if same else own)
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if text != "".join(line + "\n" for line in lines):
            images.write_safely(path, lambda file: file.write(text.encode()))

    def names(self, pictures: Iterable[Any], suffix: str) -> list[Path]:
        """Return a file for each picture; one that is here keeps its file."""
        pictures = list(pictures)
        keys = [(picture.text, picture.repeat) for picture in pictures]
        here = [self.finished.get(key) for key in keys]
        # Names taken by other pictures come first, so that none is used again.
        asked = set(keys)
        others = [f.stem for k, f in self.finished.items() if k not in asked]
        others.append("sheet")
        fresh = file_names((*others, *(p.name for p in pictures)))[len(others) :]
        return [
            file.with_suffix(suffix) if file else self.path / f"{name}{suffix}"
            for file, name in zip(here, fresh, strict=True)
        ]

    def write(
        self, file: Path, picture: Any, spec: Mapping[str, Any], **facts: Any
    ) -> None:
        """Write a picture, then its line in the manifest.

        Args:
            file: The name.
            picture: For Pillow.
            spec: Its description.
            **facts: For the manifest alone: times and paths.
        """
        images.save(picture, file, spec)
        line = _entry(file, spec) | facts
        line["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with (self.path / MANIFEST).open("a", encoding="utf-8") as manifest:
            manifest.write(json.dumps(line) + "\n")


def shared_settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all pictures of a folder must have in common, as JSON values."""
    kept = {k: v for k, v in spec.items() if k not in _OWN | _VERSIONS | {"pictures"}}
    return json.loads(json.dumps(kept))


def _entry(file: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: spec[name] for name in sorted(_OWN & spec.keys())}
    return {"file": file.name} | own


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
    from tfviz.optimize.batch import warn_stuck  # noqa: PLC0415
    from tfviz.optimize.render import as_result  # noqa: PLC0415

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
