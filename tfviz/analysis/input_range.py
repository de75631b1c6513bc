"""Check on photos whether a model gets images in the range that it was trained on.

The confidence of the model does not show this: a network that was trained on [-1, 1]
is confident about nonsense if its input goes up to 255. The following does, the most
reliable first:

* batch normalization, which stores the mean and variance of its inputs in training;
* the true class of the photos, if the user gives it; but a weak classifier misses it
  in its own range as well;
* how far a photo moves the logits, compared to a flat picture. A trained classifier
  moves them by a few units. In a range that is a hundred times too small, the photo
  has hardly any effect; in one that is too large, the logits become huge;
* the model's own layers or name, from which `preprocessing.detect` infers the range.

A model without classes, such as a segmentation, is checked by the first and the last of
these alone.
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
from tfviz._errors import argument
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import fit_photo
from tfviz.models.introspection import LOGITS, PROBABILITIES

# The verdicts.
RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"

# The number of photos that are evaluated at a time.
BATCH = 8

# The ranges that the one in use is compared with.
RIVALS = ("0,1", "-1,1", "0,255", "caffe", "torch")
FOR_COLOUR = ("caffe", "torch")

# Only the first batch normalizations are used: they show the range most clearly.
NORMALIZATIONS = 2
# Channels that are scaled by less than this reveal nothing about their input.
LEAST_SCALE = 1e-3

# The numbers below were chosen on photos and networks whose range is known.
# How many times as probable another range must make the true class.
TRUTH_RATIO = 10.0
# How many times smaller the misfit of another range must be, for few photos and for at
# least `MANY`. No photo fits exactly, so the floor is added to each misfit first.
MISFIT_RATIO, MISFIT_RATIO_OF_MANY, MANY = 1.75, 1.4, 3
MISFIT_FLOOR = 0.1
# How far a photo usually moves the logits, and by which factor another range must come
# closer to that.
USUAL_MOVEMENT, MOVEMENT_RATIO = 4.0, 10.0

_NO_CLASSES = (
    "the model does not give each photo a class, has no trained batch normalization, "
    "and its layers do not reveal the range"
)

# A verdict, the ranges that are probably right, and the reason.
Finding = tuple[str, tuple[str, ...], str]


@dataclass(frozen=True)
class RangeTrial:
    """The responses of a model to photos in one range.

    Attributes:
        preprocess: The name of the range.
        probabilities: The probabilities `(photos, classes)`. None for a model whose
            output is not one number per class.
        movement: How far the logits move from a flat picture of the photo's mean
            colour to the photo: the standard deviation of the difference over the
            classes, and of that the median over the photos. None as above.
        misfit: How far the inputs of the first batch normalizations are from those in
            training: the Kullback-Leibler divergence of normal distributions, and of
            that the median over the channels. None for a model without such layers.
    """

    preprocess: str
    probabilities: NDArray[np.float32] | None
    movement: float | None
    misfit: float | None


@dataclass(frozen=True)
class RangeCheck:
    """The verdict whether a model gets images in the right range.

    Attributes:
        verdict: `right`, `wrong` or `unsure`.
        probable: If the range is wrong, the ranges that the model was probably trained
            on, the most probable first.
        reason: The reason for the verdict, in words.
        advice: What to do next if the verdict is `unsure`, in words.
        trials: The responses of the model in the range in use, then in others.
    """

    verdict: str
    probable: tuple[str, ...]
    reason: str
    advice: str
    trials: tuple[RangeTrial, ...]


def check_range(
    model: Any, images: Any, *, truth: int | str | None = None
) -> RangeCheck:
    """Check on real photos whether a model gets the input range it was trained on.

    The photos should resemble those that the model was trained on; three photos are
    much more reliable than one. With batch normalization, even ranges as close as
    [0, 1] and [-1, 1] can be distinguished. Without it, only a range that is many
    times too large or too small is recognized, unless the class of the photos is
    given; otherwise the verdict is `unsure`.

    Args:
        model: A model or an adapter, as `adapt` takes it. The range that is checked
            is that of its `preprocess`.
        images: A file, a picture `(height, width, channels)` as bytes or floats in
            [0, 1], or a sequence of files and pictures.
        truth: The class that all of the photos show, by index, identifier or name.

    Returns:
        The verdict, and the numbers that it is based on.

    Raises:
        ValueError: If an image does not fit the model, or `truth` is not one of its
            classes.

    >>> import numpy as np, tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"), (0, 1))
    >>> noise = np.random.default_rng(0).random((64, 64, 3))
    >>> check_range(adapter, noise).probable[0]
    '0,255'
    """
    adapter = adapt(model)
    true_class = _true_class(adapter, truth)
    if isinstance(images, (str, os.PathLike)) or getattr(images, "ndim", 0) == 3:
        images = [images]
    photos = [fit_photo(adapter, image) for image in images]
    if not photos:
        raise ValueError("There is no image to check the range on. Give at least one.")
    stacked = np.stack(photos)
    trials = _try_ranges(adapter, stacked)
    checks = (
        _by_normalizations(trials, len(photos)),
        _by_truth(adapter, trials, true_class),
        _by_movement(trials),
        _by_declaration(adapter, stacked),
    )
    findings = [finding for finding in checks if finding]
    sure = [finding for finding in findings if finding[0] != UNSURE]
    undecided = UNSURE, (), "the model responds as usual, in this range and in others"
    if not _has_classes(adapter):
        undecided = UNSURE, (), _NO_CLASSES
    verdict, probable, reason = [*sure, *findings, undecided][0]
    advice = _advise(adapter) if verdict == UNSURE else ""
    return RangeCheck(verdict, probable, reason, advice, trials)


def _has_classes(adapter: Adapter) -> bool:
    """Tell whether a model's output is one number per class."""
    return adapter.classes is not None and len(adapter.output_shape(adapter.size)) == 2


