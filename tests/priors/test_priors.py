import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import scipy.stats
import tfviz
import tensorflow as tf
from support import seeds_for
from tfviz import params, transforms, views
from tfviz.priors import _constraints as domains
from tfviz.priors import _latents as latents
from tfviz.priors._latents import waves
from tfviz.priors._generators import autoencoder, gan, keras_hub_vae, taesd
from tfviz.priors._prior import assembled, within
from tfviz.priors._taesd import read_safetensors

layers = keras.layers


def generator(size=16, head="tanh", inputs=8):
    keras.utils.set_random_seed(5)
    given = keras.Input((inputs,), name="z")
    x = layers.Dense(4 * 4 * 6, activation="relu")(given)
    x = layers.Reshape((4, 4, 6))(x)
    x = layers.UpSampling2D(size // 4)(x)
    return keras.Model(given, layers.Conv2D(3, 3, padding="same", activation=head)(x))


class TestWithin:
    def test_images_are_clipped(self):
        images = tf.constant([-0.5, 0.0, 0.3, 1.0, 1.7])[None, :, None, None]

        np.testing.assert_array_equal(
            within(images).numpy().ravel(), np.float32([0, 0, 0.3, 1, 1])
        )

    def test_the_gradient_passes_if_it_leads_back_into_the_range(self):
        """Guards against a clip from which pixels never return."""
        images = tf.constant([-0.5, -0.5, 0.3, 1.7, 1.7])[None, :, None, None]
        uphill = tf.constant([1.0, -1.0, -2.0, 1.0, -1.0])[None, :, None, None]
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(uphill * within(images, pull=0.0))

        found = tape.gradient(total, images).numpy().ravel()
        np.testing.assert_array_equal(found, [1, 0, -2, 0, -1])

    def test_the_pull_is_the_gradient_of_a_penalty(self, rng):
        images = tf.constant(2 * rng.normal(size=(2, 5, 4, 3)).astype(np.float32))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            total = 0 * tf.reduce_sum(within(images, pull=3.0))
            over = images - tf.clip_by_value(images, 0, 1)
            penalty = -3.0 * tf.reduce_mean(over**2, axis=(1, 2, 3))

        np.testing.assert_allclose(
            tape.gradient(total, images), tape.gradient(penalty, images), atol=1e-6
        )


class TestGan:
    def test_images_are_those_of_the_generator(self):
        model = generator()
        param = gan(model, value_range=(-1, 1))
        stored = param.init(seeds_for(3))

        expected = np.clip(np.asarray(model(stored["z"])) / 2 + 0.5, 0, 1)
        np.testing.assert_allclose(param.decode(stored), expected, atol=1e-6)
        assert param.shape == (16, 16, 3)

    @pytest.mark.parametrize("size", [8, 100])
    def test_scores_rise_and_latents_stay_normal(self, size, toy_adapter):
        param = gan(generator(inputs=size), value_range=(-1, 1))
        start = param.decode(param.init([[0, 0]]))
        result = tfviz.render(
            toy_adapter, "conv_b:3-4", param, transforms.none(), steps=40
        )

        assert result.images.shape == (2, 16, 16, 3)
        assert (result.scores > result.history[0] + 1e-3).all()
        assert not np.allclose(result.images[0], start[0], atol=0.05)

    def test_long_latents_stay_on_a_shell(self):
        param = gan(generator(inputs=100), value_range=(-1, 1))
        moved = {"z": 5 * param.init(seeds_for(2))["z"]}

        length = np.linalg.norm(param.project(moved)["z"], axis=1)
        np.testing.assert_allclose(length, 10, rtol=1e-5)

    def test_a_picture_does_not_depend_on_its_batch(self, toy_adapter):
        param = gan(generator(), value_range=(-1, 1))
        results = [
            tfviz.render(
                toy_adapter, units, param, transforms.none(), steps=10, batch_size=2
            )
            for units in ("conv_b:3", ["conv_b:3", "conv_b:7"])
        ]

        np.testing.assert_array_equal(results[0].images[0], results[1].images[0])

    def test_a_class_stays_constant(self, toy_adapter):
        z, label = keras.Input((8,), name="z"), keras.Input((4,), name="label")
        inner = generator(inputs=12)
        model = keras.Model([z, label], inner(layers.Concatenate()([z, label])))
        given = {"z": latents.gaussian(8), "label": latents.chosen(2, 4)}
        param = gan(model, value_range=(-1, 1), latents=given)
        packed = gan(
            inner,
            value_range=(-1, 1),
            latents=given,
            pack=lambda v: tf.concat([v["z"], v["label"]], axis=1),
        )
        stored = param.init(seeds_for(2))

        np.testing.assert_allclose(
            param.decode(stored), packed.decode(stored), atol=1e-6
        )
        with tf.GradientTape() as tape:
            tape.watch(stored["label"])
            total = tf.reduce_sum(param.decode(stored))
        assert tape.gradient(total, stored["label"]) is None
        result = tfviz.render(
            toy_adapter, "conv_b:3", param, transforms.none(), steps=9
        )
        assert result.scores[0] > result.history[0, 0]

    def test_a_number_makes_a_constant_latent_with_pack(self):
        param = gan(
            generator(inputs=9),
            value_range=(-1, 1),
            latents={"z": latents.gaussian(8), "label": 0.5},
            pack=lambda v: tf.concat([v["z"], v["label"][:, None]], axis=1),
        )

        assert param.init(seeds_for(2))["label"].numpy().tolist() == [0.5, 0.5]
        assert not param.latents["label"].optimized

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "optimizer", [keras.optimizers.AdamW(0.05, weight_decay=0.1), "normalized"]
    )
    def test_optimizers_do_not_change_constant_latents(self, toy_adapter, optimizer):
        """Weight decay, for example, would change the class."""
        model, z = generator(inputs=12), latents.gaussian(8)
        # The same class, as a constant latent and as a part of the packing.
        held = {"z": z, "label": latents.chosen(2, 4)}
        fixed = tf.one_hot([2], 4)
        packed = (
            (held, lambda v: tf.concat([v["z"], v["label"]], axis=1)),
            ({"z": z}, lambda v: tf.concat(
                [v["z"], tf.repeat(fixed, v["z"].shape[0], axis=0)], axis=1)),
        )  # fmt: skip
        histories = [
            tfviz.render(
                toy_adapter,
                "conv_b:3",
                gan(model, value_range=(-1, 1), latents=given, pack=pack),
                transforms.none(),
                steps=8,
                optimizer=optimizer,
            ).history
            for given, pack in packed
        ]

        np.testing.assert_allclose(*histories, rtol=1e-4)


