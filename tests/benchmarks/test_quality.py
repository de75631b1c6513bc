"""Tests of how `quality.py` compares recipes; no picture is made."""

import argparse

import numpy as np
import pytest
from scipy import stats
from support import load_script

quality = load_script("quality", "benchmarks")
NO_PICTURES = np.zeros((0, 8, 8, 3), np.uint8)


def outcome(scores, seconds=1.0):
    """Return an outcome with these scores, noted every 16 steps."""
    scores = np.array(scores, np.float32)
    steps = [16 * (row + 1) for row in range(len(scores))]
    return quality.Outcome(steps, scores, seconds, NO_PICTURES)


def drawn(**changed):
    """Return the drawn units of each group by what they read."""
    told = {"seed": 7, "early": 5, "late": 4, "logits": 3} | changed
    units, groups = quality.draw_units(argparse.Namespace(**told))
    rows = [
        (unit.layers[0], {name: v.tolist() for name, v in unit.units.items()})
        for unit in units
    ]
    return {name: rows[part] for name, part in groups.items()}


class TestDescribe:
    reference = outcome([[0.5, 1.0, 1.0, 1.0], [2.0, 4.0, 5.0, 8.0]])

    def test_shares_of_the_last_scores_are_averaged_geometrically(self):
        groups = {"early": slice(0, 2), "logits": slice(2, 4)}
        last = [2.0 * 0.9, 4.0 * 0.4, 5.0 * 2.0, 8.0 * 0.5]
        line = quality.describe(outcome([[9.0] * 4, last]), self.reference, groups)
        assert "early 0.600  logits 1.000" in line

    def test_the_reference_has_a_share_of_one(self):
        groups = {"all": slice(0, 4)}
        line = quality.describe(self.reference, self.reference, groups)
        assert line == (
            "  32 steps    1.0 s  all 1.000  reached by 100%, median 32 steps, 1.0 s"
        )

    def test_a_score_that_is_not_positive_counts_as_a_thousandth(self):
        groups = {"all": slice(0, 2)}
        line = quality.describe(
            outcome([[-3.0, 4.0, 0.0, 0.0]]), self.reference, groups
        )
        assert f"all {np.sqrt(1e-3):.3f}" in line

    def test_units_whose_reference_is_not_positive_are_left_out(self):
        reference = outcome([[2.0, 0.0, -1.0]])
        groups = {"all": slice(0, 3)}
        line = quality.describe(outcome([[1.0, 5.0, 5.0]]), reference, groups)
        assert "all 0.500" in line

    def test_a_unit_reaches_the_reference_at_its_first_step_as_good(self):
        # The units reach it after 16, 32 and 48 steps; the first falls back again.
        scores = [[2.0, 3.9, 1.0, 0.0], [1.0, 4.0, 4.9, 0.0], [1.0, 1.0, 5.0, 0.0]]
        line = quality.describe(outcome(scores, 6.0), self.reference, {})
        # The fourth never does: the median is between the second and the third.
        assert line.endswith("reached by 75%, median 40 steps, 5.0 s")

    def test_where_less_than_half_of_the_units_reach_it_the_median_is_never(self):
        scores = [[2.0, 3.0, 4.0, 7.0]]
        line = quality.describe(outcome(scores), self.reference, {})
        assert line.endswith("reached by 25%, median never")


def test_the_interval_is_that_of_the_normal_distribution():
    differences = np.random.default_rng(3).normal(-0.4, 2.0, 50)
    low, high = stats.norm.interval(
        0.95, differences.mean(), stats.sem(differences, ddof=1)
    )
    expected = f"{differences.mean():+.2f}, {low:+.2f} to {high:+.2f}"
    assert quality.interval(differences) == expected


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0]),
        ("late", [1, 1, 1, 0.5, 0]),
    ],
)
def test_schedules_at_the_quarters(name, factors):
    found = [quality.SCHEDULES[name](share) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx(factors, abs=1e-12)


def test_all_schedules_of_recipes_exist_and_are_tested():
    assert set(quality.SCHEDULES) == {"constant", "linear", "cosine", "late"}
    assert {r.schedule for r in quality.RECIPES.values()} <= set(quality.SCHEDULES)


class TestDrawUnits:
    def test_a_seed_draws_the_same_units_again(self):
        first = drawn()
        assert first == drawn()
        other = drawn(seed=8)
        assert all(first[group] != other[group] for group in first)

    def test_groups_have_as_many_units_as_asked_for_of_their_layers(self):
        groups = drawn()
        assert {name: len(rows) for name, rows in groups.items()} == {
            "early": 5,
            "late": 4,
            "logits": 3,
        }
        assert {layer for layer, _ in groups["early"]} == {quality.EARLY}
        assert {layer for layer, _ in groups["late"]} == {quality.LATE}
        classes = [units["class"][0] for _, units in groups["logits"]]
        assert classes == sorted(set(classes))
        assert 0 <= classes[0] <= classes[-1] < 1000

    def test_channels_exist_in_their_layers(self):
        # fire3 of SqueezeNet has 128 channels.
        channels = [units["channel"][0] for _, units in drawn(early=128)["early"]]
        assert channels == list(range(128))

    def test_a_group_without_units_is_left_out(self):
        assert set(drawn(early=0, late=0)) == {"logits"}
