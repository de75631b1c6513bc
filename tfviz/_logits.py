"""Find what a classifier computes before its softmax or sigmoid."""

from typing import Any

import tensorflow as tf

_SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
# What may stand between the squashing and the output, and how to do it again.
_RESHAPING = {
    "Identity": lambda tensor, operation: tensor,
    "Cast": lambda tensor, operation: tensor,
    "Reshape": lambda tensor, operation: tf.reshape(tensor, operation.inputs[1]),
    "Transpose": lambda tensor, operation: tf.transpose(tensor, operation.inputs[1]),
    "Squeeze": lambda tensor, operation: tf.squeeze(
        tensor, operation.get_attr("squeeze_dims")
    ),
    "ExpandDims": lambda tensor, operation: tf.expand_dims(tensor, operation.inputs[1]),
}


def before_squashing(output: Any) -> tuple[Any, list[Any]]:
    """Return the logits that led to a model's output.

    The graph tells, whether the softmax is an argument of a layer, a layer of its
    own, one inside a nested head, or a function.

    Args:
        output: A tensor of a graph that is being traced.

    Returns:
        The tensor before a softmax or sigmoid, or `output` where there is none; and
        the graph's operations that were undone, the squashing first.
    """
    tensor = output
    passed: list[Any] = []
    while tensor.op.type in _RESHAPING:
        passed.insert(0, tensor.op)
        tensor = tensor.op.inputs[0]
    if tensor.op.type not in _SQUASHING:
        return output, []
    logits = tensor.op.inputs[0]
    for operation in passed:
        logits = _RESHAPING[operation.type](logits, operation)
    return logits, [tensor.op, *passed]
