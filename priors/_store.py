"""Files of priors that were trained here: weights and what to do with them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._arrays import DAMAGED
from tfviz.images import write_safely

# Raised where an older file would be read wrongly.
VERSION = 3
_SETTINGS = "settings"


def save(
    path: str | os.PathLike,
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.floating]],
) -> None:
    """Write a prior, whole or not at all, with weights of 16 bits.

    Args:
        path: Ends in `.npz`.
        settings: `kind` and what else makes it up, as JSON values.
        arrays: Weights by name.

    Raises:
        ValueError: If the name ends in something else, or a weight cannot be held in
            16 bits.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"A file of a prior ends in .npz. Received: {path}")
    held: dict[str, Any] = {**halved(arrays)}
    held[_SETTINGS] = json.dumps(dict(settings) | {"version": VERSION}, sort_keys=True)
    write_safely(path, lambda file: np.savez_compressed(file, **held))


def halved(
    arrays: Mapping[str, NDArray[np.floating]],
) -> dict[str, NDArray[np.float16]]:
    """Return arrays with 16 bits a number.

    Raises:
        ValueError: If a number cannot be held in 16 bits.
    """
    with np.errstate(over="ignore"):
        small = {name: np.asarray(v).astype(np.float16) for name, v in arrays.items()}
    for name, values in small.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name!r} holds numbers that are not finite in 16 bits: up to "
                f"{np.abs(arrays[name]).max():g}"
            )
    return small


def told(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the settings alone of a prior, or None if there is no such file."""
    if not Path(path).is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file[_SETTINGS]))


def load(
    path: str | os.PathLike,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return the settings and the weights in a file that `save` wrote.

    Raises:
        ValueError: If it is no such file, is cut off, or holds NaN.
    """
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            settings = json.loads(str(file[_SETTINGS]))
            arrays = {
                name: file[name].astype(np.float32)
                for name in file.files
                if name != _SETTINGS
            }
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} holds no prior, or not all of it. Expected a file "
            "that `tfviz priors train` wrote."
        ) from error
    if settings.get("version") != VERSION:
        raise ValueError(
            f"{os.fspath(path)!r} is of version {settings.get('version')} of such "
            f"files; this tfviz reads version {VERSION}."
        )
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{os.fspath(path)!r} holds NaN in {name!r}; get or train it anew."
            )
    return settings, arrays
