"""The transform, and the combination of transforms that move pixels into one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import ceil, pi, prod
from typing import Any

import tensorflow as tf

from tfviz._precision import matmul

# The default value outside of the image.
GREY = 0.5
# The description of a transform that has none of its own, so that a chain with such a
# step is not taken for one without it.
_UNDESCRIBED = {"name": "custom"}
Size = tuple[int, int]

# The bits of a uniform number, and the smallest one of which a logarithm is taken.
_BITS = 23
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Motion:
    """A random map of coordinates, as homogeneous 3x3 matrices.

    Attributes:
        matrices: A function `matrices(seeds, size) -> (n, 3, 3)`. The matrices map a
            point `(column, row, 1)` of the result to a point of an image of `size`.
        resize: A function `resize(size) -> size` that returns the height and width of
            the result.
        reach: The largest distance between two adjacent pixels of the image in the
            result; 1 if the map only shifts.
        fill: The value outside of the image.
    """

    matrices: Callable[[Any, Size], Any]
    resize: Callable[[Size], Size] = lambda size: size
    reach: float = 1.0
    fill: float = GREY


@dataclass(frozen=True)
class Transform:
    """A random change of images.

    Attributes:
        apply: A function `apply(images, seeds) -> images`.
        spec: The description of the transform: for each step its name and options, as
            JSON values. Without one, a transform is described as `custom`.
        motion: The map of coordinates, if the transform consists only of one.
    """

    apply: Callable[[Any, Any], Any]
    spec: tuple[Mapping[str, Any], ...] = (_UNDESCRIBED,)
    motion: Motion | None = None

    def __call__(self, images: Any, seeds: Any) -> Any:
        """Return the transformed images."""
        return self.apply(tf.convert_to_tensor(images, tf.float32), seeds)


def chain(*transforms: Transform) -> Transform:
    """Apply transforms one after another.

    Adjacent transforms that only move pixels are combined into one resampling.

    Args:
        *transforms: The transforms in the order in which they are applied.

    Returns:
        One transform. Its steps draw independently, even if they are equal.

    >>> from tfviz.transforms import crop, jitter, pad
    >>> images = tf.random.uniform((2, 9, 7, 3))
    >>> chain(pad(4), jitter(4), crop(4))(images, [[0, 1], [0, 2]]).shape
    TensorShape([2, 9, 7, 3])
    """
    stages: list[Callable[[Any, Any], Any]] = []
    motions: list[tuple[Callable[[Any], Any], Motion]] = []
    for place, step in enumerate(transforms):
        fold = fold_in(place)
        # Only motions with the same value outside of the image can be combined.
        if motions and (step.motion is None or step.motion.fill != motions[0][1].fill):
            stages.append(_combine(motions))
            motions = []
        if step.motion is None:
            stages.append(_seeded(step, fold))
        else:
            motions.append((fold, step.motion))
    if motions:
        stages.append(_combine(motions))

    def apply(images: Any, seeds: Any) -> Any:
        for stage in stages:
            images = stage(images, seeds)
        return images

    spec = tuple(entry for step in transforms for entry in step.spec)
    return Transform(apply, spec)


def moving(spec: Mapping[str, Any], motion: Motion) -> Transform:
    """Return the transform that consists only of a motion.

    Args:
        spec: Its name and options.
        motion: The motion.
    """
    return Transform(_combine([(lambda seeds: seeds, motion)]), (spec,), motion)


def fold_in(number: Any) -> Callable[[Any], Any]:
    """Return a function that derives new seeds from seeds and `number`.

    Seeds are keys of a counter-based random number generator, whose streams are
    independent even for adjacent keys. The factor keeps the first step of a nested
    chain from getting the seeds of the second step of the outer chain.
    """

    def fold(seeds: Any) -> Any:
        return tf.convert_to_tensor(seeds, tf.int32) * [[1, 31]] + [[0, number + 1]]

    return fold


def uniform(seeds: Any, count: int) -> Any:
    """Draw uniform numbers `(n, count)` from [0, 1), for each image from its seed."""
    seeds = tf.unstack(tf.convert_to_tensor(seeds, tf.int32))
    return tf.stack([_uniform(count, seed) for seed in seeds])


def normal(seeds: Any, shape: tuple[int, ...]) -> Any:
    """Draw standard normal numbers `(n, *shape)`, for each image from its seed."""
    count = prod(shape)
    seeds = tf.unstack(tf.convert_to_tensor(seeds, tf.int32))
    draws = tf.stack([_uniform(count + count % 2, seed) for seed in seeds])
    # The method of Box and Muller makes two normal numbers of two uniform ones.
    pairs = tf.reshape(draws, (len(seeds), -1, 2))
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(pairs[..., 0], _SMALLEST)))
    angle = 2 * pi * pairs[..., 1]
    numbers = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=-1)
    numbers = tf.reshape(numbers, (len(seeds), -1))[:, :count]
    return tf.reshape(numbers, (len(seeds), *shape))


def _uniform(count: int, seed: Any) -> Any:
    """Draw uniform numbers `(count,)` from [0, 1) that XLA draws as well.

    They are the numbers of `tf.random.stateless_uniform` outside of XLA. XLA makes the
    same bits, but other numbers of them.
    """
    bits = tf.random.stateless_uniform([count], seed, None, None, tf.uint32)
    bits = tf.bitwise.bitwise_and(bits, tf.constant(2**_BITS - 1, tf.uint32))
    return tf.cast(bits, tf.float32) * 2.0**-_BITS


def _seeded(
    transform: Transform, fold: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
    """Return a transform that derives its own seeds."""
    return lambda images, seeds: transform(images, fold(seeds))


def _combine(motions: list[tuple[Callable[[Any], Any], Motion]]) -> Callable[..., Any]:
    """Return `apply(images, seeds)`, which resamples once for all motions.

    Args:
        motions: For each motion, the function that derives its seeds, and the motion.
    """
    reach = reduce(lambda product, item: product * item[1].reach, motions, 1.0)
    fill = motions[0][1].fill

    def apply(images: Any, seeds: Any) -> Any:
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        size = (images.shape[1], images.shape[2])
        total = tf.eye(3, batch_shape=[seeds.shape[0]])
        for fold, motion in motions:
            total = matmul(total, motion.matrices(fold(seeds), size))
            size = motion.resize(size)
        return warp(images, total, size, reach=reach, fill=fill)

    return apply


def matrix(  # noqa: PLR0917 (the six numbers of a matrix)
    a: Any, b: Any, x: Any, c: Any, d: Any, y: Any
) -> Any:
    """Return matrices `(n, 3, 3)` of the rows `(a, b, x)`, `(c, d, y)`, `(0, 0, 1)`.

    `x` must have the shape `(n,)`; the other entries are broadcast to it.
    """
    columns = [
        tf.broadcast_to(tf.cast(entry, tf.float32), x.shape)
        for entry in (a, b, x, c, d, y, 0, 0, 1)
    ]
    return tf.reshape(tf.stack(columns, axis=1), (-1, 3, 3))


def about_centre(cosine: Any, sine: Any, size: Size) -> Any:
    """Return the matrices that rotate and scale about the centre of the image.

    Args:
        cosine: The cosine of the angle times the scale, `(n,)`.
        sine: The sine of the angle times the scale, `(n,)`.
        size: The height and width of the image.
    """
    row, column = (size[0] - 1) / 2, (size[1] - 1) / 2
    return matrix(
        cosine,
        -sine,
        column - cosine * column + sine * row,
        sine,
        cosine,
        row - sine * column - cosine * row,
    )


def warp(
    images: Any, matrices: Any, size: tuple[int, int], *, reach: float, fill: float
) -> Any:
    """Resample images bilinearly.

    The gradient with respect to the images is exact, up to rounding. There is no
    gradient with respect to the matrices.

    Args:
        images: `(n, height, width, channels)`.
        matrices: The matrices `(n, 3, 3)` that map a point `(column, row, 1)` of the
            result to a point of the image.
        size: The height and width of the result.
        reach: An upper bound of the distance, along either axis, between the positions
            in the result of two points of the image that are at most a pixel apart on
            each axis. If the bound is too low, the gradient is incomplete.
        fill: The value outside of the image.

    Returns:
        Images `(n, *size, channels)`.
    """

    @tf.custom_gradient
    def resample(images: Any) -> Any:
        result = _gather(images, matrices, size, fill)

        def gradient(upstream: Any) -> Any:
            shape = (images.shape[1], images.shape[2])
            return _scatter(upstream, matrices, shape, taps=ceil(2 * reach))

        return result, gradient

    return resample(images)


# XLA fuses the many small operations of the next two functions into one pass over the
# pixels.
@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _gather(images: Any, matrices: Any, size: tuple[int, int], fill: float) -> Any:
    """Interpolate each pixel of the result from the four pixels around its point."""
    columns, rows = _mapping(matrices)(*_grid(size))
    left, top = tf.floor(columns), tf.floor(rows)
    right_share, lower_share = (columns - left)[..., None], (rows - top)[..., None]
    pixels = _windows(images, left, top, 2, fill)
    upper = pixels(0, 0) + right_share * (pixels(0, 1) - pixels(0, 0))
    lower = pixels(1, 0) + right_share * (pixels(1, 1) - pixels(1, 0))
    return upper + lower_share * (lower - upper)


@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _scatter(upstream: Any, matrices: Any, size: tuple[int, int], taps: int) -> Any:
    """Return the adjoint of `_gather`: for each pixel, a sum over its points.

    The points of the result that were interpolated from a pixel are at most `reach`
    away from the pixel's own position in the result, so that a window of `taps` by
    `taps` points contains them all. Gathering them is several times faster than adding
    to scattered positions.
    """
    map_points = _mapping(matrices)
    columns, rows = _grid(size)
    middle_column, middle_row = _mapping(_inverse(matrices))(columns, rows)
    left = tf.math.ceil(middle_column - taps / 2)
    top = tf.math.ceil(middle_row - taps / 2)
    pixels = _windows(upstream, left, top, taps, 0.0)
    total = 0
    for down in range(taps):
        for right in range(taps):
            to_column, to_row = map_points(left + right, top + down)
            weight = _tent(to_row - rows) * _tent(to_column - columns)
            total += weight[..., None] * pixels(down, right)
    return total


def _grid(size: tuple[int, int]) -> tuple[Any, Any]:
    rows = tf.range(size[0], dtype=tf.float32)[None, :, None]
    columns = tf.range(size[1], dtype=tf.float32)[None, None, :]
    return columns, rows


def _mapping(matrices: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return the function that maps points `(column, row)` by matrices `(n, 3, 3)`."""
    # Outside of the function: tracing its many calls takes time.
    m = matrices[:, :, :, None, None]
    entries = [[m[:, row, column] for column in range(3)] for row in range(2)]

    def map_points(columns: Any, rows: Any) -> tuple[Any, Any]:
        (a, b, x), (c, d, y) = entries
        return a * columns + b * rows + x, c * columns + d * rows + y

    return map_points


