"""The precision of a training: numbers of 16 bits where they suffice."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# The compute capability from which graphics cards multiply numbers of bfloat16.
_AMPERE = (8, 0)
_ONEDNN = "auto_mixed_precision_onednn_bfloat16"


def on_graphics_card() -> bool:
    """Return whether TensorFlow computes on a graphics card."""
    return bool(tf.config.list_physical_devices("GPU"))


def select_bfloat16(wanted: bool | None, settings: Path) -> bool:
    """Return whether a training multiplies numbers of 16 bits.

    Args:
        wanted: What the user asked for. If None, a training that is resumed goes on as
            it began, and a new one uses them on graphics cards that have them, never
            on processors.
        settings: The file with the settings of the training, if it was begun.
    """
    if wanted is not None:
        return wanted
    try:
        return bool(json.loads(settings.read_bytes())["bfloat16"])
    except (OSError, ValueError, KeyError):
        pass  # begun now, or a file that is refused when the settings are compared
    cards = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(card) for card in cards]
    return bool(cards) and all(
        detail.get("compute_capability", (0, 0)) >= _AMPERE for detail in details
    )


@contextmanager
def half_precision(models: Iterable[Any], *, enabled: bool = True) -> Iterator[None]:
    """Let models use 16 bits where they suffice, in functions compiled inside.

    Weights, sums, normalizations, losses and the outputs of models keep their 32 bits.
    On a graphics card the layers compute with another policy. On processors oneDNN
    decides by operations; where oneDNN is off, nothing changes there.

    Args:
        models: The models; those that are not of Keras 3 stay as they are.
        enabled: Whether anything is done.
    """
    with ExitStack() as stack:
        if enabled and on_graphics_card():
            for model in models:
                stack.enter_context(policy_of_layers(model, "mixed_bfloat16"))
        elif enabled:
            before = tf.config.optimizer.get_experimental_options().get(_ONEDNN, False)
            stack.callback(_set_onednn, before)
            _set_onednn(True)
        yield


@contextmanager
def policy_of_layers(model: Any, policy: str) -> Iterator[None]:
    """Let the layers of a model compute by another policy, but for its outputs.

    Args:
        model: A model; one that is not of Keras 3 stays as it is.
        policy: The name of the policy.
    """
    changed = []
    try:
        if isinstance(model, keras.Model):
            exact = _output_layers(model)
            for layer in model._flatten_layers(include_self=False):
                if layer in exact or isinstance(layer, keras.layers.BatchNormalization):
                    continue
                changed.append((layer, layer.dtype_policy))
                layer.dtype_policy = policy
        yield
    finally:
        for layer, before in changed:
            layer.dtype_policy = before


def _output_layers(model: keras.Model) -> list[Any]:
    outputs = model.outputs if hasattr(model, "_operations_by_depth") else []
    return [output._keras_history.operation for output in outputs]


def _set_onednn(enabled: bool) -> None:
    tf.config.optimizer.set_experimental_options({_ONEDNN: enabled})
