"""Images held as sums of waves, whose coefficients are optimized."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz._spectrum import column_counts, nonzero_frequencies
from tfviz._xla import is_compiling
from tfviz.params._base import (
    Latents,
    Param,
    Shape,
    channel_mixing,
    check_not_negative,
    color_matrix,
    image_shape,
    make_spec,
    normal,
)

# Lucid divides the sum of the waves by 4 before the sigmoid. This determines how far
# one step of Adam changes a pixel, and published learning rates assume it.
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
    """Hold an image as a sum of waves, in decorrelated colours.

    This is the decorrelated space of Olah et al., "Feature Visualization", Distill 2017
    (https://distill.pub/2017/feature-visualization/#preconditioning). It contains the
    same images as `pixels`, but the direction of steepest ascent is another one, and
    leads to other pictures, with less high-frequency noise.

    Args:
        height: The height of the images, in pixels.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        decay: The exponent with which amplitudes fall, as `1 / frequency ** decay`; 1
            gives the spectrum of natural images.
        stddev: The standard deviation of the starting coefficients.
        color: As in `pixels`.

    Returns:
        A param with the latent `spectrum` `(n, channels, height, width // 2 + 1, 2)`:
        the real and imaginary parts of the half spectrum of the image before the
        sigmoid, divided by the amplitude that natural images have at each frequency.

    Raises:
        ValueError: As in `pixels`, or if `decay` is negative.

    >>> param = fourier(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = image_shape(height, width, channels)
    matrix = color_matrix(color, channels)
    check_not_negative(decay=decay, stddev=stddev)
    columns = width // 2 + 1
    amplitude = _natural_amplitude(height, width, decay)
    synthesize = synthesizer(shape, amplitude, matrix)
    # Of the waves in the first and the middle column, the inverse transform keeps only
    # the real part; this factor gives them the same energy as the others.
    energy_factor = np.where(column_counts(width) == 1, np.sqrt(2), 1)[:, None]
    deviations = tf.constant(stddev * energy_factor, tf.float32)
    amplitudes = tf.constant(amplitude[..., None])
    _, separate = channel_mixing(matrix)

    def init(seeds: Any) -> Latents:
        return {"spectrum": deviations * normal(seeds, (channels, height, columns, 2))}

    def decode(latents: Latents) -> Any:
        return synthesize(latents["spectrum"])

    def encode(images: Any) -> Latents:
        return {"spectrum": half_spectra(separate(images)) / amplitudes}

    spec = make_spec("fourier", shape, color, decay=decay, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


def synthesizer(
    shape: Shape, amplitude: NDArray[np.float32], matrix: NDArray[np.float32]
) -> Callable[[Any], Any]:
    """Return a function from half spectra to images, with a fast, exact gradient.

    Args:
        shape: The shape of the images, `(height, width, channels)`.
        amplitude: The factor of each wave, `(height, width // 2 + 1)`, or `(channels,
            height, width // 2 + 1)`.
        matrix: The matrix that mixes the channels, `(channels, channels)`.

    Returns:
        `synthesize(spectrum) -> images`, from real and imaginary parts `(n, channels,
        height, width // 2 + 1, 2)` to the sigmoid of the inverse transform in mixed
        channels.
    """
    height, width, _ = shape
    # Repeated for the real and the imaginary part: multiplying arrays of equal inner
    # sizes is several times faster than broadcasting along the last axis.
    amplitudes = tf.constant(np.repeat(amplitude[..., None], 2, axis=-1), tf.float32)
    # In the adjoint of the inverse transform, the columns that stand for two
    # frequencies, f and -f, count twice.
    adjoint = amplitude * column_counts(width) / (height * width)
    adjoints = tf.constant(np.repeat(adjoint[..., None], 2, axis=-1), tf.float32)
    mixing = tf.constant(matrix)

    # TensorFlow's own gradient of the inverse transform takes about twice as long.
    @tf.custom_gradient
    def compose(spectrum: Any) -> Any:
        waves = as_complex(spectrum * amplitudes)
        planes = tf.signal.irfft2d(waves, fft_length=[height, width])
        images = _to_images(planes, mixing)

        def gradient(upstream: Any) -> Any:
            waves = tf.signal.rfft2d(_to_planes(images, upstream, mixing))
            return as_parts(waves) * adjoints

        return images, gradient

    def synthesize(spectrum: Any) -> Any:
        return tf.ensure_shape(compose(spectrum), (spectrum.shape[0], *shape))

    return synthesize


# Compiled by XLA, each of the next two functions is one pass over the pixels. They
# belong to no param, so that equal sizes are compiled once. Products of single
# channels, unlike those of matrices, are exact on any device.
@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _to_images(planes: Any, matrix: Any) -> Any:
    """Return the sigmoid of mixed planes `(n, channels, h, w)`, with channels last."""
    mixed = tf.stack(_mixed(matrix, tf.unstack(planes, axis=1)), axis=1)
    return tf.transpose(tf.sigmoid(mixed), (0, 2, 3, 1))


@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _to_planes(images: Any, upstream: Any, matrix: Any) -> Any:
    """Return the gradient of `_to_images` with respect to the planes."""
    slope = upstream * images * (1 - images)
    return tf.stack(_mixed(tf.transpose(matrix), tf.unstack(slope, axis=3)), axis=1)


def _mixed(matrix: Any, channels: list[Any]) -> list[Any]:
    """Return for each row of a matrix the sum of channels that it weights."""
    return [
        tf.add_n(
            [weight * channel for weight, channel in zip(row, channels, strict=True)]
        )
        for row in map(tf.unstack, tf.unstack(matrix))
    ]


def half_spectra(planes: Any) -> Any:
    """Return the real and imaginary parts of the half spectra of images.

    Args:
        planes: The images, `(n, height, width, channels)`.

    Returns:
        The half spectra, `(n, channels, height, width // 2 + 1, 2)`.
    """
    height, width = planes.shape[1:3]
    # The adjoint is an inverse transform, in which the columns that stand for two
    # frequencies would count twice.
    shares = (height * width / column_counts(width)).astype(np.float32)[:, None]

    # TensorFlow's own gradient of the transform consists of products of matrices, which
    # are slower, and inexact on graphics cards.
    @tf.custom_gradient
    def transform(planes: Any) -> Any:
        # The transform halves the last axis, which must be the width.
        waves = tf.signal.rfft2d(tf.transpose(planes, (0, 3, 1, 2)))

        def gradient(upstream: Any) -> Any:
            waves = as_complex(upstream * shares)
            planes = tf.signal.irfft2d(waves, fft_length=[height, width])
            return tf.transpose(planes, (0, 2, 3, 1))

        return as_parts(waves), gradient

    return transform(planes)


def as_complex(parts: Any) -> Any:
    """Return complex numbers `(...)` of their real and imaginary parts `(..., 2)`."""
    # XLA has no bitcast of complex numbers, but fuses what replaces it here. Without
    # XLA, a bitcast takes no time, and its replacement some milliseconds in each step.
    if is_compiling():
        return tf.complex(parts[..., 0], parts[..., 1])
    return tf.bitcast(parts, tf.complex64)


def as_parts(waves: Any) -> Any:
    """Return the real and imaginary parts `(..., 2)` of complex numbers `(...)`."""
    if is_compiling():
        return tf.stack([tf.math.real(waves), tf.math.imag(waves)], axis=-1)
    return tf.bitcast(waves, tf.float32)


def _natural_amplitude(height: int, width: int, decay: float) -> NDArray[np.float32]:
    """Return the amplitude of each wave, `(height, width // 2 + 1)`.

    The square root of the number of pixels makes the transform unitary, so that the
    same learning rate has the same effect at every size.
    """
    gain = FOURIER_GAIN * np.sqrt(height * width)
    frequency = nonzero_frequencies(height, width)
    return (gain / frequency**decay).astype(np.float32)
