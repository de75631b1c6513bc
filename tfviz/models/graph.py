"""SavedModels as graphs: freeze a function of one, and analyse the nodes of its graph.

`load_frozen_graph` turns one function of a SavedModel into a flat graph without
variables. The other functions work on the nodes of such a graph: they select those
that matter, find where its images come in, and take the weights out of it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import convert_to_constants

from tfviz import preprocessing
from tfviz._errors import reason_of
from tfviz.models.inputs import channels_come_first

# The nodes of a graph by name.
Nodes = dict[str, Any]

# The names of the default signature: in TensorFlow 2, and in modules of TensorFlow 1.
DEFAULT_SIGNATURES = ("serving_default", "default")

# The prefixes that function calls add to the names that a model's author chose.
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
# Operations that may precede the arithmetic on an input without changing its range.
_NEUTRAL = {
    *("Cast", "EnsureShape", "ExpandDims", "Identity", "MirrorPad", "Pad", "PadV2"),
    *("ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"),
    *("ScaleAndTranslate", "Squeeze", "StopGradient"),
}
_SIZES = {"Rank", "Shape", "ShapeN", "Size"}
# Operations that write to a variable: the seeds of augmentation, moving averages.
_ASSIGNING = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
_PLUS = {"Add", "AddV2", "BiasAdd"}
# Operations that draw numbers from [0, 1), and what is taken for them.
_UNIFORM = {"RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"}
_MIDDLE = 0.50001


@dataclass(frozen=True)
class FrozenGraph:
    """A function of images as one flat graph, with its variables made constants.

    Attributes:
        definition: The graph.
        inputs: The shape and type of each placeholder, by its name.
        outputs: The name of the tensor of each output that can have a gradient, by
            the name of the output.
    """

    definition: Any
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, str]


def load_frozen_graph(folder: Path, signature: str | None = None) -> FrozenGraph:
    """Load a SavedModel and freeze one of its functions.

    Args:
        folder: The folder of the SavedModel.
        signature: The name of the signature; by default that of those which take
            images, `serving_default` or `default` if there are several. A module
            without signatures is called directly.

    Returns:
        The graph of the function.

    Raises:
        ValueError: If the SavedModel cannot be loaded, or has no such function.
    """
    try:
        # Keep `loaded` until the end: the function only has weak references to its
        # variables.
        loaded = tf.saved_model.load(str(folder), tags=_inference_tags(folder))
        function = _select_function(loaded, folder, signature)
        definition, inputs = _freeze(function)
    except Exception as error:
        raise ValueError(
            f"{str(folder)!r} cannot be loaded as a SavedModel: {reason_of(error)}"
        ) from error
    names = function.structured_outputs
    named = isinstance(names, dict) and len(names) == len(function.outputs)
    names = sorted(names) if named else map(str, range(len(function.outputs)))
    outputs = {
        name: tensor.name
        for name, tensor in zip(names, function.outputs, strict=True)
        # Some outputs are strings, or the index of the best class.
        if tensor.dtype.is_floating
    }
    if not outputs:
        raise ValueError(
            f"{str(folder)!r} returns no floating-point numbers, so it has no "
            "gradients. Export a signature that returns logits or features."
        )
    return FrozenGraph(definition, inputs, outputs)


def tag_sets(folder: Path) -> list[list[str]]:
    """Return the tags of each graph in a SavedModel; an empty list for `.pbtxt`."""
    path = folder / "saved_model.pb"
    if not path.is_file():
        return []
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    return [sorted(graph.meta_info_def.tags) for graph in saved.meta_graphs]


def takes_images(spec: Any) -> bool:
    """Tell whether a tensor or a `TensorSpec` can be a batch of images."""
    is_number = spec.dtype.is_floating or spec.dtype == tf.uint8
    return is_number and spec.shape.rank in (None, 4)


def find_image_input(inputs: dict[str, tf.TensorSpec], name: str) -> str:
    """Return the name of the placeholder that takes the images.

    Args:
        inputs: The shape and type of each placeholder, by its name.
        name: The name of the module, for errors.

    Raises:
        ValueError: If there is not exactly one, or the module needs other inputs.
    """
    images = [key for key, spec in inputs.items() if takes_images(spec)]
    # A boolean scalar is the switch between training and inference.
    others = [
        key
        for key, spec in inputs.items()
        if key not in images and not (spec.dtype == tf.bool and spec.shape.rank == 0)
    ]
    (first, *_) = inputs or [""]
    if len(inputs) == 1 and not images and inputs[first].shape.rank == 3:
        _, height, width = inputs[first].shape
        raise ValueError(
            f"Module {name!r} takes pictures without an axis for channels: "
            f"{inputs[first].shape}. Export a signature that takes "
            f"(None, {height}, {width}, 1), and passes images[..., 0] to the model."
        )
    if len(images) != 1 or others:
        received = ", ".join(
            f"{key} {spec.dtype.name} {spec.shape}" for key, spec in inputs.items()
        )
        raise ValueError(
            f"Module {name!r} must take one batch of images "
            f"(n, height, width, channels) and nothing else. Its inputs: "
            f"{received or 'none'}. Export a signature that takes images alone, as "
            "numbers and not as encoded files."
        )
    return images[0]


def image_shape(shape: tf.TensorShape, name: str) -> tuple[int | None, ...]:
    """Return the shape of a module's images, with None for an unknown length.

    Args:
        shape: The shape of the placeholder.
        name: The name of the module, for errors.

    Raises:
        ValueError: If the channels come first.
    """
    height, width, channels = shape.as_list()[1:] if shape.rank else (None,) * 3
    if channels_come_first((None, height, width, channels)):
        raise ValueError(
            f"Module {name!r} takes images with the channels first: {shape}. Export "
            "it with the channels last."
        )
    return None, height, width, channels


def find_entries(
    nodes: Nodes, image: str, dtype: tf.DType, name: str
) -> dict[str, tf.DType]:
    """Return the tensors that are to be replaced by images, with their types.

    Args:
        nodes: The graph.
        image: The placeholder of the images.
        dtype: Its type.
        name: The name of the module, for errors.

    Raises:
        ValueError: If the module computes with integers.
    """
    if dtype.is_floating:
        return {f"{image}:0": dtype}
    # Integers have no gradient, so images replace the results of the casts to floats.
    users, pending, casts, fits = find_users(nodes), [image], {}, True
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
            f"Module {name!r} takes bytes and computes with them as integers, so its "
            "input has no gradient. Export a signature that takes float32."
        )
    entries = {f"{cast}:0": dtype for cast, dtype in casts.items()}
    return entries | {f"{image}:0": dtype}


def detect_preprocess(nodes: Nodes, image: str) -> preprocessing.Preprocess | None:
    """Infer the range of a graph's images from the first arithmetic on its input.

    Args:
        nodes: The graph.
        image: The placeholder of the images.

    Returns:
        The map from [0, 1] to that range, or None if it cannot be inferred.
    """
    users = find_users(nodes)
    # Up to the current node, the graph computes factor * image + offset.
    factor, offset, place = np.ones(1), np.zeros(1), ""
    name = image
    while True:
        following = [nodes[user] for user in users.get(name, ())]
        following = [node for node in following if node.op not in _SIZES]
        if len(following) != 1:
            break
        (node,) = following
        if node.op not in _NEUTRAL:
            step = _affine(nodes, node, name)
            if step is None:
                break
            factor, offset = factor * step[0], offset * step[0] + step[1]
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


def extract_weights(nodes: Nodes) -> dict[str, tf.Variable]:
    """Remove the weights from a graph, so that importing it again is cheap.

    Attributes that would not survive another import are removed as well.

    Args:
        nodes: The graph, which is changed in place.

    Returns:
        The weights, by the name of the constant tensor that each replaces.
    """
    weights = {}
    for node in list(nodes.values()):
        # These shapes hold the batch size that the graph was exported with.
        node.attr.pop("_output_shapes", None)
        # Custom gradients refer to the graph that they were defined in. Without them,
        # the operations have their own gradients, which are correct.
        node.attr.pop("_gradient_op_type", None)
        # These ask for the device of a weight, which is no node of the graph any more.
        node.attr.pop("_class", None)
        if node.op == "Const" and tf.as_dtype(node.attr["dtype"].type).is_floating:
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size > 1:
                weights[f"{node.name}:0"] = tf.Variable(
                    value, trainable=False, name=node.name
                )
                del nodes[node.name]
    return weights


def required_nodes(definition: Any, outputs: Iterable[str]) -> Nodes:
    """Return the nodes of a graph that its outputs depend on."""
    nodes = {node.name: node for node in definition.node}
    pending, required = [_source(output) for output in outputs], set()
    while pending:
        name = pending.pop()
        if name not in required:
            required.add(name)
            pending += map(_source, nodes[name].input)
    return {name: node for name, node in nodes.items() if name in required}


def find_dependents(nodes: Nodes, name: str) -> list[str]:
    """Return the names of the nodes that depend on a node, in the graph's order."""
    users = find_users(nodes)
    pending, dependents = [name], set()
    while pending:
        for user in users.get(pending.pop(), ()):
            if user not in dependents:
                dependents.add(user)
                pending.append(user)
    return [name for name in nodes if name in dependents]


