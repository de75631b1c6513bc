"""SavedModels and TF-Hub modules, whose layers are the operations of their graph.

Such a module has no layers: a signature is a single function call. The function is
frozen, flattened and imported into the graph that is being traced, where each of its
operations can be recorded.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz import preprocessing
from tfviz._errors import reason_of
from tfviz.models.graph import (
    FrozenGraph,
    detect_preprocess,
    extract_weights,
    find_dependents,
    find_entries,
    find_image_input,
    image_shape,
    load_frozen_graph,
    required_nodes,
    settle_draws,
    short_name,
)
from tfviz.models.recording import Recording

# The height and width that are assumed of a module that takes images of any size.
USUAL_SIZE = 224
# Operations that pass on values unchanged. They have paths, but are not listed.
_UNLISTED = {
    *("BatchToSpaceND", "Cast", "CheckNumerics", "EnsureShape", "ExpandDims"),
    *("Identity", "IdentityN", "MirrorPad", "Pad", "PadV2", "PlaceholderWithDefault"),
    *("PreventGradient", "Reshape", "SpaceToBatchND", "Squeeze", "StopGradient"),
    *("Transpose",),
}


class GraphModule:
    """A module that is a graph, and takes the place of a Keras model in an adapter.

    Its paths are the names of the graph's operations, without the prefixes that
    function calls add.

    Attributes:
        name: The name of the module.
        input_shape: The shape `(None, height, width, channels)` of its images.
        weights: The constant arrays of the graph.
        detected_preprocess: The map from [0, 1] to the range of the module's images,
            as inferred from its first operations, or None.

    Args:
        graph: The graph of a function of images.
        name: The name of the module.

    Raises:
        ValueError: If the module takes anything but images, or mixes the images of a
            batch.
    """

    def __init__(self, graph: FrozenGraph, name: str) -> None:
        self.name = name
        draws = settle_draws(graph.definition)
        nodes = required_nodes(graph.definition, graph.outputs.values())
        if draws & nodes.keys():
            warnings.warn(
                f"Module {name!r} was exported with its random augmentation at work. "
                "The middle of each random range is used, which changes next to "
                "nothing. To be sure, load the model from a .keras file, or export it "
                "with training=False.",
                stacklevel=4,
            )
        inputs = {key: spec for key, spec in graph.inputs.items() if key in nodes}
        image = find_image_input(inputs, name)
        spec = inputs[image]
        self.input_shape = image_shape(spec.shape, name)
        self.detected_preprocess = detect_preprocess(nodes, image)
        if spec.dtype == tf.uint8 and self.detected_preprocess is None:
            self.detected_preprocess = preprocessing.resolve(
                (0, 255), source="the module takes bytes"
            )
        # The tensors that images replace, and the switches for training, which are
        # turned off.
        self._entries = find_entries(nodes, image, spec.dtype, name)
        self._switches = [f"{other}:0" for other in inputs if other != image]
        self._outputs = graph.outputs
        dependents = find_dependents(nodes, image)
        self._captures: dict[str, Any] = dict(extract_weights(nodes))
        self.weights = list(self._captures.values())
        self._graph = tf.compat.v1.GraphDef(
            node=nodes.values(),
            library=graph.definition.library,
            versions=graph.definition.versions,
        )
        self._nodes = {node.name: node for node in self._graph.node}
        if spec.shape.rank and spec.shape[0] is not None:
            self._free_batch(spec.shape[0])
        self._paths = self._find_paths(dependents)

    def call_recorded(self, inputs: Any) -> tuple[Any, Recording]:
        """Import the module into the graph that is being traced.

        Args:
            inputs: Images in the module's own range.

        Returns:
            The output, or several outputs by name; and the recording. It has the
            outputs of all operations, but of the operations only those that change
            values.
        """
        operations, outputs = self._import(inputs, list(self._paths.values()))
        recording = Recording()
        for path, operation in zip(self._paths, operations, strict=True):
            tensor = recording.outputs[path] = operation.outputs[0]
            if operation.type not in _UNLISTED and tensor.shape.rank > 1:
                recording.operations[path] = self._nodes[self._paths[path]]
        output = next(iter(outputs.values())) if len(outputs) == 1 else outputs
        return output, recording

    def _import(
        self, images: Any, names: list[str]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Import the graph with these images as its input.

        Args:
            images: The images.
            names: The names of the operations to return.

        Returns:
            Those operations, and the outputs by name.
        """
        feeds = {key: tf.convert_to_tensor(v) for key, v in self._captures.items()}
        feeds |= {key: tf.constant(False) for key in self._switches}
        feeds |= {key: tf.cast(images, dtype) for key, dtype in self._entries.items()}
        elements = [*names, *self._outputs.values()]
        imported = tf.graph_util.import_graph_def(self._graph, feeds, elements)
        outputs = dict(zip(self._outputs, imported[len(names) :], strict=True))
        return imported[: len(names)], outputs

    def _find_paths(self, names: list[str]) -> dict[str, str]:
        """Return the names of the operations with a float output per image, by path."""
        paths: dict[str, str] = {}

        def trace(images: Any) -> Any:
            operations, _ = self._import(images, names)
            for name, operation in zip(names, operations, strict=True):
                tensor = next(iter(operation.outputs), None)
                if tensor is None or not tensor.dtype.is_floating:
                    continue
                # An unknown first axis can only be that of the images.
                if tensor.shape.rank and tensor.shape[0] is None:
                    path = short_name(name)
                    paths[name if path in paths else path] = name
            return images

        _, height, width, channels = self.input_shape
        spec = tf.TensorSpec((None, height, width, channels or 3), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        return paths

    def _free_batch(self, batch: int) -> None:
        """Let a graph that was exported for a fixed batch size take any batch size.

        Args:
            batch: The batch size that it was exported for.

        Raises:
            ValueError: If the graph then fails, or mixes the images.
        """
        _, height, width, channels = self.input_shape
        size = (height or USUAL_SIZE, width or USUAL_SIZE, channels or 3)
        images = tf.random.stateless_uniform((2, *size), (0, 1))
        if self.detected_preprocess:
            images = self.detected_preprocess.apply(images)
        reshapes = [node.name for node in self._graph.node if node.op == "Reshape"]
        shapes: dict[str, tf.TensorShape] = {}

        def run(images: Any) -> list[Any]:
            operations, outputs = self._import(images, reshapes)
            for name, operation in zip(reshapes, operations, strict=True):
                shapes.setdefault(name, operation.outputs[0].shape)
            return list(outputs.values())

        def evaluate(images: Any) -> list[Any]:
            return tf.function(run, autograph=False)(images)

        alone = [evaluate(tf.repeat(images[i : i + 1], batch, axis=0)) for i in (0, 1)]
        for name, shape in shapes.items():
            if shape.is_fully_defined() and shape.rank and shape[0] == batch:
                free = f"{name}/for_any_number"
                self._captures[f"{free}:0"] = tf.constant([-1, *shape[1:]], tf.int32)
                self._nodes[name].input[1] = free
                self._nodes[name].attr["Tshape"].type = tf.int32.as_datatype_enum
        try:
            for both, first, second in zip(evaluate(images), *alone, strict=True):
                if not np.allclose(both, [first[0], second[0]], 1e-3, 1e-4):
                    raise ValueError("the images of the batch would be mixed")
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"Module {self.name!r} was exported for a batch size of {batch}, and "
                f"does not work with another one: {reason_of(error)}. Export it with "
                "None as the batch size."
            ) from error


def load_saved_model(
    folder: Path, signature: str | None = None, name: str | None = None
) -> GraphModule:
    """Load one function of a SavedModel as a module.

    Args:
        folder: The folder of the SavedModel.
        signature: The name of the signature; by default the usual one.
        name: The name of the module; by default the name of the folder.

    Returns:
        The module.

    Raises:
        ValueError: If the SavedModel cannot be loaded, or does not take images alone.
    """
    if name is None:
        folder = folder.resolve()
        # Model servers name a folder after the model's version.
        name = (folder.parent if folder.name.isdigit() else folder).name
    return GraphModule(load_frozen_graph(folder, signature), name)