class TestInputs:
    """A generator that takes a vector, a class as an integer, and a one-hot vector."""

    @pytest.fixture(scope="class")
    def model(self):
        z, label = (
            keras.Input((8,), name="z"),
            keras.Input((1,), dtype="int32", name="n"),
        )
        row = keras.Input((4,), name="row")
        one_hot = layers.Flatten()(layers.CategoryEncoding(4, "one_hot")(label))
        x = layers.Concatenate()([z, one_hot, row])
        return keras.Model([z, label, row], generator(inputs=16)(x))

    def test_numbers_become_constants_of_the_form_of_the_input(self, model):
        prior = gan(model, value_range=(-1, 1), latents={"n": 3, "row": 1})
        stored = prior.init(seeds_for(2))
        row = tf.constant([[0.0, 1.0, 0.0, 0.0]] * 2)
        expected = model([stored["z"], tf.constant([[3], [3]]), row])

        np.testing.assert_allclose(
            prior.decode(stored), np.asarray(expected) / 2 + 0.5, atol=1e-6
        )
        assert [name for name, v in prior.latents.items() if v.optimized] == ["z"]

    def test_classes_can_be_mixed(self, model, toy_adapter):
        given = {"n": 0, "row": latents.mixture(4)}
        prior = gan(model, value_range=(-1, 1), latents=given)
        result = tfviz.render(
            toy_adapter, "conv_b:3", prior, transforms.none(), steps=9
        )
        assert result.scores[0] > result.history[0, 0]

    def test_latents_that_do_not_fit_are_refused(self, model):
        with pytest.raises(ValueError, match="no input 'rwo'. Did you mean 'row'?"):
            gan(model, value_range=(-1, 1), latents={"n": 0, "rwo": 1})
        with pytest.raises(ValueError, match="'n' .* one of 4 classes.*={'n': 0}"):
            gan(model, value_range=(-1, 1))
        with pytest.raises(ValueError, match="4 classes, .* from 0 to 3. Received: 9"):
            gan(model, value_range=(-1, 1), latents={"n": 0, "row": 9})
        with pytest.raises(ValueError, match="a class must be a whole number"):
            gan(model, value_range=(-1, 1), latents={"n": 0, "row": 0.5})


