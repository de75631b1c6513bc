"""A folder of pictures that a job fills, and can go on filling after a break."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfviz import images
from tfviz._json import changes
from tfviz._result import file_names

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
            others = changes(shared_settings(self._specs[file]), wanted)
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
