"""The classes that objectives maximize."""

import keras
import pytest
import tfviz
from support import build_toy
from tfviz import objectives
from tfviz.objectives._base import join, with_names_of


@pytest.fixture(scope="module")
def adapter():
    labels = ["ant", "bee", "cat", "dog", "cat"]
    return tfviz.adapt(build_toy(), (-1, 1), labels=labels)


def targets(objective, adapter):
    return objective.bound(adapter, adapter.size).targets


@pytest.mark.parametrize("make", [objectives.logit, objectives.probability])
def test_they_are_looked_up_in_the_model(make, adapter):
    assert make("dog").targets == (None,)
    assert targets(make("dog"), adapter) == (3,)
    assert targets(make([4, 0, 4]), adapter) == (4, 0, 4)


def test_units_that_are_no_class_have_none(adapter):
    assert targets(objectives.channel("conv_b", [1, 2]), adapter) == (None, None)
    assert targets(objectives.layer("conv_b"), adapter) == (None,)


def test_a_class_at_one_position_is_not_a_class_of_the_image():
    pixels = build_toy()
    dense = keras.Model(pixels.inputs, pixels.get_layer("conv_b").output)
    adapter = tfviz.adapt(dense, (-1, 1))

    assert targets(objectives.logit(3), adapter) == (3,)
    assert targets(objectives.logit(3, 1, 2), adapter) == (None,)


def test_they_follow_their_images(adapter):
    bound = objectives.logit([3, 1]).bound(adapter, adapter.size)

    assert bound[[1, 0, 1]].targets == (1, 3, 1)
    assert targets(objectives.logit([3, 1])[[1]], adapter) == (1,)
    assert join([bound, bound[[0]]]).targets == (3, 1, 3)


def test_combinations_are_no_class(adapter):
    unit = objectives.logit(2)
    for combined in (-unit, unit + objectives.logit(3), unit - 0.5, 2 * unit):
        assert targets(combined, adapter) == (None,)


def test_what_is_named_as_a_class_is_made_for_it(adapter):
    unit = objectives.logit([2, 0])
    calm = with_names_of(unit - 0.1 * objectives.total_variation(), unit)

    assert targets(calm, adapter) == (2, 0)
