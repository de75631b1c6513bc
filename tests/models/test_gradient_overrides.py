import warnings
from dataclasses import replace

import tfviz  # first: TensorFlow must not be imported before it
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from tfviz.images import to_floats
from tfviz.optimize import job, step as gradient_step
from tfviz.models.gradient_overrides import (
    VANISHING,
    drop_redirected_gradients,
    drops_gradients,
    override_gradients,
)
from tfviz.optimize.dead_units import RANDOM_IMAGES, random_images
from tfviz.optimize.job import NEXT_RESTART, Job
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import Problem


def gradients(function, inputs):
    """Return the plain and the redirected gradient of sum(function(inputs))."""

    @tf.function(autograph=False)
    def run(inputs):
        plain = tf.gradients(function(inputs), inputs)[0]
        with override_gradients(redirect=True):
            outputs = function(inputs)
        return plain, tf.gradients(outputs, inputs)[0]

    return [g.numpy() for g in run(tf.constant(inputs, tf.float32))]


class TestRectifier:
    def test_an_image_that_is_active_somewhere_keeps_its_gradient(self):
        plain, redirect = gradients(tf.nn.relu, [[-1.0, 2.0, -3.0]])

        np.testing.assert_array_equal(plain, [[0, 1, 0]])
        np.testing.assert_array_equal(redirect, plain)

    def test_a_dead_image_gets_the_redirected_gradient(self):
        plain, redirect = gradients(tf.nn.relu, [[-1.0, -2.0], [-1.0, 2.0]])

        np.testing.assert_array_equal(plain, [[0, 0], [0, 1]])
        np.testing.assert_array_equal(redirect, [[1, 1], [0, 1]])

    def test_no_gradient_leads_further_out_of_range(self):
        plain, redirect = gradients(lambda x: -tf.nn.relu(x), [[-1.0, -2.0]])

        np.testing.assert_array_equal(plain, 0)
        np.testing.assert_array_equal(redirect, 0)

    def test_only_gradients_back_into_range_pass(self):
        weights = tf.constant([[1.0, -1.0, 2.0]])
        _, redirect = gradients(lambda x: tf.nn.relu(x) * weights, [[-1.0, -1.0, -1.0]])

        np.testing.assert_array_equal(redirect, [[1, 0, 2]])

    def test_the_criterion_is_per_image_not_per_position(self):
        inputs = -np.ones((2, 3, 3, 2))
        inputs[0, 1, 1, 1] = 1
        plain, redirect = gradients(tf.nn.relu, inputs)

        np.testing.assert_array_equal(redirect[0], plain[0])
        np.testing.assert_array_equal(redirect[1], 1)


def test_relu6_is_redirected_on_both_sides():
    below, above = [[-1.0, -2.0]], [[7.0, 8.0]]

    np.testing.assert_array_equal(gradients(tf.nn.relu6, below)[1], 1)
    np.testing.assert_array_equal(gradients(tf.nn.relu6, above)[1], 0)
    np.testing.assert_array_equal(
        gradients(lambda x: -tf.nn.relu6(x), above)[1], [[-1, -1]]
    )


