"""What generators are given: named tensors with a start, a speed and a domain."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._spectrum import column_counts, nonzero_frequencies
from tfviz.params._base import normal, uniform
from tfviz.params._fourier import half_spectra
from tfviz.priors._calibration import Measured
from tfviz.priors._constraints import (
    Domain,
    Penalty,
    ball,
    box,
    shell,
    simplex,
    usual_length,
)


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
        standard: `standard(values)`, values as deviations from their mean, or None if
            they are not drawn from a normal distribution.
        usual: The lowest and highest of what was measured, for each unit or channel,
            or None.
        calibrated: `calibrated(measured) -> Latent`, the same with other statistics,
            or None.
        white: `white() -> Latent`, the same with independent places, or None where they
            are already or there are none.
    """

    shape: tuple[int, ...]
    start: Callable[[Any], Any]
    values: Callable[[Any], Any]
    stored: Callable[[Any], Any]
    domain: Domain | None = None
    penalty: Callable[[Any], Any] | None = None
    optimized: bool = True
    standard: Callable[[Any], Any] | None = None
    usual: tuple[Any, Any] | None = None
    calibrated: "Callable[[Measured], Latent] | None" = None
    white: "Callable[[], Latent] | None" = None


def gaussian(
    *shape: int,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    truncation: float | None = None,
    rate: float = 1.0,
    length: float | None = None,
    domain: Domain | None = None,
    penalty: Penalty | None = None,
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
        length: The greatest length of a latent, in deviations from the mean, such as
            `usual_length(size)`.
        domain: Where else it may go.
        penalty: What values pay, in deviations from their mean.
        optimized: Whether it moves at all.

    Raises:
        ValueError: If a number is not above 0 that must be.

    >>> z = gaussian(3, stddev=0.0)
    >>> z.values(z.start([[0, 1]])).numpy().tolist()
    [[0.0, 0.0, 0.0]]
    """
    check_rate(rate)
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

    def calibrated(found: Measured) -> Latent:
        again = gaussian(
            *shape,
            mean=found.mean,
            stddev=found.stddev,
            truncation=truncation,
            rate=rate,
            length=length,
            domain=box(found.low, found.high),
            penalty=penalty,
            optimized=optimized,
        )
        return replace(again, usual=(found.low, found.high))

    standard = standardizer(middle, spread)
    return Latent(
        tuple(shape),
        start,
        lambda stored: stored * rate,
        lambda values: values / rate,
        bounded(length, standard, lambda found: middle + spread * found, domain),
        penalty and (lambda values: penalty(standard(values))),
        optimized,
        standard if truncation is None and spread.all() else None,
        calibrated=calibrated,
    )


def held(value: ArrayLike) -> Latent:
    """Give each image the same: the number of a class, a truncation.

    >>> held(3).start([[0, 1], [0, 2]]).numpy().tolist()
    [3.0, 3.0]
    """
    given = np.asarray(value, np.float32)

    def start(seeds: Any) -> Any:
        n = tf.shape(tf.convert_to_tensor(seeds))[0]
        return tf.tile(given[None], [n] + [1] * given.ndim)

    return Latent(given.shape, start, _same, _same, optimized=False)


def chosen(index: int, classes: int) -> Latent:
    """Give a class that does not change, as one of `classes` numbers that is 1.

    >>> chosen(1, 3).start([[0, 1]]).numpy().tolist()
    [[0.0, 1.0, 0.0]]
    """
    if not 0 <= index < classes:
        raise ValueError(
            f"`index` must be a class from 0 to {classes - 1}. Received: index={index}"
        )
    return held(np.arange(classes) == index)


def fixed(value: float, shape: tuple[int, ...], *, floating: bool) -> Latent:
    """Give a number that does not change, as an input of a generator takes it.

    An input of a row of numbers that need not be whole has one for each class.

    Args:
        value: The number, or that of a class.
        shape: What the input takes for each image.
        floating: Whether the input takes numbers that are not whole.

    Raises:
        ValueError: If there is no such class.

    >>> fixed(1, (3,), floating=True).start([[0, 1]]).numpy().tolist()
    [[0.0, 1.0, 0.0]]
    >>> fixed(4, (1,), floating=False).start([[0, 1]]).numpy().tolist()
    [[4.0]]
    """
    classes = shape[0] if floating and len(shape) == 1 and shape[0] != 1 else None
    if (classes or not floating) and value != int(value):
        raise ValueError(f"A class is a whole number. Received: {value}")
    return chosen(int(value), classes) if classes else held(np.full(shape, value))


def typed(values: Any, dtype: Any) -> Any:
    """Return values as a generator takes them; the loop holds all latents as floats."""
    whole = not tf.as_dtype(dtype).is_floating
    return tf.cast(tf.round(values) if whole else values, dtype)


def mixture(classes: int, *, rate: float = 0.1) -> Latent:
    """Give a mixture of classes: shares that are not negative and add up to 1.

    It starts from a random one of all mixtures alike.

    Args:
        classes: How many there are.
        rate: How fast shares move, in parts of the learning rate.

    >>> shares = mixture(4).values(mixture(4).start([[0, 1], [0, 2]])).numpy()
    >>> shares.min() >= 0, shares.sum(axis=1).round(5).tolist()
    (np.True_, [1.0, 1.0])
    """
    check_rate(rate)
    if classes < 2:
        raise ValueError(f"A mixture needs 2 classes. Received: classes={classes}")

    def start(seeds: Any) -> Any:
        # Exponential numbers with their sum at 1 are spread evenly over the simplex.
        drawn = -tf.math.log1p(-uniform(seeds, (classes,)))
        return drawn / tf.reduce_sum(drawn, axis=1, keepdims=True) / rate

    return Latent(
        (classes,),
        start,
        lambda stored: stored * rate,
        lambda values: values / rate,
        simplex(),
    )


def embedding(
    table: ArrayLike, *, rate: float = 0.1, spread: float = 0.1, reach: float = 1.0
) -> Latent:
    """Give what a generator makes of a class, free of the classes that there are.

    As in BigGAN-AM (Li et al. 2020, https://arxiv.org/abs/1910.04760): it starts near
    the mean of all classes and stays between the bounds that they have.

    Args:
        table: `(classes, d)`, the embeddings that the generator was trained with.
        rate: How fast it moves, in parts of the learning rate.
        spread: Deviation of the start, in parts of that of the classes.
        reach: The bounds, in parts of those of the classes.

    >>> free = embedding([[0.0, 1.0], [2.0, 1.0]])
    >>> free.values(free.start([[0, 1]])).shape
    TensorShape([1, 2])
    """
    rows = np.asarray(table, np.float32)
    if rows.ndim != 2:
        raise ValueError(
            f"`table` must have the shape (classes, d). Received: {rows.shape}"
        )
    middle, stddev = rows.mean(axis=0), rows.std(axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return gaussian(
        rows.shape[1],
        mean=middle,
        stddev=spread * stddev,
        rate=rate,
        domain=box(middle - reach * (middle - low), middle + reach * (high - middle)),
    )


def standardizer(mean: Any, stddev: Any) -> Callable[[Any], Any]:
    """Return what gives values as deviations from their mean."""
    floor = np.maximum(stddev, np.float32(1e-12))
    return lambda values: (values - mean) / floor


def bounded(
    length: float | None,
    standard: Callable[[Any], Any],
    back: Callable[[Any], Any],
    domain: Domain | None,
) -> Domain | None:
    """Return a domain that also bounds the length in deviations."""
    if length is None:
        return domain
    near = ball(length)
    if domain is None:
        return lambda values: back(near(standard(values)))
    return lambda values: domain(back(near(standard(values))))


def _same(values: Any) -> Any:
    return values


def check_rate(rate: float) -> None:
    if not rate > 0:
        raise ValueError(f"`rate` must be above 0. Received: rate={rate}")


# From here on a normal latent is about as long as the root of its size, so that a
# shell holds nearly all of them.
LONG = 64


def waves(
    height: int,
    width: int,
    channels: int,
    *,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    decay: ArrayLike = 1.0,
    rate: float = 1.0,
    length: float | None = None,
    domain: Domain | None = None,
    penalty: Penalty | None = None,
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
        decay: The amplitude of a wave falls with its frequency to this power; one
            number, or one for each channel.
        rate: How fast it moves, in parts of the learning rate.
        length: The greatest length of all waves together, in deviations of each, such
            as `usual_length(height * width * channels)`.
        domain: Where the values may go.
        penalty: What values pay, in deviations from their mean.

    Raises:
        ValueError: If `rate` is not above 0.

    >>> z = waves(5, 4, 2, mean=[0.0, 3.0])
    >>> z.values(z.start([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 4, 2])
    """
    check_rate(rate)
    shape = (height, width, channels)
    middle = np.asarray(mean, np.float32)
    spread = np.broadcast_to(np.asarray(stddev, np.float32), (channels,))
    falls = np.broadcast_to(np.asarray(decay, np.float64), (channels,))
    # Waves of a column that stands for itself alone keep half of what is drawn.
    amplitude = nonzero_frequencies(height, width) ** -falls[:, None, None]
    amplitude *= np.sqrt(2 / column_counts(width))
    # Of unit variance over places, with normal numbers for real and imaginary parts.
    # A wave that stands for two counts for both, with both parts; others have one.
    total = np.sum((column_counts(width) * amplitude) ** 2, axis=(1, 2), keepdims=True)
    amplitude *= height * width / np.sqrt(total)
    scale = (rate * spread[:, None, None] * amplitude)[..., None].astype(np.float32)

    def values(stored: Any) -> Any:
        scaled = stored * scale
        spectrum = tf.complex(scaled[..., 0], scaled[..., 1])
        planes = tf.signal.irfft2d(spectrum, fft_length=[height, width])
        found = tf.transpose(planes, (0, 2, 3, 1)) + middle
        return tf.ensure_shape(found, (stored.shape[0], *shape))

    def inverse(values: Any) -> Any:
        return half_spectra(values - middle) / np.maximum(scale, np.float32(1e-12))

    def start(seeds: Any) -> Any:
        return normal(seeds, (channels, height, width // 2 + 1, 2)) / rate

    def again(**changes: Any) -> Latent:
        same: dict[str, Any] = {
            "mean": mean,
            "stddev": stddev,
            "decay": decay,
            "rate": rate,
            "length": length,
            "domain": domain,
            "penalty": penalty,
        }
        return waves(height, width, channels, **(same | changes))

    def calibrated(found: Measured) -> Latent:
        made = again(
            mean=found.mean,
            stddev=found.stddev,
            decay=decay if found.decay is None else found.decay,
            domain=box(found.low, found.high),
        )
        return replace(made, usual=(found.low, found.high))

    standard = standardizer(middle, spread)

    def independent(found: Any) -> Any:
        # The waves of a map are; its places are not.
        return inverse(found) * rate

    return Latent(
        shape,
        start,
        values,
        inverse,
        bounded(length, independent, lambda found: values(found / rate), domain),
        penalty and (lambda values: penalty(standard(values))),
        standard=independent,
        calibrated=calibrated,
        white=(lambda: again(decay=0.0)) if falls.any() else None,
    )


def usual_waves(height: int, width: int, channels: int, **statistics: Any) -> Latent:
    """Return `waves` that are together no longer than they usually are."""
    length = usual_length(height * width * channels)
    return waves(height, width, channels, **statistics, length=length)


def proposed(*shape: int) -> Latent:
    """Return the latent for an input of which only the shape is known.

    A map is held as waves, a vector where normal ones are.
    """
    size = int(np.prod(shape))
    if len(shape) == 3 and min(shape[:2]) > 1:
        return usual_waves(*shape)
    if size >= LONG:
        return gaussian(*shape, domain=shell(np.sqrt(size)))
    return gaussian(*shape, length=usual_length(size))


def eighths(height: int, width: int | None) -> tuple[int, int]:
    """Return the size of latents, of which each stands for 8 by 8 pixels.

    Raises:
        ValueError: If a size is no multiple of 8.
    """
    width = height if width is None else width
    if height % 8 or width % 8 or min(height, width) < 8:
        raise ValueError(
            "`height` and `width` must be multiples of 8. Received: "
            f"height={height}, width={width}"
        )
    return height // 8, width // 8
