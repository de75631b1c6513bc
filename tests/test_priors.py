import zipfile

import keras
import numpy as np
import pytest
import tfviz
import tensorflow as tf
from conftest import seeds_for
from tfviz import params, transforms
from tfviz.priors import _latents as latents
from tfviz.priors._families import gan, taesd
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

    def test_the_gradient_passes_where_it_leads_back(self):
        """Guards against a clip from which nothing comes back."""
        images = tf.constant([-0.5, -0.5, 0.3, 1.7, 1.7])[None, :, None, None]
        uphill = tf.constant([1.0, -1.0, -2.0, 1.0, -1.0])[None, :, None, None]
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(uphill * within(images, pull=0.0))

        found = tape.gradient(total, images).numpy().ravel()
        np.testing.assert_array_equal(found, [1, 0, -2, 0, -1])

    def test_the_pull_is_that_of_a_penalty(self, rng):
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
    def test_images_are_the_generator_s(self):
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

    def test_large_latents_stay_on_their_shell(self):
        param = gan(generator(inputs=100), value_range=(-1, 1))
        moved = {"z": 5 * param.init(seeds_for(2))["z"]}

        length = np.linalg.norm(param.project(moved)["z"], axis=1)
        np.testing.assert_allclose(length, 10, rtol=1e-5)

    def test_a_picture_alone_has_the_bytes_of_a_batch_s(self, toy_adapter):
        param = gan(generator(), value_range=(-1, 1))
        results = [
            tfviz.render(
                toy_adapter, units, param, transforms.none(), steps=10, batch_size=2
            )
            for units in ("conv_b:3", ["conv_b:3", "conv_b:7"])
        ]

        np.testing.assert_array_equal(results[0].images[0], results[1].images[0])

    def test_a_class_is_held(self, toy_adapter):
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


class TestWrongGenerators:
    def refused(self, message, model, **options):
        with pytest.raises(ValueError, match=message):
            gan(model, **({"value_range": (-1, 1)} | options))

    def test_several_outputs(self):
        model = generator()
        outputs = [model.output, model.layers[1].output]
        self.refused("has 2 outputs", keras.Model(model.input, outputs))

    def test_whole_numbers_as_images(self):
        model = generator()
        outputs = keras.ops.cast(127 * model.output, "uint8")
        self.refused("gives uint8, which has no", keras.Model(model.input, outputs))

    def test_whole_numbers_as_input(self):
        given = keras.Input((8,), dtype="int32", name="label")
        model = keras.Model(given, generator()(keras.ops.cast(given, "float32")))
        self.refused("'label' of the generator takes whole numbers", model)

    def test_no_word_of_its_inputs(self):
        self.refused("does not tell what it takes", lambda z, training: z)

    def test_an_input_that_does_nothing(self):
        z, unused = keras.Input((8,), name="z"), keras.Input((3,), name="unused")
        images = generator()(z) + 0 * keras.ops.sum(unused)
        model = keras.Model([z, unused], images)
        self.refused("gradient in the latent 'unused' is 0", model)

    def test_rounding(self):
        model = generator()
        outputs = keras.ops.sign(model.output)
        self.refused("latent 'z'", keras.Model(model.input, outputs))

    def test_a_latent_of_another_size(self):
        wrong = {"z": latents.gaussian(9)}
        self.refused(r"cannot take z \(1, 9\): ", generator(), latents=wrong)

    def test_weights_that_are_no_numbers(self):
        model = generator()
        weights = model.get_weights()
        model.set_weights([np.full_like(w, np.nan) for w in weights])
        self.refused("images that are not finite", model)

    def test_no_images(self):
        model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
        self.refused("must give images .n, height, width, channels", model)

    @pytest.mark.parametrize("value_range", [None, (1, 0), (0,), "0,1", (0, np.nan)])
    def test_no_range(self, value_range):
        self.refused("`value_range` must say", generator(), value_range=value_range)


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

    def test_photos_come_back(self, files, photos):
        param = taesd(*files, height=96, width=128)
        found = param.decode(param.encode(photos)).numpy()

        assert param.shape == (96, 128, 3)
        error = ((found - photos) ** 2).mean((1, 2, 3))
        assert (-10 * np.log10(error)).mean() > 20

    def test_random_latents_vary_as_those_of_photos(self, files):
        param = taesd(files[0], height=64)
        images = param.decode(param.init(seeds_for(8))).numpy()

        assert 0.3 < images.mean() < 0.7
        assert 0.1 < images.std() < 0.35

    @pytest.mark.parametrize("size", [{"height": 60}, {"height": 64, "width": 0}])
    def test_sizes_are_multiples_of_eight(self, files, size):
        with pytest.raises(ValueError, match="must be multiples of 8"):
            taesd(files[0], **size)

    def test_a_file_that_is_cut_off(self, files, tmp_path):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(files[0].read_bytes()[:-1000])
        for damaged in (b"", b"\0" * 100, files[0].read_bytes()[:500]):
            cut.write_bytes(damaged)
            with pytest.raises(ValueError, match="cannot be read as safetensors"):
                read_safetensors(cut)
        cut.write_bytes(files[0].read_bytes()[:-1000])
        with pytest.raises(ValueError, match="cannot be read as safetensors"):
            read_safetensors(cut)


def test_the_start_of_an_image_is_what_it_encodes_to():
    latent = latents.gaussian(4, 4, 3, rate=0.3)
    param = assembled(
        {"image": latent},
        lambda values: values["image"],
        value_range=(-1, 1),
        encode=lambda images: {"image": 2 * images - 1},
    )
    images = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 4, 4, 3)

    np.testing.assert_allclose(param.decode(param.encode(images)), images, atol=1e-6)
    assert params.Param is type(param)