class TestWrongGenerators:
    def refused(self, message, model, **options):
        with pytest.raises(ValueError, match=message):
            gan(model, **({"value_range": (-1, 1)} | options))

    def test_several_outputs(self):
        model = generator()
        outputs = [model.output, model.layers[1].output]
        self.refused("has 2 outputs", keras.Model(model.input, outputs))

    def test_images_of_integers(self):
        model = generator()
        outputs = keras.ops.cast(127 * model.output, "uint8")
        self.refused(
            "the type uint8, which has no gradient", keras.Model(model.input, outputs)
        )

    def test_an_input_of_integers(self):
        given = keras.Input((8,), dtype="int32", name="label")
        model = keras.Model(given, generator()(keras.ops.cast(given, "float32")))
        self.refused("'label' of the generator takes integers", model)

    def test_unknown_inputs(self):
        self.refused("does not list its inputs", lambda z, training: z)

    def test_an_input_without_effect(self):
        z, unused = keras.Input((8,), name="z"), keras.Input((3,), name="unused")
        images = generator()(z) + 0 * keras.ops.sum(unused)
        model = keras.Model([z, unused], images)
        self.refused("gradient of the latent 'unused' is 0", model)

    def test_rounding(self):
        model = generator()
        outputs = keras.ops.sign(model.output)
        self.refused("latent 'z'", keras.Model(model.input, outputs))

    def test_a_latent_of_another_size(self):
        wrong = {"z": latents.gaussian(9)}
        self.refused(r"cannot take z \(1, 9\): ", generator(), latents=wrong)

    def test_weights_that_are_not_finite(self):
        model = generator()
        weights = model.get_weights()
        model.set_weights([np.full_like(w, np.nan) for w in weights])
        self.refused("images that are not finite", model)

    def test_an_output_that_is_not_an_image(self):
        model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
        self.refused("must return images .n, height, width, channels", model)

    @pytest.mark.parametrize("value_range", [(1, 0), (0,), "0,1", (0, np.nan)])
    def test_a_value_range_that_is_not_a_range(self, value_range):
        self.refused(
            "`value_range` must be the values", generator(), value_range=value_range
        )


@pytest.mark.data
class TestTaesd:
    @pytest.fixture(scope="class")
    def files(self, data):
        names = ("taesd_decoder", "taesd_encoder")
        return [data / "taesd" / f"{name}.safetensors" for name in names]

    @pytest.fixture(scope="class")
    def photos(self, data):
        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))
            found = []
            for name in names[::250]:
                with archive.open(name) as file:
                    picture = tfviz.images.read(file)
                found.append(tfviz.images.centre_crop(picture, (96, 128)))
        return np.stack(found)

    def test_photos_are_reconstructed(self, files, photos):
        param = taesd(*files, height=96, width=128)
        found = param.decode(param.encode(photos)).numpy()

        assert param.shape == (96, 128, 3)
        error = ((found - photos) ** 2).mean((1, 2, 3))
        assert (-10 * np.log10(error)).mean() > 20

    def test_random_images_have_the_contrast_of_photos(self, files):
        param = taesd(files[0], height=64)
        images = param.decode(param.init(seeds_for(8))).numpy()

        assert 0.3 < images.mean() < 0.7
        assert 0.1 < images.std() < 0.35

    @pytest.mark.parametrize("size", [{"height": 60}, {"height": 64, "width": 0}])
    def test_sizes_must_be_multiples_of_eight(self, files, size):
        with pytest.raises(ValueError, match="must be multiples of 8"):
            taesd(files[0], **size)

    def test_files_of_other_networks_are_refused(self, files):
        with pytest.raises(ValueError, match=r"expected an array '1\.weight' for 4 ch"):
            taesd(files[1])
        with pytest.raises(ValueError, match=r"for 16 channels.* of the shape \(64, 4"):
            taesd(files[0], mean=np.zeros(16), stddev=np.ones(16))
        with pytest.raises(ValueError, match=r"'0\.weight' for 3 channels"):
            taesd(files[0], files[0])

    def test_a_truncated_file_is_refused(self, files, tmp_path):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(files[0].read_bytes()[:-1000])
        for damaged in (b"", b"\0" * 100, files[0].read_bytes()[:500]):
            cut.write_bytes(damaged)
            with pytest.raises(ValueError, match="cannot be read as safetensors"):
                read_safetensors(cut)
        cut.write_bytes(files[0].read_bytes()[:-1000])
        with pytest.raises(ValueError, match="cannot be read as safetensors"):
            read_safetensors(cut)


