"""Objectives of single units: channels, neurons, tokens, layers and classes.

A unit is named by the path of its layer and by indices, or by its class; whether the
model has it is checked when the objective is bound to the model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz.models.adapter import Adapter
from tfviz.models.introspection import LOGITS, PROBABILITIES
from tfviz.objectives._base import Objective, Size, Units, take

# The name of the class token of a transformer.
CLS = "cls"
# Stands for the middle row or column until the size of the map is known.
CENTRE = -1
# The most tokens that can precede the patches: a class token and eight registers.
MAX_PREFIX_TOKENS = 9


def channel(layer: str, index: int | Sequence[int]) -> Objective:
    """Maximize the mean activation of a channel over all positions.

    Args:
        layer: The path of the layer.
        index: The index of the channel, from 0, or several indices for one image each.

    Returns:
        The objective, whose score is the mean of the channel over all positions; a
        dense layer has a single position.

    >>> channel("fire8", [20, 21]).names
    ('fire8:20', 'fire8:21')
    """
    indices = _whole_numbers("index", index)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return means(activations[layer], units["channel"])

    def bind(adapter: Adapter, size: Size) -> Objective:
        check_channels(adapter, size, layer, indices)
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
    """Maximize the activation of a neuron: one channel at one position.

    Args:
        layer: The path of a layer with a map `(n, rows, columns, channels)`, or with
            tokens `(n, tokens, channels)` that form a square of patches, possibly
            after a class token and registers.
        channel: The index of the channel, from 0, or several for one image each.
        row: The row of the position, from 0 at the top, or one for each channel. By
            default the middle row, or the lower one of two.
        column: The column of the position, from 0 at the left, or one for each
            channel. By default the middle column, or the right one of two.

    Returns:
        The objective, whose score is the activation of the neuron.

    >>> neuron("fire8", 20, 3, 4).names
    ('fire8:20@3,4',)
    """
    channels = _whole_numbers("channel", channel)
    n = len(channels)
    rows = [CENTRE] * n if row is None else _repeat_to(n, "row", row)
    columns = [CENTRE] * n if column is None else _repeat_to(n, "column", column)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[layer]
        places = tf.stack([units["row"], units["column"], units["channel"]], axis=1)
        return take(values, places)

    def bind(adapter: Adapter, size: Size) -> Objective:
        check_channels(adapter, size, layer, channels)
        shape = adapter.layer(layer, size).shape
        if len(shape) == 3:
            prefix, *lengths = _patch_grid(layer, shape)
        else:
            prefix, lengths = 0, [length or 0 for length in shape[1:-1]]
        if len(lengths) != 2 or not all(lengths):
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so its units have no row and "
                f"column. Leave the position out: {layer}:{channels[0]}."
            )
        positions = [
            _resolve_centre(layer, size, lengths, axis, places)
            for axis, places in enumerate((rows, columns))
        ]
        if len(shape) == 4:
            return build(*positions)
        tokens = [prefix + i * lengths[1] + j for i, j in zip(*positions, strict=True)]
        names = build(*positions).names
        return replace(_at_tokens(layer, channels, tokens), names=names, texts=names)

    def build(rows: list[int], columns: list[int]) -> Objective:
        places = zip(channels, rows, columns, strict=True)
        names = [f"{layer}:{c}@{_place_name(i)},{_place_name(j)}" for c, i, j in places]
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
    """Maximize the activation of a channel at one token of a transformer.

    `neuron` selects a token that is a patch by its row and column.

    Args:
        layer: The path of a layer with tokens `(n, tokens, channels)`.
        channel: The index of the channel, from 0, or several for one image each.
        token: The index of the token, from 0, or one for each channel; or `"cls"` for
            the class token, which is the first one before a square of patches.

    Returns:
        The objective, whose score is the activation of the channel at the token.

    >>> token("block_3", 20, "cls").names
    ('block_3:20@cls',)
    """
    channels = _whole_numbers("channel", channel)
    if token != CLS:
        tokens = _repeat_to(len(channels), "token", token)  # type: ignore[arg-type]

    def bind(adapter: Adapter, size: Size) -> Objective:
        check_channels(adapter, size, layer, channels)
        shape = adapter.layer(layer, size).shape
        if len(shape) != 3:
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so it has no tokens. Write "
                f"{layer}:{channels[0]}@row,column for a position of a map."
            )
        if token == CLS:
            prefix, rows, columns = _patch_grid(layer, shape)
            if not prefix:
                raise ValueError(
                    f"Layer {layer!r} has {rows}x{columns} patches and no class token."
                )
            return _at_tokens(layer, channels, [0] * len(channels), CLS)
        for index in tokens:
            if shape[1] is not None and index >= shape[1]:
                raise ValueError(
                    f"Layer {layer!r} has the tokens 0 to {shape[1] - 1}. "
                    f"Received: {index}"
                )
        return _at_tokens(layer, channels, tokens)

    if token == CLS:
        return replace(_at_tokens(layer, channels, [0] * len(channels), CLS), bind=bind)
    return replace(_at_tokens(layer, channels, tokens), bind=bind)


def layer(layer: str) -> Objective:
    """Maximize all activations of a layer at once, as DeepDream does.

    The score is the mean square of the activations (Mordvintsev et al.,
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks/).

    Args:
        layer: The path of the layer.

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


