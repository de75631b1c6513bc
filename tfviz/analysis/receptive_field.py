"""The receptive fields of a model's layers, found with gradients.

The field of a position is the part of the image on which the activations there depend:
where their gradient with respect to the image is not zero. This works for any
architecture, of which no kernel, stride or padding needs to be known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import apply_in_batches
from tfviz.models.introspection import LOGITS

Integers = NDArray[np.int32]

# The number of positions that are probed at once.
BATCH = 16
# Along an axis of a map that is longer than this, only some positions are probed:
# those in the middle, and so many at each end.
_SHORT = 32
_END = 8
# A gradient that passes through any activation function: one that is off, or saturated,
# has none of its own.
_PASSING = "TfvizPassingActivation"
_ACTIVATIONS = ("Elu", "Erf", "Erfc", "Relu", "Relu6", "Sigmoid", "Softplus", "Tanh")


@dataclass(frozen=True)
class ReceptiveFields:
    """The receptive fields of a layer, as ranges of rows and columns of the image.

    The position at row y and column x of a map sees `rows[y]` and `columns[x]`, and
    token t sees `rows[t]` and `columns[t]`. A layer without positions, or with more
    than two axes of positions, sees the image as a whole.

    Attributes:
        rows: The first row and the row after the last one, `(h, 2)`.
        columns: The first column and the column after the last one, `(w, 2)`.
    """

    rows: Integers
    columns: Integers

    def equals(self, other: "ReceptiveFields") -> bool:
        """Return whether all ranges are the same."""
        return np.array_equal(self.rows, other.rows) and np.array_equal(
            self.columns, other.columns
        )


def receptive_fields(
    adapter: Adapter, paths: Sequence[str]
) -> dict[str, ReceptiveFields]:
    """Find the receptive fields of layers, in pixels of the image as the model sees it.

    Max-pools share their gradient within a window, and activation functions pass theirs
    where they are off or saturated, so that a field is what a position depends on for
    some image.
    The gradient is that of a random combination of the channels, for a noise image.

    Fields of maps are products of a range of rows and a range of columns, as those of
    convolutions are, so positions along a diagonal show all of them. Layers with equal
    maps whose fields agree in the middle and near both ends are probed together. Of
    long axes, only the ends and the middle are probed if the field moves evenly.

    Args:
        adapter: An adapter of the model.
        paths: The paths of the layers, or `LOGITS`.

    Returns:
        The fields of each layer by its path. A position that does not depend on the
        image, such as a class token before the first attention, gets the whole image.

    >>> import tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> receptive_fields(adapter, ["conv1"])["conv1"].rows[:3].tolist()
    [[0, 3], [2, 5], [4, 7]]
    """
    shapes = {path: map_shape(adapter, path) for path in paths}
    probe = _Probe(adapter, {p: s for p, s in shapes.items() if len(s) in (1, 2)})
    fields = {path: probe.whole(1) for path in paths}
    groups: dict[Any, list[str]] = {}
    for path, found in probe.places(_few_places).items():
        shape, whole = shapes[path], probe.whole(len(found.rows))
        if len(shape) == 1 and found.equals(whole):
            # After attention, every token sees everything.
            fields[path] = probe.whole(shape[0])
        else:
            alike = (shape, found.rows.tobytes(), found.columns.tobytes())
            groups.setdefault(alike, []).append(path)
    members = {paths[0]: paths for paths in groups.values()}
    uneven = []
    for first, found in probe.places(_some_places, members).items():
        extended = _extend(shapes[first], found)
        if extended is None:
            uneven.append(first)
        else:
            fields |= dict.fromkeys(members[first], extended)
    for first, found in probe.places(np.arange, uneven).items():
        fields |= dict.fromkeys(members[first], found)
    return fields


def _few_places(length: int) -> NDArray[np.intp]:
    """Return the places along an axis that tell layers apart."""
    return np.unique([min(1, length - 1), length // 2, length - 1])


def _some_places(length: int) -> NDArray[np.intp]:
    """Return the places along an axis that show whether the field moves evenly."""
    if length <= _SHORT:
        return np.arange(length)
    middle = length // 2
    # Near the ends, the field of a dilated convolution may not.
    ends = np.arange(_END)
    return np.concatenate([ends, (middle, middle + 1), length - _END + ends])


def _extend(shape: tuple[int, ...], found: ReceptiveFields) -> ReceptiveFields | None:
    """Return the fields of all positions, given those at some places of each axis.

    Args:
        shape: The shape of the map, or the number of tokens.
        found: The fields of these places.

    Returns:
        The fields, or None if they do not move evenly.
    """
    axes = [
        _extend_axis(ranges, length)
        for ranges, length in zip(
            (found.rows, found.columns), shape * (3 - len(shape)), strict=True
        )
    ]
    if any(axis is None for axis in axes):
        return None
    return ReceptiveFields(*axes)  # type: ignore[arg-type]


def _extend_axis(ranges: Integers, length: int) -> Integers | None:
    places = _some_places(length)
    if len(places) == length:
        return ranges
    step = ranges[_END + 1] - ranges[_END]
    moved = ranges[_END] + (np.arange(length)[:, None] - places[_END]) * step
    # A field stops at the margin of the image, or at what the last window leaves.
    moved = np.clip(moved, ranges[0], ranges[-1]).astype(np.int32)
    return moved if (moved[places] == ranges).all() else None


class _Probe:
    """Finds the fields of single positions, of all layers with one compiled function.

    Args:
        adapter: An adapter of the model.
        shapes: The shape of each layer's map, by its path.

    Attributes:
        shapes: The shapes.
    """

    def __init__(self, adapter: Adapter, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._adapter, self.shapes = adapter, shapes
        shape = (BATCH, *adapter.size, adapter.channels)
        self._noise = tf.constant(np.random.default_rng(0).random(shape, np.float32))

    @cached_property
    def _compiled(self) -> Any:
        indices = tf.TensorSpec((BATCH,), tf.int32)
        pictures = tf.TensorSpec(self._noise.shape, tf.float32)
        trace = tf.function(self._trace, autograph=False)
        return trace.get_concrete_function(pictures, indices, indices)

    def whole(self, count: int) -> ReceptiveFields:
        """Return the whole image as the field of each of some positions."""
        rows, columns = (
            np.tile(np.array([[0, length]], np.int32), (count, 1))
            for length in self._adapter.size
        )
        return ReceptiveFields(rows, columns)

    def places(
        self,
        choose: Callable[[int], NDArray[np.intp]],
        paths: Iterable[str] | None = None,
    ) -> dict[str, ReceptiveFields]:
        """Return the fields of some places along the axes of some layers.

        Args:
            choose: Returns the places along an axis of a given length.
            paths: The paths of the layers; by default all.

        Returns:
            The ranges of these rows and columns, or of these tokens, by the layer.
        """
        paths = list(self.shapes if paths is None else paths)
        if not paths:
            return {}
        axes = {path: list(map(choose, self.shapes[path])) for path in paths}
        # The rows and the columns are probed together, by positions on a diagonal.
        positions = [
            np.ravel_multi_index(
                [np.resize(axis, max(map(len, axes[path]))) for axis in axes[path]],
                self.shapes[path],
            )
            for path in paths
        ]
        counts = list(map(len, positions))
        order = list(self.shapes)
        layers = np.repeat([order.index(path) for path in paths], counts)
        hits = apply_in_batches(
            lambda *batch: self._compiled(self._noise, *batch),
            BATCH,
            layers.astype(np.int32),
            np.concatenate(positions).astype(np.int32),
            fill=True,
        )
        rows, columns = (
            np.split(_ranges(axis), np.cumsum(counts)[:-1]) for axis in hits
        )
        return {
            path: ReceptiveFields(r[: len(axes[path][0])], c[: len(axes[path][-1])])
            for path, r, c in zip(paths, rows, columns, strict=True)
        }

    def _trace(self, images: Any, layers: Any, positions: Any) -> tuple[Any, Any]:
        """Return which rows and columns each position depends on.

        One graph serves all layers, because most of the time is spent on tracing: the
        gradients of all layers are injected, and all but one of them are zero.

        Args:
            images: A batch of images.
            layers: The place of the layer that each image probes, `(n,)`.
            positions: The position that it probes, `(n,)`.
        """
        # Only direct convolutions have gradients that are exactly zero elsewhere; those
        # of other devices may use transforms, which round.
        graph = tf.compat.v1.get_default_graph()
        passing = dict.fromkeys(_ACTIVATIONS, _PASSING)
        with tf.device("CPU"), graph.gradient_override_map(passing):
            values = self._adapter.forward(images, list(self.shapes), smooth_pools=True)
            total = tf.zeros(())
            for place, (path, shape) in enumerate(self.shapes.items()):
                count, units = prod(shape), values[path].shape[-1]
                # Equal weights would cancel where channels are opposites.
                weights = np.random.default_rng(place).uniform(0.5, 1.5, units)
                flat = tf.reshape(values[path], (-1, count, units))
                mixed = tf.linalg.matvec(flat, weights.astype(np.float32))
                chosen = tf.one_hot(tf.where(layers == place, positions, -1), count)
                total += tf.reduce_sum(mixed * chosen)
            (gradient,) = tf.gradients(
                total, images, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            hit = tf.reduce_any(gradient != 0, axis=-1)
        return tf.reduce_any(hit, axis=2), tf.reduce_any(hit, axis=1)


def map_shape(adapter: Adapter, path: str) -> tuple[int, ...]:
    """Return the shape of a layer's map, without images and channels; () without one.

    Raises:
        ValueError: If the shape depends on more than the size of the image.
    """
    size = adapter.size
    shape = adapter.output_shape(size) if path == LOGITS else adapter.layer(path).shape
    inner = shape[1:]
    if None in inner:
        raise ValueError(
            f"The shape of layer {path!r} of model {adapter.name!r} is not fixed: "
            f"{inner}. Leave it out."
        )
    return tuple(int(length) for length in inner[:-1])  # type: ignore[arg-type]


def _ranges(hits: NDArray[np.bool_]) -> Integers:
    """Return the first and last true place of each row, or all places if none is true.

    >>> _ranges(np.array([[False, True, False], [False, False, False]])).tolist()
    [[1, 2], [0, 3]]
    """
    length = hits.shape[1]
    first, behind = hits.argmax(axis=1), length - hits[:, ::-1].argmax(axis=1)
    none = ~hits.any(axis=1)
    return np.stack(
        [np.where(none, 0, first), np.where(none, length, behind)], axis=1
    ).astype(np.int32)


@tf.RegisterGradient(_PASSING)
def _pass_gradient(operation: Any, gradient: Any) -> Any:
    return gradient
