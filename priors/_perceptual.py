"""How alike two images are to a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._adapter import Adapter
from tfviz._scale import scaled

# A channel that varies less than this part of its layer's mean counts as if it did,
# so that channels that are nearly always off do not rule the distance.
FLOOR = 0.1
# How far images are moved before they are compared, in pixels. What strides and pools
# favour at some places, and would be seen as a grid, is spread over all by that.
REACH = 8


def random_shift(seed: Any) -> Any:
    """Return a `shift` for `Features.of`."""
    drawn = tf.random.stateless_uniform((2,), seed + tf.constant([11, 0]))
    return tf.cast(drawn * (2 * REACH + 1), tf.int32)


class Features:
    """Some layers of a network, each channel measured in its own deviations.

    A distance in them is called perceptual (Johnson et al.,
    https://arxiv.org/abs/1603.08155; Dosovitskiy and Brox,
    https://arxiv.org/abs/1602.02644).

    Squares ask a decoder for the mean of what it cannot know. Where the places of edges
    are lost, as in codes of late layers, that is some of every edge everywhere, and
    images get a mesh for it. Absolute differences ask for the median, which is
    nothing, and leave such places to an adversary.

    Attributes:
        layers: Their paths.
        size: Images are resized to this before the network sees them, in pixels.
        squared: Whether differences are squared.
    """

    def __init__(
        self,
        adapter: Adapter,
        weights: Mapping[str, float],
        size: int,
        variances: Mapping[str, NDArray[np.float32]],
        *,
        squared: bool = True,
    ) -> None:
        self.layers = tuple(weights)
        self.size, self.squared = size, squared
        self._adapter = adapter
        floored = {
            path: np.maximum(variances[path], FLOOR * variances[path].mean())
            for path in weights
        }
        self._weights = dict(weights)
        self._deviations = {path: np.sqrt(floored[path]) for path in weights}

    def of(
        self, images: Any, more: Sequence[str] = (), *, shift: Any = None
    ) -> dict[str, Any]:
        """Return the activations in images, in a graph.

        Args:
            images: `(n, h, w, c)` in [0, 1].
            more: Layers beside those that are compared.
            shift: `(2,)` whole numbers from 0 to `2 * REACH`: how far all images are
                moved down and right, from `-REACH` on.
        """
        images = scaled(images, (self.size, self.size))
        if shift is not None:
            margins = [[0, 0], [REACH, REACH], [REACH, REACH], [0, 0]]
            padded = tf.pad(images, margins, "REFLECT")
            begin = tf.concat([[0], 2 * REACH - shift, [0]], axis=0)
            size = (images.shape[0], self.size, self.size, images.shape[3])
            images = tf.ensure_shape(tf.slice(padded, begin, size), size)
        paths = tuple(dict.fromkeys((*self.layers, *more)))
        return self._adapter.forward(images, paths)

    def distance(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Any:
        """Return how far apart activations are, `()`, in deviations.

        Summed over layers and averaged over everything else; of unlike images about 2
        for a layer of weight 1 where differences are squared, and 1 where not.
        """
        measure = tf.square if self.squared else tf.abs
        total = tf.constant(0.0)
        for path, weight in self._weights.items():
            change = (first[path] - second[path]) / self._deviations[path]
            total += weight * tf.reduce_mean(measure(change))
        return total

    def channels(self, path: str) -> int:
        """Return how many channels a layer has."""
        return len(self._deviations[path])

    def measured(
        self, activations: Mapping[str, Any], paths: Sequence[str]
    ) -> list[Any]:
        """Return the maps `(n, h, w, c)` of some layers, in deviations of channels.

        What has its places in a row, as tokens, is a map of one column.
        """
        found = [activations[path] / self._deviations[path] for path in paths]
        return [
            values if values.shape.rank == 4 else _as_map(values) for values in found
        ]


def divergence(wanted: Any, given: Any) -> Any:
    """Return how far the softmax of logits is from that of others, `()`, in nats.

    It is the Kullback-Leibler divergence, averaged over images: 0 where both are alike.
    The logits that are wanted are taken as they are.

    Args:
        wanted: `(n, ..., classes)`.
        given: The same.
    """
    wanted = tf.nn.log_softmax(tf.stop_gradient(wanted))
    apart = tf.exp(wanted) * (wanted - tf.nn.log_softmax(given))
    return tf.reduce_mean(tf.reduce_sum(apart, axis=-1))


def _as_map(values: Any) -> Any:
    shape = (values.shape[0], values.shape[1], -1, values.shape[-1])
    return tf.reshape(values, shape)


def variances(
    adapter: Adapter, layers: Sequence[str], images: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the variance of each channel of some layers over images and places."""
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)
    squares: dict[str, Any] = dict.fromkeys(layers, 0.0)
    parts = [images[i : i + 50] for i in range(0, len(images), 50)]
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    compiled = tf.function(
        lambda part: adapter.forward(part, layers), autograph=False
    ).get_concrete_function(spec)
    for part in parts:
        for path, found in compiled(tf.constant(part)).items():
            values = np.asarray(found, np.float64)
            axes = tuple(range(values.ndim - 1))
            share = len(part) / len(images)
            sums[path] = sums[path] + share * values.mean(axes)
            squares[path] = squares[path] + share * (values**2).mean(axes)
    return {
        path: (squares[path] - sums[path] ** 2).astype(np.float32) for path in layers
    }
