"""From display images in [0, 1] to what a model was trained on.

A wrong range is the most common cause of bad feature visualizations, and nothing
fails when it happens. So the map is stated, or found in the model and said.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

# The modes of keras.applications: name -> (blue first, scale, mean, deviation) for
# images in [0, 1]. https://keras.io/api/applications/
_MODES: dict[str, tuple[bool, float, Any, Any]] = {
    "caffe": (True, 255.0, (103.939, 116.779, 123.68), 1.0),
    "tf": (False, 2.0, 1.0, 1.0),
    "torch": (False, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# What keras.applications' networks without such layers inside were trained on. The
# second half has them, unless it was built with `include_preprocessing=False`.
_KNOWN_NAMES = (
    (r"resnet\d+v2", "tf"),
    (r"resnet\d+|vgg1[69]", "caffe"),
    (r"mobilenet(v2)?_.*|inception_(resnet_)?v[23]|xception|nasnet.*", "tf"),
    (r"densenet\d+", "torch"),
    (r"convnext_(tiny|small|base|large|xlarge)|efficientnetv2-b\d", "torch"),
    (r"efficientnetv2-[sml]", "-1,0.9921875"),  # bytes / 128 - 1
    (r"mobilenetv3(small|large)", "tf"),
    (r"resnet-rs-\d+", "torch"),  # this and the next are in tf_keras only
    (r"regnet[xy]\d+", "0,1"),
)

# Layers that leave the range of their input as it is.
_NEUTRAL = (
    "InputLayer",
    "Resizing",
    "ZeroPadding",
    "CenterCrop",
    "Random",
    "Gaussian",
    "Dropout",
    "Identity",
)


@dataclass(frozen=True)
class Preprocess:
    """A map from images in [0, 1] to a model's input.

    Attributes:
        name: A mode, a range `low,high`, or `custom`.
        apply: `apply(images) -> inputs`, of the same shape.
        source: In words, where this was found.
    """

    name: str
    apply: Callable[[Any], Any]
    source: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.name} ({self.source})"


def resolve(preprocess: Any, *, source: str = "as given") -> Preprocess:
    """Turn what a user writes into a `Preprocess`.

    Args:
        preprocess: A mode of `keras.applications` (`caffe`, `tf`, `torch`), a range
            as `(low, high)` or `"low,high"`, a function from images in [0, 1] to
            inputs, or a `Preprocess`.
        source: In words, where it comes from.

    Returns:
        The map.

    Raises:
        ValueError: If a text is neither a mode nor a range.
        TypeError: If it is something else.

    >>> float(resolve((0, 255)).apply(0.5))
    127.5
    """
    if isinstance(preprocess, Preprocess):
        return preprocess
    if isinstance(preprocess, str):
        return _from_text(preprocess, source)
    if isinstance(preprocess, (tuple, list)) and len(preprocess) == 2:
        low, high = preprocess
        return _from_range(low, high, source)
    if callable(preprocess):
        return Preprocess("custom", preprocess, source)
    raise TypeError(
        "`preprocess` must be a mode, a range (low, high) or a function. "
        f"Received: preprocess={preprocess!r}"
    )


def detect(model: Any, operations: Iterable[tuple[str, Any]]) -> Preprocess | None:
    """Find out what a model wants from its first layers, or else from its name.

    A model of KerasHub has a preprocessor, which tells; an input of integers means
    bytes.

    Args:
        model: A Keras model.
        operations: The paths and layers of its forward pass, in order.

    Returns:
        The map, with what was found as its source; None if nothing was.
    """
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    if converter is not None:  # of a model of KerasHub; not called by the model
        return _from_converter(converter, f"{converter.name} of its preprocessor")
    inputs = getattr(model, "inputs", None) or []
    dtype = tf.as_dtype(inputs[0].dtype) if len(inputs) == 1 else tf.float32
    if dtype.is_integer:
        return _from_range(0, 255, f"the model's input is of {dtype.name}")
    operations = list(operations)
    for path, operation in operations:
        kind = type(operation).__name__
        if kind == "Rescaling":
            scale = float(np.max(np.asarray(operation.scale)))
            # A factor such as 1/255 or 1/127.5 takes bytes; 2 takes [0, 1].
            high = 255 if scale < 0.05 else 1
            return _from_range(0, high, f"the model has Rescaling({scale:g}) at {path}")
        if kind == "Normalization":
            mean = float(np.max(np.abs(np.asarray(operation.mean))))
            high = 255 if mean > 2 else 1
            return _from_range(
                0, high, f"the model has Normalization(mean up to {mean:g}) at {path}"
            )
        if any(other.startswith(f"{path}/") for other, _ in operations):
            continue  # its own layers come next
        if getattr(operation, "weights", ()):
            kernel = getattr(operation, "kernel", None)
            # Whoever gave such a network other channels has trained it anew.
            rgb = kernel is not None and kernel.shape[-2] == 3
            return _from_names(model, operations) if rgb else None
        if not kind.startswith(_NEUTRAL):
            break  # arithmetic on the input, which its name does not tell of
    return None


def _from_converter(converter: Any, source: str) -> Preprocess:
    """Turn the scale and offset that KerasHub gives bytes into a map."""
    scale = 255 * np.asarray(1.0 if converter.scale is None else converter.scale)
    offset = np.asarray(0.0 if converter.offset is None else converter.offset)
    low, high = np.broadcast_arrays(offset, offset + scale)
    if np.ptp(low) == np.ptp(high) == 0:
        return _from_range(low.flat[0], high.flat[0], source)
    _, _, mean, deviation = _MODES["torch"]
    ends = [(end - np.array(mean)) / deviation for end in (0, 1)]
    if low.shape == (3,) and np.allclose([low, high], ends, atol=1e-3):
        return _from_text("torch", source)
    scale, offset = scale.astype(np.float32), offset.astype(np.float32)
    return Preprocess("custom", lambda images: images * scale + offset, source)


def _from_names(model: Any, operations: list[tuple[str, Any]]) -> Preprocess | None:
    for name in (model.name, *(operation.name for _, operation in operations)):
        for pattern, mode in _KNOWN_NAMES:
            if re.fullmatch(pattern, name.lower()):
                return _from_text(mode, f"{name} of keras.applications was trained so")
    return None


def assumed() -> Preprocess:
    """Return the map that is used where nothing is known: none."""
    return _from_range(0, 1, "nothing was found in the model: an assumption")


def _from_text(text: str, source: str) -> Preprocess:
    if text in _MODES:
        return Preprocess(text, _mode(text), source)
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"`preprocess` must be {', '.join(_MODES)} or a range such as 0,255. "
            f"Received: {text!r}"
        ) from None
    return _from_range(low, high, source)


def _from_range(low: float, high: float, source: str) -> Preprocess:
    low, high = float(low), float(high)
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            "A range needs two finite numbers, the lower one first. "
            f"Received: ({low:g}, {high:g})"
        )
    # Exact, as a saved picture is made again with it; but 255, not 255.0.
    name = ",".join(repr(end).removesuffix(".0") for end in (low, high))
    if (low, high) == (0, 1):
        return Preprocess(name, lambda images: images, source)
    return Preprocess(name, lambda images: images * (high - low) + low, source)


def _mode(name: str) -> Callable[[Any], Any]:
    blue_first, scale, mean, deviation = _MODES[name]

    def apply(images: Any) -> Any:
        if images.shape[-1] != 3 and np.ndim(mean):
            raise ValueError(
                f"Preprocessing {name!r} is for three channels, but the model takes "
                f"{images.shape[-1]}. Give a range such as 0,255 instead."
            )
        if blue_first:
            images = tf.reverse(images, axis=[-1])
        return (images * scale - mean) / deviation

    return apply