def _true_class(adapter: Adapter, truth: int | str | None) -> int | None:
    """Return the index of the class of the photos, or None if it is not given."""
    if truth is None:
        return None
    true_class = adapter.class_index(truth)
    if not _has_classes(adapter):
        shape = "x".join(map(str, adapter.output_shape(adapter.size)[1:]))
        raise ValueError(
            f"The output of model {adapter.name!r} has the shape {shape}: it gives no "
            f"photo a class. Leave out {argument('truth')}."
        )
    return true_class


def _advise(adapter: Adapter) -> str:
    """Return what to do if nothing shows whether the range is right."""
    if _has_classes(adapter):
        return f"Try more photos, or say what they show with {argument('truth')}."
    vectors = [name for name, shape in adapter.outputs.items() if len(shape) == 2]
    if vectors:
        selection = adapter.suggest_output(vectors)
        return f"Select the output that has classes to check: {selection}"
    return "Ask whoever trained the model, or look into the code of its training."


def _by_truth(
    adapter: Adapter, trials: tuple[RangeTrial, ...], true_class: int | None
) -> Finding | None:
    """Compare the probabilities of the true class."""
    if true_class is None:
        return None
    means, hits = [], []
    for probabilities in (np.asarray(trial.probabilities) for trial in trials):
        values = np.maximum(probabilities[:, true_class], 1e-6)
        means.append(float(np.exp(np.log(values).mean())))
        hits.append(np.mean(probabilities.argmax(axis=1) == true_class))
    best = int(np.argmax(means))
    # That the class is recognized does not prove that the range is exactly right.
    if hits[0] >= 0.5 or hits[best] < 0.5 or means[best] < TRUTH_RATIO * means[0]:
        return None
    probable = [i for i in np.argsort(means)[::-1] if means[i] * 3 > means[best]]
    name = adapter.class_name(true_class) or f"class {true_class}"
    reason = (
        f"the true class {name!r} gets {means[0]:.3g} with {trials[0].preprocess} "
        f"and {means[best]:.3g} with {trials[best].preprocess}"
    )
    return WRONG, tuple(trials[i].preprocess for i in probable), reason


def _by_normalizations(trials: tuple[RangeTrial, ...], photos: int) -> Finding | None:
    """Compare the inputs of batch normalizations with those in training.

    Args:
        trials: The responses.
        photos: The number of photos.
    """
    misfits = [
        trial.misfit + MISFIT_FLOOR for trial in trials if trial.misfit is not None
    ]
    if len(misfits) < len(trials):
        return None
    enough = MISFIT_RATIO_OF_MANY if photos >= MANY else MISFIT_RATIO
    other = 1 + int(np.argmin(misfits[1:]))
    reason = "the inputs of batch normalization differ from those in training by " + (
        " and by ".join(
            f"{t.misfit:.3g} with {t.preprocess}" for t in (trials[0], trials[other])
        )
    )
    if misfits[other] > enough * misfits[0]:
        return RIGHT, (), reason
    if misfits[0] > enough * misfits[other]:
        return WRONG, (trials[other].preprocess,), reason
    return UNSURE, (), reason


def _by_movement(trials: tuple[RangeTrial, ...]) -> Finding | None:
    """Compare how far photos move the logits."""
    moved = [trial.movement for trial in trials if trial.movement is not None]
    if not moved:
        return None
    unusual = [abs(log(max(movement, 1e-9) / USUAL_MOVEMENT)) for movement in moved]
    order = [int(i) for i in np.argsort(unusual, kind="stable")]
    working = [
        i for i in order if unusual[i] - unusual[order[0]] <= log(MOVEMENT_RATIO)
    ]
    used, best = trials[0], trials[order[0]]
    reason = f"photos move the outputs by {moved[0]:.3g} with {used.preprocess}"
    # If no range comes near it, the photo is blank or the network untrained.
    if unusual[order[0]] > 2 * log(MOVEMENT_RATIO):
        return None
    if working == [0]:
        return RIGHT, (), f"{reason}, and by far too much or too little in other ranges"
    if 0 in working:
        return None
    reason += f" and by {moved[order[0]]:.3g} with {best.preprocess}"
    return (
        WRONG,
        tuple(trials[i].preprocess for i in working),
        f"{reason}, where {USUAL_MOVEMENT:g} is usual",
    )


