"""Priors of generators that others trained, rendered for the bundled network."""

import numpy as np
import pytest
import tensorflow as tf

import tfviz
from tfviz import priors, transforms

pytestmark = [pytest.mark.data, pytest.mark.slow]

# The options that each file needs.
GENERATORS = {
    "anime_faces_gan_64.h5": {},
    "cat_faces_gan_64.h5": {},
    "fashion_cgan_two_inputs.h5": {"given": {"label Input": 3}},
    "medical_vae_decoder_64.keras": {},
    "mnist_vae_decoder.keras": {},
    "spatial_decoder_savedmodel": {},
}


@pytest.mark.filterwarnings("ignore:.*is loaded with tf_keras")
@pytest.mark.parametrize("name", GENERATORS)
def test_rendering_raises_the_score_above_that_of_random_images(name, data, squeezenet):
    path = data / "models" / "generators" / name
    param = priors.load(path, value_range=(0, 1), **GENERATORS[name])
    result = tfviz.render(squeezenet, "fire8:5", param, transforms.none(), steps=60)

    assert result.drawn.tolist() == [32]
    assert result.images.shape[1:] == param.shape
    assert (result.unit_scores > result.start_scores).all()


def test_taesd_reaches_classes(data, squeezenet):
    classes = {"goldfish": 1, "lion": 291, "acoustic guitar": 402, "strawberry": 949}
    param = priors.load(data / "taesd" / "taesd_decoder.safetensors", 112)
    units = [f"logit:{index}" for index in classes.values()]
    result = tfviz.render(squeezenet, units, param, steps=100)

    probabilities = tf.nn.softmax(squeezenet.logits(result.views)).numpy()
    reached = probabilities[np.arange(4), list(classes.values())]
    assert (reached > 0.9).all(), reached
