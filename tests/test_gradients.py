import keras
import numpy as np
import pytest
import tensorflow as tf

import tfviz
from tfviz._gradients import redirected


def gradients(function, inputs):
    """Return the plain and the redirected gradient of sum(function(inputs))."""

    @tf.function(autograph=False)
    def run(inputs):
        plain = tf.gradients(function(inputs), inputs)[0]
        with redirected():
            outputs = function(inputs)
        return plain, tf.gradients(outputs, inputs)[0]

    return [g.numpy() for g in run(tf.constant(inputs, tf.float32))]


class TestRectifier:
    def test_an_image_that_is_on_somewhere_keeps_its_gradient(self):
        plain, redirect = gradients(tf.nn.relu, [[-1.0, 2.0, -3.0]])

        np.testing.assert_array_equal(plain, [[0, 1, 0]])
        np.testing.assert_array_equal(redirect, plain)

    def test_an_image_that_is_off_everywhere_is_pushed_up(self):
        plain, redirect = gradients(tf.nn.relu, [[-1.0, -2.0], [-1.0, 2.0]])

        np.testing.assert_array_equal(plain, [[0, 0], [0, 1]])
        np.testing.assert_array_equal(redirect, [[1, 1], [0, 1]])

    def test_nothing_is_pushed_further_out_of_range(self):
        plain, redirect = gradients(lambda x: -tf.nn.relu(x), [[-1.0, -2.0]])

        np.testing.assert_array_equal(plain, 0)
        np.testing.assert_array_equal(redirect, 0)

    def test_only_what_pushes_back_is_let_through(self):
        weights = tf.constant([[1.0, -1.0, 2.0]])
        _, redirect = gradients(lambda x: tf.nn.relu(x) * weights, [[-1.0, -1.0, -1.0]])

        np.testing.assert_array_equal(redirect, [[1, 0, 2]])

    def test_whole_images_are_judged_not_positions(self):
        inputs = -np.ones((2, 3, 3, 2))
        inputs[0, 1, 1, 1] = 1
        plain, redirect = gradients(tf.nn.relu, inputs)

        np.testing.assert_array_equal(redirect[0], plain[0])
        np.testing.assert_array_equal(redirect[1], 1)


def test_the_rectifier_with_a_ceiling_is_left_from_both_sides():
    below, above = [[-1.0, -2.0]], [[7.0, 8.0]]

    np.testing.assert_array_equal(gradients(tf.nn.relu6, below)[1], 1)
    np.testing.assert_array_equal(gradients(tf.nn.relu6, above)[1], 0)
    np.testing.assert_array_equal(
        gradients(lambda x: -tf.nn.relu6(x), above)[1], [[-1, -1]]
    )


def dead_model(offset=-0.3):
    """Two channels: the first is off at a grey start, the second is on."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(2, 3, activation="relu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="dead",
    )
    kernel = model.layers[0].get_weights()[0]
    kernel -= kernel.mean(axis=(0, 1, 2))  # answers to grey with its bias alone
    model.layers[0].set_weights([kernel, np.array([offset, 0.3], np.float32)])
    return tfviz.adapt(model, (-1, 1))


def run(adapter, unit, steps, **options):
    return tfviz.render(
        adapter,
        unit,
        tfviz.params.pixels(16, 16),
        tfviz.transforms.none(),
        steps=steps,
        **options,
    )


def test_a_unit_that_is_off_at_the_start_is_woken():
    result = run(dead_model(), "conv:0-1", 60)

    assert not result.stuck.any()
    assert (result.history[0] == 0).tolist() == [True, False]
    assert (result.scores > 0.1).all()


def test_a_neighbour_is_not_changed_by_a_woken_unit():
    alone = run(dead_model(), "conv:1", 24, batch_size=2)
    both = run(dead_model(), ["conv:1", "conv:0"], 24, batch_size=2)

    np.testing.assert_array_equal(both.images[0], alone.images[0])


def test_only_the_first_steps_are_redirected():
    """A unit out of reach is given up after 16 steps: its latents stay put."""
    adapter = dead_model(offset=-1e6)
    images = []
    with pytest.warns(UserWarning, match="never fired in 48 steps"):
        run(adapter, "conv:0", 48, callbacks=[lambda p: images.append(p.images())])

    assert np.abs(images[0] - 0.5).max() > 0.05
    # Adam's momentum runs out; without a gradient nothing more happens.
    assert np.abs(images[2] - images[1]).max() < np.abs(images[0] - 0.5).max()


def test_what_never_fires_is_reported():
    with pytest.warns(UserWarning, match=r"1 unit\(s\) never fired.*: conv:0\. Try"):
        result = run(dead_model(offset=-1e6), "conv:0-1", 20)

    assert result.stuck.tolist() == [True, False]
    assert result.scores[0] == 0


def test_a_woken_unit_is_not_stuck_even_if_it_began_dead():
    result = run(dead_model(), "conv:0", 24)

    assert result.stuck.tolist() == [False]
