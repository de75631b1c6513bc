"""Statistics over rows, checked on tables whose results were worked out by hand."""

import numpy as np
import pytest

from tfviz.comparison.kinship import CAVEATS
from tfviz.comparison.summary import (
    UNLIKE,
    differences,
    interval,
    means,
    paired,
    summary,
    verdicts,
)

UNITS = [f"unit {k}" for k in range(6)]
NAMES = ["gain", "robustness", "two_alternative@A", "nearest_ratio@A"]
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def method(name="m", kind="method", of=None, *, kinship=None, judges=()):
    return {
        "name": name,
        "kind": kind,
        "of": of,
        "kinship": kinship,
        "related_judges": judges,
    }


def row(name, unit, seed=0, error=None, **values):
    return {"method": name, "unit": unit, "seed": seed, "error": error} | values


def table(name="m", **measures):
    """Rows of one seed; a measure has one value for all units, or one for each."""
    by_unit = {k: np.broadcast_to(v, len(UNITS)).tolist() for k, v in measures.items()}
    return [
        row(name, unit, **{measure: v[place] for measure, v in by_unit.items()})
        for place, unit in enumerate(UNITS)
    ]


def method_rows(
    *, gain=1.0, accuracy=0.9, distance=1.0, robustness=0.8, chance=0.5, judge="A"
):
    """Rows of a method and of its random pictures, as one judge measures them."""
    by_judge = {
        f"two_alternative@{judge}": accuracy,
        f"nearest_ratio@{judge}": distance,
    }
    random = {f"two_alternative@{judge}": chance, f"nearest_ratio@{judge}": 1.3}
    of_method = table("m", gain=gain, robustness=robustness, **by_judge)
    return of_method + table("m: random", robustness=None, **random)


def verdict(rows, names=NAMES, units=UNITS, methods=None):
    (entry,) = verdicts(rows, methods or [method()], names, units)
    return entry["verdict"], entry["because"]


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


class TestVerdicts:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "shows the unit, in pictures like photos"),
            ({"distance": UNLIKE}, "shows the unit, in pictures like photos"),
            ({"distance": UNLIKE + 0.01}, "shows the unit, in pictures unlike photos"),
            ({"gain": 0.0}, "pictures like photos, that do not tell about the unit"),
            ({"gain": -1.0}, "pictures like photos, that do not tell about the unit"),
            # The mean lies above 0, but its interval does not.
            ({"gain": [9, -1, -1, -1, -1, -1]},
             "pictures like photos, that do not tell about the unit"),
            ({"accuracy": 0.5},
             "pictures like photos, that do not tell about the unit"),
            ({"accuracy": 0.9, "chance": 0.9},
             "pictures like photos, that do not tell about the unit"),
            ({"accuracy": 0.4, "distance": 1.5},
             "neither tells about the unit nor looks like photos"),
        ],
    )  # fmt: skip
    def test_they_follow_from_the_measures(self, changes, expected):
        assert verdict(method_rows(**changes))[0] == expected

    def test_reasons_contain_the_numbers_and_intervals(self):
        _, because = verdict(
            method_rows(gain=RISING, accuracy=0.9, distance=1.05, chance=0.6)
        )
        expected = interval(RISING)
        assert because[0] == (
            f"Its pictures score +0.35 ({expected.low:+.3g} to {expected.high:+.3g}) "
            "times what the best photo does above the best random ones."
        )
        assert because[1] == (
            "Judged by A, they tell which of two photos the unit responds to more in "
            "+30 (+30 to +30) more cases of a hundred than random ones."
        )
        assert because[2] == (
            "Judged by A, they are 1.05 (1.05 to 1.05) times as far from the nearest "
            "photo as photos are."
        )
        assert len(because) == 3

    def test_pictures_that_fail_under_transforms_are_called_deceptive(self):
        _, because = verdict(method_rows(robustness=0.2))
        assert "leave 20 (20 to 20) % of their lead" in because[-1]
        assert "deceived" in because[-1]
        _, because = verdict(method_rows(robustness=[0, 0, 0.4, 0.4, 1, 1]))
        assert (
            "leave 40 (0 to 100) % of their lead over photos in the median"
            in (because[-1])
        )
        for harmless in (0.5, [0, 0, 0.5, 0.5, 0.5, 0.5], None):
            _, because = verdict(method_rows(robustness=harmless))
            assert not any("deceived" in reason for reason in because)

    def test_only_methods_get_a_verdict(self):
        kinds = ("baseline", "control", "ablation", "ceiling")
        others = [method(kind, kind) for kind in kinds]
        entries = verdicts(method_rows(), [*others, method()], NAMES, UNITS)
        assert [entry["method"] for entry in entries] == ["m"]

    @pytest.mark.parametrize("level", CAVEATS)
    def test_a_related_method_is_marked(self, level):
        because = verdict(method_rows(), methods=[method(kinship=level)])[1]
        assert because[-1] == CAVEATS[level]

    def test_a_distantly_related_method_is_not_marked(self):
        expected = verdict(method_rows())
        found = verdict(method_rows(), methods=[method(kinship="pixels only")])
        assert found == expected

    def test_related_judges_are_named(self):
        because = verdict(method_rows(), methods=[method(judges=["A", "B"])])[1]
        assert [reason[:7] for reason in because[-2:]] == ["Judge A", "Judge B"]


