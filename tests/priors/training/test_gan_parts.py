"""The parts of a GAN's training, compared with NumPy, SciPy and finite differences."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
import tfviz
from tfviz.models.introspection import LOGITS
from tfviz.priors import _gan_networks as networks
from tfviz.priors._trained import to_float16, write
from tfviz.priors.training import adversarial, augmentation, conditions
from tfviz.priors.training.loop import AVERAGE_DECAY

SMALL = (12, 8, 6)
# The cost of SqueezeNet for an image of 224 pixels, in millions of multiplications.
SQUEEZENET = 352


def cost(model):
    """Return the millions of multiplications for an image, by the shapes of layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += np.prod(layer.kernel.shape) * height * width
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.kernel.shape)
    return total / 1e6


@pytest.fixture(scope="module")
def generator():
    return networks.gan_generator(256, 64)


class TestFullSize:
    def test_generators_have_their_size_and_cost(self, generator):
        other = networks.gan_generator(200, 128)

        for model in (generator, other):
            assert model.count_params() == pytest.approx(7.5e6, rel=0.02)
            assert cost(model) <= 1.5 * SQUEEZENET
        assert generator.output_shape == (None, 64, 64, 3)

    def test_the_other_networks_have_their_sizes(self):
        discriminator = networks.gan_discriminator(256)
        encoder = networks.gan_encoder(200)

        assert discriminator.count_params() == pytest.approx(8.0e6, rel=0.05)
        assert encoder.count_params() == pytest.approx(3.0e6, rel=0.07)
        assert [encoder.get_layer(f"stage{k}").output.shape[-1] for k in (1, 2, 3, 4)] \
            == [32, 64, 128, 256]  # fmt: skip
        # The networks that another training goes on from, and the encoder with its
        # code (1,416 features by 256 numbers), have at most 40 MB with 16 bits.
        models = (networks.gan_generator(256, 64), discriminator, encoder)
        numbers = sum(model.count_params() for model in models) + 1417 * 256
        assert 2 * numbers <= 40e6

    def test_the_prior_s_file_has_at_most_16_mb(self, generator, tmp_path, rng):
        # Random numbers compress as badly as trained weights.
        weights = {
            f"generator/{k}": rng.normal(0, 0.05, v.shape).astype(np.float32)
            for k, v in enumerate(generator.weights)
        }
        write(tmp_path / "gan.npz", {"kind": "gan"}, weights)

        assert sum(v.nbytes for v in to_float16(weights).values()) < 15.3e6
        assert (tmp_path / "gan.npz").stat().st_size < 16e6

    def test_no_network_normalizes_by_the_batch(self, generator):
        models = (generator, networks.gan_discriminator(256), networks.gan_encoder(9))
        kinds = {type(layer).__name__ for model in models for layer in model.layers}

        assert not [kind for kind in kinds if "Norm" in kind]


