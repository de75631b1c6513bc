"""Record the outputs of a model's layers while its forward pass is traced.

During one call of the model, the `call` method of each layer instance is wrapped. This
works for every kind of model: functional, sequential, nested or subclassed, of Keras 3
or of `tf_keras`. The model is neither cut, cloned nor rebuilt.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import tensorflow as tf

_ABSENT = object()
# The method of a functional model of Keras 3 that casts its inputs.
_CONVERSION = "_convert_inputs_to_tensors"


@dataclass
class Recording:
    """The layers that one forward pass called, and their outputs.

    Attributes:
        operations: The layer or operation at each path, in the order of their calls.
        outputs: Its output at the same path, in the order in which the calls returned.
    """

    operations: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


def call_recorded(model: Any, inputs: Any) -> tuple[Any, Recording]:
    """Call a model in inference mode and record the output of each layer.

    This must run inside a `tf.function`. A path joins the names of the nested layers
    that are being called. The second call of a layer is `name#1`; another layer of the
    same name at the same place is `name~1`.

    Args:
        model: A model of Keras 3 or `tf_keras`, or an object that records itself with
            a method `call_recorded`.
        inputs: The model's inputs.

    Returns:
        The model's output and the recording.
    """
    if hasattr(model, "call_recorded"):
        return model.call_recorded(inputs)
    recording = Recording()
    with _wrapped(model, _wrapper(recording)), _inlined_functions():
        output = model(inputs, training=False)
    return output, recording


def children(operation: Any) -> list[Any]:
    """Return the layers and operations directly inside a layer, each once."""
    inner = []
    if hasattr(operation, "_flatten_layers"):
        inner += operation._flatten_layers(include_self=False, recursive=False)
    inner += getattr(operation, "operations", ())
    return list({id(child): child for child in inner}.values())


def _wrapper(recording: Recording) -> Callable[[Any], Callable[..., Any]]:
    """Return a function that wraps the `call` of a layer so that it is recorded."""
    active: list[str] = []
    calls: dict[tuple[str, int], int] = {}
    namesakes: dict[tuple[str, str], list[int]] = {}

    def path_of(operation: Any) -> str:
        parent = f"{active[-1]}/" if active else ""
        siblings = namesakes.setdefault((parent, operation.name), [])
        if id(operation) not in siblings:
            siblings.append(id(operation))
        place = siblings.index(id(operation))
        again = calls[parent, id(operation)] = (
            calls.get((parent, id(operation)), -1) + 1
        )
        path = parent + operation.name
        return path + (f"~{place}" if place else "") + (f"#{again}" if again else "")

    def wrap(operation: Any) -> Callable[..., Any]:
        original = operation.call

        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("training"):  # some models force dropout to be on
                kwargs["training"] = False
            path = path_of(operation)
            recording.operations[path] = operation
            active.append(path)
            try:
                output = original(*args, **kwargs)
            finally:
                active.pop()
            recording.outputs[path] = output
            return output

        return call

    return wrap


@contextmanager
def _wrapped(model: Any, wrap: Callable[[Any], Callable[..., Any]]) -> Iterator[None]:
    """Replace the `call` of all layers inside a model, and restore it afterwards."""
    pending, inside = children(model), {}
    while pending:
        operation = pending.pop()
        if id(operation) not in inside and hasattr(operation, "call"):
            inside[id(operation)] = operation
            pending += children(operation)
    _refuse_hidden(inside.values())
    before: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        # Not with Keras' own __setattr__, which would track or refuse the value.
        before.append((owner, name, owner.__dict__.get(name, _ABSENT)))
        owner.__dict__[name] = value

    # Activity regularizers would leave tensors of this trace in the model's losses.
    losses = [
        (kept, list(kept))
        for layer in (model, *inside.values())
        if (kept := getattr(layer, "_losses", None)) is not None
    ]
    try:
        for operation in inside.values():
            replace(operation, "call", wrap(operation))
        for layer in (model, *inside.values()):
            for replacement in _unrounded(layer):
                replace(*replacement)
        yield
    finally:
        for owner, name, value in reversed(before):
            if value is _ABSENT:
                del owner.__dict__[name]
            else:
                owner.__dict__[name] = value
        getattr(model, "_clear_losses", lambda: None)()
        for kept, values in losses:
            kept[:] = values


def _unrounded(layer: Any) -> Iterator[tuple[Any, str, Any]]:
    """Keep a model of integer inputs from rounding them, which has no gradient.

    Yields:
        The owner, name and new value of each attribute to replace.
    """
    functional = layer
    if getattr(layer, "_functional", None):  # a Sequential model also casts by itself
        functional = layer._functional
        if not tf.as_dtype(layer.input_dtype).is_floating:
            yield layer, "_convert_input_args", False
    original = getattr(functional, _CONVERSION, None)
    if original is None:
        return

    @wraps(original)
    def convert(flat_inputs: Any) -> list[Any]:
        return [
            value if _is_float(value) and not _is_float(expected) else converted
            for value, converted, expected in zip(
                flat_inputs, original(flat_inputs), functional.inputs, strict=True
            )
        ]

    yield functional, _CONVERSION, convert


def _is_float(tensor: Any) -> bool:
    return tensor is not None and tf.as_dtype(tensor.dtype).is_floating


def _refuse_hidden(operations: Any) -> None:
    """Refuse layers whose `call` is not the function that Keras runs."""
    for operation in operations:
        if getattr(getattr(operation, "_remat_mode", None), "mode", None):
            raise ValueError(
                f"Layer {operation.name!r} is rematerialized: its activations are "
                "dropped and computed again, so they cannot be recorded. Build the "
                "model outside a RematScope and load its weights."
            )
        mode = getattr(operation, "quantization_mode", None)
        if mode is not None:
            raise ValueError(
                f"Layer {operation.name!r} is quantized ({mode}) and has no useful "
                "gradient. Use the model before quantization."
            )


@contextmanager
def _inlined_functions() -> Iterator[None]:
    """Trace a `tf.function` inside the model as plain code, so that it is recorded."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
