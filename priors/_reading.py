"""What can be read off the graph of a generator: the range of its images, its classes.

However a generator is written, in Keras 3, in `tf_keras` or as a SavedModel, a call of
it leaves a graph of operations. From its output, `read` walks back through what only
rearranges or rescales values, until an operation limits them, such as a tanh.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import handle_data_util

from tfviz.params._base import Latents

# The operations that limit values, whatever they get.
_LIMITING = {
    "Sigmoid": (0.0, 1.0, "sigmoid"),
    "Tanh": (-1.0, 1.0, "tanh"),
    "Softsign": (-1.0, 1.0, "softsign"),
    "Erf": (-1.0, 1.0, "erf"),
    "Sin": (-1.0, 1.0, "sine"),
    "Cos": (-1.0, 1.0, "cosine"),
    "Relu6": (0.0, 6.0, "ReLU6"),
}
# The operations that only rearrange, repeat, leave out or average values.
_PASSING = {
    *("Identity", "Cast", "StopGradient", "PreventGradient", "CheckNumerics"),
    *("EnsureShape", "Reshape", "Squeeze", "ExpandDims", "Transpose", "BroadcastTo"),
    *("Slice", "StridedSlice", "Tile", "ReverseV2", "GatherV2", "MirrorPad"),
    *("DepthToSpace", "SpaceToDepth", "BatchToSpaceND", "SpaceToBatchND"),
    *("ResizeNearestNeighbor", "ResizeBilinear", "ResizeArea"),
    *("MaxPool", "AvgPool", "Mean", "Max", "Min"),
}
# The operations between an input and the table in which it selects a row.
_OF_INDICES = {"Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "Round"}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}

# The calls of functions that lead to an operation, the innermost first.
_Calls = tuple[Any, ...]


@dataclass(frozen=True)
class Reading:
    """What was read off the graph of a generator.

    Attributes:
        value_range: The lowest and the highest value that its images can have, or None
            if nothing limits them.
        activation: The name of what limits them, such as `tanh`; empty if nothing does.
        classes: The number of classes among which an input selects, by its name.
    """

    value_range: tuple[float, float] | None = None
    activation: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)


def read(generate: Callable[[Latents], Any], inputs: Mapping[str, Any]) -> Reading:
    """Read off the graph of a generator what limits its images, and its classes.

    Args:
        generate: `generate(values) -> images`, the generator, which is called once with
            symbolic tensors.
        inputs: A `tf.TensorSpec` of each of the values, by name.

    >>> spec = tf.TensorSpec((1, 12))
    >>> read(lambda values: 255 * tf.sigmoid(values["z"]), {"z": spec})
    Reading(value_range=(0.0, 255.0), activation='sigmoid', classes={})
    >>> read(lambda values: 2 * values["z"], {"z": spec}).value_range is None
    True
    """
    graph = tf.__internal__.FuncGraph("reading")
    with graph.as_default():
        values = {
            name: tf.compat.v1.placeholder(spec.dtype, spec.shape)
            for name, spec in inputs.items()
        }
        output = generate(dict(values))
    limits = _limits(output, ())
    known = isfinite(limits.low) and isfinite(limits.high) and limits.low < limits.high
    return Reading(
        (limits.low, limits.high) if known else None,
        limits.activation if known else "",
        _find_classes(graph, {tensor.name: name for name, tensor in values.items()}),
    )


@dataclass(frozen=True)
class _Limits:
    """The lowest and the highest value of a tensor, and what limits it."""

    low: float = -inf
    high: float = inf
    activation: str = ""

    def clipped(self, low: float, high: float) -> "_Limits":
        """Return the limits after a clip."""
        if low <= self.low and self.high <= high:
            return self
        name = self.activation or "clip"
        return _Limits(max(self.low, low), min(self.high, high), name)


def _limits(tensor: Any, calls: _Calls) -> _Limits:
    """Return the limits of a tensor, as far as its operations tell."""
    tensor, calls = _origin(tensor, calls)
    kind = tensor.op.type
    if kind in _LIMITING:
        return _Limits(*_LIMITING[kind])
    if kind in _ARITHMETIC or kind in _UNARY:
        return _limits_of_arithmetic(tensor.op, calls)
    parts = [_limits(part, calls) for part in _parts(tensor)]
    if not parts:
        return _Limits()
    if kind == "Pad":
        parts.append(_Limits(0, 0))
    name = next((part.activation for part in parts if part.activation), "")
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    return _Limits(low, high, name)


def _parts(tensor: Any) -> list[Any]:
    """Return the tensors whose values a tensor consists of; none if it has new ones."""
    kind, inputs = tensor.op.type, list(tensor.op.inputs)
    if kind in _PASSING or kind == "Pad":
        return inputs[:1]
    if kind == "IdentityN":
        return [inputs[tensor.value_index]]
    return {"ConcatV2": inputs[:-1], "Pack": inputs, "SelectV2": inputs[1:]}.get(
        kind, []
    )


def _limits_of_arithmetic(operation: Any, calls: _Calls) -> _Limits:
    """Return the limits of a sum, product, minimum or maximum with a constant."""
    kind, inputs = operation.type, list(operation.inputs)
    if kind in _UNARY:
        kind, number = _UNARY[kind]
        return _ARITHMETIC[kind](_limits(inputs[0], calls), number, False)
    first, second = (_constant(value, calls) for value in inputs)
    if second is not None:
        return _ARITHMETIC[kind](_limits(inputs[0], calls), second, False)
    if first is not None and kind != "RealDiv":
        return _ARITHMETIC[kind](_limits(inputs[1], calls), first, True)
    return _Limits()


def _scaled(limits: _Limits, factor: float, offset: float) -> _Limits:
    """Return the limits of `factor * tensor + offset`."""
    if factor == 0:  # also of a division by 0
        return _Limits()
    ends = (limits.low * factor + offset, limits.high * factor + offset)
    # The constants of a graph have about 7 digits.
    low, high = (float(f"{end:.6g}") for end in sorted(ends))
    return _Limits(low, high, limits.activation)


# The limits of each kind of arithmetic, by the limits of the tensor, the constant, and
# whether the constant comes first.
_ARITHMETIC: dict[str, Callable[[_Limits, float, bool], _Limits]] = {
    "Add": lambda limits, number, _: _scaled(limits, 1, number),
    "AddV2": lambda limits, number, _: _scaled(limits, 1, number),
    "Mul": lambda limits, number, _: _scaled(limits, number, 0),
    "RealDiv": lambda limits, number, _: _scaled(
        limits, 1 / number if number else 0, 0
    ),
    "Sub": lambda limits, number, first: _scaled(
        limits, -1 if first else 1, number if first else -number
    ),
    "Maximum": lambda limits, number, _: limits.clipped(number, inf),
    "Minimum": lambda limits, number, _: limits.clipped(-inf, number),
}
# Operations that are arithmetic with a fixed number.
_UNARY = {"Neg": ("Mul", -1.0), "Relu": ("Maximum", 0.0)}


def _constant(tensor: Any, calls: _Calls) -> float | None:
    """Return the only number in a constant tensor, or None if there is not just one."""
    value = tf.get_static_value(_origin(tensor, calls)[0])
    if value is None or np.unique(value).size != 1:
        return None
    number = float(np.ravel(value)[0])
    return number if isfinite(number) else None


def _origin(tensor: Any, calls: _Calls) -> tuple[Any, _Calls]:
    """Return the tensor inside of a called function, or outside of the current one."""
    while True:
        operation = tensor.op
        if operation.type in _CALLS:
            inner = _function_of(operation)
            if inner is None:
                return tensor, calls
            tensor, calls = inner.outputs[tensor.value_index], (operation, *calls)
        elif operation.type == "Placeholder" and calls:
            places = [
                place
                for place, own in enumerate(operation.graph.inputs)
                if own is tensor
            ]
            if not places:
                return tensor, calls
            tensor, calls = calls[0].inputs[places[0]], calls[1:]
        else:
            return tensor, calls


def _function_of(operation: Any) -> Any:
    """Return the graph of the function that an operation calls, or None."""
    function = operation.graph._get_function(operation.get_attr("f").name)
    return getattr(function, "graph", None)


def _find_classes(graph: Any, names: Mapping[str, str]) -> dict[str, int]:
    """Return the number of rows of the table in which each input selects one.

    Args:
        graph: The graph of the generator.
        names: The name of each input, by the name of its placeholder.
    """
    classes = {}
    for operation, calls in _operations(graph, ()):
        table, place = _table_of(operation)
        if table is None:
            continue
        index = _index(operation.inputs[place], calls)
        if index is not None and index.name in names and index.graph is graph:
            classes[names[index.name]] = table
    return classes


def _operations(graph: Any, calls: _Calls) -> Iterator[tuple[Any, _Calls]]:
    for operation in graph.get_operations():
        yield operation, calls
        if operation.type in _CALLS and (inner := _function_of(operation)) is not None:
            yield from _operations(inner, (operation, *calls))


def _table_of(operation: Any) -> tuple[int | None, int]:
    """Return the number of rows that an operation selects from, and where its index is.

    The number is None if it selects none, or the table has another form.
    """
    if operation.type == "OneHot":
        depth = tf.get_static_value(operation.inputs[1])
        return (None if depth is None else int(depth)), 0
    if operation.type == "ResourceGather":
        handle = handle_data_util.get_resource_handle_data(operation.inputs[0])
        known = handle.shape_and_type[0].shape if handle.is_set else None
        shape = None if known is None else tf.TensorShape(known)
    elif operation.type == "GatherV2":
        shape = operation.inputs[0].shape
        axis = tf.get_static_value(operation.inputs[2])
        shape = shape if axis == 0 else None
    else:
        shape = None
    rows = shape[0] if shape is not None and shape.rank == 2 else None
    return rows, 1


def _index(tensor: Any, calls: _Calls) -> Any:
    """Return the placeholder that an index comes from, or None."""
    while True:
        tensor, calls = _origin(tensor, calls)
        operation = tensor.op
        if operation.type == "Placeholder":
            return tensor
        if operation.type == "SelectV2":
            # Keras lets negative indices count from the end.
            tensor = operation.inputs[2]
        elif operation.type in _OF_INDICES:
            tensor = operation.inputs[0]
        else:
            return None
