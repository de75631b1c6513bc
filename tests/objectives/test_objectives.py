import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from support import tolerance

import tfviz
from tfviz import directions, objectives
from tfviz.objectives._base import take
from tfviz.objectives._groups import similarities
from tfviz.models.introspection import LOGITS, PROBABILITIES

SIZE = (32, 32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).uniform(size=(3, 32, 32, 3)).astype(np.float32)


def scores(adapter, objective, images, latents=None):
    """Score images as the optimization does."""
    objective = objective.bound(adapter, SIZE)
    images = tf.convert_to_tensor(images)
    layers = objective.layers

    @tf.function(autograph=False)
    def run(images):
        activations = adapter.forward(images, layers)
        units = {name: tf.constant(values) for name, values in objective.units.items()}
        held = {"latent": images} if latents is None else latents
        return objective.score(activations, images, held, units)

    return run(images)


def photo(seed):
    return np.random.default_rng(seed).uniform(size=(40, 32, 3)).astype(np.float32)


VECTORS = np.random.default_rng(5).normal(size=(3, 12)).astype(np.float32)
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
    "before the relu": lambda: objectives.channel("conv_b:pre", [0, 5, 11]),
    "direction": lambda: objectives.direction("conv_b:pre", VECTORS, power=1.5),
    "direction at": lambda: objectives.direction("conv_b", VECTORS, row=2, column=5),
    "few channels": lambda: objectives.direction("conv_b", {3: 1, 7: -0.5}),
    "random direction": lambda: objectives.random_direction("conv_b", [0, 1, 2]),
    "dense direction": lambda: objectives.direction("pool", VECTORS),
    "inversion": lambda: objectives.inversion("conv_a", photo(1)),
    "caricature": lambda: objectives.caricature("conv_b", photo(1), power=2),
    "interpolation": lambda: objectives.interpolate(
        objectives.channel("conv_b", 1), objectives.channel("conv_a", 2), n=3
    ),
    "total variation": objectives.total_variation,
    "l1": objectives.l1,
    "l2": lambda: objectives.l2(centre=0.3),
    "l1 of latents": lambda: objectives.l1(of="latents"),
    "l2 of latents": lambda: objectives.l2(of="latents"),
    "high frequency": lambda: objectives.high_frequency(cutoff=0.2),
    "blur difference": lambda: objectives.blur_difference(stddev=1.5),
    "penalized": lambda: (
        objectives.channel("conv_b", [0, 5, 11]) - 0.5 * objectives.total_variation()
    ),
}


@pytest.mark.parametrize("name", EVERY)
class TestEveryObjective:
    def test_each_image_has_one_score(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]

        result = scores(toy_adapter, objective, images)
        assert result.shape == (3,)
        assert result.dtype == tf.float32
        assert np.isfinite(result).all()

    def test_scores_do_not_depend_on_other_images(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]
        together = scores(toy_adapter, objective, images)

        for i in range(3):
            alone = scores(toy_adapter, objective[[i]], images[i : i + 1])
            np.testing.assert_allclose(alone, together[i : i + 1], rtol=1e-5, atol=1e-7)

    def test_gradient_agrees_with_finite_differences(self, name, toy_adapter, images):
        objective = EVERY[name]()
        objective = objective if len(objective) == 3 else objective[[0, 0, 0]]
        start = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(start)
            total = tf.reduce_sum(scores(toy_adapter, objective, start))
        gradient = tape.gradient(total, start).numpy()
        # Along the gradient, so that the difference is well above rounding errors.
        length = np.linalg.norm(gradient)
        direction = gradient / length
        size = 2e-2
        up, down = (
            float(tf.reduce_sum(scores(toy_adapter, objective, images + d)))
            for d in (size * direction, -size * direction)
        )

        assert length > 0
        assert (up - down) / (2 * size) == pytest.approx(length, rel=0.05)


def test_scores_agree_with_numpy(toy, toy_adapter, images):
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
    near = tolerance(1e-4, 1e-2, "logits near 0 are sums of products of a network")
    for objective, value in expected:
        np.testing.assert_allclose(
            scores(toy_adapter, objective, images), value, rtol=near
        )