def test_decoding_inverts_encoding():
    latent = latents.gaussian(4, 4, 3, rate=0.3)
    param = assembled(
        {"image": latent},
        lambda values: values["image"],
        value_range=(-1, 1),
        encode=lambda images: {"image": 2 * images - 1},
    )
    images = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 4, 4, 3)

    np.testing.assert_allclose(param.decode(param.encode(images)), images, atol=1e-6)
    assert isinstance(param, params.Param)


class TestDiagnostics:
    def prior(self, shift=0.0, **options):
        latent = latents.gaussian(2, 2, 3, mean=[0.5, 0.5, 0.5], stddev=0.1, **options)
        return assembled(
            {"image": latent},
            lambda values: values["image"] + shift,
            value_range=(0, 1),
            encode=lambda images: {"image": images},
            view=views.resized(),
        )

    def diagnose(self, prior, values):
        values = tf.constant(values, tf.float32)
        stored = prior.latents["image"].stored(values)
        functions = prior.diagnostics.items()
        return {name: of({"image": stored}).numpy() for name, of in functions}

    def test_the_norm_percentile_is_that_of_chi_squared(self, rng):
        values = rng.normal(0.5, 0.1, size=(5, 2, 2, 3))
        found = self.diagnose(self.prior(rate=0.3), values)
        squares = (((values - 0.5) / 0.1) ** 2).sum((1, 2, 3))

        np.testing.assert_allclose(
            found["image/norm_percentile"],
            100 * scipy.stats.chi2.cdf(squares, 12),
            atol=0.05,
        )

    def test_pixels_out_of_range_are_counted(self):
        values = np.full((2, 2, 2, 3), 0.5)
        values[1, 0, 0] = [-0.2, 1.5, 0.9]
        found = self.diagnose(self.prior(), values)

        np.testing.assert_allclose(found["out_of_range"], [0, 2 / 12])

    def test_unusual_latents_are_counted(self, rng):
        prior = self.prior().calibrate(rng.uniform(0.3, 0.7, (400, 2, 2, 3)))
        values = np.full((1, 2, 2, 3), 0.5)
        values[0, 0] = 0.9

        np.testing.assert_allclose(self.diagnose(prior, values)["image/unusual"], 0.5)

    def test_results_hold_diagnostics(self, toy_adapter):
        result = tfviz.render(
            toy_adapter,
            "conv_b:3-4",
            self.prior(domain=domains.box(0.4, 0.6)),
            transforms.none(),
            steps=40,
            learning_rate=0.1,
        )
        assert list(result.diagnostics) == [
            "out_of_range",
            "image/norm_percentile",
            "clip_rate",
        ]
        assert (result.diagnostics["clip_rate"] > 0.1).all()
        assert (result.diagnostics["clip_rate"] <= 1).all()
        diagnostics = result.picture_spec(0)["diagnostics"]
        assert diagnostics["out_of_range"] == 0

    def test_wide_bounds_clip_nothing(self, toy_adapter):
        """Rounding, as waves are converted to values and back, does not count."""
        latent = waves(4, 5, 3, domain=domains.box(-99, 99))
        prior = assembled({"image": latent}, lambda v: v["image"], value_range=(-3, 3))
        result = tfviz.render(
            toy_adapter, "conv_b:3", prior, transforms.none(), steps=4
        )
        assert result.diagnostics["clip_rate"][0] == 0


