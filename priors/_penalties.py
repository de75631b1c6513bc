"""What latents pay for being unlike those that a generator was trained on.

A penalty is a function from latents `(n, ...)`, in deviations from their mean, to one
number for each image `(n,)`, in units of a score.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Penalty = Callable[[Any], Any]


def near_shell(weight: float) -> Penalty:
    """Penalize latents whose length is not that of normal ones: the root of their size.

    `weight * (length / sqrt(size) - 1)^2`, as for ProGAN in the tutorial of TF-Hub.

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

    >>> near_mean(3.0)(tf.constant([[1.0, 0.0]])).numpy().tolist()
    [1.5]
    """

    def penalty(values: Any) -> Any:
        return weight * tf.reduce_mean(values**2, tuple(range(1, values.shape.rank)))

    return penalty


def near_moments(weight: float) -> Penalty:
    """Penalize maps whose channels have another mean or deviation than those of photos.

    `weight` times the mean over channels of `mean^2 + (stddev - 1)^2`, both over the
    places of the map. Unlike `near_mean` it lets single places be unusual.

    >>> flat = tf.constant([2.0, 2.0, 2.0, 2.0], shape=(1, 2, 2, 1))
    >>> near_moments(0.5)(flat).numpy().round(3).tolist()  # (2^2 + 1^2) / 2
    [2.5]
    """

    def penalty(values: Any) -> Any:
        mean, variance = tf.nn.moments(values, axes=(1, 2))
        deviation = tf.sqrt(variance + 1e-12)
        return weight * tf.reduce_mean(mean**2 + (deviation - 1) ** 2, axis=-1)

    return penalty
