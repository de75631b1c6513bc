"""Objectives that compare activations with a vector or with those of an image.

`direction` and `random_direction` point along a vector in the space of a layer's
channels; `inversion` and `caricature` point at the activations of a whole image.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import directions
from tfviz._errors import count_of
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize
from tfviz.objectives._base import Objective, Size, Units, take
from tfviz.objectives._units import check_channels, count_channels, neuron

# Smaller cosines are replaced by this one before a power is taken, as in Lucid: powers
# of a cosine near or below 0 leave no gradient to follow.
MIN_COSINE = 0.1

Place = tuple[int | None, int | None]
EVERYWHERE: Place = (None, None)


def direction(
    layer: str,
    vector: ArrayLike | Mapping[int, float],
    *,
    power: float = 0.0,
    row: int | None = None,
    column: int | None = None,
    name: str | None = None,
) -> Objective:
    """Maximize a direction in the space of a layer's channels.

    The score is `dot * max(cosine, 0.1) ** power` of the activation and the direction,
    at one position or averaged over all. A power above 0 penalizes activations that
    also point elsewhere (Carter et al.,
    https://distill.pub/2019/activation-atlas/#axis-alignment); with a power of 0, the
    score is a weighted sum of channels.

    Args:
        layer: The path of the layer.
        vector: The direction, `(channels,)`, or `(n, channels)` for one image each; or
            the weights of a few channels as `{channel: weight}`. `tfviz.directions`
            makes vectors.
        power: The power of the cosine, at least 0.
        row: The row of the position, from 0 at the top.
        column: The column of the position, from 0 at the left.
        name: A readable name of the direction.

    Returns:
        The objective.

    Raises:
        ValueError: If the vector is zero or not finite, or `power` is negative.

    >>> direction("fire8", {3: 1, 7: -0.5}).names
    ('fire8:3-0.5*fire8:7',)
    """
    _check_power(power)
    if isinstance(vector, Mapping):
        return _sparse_direction(layer, vector, power, (row, column), name)
    vectors = _as_vectors(vector)
    names = [name] * len(vectors) if name else None
    return _along_vectors(layer, vectors, power, (row, column), names=names)


def random_direction(
    layer: str, seed: int | Sequence[int], *, power: float = 0.0
) -> Objective:
    """Maximize a random direction in the space of a layer's channels.

    Pictures of random directions are interpretable less often than those of channels
    (https://distill.pub/2017/feature-visualization/#interaction).

    Args:
        layer: The path of the layer.
        seed: The seed of the direction, from 0, or several for one image each.
        power: As in `direction`.

    >>> random_direction("fire8", [0, 1]).names
    ('fire8:random:0', 'fire8:random:1')
    """
    seeds = np.atleast_1d(np.asarray(seed))
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or seeds.min(initial=0) < 0:
        raise ValueError(
            f"`seed` must be a whole number of at least 0. Received: {seed!r}"
        )
    names = tuple(f"{layer}:random:{number}" for number in seeds)

    def bind(adapter: Adapter, size: Size) -> Objective:
        channels = count_channels(adapter, size, layer)
        vectors = np.stack([directions.random(channels, int(s)) for s in seeds])
        return _along_vectors(layer, vectors, power, names=names, texts=names)

    return Objective((layer,), {"seed": seeds}, _unbound, names, bind=bind)


def inversion(layer: str, image: ArrayLike) -> Objective:
    """Reconstruct an image from its activations at a layer.

    The score is minus the squared distance between the activations and those of the
    image, divided by the squared length of the latter: 0 for a perfect reconstruction,
    and -1 if all activations are 0 (Mahendran & Vedaldi,
    https://arxiv.org/abs/1412.0035). Because positions matter, transforms that move
    the picture blur it.

    Args:
        layer: The path of the layer.
        image: The image, `(height, width, channels)` in [0, 1], or `(n, height, width,
            channels)` for one image each. It is scaled to the size that the model sees.

    Raises:
        ValueError: If the image has another shape or range.

    >>> inversion("fire3", np.full((64, 64, 3), 0.5)).names
    ('inversion(fire3)',)
    """

    def compare(activations: Any, target: Any) -> Any:
        distance = _sum(tf.square(activations - target))
        return -distance / (_sum(tf.square(target)) + 1e-12)

    return _of_image("inversion", layer, image, compare, ())


def caricature(layer: str, image: ArrayLike, *, power: float = 1.0) -> Objective:
    """Exaggerate the features that a layer detects in an image.

    The score is `dot / length * max(cosine, 0.1) ** power` of the activations and those
    of the image, where `length` is that of the latter, divided by the square root of
    the number of activations: how far the activations go in the direction of the
    image's (`dot_compare` in Lucid,
    https://distill.pub/2018/differentiable-parameterizations/).

    Args:
        layer: The path of the layer.
        image: As in `inversion`.
        power: The power of the cosine, at least 0. A higher power keeps the picture
            closer to the image.

    Raises:
        ValueError: If the image has another shape or range, or `power` is negative.

    >>> caricature("fire8", np.full((64, 64, 3), 0.5)).names
    ('caricature(fire8)',)
    """
    _check_power(power)

    def compare(activations: Any, target: Any) -> Any:
        n = activations.shape[0]
        a, b = tf.reshape(activations, (n, -1)), tf.reshape(target, (n, -1))
        dot, cosine = _dot_and_cosine(a, tf.math.l2_normalize(b, axis=1))
        return dot * _cosine_power(cosine, power) / a.shape[1] ** 0.5

    return _of_image("caricature", layer, image, compare, (power,))


def _sparse_direction(
    layer: str,
    weights: Mapping[int, float],
    power: float,
    place: Place,
    name: str | None,
) -> Objective:
    """Return the direction of a few weighted channels; all other weights are 0."""
    if not weights or not all(int(c) == c and c >= 0 for c in weights):
        raise ValueError(
            "`vector` must map channels, numbered from 0, to their weights. "
            f"Received: {dict(weights)}"
        )
    _as_vectors(list(weights.values()))
    terms = [
        f"{layer}:{c}" if w == 1 else f"{w:g}*{layer}:{c}" for c, w in weights.items()
    ]
    names = (name or "+".join(terms).replace("+-", "-"),)

    def bind(adapter: Adapter, size: Size) -> Objective:
        check_channels(adapter, size, layer, weights)
        vector = np.zeros((1, count_channels(adapter, size, layer)), np.float32)
        vector[0, list(weights)] = list(weights.values())
        bound = _along_vectors(layer, vector, power, place, names=names)
        return bound.bound(adapter, size)

    return Objective((layer,), {}, _unbound, names, bind=bind)


def _along_vectors(
    layer: str,
    vectors: NDArray[np.float32],
    power: float,
    place: Place = EVERYWHERE,
    *,
    names: Sequence[str] | None,
    texts: Sequence[str] | None = None,
) -> Objective:
    """Return the objective for vectors `(n, channels)`, at a place or everywhere."""
    is_placed = place != EVERYWHERE

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[layer]
        if is_placed:
            places = tf.stack([units["row"], units["column"]], axis=1)
            values = take(values, places)
        flat = tf.reshape(values, (values.shape[0], -1, values.shape[-1]))
        dot, cosine = _dot_and_cosine(flat, units["vector"][:, None])
        return tf.reduce_mean(dot * _cosine_power(cosine, power), axis=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        channels = count_channels(adapter, size, layer)
        if vectors.shape[1] != channels:
            raise ValueError(
                f"Layer {layer!r} has {count_of(channels, 'channel')}, so a direction "
                f"needs as many numbers. Received: {vectors.shape[1]}"
            )
        if not is_placed:
            return objective
        position = neuron(layer, 0, *place).bound(adapter, size).units
        if "row" not in position:
            raise ValueError(f"Layer {layer!r} has no map, so no row and column.")
        places = {k: np.repeat(position[k], len(vectors)) for k in ("row", "column")}
        return replace(objective, units={"vector": vectors} | places, bind=None)

    if texts is None:
        at = f",{place[0]},{place[1]}" if is_placed else ""
        texts = [
            f"direction({layer},{_digest(vector)},{power:g}{at})" for vector in vectors
        ]
    objective = Objective(
        (layer,),
        {"vector": vectors},
        score,
        tuple(names or texts),
        tuple(texts),
        bind,
        ("direction", layer, power, is_placed),
    )
    return objective


def _of_image(
    name: str, layer: str, image: ArrayLike, compare: Any, settings: tuple[Any, ...]
) -> Objective:
    """Return the objective that compares activations with those of an image."""
    images = np.asarray(image, np.float32)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "`image` must have the shape (height, width, channels) and lie in [0, 1]. "
            f"Received: shape {np.shape(image)}"
        )

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values, target = activations[layer], units["target"]
        if values.shape[1:] != target.shape[1:]:  # if transforms change the size
            target = tf.image.resize(target, values.shape[1:3])
        return compare(values, target)

    def bind(adapter: Adapter, size: Size) -> Objective:
        adapter.layer(layer, size)
        seen = tf.clip_by_value(resize(images, size), 0, 1)
        target = adapter(seen, layer)[layer].numpy()
        return replace(objective, units={"target": target}, bind=None)

    objective = Objective(
        (layer,),
        {},
        score,
        (f"{name}({layer})",) * len(images),
        tuple(
            f"{name}({','.join(map(str, (layer, _digest(i), *settings)))})"
            for i in images
        ),
        bind,
        (name, layer, *settings),
    )
    return objective


def _dot_and_cosine(values: Any, vectors: Any) -> tuple[Any, Any]:
    """Return the dot products with vectors over the last axis, and the cosines."""
    dot = tf.reduce_sum(values * vectors, axis=-1)
    lengths = tf.reduce_sum(tf.square(values), -1) * tf.reduce_sum(
        tf.square(vectors), -1
    )
    # The added number keeps the gradient of the root finite where all values are 0.
    return dot, dot * tf.math.rsqrt(lengths + 1e-12)


def _cosine_power(cosine: Any, power: float) -> Any:
    """Return `max(cosine, MIN_COSINE) ** power`."""
    return tf.maximum(cosine, MIN_COSINE) ** power if power else 1.0


def _check_power(power: float) -> None:
    if not power >= 0:
        raise ValueError(f"`power` must not be negative. Received: power={power}")


def _as_vectors(vector: ArrayLike) -> NDArray[np.float32]:
    """Return one vector or several as `(n, channels)`, after checking them."""
    vectors = np.atleast_2d(np.asarray(vector, np.float32))
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(
            "`vector` must consist of finite numbers and have the shape (channels,) or "
            f"(n, channels). Received: shape {np.shape(vector)}"
        )
    if not np.abs(vectors).max(axis=1, initial=0).all():
        raise ValueError("`vector` must not be zero: a zero vector has no direction.")
    return vectors


def _digest(values: NDArray[np.float32]) -> str:
    """Return a short hash of numbers, which names them in texts."""
    return hashlib.blake2b(
        np.ascontiguousarray(values).tobytes(), digest_size=6
    ).hexdigest()


def _unbound(*_: Any) -> Any:
    """Raise, as the score of an objective that `bind` replaces."""
    raise ValueError("This objective needs a model: call `bound` first.")


def _sum(values: Any) -> Any:
    """Return the sum over all axes but that of the images, `(n,)`."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
