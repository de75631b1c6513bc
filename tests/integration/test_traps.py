"""Mistakes of other libraries that only tests of several modules together reveal."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import build_toy

import tfviz
from tfviz import objectives, params, transforms
from tfviz.optimize.job import Job

SMALL = params.fourier(32, 32)


def test_penalties_are_of_the_image_and_not_of_what_a_transform_shows(toy_adapter):
    """Guards against the edge of the padding, which would dominate the variation."""
    penalty = objectives.total_variation()
    moves = transforms.chain(transforms.pad(8, fill=0.0), transforms.crop(8))
    plain, padded = (
        tfviz.render(
            toy_adapter, -penalty, SMALL, chosen, steps=1, learning_rate=1e-9
        ).history[0, 0]
        for chosen in (transforms.none(), moves)
    )
    grown = tfviz.render(
        toy_adapter,
        -penalty,
        SMALL,
        transforms.pad(8, fill=0.0),
        steps=1,
        learning_rate=1e-9,
    ).history[0, 0]

    assert plain == pytest.approx(padded, rel=1e-5)
    assert plain == pytest.approx(grown, rel=1e-5)


def test_transforms_do_not_change_the_picture_itself(toy_adapter):
    """Guards against jitter and blur that accumulate in the stored image."""
    far = transforms.chain(transforms.rotate([45.0]), transforms.jitter(9))
    start = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32, 3))
    result = tfviz.render(
        toy_adapter,
        "conv_b:3",
        params.pixels(32, 32),
        far,
        steps=3,
        learning_rate=1e-6,
        start=start,
    )
    np.testing.assert_allclose(result.images[0], start, atol=1 / 255)


def test_no_transforms_means_none(toy_adapter):
    """Guards against taking an empty list for the default transforms."""
    for empty in (transforms.none(), transforms.chain()):
        result = tfviz.render(toy_adapter, "conv_b:3", SMALL, empty)
        images = SMALL.decode(
            SMALL.init([Job(toy_adapter, "conv_b:3", SMALL, empty).pictures[0].seed])
        )
        activation = toy_adapter(images, "conv_b")["conv_b"].numpy()[..., 3].mean()

        assert result.spec["transforms"] == []
        assert result.history[0, 0] == pytest.approx(activation, rel=1e-4)


def test_each_step_draws_anew(toy_adapter):
    """Guards against random numbers that are drawn once, while the step is traced."""
    start = np.random.default_rng(0).uniform(size=(32, 32, 3))
    result = tfviz.render(
        toy_adapter,
        "conv_b:3",
        params.pixels(32, 32),
        transforms.jitter(8),
        steps=12,
        learning_rate=1e-9,
        start=start,
    )
    assert len(np.unique(result.history[:, 0])) > 6


def test_the_last_image_is_returned_not_the_best(toy_adapter):
    """Guards against an image whose score is not in the history."""
    seen = []
    result = tfviz.render(
        toy_adapter,
        "conv_b:3",
        SMALL,
        steps=32,
        learning_rate=0.5,
        callbacks=[lambda progress: seen.append(progress.images())],
    )
    np.testing.assert_array_equal(result.images, seen[-1])


def test_contrast_is_not_stretched(toy_adapter):
    """Guards against min-max scaling, which hides that a picture hardly changed."""
    result = tfviz.render(
        toy_adapter, "conv_b:3", SMALL, transforms.none(), steps=1, learning_rate=1e-4
    )
    assert np.ptp(result.images) < 0.2


def test_rows_are_rows_and_columns_are_columns():
    """Guards against swapped x and y, which only a map that is not square reveals."""
    image = keras.Input((20, 60, 3))
    x = keras.layers.Conv2D(4, 3, 4, name="map")(image)
    adapter = tfviz.adapt(keras.Model(image, x), (0, 1))
    assert adapter.layer("map").shape == (None, 5, 15, 4)
    for row, column in ((0, 14), (4, 0), (None, None)):
        result = tfviz.render(
            adapter,
            objectives.neuron("map", 1, row, column),
            params.pixels(20, 60),
            transforms.none(),
            steps=2,
            alpha=True,
        )
        at = (2 if row is None else row, 7 if column is None else column)
        rows, columns = np.nonzero(result.alpha[0])
        assert (rows.min(), columns.min()) == (4 * at[0], 4 * at[1])
        assert (rows.max(), columns.max()) == (4 * at[0] + 2, 4 * at[1] + 2)
    with pytest.raises(ValueError, match="5x15.*rows go from 0 to 4. Received: row 14"):
        objectives.neuron("map", 1, 14, 0).bound(adapter, (20, 60))


def test_a_model_that_trains_by_default_is_seen_at_rest():
    """Guards against dropout and batch statistics while rendering."""

    class Restless(keras.Model):
        def __init__(self):
            super().__init__(name="restless")
            self.noise = keras.layers.Dropout(0.5)
            self.norm = keras.layers.BatchNormalization()
            self.conv = keras.layers.Conv2D(4, 3, name="conv")

        def call(self, x, training=True):
            x = self.norm(self.noise(x, training=training), training=training)
            return self.conv(x)

    model = Restless()
    model(tf.zeros((1, 16, 16, 3)))
    before = [w.numpy() for w in model.weights]
    adapter = tfviz.adapt(model, (0, 1))
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    first, second = (adapter(images, "conv")["conv"] for _ in range(2))

    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, model(images, training=False), rtol=1e-5)
    tfviz.render(adapter, "conv:1", steps=3)
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_a_weight_of_a_penalty_does_not_depend_on_the_batch(toy_adapter):
    """Guards against a mean over the batch, which weakens each image's gradient."""
    unit = objectives.channel("conv_b", [1, 2, 3, 4])
    penalized = unit - 0.5 * objectives.total_variation()
    together = tfviz.render(toy_adapter, penalized, SMALL, transforms.none(), steps=8)
    alone = tfviz.render(
        toy_adapter, penalized[[2]], SMALL, transforms.none(), steps=8, batch_size=4
    )
    slots = tfviz.render(
        toy_adapter, penalized[[2, 0, 1, 3]], SMALL, transforms.none(), steps=8
    )
    np.testing.assert_array_equal(alone.images[0], slots.images[0])
    np.testing.assert_allclose(together.scores[2], alone.scores[0], rtol=0.05)


def test_half_precision_neither_overflows_nor_rounds_the_spectrum():
    """Guards against squares, Gram matrices and waves in float16."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_toy()
    finally:
        keras.config.set_dtype_policy(policy)
    adapter = tfviz.adapt(model, (0, 255))
    unit = 1e4 * objectives.layer("conv_b") + objectives.diversity("conv_b", 2)
    result = tfviz.render(adapter, unit, SMALL, transforms.none(), steps=3)

    assert np.isfinite(result.history).all()
    assert result.history.dtype == np.float32
    assert np.isfinite(result.distances).all()


def test_probabilities_are_the_softmax_of_the_logits(toy_adapter):
    """Guards against logits that are taken after the softmax."""
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    probabilities = toy_adapter.probabilities(images).numpy()
    logits = toy_adapter.logits(images).numpy()

    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
