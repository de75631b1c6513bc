"""Count the arithmetic of a graph from the shapes of its operations.

Counted are operations that consist of sums of products: convolutions, products of
matrices, and Fourier transforms. What others compute is little, and their time is that
of reading and writing memory.
"""

import math
from typing import Any

_FORWARD = {"Conv2D", "DepthwiseConv2dNative"}
_BACKWARD = {"Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"}


def count(operation: Any) -> float:
    """Return the multiplications and additions of an operation, 0 for other kinds.

    >>> import tensorflow as tf
    >>> with tf.Graph().as_default():
    ...     images, kernel = tf.zeros((2, 8, 8, 3)), tf.zeros((5, 5, 3, 16))
    ...     count(tf.nn.conv2d(images, kernel, 1, "SAME").op)
    307200.0
    """
    kind, inputs = operation.type, [tensor.shape for tensor in operation.inputs]
    output = operation.outputs[0].shape if operation.outputs else None
    if kind in _FORWARD | _BACKWARD:
        # The kernel's height and width, and the channels that a sum runs over.
        taps = inputs[1][:2] if kind.startswith("Depthwise") else inputs[1][:3]
        sums = output if kind in _FORWARD else inputs[2]
        return 2.0 * sums.num_elements() * taps.num_elements()
    if kind in {"MatMul", "BatchMatMulV2"}:
        turned = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        return 2.0 * output.num_elements() * inputs[0][-2 if turned else -1]
    if kind in {"RFFT2D", "IRFFT2D"}:
        real = inputs[0] if kind == "RFFT2D" else output
        return 2.5 * real.num_elements() * math.log2(real[-2:].num_elements())
    return 0.0


def needed(graph: Any) -> list[Any]:
    """Return the operations that the outputs and effects of a graph depend on.

    Args:
        graph: The graph of a concrete function.

    Returns:
        The operations, in the order in which they were traced.
    """
    waiting = [t.op for t in graph.outputs] + list(graph.control_outputs)
    found: set[Any] = set()
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
            waiting += operation.control_inputs
    return [operation for operation in graph.get_operations() if operation in found]
