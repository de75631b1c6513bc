"""The receptive fields of a model's layers, found with gradients.

The field of a position is the part of the image on which the activations there depend:
where their gradient with respect to the image is not zero. This works for any
architecture, of which no kernel, stride or padding needs to be known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import LOGITS, Adapter
from tfviz.models.inputs import apply_in_batches

Integers = NDArray[np.int32]

# The number of positions that are probed at once.
BATCH = 16
# Along a longer axis of a map, only some positions are probed.
_LONG = 16
# A gradient that passes through any rectifier, whether it is on or off.
_PASSING = "TfvizPassingRectifier"


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


def receptive_fields(
    adapter: Adapter, paths: Sequence[str]
) -> dict[str, ReceptiveFields]:
    """Find the receptive fields of layers, in pixels of the image as the model sees it.

    Max-pools share their gradient within a window, and rectifiers pass theirs whether
    they are on or off, so that a field is what a position depends on for some image.
    The gradient is that of a random combination of the channels, for a noise image.

    Of a map with long axes, eight positions along each axis are probed. If the field
    moves evenly between them, up to the margin of the image, so it does elsewhere;
    otherwise all positions are probed. Fields of maps are products of a range of rows
    and a range of columns, as those of convolutions are.

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
    some = {path: _some_positions(shape) for path, shape in probe.shapes.items()}
    fields = {path: probe.whole(1) for path in paths}
    uneven = {}
    for path, found in probe(some).items():
        extended = _extend_fields(shapes[path], found, probe.whole(1))
        if extended is None:
            uneven[path] = _positions(shapes[path], *map(np.arange, shapes[path]))
        else:
            fields[path] = extended
    for path, found in probe(uneven).items():
        lengths = shapes[path] * (3 - len(shapes[path]))
        fields[path] = ReceptiveFields(
            found.rows[: lengths[0]], found.columns[: lengths[1]]
        )
    return fields


def _some_positions(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the positions of a map, or tokens, that are probed first."""
    if len(shape) == 1:
        return np.unique([0, shape[0] // 2, shape[0] - 1])
    return _positions(shape, *map(_some_places, shape))


def _positions(shape: tuple[int, ...], *axes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return positions of a map that have all of some rows and some columns.

    The rows and the columns are probed together, by positions along a diagonal.
    """
    count = max(map(len, axes))
    return np.ravel_multi_index([np.resize(axis, count) for axis in axes], shape)


def _some_places(length: int) -> NDArray[np.intp]:
    """Return the places along an axis that are probed first: all of a short one."""
    if length <= _LONG:
        return np.arange(length)
    middle = length // 2
    quarters = (length // 4, middle, middle + 1, 3 * length // 4)
    return np.array([0, 1, *quarters, length - 2, length - 1])


def _extend_fields(
    shape: tuple[int, ...], found: ReceptiveFields, whole: ReceptiveFields
) -> ReceptiveFields | None:
    """Return the fields of all positions, if those of the first probes tell them.

    Args:
        shape: The shape of the map, or the number of tokens.
        found: The fields of the first probes.
        whole: The whole image as the field of one position.
    """
    if len(shape) == 1:  # after attention, every token sees everything
        if (found.rows != whole.rows).any() or (found.columns != whole.columns).any():
            return None
        return ReceptiveFields(
            np.repeat(whole.rows, shape[0], 0), np.repeat(whole.columns, shape[0], 0)
        )
    rows, columns = (
        _extend_axis(_some_places(length), ranges, length)
        for length, ranges in zip(shape, (found.rows, found.columns), strict=True)
    )
    return None if rows is None or columns is None else ReceptiveFields(rows, columns)


def _extend_axis(
    places: NDArray[np.intp], ranges: Integers, length: int
) -> Integers | None:
    """Return the ranges at all places of an axis, given those at some of them.

    Args:
        places: The probed places; the fourth and fifth are neighbours in the middle.
        ranges: Their ranges; those of other probes may follow.
        length: The length of the axis.

    Returns:
        The ranges `(length, 2)`, or None if they do not move evenly.
    """
    ranges = ranges[: len(places)]
    if len(places) == length:
        return ranges
    step = ranges[4] - ranges[3]
    moved = ranges[3] + (np.arange(length)[:, None] - places[3]) * step
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

    def __call__(
        self, positions: Mapping[str, NDArray[np.intp]]
    ) -> dict[str, ReceptiveFields]:
        """Return the fields of some positions of some layers.

        Args:
            positions: The indices of the positions in the flattened map of each layer,
                `(n,)`, by its path.

        Returns:
            The rows and columns of each position, `(n, 2)` each, by the layer's path.
        """
        if not positions:
            return {}
        counts = [len(chosen) for chosen in positions.values()]
        places = [list(self.shapes).index(path) for path in positions]
        layers = np.repeat(places, counts).astype(np.int32)
        flat = np.concatenate(list(positions.values())).astype(np.int32)
        hits = apply_in_batches(
            lambda *batch: self._compiled(self._noise, *batch),
            BATCH,
            layers,
            flat,
            fill=True,
        )
        rows, columns = (
            np.split(_ranges(axis), np.cumsum(counts)[:-1]) for axis in hits
        )
        return dict(zip(positions, map(ReceptiveFields, rows, columns), strict=True))

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
        passing = dict.fromkeys(("Relu", "Relu6"), _PASSING)
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
