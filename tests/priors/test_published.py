"""Generators in the forms in which people publish them: loaded, checked, explained."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support import FAST, error_of
from tfviz import priors
from tfviz.images import read_spec
from tfviz.priors._diagnostics import checked

layers = keras.layers
pytestmark = pytest.mark.usefixtures("_short")


def upsampling(inputs, head="tanh", own=layers):
    """Return layers from a vector or a map of 1 by 1 to an image of 32 by 32."""
    x = own.Conv2DTranspose(8, 4, activation="relu")(inputs)
    x = own.UpSampling2D(8)(x)
    return own.Conv2D(3, 3, padding="same", activation=head)(x)


def dcgan(shape=(16,), head="tanh"):
    keras.utils.set_random_seed(2)
    inputs = keras.Input(shape, name="z")
    x = inputs if len(shape) == 3 else layers.Reshape((1, 1, shape[-1]))(inputs)
    model = keras.Model(inputs, upsampling(x, head))
    # Random weights are small, so the images would be grey.
    model.layers[-1].kernel.assign(6 * model.layers[-1].kernel)
    return model


def image_to_image(size, channels=3):
    inputs = keras.Input((size, size, channels), name="photo")
    return keras.Model(inputs, layers.Conv2D(3, 3, padding="same")(inputs))


class TestUnknownSizes:
    @pytest.mark.parametrize(
        "shape", [(None, None, 16), (1, 1, 16), (1, None, 16), (16,)]
    )
    def test_a_map_of_one_position_is_a_vector(self, shape, tmp_path):
        """As the DCGANs are that were converted from PyTorch."""
        dcgan(shape).save(tmp_path / "gan.keras")
        prior = priors.load(tmp_path / "gan.keras")

        assert prior.shape == (32, 32, 3)
        assert int(np.prod(prior.latents["z"].shape)) == 16
        z = prior.init([[0, 1]])["z"]
        expected = dcgan()(tf.reshape(z, (1, 16))) / 2 + 0.5
        np.testing.assert_allclose(prior.decode({"z": z}), expected, atol=1e-5)

    def test_a_row_of_vectors_of_unknown_length_has_one(self):
        inputs = keras.Input((None, 16), name="z")
        x = layers.Dense(12, activation="tanh")(layers.GlobalAveragePooling1D()(inputs))
        prior = priors.gan(keras.Model(inputs, layers.Reshape((2, 2, 3))(x)))
        assert prior.latents["z"].shape == (1, 16)

    def test_the_line_for_a_decoder_of_any_size_works(self, run, tmp_path):
        inputs = keras.Input((None, None, 2))
        x = layers.Conv2DTranspose(3, 8, 8, "same", activation="sigmoid")(inputs)
        keras.Model(inputs, x).save(tmp_path / "decoder.keras")

        error = error_of(run("priors", "info", "decoder.keras", code=1))
        assert error.endswith("of any size. Give one in pixels, such as --size=64x64.")
        out = run("priors", "info", "decoder.keras", "--size=64x64").stdout
        assert "64 x 64 x 3" in out
        error = error_of(run("priors", "info", "decoder.keras", "--size=61", code=1))
        assert "multiples of 8 and 8 pixels, not 61 and 61. Give --size=64x64" in error


class TestInputsOfClasses:
    @pytest.fixture
    def conditional(self, tmp_path):
        """A file of a generator that selects one of five classes; a float input."""
        z, label = keras.Input((8,), name="z"), keras.Input((1,), name="the label")
        code = layers.Flatten()(layers.Embedding(5, 8)(label))
        x = layers.Reshape((1, 1, 16))(layers.Concatenate()([z, code]))
        keras.Model([z, label], upsampling(x)).save(tmp_path / "cgan.keras")

    @pytest.mark.usefixtures("conditional")
    def test_the_line_of_the_message_works(self, run):
        error = error_of(run("priors", "check", "cgan.keras", code=1))
        assert error == (
            "Error: Input 'the label' of the generator selects one of 5 classes, which "
            "cannot be optimized, as there is no gradient. Hold it constant: --give "
            "'the label=0', or another number up to 4."
        )
        given = ("--give", "the label=0")
        result = run("priors", "check", "cgan.keras", *given, "--json", code=1)
        assert json.loads(result.stdout)["classes_of_the label"] == 5
        out = run("priors", "info", "cgan.keras", *given).stdout
        assert "latent    the label: 1, one of 5 classes, held" in out

    @pytest.mark.usefixtures("conditional")
    def test_python_is_told_the_argument(self, tmp_path):
        with pytest.raises(ValueError, match=r"constant: given={'the label': 0}, or"):
            priors.load(tmp_path / "cgan.keras")
        with pytest.raises(ValueError, match="from 0 to 4. Received: 5"):
            priors.load(tmp_path / "cgan.keras", given={"the label": 5})

    def test_a_one_hot_vector_that_is_optimized_is_reported(self):
        z, label = keras.Input((6,), name="z"), keras.Input((10,), name="label_input")
        x = layers.Reshape((1, 1, 16))(layers.Concatenate()([z, label]))
        model = keras.Model([z, label], upsampling(x))
        (warning,) = [w for w in checked(priors.gan(model))[1] if "label" in w]
        assert (
            "one of 10 classes, as a one-hot vector, hold it: latents={'la" in warning
        )
        held = checked(priors.gan(model, latents={"label_input": 3}))[1]
        assert not any("label" in warning for warning in held)


class TestChecked:
    """Each thing that is planted is reported, and by one warning with the way out."""

    def warnings(self, model, **settings):
        return checked(priors.gan(model, **settings))[1]

    def test_a_good_generator(self):
        facts, warnings = checked(priors.gan(dcgan()))
        assert warnings == []
        assert facts["neighbours"] > 0.6
        assert facts["nearly_black"] == facts["nearly_white"] == 0

    @pytest.mark.parametrize(
        ("bias", "word"), [(-4.0, "black"), (4.0, "white"), (0.0, "grey")]
    )
    def test_images_that_show_nothing(self, bias, word):
        model = dcgan()
        model.layers[-1].kernel.assign(0.01 * model.layers[-1].kernel)
        model.layers[-1].bias.assign([bias] * 3)
        facts, warnings = checked(priors.gan(model))

        assert facts[f"nearly_{word}"] == 1
        assert warnings[0].startswith(f"32 of 32 random images are nearly {word} all")
        assert "random images are all alike" in warnings[1]

    @pytest.mark.parametrize(("scale", "word"), [(0.02, "larger"), (50.0, None)])
    def test_latents_of_another_scale(self, scale, word):
        """The decoder was trained with latents of a scale of 1 / scale."""
        inner = dcgan()
        inputs = keras.Input((16,), name="code")
        model = keras.Model(inputs, inner(layers.Rescaling(scale)(inputs)))
        told = [w for w in self.warnings(model) if "with latents 4 times" in w]

        if word is None:
            assert told == []
        else:
            assert told[0].startswith(f"with latents 4 times {word}, random images are")
            assert "`calibrate` measures it on photos" in told[0]
            assert "latents={'code': tfviz.priors.gaussian(16, stddev=4)}" in told[0]

    def test_latents_of_a_smaller_scale(self):
        """Far from zero, this decoder makes white images."""
        inner = dcgan()
        inputs = keras.Input((16,), name="code")
        length = keras.ops.sum(inputs**2, axis=1)[:, None, None, None]
        far = 0.5 * keras.ops.relu(length - 4)
        logits = 2 * inner(inputs) + far
        model = keras.Model(inputs, keras.ops.tanh(logits))
        told = [w for w in self.warnings(model) if "with latents 4 times" in w]

        assert told[0].startswith("with latents 4 times smaller, random images are")
        assert "gaussian(16, stddev=0.25)" in told[0]

    def test_images_like_noise(self):
        inputs = keras.Input((192,), name="z")
        model = keras.Model(inputs, keras.ops.tanh(layers.Reshape((8, 8, 3))(inputs)))
        facts, warnings = checked(priors.gan(model))
        assert abs(facts["neighbours"]) < 0.1
        assert "look like noise" in warnings[0]

    def test_neighbours_are_correlated_as_numpy_says(self):
        facts, _ = checked(priors.gan(dcgan()))
        images = priors.gan(dcgan()).sample(32)
        images -= images.mean(axis=(1, 2), keepdims=True)
        pairs = images[:, :, 1:].ravel(), images[:, :, :-1].ravel()
        assert facts["neighbours"] == pytest.approx(np.corrcoef(*pairs)[0, 1], abs=0.03)

    @pytest.mark.parametrize(
        ("size", "channels", "told"), [(32, 3, True), (32, 2, False), (16, 3, False)]
    )
    def test_an_input_that_is_an_image(self, size, channels, told):
        model = image_to_image(size, channels)
        prior = priors.autoencoder(model, value_range=(-4, 4))
        warnings = [w for w in checked(prior)[1] if "image-to-image network?" in w]
        assert bool(warnings) == told
        if told:
            assert (
                "the input 'latent' has the form of an image, 32 x 32 x 3"
                in warnings[0]
            )


class TestFiles:
    def test_weights_alone(self, run, tmp_path):
        dcgan().save_weights(tmp_path / "gan.weights.h5")
        result = run("priors", "check", "gan.weights.h5", code=2)
        assert (
            "'gan.weights.h5' holds the weights of a Keras model without its "
            "architecture. Build the model in Python with the code that it was trained "
            "with, load them with model.load_weights('gan.weights.h5'), and save it "
            "with model.save('name.keras')." in error_of(result)
        )
        with pytest.raises(
            ValueError, match="weights of a Keras model without its arc"
        ):
            priors.load("gan.weights.h5")

    @pytest.mark.filterwarnings("ignore:.*is loaded with tf_keras")
    @pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
    def test_a_file_of_an_older_keras(self, run, tmp_path):
        own = tf_keras.layers
        inputs = own.Input((16,), name="z")
        x = upsampling(own.Reshape((1, 1, 16))(inputs), "sigmoid", own)
        tf_keras.Model(inputs, x).save(tmp_path / "old.h5")
        out = run("priors", "info", "old.h5").stdout
        assert "32 x 32 x 3, from 0 (black) to 1 (white), read from its last" in out

    def test_a_saved_model_without_activation(self, run, tmp_path):
        net = tf.Module()
        net.table = tf.Variable(tf.random.stateless_normal((6, 48), (0, 1)))
        net.make = tf.function(
            lambda z: {"image": tf.reshape(z @ net.table, (-1, 4, 4, 3)) / 9},
            input_signature=[tf.TensorSpec((None, 6), name="z")],
        )
        tf.saved_model.save(net, str(tmp_path / "net"), signatures=net.make)
        error = error_of(run("priors", "check", "net", code=1))
        assert "Give --range=-1,1 if that fits the images" in error
        assert "as given" in run("priors", "info", "net", "--range=-1,1").stdout

    @pytest.fixture
    def with_lambda(self, tmp_path):
        inputs = keras.Input((16,), name="z")
        x = upsampling(layers.Reshape((1, 1, 16))(inputs))
        image = layers.Lambda(lambda x: (x + 1) / 2)(x)
        keras.Model(inputs, image).save(tmp_path / "gan.keras")

    @pytest.mark.usefixtures("with_lambda")
    def test_python_code_in_a_file_is_allowed_each_time(self, run, tmp_path):
        error = error_of(run("priors", "info", "gan.keras", code=1))
        assert "a Lambda layer" in error
        assert "--allow-unsafe" in error
        out = run("priors", "info", "gan.keras", "--allow-unsafe").stdout
        assert "from 0 (black) to 1 (white), read from its last activation, tanh" in out
        spec = priors.load(tmp_path / "gan.keras", allow_unsafe=True).spec
        assert "allow_unsafe" not in spec
        with pytest.raises(ValueError, match="a Lambda layer"):
            priors.from_spec(spec)
        assert priors.from_spec(spec, allow_unsafe=True).spec == spec

    @pytest.mark.slow
    @pytest.mark.usefixtures("with_lambda")
    def test_a_picture_does_not_allow_python_code(self, run):
        rendered = ("fire8:2", "--param", "gan.keras", *FAST[2:], "--candidates", 1)
        run("render", *rendered, "-o", "out", "--allow-unsafe")
        assert "allow_unsafe" not in json.dumps(read_spec("out/fire8-2.png"))
        again = ("render", "--from", "out/fire8-2.png", "-o", "again")
        assert "a Lambda layer" in error_of(run(*again, code=1))
        run(*again, "--allow-unsafe")
        one, other = (Path(f, "fire8-2.png").read_bytes() for f in ("out", "again"))
        assert one == other

    def test_layers_of_your_own(self, run, tmp_path, monkeypatch):
        code = (
            "import keras\n"
            "class Doubled(keras.layers.Layer):\n"
            "    def call(self, x):\n"
            "        return 2 * keras.ops.tanh(x)\n"
        )
        (tmp_path / "my_layers.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        from my_layers import Doubled

        inputs = keras.Input((16,), name="z")
        x = upsampling(layers.Reshape((1, 1, 16))(inputs), None)
        keras.Model(inputs, Doubled()(x)).save(tmp_path / "gan.keras")
        try:
            assert "Doubled" in error_of(run("priors", "check", "gan.keras", code=1))
            out = run("priors", "info", "gan.keras", "--custom", "my_layers:Doubled")
            assert "from -2 (black) to 2 (white), read from" in out.stdout
        finally:
            keras.saving.get_custom_objects().pop("Doubled", None)
