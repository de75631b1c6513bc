"""Gradient overrides, which let the optimization start where a unit is dead.

A dead unit has zero gradient everywhere, so a picture that starts there would never
change. Following Lucid's `redirected_relu_grad`
(https://github.com/tensorflow/lucid, misc/redirected_relu_grad.py), an activation
function that passes no gradient for an image passes the incoming gradient unchanged
instead, but only where this moves its input back into the active range. Lucid does
so for ReLU and ReLU6. This module also redirects the gradient of

* a maximum or minimum with a constant: `clip`, `hard_tanh`, or a ReLU written with
  `maximum`;
* saturated activation functions: Sigmoid, Tanh, Softmax, Softsign, Softplus, ELU and
  SELU. Their gradient seldom is exactly 0 and has the right direction, but Adam,
  which divides by its size, cannot move a picture by a gradient of 1e-12;
* products x * gate(x): GELU, SiLU, hard SiLU, Mish. Below their minimum, at -0.75 to
  -1.5, they rise again towards 0, so that the true gradient moves a dead unit still
  further away.

LeakyReLU and PReLU need no override: the optimizers divide by the size of the
gradient, so that slopes of 0.01 to 0.3 do no harm. A threshold with `where`, as in
`keras.layers.ReLU(threshold=1)`, and operations inside a loop are not recognized;
dead units behind them are reported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from tfviz.models.image_gradients import CONVOLUTION

# An activation function that passes at most this share of a gradient counts as
# saturated: a sigmoid beyond 7 from its middle, a tanh beyond 4. The share is far
# below the derivatives of working units, and Adam, which needs gradients of about
# 1e-8, can still use incoming gradients down to 1e-5.
VANISHING = 1e-3

# The operations whose type alone shows that their gradient is to be redirected.
_KINDS = (
    "Elu", "Relu", "Relu6", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign",
    "Tanh",
)  # fmt: skip
# The functions that a gate consists of, in a product x * gate(x) ...
_GATES = {"Sigmoid", "Tanh", "Erf", "Erfc", "Relu", "Relu6", "Greater", "GreaterEqual"}
# ... and the arithmetic around them.
_ARITHMETIC = {
    "Add", "AddV2", "Cast", "Identity", "Maximum", "Minimum", "Mul", "Neg", "Pow",
    "RealDiv", "Softplus", "Square", "Sub",
}  # fmt: skip
_PREFIX = "TfvizRedirected"
# Those that are redirected only where no gradient at all passes.
_HARD = ("Relu", "Relu6")
_redirecting = ContextVar("redirecting", default=True)


@contextmanager
def override_gradients(
    *, redirect: bool = False, smooth_pools: bool = False
) -> Iterator[None]:
    """Override the gradients of the operations that are traced in this context.

    The overrides apply to the operations of the graph, whichever layer creates them,
    and to gradients that are computed with `tf.gradients`. The quantity that is
    differentiated must be one to be increased. Convolutions always get the gradient of
    `image_gradients`, which is the true one.

    Args:
        redirect: Whether activation functions that pass no gradient get the
            redirected gradient.
        smooth_pools: Whether max-pools share their gradient within each window, in
            proportion to the squares of the inputs, as Lucid's
            `smoothed_maxpool_grad` does, instead of passing all of it to the largest.
    """
    graph = tf.compat.v1.get_default_graph()
    names = {"Conv2D": CONVOLUTION}
    if redirect:
        names |= {kind: _PREFIX + kind for kind in _KINDS}
    if smooth_pools:
        names["MaxPool"] = "TfvizSmoothMaxPool"
    first = len(graph.get_operations())
    with graph.gradient_override_map(names):
        yield
    if redirect:
        for operation in graph.get_operations()[first:]:
            _mark(operation)


@contextmanager
def drop_redirected_gradients() -> Iterator[None]:
    """Replace redirected gradients with zero in this context.

    Gradients that are computed here are those that do not pass through any redirected
    activation function.
    """
    token = _redirecting.set(False)
    try:
        yield
    finally:
        _redirecting.reset(token)


def drops_gradients() -> bool:
    """Return whether `drop_redirected_gradients` makes a difference in this graph.

    Rectifiers and bounds are redirected where the true gradient of an image is 0
    everywhere, so that dropping the redirected gradient leaves the true one.
    """
    operations = tf.compat.v1.get_default_graph().get_operations()
    return any(
        operation.type in _SOFT_TYPES and _override_of(operation) in _SOFT
        for operation in operations
    )


def _override_of(operation: Any) -> str | None:
    """Return the name of the gradient that replaces an operation's own, if any."""
    try:
        return operation.get_attr("_gradient_op_type").decode()
    except ValueError:  # there is no such attribute
        return None


