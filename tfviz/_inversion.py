"""Objectives that compare a layer with what it does for a given image."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._adapter import Adapter
from tfviz._directions import digest, dot_and_cosine, powered
from tfviz._objective import Objective, Size, Units
from tfviz._scale import scaled


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
        seen = tf.clip_by_value(scaled(images, size), 0, 1)
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
