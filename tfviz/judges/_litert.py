"""Networks in `.tflite` files, run by LiteRT: classifiers and embeddings.

A file is changed in memory before it is run, so that it returns logits instead of
probabilities, and features where it only returns classes.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz._errors import reason_of
from tfviz.judges._options import in_python
from tfviz.models.adapter import USUAL_SIZE
from tfviz.preprocessing import Preprocess

# Bytes 4 to 8 of a `.tflite` file.
IDENTIFIER = b"TFL3"
_SQUASHING = {"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC"}
_RESHAPING = {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"}
_AVERAGING = {"MEAN", "AVERAGE_POOL_2D"}
_CLASSIFYING = {"FULLY_CONNECTED", "CONV_2D"}
# The number of ImageNet's classes, without and with one for the background.
_IMAGENET = (1000, 1001)


class Network:
    """A network in a `.tflite` file that maps a picture to vectors.

    Attributes:
        preprocess: The map from images in [0, 1] to the real values of the input.
        size: The height and width of the input; 224 each if it takes any size.
        channels: The number of channels of the input.
        dtype: The name of the input's data type.
        tensors: The names of the tensors that hold the logits and the features, by
            `scores` and `features`. Either may be missing.
        classes: The number of classes, or None.
        hash: The hash of the file.

    Args:
        path: The path of the file.
        preprocess: How images in [0, 1] become the input, as for `tfviz.adapt`, or
            None for a quantized input.
        labelled: Whether an output vector counts as classes although nothing in the
            file shows that it is.
        features_only: Whether no output vector counts as classes.

    Raises:
        ValueError: If it is not such a file, returns no vector, or takes floats and
            `preprocess` is None.
        RuntimeError: If LiteRT is not installed.
    """

    def __init__(
        self, path: Path, preprocess: Any, *, labelled: bool, features_only: bool
    ) -> None:
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ValueError(
                f"{str(path)!r} is not a TensorFlow Lite model: its first bytes are "
                "not those of such a file. Download or copy it once more."
            )
        self._path = path
        self.hash = hashlib.blake2b(content, digest_size=16).hexdigest()
        self._open(content)  # refuses a damaged file before it is changed
        content, places = expose_outputs(
            content, str(path), labelled=labelled, features_only=features_only
        )
        self._interpreter = self._open(content)
        self._input = self._prepare_input()
        _, height, width, self.channels = map(int, self._input["shape"])
        self.size = (height, width)
        self.dtype = np.dtype(self._input["dtype"]).name
        self.preprocess = self._resolve_preprocess(preprocess)
        details = self._interpreter.get_output_details()
        self._outputs = dict(zip(places, details, strict=True))
        self.tensors = {
            # Fused operations have several names, of which the first is used.
            place: detail["name"].partition(";")[0]
            for place, detail in self._outputs.items()
        }
        classes = self._outputs.get("scores")
        self.classes = None if classes is None else int(math.prod(classes["shape"]))

    def run(self, images: Iterable[Any], place: str) -> NDArray[np.float32]:
        """Return a vector for each image.

        The images are evaluated one by one, because not all files take several.

        Args:
            images: Images `(height, width, channels)` in [0, 1], of the input's size.
            place: `scores` or `features`. A map is averaged over its positions.
        """
        output = self._outputs[place]
        rows = []
        for image in images:
            self._interpreter.set_tensor(self._input["index"], self._quantize(image))
            self._interpreter.invoke()
            values = _dequantize(self._interpreter.get_tensor(output["index"]), output)
            if vector_length(values.shape) is None:
                values = values.mean(axis=tuple(range(values.ndim - 1)))
            rows.append(values.reshape(-1))
        return np.stack(rows)

    def _open(self, content: bytes) -> Any:
        interpreter_class = _interpreter_class()
        try:
            return interpreter_class(model_content=content)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{str(self._path)!r} cannot be read as a TensorFlow Lite model: "
                f"{reason_of(error)}"
            ) from error

    def _prepare_input(self) -> dict[str, Any]:
        """Resize the input for one image, and return its details."""
        details = self._interpreter.get_input_details()
        shapes = [tuple(map(int, detail["shape_signature"])) for detail in details]
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise ValueError(
                f"{str(self._path)!r} must take images (n, height, width, channels) "
                f"and nothing else. Its inputs: {', '.join(map(str, shapes))}. Convert "
                "it with this input alone."
            )
        usual = (1, USUAL_SIZE, USUAL_SIZE, 3)
        shape = [a if a > 0 else b for a, b in zip(shapes[0], usual, strict=True)]
        shape[0] = 1
        try:
            if shape != list(details[0]["shape"]):
                self._interpreter.resize_tensor_input(details[0]["index"], shape)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{str(self._path)!r} does not run on a single image of the shape "
                f"{tuple(shape[1:])}: {reason_of(error)}"
            ) from error
        return self._interpreter.get_input_details()[0]

    def _resolve_preprocess(self, preprocess: Any) -> Preprocess:
        if preprocess is not None:
            return preprocessing.resolve(preprocess)
        if self.dtype not in ("uint8", "int8"):
            raise ValueError(
                f"{str(self._path)!r} takes {self.dtype}, which does not show the "
                f"range that it was trained on. {in_python('preprocess=(-1, 1)')}, or "
                "another range."
            )
        limits = np.iinfo(self.dtype)
        ends = np.array([limits.min, limits.max])
        low, high = _dequantize(ends, self._input).tolist()
        return preprocessing.resolve((low, high), source=f"its {self.dtype} input")

    def _quantize(self, image: Any) -> NDArray[Any]:
        """Return an image as the input tensor."""
        values = np.asarray(self.preprocess.apply(image), np.float32)[None]
        dtype = self._input["dtype"]
        if not np.issubdtype(dtype, np.integer):
            return values.astype(dtype)
        scale, zero = self._input["quantization"]
        limits = np.iinfo(dtype)
        values = np.round(values / (scale or 1) + zero)
        return np.clip(values, limits.min, limits.max).astype(dtype)


def expose_outputs(
    content: bytes, file: str, *, labelled: bool, features_only: bool
) -> tuple[bytes, list[str]]:
    """Change a file so that it returns its logits and its features.

    The softmax of a quantized file has 256 steps, so that all unlikely classes tie at
    0; the logits are finer. The features are the input of the layer that computes the
    logits.

    Args:
        content: The content of a valid file.
        file: The name of the file, for errors.
        labelled: Whether an output vector counts as classes although nothing in the
            file shows that it is.
        features_only: Whether no output vector counts as classes.

    Returns:
        The changed content; and for each of its outputs, `scores` or `features`.

    Raises:
        ValueError: If the file returns no vector.
    """
    import flatbuffers  # noqa: PLC0415 (comes with LiteRT)
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    model = schema.ModelT.InitFromPackedBuf(content)
    graph = _Graph(model, schema)
    vectors = [output for output in graph.outputs if graph.length(output)]
    if not vectors:
        shapes = ", ".join(str(graph.shape(output)) for output in graph.outputs)
        raise ValueError(
            f"{file!r} cannot be a judge: it returns no vector of classes or features. "
            f"Its outputs: {shapes}"
        )
    classes = [
        output
        for output in vectors
        if graph.unsquashed(output) != output or graph.length(output) in _IMAGENET
    ]
    if not classes and labelled:
        classes = vectors[:1]
    others = [output for output in vectors if output not in classes]
    outputs = {}
    if classes and not features_only:
        outputs["scores"] = graph.unsquashed(classes[0])
    features = others[0] if others else graph.penultimate(classes[0])
    if features is None and features_only:
        features = classes[0]
    if features is not None:
        outputs["features"] = features
    model.subgraphs[0].outputs = np.array(list(outputs.values()), np.int32)
    model.signatureDefs = None  # they would name the original outputs
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output()), list(outputs)


def vector_length(shape: Sequence[int]) -> int | None:
    """Return the length of a vector, without its batch axis; None for a map."""
    axes = [int(axis) for axis in shape[1:] or shape]
    return max(axes) if axes and max(axes) == math.prod(axes) else None


def _dequantize(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    """Return the real values of a tensor, which is described by `detail`."""
    scale, zero = detail["quantization"]
    values = values.astype(np.float32)
    return (values - zero) * np.float32(scale) if scale else values


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise RuntimeError(
            "A .tflite file needs LiteRT, which is not installed. Install it: "
            "pip install ai-edge-litert"
        ) from error
    return Interpreter


class _Graph:
    """The operations of a file, which are followed from the outputs to the inputs."""

    def __init__(self, model: Any, schema: Any) -> None:
        names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
        # Codes above 127 are in one field, codes in old files in the other.
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
        self._producers = {
            output: (kinds[operation.opcodeIndex], operation.inputs)
            for operation in graph.operators
            for output in operation.outputs
        }

    def shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._tensors[tensor].shape
        return () if shape is None else tuple(map(int, shape))

    def length(self, tensor: int) -> int | None:
        """Return the length of a vector of real numbers; None for any other tensor."""
        if self._tensors[tensor].type not in self._real:  # the index of the best class
            return None
        return vector_length(self.shape(tensor))

    def unsquashed(self, tensor: int) -> int:
        """Return the input of a final softmax or sigmoid, or `tensor` without one."""
        source = self._find_input(_SQUASHING, tensor, _RESHAPING)
        return tensor if source is None else source

    def penultimate(self, tensor: int) -> int | None:
        """Return the input of the layer that computes the logits, or None."""
        passed = _RESHAPING | _AVERAGING
        return self._find_input(_CLASSIFYING, self.unsquashed(tensor), passed)

    def _find_input(self, kinds: set[str], tensor: int, passed: set[str]) -> int | None:
        """Return the input of the last operation of some kinds before a tensor.

        Args:
            kinds: The kinds of operation to find.
            tensor: The tensor.
            passed: The kinds of operation that may follow it.
        """
        while tensor in self._producers:
            kind, inputs = self._producers[tensor]
            if kind in kinds:
                return inputs[0]
            if kind not in passed:
                return None
            tensor = inputs[0]
        return None