class TestPenalties:
    """Penalties agree with NumPy, SciPy or TensorFlow at odd, non-square sizes."""

    shape = (2, 33, 18, 3)

    def score(self, penalty, images):
        images = tf.constant(images)
        return penalty.score({}, images, {"a": images, "b": images[:, :3]}, {}).numpy()

    def test_total_variation(self, rng):
        images = rng.uniform(size=self.shape).astype(np.float32)
        expected = tf.image.total_variation(tf.constant(images)) / np.prod(
            self.shape[1:]
        )

        measured = self.score(objectives.total_variation(), images)
        np.testing.assert_allclose(measured, expected, rtol=1e-5)

    def test_distances_from_grey(self, rng):
        images = rng.uniform(size=self.shape).astype(np.float32)
        both = np.concatenate(
            [images.reshape(2, -1), images[:, :3].reshape(2, -1)], axis=1
        )
        for penalty, expected in (
            (objectives.l1(), np.abs(images - 0.5).mean((1, 2, 3))),
            (objectives.l2(), ((images - 0.5) ** 2).mean((1, 2, 3))),
            (objectives.l1(centre=0), images.mean((1, 2, 3))),
            (objectives.l1(of="latents"), both.mean(1)),
            (objectives.l2(of="latents"), (both**2).mean(1)),
        ):
            np.testing.assert_allclose(self.score(penalty, images), expected, rtol=1e-5)

    @pytest.mark.parametrize("cutoff", [0, 0.125, 0.3, 0.6])
    @pytest.mark.parametrize("size", [(33, 18), (16, 21), (8, 8)])
    def test_high_frequency(self, cutoff, size, rng):
        images = rng.uniform(size=(2, *size, 3)).astype(np.float32)
        rows = np.fft.fftfreq(size[0])[:, None]
        columns = np.fft.fftfreq(size[1])[None]
        keep = np.hypot(rows, columns) > cutoff
        waves = np.fft.fft2(images, axes=(1, 2)) * keep[None, ..., None]
        expected = (np.fft.ifft2(waves, axes=(1, 2)).real ** 2).mean((1, 2, 3))

        measured = self.score(objectives.high_frequency(cutoff=cutoff), images)
        np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-7)

    def test_blur_difference(self, rng):
        images = rng.uniform(size=self.shape).astype(np.float32)
        blurred = scipy.ndimage.gaussian_filter(
            images, (0, 1.5, 1.5, 0), mode="reflect", truncate=4
        )

        measured = self.score(objectives.blur_difference(stddev=1.5), images)
        expected = ((images - blurred) ** 2).mean((1, 2, 3))
        np.testing.assert_allclose(measured, expected, rtol=1e-3)

    def test_scores_do_not_depend_on_the_size(self):
        """Guards against sums over pixels, which grow with the size."""
        for penalty in (
            objectives.total_variation(),
            objectives.l1(),
            objectives.l2(),
            objectives.high_frequency(),
            objectives.blur_difference(),
        ):
            small, large = (
                self.score(
                    penalty,
                    np.random.default_rng(0)
                    .uniform(size=(1, size, size, 3))
                    .astype(np.float32),
                )
                for size in (64, 224)
            )
            assert small[0] == pytest.approx(large[0], rel=0.05)

    def test_settings_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="Received: of='pixels'"):
            objectives.l1(of="pixels")
        with pytest.raises(ValueError, match="Received: cutoff=0.8"):
            objectives.high_frequency(cutoff=0.8)
        with pytest.raises(ValueError, match="blur needs"):
            objectives.blur_difference(stddev=0)


