"""Which units' pictures are the baseline of which: groups of comparable units."""

from collections.abc import Sequence

from tfviz.comparison.records import Record, Unit, places_by_unit

# A group of hidden units is complete with this number. More make the baseline steadier,
# but are from layers that differ more.
ENOUGH = 4


def group_units(units: Sequence[Unit]) -> list[int]:
    """Return the number of each unit's group, from 0.

    Pictures of units in one group are comparable: classes form a group, and hidden
    units are taken in the order of their depth, whole layers together, until a group
    has `ENOUGH` units. Too few units at the end join the group before them. A single
    class or a single hidden unit joins its neighbours, so that no unit is alone unless
    it is the only one.

    Args:
        units: The units, in any order.

    >>> texts = ["conv:0", "conv:1", "logit:0"]
    >>> targets = [None, None, 0]
    >>> group_units([Unit(t, t, c, d) for d, (t, c) in enumerate(zip(texts, targets))])
    [0, 0, 0]
    """
    places = range(len(units))
    hidden = [place for place in places if units[place].target is None]
    groups: list[list[int]] = [[]]
    for depth in sorted({units[place].depth for place in hidden}):
        if len(groups[-1]) >= ENOUGH:
            groups.append([])
        groups[-1] += [place for place in hidden if units[place].depth == depth]
    if len(groups) > 1 and len(groups[-1]) < ENOUGH:
        groups[-2:] = [groups[-2] + groups[-1]]
    classes = [place for place in places if units[place].target is not None]
    if len(classes) == 1 or len(groups[-1]) < 2:
        groups[-1] += classes
    else:
        groups.append(classes)
    numbers = {place: n for n, group in enumerate(groups) for place in group}
    return [numbers[place] for place in places]


def others_of(groups: Sequence[int], unit: int) -> list[int]:
    """Return the other units of a unit's group.

    >>> others_of([0, 1, 0, 0], 2)
    [0, 3]
    """
    return [u for u, group in enumerate(groups) if group == groups[unit] and u != unit]


def pictures_of_others(
    records: Sequence[Record], groups: Sequence[int]
) -> list[list[int]]:
    """Return for each record the records of the other units that are its baseline.

    Args:
        records: The records of one method.
        groups: The number of each unit's group.

    Returns:
        For each record the indices of the records of the other units of its group from
        the same seed; an empty list if there are none.
    """
    places = places_by_unit(records)
    return [
        [
            place
            for other in others_of(groups, record.unit)
            for place in places.get(other, [])
            if records[place].seed == record.seed
        ]
        for record in records
    ]
