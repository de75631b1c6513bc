"""Penalties: properties of an image that are subtracted from an objective.

Each is a mean over the pixels of the decoded image, before any transform. Thus the same
weight has the same effect at every size, and borders that a transform adds do not
count.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._spectrum import column_counts, frequencies
from tfviz.objectives._base import Objective, Units
from tfviz.params._fourier import half_spectra
from tfviz.transforms import blur

IMAGES, LATENTS = "images", "latents"


def total_variation() -> Objective:
    """Measure the differences between neighbouring pixels.

    The score is the sum of the absolute differences to the neighbours below and to the
    right, divided by the number of pixels and channels (Mahendran & Vedaldi,
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
        centre: The value of a pixel that costs nothing; grey by default. Not used for
            latents, whose centre is 0.
        of: `"images"`, or `"latents"` for the mean over all latents.

    Raises:
        ValueError: If `of` is something else.

    >>> l1().names
    ('l1',)
    """
    return _of_images_or_latents("l1", tf.abs, centre, of)


def l2(*, centre: float = 0.5, of: str = IMAGES) -> Objective:
    """Measure the mean squared distance from grey.

    Args:
        centre: As in `l1`.
        of: As in `l1`.

    Raises:
        ValueError: If `of` is something else.

    >>> l2(of="latents").names
    ('l2(latents)',)
    """
    return _of_images_or_latents("l2", tf.square, centre, of)


def high_frequency(*, cutoff: float = 0.125) -> Objective:
    """Measure the energy of the fine detail in an image.

    The score is the mean square, over pixels and channels, of the image after a
    high-pass filter. By Parseval's theorem, it is computed as a sum over the Fourier
    spectrum.

    Args:
        cutoff: The frequency above which waves count, in cycles per pixel in any
            direction; the finest grating along an axis has 0.5.

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
        is_high = frequencies(height, width) > cutoff
        weight = column_counts(width) * is_high / (height * width) ** 2 / channels
        energy = tf.reduce_sum(tf.square(half_spectra(images)), axis=-1)
        return tf.reduce_sum(energy * tf.constant(weight, tf.float32), (1, 2, 3))

    return _of_images(f"high_frequency({cutoff:g})", measure)


def blur_difference(*, stddev: float = 2.0) -> Objective:
    """Measure the detail that a Gaussian blur removes from an image.

    The score is the mean squared difference between the image and its blurred version.

    Args:
        stddev: The standard deviation of the blur, in pixels.

    Raises:
        ValueError: If `stddev` is not above 0.

    >>> blur_difference(stddev=1).names
    ('blur_difference(1)',)
    """
    blurred = blur(stddev)

    def measure(images: Any) -> Any:
        seeds = tf.zeros((images.shape[0], 2), tf.int32)  # a blur draws nothing
        difference = images - blurred(images, seeds)
        return tf.reduce_mean(tf.square(difference), (1, 2, 3))

    return _of_images(f"blur_difference({stddev:g})", measure)


def _of_images(name: str, measure: Callable[[Any], Any]) -> Objective:
    """Return the penalty `measure(images) -> (n,)` as an objective."""

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return measure(images)

    return Objective((), {}, score, (name,), kind=name, is_auxiliary=True)


def _of_images_or_latents(
    name: str, function: Callable[[Any], Any], centre: float, of: str
) -> Objective:
    """Return the mean of a function of all values of images or latents."""
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
    """Return the mean over all axes but that of the images, `(n,)`."""
    return tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
