"""The precision of a training: numbers of 16 bits where they suffice."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfviz._precision import has_gpu
from tfviz.priors._precision import policy_of

# The compute capability from which graphics cards multiply numbers of bfloat16.
_AMPERE = (8, 0)
_ONEDNN = "auto_mixed_precision_onednn_bfloat16"


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
        if enabled and has_gpu():
            for model in models:
                stack.enter_context(policy_of(_inner_layers(model), "mixed_bfloat16"))
        elif enabled:
            before = tf.config.optimizer.get_experimental_options().get(_ONEDNN, False)
            stack.callback(_set_onednn, before)
            _set_onednn(True)
        yield


def _inner_layers(model: Any) -> list[Any]:
    """Return the layers that may compute with 16 bits: neither outputs nor norms."""
    if not isinstance(model, keras.Model):
        return []
    outputs = model.outputs if hasattr(model, "_operations_by_depth") else []
    exact = [output._keras_history.operation for output in outputs]
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer not in exact and not isinstance(layer, keras.layers.BatchNormalization)
    ]


def _set_onednn(enabled: bool) -> None:
    tf.config.optimizer.set_experimental_options({_ONEDNN: enabled})
