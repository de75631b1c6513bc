"""What an image should have little of: objectives to be subtracted.

Each is a mean over the pixels of the image as it is held, before any transform, so
that a weight means the same at every size and the border that a transform adds does
not count.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._spectrum import column_counts, frequencies
from tfviz.objectives._base import Objective, Units
from tfviz.transforms import blur

IMAGES, LATENTS = "images", "latents"


def total_variation() -> Objective:
    """Measure how much neighbouring pixels differ.

    Its score is the sum of the absolute differences between neighbours, down and to
    the right, divided by the number of pixels and channels (Mahendran & Vedaldi,
    https://arxiv.org/abs/1412.0035, with exponent 1).

    >>> total_variation().names
    ('total_variation',)
    """

    def measure(images: Any) -> Any:
        down = tf.abs(images[:, 1:] - images[:, :-1])
        right = tf.abs(images[:, :, 1:] - images[:, :, :-1])
        total = tf.reduce_sum(down, (1, 2, 3)) + tf.reduce_sum(right, (1, 2, 3))
        return total / np.prod(images.shape[1:])

    return _of_images("total_variation", measure)


def l1(*, centre: float = 0.5, of: str = IMAGES) -> Objective:
    """Measure the mean absolute distance from grey.

    Args:
        centre: The value that costs nothing, for images.
        of: `"images"`, or `"latents"` for the mean over all latents, whose centre is
            0.

    Raises:
        ValueError: If `of` is something else.

    >>> l1().names
    ('l1',)
    """
    return _of_images_or_latents("l1", tf.abs, centre, of)


def l2(*, centre: float = 0.5, of: str = IMAGES) -> Objective:
    """Measure the mean squared distance from grey.

    Args:
        centre: As for `l1`.
        of: As for `l1`.

    Raises:
        ValueError: If `of` is something else.

    >>> l2(of="latents").names
    ('l2(latents)',)
    """
    return _of_images_or_latents("l2", tf.square, centre, of)


def high_frequency(*, cutoff: float = 0.125) -> Objective:
    """Measure the energy of an image's fine detail.

    Its score is the mean over pixels and channels of the squares of what a filter
    leaves of the image that passes only waves above `cutoff` (by Parseval's theorem,
    a sum over the Fourier spectrum).

    Args:
        cutoff: In cycles per pixel, in any direction; 0.5 is the finest grating along
            an axis.

    Raises:
        ValueError: If `cutoff` does not lie between 0 and 0.71.

    >>> high_frequency(cutoff=0.25).names
    ('high_frequency(0.25)',)
    """
    if not 0 <= cutoff < 0.71:
        raise ValueError(
            "`cutoff` must lie between 0 and 0.71 cycles per pixel. "
            f"Received: cutoff={cutoff}"
        )

    def measure(images: Any) -> Any:
        height, width, channels = images.shape[1:]
        passed = frequencies(height, width) > cutoff
        weight = column_counts(width) * passed / (height * width) ** 2 / channels
        waves = tf.signal.rfft2d(tf.transpose(images, (0, 3, 1, 2)))
        energy = tf.square(tf.math.real(waves)) + tf.square(tf.math.imag(waves))
        return tf.reduce_sum(energy * tf.constant(weight, tf.float32), (1, 2, 3))

    return _of_images(f"high_frequency({cutoff:g})", measure)


def blur_difference(*, stddev: float = 2.0) -> Objective:
    """Measure what a blur takes from an image.

    Its score is the mean squared difference between the image and itself under a
    Gaussian blur.

    Args:
        stddev: Of the blur, in pixels.

    Raises:
        ValueError: If `stddev` is not above 0.

    >>> blur_difference(stddev=1).names
    ('blur_difference(1)',)
    """
    blurred = blur(stddev)

    def measure(images: Any) -> Any:
        seeds = tf.zeros((images.shape[0], 2), tf.int32)  # draws nothing
        difference = images - blurred(images, seeds)
        return tf.reduce_mean(tf.square(difference), (1, 2, 3))

    return _of_images(f"blur_difference({stddev:g})", measure)


def _of_images(name: str, measure: Callable[[Any], Any]) -> Objective:
    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return measure(images)

    return Objective((), {}, score, (name,), kind=name, is_auxiliary=True)


def _of_images_or_latents(
    name: str, function: Callable[[Any], Any], centre: float, of: str
) -> Objective:
    if of == IMAGES:
        label = name if centre == 0.5 else f"{name}({centre:g})"
        return _of_images(label, lambda images: _mean(function(images - centre)))
    if of != LATENTS:
        raise ValueError(f"`of` must be {IMAGES!r} or {LATENTS!r}. Received: of={of!r}")

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        flat = [tf.reshape(v, (v.shape[0], -1)) for v in latents.values()]
        return _mean(function(tf.concat(flat, axis=1)))

    label = f"{name}({LATENTS})"
    return Objective((), {}, score, (label,), kind=label, is_auxiliary=True)


def _mean(values: Any) -> Any:
    return tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