class TestNetworks:
    def test_an_image_does_not_depend_on_its_batch(self, rng):
        model = networks.gan_generator(5, 4, SMALL)
        inputs = [rng.normal(size=(6, n)).astype(np.float32) for n in (5, 4)]
        together = model(inputs, training=True).numpy()
        alone = [model([x[k : k + 1] for x in inputs]).numpy() for k in range(6)]

        assert together.shape == (6, 16, 16, 3)
        np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
        assert np.abs(together).max() < 1
        assert together.std(axis=0).mean() > 1e-3

    def test_a_verdict_does_not_depend_on_its_batch(self, rng):
        model = networks.gan_discriminator(5, SMALL)
        images = rng.normal(size=(4, 16, 16, 3)).astype(np.float32)
        codes = rng.normal(size=(4, 5)).astype(np.float32)
        matched, alone = (v.numpy() for v in model([images, codes]))
        single = [model([images[k : k + 1], codes[k : k + 1]]) for k in range(4)]

        np.testing.assert_allclose(matched, [v[0][0] for v in single], atol=1e-5)
        np.testing.assert_allclose(alone, [v[1][0] for v in single], atol=1e-5)
        # Only the first verdict compares an image with its condition.
        swapped = [v.numpy() for v in model([images, codes[::-1]])]
        np.testing.assert_allclose(swapped[1], alone, atol=1e-6)
        assert np.abs(swapped[0] - matched).max() > 1e-3

    @pytest.mark.parametrize("size", [(4, 7), (1, 3)])
    def test_doubling_is_that_of_tensorflow(self, size, rng):
        x = rng.normal(size=(2, *size, 3)).astype(np.float32)
        expected = tf.image.resize(x, (2 * size[0], 2 * size[1]))

        np.testing.assert_allclose(
            networks.BilinearDoubling()(x), expected, rtol=1e-5, atol=1e-6
        )

    def test_folded_normalizations_give_the_same_logits(self, rng):
        arguments = (7, (4, 6, 8), (1, 2, 1))
        trained = networks.gan_encoder(*arguments, normalized=True)
        plain = networks.gan_encoder(*arguments)
        for layer in trained.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                weights = [rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
                layer.set_weights(weights)
        plain.set_weights(networks.folded_weights(trained, plain))
        images = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)

        expected = trained(images, training=False)
        np.testing.assert_allclose(plain(images), expected, rtol=1e-3, atol=1e-3)

    def test_weights_and_colours_have_32_bits(self):
        for model in (
            networks.gan_generator(5, 4, SMALL, dtype="mixed_bfloat16"),
            networks.gan_discriminator(5, SMALL, dtype="mixed_bfloat16"),
            networks.gan_encoder(5, dtype="mixed_bfloat16"),
        ):
            assert {str(v.dtype) for v in model.weights} == {"float32"}
            assert {str(v.dtype) for v in model.outputs} == {"float32"}
            convolutions = [
                layer.compute_dtype
                for layer in model.layers
                if isinstance(layer, keras.layers.Conv2D)
            ]
            # All but the one with colours on one side.
            exact = convolutions.count("float32")
            assert exact == (0 if model.name == "encoder" else 1)
            assert convolutions.count("bfloat16") == len(convolutions) - exact

    def test_networks_with_the_same_seed_are_equal(self):
        first, second, other = (
            networks.gan_generator(5, 4, SMALL, seed=seed) for seed in (1, 1, 2)
        )
        for a, b in zip(first.weights, second.weights):
            np.testing.assert_array_equal(a, b)
        assert np.any(np.asarray(first.weights[0]) != np.asarray(other.weights[0]))


class TestAdversarial:
    def test_losses_of_pairs(self):
        real, made = np.array([1.0, -2.0, 0.5]), np.array([0.0, 3.0, 0.5])
        gaps = made - real

        expected = np.mean(np.log1p(np.exp(gaps)))
        assert float(adversarial.discriminator_loss(real, made)) == pytest.approx(
            expected, rel=1e-6
        )
        # By hand: log(1 + 1/e), log(1 + e^5) and log(2).
        assert expected == pytest.approx((0.313262 + 5.006715 + 0.693147) / 3, abs=1e-6)
        assert float(adversarial.generator_loss(real, made)) == pytest.approx(
            np.mean(np.log1p(np.exp(-gaps))), rel=1e-6
        )

    def test_a_pair_counts_and_not_the_level(self, rng):
        real, made = rng.normal(size=(2, 8))
        both = [
            float(adversarial.discriminator_loss(real + level, made + level))
            for level in (0, 7)
        ]

        assert both[0] == pytest.approx(both[1], rel=1e-6)

    def test_squared_norms_are_those_of_finite_differences(self, rng):
        """R1 and R2 are half of their means."""
        model = networks.gan_discriminator(3, (4, 4))
        images = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
        codes = tf.constant(rng.normal(size=(2, 3)), tf.float32)

        def judge(x):
            return model([tf.convert_to_tensor(x), codes])[0][:, 0]

        verdicts, squares = adversarial.verdicts_with_penalty(
            judge, tf.constant(images)
        )
        np.testing.assert_allclose(verdicts, judge(images), rtol=1e-5)
        step, sums = 1e-2, np.zeros(2)
        for place in np.ndindex(8, 8, 3):
            change = np.zeros((1, 8, 8, 3), np.float32)
            change[(0, *place)] = step
            ends = [judge(images + sign * change).numpy() for sign in (1, -1)]
            sums += ((ends[0] - ends[1]) / (2 * step)) ** 2
        np.testing.assert_allclose(squares, sums, rtol=2e-2)

    def test_their_gradient_reaches_the_weights(self, rng):
        """The second derivative, along the gradient itself."""
        model = networks.gan_discriminator(3, (4, 4))
        images = tf.constant(rng.normal(size=(2, 8, 8, 3)), tf.float32)
        codes = tf.constant(rng.normal(size=(2, 3)), tf.float32)
        weights = [v.value for v in model.trainable_variables]

        def penalty():
            return tf.reduce_sum(
                adversarial.verdicts_with_penalty(
                    lambda x: model([augmented(x), codes])[0][:, 0], images
                )[1]
            )

        draws = tf.constant(rng.uniform(size=(2, augmentation.DRAWS)), tf.float32)

        def augmented(x):
            return augmentation.diff_augment(x, draws)

        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = penalty()
        gradients = [
            tf.zeros_like(w) if g is None else tf.convert_to_tensor(g)
            for g, w in zip(tape.gradient(value, weights), weights)
        ]
        squared = sum(float(tf.reduce_sum(g**2)) for g in gradients)
        assert squared > 0
        before, step = model.get_weights(), 1e-3 / squared**0.5
        ends = []
        for sign in (1, -1):
            model.set_weights(
                [w + sign * step * g.numpy() for w, g in zip(before, gradients)]
            )
            ends.append(float(penalty()))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(squared, rel=2e-2)

    @pytest.mark.parametrize("batch", [1, 64, 500])
    def test_an_average_forgets_half_after_its_half_life(self, batch):
        decay = adversarial.decay_for(batch, 1000)

        assert decay ** (1000 / batch) == pytest.approx(0.5)
        assert adversarial.decay_for(64, 20_000) > AVERAGE_DECAY - 2e-3


