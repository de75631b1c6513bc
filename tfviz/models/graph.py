"""The nodes of a graph: which of them matter, and what they depend on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from tfviz import preprocessing
from tfviz._errors import reason_of

# A graph is a dict of its nodes by name.
Nodes = dict[str, Any]

# What calls of functions leave before the names that a model's author chose.
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")


def short_name(name: str) -> str:
    """Return the name of a node without the calls of functions that lead to it.

    >>> short_name("StatefulPartitionedCall/PartitionedCall_1/conv/Relu")
    'conv/Relu'
    """
    return _CALLS.sub("", name)


def source_of(reference: str) -> str:
    """Return the name of the node that an entry of `node.input` refers to."""
    return reference.removeprefix("^").partition(":")[0]


def needed(definition: Any, outputs: Iterable[str]) -> Nodes:
    """Return the nodes of a graph that some of its tensors depend on."""
    nodes = {node.name: node for node in definition.node}
    pending, found = [source_of(output) for output in outputs], set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += map(source_of, nodes[name].input)
    return {name: node for name, node in nodes.items() if name in found}


def dependents(nodes: Nodes, name: str) -> list[str]:
    """Return the names of the nodes that depend on one, in the graph's order."""
    users = users_of(nodes)
    pending, found = [name], set()
    while pending:
        for user in users.get(pending.pop(), ()):
            if user not in found:
                found.add(user)
                pending.append(user)
    return [name for name in nodes if name in found]


def users_of(nodes: Nodes) -> dict[str, list[str]]:
    """Return the names of the nodes that use the values of each node."""
    users: dict[str, list[str]] = {}
    for node in nodes.values():
        for reference in node.input:
            if not reference.startswith("^"):
                users.setdefault(source_of(reference), []).append(node.name)
    return users


def constant(nodes: Nodes, reference: str) -> Any:
    """Return the value of a constant, or None if it is computed."""
    node = nodes[source_of(reference)]
    while node.op == "Identity":
        node = nodes[source_of(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def without_weights(nodes: Nodes) -> dict[str, tf.Variable]:
    """Take the weights out of a graph, and what would not survive another import.

    A graph that is made part of others many times is better without them.

    Args:
        nodes: The graph; changed in place.

    Returns:
        The weights by the name of the tensor that each was.
    """
    weights = {}
    for node in list(nodes.values()):
        # As they were for the number of images that it was exported for.
        node.attr.pop("_output_shapes", None)
        # Custom gradients refer to the graph that they came with. The operations'
        # own gradients are at hand, and true.
        node.attr.pop("_gradient_op_type", None)
        if node.op == "Const" and tf.as_dtype(node.attr["dtype"].type).is_floating:
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size > 1:
                weights[f"{node.name}:0"] = tf.Variable(
                    value, trainable=False, name=node.name
                )
                del nodes[node.name]
    return weights


# What may stand before the arithmetic on an input without changing its range.
_NEUTRAL = {
    *("Cast", "EnsureShape", "ExpandDims", "Identity", "MirrorPad", "Pad", "PadV2"),
    *("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"),
    *("ScaleAndTranslate", "Squeeze", "StopGradient"),
}
_SIZES = {"Rank", "Shape", "ShapeN", "Size"}
_PLUS = {"Add", "AddV2", "BiasAdd"}


def image_input(inputs: dict[str, tf.TensorSpec], name: str) -> str:
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


def image_shape(shape: tf.TensorShape, name: str) -> tuple[int | None, ...]:
    """Return the shape of a module's images; any for a module that tells none."""
    height, width, channels = shape.as_list()[1:] if shape.rank else (None,) * 3
    if height in (1, 3) and channels not in (None, 1, 2, 3, 4):
        raise ValueError(
            f"Module {name!r} takes images with the channels first: {shape}. Export "
            "it with the channels last."
        )
    return None, height, width, channels


def entries_of(
    nodes: Nodes, image: str, dtype: tf.DType, name: str
) -> dict[str, tf.DType]:
    """Return the tensors that are replaced by images, with their types."""
    if dtype.is_floating:
        return {f"{image}:0": dtype}
    # Bytes have no gradient, so images come in behind the casts.
    users, pending, casts, fits = users_of(nodes), [image], {}, True
    while pending:
        for node in [nodes[user] for user in users.get(pending.pop(), ())]:
            if node.op == "Cast":
                casts[node.name] = tf.as_dtype(node.attr["DstT"].type)
            elif node.op == "Identity":
                pending.append(node.name)
            else:
                fits &= node.op == "Shape"
    if not casts or not fits:
        raise ValueError(
            f"Module {name!r} takes bytes and calculates with them, so nothing in it "
            "has a gradient to its input. Export a signature that takes float32."
        )
    entries = {f"{cast}:0": dtype for cast, dtype in casts.items()}
    return entries | {f"{image}:0": dtype}


def input_scaling(nodes: Nodes, image: str) -> preprocessing.Preprocess | None:
    """Find out what a graph wants from the arithmetic that its input meets first.

    Args:
        nodes: The graph.
        image: The placeholder of the images.

    Returns:
        The map, with what was found as its source; None if nothing was.
    """
    users = users_of(nodes)
    # So far the graph computes factor * image + offset.
    factor, offset, place = np.ones(1), np.zeros(1), ""
    name = image
    while True:
        following = [nodes[user] for user in users.get(name, ())]
        following = [node for node in following if node.op not in _SIZES]
        if len(following) != 1:
            break
        (node,) = following
        if node.op not in _NEUTRAL:
            found = _affine(nodes, node, name)
            if found is None:
                break
            factor, offset = factor * found[0], offset * found[0] + found[1]
            place = node.name
        name = node.name
    if not place or factor.min() <= 0:
        return None
    zero = -offset / factor  # the values that become 0
    if factor.max() < 0.05 or zero.max() > 2:
        high = 255
    elif factor.min() >= 1 and zero.min() >= 0 and zero.max() <= 1:
        high = 1
    else:
        return None
    formula = f"{factor.max():g} * input" + (
        f" {offset.min():+g}" if offset.any() else ""
    )
    return preprocessing.resolve(
        (0, high), source=f"the graph computes {formula} at {short_name(place)}"
    )


def _affine(nodes: Nodes, node: Any, name: str) -> tuple[Any, Any] | None:
    """Return factor and offset of an operation on the values of `name`."""
    if len(node.input) < 2:
        return None
    is_first = source_of(node.input[0]) == name
    value = constant(nodes, node.input[1 if is_first else 0])
    # One number, or one for each channel.
    if value is None or value.size != (value.shape or (1,))[-1]:
        return None
    value = value.astype(np.float64).reshape(-1)
    one, none = np.ones(1), np.zeros(1)
    found = {"Mul": (value, none)} | dict.fromkeys(_PLUS, (one, value))
    if is_first:
        found["Sub"] = one, -value
    if is_first and value.all():
        found["RealDiv"] = one / value, none
    return found.get(node.op)


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
