import keras
import numpy as np
import pytest
import tensorflow as tf

from tfviz import objectives
from tfviz._survey import LOGITS, PROBABILITIES

SIZE = (32, 32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).uniform(size=(3, 32, 32, 3)).astype(np.float32)


def scores(adapter, objective, images):
    """Score images as the loop does."""
    objective = objective.bound(adapter, SIZE)
    images = tf.convert_to_tensor(images)
    layers = objective.layers

    @tf.function(autograph=False)
    def run(images):
        activations = adapter.forward(images, layers)
        units = {name: tf.constant(values) for name, values in objective.units.items()}
        return objective.score(activations, images, {}, units)

    return run(images)


EVERY = {
    "channel": lambda: objectives.channel("conv_b", [0, 5, 11]),
    "dense channel": lambda: objectives.channel("head", [0, 1, 4]),
    "neuron": lambda: objectives.neuron("conv_b", [0, 5, 11]),
    "neuron at": lambda: objectives.neuron("conv_b", [2] * 3, [0, 6, 3], [6, 1, 0]),
    "layer": lambda: objectives.layer("conv_a"),
    "logit": lambda: objectives.logit([0, 2, 4]),
    "probability": lambda: objectives.probability([0, 2, 4]),
    "negative": lambda: -objectives.channel("conv_b", [0, 5, 11]),
    "joint": lambda: (
        objectives.channel("conv_b", [0, 5, 11]) + 0.5 * objectives.neuron("conv_a", 3)
    ),
    "product": lambda: objectives.logit([0, 2, 4]) * objectives.channel("conv_a", 1),
}


@pytest.mark.parametrize("name", EVERY)
class TestEveryObjective:
    def test_there_is_one_number_for_each_image(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]

        result = scores(toy_adapter, objective, images)
        assert result.shape == (3,)
        assert result.dtype == tf.float32
        assert np.isfinite(result).all()

    def test_images_do_not_feel_their_neighbours(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]
        together = scores(toy_adapter, objective, images)

        for i in range(3):
            alone = scores(toy_adapter, objective[[i]], images[i : i + 1])
            np.testing.assert_allclose(alone, together[i : i + 1], rtol=1e-5)

    def test_gradient_agrees_with_finite_differences(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]
        start = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(start)
            total = tf.reduce_sum(scores(toy_adapter, objective, start))
        gradient = tape.gradient(total, start).numpy()
        # Along the gradient, so that the difference is well above rounding.
        length = np.linalg.norm(gradient)
        direction = gradient / length
        size = 2e-2
        up, down = (
            float(tf.reduce_sum(scores(toy_adapter, objective, images + d)))
            for d in (size * direction, -size * direction)
        )

        assert length > 0
        assert (up - down) / (2 * size) == pytest.approx(length, rel=0.05)


def test_scores_are_what_they_say(toy, toy_adapter, images):
    cut = keras.Model(toy.inputs[0], [layer.output for layer in toy.layers])
    conv_a, conv_b, pool, head = (np.asarray(a) for a in cut(images * 2 - 1))
    logits = pool @ toy.layers[-1].kernel.numpy() + toy.layers[-1].bias.numpy()
    index, three = [1, 4, 7], np.arange(3)
    expected = [
        (objectives.channel("conv_b", index), conv_b.mean((1, 2))[three, index]),
        (objectives.neuron("conv_b", index), conv_b[three, 3, 3, index]),
        (objectives.neuron("conv_a", index), conv_a[three, 7, 7, index]),
        (objectives.neuron("conv_a", index, 2, 13), conv_a[three, 2, 13, index]),
        (objectives.layer("conv_b")[[0] * 3], (conv_b**2).mean((1, 2, 3))),
        (objectives.logit([0, 4, 2]), logits[three, [0, 4, 2]]),
        (objectives.probability([0, 4, 2]), head[three, [0, 4, 2]]),
    ]
    for objective, value in expected:
        np.testing.assert_allclose(
            scores(toy_adapter, objective, images), value, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda a, b: a + b, lambda a, b: a + b),
        (lambda a, b: a - b, lambda a, b: a - b),
        (lambda a, b: a * b, lambda a, b: a * b),
        (lambda a, b: -a, lambda a, b: -a),
        (lambda a, b: -(a - b), lambda a, b: b - a),
        (lambda a, b: 2 * a + 3 * b, lambda a, b: 2 * a + 3 * b),
        (lambda a, b: a + 3 * b - 5 * a, lambda a, b: a + 3 * b - 5 * a),
        (lambda a, b: (a + b) * (a - b), lambda a, b: (a + b) * (a - b)),
        (lambda a, b: 1 - a * 0.5, lambda a, b: 1 - a * 0.5),
        (lambda a, b: a - np.float32(2), lambda a, b: a - 2),
        (lambda a, b: sum([a, b, a]), lambda a, b: 2 * a + b),
    ],
)
def test_algebra_is_that_of_the_numbers(build, expected, toy_adapter, images):
    """Guards against totals that are scaled again and signs that leak."""
    a = objectives.channel("conv_b", [0, 5, 11])
    b = objectives.neuron("conv_a", 3)
    of_a = scores(toy_adapter, a, images)
    of_b = scores(toy_adapter, b[[0, 0, 0]], images)

    np.testing.assert_allclose(
        scores(toy_adapter, build(a, b), images),
        expected(of_a.numpy(), of_b.numpy()),
        rtol=1e-4,
        atol=1e-6,
    )


