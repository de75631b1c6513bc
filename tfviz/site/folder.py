"""The folder of a site, in which only those files are written whose inputs changed.

`RECORD` lists the files of the site, with a digest of what each was made from. It is
saved from time to time, so that an interrupted build goes on near where it stopped.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tfviz._files import PARTIALS, write_safely
from tfviz.site import facts

RECORD = ".tfviz-atlas.json"
# The folder beside the pages in which `tfviz.atlas` keeps what it renders.
SOURCE = "source"
# Changing it makes all files be written again.
_FORMAT = 2
# The time in seconds after which the record is saved again.
_INTERVAL = 5.0


class SiteFolder:
    """The folder of a site while it is built: a context manager.

    When it ends without an error, files of an earlier build that were not mentioned
    are deleted.

    Args:
        path: The folder. It must be new or empty, or hold a site.

    Attributes:
        path: The folder.
        written: The number of files that were written.
        kept: The number of files that were up to date.

    Raises:
        ValueError: If the folder holds something else, or its record is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = self.kept = 0
        self._before = _read_record(path)
        self._now: dict[str, str] = {}
        self._saved = 0.0

    def __enter__(self) -> "SiteFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        for part in self.path.rglob(PARTIALS):
            # Left by a build that was killed while it wrote. The folders in `SOURCE`
            # belong to runs, one of which another process may be working on.
            if self.path / SOURCE not in part.parent.parents:
                part.unlink()
        self._save()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._delete_old()
        self._save()

    def write(self, name: str, inputs: Any, make: Callable[[], bytes]) -> None:
        """Write a file, unless it was made from the same inputs before.

        Args:
            name: The path of the file below the folder, with `/` between its parts.
            inputs: What the file is made from, as JSON values: digests of other
                files, and settings.
            make: A function that returns the contents.
        """
        text = json.dumps([_FORMAT, inputs], sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        path = self.path / name
        if self._before.get(name) == digest and path.is_file():
            self.kept += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            contents = make()
            write_safely(path, lambda file: file.write(contents))
            self.written += 1
        self._now[name] = digest
        if time.monotonic() - self._saved > _INTERVAL:
            self._save()

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, unless it has the same text already."""
        self.write(name, text, text.encode)

    def _save(self) -> None:
        """Write the record: the files of this build, and those of an earlier one."""
        record = {"format": _FORMAT, "files": self._before | self._now}
        text = json.dumps(record, indent=0, sort_keys=True)
        write_safely(self.path / RECORD, lambda file: file.write(text.encode()))
        self._saved = time.monotonic()

    def _delete_old(self) -> None:
        """Delete the files of an earlier build that this one did not mention."""
        for name in self._before.keys() - self._now.keys():
            path = self.path / name
            # The record is a file that anyone can edit.
            if path.resolve().is_relative_to(self.path.resolve()):
                path.unlink(missing_ok=True)
                if path.parent != self.path and not any(path.parent.iterdir()):
                    path.parent.rmdir()
        self._before = {}


def check_folder(path: Path) -> None:
    """Refuse a folder that is not empty and holds no site.

    Raises:
        ValueError: If it holds something else, or its record is damaged.
        NotADirectoryError: If it is a file.
    """
    _read_record(path)


def _read_record(path: Path) -> dict[str, str]:
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(
            f"{str(path)!r} is a file, not a folder. Choose another name for the atlas."
        )
    record = path / RECORD
    if not record.exists():
        if path.is_dir() and not all(map(_is_expected, path.iterdir())):
            raise ValueError(
                f"{str(path)!r} is not empty and holds no atlas. Choose an empty or "
                "new folder: files of an atlas that are out of date are deleted."
            )
        return {}
    try:
        files = json.loads(record.read_bytes())["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(record)!r} is cut off or was changed. Delete everything in the "
            f"folder {str(path)!r} except for {SOURCE!r}, if it has one, and build the "
            "atlas again."
        ) from error


def _is_expected(file: Path) -> bool:
    """Tell whether a file or folder may be there before the first build."""
    if file.name == SOURCE:
        is_ours = (file / facts.FILE).is_file()
        return is_ours or (file.is_dir() and not any(file.iterdir()))
    # The lock, and what a build left that was killed while it wrote.
    return file.name.startswith(".tfviz")
