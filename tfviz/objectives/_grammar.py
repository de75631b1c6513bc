"""The grammar in which units are written."""

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
from tfviz.objectives._units import channel, layer, logit, neuron, probability, token

# The most units that one text may stand for; a slip such as 0-99999999 must not
# fill the memory.
MOST = 100_000

# On a command line a leading hyphen makes an option.
SIGNS = ("-", "neg:")

_RANGE = re.compile(r"(\d+)-(\d+)")
_PLACE = re.compile(r"(\d+),(\d+)")
_PLACED = re.compile(r"(.+)@(\d+),(\d+)")
# A layer's path with this stands for its random directions.
RANDOM = ":random"


def parse(text: str, model: Any = None) -> list[Objective]:
    """Read units from text.

    ==================  ========================================================
    `fire8:20`          channel 20 of layer `fire8`: the mean over its map
    `fire8:20@3,4`      the neuron of that channel in row 3, column 4
    `block3:20@5`       the channel at token 5 of a transformer; `@cls` for the first
    `fire8:random:7`    a random direction of the layer's channels, by its seed
    `fire8`             the whole layer (DeepDream)
    `logit:goldfish`    a class before the softmax: name, identifier or index
    `logit:3@40,80`     the same at one position of a model that segments
    `prob:291`          a class after the softmax
    `neg:fire8:20`      what the unit responds to least; also `-fire8:20`
    `fire8:pre:20`      the channel before its ReLU
    `fire8:20+fire9:3`  both at once; each side can have its own sign
    `fire8:0-15`        a range, one picture each; also for classes by index
    `fire*:3`           every layer that matches, one picture each
    ==================  ========================================================

    Layers are paths as `tfviz layers` prints them. A text that is a layer's exact
    path is always that layer, whatever else it could mean. Case in the names of
    classes does not matter, and `_` is the same as a space. Where a layer has a ReLU,
    its least is 0, so `neg:` is about the value before it.

    Args:
        text: One unit, or a range or pattern that stands for several.
        model: What `adapt` takes; needed for patterns and to let exact paths win.

    Returns:
        One objective for each picture.

    Raises:
        ValueError: If the text cannot be read, or a pattern matches no layer.

    >>> [o.names[0] for o in parse("-fire8:1-2")]
    ['-fire8:1', '-fire8:2']
    """
    adapter = None if model is None else adapt(model)
    return _parsed(text.strip(), adapter)


def _parsed(
    text: str, adapter: Adapter | None, *, negated: bool = False
) -> list[Objective]:
    paths = [layer.path for layer in adapter.layers()] if adapter else []
    if text in paths:
        return [layer(text)]
    if not text:
        raise ValueError("An empty text names nothing. Write a unit such as fire8:20.")
    if "(" in text:
        raise ValueError(
            f"{text!r} was put together in Python; the grammar of units has no "
            "brackets, differences or products. Make it again from Python."
        )
    terms = _terms(text, paths)
    if len(terms) > 1:
        choices = [_parsed(term, adapter) for term in terms]
        return _paired(choices, text)
    for sign in SIGNS:
        if text.startswith(sign):
            rest = text.removeprefix(sign)
            return [-unit for unit in _parsed(rest, adapter, negated=True)]
    head, colon, tail = text.rpartition(":")
    if not colon or text.endswith(PRE):
        return [layer(path) for path in _matching(text, paths)]
    if head in ("logit", "prob") and head not in paths:
        make = logit if head == "logit" else probability
        if not tail:
            raise ValueError(f"{text!r} names no class. Write {head}:goldfish.")
        place = _PLACED.fullmatch(tail)
        target, *at = place.groups() if place else (tail,)
        targets: Sequence[int | str] = _range(target) or [target]
        return [make(target, *map(int, at)) for target in targets]
    is_random = head.endswith(RANDOM) and head not in paths
    found = _matching(head.removesuffix(RANDOM) if is_random else head, paths)
    if negated and adapter:  # the least of a rectified unit is nothing to see
        found = [adapter.before_relu(path) for path in found]
    make_units = _random_directions if is_random else _channels
    return [unit for path in found for unit in make_units(path, tail, text)]


