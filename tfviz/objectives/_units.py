"""Objectives of units in layers: channels, neurons, tokens, whole layers."""

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz.models.adapter import LOGITS, PROBABILITIES, Adapter
from tfviz.objectives._base import Objective, Size, Units

# The token that stands for the whole image.
CLS = "cls"
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
    indices = whole_numbers("index", index)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return means(activations[layer], units["channel"])

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
        layer: Path of a layer with a map `(n, rows, columns, channels)`, or with
            tokens `(n, tokens, channels)` that are a square of patches, perhaps after
            a class token.
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
    channels = whole_numbers("channel", channel)
    n = len(channels)
    rows = [CENTRE] * n if row is None else repeated("row", row, n)
    columns = [CENTRE] * n if column is None else repeated("column", column, n)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[layer]
        places = tf.stack([units["row"], units["column"], units["channel"]], axis=1)
        return tf.gather_nd(values, places, batch_dims=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        shape = _check_channels(adapter, size, layer, channels)
        if len(shape) == 3:
            prefix, *lengths = _patches(layer, shape)
        else:
            prefix, lengths = 0, [length or 0 for length in shape[1:-1]]
        if len(lengths) != 2 or not all(lengths):
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so its units have no row and "
                f"column. Leave the position out: {layer}:{channels[0]}."
            )
        found = [
            _within(layer, size, lengths, axis, places)
            for axis, places in enumerate((rows, columns))
        ]
        if len(shape) == 4:
            return build(*found)
        tokens = [prefix + i * lengths[1] + j for i, j in zip(*found, strict=True)]
        names = build(*found).names
        return replace(_tokens(layer, channels, tokens), names=names, texts=names)

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


def token(
    layer: str, channel: int | Sequence[int], token: int | str | Sequence[int]
) -> Objective:
    """Maximize one channel at one token of a transformer.

    A patch can also be had by its row and column: `neuron`.

    Args:
        layer: Path of a layer with tokens `(n, tokens, channels)`.
        channel: Index of the channel, from 0; several for one image each.
        token: Index of the token, from 0, or `"cls"`: the first, where the others
            are a square of patches.

    Returns:
        The objective, whose score is that activation.

    >>> token("block_3", 20, "cls").names
    ('block_3:20@cls',)
    """
    channels = whole_numbers("channel", channel)
    if token != CLS:
        tokens = repeated("token", token, len(channels))  # type: ignore[arg-type]

    def bind(adapter: Adapter, size: Size) -> Objective:
        shape = _check_channels(adapter, size, layer, channels)
        if len(shape) != 3:
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so it has no tokens. Write "
                f"{layer}:{channels[0]}@row,column for a position of a map."
            )
        if token == CLS:
            prefix, rows, columns = _patches(layer, shape)
            if not prefix:
                raise ValueError(
                    f"Layer {layer!r} has {rows}x{columns} patches and no other token."
                )
            return _tokens(layer, channels, [0] * len(channels), CLS)
        for index in tokens:
            if shape[1] is not None and index >= shape[1]:
                raise ValueError(
                    f"Layer {layer!r} has the tokens 0 to {shape[1] - 1}. "
                    f"Received: {index}"
                )
        return _tokens(layer, channels, tokens)

    if token == CLS:
        return replace(_tokens(layer, channels, [0] * len(channels), CLS), bind=bind)
    return replace(_tokens(layer, channels, tokens), bind=bind)


def _tokens(
    layer: str, channels: list[int], tokens: list[int], name: str | None = None
) -> Objective:
    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        places = tf.stack([units["token"], units["channel"]], axis=1)
        return tf.gather_nd(activations[layer], places, batch_dims=1)

    return Objective(
        (layer,),
        {
            "token": np.asarray(tokens, np.int32),
            "channel": np.asarray(channels, np.int32),
        },
        score,
        tuple(
            f"{layer}:{c}@{name or t}" for c, t in zip(channels, tokens, strict=True)
        ),
        kind=("token", layer),
    )


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


def means(values: Any, indices: Any) -> Any:
    """Return the mean over all positions of one channel for each image, `(n,)`."""
    means = tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1)))
    return tf.gather(means, indices, axis=1, batch_dims=1)


