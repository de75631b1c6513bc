"""The layers, logits and outputs of a model, found in a recorded forward pass.

Everything here works on tensors of the graph that is being traced: which operations
led to them shows where a softmax or a ReLU is, however the model is written.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import did_you_mean
from tfviz.models.recording import Recording

# The paths of the model's output. A layer may be called `logits`, but not `:logits`.
LOGITS = ":logits"
PROBABILITIES = ":probabilities"
# A layer's path with this suffix stands for the activations before its ReLU.
PRE = ":pre"

_SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
# The operations that may follow the squashing function. Some rearrange or pool
# positions, and are repeated on the logits ...
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
# ... and some only rescale numbers, and are left out.
_RESCALING = {"Identity", "Cast", "Log"}
_RESCALING_BY_A_CONSTANT = {"AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum"}

_RECTIFIERS = ("Relu", "Relu6")
# Operations that commute with a ReLU.
_PASSING = ("ConcatV2", "Identity", "MaxPool")


class OutputError(ValueError):
    """A model does not have the output that was asked for."""


@dataclass(frozen=True)
class Layer:
    """A layer of a model, as one call of it appears in a forward pass.

    Attributes:
        path: The names of the layers that lead to it, joined by `/`.
        kind: The name of the layer's class.
        shape: The shape of the output, with the images along axis 0.
        rectified: Whether the layer ends in a ReLU, so that the path `path:pre` stands
            for the activations before it.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    rectified: bool = False

    @property
    def units(self) -> int | None:
        """The number of channels, or None if the output has no channel axis."""
        return self.shape[-1] if len(self.shape) > 1 else None


@dataclass(frozen=True)
class Survey:
    """The layers and the output of a model, for images of one size.

    Attributes:
        layers: The layers by path, in the order in which they are called.
        unlisted: Operations of a graph that only pass on values, by path.
        operations: The Keras layers, or nodes of a graph, by path.
        logits_shape: The shape of the logits, or None for a model of several outputs.
        logits_source: A description, in words, of where the logits are.
        outputs: The shapes of several outputs, by name; empty if one is used.
    """

    layers: dict[str, Layer]
    unlisted: dict[str, Layer]
    operations: dict[str, Any]
    logits_shape: tuple[int | None, ...] | None
    logits_source: str
    outputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)


def make_survey(output: Any, recording: Recording, model: Any) -> Survey:
    """Describe a recorded forward pass, without references to its tensors.

    Args:
        output: The model's output, or the selected one of several.
        recording: The recording of the forward pass.
        model: The model.
    """
    layers: dict[str, Layer] = {}
    unlisted: dict[str, Layer] = {}
    graph = tf.compat.v1.get_default_graph()
    # Operations are in the order of calls, outputs in the order of returns.
    for path in recording.operations | recording.outputs:
        tensor = _only_tensor(recording.outputs[path])
        # Tensors inside a loop belong to another graph, and a layer that returns its
        # weights does not depend on the image.
        if tensor is None or getattr(tensor, "graph", None) is not graph:
            continue
        operation = recording.operations.get(path)
        is_node = operation is None or isinstance(operation, tf.compat.v1.NodeDef)
        kind = tensor.op.type if is_node else type(operation).__name__
        group = unlisted if operation is None else layers
        rectified = before_relu(tensor) is not None
        group[path] = Layer(path, kind, (None, *tensor.shape[1:]), rectified)
    names = output_names(model, output)
    several = output.values() if isinstance(output, dict) else output if names else ()
    output = _only_tensor(output)
    if output is None:
        source = f"several outputs ({', '.join(map(repr, names))})"
        tensors = map(_only_tensor, several)
        outputs = {
            name: (None, *tensor.shape[1:])
            for name, tensor in zip(names, tensors, strict=True)
            if tensor is not None
        }
        return Survey(layers, unlisted, recording.operations, None, source, outputs)
    logits, undone = find_logits(output)
    source = "the output; no softmax or sigmoid was found"
    if undone:
        undone_names = {operation.name for operation in undone}
        place = next(
            (
                path
                for path, value in recording.outputs.items()
                if hasattr(value, "op") and value.op.name in undone_names
            ),
            model.name,
        )
        source = f"what goes into the {undone[0].type.lower()} of {place!r}"
    return Survey(layers, unlisted, recording.operations, tuple(logits.shape), source)