class TestCalibrate:
    def decoder(self, size=None):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((size, size, 2), name="latents")
        x = layers.Conv2DTranspose(3, 4, 2, "same", activation="sigmoid")(inputs)
        return keras.Model(inputs, x)

    def encoder(self):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((None, None, 3))
        return keras.Model(inputs, layers.Conv2D(2, 2, 2)(inputs))

    def prior(self, **options):
        return autoencoder(
            self.decoder(), self.encoder(), value_range=(0, 1), height=4, **options
        )

    def test_channels_are_measured_over_images_and_positions(self, rng):
        images = rng.uniform(size=(50, 8, 8, 3)).astype(np.float32)
        prior = self.prior().calibrate(images)
        codes = np.asarray(self.encoder()(images))

        found = prior.measured["latent"]
        np.testing.assert_allclose(found.mean, codes.mean((0, 1, 2)), atol=1e-4)
        np.testing.assert_allclose(found.stddev, codes.std((0, 1, 2)), atol=1e-4)
        values = prior.values(prior.init(seeds_for(300)))["latent"].numpy()
        np.testing.assert_allclose(values.mean((0, 1, 2)), found.mean, atol=0.05)
        spread = np.tile(codes.mean((0, 1, 2)), (1, 4, 4, 1))
        spread[0, 1, 2] += 4 * codes.std((0, 1, 2))  # beyond nearly all measured values
        far = prior.latents["latent"].domain(tf.constant(spread, tf.float32))
        expected = np.percentile(codes, 99.9, axis=(0, 1, 2))
        np.testing.assert_allclose(far[0, 1, 2], expected, rtol=1e-4)

    def test_a_file_gives_the_same_calibration(self, rng, tmp_path):
        images = rng.uniform(size=(20, 8, 8, 3)).astype(np.float32)
        prior = self.prior().calibrate(images)
        prior.save_calibration(tmp_path / "a.npz")
        again = self.prior().calibrate(tmp_path / "a.npz")

        one, other = (p.decode(p.init(seeds_for(2))).numpy() for p in (prior, again))
        np.testing.assert_array_equal(one, other)

    def test_settings_are_kept(self, rng):
        prior = assembled(
            {"z": latents.gaussian(2, 2, 3)},
            lambda values: values["z"],
            value_range=(-1, 1),
            spec={"name": "mine"},
            pull=7.0,
            view=views.cropped(),
            defaults={"candidates": 3},
        )
        again = prior.calibrate(40)
        stored = {"z": tf.fill((1, 2, 2, 3), 2.0)}

        def gradient(of):
            with tf.GradientTape() as tape:
                tape.watch(stored["z"])
                total = 0 * tf.reduce_sum(of.decode(stored))
            return tape.gradient(total, stored["z"]).numpy()

        assert np.abs(gradient(prior)).min() > 0
        np.testing.assert_allclose(gradient(again), gradient(prior))
        assert again.view is prior.view
        assert again.defaults["candidates"] == 3
        assert again.spec == {}  # the description cannot hold the calibration

    def test_random_starts_need_no_encoder(self):
        prior = gan(generator(), value_range=(-1, 1)).calibrate(500)

        np.testing.assert_allclose(prior.measured["z"].stddev, 1, atol=0.15)
        assert prior.measured["z"].count == 500

    def test_wrong_calibrations_are_refused(self, rng, tmp_path):
        prior = gan(generator(), value_range=(-1, 1))
        images = rng.uniform(size=(3, 8, 8, 3))
        with pytest.raises(ValueError, match="no encoder to measure images with"):
            prior.calibrate(images)
        with pytest.raises(ValueError, match="with at least 2 images"):
            self.prior().calibrate(images[:1])
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            self.prior().calibrate(255 * images)
        with pytest.raises(ValueError, match="Nothing was measured yet"):
            prior.save_calibration(tmp_path / "a.npz")
        self.prior().calibrate(images).save_calibration(tmp_path / "a.npz")
        with pytest.raises(ValueError, match=r"of a latent 'latent' .* has 'z' \(8,\)"):
            prior.calibrate(tmp_path / "a.npz")


class TestWhite:
    def test_white_maps_keep_everything_but_their_waves(self):
        prior = replace(
            assembled(
                {"map": waves(6, 5, 3, domain=domains.box(-9, 2))},
                lambda values: values["map"],
                value_range=(-4, 4),
                pull=0.5,
            ),
            trained={"networks": {"net": "abc"}},
        )
        white = prior.white()

        assert (white.value_range, white.pull, white.trained) == (
            (-4, 4),
            0.5,
            {"networks": {"net": "abc"}},
        )
        seeds = [[0, n] for n in range(500)]
        found, waved = (np.asarray(p.decode(p.init(seeds))) for p in (white, prior))
        shifts = [
            np.corrcoef(made[:, 1:].ravel(), made[:, :-1].ravel())[0, 1]
            for made in (found, waved)
        ]
        assert abs(shifts[0]) < 0.05
        assert shifts[1] > 0.3
        far = {"map": white.latents["map"].stored(tf.fill((1, 6, 5, 3), 5.0))}
        held = white.values(white.project(far))["map"]
        np.testing.assert_allclose(held, 2, atol=1e-4)  # the box is kept

    def test_statistics_are_kept(self, rng):
        prior = assembled(
            {"map": waves(6, 5, 3)},
            lambda values: values["map"],
            value_range=(-4, 4),
            encode=lambda images: {"map": images * 2},
        ).calibrate(rng.uniform(size=(20, 6, 5, 3)))
        white = prior.white()

        assert white.measured is prior.measured
        np.testing.assert_array_equal(
            white.latents["map"].usual, prior.latents["map"].usual
        )
        assert list(white.diagnostics) == list(prior.diagnostics)

    def test_priors_without_maps_have_no_white_version(self):
        prior = assembled(
            {"z": latents.gaussian(12)},
            lambda values: tf.reshape(values["z"], (-1, 2, 2, 3)),
            value_range=(-1, 1),
        )
        assert prior.white() is None
        assert params.pixels(8, 8).white() is None


