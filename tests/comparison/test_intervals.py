import dataclasses

import numpy as np
import pytest
import scipy.stats

from tfviz.comparison.summary import (
    MIN_UNITS,
    Interval,
    distinct,
    interval,
    paired,
    quartiles,
)


class TestInterval:
    @pytest.mark.parametrize("statistic", ["mean", "median"])
    @pytest.mark.parametrize("level", [0.95, 0.8])
    @pytest.mark.parametrize("units", [5, 24, 33])
    def test_it_equals_the_percentile_interval_of_scipy(
        self, units, level, statistic, rng
    ):
        values = rng.exponential(size=units)
        ours = interval(values, statistic=statistic, level=level, draws=3000, seed=5)
        expected = scipy.stats.bootstrap(
            (values,),
            getattr(np, statistic),
            n_resamples=3000,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(5),
        ).confidence_interval

        assert ours.value == pytest.approx(getattr(np, statistic)(values))
        assert ours.low == pytest.approx(expected.low)
        assert ours.high == pytest.approx(expected.high)
        assert ours.units == units

    def test_it_covers_the_true_mean_as_often_as_its_level_says(self):
        """95 % up to the noise of 800 cases, and a little less at 24 units."""
        cases = np.random.default_rng(1).normal(3, 2, size=(800, 24))
        intervals = [interval(c, draws=500, seed=i) for i, c in enumerate(cases)]
        covered = np.mean([one.low <= 3 <= one.high for one in intervals])

        assert 0.905 < covered < 0.965

    def test_with_few_units_it_is_too_narrow_as_the_docstring_says(self):
        cases = np.random.default_rng(2).exponential(size=(800, 5))
        intervals = [interval(c, draws=500, seed=i) for i, c in enumerate(cases)]
        covered = np.mean([one.low <= 1 <= one.high for one in intervals])

        assert covered == pytest.approx(0.77, abs=0.05)

    def test_it_narrows_with_the_square_root_of_the_number_of_units(self, rng):
        values = rng.normal(size=40)
        one, four = interval(values), interval(np.tile(values, 4))

        assert (one.high - one.low) / (four.high - four.low) == pytest.approx(2, 0.05)

    def test_the_same_seed_gives_the_same_interval_and_another_does_not(self, rng):
        values = rng.normal(size=12)

        assert interval(values) == interval(values, seed=0)
        assert interval(values) != interval(values, seed=1)

    def test_missing_units_are_left_out_and_not_counted(self, rng):
        values = rng.normal(size=9)
        with_gaps = np.insert(values, [0, 4, 9], np.nan)

        assert interval(with_gaps) == interval(values)
        assert interval(with_gaps).units == 9

    @pytest.mark.parametrize("units", [1, MIN_UNITS - 1])
    def test_few_units_have_a_mean_but_no_interval(self, units):
        few = interval(np.arange(units))

        assert few.value == (units - 1) / 2
        assert np.isnan([few.low, few.high]).all()
        assert few.units == units
        assert not distinct(few.low, few.high)

    def test_without_units_all_numbers_are_nan(self):
        empty = interval([np.nan, np.nan])

        assert np.isnan([empty.value, empty.low, empty.high]).all()
        assert empty.units == 0

    def test_equal_values_have_an_interval_of_zero_width(self):
        assert interval([2.5] * 6) == Interval(2.5, 2.5, 2.5, 6)

    def test_its_numbers_are_python_numbers(self):
        of_floats = interval(np.arange(6, dtype=np.float32))

        assert [type(v) for v in dataclasses.astuple(of_floats)] == [float] * 3 + [int]

    @pytest.mark.parametrize(
        ("values", "options", "message"),
        [
            ([[1.0]], {}, r"`values` must have the shape \(units,\).*\(1, 1\)"),
            ([1.0, np.inf], {}, "`values` .* 1 infinite"),
            ([1.0], {"level": 1}, "`level` must lie between 0 and 1.*level=1"),
            ([1.0], {"draws": 99}, "`draws` must be at least 100.*draws=99"),
            ([1.0], {"statistic": "mode"}, "must be 'mean' or 'median'.*'mode'"),
        ],
    )
    def test_wrong_arguments_are_refused(self, values, options, message):
        with pytest.raises(ValueError, match=message):
            interval(values, **options)


class TestPaired:
    def test_it_is_the_interval_of_the_differences(self, rng):
        first, second = rng.normal(size=(2, 20))

        assert paired(first, second, level=0.9, seed=3) == interval(
            first - second, level=0.9, seed=3
        )

    def test_it_finds_a_difference_that_variation_between_units_would_hide(self, rng):
        units = rng.normal(0, 10, size=24)
        first = units + 1 + rng.normal(0, 0.5, size=24)
        second = units + rng.normal(0, 0.5, size=24)
        one, other, both = interval(first), interval(second), paired(first, second)

        assert one.low < other.high
        assert distinct(both.low, both.high)
        assert both.low < 1 < both.high

    def test_identical_methods_are_not_distinct(self, rng):
        same = rng.normal(size=12)
        difference = paired(same, same)

        assert (difference.low, difference.high) == (0, 0)
        assert not distinct(difference.low, difference.high)

    def test_methods_with_equal_distributions_are_seldom_distinct(self):
        pairs = np.random.default_rng(4).normal(size=(400, 2, 24))
        differences = [paired(a, b, draws=500) for a, b in pairs]
        wrong = np.mean([distinct(one.low, one.high) for one in differences])

        assert 0.03 < wrong < 0.11

    def test_units_missing_in_either_are_left_out_of_both(self):
        first = [1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 9.0]
        second = [0.0, 7.0, np.nan, 2.0, 3.0, 2.0, 4.0]
        difference = paired(first, second)

        assert difference == interval([1.0, 2.0, 2.0, 4.0, 5.0])
        assert difference.units == 5

    def test_swapping_the_methods_flips_the_sign(self, rng):
        first, second = rng.normal(size=(2, 15))
        one, other = paired(first, second), paired(second, first)

        assert (one.low, one.value) == pytest.approx((-other.high, -other.value))

    def test_different_numbers_of_units_are_refused(self):
        with pytest.raises(ValueError, match=r"same units.*\(2,\) and \(1,\)"):
            paired([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 2, True), (-2, -0.1, True), (-1, 1, False), (0, 1, False), (-1, 0, False)],
)
def test_an_interval_that_touches_zero_is_not_distinct(low, high, expected):
    assert distinct(low, high) is expected


def test_quartiles_equal_those_of_scipy_without_missing_values(rng):
    values = rng.normal(size=21)
    low, middle, high = quartiles(np.append(values, np.nan))

    assert middle == np.median(values)
    assert high - low == pytest.approx(scipy.stats.iqr(values))
    assert quartiles([4.0]) == (4.0, 4.0, 4.0)
    assert np.isnan(quartiles([])).all()
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        quartiles([[1.0, 2.0]])
