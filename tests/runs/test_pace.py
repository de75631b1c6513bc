"""The speed of a run, and the time left."""

from types import SimpleNamespace

import pytest

from tfviz.runs.pace import Pace


def plans(*numbers):
    return [
        SimpleNamespace(layer=f"layer{i}", numbers=tuple(n))
        for i, n in enumerate(numbers)
    ]


def test_the_time_left_is_that_of_each_layer():
    pace = Pace(plans(range(20), range(20, 24), range(24, 26)))
    assert pace.seconds_left == 0
    pace.add(0, 8, 15, compilation=5)
    # Two layers are not begun: each is compiled, and as fast as the first.
    assert pace.seconds_left == 19 * 10 + 2 * 5 + 6 * 10
    for number in range(1, 20):
        layer = pace.add(number, 8, 10 if number < 10 else 4, compilation=1)
    assert layer.units_a_minute == pytest.approx(60 * 160 / (15 + 90 + 40))
    # The last batches count, so the first layer takes 4 seconds now.
    assert pace.seconds_left == 2 * 5 + 6 * 4
    pace.add(20, 4, 27, compilation=7)
    assert pace.seconds_left == 3 * 20 + (5 + 7) / 2 + 2 * (4 + 20) / 2
    assert pace.made == 164
    assert pace.units_a_minute == pytest.approx(60 * 164 / (145 + 27))