class TestTheLeastFavourableJudge:
    NAMES = (*NAMES, "two_alternative@B", "nearest_ratio@B")

    def both(self, **of_b):
        """Rows with the measures of two judges, A and B."""
        rows = method_rows()
        for row_a, row_b in zip(rows, method_rows(judge="B", **of_b), strict=True):
            row_a.update({k: v for k, v in row_b.items() if k.endswith("@B")})
        return rows

    def test_the_judge_that_puts_pictures_furthest_from_photos_counts(self):
        text, because = verdict(self.both(distance=1.5), self.NAMES)
        assert text == "shows the unit, in pictures unlike photos"
        assert because[2].startswith("Judged by B, they are 1.5 ")
        assert because[1].startswith("Judged by A, ")

    def test_the_judge_with_the_lowest_end_of_its_interval_counts(self):
        """The judge with the lowest mean may have a narrow interval above 0."""
        wide = [2.4, 2.4, 0.3, 0.3, 0.3, 0.3]
        text, because = verdict(self.both(accuracy=wide), self.NAMES)
        assert np.mean(wide) > 0.9
        assert text == "pictures like photos, that do not tell about the unit"
        assert because[1].startswith("Judged by B, ")

    def test_a_judge_without_features_does_not_count(self):
        rows = self.both(accuracy=None, distance=None, chance=None)
        assert verdict(rows, self.NAMES) == verdict(method_rows())


class TestNoVerdict:
    def test_without_features(self):
        names = ["gain", "robustness"]
        text, because = verdict(method_rows(), names)
        assert text == "no verdict: no judge has features"
        assert because[0].startswith("Its pictures score +1 (+1 to +1) times")

    def test_with_too_few_units(self):
        text, because = verdict(method_rows(), units=UNITS[:4])
        assert text == "no verdict: 4 units are too few for an interval"
        assert because[0].startswith("Its pictures score +1 times")

    def test_with_too_few_units_that_a_judge_measured(self):
        few = method_rows(accuracy=[0.9, 0.9, 0.9, None, None, None])
        assert verdict(few)[0] == "no verdict: 3 units are too few for an interval"

    def test_without_random_pictures(self):
        text, because = verdict(table("m", **{"nearest_ratio@A": 1.0}))
        assert text == "no verdict: there is nothing to compare it with"
        assert len(because) == 1
        assert "nan" not in because[0]

    def test_for_a_method_that_failed(self):
        rows = [row("m", unit, error="RuntimeError: no") for unit in UNITS]
        text, because = verdict(rows)
        assert text == "no verdict: it has no pictures"
        assert because == ["It failed: RuntimeError: no"]


class TestControls:
    METHODS = (method(), method("c", "control", "m"), method("d", "control"))

    def warnings(self, of_method, of_control, **options):
        rows = method_rows(distance=of_method)
        rows += table("c", **{"nearest_ratio@A": of_control})
        rows += table("d", **{"nearest_ratio@A": 0.1})
        because = verdict(rows, methods=self.METHODS, **options)[1]
        return [reason for reason in because if "control" in reason]

    def test_a_control_as_near_to_photos_as_the_method_is_a_warning(self):
        (reason,) = self.warnings(RISING, RISING)
        assert (
            "control 'c' is not distinctly further from photos (0.35 against 0.35)"
            in reason
        )
        (nearer,) = self.warnings(1.1, 0.9)
        assert "(0.90 against 1.10)" in nearer

    def test_a_control_that_is_further_from_photos_is_no_warning(self):
        assert self.warnings(1.0, [1.1, 1.2, 1.1, 1.2, 1.1, 1.2]) == []

    def test_too_few_units_give_no_warning(self):
        assert self.warnings(1.0, 3.0, units=UNITS[:3]) == []

    def test_the_numbers_are_means_over_the_units_that_both_have(self):
        (reason,) = self.warnings([1, 1, 1, 1, 1, 90], [1, 1, 1, 1, 1, None])
        assert "(1.00 against 1.00)" in reason
