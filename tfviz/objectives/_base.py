"""What an objective is, and how objectives combine."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfviz.models.adapter import Adapter

Units = Mapping[str, Any]
Score = Callable[[Mapping[str, Any], Any, Mapping[str, Any], Units], Any]
Size = tuple[int, int]
NUMBER = "number"


@dataclass(frozen=True, eq=False)
class Objective:
    """A score for each of several images.

    Attributes:
        layers: Paths of the layers whose activations the score needs.
        units: Arrays whose axis 0 is the image: which channel, which position. They
            become tensors, so that other units need no new compilation.
        score: `score(activations, images, latents, units) -> (n,)`, with float32
            activations by path, images in [0, 1] as decoded, before any transform,
            and slices of `units`.
        names: What each image shows, for people.
        texts: The same in the grammar of `parse`, in one canonical form; seeds and
            files are named after it. By default `names`.
        bind: `bind(adapter, size) -> Objective` looks up names and checks units
            against a model seen at an image size; None if there is nothing to do.
        kind: Objectives of equal kinds can be joined, as their scores differ by
            their units alone.
        is_sum: Whether the names need brackets before a minus or a factor.
        group: How many images, one after the other, feel each other; they are made
            in one batch. 1 where each is by itself.
        compared: Path of the layer in which the images of a group are compared, or
            None.
        is_auxiliary: Whether it is a penalty, or diversity, or a number: nothing that
            a unit could be woken by.
        signal: The score of the units alone, where auxiliary terms were added to it:
            whether this has a gradient tells a unit that is off from one that is on.
    """

    layers: tuple[str, ...]
    units: Units
    score: Score
    names: tuple[str, ...]
    texts: tuple[str, ...] = ()
    bind: Callable[[Adapter, Size], "Objective"] | None = None
    kind: Hashable = None
    is_sum: bool = False
    group: int = 1
    compared: str | None = None
    is_auxiliary: bool = False
    signal: Score | None = None

    # NumPy's numbers shall leave the arithmetic to this class.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        """Fill in what follows from the rest, and check the lengths."""
        if not self.texts:
            object.__setattr__(self, "texts", self.names)
        if self.kind is None:
            object.__setattr__(self, "kind", self.score)
        lengths = {"texts": len(self.texts)}
        lengths |= {name: len(values) for name, values in self.units.items()}
        for name, length in lengths.items():
            if length != len(self.names):
                raise ValueError(
                    f"An objective of {len(self.names)} images needs as many entries "
                    f"in `{name}`. Received: {length}"
                )
        if len(self) % self.group:
            raise ValueError(
                f"An objective of groups of {self.group} images needs a multiple of "
                f"that. Received: {len(self)}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, places: Sequence[int]) -> "Objective":
        """Return the objective for some of the images, which may repeat.

        Raises:
            ValueError: If a group would be torn apart.
        """
        places = list(places)
        for first in range(0, len(places), self.group):
            chunk = places[first : first + self.group]
            start = chunk[0]
            if start % self.group or chunk != list(range(start, start + self.group)):
                raise ValueError(
                    f"Groups of {self.group} images stay together. Received: {places}"
                )

        def bind(adapter: Adapter, size: Size) -> "Objective":
            return self.bound(adapter, size)[places]

        return replace(
            self,
            bind=bind if self.bind else None,
            units={name: np.asarray(v)[places] for name, v in self.units.items()},
            names=tuple(self.names[place] for place in places),
            texts=tuple(self.texts[place] for place in places),
        )

    def bound(self, adapter: Adapter, size: Size) -> "Objective":
        """Return the objective with everything that a model has to say looked up.

        Raises:
            ValueError: If the model has no such layer, channel, position or class.
        """
        return self.bind(adapter, size) if self.bind else self

    def __add__(self, other: Any) -> "Objective":
        """Add the scores."""
        return _combined(self, other, "+") if _fits(other) else NotImplemented

    def __radd__(self, other: Any) -> "Objective":
        """Add the scores."""
        return _combined(other, self, "+") if _fits(other) else NotImplemented

    def __sub__(self, other: Any) -> "Objective":
        """Subtract the scores."""
        return _combined(self, other, "-") if _fits(other) else NotImplemented

    def __rsub__(self, other: Any) -> "Objective":
        """Subtract the scores."""
        return _combined(other, self, "-") if _fits(other) else NotImplemented

    def __mul__(self, other: Any) -> "Objective":
        """Multiply the scores."""
        return _combined(self, other, "*") if _fits(other) else NotImplemented

    def __rmul__(self, other: Any) -> "Objective":
        """Multiply the scores."""
        return _combined(other, self, "*") if _fits(other) else NotImplemented

    def __neg__(self) -> "Objective":
        """Return the objective whose best images are the worst of this one."""

        def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
            return -self.score(activations, images, latents, units)

        def negated(name: str) -> str:
            return f"-({name})" if self.is_sum or name.startswith("-") else f"-{name}"

        def bind(adapter: Adapter, size: Size) -> "Objective":
            return -self.bound(adapter, size)

        return replace(
            self,
            score=score,
            names=tuple(map(negated, self.names)),
            texts=tuple(map(negated, self.texts)),
            bind=bind,
            kind=("-", self.kind),
            is_sum=False,
        )


def join(objectives: Sequence[Objective]) -> Objective:
    """Put objectives of the same kind one after the other, an image each.

    >>> from tfviz.objectives import channel
    >>> join([channel("fire8", 1), channel("fire8", 5)]).names
    ('fire8:1', 'fire8:5')
    """
    first = objectives[0]
    if any(other.kind != first.kind for other in objectives):
        raise ValueError("Only objectives of the same kind can be joined.")
    units = {
        name: np.concatenate([np.asarray(o.units[name]) for o in objectives])
        for name in first.units
    }
    return replace(
        first,
        units=units,
        names=tuple(name for o in objectives for name in o.names),
        texts=tuple(text for o in objectives for text in o.texts),
        bind=None,
    )


def named_as(objective: Objective, other: Objective) -> Objective:
    """Return an objective under the names and texts of another."""

    def bind(adapter: Adapter, size: Size) -> Objective:
        return named_as(objective.bound(adapter, size), other.bound(adapter, size))

    return replace(
        objective,
        names=other.names,
        texts=other.texts,
        bind=bind if objective.bind or other.bind else None,
    )


def _combined(left: Any, right: Any, sign: str) -> Objective:
    """Return `left sign right`, of which at most one is no objective."""
    left, right = _as_objective(left), _as_objective(right)
    left, right = _of_equal_length(left, right)
    score = _joint((left.score, right.score), sign)

    def bind(adapter: Adapter, size: Size) -> Objective:
        return _combined(left.bound(adapter, size), right.bound(adapter, size), sign)

    def name(a: str, b: str) -> str:
        if sign == "*":
            a = f"({a})" if left.is_sum else a
        if sign != "+":
            b = f"({b})" if right.is_sum or b.startswith("-") else b
        return f"{a}{sign}{b}"

    def text(a: str, b: str) -> str:
        # The grammar knows sums alone; brackets keep the rest from being misread.
        return f"{a}+{b}" if sign == "+" else f"({a}){sign}({b})"

    return Objective(
        tuple(dict.fromkeys(left.layers + right.layers)),
        {
            f"{place}.{name}": values
            for place, side in enumerate((left, right))
            for name, values in side.units.items()
        },
        score,
        tuple(map(name, left.names, right.names)),
        tuple(map(text, left.texts, right.texts)),
        bind,
        (sign, left.kind, right.kind),
        is_sum=sign != "*",
        group=max(left.group, right.group),
        compared=left.compared or right.compared,
        is_auxiliary=left.is_auxiliary and right.is_auxiliary,
        signal=_joint_signal(left, right, sign),
    )


def _joint(scores: tuple[Score, Score], sign: str) -> Score:
    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        a, b = (
            side(activations, images, latents, _side(units, place))
            for place, side in enumerate(scores)
        )
        return {"+": a + b, "-": a - b, "*": a * b}[sign]

    return score


def _joint_signal(left: Objective, right: Objective, sign: str) -> Score | None:
    """Return the score of the units alone, or None where that is the whole score."""
    if left.is_auxiliary and right.is_auxiliary:
        return None
    sides = (left, right)
    if not any(side.is_auxiliary for side in sides):
        if not (left.signal or right.signal):
            return None
        return _joint((left.signal or left.score, right.signal or right.score), sign)
    place = 1 if left.is_auxiliary else 0
    unit, other = sides[place], sides[1 - place]
    signal = unit.signal
    if signal is None and other.kind == NUMBER:
        return None  # a number changes nothing about which gradients are zero
    alone = signal or unit.score

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return alone(activations, images, latents, _side(units, place))

    return score


def _of_equal_length(left: Objective, right: Objective) -> tuple[Objective, Objective]:
    """Repeat an objective of one image or group as often as the other needs."""
    n = max(len(left), len(right))
    fit = [
        len(o) == n or (len(o) == o.group and n % len(o) == 0) for o in (left, right)
    ]
    if not all(fit):
        raise ValueError(
            f"Objectives of {len(left)} and {len(right)} images cannot be combined: "
            "give them equal numbers, or one of them a single one."
        )
    if left.group != right.group and 1 not in (left.group, right.group):
        raise ValueError(
            f"Groups of {left.group} and {right.group} images cannot be combined."
        )
    left, right = (
        o if len(o) == n else o[list(range(len(o))) * (n // len(o))]
        for o in (left, right)
    )
    return left, right


def _side(units: Units, place: int) -> Units:
    start = f"{place}."
    return {k.removeprefix(start): v for k, v in units.items() if k.startswith(start)}


def _fits(other: Any) -> bool:
    return isinstance(other, (Objective, int, float, np.number))


def _as_objective(value: Any) -> Objective:
    """Return a number as an objective that ignores the image."""
    return value if isinstance(value, Objective) else numbers([value])


def numbers(values: Iterable[float]) -> Objective:
    """Return numbers, one for each image, as an objective that ignores the image."""

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return units["number"]

    values = list(values)
    found = np.asarray(values, np.float32)
    names = tuple(f"{value:g}" for value in values)
    return Objective(
        (), {"number": found}, score, names, kind=NUMBER, is_auxiliary=True
    )
