"""What the latents of images, or of random draws, are like."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfviz._files import DAMAGED, write_safely
from tfviz._spectrum import column_counts, nonzero_frequencies

# The range that holds all but one in five hundred of a unit's values.
PERCENTILES = (0.1, 99.9)
SUFFIX = ".calibration.npz"


@dataclass(frozen=True)
class Measured:
    """Statistics of a latent: for each unit, or for each channel of a map.

    Attributes:
        mean: Of the values.
        stddev: Of the values.
        low: The 0.1st percentile.
        high: The 99.9th percentile.
        decay: For a map, how the amplitude of the waves of each channel falls:
            frequency to the power of `-decay`, as in `waves`.
        count: How many images were measured.
    """

    mean: NDArray[np.float32]
    stddev: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    decay: NDArray[np.float32] | None
    count: int


def measured(values: NDArray[np.float32]) -> Measured:
    """Measure latents `(n, d)` by unit, or maps `(n, height, width, c)` by channel.

    >>> found = measured(np.float32([[0, 1], [2, 1], [4, 1]]))
    >>> found.mean.tolist(), found.high.round(2).tolist()
    ([2.0, 1.0], [4.0, 1.0])
    """
    is_map = values.ndim == 4
    axes = (0, 1, 2) if is_map else (0,)
    low, high = np.percentile(values, PERCENTILES, axis=axes).astype(np.float32)
    return Measured(
        values.mean(axis=axes, dtype=np.float64).astype(np.float32),
        values.std(axis=axes, dtype=np.float64).astype(np.float32),
        low,
        high,
        _decay(values) if is_map and min(values.shape[1:3]) > 2 else None,
        len(values),
    )


def _decay(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit lines to the logarithms of amplitude and frequency, one for each channel."""
    _, height, width, channels = values.shape
    spectrum = np.fft.rfft2(values - values.mean((0, 1, 2)), axes=(1, 2))
    # Without the mean.
    power = (np.abs(spectrum) ** 2).mean(axis=0).reshape(-1, channels)[1:]
    counts = np.broadcast_to(column_counts(width), (height, width // 2 + 1))
    frequencies = nonzero_frequencies(height, width).ravel()[1:]
    weights = np.sqrt(counts.ravel()[1:])
    x, y = np.log(frequencies), 0.5 * np.log(power + 1e-20)
    return -np.polyfit(x, y, 1, w=weights)[0].astype(np.float32)


def save(path: str | os.PathLike, found: Mapping[str, Measured]) -> None:
    """Write statistics to a file, whole or not at all.

    Args:
        path: Ends in `.npz`.
        found: By the names of the latents.

    Raises:
        ValueError: If the name ends in something else.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"A calibration's file ends in .npz. Received: {path}")
    arrays = {
        f"{name}/{field}": getattr(values, field)
        for name, values in found.items()
        for field in ("mean", "stddev", "low", "high")
    }
    told = {
        name: {
            "decay": None if values.decay is None else values.decay.tolist(),
            "count": values.count,
        }
        for name, values in found.items()
    }
    write_safely(path, lambda f: np.savez(f, settings=json.dumps(told), **arrays))


def load(path: str | os.PathLike) -> dict[str, Measured]:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            told = json.loads(str(file["settings"]))
            return {name: _read(file, name, **more) for name, more in told.items()}
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} holds no calibration, or not all of it. Make it anew "
            "with `tfviz priors calibrate`."
        ) from error


def _read(
    file: Mapping[str, NDArray], name: str, decay: list[float] | None, count: int
) -> Measured:
    mean, stddev, low, high = (
        file[f"{name}/{field}"] for field in ("mean", "stddev", "low", "high")
    )
    falls = None if decay is None else np.asarray(decay, np.float32)
    return Measured(mean, stddev, low, high, falls, count)
