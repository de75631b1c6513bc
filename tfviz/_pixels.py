"""Images held pixel by pixel."""

from typing import Any

from numpy.typing import ArrayLike

from tfviz._param import (
    Latents,
    Param,
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
