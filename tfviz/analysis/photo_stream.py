"""Images in batches of one size, read and decoded while the network runs."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import images
from tfviz._errors import reason_of
from tfviz._files import describe_lack, find_files
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import fit_photo

# The number of batches that are ready before the network asks for them.
_READY = 2
_DIGEST_BYTES = 8


# The size of each file, and the time of its last change in nanoseconds, by its path.
Description = Mapping[str, Sequence[int]]

# How files of a folder can differ from its description.
NEW, GONE, CHANGED = "new", "gone", "changed"


@dataclass(frozen=True)
class Batch:
    """Images as a model sees them, and facts about their sources.

    Attributes:
        pictures: The images `(batch, height, width, channels)` in [0, 1]. Beyond n, and
            where an image could not be read, they are black.
        sizes: The height and width of each source, `(n, 2)`.
        digests: The digest of each source; see `digest_of`.
        errors: The reason why an image could not be read, or an empty string.
        paths: The path of each source as it was given; empty for arrays.
    """

    pictures: NDArray[np.float32]
    sizes: NDArray[np.int32]
    digests: Sequence[str]
    errors: Sequence[str]
    paths: Sequence[str]

    @property
    def readable(self) -> NDArray[np.intp]:
        """The rows of the images that could be read."""
        return np.flatnonzero([not error for error in self.errors])


class Folder:
    """The images of a folder, of which several are decoded at once.

    Args:
        adapter: An adapter of the model.
        folder: The folder; its subfolders are searched, too.

    Attributes:
        path: The folder.
        files: The paths of the files in the folder, with `/`, sorted.

    Raises:
        ValueError: If it is no folder, or holds no images.
    """

    def __init__(self, adapter: Adapter, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"{str(folder)!r} is not a folder of images.")
        found = find_files(folder, dangling=True)
        if not found:
            raise ValueError(describe_lack(folder))
        self._adapter = adapter
        self.path = folder
        self.files = [file.relative_to(folder).as_posix() for file in found]

    def describe(self) -> Description:
        """Return the size and the time of change of each file, by its path."""
        return _describe(self.path, self.files)

    def check_unchanged(self, before: Description, digests: Mapping[str, str]) -> None:
        """Refuse to continue a pass whose files are no longer the same.

        A file that was read must not have changed, unless only the time of its change
        differs, as in a copy of the folder. One that is still to be read may have.

        Args:
            before: The description of the folder when the pass began.
            digests: The digest of each file that was read, by its path; an empty string
                if it could not be read as an image.

        Raises:
            ValueError: If files that were read have changed, or the list of files has.
        """
        changes = list_changes(before, self.describe())
        changes[CHANGED] = [
            name for name in changes[CHANGED] if self._differs(name, before, digests)
        ]
        if any(changes.values()):
            raise ValueError(
                f"{str(self.path)!r} has changed since the pass began: "
                f"{describe_changes(changes)}."
            )

    def _differs(
        self, name: str, before: Description, digests: Mapping[str, str]
    ) -> bool:
        if name not in digests:
            return False
        file = self.path / name
        if digests[name]:
            return digest_of(file.read_bytes()) != digests[name]
        return file.stat().st_size != before[name][0]

    def changes(self, before: Description) -> str:
        """Return how the folder differs from a description, or an empty string."""
        files = [
            file.relative_to(self.path).as_posix()
            for file in find_files(self.path, dangling=True)
        ]
        changes = list_changes(before, _describe(self.path, files))
        return describe_changes(changes)

    def stream(
        self, batch: int, first: int = 0, end: int | None = None
    ) -> Iterator[Batch]:
        """Yield the images.

        Args:
            batch: The number of images in a batch. Files that cannot be read keep their
                places in it, so that a batch does not depend on earlier ones.
            first: The place of the first file to read.
            end: The place after that of the last one; by default all are read.
        """
        end = len(self.files) if end is None else min(end, len(self.files))
        types = (tf.float32, tf.int32, tf.string, tf.string)
        dataset = tf.data.Dataset.range(first, end).map(
            lambda place: tf.numpy_function(self._load, [place], types),
            num_parallel_calls=os.cpu_count() or 1,
            deterministic=True,
        )
        for parts in dataset.batch(batch).prefetch(_READY):
            pictures, sizes, digests, errors = (part.numpy() for part in parts)
            n = len(pictures)
            yield Batch(
                _fill(pictures, batch),
                sizes,
                [digest.decode() for digest in digests],
                [error.decode() for error in errors],
                self.files[first : first + n],
            )
            first += n

    def _load(self, place: NDArray[np.int64]) -> tuple[Any, ...]:
        """Return a picture, its size and digest, and the reason if there is none."""
        file = self.path / self.files[int(place)]
        try:
            picture = images.read(file)
            fitted = fit_photo(self._adapter, picture)
            digest = digest_of(file.read_bytes())
        except Exception as error:  # decoders raise anything for a damaged file
            shape = (*self._adapter.size, self._adapter.channels)
            reason = getattr(error, "strerror", None) or reason_of(error)
            reason = reason.removeprefix(repr(str(file))).strip(" .")
            return (
                np.zeros(shape, np.float32),
                np.zeros(2, np.int32),
                b"",
                (reason or "damaged").encode(),
            )
        size = np.array(picture.shape[:2], np.int32)
        return fitted, size, digest.encode(), b""


def stream_pictures(
    adapter: Adapter, pictures: Iterable[Any], batch: int
) -> Iterator[Batch]:
    """Yield the images of an iterable of pictures and files.

    Args:
        adapter: An adapter of the model.
        pictures: Arrays, or files, as `fit_photo` takes them.
        batch: The number of images in a batch.

    Raises:
        ValueError: If an image cannot be read or does not fit the model.
    """
    remaining = enumerate(pictures)
    while chunk := list(islice(remaining, batch)):
        loaded = [_load_picture(adapter, *numbered) for numbered in chunk]
        fitted, sizes, digests, paths = zip(*loaded, strict=True)
        yield Batch(
            _fill(np.stack(fitted), batch),
            np.array(sizes, np.int32),
            digests,
            [""] * len(chunk),
            paths,
        )


def list_changes(before: Description, now: Description) -> dict[str, list[str]]:
    """Return the names of files that are new, gone or changed.

    >>> list_changes({"a": [1, 5], "b": [2, 5]}, {"b": [2, 6], "c": [3, 5]})
    {'new': ['c'], 'gone': ['a'], 'changed': ['b']}
    """
    return {
        NEW: [name for name in now if name not in before],
        GONE: [name for name in before if name not in now],
        CHANGED: [
            name
            for name in now
            if name in before and list(now[name]) != list(before[name])
        ],
    }


def describe_changes(changes: Mapping[str, Sequence[str]]) -> str:
    """Return changes in words, with the first file of each kind.

    >>> describe_changes({"new": ["a", "b"], "gone": [], "changed": ["c"]})
    '2 files are new (a, ...), 1 file is changed (c)'
    """
    return ", ".join(
        f"{len(names)} {'file is' if len(names) == 1 else 'files are'} {kind} "
        f"({names[0]}{', ...' * (len(names) > 1)})"
        for kind, names in changes.items()
        if names
    )


def _describe(folder: Path, files: Iterable[str]) -> Description:
    facts = {}
    for name in files:
        with suppress(FileNotFoundError):  # deleted since the folder was listed
            status = (folder / name).stat()
            facts[name] = [status.st_size, status.st_mtime_ns]
    return facts


def digest_of(data: bytes) -> str:
    """Return the digest of an image: a BLAKE2b hash of 8 bytes, as 16 hex digits.

    Args:
        data: The bytes of the file, or those of the array.

    >>> digest_of(b"")
    'e4a6a0577479b2b4'
    """
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _load_picture(
    adapter: Adapter, number: int, source: Any
) -> tuple[NDArray[np.float32], tuple[int, ...], str, str]:
    try:
        if isinstance(source, (str, os.PathLike)):
            picture, path = images.read(source), Path(source).as_posix()
            data = Path(source).read_bytes()
        else:
            picture, path = np.asarray(source), ""
            data = picture.tobytes()
        fitted = fit_photo(adapter, picture)
    except ValueError as error:
        raise ValueError(f"Image {number} cannot be used: {error}") from error
    return fitted, picture.shape[:2], digest_of(data), path


def _fill(pictures: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Append black images to a last, smaller batch."""
    missing = batch - len(pictures)
    if not missing:
        return pictures
    return np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0)))