@pytest.mark.parametrize(
    ("function", "off", "on"),
    [(tf.nn.relu, -1.0, 2.0), (tf.nn.sigmoid, -20.0, 2.0), (tf.nn.silu, -2.0, 2.0)],
)
def test_dropping_redirected_gradients_leaves_the_true_part(function, off, on):
    @tf.function(autograph=False)
    def run(inputs):
        plain = tf.gradients(function(inputs), inputs)[0]
        with override_gradients(redirect=True):
            outputs = function(inputs)
        with drop_redirected_gradients():
            own = tf.gradients(outputs, inputs)[0]
        return plain, own, tf.gradients(outputs, inputs)[0]

    plain, own, redirect = (
        g.numpy() for g in run(tf.constant([[off, off], [off, on]]))
    )
    np.testing.assert_array_equal(own[0], 0)
    np.testing.assert_allclose(own[1], plain[1], rtol=1e-6)
    np.testing.assert_array_equal(redirect[0], 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (tf.nn.relu, False),
        (tf.nn.relu6, False),
        (lambda x: keras.ops.clip(x, 0, 6), False),
        (lambda x: 2.0 * x, False),
        (tf.nn.sigmoid, True),
        (tf.nn.softmax, True),
        (tf.nn.silu, True),
        (lambda x: keras.activations.gelu(x, approximate=False), True),
    ],
)
def test_dropping_makes_a_difference_where_a_little_gradient_passes(function, expected):
    """For all others, the gradient without redirected ones is the true gradient."""
    inputs = np.float32([[-30, -20], [-9, 3], [7, 8]])

    @tf.function(autograph=False)
    def run(inputs):
        plain = tf.gradients(function(inputs), inputs)[0]
        with override_gradients(redirect=True):
            outputs = function(inputs)
        found.append(drops_gradients())
        with drop_redirected_gradients():
            return plain, tf.gradients(outputs, inputs)[0]

    found = []
    plain, own = run(tf.constant(inputs))

    assert found[-1] is expected
    if not expected:
        np.testing.assert_array_equal(own, plain)


class TestBound:
    @pytest.mark.parametrize(
        "function",
        [
            lambda x: keras.ops.maximum(x, 0),
            lambda x: tf.maximum(0.0, x),
            lambda x: keras.ops.clip(x, 0, 6),
            lambda x: keras.activations.relu(x, max_value=4.0),
        ],
    )
    def test_a_constant_minimum_is_left_upwards(self, function):
        plain, redirect = gradients(function, [[-1.0, -2.0], [-1.0, 2.0]])

        np.testing.assert_array_equal(plain, [[0, 0], [0, 1]])
        np.testing.assert_array_equal(redirect, [[1, 1], [0, 1]])
        down = gradients(lambda x: -function(x), [[-1.0, -2.0]])[1]
        np.testing.assert_array_equal(down, 0)

    def test_a_constant_maximum_is_left_downwards(self):
        up, down = (
            keras.activations.hard_tanh,
            lambda x: -keras.activations.hard_tanh(x),
        )

        np.testing.assert_array_equal(gradients(up, [[2.0, 3.0]])[1], 0)
        np.testing.assert_array_equal(gradients(down, [[2.0, 3.0]])[1], -1)
        np.testing.assert_array_equal(gradients(down, [[2.0, 0.0]])[1], [[0, -1]])

    def test_the_larger_of_two_branches_keeps_its_gradient(self):
        def maxout(x):
            return tf.maximum(x, 2 * x + 1) + tf.maximum(tf.zeros((1, 2)), tf.ones(()))

        plain, redirect = gradients(maxout, [[1.0, 2.0], [-3.0, -2.0]])

        np.testing.assert_array_equal(plain, [[2, 2], [1, 1]])
        np.testing.assert_array_equal(redirect, plain)


SQUASHING = {
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
    "softsign": lambda x: tf.nn.softsign(10 * x),
    "softplus": tf.nn.softplus,
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
}
TWO_SIDED = ("sigmoid", "tanh", "softsign")


