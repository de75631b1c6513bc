"""How sure a mean over units is, and a difference between two methods.

Units are what was drawn at random, so they are what is drawn again: several seeds of a
unit are averaged before. Missing numbers are nan.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

# With fewer units a percentile interval is far too narrow to be shown.
FEWEST = 5


@dataclass(frozen=True)
class Interval:
    """A number with its interval.

    Attributes:
        value: The mean or the median; nan without units.
        low: The lower end; nan for fewer than `FEWEST` units.
        high: The upper end; likewise.
        units: How many had a number.
    """

    value: float
    low: float
    high: float
    units: int


def interval(
    values: ArrayLike,
    *,
    statistic: Literal["mean", "median"] = "mean",
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean or the median over units, with its percentile bootstrap interval.

    With few units the interval of a mean is too narrow. In simulations, one of 95 %
    held the truth in 85 % of cases for 5 units, 90 % for 10, 93 % for 24 and 94 % for
    48 if values are normal, and in 77, 86, 91 and 92 % if they are as skewed as
    exponential ones. That of a median held it in 91 to 94 % of either.

    Args:
        values: `(units,)`; nan where there is none.
        statistic: `"mean"` or `"median"`.
        level: How often the interval should hold the truth, between 0 and 1.
        draws: How often units are drawn, from 100.
        seed: Of the draws.

    Raises:
        ValueError: If a setting is out of range, or the values have another shape or
            are infinite.

    >>> found = interval([1.0, 2.0, 3.0, 4.0, 5.0, float("nan")])
    >>> found.value, found.low, found.high, found.units
    (3.0, 1.8, 4.2, 5)
    """
    if statistic not in ("mean", "median"):
        raise ValueError(
            f"`statistic` must be 'mean' or 'median'. Received: {statistic!r}"
        )
    if not 0 < level < 1 or draws < 100:
        raise ValueError(
            "`level` must lie between 0 and 1, and `draws` from 100. Received: "
            f"level={level}, draws={draws}"
        )
    known = _known("values", values)
    known = known[~np.isnan(known)]
    units = len(known)
    reduce = np.mean if statistic == "mean" else np.median
    value = float(reduce(known)) if units else np.nan
    if units < FEWEST:
        return Interval(value, np.nan, np.nan, units)
    picks = np.random.default_rng(seed).integers(units, size=(draws, units))
    tail = 50 * (1 - level)
    low, high = np.percentile(reduce(known[picks], axis=1), [tail, 100 - tail])
    return Interval(value, float(low), float(high), units)


def paired(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean difference between two methods on the same units.

    Units of which either has no number are left out. As many intervals are looked at,
    some will exclude 0 by chance: of twenty at 95 %, one.

    Args:
        first: `(units,)`; nan where there is none.
        second: `(units,)`, of the same units in the same order.
        level: As for `interval`.
        draws: As for `interval`.
        seed: As for `interval`.

    Returns:
        Of `first - second`.

    Raises:
        ValueError: If shapes differ, or as for `interval`.

    >>> found = paired([3.0, 4.0, float("nan")], [1.0, 1.0, 1.0])
    >>> found.value, found.units
    (2.5, 2)
    """
    one, other = _known("first", first), _known("second", second)
    if one.shape != other.shape:
        raise ValueError(
            "`first` and `second` must be of the same units. Received: shapes "
            f"{one.shape} and {other.shape}"
        )
    return interval(one - other, level=level, draws=draws, seed=seed)


def distinct(low: float, high: float) -> bool:
    """Return if an interval of a difference excludes 0; not if there is none.

    >>> distinct(0.1, 0.5), distinct(-0.1, 0.5), distinct(float("nan"), float("nan"))
    (True, False, False)
    """
    return bool(low > 0 or high < 0)


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile.

    Args:
        values: `(n,)`; nan where there is none.

    Returns:
        Three numbers, interpolated between values; nan if there are no values.

    Raises:
        ValueError: If the shape is another, or values are infinite.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, float("nan")])
    (1.75, 2.5, 3.25)
    """
    known = _known("values", values)
    known = known[~np.isnan(known)]
    if not len(known):
        return np.nan, np.nan, np.nan
    low, middle, high = np.percentile(known, [25, 50, 75])
    return float(low), float(middle), float(high)


def _known(name: str, values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or np.isinf(found).any():
        raise ValueError(
            f"`{name}` must have the shape (units,), of numbers or nan. Received: "
            f"shape {found.shape}, {np.isinf(found).sum()} infinite"
        )
    return found
