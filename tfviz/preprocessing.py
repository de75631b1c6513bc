"""Map images in [0, 1] to the input range that a model was trained on.

A wrong range is the most common cause of bad feature visualizations, and it raises no
error. So the user states the range, or it is detected from the model and reported.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

# The modes of keras.applications (https://keras.io/api/applications/), by name: whether
# blue comes first, and the scale, mean and deviation for images in [0, 1].
_MODES: dict[str, tuple[bool, float, Any, Any]] = {
    "caffe": (True, 255.0, (103.939, 116.779, 123.68), 1.0),
    "tf": (False, 2.0, 1.0, 1.0),
    "torch": (False, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# The modes or ranges that networks of keras.applications were trained with, where no
# layer of theirs shows it. The second half of them has such layers, unless they were
# built with `include_preprocessing=False`.
_KNOWN_NAMES = (
    (r"resnet\d+v2", "tf"),
    (r"resnet\d+|vgg1[69]", "caffe"),
    (r"mobilenet(v2)?_.*|inception_(resnet_)?v[23]|xception|nasnet.*", "tf"),
    (r"densenet\d+", "torch"),
    (r"convnext_(tiny|small|base|large|xlarge)|efficientnetv2-b\d", "torch"),
    (r"efficientnetv2-[sml]", "-1,0.9921875"),  # bytes / 128 - 1
    (r"mobilenetv3(small|large)", "tf"),
    (r"resnet-rs-\d+", "torch"),  # this and the next one are in tf_keras only
    (r"regnet[xy]\d+", "0,1"),
)

# Beginnings of the names of layers that do not change the range of their input.
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
        name: The name of a mode, a range `low,high`, or `custom`.
        apply: The function `apply(images) -> inputs`, which keeps the shape.
        source: A phrase that says where the map comes from.
    """

    name: str
    apply: Callable[[Any], Any]
    source: str

    def __str__(self) -> str:
        """Return the name and the source on one line."""
        return f"{self.name} ({self.source})"


def resolve(preprocess: Any, *, source: str = "as given") -> Preprocess:
    """Turn an argument `preprocess` into a `Preprocess`.

    Args:
        preprocess: A mode of `keras.applications` (`caffe`, `tf`, `torch`), a range
            as `(low, high)` or `"low,high"`, a function from images in [0, 1] to
            inputs, or a `Preprocess`.
        source: A phrase that says where the argument comes from.

    Returns:
        The map.

    Raises:
        ValueError: If a string is neither a mode nor a range.
        TypeError: If the argument has another type.

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
    """Detect the input range of a model from its first layers, or from its name.

    Models of KerasHub state it in their preprocessor, and an integer input takes bytes.

    Args:
        model: A Keras model.
        operations: The paths and layers of the model's forward pass, in order.

    Returns:
        The map, whose source names the evidence; None if there is no evidence.
    """
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    if converter is not None:  # a KerasHub model, which does not call it by itself
        return _from_converter(converter, f"{converter.name} of its preprocessor")
    inputs = getattr(model, "inputs", None) or []
    dtype = tf.as_dtype(inputs[0].dtype) if len(inputs) == 1 else tf.float32
    if dtype.is_integer:
        return _from_range(0, 255, f"the model's input has the type {dtype.name}")
    operations = list(operations)
    for path, operation in operations:
        kind = type(operation).__name__
        if kind == "Rescaling":
            scale = float(np.max(np.abs(np.asarray(operation.scale))))
            offset = float(np.max(np.abs(np.asarray(operation.offset))))
            # A factor such as 1/255 or 1/127.5 takes bytes, and so does a mean colour
            # such as 123 that is subtracted; a factor of 2 takes [0, 1].
            high = 255 if scale < 0.05 or offset > 2 * scale else 1
            shown = f"{scale:g}" + (f", offset up to {offset:g}" if offset else "")
            return _from_range(0, high, f"the model has Rescaling({shown}) at {path}")
        if kind == "Normalization":
            mean = float(np.max(np.abs(np.asarray(operation.mean))))
            high = 255 if mean > 2 else 1
            return _from_range(
                0, high, f"the model has Normalization(mean up to {mean:g}) at {path}"
            )
        if any(other.startswith(f"{path}/") for other, _ in operations):
            continue  # a nested model, whose layers come next
        if getattr(operation, "weights", ()):
            kernel = getattr(operation, "kernel", None)
            # With other channels, the network was trained again, on other data.
            rgb = kernel is not None and kernel.shape[-2] == 3
            return _from_names(model, operations) if rgb else None
        if not kind.startswith(_NEUTRAL):
            break  # arithmetic on the input, which the model's name does not reveal
    return None


def _from_converter(converter: Any, source: str) -> Preprocess:
    """Turn KerasHub's scale and offset, which apply to bytes, into a map."""
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
                return _from_text(
                    mode, f"{name} of keras.applications was trained with it"
                )
    return None


def assumed() -> Preprocess:
    """Return the map for models without any evidence: images stay in [0, 1]."""
    return _from_range(0, 1, "an assumption: the model does not reveal its range")


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
            "A range must be two finite numbers, the lower one first. "
            f"Received: ({low:g}, {high:g})"
        )
    # All digits, as saved pictures are rendered again with it; but 255, not 255.0.
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
