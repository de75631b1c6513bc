"""Images held as pixels: at full resolution alone, or at several resolutions."""

from typing import Any

import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz.params._base import (
    Latents,
    Param,
    channel_mixing,
    check_not_negative,
    check_positive_integers,
    color_matrix,
    image_shape,
    make_spec,
    normal,
)

# The weight of each level of `laplacian` relative to the next coarser one. With equal
# weights, fine detail dominates the pictures, as in `pixels`.
_LEVEL_RATIO = 0.7


def pixels(
    height: int,
    width: int,
    channels: int = 3,
    *,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold each pixel of an image by itself.

    This is the simplest parameterization. Its pictures are dominated by high
    frequencies, which `fourier` avoids.

    Args:
        height: The height of the images, in pixels.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        stddev: The standard deviation of the starting values, before the sigmoid.
        color: A matrix `(channels, channels)` that turns independent channels into
            those of the image. By default the one measured on ImageNet for three
            channels, and the identity for any other number.

    Returns:
        A param with the latent `pixels` `(n, height, width, channels)`.

    Raises:
        ValueError: If a size is below 1, `stddev` is negative, or `color` is not an
            invertible `(channels, channels)` matrix.

    >>> param = pixels(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = image_shape(height, width, channels)
    mix, separate = channel_mixing(color_matrix(color, channels))
    check_not_negative(stddev=stddev)

    def init(seeds: Any) -> Latents:
        return {"pixels": stddev * normal(seeds, shape)}

    def decode(latents: Latents) -> Any:
        return mix(latents["pixels"])

    def encode(images: Any) -> Latents:
        return {"pixels": separate(images)}

    spec = make_spec("pixels", shape, color, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


def laplacian(
    height: int,
    width: int,
    channels: int = 3,
    *,
    levels: int = 5,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold an image as a Laplacian pyramid: a sum of images at several resolutions.

    The pyramid is that of Burt & Adelson, 1983, as in Mordvintsev's DeepDream and in
    Lucid (https://github.com/tensorflow/lucid, optvis/param/lowres.py). Coarse
    structure can change as a whole, unlike in `pixels`, while each number acts on one
    place only, unlike in `fourier`.

    Args:
        height: The height of the images, in pixels.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        levels: The number of images that are summed. Each has half the size of the one
            before, rounded up, and is enlarged by linear interpolation; a step of the
            same size changes the picture 1 / 0.7 times as much.
        stddev: The standard deviation of the starting values of each level, before
            the sigmoid.
        color: As in `pixels`.

    Returns:
        A param with the latents `level_0` `(n, height, width, channels)`, `level_1`
        `(n, ceil(height / 2), ceil(width / 2), channels)` and so on.

    Raises:
        ValueError: As in `pixels`, or if `levels` is not a whole number of at least 1.

    >>> param = laplacian(5, 7, levels=2)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = image_shape(height, width, channels)
    mix, separate = channel_mixing(color_matrix(color, channels))
    check_positive_integers(levels=levels)
    check_not_negative(stddev=stddev)
    sizes = [(-(-height // 2**k), -(-width // 2**k)) for k in range(levels)]
    gains = [_LEVEL_RATIO ** (levels - 1 - k) for k in range(levels)]

    def init(seeds: Any) -> Latents:
        return {
            f"level_{k}": stddev * normal(seeds, (*size, channels), stream=k)
            for k, size in enumerate(sizes)
        }

    def decode(latents: Latents) -> Any:
        total = gains[-1] * latents[f"level_{levels - 1}"]
        for k in reversed(range(levels - 1)):
            total = gains[k] * latents[f"level_{k}"] + tf.image.resize(total, sizes[k])
        return mix(total)

    def encode(images: Any) -> Latents:
        total = separate(images)
        latents = {}
        for k in range(levels - 1):
            coarse = tf.image.resize(total, sizes[k + 1], antialias=True)
            fine = total - tf.image.resize(coarse, sizes[k])
            latents[f"level_{k}"] = fine / gains[k]
            total = coarse
        return latents | {f"level_{levels - 1}": total / gains[-1]}

    spec = make_spec("laplacian", shape, color, levels=levels, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)
