"""Where a graph takes images, and in which range."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfviz import preprocessing
from tfviz._frozen import takes_images
from tfviz._graph import Nodes, constant, short_name, source_of, users_of

# What may stand before the arithmetic on an input without changing its range.
_NEUTRAL = {
    *("Cast", "EnsureShape", "ExpandDims", "Identity", "MirrorPad", "Pad", "PadV2"),
    *("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"),
    *("ScaleAndTranslate", "Squeeze", "StopGradient"),
}
_SIZES = {"Rank", "Shape", "ShapeN", "Size"}
_PLUS = {"Add", "AddV2", "BiasAdd"}


def image_input(inputs: dict[str, tf.TensorSpec], name: str) -> str:
    """Return which placeholder takes the images."""
    images = [key for key, spec in inputs.items() if takes_images(spec)]
    # A scalar that is true or false says whether the module is to be trained.
    others = [
        key
        for key, spec in inputs.items()
        if key not in images and not (spec.dtype == tf.bool and spec.shape.rank == 0)
    ]
    if len(images) != 1 or others:
        given = ", ".join(
            f"{key} {spec.dtype.name} {spec.shape}" for key, spec in inputs.items()
        )
        raise ValueError(
            f"Module {name!r} does not take one batch of images "
            f"(n, height, width, channels) alone, but {given or 'nothing'}. Export a "
            "signature that does."
        )
    return images[0]


def image_shape(shape: tf.TensorShape, name: str) -> tuple[int | None, ...]:
    """Return the shape of a module's images; any for a module that tells none."""
    height, width, channels = shape.as_list()[1:] if shape.rank else (None,) * 3
    if height in (1, 3) and channels not in (None, 1, 2, 3, 4):
        raise ValueError(
            f"Module {name!r} takes images with the channels first: {shape}. Export "
            "it with the channels last."
        )
    return None, height, width, channels


def entries_of(
    nodes: Nodes, image: str, dtype: tf.DType, name: str
) -> dict[str, tf.DType]:
    """Return the tensors that are replaced by images, with their types."""
    if dtype.is_floating:
        return {f"{image}:0": dtype}
    # Bytes have no gradient, so images come in behind the casts.
    users, pending, casts, fits = users_of(nodes), [image], {}, True
    while pending:
        for node in [nodes[user] for user in users.get(pending.pop(), ())]:
            if node.op == "Cast":
                casts[node.name] = tf.as_dtype(node.attr["DstT"].type)
            elif node.op == "Identity":
                pending.append(node.name)
            else:
                fits &= node.op == "Shape"
    if not casts or not fits:
        raise ValueError(
            f"Module {name!r} takes bytes and calculates with them, so nothing in it "
            "has a gradient to its input. Export a signature that takes float32."
        )
    entries = {f"{cast}:0": dtype for cast, dtype in casts.items()}
    return entries | {f"{image}:0": dtype}


def input_scaling(nodes: Nodes, image: str) -> preprocessing.Preprocess | None:
    """Find out what a graph wants from the arithmetic that its input meets first.

    Args:
        nodes: The graph.
        image: The placeholder of the images.

    Returns:
        The map, with what was found as its source; None if nothing was.
    """
    users = users_of(nodes)
    # So far the graph computes factor * image + offset.
    factor, offset, place = np.ones(1), np.zeros(1), ""
    name = image
    while True:
        following = [nodes[user] for user in users.get(name, ())]
        following = [node for node in following if node.op not in _SIZES]
        if len(following) != 1:
            break
        (node,) = following
        if node.op not in _NEUTRAL:
            found = _affine(nodes, node, name)
            if found is None:
                break
            factor, offset = factor * found[0], offset * found[0] + found[1]
            place = node.name
        name = node.name
    if not place or factor.min() <= 0:
        return None
    zero = -offset / factor  # the values that become 0
    if factor.max() < 0.05 or zero.max() > 2:
        high = 255
    elif factor.min() >= 1 and zero.min() >= 0 and zero.max() <= 1:
        high = 1
    else:
        return None
    formula = f"{factor.max():g} * input" + (
        f" {offset.min():+g}" if offset.any() else ""
    )
    return preprocessing.resolve(
        (0, high), source=f"the graph computes {formula} at {short_name(place)}"
    )


def _affine(nodes: Nodes, node: Any, name: str) -> tuple[Any, Any] | None:
    """Return factor and offset of an operation on the values of `name`."""
    if len(node.input) < 2:
        return None
    is_first = source_of(node.input[0]) == name
    value = constant(nodes, node.input[1 if is_first else 0])
    # One number, or one for each channel.
    if value is None or value.size != (value.shape or (1,))[-1]:
        return None
    value = value.astype(np.float64).reshape(-1)
    one, none = np.ones(1), np.zeros(1)
    found = {"Mul": (value, none)} | dict.fromkeys(_PLUS, (one, value))
    if is_first:
        found["Sub"] = one, -value
    if is_first and value.all():
        found["RealDiv"] = one / value, none
    return found.get(node.op)
