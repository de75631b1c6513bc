"""Verdicts, checked on tables whose results were worked out by hand."""

import numpy as np
import pytest

from support import UNITS, method, row, table
from tfviz import measures
from tfviz.comparison.kinship import CAVEATS
from tfviz.comparison.summary import interval
from tfviz.comparison.verdicts import verdicts

NAMES = ["gain", "robustness", "specificity@A", "nearest_ratio@A"]
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
THRESHOLD = 1.1
NEAR = "pictures specific to their units, near photos"
FAR = "pictures specific to their units, far from photos"
OPEN = "pictures specific to their units, not decided whether near photos"
UNTESTED = (
    "pictures specific to their units, not tested whether near photos, as no judge has "
    "a threshold"
)
UNSPECIFIC = "pictures not shown to be specific to their units, near photos"


def method_rows(*, gain=1.0, specificity=0.4, distance=1.0, robustness=0.8, judge="A"):
    """Rows of a method, as one judge measures them."""
    by_judge = {
        f"specificity@{judge}": specificity,
        f"nearest_ratio@{judge}": distance,
    }
    return table("m", gain=gain, robustness=robustness, **by_judge)


def references(**thresholds):
    return [
        {"measure": f"nearest_ratio@{judge}", "threshold": threshold}
        for judge, threshold in thresholds.items()
    ]


def verdict(rows, names=NAMES, units=UNITS, methods=None, **thresholds):
    judges = references(**(thresholds or {"A": THRESHOLD}))
    (entry,) = verdicts(rows, methods or [method()], names, units, judges)
    return entry["verdict"], entry["because"]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, NEAR),
            ({"gain": 0.0}, UNSPECIFIC),
            ({"gain": -1.0}, UNSPECIFIC),
            # The mean lies above 0, but its interval does not.
            ({"gain": [9, -1, -1, -1, -1, -1]}, UNSPECIFIC),
            ({"specificity": 0.0}, UNSPECIFIC),
            ({"specificity": [0.9, -0.1, -0.1, -0.1, -0.1, -0.1]}, UNSPECIFIC),
            ({"specificity": -0.1, "distance": 1.5},
             "pictures not shown to be specific to their units, far from photos"),
        ],
    )  # fmt: skip
    def test_they_follow_from_the_measures(self, changes, expected):
        assert verdict(method_rows(**changes))[0] == expected

    @pytest.mark.parametrize(
        ("distance", "expected"),
        [
            (1.09, NEAR),
            (1.11, FAR),
            # The means lie on one side of the threshold, the intervals on both.
            ([1.0, 1.0, 1.0, 1.0, 1.0, 1.5], OPEN),
            ([1.0, 1.2, 1.2, 1.2, 1.2, 1.2], OPEN),
        ],
    )
    def test_the_interval_of_the_distance_decides(self, distance, expected):
        assert verdict(method_rows(distance=distance))[0] == expected

    def test_each_judge_has_its_own_threshold(self):
        rows = method_rows(distance=1.05)
        assert verdict(rows, A=1.1)[0] == NEAR
        assert verdict(rows, A=1.01)[0] == FAR

    def test_a_judge_without_a_threshold_is_named_and_not_asked(self):
        text, because = verdict(method_rows(distance=9.0), A=None)
        assert text == UNTESTED
        assert because[2] == (
            "Judged by A, they are 9 (9 to 9) times as far from the nearest photo as "
            "photos are; this judge has no threshold, as it does not put grey "
            "pictures, noise and blurred photos distinctly further than photos."
        )

    def test_reasons_contain_the_numbers_and_intervals(self):
        _, because = verdict(method_rows(gain=RISING, specificity=0.3, distance=1.05))
        expected = interval(RISING)
        assert because[0] == (
            "Units respond to their own pictures by +0.35 "
            f"({expected.low:+.3g} to {expected.high:+.3g}) times what the best photo "
            "has more than to the method's pictures of other units."
        )
        assert because[1] == (
            "In the features of A, they tell which of two photos the unit responds to "
            "more in +30 (+30 to +30) more cases of a hundred than the method's "
            "pictures of other units."
        )
        assert because[2] == (
            "Judged by A, they are 1.05 (1.05 to 1.05) times as far from the nearest "
            "photo as photos are; its threshold is 1.1."
        )
        assert len(because) == 3

    def test_pictures_that_fail_under_transforms_are_reported(self):
        _, because = verdict(method_rows(robustness=0.2))
        assert because[-1] == (
            "Other transforms than those they were made under leave 20 (20 to 20) % of "
            "their lead over photos in the median."
        )
        _, because = verdict(method_rows(robustness=[0, 0, 0.4, 0.4, 1, 1]))
        assert "leave 40 (0 to 100) % of their lead" in because[-1]
        for harmless in (0.5, [0, 0, 0.5, 0.5, 0.5, 0.5], None):
            _, because = verdict(method_rows(robustness=harmless))
            assert not any("transforms" in reason for reason in because)

    def test_only_methods_get_a_verdict(self):
        kinds = ("baseline", "control", "ablation", "ceiling")
        others = [method(kind, kind) for kind in kinds]
        entries = verdicts(
            method_rows(), [*others, method()], NAMES, UNITS, references(A=THRESHOLD)
        )
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


