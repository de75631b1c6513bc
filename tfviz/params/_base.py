"""The record that describes a param, and the helpers that its kinds share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz._precision import matmul
from tfviz.statistics import correlation

Latents = dict[str, Any]
Shape = tuple[int, int, int]

# Images are clipped this far inside of [0, 1] before they are encoded: at 0 and 1 the
# logit is infinite, and near them the sigmoid has almost no gradient.
ENCODE_MARGIN = 1 / 512


@dataclass(frozen=True)
class Param:
    """A parameterization: how latents start, and how they become images.

    Attributes:
        init: `init(seeds) -> latents`, the starting point of each image.
        decode: `decode(latents) -> images` `(n, height, width, channels)` in [0, 1].
        shape: `(height, width, channels)` of the images.
        spec: The name of the factory and its settings, as JSON values. Empty for a
            param that cannot be restored from a description.
        project: `project(latents) -> latents`, applied after each step, or None.
        penalty: `penalty(latents) -> (n,)`, subtracted from the score, or None.
        encode: `encode(images) -> latents` that decode to `images`, at least
            approximately, or None.
        group: The number of consecutive images that share something. A batch contains
            whole groups only.
        view: `view(images, shape) -> images` `(n, *shape)`: what a model whose input
            has that shape sees of the images; see `tfviz.views`. By default the
            images are passed on unchanged.
        defaults: Arguments of `render` that suit this param and are used where the
            caller leaves them out: `transforms`, `learning_rate`, `momentum`,
            `candidates`.
        values: `values(latents)` returns the latents in the form that the decoder
            takes, where they are held in another form, such as waves; the effect of
            `project` is measured on these values. None if both forms are the same.
        diagnostics: Functions `(latents) -> (n,)` by name, whose values after the
            last step are part of the result.
        trained: What a learned decoder was trained with: `networks`, the hash of the
            weights (`Adapter.fingerprint`) of each network whose features took part,
            by its name, or None if the hash is unknown; `data`, the datasets that the
            decoder or these networks learned from; and `about`, a sentence. Empty if
            this is not known, and None if nothing was learned.
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
        """Return the same param with spatially independent latents, as an ablation.

        None if its latents are independent already, as far as is known.
        """
        return None


def normal(seeds: Any, shape: tuple[int, ...], stream: int | None = None) -> Any:
    """Draw `(n, *shape)` standard normal numbers, each image's from its own seed.

    Args:
        seeds: The seeds of the images, `(n, 2)`.
        shape: The shape of the numbers of one image.
        stream: Another stream gives other numbers from the same seeds.
    """
    draw = tf.random.stateless_normal
    if stream is None:
        return _draw(draw, seeds, shape)
    return _draw(
        lambda shape, seed: draw(shape, tf.random.fold_in(seed, stream)), seeds, shape
    )


def uniform(seeds: Any, shape: tuple[int, ...]) -> Any:
    """Draw `(n, *shape)` uniform numbers in [0, 1), each image's from its own seed."""
    return _draw(tf.random.stateless_uniform, seeds, shape)


def _draw(draw: Callable[..., Any], seeds: Any, shape: tuple[int, ...]) -> Any:
    return tf.map_fn(
        lambda seed: draw(shape, seed),
        tf.convert_to_tensor(seeds, tf.int32),
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def logit(images: Any) -> Any:
    """Return the values that the sigmoid maps to `images`, clipped near 0 and 1."""
    images = tf.clip_by_value(images, ENCODE_MARGIN, 1 - ENCODE_MARGIN)
    return tf.math.log(images) - tf.math.log1p(-images)


def channel_mixing(
    matrix: NDArray[np.float32],
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the function from independent channels to an image, and its inverse.

    Args:
        matrix: The matrix that mixes the channels, as `color_matrix` returns it.
    """
    to_pixels = tf.constant(matrix.T)
    from_pixels = tf.constant(np.linalg.inv(matrix).T)

    def mix(values: Any) -> Any:
        return tf.sigmoid(matmul(values, to_pixels))

    def separate(images: Any) -> Any:
        return matmul(logit(images), from_pixels)

    return mix, separate


def make_spec(
    name: str, shape: Shape, color: ArrayLike | None = None, **settings: Any
) -> dict[str, Any]:
    """Return the spec of a param: the arguments of its factory, as JSON values."""
    height, width, channels = shape
    spec = {"name": name, "height": height, "width": width, "channels": channels}
    if color is not None:
        spec["color"] = np.asarray(color, float).tolist()
    return spec | settings


def image_shape(height: int, width: int, channels: int) -> Shape:
    """Return the sizes as a shape, after checking that they are positive integers."""
    shape = (height, width, channels)
    if any(int(size) != size or size < 1 for size in shape):
        raise ValueError(
            "`height`, `width` and `channels` must be whole numbers of at least 1. "
            f"Received: height={height}, width={width}, channels={channels}"
        )
    return shape


def color_matrix(color: ArrayLike | None, channels: int) -> NDArray[np.float32]:
    """Return the matrix that mixes the channels, after checking that it is invertible.

    Without one, it is the matrix measured on natural images for three channels, and
    the identity for any other number.
    """
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
    """Raise ValueError if a number is below 0."""
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")


def check_positive_integers(**settings: int) -> None:
    """Raise ValueError if a number is not an integer of at least 1."""
    for name, value in settings.items():
        if int(value) != value or value < 1:
            raise ValueError(
                f"`{name}` must be a whole number of at least 1. "
                f"Received: {name}={value}"
            )


def check_unit_range(values: NDArray[Any], name: str, hint: str = "") -> None:
    """Raise ValueError if images have values outside of [0, 1], or NaN."""
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"`{name}` must lie in [0, 1]{hint}. "
            f"Received: {values.min():g} to {values.max():g}"
        )
