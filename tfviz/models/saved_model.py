"""A SavedModel or TF-Hub module, seen through the operations of its graph.

Such a module has no layers: a signature is one call of a function. Frozen and
flattened, the function becomes a part of the graph that is being traced, where each
of its operations can be seen.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz import preprocessing
from tfviz._errors import reason_of
from tfviz.models.graph import (
    FrozenGraph,
    dependents,
    entries_of,
    frozen_graph,
    image_input,
    image_shape,
    input_scaling,
    needed,
    short_name,
    without_weights,
)
from tfviz.models.recording import Recording

# For modules that take any size.
USUAL_SIZE = 224
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
    graph's operations, without the calls of functions that lead to them.

    Attributes:
        name: Of the module.
        input_shape: Of its images `(None, height, width, channels)`.
        weights: The constants of the graph that are no single numbers.
        detected_preprocess: What the module's first operations tell about the range
            of its images, or None.

    Args:
        graph: Of a function of images.
        name: Of the module.

    Raises:
        ValueError: If it takes anything but images, or mixes the images of a batch.
    """

    def __init__(self, graph: FrozenGraph, name: str) -> None:
        self.name = name
        nodes = needed(graph.definition, graph.outputs.values())
        inputs = {key: spec for key, spec in graph.inputs.items() if key in nodes}
        image = image_input(inputs, name)
        spec = inputs[image]
        self.input_shape = image_shape(spec.shape, name)
        self.detected_preprocess = input_scaling(nodes, image)
        if spec.dtype == tf.uint8 and self.detected_preprocess is None:
            self.detected_preprocess = preprocessing.resolve(
                (0, 255), source="the module takes bytes"
            )
        # Where images come in, and what else there is to decide: not to train.
        self._entries = entries_of(nodes, image, spec.dtype, name)
        self._switches = [f"{other}:0" for other in inputs if other != image]
        self._outputs = graph.outputs
        behind = dependents(nodes, image)
        self._captures: dict[str, Any] = dict(without_weights(nodes))
        self.weights = list(self._captures.values())
        self._graph = tf.compat.v1.GraphDef(
            node=nodes.values(),
            library=graph.definition.library,
            versions=graph.definition.versions,
        )
        self._nodes = {node.name: node for node in self._graph.node}
        if spec.shape.rank and spec.shape[0] is not None:
            self._free_batch(spec.shape[0])
        self._paths = self._found_paths(behind)

    def call_recorded(self, inputs: Any) -> tuple[Any, Recording]:
        """Make the module a part of the graph that is being traced.

        Args:
            inputs: Images in the range that the module takes.

        Returns:
            The output, or several by name; and the recording, which has the outputs
            of all operations, but lists only those that change values.
        """
        operations, outputs = self._imported(inputs, list(self._paths.values()))
        recording = Recording()
        for path, operation in zip(self._paths, operations, strict=True):
            tensor = recording.outputs[path] = operation.outputs[0]
            if operation.type not in _UNLISTED and tensor.shape.rank > 1:
                recording.operations[path] = self._nodes[self._paths[path]]
        output = next(iter(outputs.values())) if len(outputs) == 1 else outputs
        return output, recording

    def _imported(
        self, images: Any, names: list[str]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return operations of the graph, now for these images, and its outputs."""
        feeds = {key: tf.convert_to_tensor(v) for key, v in self._captures.items()}
        feeds |= {key: tf.constant(False) for key in self._switches}
        feeds |= {key: tf.cast(images, dtype) for key, dtype in self._entries.items()}
        wanted = [*names, *self._outputs.values()]
        found = tf.graph_util.import_graph_def(self._graph, feeds, wanted)
        outputs = dict(zip(self._outputs, found[len(names) :], strict=True))
        return found[: len(names)], outputs

    def _found_paths(self, names: list[str]) -> dict[str, str]:
        """Return which operations give a float tensor for each image, by path."""
        paths: dict[str, str] = {}

        def trace(images: Any) -> Any:
            operations, _ = self._imported(images, names)
            for name, operation in zip(names, operations, strict=True):
                tensor = next(iter(operation.outputs), None)
                if tensor is None or not tensor.dtype.is_floating:
                    continue
                # Nothing is unknown but the number of images, and maybe their size.
                if tensor.shape.rank and tensor.shape[0] is None:
                    path = short_name(name)
                    paths[name if path in paths else path] = name
            return images

        _, height, width, channels = self.input_shape
        spec = tf.TensorSpec((None, height, width, channels or 3), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        return paths

    def _free_batch(self, batch: int) -> None:
        """Let a graph that was exported for a fixed number of images take any.

        Raises:
            ValueError: If it then fails, or mixes the images.
        """
        _, height, width, channels = self.input_shape
        size = (height or USUAL_SIZE, width or USUAL_SIZE, channels or 3)
        images = tf.random.stateless_uniform((2, *size), (0, 1))
        if self.detected_preprocess:
            images = self.detected_preprocess.apply(images)
        reshapes = [node.name for node in self._graph.node if node.op == "Reshape"]
        shapes: dict[str, tf.TensorShape] = {}

        def run(images: Any) -> list[Any]:
            operations, outputs = self._imported(images, reshapes)
            for name, operation in zip(reshapes, operations, strict=True):
                shapes.setdefault(name, operation.outputs[0].shape)
            return list(outputs.values())

        def outcome(images: Any) -> list[Any]:
            return tf.function(run, autograph=False)(images)

        alone = [outcome(tf.repeat(images[i : i + 1], batch, axis=0)) for i in (0, 1)]
        for name, shape in shapes.items():
            if shape.is_fully_defined() and shape.rank and shape[0] == batch:
                free = f"{name}/for_any_number"
                self._captures[f"{free}:0"] = tf.constant([-1, *shape[1:]], tf.int32)
                self._nodes[name].input[1] = free
                self._nodes[name].attr["Tshape"].type = tf.int32.as_datatype_enum
        try:
            for both, first, second in zip(outcome(images), *alone, strict=True):
                if not np.allclose(both, [first[0], second[0]], 1e-3, 1e-4):
                    raise ValueError("the images would mix")
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"Module {self.name!r} takes just {batch} image(s) at a time, and does "
                f"not work with another number: {reason_of(error)}. Export it with "
                "None as the number of images."
            ) from error


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
        folder = folder.resolve()
        # Servers call a folder after the model's version.
        name = (folder.parent if folder.name.isdigit() else folder).name
    return GraphModule(frozen_graph(folder, signature), name)
