"""The gradient of a picture of any size, computed tile by tile.

One compiled function of one fixed shape does all the work, so that memory grows with
the tile and not with the picture. The picture is
continued by its mirror image. Only the core of a tile is used: its margin shows the
network what lies around the core.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.objectives._base import Objective

# The width of the margin, in pixels; small tiles have a sixteenth of their side.
MARGIN = 16

Size = tuple[int, int]
Floats = NDArray[np.float32]


class Tiles:
    """The score of an objective and its gradient, for pictures of any size.

    Args:
        adapter: The model.
        objective: The objective for one image, bound to the model at the tile's size.
        size: The height and width of a tile.

    Attributes:
        traces: How often the gradient has been traced.
    """

    def __init__(self, adapter: Adapter, objective: Objective, size: Size) -> None:
        self.size = size
        self.traces = 0
        self._adapter = adapter
        self._objective = objective
        self._compiled: dict[bool, Callable[..., Any]] = {}

    def gradient(
        self, picture: Floats, shift: tuple[float, float], *, redirect: bool = False
    ) -> tuple[float, Floats]:
        """Return the mean score of the tiles, and the gradient of their sum, smoothed.

        Args:
            picture: `(height, width, channels)` in [0, 1].
            shift: How far the grid of tiles is moved up and left, from 0 to 1 of what
                is possible.
            redirect: Whether rectifiers pass a gradient where they are off.
        """
        gradient = np.empty_like(picture)
        scores = []
        height, width, _ = picture.shape
        rows = list(_cores(height, self.size[0], shift[0]))
        columns = list(_cores(width, self.size[1], shift[1]))
        for top, row, core_row in rows:
            for left, column, core_column in columns:
                score, of_tile = self._tile_gradient(picture, (top, left), redirect)
                gradient[row, column] = of_tile[core_row, core_column]
                scores.append(score)
        return float(np.mean(scores)), gradient

    def score(self, picture: Floats) -> float:
        """Return the mean score of evenly spaced tiles that cover a picture.

        A tile reaches beyond the picture only where the picture is smaller.
        """
        starts = [
            _even_starts(length, tile)
            for length, tile in zip(picture.shape[:2], self.size, strict=True)
        ]
        scores = [
            self._tile_gradient(picture, (top, left), False)[0]
            for top in starts[0]
            for left in starts[1]
        ]
        return float(np.mean(scores))

    def _tile_gradient(
        self, picture: Floats, start: tuple[int, int], redirect: bool
    ) -> tuple[float, Floats]:
        """Return the score of one tile and its gradient."""
        if redirect not in self._compiled:
            self._compiled[redirect] = self._compile(picture.shape[2], redirect)
        rows, columns = (
            _mirrored_indices(first, tile, length)
            for first, tile, length in zip(
                start, self.size, picture.shape[:2], strict=True
            )
        )
        tile = picture[rows[:, None], columns]
        score, gradient = self._compiled[redirect](tf.constant(tile[None]))
        return float(score[0]), gradient[0].numpy()

    def _compile(self, channels: int, redirect: bool) -> Callable[..., Any]:
        units = {name: tf.constant(v) for name, v in self._objective.units.items()}

        def score_and_gradient(images: Any) -> tuple[Any, Any]:
            self.traces += 1
            layers = self._objective.layers
            activations = self._adapter.forward(images, layers, redirect=redirect)
            scores = self._objective.score(activations, images, {}, units)
            gradient = tf.gradients(scores, images)[0]
            if gradient is None:
                gradient = tf.zeros_like(images)
            return scores, _smooth(gradient)

        spec = tf.TensorSpec((1, *self.size, channels), tf.float32)
        return tf.function(score_and_gradient, autograph=False).get_concrete_function(
            spec
        )


def margin_of(tile: int) -> int:
    """Return the width of the margin at each side of a tile."""
    return min(MARGIN, tile // 16)


def count_tiles(length: int, tile: int) -> int:
    """Return how many tiles cover `length` pixels, wherever the grid begins.

    There is room to move the grid by two margins at least, so that neither the effects
    at the border of a network's input nor those of its strides stay in one place.
    """
    margin = margin_of(tile)
    return -(-(length + 2 * margin) // (tile - 2 * margin))


def even_tile(length: int, largest: int) -> int:
    """Return the side of the smallest tiles that cover `length` with the fewest."""
    count = count_tiles(length, largest)
    return -(-(length + 2 * MARGIN) // count) + 2 * MARGIN


def _smooth(gradients: Any) -> Any:
    """Blur gradients by the weights 1, 2, 1 along both axes, two means of pairs each.

    Strides and pools leave a pattern of single pixels, which no step would smooth. The
    filter's spectrum is nowhere negative, so the blurred gradient still leads uphill.
    """
    padded = tf.pad(gradients, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    for _ in range(2):
        padded = tf.nn.avg_pool2d(padded, 2, 1, "VALID")
    return padded


def _cores(length: int, tile: int, share: float) -> Iterator[tuple[int, slice, slice]]:
    """Yield the start of each tile, and its core in the picture and in the tile."""
    margin = margin_of(tile)
    core = tile - 2 * margin
    count = count_tiles(length, tile)
    room = count * core - length
    offset = min(int(share * (room + 1)), room)
    for place in range(count):
        first = place * core - offset
        begin, end = max(first, 0), min(first + core, length)
        if begin < end:
            start = first - margin
            yield start, slice(begin, end), slice(begin - start, end - start)


def _even_starts(length: int, tile: int) -> list[int]:
    """Return the starts of tiles that cover `length` evenly and stay inside."""
    if length <= tile:
        return [(length - tile) // 2]
    count = -(-length // tile)
    return np.linspace(0, length - tile, count).round().astype(int).tolist()


def _mirrored_indices(first: int, count: int, length: int) -> NDArray[np.int64]:
    """Return `count` indices from `first` on, mirrored into a picture of `length`."""
    places = np.arange(first, first + count) % (2 * length)
    return np.where(places < length, places, 2 * length - 1 - places)