class TestSeveralJudges:
    NAMES = (*NAMES, "specificity@B", "nearest_ratio@B")

    def both(self, **of_b):
        """Rows with the measures of two judges, A and B."""
        rows = method_rows()
        for row_a, row_b in zip(rows, method_rows(judge="B", **of_b), strict=True):
            row_a.update({k: v for k, v in row_b.items() if k.endswith("@B")})
        return rows

    @pytest.mark.parametrize(
        ("distance", "threshold", "expected"),
        [
            (1.0, 1.1, NEAR),
            (1.5, 1.1, FAR),
            ([1.0, 1.0, 1.0, 1.2, 1.2, 1.2], 1.1, OPEN),
            (1.5, None, NEAR),
        ],
    )
    def test_near_is_what_all_judges_with_a_threshold_call_near(
        self, distance, threshold, expected
    ):
        rows = self.both(distance=distance)
        text, because = verdict(rows, self.NAMES, A=THRESHOLD, B=threshold)
        assert text == expected
        assert because[2].startswith("Judged by A, they are 1 ")
        assert because[3].startswith("Judged by B, they are ")

    def test_the_judge_with_the_lowest_end_of_its_interval_counts(self):
        """The judge with the lowest mean may have a narrow interval above 0."""
        wide = [1.9, 1.9, -0.2, -0.2, -0.2, -0.2]
        rows = self.both(specificity=wide)
        text, because = verdict(rows, self.NAMES, A=THRESHOLD, B=THRESHOLD)
        assert np.mean(wide) > 0.4
        assert text == UNSPECIFIC
        assert because[1].startswith("In the features of B, ")

    def test_a_judge_that_measured_nothing_does_not_count(self):
        rows = self.both(specificity=None, distance=None)
        text, because = verdict(rows, self.NAMES, A=THRESHOLD, B=THRESHOLD)
        assert (text, because) == verdict(method_rows())


class TestNoVerdict:
    def test_without_features(self):
        text = verdicts(method_rows(), [method()], ["gain"], UNITS, [])[0]["verdict"]
        assert text == "no verdict: no judge has features"

    def test_with_too_few_units(self):
        text, because = verdict(method_rows(), units=UNITS[:4])
        assert text == "no verdict: 4 units are too few for an interval"
        assert because[0].startswith("Units respond to their own pictures by +1 times")

    def test_with_too_few_units_that_a_judge_measured(self):
        few = method_rows(specificity=[0.9, 0.9, 0.9, None, None, None])
        assert verdict(few)[0] == "no verdict: 3 units are too few for an interval"

    def test_without_pictures_of_other_units(self):
        text, because = verdict(table("m", **{"nearest_ratio@A": 1.0}))
        assert text == (
            "no verdict: there are no pictures of other units to compare with"
        )
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
            "control 'c' is not distinctly further from photos (0.35 against 0.35 by A)"
            in reason
        )
        (nearer,) = self.warnings(1.1, 0.9)
        assert "(0.90 against 1.10 by A)" in nearer

    def test_a_control_that_is_further_from_photos_is_no_warning(self):
        assert self.warnings(1.0, [1.1, 1.2, 1.1, 1.2, 1.1, 1.2]) == []

    def test_too_few_units_give_no_warning(self):
        assert self.warnings(1.0, 3.0, units=UNITS[:3]) == []

    def test_the_numbers_are_means_over_the_units_that_both_have(self):
        (reason,) = self.warnings([1, 1, 1, 1, 1, 90], [1, 1, 1, 1, 1, None])
        assert "(1.00 against 1.00 by A)" in reason


def test_pictures_that_know_nothing_of_their_units_rarely_pass(rng):
    """Pictures differ in how much they excite all units, and units in how easily."""
    passed = []
    units = [f"unit {k}" for k in range(12)]
    for _ in range(200):
        scores = rng.normal(size=(12, 12)) + rng.normal(size=12) + 3
        gains = [
            measures.gain(scores[unit, unit], np.delete(scores[unit], unit))
            for unit in range(12)
        ]
        rows = [
            row("m", unit, **{name: float(value) for name in NAMES[:3]})
            for unit, value in zip(units, gains, strict=True)
        ]
        text, _ = verdict(rows, units=units)
        passed.append(text.startswith("pictures specific"))
    assert np.mean(passed) < 0.06
