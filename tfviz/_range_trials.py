"""What a model does with photos in several ranges."""

from copy import copy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz._adapter import LOGITS, PROBABILITIES, Adapter

# Photos at once.
BATCH = 8

RIVALS = ("0,1", "-1,1", "0,255", "caffe", "torch")
FOR_COLOUR = ("caffe", "torch")

# The first normalizations see the range of the input most plainly.
NORMALIZATIONS = 2
# Channels that are scaled to nothing tell nothing about what goes in.
LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class RangeTrial:
    """What a model does with photos in one range.

    Attributes:
        preprocess: The name of the range.
        probabilities: `(photos, classes)`.
        movement: How far the outputs before the softmax move from a flat picture of
            the photo's mean colour to the photo: the standard deviation over the
            classes of the difference, for the middle one of the photos.
        misfit: How far the inputs of the first batch normalizations are from those of
            training: the Kullback-Leibler divergence of normal distributions, for the
            middle one of the channels. None for a model without such layers.
    """

    preprocess: str
    probabilities: NDArray[np.float32]
    movement: float
    misfit: float | None


def trials_of(adapter: Adapter, photos: NDArray[np.float32]) -> tuple[RangeTrial, ...]:
    """Try a model on photos with the range as used, then with others.

    Args:
        adapter: Of the model.
        photos: `(n, height, width, channels)` in [0, 1], of the model's size.
    """
    used = adapter.preprocess
    rivals = [
        preprocessing.resolve(name)
        for name in RIVALS
        if not same(name, used.name)
        and (adapter.channels == 3 or name not in FOR_COLOUR)
    ]
    normalizations = _normalizations(adapter)
    measured = _compiled(adapter, tuple(normalizations))
    flat = tf.zeros_like(photos) + photos.mean(axis=(1, 2), keepdims=True)
    photos = tf.constant(photos)
    trials = []
    for preprocess in (used, *rivals):
        parts = []
        for start in range(0, len(photos), BATCH):
            pair = [x[start : start + BATCH] for x in (photos, flat)]
            parts.append(measured(tf.stack([preprocess.apply(x) for x in pair])))
        change, probabilities, moments = tf.nest.map_structure(
            lambda *batches: np.concatenate([b.numpy() for b in batches]), *parts
        )
        trials.append(
            RangeTrial(
                preprocess.name,
                probabilities,
                _movement(change),
                _misfit(list(normalizations.values()), moments),
            )
        )
    return tuple(trials)


def _compiled(adapter: Adapter, normalizations: tuple[str, ...]) -> Any:
    """Return a function from inputs of a photo and of no photo to what they do.

    Preprocessing is left to the caller, so that the model is traced once.
    """
    bare = copy(adapter)
    bare.preprocess = preprocessing.assumed()

    def measured(pairs: Any) -> tuple[Any, ...]:
        n = tf.shape(pairs)[1]
        values = bare.forward(
            tf.reshape(pairs, (-1, *pairs.shape[2:])),
            (LOGITS, PROBABILITIES, *normalizations),
        )
        moments = [tf.nn.moments(values[p][:n], axes=[1, 2]) for p in normalizations]
        logits = values[LOGITS]
        change = logits[:n] - logits[n:]
        return change, values[PROBABILITIES][:n], moments

    spec = tf.TensorSpec((2, None, *adapter.size, adapter.channels), tf.float32)
    return tf.function(measured, [spec], autograph=False)


def _movement(change: NDArray[np.float32]) -> float:
    if change.shape[1] == 1:  # a sigmoid: against a second class that stays at 0
        change = np.pad(change, ((0, 0), (0, 1)))
    return float(np.median(change.std(axis=1, dtype=np.float64)))


def _normalizations(adapter: Adapter) -> dict[str, Any]:
    """Return the first batch normalizations that were ever trained, by path."""
    operations = adapter._survey(adapter.size).operations
    trained = {
        layer.path: operations[layer.path]
        for layer in adapter.layers()
        if layer.kind == "BatchNormalization"
        and len(layer.shape) == 4
        and np.any(operations[layer.path].moving_mean)
    }
    return dict(islice(trained.items(), NORMALIZATIONS))


def _misfit(layers: list[Any], moments: list[Any]) -> float | None:
    """Compare what batch normalizations gave out with what they give in training.

    Args:
        layers: The layers.
        moments: Of the outputs of each: means and variances of each photo,
            `(photos, channels)`.
    """
    found = []
    for layer, (means, variances) in zip(layers, moments, strict=True):
        mean = means.mean(axis=0, dtype=np.float64)
        variance = variances.mean(axis=0, dtype=np.float64) + means.var(axis=0)
        # scale * z + shift, where z is standard normal in training.
        scale = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
        shift = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
        kept = np.abs(scale) > LEAST_SCALE
        if kept.any():
            mean = (mean - shift)[kept] / scale[kept]
            variance = np.maximum(variance[kept] / scale[kept] ** 2, 1e-9)
            divergence = (mean**2 + variance - 1 - np.log(variance)) / 2
            found.append(float(np.median(divergence)))
    return float(np.mean(found)) if found else None


def same(name: str, other: str) -> bool:
    """Return whether two names are of the same map."""
    return {name, other} == {"tf", "-1,1"} or name == other
