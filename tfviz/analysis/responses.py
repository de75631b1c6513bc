"""The responses of units to images, and the positions where they are highest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.analysis.layer_selection import last_features, unit_prefix
from tfviz.analysis.photo_stream import Batch
from tfviz.analysis.receptive_field import map_shape
from tfviz.models.adapter import Adapter

Floats = NDArray[np.float32]

# What the response of a unit to an image is: its highest activation in the map, or the
# mean over the map.
PEAK, MEAN = "peak", "mean"
RESPONSES = (PEAK, MEAN)


@dataclass(frozen=True)
class Responses:
    """The responses of all units to a batch of images.

    Attributes:
        peaks: The highest activation of each unit in its map, `(n, units)`.
        means: The mean activation over the map, `(n, units)`.
        positions: The positions of the peaks, `(n, units)`, where they may be needed.
        features: The channel means in the model's last layer of features, `(n, f)`.
    """

    peaks: Floats
    means: Floats
    positions: NDArray[np.int32]
    features: Floats


class Responder:
    """Computes the responses of all units to batches of images.

    Args:
        adapter: An adapter of the model.
        shapes: The shapes of the maps of the layers, by their paths.
        by: What the response of a unit is, `PEAK` or `MEAN`.
        batch: The number of images in a batch.

    Attributes:
        adapter: The adapter of the model.
        shapes: The shapes of the maps of the layers, by their paths.
        by: What the response of a unit is.
        batch: The number of images in a batch.
        units: The number of distinct units.
        columns: Which of the distinct units each layer has, by its path. Layers share
            them where one consists of the other, such as a concatenation.
        features: The number of channels of the model's last layer of features.
    """

    def __init__(
        self,
        adapter: Adapter,
        shapes: Mapping[str, tuple[int, ...]],
        by: str,
        batch: int,
    ) -> None:
        self.adapter, self.shapes, self.by, self.batch = adapter, shapes, by, batch
        self._features = last_features(adapter) or next(iter(shapes))
        self._selected = list(shapes)
        self._shapes = {**shapes, self._features: map_shape(adapter, self._features)}
        self.units = 0
        self.columns: dict[str, NDArray[np.int32]] = {}
        limits = tf.TensorSpec((None,), tf.float32)
        flags = tf.TensorSpec((batch,), tf.bool)
        pictures = tf.TensorSpec((batch, *adapter.size, adapter.channels), tf.float32)
        trace = tf.function(self._trace, autograph=False)
        self._compiled = trace.get_concrete_function(
            pictures, limits, limits, flags, flags
        )
        self.features = int(self._compiled.outputs[2].shape[-1])

    def __call__(
        self, batch: Batch, limits: tuple[Floats, Floats], sampled: NDArray[np.bool_]
    ) -> Responses:
        """Return the responses to those images of a batch that can be read.

        Positions are computed only where they may be kept, because those of all peaks
        would take long.

        Args:
            batch: The images.
            limits: Two responses of each unit, `(units,)`: positions are kept of
                responses above the first or below the second one.
            sampled: The images of which all positions are kept, `(batch,)`.

        Raises:
            ValueError: If an activation is not finite.
        """
        rows = batch.readable
        wanted = np.zeros(len(batch.pictures), bool)
        wanted[rows] = True
        peaks, means, features, pairs, positions = (
            tensor.numpy()
            for tensor in self._compiled(
                *map(tf.constant, (batch.pictures, *limits, wanted, sampled))
            )
        )
        dense = np.zeros(peaks.shape, np.int32)
        dense[pairs[:, 0], pairs[:, 1]] = positions
        responses = Responses(peaks[rows], means[rows], dense[rows], features[rows])
        self._check_finite(responses, [batch.paths[row] for row in rows.tolist()])
        return responses

    def _trace(
        self, images: Any, above: Any, below: Any, readable: Any, sampled: Any
    ) -> list[Any]:
        """Return the peaks, means and features, and the positions of some peaks.

        The positions are those of responses above or below two limits, and of all
        responses to sampled images: pairs of image and unit `(m, 2)`, and the positions
        `(m,)`.
        """
        values = self.adapter.forward(images, list(self._shapes))
        parts = _find_parts({path: values[path] for path in self._selected})
        peaks: list[Any] = []
        means: list[Any] = []
        pairs, positions = [tf.zeros((0, 2), tf.int32)], [tf.zeros((0,), tf.int32)]
        places: dict[str, NDArray[np.int32]] = {}
        for path in dict.fromkeys(part for found in parts.values() for part in found):
            maps = self._as_maps(path, values[path], images.shape[0])
            row_peaks = _pool_rows(tf.nn.max_pool2d, maps)
            peaks.append(tf.reduce_max(row_peaks, axis=1))
            means.append(_mean_over_map(maps))
            first, units = self.units, maps.shape[-1]
            self.units += units
            places[path] = np.arange(first, self.units, dtype=np.int32)
            if row_peaks.shape[1] * maps.shape[2] == 1:
                continue  # all positions are 0
            response = peaks[-1] if self.by == PEAK else means[-1]
            part = slice(first, self.units)
            wanted = (response > above[part]) | (response < below[part])
            wanted = (wanted | sampled[:, None]) & readable[:, None]
            found = tf.cast(tf.where(wanted), tf.int32)
            pairs.append(found + tf.constant([0, first]))
            positions.append(_find_peaks(maps, row_peaks, peaks[-1], found))
        self.columns = {
            path: np.concatenate([places[part] for part in found])
            for path, found in parts.items()
        }
        if self._features in self.columns:
            joined = tf.concat(means, axis=1)
            features = tf.gather(joined, self.columns[self._features], axis=1)
        else:
            maps = self._as_maps(
                self._features, values[self._features], images.shape[0]
            )
            features = _mean_over_map(maps)
        return [
            tf.concat(peaks, axis=1),
            tf.concat(means, axis=1),
            features,
            tf.concat(pairs, axis=0),
            tf.concat(positions, axis=0),
        ]

    def _as_maps(self, path: str, values: Any, batch: int) -> Any:
        """Return activations `(n, ..., channels)` as maps `(batch, h, w, channels)`.

        The index of a position in the flattened map stays the same. A layer that does
        not depend on the images, such as one that passes on its weights, is repeated.
        """
        shape = self._shapes[path]
        *rows, width = shape if len(shape) > 1 else (*shape, 1)
        if values.shape[0] == 1:
            values = tf.repeat(values, batch, axis=0)
        if values.shape[0] not in (batch, None):
            raise ValueError(
                f"Layer {unit_prefix(path)!r} of model {self.adapter.name!r} does not "
                f"have one map for each image, but {values.shape[0]} for {batch} "
                "images. Select other layers with `layers`."
            )
        return tf.reshape(values, (batch, prod(rows), width, values.shape[-1]))

    def _check_finite(self, responses: Responses, files: Sequence[str]) -> None:
        """Refuse activations that are not finite, and name the image.

        Args:
            responses: The responses to some images.
            files: The paths of these images; empty for arrays.
        """
        finite = np.isfinite(responses.means) & np.isfinite(responses.peaks)
        if finite.all():
            return
        image = int((~finite).any(axis=1).argmax())
        unit = (~finite[image]).argmax()
        path = next(path for path, columns in self.columns.items() if unit in columns)
        of_image = f" for the image {files[image]!r}" if files[image] else ""
        raise ValueError(
            f"Layer {unit_prefix(path)!r} of model {self.adapter.name!r} has "
            f"activations that are not finite{of_image}. Check the input range with "
            "`tfviz check`."
        )


def _find_parts(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the layers whose channels, one after the other, are those of each layer.

    A concatenation consists of its inputs, a layer that passes on the output of another
    one consists of that, and all others consist of themselves.

    Args:
        values: The activations of the selected layers, by their paths.
    """
    owners: dict[Any, str] = {}
    for path, value in values.items():
        owners.setdefault(value.ref(), path)

    def parts_of(tensor: Any) -> list[str]:
        if tensor.op.type == "ConcatV2":
            *inputs, axis = tensor.op.inputs
            of_channels = tf.get_static_value(axis) in (-1, tensor.shape.rank - 1)
            if of_channels and all(part.ref() in owners for part in inputs):
                return [path for part in inputs for path in parts_of(part)]
        return [owners[tensor.ref()]]

    return {path: parts_of(value) for path, value in values.items()}


