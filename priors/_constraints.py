"""Constraints that keep latents where the generator makes good images.

A domain is a set of allowed latents: a function that moves latents to the nearest
allowed ones, applied after each step of the optimization (`box`, `shell`, `ball`,
`simplex`). A penalty is subtracted from the score and pulls latents gradually towards
likely ones (`near_shell`, `near_mean`, `near_moments`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

# `domain(values) -> values`: the nearest allowed latents.
Domain = Callable[[Any], Any]
# `penalty(values) -> (n,)`, in units of the score.
Penalty = Callable[[Any], Any]


def box(low: ArrayLike, high: ArrayLike) -> Domain:
    """Keep each number between two bounds.

    Args:
        low: The lower bound: one number, or one for each unit of a latent.
        high: The upper bound, in the same form.

    Raises:
        ValueError: If a lower bound is above the corresponding upper bound.

    >>> box(-1, [1, 2])(tf.constant([[-3.0, 3.0]])).numpy().tolist()
    [[-1.0, 2.0]]
    """
    lowest, highest = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if not (lowest <= highest).all():
        raise ValueError(
            "`low` must nowhere be above `high`. Received: "
            f"`low` up to {lowest.max():g}, `high` from {highest.min():g}"
        )
    return lambda values: tf.clip_by_value(values, lowest, highest)


def shell(radius: float) -> Domain:
    """Keep the length of each latent equal to a radius.

    For latents of many numbers: the length of a latent of `d` independent normal
    numbers is nearly always close to the square root of `d` (Menon et al., PULSE,
    https://arxiv.org/abs/2003.03808).

    Args:
        radius: The Euclidean length of each latent.

    Raises:
        ValueError: If `radius` is not above 0.

    >>> shell(2.0)(tf.constant([[0.0, 0.5]])).numpy().tolist()
    [[0.0, 2.0]]
    """
    if not radius > 0:
        raise ValueError(f"`radius` must be above 0. Received: radius={radius}")

    def project(values: Any) -> Any:
        axes = tuple(range(1, values.shape.rank))
        squared = tf.reduce_sum(values**2, axes, keepdims=True)
        return values * radius * tf.math.rsqrt(tf.maximum(squared, 1e-12))

    return project


def ball(radius: float) -> Domain:
    """Keep the length of each latent at or below a radius.

    For latents of few numbers, whose lengths vary more than those of many; see `shell`.

    Args:
        radius: The largest Euclidean length of a latent.

    Raises:
        ValueError: If `radius` is not above 0.

    >>> ball(2.0)(tf.constant([[0.0, 4.0], [1.0, 0.0]])).numpy().tolist()
    [[0.0, 2.0], [1.0, 0.0]]
    """
    if not radius > 0:
        raise ValueError(f"`radius` must be above 0. Received: radius={radius}")

    def project(values: Any) -> Any:
        axes = tuple(range(1, values.shape.rank))
        squared = tf.reduce_sum(values**2, axes, keepdims=True)
        return values * tf.minimum(1.0, radius * tf.math.rsqrt(squared + 1e-12))

    return project


def usual_length(size: int) -> float:
    """Return the length that 95 % of vectors of normal numbers do not exceed.

    It uses the approximation of Wilson and Hilferty (1931) to the chi-squared
    distribution.

    Args:
        size: The number of independent normal numbers in a vector.

    >>> round(usual_length(1), 2), round(usual_length(100), 2)  # exactly 1.96, 11.15
    (1.94, 11.15)
    """
    part = 2 / (9 * size)
    return float(np.sqrt(size * (1 - part + 1.6449 * np.sqrt(part)) ** 3))


def simplex() -> Domain:
    """Keep the numbers of a latent non-negative with a sum of 1, as shares of classes.

    This is the Euclidean projection onto the simplex of Duchi et al. (2008), "Efficient
    projections onto the l1-ball".

    >>> simplex()(tf.constant([[0.75, 0.5, -1.0]])).numpy().tolist()
    [[0.625, 0.375, 0.0]]
    """

    def project(values: Any) -> Any:
        count = values.shape[-1]
        ordered = tf.sort(values, axis=-1, direction="DESCENDING")
        excess = tf.cumsum(ordered, axis=-1) - 1
        ranks = tf.range(1, count + 1, dtype=tf.float32)
        kept = tf.reduce_sum(
            tf.cast(ordered * ranks > excess, tf.int32), axis=-1, keepdims=True
        )
        threshold = tf.gather(
            excess, kept - 1, axis=-1, batch_dims=values.shape.rank - 1
        )
        return tf.maximum(values - threshold / tf.cast(kept, tf.float32), 0)

    return project


def near_shell(weight: float) -> Penalty:
    """Penalize latents whose length differs from the usual one, the root of their size.

    The penalty is `weight * (length / sqrt(size) - 1)^2`, as in the tutorial of TF-Hub
    for ProGAN.

    Args:
        weight: The factor of the penalty, in units of the score.

    >>> near_shell(2.0)(tf.constant([[1.0, 1.0], [0.0, 0.0]])).numpy().round(4).tolist()
    [0.0, 2.0]
    """

    def penalty(values: Any) -> Any:
        axes = tuple(range(1, values.shape.rank))
        size = np.prod(values.shape[1:])
        length = tf.sqrt(tf.reduce_sum(values**2, axes) + 1e-12)
        return weight * (length / np.float32(np.sqrt(size)) - 1) ** 2

    return penalty


def near_mean(weight: float) -> Penalty:
    """Penalize latents far from their mean: `weight` times their mean square.

    Args:
        weight: The factor of the penalty, in units of the score.

    >>> near_mean(3.0)(tf.constant([[1.0, 0.0]])).numpy().tolist()
    [1.5]
    """

    def penalty(values: Any) -> Any:
        return weight * tf.reduce_mean(values**2, tuple(range(1, values.shape.rank)))

    return penalty


def near_moments(weight: float) -> Penalty:
    """Penalize maps whose channels have an unusual mean or standard deviation.

    The penalty is `weight` times the mean over channels of `mean^2 + (stddev - 1)^2`,
    where both are computed over the positions of the map. Unlike `near_mean`, it allows
    single positions to be unusual.

    Args:
        weight: The factor of the penalty, in units of the score.

    >>> flat = tf.constant([2.0, 2.0, 2.0, 2.0], shape=(1, 2, 2, 1))
    >>> near_moments(0.5)(flat).numpy().round(3).tolist()  # (2^2 + 1^2) / 2
    [2.5]
    """

    def penalty(values: Any) -> Any:
        mean, variance = tf.nn.moments(values, axes=(1, 2))
        deviation = tf.sqrt(variance + 1e-12)
        return weight * tf.reduce_mean(mean**2 + (deviation - 1) ** 2, axis=-1)

    return penalty
