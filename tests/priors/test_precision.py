"""Decoders that compute with 16 bits: nearly the same images and gradients."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support import FAST, error_of, manifest, seeds_for
from tfviz import images, priors
from tfviz.priors._gan import gan_prior
from tfviz.priors._gan_networks import gan_generator
from tfviz.priors._precision import in_precision

layers = keras.layers
# The largest difference of a pixel from 32 bits; files have steps of 0.004.
LARGEST = {"bfloat16": 0.05, "float16": 0.02}


def dense_generator():
    keras.utils.set_random_seed(5)
    given = keras.Input((16,), name="z")
    x = layers.Dense(4 * 4 * 12, activation="relu")(given)
    x = layers.UpSampling2D(4)(layers.Reshape((4, 4, 12))(x))
    x = layers.BatchNormalization()(x)
    return keras.Model(given, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def map_decoder():
    keras.utils.set_random_seed(6)
    given = keras.Input((None, None, 4), name="map")
    x = layers.Conv2D(16, 3, padding="same", activation="gelu")(given)
    return keras.Model(given, layers.Conv2DTranspose(3, 4, 2, "same")(x))


def trained_gan(precision):
    settings = {"condition": 12, "z": 8, "widths": (24, 16, 8), "variant": "classes"}
    generator = gan_generator(12, 8, settings["widths"], seed=3)
    arrays = {f"generator/{k}": w for k, w in enumerate(generator.get_weights())}
    return gan_prior(settings, arrays, precision=precision)


PRIORS = {
    "inverter": lambda p: priors.load("inverter", precision=p),
    "autoencoder": lambda p: priors.load("autoencoder", (40, 48), precision=p),
    "gan": trained_gan,
    "keras": lambda p: priors.gan(dense_generator(), value_range=(-1, 1), precision=p),
    "map": lambda p: priors.autoencoder(
        map_decoder(), value_range=(0, 1), height=8, precision=p
    ),
}


def image_and_gradients(prior):
    """Return images, and the gradient of a smooth score of them, in float32."""
    latents = {k: tf.convert_to_tensor(v) for k, v in prior.init(seeds_for(3)).items()}
    weights = tf.random.stateless_normal((3, *prior.shape), (0, 1))
    weights = tf.nn.avg_pool2d(weights, 5, 1, "SAME")

    def decode(latents):
        made = prior.decode(latents)
        return made, tf.gradients(tf.reduce_sum(made * weights), [*latents.values()])

    made, gradients = tf.function(decode, autograph=False)(latents)
    assert made.dtype == tf.float32
    flat = [tf.reshape(gradient, (-1,)).numpy() for gradient in gradients]
    return made.numpy(), np.concatenate(flat)


@pytest.mark.parametrize("precision", LARGEST)
@pytest.mark.parametrize("name", PRIORS)
def test_images_and_gradients_are_nearly_the_same(name, precision):
    made, gradient = image_and_gradients(PRIORS[name](None))
    rounded, other = image_and_gradients(PRIORS[name](precision))

    apart = np.abs(rounded - made)
    assert 0 < apart.max() < LARGEST[precision]
    assert np.isfinite(other).all()
    cosine = gradient @ other / np.linalg.norm(gradient) / np.linalg.norm(other)
    assert cosine > 0.98


@pytest.mark.parametrize("precision", LARGEST)
def test_layers_compute_with_16_bits_only_in_the_call(precision):
    model = map_decoder()
    policies = [layer.dtype_policy.name for layer in model.layers]
    maps = np.ones((1, 4, 4, 4), np.float32)
    with in_precision(model, precision):
        assert tf.as_dtype(model(maps).dtype).name == precision
        assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model(maps).dtype == tf.float32
    with pytest.raises(ZeroDivisionError), in_precision(model, precision):
        1 / 0  # noqa: B018
    assert [layer.dtype_policy.name for layer in model.layers] == policies


def test_the_description_holds_the_precision(tmp_path):
    dense_generator().save(tmp_path / "gan.keras")
    for source, more in (
        ("inverter", {}),
        (str(tmp_path / "gan.keras"), {"value_range": (-1, 1)}),
        ("inverter+autoencoder", {"size": 64}),
    ):
        prior = priors.load(source, precision="bfloat16", **more)
        again = priors.from_spec(json.loads(json.dumps(prior.spec)))
        assert again.spec == prior.spec
        assert again.spec["precision"] == "bfloat16"
        latents = prior.init(seeds_for(1))
        made = np.asarray(prior.decode(latents))
        np.testing.assert_array_equal(again.decode(latents), made)
        exact = priors.load(source, **more).decode(latents)
        assert 0 < np.abs(made - exact).max() < 0.05


def test_what_cannot_compute_with_16_bits_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`precision` must be 'bfloat16', 'float16'"):
        priors.load("inverter", precision="half")
    old = tf_keras.Sequential([tf_keras.layers.Dense(12, input_shape=(4,))])
    with pytest.raises(ValueError, match="Only models of Keras 3 can compute with 16"):
        priors.gan(old, value_range=(0, 1), precision="float16")
    with pytest.raises(ValueError, match="takes no `precision`"):
        priors.load("hub:https://example.com/x", precision="float16")


@pytest.mark.slow
@pytest.mark.usefixtures("_short")
def test_the_command_line(run):
    job = ["render", "fire2:3", "-o", "out", *FAST[2:], "--param", "inverter"]
    run(*job, "--precision", "float16")
    spec = images.read_spec("out/fire2-3.png")
    assert spec["param"]["precision"] == "float16"
    assert np.isfinite(manifest("out")[0]["score"])
    line = error_of(run(*job, code=1))
    assert 'param.precision is "float16" there and not set here' in line
    line = error_of(
        run("render", "fire2:3", "-o", "o", *FAST, "--precision=float16", code=2)
    )
    assert "--precision is for learned priors" in line
