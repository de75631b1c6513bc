"""The range and the classes that the graph of any generator tells."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tfviz import priors
from tfviz.priors._reading import read
from tfviz.priors._value_range import likely_range

layers, ops = keras.layers, keras.ops
SPEC = {"z": tf.TensorSpec((1, 2, 2, 3))}


def read_function(function):
    return read(lambda values: function(values["z"]), SPEC)


def range_of(function):
    return read_function(function).value_range


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (tf.tanh, (-1, 1)),
        (tf.sigmoid, (0, 1)),
        (lambda z: (tf.tanh(z) + 1) / 2, (0, 1)),
        (lambda z: 127.5 * tf.tanh(z) + 127.5, (0, 255)),
        (lambda z: 1 - 2 * tf.sigmoid(z), (-1, 1)),
        (lambda z: -tf.sigmoid(z), (-1, 0)),
        (lambda z: tf.clip_by_value(z, -1, 1), (-1, 1)),
        (lambda z: tf.clip_by_value(tf.tanh(z), 0, 9), (0, 1)),
        (lambda z: tf.nn.relu(tf.tanh(z)), (0, 1)),
        (lambda z: tf.minimum(tf.nn.relu(z), 1), (0, 1)),
        (lambda z: tf.cast(tf.tanh(tf.cast(z, tf.float16)), tf.float32), (-1, 1)),
        (lambda z: tf.image.resize(tf.tanh(z), (8, 8), "nearest"), (-1, 1)),
        (lambda z: tf.image.resize(tf.tanh(z), (8, 8)), (-1, 1)),
        (lambda z: tf.concat([tf.tanh(z), tf.sigmoid(z)], 3), (-1, 1)),
        (lambda z: tf.pad(2 + tf.tanh(z), [(0, 0), (1, 1), (1, 1), (0, 0)]), (0, 3)),
        (lambda z: tf.transpose(tf.tanh(z), (0, 2, 1, 3))[:, 1:], (-1, 1)),
        (lambda z: tf.function(lambda x: 3 * tf.function(tf.tanh)(x))(z), (-3, 3)),
        (lambda z: tf.math.softsign(z), (-1, 1)),
        (keras.activations.hard_sigmoid, (0, 1)),
        # Nothing, or not enough, is known.
        (lambda z: z, None),
        (tf.nn.relu, None),
        (lambda z: tf.tanh(z) * z, None),
        (lambda z: tf.tanh(z) * [1.0, 2.0, 3.0], None),
        (lambda z: 1 / tf.sigmoid(z), None),
        (lambda z: tf.tanh(z) / 0, None),
        (lambda z: tf.concat([tf.tanh(z), z], 3), None),
        (tf.nn.softmax, None),
    ],
)
def test_the_ending_of_a_function(ending, expected):
    assert range_of(ending) == expected


def test_the_limits_hold_for_any_values():
    """And are reached: a range that is read is the one that large latents show."""
    z = tf.constant(np.linspace(-40, 40, 120).reshape(10, 2, 2, 3), tf.float32)
    for ending in (
        lambda z: 127.5 * tf.tanh(z) + 127.5,
        lambda z: 0.3 - tf.sigmoid(z) / 4,
        lambda z: tf.clip_by_value(tf.tanh(z), -0.5, 2),
        lambda z: tf.pad(tf.sigmoid(z) - 3, [(0, 0), (1, 1), (1, 1), (0, 0)]),
    ):
        values = ending(z).numpy()
        np.testing.assert_allclose(
            range_of(ending), (values.min(), values.max()), atol=1e-5
        )


def image_head(keras_package, head):
    """Return a small generator of 8 by 8 pixels that ends in some layers."""
    own = keras_package.layers
    inputs = own.Input((5,), name="z")
    x = own.Reshape((2, 2, 3))(own.Dense(12)(inputs))
    x = own.UpSampling2D(2)(x)
    for layer in head(own):
        x = layer(x)
    return keras_package.Model(inputs, x)


HEADS = {
    "argument": (lambda own: [own.Conv2D(3, 1, activation="tanh")], (-1, 1)),
    "layer": (lambda own: [own.Conv2D(3, 1), own.Activation("sigmoid")], (0, 1)),
    "rescaled": (
        lambda own: [own.Activation("tanh"), own.Rescaling(127.5, 127.5)],
        (0, 255),
    ),
    "shapes": (
        lambda own: [
            own.Activation("tanh"),
            own.Cropping2D(1),
            own.UpSampling2D(2, interpolation="bilinear"),
            own.Dropout(0.5),
            own.Permute((2, 1, 3)),
            own.Reshape((4, 4, 3)),
            own.ZeroPadding2D(1),
        ],
        (-1, 1),
    ),
    "lambda": (lambda own: [own.Lambda(lambda x: tf.tanh(x) / 2 + 0.5)], (0, 1)),
    "ReLU": (lambda own: [own.ReLU(max_value=1.0)], (0, 1)),
    "leaky": (lambda own: [own.LeakyReLU()], None),
    "convolution": (lambda own: [own.Activation("tanh"), own.Conv2D(3, 1)], None),
    "batch norm": (
        lambda own: [own.Activation("tanh"), own.BatchNormalization()],
        None,
    ),
}


@pytest.mark.parametrize("package", [keras, tf_keras], ids=["keras", "tf_keras"])
@pytest.mark.parametrize("head", HEADS)
def test_the_head_of_a_model(package, head):
    build, expected = HEADS[head]
    model = image_head(package, build)
    inner = package.Sequential([package.layers.Input((5,)), model])
    for each in (model, inner):
        spec = {"z": tf.TensorSpec((1, 5))}
        assert read(lambda v, m=each: m(v["z"]), spec).value_range == expected


def test_a_generator_that_computes_with_16_bits():
    model = image_head(
        keras,
        lambda own: [
            own.Conv2D(3, 1, activation="tanh", dtype="mixed_float16"),
            own.Activation("linear", dtype="float32"),
        ],
    )
    prior = priors.gan(model)

    assert prior.value_range == (-1, 1)
    assert prior.range_source == "read from its last activation, tanh"
    assert prior.sample(1).dtype == np.float32


class TestClasses:
    def conditional(self, package=keras, label="int32", code="embedding"):
        own = package.layers
        z = own.Input((4,), name="z")
        number = own.Input((1,), name="label", dtype=label)
        if code == "embedding":
            coded = own.Flatten()(own.Embedding(7, 4)(number))
        else:
            coded = own.CategoryEncoding(6, output_mode="one_hot")(number)
        x = own.Dense(12, activation="sigmoid")(own.Concatenate()([z, coded]))
        return package.Model([z, number], own.Reshape((2, 2, 3))(x))

    @pytest.mark.parametrize(
        ("settings", "count"),
        [
            ({}, 7),
            ({"label": "float32"}, 7),
            ({"code": "one-hot"}, 6),
            ({"package": tf_keras}, 7),
            ({"package": tf_keras, "label": "float32"}, 7),
        ],
    )
    def test_the_number_is_read_and_required(self, settings, count):
        model = self.conditional(**settings)
        hold = (
            rf"Input 'label' of the generator selects one of {count} classes.* Hold it "
            rf"constant: latents={{'label': 0}}, or another number up to {count - 1}\."
        )
        with pytest.raises(ValueError, match=hold):
            priors.gan(model)
        assert priors.gan(model, latents={"label": 3}).reading.classes == {
            "label": count
        }

    def test_a_number_without_an_axis(self):
        own = keras.layers
        z, number = own.Input((4,)), own.Input((), name="label", dtype="int32")
        x = own.Concatenate()([z, own.Embedding(7, 4)(number)])
        x = own.Dense(12, activation="sigmoid")(x)
        model = keras.Model([z, number], own.Reshape((2, 2, 3))(x))

        with pytest.raises(ValueError, match="'label' .* selects one of 7 classes"):
            priors.gan(model)
        assert priors.gan(model, latents={"label": 3}).shape == (2, 2, 3)

    def test_a_class_that_does_not_exist(self):
        with pytest.raises(
            ValueError, match="one of 7 classes, from 0 to 6. Received: 7"
        ):
            priors.gan(self.conditional(), latents={"label": 7})

    def test_in_a_saved_model(self, tmp_path):
        net = tf.Module()
        net.table = tf.Variable(tf.random.stateless_normal((9, 12), (0, 1)))
        net.make = tf.function(
            lambda z, y: {"image": tf.reshape(tf.tanh(z + tf.gather(net.table, y)),
                                              (-1, 2, 2, 3))},
            input_signature=[
                tf.TensorSpec((None, 12), name="z"),
                tf.TensorSpec((None,), tf.int32, name="y"),
            ],
        )  # fmt: skip
        tf.saved_model.save(net, str(tmp_path), signatures=net.make)

        with pytest.raises(ValueError, match="'y' of the generator selects one of 9"):
            priors.saved_model(tmp_path)
        prior = priors.saved_model(tmp_path, latents={"y": 8})
        assert prior.value_range == (-1, 1)
        assert prior.reading.classes == {"y": 9}


class TestUnknownRange:
    def linear(self, scale, offset):
        """Return a generator whose values are normal, with this scale and offset."""
        inputs = keras.Input((12,), name="z")
        x = layers.Reshape((2, 2, 3))(inputs)
        return keras.Model(inputs, layers.Rescaling(scale, offset)(x))

    @pytest.mark.parametrize(
        ("scale", "offset", "proposed"),
        [
            (0.15, 0.5, "value_range=(0, 1) if that fits"),
            (0.35, 0, "value_range=(-1, 1) if that fits"),
            (40, 128, "value_range=(0, 255) if that fits"),
        ],
    )
    def test_the_usual_range_that_fits_is_proposed(self, scale, offset, proposed):
        with pytest.raises(ValueError, match="does not end in an activation") as error:
            priors.gan(self.linear(scale, offset))
        assert proposed in str(error.value)

    def test_what_was_measured_is_said(self):
        with pytest.raises(ValueError, match="random images, the values lie") as error:
            priors.gan(self.linear(1.0, 0.2))
        z = np.asarray(default_values())
        low, high = np.percentile(z + 0.2, [1, 99])
        text = str(error.value)
        assert f"lie between {z.min() + 0.2:.2f} and {z.max() + 0.2:.2f}" in text
        assert f"98 % of them between {low:.2f} and {high:.2f}" in text
        assert "or the range of the images that it was trained on" in text

    def test_images_that_are_not_finite(self):
        with pytest.raises(ValueError, match="images that are not finite. Check its"):
            priors.gan(self.linear(np.inf, 0.0))

    def test_a_range_that_is_given_is_used(self):
        prior = priors.gan(self.linear(1.0, 0.0), value_range=(-2, 2))
        assert (prior.value_range, prior.range_source) == ((-2, 2), "as given")


def default_values():
    """Return the latents of the images that are measured."""
    latent = priors.gaussian(12, length=priors.usual_length(12))
    return latent.start([[0, number] for number in range(16)])


@pytest.mark.parametrize(
    ("measured", "usual"),
    [((-0.2, 1.4), (0, 1)), ((-0.4, 1.1), (-1, 1)), ((2, 249), (0, 255)),
     ((-110, 140), None), ((-2, 2), None), ((0, 9), None)],
)  # fmt: skip
def test_usual_ranges(measured, usual):
    assert likely_range(*measured) == usual


def test_a_range_that_contradicts_the_activation_is_warned_of_and_used():
    model = image_head(keras, HEADS["argument"][0])
    told = (
        r"value_range=\(0, 1\) contradicts the generator, whose last activation, tanh, "
        r"gives values from -1 to 1. .* or give value_range=\(-1, 1\)"
    )
    with pytest.warns(UserWarning, match=told):
        prior = priors.gan(model, value_range=(0, 1))
    assert prior.value_range == (0, 1)
    assert prior.reading.value_range == (-1, 1)


def test_a_calibrated_prior_keeps_what_was_read():
    prior = priors.gan(image_head(keras, HEADS["argument"][0]))
    calibrated = prior.calibrate(4)
    assert calibrated.reading == prior.reading
    assert calibrated.range_source == prior.range_source
