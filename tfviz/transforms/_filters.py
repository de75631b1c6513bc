"""Transforms that change the values of pixels: blur and noise."""

from math import ceil
from typing import Any

import tensorflow as tf

from tfviz.transforms._base import Transform, normal, uniform


def blur(low: float, high: float | None = None) -> Transform:
    """Blur with a Gaussian of random width.

    Args:
        low: The smallest standard deviation in pixels, above 0.
        high: The largest standard deviation in pixels; by default `low`, so that the
            width is not random.
    """
    high = low if high is None else high
    if not 0 < low <= high:
        raise ValueError(
            f"blur needs 0 < low <= high. Received: low={low}, high={high}"
        )
    # As in SciPy, the kernel ends after four standard deviations, and the image is
    # reflected at its edges.
    radius = ceil(4 * high)
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)

    def apply(images: Any, seeds: Any) -> Any:
        stddev = low + (high - low) * uniform(seeds, 1)
        kernel = tf.exp(-0.5 * (offsets / stddev) ** 2)
        kernel /= tf.reduce_sum(kernel, axis=1, keepdims=True)
        for axis in (1, 2):
            images = _convolve(images, kernel, radius, axis)
        return images

    return Transform(apply, ({"name": "blur", "low": low, "high": high},))


def noise(stddev: float) -> Transform:
    """Add normally distributed noise to each pixel and channel.

    Args:
        stddev: The standard deviation of the noise.
    """
    if not stddev >= 0:
        raise ValueError(f"`stddev` must not be negative. Received: stddev={stddev}")

    def apply(images: Any, seeds: Any) -> Any:
        return images + stddev * normal(seeds, tuple(images.shape[1:]))

    return Transform(apply, ({"name": "noise", "stddev": stddev},))


def _convolve(images: Any, kernel: Any, radius: int, axis: int) -> Any:
    """Convolve along `axis` with one kernel per image, `(n, 2 * radius + 1)`."""
    length = images.shape[axis]
    images = _reflect(images, radius, axis)
    total = 0
    for place in range(2 * radius + 1):
        window = [slice(None)] * 4
        window[axis] = slice(place, place + length)
        total += kernel[:, place, None, None, None] * images[tuple(window)]
    return total


def _reflect(images: Any, radius: int, axis: int) -> Any:
    """Continue images by `radius` pixels at both ends of `axis`, as by mirrors.

    The reflection at an edge repeats the edge pixel.
    """
    # A padding reflects an image once. After one that was complete, the next starts
    # from an image that is three times as long.
    while radius:
        margin = min(radius, images.shape[axis])
        paddings = [[margin] * 2 if k == axis else [0, 0] for k in range(4)]
        images = tf.pad(images, paddings, "SYMMETRIC")
        radius -= margin
    return images