def test_operands_are_not_changed():
    a, b = objectives.channel("x", 1), objectives.channel("y", 2)
    _ = a - 2 * b, -a, a * b

    assert (a.names, b.names) == (("x:1",), ("y:2",))


def test_names_read_as_the_algebra():
    a, b = objectives.channel("x", 1), objectives.channel("y", 2)

    assert (a + b).names == ("x:1+y:2",)
    assert (a - b).names == ("x:1-y:2",)
    assert (-a).names == ("-x:1",)
    assert (a - -b).names == ("x:1-(-y:2)",)
    assert (-(a + b)).names == ("-(x:1+y:2)",)
    assert (a - (b - a)).names == ("x:1-(y:2-x:1)",)
    assert (0.5 * (a + b)).names == ("0.5*(x:1+y:2)",)
    assert (np.float32(2) * a).names == ("2*x:1",)


def test_texts_are_the_grammar_s_or_are_refused_by_it():
    """Guards against a difference that reads as a range: channel 2 minus 3."""
    a, b = objectives.channel("conv-2", 2), objectives.channel("y", 2)

    assert (-a).texts == ("-conv-2:2",)
    assert objectives.parse("-conv-2:2")[0].texts == (-a).texts
    assert (-a + b).texts == ("-conv-2:2+y:2",)
    for objective in (a - b, a - 3, 2 * a, -(a + b), (a * b) + b):
        with pytest.raises(ValueError, match="put together in Python"):
            objectives.parse(objective.texts[0])


def test_lengths_broadcast_from_one_or_pair():
    two, three = objectives.channel("x", [1, 2]), objectives.channel("y", [1, 2, 3])

    assert (two + objectives.layer("z")).names == ("x:1+z", "x:2+z")
    assert (two * two).names == ("x:1*x:1", "x:2*x:2")
    with pytest.raises(ValueError, match="2 and 3 images cannot be combined"):
        _ = two + three
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = two + "fire8:20"


def test_a_slice_keeps_its_units():
    objective = objectives.channel("x", [4, 5, 6]) - objectives.neuron("y", 1, 2, 3)
    part = objective[[2, 0]]

    assert part.names == ("x:6-y:1@2,3", "x:4-y:1@2,3")
    np.testing.assert_array_equal(part.units["0.channel"], [6, 4])


def test_joining_needs_one_kind():
    joined = objectives.join([objectives.channel("x", 1), objectives.channel("x", 9)])

    np.testing.assert_array_equal(joined.units["channel"], [1, 9])
    with pytest.raises(ValueError, match="same kind"):
        objectives.join([objectives.channel("x", 1), objectives.channel("y", 1)])


def test_layers_are_asked_for_once():
    both = objectives.channel("x", 1) + objectives.neuron("x", 2)

    assert both.layers == ("x",)
    assert objectives.logit(1).layers == (LOGITS,)
    assert objectives.probability(1).layers == (PROBABILITIES,)


def test_binding_looks_up_classes_and_the_centre(toy_adapter):
    by_name = objectives.logit(["Ant", 1]).bound(toy_adapter, SIZE)
    centre = objectives.neuron("conv_b", 4).bound(toy_adapter, SIZE)

    np.testing.assert_array_equal(by_name.units["class"], [0, 1])
    assert by_name.names == ("logit:ant", "logit:bee")
    assert by_name.texts == ("logit:0", "logit:1")
    assert centre.names == ("conv_b:4@3,3",)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda: objectives.channel("conv_c", 0), "no layer 'conv_c'.*'conv_b'"),
        (lambda: objectives.channel("conv_b", 12), "channels 0 to 11. Received: 12"),
        (lambda: objectives.channel("conv_b", -1), "channels 0 to 11. Received: -1"),
        (lambda: objectives.neuron("conv_b", 0, 7, 0), "map of 7x7.*Received: row 7"),
        (lambda: objectives.neuron("conv_b", 0, 0, 9), "Received: column 9"),
        (lambda: objectives.neuron("pool", 0), "no row and column"),
        (lambda: objectives.layer("conv"), "Did you mean"),
        (lambda: objectives.logit("ent"), "no class 'ent'. Did you mean 'ant'"),
        (lambda: objectives.logit("cat"), "2 classes are called 'cat'.*2, 4"),
        (lambda: objectives.logit(5), "classes 0 to 4. Received: 5"),
        (lambda: objectives.logit("ant") + objectives.logit(9), "Received: 9"),
    ],
)
def test_what_the_model_does_not_have_is_said(objective, message, toy_adapter):
    with pytest.raises(ValueError, match=message):
        objective().bound(toy_adapter, SIZE)


def test_bad_units_are_refused_at_once():
    with pytest.raises(ValueError, match="whole number"):
        objectives.channel("x", 1.5)
    with pytest.raises(ValueError, match="whole number"):
        objectives.channel("x", [])
    with pytest.raises(ValueError, match="below 2147483648"):
        objectives.neuron("x", 0, 99999999999, 1)
    with pytest.raises(ValueError, match="one number or 2"):
        objectives.neuron("x", [1, 2], [1, 2, 3], 0)
    with pytest.raises(ValueError, match="must not be negative"):
        objectives.neuron("x", 1, -2, 0)
    with pytest.raises(ValueError, match="at least one class"):
        objectives.logit([])
    with pytest.raises(ValueError, match="2 images needs as many entries"):
        objectives.Objective((), {"a": [1]}, lambda *_: 0, ("x", "y"))
