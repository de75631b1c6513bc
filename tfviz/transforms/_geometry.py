"""Transforms that move pixels."""

from collections.abc import Sequence
from math import cos, radians, sin
from typing import Any

import tensorflow as tf

from tfviz._precision import matmul
from tfviz.transforms._base import (
    GREY,
    Motion,
    Size,
    Transform,
    about_centre,
    fold_in,
    matrix,
    moving,
    normal,
    uniform,
)

# The standard deviation of the centre of a box, as a share of the image.
_BOX_SPREAD = 0.15


def pad(pixels: int, *, fill: float = GREY) -> Transform:
    """Add a border on each side.

    Args:
        pixels: The width of the border in pixels.
        fill: The value of the border.
    """
    _check_whole(pixels=pixels)
    return _frame("pad", pixels, -pixels, fill)


def crop(pixels: int) -> Transform:
    """Remove a border on each side.

    Args:
        pixels: The width of the border in pixels.
    """
    _check_whole(pixels=pixels)
    return _frame("crop", pixels, pixels, GREY)


def jitter(pixels: int) -> Transform:
    """Shift by a random whole number of pixels along each axis.

    Args:
        pixels: The largest shift in pixels.
    """
    _check_whole(pixels=pixels)

    def matrices(seeds: Any, size: Size) -> Any:
        shift = tf.floor(uniform(seeds, 2) * (2 * pixels + 1)) - pixels
        return matrix(1, 0, shift[:, 0], 0, 1, shift[:, 1])

    return moving({"name": "jitter", "pixels": pixels}, Motion(matrices))


def scale(factors: Sequence[float]) -> Transform:
    """Scale about the centre by a random factor; the size of the image stays the same.

    Args:
        factors: The factors to draw from; factors above 1 magnify. A factor that is
            listed several times is drawn more often.
    """
    factors = _check_choices("factors", factors)
    if min(factors) <= 0:
        raise ValueError(f"`factors` must be above 0. Received: factors={factors}")

    def matrices(seeds: Any, size: Size) -> Any:
        inverse = 1 / _choose(seeds, factors)
        return about_centre(inverse, 0 * inverse, size)

    motion = Motion(matrices, reach=max(factors))
    return moving({"name": "scale", "factors": factors}, motion)


def rotate(degrees: Sequence[float]) -> Transform:
    """Rotate about the centre, counter-clockwise, by a random angle.

    Args:
        degrees: The angles to draw from. An angle that is listed several times is
            drawn more often.
    """
    degrees = _check_choices("degrees", degrees)

    def matrices(seeds: Any, size: Size) -> Any:
        angle = _choose(seeds, [radians(angle) for angle in degrees])
        return about_centre(tf.cos(angle), tf.sin(angle), size)

    spread = [abs(cos(radians(a))) + abs(sin(radians(a))) for a in degrees]
    motion = Motion(matrices, reach=max(spread))
    return moving({"name": "rotate", "degrees": degrees}, motion)


def flip() -> Transform:
    """Mirror the image horizontally with a probability of one half."""

    def matrices(seeds: Any, size: Size) -> Any:
        sign = tf.sign(uniform(seeds, 1)[:, 0] - 0.5 + 1e-9)
        return matrix(sign, 0, (1 - sign) / 2 * (size[1] - 1), 0, 1, 0)

    return moving({"name": "flip"}, Motion(matrices))


def box(low: float, high: float) -> Transform:
    """Cut out a random box and enlarge it bilinearly to the size of the image.

    As in MaCo, the centre of the box is drawn from a normal distribution about the
    middle of the image, with a standard deviation of 0.15 times the image's size, and
    then moved so that the box is inside the image.

    Args:
        low: The smallest share of the image's height and width, above 0.
        high: The largest share of the image's height and width, at most 1.
    """
    if not 0 < low <= high <= 1:
        raise ValueError(
            f"box needs 0 < low <= high <= 1. Received: low={low}, high={high}"
        )

    # This is not a motion, because the gradient of a motion sums over all points within
    # reach, which are too many for a large factor. Two matrix products along the axes
    # are seven times faster for a quarter of the image, and as fast for any other box.
    def apply(images: Any, seeds: Any) -> Any:
        n, height, width, channels = images.shape
        share = low + (high - low) * uniform(seeds, 1)
        centre = 0.5 + _BOX_SPREAD * _normal(seeds, 2)
        centre = tf.clip_by_value(centre, share / 2, 1 - share / 2)
        down = _sampling(share, centre[:, :1], height)
        right = _sampling(share, centre[:, 1:], width)
        images = matmul(down, tf.reshape(images, (n, height, -1)))
        images = tf.reshape(images, (n, height, width, channels))
        images = tf.reshape(tf.transpose(images, (0, 2, 1, 3)), (n, width, -1))
        images = matmul(right, images)
        images = tf.reshape(images, (n, width, height, channels))
        return tf.transpose(images, (0, 2, 1, 3))

    return Transform(apply, ({"name": "box", "low": low, "high": high},))


def _frame(name: str, pixels: int, offset: int, fill: float) -> Transform:
    """Return the transform that starts at `offset` and ends as far from the far edge.

    Args:
        name: The name of the transform.
        pixels: Its option.
        offset: The first row and column of the image in the result; negative to pad.
        fill: The value outside of the image.
    """

    def matrices(seeds: Any, size: Size) -> Any:
        offsets = tf.fill([seeds.shape[0]], float(offset))
        return matrix(1, 0, offsets, 0, 1, offsets)

    def resize(size: Size) -> Size:
        height, width = (length - 2 * offset for length in size)
        if height < 1 or width < 1:
            raise ValueError(
                f"crop({pixels}) leaves nothing of an image of {size[0]}x{size[1]}. "
                "Use a smaller crop, or render a larger image."
            )
        return height, width

    spec = {"name": name, "pixels": pixels}
    if fill != GREY:
        spec["fill"] = fill
    return moving(spec, Motion(matrices, resize, fill=fill))


def _choose(seeds: Any, values: Sequence[float]) -> Any:
    index = tf.cast(uniform(seeds, 1)[:, 0] * len(values), tf.int32)
    return tf.gather(tf.constant(list(values), tf.float32), index)


def _check_choices(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return values to draw from as a tuple, or raise a ValueError if it is empty."""
    if not len(values):
        raise ValueError(f"`{name}` must hold at least one number. Received: {values}")
    return tuple(values)


def _check_whole(pixels: int) -> None:
    if int(pixels) != pixels or pixels < 0:
        raise ValueError(
            f"`pixels` must be a whole number from 0. Received: pixels={pixels}"
        )


def _sampling(share: Any, centre: Any, length: int) -> Any:
    """Return matrices `(n, length, length)` that enlarge a part of an axis.

    Args:
        share: The length of the part, as a share of the axis, `(n, 1)`.
        centre: The centre of the part, as a share of the axis, `(n, 1)`.
        length: The length of the axis in pixels.
    """
    # Positions are those of pixel centres, so that a share of 1 changes nothing.
    places = (tf.range(length, dtype=tf.float32) + 0.5) / length - 0.5
    places = (share * places + centre) * length - 0.5
    places = tf.clip_by_value(places, 0, length - 1)
    pixels = tf.range(length, dtype=tf.float32)
    return tf.maximum(1 - tf.abs(places[..., None] - pixels), 0)


def _normal(seeds: Any, count: int) -> Any:
    # Another stream of random numbers than that of `uniform`.
    return normal(fold_in(0)(seeds), (count,))
