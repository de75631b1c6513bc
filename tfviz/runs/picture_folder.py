"""A folder of pictures, which a run can continue.

The picture files are the truth: each is complete or absent, and contains the settings
it was made with. The manifest lists them, with times, and those that failed, with the
reason.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tfviz import images
from tfviz._files import check_same_settings, is_partial, write_safely
from tfviz._storage import AnyPath, append
from tfviz.images import file_names
from tfviz.optimize.options import AUTO, Options

MANIFEST = "manifest.jsonl"
SHEET = "sheet.png"

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
    "xla",
}
_NOT_SHARED = _OF_PICTURE | {"tfviz", "versions", "pictures"}

_TIME = "%Y-%m-%dT%H:%M:%S%z"

# The unit of a picture, and its number among the pictures of that unit, from 0.
Key = tuple[str, int]


class PictureFolder:
    """The pictures in a folder, identified by the descriptions in their files.

    To open a folder changes nothing in it.

    Args:
        path: The folder, which need not exist.
        settings: The settings of the job that is to write to it.

    Attributes:
        path: The folder.
        finished: The file of each picture, by its unit and number.
        failed: The reason why a picture could not be made with these settings.
        listed: The entry of the manifest for each picture that has, or had, a file.
        damaged: The names of files that are no longer images.
    """

    def __init__(self, path: AnyPath, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.finished: dict[Key, AnyPath] = {}
        self.failed: dict[Key, str] = {}
        self.listed: dict[Key, dict[str, Any]] = {}
        self.damaged: set[str] = set()
        self._settings = _shared_text(settings)
        self._entries: dict[str, dict[str, Any]] = {}
        # Equal settings are kept once, however many pictures have them.
        self._shared: dict[str, dict[Key, AnyPath]] = {}
        self._partial: list[AnyPath] = []
        files: Iterable[AnyPath] = path.iterdir() if path.exists() else ()
        for file in sorted(files, key=lambda file: file.name):
            if is_partial(file):
                self._partial.append(file)
            elif file.suffix in images.FORMATS:
                self._add(file)
        self._failures: dict[Key, dict[str, Any]] = {}
        self._read_manifest()

    def _add(self, file: AnyPath) -> None:
        try:
            spec = images.read_spec(file)
        except ValueError:
            self.damaged.add(file.name)
            return
        if spec and "unit" in spec:
            key = (spec["unit"], spec["repeat"])
            self.finished[key] = file
            self._entries[file.name] = _manifest_entry(file, spec)
            self._shared.setdefault(_shared_text(spec), {})[key] = file

    def _read_manifest(self) -> None:
        path = self.path / MANIFEST
        contents = path.read_bytes() if path.exists() else b""
        # A damaged manifest is repaired from the files, and must not end the run.
        self._text = contents.decode("utf-8", "replace")
        digest = _digest(self._settings)
        for line in self._text.splitlines():
            try:
                entry = json.loads(line)
                key = (entry["unit"], entry["repeat"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off when a run was killed
            if "file" in entry:
                self.listed[key] = entry
                self._keep_times(entry)
            elif key not in self.finished and entry.get("settings") == digest:
                self.failed[key] = entry.get("failed", "")
                self._failures[key] = entry

    def _keep_times(self, entry: dict[str, Any]) -> None:
        """Take a line of the manifest for a file if it is about the same picture."""
        found = self._entries.get(entry["file"])
        if found and all(entry.get(name) == value for name, value in found.items()):
            self._entries[entry["file"]] = entry

    def check_settings(self, replaced: Collection[Key] = (), remedy: str = "") -> None:
        """Refuse a folder whose pictures have other settings than the job.

        Args:
            replaced: The pictures that the job replaces, whatever their settings.
            remedy: What else a user can do if none is replaced, for the message.

        Raises:
            ValueError: If another picture has other settings.
        """
        replaced = set(replaced)
        advice = "use the same settings to continue"
        if remedy and not replaced:
            advice += f", or {remedy}"
        for text, files in self._shared.items():
            kept = [file for key, file in files.items() if key not in replaced]
            if kept:
                check_same_settings(
                    self.path,
                    json.loads(text),
                    json.loads(self._settings),
                    f"job's pictures, such as {kept[0].name}",
                    remedy=advice,
                )

    def repair(self, again: Iterable[Key] = ()) -> None:
        """Delete what a killed run left, and make the manifest agree with the files.

        Lines of files that are missing or were replaced are removed, and missing lines
        are added; other lines keep their times.

        Args:
            again: Pictures that failed before and are tried again, so that their
                failures are forgotten.
        """
        for file in self._partial:
            file.unlink(missing_ok=True)
        for key in again:
            self._failures.pop(key, None)
        entries = [*self._entries.values(), *self._failures.values()]
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if text != self._text:
            path = self.path / MANIFEST
            write_safely(path, lambda file: file.write(text.encode()))

    def choose_files(self, pictures: Iterable[Any], suffix: str) -> list[AnyPath]:
        """Return a file for each picture; one that has had a file keeps its name.

        Args:
            pictures: The pictures of a job.
            suffix: The suffix of the files.
        """
        known = {key: file.stem for key, file in self.finished.items()}
        for key, entry in self.listed.items():
            name = (self.path / entry["file"]).name
            if name not in self._entries:  # it was deleted or damaged
                known.setdefault(key, (self.path / name).stem)
        keyed = {(picture.text, picture.repeat): picture for picture in pictures}
        # No name is used again that another picture has, nor that of the sheet.
        taken = (SHEET.partition(".")[0], *known.values())
        new = [key for key in keyed if key not in known]
        names = file_names((*taken, *(keyed[key].name for key in new)))[len(taken) :]
        known |= dict(zip(new, names, strict=True))
        return [self.path / f"{known[key]}{suffix}" for key in keyed]

    def note_picture(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Write a line in the manifest for a picture that is in the folder.

        Args:
            entry: What `save_picture` returned.

        Returns:
            The line.
        """
        return self._append({**entry, "finished": time.strftime(_TIME)})

    def note_failure(self, picture: Any, reason: str) -> dict[str, Any]:
        """Write a line in the manifest for a picture that failed, and return it.

        It holds for the settings of the job; with others, the picture is tried again.

        Args:
            picture: The picture of the job.
            reason: The reason, in one line.
        """
        entry = {"unit": picture.text, "repeat": picture.repeat, "name": picture.name}
        entry |= {"failed": reason, "settings": _digest(self._settings)}
        return self._append(entry | {"tried": time.strftime(_TIME)})

    def entry(self, file: AnyPath) -> dict[str, Any]:
        """Return the line of the manifest for a file that was there before."""
        return self._entries[file.name]

    def _append(self, entry: dict[str, Any]) -> dict[str, Any]:
        append(self.path / MANIFEST, (json.dumps(entry) + "\n").encode())
        return entry


