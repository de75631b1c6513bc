"""What is optimized: ways to hold images as tensors that a gradient can move.

A `Param` is a record of functions. Latents are a dict of float32 tensors whose axis
0 is the image; `decode` turns them into images `(n, height, width, channels)` in
[0, 1]. Seeds are int32 `(n, 2)`, one pair an image, so that an image's start does
not depend on its neighbours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz.color import correlation

Latents = dict[str, Any]

# Lucid divides the sum of the waves by 4 before the sigmoid, which sets how far one
# step of Adam moves a pixel; every published learning rate assumes it.
FOURIER_GAIN = 0.25
# An image that is encoded must stay where the sigmoid has a slope.
ENCODE_MARGIN = 1 / 512


@dataclass(frozen=True)
class Param:
    """A way to hold images.

    Attributes:
        init: `init(seeds) -> latents`, the starting point of each image.
        decode: `decode(latents) -> images` `(n, height, width, channels)` in [0, 1].
        shape: `(height, width, channels)` of the images.
        spec: The name of the factory and its settings, as JSON values. Empty for a
            param that cannot be made again from a description.
        project: `project(latents) -> latents`, applied after each step, or None.
        penalty: `penalty(latents) -> (n,)`, subtracted from the score, or None.
        encode: `encode(images) -> latents` whose decoding is near `images`, or None.
        group: How many images, one after the other, share something; a batch holds
            whole groups.
    """

    init: Callable[[Any], Latents]
    decode: Callable[[Latents], Any]
    shape: tuple[int, int, int]
    spec: Mapping[str, Any] = field(default_factory=dict)
    project: Callable[[Latents], Latents] | None = None
    penalty: Callable[[Latents], Any] | None = None
    encode: Callable[[Any], Latents] | None = None
    group: int = 1


def pixels(
    height: int,
    width: int,
    channels: int = 3,
    *,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold each pixel by itself.

    The plainest choice. Its pictures are dominated by high frequencies, which
    `fourier` avoids.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        channels: Of the images.
        stddev: Standard deviation of the start, before the sigmoid.
        color: A matrix `(channels, channels)` that takes independent channels to the
            image's. By default the one measured on ImageNet for three channels and
            the identity for other numbers.

    Returns:
        A param with the latent `pixels` `(n, height, width, channels)`.

    Raises:
        ValueError: If a size is below 1, `stddev` is negative, or `color` is no
            invertible `(channels, channels)` matrix.

    >>> param = pixels(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = _checked_shape(height, width, channels)
    matrix = _checked_color(color, channels)
    _check_not_negative(stddev=stddev)
    to_pixels = tf.constant(matrix.T)
    from_pixels = tf.constant(np.linalg.inv(matrix).T)

    def init(seeds: Any) -> Latents:
        return {"pixels": stddev * _normal(seeds, shape)}

    def decode(latents: Latents) -> Any:
        return tf.sigmoid(tf.matmul(latents["pixels"], to_pixels))

    def encode(images: Any) -> Latents:
        return {"pixels": tf.matmul(_logit(images), from_pixels)}

    spec = _spec("pixels", shape, color, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


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
    shape = _checked_shape(height, width, channels)
    matrix = _checked_color(color, channels)
    _check_not_negative(decay=decay, stddev=stddev)
    columns = width // 2 + 1
    amplitude = _amplitude(height, width, decay)
    # One number each for the real and the imaginary part: a product of equal inner
    # sizes is several times faster than one that stretches its last axis.
    amplitudes = tf.constant(np.repeat(amplitude[..., None], 2, axis=-1))
    # The adjoint of the inverse transform counts twice the columns that stand for
    # two frequencies, f and -f.
    weight = np.full(columns, 2.0)
    weight[0] = 1.0
    if width % 2 == 0:
        weight[-1] = 1.0
    adjoint = amplitude * weight / (height * width)
    adjoints = tf.constant(np.repeat(adjoint[..., None], 2, axis=-1), tf.float32)
    # The first and the middle column keep the real part of their waves alone; this
    # gives them the same energy as the others.
    lone = tf.constant(np.where(weight == 1, np.sqrt(2), 1)[:, None], tf.float32)
    to_pixels = tf.constant(matrix.T)
    from_pixels = tf.constant(np.linalg.inv(matrix).T)

    def init(seeds: Any) -> Latents:
        start = _normal(seeds, (channels, height, columns, 2))
        return {"spectrum": stddev * lone * start}

    # TensorFlow's own gradient of the inverse transform takes about twice as long.
    @tf.custom_gradient
    def synthesize(spectrum: Any) -> Any:
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

    def decode(latents: Latents) -> Any:
        images = synthesize(latents["spectrum"])
        return tf.ensure_shape(images, (latents["spectrum"].shape[0], *shape))

    def encode(images: Any) -> Latents:
        planes = tf.transpose(tf.matmul(_logit(images), from_pixels), (0, 3, 1, 2))
        waves = tf.bitcast(tf.signal.rfft2d(planes), tf.float32)
        return {"spectrum": waves / amplitudes}

    spec = _spec("fourier", shape, color, decay=decay, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


def from_spec(spec: Mapping[str, Any]) -> Param:
    """Make a param again from its description, as a saved picture holds it.

    Raises:
        ValueError: If no such param is known here.

    >>> from_spec(fourier(5, 7, decay=1.5).spec).spec["decay"]
    1.5
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    makers = {"pixels": pixels, "fourier": fourier}
    if name not in makers:
        raise ValueError(
            f"There is no param {name!r} to make again; there are {', '.join(makers)}."
        )
    return makers[name](**settings)


