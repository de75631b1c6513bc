"""What an image must survive: random changes that only real features outlast.

A `Transform` takes images `(n, height, width, channels)` in [0, 1] and int32 seeds
`(n, 2)`, one pair an image, and returns images; each image draws its own change from
its own seed. Results are not clipped. Sizes change by fixed numbers of pixels only.

Everything that moves pixels (`pad`, `crop`, `jitter`, `rotate`, `scale`, `flip`) is a
map of coordinates. `chain` multiplies neighbouring maps and resamples once, so that a
long chain blurs no more than one step. What lies outside of the image is filled with
a constant, grey by default. Only `box` resamples by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import ceil, cos, radians, sin
from typing import Any

import tensorflow as tf

from tfviz._box import box
from tfviz._transform import (
    GREY,
    Motion,
    Size,
    Transform,
    about_centre,
    chain,
    matrix,
    moving,
    uniform,
)

__all__ = [
    "PRESETS",
    "Motion",
    "Transform",
    "blur",
    "box",
    "chain",
    "crop",
    "distill",
    "flip",
    "from_spec",
    "jitter",
    "lucid",
    "maco",
    "noise",
    "none",
    "pad",
    "rotate",
    "scale",
    "uniform",
]


# Presets are the same objects in each call, so that what is compiled for them is kept.
@cache
def none() -> Transform:
    """Leave images as they are."""
    return chain()


@cache
def distill() -> Transform:
    """Return the transforms of the article, with the ranges of its footnote.

    Padding by 16 pixels, a shift by up to 16, a scale from 0.95 to 1.05, a rotation
    by up to 5 degrees, a shift by up to 8, and cropping the padding (Olah et al.,
    https://distill.pub/2017/feature-visualization/#regularizer-playground).
    """
    return chain(*_distilled())


@cache
def gentle() -> Transform:
    """Return mild transforms, for params that can hold nothing but natural images.

    Padding by 8 pixels, a shift by up to 8, a scale from 0.95 to 1.05, a rotation by
    up to 4 degrees, and cropping the padding. What a generator makes needs no more to
    be free of noise, and strong rotation draws it away from what it was trained on.
    """
    return chain(
        pad(8),
        jitter(8),
        scale([1 + (i - 5) / 100 for i in range(11)]),
        rotate(range(-4, 5)),
        crop(8),
    )


@cache
def lucid() -> Transform:
    """Return the transforms that Lucid uses unless told otherwise.

    Padding by 12 pixels, a crop that shifts by up to 4, a scale from 0.9 to 1.1, a
    rotation by up to 10 degrees of which none is the most likely, and a crop that
    shifts by up to 2. The image grows by 12 pixels on each axis
    (https://github.com/tensorflow/lucid, optvis/transform.py). Lucid's scale changes
    the size of the image; here the size stays and the padding comes into view.
    """
    return chain(
        pad(12),
        jitter(4),
        scale([1 + (i - 5) / 50 for i in range(11)]),
        rotate([*range(-10, 11), 0, 0, 0, 0, 0]),
        jitter(2),
        crop(6),
    )


@cache
def maco() -> Transform:
    """Return the transforms for `params.maco`: a random box, then those of `distill`.

    Boxes of 0.6 to 1 of the image draw what is seen to its middle, where `distill`
    alone repeats it all over. The published boxes are smaller, but of images several
    times as large as what the model sees, and 32 at each step; noise does there what
    turning and scaling do here (Fel et al., https://arxiv.org/abs/2306.06805).
    """
    return chain(box(0.6, 1.0), *_distilled())


PRESETS = {
    "distill": distill,
    "gentle": gentle,
    "lucid": lucid,
    "maco": maco,
    "none": none,
}


def pad(pixels: int, *, fill: float = GREY) -> Transform:
    """Add a border of `pixels` of the value `fill` on each side."""
    _check_whole(pixels=pixels)
    return _frame("pad", pixels, -pixels, fill)


def crop(pixels: int) -> Transform:
    """Take off a border of `pixels` on each side."""
    _check_whole(pixels=pixels)
    return _frame("crop", pixels, pixels, GREY)


def jitter(pixels: int) -> Transform:
    """Shift by up to `pixels`, in whole pixels, in any direction."""
    _check_whole(pixels=pixels)

    def matrices(seeds: Any, size: Size) -> Any:
        shift = tf.floor(uniform(seeds, 2) * (2 * pixels + 1)) - pixels
        return matrix(1, 0, shift[:, 0], 0, 1, shift[:, 1])

    return moving({"name": "jitter", "pixels": pixels}, Motion(matrices))


def scale(factors: Sequence[float]) -> Transform:
    """Zoom about the centre by one of `factors`; above 1 magnifies.

    Args:
        factors: To choose from, each as likely as its share of the list.
    """
    factors = _checked_choice("factors", factors)
    if min(factors) <= 0:
        raise ValueError(f"`factors` must be above 0. Received: factors={factors}")

    def matrices(seeds: Any, size: Size) -> Any:
        inverse = 1 / _choose(seeds, factors)
        return about_centre(inverse, 0 * inverse, size)

    motion = Motion(matrices, reach=max(factors))
    return moving({"name": "scale", "factors": factors}, motion)


def rotate(degrees: Sequence[float]) -> Transform:
    """Turn about the centre, counter-clockwise, by one of the angles `degrees`.

    Args:
        degrees: To choose from, each as likely as its share of the list.
    """
    degrees = _checked_choice("degrees", degrees)

    def matrices(seeds: Any, size: Size) -> Any:
        angle = _choose(seeds, [radians(angle) for angle in degrees])
        return about_centre(tf.cos(angle), tf.sin(angle), size)

    spread = [abs(cos(radians(a))) + abs(sin(radians(a))) for a in degrees]
    motion = Motion(matrices, reach=max(spread))
    return moving({"name": "rotate", "degrees": degrees}, motion)


def flip() -> Transform:
    """Mirror left and right, or not, with equal chances."""

    def matrices(seeds: Any, size: Size) -> Any:
        sign = tf.sign(uniform(seeds, 1)[:, 0] - 0.5 + 1e-9)
        return matrix(sign, 0, (1 - sign) / 2 * (size[1] - 1), 0, 1, 0)

    return moving({"name": "flip"}, Motion(matrices))


def blur(low: float, high: float | None = None) -> Transform:
    """Blur with a Gaussian whose standard deviation lies between `low` and `high`.

    Args:
        low: In pixels, above 0.
        high: In pixels. By default `low`, so that nothing is drawn.
    """
    high = low if high is None else high
    if not 0 < low <= high:
        raise ValueError(
            f"blur needs 0 < low <= high. Received: low={low}, high={high}"
        )
    # As SciPy: the kernel ends after four standard deviations, and the image goes
    # on beyond its edges as its mirror image.
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
    """Add normal noise of standard deviation `stddev` to each pixel and channel."""
    if not stddev >= 0:
        raise ValueError(f"`stddev` must not be negative. Received: stddev={stddev}")

    def apply(images: Any, seeds: Any) -> Any:
        seeds = tf.unstack(tf.convert_to_tensor(seeds, tf.int32))
        shape = tf.shape(images)[1:]
        draws = [tf.random.stateless_normal(shape, seed) for seed in seeds]
        return images + stddev * tf.stack(draws)

    return Transform(apply, ({"name": "noise", "stddev": stddev},))


def from_spec(spec: Sequence[Mapping[str, Any]]) -> Transform:
    """Make a chain again from its description, as a saved picture holds it.

    >>> from_spec(lucid().spec).spec == lucid().spec
    True
    """
    known = (pad, crop, jitter, scale, rotate, flip, box, blur, noise)
    makers: dict[str, Callable[..., Transform]] = {f.__name__: f for f in known}
    steps = []
    for entry in spec:
        settings = dict(entry)
        name = settings.pop("name")
        if name not in makers:
            raise ValueError(
                f"There is no transform {name!r} to make again; there are "
                f"{', '.join(makers)}."
            )
        steps.append(makers[name](**settings))
    return chain(*steps)


def _distilled() -> list[Transform]:
    return [
        pad(16),
        jitter(16),
        scale((1, 0.975, 1.025, 0.95, 1.05)),
        rotate(range(-5, 6)),
        jitter(8),
        crop(16),
    ]


def _frame(name: str, pixels: int, offset: int, fill: float) -> Transform:
    """Return a motion whose result starts at `offset` and ends as far from the end."""

    def matrices(seeds: Any, size: Size) -> Any:
        offsets = tf.fill([seeds.shape[0]], float(offset))
        return matrix(1, 0, offsets, 0, 1, offsets)

    def resize(size: Size) -> Size:
        height, width = (length - 2 * offset for length in size)
        if height < 1 or width < 1:
            raise ValueError(
                f"crop({pixels}) leaves nothing of an image of {size[0]}x{size[1]}. "
                "Crop less, or render a larger image."
            )
        return height, width

    spec = {"name": name, "pixels": pixels}
    if fill != GREY:
        spec["fill"] = fill
    return moving(spec, Motion(matrices, resize, fill=fill))


def _choose(seeds: Any, values: Sequence[float]) -> Any:
    index = tf.cast(uniform(seeds, 1)[:, 0] * len(values), tf.int32)
    return tf.gather(tf.constant(list(values), tf.float32), index)


def _convolve(images: Any, kernel: Any, radius: int, axis: int) -> Any:
    """Convolve along `axis` with a kernel `(n, 2 * radius + 1)` of each image's own."""
    length = images.shape[axis]
    period = 2 * length
    # Positions beyond the edges, mirrored with the edge pixel doubled.
    positions = [p % period for p in range(-radius, length + radius)]
    mirrored = [p if p < length else period - 1 - p for p in positions]
    images = tf.gather(images, mirrored, axis=axis)
    total = 0
    for place in range(2 * radius + 1):
        window = [slice(None)] * 4
        window[axis] = slice(place, place + length)
        total += kernel[:, place, None, None, None] * images[tuple(window)]
    return total


def _checked_choice(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if not len(values):
        raise ValueError(f"`{name}` must hold at least one number. Received: {values}")
    return tuple(values)


def _check_whole(pixels: int) -> None:
    if int(pixels) != pixels or pixels < 0:
        raise ValueError(
            f"`pixels` must be a whole number from 0. Received: pixels={pixels}"
        )
