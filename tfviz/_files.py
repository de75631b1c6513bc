"""Numbers and settings as JSON has them."""

import json
import math
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

# Letters of a value in a message.
_LONGEST = 60


def finite(value: float) -> float | None:
    """Return a number, or None for nan and infinity, which JSON does not have.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None


def shortened(value: Any) -> str:
    """Return a setting as a message has it.

    >>> shortened([0.5, None]), len(shortened("x" * 100))
    ('[0.5, null]', 60)
    """
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def changes(known: Any, wanted: Any, name: str = "") -> list[str]:
    """Name the settings in which two trees of JSON values differ.

    >>> changes({"steps": 4, "size": {"h": 1}}, {"steps": 5, "size": {"h": 1, "w": 2}})
    ['size.w null, not 2', 'steps 4, not 5']
    """
    if isinstance(known, dict) and isinstance(wanted, dict):
        return [
            change
            for key in sorted(known.keys() | wanted.keys())
            for change in changes(
                known.get(key), wanted.get(key), f"{name}.{key}".strip(".")
            )
        ]
    if known == wanted:
        return []
    return [f"{name} {shortened(known)}, not {shortened(wanted)}"]


# What NumPy raises for files of other kinds, cut off or corrupt.
DAMAGED = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    EOFError,
    OSError,
    BadZipFile,
    zlib.error,
)


def check(path: Path, settings: Mapping[str, Any], work: str) -> None:
    """Refuse a folder that is for another work.

    Args:
        path: The note in the folder, which need not be there.
        settings: Of this work, as JSON values.
        work: What it is, such as `"training"`.

    Raises:
        ValueError: If it is, or does not tell.
    """
    if not path.exists():
        return
    try:
        known = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} is cut off or no JSON. Choose another folder."
        ) from error
    check_same(path.parent, known, settings, work)


def check_same(
    folder: Path,
    known: Mapping[str, Any],
    settings: Mapping[str, Any],
    work: str,
    *,
    remedy: str = "the same settings to go on",
) -> None:
    """Refuse settings other than those that a folder's work has."""
    others = changes(known, json.loads(json.dumps(settings)))
    if others:
        raise ValueError(
            f"{str(folder)!r} holds another {work}: {'; '.join(others)}. Choose "
            f"another folder, or {remedy}."
        )


def claim(path: Path, settings: Mapping[str, Any]) -> None:
    """Note which work a folder is for, and clear what a killed run left there."""
    for part in path.parent.glob(".tfviz-*.part"):
        part.unlink()
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    write_safely(path, lambda file: file.write(text.encode()))


def write_safely(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a file under another name, then rename it: whole or not there.

    Args:
        path: The file.
        write: Called with the opened file.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tfviz-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
