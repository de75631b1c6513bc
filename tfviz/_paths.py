"""How alike a network processes pictures and photos, from layer to layer."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures
from tfviz._adapter import Adapter
from tfviz._exhibit import Exhibit, Photos, by_unit

# Numbers of a layer in which paths are compared; more change nothing but the time.
NUMBERS = 20_000
# Photos of each other unit that stand for different ones.
OTHERS = 2


class Paths:
    """Compares paths of pictures with those of photos.

    Args:
        adapter: Of the network.
        photos: Looked at.
    """

    def __init__(self, adapter: Adapter, photos: Photos) -> None:
        self._adapter, self._photos = adapter, photos
        self._shown = np.unique(photos.top)
        self.layers = main_layers(adapter)
        self._compiled: Any = None

    def similarity(
        self, exhibits: Sequence[Exhibit], seen: NDArray[np.float32]
    ) -> list[float]:
        """Return the median path similarity of units in each layer.

        Not the mean: where photos of a unit are hardly more alike than others, it
        divides by little. Nan where pictures are photos, or have another size.
        """
        unknown = [float("nan")] * len(self.layers)
        same_size = seen.shape[1:] == self._photos.pictures.shape[1:]
        if not same_size or any(e.photo >= 0 for e in exhibits):
            return unknown
        made, values = self._activations(seen), []
        for unit, places in by_unit(exhibits).items():
            own, others = self._beside(unit)
            if not len(others):
                continue
            same, different = (self._rows(photos) for photos in (own, others))
            values.append(
                [
                    measures.path_similarity(
                        made[layer][places], found[same], found[different]
                    )
                    for layer, found in self._of_photos.items()
                ]
            )
        if not values:
            return unknown
        found = np.array(values)
        return [
            float(np.median(column[np.isfinite(column)]))
            if np.isfinite(column).any()
            else float("nan")
            for column in found.T
        ]

    @cached_property
    def _of_photos(self) -> dict[str, NDArray[np.float32]]:
        """The activations of all photos that stand for a unit, looked at once."""
        return self._activations(self._photos.floats(self._shown))

    def _rows(self, photos: Sequence[int]) -> NDArray[np.intp]:
        """Return where photos are among the activations of photos."""
        return np.searchsorted(self._shown, photos)

    def _beside(self, unit: int) -> tuple[list[int], list[int]]:
        """Return the photos of a unit, and some of others that are not its own."""
        own = self._photos.top[unit].tolist()
        others = [
            place
            for other, places in enumerate(self._photos.top.tolist())
            if other != unit
            for place in [p for p in places if p not in own][:OTHERS]
        ]
        return own, sorted(set(others))

    def _activations(
        self, images: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Return of each layer a fixed choice of numbers, `(n, numbers)`."""
        if self._compiled is None:
            self._compiled = tf.function(self._kept, autograph=False)
        parts = [
            self._compiled(tf.constant(images[i : i + 1])) for i in range(len(images))
        ]
        return {
            layer: np.concatenate([part[layer].numpy() for part in parts])
            for layer in self.layers
        }

    def _kept(self, images: Any) -> dict[str, Any]:
        found = {}
        for layer, values in self._adapter.forward(images, self.layers).items():
            flat = tf.reshape(values, (values.shape[0], -1))
            count = int(flat.shape[1])
            if count > NUMBERS:
                random = np.random.default_rng(count)
                places = np.sort(random.choice(count, NUMBERS, replace=False))
                flat = tf.gather(flat, places, axis=1)
            found[layer] = flat
        return found


def main_layers(adapter: Adapter, most: int = 8) -> list[str]:
    """Return some layers with channels, from early to late."""
    layers = [layer for layer in adapter.layers() if layer.units]
    rectified = [layer for layer in layers if layer.rectified]
    paths = [layer.path for layer in (rectified if len(rectified) > 1 else layers)]
    if not paths:
        return []
    places = np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))
    return [paths[place] for place in places]