def _within(
    layer: str, size: Size, lengths: Sequence[int], axis: int, places: list[int]
) -> list[int]:
    """Return rows or columns with the middle filled in, and check them."""
    found = [lengths[axis] // 2 if place == CENTRE else place for place in places]
    for place in found:
        check_place(f"Layer {layer!r}", size, lengths, axis, place)
    return found


def check_place(
    owner: str, size: Size, lengths: Sequence[Any], axis: int, place: int
) -> None:
    """Refuse a row (axis 0) or column (axis 1) outside of a map."""
    name, length = ("row", "column")[axis], lengths[axis]
    if length is not None and not 0 <= place < length:
        raise ValueError(
            f"{owner} has a map of {lengths[0]}x{lengths[1]} for images of "
            f"{size[0]}x{size[1]}: its {name}s go from 0 to {length - 1}. "
            f"Received: {name} {place}"
        )


def _patches(layer: str, shape: Sequence[int | None]) -> tuple[int, int, int]:
    """Return how many tokens stand before a square of patches, and its sides.

    Vision transformers put their class token, and registers, before the patches.
    """
    side = isqrt(shape[1] or 0)
    prefix = (shape[1] or 0) - side * side
    # A class token and up to eight registers; more is no such layer.
    if not side or prefix > 9:
        raise ValueError(
            f"Layer {layer!r} has {shape[1]} tokens, which are no square of patches "
            f"after a class token. Name the token: {layer}:CHANNEL@TOKEN."
        )
    return prefix, side, side


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


def whole_numbers(name: str, value: int | Sequence[int]) -> list[int]:
    numbers = np.atleast_1d(np.asarray(value))
    whole = numbers.ndim == 1 and len(numbers) and numbers.dtype.kind in "iu"
    if not whole or np.abs(numbers).max() >= 2**31:
        raise ValueError(
            f"`{name}` must be a whole number below {2**31} or a list of them. "
            f"Received: {value!r}"
        )
    return numbers.tolist()


def repeated(name: str, value: int | Sequence[int], n: int) -> list[int]:
    numbers = whole_numbers(name, value)
    if len(numbers) not in (1, n):
        raise ValueError(
            f"`{name}` must be one number or {n}, one for each channel. "
            f"Received: {len(numbers)}"
        )
    if min(numbers) < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {min(numbers)}")
    return numbers * n if len(numbers) == 1 else numbers


def logit(
    target: int | str | Sequence[int | str],
    row: int | None = None,
    column: int | None = None,
) -> Objective:
    """Maximize a class before the softmax.

    The article prefers this to the probability, which can also be raised by making
    all other classes unlikely. Where the model has a number for each class at each
    position, as for segmentation, the score is the mean over all positions, or the
    number at one.

    Args:
        target: Index, WordNet identifier or name of the class; several for one image
            each.
        row: Of the position in the model's output, from 0 at the top.
        column: Of the position, from 0 at the left.

    >>> logit(["goldfish", 291]).names
    ('logit:goldfish', 'logit:291')
    >>> logit(0, 40, 80).names
    ('logit:0@40,80',)
    """
    return _of_class("logit", LOGITS, target, row, column)


def probability(
    target: int | str | Sequence[int | str],
    row: int | None = None,
    column: int | None = None,
) -> Objective:
    """Maximize a class after the softmax or sigmoid.

    Args:
        target: As for `logit`.
        row: As for `logit`.
        column: As for `logit`.

    >>> probability("goldfish").names
    ('prob:goldfish',)
    """
    return _of_class("prob", PROBABILITIES, target, row, column)


def _of_class(
    prefix: str, source: str, target: Any, row: int | None, column: int | None
) -> Objective:
    single = isinstance(target, (int, str, np.integer))
    targets = [target] if single else list(target)
    if not targets:
        raise ValueError("`target` must name at least one class. Received: []")
    if (row is None) != (column is None):
        raise ValueError(
            "A position needs both `row` and `column`. "
            f"Received: row={row}, column={column}"
        )
    place = None
    if row is not None and column is not None:
        place = (repeated("row", row, 1)[0], repeated("column", column, 1)[0])
    at = "" if place is None else f"@{place[0]},{place[1]}"

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[source]
        if place is None:
            return means(values, units["class"])
        places = [units["row"], units["column"], units["class"]]
        return tf.gather_nd(values, tf.stack(places, axis=1), batch_dims=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        indices = [adapter.class_index(target) for target in targets]
        if place is not None:
            shape = adapter.output_shape(size)
            if len(shape) != 4:
                raise ValueError(
                    f"The output of model {adapter.name!r} has the shape {shape}, so "
                    f"it has no row and column. Leave the position out: {prefix}:"
                    f"{targets[0]}."
                )
            for axis, index in enumerate(place):
                check_place("The output", size, shape[1:3], axis, index)
        return build(indices, [adapter.class_name(i) or str(i) for i in indices])

    def build(indices: Any, names: Sequence[Any]) -> Objective:
        # Names, until a model says which numbers they are.
        known = np.asarray(indices)
        units = {"class": known.astype(np.int32) if known.dtype.kind in "iu" else known}
        if place is not None:
            units["row"] = np.full(len(indices), place[0], np.int32)
            units["column"] = np.full(len(indices), place[1], np.int32)
        return Objective(
            (source,),
            units,
            score,
            tuple(f"{prefix}:{name}{at}" for name in names),
            tuple(f"{prefix}:{index}{at}" for index in indices),
            bind,
            (prefix, place is None),
        )

    return build(targets, targets)
