"""Classifiers and embeddings in `.tflite` files, run by LiteRT."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz._errors import reason_of
from tfviz.models.adapter import USUAL_SIZE
from tfviz.preprocessing import Preprocess


class Network:
    """A `.tflite` file that turns a picture into vectors.

    Attributes:
        preprocess: The map from images in [0, 1] to the numbers that its input means.
        size: Height and width of its input; 224 where it takes any.
        channels: Of its input.
        dtype: Of its input, by name.
        tensors: The names of the tensors that hold the classes before their softmax
            and the features, by `scores` and `features`, as far as there are any.
        classes: The number of its classes, or None.
        hash: Of the file.
    """

    def __init__(
        self, path: Path, preprocess: Any, *, labelled: bool, features_only: bool
    ) -> None:
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ValueError(
                f"{str(path)!r} is no TensorFlow Lite model: its first bytes are not "
                "those of such a file. Was it downloaded whole?"
            )
        self._path = path
        self.hash = hashlib.blake2b(content, digest_size=16).hexdigest()
        self._opened(content)
        content, places = with_outputs(
            content, str(path), labelled=labelled, features_only=features_only
        )
        self._interpreter = self._opened(content)
        self._input = self._prepared()
        _, height, width, self.channels = map(int, self._input["shape"])
        self.size = (height, width)
        self.dtype = np.dtype(self._input["dtype"]).name
        self.preprocess = self._contract(preprocess)
        details = self._interpreter.get_output_details()
        self._outputs = dict(zip(places, details, strict=True))
        self.tensors = {
            place: detail["name"].partition(";")[0]  # of a fusion, the first
            for place, detail in self._outputs.items()
        }
        classes = self._outputs.get("scores")
        self.classes = None if classes is None else int(math.prod(classes["shape"]))

    def run(self, images: Iterable[Any], place: str) -> NDArray[np.float32]:
        """Return a vector for each image, alone: not all files take several.

        Args:
            images: `(height, width, channels)` each, in [0, 1], of the file's size.
            place: `scores` or `features`. A map is averaged over its positions.
        """
        output = self._outputs[place]
        rows = []
        for image in images:
            self._interpreter.set_tensor(self._input["index"], self._quantized(image))
            self._interpreter.invoke()
            values = _real(self._interpreter.get_tensor(output["index"]), output)
            if vector_length(values.shape) is None:
                values = values.mean(axis=tuple(range(values.ndim - 1)))
            rows.append(values.reshape(-1))
        return np.stack(rows)

    def _opened(self, content: bytes) -> Any:
        interpreter_class = _interpreter_class()
        try:
            return interpreter_class(model_content=content)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{str(self._path)!r} cannot be read as a TensorFlow Lite model: "
                f"{reason_of(error)}"
            ) from error

    def _prepared(self) -> dict[str, Any]:
        """Return what the interpreter says of its input, made ready for one image."""
        details = self._interpreter.get_input_details()
        shapes = [tuple(map(int, detail["shape_signature"])) for detail in details]
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise ValueError(
                f"{str(self._path)!r} must take images (n, height, width, channels) "
                f"alone. Its inputs: {', '.join(map(str, shapes))}"
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
                f"{str(self._path)!r} does not run on one image of the shape "
                f"{tuple(shape[1:])}: {reason_of(error)}"
            ) from error
        return self._interpreter.get_input_details()[0]

    def _contract(self, preprocess: Any) -> Preprocess:
        if preprocess is not None:
            return preprocessing.resolve(preprocess)
        if self.dtype not in ("uint8", "int8"):
            raise ValueError(
                f"{str(self._path)!r} takes {self.dtype}, and nothing in it tells of "
                "what range. Say what it was trained on with `preprocess`, for example "
                "(-1, 1)."
            )
        limits = np.iinfo(self.dtype)
        low, high = _real(np.array([limits.min, limits.max]), self._input).tolist()
        return preprocessing.resolve((low, high), source=f"its {self.dtype} input")

    def _quantized(self, image: Any) -> NDArray[Any]:
        values = np.asarray(self.preprocess.apply(image), np.float32)[None]
        dtype = self._input["dtype"]
        if not np.issubdtype(dtype, np.integer):
            return values.astype(dtype)
        scale, zero = self._input["quantization"]
        limits = np.iinfo(dtype)
        values = np.round(values / (scale or 1) + zero)
        return np.clip(values, limits.min, limits.max).astype(dtype)


def _real(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    """Return what the numbers in a tensor mean."""
    scale, zero = detail["quantization"]
    values = values.astype(np.float32)
    return (values - zero) * np.float32(scale) if scale else values


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise RuntimeError(
            "A .tflite file needs LiteRT: pip install 'tfviz[litert]'"
        ) from error
    return Interpreter


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
