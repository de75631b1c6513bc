"""Gradients other than the true ones, for the way back through a model.

A unit that is off everywhere has no gradient, so a picture that starts there would
stay as it is. Following Lucid's `redirected_relu_grad`
(https://github.com/tensorflow/lucid, misc/redirected_relu_grad.py), the gradient is
let through an activation that passes nothing of an image, but only where it pushes
the unit back into its range. Lucid does so for ReLU and ReLU6. Here it is also done

* for a maximum or minimum with a constant: `clip`, `hard_tanh`, ReLU by hand;
* where an activation is saturated: Sigmoid, Tanh, Softmax, Softsign, Softplus, ELU
  and SELU. Their gradient seldom is just 0 and says the right direction, but Adam,
  which divides by its size, cannot move a picture by one of 1e-12;
* for x times a gate that x itself shuts: GELU, SiLU, hard SiLU, Mish. Below their
  minimum, at -0.75 to -1.5, they rise again towards 0, so that the true gradient
  leads a unit that is off everywhere still further away.

LeakyReLU and PReLU need nothing: their slopes of 0.01 to 0.3 are divided out. A
threshold by `where`, as in `keras.layers.ReLU(threshold=1)`, and what is computed
inside a loop are not seen; their dead units are reported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

# Less than this part of a gradient is as good as nothing: a sigmoid beyond 7 from its
# middle, a tanh beyond 4. It is far from the slopes of a unit that works, and leaves
# Adam, which needs about 1e-8, gradients down to 1e-5 behind it.
VANISHING = 1e-3

# What is redirected whatever it stands beside.
_KINDS = (
    "Elu", "Relu", "Relu6", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign",
    "Tanh",
)  # fmt: skip
_PREFIX = "TfvizRedirected"
_returning = ContextVar("returning", default=True)


@contextmanager
def overridden(*, redirect: bool = False, smooth_pools: bool = False) -> Iterator[None]:
    """Trace operations whose gradients are overridden.

    It acts on operations of the graph, whichever layer makes them, and on gradients
    taken with `tf.gradients`, of a quantity that is to be increased.

    Args:
        redirect: Whether activations that pass nothing get the redirected gradient.
        smooth_pools: Whether max-pools share their gradient within each window, in
            proportion to the squares of the inputs, as Lucid's
            `smoothed_maxpool_grad` does, instead of giving it to the largest.
    """
    graph = tf.compat.v1.get_default_graph()
    names = {kind: _PREFIX + kind for kind in _KINDS} if redirect else {}
    if smooth_pools:
        names["MaxPool"] = "TfvizSmoothMaxPool"
    first = len(graph.get_operations())
    with graph.gradient_override_map(names):
        yield
    if redirect:
        for operation in graph.get_operations()[first:]:
            _mark(operation)


@contextmanager
def unreturned() -> Iterator[None]:
    """Take gradients without what is redirected: nothing passes in its place.

    What is left of a redirected gradient is an image's own.
    """
    token = _returning.set(False)
    try:
        yield
    finally:
        _returning.reset(token)


def _mark(operation: Any) -> None:
    """Override the gradient of an operation that its type does not tell."""
    if operation.type in {"Maximum", "Minimum"} and _bounded(operation) is not None:
        name = _PREFIX + "Bound"
    elif _is_gated(operation):
        name = _PREFIX + "Gate"
    elif operation.type == "IdentityN" and _is_gated(operation.inputs[0].op):
        # SiLU has a gradient of its own, which would pass by that of its product.
        name = operation.type
    else:
        return
    # What `gradient_override_map` does, which a custom gradient would replace.
    value = attr_value_pb2.AttrValue(s=name.encode())
    operation._set_attr("_gradient_op_type", value)


def _silent(gradient: Any, passed: Any, share: float) -> Any:
    """Return which images pass at most a share of their gradient, `(n, 1, ...)`."""
    axes = tf.range(1, tf.rank(gradient))
    before, behind = (
        tf.reduce_max(tf.abs(values), axis=axes, keepdims=True)
        for values in (gradient, passed)
    )
    return behind <= share * before


def _returned(gradient: Any, plain: Any, upward: Any, share: float) -> Any:
    """Pass the gradient back into range, for images that would have none at all.

    Args:
        gradient: With respect to the output, of what is to be increased.
        plain: The true gradient with respect to the input.
        upward: Where a larger input would be nearer to the active range.
        share: An image has none where `plain` reaches at most this part of `gradient`.
    """
    returning = tf.where(upward, gradient > 0, gradient < 0)
    returning &= _silent(gradient, plain, share)
    return tf.where(returning, _let_through(gradient), plain)


def _let_through(gradient: Any) -> Any:
    return gradient if _returning.get() else tf.zeros_like(gradient)


def _plain(operation: Any, gradient: Any) -> Any:
    """Return the true gradient of one of `_KINDS`."""
    inputs, outputs = operation.inputs[0], operation.outputs[0]
    if operation.type == "Softmax":
        return outputs * (gradient - tf.reduce_sum(gradient * outputs, -1, True))
    function = getattr(tf.raw_ops, f"{operation.type}Grad")
    if operation.type in {"Sigmoid", "Tanh"}:
        return function(dy=gradient, y=outputs)
    if operation.type in {"Elu", "Selu"}:
        return function(gradients=gradient, outputs=outputs)
    return function(gradients=gradient, features=inputs)


def _redirected(operation: Any, gradient: Any) -> Any:
    # On the other side of the middle, what has no ceiling passes everything anyway.
    if operation.type == "Softmax":
        upward = operation.outputs[0] < 0.5
    else:
        upward = operation.inputs[0] <= (3 if operation.type == "Relu6" else 0)
    share = 0.0 if operation.type in {"Relu", "Relu6"} else VANISHING
    plain = _plain(operation, gradient)
    return _returned(gradient, plain, upward, share)


for _kind in _KINDS:
    tf.RegisterGradient(_PREFIX + _kind)(_redirected)


def _bounded(operation: Any) -> int | None:
    """Return which operand of a maximum or minimum a constant bounds, if one does."""
    constant = [_is_constant(tensor) for tensor in operation.inputs]
    if any(constant) == all(constant):
        return None
    place = constant.index(False)
    bounded, output = operation.inputs[place], operation.outputs[0]
    return place if _shape(bounded) == _shape(output) else None


@tf.RegisterGradient(_PREFIX + "Bound")
def _redirected_bound(operation: Any, gradient: Any) -> list[Any]:
    place = _bounded(operation)
    first, second = operation.inputs
    largest = operation.type == "Maximum"
    chosen = (first >= second) if largest else (first <= second)
    passing = chosen if place == 0 else ~chosen
    plain = tf.where(passing, gradient, tf.zeros_like(gradient))
    upward = tf.fill(tf.shape(gradient), largest)
    gradients: list[Any] = [None, None]
    gradients[place or 0] = _returned(gradient, plain, upward, 0.0)
    return gradients


# What the gate of x * gate(x) consists of: one of these ...
_GATES = {"Sigmoid", "Tanh", "Erf", "Erfc", "Relu", "Relu6", "Greater", "GreaterEqual"}
# ... and arithmetic.
_ARITHMETIC = {
    "Add", "AddV2", "Cast", "Identity", "Maximum", "Minimum", "Mul", "Neg", "Pow",
    "RealDiv", "Softplus", "Square", "Sub",
}  # fmt: skip


def _is_gated(operation: Any) -> bool:
    return operation.type == "Mul" and _gated(operation) is not None


def _gated(operation: Any) -> tuple[int, Any] | None:
    """Find which operand of a product the other one gates, being a function of it.

    Returns:
        The place of the operand, and the tensor from which both are computed.
    """
    for place, gate in enumerate(reversed(operation.inputs)):
        sources = _scaled(operation.inputs[place])
        if _depends_only(gate, sources):
            return place, sources[-1]
    return None


def _scaled(tensor: Any) -> list[Any]:
    """Return a tensor, what it is a multiple of, and so on."""
    found = [tensor]
    while found[-1].op.type in {"Identity", "Mul", "RealDiv"}:
        varying = [t for t in found[-1].op.inputs if not _is_constant(t)]
        if len(varying) != 1:
            break
        found += varying
    return found


def _depends_only(gate: Any, sources: list[Any]) -> bool:
    """Whether a tensor is a gate that is computed from `sources` alone."""
    known = {tensor.ref() for tensor in sources}
    pending, kinds, met = [gate], set(), False
    while pending:
        tensor = pending.pop()
        if tensor.ref() in known:
            met = True
        elif not _is_constant(tensor):
            if tensor.op.type not in _GATES | _ARITHMETIC:
                return False
            kinds.add(tensor.op.type)
            pending += tensor.op.inputs
    return met and bool(kinds & _GATES)


@tf.RegisterGradient(_PREFIX + "Gate")
def _redirected_gate(operation: Any, gradient: Any) -> list[Any]:
    place, source = _gated(operation)  # type: ignore[misc]
    inputs, gate = operation.inputs[place], operation.inputs[1 - place]
    # Another product, as this one would ask for its own gradient without end.
    slope = tf.gradients(inputs * gate, source)[0]
    rising = tf.where(slope > 0, gradient * slope, tf.zeros_like(gradient))
    silent = _silent(gradient, rising, VANISHING)
    returning = silent & (inputs < 0) & (gradient > 0)
    gradients = [tf.where(returning, tf.zeros_like(gradient), gradient * inputs)] * 2
    through = _let_through(gradient)
    gradients[place] = tf.where(returning, through, gradient * gate)
    return gradients


def _is_constant(tensor: Any) -> bool:
    return tf.get_static_value(tensor) is not None


def _shape(tensor: Any) -> Any:
    return tensor.shape.as_list() if tensor.shape.rank is not None else None


@tf.RegisterGradient("TfvizSmoothMaxPool")
def _smooth_max_pool(operation: Any, gradient: Any) -> Any:
    # The small number shares the gradient of a window of zeros evenly. Half precision
    # would lose it.
    inputs, gradient = operation.inputs[0], tf.cast(gradient, tf.float32)
    squares = tf.square(tf.cast(inputs, tf.float32)) + 1e-20
    padded, padding = squares, operation.get_attr("padding").decode()
    if padding == "EXPLICIT":
        sizes = tf.reshape(operation.get_attr("explicit_paddings"), (4, 2))
        padded, padding = tf.pad(squares, sizes), "VALID"
    pooled = tf.nn.avg_pool2d(
        padded, operation.get_attr("ksize"), operation.get_attr("strides"), padding
    )
    # A mean divides by the inputs of its window, and so does its gradient: the number,
    # which padding makes smaller at the edges, cancels out.
    shared = squares * tf.gradients(pooled, squares, gradient / pooled)[0]
    return tf.cast(shared, inputs.dtype)
