"""Images held pixel by pixel."""

from typing import Any

import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz.params._base import (
    Latents,
    Param,
    check_from_one,
    check_not_negative,
    checked_color,
    checked_shape,
    describe,
    mixing,
    normal,
)


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
    shape = checked_shape(height, width, channels)
    mix, separate = mixing(checked_color(color, channels))
    check_not_negative(stddev=stddev)

    def init(seeds: Any) -> Latents:
        return {"pixels": stddev * normal(seeds, shape)}

    def decode(latents: Latents) -> Any:
        return mix(latents["pixels"])

    def encode(images: Any) -> Latents:
        return {"pixels": separate(images)}

    spec = describe("pixels", shape, color, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)


# How strongly a level moves the image, of the next coarser one. With equal levels,
# pictures are of glaring detail, as in `pixels`.
_FALL = 0.7


def laplacian(
    height: int,
    width: int,
    channels: int = 3,
    *,
    levels: int = 5,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold an image as the sum of images of which each has half the size of the last.

    A Laplacian pyramid (Burt & Adelson, 1983), as in Mordvintsev's DeepDream and in
    Lucid (https://github.com/tensorflow/lucid, optvis/param/lowres.py). Coarse
    structure can be moved at once, which `pixels` cannot; unlike in `fourier`, each
    number acts on one place.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        channels: Of the images.
        levels: How many images are summed. Each has half the size of the one before,
            rounded up, and is enlarged linearly; a step moves it further by 1 / 0.7.
        stddev: Standard deviation of the start of each level, before the sigmoid.
        color: As in `pixels`.

    Returns:
        A param with the latents `level_0` `(n, height, width, channels)`, `level_1`
        `(n, ceil(height / 2), ceil(width / 2), channels)` and so on.

    Raises:
        ValueError: As `pixels`, or if `levels` is no whole number from 1.

    >>> param = laplacian(5, 7, levels=2)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = checked_shape(height, width, channels)
    mix, separate = mixing(checked_color(color, channels))
    check_from_one(levels=levels)
    check_not_negative(stddev=stddev)
    sizes = [(-(-height // 2**k), -(-width // 2**k)) for k in range(levels)]
    gains = [_FALL ** (levels - 1 - k) for k in range(levels)]

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

    spec = describe("laplacian", shape, color, levels=levels, stddev=stddev)
    return Param(init, decode, shape, spec, encode=encode)
