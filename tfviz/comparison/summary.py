"""Statistics over the rows of a comparison, with bootstrap intervals.

They are summaries over units, and differences between methods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._files import finite_or_none

# A percentile interval over fewer units is far too narrow to be shown.
MIN_UNITS = 5

# The rows of a comparison's results, one for each picture.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Interval:
    """A statistic over units with its bootstrap interval.

    Attributes:
        value: The mean or the median; nan if there are no units.
        low: The lower end of the interval; nan for fewer than `MIN_UNITS` units.
        high: The upper end of the interval; nan for fewer than `MIN_UNITS` units.
        units: The number of units that have a value.
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

    With few units the interval of a mean is too narrow. In simulations, 95 % intervals
    covered the true mean of normal values in 85 % of cases for 5 units, 90 % for 10,
    93 % for 24 and 94 % for 48, and that of exponential values, which are skewed, in
    77, 86, 91 and 92 %. Intervals of a median covered it in 91 to 94 % of cases for
    both distributions.

    Args:
        values: The value of each unit, `(units,)`; nan where a unit has none.
        statistic: `"mean"` or `"median"`.
        level: The confidence level, between 0 and 1.
        draws: The number of bootstrap samples, at least 100.
        seed: The random seed of the bootstrap samples.

    Raises:
        ValueError: If an argument is out of range, or the values have another shape or
            are infinite.

    >>> mean = interval([1.0, 2.0, 3.0, 4.0, 5.0, float("nan")])
    >>> mean.value, mean.low, mean.high, mean.units
    (3.0, 1.8, 4.2, 5)
    """
    if statistic not in ("mean", "median"):
        raise ValueError(
            f"`statistic` must be 'mean' or 'median'. Received: {statistic!r}"
        )
    if not 0 < level < 1 or draws < 100:
        raise ValueError(
            "`level` must lie between 0 and 1, and `draws` must be at least 100. "
            f"Received: level={level}, draws={draws}"
        )
    present = _as_values("values", values)
    present = present[~np.isnan(present)]
    units = len(present)
    reduce = np.mean if statistic == "mean" else np.median
    value = float(reduce(present)) if units else np.nan
    if units < MIN_UNITS:
        return Interval(value, np.nan, np.nan, units)
    picks = np.random.default_rng(seed).integers(units, size=(draws, units))
    tail = 50 * (1 - level)
    low, high = np.percentile(reduce(present[picks], axis=1), [tail, 100 - tail])
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

    Units for which either method has no value are left out. The intervals are not
    corrected for multiple comparisons: about one of twenty 95 % intervals excludes 0 by
    chance.

    Args:
        first: The values of one method, `(units,)`; nan where a unit has none.
        second: The values of the other method for the same units in the same order.
        level: The confidence level, as for `interval`.
        draws: The number of bootstrap samples, as for `interval`.
        seed: The random seed of the bootstrap samples, as for `interval`.

    Returns:
        The mean of `first - second` with its interval.

    Raises:
        ValueError: If the shapes differ, or as for `interval`.

    >>> difference = paired([3.0, 4.0, float("nan")], [1.0, 1.0, 1.0])
    >>> difference.value, difference.units
    (2.5, 2)
    """
    one, other = _as_values("first", first), _as_values("second", second)
    if one.shape != other.shape:
        raise ValueError(
            "`first` and `second` must hold values of the same units. Received: shapes "
            f"{one.shape} and {other.shape}"
        )
    return interval(one - other, level=level, draws=draws, seed=seed)


def distinct(low: float, high: float) -> bool:
    """Return whether the interval of a difference excludes 0; False if it is nan.

    >>> distinct(0.1, 0.5), distinct(-0.1, 0.5), distinct(float("nan"), float("nan"))
    (True, False, False)
    """
    return bool(low > 0 or high < 0)


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile.

    Args:
        values: The values, `(n,)`; nan ones are left out.

    Returns:
        Three numbers, interpolated between values; nan if there are no values.

    Raises:
        ValueError: If the values have another shape or are infinite.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, float("nan")])
    (1.75, 2.5, 3.25)
    """
    present = _as_values("values", values)
    present = present[~np.isnan(present)]
    if not len(present):
        return np.nan, np.nan, np.nan
    low, middle, high = np.percentile(present, [25, 50, 75])
    return float(low), float(middle), float(high)


def _as_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return values of units as an array, or refuse another shape and infinity."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or np.isinf(array).any():
        raise ValueError(
            f"`{name}` must have the shape (units,) and hold finite numbers or nan. "
            f"Received: shape {array.shape}, {np.isinf(array).sum()} infinite"
        )
    return array


def means(rows: Rows, method: str, measure: str, units: Sequence[str]) -> NDArray[Any]:
    """Return a method's mean over seeds for each unit; nan for units without values."""
    values: dict[str, list[float]] = {unit: [] for unit in units}
    for row in rows:
        matches = row["method"] == method and row["unit"] in values
        if matches and row.get(measure) is not None:
            values[row["unit"]].append(row[measure])
    return np.array([np.mean(seeds) if seeds else np.nan for seeds in values.values()])


def summary(
    rows: Rows, methods: Sequence[str], names: Sequence[str], units: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the statistics over units of each measure of each method.

    Args:
        rows: The rows of all methods.
        methods: The names of the methods.
        names: The names of the measures.
        units: The names of the units.

    Returns:
        A row for each method and measure: the median with its interval, the quartiles
        and the mean.
    """
    table = []
    for method in methods:
        for measure in names:
            values = means(rows, method, measure, units)
            if np.isnan(values).all():
                continue
            lower, _, upper = quartiles(values)
            median = interval(values, statistic="median")
            table.append(
                {
                    "method": method,
                    "measure": measure,
                    "median": median.value,
                    "q1": lower,
                    "q3": upper,
                    "low": finite_or_none(median.low),
                    "high": finite_or_none(median.high),
                    "mean": float(np.nanmean(values)),
                    "units": median.units,
                }
            )
    return table


def differences(
    rows: Rows,
    methods: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    units: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the mean differences between methods on the same units, each pair once.

    Methods are compared with each other, and controls and ablations with their method.

    Args:
        rows: The rows of all methods.
        methods: The methods, with their `name`, `kind` and `of`.
        names: The names of the measures.
        units: The names of the units.
    """
    pairs = _pairs(methods)
    table = []
    for measure in names:
        values = {
            name: means(rows, name, measure, units)
            for name in dict.fromkeys(name for pair in pairs for name in pair)
        }
        for first, second in pairs:
            difference = paired(values[first], values[second])
            if not difference.units:
                continue
            table.append(
                {
                    "measure": measure,
                    "first": first,
                    "second": second,
                    "mean": difference.value,
                    "low": finite_or_none(difference.low),
                    "high": finite_or_none(difference.high),
                    "units": difference.units,
                    "distinct": distinct(difference.low, difference.high),
                }
            )
    return table


def _pairs(methods: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the pairs of names to compare.

    A control or an ablation that belongs to no method is compared with all methods.
    """
    compared = [m["name"] for m in methods if m["kind"] == "method"]
    return [*combinations(compared, 2)] + [
        (name, other["name"])
        for other in methods
        if other["kind"] in ("control", "ablation")
        for name in ([other["of"]] if other["of"] else compared)
    ]
