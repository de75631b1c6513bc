"""Find what a classifier computes before its softmax or sigmoid."""

from typing import Any

import numpy as np
import tensorflow as tf

_SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
# What may stand between the squashing and the output: what moves numbers or joins
# positions, and how to do it again ...
_REPEATED = {
    "Reshape": lambda tensor, operation: tf.reshape(tensor, operation.inputs[1]),
    "Transpose": lambda tensor, operation: tf.transpose(tensor, operation.inputs[1]),
    "Squeeze": lambda tensor, operation: tf.squeeze(
        tensor, operation.get_attr("squeeze_dims")
    ),
    "ExpandDims": lambda tensor, operation: tf.expand_dims(tensor, operation.inputs[1]),
    "Mean": lambda tensor, operation: tf.reduce_mean(
        tensor, operation.inputs[1], operation.get_attr("keep_dims")
    ),
    "Max": lambda tensor, operation: tf.reduce_max(
        tensor, operation.inputs[1], operation.get_attr("keep_dims")
    ),
}
# ... and what only gives the numbers another scale.
_RESCALING = {"Identity", "Cast", "Log"}
_RESCALING_BY_A_CONSTANT = {"AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum"}


def before_squashing(output: Any) -> tuple[Any, list[Any]]:
    """Return the logits that led to a model's output.

    The graph tells, whether the softmax is an argument of a layer, a layer of its
    own, one inside a nested head, or a function. Where the output is a mean over
    positions of what was squashed, or a maximum, so are the logits.

    Args:
        output: A tensor of a graph that is being traced.

    Returns:
        The tensor before a softmax or sigmoid, or `output` where there is none; and
        the graph's operations that were undone, the squashing first.
    """
    undone = _squashing(output)
    if not undone:
        return output, []
    return _repeated(undone[0].inputs[0], undone[1:]), undone


def probabilities(output: Any) -> Any:
    """Return a model's output after its softmax or sigmoid.

    What has neither gets a softmax, or a sigmoid for a single class.

    Args:
        output: A tensor of a graph that is being traced.
    """
    undone = _squashing(output)
    if not undone:
        squash = tf.nn.sigmoid if output.shape[-1] == 1 else tf.nn.softmax
        return squash(tf.cast(output, tf.float32))
    squashed = undone[0].outputs[0]
    if undone[0].type == "LogSoftmax":
        squashed = tf.exp(squashed)
    return _repeated(squashed, undone[1:])


def _squashing(output: Any) -> list[Any]:
    """Return the operations from the squashing to the output, or none."""
    passed = [output.op]
    while passed[0].type not in _SQUASHING:
        source = _passed(passed[0])
        if source is None:
            return []
        passed.insert(0, source.op)
    return passed


def _passed(operation: Any) -> Any:
    """Return the input that an operation leaves in the order it has, or None."""
    if operation.type in _RESCALING_BY_A_CONSTANT:
        return _beside_a_constant(operation)
    if operation.type in ("Mean", "Max"):
        source, axes = operation.inputs
        rank, axes = source.shape.rank, tf.get_static_value(axes)
        if rank is None or axes is None:
            return None
        over_classes = rank - 1 in np.atleast_1d(axes) % rank
        return None if over_classes else source
    known = operation.type in _RESCALING or operation.type in _REPEATED
    return operation.inputs[0] if known else None


def _beside_a_constant(operation: Any) -> Any:
    source, constant = operation.inputs
    value = tf.get_static_value(constant)
    if value is None and operation.type not in ("Sub", "RealDiv"):
        source, constant = constant, source
        value = tf.get_static_value(constant)
    if value is None or source.shape.rank != operation.outputs[0].shape.rank:
        return None
    turned = operation.type in ("Mul", "RealDiv") and not np.all(value > 0)
    return None if turned else source


def _repeated(tensor: Any, operations: list[Any]) -> Any:
    for operation in operations:
        if operation.type in _REPEATED:
            tensor = _REPEATED[operation.type](tensor, operation)
    return tensor