class TestSaturation:
    @pytest.mark.parametrize("name", SQUASHING)
    def test_saturated_functions_pass_the_whole_gradient_back_into_range(self, name):
        function, factor = SQUASHING[name], 10 if name == "softsign" else 1
        weights = tf.constant([[2.0, -1.0]])
        plain, redirect = gradients(lambda x: function(x) * weights, [[-20.0, -30.0]])

        assert np.abs(plain).max() < 2 * factor * VANISHING
        np.testing.assert_allclose(redirect, [[2 * factor, plain[0, 1]]], rtol=1e-6)

    @pytest.mark.parametrize("name", TWO_SIDED)
    def test_squashing_functions_are_left_from_above_too(self, name):
        function, factor = SQUASHING[name], 10 if name == "softsign" else 1
        plain, up = gradients(function, [[20.0, 30.0]])
        down = gradients(lambda x: -function(x), [[20.0, 30.0]])[1]

        np.testing.assert_array_equal(up, plain)
        np.testing.assert_array_equal(down, -factor)

    @pytest.mark.parametrize("name", SQUASHING)
    def test_one_position_in_range_keeps_the_true_gradient(self, name):
        plain, redirect = gradients(SQUASHING[name], [[-20.0, -1.0], [0.5, 20.0]])

        np.testing.assert_array_equal(redirect, plain)
        assert (np.abs(plain).max(axis=1) > VANISHING).all()

    @pytest.mark.parametrize(
        "function", [*SQUASHING.values(), tf.nn.relu6, tf.nn.softmax]
    )
    def test_the_true_gradient_is_that_of_tensorflow(self, function, rng):
        values = rng.normal(0, 3, (5, 4, 4, 2))
        plain, redirect = gradients(lambda x: function(x) ** 3, values)

        np.testing.assert_allclose(redirect, plain, rtol=1e-5, atol=1e-7)

    def test_a_probability_of_0_rises_and_one_of_1_falls(self):
        def second(x):
            return tf.nn.softmax(x)[:, 1]

        plain, redirect = gradients(second, [[0.0, -30.0, 0.0]])
        assert np.abs(plain).max() < 1e-12
        np.testing.assert_allclose(redirect, [[0, 1, 0]], atol=1e-12)
        np.testing.assert_allclose(
            gradients(lambda x: -second(x), [[0.0, 30.0, 0.0]])[1],
            [[0, -1, 0]],
            atol=1e-12,
        )

    def test_gradients_that_do_not_vanish_are_unchanged(self):
        plain, redirect = gradients(tf.nn.leaky_relu, [[-50.0, -60.0]])

        np.testing.assert_array_equal(redirect, plain)
        np.testing.assert_allclose(plain, 0.2)


# Each with its minimum, and an input at which its gate is shut.
GATED = {
    "gelu": (keras.activations.gelu, -0.75, -9.0),
    "gelu_tanh": (lambda x: keras.activations.gelu(x, True), -0.75, -9.0),
    "silu": (keras.activations.silu, -1.28, -25.0),
    "hard_silu": (keras.activations.hard_silu, -1.5, -4.0),
    "mish": (keras.activations.mish, -1.19, -25.0),
    "tf_keras gelu": (tf_keras.activations.gelu, -0.75, -9.0),
    "tf_keras swish": (tf_keras.activations.swish, -1.28, -25.0),
    "tf_keras mobile": (lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6), -1.5, -4.0),
    "thresholded": (tf_keras.layers.ThresholdedReLU(1.0), 0.99, -4.0),
}


class TestGate:
    @pytest.mark.parametrize("name", GATED)
    def test_a_gate_that_is_shut_everywhere_is_redirected_upwards(self, name):
        function, _, shut = GATED[name]
        plain, redirect = gradients(function, [[shut, shut - 1], [shut, 1.5]])

        assert np.abs(plain[0]).max() < 1e-6
        assert (redirect[0] >= 0.15).all()  # hard SiLU has a factor of 1 / 6 outside
        np.testing.assert_allclose(redirect[1], plain[1], rtol=1e-5, atol=1e-9)
        # A unit that is minimized has its minimum above, too.
        down = gradients(lambda x: -function(x), [[shut, shut - 1]])[1]
        assert (down >= 0).all()

    @pytest.mark.parametrize("name", sorted(set(GATED) - {"thresholded"}))
    def test_below_the_minimum_the_gradient_does_not_lead_away(self, name):
        function, minimum, _ = GATED[name]
        below = [[minimum - 0.1, minimum - 0.5]]
        plain, redirect = gradients(function, below)

        assert (plain < 0).all()
        assert (redirect > 0).all()

    @pytest.mark.parametrize("name", GATED)
    def test_one_position_above_the_minimum_keeps_the_true_gradient(self, name):
        function, minimum, _ = GATED[name]
        plain, redirect = gradients(function, [[minimum - 1, minimum + 0.1]])

        np.testing.assert_allclose(redirect, plain, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x * x,
            lambda x: x * tf.nn.sigmoid(tf.reduce_mean(x, axis=1, keepdims=True)),
            lambda x: x * tf.nn.sigmoid(x[:, ::-1]),
            lambda x: x * tf.nn.relu(x + 9),
        ],
    )
    def test_other_products_keep_their_gradient(self, function):
        plain, redirect = gradients(function, [[-4.0, -3.0, -2.5]])

        np.testing.assert_allclose(redirect, plain, rtol=1e-6)