def _inverse(matrices: Any) -> Any:
    """Return the inverses of matrices whose last row is `(0, 0, 1)`."""
    # Written out: a general inverse multiplies matrices, on some devices inexactly.
    a, b, x = (matrices[:, 0, k] for k in range(3))
    c, d, y = (matrices[:, 1, k] for k in range(3))
    determinant = a * d - b * c
    return matrix(
        *(d / determinant, -b / determinant, (b * y - d * x) / determinant),
        *(-c / determinant, a / determinant, (c * x - a * y) / determinant),
    )


def _tent(distance: Any) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0)


def _windows(
    images: Any, left: Any, top: Any, size: int, fill: float
) -> Callable[[int, int], Any]:
    """Return a function that looks up the pixels of square windows.

    Args:
        images: `(n, height, width, channels)`.
        left: The first column of each window, a whole number, `(n, rows, columns)`.
        top: The first row of each window.
        size: The side of the windows.
        fill: The value outside of the images.

    Returns:
        `pixels(down, right) -> (n, rows, columns, channels)`, the pixels of all windows
        at one place in them.
    """
    n, height, width, channels = images.shape
    # Windows that lie outside of the image are moved into a border around it, which is
    # faster than asking for each pixel whether it is inside.
    margins = [[0, 0], [size, size], [size, size], [0, 0]]
    padded = tf.pad(images, margins, constant_values=fill)
    column = tf.cast(tf.clip_by_value(left, -size, width), tf.int32) + size
    row = tf.cast(tf.clip_by_value(top, -size, height), tf.int32) + size
    line = width + 2 * size
    start = tf.range(n)[:, None, None] * (line * (height + 2 * size))
    start += row * line + column
    flat = tf.reshape(padded, (-1, channels))
    return lambda down, right: tf.gather(flat, start + (down * line + right))
