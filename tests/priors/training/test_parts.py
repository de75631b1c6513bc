"""The parts of trainings of priors, compared with NumPy, SciPy and Keras."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tfviz
import tensorflow as tf
from support import build_toy, short_squeezenet
from tfviz.models.introspection import LOGITS
from tfviz.priors import _codes as _code, _networks
from tfviz.priors.training import autoencoder, layers as _layers, losses


class TestAdversary:
    @pytest.fixture
    def adversary(self):
        """Two discriminators, each of which returns 3 times the mean of its input."""
        inputs = [keras.Input((2, 2, 3)), keras.Input((4, 4, 3))]
        outputs = [keras.ops.sum(keras.ops.mean(x, (1, 2)), -1) for x in inputs]
        kernel = keras.initializers.Constant(1.0)
        outputs = [
            keras.layers.Dense(1, kernel_initializer=kernel)(x[:, None])
            for x in outputs
        ]
        return losses.Adversary(keras.Model(inputs, outputs), 0.0)

    def flat(self, *values):
        values = tf.reshape(values, (-1, 1, 1, 1)) / 3
        return [tf.ones((len(values), size, size, 3)) * values for size in (2, 4)]

    def test_hinge_loss(self, adversary):
        real, fake = [0.3, 2.0, -1.5], [-0.2, -4.0, 0.9]
        loss = adversary.take_step(self.flat(*real), self.flat(*fake), None)

        hinge = [np.maximum(0, 1 - np.array(real)), np.maximum(0, 1 + np.array(fake))]
        expected = sum(map(np.mean, hinge))
        assert float(loss) == pytest.approx(expected, rel=1e-6)
        mean_loss = 0.9 * 2 + 0.1 * expected
        np.testing.assert_allclose(adversary._mean_losses, mean_loss, rtol=1e-6)
        generator_losses = adversary.generator_losses(self.flat(*fake), None)
        np.testing.assert_allclose(generator_losses, [-np.mean(fake)] * 2, rtol=1e-6)

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
    def test_gradients_have_the_scheduled_share_of_the_norm(
        self, adversary, scale, rng
    ):
        """Guards against discriminators that are lost beside a larger loss."""
        goal = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
        adversary._mean_losses.assign([0.4, 1.75])  # the second is a quarter competent

        @tf.function(autograph=False)
        def weighted_gradients(start, step):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(start)
                made = start * 1.0
                loss = scale * tf.reduce_sum(made * goal)
                maps = [tf.nn.avg_pool2d(made, 2, 2, "VALID"), made * 5.0]
                generator_losses = adversary.generator_losses(maps, None)
            adversary.update_weights(
                tape, loss, generator_losses, made, share=0.4, step=step
            )
            ones = [tf.constant([1.0, 0.0]), tf.constant([0.0, 1.0])]
            return [tape.gradient(generator_losses, made, one) for one in ones]

        gradients = weighted_gradients(
            tf.zeros((2, 4, 4, 3)), tf.constant(losses.WEIGHT_INTERVAL)
        )
        whole = 0.4 * scale * np.linalg.norm(goal) / 2
        for gradient, weight, competence in zip(
            gradients, adversary.weights.numpy(), (1, 0.25)
        ):
            assert np.linalg.norm(gradient) > 0
            # Half of the way from 0, where the weights were.
            norm = weight * np.linalg.norm(gradient)
            assert norm == pytest.approx(competence * whole / 2, rel=1e-4)

        before = adversary.weights.numpy()
        weighted_gradients(
            tf.zeros((2, 4, 4, 3)), tf.constant(losses.WEIGHT_INTERVAL + 1)
        )
        np.testing.assert_array_equal(adversary.weights, before)

    def test_a_discriminator_at_chance_does_not_count(self, adversary):
        adversary._mean_losses.assign([2.5, 1.0])
        made = tf.ones((1, 4, 4, 3))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(made)
            maps = [tf.nn.avg_pool2d(made, 2, 2, "VALID"), made]
            generator_losses = adversary.generator_losses(maps, None)
            loss = tf.reduce_sum(made)
        adversary.update_weights(
            tape,
            loss,
            generator_losses,
            made,
            share=tf.constant(1.0),
            step=tf.constant(0),
        )

        first, second = adversary.weights.numpy()
        assert first == 0
        assert second > 0

    def test_nothing_is_learned_before_the_schedule_begins(self, adversary):
        arguments = (self.flat(3.0), self.flat(-3.0), None)
        early, late = (
            adversary.train(*arguments, adversary.schedule.start * part)["judge"]
            for part in (0.4, 0.6)
        )
        assert float(early) == 2
        assert float(late) == 0
        assert float(adversary.schedule.share_at(adversary.schedule.start)) == 0
        middle = (adversary.schedule.start + adversary.schedule.full) / 2
        assert float(adversary.schedule.share_at(middle)) == pytest.approx(0.25)
        assert float(adversary.schedule.share_at(1.0)) == pytest.approx(0.5)

    def test_training_pauses_while_it_is_far_ahead(self, adversary):
        """As in DeePSiM: from a loss ratio of 0.1 until one of 0.5."""
        verdicts = [(2.0, -2.0)] * 30 + [(0.5, -0.5)] * 4 + [(-1.0, 1.0)] * 2
        ratio, resting, expected, actual = 1.0, False, [], []
        for real, fake in verdicts:
            loss = max(0, 1 - real) + max(0, 1 + fake)
            ratio = 0.9 * ratio + 0.1 * loss / (max(0, 1 - fake) + 1e-6)
            resting = ratio < 0.1 or (resting and ratio < 0.5)
            expected.append(resting)
            adversary.take_step(self.flat(real), self.flat(fake), None)
            actual.append(bool(adversary.resting))

        assert actual == expected
        assert actual.index(True) == 21  # 0.9 ** 22 < 0.1
        assert not actual[-1]

    def test_nothing_is_learned_during_a_pause(self, adversary):
        adversary.optimizer.learning_rate.assign(0.1)
        adversary.resting.assign(True)
        adversary._loss_ratio.assign(0.2)
        before = np.asarray(adversary.model.variables[0])
        arguments = (self.flat(-1.0), self.flat(-1.0), None)
        adversary.take_step(*arguments)  # ratio 0.28
        np.testing.assert_array_equal(adversary.model.variables[0], before)

        adversary._loss_ratio.assign(0.9)
        adversary.take_step(*arguments)
        assert (np.asarray(adversary.model.variables[0]) != before).all()


class TestPerceptualFeatures:
    @pytest.mark.parametrize("squared", [True, False])
    def test_distance(self, squared, toy_adapter, rng):
        first, second = rng.uniform(size=(2, 3, 32, 32, 3)).astype(np.float32)
        weights = {"conv_a": 0.5, "conv_b": 1.5, LOGITS: 2.0}
        spread = {
            path: rng.uniform(0.1, 1, units).astype(np.float32)
            for path, units in (("conv_a", 8), ("conv_b", 12), (LOGITS, 5))
        }
        spread["conv_a"][3] = 0  # a channel that is always zero
        features = losses.PerceptualFeatures(
            toy_adapter, weights, 32, spread, squared=squared
        )
        distance = tf.function(
            lambda a, b: features.distance(features.extract(a), features.extract(b))
        )
        actual = distance(tf.constant(first), tf.constant(second))

        paths = ("conv_a", "conv_b")
        seen = [toy_adapter(images, paths) for images in (first, second)]
        for images, values in zip((first, second), seen):
            values[LOGITS] = toy_adapter.logits(images)
        expected = 0.0
        for path, weight in weights.items():
            change = np.abs(np.subtract(seen[0][path], seen[1][path]))
            change = change.reshape(-1, change.shape[-1])
            scale = np.sqrt(np.maximum(spread[path], 0.1 * spread[path].mean()))
            expected += weight * np.mean((change / scale) ** (2 if squared else 1))
        assert float(actual) == pytest.approx(expected, rel=1e-5)

    def test_variances(self, toy_adapter, rng):
        images = rng.uniform(size=(70, 32, 32, 3)).astype(np.float32)  # 50, then 20
        variances = losses.channel_variances(toy_adapter, ("conv_b", "head"), images)
        seen = toy_adapter(images, ("conv_b", "head"))

        for path, values in seen.items():
            axes = tuple(range(values.shape.rank - 1))
            np.testing.assert_allclose(
                variances[path], np.var(values, axis=axes), rtol=1e-3, atol=1e-7
            )

    def test_the_best_guess_is_the_mean_or_the_median(self, toy_adapter, rng):
        """One of four images has an edge somewhere: best is a faint edge, or none."""
        true = np.zeros((4, 1, 1, 8), np.float32)
        true[0, ..., 0] = 1.0
        spread = {"conv_a": np.ones(8, np.float32)}
        best = {}
        for squared in (True, False):
            features = losses.PerceptualFeatures(
                toy_adapter, {"conv_a": 1.0}, 32, spread, squared=squared
            )
            guesses = np.linspace(0, 1, 21)
            distances = [
                float(
                    features.distance(
                        {"conv_a": true},
                        {"conv_a": np.eye(8, dtype=np.float32)[0] * np.float32(guess)},
                    )
                )
                for guess in guesses
            ]
            best[squared] = guesses[int(np.argmin(distances))]
        assert best == {True: pytest.approx(0.25), False: 0.0}

    def test_the_distance_of_unrelated_images_is_about_two(self, toy_adapter, rng):
        images = rng.uniform(size=(64, 32, 32, 3)).astype(np.float32)
        spread = losses.channel_variances(toy_adapter, ("conv_a",), images)
        features = losses.PerceptualFeatures(toy_adapter, {"conv_a": 1.0}, 32, spread)
        halves = [features.extract(half) for half in (images[:32], images[32:])]

        assert float(features.distance(*halves)) == pytest.approx(2, abs=0.1)


class TestDivergence:
    def test_it_equals_that_of_scipy(self, rng):
        target, logits = rng.normal(scale=3, size=(2, 6, 5)).astype(np.float32)
        expected = scipy.stats.entropy(
            scipy.special.softmax(target.astype(float), axis=1),
            scipy.special.softmax(logits.astype(float), axis=1),
            axis=1,
        )

        divergence = losses.kl_divergence(target, logits)

        assert float(divergence) == pytest.approx(expected.mean(), rel=1e-5)

    def test_no_gradient_reaches_the_target(self, rng):
        """That of the logits is the difference of the two softmaxes."""
        target, logits = tf.constant(rng.normal(size=(2, 3, 4)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch([target, logits])
            divergence = losses.kl_divergence(target, logits)
        gradients = tape.gradient(divergence, [target, logits])

        assert gradients[0] is None
        expected = (tf.nn.softmax(logits) - tf.nn.softmax(target)) / 3
        np.testing.assert_allclose(gradients[1], expected, atol=1e-6)


class TestMeanImage:
    size = 12

    def batches(self, rng, count=40):
        shape = (count, 8, self.size, self.size, 3)
        return rng.uniform(size=shape).astype(np.float32)

    def distances(self, made, photos):
        mean_image = losses.MeanImage(self.size)
        step = tf.function(mean_image.distance)
        distances = [
            float(step(tf.constant(m), tf.constant(p))) for m, p in zip(made, photos)
        ]
        return distances, mean_image.difference.numpy()

    def test_it_equals_numpy(self, rng):
        photos, made = self.batches(rng, 2), self.batches(rng, 2)
        distances, difference = self.distances(made, photos)

        def spectra(images):
            return np.fft.rfft2(np.moveaxis(images, -1, -3))

        means = (spectra(made) - spectra(photos)).mean(axis=1)
        decay = losses.MEAN_DECAY
        assert distances[0] == 0  # there is no earlier batch
        power = sum(
            (np.abs(spectra(x[1])) ** 2).mean(axis=(0, 1)) for x in (photos, made)
        )
        power = power + losses.LEAST_POWER
        product = (1 - decay) * np.real(np.conj(means[0]) * means[1])
        assert distances[1] == pytest.approx((product / power).mean(), rel=1e-4)
        expected = (1 - decay) * (decay * means[0] + means[1])
        actual = difference[..., 0] + 1j * difference[..., 1]
        np.testing.assert_allclose(actual, expected, atol=1e-4)

    def test_only_patterns_common_to_all_images_count(self, rng):
        photos = self.batches(rng, 120)
        lattice = 0.3 * (np.indices((self.size, self.size)).sum(axis=0) % 2)[..., None]
        each = rng.permuted(photos, axis=1)  # the same pixels in other images
        alone, _ = self.distances(each, photos)
        common, _ = self.distances(photos + lattice.astype(np.float32), photos)

        assert abs(np.mean(alone[60:])) < 0.1 * np.mean(common[60:])

    def test_its_gradient_removes_the_pattern(self, rng):
        """Even where single images hide it, by the mean of earlier batches."""
        photos = self.batches(rng)
        pattern = tf.Variable(
            rng.normal(0, 0.1, (self.size, self.size, 3)), dtype="float32"
        )
        before = float(tf.reduce_mean(pattern**2))
        mean_image = losses.MeanImage(self.size)

        @tf.function
        def step(batch):
            with tf.GradientTape() as tape:
                distance = mean_image.distance(batch[::-1] + pattern, batch)
            pattern.assign_sub(4 * tape.gradient(distance, pattern))

        for batch in np.tile(photos, (5, 1, 1, 1, 1)):
            step(tf.constant(batch))
        assert float(tf.reduce_mean(pattern**2)) < 0.2 * before


def cells_of(values, count):
    """Average over cells, with pixels repeated until all cells have equal sizes."""
    n, height, width, channels = values.shape
    whole = values.repeat(count, axis=1).repeat(count, axis=2)
    split = whole.reshape(n, count, height, count, width, channels)
    return split.mean(axis=(2, 4)).reshape(n, -1)


class TestCode:
    @pytest.mark.parametrize("size", [(7, 5), (4, 9), (3, 3), (8, 6)])
    @pytest.mark.parametrize("count", [2, 4])
    def test_cells_need_not_divide_a_map(self, size, count, rng):
        values = rng.normal(size=(2, *size, 3)).astype(np.float32)
        actual = _code._flatten(_code._average_cells(tf.constant(values), count))

        np.testing.assert_allclose(actual, cells_of(values, count), atol=1e-5)

    @pytest.mark.parametrize("size", [(32, 32), (21, 30)])
    def test_it_is_a_whitened_principal_component_analysis(
        self, size, toy_adapter, rng
    ):
        low = rng.uniform(size=(300, 4, 5, 3)).astype(np.float32)
        images = tf.image.resize(low, size).numpy()
        layers = ("conv_b", "head")
        code = _code.fit_code(
            toy_adapter, layers, images, length=20, size=32, grid=2, colours=3
        )
        resized = tf.image.resize(images, (32, 32), antialias=True)
        seen = toy_adapter(resized, layers)
        codes = code.encode_activations(seen, tf.constant(images)).numpy()

        assert code.length == 20
        np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-2)
        np.testing.assert_allclose(np.cov(codes.T), np.eye(20), atol=2e-2)
        maps = cells_of(np.asarray(seen["conv_b"]), 2)
        parts = [
            np.sqrt(maps + 0.01) - 0.1,
            np.asarray(seen["head"]),
            cells_of(images, 3),
        ]
        shares = (1, _code.FURTHER_SHARE, _code.COLOUR_SHARE)
        scaled = np.concatenate(
            [
                (part - part.mean(axis=0)) * np.sqrt(share / part.var(axis=0).sum())
                for part, share in zip(parts, shares)
            ],
            axis=1,
        )
        left, _, _ = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
        expected = left[:, :20] * np.sqrt(len(images))
        signs = np.sign((expected * codes).sum(axis=0))
        np.testing.assert_allclose(codes[:, :6], (expected * signs)[:, :6], atol=0.05)

    def test_layers_and_images_that_make_no_code_are_refused(self, toy_adapter, rng):
        images = rng.uniform(size=(40, 32, 32, 3)).astype(np.float32)

        def measured(layers, length, images=images):
            _code.fit_code(toy_adapter, layers, images, length=length, size=32)

        with pytest.raises(ValueError, match="200 numbers needs at least .* 40 images"):
            measured(("conv_b",), 200)
        with pytest.raises(ValueError, match="'conv_b' cannot be a part of a code"):
            measured(("conv_b",), 4, images=np.ones_like(images))
        twice = np.concatenate([images[:5]] * 8)
        with pytest.raises(ValueError, match="in 4 directions, too few for .* 12"):
            measured(("conv_b",), 12, images=twice)


class TestLayers:
    def test_layers_of_another_network_are_spread_over_its_depth(self):
        layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(2.0)]
        for number in range(9):
            layers.append(keras.layers.Conv2D(4, 1, name=f"conv_{number}"))
            layers.append(keras.layers.ReLU(name=f"relu_{number}"))
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
        adapter = tfviz.adapt(keras.Sequential(layers), (0, 1))
        defaults = {"fire3": 1.0, LOGITS: 2.0}
        selected = _layers.select_compared_layers(adapter, defaults, 32)

        spread = {f"relu_{number}": 1.0 for number in (0, 2, 4, 6, 8)}
        assert selected == spread | {LOGITS: 2.0}
        assert _layers.select_compared_layers(adapter, {"fire3": 1.0}, 32) == spread
        assert _layers.select_code_layers(adapter, (), ("fire9",), 32) == (
            "relu_8",
            LOGITS,
        )

    def test_the_bundled_network_has_its_own_layers(self, squeezenet):
        defaults = {"conv1": 0.5, "fire9": 2.0, LOGITS: 2.0}

        assert _layers.select_compared_layers(squeezenet, defaults, 64) == defaults
        assert _layers.select_code_layers(squeezenet, (), ("fire9", LOGITS), 64) == (
            "fire9",
            LOGITS,
        )

    def test_logits_are_the_output_unless_a_layer_has_that_name(self):
        adapter = tfviz.adapt(short_squeezenet())
        toy = tfviz.adapt(build_toy(), (-1, 1))

        assert _layers.select_code_layers(adapter, ("logits", "logits"), (), 64) == (
            "logits",
        )
        assert _layers.select_code_layers(toy, ("logits",), (), 32) == (LOGITS,)
        assert _layers.select_code_layers(toy, ("head", "conv_a:pre"), (), 32) == (
            "head",
            "conv_a:pre",
        )

    def test_layers_without_a_map_or_a_vector_are_refused(self):
        layers = [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Reshape((-1, 4), name="tokens"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="head"),
        ]
        adapter = tfviz.adapt(keras.Sequential(layers), (0, 1))

        with pytest.raises(ValueError, match="'tokens' gives 900x4 .* maps .*vectors"):
            _layers.select_code_layers(adapter, ("tokens",), (), 32)
        with pytest.raises(ValueError, match="no layer 'convv'. Did you mean 'conv'"):
            _layers.select_code_layers(adapter, ("convv",), (), 32)

    def test_discriminators_see_tokens_as_maps_of_one_column(self, rng):
        """Guards against a training that cannot begin with a network of tokens."""
        layers = [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 4, 4),
            keras.layers.Reshape((16, 4), name="tokens"),
            keras.layers.Dense(6, name="mlp"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, name="head"),
        ]
        adapter = tfviz.adapt(keras.Sequential(layers), (0, 1))
        weights = {"tokens": 1.0, "mlp": 1.0, LOGITS: 1.0}
        assert _layers.select_discriminator_layers(adapter, weights, 16) == ["tokens"]

        spread = {"tokens": [4.0, 1.0, 0.25, 1.0], "mlp": [1.0] * 6, LOGITS: [1.0] * 3}
        spread = {path: np.array(values, np.float32) for path, values in spread.items()}
        features = losses.PerceptualFeatures(adapter, weights, 16, spread)
        images = rng.uniform(size=(2, 16, 16, 3)).astype(np.float32)
        seen = adapter(images, ("tokens",))
        (maps,) = features.normalized_maps(seen, ["tokens"])
        expected = np.asarray(seen["tokens"]) / [2.0, 1.0, 0.5, 1.0]
        np.testing.assert_allclose(maps, expected[:, :, None], rtol=1e-6)
        verdicts = _networks.discriminator([4], None)([maps])
        assert np.isfinite(verdicts[0]).all()


class TestNetworks:
    @pytest.mark.parametrize("size", [(5, 7), (8, 3), (1, 4)])
    def test_doubling_is_nearest_neighbours_and_a_convolution(self, size, rng):
        x = tf.constant(rng.normal(size=(2, *size, 3)).astype(np.float32))
        layer = _networks.Doubling(4, kernel_initializer=keras.initializers.Zeros())
        layer.build(x.shape)
        kernel = tf.constant(rng.normal(size=(3, 3, 3, 4)).astype(np.float32))
        layer.kernel.assign(kernel)
        layer.bias.assign(rng.normal(size=4).astype(np.float32))
        goal = rng.normal(size=(2, 2 * size[0], 2 * size[1], 4)).astype(np.float32)
        with tf.GradientTape() as tape:
            tape.watch([x, layer.kernel.value])
            actual = layer(x)
            loss = tf.reduce_sum(actual * goal)
        gradients = tape.gradient(loss, [x, layer.kernel.value])
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            larger = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            expected = tf.nn.conv2d(larger, kernel, 1, "SAME") + layer.bias.value
            loss = tf.reduce_sum(expected * goal)

        np.testing.assert_allclose(actual, expected, atol=2e-5)
        for gradient, other in zip(gradients, tape.gradient(loss, [x, kernel])):
            np.testing.assert_allclose(gradient, other, atol=1e-4)

    def test_smoothing_averages_neighbours(self, rng):
        x = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
        mirrored = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")
        expected = sum(
            (2 - abs(i - 1)) * (2 - abs(j - 1)) * mirrored[:, i : i + 5, j : j + 7]
            for i in range(3)
            for j in range(3)
        )

        np.testing.assert_allclose(
            _networks.Smoothing()(x), expected / 16, rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize("along", ["rows", "columns", "both"])
    def test_smoothing_removes_alternating_signs(self, along):
        rows, columns = np.indices((6, 8))
        sign = (-1.0) ** {"rows": rows, "columns": columns, "both": rows + columns}[
            along
        ]
        actual = np.asarray(_networks.Smoothing()(sign[None, :, :, None].astype("f4")))
        np.testing.assert_allclose(actual[0, 1:-1, 1:-1], 0, atol=1e-7)

    def test_normalization_equals_that_of_keras(self, rng):
        """Except for the moving variance, which Keras does not correct for bias."""
        x = rng.normal(2, 3, size=(4, 5, 6, 3)).astype(np.float32)
        goal = tf.constant(rng.normal(size=x.shape), tf.float32)
        actual, expected = [], []
        for kind, outputs in (
            (_networks.Normalization, actual),
            (keras.layers.BatchNormalization, expected),
        ):
            layer = kind(momentum=0.75)
            layer.build(x.shape)
            layer.gamma.assign([0.5, 2.0, -1.0])
            layer.beta.assign([1.0, 0.0, 3.0])
            with tf.GradientTape() as tape:
                values = tf.constant(x)
                tape.watch(values)
                y = layer(values, training=True)
                loss = tf.reduce_sum(y * goal)
            gradients = tape.gradient(
                loss, [values, layer.gamma.value, layer.beta.value]
            )
            outputs += [y, *gradients, layer.moving_mean, layer(x, training=False)]
            outputs.append((np.asarray(layer.moving_variance) - 0.75) / 0.25)

        corrected = actual.pop(), expected.pop()
        np.testing.assert_allclose(corrected[0], corrected[1] * 120 / 119, rtol=1e-4)
        inference = actual.pop(), expected.pop()
        np.testing.assert_allclose(*inference, rtol=0.01, atol=0.01)
        for a, b in zip(actual, expected):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)

    def test_spectral_norms_are_one(self, rng):
        model = _networks.discriminator([5, 40], 6, (8, 12))
        maps = [rng.normal(size=(2, 8, 8, c)).astype(np.float32) for c in (5, 40)]
        codes = rng.normal(size=(2, 6)).astype(np.float32)
        for _ in range(60):
            verdicts = model([*maps, codes], training=True)
        assert [tuple(verdict.shape) for verdict in verdicts] == [(2, 4, 4, 1)] * 2
        kernels = [
            np.asarray(layer.layer.kernel)
            for layer in model.layers
            if isinstance(layer, keras.layers.SpectralNormalization)
        ]

        assert len(kernels) == 6
        for kernel in kernels:
            norm = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
            assert norm == pytest.approx(1, abs=0.01)

    def test_networks_with_the_same_seed_are_equal(self):
        """Also the vectors of spectral normalization, which Keras draws unseeded."""
        for code in (None, 5):
            first, second, other = (
                _networks.discriminator([3, 4], code, None, seed) for seed in (1, 1, 2)
            )
            for a, b in zip(first.variables, second.variables):
                np.testing.assert_array_equal(a, b)
            assert np.any(np.asarray(first.variables[0]) != other.variables[0])


class TestAutoencoder:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_channels_are_decorrelated(self, channels, toy_adapter, rng):
        spread = {"conv_a": np.ones(8, np.float32)}
        recipe = autoencoder.Autoencoder(
            toy_adapter,
            {"conv_a": 1.0},
            spread,
            channels=channels,
            size=32,
            batch=16,
            learning_rate=5e-4,
        )
        photos = rng.uniform(size=(12, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
        photos = photos.astype(np.float32)
        before = recipe.reconstruct(photos), recipe.encode(photos)
        recipe.finalize([photos[:5], photos[5:]])
        after = recipe.reconstruct(photos), recipe.encode(photos)

        np.testing.assert_allclose(after[0], before[0], atol=1e-4)
        covariances = [
            np.atleast_2d(np.cov(latents.reshape(-1, channels), rowvar=False))
            for latents in (before[1], after[1])
        ]
        expected = np.linalg.eigvalsh(covariances[0])[::-1]
        np.testing.assert_allclose(
            covariances[1], np.diag(expected), atol=1e-4 * expected[0]
        )