def keep_batch_size(options: Options, path: AnyPath) -> Options:
    """Return options with the batch size of the pictures in a folder.

    With `auto`, it depends on the memory that is free, but a run that is continued must
    make its pictures as it has begun.

    Args:
        options: The options; those with another batch size than `auto` are returned.
        path: The folder, which need not exist.
    """
    if options.batch_size != AUTO or not path.exists():
        return options
    for file in path.iterdir():
        if file.suffix in images.FORMATS and not is_partial(file):
            spec = _read_spec(file)
            if "largest_batch" in spec:
                size, largest = spec["batch"], spec["largest_batch"]
                return replace(options, batch_size=size, largest_batch=largest)
    return options


def _read_spec(file: AnyPath) -> dict[str, Any]:
    """Return the description of the picture in a file; empty if there is none."""
    try:
        return images.read_spec(file) or {}
    except ValueError:
        return {}


def save_picture(
    file: AnyPath, picture: Any, spec: Mapping[str, Any], **facts: Any
) -> dict[str, Any]:
    """Write a picture into a folder, and return its entry for the manifest.

    Args:
        file: The file.
        picture: The picture as a `PIL.Image.Image`.
        spec: The description of the picture, which is stored in its file.
        **facts: Entries for the manifest alone, such as times and paths, which would
            make equal pictures have different files.
    """
    images.save(picture, file, spec)
    return _manifest_entry(file, spec) | facts


def _shared_text(spec: Mapping[str, Any]) -> str:
    """Return the settings that all pictures of a folder have in common, as JSON."""
    shared = {name: value for name, value in spec.items() if name not in _NOT_SHARED}
    return json.dumps(shared, sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _manifest_entry(file: AnyPath, spec: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: spec[name] for name in sorted(_OF_PICTURE & spec.keys())}
    return {"file": file.name} | own
