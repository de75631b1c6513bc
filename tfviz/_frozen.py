"""Load a SavedModel and choose the function in it that takes images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from tfviz._errors import reason_of

# What exporters of TensorFlow 2, and modules of TensorFlow 1, call the usual one.
USUAL = ("serving_default", "default")


@dataclass(frozen=True)
class FrozenGraph:
    """A function of images as one flat graph, its variables made constants.

    Attributes:
        definition: The graph.
        inputs: Shape and type of each placeholder, by its name.
        outputs: The tensor of each output that can have a gradient, by its name.
    """

    definition: Any
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, str]


def frozen_graph(folder: Path, signature: str | None = None) -> FrozenGraph:
    """Load a SavedModel and freeze one of its functions.

    Args:
        folder: Of the SavedModel.
        signature: Its name; by default `serving_default`, `default` or the only one,
            and in a module without signatures what calling it does.

    Returns:
        The function's graph.

    Raises:
        ValueError: If it cannot be loaded, or there is no such function.
    """
    try:
        # Kept to the end: the functions only refer to its variables.
        loaded = tf.saved_model.load(str(folder), tags=_tags(folder))
        function = _chosen(loaded, folder, signature)
        # Conditions stay functions: only as such they have gradients.
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    except Exception as error:
        raise ValueError(
            f"{str(folder)!r} cannot be loaded as a SavedModel: {reason_of(error)}"
        ) from error
    names = function.structured_outputs
    named = isinstance(names, dict) and len(names) == len(frozen.outputs)
    names = sorted(names) if named else map(str, range(len(frozen.outputs)))
    outputs = {
        name: tensor.name
        for name, tensor in zip(names, frozen.outputs, strict=True)
        # Not labels as text, or the index of the best class.
        if tensor.dtype.is_floating
    }
    if not outputs:
        raise ValueError(
            f"{str(folder)!r} gives no floats, so nothing in it has a gradient. Export "
            "a signature that returns logits or features."
        )
    inputs = {t.op.name: tf.TensorSpec(t.shape, t.dtype) for t in frozen.inputs}
    return FrozenGraph(frozen.graph.as_graph_def(), inputs, outputs)


def _chosen(loaded: Any, folder: Path, signature: str | None) -> Any:
    """Return the function that is asked for, or the usual one."""
    found = {
        name: function
        for name, function in getattr(loaded, "signatures", {}).items()
        if not name.startswith("__")
    }
    if signature is None and not found:
        return _called(loaded)
    usual = [name for name in USUAL if name in found] or list(found)
    if signature is None and (len(usual) == 1 or usual[0] in USUAL):
        signature = usual[0]
    if signature not in found:
        wrong = "several signatures" if signature is None else f"no {signature!r}"
        example = next(iter(found), "NAME")
        raise ValueError(
            f"it has {wrong}. It has {', '.join(found) or 'none'}. Choose one: "
            f"{folder.name}?signature={example}"
        )
    return found[signature]


def takes_images(spec: Any) -> bool:
    """Tell whether a tensor or its description can be a batch of images."""
    number = spec.dtype.is_floating or spec.dtype == tf.uint8
    return number and spec.shape.rank in (None, 4)


def tag_sets(folder: Path) -> list[list[str]]:
    """Return the tags of each graph in a SavedModel; none where it is text."""
    path = folder / "saved_model.pb"
    if not path.is_file():
        return []
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    return [sorted(graph.meta_info_def.tags) for graph in saved.meta_graphs]


def _tags(folder: Path) -> list[str] | None:
    """Return the tags of the graph for inference, where there are several."""
    choices = tag_sets(folder)
    if len(choices) < 2:
        return None
    # Modules of TensorFlow 1 have one for training, and one without tags.
    return min(choices, key=lambda tags: (tags != ["serve"], tags != []))


def _called(loaded: Any) -> Any:
    """Return what a module without signatures does when it is called on images."""
    call = loaded.__call__ if callable(loaded) else None
    fitting: list[tuple[int, int, Any]] = []
    for function in getattr(call, "concrete_functions", ()):
        arguments = tf.nest.flatten(function.structured_input_signature)
        tensors = [a for a in arguments if isinstance(a, tf.TensorSpec)]
        # Among the others is whether it is to be trained.
        if any(argument is True for argument in arguments):
            continue
        if len(tensors) == 1 and takes_images(tensors[0]):
            shape = tensors[0].shape
            fixed = shape.rank and sum(n is not None for n in shape.as_list())
            fitting.append((fixed or 0, len(fitting), function))
    if not fitting:
        raise ValueError(
            "it has no signature, and no function that takes images alone. Save it "
            "with tf.saved_model.save(..., signatures=function)."
        )
    # The one that leaves most of the size open.
    return min(fitting)[-1]
