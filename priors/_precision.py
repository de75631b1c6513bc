"""Decoders that compute with 16 bits a number, which is faster on a GPU."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from tfviz._errors import argument
from tfviz.optimize.options import PRECISIONS


@contextmanager
def in_precision(model: Any, precision: str | None) -> Iterator[None]:
    """Let the layers of a model compute with 16 bits while they are called here.

    Their weights keep 32 bits and are rounded in each call. Afterwards the model is as
    it was.

    Args:
        model: A model of Keras 3.
        precision: One of `PRECISIONS`, or None for the model's own.
    """
    layers = [] if precision is None else model._flatten_layers()
    with policy_of(layers, f"mixed_{precision}"):
        yield


@contextmanager
def policy_of(layers: Iterable[Any], policy: str) -> Iterator[None]:
    """Let layers of Keras 3 compute by another policy, and restore their own."""
    layers = list(layers)
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.dtype_policy = own


def check_precision(model: Any, precision: str | None) -> None:
    """Refuse a precision that is unknown, or that a model cannot compute with.

    Raises:
        ValueError: If it is neither None nor one of `PRECISIONS`, or the model is not
            one of Keras 3.
    """
    if precision is None:
        return
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be {', '.join(map(repr, PRECISIONS))} or None. "
            f"Received: precision={precision!r}"
        )
    if not isinstance(model, keras.Layer):
        raise ValueError(  # noqa: TRY004 (one line at the command line)
            "Only models of Keras 3 can compute with 16 bits. Leave out "
            f"{argument('precision')}. Received: a model of the type "
            f"{type(model).__name__}"
        )
