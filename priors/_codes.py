"""Codes of images: activations of a network as independent, about normal numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._precision import matmul
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import apply_in_batches, resize

# The variance of the image's colours, and of every further layer, in a code, relative
# to that of the first layer.
COLOUR_SHARE, FURTHER_SHARE = 0.8, 0.5
# The number of cells along each axis over which activations and colours are averaged.
GRID, COLOURS = 2, 8
# Principal components with less than this fraction of the largest variance are
# rounding errors.
LEAST_VARIANCE = 1e-7
# The number of images that go through the network together.
BATCH = 64


@dataclass(frozen=True)
class Code:
    """A function from images to codes, as `fit_code` fits it.

    The square roots of layers' activations, averaged over a coarse grid, and the
    image's mean colours over a finer grid are projected to their first principal
    components and scaled to unit variance. The codes of images are therefore about
    normally distributed, and random normal codes decode to images. Layers without a
    map, such as the logits, are used as they are.

    Attributes:
        layers: The paths of the layers.
        size: The size in pixels to which images are resized for the network.
        grid: The number of cells along each axis over which maps are averaged.
        colours: The number of cells along each axis over which colours are averaged.
        mean: The mean of the features, `(d,)`.
        basis: The projection from features to codes, `(d, length)`.
    """

    layers: tuple[str, ...]
    size: int
    grid: int
    colours: int
    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    @property
    def length(self) -> int:
        """The number of components of a code."""
        return self.basis.shape[1]

    @classmethod
    def from_file(
        cls,
        settings: Mapping[str, Any],
        arrays: Mapping[str, NDArray[np.float32]],
        size: int,
    ) -> "Code":
        """Return the code in the file of a prior, or of its encoder.

        Args:
            settings: The settings in the file.
            arrays: The arrays in the file.
            size: The size in pixels to which images are resized for the network.
        """
        return cls(
            tuple(settings["code_layers"]),
            size,
            settings["grid"],
            settings["colours"],
            arrays["code/mean"],
            arrays["code/basis"],
        )

    def compiled(self, adapter: Adapter) -> Callable[[Any], Any]:
        """Return `encode` of a network as a compiled function of images."""
        return tf.function(
            lambda images: self.encode(adapter, images),
            autograph=False,
            reduce_retracing=True,
        )

    def encode(self, adapter: Adapter, images: Any) -> Any:
        """Return the codes `(n, length)` of images in [0, 1], inside a graph."""
        resized = resize(images, (self.size, self.size))
        return self.encode_activations(adapter.forward(resized, self.layers), images)

    def encode_activations(self, activations: Mapping[str, Any], images: Any) -> Any:
        """Return the codes `(n, length)` of images from their layers' activations."""
        maps = [activations[layer] for layer in self.layers]
        features = tf.concat(features_of(maps, images, self.grid, self.colours), axis=1)
        return matmul(features - self.mean, self.basis)


def features_of(
    activations: Sequence[Any], images: Any, grid: int, colours: int
) -> list[Any]:
    """Return the features of which codes are made.

    Args:
        activations: The activations of each layer, `(n, h, w, c)` or `(n, c)`.
        images: The images, `(n, h, w, 3)`, from which the colours are taken.
        grid: The number of cells along each axis over which maps are averaged.
        colours: The number of cells along each axis over which colours are averaged.

    Returns:
        An array `(n, d)` for each layer, and one for the colours.

    Raises:
        ValueError: If activations are neither maps nor vectors.
    """
    features = []
    for values in activations:
        if values.shape.rank == 4:
            means = _flatten(_average_cells(values, grid))
            # Rectified activations have a long tail; roots are closer to normal.
            features.append(tf.sign(means) * (tf.sqrt(tf.abs(means) + 1e-2) - 0.1))
        elif values.shape.rank == 2:
            features.append(values)
        else:
            raise ValueError(
                "A code needs layers whose activations are maps (n, h, w, c) or "
                f"vectors (n, c). Received a layer of the shape {tuple(values.shape)}."
            )
    return [*features, _flatten(_average_cells(images, colours))]