def _by_declaration(adapter: Adapter, photos: NDArray[np.float32]) -> Finding | None:
    """Compare the range with the one that the model's layers or name reveal.

    Their inputs are compared and not their names, since a function has none.
    """
    detected = adapter.detect_preprocess()
    if detected is None:
        return None
    expected, used = (
        np.asarray(preprocess.apply(tf.constant(photos)))
        for preprocess in (detected, adapter.preprocess)
    )
    if np.allclose(used, expected, rtol=0, atol=1e-3 * np.abs(expected).max()):
        return RIGHT, (), detected.source
    return WRONG, (detected.name,), detected.source


def _try_ranges(
    adapter: Adapter, photos: NDArray[np.float32]
) -> tuple[RangeTrial, ...]:
    """Return the responses of a model in the range in use, then in others.

    Args:
        adapter: An adapter of the model.
        photos: `(n, height, width, channels)` in [0, 1], of the model's size.
    """
    used = adapter.preprocess
    rivals = [
        preprocessing.resolve(name)
        for name in RIVALS
        if not _is_same(name, used.name)
        and (adapter.channels == 3 or name not in FOR_COLOUR)
    ]
    normalizations = _find_normalizations(adapter)
    measure = _compile_measurement(adapter, tuple(normalizations))
    flat = tf.zeros_like(photos) + photos.mean(axis=(1, 2), keepdims=True)
    photos = tf.constant(photos)
    trials = []
    for preprocess in (used, *rivals):
        parts = []
        for start in range(0, len(photos), BATCH):
            pair = [x[start : start + BATCH] for x in (photos, flat)]
            parts.append(measure(tf.stack([preprocess.apply(x) for x in pair])))
        found = tf.nest.map_structure(
            lambda *batches: np.concatenate([b.numpy() for b in batches]), *parts
        )
        trials.append(
            RangeTrial(
                preprocess.name,
                found.get("probabilities"),
                _movement(found["change"]) if "change" in found else None,
                _misfit(list(normalizations.values()), found["moments"]),
            )
        )
    return tuple(trials)


def _compile_measurement(adapter: Adapter, normalizations: tuple[str, ...]) -> Any:
    """Return a compiled function that measures the responses to photos.

    It takes the model's inputs `(2, n, height, width, channels)` for photos and for
    flat pictures. Their preprocessing is left to the caller, so that the model is
    traced only once. It returns the `moments` of each normalization's outputs, and for
    a model with classes the `change` of the logits `(n, classes)` and the
    `probabilities` of the photos.
    """
    bare = copy(adapter)
    bare.preprocess = preprocessing.assumed()

    outputs = (LOGITS, PROBABILITIES) if _has_classes(adapter) else ()

    def measure(pairs: Any) -> dict[str, Any]:
        n = tf.shape(pairs)[1]
        paths = (*outputs, *normalizations)
        values = bare.forward(tf.reshape(pairs, (-1, *pairs.shape[2:])), paths)
        moments = [tf.nn.moments(values[p][:n], axes=[1, 2]) for p in normalizations]
        if not outputs:
            return {"moments": moments}
        logits = values[LOGITS]
        change = logits[:n] - logits[n:]
        probabilities = values[PROBABILITIES][:n]
        return {"moments": moments, "change": change, "probabilities": probabilities}

    spec = tf.TensorSpec((2, None, *adapter.size, adapter.channels), tf.float32)
    return tf.function(measure, [spec], autograph=False)


def _movement(change: NDArray[np.float32]) -> float:
    if change.shape[1] == 1:  # a sigmoid is a softmax whose second logit is always 0
        change = np.pad(change, ((0, 0), (0, 1)))
    return float(np.median(change.std(axis=1, dtype=np.float64)))


def _find_normalizations(adapter: Adapter) -> dict[str, Any]:
    """Return the first batch normalizations that have been trained, by path."""
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
    """Compare the outputs of batch normalizations with those in training.

    Args:
        layers: The layers.
        moments: For each layer, the means and variances of its output for each photo,
            both `(photos, channels)`.
    """
    misfits = []
    for layer, (means, variances) in zip(layers, moments, strict=True):
        mean = means.mean(axis=0, dtype=np.float64)
        variance = variances.mean(axis=0, dtype=np.float64) + means.var(axis=0)
        # In training, the output is scale * z + shift, where z is standard normal.
        scale = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
        shift = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
        kept = np.abs(scale) > LEAST_SCALE
        if kept.any():
            mean = (mean - shift)[kept] / scale[kept]
            variance = np.maximum(variance[kept] / scale[kept] ** 2, 1e-9)
            divergence = (mean**2 + variance - 1 - np.log(variance)) / 2
            misfits.append(float(np.median(divergence)))
    return float(np.mean(misfits)) if misfits else None


def _is_same(name: str, other: str) -> bool:
    """Tell whether two names stand for the same preprocessing."""
    return {name, other} == {"tf", "-1,1"} or name == other