def _random_directions(path: str, tail: str, text: str) -> list[Objective]:
    seeds = _range(tail)
    if seeds is None:
        raise ValueError(f"{text!r} has no seed. Write layer{RANDOM}:7.")
    return [random_direction(path, seed) for seed in seeds]


def _channels(path: str, tail: str, text: str) -> list[Objective]:
    index, at, place = tail.partition("@")
    indices = _range(index)
    if not path or indices is None:
        raise ValueError(
            f"{text!r} is no unit. Write layer:channel, layer:first-last, "
            "layer:channel@row,column, layer:channel@token, layer:random:seed, layer, "
            "logit:class or prob:class."
        )
    if not at:
        return [channel(path, i) for i in indices]
    if place == "cls" or place.isdecimal():
        position = "cls" if place == "cls" else int(place)
        return [token(path, i, position) for i in indices]
    match = _PLACE.fullmatch(place)
    if not match:
        raise ValueError(
            f"{text!r} has no position after @. Write layer:channel@row,column, or "
            "layer:channel@token."
        )
    row, column = map(int, match.groups())
    return [neuron(path, i, row, column) for i in indices]


def _terms(text: str, paths: Sequence[str]) -> list[str]:
    """Split at each `+` that is no part of a layer's exact path."""
    terms, rest = [""], text
    while rest:
        known = max((p for p in paths if rest.startswith(p)), key=len, default="")
        if known and terms[-1] in ("", *SIGNS):
            terms[-1] += known
            rest = rest.removeprefix(known)
        elif rest[0] == "+":
            terms.append("")
            rest = rest[1:]
        else:
            terms[-1] += rest[0]
            rest = rest[1:]
    if not all(terms):
        raise ValueError(f"{text!r} has an empty side of +. Write fire8:20+fire9:3.")
    return terms


def _paired(choices: list[list[Objective]], text: str) -> list[Objective]:
    longest = max(len(choice) for choice in choices)
    if any(len(choice) not in (1, longest) for choice in choices):
        lengths = " and ".join(str(len(choice)) for choice in choices)
        raise ValueError(
            f"{text!r} joins {lengths} units; ranges on both sides of + must be "
            "equally long."
        )
    choices = [c * longest if len(c) == 1 else c for c in choices]
    return [reduce(add, units) for units in zip(*choices, strict=True)]


def _range(text: str) -> list[int] | None:
    """Return the numbers of `7` or `0-15`, or None for anything else."""
    if text.isdecimal():
        return [int(text)]
    match = _RANGE.fullmatch(text)
    if not match:
        return None
    first, last = map(int, match.groups())
    if not first <= last < first + MOST:
        raise ValueError(
            f"The range {text} must go upwards, over at most {MOST} numbers."
        )
    return list(range(first, last + 1))


def _matching(pattern: str, paths: Sequence[str]) -> list[str]:
    """Return the paths that match; a text without wildcards is taken as it is."""
    if pattern.endswith(PRE):
        return [path + PRE for path in _matching(pattern.removesuffix(PRE), paths)]
    if pattern in paths or not any(sign in pattern for sign in "*?["):
        return [pattern]
    if not paths:
        raise ValueError(
            f"{pattern!r} is a pattern, which needs the model to find its layers."
        )
    found = [path for path in paths if fnmatchcase(path, pattern)]
    if not found:
        raise ValueError(
            f"No layer matches {pattern!r}. `tfviz layers` lists all; quote patterns "
            "from the shell."
        )
    return found


def listed(objective: Any, adapter: Adapter) -> list[Objective]:
    """Turn what a user asks for into a list of objectives."""
    if isinstance(objective, Objective):
        return [objective]
    if isinstance(objective, str):
        return parse(objective, adapter)
    if isinstance(objective, Sequence) and objective:
        return [unit for item in objective for unit in listed(item, adapter)]
    raise TypeError(
        "`objective` must be an Objective, a text such as 'fire8:20', or a list of "
        f"those that is not empty. Received: {objective!r}"
    )
