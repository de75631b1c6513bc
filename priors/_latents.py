"""Latents: the inputs of generators, and how each of them is searched.

A `Latent` names the starting values of one input, the size of the optimizer's steps,
and the values that are allowed. `gaussian`, `waves`, `mixture` and `embedding` make
latents that are optimized; `held` and `chosen` make constant ones. `default_latent` and
`constant_latent` choose among them for an input of which only the shape is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._spectrum import column_counts, nonzero_frequencies
from tfviz.params._base import normal, uniform
from tfviz.params._fourier import half_spectra
from tfviz.priors._calibration import Statistics
from tfviz.priors._constraints import (
    Domain,
    Penalty,
    ball,
    box,
    shell,
    simplex,
    usual_length,
)

# A normal latent of at least this many numbers is about as long as the root of its
# size, so that a shell of that radius fits nearly all of them.
LONG = 64


@dataclass(frozen=True)
class Latent:
    """One tensor that a generator takes, and how it is searched.

    The optimizer need not work on the generator's input itself. A latent can be stored
    in another form, in other units or as waves, in which a step of the optimizer
    changes some directions of the input more than others. `start` returns this stored
    form, and `values` and `stored` convert between the two.

    Attributes:
        shape: The shape of the generator's input for one image.
        start: `start(seeds) -> stored`, the starting point, `(n, ...)`.
        values: `values(stored) -> (n, *shape)`, the generator's input.
        stored: `stored(values) -> stored`, the inverse of `values`.
        domain: `domain(values) -> values`, the nearest allowed values, or None if all
            are allowed.
        penalty: `penalty(values) -> (n,)`, subtracted from the score, or None.
        optimized: Whether the optimizer changes the latent.
        standard: `standard(values)`, the values as independent standard normal numbers,
            or None if the latent does not start from a normal distribution.
        usual: The lowest and the highest measured value of each unit or channel, or
            None before a calibration.
        calibrated: `calibrated(statistics) -> Latent`, the same latent with measured
            statistics, or None if it has none.
        white: `white() -> Latent`, the same latent with independent positions, or None
            if they are independent already or the latent has no positions.
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
    calibrated: "Callable[[Statistics], Latent] | None" = None
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
    """Make a latent that starts from normally distributed numbers.

    Args:
        *shape: The shape of the latent of one image.
        mean: The mean: one number, or one for each unit.
        stddev: The standard deviation, in the same form.
        truncation: The largest distance of a starting value from the mean, in standard
            deviations, as BigGAN needs it. None for no limit.
        rate: The size of the optimizer's steps in this latent, as a multiple of the
            learning rate.
        length: The largest Euclidean length of the latent, in standard deviations from
            the mean, such as `usual_length(size)`. None for no limit.
        domain: A further set of allowed values, such as `box(-1, 1)`.
        penalty: A penalty on the values, which it takes in standard deviations from
            their mean.
        optimized: Whether the optimizer changes the latent.

    Raises:
        ValueError: If `rate` is not above 0.

    >>> z = gaussian(3, stddev=0.0)
    >>> z.values(z.start([[0, 1]])).numpy().tolist()
    [[0.0, 0.0, 0.0]]
    """
    _check_rate(rate)
    center = np.asarray(mean, np.float32)
    spread = np.asarray(stddev, np.float32)

    def start(seeds: Any) -> Any:
        if truncation is None:
            draws = normal(seeds, shape)
        else:
            # The quantiles of a truncated normal distribution.
            edge = tf.math.erf(truncation / np.sqrt(2).astype(np.float32))
            draws = np.float32(np.sqrt(2)) * tf.math.erfinv(
                edge * (2 * uniform(seeds, shape) - 1)
            )
        return (center + spread * draws) / rate

    def calibrated(statistics: Statistics) -> Latent:
        latent = gaussian(
            *shape,
            mean=statistics.mean,
            stddev=statistics.stddev,
            truncation=truncation,
            rate=rate,
            length=length,
            domain=box(statistics.low, statistics.high),
            penalty=penalty,
            optimized=optimized,
        )
        return replace(latent, usual=(statistics.low, statistics.high))

    standard = _standardizer(center, spread)
    return Latent(
        tuple(shape),
        start,
        lambda stored: stored * rate,
        lambda values: values / rate,
        _limit_length(length, standard, lambda z: center + spread * z, domain),
        penalty and (lambda values: penalty(standard(values))),
        optimized,
        standard if truncation is None and spread.all() else None,
        calibrated=calibrated,
    )


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
    """Make a latent map that is stored as waves, of which slow ones are strong.

    In the latent maps of photos, neighbouring positions are similar. A decoder turns
    maps whose positions are independent into meaningless texture.

    Args:
        height: The height of the map.
        width: The width of the map.
        channels: The number of channels of the map.
        mean: The mean of the values: one number, or one for each channel.
        stddev: The standard deviation of the values over positions and images, in the
            same form.
        decay: The exponent with which the amplitude of waves falls: it is proportional
            to `frequency ** -decay`. One number, or one for each channel.
        rate: The size of the optimizer's steps in this latent, as a multiple of the
            learning rate.
        length: The largest Euclidean length of the vector of all waves, each in its
            standard deviations, such as `usual_length(height * width * channels)`. None
            for no limit.
        domain: A further set of allowed values, such as `box(-1, 1)`.
        penalty: A penalty on the values, which it takes in standard deviations from
            their mean.

    Raises:
        ValueError: If `rate` is not above 0.

    >>> z = waves(5, 4, 2, mean=[0.0, 3.0])
    >>> z.values(z.start([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 4, 2])
    """
    _check_rate(rate)
    shape = (height, width, channels)
    center = np.asarray(mean, np.float32)
    spread = np.broadcast_to(np.asarray(stddev, np.float32), (channels,))
    exponents = np.broadcast_to(np.asarray(decay, np.float64), (channels,))
    # The inverse transform keeps only half of what is drawn for the columns that stand
    # for themselves alone.
    amplitude = nonzero_frequencies(height, width) ** -exponents[:, None, None]
    amplitude *= np.sqrt(2 / column_counts(width))
    # Scaled to unit variance over positions, for normal real and imaginary parts. A
    # wave that stands for two counts twice, with both parts; others have one part.
    total = np.sum((column_counts(width) * amplitude) ** 2, axis=(1, 2), keepdims=True)
    amplitude *= height * width / np.sqrt(total)
    scale = (rate * spread[:, None, None] * amplitude)[..., None].astype(np.float32)

    def values(stored: Any) -> Any:
        scaled = stored * scale
        spectrum = tf.complex(scaled[..., 0], scaled[..., 1])
        planes = tf.signal.irfft2d(spectrum, fft_length=[height, width])
        maps = tf.transpose(planes, (0, 2, 3, 1)) + center
        return tf.ensure_shape(maps, (stored.shape[0], *shape))

    def inverse(values: Any) -> Any:
        return half_spectra(values - center) / np.maximum(scale, np.float32(1e-12))

    def start(seeds: Any) -> Any:
        return normal(seeds, (channels, height, width // 2 + 1, 2)) / rate

    def with_changes(**changes: Any) -> Latent:
        arguments: dict[str, Any] = {
            "mean": mean,
            "stddev": stddev,
            "decay": decay,
            "rate": rate,
            "length": length,
            "domain": domain,
            "penalty": penalty,
        }
        return waves(height, width, channels, **(arguments | changes))

    def calibrated(statistics: Statistics) -> Latent:
        latent = with_changes(
            mean=statistics.mean,
            stddev=statistics.stddev,
            decay=decay if statistics.decay is None else statistics.decay,
            domain=box(statistics.low, statistics.high),
        )
        return replace(latent, usual=(statistics.low, statistics.high))

    standard = _standardizer(center, spread)

    def independent(values: Any) -> Any:
        # The waves of a map are independent of each other; its positions are not.
        return inverse(values) * rate

    return Latent(
        shape,
        start,
        values,
        inverse,
        _limit_length(length, independent, lambda z: values(z / rate), domain),
        penalty and (lambda values: penalty(standard(values))),
        standard=independent,
        calibrated=calibrated,
        white=(lambda: with_changes(decay=0.0)) if exponents.any() else None,
    )


def mixture(classes: int, *, rate: float = 0.1) -> Latent:
    """Make a latent that mixes classes, by shares that are not negative and sum to 1.

    It starts from a random mixture; all mixtures are equally likely.

    Args:
        classes: The number of classes, at least 2.
        rate: The size of the optimizer's steps in the shares, as a multiple of the
            learning rate.

    Raises:
        ValueError: If there are fewer than 2 classes, or `rate` is not above 0.

    >>> shares = mixture(4).values(mixture(4).start([[0, 1], [0, 2]])).numpy()
    >>> shares.min() >= 0, shares.sum(axis=1).round(5).tolist()
    (np.True_, [1.0, 1.0])
    """
    _check_rate(rate)
    if classes < 2:
        raise ValueError(
            f"A mixture needs at least 2 classes. Received: classes={classes}"
        )

    def start(seeds: Any) -> Any:
        # Exponential numbers divided by their sum are uniform over the simplex.
        draws = -tf.math.log1p(-uniform(seeds, (classes,)))
        return draws / tf.reduce_sum(draws, axis=1, keepdims=True) / rate

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
    """Make a latent for the embedding of a class, not limited to existing classes.

    As in BigGAN-AM (Li et al. 2020, https://arxiv.org/abs/1910.04760), it starts near
    the mean embedding of all classes and stays between their lowest and highest values.

    Args:
        table: The embeddings with which the generator was trained, `(classes, d)`.
        rate: The size of the optimizer's steps in this latent, as a multiple of the
            learning rate.
        spread: The standard deviation of the start, as a multiple of that of the
            classes.
        reach: The distance of the bounds from the mean, as a multiple of that of the
            lowest and highest values of the classes.

    Raises:
        ValueError: If `table` does not have two axes, or `rate` is not above 0.

    >>> free = embedding([[0.0, 1.0], [2.0, 1.0]])
    >>> free.values(free.start([[0, 1]])).shape
    TensorShape([1, 2])
    """
    rows = np.asarray(table, np.float32)
    if rows.ndim != 2:
        raise ValueError(
            f"`table` must have the shape (classes, d). Received: {rows.shape}"
        )
    center, stddev = rows.mean(axis=0), rows.std(axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return gaussian(
        rows.shape[1],
        mean=center,
        stddev=spread * stddev,
        rate=rate,
        domain=box(center - reach * (center - low), center + reach * (high - center)),
    )


def held(value: ArrayLike) -> Latent:
    """Make a constant latent, such as the number of a class or a truncation.

    Args:
        value: The value that the generator takes for each image.

    >>> held(3).start([[0, 1], [0, 2]]).numpy().tolist()
    [3.0, 3.0]
    """
    constant = np.asarray(value, np.float32)

    def start(seeds: Any) -> Any:
        n = tf.shape(tf.convert_to_tensor(seeds))[0]
        return tf.tile(constant[None], [n] + [1] * constant.ndim)

    return Latent(constant.shape, start, _identity, _identity, optimized=False)


def chosen(index: int, classes: int) -> Latent:
    """Make a constant latent for a class, as a one-hot vector.

    Args:
        index: The number of the class, from 0.
        classes: The number of classes.

    Raises:
        ValueError: If there is no such class.

    >>> chosen(1, 3).start([[0, 1]]).numpy().tolist()
    [[0.0, 1.0, 0.0]]
    """
    if not 0 <= index < classes:
        raise ValueError(
            f"There are {classes} classes, with numbers from 0 to {classes - 1}. "
            f"Received: {index}"
        )
    return held(np.arange(classes) == index)


def default_latent(*shape: int) -> Latent:
    """Return the latent for an input of a generator of which only the shape is known.

    A map is stored as waves. A long vector stays on the shell on which normal vectors
    lie, a short one in the ball that holds most of them.
    """
    size = int(np.prod(shape))
    if len(shape) == 3 and min(shape[:2]) > 1:
        return waves_of_usual_length(*shape)
    if size >= LONG:
        return gaussian(*shape, domain=shell(np.sqrt(size)))
    return gaussian(*shape, length=usual_length(size))


def waves_of_usual_length(
    height: int, width: int, channels: int, **statistics: Any
) -> Latent:
    """Return `waves` whose total length stays within `usual_length`."""
    length = usual_length(height * width * channels)
    return waves(height, width, channels, **statistics, length=length)


def constant_latent(value: float, shape: tuple[int, ...], *, floating: bool) -> Latent:
    """Return a constant latent of the form that an input of a generator takes.

    For an input that is a vector of floating-point numbers, `value` is the number of a
    class, and the latent is a one-hot vector. Other inputs are filled with `value`.

    Args:
        value: The constant, or the number of a class.
        shape: The shape of the input for each image.
        floating: Whether the input takes floating-point numbers.

    Raises:
        ValueError: If there is no such class.

    >>> constant_latent(1, (3,), floating=True).start([[0, 1]]).numpy().tolist()
    [[0.0, 1.0, 0.0]]
    >>> constant_latent(4, (1,), floating=False).start([[0, 1]]).numpy().tolist()
    [[4.0]]
    """
    classes = shape[0] if floating and len(shape) == 1 and shape[0] != 1 else None
    if (classes or not floating) and value != int(value):
        raise ValueError(
            f"The number of a class must be a whole number. Received: {value}"
        )
    return chosen(int(value), classes) if classes else held(np.full(shape, value))


def cast_to_input(values: Any, dtype: Any) -> Any:
    """Cast values to the type of a generator's input; latents are stored as floats."""
    whole = not tf.as_dtype(dtype).is_floating
    return tf.cast(tf.round(values) if whole else values, dtype)


def latent_map_size(height: int, width: int | None) -> tuple[int, int]:
    """Return the size of a latent map whose positions stand for 8 by 8 pixels each.

    Args:
        height: The height of the images in pixels.
        width: The width of the images; by default the same as `height`.

    Raises:
        ValueError: If a size is not a multiple of 8.
    """
    width = height if width is None else width
    if height % 8 or width % 8 or min(height, width) < 8:
        raise ValueError(
            "The height and the width of the images must be multiples of 8 pixels. "
            f"Received: {height} and {width}"
        )
    return height // 8, width // 8


def _standardizer(mean: Any, stddev: Any) -> Callable[[Any], Any]:
    """Return the function to standard deviations from the mean."""
    floor = np.maximum(stddev, np.float32(1e-12))
    return lambda values: (values - mean) / floor


def _limit_length(
    length: float | None,
    standardize: Callable[[Any], Any],
    restore: Callable[[Any], Any],
    domain: Domain | None,
) -> Domain | None:
    """Return a domain that also limits the length, if there is a limit.

    Args:
        length: The largest length of the standardized values, or None.
        standardize: The function from values to standard normal numbers.
        restore: The inverse of `standardize`.
        domain: The domain to apply after the limit, or None.
    """
    if length is None:
        return domain
    limit = ball(length)
    if domain is None:
        return lambda values: restore(limit(standardize(values)))
    return lambda values: domain(restore(limit(standardize(values))))


def _check_rate(rate: float) -> None:
    if not rate > 0:
        raise ValueError(f"`rate` must be above 0. Received: rate={rate}")


def _identity(values: Any) -> Any:
    return values
