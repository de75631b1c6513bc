"""Which tensors of a `.tflite` file hold its classes and its features."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# How such files go on after their first four bytes.
IDENTIFIER = b"TFL3"
_SQUASHING = {"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC"}
_RESHAPING = {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"}
_AVERAGING = {"MEAN", "AVERAGE_POOL_2D"}
_CLASSIFYING = {"FULLY_CONNECTED", "CONV_2D"}
# ImageNet's classes, without and with one for the background.
_IMAGENET = (1000, 1001)


def with_outputs(
    content: bytes, file: str, *, labelled: bool, features_only: bool
) -> tuple[bytes, list[str]]:
    """Let a file return its classes before their softmax, and its features.

    The softmax of a quantized file has 256 steps: all that is unlikely is a tie at 0.
    What goes into it is finer. And what goes into the layer of classes are features.

    Args:
        content: Of the file, which is known to be sound.
        file: By which it is called in errors.
        labelled: Whether a vector that nothing tells to be classes is so.
        features_only: Whether no vector is.

    Returns:
        The changed content; and what its outputs are, `scores` or `features`.

    Raises:
        ValueError: If it returns no vector.
    """
    import flatbuffers  # noqa: PLC0415 (comes with LiteRT)
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    model = schema.ModelT.InitFromPackedBuf(content)
    graph = _Graph(model, schema)
    vectors = [output for output in graph.outputs if graph.length(output)]
    if not vectors:
        shapes = ", ".join(str(graph.shape(output)) for output in graph.outputs)
        raise ValueError(
            f"{file!r} returns no vector, so it can be no judge: neither classes nor "
            f"features. Its outputs: {shapes}"
        )
    classes = [
        output
        for output in vectors
        if graph.unsquashed(output) != output or graph.length(output) in _IMAGENET
    ]
    if not classes and labelled:
        classes = vectors[:1]
    others = [output for output in vectors if output not in classes]
    found = {}
    if classes and not features_only:
        found["scores"] = graph.unsquashed(classes[0])
    features = others[0] if others else graph.penultimate(classes[0])
    if features is None and features_only:
        features = classes[0]
    if features is not None:
        found["features"] = features
    model.subgraphs[0].outputs = np.array(list(found.values()), np.int32)
    model.signatureDefs = None  # which name the outputs that were there
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output()), list(found)


class _Graph:
    """The operations of a file, to be walked from the outputs upwards."""

    def __init__(self, model: Any, schema: Any) -> None:
        names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
        # Codes above 127 are in one field, those of old files in the other.
        kinds = [
            names.get(max(code.builtinCode, code.deprecatedBuiltinCode))
            for code in model.operatorCodes
        ]
        types = schema.TensorType
        self._real = (
            types.FLOAT32,
            types.FLOAT16,
            types.INT16,
            types.INT8,
            types.UINT8,
        )
        graph = model.subgraphs[0]
        self.outputs = list(graph.outputs)
        self._tensors = graph.tensors
        self._makers = {
            output: (kinds[operation.opcodeIndex], operation.inputs)
            for operation in graph.operators
            for output in operation.outputs
        }

    def shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._tensors[tensor].shape
        return () if shape is None else tuple(map(int, shape))

    def length(self, tensor: int) -> int | None:
        """Return how long a vector of real numbers is; None for anything else."""
        if self._tensors[tensor].type not in self._real:  # such as the best class
            return None
        return vector_length(self.shape(tensor))

    def unsquashed(self, tensor: int) -> int:
        """Return what went into a softmax or sigmoid, or `tensor` where it had none."""
        found = self._input_of(_SQUASHING, tensor, _RESHAPING)
        return tensor if found is None else found

    def penultimate(self, tensor: int) -> int | None:
        """Return what went into the layer of classes, or None if it is not found."""
        passed = _RESHAPING | _AVERAGING
        return self._input_of(_CLASSIFYING, self.unsquashed(tensor), passed)

    def _input_of(self, kinds: set[str], tensor: int, passed: set[str]) -> int | None:
        while tensor in self._makers:
            kind, inputs = self._makers[tensor]
            if kind in kinds:
                return inputs[0]
            if kind not in passed:
                return None
            tensor = inputs[0]
        return None


def vector_length(shape: Sequence[int]) -> int | None:
    """Return how long a vector is, apart from the axis of images; None for a map."""
    axes = [int(axis) for axis in shape[1:] or shape]
    return max(axes) if axes and max(axes) == math.prod(axes) else None
