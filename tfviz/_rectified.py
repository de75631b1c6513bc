"""Find what a layer computes before its ReLU.

The least that a rectified unit can do is nothing, so what it responds to least is only
to be seen before its ReLU.
"""

from typing import Any

import tensorflow as tf

# A layer's path with this stands for its activations before the ReLU.
PRE = ":pre"

_RECTIFIERS = ("Relu", "Relu6")
# What a ReLU may stand before as well as after.
_PASSING = ("ConcatV2", "Identity", "MaxPool")


def before_relu(tensor: Any) -> Any:
    """Return the tensor that a ReLU made another out of, or None.

    Looks through joined branches, if each ends in a ReLU, and through max-pools, which
    a ReLU may come before or after.

    Args:
        tensor: Of a graph that is being traced.
    """
    operation = tensor.op
    branches = list(operation.inputs)
    if operation.type in _RECTIFIERS:
        return branches[0]
    if operation.type not in _PASSING:
        return None
    if operation.type == "ConcatV2":
        axis = branches.pop()
    found = [before_relu(branch) for branch in branches]
    if any(branch is None for branch in found):
        return None
    if operation.type == "ConcatV2":
        return tf.concat(found, axis)
    if operation.type == "MaxPool":
        settings = (operation.get_attr(name) for name in ("ksize", "strides"))
        return tf.nn.max_pool2d(
            found[0], *settings, operation.get_attr("padding").decode()
        )
    return found[0]
