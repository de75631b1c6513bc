"""What a transform is, and how transforms that move pixels join to one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import tensorflow as tf

from tfviz._warp import warp

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
