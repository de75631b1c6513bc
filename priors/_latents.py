"""What generators are given: named tensors with a start, a speed and a domain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._fourier import analyze
from tfviz._param import normal, uniform
from tfviz._spectrum import column_counts, nonzero_frequencies

from ._domains import Domain


@dataclass(frozen=True)
class Latent:
    """One tensor that a generator takes, and how it is searched.

    What the optimizer moves need not be what the generator takes: `held` in other
    units, or as waves, each step goes further in one direction than in another.

    Attributes:
        shape: Of what the generator takes for one image.
        start: `start(seeds) -> stored`, `(n, ...)`.
        values: `values(stored) -> (n, *shape)`, what the generator takes.
        stored: `stored(values) -> stored`, its inverse.
        domain: `domain(values) -> values`, the nearest that are allowed, or None.
        penalty: `penalty(values) -> (n,)`, or None.
        optimized: Whether they move at all.
    """

    shape: tuple[int, ...]
    start: Callable[[Any], Any]
    values: Callable[[Any], Any]
    stored: Callable[[Any], Any]
    domain: Domain | None = None
    penalty: Callable[[Any], Any] | None = None
    optimized: bool = True


def gaussian(
    *shape: int,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    truncation: float | None = None,
    rate: float = 1.0,
    domain: Domain | None = None,
    penalty: Callable[[Any], Any] | None = None,
    optimized: bool = True,
) -> Latent:
    """Start from normal numbers.

    Args:
        *shape: Of a latent of one image.
        mean: One number, or one for each unit.
        stddev: The same.
        truncation: Draw numbers that are further from the mean than this many
            deviations anew, as BigGAN wants it.
        rate: How fast it moves, in parts of the learning rate.
        domain: Where it may go.
        penalty: `penalty(values) -> (n,)`.
        optimized: Whether it moves at all.

    Raises:
        ValueError: If a number is not above 0 that must be.

    >>> z = gaussian(3, stddev=0.0)
    >>> z.values(z.start([[0, 1]])).numpy().tolist()
    [[0.0, 0.0, 0.0]]
    """
    _check_rate(rate)
    middle = np.asarray(mean, np.float32)
    spread = np.asarray(stddev, np.float32)

    def start(seeds: Any) -> Any:
        if truncation is None:
            drawn = normal(seeds, shape)
        else:
            # The quantiles of a truncated normal distribution.
            edge = tf.math.erf(truncation / np.sqrt(2).astype(np.float32))
            drawn = np.float32(np.sqrt(2)) * tf.math.erfinv(
                edge * (2 * uniform(seeds, shape) - 1)
            )
        return (middle + spread * drawn) / rate

    return Latent(
        tuple(shape),
        start,
        lambda stored: stored * rate,
        lambda values: values / rate,
        domain,
        penalty,
        optimized,
    )


def waves(
    height: int,
    width: int,
    channels: int,
    *,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    decay: float = 1.0,
    rate: float = 1.0,
    domain: Domain | None = None,
    penalty: Callable[[Any], Any] | None = None,
) -> Latent:
    """Hold a latent with a map as waves, the slow ones strong, as in photographs.

    Decoders of images give meaningless texture where their latents are independent
    from place to place. Those of photos are not.

    Args:
        height: Of the map.
        width: Of the map.
        channels: Of the map.
        mean: Of each channel.
        stddev: Of each channel, over places and images.
        decay: The amplitude of a wave falls with its frequency to this power.
        rate: How fast it moves, in parts of the learning rate.
        domain: Where the values may go.
        penalty: `penalty(values) -> (n,)`.

    Raises:
        ValueError: If `rate` is not above 0.

    >>> z = waves(5, 4, 2, mean=[0.0, 3.0])
    >>> z.values(z.start([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 4, 2])
    """
    _check_rate(rate)
    shape = (height, width, channels)
    middle = np.asarray(mean, np.float32)
    spread = np.broadcast_to(np.asarray(stddev, np.float32), (channels,))
    amplitude = nonzero_frequencies(height, width) ** -decay
    # Of unit variance over places, with normal numbers for real and imaginary parts.
    # A wave that stands for two counts for both, with both parts; others have one.
    total = np.sum((column_counts(width) * amplitude) ** 2)
    amplitude *= height * width / np.sqrt(total)
    scale = (rate * spread[:, None, None] * amplitude)[..., None].astype(np.float32)

    def values(stored: Any) -> Any:
        scaled = stored * scale
        spectrum = tf.complex(scaled[..., 0], scaled[..., 1])
        planes = tf.signal.irfft2d(spectrum, fft_length=[height, width])
        found = tf.transpose(planes, (0, 2, 3, 1)) + middle
        return tf.ensure_shape(found, (stored.shape[0], *shape))

    def inverse(values: Any) -> Any:
        return analyze(values - middle) / np.maximum(scale, np.float32(1e-12))

    def start(seeds: Any) -> Any:
        return normal(seeds, (channels, height, width // 2 + 1, 2)) / rate

    return Latent(shape, start, values, inverse, domain, penalty)


def chosen(index: int, classes: int) -> Latent:
    """Give a class that does not change, as one of `classes` numbers that is 1.

    >>> chosen(1, 3).start([[0, 1]]).numpy().tolist()
    [[0.0, 1.0, 0.0]]
    """
    if not 0 <= index < classes:
        raise ValueError(
            f"`index` must be a class from 0 to {classes - 1}. Received: index={index}"
        )
    row = tf.one_hot(index, classes)

    def start(seeds: Any) -> Any:
        return tf.tile(row[None], (tf.shape(tf.convert_to_tensor(seeds))[0], 1))

    return Latent((classes,), start, _same, _same, optimized=False)


def near_shell(weight: float) -> Callable[[Any], Any]:
    """Penalize latents whose length is not that of normal ones: the root of their size.

    `weight * (length / sqrt(size) - 1)^2`.

    >>> near_shell(2.0)(tf.constant([[1.0, 1.0], [0.0, 0.0]])).numpy().round(4).tolist()
    [0.0, 2.0]
    """

    def penalty(values: Any) -> Any:
        axes = tuple(range(1, values.shape.rank))
        size = np.prod(values.shape[1:])
        length = tf.sqrt(tf.reduce_sum(values**2, axes) + 1e-12)
        return weight * (length / np.float32(np.sqrt(size)) - 1) ** 2

    return penalty


def near_mean(
    weight: float, mean: ArrayLike = 0.0, stddev: ArrayLike = 1.0
) -> Callable[[Any], Any]:
    """Penalize latents far from their mean: `weight` times their mean squared z-score.

    >>> near_mean(3.0, mean=1.0)(tf.constant([[2.0, 1.0]])).numpy().tolist()
    [1.5]
    """
    middle = np.asarray(mean, np.float32)
    spread = np.asarray(stddev, np.float32)

    def penalty(values: Any) -> Any:
        axes = tuple(range(1, values.shape.rank))
        return weight * tf.reduce_mean(((values - middle) / spread) ** 2, axes)

    return penalty


def _same(values: Any) -> Any:
    return values


def _check_rate(rate: float) -> None:
    if not rate > 0:
        raise ValueError(f"`rate` must be above 0. Received: rate={rate}")
