"""What a recorded forward pass tells about a model."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfviz._logits import before_squashing, probabilities
from tfviz._outputs import output_names
from tfviz._rectified import PRE, before_relu
from tfviz._taps import Recording

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