def fetch(path: str, output: Any, recording: Recording) -> Any:
    """Return the tensor at a path of a recorded forward pass.

    Args:
        path: The path of a layer, `LOGITS` or `PROBABILITIES`.
        output: The model's output, or the selected one of several.
        recording: The recording of the forward pass.
    """
    if path not in (LOGITS, PROBABILITIES):
        if path.endswith(PRE) and path not in recording.outputs:
            return before_relu(_only_tensor(recording.outputs[path.removesuffix(PRE)]))
        return _only_tensor(recording.outputs[path])
    output = _only_tensor(output)
    if path == PROBABILITIES:
        return probabilities(output)
    return find_logits(output)[0]


def find_connections(recording: Recording) -> dict[str, tuple[str, ...]]:
    """Return which layers each layer takes the outputs of, in a recorded forward pass.

    A layer that returns what it got, such as dropout, takes the layer before it. A
    layer that contains others takes the last of them.

    Args:
        recording: The recording of the forward pass.

    Returns:
        The paths of the layers that a layer takes, by its path; none for a layer that
        takes the images.
    """
    owners: dict[Any, str] = {}
    connections: dict[str, tuple[str, ...]] = {}
    for path, output in recording.outputs.items():
        tensor = _only_tensor(output)
        if tensor is None or not hasattr(tensor, "op"):
            continue
        place = (id(tensor.graph), tensor.name)
        passed_on = place in owners
        sources = [owners[place]] if passed_on else _sources(tensor, owners)
        connections[path] = tuple(sources)
        owners[place] = path
    return connections


def _sources(tensor: Any, owners: dict[Any, str]) -> list[str]:
    """Return the layers that a tensor was computed from, without others in between."""
    sources: dict[str, None] = {}
    pending, seen = list(tensor.op.inputs), set()
    while pending:
        source = pending.pop(0)
        place = (id(source.graph), source.name)
        if place in seen:
            continue
        seen.add(place)
        if place in owners:
            sources[owners[place]] = None
        else:
            pending += source.op.inputs
    return list(sources)


def find_logits(output: Any) -> tuple[Any, list[Any]]:
    """Return the logits that a model's output was computed from.

    The softmax may be an argument of a layer, a layer of its own, part of a nested
    head, or a function. If the output is a mean or maximum of probabilities over
    positions, then the same mean or maximum is taken of the logits.

    Args:
        output: A tensor of the graph that is being traced.

    Returns:
        The tensor before a softmax or sigmoid, or `output` if there is none; and the
        operations of the graph that were undone, first the softmax or sigmoid.
    """
    undone = _squashing(output)
    if not undone:
        return output, []
    return _repeat(undone[0].inputs[0], undone[1:]), undone


def probabilities(output: Any) -> Any:
    """Return a model's output as probabilities.

    If the output comes from neither a softmax nor a sigmoid, a softmax is applied, or
    a sigmoid if there is only one class.

    Args:
        output: A tensor of the graph that is being traced.
    """
    undone = _squashing(output)
    if not undone:
        squash = tf.nn.sigmoid if output.shape[-1] == 1 else tf.nn.softmax
        return squash(tf.cast(output, tf.float32))
    squashed = undone[0].outputs[0]
    if undone[0].type == "LogSoftmax":
        squashed = tf.exp(squashed)
    return _repeat(squashed, undone[1:])


