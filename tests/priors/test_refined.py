"""Refined priors: the image of a generator, and detail within a distance."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tfviz
from tfviz import priors
from tfviz.comparison import kinship
from tfviz.models.inputs import resize
from tfviz.priors._refined import refined

SEEDS = np.array([[0, 1], [0, 2]], np.int32)


@pytest.fixture(scope="module")
def generator():
    """A smooth generator of 8 x 12 pixels in [-1, 1], with an exact encoder."""
    rows = np.random.default_rng(0).normal(size=(5, 8 * 12 * 3)).astype(np.float32)
    rows = np.linalg.qr(rows.T)[0].T

    def encode(images):
        flat = tf.reshape(resize(images, (8, 12)) * 2 - 1, (-1, 8 * 12 * 3))
        return {"z": tf.matmul(flat, rows, transpose_b=True)}

    return priors.assembled(
        {"z": priors.gaussian(5)},
        lambda values: tf.reshape(tf.matmul(values["z"], rows), (-1, 8, 12, 3)),
        value_range=(-1, 1),
        encode=encode,
    )


@pytest.fixture(scope="module")
def autoencoder():
    """Averages of 4 x 4 pixels as latents, shifted, and their enlargement."""

    def encode(images):
        return {"map": tf.nn.avg_pool2d(images, 4, 4, "VALID") * 3 + 1}

    def decode(values):
        small = (values["map"] - 1) / 3
        return tf.repeat(tf.repeat(small, 4, axis=1), 4, axis=2)

    return priors.assembled(
        {"map": priors.waves(6, 5, 3, mean=1.0, stddev=[0.5, 1.0, 2.0])},
        decode,
        value_range=(0, 1),
        encode=encode,
    )


def test_the_start_is_the_resized_image(generator):
    whole = refined(generator, size=(21, 16))
    stored = whole.init(SEEDS)
    base = generator.generate(generator.values(generator.init(SEEDS)))
    expected = np.clip(resize((base + 1) / 2, (21, 16)), 0, 1)

    assert whole.shape == (21, 16, 3)
    assert not np.asarray(stored["detail"]).any()
    np.testing.assert_allclose(whole.decode(stored), expected, atol=1e-6)


def test_the_start_is_the_image_through_the_autoencoder(generator, autoencoder):
    whole = refined(generator, autoencoder)
    base = generator.generate(generator.values(generator.init(SEEDS)))
    resized = np.clip(resize((base + 1) / 2, (24, 20)), 0, 1)
    means = resized.reshape(2, 6, 4, 5, 4, 3).mean(axis=(2, 4))
    expected = means.repeat(4, axis=1).repeat(4, axis=2)

    assert whole.shape == (24, 20, 3)
    np.testing.assert_allclose(whole.decode(whole.init(SEEDS)), expected, atol=1e-5)


@pytest.mark.parametrize("distance", [0.02, 0.3])
def test_pixels_stay_within_the_distance(generator, distance, rng):
    whole = refined(generator, size=(21, 16), distance=distance)
    far = rng.normal(size=(2, 21, 16, 3)).astype(np.float32)
    near = far * np.float32([0.01, 0.001]).reshape(2, 1, 1, 1)
    detail = whole.latents["detail"]
    stored = {**whole.init(SEEDS), "detail": detail.stored(far)}

    limited = detail.values(whole.project(stored)["detail"]).numpy()
    rms = np.sqrt((limited**2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(rms, distance, rtol=1e-4)
    scale = distance / np.sqrt((far**2).mean(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(limited, far * scale, atol=1e-4)

    stored["detail"] = detail.stored(near)
    kept = detail.values(whole.project(stored)["detail"])
    np.testing.assert_allclose(kept, near, atol=1e-5)


def test_latents_stay_within_a_distance_in_standard_deviations(
    generator, autoencoder, rng
):
    whole = refined(generator, autoencoder, distance=0.5)
    detail = whole.latents["detail"]
    far = rng.normal(size=(2, 6, 5, 3)).astype(np.float32) * 9
    stored = {**whole.init(SEEDS), "detail": detail.stored(far)}
    limited = detail.values(whole.project(stored)["detail"]).numpy()

    # The deviations are measured on 32 random maps, so they are not exact.
    rms = np.sqrt(((limited / [0.5, 1.0, 2.0]) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(rms, 0.5, rtol=0.1)


def test_photos_come_back_within_the_distance(generator, rng):
    whole = refined(generator, size=(16, 24), distance=1.0)
    photos = rng.uniform(size=(2, 16, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(whole.decode(whole.encode(photos)), photos, atol=1e-4)

    close = refined(generator, size=(16, 24), distance=0.1)
    base = refined(generator, size=(16, 24), distance=1e-6)
    moved = close.generate(close.invert(photos)) - base.generate(base.invert(photos))
    np.testing.assert_allclose(
        np.sqrt(np.mean(moved**2, axis=(1, 2, 3))), 0.1, rtol=1e-3
    )


def test_the_gradient_reaches_both_latents(generator, autoencoder, rng):
    """It equals finite differences, along a random direction of each latent."""
    whole = refined(generator, autoencoder)
    stored = {k: tf.convert_to_tensor(v) for k, v in whole.init(SEEDS[:1]).items()}
    stored["z"] *= 0.3  # so that no pixel is clipped
    weights = rng.normal(size=(1, 24, 20, 3)).astype(np.float32)

    def score(values):
        return tf.reduce_sum(whole.decode(values) * weights)

    with tf.GradientTape() as tape:
        tape.watch(stored)
        total = score(stored)
    for name, gradient in tape.gradient(total, stored).items():
        direction = rng.normal(size=gradient.shape).astype(np.float32)
        ends = [
            score({**stored, name: stored[name] + step * direction})
            for step in (1e-2, -1e-2)
        ]
        expected = np.sum(gradient.numpy() * direction)
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-2, expected, rtol=2e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "`height` must be a whole number of at least 1"),
        ({"distance": 0}, "`distance` must be above 0"),
        ({"distance": -1.0}, "`distance` must be above 0"),
    ],
)
def test_wrong_arguments(generator, options, message):
    with pytest.raises(ValueError, match=message):
        refined(generator, **options)


def test_what_does_not_fit_together(generator, autoencoder):
    with pytest.raises(ValueError, match="has a latent 'detail' already"):
        refined(refined(generator, size=16))
    with pytest.raises(ValueError, match="single latent map"):
        refined(generator, generator)
    with pytest.raises(ValueError, match="give `size` to it"):
        refined(generator, autoencoder, size=24)


class TestByName:
    @pytest.mark.parametrize(
        ("name", "size", "shape"),
        [
            ("inverter+fourier", None, (224, 224, 3)),
            ("inverter+fourier", (70, 95), (70, 95, 3)),
            ("inverter+autoencoder", (72, 96), (72, 96, 3)),
        ],
    )
    def test_it_is_made_again_from_its_description(self, name, size, shape):
        prior = priors.load(name, size)
        again = priors.from_spec(json.loads(json.dumps(prior.spec)))
        assert prior.shape == shape
        assert list(prior.latents) == ["code", "detail"]
        assert again.spec == prior.spec
        seeds = SEEDS[:1]
        np.testing.assert_array_equal(
            prior.decode(prior.init(seeds)), again.decode(again.init(seeds))
        )

    def test_it_is_related_as_both_priors_are(self, squeezenet):
        prior = priors.load("inverter+autoencoder", 64)
        both = [priors.load("inverter"), priors.load("autoencoder", 64)]
        assert kinship.kinship(prior, squeezenet) == kinship.SAME_NETWORK
        for part in both:
            assert set(part.trained["networks"]) <= set(prior.trained["networks"])
            assert part.trained["about"] in prior.trained["about"]

    def test_a_prior_of_unknown_training_stays_unknown(self, generator):
        assert refined(generator, size=16).trained == {}

    @pytest.mark.slow
    def test_the_same_picture_is_made_again(self, squeezenet, tmp_path):
        prior = priors.load("inverter+fourier", 64)
        options = {"steps": 3, "candidates": 2}
        result = tfviz.render(squeezenet, "fire5:3", prior, **options)
        (file,) = result.save(tmp_path / "one.png")
        again = tfviz.render_again(file)
        np.testing.assert_array_equal(again.images, result.images)
