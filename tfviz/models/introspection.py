"""What a recorded forward pass tells about a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import did_you_mean
from tfviz.models.recording import Recording

# The model's output among the activations, apart from any layer called `logits`.
LOGITS = ":logits"
PROBABILITIES = ":probabilities"


@dataclass(frozen=True)
class Layer:
    """One place of a model whose activations can be seen.

    Attributes:
        path: Names of the layers that lead to it, joined by `/`.
        kind: The class of the layer.
        shape: Of its output for one image, with axis 0 for the images.
        rectified: Whether a ReLU comes last, so that `path:pre` is what is before it.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    rectified: bool = False

    @property
    def units(self) -> int | None:
        """The number of channels, or None where the layer has no last axis."""
        return self.shape[-1] if len(self.shape) > 1 else None


@dataclass(frozen=True)
class Survey:
    """What one traced forward pass at one size tells.

    Operations of a graph that only hand on values are `unlisted`.
    """

    layers: dict[str, Layer]
    unlisted: dict[str, Layer]
    operations: dict[str, Any]
    logits_shape: tuple[int | None, ...] | None
    logits_source: str


def fetched(path: str, output: Any, recording: Recording) -> Any:
    """Return what a recorded forward pass has at a path."""
    if path not in (LOGITS, PROBABILITIES):
        if path.endswith(PRE) and path not in recording.outputs:
            return before_relu(_only_tensor(recording.outputs[path.removesuffix(PRE)]))
        return _only_tensor(recording.outputs[path])
    output = _only_tensor(output)
    if path == PROBABILITIES:
        return probabilities(output)
    return before_squashing(output)[0]


def described(output: Any, recording: Recording, model: Any) -> Survey:
    """Turn a recording into shapes and words; keep no tensor of its graph."""
    layers: dict[str, Layer] = {}
    unlisted: dict[str, Layer] = {}
    graph = tf.compat.v1.get_default_graph()
    # In the order of calls, not of returns.
    for path in recording.operations | recording.outputs:
        tensor = _only_tensor(recording.outputs[path])
        # What is computed inside a loop cannot be seen from here, and a layer that
        # returns its weights shows nothing of the image.
        if tensor is None or getattr(tensor, "graph", None) is not graph:
            continue
        operation = recording.operations.get(path)
        is_node = operation is None or isinstance(operation, tf.compat.v1.NodeDef)
        kind = tensor.op.type if is_node else type(operation).__name__
        found = unlisted if operation is None else layers
        rectified = before_relu(tensor) is not None
        found[path] = Layer(path, kind, (None, *tensor.shape[1:]), rectified)
    names = output_names(model, output)
    output = _only_tensor(output)
    if output is None:
        source = f"several outputs ({', '.join(map(repr, names))})"
        return Survey(layers, unlisted, recording.operations, None, source)
    logits, undone = before_squashing(output)
    source = "the output; no softmax or sigmoid was found"
    if undone:
        passed = {operation.name for operation in undone}
        place = next(
            (
                path
                for path, value in recording.outputs.items()
                if hasattr(value, "op") and value.op.name in passed
            ),
            model.name,
        )
        source = f"what goes into the {undone[0].type.lower()} of {place!r}"
    return Survey(layers, unlisted, recording.operations, tuple(logits.shape), source)


def _only_tensor(output: Any) -> Any:
    """Return the tensor in a layer's output, or None if there is not just one."""
    tensors = [item for item in tf.nest.flatten(output) if tf.is_tensor(item)]
    return tensors[0] if len(tensors) == 1 else None


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


class OutputError(ValueError):
    """A model has no output of that name."""


def output_names(model: Any, output: Any) -> list[str]:
    """Return the names of a model's outputs: keys, Keras' names, or numbers."""
    if isinstance(output, dict):
        return list(output)
    if not isinstance(output, (list, tuple)):
        return []
    names = getattr(model, "output_names", None) or []
    if len(names) != len(output) or len(set(names)) != len(output):
        names = [str(place) for place in range(len(output))]
    return list(names)


def chosen_output(model: Any, output: Any, chosen: str | int | None) -> Any:
    """Return one of several outputs, or all of them if none is chosen.

    Raises:
        OutputError: If there is no such output.
    """
    if chosen is None:
        return output
    names = output_names(model, output)
    values = list(output.values()) if isinstance(output, dict) else output
    if isinstance(chosen, str) and chosen in names:
        return values[names.index(chosen)]
    if str(chosen).isdecimal() and int(chosen) < len(names):
        return values[int(chosen)]
    hint = did_you_mean(str(chosen), names)
    known = f"the outputs {', '.join(map(repr, names))}" if names else "a single output"
    raise OutputError(
        f"Model {model.name!r} has no output {chosen!r}.{hint} It has {known}."
    )
