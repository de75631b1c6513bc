"""What a transform is, and how transforms that move pixels join to one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import ceil
from typing import Any

import tensorflow as tf

GREY = 0.5
Size = tuple[int, int]


@dataclass(frozen=True)
class Motion:
    """A map of coordinates, as homogeneous 3x3 matrices.

    Attributes:
        matrices: `matrices(seeds, size) -> (n, 3, 3)`, which take a point `(column,
            row, 1)` of the result to a point of an image of `size`.
        resize: `resize(size) -> size`, the height and width of the result.
        reach: How far two neighbouring pixels of the image can be moved apart, at
            most; 1 where the map only shifts.
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
        apply: `apply(images, seeds) -> images`.
        spec: One entry for each step: its name and settings as JSON values.
        motion: The map of coordinates, if the transform is nothing but one.
    """

    apply: Callable[[Any, Any], Any]
    spec: tuple[Mapping[str, Any], ...] = ()
    motion: Motion | None = None

    def __call__(self, images: Any, seeds: Any) -> Any:
        """Return the changed images."""
        return self.apply(tf.convert_to_tensor(images, tf.float32), seeds)


def chain(*transforms: Transform) -> Transform:
    """Apply one transform after the other.

    Neighbours that only move pixels are joined to one resampling.

    Args:
        *transforms: In the order in which they act on the image.

    Returns:
        One transform. Equal transforms at different places draw differently.

    >>> from tfviz.transforms import crop, jitter, pad
    >>> images = tf.random.uniform((2, 9, 7, 3))
    >>> chain(pad(4), jitter(4), crop(4))(images, [[0, 1], [0, 2]]).shape
    TensorShape([2, 9, 7, 3])
    """
    stages: list[Callable[[Any, Any], Any]] = []
    motions: list[tuple[Callable[[Any], Any], Motion]] = []
    for place, step in enumerate(transforms):
        fold = fold_in(place)
        # Motions are joined where they agree about what lies outside.
        if motions and (step.motion is None or step.motion.fill != motions[0][1].fill):
            stages.append(_joined(motions))
            motions = []
        if step.motion is None:
            stages.append(_seeded(step, fold))
        else:
            motions.append((fold, step.motion))
    if motions:
        stages.append(_joined(motions))

    def apply(images: Any, seeds: Any) -> Any:
        for stage in stages:
            images = stage(images, seeds)
        return images

    spec = tuple(entry for step in transforms for entry in step.spec)
    return Transform(apply, spec)


def moving(spec: Mapping[str, Any], motion: Motion) -> Transform:
    """Return the transform that is nothing but a motion."""
    return Transform(_joined([(lambda seeds: seeds, motion)]), (spec,), motion)


def fold_in(number: Any) -> Callable[[Any], Any]:
    """Return a function that makes new seeds out of seeds and `number`.

    Seeds are keys of a counter-based generator, whose streams are independent
    however near their keys are. The factor keeps the first step of a chain inside
    a chain apart from the second step of the outer one.
    """

    def fold(seeds: Any) -> Any:
        return tf.convert_to_tensor(seeds, tf.int32) * [[1, 31]] + [[0, number + 1]]

    return fold


def uniform(seeds: Any, count: int) -> Any:
    """Draw `(n, count)` numbers from [0, 1), each image's from its own seed."""
    seeds = tf.unstack(tf.convert_to_tensor(seeds, tf.int32))
    return tf.stack([tf.random.stateless_uniform([count], seed) for seed in seeds])


