"""What must hold of a model before it is used."""

from typing import Any

import tensorflow as tf


def input_shape(model: Any) -> tuple[int | None, ...]:
    """Return the shape of a model's only input, an image."""
    shape = _declared_shape(model)
    if shape is None:
        raise ValueError(
            f"Model {model.name!r} does not know its input yet. Call it once on a "
            "batch of images, then adapt it."
        )
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape, list):
        if len(shape) != 1:
            raise ValueError(
                f"Model {model.name!r} has {len(shape)} inputs; tfviz takes models "
                "of one."
            )
        shape = shape[0]
    if len(shape) != 4:
        raise ValueError(
            f"Model {model.name!r} takes no images: its input has the shape "
            f"{tuple(shape)}, not (n, height, width, channels)."
        )
    return tuple(shape)


def _declared_shape(model: Any) -> Any:
    try:
        shape = model.input_shape
    except (AttributeError, ValueError, RuntimeError):
        shape = None
    if shape is None:  # subclassed: what it was built with
        shape = getattr(model, "_build_input_shape", None)
        built = getattr(model, "_build_shapes_dict", None) or {}
        if shape is None and built:
            shape = next(iter(built.values()))
    return shape


def check_weights(model: Any) -> None:
    """Refuse a model whose weights cannot give finite activations."""
    for weight in model.weights:
        value = tf.convert_to_tensor(weight)
        finite = not value.dtype.is_floating or tf.reduce_all(tf.math.is_finite(value))
        if not finite:
            raise ValueError(
                f"Weight {getattr(weight, 'path', weight.name)!r} of model "
                f"{model.name!r} holds NaN or infinite values, so no unit that uses "
                "it can be rendered. Was its training diverging, or the file cut?"
            )
