"""The grammar of units: what users write as text, read as objectives."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from typing import Any

from tfviz.models.adapter import Adapter, adapt
from tfviz.models.introspection import PRE
from tfviz.objectives._base import Objective
from tfviz.objectives._directions import random_direction
from tfviz.objectives._units import (
    CLS,
    channel,
    count_channels,
    layer,
    logit,
    neuron,
    probability,
    token,
)

# The most numbers in a range: a slip such as 0-99999999 must not fill the memory.
MAX_RANGE = 100_000
# Both negate a unit. On a command line, a leading hyphen would start an option.
SIGNS = ("-", "neg:")
# Follows the path of a layer whose random directions are meant.
RANDOM = ":random"
# Stands for all channels of a layer, or all classes.
ALL = "*"

_RANGE = re.compile(r"(\d+)-(\d+)")
_POSITION = re.compile(r"(\d+),(\d+)")
_CLASS_AT_POSITION = re.compile(r"(.+)@(\d+),(\d+)")


def parse(text: str, model: Any = None) -> list[Objective]:
    """Read units from text, such as `fire8:20` for a channel.

    ==================  ==========================================================
    `fire8:20`          channel 20 of layer `fire8`, averaged over all positions
    `fire8:20@3,4`      the neuron of that channel at row 3, column 4
    `block3:20@5`       the channel at token 5 of a transformer; `@cls` for the first
    `fire8:random:7`    the random direction of the layer's channels with seed 7
    `fire8`             the whole layer (DeepDream)
    `logit:goldfish`    a class before the softmax, by name, identifier or index
    `logit:3@40,80`     a class at one position, for models that segment images
    `prob:291`          a class after the softmax
    `neg:fire8:20`      the unit minimized instead of maximized; also `-fire8:20`
    `fire8:pre:20`      the channel before the ReLU of the layer
    `fire8:20+fire9:3`  the sum of two units; each side can have its own sign
    `fire8:0-15`        a range of channels or classes, with one picture each
    `fire8:*`           all channels of a layer; `logit:*` and `prob:*`: all classes
    `fire*:3`           every layer that matches the pattern, with one picture each
    `fire*:*`           all channels of every layer that matches, layer by layer
    ==================  ==========================================================

    Layers are given by their paths, as `tfviz layers` prints them. A text that is the
    exact path of a layer always means that layer, even if it could be read otherwise.
    Class names ignore case, and `_` in them is the same as a space. The lowest output
    of a ReLU is 0, so `neg:` minimizes the value before a ReLU where a layer ends in
    one.

    Args:
        text: A unit, or a range or pattern that stands for several.
        model: A Keras model, or an adapter made by `adapt`. Without it, patterns
            and `*` cannot be read, and texts are not compared with the paths of layers.

    Returns:
        One objective for each picture.

    Raises:
        ValueError: If the text cannot be read, or a pattern matches no layer.

    >>> [o.names[0] for o in parse("-fire8:1-2")]
    ['-fire8:1', '-fire8:2']
    """
    adapter = None if model is None else adapt(model)
    return _parse(text.strip(), adapter)


def as_objectives(objective: Any, adapter: Adapter) -> list[Objective]:
    """Return the objectives that a user passes as `objective`, as a list.

    Args:
        objective: An `Objective`, a text for `parse`, or a list of those.
        adapter: The adapter of the model.

    Raises:
        TypeError: If `objective` is something else, or an empty list.
        ValueError: If a text cannot be read.
    """
    if isinstance(objective, Objective):
        return [objective]
    if isinstance(objective, str):
        return parse(objective, adapter)
    if isinstance(objective, Sequence) and objective:
        return [unit for item in objective for unit in as_objectives(item, adapter)]
    raise TypeError(
        "`objective` must be an Objective, a text such as 'fire8:20', or a list of "
        f"those that is not empty. Received: {objective!r}"
    )


def _parse(
    text: str, adapter: Adapter | None, *, negated: bool = False
) -> list[Objective]:
    """Read units from a text; `negated` if a sign precedes it."""
    paths = [layer.path for layer in adapter.layers()] if adapter else []
    if text in paths:
        return [layer(text)]
    if not text:
        raise ValueError("An empty text names no unit. Write a unit such as fire8:20.")
    if "(" in text:
        raise ValueError(
            f"{text!r} was composed in Python: the grammar of units has no brackets, "
            "differences or products. Use Python to render it again."
        )
    terms = _split_terms(text, paths)
    if len(terms) > 1:
        return _add_pairwise([_parse(term, adapter) for term in terms], text)
    for sign in SIGNS:
        if text.startswith(sign):
            rest = text.removeprefix(sign)
            return [-unit for unit in _parse(rest, adapter, negated=True)]
    head, colon, tail = text.rpartition(":")
    if not colon and paths and text.isdecimal():
        raise ValueError(
            f"{text!r} is a number alone, which names no unit. Write the layer before "
            f"it, without a space: {paths[-1]}:{text}."
        )
    if not colon or text.endswith(PRE):
        return [layer(path) for path in _match_paths(text, paths)]
    if head in ("logit", "prob") and head not in paths:
        of_class = logit if head == "logit" else probability
        if not tail:
            raise ValueError(f"{text!r} names no class. Write {head}:goldfish.")
        match = _CLASS_AT_POSITION.fullmatch(tail)
        target, *position = match.groups() if match else (tail,)
        targets: Sequence[int | str] = _parse_range(target) or [target]
        if target == ALL:
            targets = range(_count_classes(adapter, text))
        return [of_class(target, *map(int, position)) for target in targets]
    is_random = head.endswith(RANDOM) and head not in paths
    matches = _match_paths(head.removesuffix(RANDOM) if is_random else head, paths)
    if negated and adapter:  # the lowest output of a ReLU is 0, which shows nothing
        matches = [adapter.before_relu(path) for path in matches]
    parse_units = _parse_random_directions if is_random else _parse_channels
    return [u for path in matches for u in parse_units(path, tail, text, adapter)]


def _parse_random_directions(
    path: str, tail: str, text: str, _: Adapter | None
) -> list[Objective]:
    """Read the random directions of a layer from the end of a text, the seeds."""
    seeds = _parse_range(tail)
    if seeds is None:
        raise ValueError(f"{text!r} has no seed. Write layer{RANDOM}:7.")
    return [random_direction(path, seed) for seed in seeds]


def _parse_channels(
    path: str, tail: str, text: str, adapter: Adapter | None
) -> list[Objective]:
    """Read channels, neurons or tokens of a layer from the end of a text."""
    index, at, place = tail.partition("@")
    indices = _parse_range(index)
    if path and index == ALL:
        indices = list(range(_count_channels(adapter, path, text)))
    if not path or indices is None:
        raise ValueError(
            f"{text!r} is not a unit.{' Leave out the spaces.' * (' ' in text)} Write "
            "layer:channel, layer:first-last, layer:*, layer:channel@row,column, "
            "layer:channel@token, layer:random:seed, layer, logit:class or prob:class; "
            "for example fire8:20."
        )
    if not at:
        return [channel(path, i) for i in indices]
    if place == CLS or place.isdecimal():
        position = CLS if place == CLS else int(place)
        return [token(path, i, position) for i in indices]
    match = _POSITION.fullmatch(place)
    if not match:
        raise ValueError(
            f"{text!r} has no position after @. Write layer:channel@row,column, or "
            "layer:channel@token."
        )
    row, column = map(int, match.groups())
    return [neuron(path, i, row, column) for i in indices]


def _count_channels(adapter: Adapter | None, path: str, text: str) -> int:
    """Return the number of channels of a layer, all of which a text asks for."""
    if adapter is None:
        raise ValueError(
            f"{text!r} stands for all channels of a layer, which can be counted only "
            "with the model."
        )
    return count_channels(adapter, adapter.size, path)


def _count_classes(adapter: Adapter | None, text: str) -> int:
    """Return the number of classes, all of which a text asks for."""
    if adapter is None:
        raise ValueError(
            f"{text!r} stands for all classes, which can be counted only with the "
            "model."
        )
    adapter.require_logits()
    return adapter.classes or 0


def _split_terms(text: str, paths: Sequence[str]) -> list[str]:
    """Split a text at each `+` that is not part of the exact path of a layer."""
    terms, rest = [""], text
    while rest:
        path = max((p for p in paths if rest.startswith(p)), key=len, default="")
        if path and terms[-1] in ("", *SIGNS):
            terms[-1] += path
            rest = rest.removeprefix(path)
        elif rest[0] == "+":
            terms.append("")
            rest = rest[1:]
        else:
            terms[-1] += rest[0]
            rest = rest[1:]
    if not all(terms):
        raise ValueError(
            f"{text!r} has nothing on one side of +. Write fire8:20+fire9:3."
        )
    return terms


def _add_pairwise(terms: list[list[Objective]], text: str) -> list[Objective]:
    """Add the units of several terms one by one, or a single one to each."""
    longest = max(map(len, terms))
    if any(len(units) not in (1, longest) for units in terms):
        lengths = " and ".join(str(len(units)) for units in terms)
        raise ValueError(
            f"{text!r} adds {lengths} units. Ranges on both sides of + must be equally "
            "long."
        )
    terms = [units * longest if len(units) == 1 else units for units in terms]
    return [reduce(add, units) for units in zip(*terms, strict=True)]


def _parse_range(text: str) -> list[int] | None:
    """Return the numbers in a text such as `7` or `0-15`, or None for other texts."""
    if text.isdecimal():
        return [int(text)]
    match = _RANGE.fullmatch(text)
    if not match:
        return None
    first, last = map(int, match.groups())
    if last < first:
        raise ValueError(f"The range {text} descends. Write {last}-{first}.")
    if last - first >= MAX_RANGE:
        raise ValueError(
            f"The range {text} has more than {MAX_RANGE} numbers. Write shorter ranges."
        )
    return list(range(first, last + 1))


def _match_paths(pattern: str, paths: Sequence[str]) -> list[str]:
    """Return the paths that match a pattern; other texts are returned unchanged."""
    if pattern.endswith(PRE):
        return [path + PRE for path in _match_paths(pattern.removesuffix(PRE), paths)]
    if pattern in paths or not any(sign in pattern for sign in "*?["):
        return [pattern]
    if not paths:
        raise ValueError(
            f"{pattern!r} is a pattern, which can be read only with the model whose "
            "layers it matches."
        )
    matches = [path for path in paths if fnmatchcase(path, pattern)]
    if not matches:
        raise ValueError(
            f"No layer matches {pattern!r}. `tfviz layers` lists all layers. In a "
            "shell, put patterns in quotes."
        )
    return matches