class TestDirections:
    def test_a_unit_vector_is_a_channel(self, toy_adapter, images):
        vector = np.eye(12, dtype=np.float32)[[1, 5, 8]]
        direction = objectives.direction("conv_b", vector)
        np.testing.assert_allclose(
            scores(toy_adapter, direction, images),
            scores(toy_adapter, objectives.channel("conv_b", [1, 5, 8]), images),
            rtol=1e-5,
        )

    def test_weights_of_channels_give_their_weighted_sum(self, toy_adapter, images):
        few = objectives.direction("conv_b", {3: 1, 7: -0.5})[[0] * 3]
        three, seven = (
            scores(toy_adapter, objectives.channel("conv_b", [c] * 3), images)
            for c in (3, 7)
        )
        np.testing.assert_allclose(
            scores(toy_adapter, few, images), three - 0.5 * seven, rtol=1e-4, atol=1e-6
        )

    @pytest.mark.parametrize("power", [0, 1, 2.5])
    def test_the_score_is_the_dot_product_times_a_power_of_the_cosine(
        self, power, toy_adapter, images
    ):
        values = toy_adapter(images, "conv_b:pre")["conv_b:pre"].numpy()
        v = VECTORS[:, None, None]
        dot = (values * v).sum(-1)
        cosine = dot / np.linalg.norm(values, axis=-1) / np.linalg.norm(v, axis=-1)
        expected = dot * np.maximum(cosine, 0.1) ** power

        everywhere = objectives.direction("conv_b:pre", VECTORS, power=power)
        at = objectives.direction("conv_b:pre", VECTORS, power=power, row=2, column=5)
        np.testing.assert_allclose(
            scores(toy_adapter, everywhere, images), expected.mean((1, 2)), rtol=1e-3
        )
        np.testing.assert_allclose(
            scores(toy_adapter, at, images), expected[:, 2, 5], rtol=1e-3
        )

    def test_dead_activations_give_no_nan(self):
        objective = objectives.direction("x", [[1.0, 2.0]], power=2)
        values = tf.zeros((1, 3, 3, 2))
        with tf.GradientTape() as tape:
            tape.watch(values)
            units = {"vector": tf.constant(objective.units["vector"])}
            score = objective.score({"x": values}, None, {}, units)
        assert score.numpy() == 0
        assert np.isfinite(tape.gradient(score, values)).all()

    def test_mean_activations_of_images_and_their_difference(self, toy_adapter, rng):
        some, others = rng.uniform(size=(2, 40, 32, 32, 3)).astype(np.float32)
        values = toy_adapter(some, "conv_b")["conv_b"].numpy().mean((0, 1, 2))
        against = toy_adapter(others, "conv_b")["conv_b"].numpy().mean((0, 1, 2))

        measured = directions.of_images(toy_adapter, "conv_b", some, others)
        np.testing.assert_allclose(measured, values - against, atol=1e-5)
        single = directions.of_images(toy_adapter, "conv_b", some[0])
        np.testing.assert_allclose(
            single,
            toy_adapter(some[:1], "conv_b")["conv_b"].numpy().mean((0, 1, 2)),
            atol=1e-5,
        )

    def test_activations_at_the_positions_of_an_image(self, toy_adapter, images):
        measured = directions.at_positions(toy_adapter, "conv_b", images[1])

        expected = toy_adapter(images, "conv_b")["conv_b"].numpy()[1]
        np.testing.assert_allclose(measured, expected, rtol=1e-5)

    def test_random_directions_have_length_one_and_follow_the_seed(self):
        one, same, other = (directions.random(512, seed) for seed in (3, 3, 4))

        assert np.linalg.norm(one) == pytest.approx(1, rel=1e-5)
        np.testing.assert_array_equal(one, same)
        assert abs(one @ other) < 0.2

    def test_an_empty_set_of_images_is_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="n >= 1. Received: shape .0, 2, 2, 3."):
            directions.of_images(toy_adapter, "conv_b", np.zeros((0, 2, 2, 3)))

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: objectives.direction("x", [0.0, 0]), "must not be zero"),
            (lambda: objectives.direction("x", [np.nan, 0]), "finite"),
            (lambda: objectives.direction("x", [1], power=-1), "power=-1"),
            (lambda: objectives.direction("x", {-1: 2}), "channels, numbered from 0"),
            (lambda: objectives.direction("x", {}), "channels, numbered from 0"),
            (lambda: objectives.random_direction("x", -1), "at least 0"),
            (lambda: directions.of_images(None, "x", 0), "needs a Keras model"),
        ],
    )
    def test_bad_directions_are_refused(self, build, message):
        with pytest.raises((ValueError, TypeError), match=message):
            build()

    @pytest.mark.parametrize(
        ("objective", "message"),
        [
            (lambda: objectives.direction("conv_b", [1.0] * 5), "12 channels.*5"),
            (lambda: objectives.direction("conv_b", {12: 1}), "channels 0 to 11"),
            (lambda: objectives.direction("pool", {1: 1}, row=1), "no row and column"),
            (lambda: objectives.direction("conv_b", {1: 1}, row=9), "Received: row 9"),
            (lambda: objectives.random_direction("conv_c", 1), "Did you mean"),
        ],
    )
    def test_directions_that_do_not_fit_the_layer_are_refused(
        self, objective, message, toy_adapter
    ):
        with pytest.raises(ValueError, match=message):
            objective().bound(toy_adapter, SIZE)


