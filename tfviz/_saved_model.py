"""A SavedModel or TF-Hub module, seen through the operations of its graph.

Such a module has no layers: a signature is one call of a function. Frozen and
flattened, the function becomes part of the graph that is being traced, where each
of its operations can be seen.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import reason_of
from tfviz._graph import (
    dependents,
    input_scaling,
    needed,
    source_of,
    without_weights,
)
from tfviz._signatures import FrozenGraph, frozen_graph, takes_images
from tfviz._taps import Recording
from tfviz.preprocessing import Preprocess, resolve

# For modules that take any size.
USUAL_SIZE = 224
# What calls of functions leave before the names that its author chose.
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
# Operations that hand on values as they are. They can be seen, but are not listed.
_UNLISTED = {
    *("BatchToSpaceND", "Cast", "CheckNumerics", "EnsureShape", "ExpandDims"),
    *("Identity", "IdentityN", "MirrorPad", "Pad", "PadV2", "PlaceholderWithDefault"),
    *("PreventGradient", "Reshape", "SpaceToBatchND", "Squeeze", "StopGradient"),
    *("Transpose",),
}


class GraphModule:
    """A function from images to activations that a graph describes.

    Takes the place of a Keras model in an adapter. Its paths are the names of the
    graph's operations, without the calls that lead to them.

    Attributes:
        name: Of the module.
        input_shape: Of its images `(None, height, width, channels)`.
        weights: The constants of the graph that are no single numbers.
        detected_preprocess: What the module's first operations tell about its input, or None.
    """

    def __init__(self, graph: FrozenGraph, name: str) -> None:
        self.name = name
        nodes = needed(graph.definition, graph.outputs.values())
        inputs = {key: spec for key, spec in graph.inputs.items() if key in nodes}
        image = _image_input(inputs, name)
        shape, dtype = inputs[image].shape, inputs[image].dtype
        self.input_shape = _image_shape(shape, name)
        self._outputs = graph.outputs
        self._entries = _entries(nodes, image, dtype, name)
        self._feeds = {f"{other}:0": False for other in inputs if other != image}
        self.detected_preprocess = input_scaling(nodes, next(iter(self._entries)))
        if dtype == tf.uint8 and self.detected_preprocess is None:
            self.detected_preprocess = resolve((0, 255), source="the module takes bytes")
        seen = dependents(nodes, self._entries)
        self._captures = without_weights(nodes)
        self.weights = list(self._captures.values())
        self._graph = tf.compat.v1.GraphDef(
            node=nodes.values(),
            library=graph.definition.library,
            versions=graph.definition.versions,
        )
        self._nodes = {node.name: node for node in self._graph.node}
        if shape.rank and shape[0] is not None:
            self._free_batch(shape[0])
        self._paths = self._found_paths(seen)

    def call_recorded(self, inputs: Any) -> tuple[Any, Recording]:
        """Make the module a part of the graph that is being traced.

        Args:
            inputs: Images in the range that the module takes.

        Returns:
            The output, or several by name, and the recording of all operations.
        """
        operations, outputs = self._imported(inputs, list(self._paths.values()))
        recording = Recording()
        for path, operation in zip(self._paths, operations, strict=True):
            recording.outputs[path] = operation.outputs[0]
            node = self._nodes[self._paths[path]]
            if node.op not in _UNLISTED and operation.outputs[0].shape.rank > 1:
                recording.operations[path] = node
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs, recording

    def _imported(self, inputs: Any, names: list[str]) -> tuple[list[Any], dict]:
        feeds: dict[str, Any] = {k: tf.constant(v) for k, v in self._feeds.items()}
        feeds |= {k: tf.convert_to_tensor(v) for k, v in self._captures.items()}
        feeds |= {k: tf.cast(inputs, dtype) for k, dtype in self._entries.items()}
        wanted = [*names, *self._outputs.values()]
        found = tf.graph_util.import_graph_def(self._graph, feeds, wanted)
        outputs = dict(zip(self._outputs, found[len(names) :], strict=True))
        return found[: len(names)], outputs

    def _free_batch(self, batch: int) -> None:
        """Let a graph that was exported for a fixed number of images take any.

        Raises:
            ValueError: If it mixes the images, or fails.
        """
        _, height, width, channels = self.input_shape
        size = (height or USUAL_SIZE, width or USUAL_SIZE, channels or 3)
        images = tf.random.stateless_uniform((2, *size), (0, 1))
        if self.detected_preprocess:
            images = self.detected_preprocess.apply(images)
        reshapes = [node for node in self._graph.node if node.op == "Reshape"]
        shapes: dict[str, Any] = {}

        def run(images: Any) -> list[Any]:
            def trace(images: Any) -> list[Any]:
                names = [node.name for node in reshapes]
                operations, outputs = self._imported(images, names)
                for name, operation in zip(names, operations, strict=True):
                    shapes.setdefault(name, operation.outputs[0].shape)
                return list(outputs.values())

            return tf.function(trace, autograph=False)(images)

        alone = [run(tf.repeat(images[i : i + 1], batch, axis=0)) for i in (0, 1)]
        for node in reshapes:
            shape = shapes[node.name]
            if shape.is_fully_defined() and shape.rank and shape[0] == batch:
                value = tf.constant([-1, *shape[1:]])
                name = f"{node.name}/any_number"
                self._captures[f"{name}:0"] = value
                node.input[1] = name
        try:
            both = run(images)
            for together, *ones in zip(both, *alone, strict=True):
                for row, one in enumerate(ones):
                    close = np.allclose(together[row], one[0], 1e-3, 1e-4)
                    if not close:
                        raise ValueError("it mixes the images")
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"Module {self.name!r} takes just {batch} image(s) at a time, and its "
                f"graph does not work with other numbers: {reason_of(error)}. Export "
                "it with None as the number of images."
            ) from error

    def _found_paths(self, seen: list[str]) -> dict[str, str]:
        """Return the operations that have activations of each image, by path."""
        found: list[str] = []

        def trace(images: Any) -> Any:
            operations, _ = self._imported(images, seen)
            for name, operation in zip(seen, operations, strict=True):
                tensor = operation.outputs[0] if operation.outputs else None
                if tensor is not None and tensor.dtype.is_floating:
                    # Only the number of images, and maybe their size, is unknown.
                    if tensor.shape.rank and tensor.shape[0] is None:
                        found.append(name)
            return images

        *_, channels = self.input_shape
        spec = tf.TensorSpec((*self.input_shape[:3], channels or 3), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        paths: dict[str, str] = {}
        for name in found:
            short = _CALLS.sub("", name)
            paths[name if short in paths else short] = name
        return paths


def load_saved_model(
    folder: Path, signature: str | None = None, name: str | None = None
) -> GraphModule:
    """Load a SavedModel.

    Args:
        folder: Of the SavedModel.
        signature: Which of its functions; by default the usual one.
        name: Of the module; by default the folder's.

    Returns:
        The module.

    Raises:
        ValueError: If it cannot be loaded, or takes no images.
    """
    if name is None:
        resolved = folder.resolve()
        # Folders of servers are called after the model's version.
        named = resolved.parent if resolved.name.isdigit() else resolved
        name = named.name
    return GraphModule(frozen_graph(folder, signature), name)


def _image_input(inputs: dict[str, tf.TensorSpec], name: str) -> str:
    """Return which placeholder takes the images."""
    images = [key for key, spec in inputs.items() if takes_images(spec)]
    # A scalar that is true or false says whether the module is to be trained.
    others = [
        key
        for key, spec in inputs.items()
        if key not in images and not (spec.dtype == tf.bool and spec.shape.rank == 0)
    ]
    if len(images) != 1 or others:
        given = ", ".join(
            f"{key} {spec.dtype.name} {spec.shape}" for key, spec in inputs.items()
        )
        raise ValueError(
            f"Module {name!r} does not take one batch of images "
            f"(n, height, width, channels) alone, but {given or 'nothing'}. Export a "
            "signature that does."
        )
    return images[0]


def _image_shape(shape: tf.TensorShape, name: str) -> tuple[int | None, ...]:
    height, width, channels = shape.as_list()[1:] if shape.rank else (None,) * 3
    if height in (1, 3) and channels not in (None, 1, 2, 3, 4):
        raise ValueError(
            f"Module {name!r} takes images with the channels first: {shape}. Export "
            "it with the channels last."
        )
    return None, height, width, channels


def _entries(
    nodes: dict[str, Any], image: str, dtype: tf.DType, name: str
) -> dict[str, tf.DType]:
    """Return the tensors that are replaced by images, with their types."""
    if dtype.is_floating:
        return {f"{image}:0": dtype}
    # Bytes have no gradient, so images come in behind the casts.
    users = [n for n in nodes.values() if image in map(source_of, n.input)]
    casts = {n.name: tf.as_dtype(n.attr["DstT"].type) for n in users if n.op == "Cast"}
    if not casts or not all(n.op in ("Cast", "Shape") for n in users):
        raise ValueError(
            f"Module {name!r} takes bytes and calculates with them, so nothing in it "
            "has a gradient to its input. Export a signature that takes float32."
        )
    entries = {f"{cast}:0": dtype for cast, dtype in casts.items()}
    return entries | {f"{image}:0": dtype}
