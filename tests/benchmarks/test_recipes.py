"""Tests of how the recipes are compared; no picture is made."""

import numpy as np
import pytest
import tfviz
from support import load_script
from tfviz.comparison.summary import interval

load_script("machine", "benchmarks")
recipes = load_script("recipes", "benchmarks")


def test_units_are_drawn_by_the_seed_and_exist():
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    first = recipes.draw_units(8, 3, adapter)
    assert first == recipes.draw_units(8, 3, adapter)
    assert first != recipes.draw_units(8, 4, adapter)
    for kind, layers in (("early", recipes.EARLY), ("late", recipes.LATE)):
        drawn = [unit.split(":") for unit in first[kind]]
        assert len(set(first[kind])) == 8
        assert {layer for layer, _ in drawn} <= set(layers)
        assert len({layer for layer, _ in drawn}) == 2
        for layer, channel in drawn:
            assert int(channel) < adapter.layer(layer).units
    assert len(set(first["logit"])) == 8


def test_ratios_of_units_without_a_positive_score_are_left_out():
    found = recipes.log_ratios([2.0, 0.0, -1.0, 3.0], [1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(found, [np.log(2), np.nan, np.nan, np.nan])


def test_the_mean_of_ratios_does_not_depend_on_which_is_the_denominator():
    rng = np.random.default_rng(2)
    one, other = rng.uniform(1, 9, (2, 12))
    ratio = recipes.geometric(interval(recipes.log_ratios(one, other)))
    inverse = recipes.geometric(interval(recipes.log_ratios(other, one)))
    assert ratio.value == pytest.approx(np.exp(np.mean(np.log(one / other))))
    assert ratio.value == pytest.approx(1 / inverse.value)
    assert ratio.low == pytest.approx(1 / inverse.high)
    assert ratio.units == 12


def test_probabilities_are_those_of_the_softmax():
    logits = np.random.default_rng(0).normal(0, 50, (3, 7)).astype(np.float32)
    expected = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
    found = recipes.class_probabilities(logits, [6, 0, 2])
    np.testing.assert_allclose(found, expected[[0, 1, 2], [6, 0, 2]], rtol=1e-4)


def test_horama_takes_steps_of_one_radian():
    recipe = recipes.recipes(64)["horama"]
    param, rate = recipe["param"], float(recipe["optimizer"].learning_rate)
    latents = param.init(np.array([[1, 2]], np.int32))
    # A whole turn of all phases in steps of this rate gives the same image.
    turned = {name: value + 2 * np.pi * rate for name, value in latents.items()}
    np.testing.assert_allclose(
        param.decode(turned).numpy(), param.decode(latents).numpy(), atol=2e-4
    )
