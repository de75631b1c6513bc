"""Images held as sums of waves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz._spectrum import column_counts, nonzero_frequencies
from tfviz.params._base import (
    Latents,
    Param,
    Shape,
    check_not_negative,
    checked_color,
    checked_shape,
    describe,
    mixing,
    normal,
)

# Lucid divides the sum of the waves by 4 before the sigmoid, which sets how far one
# step of Adam moves a pixel; every published learning rate assumes it.
FOURIER_GAIN = 0.25


def fourier(
    height: int,
    width: int,
    channels: int = 3,
    *,
    decay: float = 1.0,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold an image as the sum of waves whose colours are independent.

    The decorrelated space of Olah et al., "Feature Visualization", Distill 2017
    (https://distill.pub/2017/feature-visualization/#preconditioning). The gradient is
    the same as in `pixels`; the direction of steepest ascent is not, and neither are
    the pictures that are reached.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        channels: Of the images.
        decay: The amplitude of a wave falls with its frequency to this power; 1 is
            the spectrum of natural images.
        stddev: Standard deviation of the starting coefficients.
        color: As in `pixels`.

    Returns:
        A param with the latent `spectrum` `(n, channels, height, width // 2 + 1, 2)`:
        real and imaginary parts of the half spectrum of the unclipped image, divided
        by the amplitude that is natural at that frequency.

    Raises:
        ValueError: As `pixels`, or if `decay` is negative.

    >>> param = fourier(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = checked_shape(height, width, channels)
    matrix = checked_color(color, channels)
    check_not_negative(decay=decay, stddev=stddev)
    columns = width // 2 + 1
    amplitude = _amplitude(height, width, decay)
    synthesize = synthesis(shape, amplitude, matrix)
    # The first and the middle column keep the real part of their waves alone; this
    # gives them the same energy as the others.
    lone = np.where(column_counts(width) == 1, np.sqrt(2), 1)[:, None]
    spread = tf.constant(stddev * lone, tf.float32)
    amplitudes = tf.constant(amplitude[..., None])
    _, separate = mixing(matrix)

    def init(seeds: Any) -> Latents:
        return {"spectrum": spread * normal(seeds, (channels, height, columns, 2))}

    def decode(latents: Latents) -> Any:
        return synthesize(latents["spectrum"])

    def encode(images: Any) -> Latents:
        return {"spectrum": analyze(separate(images)) / amplitudes}

    spec = describe("fourier", shape, color, decay=decay, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


def synthesis(
    shape: Shape, amplitude: NDArray[np.float32], matrix: NDArray[np.float32]
) -> Callable[[Any], Any]:
    """Return what turns half spectra into images, with a fast and exact gradient.

    Args:
        shape: Of the images.
        amplitude: What the spectrum is multiplied with, `(height, width // 2 + 1)`,
            or that for each channel.
        matrix: What mixes the channels.

    Returns:
        `synthesize(spectrum) -> images`, from real and imaginary parts `(n, channels,
        height, width // 2 + 1, 2)` to the sigmoid of the mixed inverse transform.
    """
    height, width, channels = shape
    # One number each for the real and the imaginary part: a product of equal inner
    # sizes is several times faster than one that stretches its last axis.
    amplitudes = tf.constant(np.repeat(amplitude[..., None], 2, axis=-1), tf.float32)
    # The adjoint of the inverse transform counts twice the columns that stand for
    # two frequencies, f and -f.
    adjoint = amplitude * column_counts(width) / (height * width)
    adjoints = tf.constant(np.repeat(adjoint[..., None], 2, axis=-1), tf.float32)
    to_pixels = tf.constant(matrix.T)

    # TensorFlow's own gradient of the inverse transform takes about twice as long.
    @tf.custom_gradient
    def compose(spectrum: Any) -> Any:
        n = tf.shape(spectrum)[0]
        waves = tf.bitcast(spectrum * amplitudes, tf.complex64)
        planes = tf.signal.irfft2d(waves, fft_length=[height, width])
        planes = tf.reshape(planes, (n, channels, height * width))
        # One product mixes the colours and moves the channels last.
        images = tf.sigmoid(tf.matmul(planes, to_pixels, transpose_a=True))

        def gradient(upstream: Any) -> Any:
            upstream = tf.reshape(upstream, (n, height * width, channels))
            slope = tf.raw_ops.SigmoidGrad(y=images, dy=upstream)
            planes = tf.matmul(to_pixels, slope, transpose_b=True)
            planes = tf.reshape(planes, (n, channels, height, width))
            waves = tf.bitcast(tf.signal.rfft2d(planes), tf.float32)
            return waves * adjoints

        return tf.reshape(images, (n, *shape)), gradient

    def synthesize(spectrum: Any) -> Any:
        return tf.ensure_shape(compose(spectrum), (spectrum.shape[0], *shape))

    return synthesize


def analyze(planes: Any) -> Any:
    """Return the half spectra of images: what `synthesis` would be given.

    Args:
        planes: `(n, height, width, channels)`.

    Returns:
        `(n, channels, height, width // 2 + 1, 2)`.
    """
    # The half that is left out is of the last axis, which must be the width.
    waves = tf.signal.rfft2d(tf.transpose(planes, (0, 3, 1, 2)))
    return tf.bitcast(waves, tf.float32)


def _amplitude(height: int, width: int, decay: float) -> NDArray[np.float32]:
    """Return the natural amplitude of each frequency, `(height, width // 2 + 1)`.

    The square root of the number of pixels makes the transform unitary, so that a
    learning rate means the same at every size.
    """
    gain = FOURIER_GAIN * np.sqrt(height * width)
    frequency = nonzero_frequencies(height, width)
    return (gain / frequency**decay).astype(np.float32)
