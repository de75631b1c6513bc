"""Files that are complete or not written, and settings as JSON."""

import io
import json
import math
import os
import tempfile
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from tfviz._storage import AnyPath, RemotePath

# Exceptions that NumPy raises for files that are damaged or of another kind.
DAMAGED = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    EOFError,
    OSError,
    BadZipFile,
    NotImplementedError,  # for a way to pack that `zipfile` does not know
    zlib.error,
)

# Suffixes of the files in a folder that are read as photos.
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# The names of temporary files, which a run that is killed leaves. Between these stand a
# checksum of the file's name and something random.
_PARTIAL = (".tfviz-", ".part")
# The pattern of these names.
PARTIALS = "*".join(_PARTIAL)

# The number of characters of a value that a message shows.
_LONGEST = 60


def describe_lack(folder: Path, *others: str) -> str:
    """Return the message for a folder in which `find_files` finds nothing.

    Args:
        folder: The folder.
        *others: The suffixes that count besides those of photos.
    """
    suffixes = " or ".join([", ".join(PICTURES), *others])
    return (
        f"{str(folder)!r} holds no images: no file in it or its subfolders ends in "
        f"{suffixes}."
    )


def find_files(
    folder: Path, suffixes: tuple[str, ...] = PICTURES, *, dangling: bool = False
) -> list[Path]:
    """Return the files with one of these suffixes in a folder and its subfolders.

    They are sorted, so that all parts of tfviz take them in the same order. Links to
    folders are not followed.

    Args:
        folder: The folder.
        suffixes: The suffixes, in lower case.
        dangling: Whether links to files that are missing are returned, too.
    """
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in suffixes
        and (file.is_file() or (dangling and not file.exists()))
    ]


def write_safely(path: AnyPath, write: Callable[[Any], Any]) -> None:
    """Write a file so that it is either complete or not there.

    The contents go to a temporary file in the same folder, which is then renamed.

    Args:
        path: The file.
        write: A function that is called with the opened file.
    """
    prefix, suffix = _partial_prefix(path), _PARTIAL[1]
    if isinstance(path, RemotePath):
        contents = io.BytesIO()
        write(contents)
        partial = path.parent / f"{prefix}{uuid.uuid4().hex}{suffix}"
        try:
            partial.write_bytes(contents.getvalue())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(path)
        raise


def is_partial(path: AnyPath) -> bool:
    """Return whether a file is what a run that was killed had not finished writing.

    >>> is_partial(Path(".tfviz-1a2b.part")), is_partial(Path("fire8-20.png"))
    (True, False)
    """
    prefix, suffix = _PARTIAL
    return path.name.startswith(prefix) and path.name.endswith(suffix)


def delete_partials(path: Path) -> None:
    """Delete what runs that were killed had not finished writing to this file.

    Args:
        path: The file, which nobody else may be writing.
    """
    for partial in path.parent.glob(f"{_partial_prefix(path)}*{_PARTIAL[1]}"):
        partial.unlink(missing_ok=True)


def _partial_prefix(path: AnyPath) -> str:
    return f"{_PARTIAL[0]}{zlib.crc32(os.fsencode(path.name)):08x}-"


def _umask() -> int:
    # The only way to read it is to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a folder's work, and delete a killed run's partial files.

    Args:
        path: The JSON file in the folder.
        settings: The settings, as JSON values.
    """
    for part in path.parent.glob(PARTIALS):
        part.unlink()
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    write_safely(path, lambda file: file.write(text.encode()))


def check_settings(path: Path, settings: Mapping[str, Any], work: str) -> None:
    """Refuse a folder that holds work with other settings.

    Args:
        path: The JSON file in the folder that `write_settings` writes; if it does not
            exist, the folder is free.
        settings: The settings of the work to be done, as JSON values.
        work: The kind of work, such as `"training"`, for messages.

    Raises:
        ValueError: If the settings differ, or the file cannot be read.
    """
    if not path.exists():
        return
    try:
        saved = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} is cut off, or is not JSON. Choose another folder."
        ) from error
    check_same_settings(path.parent, saved, settings, work)


def check_same_settings(
    folder: AnyPath,
    saved: Mapping[str, Any],
    settings: Mapping[str, Any],
    work: str,
    *,
    remedy: str = "use the same settings to continue",
) -> None:
    """Refuse settings that differ from the saved ones of a folder.

    Args:
        folder: The folder.
        saved: The settings of the work that it holds, as JSON values.
        settings: The settings of the work to be done, as JSON values.
        work: The kind of work, such as `"training"`.
        remedy: What the user can do instead of choosing another folder.

    Raises:
        ValueError: If they differ.
    """
    differences = list_differences(saved, json.loads(json.dumps(settings)))
    if differences:
        raise ValueError(
            f"{str(folder)!r} holds another {work}: {'; '.join(differences)}. Choose "
            f"another folder, or {remedy}."
        )


def list_differences(saved: Any, wanted: Any, name: str = "") -> list[str]:
    """List the settings in which two trees of JSON values differ, with both values.

    >>> saved = {"steps": 4, "size": {"h": 1}}
    >>> list_differences(saved, {"steps": 5, "size": {"h": 1, "w": 2}})
    ['size.w is not set there and 2 here', 'steps is 4 there and 5 here']
    """
    if isinstance(saved, dict) and isinstance(wanted, dict):
        return [
            difference
            for key in sorted(saved.keys() | wanted.keys())
            for difference in list_differences(
                saved.get(key), wanted.get(key), f"{name}.{key}".strip(".")
            )
        ]
    if saved == wanted:
        return []
    return [f"{name} is {_shorten(saved)} there and {_shorten(wanted)} here"]


def _shorten(value: Any) -> str:
    """Return a setting as JSON for a message, cut off where it is too long.

    >>> _shorten([0.5, None]), _shorten(None), len(_shorten("x" * 100))
    ('[0.5, null]', 'not set', 60)
    """
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def finite_or_none(value: float) -> float | None:
    """Return a number for JSON, which has no nan and infinity: None in their place.

    >>> finite_or_none(0.5), finite_or_none(float("nan"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None
