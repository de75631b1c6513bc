"""Classifiers and embeddings in `.tflite` files, run by LiteRT."""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import preprocessing
from tfviz._adapter import USUAL_SIZE
from tfviz._errors import reason_of
from tfviz._tflite_graph import IDENTIFIER, vector_length, with_outputs
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