class TestOfAnImage:
    def test_inversion_is_0_for_the_image_itself(self, toy_adapter, images):
        itself = objectives.inversion("conv_b", images)
        other = objectives.inversion("conv_b", images[[1, 2, 0]])

        np.testing.assert_allclose(scores(toy_adapter, itself, images), 0, atol=1e-6)
        values = toy_adapter(images, "conv_b")["conv_b"].numpy()
        target = values[[1, 2, 0]]
        expected = -((values - target) ** 2).sum((1, 2, 3)) / (target**2).sum((1, 2, 3))
        np.testing.assert_allclose(
            scores(toy_adapter, other, images), expected, rtol=1e-3
        )

    def test_caricature_is_the_projection_times_a_power_of_the_cosine(
        self, toy_adapter, images
    ):
        values = toy_adapter(images, "conv_b")["conv_b"].numpy().reshape(3, -1)
        target = values[[1, 2, 0]]
        along = (values * target).sum(1) / np.linalg.norm(target, axis=1)
        cosine = along / np.linalg.norm(values, axis=1)
        objective = objectives.caricature("conv_b", images[[1, 2, 0]], power=2)

        np.testing.assert_allclose(
            scores(toy_adapter, objective, images),
            along * cosine**2 / values.shape[1] ** 0.5,
            rtol=1e-3,
        )

    def test_the_image_is_scaled_to_the_size_that_the_model_sees(self, toy_adapter):
        objective = objectives.inversion("conv_a", photo(0)).bound(toy_adapter, SIZE)

        assert objective.units["target"].shape == (1, 15, 15, 8)

    def test_bad_images_are_refused(self):
        for image in (
            np.zeros((3, 3)),
            np.full((3, 3, 3), 2.0),
            np.full((2, 2, 3), -1),
        ):
            with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
                objectives.inversion("x", image)
        with pytest.raises(ValueError, match="power=-2"):
            objectives.caricature("x", np.zeros((3, 3, 3)), power=-2)