def _mark(operation: Any) -> None:
    """Override the gradient of an operation whose type alone does not identify it."""
    if operation.type in {"Maximum", "Minimum"} and _bounded(operation) is not None:
        name = _PREFIX + "Bound"
    elif _is_gated(operation):
        name = _PREFIX + "Gate"
    elif operation.type == "IdentityN" and _is_gated(operation.inputs[0].op):
        # TensorFlow's SiLU has a custom gradient, which would bypass that of its
        # product.
        name = operation.type
    else:
        return
    # As `gradient_override_map` does, but after a custom gradient was set.
    value = attr_value_pb2.AttrValue(s=name.encode())
    operation._set_attr("_gradient_op_type", value)


def _is_blocked(gradient: Any, passed: Any, share: float) -> Any:
    """Return for which images at most a share of the gradient passes, `(n, 1, ...)`."""

    def largest(values: Any) -> Any:
        axes = [*range(1, values.shape.rank)]
        return tf.reduce_max(tf.abs(values), axis=axes, keepdims=True)

    if not share:
        return largest(passed) <= 0
    return largest(passed) <= share * largest(gradient)


def _redirect(gradient: Any, plain: Any, upward: Any, share: float) -> Any:
    """Return the gradient with respect to the input, redirected where it vanishes.

    Args:
        gradient: The gradient of the quantity that is to be increased, with respect
            to the output.
        plain: The true gradient with respect to the input.
        upward: Whether a larger input would be nearer to the active range.
        share: The gradient of an image vanishes if `plain` reaches at most this share
            of `gradient`.
    """
    returning = tf.where(upward, gradient > 0, gradient < 0)
    returning &= _is_blocked(gradient, plain, share)
    return tf.where(returning, _substitute(gradient), plain)


def _substitute(gradient: Any) -> Any:
    """Return the redirected gradient, or zero if redirected gradients are dropped."""
    return gradient if _redirecting.get() else tf.zeros_like(gradient)


def _true_gradient(operation: Any, gradient: Any) -> Any:
    """Return the true gradient of an operation of one of the `_KINDS`."""
    inputs, outputs = operation.inputs[0], operation.outputs[0]
    if operation.type == "Softmax":
        return outputs * (gradient - tf.reduce_sum(gradient * outputs, -1, True))
    function = getattr(tf.raw_ops, f"{operation.type}Grad")
    if operation.type in {"Sigmoid", "Tanh"}:
        return function(dy=gradient, y=outputs)
    if operation.type in {"Elu", "Selu"}:
        return function(gradients=gradient, outputs=outputs)
    return function(gradients=gradient, features=inputs)


def _redirect_kind(operation: Any, gradient: Any) -> Any:
    if operation.type == "Relu":
        # What is on passes its gradient, so that an image without any has none there.
        plain = _true_gradient(operation, gradient)
        returning = (operation.inputs[0] <= 0) & (gradient > 0)
        returning &= _is_blocked(gradient, plain, 0.0)
        return tf.where(returning, _substitute(gradient), plain)
    # The middle of the range decides the direction. Functions without an upper bound
    # never vanish above it.
    if operation.type == "Softmax":
        upward = operation.outputs[0] < 0.5
    else:
        upward = operation.inputs[0] <= (3 if operation.type == "Relu6" else 0)
    share = 0.0 if operation.type in _HARD else VANISHING
    plain = _true_gradient(operation, gradient)
    return _redirect(gradient, plain, upward, share)


for _kind in _KINDS:
    tf.RegisterGradient(_PREFIX + _kind)(_redirect_kind)
# The names of the gradients that are redirected where a little of them passes.
_SOFT_TYPES = {*_KINDS, "Mul"} - {*_HARD}
_SOFT = {_PREFIX + kind for kind in (*_KINDS, "Gate") if kind not in _HARD}


def _bounded(operation: Any) -> int | None:
    """Return the index of the operand that a maximum or minimum bounds by a constant.

    Returns:
        The index, or None if the operation does not bound a tensor by a constant.
    """
    constant = [_is_constant(tensor) for tensor in operation.inputs]
    if any(constant) == all(constant):
        return None
    place = constant.index(False)
    bounded, output = operation.inputs[place], operation.outputs[0]
    return place if _shape(bounded) == _shape(output) else None


