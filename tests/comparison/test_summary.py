"""Statistics over rows, checked on tables whose results were worked out by hand."""

import numpy as np
import pytest

from support import UNITS, method, row, table
from tfviz.comparison.summary import (
    differences,
    interval,
    means,
    paired,
    summary,
)

RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


class TestMeans:
    ROWS = (
        row("m", "unit 0", 0, x=1.0),
        row("m", "unit 0", 1, x=3.0),
        row("m", "unit 1", 0, x=None),
        row("m", "unit 1", 1, x=5.0),
        row("m", "unit 2", 0, error="RuntimeError: no"),
        row("other", "unit 3", 0, x=9.0),
    )

    def test_seeds_are_averaged_and_missing_values_are_left_out(self):
        by_unit = means(self.ROWS, "m", "x", UNITS[:4])
        np.testing.assert_array_equal(by_unit, [2, 5, np.nan, np.nan])

    def test_a_summary_of_few_units_has_quartiles_but_no_interval(self):
        entries = summary(self.ROWS, ["m", "other", "none"], ["x", "y"], UNITS[:4])
        assert entries == [
            {"method": "m", "measure": "x", "median": 3.5, "q1": 2.75, "q3": 4.25,
             "mean": 3.5, "low": None, "high": None, "units": 2},
            {"method": "other", "measure": "x", "median": 9, "q1": 9, "q3": 9,
             "mean": 9, "low": None, "high": None, "units": 1},
        ]  # fmt: skip

    def test_a_summary_has_the_interval_of_its_median(self):
        (entry,) = summary(table(x=RISING), ["m"], ["x"], UNITS)
        expected = interval(RISING, statistic="median")
        assert entry["median"] == expected.value
        assert (entry["low"], entry["high"]) == (expected.low, expected.high)
        assert (entry["mean"], entry["units"]) == (pytest.approx(0.35), 6)


class TestDifferences:
    def test_each_pair_is_compared_once(self):
        rows = table("a", x=RISING) + table("b", x=0.1) + table("c", x=RISING)
        pairs = differences(rows, [method(m) for m in "abc"], ["x"], UNITS)
        assert [(d["first"], d["second"]) for d in pairs] == [
            ("a", "b"), ("a", "c"), ("b", "c")
        ]  # fmt: skip
        assert [d["mean"] for d in pairs] == pytest.approx([0.25, 0, -0.25])
        assert [d["distinct"] for d in pairs] == [True, False, True]
        expected = paired(RISING, [0.1] * 6)
        assert (pairs[0]["low"], pairs[0]["high"]) == (expected.low, expected.high)

    def test_units_that_one_method_lacks_are_left_out(self):
        rows = table("a", x=RISING) + table("b", x=[None, None, 0.3, 0.3, 0.3, 0.3])
        (pair,) = differences(rows, [method("a"), method("b")], ["x"], UNITS)
        assert (pair["units"], pair["low"], pair["distinct"]) == (4, None, False)
        assert pair["mean"] == pytest.approx(0.15)

    def test_methods_without_a_common_unit_have_no_difference(self):
        rows = [row("a", "unit 0", x=1.0), row("b", "unit 1", x=1.0)]
        assert differences(rows, [method("a"), method("b")], ["x"], UNITS) == []

    def test_controls_and_ablations_are_compared_with_their_method(self):
        names = ("a", "b", "a random", "b without", "faces", "a: random")
        rows = [row for name in names for row in table(name, x=RISING)]
        methods = [
            method("a"),
            method("b"),
            method("a random", "control", "a"),
            method("b without", "ablation", "b"),
            method("faces", "control"),
            method("a: random", "baseline", "a"),
        ]
        pairs = differences(rows, methods, ["x"], UNITS)
        assert [(d["first"], d["second"]) for d in pairs] == [
            ("a", "b"), ("a", "a random"), ("b", "b without"), ("a", "faces"),
            ("b", "faces"),
        ]  # fmt: skip