class TestDiversity:
    def cosines(self, values):
        flat = values.reshape(len(values), -1, values.shape[-1]).astype(np.float64)
        gram = np.einsum("npc,npd->ncd", flat, flat).reshape(len(values), -1)
        gram /= np.linalg.norm(gram, axis=1, keepdims=True)
        return gram @ gram.T

    def test_it_is_minus_the_mean_cosine_to_the_others(self, toy_adapter, rng):
        images = rng.uniform(size=(6, 32, 32, 3)).astype(np.float32)
        images[3:] **= 3
        values = toy_adapter(images, "conv_b")["conv_b"].numpy()
        objective = objectives.diversity("conv_b", 3)[[0, 1, 2] * 2]

        measured = scores(toy_adapter, objective, images)
        for group in (slice(0, 3), slice(3, 6)):
            cosines = self.cosines(values[group])
            expected = -(cosines.sum(1) - 1) / 2
            np.testing.assert_allclose(measured[group], expected, rtol=1e-4)

    def test_equal_images_have_the_lowest_score(self, toy_adapter, images):
        same = np.repeat(images[:1], 4, axis=0)
        measured = scores(toy_adapter, objectives.diversity("conv_b", 4), same)

        np.testing.assert_allclose(measured, -1, rtol=1e-5)

    def test_the_score_does_not_depend_on_the_number_of_images(
        self, toy_adapter, images
    ):
        """Guards against a sum over pairs, which grows with the batch."""
        pair = np.repeat(images[:2], [1, 1], axis=0)
        many = np.repeat(images[:2], [1, 5], axis=0)
        of_pair = scores(toy_adapter, objectives.diversity("conv_b", 2), pair)
        of_many = scores(toy_adapter, objectives.diversity("conv_b", 6), many)

        np.testing.assert_allclose(of_pair[0], of_many[0], rtol=1e-4)

    def test_large_activations_do_not_overflow(self):
        """Guards against fourth powers that overflow float32."""
        values = tf.constant(np.random.default_rng(0).uniform(size=(2, 3, 3, 4)))
        small, large = (
            similarities(tf.cast(values, tf.float32) * factor, 2)
            for factor in (1e-12, 1e12)
        )
        np.testing.assert_allclose(small, large, rtol=1e-5)

    def test_its_gradient_agrees_with_finite_differences(self, toy_adapter, images):
        objective = objectives.diversity("conv_b", 3)
        start = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(start)
            total = tf.reduce_sum(scores(toy_adapter, objective, start))
        gradient = tape.gradient(total, start).numpy()
        length = np.linalg.norm(gradient)
        step = 0.05 * gradient / length
        up, down = (
            float(tf.reduce_sum(scores(toy_adapter, objective, images + s * step)))
            for s in (1, -1)
        )
        assert (up - down) / 0.1 == pytest.approx(length, rel=0.05)

    def test_it_keeps_its_sign_beside_a_negated_unit(self, toy_adapter, images):
        """Guards against -(unit + diversity), which makes all pictures alike."""
        unit, apart = objectives.channel("conv_b", 3), objectives.diversity("conv_b", 3)
        measured = scores(toy_adapter, -unit + 2 * apart, images)

        of_unit = scores(toy_adapter, unit[[0] * 3], images)
        expected = -of_unit + 2 * scores(toy_adapter, apart, images)
        np.testing.assert_allclose(measured, expected, rtol=1e-4)

    def test_groups_stay_whole(self):
        apart = objectives.diversity("x", 3)
        four = objectives.channel("x", range(6)) + apart

        assert (len(apart), apart.group, len(four), four.group) == (3, 3, 6, 3)
        assert four[[3, 4, 5]].names[0].startswith("x:3")
        for places in ([0, 1], [1, 2, 3], [2, 1, 0]):
            with pytest.raises(ValueError, match="stay together"):
                four[places]
        with pytest.raises(ValueError, match="cannot be combined"):
            _ = objectives.channel("x", range(4)) + apart
        with pytest.raises(ValueError, match="3 and 2 images cannot be combined"):
            _ = apart + objectives.diversity("x", 2)
        with pytest.raises(ValueError, match="at least 2"):
            objectives.diversity("x", 1)


class TestInterpolation:
    def test_two_corners_are_mixed_in_equal_steps(self, toy_adapter, images):
        a, b = objectives.channel("conv_b", 1), objectives.neuron("conv_a", 2)
        line = objectives.interpolate(a, b, n=3)
        of_a, of_b = (scores(toy_adapter, o[[0] * 3], images).numpy() for o in (a, b))

        np.testing.assert_allclose(
            scores(toy_adapter, line, images),
            [of_a[0], (of_a[1] + of_b[1]) / 2, of_b[2]],
            rtol=1e-4,
        )

    def test_four_corners_are_mixed_in_a_grid(self, toy_adapter, rng):
        images = rng.uniform(size=(9, 32, 32, 3)).astype(np.float32)
        corners = [objectives.channel("conv_b", i) for i in range(4)]
        grid = objectives.interpolate(*corners, n=3)
        each = np.stack(
            [scores(toy_adapter, corner[[0] * 9], images) for corner in corners]
        )
        measured = scores(toy_adapter, grid, images).numpy()

        for place, corner in ((0, 0), (2, 1), (6, 2), (8, 3)):
            assert measured[place] == pytest.approx(each[corner, place], rel=1e-4)
        assert measured[4] == pytest.approx(each[:, 4].mean(), rel=1e-4)
        assert measured[1] == pytest.approx(each[:2, 1].mean(), rel=1e-4)

    def test_wrong_numbers_of_corners_and_images_are_refused(self):
        a = objectives.channel("x", 1)
        with pytest.raises(ValueError, match="two or four"):
            objectives.interpolate(a, a, a)
        with pytest.raises(ValueError, match="two or four"):
            objectives.interpolate(a, objectives.channel("x", [1, 2]))
        with pytest.raises(ValueError, match="n=1"):
            objectives.interpolate(a, a, n=1)


