"""Check what docs/peers.md says about Xplique and tf-keras-vis.

    .peers/bin/python benchmarks/peer_facts.py

Runs in the environment that `benchmarks/peers.py` makes; takes about half a minute.
Prints a line for each fact: what was tried, and what came of it.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tf_keras_vis.activation_maximization import ActivationMaximization
from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer
from tf_keras_vis.utils.scores import CategoricalScore
from xplique.features_visualizations import Objective, optimize

SHAPE = (64, 64, 3)


def main() -> None:
    """Try both libraries on three models, and Xplique's sums of objectives."""
    models = {"flat": flat(), "nested": nested(), "subclassed": subclassed()}
    for name, model in models.items():
        attempt(f"Xplique, {name} model", with_xplique, model)
        attempt(f"tf-keras-vis, {name} model", with_tf_keras_vis, model)
    check_sums(models["flat"])


def flat() -> Any:
    """Return a model whose layers are all its own."""
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, name="head"),
        ]
    )


def nested() -> Any:
    """Return a model whose convolution is in a model within it."""
    base = keras.Sequential(flat().layers[:2], name="base")
    image = keras.Input(SHAPE)
    return keras.Model(image, keras.layers.Dense(5, name="head")(base(image)))


def subclassed() -> Any:
    """Return a model that is a class of its own."""

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = keras.layers.Conv2D(8, 3, name="conv")
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.head = keras.layers.Dense(5, name="head")

        def call(self, images: Any) -> Any:
            return self.head(self.pool(self.conv(images)))

    model = Model()
    model(np.zeros((1, *SHAPE), "float32"))
    return model


def with_xplique(model: Any) -> Any:
    """Visualize a channel of the convolution."""
    return optimize(Objective.channel(model, "conv", 1), nb_steps=2)[0][-1]


def with_tf_keras_vis(model: Any) -> Any:
    """Visualize a channel of the convolution."""
    layer = ExtractIntermediateLayer(index_or_name="conv")
    return ActivationMaximization(model, model_modifier=[layer])(
        CategoricalScore(1), steps=2
    )


def attempt(what: str, run: Callable[[Any], Any], model: Any) -> None:
    """Print whether a call works, or what it raises."""
    try:
        print(f"{what}: works, {np.shape(run(model))}")
    except Exception as error:  # whatever it is, it is the answer
        print(f"{what}: {type(error).__name__}: {str(error).splitlines()[0]}")


def check_sums(model: Any) -> None:
    """Print what Xplique makes of a difference and of a weighted sum."""
    first, second = (Objective.channel(model, "conv", k) for k in (0, 1))
    images = tf.random.stateless_uniform((1, *SHAPE), (1, 2))
    a, b = value(first, images), value(second, images)
    print(f"Xplique, a = {a:.4f}, b = {b:.4f}")
    print(f"Xplique, a - b: {value(first - second, images):.4f}, not {a - b:.4f}")
    weighted = value(first * 2 + second * 3, images)
    print(f"Xplique, 2a + 3b: {weighted:.4f}, not {2 * a + 3 * b:.4f}")


def value(objective: Any, images: Any) -> float:
    """Return the value of an objective for one image."""
    model, score, _, _ = objective.compile()
    outputs = model(images)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return float(np.ravel(score(outputs))[0])


if __name__ == "__main__":
    main()
