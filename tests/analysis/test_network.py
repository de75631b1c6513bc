import keras
import numpy as np
import pytest

import tfviz
from tfviz.analysis.network import network_facts, similar_units


def test_the_last_weights_join_units_and_classes(toy, toy_adapter):
    """The toy ends in conv_b, a global average pool and a dense layer."""
    facts = network_facts(toy_adapter)
    kernel = toy.get_layer("head").kernel.numpy()

    assert facts.readout.layer == "conv_b"
    assert facts.classes == ("ant", "bee", "cat", "dog", "cat")
    for index, column in enumerate(kernel.T):
        order = [unit for unit in np.argsort(-column)[:8] if column[unit] > 0]
        assert [unit for unit, _ in facts.readout.speak_for[index]] == order
        order = [unit for unit in np.argsort(column)[:8] if column[unit] < 0]
        against = facts.readout.speak_against[index]
        assert [unit for unit, _ in against] == order
        values = [value for _, value in against]
        np.testing.assert_allclose(values, column[order], rtol=1e-3)
    for unit, row in enumerate(kernel):
        classes = [index for index, _ in facts.readout.classes[unit]]
        assert classes == [index for index in np.argsort(-row) if row[index] > 0]


def test_layers_have_their_inputs_and_similar_units(toy, toy_adapter):
    facts = network_facts(toy_adapter)
    layers = {layer.path: layer for layer in facts.layers}

    assert [(p, layer.inputs) for p, layer in layers.items()] == [
        ("conv_a", ()),
        ("conv_b", ("conv_a",)),
        ("pool", ("conv_b",)),
        ("head", ("pool",)),
    ]
    assert layers["conv_b"].shape == (7, 7, 12)
    assert layers["pool"].neighbours == ()
    vectors = toy.get_layer("conv_b").kernel.numpy().reshape(-1, 12).T
    for unit, near in enumerate(layers["conv_b"].neighbours):
        products = vectors @ vectors[unit]
        cosines = products / np.linalg.norm(vectors, axis=1)
        cosines /= np.linalg.norm(vectors[unit])
        nearest = [u for u in np.argsort(-cosines) if u != unit]
        order = [u for u in nearest[:8] if cosines[u] > 0]
        assert [other for other, _ in near] == order
        found = [value for _, value in near]
        np.testing.assert_allclose(found, cosines[order], rtol=1e-3, atol=1e-6)


def test_branches_and_layers_that_pass_on_are_connected():
    inputs = keras.Input((16, 16, 3))
    stem = keras.layers.Conv2D(4, 3, name="stem")(inputs)
    left = keras.layers.Conv2D(4, 1, name="left")(stem)
    right = keras.layers.Dropout(0.5, name="right")(stem)
    both = keras.layers.Add(name="both")([left, right])
    model = keras.Model(inputs, keras.layers.Flatten(name="flat")(both))
    connections = tfviz.adapt(model, (0, 1)).connections()

    assert connections["left"] == ("stem",)
    assert connections["right"] == ("stem",)
    assert set(connections["both"]) == {"left", "right"}
    assert connections["flat"] == ("both",)


def test_weights_over_several_positions_are_no_readout():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.Dense(5, name="head")(keras.layers.Flatten(name="flat")(x))
    facts = network_facts(tfviz.adapt(keras.Model(inputs, x), (0, 1)))

    assert facts.readout is None
    assert facts.classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("units", [1, 3])
def test_layers_of_few_units_have_few_neighbours(units):
    near = similar_units(np.ones((3, units)))

    assert [len(others) for others in near] == [units - 1] * units


def test_units_without_weights_are_similar_to_none():
    assert similar_units(np.array([[0.0, 1.0], [0.0, 2.0]])) == ((), ())