def fit_code(
    adapter: Adapter,
    layers: Sequence[str],
    images: NDArray[np.float32],
    *,
    length: int,
    size: int = 128,
    grid: int = GRID,
    colours: int = COLOURS,
) -> Code:
    """Fit the code of some layers to many images.

    Args:
        adapter: The network, as an `Adapter`.
        layers: The paths of layers with maps or vectors; the first has the most weight.
        images: Images `(n, h, w, 3)` in [0, 1], at least ten times as many as `length`.
        length: The number of components of a code.
        size: The size in pixels to which images are resized for the network.
        grid: The number of cells along each axis over which maps are averaged.
        colours: The number of cells along each axis over which colours are averaged.

    Raises:
        ValueError: If a layer has neither maps nor vectors, or the features do not vary
            in as many directions as the code is long.
    """
    compiled = tf.function(
        lambda batch: _network_features(
            adapter, layers, batch, size, grid=grid, colours=colours
        ),
        autograph=False,
    )
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    concrete = compiled.get_concrete_function(spec)
    widths = [part.shape[1] for part in concrete.structured_outputs]
    if length > min(sum(widths), len(images)):
        raise ValueError(
            f"A code of {length} numbers needs at least {length} features and images. "
            f"{', '.join(layers)} and the colours have {sum(widths)} features, and "
            f"there are {len(images)} images."
        )
    parts = apply_in_batches(concrete, BATCH, images)
    variances = [float(part.var(axis=0, dtype=np.float64).sum()) for part in parts]
    for name, variance in zip([*layers, "colours"], variances, strict=True):
        if not 0 < variance < np.inf:
            raise ValueError(
                f"{name!r} cannot be a part of a code: its variance over the images is "
                f"{variance:g}. Choose another layer."
            )
    shares = [1.0, *[FURTHER_SHARE] * (len(layers) - 1), COLOUR_SHARE]
    weights = np.repeat(
        [np.sqrt(s / v) for s, v in zip(shares, variances, strict=True)], widths
    ).astype(np.float32)
    features = np.concatenate(parts, axis=1)
    mean = features.mean(axis=0)
    features = (features - mean) * weights
    covariance = features.T @ features / len(features)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    values, vectors = values[::-1][:length], vectors[:, ::-1][:, :length]
    if values[-1] < LEAST_VARIANCE * values[0]:
        directions = int((values >= LEAST_VARIANCE * values[0]).sum())
        raise ValueError(
            f"The activations of {', '.join(layers)} and the colours of the images "
            f"vary in {directions} directions, too few for a code of {length} numbers. "
            "Ask for a shorter code, or add layers."
        )
    basis = weights[:, None] * vectors / np.sqrt(values)
    return Code(
        tuple(layers),
        size,
        grid,
        colours,
        mean.astype(np.float32),
        basis.astype(np.float32),
    )


def _network_features(
    adapter: Adapter,
    layers: Sequence[str],
    images: Any,
    size: int,
    *,
    grid: int,
    colours: int,
) -> list[Any]:
    activations = adapter.forward(resize(images, (size, size)), tuple(layers))
    return features_of([activations[layer] for layer in layers], images, grid, colours)


def _flatten(values: Any) -> Any:
    length = values.shape[1] * values.shape[2] * values.shape[3]
    return tf.reshape(values, (tf.shape(values)[0], length))


def _average_cells(values: Any, count: int) -> Any:
    """Average maps over `count` by `count` cells, whose borders may divide pixels."""
    rows = tf.constant(_averaging_matrix(values.shape[1], count))
    columns = tf.constant(_averaging_matrix(values.shape[2], count))
    height, width, channels = values.shape[1:]
    means = matmul(rows, tf.reshape(values, (-1, height, width * channels)))
    return matmul(columns, tf.reshape(means, (-1, count, width, channels)))


def _averaging_matrix(size: int, count: int) -> NDArray[np.float32]:
    """Return the weight of each position in the mean of each cell, `(count, size)`."""
    edges = np.linspace(0, size, count + 1)
    low, high = edges[:-1, None], edges[1:, None]
    positions = np.arange(size)
    overlap = np.minimum(high, positions + 1) - np.maximum(low, positions)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
