"""What a param is, and what its kinds have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz.statistics import correlation

Latents = dict[str, Any]
Shape = tuple[int, int, int]

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
        group: How many images, one after the other, share something. A batch holds
            whole groups.
        view: `view(images, shape) -> images` `(n, *shape)`: what a model that takes
            images of that shape is shown; see `tfviz.views`. By default the images
            as they are.
        defaults: Arguments of `render` that suit this param, for those who give none:
            `transforms`, `learning_rate`, `candidates`.
        values: `values(latents)`, what a decoder takes where the latents are held in
            another form, as waves: a projection is judged by what it changes there.
        diagnostics: Functions `(latents) -> (n,)` by name, whose values at the end are
            in the result.
        trained: What a decoder was trained with: as `network`, the hash of a network's
            weights (`Adapter.fingerprint`). None for what is not learned.
    """

    init: Callable[[Any], Latents]
    decode: Callable[[Latents], Any]
    shape: Shape
    spec: Mapping[str, Any] = field(default_factory=dict)
    project: Callable[[Latents], Latents] | None = None
    penalty: Callable[[Latents], Any] | None = None
    encode: Callable[[Any], Latents] | None = None
    group: int = 1
    view: Callable[[Any, Shape], Any] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    values: Callable[[Latents], Latents] | None = None
    diagnostics: Mapping[str, Callable[[Latents], Any]] = field(default_factory=dict)
    trained: Mapping[str, Any] | None = None

    def white(self) -> "Param | None":
        """Return the same with latents whose places are independent, as an ablation.

        None if they are, as far as is known.
        """
        return None


def normal(seeds: Any, shape: tuple[int, ...], stream: int | None = None) -> Any:
    """Draw `(n, *shape)` normal numbers, each image from its own seed.

    Args:
        seeds: `(n, 2)`.
        shape: Of what each image gets.
        stream: Sets draws from the same seeds apart.
    """
    draw = tf.random.stateless_normal
    if stream is None:
        return _draw(draw, seeds, shape)
    return _draw(
        lambda shape, seed: draw(shape, tf.random.fold_in(seed, stream)), seeds, shape
    )


def uniform(seeds: Any, shape: tuple[int, ...]) -> Any:
    """Draw `(n, *shape)` numbers from [0, 1), each image from its own seed."""
    return _draw(tf.random.stateless_uniform, seeds, shape)


def _draw(draw: Callable[..., Any], seeds: Any, shape: tuple[int, ...]) -> Any:
    return tf.map_fn(
        lambda seed: draw(shape, seed),
        tf.convert_to_tensor(seeds, tf.int32),
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def logit(images: Any) -> Any:
    """Return what the sigmoid turns into `images`, but for its ends."""
    images = tf.clip_by_value(images, ENCODE_MARGIN, 1 - ENCODE_MARGIN)
    return tf.math.log(images) - tf.math.log1p(-images)


def mixing(
    matrix: NDArray[np.float32],
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return what makes an image of independent channels, and its inverse.

    Args:
        matrix: What mixes the channels, as `checked_color` returns it.
    """
    to_pixels = tf.constant(matrix.T)
    from_pixels = tf.constant(np.linalg.inv(matrix).T)

    def mix(values: Any) -> Any:
        return tf.sigmoid(tf.matmul(values, to_pixels))

    def separate(images: Any) -> Any:
        return tf.matmul(logit(images), from_pixels)

    return mix, separate


def describe(
    name: str, shape: Shape, color: ArrayLike | None = None, **settings: Any
) -> dict[str, Any]:
    """Return the spec of a param: the arguments of its factory, as JSON values."""
    height, width, channels = shape
    spec = {"name": name, "height": height, "width": width, "channels": channels}
    if color is not None:
        spec["color"] = np.asarray(color, float).tolist()
    return spec | settings


def checked_shape(height: int, width: int, channels: int) -> Shape:
    """Return the shape of an image, or refuse it."""
    shape = (height, width, channels)
    if any(int(size) != size or size < 1 for size in shape):
        raise ValueError(
            "`height`, `width` and `channels` must be whole numbers from 1. "
            f"Received: height={height}, width={width}, channels={channels}"
        )
    return shape


def checked_color(color: ArrayLike | None, channels: int) -> NDArray[np.float32]:
    """Return the matrix that mixes the channels, or refuse it."""
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


def check_not_negative(**settings: float) -> None:
    """Refuse numbers below 0."""
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")


def check_unit_range(values: NDArray, name: str, hint: str = "") -> None:
    """Refuse images that leave [0, 1], or hold NaN."""
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"`{name}` must lie in [0, 1]{hint}. "
            f"Received: {values.min():g} to {values.max():g}"
        )


def check_from_one(**settings: int) -> None:
    """Refuse what is no whole number from 1."""
    for name, value in settings.items():
        if int(value) != value or value < 1:
            raise ValueError(
                f"`{name}` must be a whole number from 1. Received: {name}={value}"
            )
