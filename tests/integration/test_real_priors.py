"""Priors of generators that others trained, rendered for the bundled network."""

import numpy as np
import pytest
import tensorflow as tf

import tfviz
from tfviz import priors, transforms

pytestmark = [pytest.mark.data, pytest.mark.slow]

# The options that each file needs, and what limits its values.
GENERATORS = {
    "anime_faces_gan_64.h5": ({}, "sigmoid"),
    "cat_faces_gan_64.h5": ({"value_range": (0, 1)}, ""),
    "fashion_cgan_two_inputs.h5": ({"given": {"label Input": 3}}, "sigmoid"),
    "medical_vae_decoder_64.keras": ({}, "sigmoid"),
    "mnist_vae_decoder.keras": ({}, "sigmoid"),
    "spatial_decoder_savedmodel": ({}, "sigmoid"),
}
# The error without these options.
ERRORS = {
    "cat_faces_gan_64.h5": "98 % of them between 0.02 and 0.99. Give val.*=.0, 1.",
    "fashion_cgan_two_inputs.h5": "one of 10 classes.*: given={.label Input.: 0}",
}


@pytest.mark.filterwarnings("ignore:.*is loaded with tf_keras")
@pytest.mark.parametrize("name", GENERATORS)
def test_rendering_raises_the_score_above_that_of_random_images(name, data, squeezenet):
    path = data / "models" / "generators" / name
    options, activation = GENERATORS[name]
    param = priors.load(path, **options)
    # With the default of 0.05, the conditional GAN loses what its best start had.
    rate = 0.01 if "cgan" in name else None
    result = tfviz.render(
        squeezenet,
        "fire8:5",
        param,
        transforms.none(),
        steps=60,
        learning_rate=rate,
    )

    assert param.value_range == (0, 1)
    assert param.reading.activation == activation
    assert priors.checked(param)[1] == []
    assert result.drawn.tolist() == [32]
    assert result.images.shape[1:] == param.shape
    assert (result.unit_scores > result.start_scores).all()


@pytest.mark.filterwarnings("ignore:.*is loaded with tf_keras")
@pytest.mark.parametrize("name", ERRORS)
def test_what_has_to_be_typed_is_said(name, data):
    with pytest.raises(ValueError, match=ERRORS[name]):
        priors.load(data / "models" / "generators" / name)


def test_taesd_reaches_classes(data, squeezenet):
    classes = {"goldfish": 1, "lion": 291, "acoustic guitar": 402, "strawberry": 949}
    param = priors.load(data / "taesd" / "taesd_decoder.safetensors", 112)
    units = [f"logit:{index}" for index in classes.values()]
    result = tfviz.render(squeezenet, units, param, steps=100)

    probabilities = tf.nn.softmax(squeezenet.logits(result.views)).numpy()
    reached = probabilities[np.arange(4), list(classes.values())]
    assert (reached > 0.9).all(), reached
