"""How gradients are used: blur, normalization, where they were."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image

import tfviz
from tfviz import objectives, params, transforms
from tfviz.optimize.job import Job
from tfviz.optimize.optimizers import gradient_shaper
from tfviz.optimize.options import Options


def gradient(options, upstream):
    @tf.function(autograph=False)
    def run(images):
        shaped = gradient_shaper(options)(images)
        return shaped, tf.gradients(tf.reduce_sum(shaped * upstream), images)[0]

    images = tf.constant(np.random.default_rng(1).uniform(size=upstream.shape))
    shaped, slopes = run(tf.cast(images, tf.float32))
    np.testing.assert_array_equal(shaped, tf.cast(images, tf.float32))
    return slopes.numpy()


@pytest.fixture
def upstream(rng):
    return rng.normal(size=(2, 17, 12, 3)).astype(np.float32)


def test_a_plain_gradient_is_left_alone(upstream):
    np.testing.assert_array_equal(gradient(Options(), upstream), upstream)


def test_a_blurred_gradient_is_that_of_scipy(upstream):
    expected = scipy.ndimage.gaussian_filter(upstream, (0, 1.5, 1.5, 0), truncate=4)

    found = gradient(Options(gradient_blur=1.5), upstream)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_normalized_gradient_has_unit_size_in_each_image(upstream):
    upstream[1] *= 1e-6
    found = gradient(Options(normalize_gradient=True), upstream)

    np.testing.assert_allclose(np.sqrt((found**2).mean((1, 2, 3))), 1, rtol=1e-4)
    cosine = (found * upstream).sum((1, 2, 3)) / np.sqrt(
        (found**2).sum((1, 2, 3)) * (upstream**2).sum((1, 2, 3))
    )
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)


def test_no_gradient_stays_none(upstream):
    upstream[0] = 0
    found = gradient(Options(normalize_gradient=True, gradient_blur=1.0), upstream)

    np.testing.assert_array_equal(found[0], 0)


def test_a_blurred_gradient_makes_smoother_pictures(toy_adapter):
    def energy(blur):
        result = tfviz.render(
            toy_adapter,
            "conv_b:3",
            params.pixels(32, 32),
            transforms.none(),
            steps=32,
            gradient_blur=blur,
        )
        images = tf.constant(result.images)
        penalty = objectives.high_frequency(cutoff=0.25)
        return float(penalty.score({}, images, {}, {})[0]), result.scores[0]

    rough, smooth = energy(0.0), energy(2.0)
    assert smooth[0] < 0.5 * rough[0]
    assert smooth[1] > 0


def test_a_normalized_gradient_makes_plain_descent_work(toy_adapter):
    """A step of plain ascent is as large as the gradient, whatever its scale."""
    scaled = 1e-6 * objectives.channel("conv_b", 3)
    results = [
        tfviz.render(
            toy_adapter,
            scaled,
            params.pixels(32, 32),
            transforms.none(),
            optimizer=keras.optimizers.SGD(1.0),
            steps=32,
            normalize_gradient=normalize,
        )
        for normalize in (False, True)
    ]
    rise = [r.scores[0] - r.history[0, 0] for r in results]
    assert rise[1] > 100 * abs(rise[0])
    assert results[1].spec["normalize_gradient"] is True


class TestAlpha:
    def test_it_is_where_the_gradient_was(self, toy_adapter):
        """A neuron looks at a part of the image, and nowhere else."""
        result = tfviz.render(
            toy_adapter,
            objectives.neuron("conv_b", 3, 0, 0),
            params.pixels(32, 32),
            transforms.none(),
            steps=16,
            alpha=True,
        )
        assert result.alpha.shape == (1, 32, 32)
        assert result.alpha.dtype == np.float32
        assert result.alpha.max() == 1
        # Two convolutions of 3 pixels with stride 2 see 7 pixels.
        assert (result.alpha[0, 7:] == 0).all()
        assert (result.alpha[0, :, 7:] == 0).all()
        assert (result.alpha[0, :7, :7] > 0).mean() > 0.9

    def test_it_is_the_mean_absolute_slope_over_the_steps(self, toy_adapter):
        """After one step, the slope at the start, up to the scale of the picture."""
        small = params.pixels(32, 32)
        result = tfviz.render(
            toy_adapter, "conv_b:3", small, transforms.none(), steps=1, alpha=True
        )
        job = Job(toy_adapter, "conv_b:3", small, transforms.none(), Options(steps=1))
        start = small.decode(small.init([job.pictures[0].seed]))
        with tf.GradientTape() as tape:
            tape.watch(start)
            activations = toy_adapter(start, "conv_b")["conv_b"]
            score = tf.reduce_mean(activations[..., 3])
        slopes = np.abs(tape.gradient(score, start).numpy()).mean(-1)
        expected = np.clip(slopes / np.percentile(slopes, 99), 0, 1)

        np.testing.assert_allclose(result.alpha, expected, atol=1e-3)

    def test_pictures_are_saved_with_it(self, toy_adapter, tmp_path):
        result = tfviz.render(toy_adapter, "conv_b:3", steps=4, alpha=True)
        for suffix in (".png", ".webp"):
            (file,) = result.save(tmp_path / f"a{suffix}")
            with Image.open(file) as image:
                assert image.mode == "RGBA"
                pixels = np.asarray(image)
            for found, expected in (
                (pixels[..., :3], result.images[0]),
                (pixels[..., 3], result.alpha[0]),
            ):
                np.testing.assert_array_equal(found, np.round(expected * 255))

    def test_without_being_asked_for_there_is_none(self, toy_adapter, tmp_path):
        result = tfviz.render(toy_adapter, "conv_b:3", params.pixels(32, 32), steps=2)
        (file,) = result.save(tmp_path / "a.png")

        assert result.alpha is None
        with Image.open(file) as image:
            assert image.mode == "RGB"


def test_a_result_can_be_gone_on_with(toy_adapter):
    small = params.pixels(32, 32)
    first = tfviz.render(toy_adapter, "conv_b:3-4", small, transforms.none(), steps=24)
    second = tfviz.render(
        toy_adapter, "conv_b:3-4", small, transforms.none(), steps=24, start=first
    )

    np.testing.assert_allclose(second.history[0], first.scores, rtol=0.02)
    assert (second.scores > first.scores).all()
