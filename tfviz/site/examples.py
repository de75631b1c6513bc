"""Dataset examples, as the site needs them.

`tfviz.analysis` collects the examples. The site only reads them, so it declares here
which of their attributes it uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tfviz._files import finite_or_none

Json = dict[str, Any]
# The kinds of examples of a unit: the strongest responses, the weakest, and responses
# spread over the whole distribution.
KINDS = ("top", "bottom", "spread")


class ExampleImage(Protocol):
    """An image of the data set."""

    path: str
    digest: str


class Ranking(Protocol):
    """Images for each unit of a layer, `(units, k)`: indices, values and positions."""

    images: NDArray[np.int32]
    values: NDArray[np.float32]
    positions: NDArray[np.int32]


class LayerExamples(Protocol):
    """The examples and statistics of a layer's units."""

    top: Ranking
    bottom: Ranking
    spread: Ranking
    spread_quantiles: NDArray[np.float32]
    histogram: NDArray[np.int32]
    histogram_low: NDArray[np.float32]
    histogram_width: NDArray[np.float32]
    fires: NDArray[np.float32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    highest: NDArray[np.float32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    correlations: NDArray[np.float32]
    agreement: NDArray[np.float32]
    map_shape: tuple[int, ...]


class DatasetExamples(Protocol):
    """The examples of a network's layers in a data set."""

    images: Sequence[Any]
    layers: Mapping[str, Any]
    size: tuple[int, int]
    by: str
    count: int
    fingerprint: str
    model: str

    def picture(self, index: int, folder: Any = None) -> NDArray[np.float32]:
        """Return an image `(height, width, channels)` as the network sees it."""


@dataclass(frozen=True)
class ShownImages:
    """The images that examples show: the name of each file on the site.

    Attributes:
        names: The name of the file of each image that can be read, without folder and
            suffix, by its index in the data set.
    """

    names: Mapping[int, str]


def used_images(examples: DatasetExamples) -> list[int]:
    """Return the indices of the images that the examples show."""
    used: set[int] = set()
    for layer in examples.layers.values():
        for kind in KINDS:
            used |= set(np.unique(getattr(layer, kind).images).tolist())
    return sorted(index for index in used if index >= 0)


def layer_columns(layer: LayerExamples) -> Json:
    """Return the numbers of all units of a layer, and its receptive fields."""
    return {
        "fires": short_list(layer.fires),
        "mean": short_list(layer.mean),
        "deviation": short_list(layer.deviation),
        "highest": short_list(layer.highest),
        "agreement": short_list(layer.agreement),
        "rows": np.asarray(layer.rows).tolist(),
        "columns": np.asarray(layer.columns).tolist(),
        "mapShape": list(layer.map_shape),
        "quantiles": short_list(layer.spread_quantiles),
    }


def unit_examples(layer: LayerExamples, unit: int, shown: ShownImages) -> Json:
    """Return the examples, the histogram and the neighbours of one unit."""
    counts = np.asarray(layer.histogram)[unit]
    found: Json = {kind: _ranking(getattr(layer, kind), unit, shown) for kind in KINDS}
    found["histogram"] = [
        short(layer.histogram_low[unit]),
        short(layer.histogram_width[unit]),
        counts.tolist(),
    ]
    found["correlated"] = [
        [int(other), short(value)]
        for other, value in zip(
            layer.neighbours[unit], layer.correlations[unit], strict=True
        )
        if value > 0  # others, and nan, are not like this unit
    ]
    return found


def _ranking(ranking: Ranking, unit: int, shown: ShownImages) -> list[Any]:
    """Return the file, value and position of each image; no file where it is missing.

    Places without an image have the index -1.
    """
    places = zip(
        ranking.images[unit].tolist(),
        ranking.values[unit],
        ranking.positions[unit].tolist(),
        strict=True,
    )
    return [
        [shown.names.get(index), short(value), position]
        for index, value, position in places
        if index >= 0
    ]


def dead_units(layer: LayerExamples) -> list[int]:
    """Return the units that are 0 everywhere for every image of the data set.

    A unit that is never above 0, but below, is not dead: without a ReLU, such as that
    of a class, it responds by being less negative.
    """
    return np.flatnonzero(_is_dead(layer)).tolist()


def _is_dead(layer: LayerExamples) -> NDArray[np.bool_]:
    numbers = (layer.fires, layer.mean, layer.highest)
    return np.all([np.asarray(values) == 0 for values in numbers], axis=0)


def mixed_units(layer: LayerExamples) -> list[int]:
    """Return the units whose strongest images agree least: the layer's lowest tenth.

    Such units may respond to several unrelated things. Dead units are not among them.
    """
    agreement = np.asarray(layer.agreement, np.float64)
    valid = np.isfinite(agreement) & ~_is_dead(layer)
    if valid.sum() < 10:
        return []
    limit = np.quantile(agreement[valid], 0.1)
    return np.flatnonzero(valid & (agreement <= limit)).tolist()


def short_list(values: Any) -> list[float | None]:
    """Return numbers for JSON with four significant digits."""
    return [short(value) for value in np.asarray(values).ravel().tolist()]


def short(value: Any) -> float | None:
    """Return a number for JSON with four significant digits; None for nan.

    >>> short(0.123456), short(float("nan")), short(2.0)
    (0.1235, None, 2)
    """
    number = finite_or_none(value)
    if number is None:
        return None
    number = float(f"{number:.4g}")
    return int(number) if number.is_integer() else number
