"""What rows add up to, by tables that were worked out by hand."""

import numpy as np
import pytest

from tfviz.comparison.summary import interval, paired
from tfviz.comparison.summary import UNLIKE, differences, means, summary, verdicts

UNITS = [f"unit {k}" for k in range(6)]
NAMES = ["gain", "robustness", "two_alternative@A", "nearest_ratio@A"]
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def method(name="m", kind="method", of=None, *, circular=False):
    return {"name": name, "kind": kind, "of": of, "circular": circular}


def row(name, unit, seed=0, error=None, **values):
    return {"method": name, "unit": unit, "seed": seed, "error": error} | values


def table(name="m", **measures):
    """Rows of one seed, with a number, or one for each unit, of each measure."""
    whole = {k: np.broadcast_to(v, len(UNITS)).tolist() for k, v in measures.items()}
    return [
        row(name, unit, **{measure: v[place] for measure, v in whole.items()})
        for place, unit in enumerate(UNITS)
    ]


def judged(*, gain=1.0, told=0.9, near=1.0, kept=0.8, chance=0.5, judge="A"):
    """Rows of a method and of its random pictures."""
    measures = {f"two_alternative@{judge}": told, f"nearest_ratio@{judge}": near}
    random = {f"two_alternative@{judge}": chance, f"nearest_ratio@{judge}": 1.3}
    own = table("m", gain=gain, robustness=kept, **measures)
    return own + table("m: random", robustness=None, **random)


def verdict(rows, names=NAMES, units=UNITS, methods=None):
    (found,) = verdicts(rows, methods or [method()], names, units)
    return found["verdict"], found["because"]


class TestMeans:
    ROWS = (
        row("m", "unit 0", 0, x=1.0),
        row("m", "unit 0", 1, x=3.0),
        row("m", "unit 1", 0, x=None),
        row("m", "unit 1", 1, x=5.0),
        row("m", "unit 2", 0, error="RuntimeError: no"),
        row("other", "unit 3", 0, x=9.0),
    )

    def test_seeds_are_averaged_and_what_is_missing_is_left_out(self):
        found = means(self.ROWS, "m", "x", UNITS[:4])
        np.testing.assert_array_equal(found, [2, 5, np.nan, np.nan])

    def test_a_summary_has_quartiles_and_no_interval_of_few_units(self):
        found = summary(self.ROWS, ["m", "other", "none"], ["x", "y"], UNITS[:4])
        assert found == [
            {"method": "m", "measure": "x", "median": 3.5, "q1": 2.75, "q3": 4.25,
             "mean": 3.5, "low": None, "high": None, "units": 2},
            {"method": "other", "measure": "x", "median": 9, "q1": 9, "q3": 9,
             "mean": 9, "low": None, "high": None, "units": 1},
        ]  # fmt: skip

    def test_a_summary_has_the_interval_of_its_median(self):
        (found,) = summary(table(x=RISING), ["m"], ["x"], UNITS)
        expected = interval(RISING, statistic="median")
        assert found["median"] == expected.value
        assert (found["low"], found["high"]) == (expected.low, expected.high)
        assert (found["mean"], found["units"]) == (pytest.approx(0.35), 6)


class TestDifferences:
    def test_each_pair_is_there_once(self):
        rows = table("a", x=RISING) + table("b", x=0.1) + table("c", x=RISING)
        found = differences(rows, [method(m) for m in "abc"], ["x"], UNITS)
        assert [(d["first"], d["second"]) for d in found] == [
            ("a", "b"), ("a", "c"), ("b", "c")
        ]  # fmt: skip
        assert [d["mean"] for d in found] == pytest.approx([0.25, 0, -0.25])
        assert [d["distinct"] for d in found] == [True, False, True]
        expected = paired(RISING, [0.1] * 6)
        assert (found[0]["low"], found[0]["high"]) == (expected.low, expected.high)

    def test_units_that_one_lacks_are_left_out(self):
        rows = table("a", x=RISING) + table("b", x=[None, None, 0.3, 0.3, 0.3, 0.3])
        (found,) = differences(rows, [method("a"), method("b")], ["x"], UNITS)
        assert (found["units"], found["low"], found["distinct"]) == (4, None, False)
        assert found["mean"] == pytest.approx(0.15)

    def test_methods_without_a_common_unit_have_none(self):
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
        found = differences(rows, methods, ["x"], UNITS)
        assert [(d["first"], d["second"]) for d in found] == [
            ("a", "b"), ("a", "a random"), ("b", "b without"), ("a", "faces"),
            ("b", "faces"),
        ]  # fmt: skip