def pooled_by_hand(inputs, gradient, size, stride, before):
    """Share each window's gradient by the squares of its inputs, in a loop."""
    shared = np.zeros_like(inputs)
    _, height, width, _ = inputs.shape
    for i in range(gradient.shape[1]):
        for j in range(gradient.shape[2]):
            top, left = i * stride - before[0], j * stride - before[1]
            rows = slice(max(top, 0), min(top + size, height))
            columns = slice(max(left, 0), min(left + size, width))
            squares = inputs[:, rows, columns] ** 2
            parts = squares / squares.sum(axis=(1, 2), keepdims=True)
            shared[:, rows, columns] += parts * gradient[:, i : i + 1, j : j + 1]
    return shared


class TestSmoothPools:
    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1), (2, 3)])
    @pytest.mark.parametrize("layers", [keras.layers, tf_keras.layers])
    def test_a_window_shares_by_squares(self, layers, size, stride, padding, rng):
        pool = layers.MaxPooling2D(size, stride, padding=padding)
        inputs = rng.normal(size=(2, 9, 12, 3)).astype(np.float32)
        weights = rng.normal(size=pool(inputs).shape).astype(np.float32)

        found = smooth_gradient(pool, inputs, weights)

        before = (0, 0)
        if padding == "same":
            lengths = zip(weights.shape[1:3], inputs.shape[1:3], strict=True)
            before = [max((n - 1) * stride + size - m, 0) // 2 for n, m in lengths]
        expected = pooled_by_hand(inputs, weights, size, stride, before)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.sum(), weights.sum(), rtol=1e-4, atol=1e-4)

    def test_explicit_padding(self, rng):
        def pool(x):
            return tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 0], [0, 1], [0, 0]])

        inputs = rng.normal(size=(1, 8, 8, 2)).astype(np.float32)
        weights = rng.normal(size=pool(inputs).shape).astype(np.float32)

        np.testing.assert_allclose(
            smooth_gradient(pool, inputs, weights),
            pooled_by_hand(inputs, weights, 3, 2, (1, 0)),
            rtol=1e-4,
            atol=1e-5,
        )

    def test_a_window_of_zeros_shares_evenly(self):
        inputs = np.zeros((1, 4, 4, 1), np.float32)
        found = smooth_gradient(
            keras.layers.MaxPooling2D(2), inputs, np.ones((1, 2, 2, 1))
        )

        np.testing.assert_allclose(found, 0.25)

    def test_half_precision(self):
        def pool(x):
            return tf.cast(
                tf.nn.max_pool2d(tf.cast(x, tf.float16), 2, 2, "VALID"), x.dtype
            )

        inputs = np.array([[0, 0, 300, 400], [0, 0, 0, 0]], np.float32)
        found = smooth_gradient(pool, inputs[None, ..., None], np.ones((1, 1, 2, 1)))

        expected = [[0.25, 0.25, 0.36, 0.64], [0.25, 0.25, 0, 0]]
        np.testing.assert_allclose(found[0, ..., 0], expected, rtol=1e-3)

    def test_activations_stay_and_redirection_can_be_combined(self):
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.MaxPooling2D(2, name="pool"),
                keras.layers.ReLU(name="relu"),
            ]
        )
        adapter = tfviz.adapt(model, (-1, 1))  # grey is 0, black and white are +-1

        @tf.function(autograph=False)
        def run(images, redirect, smooth):
            options = {"redirect": redirect, "smooth_pools": smooth}
            values = adapter.forward(images, ("relu",), **options)["relu"]
            return values, tf.gradients(values, images)[0]

        images = tf.constant(np.linspace(0, 0.45, 192).reshape(1, 8, 8, 3), tf.float32)
        values, gradient = run(images, True, True)
        np.testing.assert_array_equal(values, run(images, False, False)[0])
        np.testing.assert_allclose(tf.reduce_sum(gradient), 2 * 48, rtol=1e-5)
        assert (gradient.numpy() > 0).all()
        assert (run(images, True, False)[1].numpy() > 0).sum() == 48
        assert not run(images, False, True)[1].numpy().any()

    def test_the_loop_uses_it_and_the_final_score_does_not(self):
        model = keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                keras.layers.Conv2D(4, 3, name="conv"),
                keras.layers.MaxPooling2D(3, 2, name="pool"),
            ]
        )
        adapter = tfviz.adapt(model, (-1, 1))
        objective = tfviz.objectives.channel("pool", [1, 2])
        param, transforms = tfviz.params.pixels(16, 16), tfviz.transforms.none()
        images = []
        for smooth in (False, True):
            options = Options(smooth_pools=smooth)
            problem = Problem(adapter, objective, param, transforms, options)
            seeds = np.array([[0, 1], [2, 3]], np.int32)
            runner = Runner(problem, seeds, objective.units)
            runner.start(seeds, objective.units)
            runner.run(0, 8, 0.05)
            outcome = runner.outcome()
            pictures, scores = outcome.pictures, outcome.scores
            images.append(pictures)
            seen = adapter(pictures / np.float32(255), "pool")["pool"].numpy()
            np.testing.assert_allclose(
                scores, [seen[0, ..., 1].mean(), seen[1, ..., 2].mean()], rtol=1e-5
            )
            assert runner.traces == 1
        assert not np.array_equal(*images)


