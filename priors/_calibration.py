"""Statistics of the latents of photos or of random starts, and their file format."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._files import DAMAGED, write_safely
from tfviz._spectrum import column_counts, nonzero_frequencies

# The range that holds all but one in five hundred values of a unit.
PERCENTILES = (0.1, 99.9)
# Added to the name of a prior's file, this names the file of its calibration.
SUFFIX = ".calibration.npz"


@dataclass(frozen=True)
class Statistics:
    """Statistics of a latent, for each unit of a vector or each channel of a map.

    Attributes:
        mean: The mean of the values.
        stddev: The standard deviation of the values.
        low: The 0.1st percentile.
        high: The 99.9th percentile.
        decay: For each channel of a map, the exponent with which the amplitude of its
            waves falls: it is proportional to `frequency ** -decay`, as in `waves`.
            None for vectors and for maps that are too small.
        count: The number of images that were measured.
    """

    mean: NDArray[np.float32]
    stddev: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    decay: NDArray[np.float32] | None
    count: int


def measure(values: NDArray[np.float32]) -> Statistics:
    """Measure vectors `(n, d)` by unit, or maps `(n, height, width, c)` by channel.

    >>> statistics = measure(np.float32([[0, 1], [2, 1], [4, 1]]))
    >>> statistics.mean.tolist(), statistics.high.round(2).tolist()
    ([2.0, 1.0], [4.0, 1.0])
    """
    is_map = values.ndim == 4
    axes = (0, 1, 2) if is_map else (0,)
    low, high = np.percentile(values, PERCENTILES, axis=axes).astype(np.float32)
    return Statistics(
        values.mean(axis=axes, dtype=np.float64).astype(np.float32),
        values.std(axis=axes, dtype=np.float64).astype(np.float32),
        low,
        high,
        _fit_decay(values) if is_map and min(values.shape[1:3]) > 2 else None,
        len(values),
    )


def save(path: str | os.PathLike[str], statistics: Mapping[str, Statistics]) -> None:
    """Write statistics to a file, either completely or not at all.

    Args:
        path: The name of the file, which ends in `.npz`.
        statistics: Statistics by the names of the latents.

    Raises:
        ValueError: If the name does not end in `.npz`.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(
            f"The name of a calibration file must end in .npz. Received: {path}"
        )
    arrays = {
        f"{name}/{field}": getattr(values, field)
        for name, values in statistics.items()
        for field in ("mean", "stddev", "low", "high")
    }
    settings = {
        name: {
            "decay": None if values.decay is None else values.decay.tolist(),
            "count": values.count,
        }
        for name, values in statistics.items()
    }
    write_safely(path, lambda f: np.savez(f, settings=json.dumps(settings), **arrays))


def load(path: str | os.PathLike[str]) -> dict[str, Statistics]:
    """Read the statistics that `save` wrote, by the names of the latents.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            return {name: _read(file, name, **more) for name, more in settings.items()}
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not a calibration file, or it is incomplete. "
            "Write it again with `tfviz priors calibrate`."
        ) from error


def _read(
    file: Mapping[str, NDArray[Any]], name: str, decay: list[float] | None, count: int
) -> Statistics:
    mean, stddev, low, high = (
        file[f"{name}/{field}"] for field in ("mean", "stddev", "low", "high")
    )
    exponents = None if decay is None else np.asarray(decay, np.float32)
    return Statistics(mean, stddev, low, high, exponents, count)


def _fit_decay(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit a line to log amplitude against log frequency, one for each channel."""
    _, height, width, channels = values.shape
    spectrum = np.fft.rfft2(values - values.mean((0, 1, 2)), axes=(1, 2))
    # The first entry of each is that of the mean, which has no frequency.
    power = (np.abs(spectrum) ** 2).mean(axis=0).reshape(-1, channels)[1:]
    counts = np.broadcast_to(column_counts(width), (height, width // 2 + 1))
    frequencies = nonzero_frequencies(height, width).ravel()[1:]
    weights = np.sqrt(counts.ravel()[1:])
    x, y = np.log(frequencies), 0.5 * np.log(power + 1e-20)
    return -np.polyfit(x, y, 1, w=weights)[0].astype(np.float32)