def _mean_over_map(maps: Any) -> Any:
    """Return the mean of each channel over its map, `(n, channels)`."""
    return tf.reduce_mean(_pool_rows(tf.nn.avg_pool2d, maps), axis=1)


def _pool_rows(pool: Any, maps: Any) -> Any:
    """Pool each row of maps, which is twice as fast as reducing the axis of columns.

    Args:
        pool: The function of TensorFlow, `avg_pool2d` or `max_pool2d`.
        maps: The activations, `(n, h, w, channels)`.

    Returns:
        The mean or the highest activation in each row, `(n, h, channels)`.
    """
    return pool(maps, (1, maps.shape[2]), 1, "VALID")[:, :, 0]


def _find_peaks(maps: Any, row_peaks: Any, peaks: Any, pairs: Any) -> Any:
    """Return the first positions where some channels are highest, `(m,)`.

    The row is found first, then the column, so that few activations are looked at.

    Args:
        maps: The activations, `(n, h, w, channels)`.
        row_peaks: The highest activation in each row, `(n, h, channels)`.
        peaks: The highest activation, `(n, channels)`.
        pairs: The image and the channel of each peak, `(m, 2)`.
    """
    image, channel = pairs[:, 0], pairs[:, 1]
    _, height, width, channels = maps.shape
    places = tf.range(height)[:, None]
    rows = tf.where(row_peaks == peaks[:, None], places, height - 1)
    row = tf.gather_nd(tf.reduce_min(rows, axis=1), pairs)
    first = (image * height + row) * width * channels + channel
    places = tf.range(width)
    along = tf.gather(tf.reshape(maps, (-1,)), first[:, None] + places * channels)
    found = along == tf.gather_nd(peaks, pairs)[:, None]
    column = tf.reduce_min(tf.where(found, places, width - 1), axis=1)
    return row * width + column