@tf.RegisterGradient(_PREFIX + "Bound")
def _redirect_bound(operation: Any, gradient: Any) -> list[Any]:
    place = _bounded(operation)
    first, second = operation.inputs
    is_maximum = operation.type == "Maximum"
    first_wins = (first >= second) if is_maximum else (first <= second)
    passing = first_wins if place == 0 else ~first_wins
    plain = tf.where(passing, gradient, tf.zeros_like(gradient))
    upward = tf.fill(tf.shape(gradient), is_maximum)
    gradients: list[Any] = [None, None]
    gradients[place or 0] = _redirect(gradient, plain, upward, 0.0)
    return gradients


def _is_gated(operation: Any) -> bool:
    return operation.type == "Mul" and _gated(operation) is not None


def _gated(operation: Any) -> tuple[int, Any] | None:
    """Find the operand x of a product x * gate(x).

    Returns:
        The index of the operand, and the tensor from which both operands are
        computed; None if the product is of another kind.
    """
    for place, gate in enumerate(reversed(operation.inputs)):
        sources = _unscaled(operation.inputs[place])
        if _is_gate_of(gate, sources):
            return place, sources[-1]
    return None


def _unscaled(tensor: Any) -> list[Any]:
    """Return a tensor, then the tensor that it is a constant multiple of, and so on."""
    tensors = [tensor]
    while tensors[-1].op.type in {"Identity", "Mul", "RealDiv"}:
        varying = [t for t in tensors[-1].op.inputs if not _is_constant(t)]
        if len(varying) != 1:
            break
        tensors += varying
    return tensors


def _is_gate_of(gate: Any, sources: list[Any]) -> bool:
    """Tell whether a tensor is a gate that is computed from `sources` alone."""
    source_refs = {tensor.ref() for tensor in sources}
    pending, kinds, met = [gate], set(), False
    while pending:
        tensor = pending.pop()
        if tensor.ref() in source_refs:
            met = True
        elif not _is_constant(tensor):
            if tensor.op.type not in _GATES | _ARITHMETIC:
                return False
            kinds.add(tensor.op.type)
            pending += tensor.op.inputs
    return met and bool(kinds & _GATES)


@tf.RegisterGradient(_PREFIX + "Gate")
def _redirect_gate(operation: Any, gradient: Any) -> list[Any]:
    place, source = _gated(operation)  # type: ignore[misc]
    inputs, gate = operation.inputs[place], operation.inputs[1 - place]
    # A new product: differentiating this one would call this function without end.
    derivative = tf.gradients(inputs * gate, source)[0]
    rising = tf.where(derivative > 0, gradient * derivative, tf.zeros_like(gradient))
    blocked = _is_blocked(gradient, rising, VANISHING)
    returning = blocked & (inputs < 0) & (gradient > 0)
    gradients = [tf.where(returning, tf.zeros_like(gradient), gradient * inputs)] * 2
    substitute = _substitute(gradient)
    gradients[place] = tf.where(returning, substitute, gradient * gate)
    return gradients


def _is_constant(tensor: Any) -> bool:
    return tf.get_static_value(tensor) is not None


def _shape(tensor: Any) -> Any:
    return tensor.shape.as_list() if tensor.shape.rank is not None else None


@tf.RegisterGradient("TfvizSmoothMaxPool")
def _smooth_max_pool(operation: Any, gradient: Any) -> Any:
    # The small number makes a window of zeros share its gradient evenly. It would be
    # lost in half precision.
    inputs, gradient = operation.inputs[0], tf.cast(gradient, tf.float32)
    squares = tf.square(tf.cast(inputs, tf.float32)) + 1e-20
    padded, padding = squares, operation.get_attr("padding").decode()
    if padding == "EXPLICIT":
        sizes = tf.reshape(operation.get_attr("explicit_paddings"), (4, 2))
        padded, padding = tf.pad(squares, sizes), "VALID"
    pooled = tf.nn.avg_pool2d(
        padded, operation.get_attr("ksize"), operation.get_attr("strides"), padding
    )
    # The mean and its gradient both divide by the number of inputs in a window, so
    # that this number, which is smaller at padded edges, cancels out.
    shared = squares * tf.gradients(pooled, squares, gradient / pooled)[0]
    return tf.cast(shared, inputs.dtype)
