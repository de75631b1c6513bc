"""Bilinear resampling along a map of coordinates, with its exact gradient.

TensorFlow's own operation takes several times as long, and its gradient is the
resampling along the inverted map, which only resembles the adjoint.
"""

from math import ceil
from typing import Any

import tensorflow as tf


def warp(
    images: Any, matrices: Any, size: tuple[int, int], *, reach: float, fill: float
) -> Any:
    """Resample images.

    The gradient with respect to the images is exact, up to rounding; there is none
    with respect to the matrices.

    Args:
        images: `(n, height, width, channels)`.
        matrices: `(n, 3, 3)`, which take a point `(column, row, 1)` of the result to
            a point of the image.
        size: Height and width of the result.
        reach: Upper bound of the distance, in either axis, between the places in the
            result of two points of the image that are at most a pixel apart on
            each axis. The gradient is cut off where the bound is too low.
        fill: The value outside of the image.

    Returns:
        Images `(n, *size, channels)`.
    """

    @tf.custom_gradient
    def resample(images: Any) -> Any:
        # A constant outside is zero outside of the image minus that constant.
        result = _gather(images - fill, matrices, size) + fill

        def gradient(upstream: Any) -> Any:
            shape = (images.shape[1], images.shape[2])
            return _scatter(upstream, matrices, shape, taps=ceil(2 * reach))

        return result, gradient

    return resample(images)


# The compiler turns the many small steps of these two into one pass over the pixels.
@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _gather(images: Any, matrices: Any, size: tuple[int, int]) -> Any:
    """Sum the four pixels around each point, weighted by nearness."""
    columns, rows = _mapped(matrices, *_grid(size))
    left, top = tf.floor(columns), tf.floor(rows)
    total = 0
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = _tent(row - rows) * _tent(column - columns)
            total += weight[..., None] * _pixel(images, column, row)
    return total


@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _scatter(upstream: Any, matrices: Any, size: tuple[int, int], taps: int) -> Any:
    """Return the adjoint of `_gather`, as a sum over the points that used a pixel.

    Those points lie around the pixel's place in the result, no further than `reach`
    from it, so a window of `taps` by `taps` points holds them all. Gathering them is
    several times faster than adding to scattered places.
    """
    columns, rows = _grid(size)
    middle_column, middle_row = _mapped(tf.linalg.inv(matrices), columns, rows)
    first_column = tf.math.ceil(middle_column - taps / 2)
    first_row = tf.math.ceil(middle_row - taps / 2)
    total = 0
    for down in range(taps):
        for right in range(taps):
            column, row = first_column + right, first_row + down
            to_column, to_row = _mapped(matrices, column, row)
            weight = _tent(to_row - rows) * _tent(to_column - columns)
            total += weight[..., None] * _pixel(upstream, column, row)
    return total


def _grid(size: tuple[int, int]) -> tuple[Any, Any]:
    rows = tf.range(size[0], dtype=tf.float32)[None, :, None]
    columns = tf.range(size[1], dtype=tf.float32)[None, None, :]
    return columns, rows


def _mapped(matrices: Any, columns: Any, rows: Any) -> tuple[Any, Any]:
    m = matrices[:, :, :, None, None]
    return (
        m[:, 0, 0] * columns + m[:, 0, 1] * rows + m[:, 0, 2],
        m[:, 1, 0] * columns + m[:, 1, 1] * rows + m[:, 1, 2],
    )


def _tent(distance: Any) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0)


def _pixel(images: Any, columns: Any, rows: Any) -> Any:
    """Return the pixels at whole positions `(n, height, width)`; zero outside."""
    n, height, width, channels = images.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns = tf.cast(tf.clip_by_value(columns, 0, width - 1), tf.int32)
    rows = tf.cast(tf.clip_by_value(rows, 0, height - 1), tf.int32)
    start = tf.range(n)[:, None, None] * (height * width)
    flat = tf.reshape(images, (-1, channels))
    values = tf.gather(flat, start + rows * width + columns)
    return tf.where(inside[..., None], values, 0)