def settle_draws(definition: Any) -> set[str]:
    """Replace the uniform random numbers of a graph by the middle of their range.

    Keras exports augmentation at work, unless it is told otherwise. In the middle of
    its ranges it turns, moves and recolours nothing; only flips need a little more than
    the middle. The same numbers for all images keep those of a batch independent.

    Args:
        definition: The graph, which is changed in place.

    Returns:
        The names of the nodes that drew numbers.
    """
    settled = set()
    for node in list(definition.node):
        if node.op not in _UNIFORM:
            continue
        settled.add(node.name)
        dtype = node.attr["dtype"].type
        middle = definition.node.add(name=f"{node.name}/middle", op="Const")
        middle.attr["dtype"].type = dtype
        value = tf.make_tensor_proto(_MIDDLE, tf.as_dtype(dtype), shape=())
        middle.attr["value"].tensor.CopyFrom(value)
        sizes = node.attr["Tshape" if "Tshape" in node.attr else "T"].type
        node.op, node.input[1:] = "Fill", [middle.name]
        node.attr.clear()
        node.attr["T"].type, node.attr["index_type"].type = dtype, sizes
    return settled


def find_users(nodes: Nodes) -> dict[str, list[str]]:
    """Return, for each node, the names of the nodes that use its outputs directly."""
    users: dict[str, list[str]] = {}
    for node in nodes.values():
        for reference in node.input:
            if not reference.startswith("^"):
                users.setdefault(_source(reference), []).append(node.name)
    return users


