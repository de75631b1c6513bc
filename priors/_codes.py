"""Codes of images: what a layer sees in them, as independent normal numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize

# What the parts of a code count beside its first layer, in parts of its variance: the
# image's colours, and every further layer.
COLOUR_SHARE, FURTHER_SHARE = 0.8, 0.5
# Cells along each axis over which layers and colours are averaged.
GRID, COLOURS = 2, 8
# Directions in which features vary less than this part of the first are rounding.
LEAST = 1e-7


@dataclass(frozen=True)
class Code:
    """How an image becomes a code.

    The square roots of layers' activations, averaged over a coarse grid, and the
    image's mean colours over a finer one are projected to their first principal
    components and scaled to unit variance. So the codes of images are about normal,
    and so are those that decode to images. Layers without a map, such as the logits,
    are taken as they are.

    Attributes:
        layers: The paths of the layers.
        size: Images are resized to this before the network sees them, in pixels.
        grid: Maps are averaged over `grid` by `grid` cells.
        colours: The image is averaged over `colours` by `colours` cells.
        mean: `(d,)`, of the features.
        basis: `(d, code)`, from features to codes.
    """

    layers: tuple[str, ...]
    size: int
    grid: int
    colours: int
    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    @property
    def length(self) -> int:
        """How many numbers a code has."""
        return self.basis.shape[1]

    def seen_in(self, adapter: Adapter, images: Any) -> Any:
        """Return the codes `(n, length)` of images in [0, 1], in a graph."""
        seen = resize(images, (self.size, self.size))
        return self.of(adapter.forward(seen, self.layers), images)

    def of(self, activations: Mapping[str, Any], images: Any) -> Any:
        """Return the codes `(n, length)` of images and what the layers show of them."""
        seen = [activations[layer] for layer in self.layers]
        found = tf.concat(parts(seen, images, self.grid, self.colours), axis=1)
        return tf.matmul(found - self.mean, self.basis)


def parts(seen: Sequence[Any], images: Any, grid: int, colours: int) -> list[Any]:
    """Return what codes are made of: `(n, d)` for each layer, and for the colours."""
    found = []
    for values in seen:
        if values.shape.rank == 4:
            means = _flat(_cells(values, grid))
            # Rectified activations have a long tail; roots are closer to normal.
            found.append(tf.sign(means) * (tf.sqrt(tf.abs(means) + 1e-2) - 0.1))
        elif values.shape.rank == 2:
            found.append(values)
        else:
            raise ValueError(
                "A code is made of layers with a map (n, h, w, c) or with vectors "
                f"(n, c). Received a layer of the shape {tuple(values.shape)}."
            )
    return [*found, _flat(_cells(images, colours))]


def measured(
    adapter: Adapter,
    layers: Sequence[str],
    images: NDArray[np.float32],
    *,
    length: int,
    size: int = 128,
    grid: int = GRID,
    colours: int = COLOURS,
) -> Code:
    """Measure the code of some layers from many images.

    Args:
        adapter: Of the network.
        layers: The paths of layers with a map or a vector; the first counts most.
        images: `(n, h, w, 3)` in [0, 1]; ten times `length` or more.
        length: How many numbers a code has.
        size: As in `Code`.
        grid: As in `Code`.
        colours: As in `Code`.

    Raises:
        ValueError: If a layer has neither, or the code is longer than the features.
    """
    compiled = tf.function(
        lambda part: _seen(adapter, layers, part, size, grid=grid, colours=colours),
        autograph=False,
    )
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    concrete = compiled.get_concrete_function(spec)
    widths = [part.shape[1] for part in concrete.structured_outputs]
    if length > min(sum(widths), len(images)):
        raise ValueError(
            f"A code of {length} numbers needs as many features and images. "
            f"{', '.join(layers)} and the colours have {sum(widths)}, of {len(images)} "
            "images."
        )
    batches = [
        [part.numpy() for part in concrete(tf.constant(images[i : i + 64]))]
        for i in range(0, len(images), 64)
    ]
    columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
    spreads = [float(column.var(axis=0, dtype=np.float64).sum()) for column in columns]
    for name, spread in zip([*layers, "colours"], spreads, strict=True):
        if not 0 < spread < np.inf:
            raise ValueError(
                f"{name!r} cannot be a part of a code: over the images its variance is "
                f"{spread:g}. Choose another layer."
            )
    shares = [1.0, *[FURTHER_SHARE] * (len(layers) - 1), COLOUR_SHARE]
    weights = np.repeat(
        [np.sqrt(s / v) for s, v in zip(shares, spreads, strict=True)], widths
    ).astype(np.float32)
    found = np.concatenate(columns, axis=1)
    mean = found.mean(axis=0)
    found = (found - mean) * weights
    covariance = found.T @ found / len(found)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    values, vectors = values[::-1][:length], vectors[:, ::-1][:, :length]
    if values[-1] < LEAST * values[0]:
        many = int((values >= LEAST * values[0]).sum())
        raise ValueError(
            f"What {', '.join(layers)} and the colours show of the images varies in "
            f"{many} directions, too few for a code of {length} numbers. Ask for a "
            "shorter code, or further layers."
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


def _seen(
    adapter: Adapter,
    layers: Sequence[str],
    images: Any,
    size: int,
    *,
    grid: int,
    colours: int,
) -> list[Any]:
    activations = adapter.forward(resize(images, (size, size)), tuple(layers))
    return parts([activations[layer] for layer in layers], images, grid, colours)


def _flat(values: Any) -> Any:
    length = values.shape[1] * values.shape[2] * values.shape[3]
    return tf.reshape(values, (tf.shape(values)[0], length))


def _cells(values: Any, count: int) -> Any:
    """Average maps over `count` by `count` cells, which need not be equal."""
    rows = tf.constant(_averaging(values.shape[1], count))
    columns = tf.constant(_averaging(values.shape[2], count))
    return tf.einsum("ih,nhwc,jw->nijc", rows, values, columns)


def _averaging(size: int, count: int) -> NDArray[np.float32]:
    """Return `(count, size)`: how much each place belongs to each cell."""
    edges = np.linspace(0, size, count + 1)
    low, high = edges[:-1, None], edges[1:, None]
    places = np.arange(size)
    overlap = np.minimum(high, places + 1) - np.maximum(low, places)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