def _seeded(
    transform: Transform, fold: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
    return lambda images, seeds: transform(images, fold(seeds))


def _joined(motions: list[tuple[Callable[[Any], Any], Motion]]) -> Callable:
    """Return `apply(images, seeds)` for motions one after the other."""
    reach = reduce(lambda product, item: product * item[1].reach, motions, 1.0)
    fill = motions[0][1].fill

    def apply(images: Any, seeds: Any) -> Any:
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        size = (images.shape[1], images.shape[2])
        total = tf.eye(3, batch_shape=[seeds.shape[0]])
        for fold, motion in motions:
            total = tf.matmul(total, motion.matrices(fold(seeds), size))
            size = motion.resize(size)
        return warp(images, total, size, reach=reach, fill=fill)

    return apply


def matrix(  # noqa: PLR0917 (the six numbers of a matrix)
    a: Any, b: Any, x: Any, c: Any, d: Any, y: Any
) -> Any:
    """Stack the rows `(a, b, x)`, `(c, d, y)`, `(0, 0, 1)`, of which `x` has `(n,)`."""
    columns = [
        tf.broadcast_to(tf.cast(entry, tf.float32), x.shape)
        for entry in (a, b, x, c, d, y, 0, 0, 1)
    ]
    return tf.reshape(tf.stack(columns, axis=1), (-1, 3, 3))


def about_centre(cosine: Any, sine: Any, size: Size) -> Any:
    """Return the turn and zoom that leave the centre of the image where it is."""
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
    """Resample images.

    The gradient with respect to the images is exact, up to rounding; there is none
    with respect to the matrices.

    Args:
        images: `(n, height, width, channels)`.
        matrices: `(n, 3, 3)`, which take a point `(column, row, 1)` of the result to
            a point of the image.
        size: Height and width of the result.
        reach: Upper bound of the distance, in either axis, between the places in the
            result of two points of the image that are at most a pixel apart on
            each axis. The gradient is cut off where the bound is too low.
        fill: The value outside of the image.

    Returns:
        Images `(n, *size, channels)`.
    """

    @tf.custom_gradient
    def resample(images: Any) -> Any:
        # A constant outside is zero outside of the image minus that constant.
        result = _gather(images - fill, matrices, size) + fill

        def gradient(upstream: Any) -> Any:
            shape = (images.shape[1], images.shape[2])
            return _scatter(upstream, matrices, shape, taps=ceil(2 * reach))

        return result, gradient

    return resample(images)


# The compiler turns the many small steps of these two into one pass over the pixels.
@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _gather(images: Any, matrices: Any, size: tuple[int, int]) -> Any:
    """Sum the four pixels around each point, weighted by nearness."""
    columns, rows = _mapped(matrices, *_grid(size))
    left, top = tf.floor(columns), tf.floor(rows)
    total = 0
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = _tent(row - rows) * _tent(column - columns)
            total += weight[..., None] * _pixel(images, column, row)
    return total


@tf.function(jit_compile=True, autograph=False, reduce_retracing=False)
def _scatter(upstream: Any, matrices: Any, size: tuple[int, int], taps: int) -> Any:
    """Return the adjoint of `_gather`, as a sum over the points that used a pixel.

    Those points lie around the pixel's place in the result, no further than `reach`
    from it, so a window of `taps` by `taps` points holds them all. Gathering them is
    several times faster than adding to scattered places.
    """
    columns, rows = _grid(size)
    middle_column, middle_row = _mapped(tf.linalg.inv(matrices), columns, rows)
    first_column = tf.math.ceil(middle_column - taps / 2)
    first_row = tf.math.ceil(middle_row - taps / 2)
    total = 0
    for down in range(taps):
        for right in range(taps):
            column, row = first_column + right, first_row + down
            to_column, to_row = _mapped(matrices, column, row)
            weight = _tent(to_row - rows) * _tent(to_column - columns)
            total += weight[..., None] * _pixel(upstream, column, row)
    return total


def _grid(size: tuple[int, int]) -> tuple[Any, Any]:
    rows = tf.range(size[0], dtype=tf.float32)[None, :, None]
    columns = tf.range(size[1], dtype=tf.float32)[None, None, :]
    return columns, rows


def _mapped(matrices: Any, columns: Any, rows: Any) -> tuple[Any, Any]:
    m = matrices[:, :, :, None, None]
    return (
        m[:, 0, 0] * columns + m[:, 0, 1] * rows + m[:, 0, 2],
        m[:, 1, 0] * columns + m[:, 1, 1] * rows + m[:, 1, 2],
    )


def _tent(distance: Any) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0)


def _pixel(images: Any, columns: Any, rows: Any) -> Any:
    """Return the pixels at whole positions `(n, height, width)`; zero outside."""
    n, height, width, channels = images.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns = tf.cast(tf.clip_by_value(columns, 0, width - 1), tf.int32)
    rows = tf.cast(tf.clip_by_value(rows, 0, height - 1), tf.int32)
    start = tf.range(n)[:, None, None] * (height * width)
    flat = tf.reshape(images, (-1, channels))
    values = tf.gather(flat, start + rows * width + columns)
    return tf.where(inside[..., None], values, 0)