def short_name(name: str) -> str:
    """Return the name of a node without the prefixes that function calls add.

    >>> short_name("StatefulPartitionedCall/PartitionedCall_1/conv/Relu")
    'conv/Relu'
    """
    return _CALLS.sub("", name)


def _source(reference: str) -> str:
    """Return the name of the node that an entry of `node.input` refers to."""
    return reference.removeprefix("^").partition(":")[0]


def _constant(nodes: Nodes, reference: str) -> Any:
    """Return the value of a constant, or None if the tensor is computed."""
    node = nodes[_source(reference)]
    while node.op == "Identity":
        node = nodes[_source(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def _affine(nodes: Nodes, node: Any, name: str) -> tuple[Any, Any] | None:
    """Return the factor and offset by which an operation changes the values of `name`.

    Returns:
        One number each, or one number per channel; None for any other operation.
    """
    if len(node.input) < 2:
        return None
    is_first = _source(node.input[0]) == name
    value = _constant(nodes, node.input[1 if is_first else 0])
    if value is None or value.size != (value.shape or (1,))[-1]:
        return None
    value = value.astype(np.float64).reshape(-1)
    one, zero = np.ones(1), np.zeros(1)
    steps = {"Mul": (value, zero)} | dict.fromkeys(_PLUS, (one, value))
    if is_first:
        steps["Sub"] = one, -value
    if is_first and value.all():
        steps["RealDiv"] = one / value, zero
    return steps.get(node.op)


def _inference_tags(folder: Path) -> list[str] | None:
    """Return the tags of the graph for inference, or None if there is just one."""
    choices = tag_sets(folder)
    if len(choices) < 2:
        return None
    # Modules of TensorFlow 1 have a graph for training, and one without tags.
    return min(choices, key=lambda tags: (tags != ["serve"], tags != []))


def _select_function(loaded: Any, folder: Path, signature: str | None) -> Any:
    """Return the function of a signature, or the default function."""
    functions = {
        name: function
        for name, function in getattr(loaded, "signatures", {}).items()
        if not name.startswith("__")
    }
    if signature is None and not functions:
        return _call_function(loaded)
    fitting = [name for name, function in functions.items() if _has_images(function)]
    candidates = fitting or list(functions)
    usual = [name for name in DEFAULT_SIGNATURES if name in candidates]
    if signature is None and (usual or len(candidates) == 1):
        signature = (usual or candidates)[0]
    if signature not in functions:
        problem = "several signatures" if signature is None else f"no {signature!r}"
        example = next(iter(candidates), "NAME")
        raise ValueError(
            f"it has {problem}. Its signatures: {', '.join(functions) or 'none'}. "
            f"Select one: {folder.name}?signature={example}"
        )
    return functions[signature]


def _has_images(function: Any) -> bool:
    """Tell whether an input of a signature can take images."""
    arguments = tf.nest.flatten(function.structured_input_signature)
    return any(isinstance(a, tf.TensorSpec) and takes_images(a) for a in arguments)


def _freeze(function: Any) -> tuple[Any, dict[str, tf.TensorSpec]]:
    """Return the graph of a function without variables, and its other inputs by name.

    The graph writes to no variable either: layers of augmentation advance their seeds
    even where they pass images on unchanged.
    """
    # Conditionals have gradients only as long as they are functions.
    variables = convert_to_constants._FunctionConverterDataInEager(
        func=function, lower_control_flow=False, aggressive_inlining=False
    )
    definition, frozen = convert_to_constants._replace_variables_by_constants(variables)
    _remove_assignments(definition.node)
    for inner in definition.library.function:
        for name in _remove_assignments(inner.node_def):
            for key in [k for k, node in inner.control_ret.items() if node == name]:
                del inner.control_ret[key]
    constants = {id(function.graph.internal_captures[place]) for place in frozen}
    inputs = {
        tensor.op.name: tf.TensorSpec(tensor.shape, tensor.dtype)
        for tensor in function.inputs
        if id(tensor) not in constants
    }
    return definition, inputs


def _remove_assignments(nodes: Any) -> set[str]:
    """Remove the nodes that write to variables from a graph; return their names."""
    removed = {node.name for node in nodes if node.op in _ASSIGNING}
    if removed:
        kept = [node for node in nodes if node.name not in removed]
        orders = {f"^{name}" for name in removed}  # to wait for one of them
        for node in kept:
            node.input[:] = [name for name in node.input if name not in orders]
        del nodes[:]
        nodes.extend(kept)
    return removed


def _call_function(loaded: Any) -> Any:
    """Return the function that a module without signatures applies to images."""
    call = loaded.__call__ if callable(loaded) else None
    candidates: list[tuple[int, int, Any]] = []
    for function in getattr(call, "concrete_functions", ()):
        arguments = tf.nest.flatten(function.structured_input_signature)
        tensors = [a for a in arguments if isinstance(a, tf.TensorSpec)]
        # One of the other arguments may be training=True.
        if any(argument is True for argument in arguments):
            continue
        if len(tensors) == 1 and takes_images(tensors[0]):
            shape = tensors[0].shape
            fixed = shape.rank and sum(n is not None for n in shape.as_list())
            candidates.append((fixed or 0, len(candidates), function))
    if not candidates:
        raise ValueError(
            "it has no signature, and no function that takes images alone. Save it "
            "with tf.saved_model.save(..., signatures=function)."
        )
    # Prefer the function that leaves most of the size open.
    return min(candidates)[-1]