def smooth_gradient(pool, inputs, weights):
    @tf.function(autograph=False)
    def run(inputs):
        with override_gradients(smooth_pools=True):
            outputs = pool(inputs)
        return tf.gradients(outputs, inputs, tf.constant(weights, tf.float32))[0]

    return run(tf.constant(inputs)).numpy()


def dead_model(offset=-0.3, activation="relu", gain=1.0):
    """Two channels: at a grey start, the first is dead and the second active."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(2, 3, activation=activation, name="conv"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="dead",
    )
    fill_dead(model.layers[0], offset, gain)
    return tfviz.adapt(model, (-1, 1))


def fill_dead(convolution, offset, gain):
    kernel = convolution.get_weights()[0]
    kernel -= kernel.mean(axis=(0, 1, 2))  # responds to grey with its bias alone
    convolution.set_weights([gain * kernel, np.array([offset, 0.3], np.float32)])


def run(adapter, unit, steps, **options):
    return tfviz.render(
        adapter,
        unit,
        tfviz.params.pixels(16, 16),
        tfviz.transforms.none(),
        steps=steps,
        **options,
    )


def without_remedy(monkeypatch):
    """Take no picture for one that is off."""
    monkeypatch.setattr(gradient_step, "VANISHING", -1.0)


def without_another_start(monkeypatch):
    """Let no random image excite a unit more than its picture does."""

    def find_none(runner, seeds, shape):
        return np.zeros((len(seeds), *shape), np.float32), np.full(len(seeds), -np.inf)

    monkeypatch.setattr(job, "best_random_images", find_none)


# The offset of a dead unit, the gain with which images can reach it, and a score that
# only an active unit has.
OFF = {
    "relu6": (-5.0, 20.0, 0.3),
    "hard_tanh": (-6.0, 20.0, -0.95),
    "sigmoid": (-25.0, 100.0, 0.01),
    "elu": (-25.0, 100.0, 1.0),
    "gelu": (-12.0, 100.0, 1.0),
    "silu": (-28.0, 100.0, 1.0),
    "hard_silu": (-8.0, 100.0, 1.0),
}


# The others take long: `make test-slow`.
SURE = ("relu6", "sigmoid", "gelu")


@pytest.mark.parametrize(
    "activation",
    [pytest.param(a, marks=() if a in SURE else pytest.mark.slow) for a in OFF],
)
def test_a_unit_that_is_dead_at_the_start_is_revived(activation, monkeypatch):
    offset, gain, lowest = OFF[activation]
    adapter = dead_model(offset, activation, gain)
    # A hard tanh and a SiLU this far from their range need the momentum to go on after
    # the redirected steps.
    without_another_start(monkeypatch)
    woken = run(adapter, "conv:0-1", 32, momentum=0.9)
    without_remedy(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = run(adapter, "conv:0-1", 32, momentum=0.9)

    assert woken.scores[0] > lowest > left.scores[0]
    assert not woken.stuck.any()
    # The other one has the same bytes with and without the remedy.
    np.testing.assert_array_equal(woken.images[1], left.images[1])
    assert np.abs(left.images[0] - 0.5).max() < np.abs(woken.images[0] - 0.5).max()


@pytest.mark.parametrize(
    "activation", ["gelu", pytest.param("silu", marks=pytest.mark.slow)]
)
def test_a_unit_below_the_minimum_is_not_left_there(activation, monkeypatch):
    adapter = dead_model(-4.0, activation, gain=30.0)
    woken = run(adapter, "conv:0-1", 32)
    without_remedy(monkeypatch)
    left = run(adapter, "conv:0-1", 32)

    assert woken.scores[0] > 1
    assert left.history[0, 0] < left.scores[0] < 0  # rises to 0 from below
    np.testing.assert_array_equal(woken.images[1], left.images[1])


class Subclassed(keras.Model):
    """A model that calls TensorFlow's functions, with a block inside."""

    def __init__(self):
        super().__init__()
        self.convolution = keras.layers.Conv2D(2, 3, name="conv")
        self.block = keras.Sequential(
            [keras.layers.Activation("hard_tanh")], name="block"
        )

    def call(self, inputs):
        values = tf.nn.silu(self.convolution(inputs))
        return tf.reduce_mean(self.block(tf.maximum(values, 0.0) / 100), axis=(1, 2))


