"""Objectives of several related images: diversity and interpolation."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._precision import matmul
from tfviz.models.adapter import Adapter
from tfviz.objectives._base import Objective, Size, Units, constants, with_names_of


def diversity(layer: str, n: int) -> Objective:
    """Measure how much each of `n` images differs from the others of its group.

    Add this with a positive weight to the objective of a unit, even if the unit is
    minimized. The score of an image is minus the mean cosine between its Gram matrix
    and those of the other images. A Gram matrix is the sum over all positions of the
    products of each pair of channels (Olah et al.,
    https://distill.pub/2017/feature-visualization/#diversity). The score lies between
    -1, for equal images, and 0; the same weight has the same effect for every `n` and
    image size.

    Args:
        layer: The path of the layer in whose activations images are compared.
        n: The number of images, at least 2.

    Raises:
        ValueError: If `n` is below 2.

    >>> diversity("fire8", 3).names
    ('diversity(fire8)', 'diversity(fire8)', 'diversity(fire8)')
    """
    if int(n) != n or n < 2:
        raise ValueError(f"`n` must be a whole number of at least 2. Received: n={n}")

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        others = 1 - tf.eye(n)
        cosines = similarities(activations[layer], n) * others
        return tf.reshape(-tf.reduce_sum(cosines, axis=2) / (n - 1), (-1,))

    def bind(adapter: Adapter, size: Size) -> Objective:
        adapter.layer(layer, size)
        return objective

    objective = Objective(
        (layer,),
        {},
        score,
        (f"diversity({layer})",) * n,
        bind=bind,
        kind=("diversity", layer, n),
        group=n,
        compared=layer,
        is_auxiliary=True,
    )
    return objective


def similarities(activations: Any, n: int) -> Any:
    """Return the cosines between the Gram matrices of the images of each group.

    Args:
        activations: The activations of all images, `(groups * n, ..., channels)`.
        n: The number of images in a group.

    Returns:
        The cosines `(groups, n, n)`, from 0 to 1 if no activation is negative.
    """
    channels = activations.shape[-1]
    flat = tf.reshape(activations, (activations.shape[0], -1, channels))
    # Scaled first, because squares of large activations would overflow float32.
    flat = tf.math.l2_normalize(flat, axis=(1, 2), epsilon=1e-24)
    gram = matmul(flat, flat, transpose_a=True)
    rows = tf.reshape(gram, (-1, n, channels * channels))
    rows = tf.math.l2_normalize(rows, axis=2, epsilon=1e-24)
    return matmul(rows, rows, transpose_b=True)


def interpolate(*corners: Objective, n: int = 5) -> Objective:
    """Interpolate between two objectives, or between four, in equal steps.

    The pictures are easiest to compare with `params.aligned`, which gives them common
    low frequencies.

    Args:
        *corners: Two objectives for one image each, or four for a square grid, in the
            order top left, top right, bottom left, bottom right.
        n: The number of images on each side, at least 2.

    Returns:
        The objective for `n` images, or for `n * n` images row by row: the sum of the
        corners, weighted linearly.

    Raises:
        ValueError: If there are not two or four corners, a corner is not for a single
            image, or `n` is not a whole number of at least 2.

    >>> from tfviz.objectives import channel
    >>> interpolate(channel("fire8", 1), channel("fire9", 2), n=3).names[1]
    '0.5*fire8:1+0.5*fire9:2'
    """
    if len(corners) not in (2, 4) or any(len(corner) != 1 for corner in corners):
        raise ValueError(
            "`corners` must be two or four objectives for one image each. Received: "
            f"{[len(corner) for corner in corners]} images"
        )
    if int(n) != n or n < 2:
        raise ValueError(f"`n` must be a whole number of at least 2. Received: n={n}")
    along = np.linspace(0, 1, n)
    weights = [1 - along, along]
    if len(corners) == 4:
        weights = [np.outer(a, b).ravel() for a in weights for b in weights]
    total = constants(weights[0]) * corners[0]
    for weight, corner in zip(weights[1:], corners[1:], strict=True):
        total += constants(weight) * corner
    return total


def with_diversity(unit: Objective, layer: str, n: int, weight: float) -> Objective:
    """Return the objective of `n` different pictures of each unit, under its names."""
    repeated = unit[[place for place in range(len(unit)) for _ in range(n)]]
    total = repeated + constants([weight]) * diversity(layer, n)
    return with_names_of(total, repeated)


def comparison_layer(adapter: Adapter, unit: Objective) -> str:
    """Return the layer in which pictures of a unit are compared.

    It is the unit's own layer, or the last one with a map where that has none.

    Raises:
        ValueError: If no layer has a map.
    """
    known = {layer.path: layer for layer in adapter.layers()}
    own = [known[path] for path in unit.layers if path in known]
    maps = [layer for layer in own or known.values() if len(layer.shape) > 2]
    maps = maps or [layer for layer in known.values() if len(layer.shape) > 2]
    if not maps:
        raise ValueError(
            f"Model {adapter.name!r} has no layer with a map to compare pictures in. "
            "Name a `layer`."
        )
    return maps[-1].path