class TestVerdicts:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "shows the unit, in pictures like photos"),
            ({"near": UNLIKE}, "shows the unit, in pictures like photos"),
            ({"near": UNLIKE + 0.01}, "shows the unit, in pictures unlike photos"),
            ({"gain": 0.0}, "pictures like photos, that do not tell about the unit"),
            ({"gain": -1.0}, "pictures like photos, that do not tell about the unit"),
            # A mean above 0 whose interval is not.
            ({"gain": [9, -1, -1, -1, -1, -1]},
             "pictures like photos, that do not tell about the unit"),
            ({"told": 0.5}, "pictures like photos, that do not tell about the unit"),
            ({"told": 0.9, "chance": 0.9},
             "pictures like photos, that do not tell about the unit"),
            ({"told": 0.4, "near": 1.5},
             "neither tells about the unit nor looks like photos"),
        ],
    )  # fmt: skip
    def test_they_follow_from_numbers(self, changes, expected):
        assert verdict(judged(**changes))[0] == expected

    def test_reasons_have_the_numbers(self):
        _, because = verdict(judged(gain=RISING, told=0.9, near=1.05, chance=0.6))
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

    def test_what_transforms_undo_is_said_to_deceive(self):
        _, because = verdict(judged(kept=0.2))
        assert "leave 20 (20 to 20) % of their lead" in because[-1]
        assert "deceived" in because[-1]
        assert not any("deceived" in r for r in verdict(judged(kept=0.5))[1])
        assert not any("deceived" in r for r in verdict(judged(kept=None))[1])

    def test_only_methods_get_one(self):
        kinds = ("baseline", "control", "ablation", "ceiling")
        others = [method(kind, kind) for kind in kinds]
        found = verdicts(judged(), [*others, method()], NAMES, UNITS)
        assert [v["method"] for v in found] == ["m"]

    def test_a_circular_one_is_told(self):
        because = verdict(judged(), methods=[method(circular=True)])[1]
        assert because[-1].startswith("It was trained with this network")


class TestTheLeastFavourableJudge:
    NAMES = (*NAMES, "two_alternative@B", "nearest_ratio@B")

    def both(self, **of_b):
        rows = judged()
        for own, other in zip(rows, judged(judge="B", **of_b), strict=True):
            own.update({k: v for k, v in other.items() if k.endswith("@B")})
        return rows

    def test_the_one_that_sees_them_far_from_photos_counts(self):
        found, because = verdict(self.both(near=1.5), self.NAMES)
        assert found == "shows the unit, in pictures unlike photos"
        assert because[2].startswith("Judged by B, they are 1.5 ")
        assert because[1].startswith("Judged by A, ")

    def test_the_one_that_is_least_sure_counts(self):
        """Not that of the lowest mean, whose interval may be narrow."""
        wide = [2.4, 2.4, 0.3, 0.3, 0.3, 0.3]
        told, because = verdict(self.both(told=wide), self.NAMES)
        assert np.mean(wide) > 0.9
        assert told == "pictures like photos, that do not tell about the unit"
        assert because[1].startswith("Judged by B, ")

    def test_one_without_features_does_not_count(self):
        none = self.both(told=None, near=None, chance=None)
        assert verdict(none, self.NAMES) == verdict(judged())


class TestNoVerdict:
    def test_without_features(self):
        names = ["gain", "robustness"]
        told, because = verdict(judged(), names)
        assert told == "no verdict: no judge has features"
        assert because[0].startswith("Its pictures score +1 (+1 to +1) times")

    def test_of_too_few_units(self):
        told, because = verdict(judged(), units=UNITS[:4])
        assert told == "no verdict: 4 units are too few for an interval"
        assert because[0].startswith("Its pictures score +1 times")

    def test_of_too_few_units_that_a_judge_has_numbers_of(self):
        few = judged(told=[0.9, 0.9, 0.9, None, None, None])
        assert verdict(few)[0] == "no verdict: 3 units are too few for an interval"

    def test_without_random_pictures(self):
        told, because = verdict(table("m", **{"nearest_ratio@A": 1.0}))
        assert told == "no verdict: there is nothing to compare it with"
        assert len(because) == 1
        assert "nan" not in because[0]

    def test_of_what_failed(self):
        rows = [row("m", unit, error="RuntimeError: no") for unit in UNITS]
        told, because = verdict(rows)
        assert told == "no verdict: it has no pictures"
        assert because == ["It failed: RuntimeError: no"]


class TestControls:
    METHODS = (method(), method("c", "control", "m"), method("d", "control"))

    def said(self, near, of_control, **more):
        rows = judged(near=near) + table("c", **{"nearest_ratio@A": of_control})
        rows += table("d", **{"nearest_ratio@A": 0.1})
        because = verdict(rows, methods=self.METHODS, **more)[1]
        return [reason for reason in because if "control" in reason]

    def test_one_as_near_to_photos_is_a_warning(self):
        (reason,) = self.said(RISING, RISING)
        assert (
            "control 'c' is not distinctly further from photos (0.35 against 0.35)"
            in reason
        )
        (nearer,) = self.said(1.1, 0.9)
        assert "(0.90 against 1.10)" in nearer

    def test_one_that_is_further_away_is_none(self):
        assert self.said(1.0, [1.1, 1.2, 1.1, 1.2, 1.1, 1.2]) == []

    def test_of_few_units_nothing_is_said(self):
        assert self.said(1.0, 3.0, units=UNITS[:3]) == []

    def test_numbers_are_of_the_units_that_both_have(self):
        (reason,) = self.said([1, 1, 1, 1, 1, 90], [1, 1, 1, 1, 1, None])
        assert "(1.00 against 1.00)" in reason