def functional(module, function):
    inputs = module.Input((16, 16, 3))
    values = module.layers.Conv2D(2, 3, name="conv")(inputs)
    outputs = module.layers.GlobalAveragePooling2D()(function(values))
    return module.Model(inputs, outputs)


def nested():
    inside = functional(keras, keras.ops.silu)
    return keras.Sequential([keras.Input((16, 16, 3)), inside], name="outside")


KINDS = {
    "operation": lambda: functional(keras, lambda x: keras.ops.maximum(x, 0)),
    "layer": lambda: functional(keras, keras.layers.ReLU(4.0)),
    "tf_keras": lambda: functional(tf_keras, tf_keras.layers.Activation("swish")),
    "tf_keras operation": lambda: functional(tf_keras, tf.nn.gelu),
    "nested": nested,
    "subclassed": Subclassed,
}


@pytest.mark.parametrize("kind", KINDS)
def test_dead_units_of_all_kinds_of_models_are_revived(kind, monkeypatch):
    model = KINDS[kind]()
    model(np.zeros((1, 16, 16, 3), np.float32))
    inside = model.layers[-1] if kind == "nested" else model
    [convolution] = [layer for layer in inside.layers if layer.name == "conv"]
    fill_dead(convolution, -3.5, 20.0)
    adapter = tfviz.adapt(model, (-1, 1))
    woken = run(adapter, "logit:0-1", 32, learning_rate=0.05)
    without_remedy(monkeypatch)
    nothing = np.zeros((2, 16, 16, 3)), np.full(2, -np.inf)  # that excites a unit
    monkeypatch.setattr(job, "best_random_images", lambda *_: nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # With larger steps, the gradient that is left would wake it.
        left = run(adapter, "logit:0-1", 32, learning_rate=0.05)

    assert woken.scores[0] > 0.004 > left.scores[0]
    assert not woken.stuck.any()
    np.testing.assert_array_equal(woken.images[1], left.images[1])


def test_a_revived_unit_does_not_change_its_neighbour():
    for adapter in (dead_model(), dead_model(-4.0, "gelu", 30.0)):
        alone = run(adapter, "conv:1", 24, batch_size=2)
        both = run(adapter, ["conv:1", "conv:0"], 24, batch_size=2)

        np.testing.assert_array_equal(both.images[0], alone.images[0])


def test_only_the_first_steps_are_redirected():
    """A unit out of reach is given up after 16 steps: its latents stay the same."""
    adapter = dead_model(offset=-1e6)
    images = []
    with pytest.warns(UserWarning, match="dead unit"):
        run(adapter, "conv:0", 48, callbacks=[lambda p: images.append(p.images())])

    assert np.abs(images[0] - 0.5).max() > 0.05
    # Adam's momentum runs out; without a gradient nothing changes any more.
    assert np.abs(images[2] - images[1]).max() < np.abs(images[0] - 0.5).max()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_an_objective_does_not_matter(scale):
    """A gradient that is small because of a factor does not count as saturated."""
    adapter = dead_model(-25.0, "sigmoid", 100.0)
    objective = scale * tfviz.objectives.channel("conv", [1, 0])
    problem = Problem(
        adapter,
        objective.bound(adapter, (16, 16)),
        tfviz.params.pixels(16, 16),
        tfviz.transforms.none(),
        Options(optimizer=keras.optimizers.SGD(3.0 / scale)),
    )
    seeds = np.array([[0, 1], [2, 3]], np.int32)
    runner = Runner(problem, seeds, objective.units)
    runner.start(seeds, objective.units)
    runner.run(0, 1, 0.05)
    assert runner.outcome().fired.tolist() == [True, False]

    runner.run(1, 31, 0.05)
    pictures = runner.images().astype(int)
    assert runner.outcome().fired.tolist() == [True, True]
    assert np.abs(pictures - 127.5).max(axis=(1, 2, 3)).min() > 5


def test_a_term_of_the_image_does_not_hide_a_dead_unit():
    def smooth(activations, images, latents, units):
        return -tf.reduce_mean(tf.square(images - 0.5), axis=(1, 2, 3))

    kept = tfviz.objectives.Objective((), {}, smooth, ("smooth",))
    result = run(dead_model(), tfviz.objectives.channel("conv", [0, 1]) + kept, 60)

    assert (result.scores > 0.05).all()
    with pytest.warns(UserWarning, match="1 dead unit"):
        run(dead_model(-1e6), tfviz.objectives.channel("conv", [0, 1]) + kept, 20)


def test_dead_units_are_reported_with_the_random_images_tried():
    adapter = dead_model(offset=-1e6)
    with pytest.warns(UserWarning, match="dead unit") as caught:
        result = run(adapter, "conv:0-1", 20)

    assert result.stuck.tolist() == [True, False]
    assert result.scores[0] == 0
    [warning] = caught
    assert str(warning.message) == (
        "1 dead unit, whose picture shows nothing: conv:0 (highest score "
        "0 in 20 steps, 16 with redirected gradients, and 0 over 32 random images). "
        "Try another `seed`, more `steps`, or a photo for `start`."
    )


def excitable(seed=(0, 0)):
    """A dead unit that random images excite, and the scores of those of a seed."""
    adapter = dead_model(offset=-2.0, gain=4.0)
    images = np.stack(list(random_images(16, 16, 3, seed)))
    return adapter, adapter(images, "conv")["conv"].numpy()[..., 0].mean((1, 2))


def test_dead_units_start_anew_from_the_best_of_random_images(monkeypatch):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    starts = []
    encoded = tfviz.params.pixels(16, 16)

    def encode(images):
        starts.append(np.array(images))
        return encoded.encode(images)

    both = Job(
        adapter,
        ["conv:1", "conv:0"],
        replace(encoded, encode=encode),
        tfviz.transforms.none(),
        Options(steps=4, batch_size=3),
    )
    [batch] = both.run()
    [images] = starts
    seed = np.add(both.pictures[1].seed, [0, NEXT_RESTART])
    own = np.stack(list(random_images(16, 16, 3, np.int64(seed).astype(np.int32))))
    scores = adapter(own, "conv")["conv"].numpy()[..., 0].mean((1, 2))

    np.testing.assert_array_equal(images[1], own[scores.argmax()])
    assert batch.outcome.fired.all()
    assert batch.dead_units == ()
    assert batch.restart.tolist() == [0, 1]
    assert batch.history[0, 1] == pytest.approx(scores.max(), rel=0.05)
    assert batch.outcome.scores[1] > scores.max() > 0.01


@pytest.mark.parametrize("more", [{}, {"restarts": 2}, {"candidates": 2}])
def test_a_woken_picture_depends_on_its_seed_and_not_on_its_neighbours(
    monkeypatch, more
):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    alone = run(adapter, "conv:0", 4, batch_size=2, **more)
    both = run(adapter, ["conv:0", "conv:1"], 4, batch_size=2, **more)
    other = run(adapter, "conv:0", 4, batch_size=2, seed=1, **more)
    param = tfviz.params.pixels(16, 16)
    [again] = Job.from_spec(adapter, both.picture_spec(0), param).run()

    np.testing.assert_array_equal(to_floats(again.outcome.pictures[0]), both.images[0])
    np.testing.assert_array_equal(both.images[0], alone.images[0])
    assert np.abs(other.images - alone.images).max() > 0.1
    # The neighbour is alive, so it is left as it was.
    neighbour = Job(
        adapter,
        ["conv:0", "conv:1"],
        tfviz.params.pixels(16, 16),
        tfviz.transforms.none(),
        Options(steps=4, batch_size=2, **more),
    )
    [batch] = neighbour.run(skip={0})
    np.testing.assert_array_equal(both.images[1], to_floats(batch.outcome.pictures[0]))


def test_callbacks_see_the_steps_of_the_new_start_as_those_of_the_last(monkeypatch):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    steps = []
    run(adapter, "conv:0", 4, restarts=2, callbacks=[lambda p: steps.append(p.step)])

    assert steps == [4, 8, 8]


def test_an_animation_of_a_woken_unit_is_that_of_its_new_start(monkeypatch, tmp_path):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    animation = tfviz.Animation(tmp_path / "woken.webp")
    result = run(adapter, "conv:0", 4, callbacks=[animation])

    assert animation.files == [tmp_path / "woken.webp"]
    with Image.open(animation.files[0]) as film:
        assert film.n_frames == 1
        shown = np.asarray(film.convert("RGB"), np.float32)[8:24, 8:24] / 255
    assert np.abs(shown - result.images[0]).mean() < 0.1


def test_a_start_that_was_given_is_not_replaced(monkeypatch):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    grey = np.full((16, 16, 3), 0.5, np.float32)
    with pytest.warns(UserWarning, match=r"1 dead unit.*over 32 random images\)"):
        result = run(adapter, "conv:0", 4, start=grey)

    assert result.stuck.tolist() == [True]


def test_candidates_and_random_images_go_together(monkeypatch):
    without_remedy(monkeypatch)
    adapter, _ = excitable()
    result = run(adapter, ["conv:1", "conv:0"], 4, candidates=2)

    assert result.start_scores[1] > 0.01
    assert not result.stuck.any()


def test_random_images_go_from_noise_to_plain_colours():
    images = np.stack(list(random_images(20, 33, 3, (0, -5))))

    assert images.shape == (RANDOM_IMAGES, 20, 33, 3)
    assert images.dtype == np.float32
    assert 0 <= images.min() < 0.05
    assert 0.95 < images.max() <= 1
    spread = images.std(axis=(1, 2)).mean(axis=1)
    assert (spread[:8] > 0.25).all()
    assert np.ptp(images[8:16, :4, :4], axis=(1, 2)).max() == 0
    assert np.ptp(images[24:], axis=(1, 2)).max() == 0
    assert len({image.tobytes() for image in images}) == RANDOM_IMAGES


def test_nothing_more_is_run_where_nothing_is_stuck(monkeypatch):
    monkeypatch.setattr(Runner, "score_units", None)

    assert not run(dead_model(), "conv:0-1", 24).stuck.any()


def test_a_revived_unit_is_not_reported():
    result = run(dead_model(), "conv:0", 24)

    assert result.stuck.tolist() == [False]
    assert result.history[0] == 0
