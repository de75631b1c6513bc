"""The nodes of a graph: which of them matter, and what they depend on."""

import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

# A graph is a dict of its nodes by name.
Nodes = dict[str, Any]

# What calls of functions leave before the names that a model's author chose.
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")


def short_name(name: str) -> str:
    """Return the name of a node without the calls of functions that lead to it.

    >>> short_name("StatefulPartitionedCall/PartitionedCall_1/conv/Relu")
    'conv/Relu'
    """
    return _CALLS.sub("", name)


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


def dependents(nodes: Nodes, name: str) -> list[str]:
    """Return the names of the nodes that depend on one, in the graph's order."""
    users = users_of(nodes)
    pending, found = [name], set()
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
        # Custom gradients refer to the graph that they came with. The operations'
        # own gradients are at hand, and true.
        node.attr.pop("_gradient_op_type", None)
        if node.op == "Const" and tf.as_dtype(node.attr["dtype"].type).is_floating:
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size > 1:
                weights[f"{node.name}:0"] = tf.Variable(
                    value, trainable=False, name=node.name
                )
                del nodes[node.name]
    return weights