class TestAutoencoder:
    def test_reconstructions_are_those_of_the_models(self, rng):
        case = TestCalibrate()
        prior = case.prior()
        images = rng.uniform(size=(2, 8, 8, 3)).astype(np.float32)

        expected = case.decoder()(case.encoder()(images))
        np.testing.assert_allclose(
            prior.decode(prior.encode(images)), expected, atol=1e-5
        )

    def test_encoders_get_images_in_the_value_range(self):
        """Guards against passing images in [0, 1] to an encoder for [-1, 1]."""
        seen = []

        def encoder(images, training):
            seen.append(np.asarray(images))
            return tf.zeros((1, 4, 4, 2))

        sigmoid = TestCalibrate().decoder(4)
        decoder = keras.Model(sigmoid.input, 2 * sigmoid.output - 1)
        prior = autoencoder(decoder, encoder)
        prior.encode(np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 8, 8, 3))
        assert (seen[0].min(), seen[0].max()) == (-1, 1)

    def test_the_first_output_of_a_variational_encoder_is_used(self, rng):
        inputs = keras.Input((16, 16, 3))
        flat = layers.Flatten()(inputs)
        outputs = [layers.Dense(8, name=n)(flat) for n in ("mean", "log_variance")]
        encoder = keras.Model(inputs, outputs)
        prior = autoencoder(generator(), encoder, value_range=(-1, 1))
        images = rng.uniform(size=(1, 16, 16, 3)).astype(np.float32)

        found = prior.values(prior.encode(images))["latent"]
        np.testing.assert_allclose(found, encoder(2 * images - 1)[0], atol=1e-5)

    def test_decoders_of_any_size_need_a_size(self):
        with pytest.raises(
            ValueError, match="maps of any size: .* with `height` and `width`"
        ):
            autoencoder(TestCalibrate().decoder(), value_range=(0, 1))

    def test_models_that_do_not_fit_are_refused(self):
        inputs = [keras.Input((3,)), keras.Input((4,))]
        model = keras.Model(inputs, layers.Concatenate()(inputs))
        with pytest.raises(
            ValueError, match=r"one input.* \[\(None, 3\), \(None, 4\)\]"
        ):
            autoencoder(model, value_range=(0, 1))


class FakeBackbone:
    """The interface of KerasHub's VAEBackbone: 16 channels at an eighth of the size."""

    scale, shift = 1.5, 0.25

    def __init__(self):
        keras.utils.set_random_seed(1)
        self._out = layers.Conv2DTranspose(3, 8, 8, activation="tanh")
        self._in = layers.Conv2D(16, 8, 8)

    def encode(self, images, training=None):
        return self._in(images)

    def decode(self, latents, training=None):
        return self._out(latents)


class TestKerasHub:
    def test_latents_are_scaled_as_in_diffusion_models(self, rng):
        backbone = FakeBackbone()
        prior = keras_hub_vae(backbone, height=16, width=24)
        images = rng.uniform(size=(2, 16, 24, 3)).astype(np.float32)
        stored = prior.encode(images)

        raw = np.asarray(backbone.encode(2 * images - 1))
        np.testing.assert_allclose(
            prior.values(stored)["latent"], (raw - 0.25) * 1.5, atol=1e-4
        )
        expected = np.asarray(backbone.decode(raw)) / 2 + 0.5
        np.testing.assert_allclose(prior.decode(stored), expected, atol=1e-4)
        assert prior.shape == (16, 24, 3)

    def test_models_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match="has no encode, decode, scale, shift"):
            keras_hub_vae(generator())
        with pytest.raises(ValueError, match="must be multiples of 8"):
            keras_hub_vae(FakeBackbone(), height=20)
