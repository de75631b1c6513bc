"""Groups of comparable units, worked out by hand."""

import numpy as np
import pytest

from tfviz.comparison.other_units import group_units, others_of, pictures_of_others
from tfviz.comparison.records import Record, Unit


def units(text):
    """Units from a text such as `1 1 c 4`: depths of hidden units, `c` for a class."""
    return [
        Unit(
            f"u{n}",
            f"u{n}",
            n if depth == "c" else None,
            99 if depth == "c" else int(depth),
        )
        for n, depth in enumerate(text.split())
    ]


@pytest.mark.parametrize(
    ("depths", "groups"),
    [
        ("", ""),
        ("3", "0"),
        ("c", "0"),
        ("c c", "0 0"),
        # Hidden units and classes are apart, whatever their order.
        ("c 1 c 1 c", "1 0 1 0 1"),
        # One layer is one group, however many units it has.
        ("7 7 7 7 7 7", "0 0 0 0 0 0"),
        # A group is closed with four units, but a layer is never divided.
        ("1 1 2 2 3 3 4 4", "0 0 0 0 1 1 1 1"),
        ("1 1 1 2 2 2 3 3 3 3", "0 0 0 0 0 0 1 1 1 1"),
        # Taken in the order of depth.
        ("9 1 9 1 9 1 9 1", "1 0 1 0 1 0 1 0"),
        # Three at the end are too few for a group of their own.
        ("1 1 1 1 5 5 6", "0 0 0 0 0 0 0"),
        ("1 1 1 1 2 2 2 2 3", "0 0 0 0 1 1 1 1 1"),
        # A single class joins the deepest hidden units, a single hidden unit classes.
        ("1 1 1 1 2 2 2 2 c", "0 0 0 0 1 1 1 1 1"),
        ("5 c c c", "0 0 0 0"),
        ("5 c", "0 0"),
        # Two of each are enough.
        ("1 2 c c", "0 0 1 1"),
    ],
)
def test_units_are_grouped_by_depth_and_classes_are_apart(depths, groups):
    assert group_units(units(depths)) == [int(n) for n in groups.split()]


@pytest.mark.parametrize("count", range(2, 14))
def test_no_unit_is_alone(count, rng):
    for _ in range(50):
        kinds = rng.choice(["1", "2", "3", "4", "5", "c"], count)
        groups = group_units(units(" ".join(kinds)))
        assert np.bincount(groups).min() >= 2


def test_others_are_those_of_the_same_group():
    assert others_of([0, 1, 0, 1, 1], 3) == [1, 4]
    assert others_of([0], 0) == []


def test_pictures_of_others_are_of_the_same_seed_and_never_of_the_unit():
    blank = np.zeros((1, 1, 3), np.float32)
    # The second seed of unit 1 is missing; unit 3 is in another group.
    made = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0)]
    records = [Record(unit, "m", seed, blank, blank) for unit, seed in made]

    others = pictures_of_others(records, [0, 0, 0, 1])
    assert others == [[2, 3], [4], [0, 3], [0, 2], [1], []]
