"""What an objective is, and how objectives combine."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfviz._adapter import Adapter

Units = Mapping[str, Any]
Score = Callable[[Mapping[str, Any], Any, Mapping[str, Any], Units], Any]
Size = tuple[int, int]


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
    """

    layers: tuple[str, ...]
    units: Units
    score: Score
    names: tuple[str, ...]
    texts: tuple[str, ...] = ()
    bind: Callable[[Adapter, Size], "Objective"] | None = None
    kind: Hashable = None
    is_sum: bool = False

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

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, places: Sequence[int]) -> "Objective":
        """Return the objective for some of the images, which may repeat."""
        places = list(places)

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

        return Objective(
            self.layers,
            self.units,
            score,
            tuple(map(negated, self.names)),
            tuple(map(negated, self.texts)),
            bind,
            ("-", self.kind),
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


def _combined(left: Any, right: Any, sign: str) -> Objective:
    """Return `left sign right`, of which at most one is a number."""
    left, right = _as_objective(left), _as_objective(right)
    n = max(len(left), len(right))
    if {len(left), len(right)} - {1, n}:
        raise ValueError(
            f"Objectives of {len(left)} and {len(right)} images cannot be combined: "
            "give them equal numbers, or one of them a single one."
        )
    left, right = (o if len(o) == n else o[[0] * n] for o in (left, right))
    sides = (left, right)

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        a, b = (
            side.score(activations, images, latents, _side(units, place))
            for place, side in enumerate(sides)
        )
        return {"+": a + b, "-": a - b, "*": a * b}[sign]

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
            for place, side in enumerate(sides)
            for name, values in side.units.items()
        },
        score,
        tuple(map(name, left.names, right.names)),
        tuple(map(text, left.texts, right.texts)),
        bind,
        (sign, left.kind, right.kind),
        is_sum=sign != "*",
    )


def _side(units: Units, place: int) -> Units:
    start = f"{place}."
    return {k.removeprefix(start): v for k, v in units.items() if k.startswith(start)}


def _fits(other: Any) -> bool:
    return isinstance(other, (Objective, int, float, np.number))


def _as_objective(value: Any) -> Objective:
    """Return a number as an objective that ignores the image."""
    if isinstance(value, Objective):
        return value

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return units["number"]

    number = np.asarray([value], np.float32)
    return Objective((), {"number": number}, score, (f"{value:g}",), kind="number")