class TestAugmentation:
    def draws(self, **values):
        names = ["brightness", "saturation", "contrast", "down", "right", "y", "x"]
        usual = {"saturation": 0.5, "down": 0.5, "right": 0.5, "y": 0.999, "x": 0.999}
        chosen = {"brightness": 0.5, "contrast": 0.5} | usual | values
        return tf.constant([[chosen[name] for name in names]], tf.float32)

    @pytest.fixture
    def image(self, rng):
        return rng.uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)

    def hole(self, changed):
        """Replace the hole of a usual draw, in the last quarter of both axes."""
        changed = np.array(changed)
        changed[:, 12:, 12:] = 0
        return changed

    def test_middle_draws_change_nothing_but_the_hole(self, image):
        changed = augmentation.diff_augment(image, self.draws())

        np.testing.assert_allclose(changed, self.hole(image), atol=1e-6)

    def test_colours(self, image):
        grey = image.mean(axis=3, keepdims=True)
        mean = image.mean()
        expected = {
            "brightness": image + 0.3,
            "saturation": grey + 1.6 * (image - grey),
            "contrast": mean + 1.3 * (image - mean),
        }
        for name, value in expected.items():
            changed = augmentation.diff_augment(image, self.draws(**{name: 0.8}))
            np.testing.assert_allclose(changed, self.hole(value), atol=1e-5)

    def test_shifts_are_whole_and_at_most_an_eighth(self, image):
        for draw, shift in ((0.0, -2), (0.3, -1), (0.999, 2)):
            changed = augmentation.diff_augment(image, self.draws(down=draw, right=0.5))
            moved = scipy.ndimage.shift(image, (0, -shift, 0, 0), order=0)
            np.testing.assert_allclose(changed, self.hole(moved), atol=1e-6)

    def test_the_hole_covers_half_of_each_side(self, image):
        changed = augmentation.diff_augment(image, self.draws(y=0.5, x=0.0)).numpy()
        covered = (changed == 0).all(axis=(0, 3))

        assert covered.sum(axis=0).tolist() == [8] * 4 + [0] * 12
        assert covered[4:12, :4].all()

    def test_a_pair_is_changed_in_the_same_way(self, rng):
        images = rng.uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
        draws = tf.constant(rng.uniform(size=(3, augmentation.DRAWS)), tf.float32)
        both = augmentation.diff_augment(
            tf.concat([images, images], 0), tf.tile(draws, (2, 1))
        ).numpy()

        np.testing.assert_array_equal(both[:3], both[3:])
        assert np.abs(both[0] - augmentation.diff_augment(images[:1], draws[1:2])).max()

    def test_it_has_the_gradient_of_a_finite_difference(self, image, rng):
        draws = tf.constant(rng.uniform(size=(1, augmentation.DRAWS)), tf.float32)
        goal = rng.normal(size=image.shape).astype(np.float32)
        direction = rng.normal(size=image.shape).astype(np.float32)

        def score(x):
            return tf.reduce_sum(augmentation.diff_augment(x, draws) * goal)

        with tf.GradientTape() as tape:
            x = tf.constant(image)
            tape.watch(x)
            value = score(x)
        gradient = tape.gradient(value, x)
        change = score(image + 0.5 * direction) - score(image - 0.5 * direction)
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(
            float(change), rel=1e-3, abs=1e-3
        )

    def test_crops_are_those_of_scipy(self, rng):
        images = rng.uniform(size=(2, 8, 8, 3)).astype(np.float32)
        draws = np.array([[0.0, 0.0, 1.0], [1.0, 0.3, 0.6]], np.float32)
        cropped = augmentation.crop(tf.constant(images), tf.constant(draws), 0.5)

        # The first crop has half the side, at the top right; the second is the image.
        np.testing.assert_allclose(cropped[1], images[1], atol=1e-6)
        steps = (np.arange(8) + 0.5) / 2 - 0.5
        rows, columns = np.meshgrid(np.maximum(steps, 0), steps + 4, indexing="ij")
        for channel in range(3):
            expected = scipy.ndimage.map_coordinates(
                images[0, :, :, channel], [rows, columns], order=1, mode="nearest"
            )
            np.testing.assert_allclose(cropped[0, :, :, channel], expected, atol=1e-6)