def before_relu(tensor: Any) -> Any:
    """Return a tensor as it would be without the ReLU that it was computed with.

    The ReLU may be followed by a max-pool, or by the concatenation of branches that
    all end in a ReLU; these are repeated on its inputs.

    Args:
        tensor: A tensor of the graph that is being traced.

    Returns:
        The tensor before the ReLU, or None if there is no ReLU.
    """
    operation = tensor.op
    branches = list(operation.inputs)
    if operation.type in _RECTIFIERS:
        return branches[0]
    if operation.type not in _PASSING:
        return None
    if operation.type == "ConcatV2":
        axis = branches.pop()
    before = [before_relu(branch) for branch in branches]
    if any(branch is None for branch in before):
        return None
    if operation.type == "ConcatV2":
        return tf.concat(before, axis)
    if operation.type == "MaxPool":
        options = (operation.get_attr(name) for name in ("ksize", "strides"))
        return tf.nn.max_pool2d(
            before[0], *options, operation.get_attr("padding").decode()
        )
    return before[0]


def output_names(model: Any, output: Any) -> list[str]:
    """Return the names of several outputs: their keys, Keras' names, or numbers.

    Args:
        model: The model.
        output: Its output. A single output has no names.
    """
    if isinstance(output, dict):
        return list(output)
    if not isinstance(output, (list, tuple)):
        return []
    names = getattr(model, "output_names", None) or []
    if len(names) != len(output) or len(set(names)) != len(output):
        names = [str(place) for place in range(len(output))]
    return list(names)


def select_output(model: Any, output: Any, selected: str | int | None) -> Any:
    """Return one of several outputs, or all of them if none is selected.

    Args:
        model: The model.
        output: Its output or outputs.
        selected: The name or index of an output, or None.

    Raises:
        OutputError: If there is no such output.
    """
    if selected is None:
        return output
    names = output_names(model, output)
    values = list(output.values()) if isinstance(output, dict) else output
    if isinstance(selected, str) and selected in names:
        return values[names.index(selected)]
    if str(selected).isdecimal() and int(selected) < len(names):
        return values[int(selected)]
    hint = did_you_mean(str(selected), names)
    outputs = (
        f"the outputs {', '.join(map(repr, names))}" if names else "a single output"
    )
    raise OutputError(
        f"Model {model.name!r} has no output {selected!r}.{hint} It has {outputs}."
    )


def _only_tensor(output: Any) -> Any:
    """Return the tensor in a layer's output, or None if there is not just one."""
    tensors = [item for item in tf.nest.flatten(output) if tf.is_tensor(item)]
    return tensors[0] if len(tensors) == 1 else None


def _squashing(output: Any) -> list[Any]:
    """Return the operations from the softmax or sigmoid to the output, or none."""
    operations = [output.op]
    while operations[0].type not in _SQUASHING:
        source = _passed_input(operations[0])
        if source is None:
            return []
        operations.insert(0, source.op)
    return operations


def _passed_input(operation: Any) -> Any:
    """Return the input whose order of classes an operation preserves, or None."""
    if operation.type in _RESCALING_BY_A_CONSTANT:
        return _input_beside_constant(operation)
    if operation.type in ("Mean", "Max"):
        source, axes = operation.inputs
        rank, axes = source.shape.rank, tf.get_static_value(axes)
        if rank is None or axes is None:
            return None
        over_classes = rank - 1 in np.atleast_1d(axes) % rank
        return None if over_classes else source
    passes = operation.type in _RESCALING or operation.type in _REPEATED
    return operation.inputs[0] if passes else None


def _input_beside_constant(operation: Any) -> Any:
    source, constant = operation.inputs
    value = tf.get_static_value(constant)
    if value is None and operation.type not in ("Sub", "RealDiv"):
        source, constant = constant, source
        value = tf.get_static_value(constant)
    if value is None or source.shape.rank != operation.outputs[0].shape.rank:
        return None
    reverses = operation.type in ("Mul", "RealDiv") and not np.all(value > 0)
    return None if reverses else source


def _repeat(tensor: Any, operations: list[Any]) -> Any:
    """Apply those operations to a tensor that do not only rescale."""
    for operation in operations:
        if operation.type in _REPEATED:
            tensor = _REPEATED[operation.type](tensor, operation)
    return tensor
