"""Objectives that point somewhere in the space of a layer's channels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import directions
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize
from tfviz.objectives._base import Objective, Size, Units
from tfviz.objectives._units import neuron

# Below this the cosine's power would leave no slope to climb, as in Lucid.
LEAST_COSINE = 0.1

Place = tuple[int | None, int | None]
NOWHERE: Place = (None, None)


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

    The score is `dot * max(cosine, 0.1) ** power` of the activation with the
    direction, at one position, or its mean over all. A power above 0 asks for
    activations that point along the direction and nowhere else (Carter et al.,
    https://distill.pub/2019/activation-atlas/#axis-alignment); without it, the score
    is a weighted sum of channels.

    Args:
        layer: Path of the layer.
        vector: `(channels,)`, or `(n, channels)` for one image each; or the weights
            of a few channels as `{channel: weight}`. See `tfviz.directions`.
        power: Of the cosine, from 0.
        row: Of the position, from 0 at the top.
        column: Of the position, from 0 at the left.
        name: What to call it.

    Returns:
        The objective.

    Raises:
        ValueError: If the vector is zero or not finite, or `power` is negative.

    >>> direction("fire8", {3: 1, 7: -0.5}).names
    ('fire8:3-0.5*fire8:7',)
    """
    if not power >= 0:
        raise ValueError(f"`power` must not be negative. Received: power={power}")
    if isinstance(vector, Mapping):
        return _of_few(layer, vector, power, (row, column), name)
    vectors = _checked_vectors(vector)
    named = [name] * len(vectors) if name else None
    return _pointing(layer, vectors, power, (row, column), names=named)


def random_direction(
    layer: str, seed: int | Sequence[int], *, power: float = 0.0
) -> Objective:
    """Maximize a random direction in the space of a layer's channels.

    Random directions look less like something than channels do, but are interpretable
    now and then (https://distill.pub/2017/feature-visualization/#interaction).

    Args:
        layer: Path of the layer.
        seed: Of the direction, from 0; several for one image each.
        power: As for `direction`.

    >>> random_direction("fire8", [0, 1]).names
    ('fire8:random:0', 'fire8:random:1')
    """
    seeds = np.atleast_1d(np.asarray(seed))
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or seeds.min(initial=0) < 0:
        raise ValueError(f"`seed` must be a whole number from 0. Received: {seed!r}")
    names = tuple(f"{layer}:random:{number}" for number in seeds)

    def bind(adapter: Adapter, size: Size) -> Objective:
        channels = _channels(adapter, size, layer)
        vectors = np.stack([directions.random(channels, int(s)) for s in seeds])
        return _pointing(layer, vectors, power, names=names, texts=names)

    return Objective((layer,), {"seed": seeds}, _unbound, names, bind=bind)


def _of_few(
    layer: str,
    weights: Mapping[int, float],
    power: float,
    place: Place,
    name: str | None,
) -> Objective:
    """Return the direction of a few channels, whose number the model knows."""
    if not weights or not all(int(c) == c and c >= 0 for c in weights):
        raise ValueError(
            "`vector` must hold channels from 0 and their weights. "
            f"Received: {dict(weights)}"
        )
    _checked_vectors(list(weights.values()))
    terms = [
        f"{layer}:{c}" if w == 1 else f"{w:g}*{layer}:{c}" for c, w in weights.items()
    ]
    names = (name or "+".join(terms).replace("+-", "-"),)

    def bind(adapter: Adapter, size: Size) -> Objective:
        channels = _channels(adapter, size, layer)
        if max(weights) >= channels:
            raise ValueError(
                f"Layer {layer!r} has the channels 0 to {channels - 1}. "
                f"Received: {max(weights)}"
            )
        vector = np.zeros((1, channels), np.float32)
        vector[0, list(weights)] = list(weights.values())
        bound = _pointing(layer, vector, power, place, names=names)
        return bound.bound(adapter, size)

    return Objective((layer,), {}, _unbound, names, bind=bind)


