"""What is maximized.

An `Objective` gives one number for each image; higher is better. The numbers of
different images do not mix. Objectives add, subtract and scale like numbers:

>>> both = channel("fire8", 20) - 0.5 * channel("fire9", [3, 4])
>>> both.names
('fire8:20-0.5*fire9:3', 'fire8:20-0.5*fire9:4')

Whatever names a layer or a class is looked up by `bind`, when a model is at hand.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._adapter import LOGITS, PROBABILITIES, Adapter
from tfviz._objective import Objective, Size, Units, join
from tfviz._specs import parse

__all__ = [
    "Objective",
    "channel",
    "join",
    "layer",
    "logit",
    "neuron",
    "parse",
    "probability",
]

# A neuron's row and column before the size of its map is known.
CENTRE = -1


def channel(layer: str, index: int | Sequence[int]) -> Objective:
    """Maximize the mean of one channel over its map.

    Args:
        layer: Path of the layer.
        index: Of the channel, from 0; several for one image each.

    Returns:
        The objective. Its score is the mean of the channel's activation over all
        positions; a dense layer has just one.

    >>> channel("fire8", [20, 21]).names
    ('fire8:20', 'fire8:21')
    """
    indices = _whole_numbers("index", index)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return _means(activations[layer], units["channel"])

    def bind(adapter: Adapter, size: Size) -> Objective:
        _check_channels(adapter, size, layer, indices)
        return objective

    objective = Objective(
        (layer,),
        {"channel": np.asarray(indices, np.int32)},
        score,
        tuple(f"{layer}:{index}" for index in indices),
        bind=bind,
        kind=("channel", layer),
    )
    return objective


def neuron(
    layer: str,
    channel: int | Sequence[int],
    row: int | Sequence[int] | None = None,
    column: int | Sequence[int] | None = None,
) -> Objective:
    """Maximize one channel at one position.

    Args:
        layer: Path of a layer with a map `(n, rows, columns, channels)`.
        channel: Index of the channel, from 0; several for one image each.
        row: Of the position, from 0 at the top; by default the middle, the lower
            one of two.
        column: Of the position, from 0 at the left; by default the middle, the right
            one of two.

    Returns:
        The objective, whose score is that neuron's activation.

    >>> neuron("fire8", 20, 3, 4).names
    ('fire8:20@3,4',)
    """
    channels = _whole_numbers("channel", channel)
    n = len(channels)
    rows = [CENTRE] * n if row is None else _repeated("row", row, n)
    columns = [CENTRE] * n if column is None else _repeated("column", column, n)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[layer]
        places = tf.stack([units["row"], units["column"], units["channel"]], axis=1)
        return tf.gather_nd(values, places, batch_dims=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        shape = _check_channels(adapter, size, layer, channels)
        rows_and_columns = shape[1:-1]
        if len(rows_and_columns) != 2 or None in rows_and_columns:
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so its units have no row and "
                f"column. Leave the position out: {layer}:{channels[0]}."
            )
        found = []
        for axis, name, places in ((1, "row", rows), (2, "column", columns)):
            length = shape[axis] or 0
            found.append([length // 2 if p == CENTRE else p for p in places])
            for place in found[-1]:
                if not 0 <= place < length:
                    raise ValueError(
                        f"Layer {layer!r} has a map of {shape[1]}x{shape[2]} for "
                        f"images of {size[0]}x{size[1]}: its {name}s go from 0 to "
                        f"{length - 1}. Received: {name} {place}"
                    )
        return build(*found)

    def build(rows: list[int], columns: list[int]) -> Objective:
        places = zip(channels, rows, columns, strict=True)
        names = [f"{layer}:{c}@{_at(i)},{_at(j)}" for c, i, j in places]
        units = {"row": rows, "column": columns, "channel": channels}
        return Objective(
            (layer,),
            {name: np.asarray(values, np.int32) for name, values in units.items()},
            score,
            tuple(names),
            bind=bind,
            kind=("neuron", layer),
        )

    return build(rows, columns)


def layer(layer: str) -> Objective:
    """Maximize everything in a layer at once, as DeepDream does.

    The score is the mean of the squares of all its activations (Mordvintsev et al.,
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks/).

    Args:
        layer: Path of the layer.

    >>> layer("fire8").names
    ('fire8',)
    """

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        squares = tf.square(activations[layer])
        return tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))

    def bind(adapter: Adapter, size: Size) -> Objective:
        adapter.layer(layer, size)
        return objective

    objective = Objective((layer,), {}, score, (layer,), (), bind, ("layer", layer))
    return objective


def logit(target: int | str | Sequence[int | str]) -> Objective:
    """Maximize a class before the softmax.

    The article prefers this to the probability, which can also be raised by making
    all other classes unlikely.

    Args:
        target: Index, WordNet identifier or name of the class; several for one image
            each.

    >>> logit(["goldfish", 291]).names
    ('logit:goldfish', 'logit:291')
    """
    return _of_class("logit", LOGITS, target)


def probability(target: int | str | Sequence[int | str]) -> Objective:
    """Maximize a class after the softmax or sigmoid.

    Args:
        target: As for `logit`.

    >>> probability("goldfish").names
    ('prob:goldfish',)
    """
    return _of_class("prob", PROBABILITIES, target)


def _of_class(prefix: str, source: str, target: Any) -> Objective:
    single = isinstance(target, (int, str, np.integer))
    targets = [target] if single else list(target)
    if not targets:
        raise ValueError("`target` must name at least one class. Received: []")

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return _means(activations[source], units["class"])

    def bind(adapter: Adapter, size: Size) -> Objective:
        indices = [adapter.class_index(target) for target in targets]
        return build(indices, [adapter.class_name(i) or str(i) for i in indices])

    def build(indices: Any, names: Sequence[Any]) -> Objective:
        return Objective(
            (source,),
            {"class": np.asarray(indices)},
            score,
            tuple(f"{prefix}:{name}" for name in names),
            tuple(f"{prefix}:{index}" for index in indices),
            bind,
            (prefix,),
        )

    return build(targets, targets)


def _means(values: Any, indices: Any) -> Any:
    """Return the mean over all positions of one channel for each image, `(n,)`."""
    means = tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1)))
    return tf.gather(means, indices, axis=1, batch_dims=1)


def _at(place: int) -> str:
    return "centre" if place == CENTRE else str(place)


def _check_channels(
    adapter: Adapter, size: Size, layer: str, indices: Sequence[int]
) -> tuple[int | None, ...]:
    shape = adapter.layer(layer, size).shape
    units = shape[-1] if len(shape) > 1 else None
    if units is None:
        raise ValueError(f"Layer {layer!r} has the shape {shape}, without channels.")
    for index in indices:
        if not 0 <= index < units:
            raise ValueError(
                f"Layer {layer!r} has the channels 0 to {units - 1}. Received: {index}"
            )
    return shape


def _whole_numbers(name: str, value: int | Sequence[int]) -> list[int]:
    numbers = np.atleast_1d(np.asarray(value))
    whole = numbers.ndim == 1 and len(numbers) and numbers.dtype.kind in "iu"
    if not whole or np.abs(numbers).max() >= 2**31:
        raise ValueError(
            f"`{name}` must be a whole number below {2**31} or a list of them. "
            f"Received: {value!r}"
        )
    return numbers.tolist()


def _repeated(name: str, value: int | Sequence[int], n: int) -> list[int]:
    numbers = _whole_numbers(name, value)
    if len(numbers) not in (1, n):
        raise ValueError(
            f"`{name}` must be one number or {n}, one for each channel. "
            f"Received: {len(numbers)}"
        )
    if min(numbers) < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {min(numbers)}")
    return numbers * n if len(numbers) == 1 else numbers
