"""Paths with a scheme, such as `gs://bucket/folder`, used like paths of `pathlib`.

What lies there is read and written by `tf.io.gfile`, so that everything works for which
TensorFlow has a file system. TensorFlow is imported only when something is read or
written.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+://)(.*)", re.IGNORECASE | re.DOTALL)

# The exceptions of TensorFlow's file systems, as the errors of ordinary files.
_ERRNO = {
    "AlreadyExistsError": errno.EEXIST,
    "NotFoundError": errno.ENOENT,
    "PermissionDeniedError": errno.EACCES,
    "ResourceExhaustedError": errno.ENOSPC,
    "UnauthenticatedError": errno.EACCES,
}


class RemotePath:
    """A path with a scheme, with those methods of `pathlib.Path` that tfviz uses.

    Errors are `OSError`, as with ordinary files.

    Args:
        url: The path, such as `gs://bucket/folder`.

    >>> path = RemotePath("gs://bucket/folder/") / "fire8-20.png"
    >>> str(path), path.name, path.stem, path.suffix, str(path.parent)
    ('gs://bucket/folder/fire8-20.png', 'fire8-20.png', 'fire8-20', '.png', \
'gs://bucket/folder')
    """

    def __init__(self, url: str) -> None:
        match = _SCHEME.fullmatch(url)
        if match is None:
            raise ValueError(f"{url!r} has no scheme such as gs://.")
        self._scheme, path = match.groups()
        # `//` at the start means something else than `/`, but not here.
        self._path = PurePosixPath(re.sub("^//+", "/", path))

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self._scheme}{self._path}"

    __fspath__ = __str__

    def __repr__(self) -> str:
        """Return the URL as Python code."""
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Return whether this is the same URL."""
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        """Return a hash of the URL."""
        return hash(str(self))

    def __lt__(self, other: "RemotePath") -> bool:
        """Return whether the URL comes first in the order of the alphabet."""
        return str(self) < str(other)

    def __truediv__(self, name: str) -> "RemotePath":
        """Return the path of a file in this folder."""
        return RemotePath(f"{self._scheme}{self._path / name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The suffix, such as `.png`."""
        return self._path.suffix

    @property
    def parent(self) -> "RemotePath":
        """The folder that the path is in."""
        return RemotePath(f"{self._scheme}{self._path.parent}")

    def with_suffix(self, suffix: str) -> "RemotePath":
        """Return the path with another suffix."""
        return RemotePath(f"{self._scheme}{self._path.with_suffix(suffix)}")

    def exists(self) -> bool:
        """Return whether there is a file or folder."""
        with self._errors() as gfile:
            return gfile.exists(str(self))

    def iterdir(self) -> Iterator["RemotePath"]:
        """Yield the files and folders in this folder."""
        with self._errors() as gfile:
            names = gfile.listdir(str(self))
        for name in names:
            yield self / name.rstrip("/")

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the folder, with its parents; `exist_ok` if it may exist already."""
        if not parents or not exist_ok:
            raise NotImplementedError("Only whole paths that may exist are made.")
        with self._errors() as gfile:
            gfile.makedirs(str(self))

    def read_bytes(self) -> bytes:
        """Return the contents of the file."""
        with self._errors() as gfile, gfile.GFile(str(self), "rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the contents of the file as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, contents: bytes) -> None:
        """Write the file; what was there is replaced."""
        with self._errors() as gfile, gfile.GFile(str(self), "wb") as file:
            file.write(contents)

    def append_bytes(self, contents: bytes) -> None:
        """Add to the end of the file."""
        with self._errors() as gfile, gfile.GFile(str(self), "ab") as file:
            file.write(contents)

    def replace(self, target: "RemotePath") -> None:
        """Rename the file, in place of another one if there is one."""
        with self._errors() as gfile:
            gfile.rename(str(self), str(target), overwrite=True)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the file; `missing_ok` if it need not be there."""
        try:
            with self._errors() as gfile:
                gfile.remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    @contextmanager
    def _errors(self) -> Iterator[Any]:
        """Yield `tf.io.gfile`, and turn its errors into those of ordinary files."""
        import tensorflow as tf  # noqa: PLC0415

        try:
            yield tf.io.gfile
        except tf.errors.OpError as error:
            number = _ERRNO.get(type(error).__name__, errno.EIO)
            reason = os.strerror(number)
            if number == errno.EIO and error.message:
                reason = str(error.message).splitlines()[0]
            raise OSError(number, reason, str(self)) from error


AnyPath = Path | RemotePath


def as_path(path: str | os.PathLike[str]) -> AnyPath:
    """Return a path of `pathlib`, or a `RemotePath` where it has a scheme.

    >>> as_path("gs://bucket/pictures")
    RemotePath('gs://bucket/pictures')
    >>> as_path("pictures").name
    'pictures'
    """
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    is_remote = isinstance(text, str) and _SCHEME.fullmatch(text)
    return RemotePath(text) if is_remote else Path(path)


def append(path: AnyPath, contents: bytes) -> None:
    """Add to the end of a file, which is made if it does not exist."""
    if isinstance(path, RemotePath):
        path.append_bytes(contents)
        return
    try:
        with path.open("ab") as file:
            file.write(contents)
    except OSError as error:
        if error.errno:
            error.filename = str(path)
        raise