def _pointing(
    layer: str,
    vectors: NDArray[np.float32],
    power: float,
    place: Place = NOWHERE,
    *,
    names: Sequence[str] | None,
    texts: Sequence[str] | None = None,
) -> Objective:
    """Return the objective for vectors of as many channels as the layer has."""
    placed = place != NOWHERE

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[layer]
        if placed:
            places = tf.stack([units["row"], units["column"]], axis=1)
            values = tf.gather_nd(values, places, batch_dims=1)
        flat = tf.reshape(values, (values.shape[0], -1, values.shape[-1]))
        along, cosine = dot_and_cosine(flat, units["vector"][:, None])
        return tf.reduce_mean(along * powered(cosine, power), axis=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        channels = _channels(adapter, size, layer)
        if vectors.shape[1] != channels:
            raise ValueError(
                f"Layer {layer!r} has {channels} channels, so a direction needs as "
                f"many numbers. Received: {vectors.shape[1]}"
            )
        if not placed:
            return objective
        found = neuron(layer, 0, *place).bound(adapter, size).units
        if "row" not in found:
            raise ValueError(f"Layer {layer!r} has no map, so no row and column.")
        repeated = {k: np.repeat(found[k], len(vectors)) for k in ("row", "column")}
        return replace(objective, units={"vector": vectors} | repeated, bind=None)

    if texts is None:
        at = f",{place[0]},{place[1]}" if placed else ""
        texts = [
            f"direction({layer},{digest(vector)},{power:g}{at})" for vector in vectors
        ]
    objective = Objective(
        (layer,),
        {"vector": vectors},
        score,
        tuple(names or texts),
        tuple(texts),
        bind,
        ("direction", layer, power, placed),
    )
    return objective


def dot_and_cosine(values: Any, vectors: Any) -> tuple[Any, Any]:
    """Return the products with a vector over the last axis, and the cosines."""
    dot = tf.reduce_sum(values * vectors, axis=-1)
    lengths = tf.reduce_sum(tf.square(values), -1) * tf.reduce_sum(
        tf.square(vectors), -1
    )
    # The smallest number keeps the slope of the root finite where nothing fires.
    return dot, dot * tf.math.rsqrt(lengths + 1e-12)


def powered(cosine: Any, power: float) -> Any:
    return tf.maximum(cosine, LEAST_COSINE) ** power if power else 1.0


def _channels(adapter: Adapter, size: Size, layer: str) -> int:
    found = adapter.layer(layer, size)
    if found.units is None:
        raise ValueError(f"Layer {layer!r} has the shape {found.shape}: no channels.")
    return found.units


def _checked_vectors(vector: ArrayLike) -> NDArray[np.float32]:
    vectors = np.atleast_2d(np.asarray(vector, np.float32))
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(
            "`vector` must hold finite numbers, (channels,) or (n, channels). "
            f"Received: shape {np.shape(vector)}"
        )
    if not np.abs(vectors).max(axis=1, initial=0).all():
        raise ValueError("`vector` must not be zero: it would point nowhere.")
    return vectors


def digest(values: NDArray[np.float32]) -> str:
    return hashlib.blake2b(
        np.ascontiguousarray(values).tobytes(), digest_size=6
    ).hexdigest()


def _unbound(*_: Any) -> Any:
    raise ValueError("This objective needs a model: call `bound` first.")


def inversion(layer: str, image: ArrayLike) -> Objective:
    """Reconstruct an image from its activations at a layer.

    The score is minus the squared distance of the activations to those of the image,
    divided by the squared length of the latter, so 0 is perfect and -1 as good as no
    activation at all (Mahendran & Vedaldi, https://arxiv.org/abs/1412.0035). As
    places matter, transforms that move the image blur what is found.

    Args:
        layer: Path of the layer.
        image: `(height, width, channels)` in [0, 1], or `(n, height, width,
            channels)` for one image each. Scaled to the size that the network sees.

    Raises:
        ValueError: If the image has another shape or range.

    >>> inversion("fire3", np.full((64, 64, 3), 0.5)).names
    ('inversion(fire3)',)
    """

    def compare(activations: Any, target: Any) -> Any:
        distance = _sum(tf.square(activations - target))
        return -distance / (_sum(tf.square(target)) + 1e-12)

    return _towards("inversion", layer, image, compare, ())


def caricature(layer: str, image: ArrayLike, *, power: float = 1.0) -> Objective:
    """Exaggerate what a layer sees in an image.

    The score is `dot / length * max(cosine, 0.1) ** power`, of the activations with
    those of the image, divided by the root of their number: how far the layer goes
    where the image points (Lucid's `dot_compare`,
    https://distill.pub/2018/differentiable-parameterizations/).

    Args:
        layer: Path of the layer.
        image: As for `inversion`.
        power: Of the cosine, from 0: higher keeps closer to the image.

    Raises:
        ValueError: If the image has another shape or range, or `power` is negative.

    >>> caricature("fire8", np.full((64, 64, 3), 0.5)).names
    ('caricature(fire8)',)
    """
    if not power >= 0:
        raise ValueError(f"`power` must not be negative. Received: power={power}")

    def compare(activations: Any, target: Any) -> Any:
        n = activations.shape[0]
        a, b = tf.reshape(activations, (n, -1)), tf.reshape(target, (n, -1))
        along, cosine = dot_and_cosine(a, tf.math.l2_normalize(b, axis=1))
        return along * powered(cosine, power) / a.shape[1] ** 0.5

    return _towards("caricature", layer, image, compare, (power,))


def _towards(
    name: str, layer: str, image: ArrayLike, compare: Any, settings: tuple
) -> Objective:
    """Return the objective that compares a layer with what an image does there."""
    images = np.asarray(image, np.float32)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "`image` must have the shape (height, width, channels) and lie in [0, 1]. "
            f"Received: shape {np.shape(image)}"
        )

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values, target = activations[layer], units["target"]
        if values.shape[1:] != target.shape[1:]:  # transforms that change the size
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
            f"{name}({','.join(map(str, (layer, digest(i), *settings)))})"
            for i in images
        ),
        bind,
        (name, layer, *settings),
    )
    return objective


def _sum(values: Any) -> Any:
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
