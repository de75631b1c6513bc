"""Whether a model gets the range that it was trained on.

Confidence alone does not tell: bytes fed to a network that was trained on [-1, 1]
make it certain of nonsense. What does tell, the surest first:

* the true class of the photos, if somebody says it;
* batch normalization, which remembers the mean and spread of its inputs in training;
* how far a photo moves the outputs, compared to no photo. A trained classifier moves
  them by a few units. In a range that is a hundred times too small it hardly looks at
  the photo; in one that is too large its outputs run away;
* the model's own layers or name, as `preprocessing.detect` reads them.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice
from math import log
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz._adapter import LOGITS, PROBABILITIES, Adapter, adapt
from tfviz._photo import fitted

RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"

RIVALS = ("0,1", "-1,1", "0,255", "caffe", "torch")
FOR_COLOUR = ("caffe", "torch")

# The numbers below were chosen on photos and networks whose range is known.
# How many times as likely another range must make the true class.
TRUTH_RATIO = 10.0
# The first normalizations see the range of the input most plainly.
NORMALIZATIONS = 2
# How many times as well another range must fit them. No photo fits quite: a misfit
# below the floor is as good as none.
MISFIT_RATIO, MISFIT_FLOOR = 2.0, 0.1
# Channels that are scaled to nothing tell nothing about what goes in.
LEAST_SCALE = 1e-3
# What a photo usually moves the outputs by, and by which factor another range must
# come closer to it.
USUAL_MOVEMENT, MOVEMENT_RATIO = 4.0, 10.0


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
    true_class = None if truth is None else adapter.class_index(truth)
    several = isinstance(images, (Sequence, np.ndarray)) and not isinstance(images, str)
    if isinstance(images, np.ndarray):
        several = images.ndim == 4
    photos = [fitted(adapter, image) for image in (images if several else [images])]
    if not photos:
        raise ValueError("There is no image to check the range on.")
    trials = _trials(adapter, np.stack(photos))
    found = (
        _by_truth(adapter, trials, true_class)
        or _by_normalizations(trials)
        or _by_movement(trials)
    )
    if not found or found[0] == UNSURE:
        found = _by_declaration(adapter, trials[0].preprocess) or found
    if not found:
        found = UNSURE, (), f"the model answers to {trials[0].preprocess} as models do"
    return RangeCheck(*found, trials)


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
        f"{name!r}, which is right, gets {likely[0]:.2g} with {trials[0].preprocess} "
        f"and {likely[best]:.2g} with {trials[best].preprocess}"
    )
    return WRONG, tuple(trials[i].preprocess for i in probable), said


def _by_normalizations(trials: tuple[RangeTrial, ...]) -> Finding | None:
    misfits = [trial.misfit for trial in trials if trial.misfit is not None]
    if len(misfits) < len(trials):
        return None
    best = int(np.argmin(misfits))
    used, other = trials[0].preprocess, trials[best].preprocess
    said = "batch normalization gets inputs that are off those of its training by "
    if not best:
        return RIGHT, (), f"{said}{misfits[0]:.2g}, and by more in other ranges"
    said += f"{misfits[0]:.2g} with {used} and by {misfits[best]:.2g} with {other}"
    ratio = (misfits[0] + MISFIT_FLOOR) / (misfits[best] + MISFIT_FLOOR)
    if ratio > MISFIT_RATIO:
        return WRONG, (other,), said
    return UNSURE, (), said


def _by_movement(trials: tuple[RangeTrial, ...]) -> Finding | None:
    unusual = [abs(log(max(t.movement, 1e-9) / USUAL_MOVEMENT)) for t in trials]
    order = [int(i) for i in np.argsort(unusual, kind="stable")]
    working = [
        i for i in order if unusual[i] - unusual[order[0]] <= log(MOVEMENT_RATIO)
    ]
    used, best = trials[0], trials[order[0]]
    said = f"photos move the outputs by {used.movement:.2g} with {used.preprocess}"
    if working == [0]:
        return RIGHT, (), f"{said}, and by far too much or too little in other ranges"
    if 0 in working:
        return None
    said += f" and by {best.movement:.2g} with {best.preprocess}"
    return (
        WRONG,
        tuple(trials[i].preprocess for i in working),
        f"{said}, where {USUAL_MOVEMENT:g} is usual",
    )


def _by_declaration(adapter: Adapter, used: str) -> Finding | None:
    operations = adapter._survey(adapter.size).operations
    told = preprocessing.detect(adapter.model, operations.items())
    if told is None or _same(told.name, used):
        return None
    return WRONG, (told.name,), told.source


def _trials(adapter: Adapter, photos: NDArray[np.float32]) -> tuple[RangeTrial, ...]:
    used = adapter.preprocess
    rivals = [
        preprocessing.resolve(name)
        for name in RIVALS
        if not _same(name, used.name)
        and (adapter.channels == 3 or name not in FOR_COLOUR)
    ]
    normalizations = _normalizations(adapter)
    return tuple(
        _trial(adapter, preprocess, photos, normalizations)
        for preprocess in (used, *rivals)
    )


def _trial(
    adapter: Adapter,
    preprocess: preprocessing.Preprocess,
    photos: NDArray[np.float32],
    normalizations: dict[str, Any],
) -> RangeTrial:
    other = copy(adapter)  # of the same model; only the range differs
    other.preprocess = preprocess

    def measured(images: Any) -> tuple[Any, ...]:
        flat = tf.reduce_mean(images, axis=[1, 2], keepdims=True) + tf.zeros_like(
            images
        )
        values = other.forward(
            tf.concat([images, flat], axis=0),
            (LOGITS, PROBABILITIES, *normalizations),
        )
        n = tf.shape(images)[0]
        moments = []
        for path in normalizations:
            x = values[path][:n]
            moments.append(tf.nn.moments(x, axes=range(x.shape.rank - 1)))
        return values[LOGITS], values[PROBABILITIES][:n], moments

    logits, probabilities, moments = (
        tf.nest.map_structure(lambda tensor: tensor.numpy(), values)
        for values in tf.function(measured, autograph=False)(tf.constant(photos))
    )
    if probabilities.ndim != 2:
        raise ValueError(
            f"Model {adapter.name!r} has an output of shape {probabilities.shape[1:]}, "
            "not one number for each class, so there is nothing to name. Render its "
            "layers."
        )
    difference = logits[: len(photos)] - logits[len(photos) :]
    if difference.shape[1] == 1:  # a sigmoid: against a second class that stays at 0
        difference = np.pad(difference, ((0, 0), (0, 1)))
    misfits = [
        _misfit(layer, *found)
        for layer, found in zip(normalizations.values(), moments, strict=True)
    ]
    return RangeTrial(
        preprocess.name,
        probabilities,
        float(np.median(difference.std(axis=1, dtype=np.float64))),
        float(np.mean(misfits)) if misfits else None,
    )


def _normalizations(adapter: Adapter) -> dict[str, Any]:
    """Return the first batch normalizations that were ever trained, by path."""
    operations = adapter._survey(adapter.size).operations
    trained = {
        layer.path: operations[layer.path]
        for layer in adapter.layers()
        if layer.kind == "BatchNormalization"
        and np.any(operations[layer.path].moving_mean)
    }
    return dict(islice(trained.items(), NORMALIZATIONS))


def _misfit(layer: Any, mean: NDArray[Any], variance: NDArray[Any]) -> float:
    """Compare what a batch normalization gave out with what it gives in training.

    Args:
        layer: The layer.
        mean: `(channels,)`, of its outputs.
        variance: `(channels,)`, of its outputs.
    """
    # Out of the layer came scale * z + shift; z is standard normal in training.
    scale = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    shift = np.asarray(layer.beta) if layer.center else 0
    kept = np.abs(scale) > LEAST_SCALE
    mean = ((mean - shift)[kept] / scale[kept]).astype(np.float64)
    variance = np.maximum(variance[kept] / scale[kept].astype(np.float64) ** 2, 1e-9)
    divergence = (mean**2 + variance - 1 - np.log(variance)) / 2
    return float(np.median(divergence)) if kept.any() else 0.0


def _same(name: str, other: str) -> bool:
    """Return whether two names are of the same map."""
    return {name, other} == {"tf", "-1,1"} or name == other
