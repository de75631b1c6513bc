"""What the nodes of a graph tell, before the graph is used."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

from tfviz import preprocessing

# A graph is a dict of its nodes by name, each after the nodes that it uses.
Nodes = dict[str, Any]

# What may stand before the arithmetic on an input without changing its range.
_NEUTRAL = {
    *("Cast", "EnsureShape", "ExpandDims", "Identity", "MirrorPad", "Pad", "PadV2"),
    *("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"),
    *("ScaleAndTranslate", "Squeeze", "StopGradient"),
}
_SIZES = {"Rank", "Shape", "ShapeN", "Size"}
_PLUS = {"Add", "AddV2", "BiasAdd"}


def source_of(reference: str) -> str:
    """Return the name of the node that an entry of `node.input` refers to."""
    return reference.removeprefix("^").partition(":")[0]


def needed(definition: Any, outputs: Iterable[str]) -> Nodes:
    """Return the nodes of a graph that some of its tensors depend on."""
    nodes = {node.name: node for node in definition.node}
    pending, found = [source_of(output) for output in outputs], set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += map(source_of, nodes[name].input)
    return {name: node for name, node in nodes.items() if name in found}


def dependents(nodes: Nodes, entries: Iterable[str]) -> list[str]:
    """Return the names of the nodes that use some tensors, in the graph's order."""
    pending, found = [source_of(entry) for entry in entries], set()
    users = users_of(nodes)
    while pending:
        for user in users.get(pending.pop(), ()):
            if user not in found:
                found.add(user)
                pending.append(user)
    return [name for name in nodes if name in found]


def users_of(nodes: Nodes) -> dict[str, list[str]]:
    """Return the names of the nodes that use the values of each node."""
    users: dict[str, list[str]] = {}
    for node in nodes.values():
        for reference in node.input:
            if not reference.startswith("^"):
                users.setdefault(source_of(reference), []).append(node.name)
    return users


def constant(nodes: Nodes, reference: str) -> Any:
    """Return the value of a constant, or None if it is computed."""
    node = nodes[source_of(reference)]
    while node.op == "Identity":
        node = nodes[source_of(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def input_scaling(nodes: Nodes, entry: str) -> preprocessing.Preprocess | None:
    """Find out what a graph wants from the arithmetic that its input meets first.

    Args:
        nodes: The graph.
        entry: The name of the tensor of the images.

    Returns:
        The map, with what was found as its source; None if nothing was.
    """
    users = users_of(nodes)
    # So far the graph computes factor * image + offset.
    factor, offset, place = np.ones(1), np.zeros(1), ""
    name = source_of(entry)
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
    formula = f"{factor.max():g} * input {offset.min():+g}"
    return preprocessing.resolve(
        (0, high), source=f"the graph begins with {formula} at {place}"
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
    if node.op == "Mul":
        return value, 0 * value
    if node.op in ("RealDiv", "Div") and is_first:
        return 1 / value, 0 * value
    if node.op in _PLUS:
        return np.ones(1), value
    if node.op == "Sub" and is_first:
        return np.ones(1), -value
    return None


def without_weights(nodes: Nodes) -> dict[str, tf.Variable]:
    """Take the weights out of a graph, and what would not survive another import.

    A graph that is made part of others many times is better without them.

    Args:
        nodes: The graph; changed in place.

    Returns:
        The weights by the name of the tensor that each was.
    """
    weights = {}
    for node in list(nodes.values()):
        # As they were for the number of images that it was exported for.
        node.attr.pop("_output_shapes", None)
        gradient = node.attr.get("_gradient_op_type")
        if gradient is not None and not _is_registered(gradient.s.decode()):
            node.attr.pop("_gradient_op_type")
        if node.op == "Const" and tf.as_dtype(node.attr["dtype"].type).is_floating:
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size > 1:
                weights[f"{node.name}:0"] = tf.Variable(
                    value, trainable=False, name=node.name
                )
                del nodes[node.name]
    return weights


def _is_registered(gradient: str) -> bool:
    try:
        return bool(gradient_registry.lookup(gradient))
    except LookupError:
        return False
