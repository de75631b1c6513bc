"""Whether a model gets the range that it was trained on.

Confidence alone does not tell: bytes fed to a network that was trained on [-1, 1]
make it certain of nonsense. What does tell, the surest first:

* batch normalization, which remembers the mean and spread of its inputs in training;
* the true class of the photos, if somebody says it; a weak classifier misses it in its
  own range as well;
* how far a photo moves the outputs, compared to no photo. A trained classifier moves
  them by a few units. In a range that is a hundred times too small it hardly looks at
  the photo; in one that is too large its outputs run away;
* the model's own layers or name, as `preprocessing.detect` reads them.
"""

import os
from copy import copy
from dataclasses import dataclass
from itertools import islice
from math import log
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz.models.adapter import LOGITS, PROBABILITIES, Adapter, adapt
from tfviz.models.inputs import fitted

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


RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"

# The numbers below were chosen on photos and networks whose range is known.
# How many times as likely another range must make the true class.
TRUTH_RATIO = 10.0
# How many times as well another range must fit them, on a photo or two and on more.
# No photo fits quite: a misfit below the floor is as good as none.
MISFIT_RATIO, MISFIT_RATIO_OF_MANY, MANY = 1.75, 1.4, 3
MISFIT_FLOOR = 0.1
# What a photo usually moves the outputs by, and by which factor another range must
# come closer to it.
USUAL_MOVEMENT, MOVEMENT_RATIO = 4.0, 10.0


@dataclass(frozen=True)
class RangeCheck:
    """Whether a model gets the right range.

    Attributes:
        verdict: `right`, `wrong` or `unsure`.
        probable: Where it is wrong, the ranges that it was probably trained on, the
            likeliest first.
        reason: In words, what the verdict stands on.
        trials: With the range as used, then with others.
    """

    verdict: str
    probable: tuple[str, ...]
    reason: str
    trials: tuple[RangeTrial, ...]


def check_range(
    model: Any, images: Any, *, truth: int | str | None = None
) -> RangeCheck:
    """Find out on real photos whether a model gets the range it was trained on.

    The photos should be such as the model was trained on; three tell much more than
    one. With batch normalization, ranges as close as [0, 1] and [-1, 1] are told
    apart. Without it, only a range that is many times too large or too small can be,
    unless the photos' class is known; of others the verdict is `unsure`.

    Args:
        model: What `adapt` takes. Its `preprocess` is what is checked.
        images: A file, a picture `(height, width, channels)` as bytes or floats in
            [0, 1], or a sequence of those.
        truth: The class that all of the photos show, by index, identifier or name.

    Returns:
        The verdict, and the numbers that it stands on.

    Raises:
        ValueError: If an image does not fit, or the model gives no number for each
            class.

    >>> import numpy as np, tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"), (0, 1))
    >>> noise = np.random.default_rng(0).random((64, 64, 3))
    >>> check_range(adapter, noise).probable[0]
    '0,255'
    """
    adapter = adapt(model)
    adapter.require_logits()
    true_class = None if truth is None else adapter.class_index(truth)
    if isinstance(images, (str, os.PathLike)) or getattr(images, "ndim", 0) == 3:
        images = [images]
    photos = [fitted(adapter, image) for image in images]
    if not photos:
        raise ValueError("There is no image to check the range on.")
    shape = adapter._survey(adapter.size).logits_shape[1:]  # type: ignore[index]
    if len(shape) != 1:
        raise ValueError(
            f"Model {adapter.name!r} has an output of shape {tuple(shape)}, not one "
            "number for each class, so there is nothing to name. Render its layers."
        )
    trials = trials_of(adapter, np.stack(photos))
    evidence = (
        _by_normalizations(trials),
        _by_truth(adapter, trials, true_class),
        _by_movement(trials),
        _by_declaration(adapter, trials[0].preprocess),
    )
    found = [finding for finding in evidence if finding]
    sure = [finding for finding in found if finding[0] != UNSURE]
    undecided = UNSURE, (), "the model answers as usual, as it does in other ranges"
    return RangeCheck(*[*sure, *found, undecided][0], trials)


Finding = tuple[str, tuple[str, ...], str]


def _by_truth(
    adapter: Adapter, trials: tuple[RangeTrial, ...], true_class: int | None
) -> Finding | None:
    if true_class is None:
        return None
    likely, hits = [], []
    for trial in trials:
        found = np.maximum(trial.probabilities[:, true_class], 1e-6)
        likely.append(float(np.exp(np.log(found).mean())))
        hits.append(np.mean(trial.probabilities.argmax(axis=1) == true_class))
    best = int(np.argmax(likely))
    # A range that is nearly right finds the class as well.
    if hits[0] >= 0.5 or hits[best] < 0.5 or likely[best] < TRUTH_RATIO * likely[0]:
        return None
    probable = [i for i in np.argsort(likely)[::-1] if likely[i] * 3 > likely[best]]
    name = adapter.class_name(true_class) or f"class {true_class}"
    said = (
        f"{name!r}, which is right, gets {likely[0]:.3g} with {trials[0].preprocess} "
        f"and {likely[best]:.3g} with {trials[best].preprocess}"
    )
    return WRONG, tuple(trials[i].preprocess for i in probable), said


def _by_normalizations(trials: tuple[RangeTrial, ...]) -> Finding | None:
    misfits = [
        trial.misfit + MISFIT_FLOOR for trial in trials if trial.misfit is not None
    ]
    if len(misfits) < len(trials):
        return None
    many = len(trials[0].probabilities) >= MANY
    enough = MISFIT_RATIO_OF_MANY if many else MISFIT_RATIO
    other = 1 + int(np.argmin(misfits[1:]))
    said = "batch normalization gets inputs that are off those of its training by " + (
        " and by ".join(
            f"{t.misfit:.3g} with {t.preprocess}" for t in (trials[0], trials[other])
        )
    )
    if misfits[other] > enough * misfits[0]:
        return RIGHT, (), said
    if misfits[0] > enough * misfits[other]:
        return WRONG, (trials[other].preprocess,), said
    return UNSURE, (), said


def _by_movement(trials: tuple[RangeTrial, ...]) -> Finding | None:
    unusual = [abs(log(max(t.movement, 1e-9) / USUAL_MOVEMENT)) for t in trials]
    order = [int(i) for i in np.argsort(unusual, kind="stable")]
    working = [
        i for i in order if unusual[i] - unusual[order[0]] <= log(MOVEMENT_RATIO)
    ]
    used, best = trials[0], trials[order[0]]
    said = f"photos move the outputs by {used.movement:.3g} with {used.preprocess}"
    # Where no range comes near it, the photo is blank or the network untrained.
    if unusual[order[0]] > 2 * log(MOVEMENT_RATIO):
        return None
    if working == [0]:
        return RIGHT, (), f"{said}, and by far too much or too little in other ranges"
    if 0 in working:
        return None
    said += f" and by {best.movement:.3g} with {best.preprocess}"
    return (
        WRONG,
        tuple(trials[i].preprocess for i in working),
        f"{said}, where {USUAL_MOVEMENT:g} is usual",
    )


def _by_declaration(adapter: Adapter, used: str) -> Finding | None:
    operations = adapter._survey(adapter.size).operations
    told = preprocessing.detect(adapter.model, operations.items())
    if told is None:
        return None
    if same(told.name, used):
        return RIGHT, (), told.source
    return WRONG, (told.name,), told.source