class TestConditions:
    @pytest.fixture(scope="class")
    def images(self):
        rng = np.random.default_rng(5)
        low = rng.uniform(size=(300, 4, 4, 3)).astype(np.float32)
        return tf.image.resize(low, (16, 16)).numpy()

    @pytest.fixture(scope="class")
    def own(self, images):
        encoder = networks.gan_encoder(6, (4, 6, 8, 12), (1, 1, 1, 1))
        adapter = tfviz.adapt(encoder, (-1, 1))
        return conditions.measure_codes(adapter, images, 12)

    def test_codes_of_photos_are_white(self, own, images):
        codes = conditions.encode_all(own.adapter, own.code, images)

        assert own.code.layers == ("stage4", LOGITS)
        np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-2)
        np.testing.assert_allclose(np.cov(codes.T), np.eye(12), atol=2e-2)
        np.testing.assert_allclose(
            own.statistics.high, np.percentile(codes, 99.9, axis=0), atol=1e-4
        )

    def test_other_codes_have_unit_variance(self, own):
        codes = tf.random.stateless_normal((4000, 12), (1, 2))
        others = own.others(codes, tf.constant([3, 4])).numpy()

        assert others.shape == (4000, 12)
        for half in (others[:2000], others[2000:]):
            np.testing.assert_allclose(half.var(axis=0), 1, atol=0.15)
        # The second half lies between the codes of two photos.
        between = np.stack([codes, np.roll(codes, 1, axis=0)], axis=2)[2000:]
        for code, pair in zip(others[2000:2020], between):
            weights, (rest,), *_ = np.linalg.lstsq(pair, code, rcond=None)
            assert rest < 1e-8
            assert np.linalg.norm(weights) == pytest.approx(1, abs=1e-3)

    def test_mixtures_of_classes(self):
        classes = conditions.ClassConditions(9)
        own, _ = classes.of(None, tf.constant([0, 4, 8, 8] * 3))
        others = classes.others(own, tf.constant([3, 4])).numpy()

        assert (own.numpy()[1] == 3 * np.eye(9)[4]).all()
        assert float(tf.reduce_mean(own**2)) == pytest.approx(1)
        assert (others >= 0).all()
        np.testing.assert_allclose(others.sum(axis=1), 3, rtol=1e-5)
        assert ((others[:6] > 0).sum(axis=1) == 9).all()
        assert ((others[6:] > 0).sum(axis=1) <= 2).all()
        assert classes.losses(None, None, None, own) == {}

    def test_losses_of_codes(self, own, images):
        """The first images belong to photos; of the others only codes are compared."""

        @tf.function
        def losses(photos, made):
            codes, seen = own.of(photos, None)
            wanted = tf.concat([codes, codes + 1.0], axis=0)
            return own.losses(photos, seen, made, wanted)

        photos = tf.constant(images[:4])
        same = losses(photos, tf.concat([photos, photos], axis=0))
        assert float(same["features"]) == pytest.approx(0, abs=1e-5)
        assert float(same["pixels"]) == 0
        assert float(same["code"]) == pytest.approx(conditions.CODE / 2, rel=1e-3)
        brighter = losses(photos, tf.concat([photos + 0.1, photos], axis=0))
        assert float(brighter["pixels"]) == pytest.approx(0.1 * conditions.PIXELS)
        assert float(brighter["features"]) > 0.01