class TestSignal:
    """The score by whose gradient dead units are recognized."""

    def signal(self, objective):
        units = {name: tf.constant(v) for name, v in objective.units.items()}
        activations = {"x": tf.ones((1, 2, 2, 4)) * [1.0, 2, 3, 4]}
        if objective.signal is None:
            return None
        return float(objective.signal(activations, tf.ones((1, 2, 2, 3)), {}, units)[0])

    def test_it_leaves_out_auxiliary_terms(self):
        unit, penalty = objectives.channel("x", 2), objectives.l1()

        for objective in (unit, 2 * unit, unit + 1, -unit, unit + unit, penalty):
            assert self.signal(objective) is None
        assert self.signal(unit - 5 * penalty) == 3
        assert self.signal(penalty + unit) == 3
        assert self.signal(unit - penalty + objectives.channel("x", 0)) == 4
        assert self.signal((unit - penalty) - (unit - penalty)) == 0


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
def test_arithmetic_of_objectives_is_that_of_their_scores(
    build, expected, toy_adapter, images
):
    """Guards against factors and signs that also apply to earlier terms."""
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


def test_names_read_as_arithmetic():
    a, b = objectives.channel("x", 1), objectives.channel("y", 2)

    assert (a + b).names == ("x:1+y:2",)
    assert (a - b).names == ("x:1-y:2",)
    assert (-a).names == ("-x:1",)
    assert (a - -b).names == ("x:1-(-y:2)",)
    assert (-(a + b)).names == ("-(x:1+y:2)",)
    assert (a - (b - a)).names == ("x:1-(y:2-x:1)",)
    assert (0.5 * (a + b)).names == ("0.5*(x:1+y:2)",)
    assert (np.float32(2) * a).names == ("2*x:1",)


def test_texts_can_be_parsed_or_are_refused():
    """Guards against a difference that reads as a range: channel 2 minus 3."""
    a, b = objectives.channel("conv-2", 2), objectives.channel("y", 2)

    assert (-a).texts == ("-conv-2:2",)
    assert objectives.parse("-conv-2:2")[0].texts == (-a).texts
    assert (-a + b).texts == ("-conv-2:2+y:2",)
    for objective in (a - b, a - 3, 2 * a, -(a + b), (a * b) + b):
        with pytest.raises(ValueError, match="composed in Python"):
            objectives.parse(objective.texts[0])


def test_lengths_are_equal_or_one():
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


def test_only_objectives_of_one_kind_can_be_joined():
    joined = objectives.join([objectives.channel("x", 1), objectives.channel("x", 9)])

    np.testing.assert_array_equal(joined.units["channel"], [1, 9])
    with pytest.raises(ValueError, match="same kind"):
        objectives.join([objectives.channel("x", 1), objectives.channel("y", 1)])


def test_layers_are_listed_once():
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
    ("size", "middle"),
    [((8, 6), (4, 3)), ((7, 6), (3, 3)), ((6, 7), (3, 3)), ((2, 1), (1, 0))],
)
def test_the_middle_of_an_even_map_is_the_lower_right_one_of_two(size, middle, rng):
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1, name="conv")]
    )
    adapter = tfviz.adapt(model, (0, 1))
    unit = objectives.neuron("conv", 1).bound(adapter, size)
    images = rng.uniform(size=(1, *size, 3)).astype(np.float32)
    values = adapter(images, "conv")["conv"]
    units = {name: tf.constant(value) for name, value in unit.units.items()}

    assert unit.names == ("conv:1@{},{}".format(*middle),)
    score = unit.score({"conv": values}, images, {}, units)
    np.testing.assert_array_equal(score, values[:, *middle, 1])


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
def test_units_that_the_model_lacks_are_refused(objective, message, toy_adapter):
    with pytest.raises(ValueError, match=message):
        objective().bound(toy_adapter, SIZE)


def test_bad_units_are_refused_before_binding():
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


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_what_is_taken_and_its_gradient_are_those_of_gather(axes, rng):
    values = tf.constant(rng.normal(size=(3, 4, 5, 6)), tf.float32)
    lengths = values.shape[1 : axes + 1]
    places = tf.constant(np.stack([rng.integers(0, k, 3) for k in lengths], axis=1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        taken = take(values, places)
        expected = tf.gather_nd(values, places, batch_dims=1)
        weights = tf.constant(rng.normal(size=taken.shape), tf.float32)
        total, other = (tf.reduce_sum(x * weights) for x in (taken, expected))

    np.testing.assert_array_equal(taken, expected)
    np.testing.assert_array_equal(
        tape.gradient(total, values), tape.gradient(other, values)
    )
