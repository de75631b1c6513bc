"""Recipe of the encoder of a GAN: a classifier of photos, trained on their labels.

Its file holds the network without batch normalizations; a GAN compares images by its
activations, and codes are computed from these.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter, adapt
from tfviz.priors._gan_networks import (
    ENCODER_BLOCKS,
    ENCODER_WIDTHS,
    folded_weights,
    gan_encoder,
)
from tfviz.priors._networks import set_weights
from tfviz.priors._trained import read

# The least side of a crop, the share of probability that is spread over all classes,
# and the decay of the weights.
ZOOM, SMOOTHING, WEIGHT_DECAY = 0.5, 0.1, 5e-4
# The learning rate rises linearly over this fraction of the training.
WARM_UP = 0.05


class Classifier:
    """Trains the encoder to name the classes of photos; a `Recipe`.

    Args:
        size: The height and width of the photos, in pixels.
        classes: The number of classes.
        batch: The number of photos in a step.
        learning_rate: The learning rate after the warm-up.
        dtype: The precision policy of the convolutions.
        seed: Random seed of the initial weights.
    """

    zoom = ZOOM

    def __init__(
        self,
        size: int,
        classes: int,
        *,
        batch: int,
        learning_rate: float,
        dtype: str | None = None,
        seed: int = 0,
    ) -> None:
        self.size, self.batch = size, batch
        self.learning_rate = learning_rate
        self._classes = classes
        self.model = gan_encoder(
            classes,
            ENCODER_WIDTHS,
            ENCODER_BLOCKS,
            normalized=True,
            dtype=dtype,
            seed=seed,
        )
        self._optimizer = keras.optimizers.SGD(
            momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        # What a normalization scales needs no decay.
        self._optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self._optimizer.build(self.model.trainable_variables)
        self.exported: Mapping[str, Any] = {v.path: v for v in self.model.variables}
        self.state: list[Any] = [*self.model.variables, *self._optimizer.variables]
        self.settings: Mapping[str, Any] = {
            "kind": "encoder",
            "classes": classes,
            "batch": batch,
            "learning_rate": learning_rate,
        }

    def step(
        self, photos: Any, labels: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch."""
        rise = tf.minimum(1.0, progress / WARM_UP + 1e-3)
        self._optimizer.learning_rate.assign(learning_rate * rise)
        target = tf.one_hot(labels, self._classes)
        target = (1 - SMOOTHING) * target + SMOOTHING / self._classes
        weights = [v.value for v in self.model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            logits = self.model(photos * 2 - 1, training=True)
            entropies = tf.nn.softmax_cross_entropy_with_logits(target, logits)
            loss = tf.reduce_mean(entropies)
        gradients = tape.gradient(loss, weights)
        self._optimizer.apply(gradients, self.model.trainable_variables)
        right = tf.equal(tf.argmax(logits, axis=1), labels)
        return {"loss": loss, "top1": tf.reduce_mean(tf.cast(right, tf.float32))}

    def sample_rows(self, photos: NDArray[Any]) -> list[NDArray[Any]]:
        """Return no rows, as no images are made."""
        return []

    def file_contents(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the settings and the arrays of the encoder's file."""
        plain = gan_encoder(self._classes, ENCODER_WIDTHS, ENCODER_BLOCKS)
        weights = folded_weights(self.model, plain)
        settings = {
            "kind": "encoder",
            "classes": self._classes,
            "size": self.size,
            "widths": list(ENCODER_WIDTHS),
            "blocks": list(ENCODER_BLOCKS),
        }
        return settings, {f"encoder/{k}": value for k, value in enumerate(weights)}


def load_encoder(
    path: Path, *, dtype: str | None = None
) -> tuple[Adapter, dict[str, Any]]:
    """Return the encoder in a file as a network, and the settings in the file.

    Args:
        path: The file, which a GAN's training wrote.
        dtype: The precision policy of the convolutions.

    Raises:
        ValueError: If the file holds no encoder.
        FileNotFoundError: If there is no such file.
    """
    settings, arrays = read(path)
    if settings.get("kind") != "encoder":
        raise ValueError(
            f"{str(path)!r} holds a {settings.get('kind')!r}, not the encoder of a "
            "GAN. Give the encoder.npz that `tfviz priors train gan` wrote."
        )
    model = gan_encoder(
        settings["classes"], settings["widths"], settings["blocks"], dtype=dtype
    )
    set_weights(model, arrays, "encoder")
    return adapt(model, (-1, 1)), settings


def accuracy(
    adapter: Adapter, pixels: NDArray[np.uint8], labels: Sequence[int] | NDArray[Any]
) -> float:
    """Return the fraction of photos whose class an encoder ranks first.

    Args:
        adapter: The encoder.
        pixels: `(n, size, size, 3)`.
        labels: `(n,)`, the classes.
    """
    logits = [
        np.asarray(adapter.logits(pixels[k : k + 100].astype(np.float32) / 255))
        for k in range(0, len(pixels), 100)
    ]
    return float(np.mean(np.concatenate(logits).argmax(axis=1) == np.asarray(labels)))