def _amplitude(height: int, width: int, decay: float) -> NDArray[np.float32]:
    """Return the natural amplitude of each frequency, `(height, width // 2 + 1)`.

    The square root of the number of pixels makes the transform unitary, so that a
    learning rate means the same at every size.
    """
    rows = np.fft.fftfreq(height)[:, None]
    columns = np.fft.rfftfreq(width)[None, :]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    gain = FOURIER_GAIN * np.sqrt(height * width)
    return (gain / frequency**decay).astype(np.float32)


def _normal(seeds: Any, shape: tuple[int, ...]) -> Any:
    """Draw `(n, *shape)` normal numbers, each image from its own seed."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal(shape, seed),
        tf.convert_to_tensor(seeds, tf.int32),
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def _logit(images: Any) -> Any:
    images = tf.clip_by_value(images, ENCODE_MARGIN, 1 - ENCODE_MARGIN)
    return tf.math.log(images) - tf.math.log1p(-images)


def _spec(
    name: str, shape: tuple[int, int, int], color: ArrayLike | None, **settings: float
) -> dict[str, Any]:
    height, width, channels = shape
    spec = {"name": name, "height": height, "width": width, "channels": channels}
    if color is not None:
        spec["color"] = np.asarray(color, float).tolist()
    return spec | settings


def _checked_shape(height: int, width: int, channels: int) -> tuple[int, int, int]:
    shape = (height, width, channels)
    if any(int(size) != size or size < 1 for size in shape):
        raise ValueError(
            "`height`, `width` and `channels` must be whole numbers from 1. "
            f"Received: height={height}, width={width}, channels={channels}"
        )
    return shape


def _checked_color(color: ArrayLike | None, channels: int) -> NDArray[np.float32]:
    if color is None:
        return correlation(channels)
    matrix = np.asarray(color, np.float32)
    square = (channels, channels)
    if matrix.shape != square or np.linalg.matrix_rank(matrix) < channels:
        raise ValueError(
            f"`color` must be an invertible matrix of shape {square}. "
            f"Received: color of shape {matrix.shape}"
        )
    return matrix


def _check_not_negative(**settings: float) -> None:
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")