def logit(
    target: int | str | Sequence[int | str],
    row: int | None = None,
    column: int | None = None,
) -> Objective:
    """Maximize the logit of a class, its output before the softmax.

    Olah et al. prefer this to the probability, which also rises if all other classes
    become unlikely (https://distill.pub/2017/feature-visualization/). If
    the model has logits for each position, as for segmentation, the score is the mean
    over all positions, or the logit at one of them.

    Args:
        target: The index, WordNet identifier or name of the class, or several for one
            image each.
        row: The row of a position in the model's output, from 0 at the top.
        column: The column of the position, from 0 at the left.

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
    """Maximize the probability of a class, its output after the softmax or sigmoid.

    Args:
        target: As in `logit`.
        row: As in `logit`.
        column: As in `logit`.

    >>> probability("goldfish").names
    ('prob:goldfish',)
    """
    return _of_class("prob", PROBABILITIES, target, row, column)


def _of_class(
    prefix: str, source: str, target: Any, row: int | None, column: int | None
) -> Objective:
    """Return the objective of classes in the output or the logits of a model."""
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
        place = (_repeat_to(1, "row", row)[0], _repeat_to(1, "column", column)[0])
    at = "" if place is None else f"@{place[0]},{place[1]}"

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[source]
        if place is None:
            return means(values, units["class"])
        places = [units["row"], units["column"], units["class"]]
        return take(values, tf.stack(places, axis=1))

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
        names = [adapter.class_name(i) or str(i) for i in indices]
        return build(indices, names, () if place else tuple(indices))

    def build(
        indices: Any, names: Sequence[Any], classes: tuple[int, ...] = ()
    ) -> Objective:
        # Classes may be names until `bind` looks up their indices.
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
            targets=classes,
        )

    return build(targets, targets)


def _at_tokens(
    layer: str, channels: list[int], tokens: list[int], name: str | None = None
) -> Objective:
    """Return the objective of channels at tokens, without looking up the layer."""

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        places = tf.stack([units["token"], units["channel"]], axis=1)
        return take(activations[layer], places)

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


def means(values: Any, indices: Any) -> Any:
    """Return the mean of one channel of each image over all positions, `(n,)`."""
    means = tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1)))
    return take(means, indices[:, None])


def _resolve_centre(
    layer: str, size: Size, lengths: Sequence[int], axis: int, places: list[int]
) -> list[int]:
    """Return rows or columns with indices instead of `CENTRE`, after checking them."""
    indices = [lengths[axis] // 2 if place == CENTRE else place for place in places]
    for index in indices:
        check_place(f"Layer {layer!r}", size, lengths, axis, index)
    return indices


def check_place(
    owner: str, size: Size, lengths: Sequence[Any], axis: int, place: int
) -> None:
    """Raise ValueError if a row (axis 0) or column (axis 1) is outside of a map."""
    name, length = ("row", "column")[axis], lengths[axis]
    if length is not None and not 0 <= place < length:
        raise ValueError(
            f"{owner} has a map of {lengths[0]}x{lengths[1]} for images of "
            f"{size[0]}x{size[1]}: its {name}s go from 0 to {length - 1}. "
            f"Received: {name} {place}"
        )


def _patch_grid(layer: str, shape: Sequence[int | None]) -> tuple[int, int, int]:
    """Return the number of tokens before a square of patches, and its two sides.

    Vision transformers place their class token, and registers, before the patches.
    """
    side = isqrt(shape[1] or 0)
    prefix = (shape[1] or 0) - side * side
    if not side or prefix > MAX_PREFIX_TOKENS:
        raise ValueError(
            f"Layer {layer!r} has {shape[1]} tokens, which do not form a square of "
            "patches after a class token. Give the index of the token: "
            f"{layer}:CHANNEL@TOKEN."
        )
    return prefix, side, side


def _place_name(place: int) -> str:
    return "centre" if place == CENTRE else str(place)


def count_channels(adapter: Adapter, size: Size, layer: str) -> int:
    """Return the number of channels of a layer, or raise ValueError if it has none."""
    info = adapter.layer(layer, size)
    if info.units is None:
        raise ValueError(
            f"Layer {layer!r} has the shape {info.shape}, without channels."
        )
    return info.units


def check_channels(
    adapter: Adapter, size: Size, layer: str, indices: Iterable[int]
) -> None:
    """Raise ValueError if a layer lacks one of the channels."""
    count = count_channels(adapter, size, layer)
    for index in indices:
        if not 0 <= index < count:
            raise ValueError(
                f"Layer {layer!r} has the channels 0 to {count - 1}. Received: {index}"
            )


def _whole_numbers(name: str, value: int | Sequence[int]) -> list[int]:
    """Return one integer or several as a list, after checking their type and range."""
    numbers = np.atleast_1d(np.asarray(value))
    whole = numbers.ndim == 1 and len(numbers) and numbers.dtype.kind in "iu"
    if not whole or np.abs(numbers).max() >= 2**31:
        raise ValueError(
            f"`{name}` must be a whole number below {2**31}, or a list of such "
            f"numbers. Received: {value!r}"
        )
    return numbers.tolist()


def _repeat_to(n: int, name: str, value: int | Sequence[int]) -> list[int]:
    """Return `n` indices: a single one repeated, or one for each image."""
    numbers = _whole_numbers(name, value)
    if len(numbers) not in (1, n):
        raise ValueError(
            f"`{name}` must be one number or {n} numbers, one for each channel. "
            f"Received: {len(numbers)}"
        )
    if min(numbers) < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {min(numbers)}")
    return numbers * n if len(numbers) == 1 else numbers
