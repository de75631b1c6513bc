"""The record that describes an objective, and the arithmetic of objectives."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import count_of
from tfviz.models.adapter import Adapter

Units = Mapping[str, Any]
Score = Callable[[Mapping[str, Any], Any, Mapping[str, Any], Units], Any]
Size = tuple[int, int]
# The kind of objectives that ignore the image, and the name of their units.
CONSTANT = "constant"


@dataclass(frozen=True, eq=False)
class Objective:
    """A score for each of several images, which the optimization maximizes.

    Attributes:
        layers: The paths of the layers whose activations the score uses.
        units: Arrays whose axis 0 is the image, such as the channel or the position
            that each image maximizes. They are passed to the compiled step as tensors,
            so that other units need no new compilation.
        score: `score(activations, images, latents, units) -> (n,)`, from float32
            activations by path, images in [0, 1] as decoded, before any transform,
            and slices of `units`.
        names: A readable name of the unit that each image shows.
        texts: The same in the grammar of `parse`, in one canonical form, from which
            seeds and file names are derived. By default `names`.
        bind: `bind(adapter, size) -> Objective` looks up names in a model and checks
            the units against its layers at an image size; None if there is nothing to
            look up or check.
        kind: Objectives of equal kinds can be joined, because their scores differ in
            their units alone.
        is_sum: Whether the names are sums or differences, which need brackets before
            a minus sign or a factor.
        group: The number of consecutive images whose scores depend on each other, so
            that they must share a batch. 1 if images are independent.
        compared: The path of the layer in which the images of a group are compared, or
            None.
        is_auxiliary: Whether this is a penalty, diversity or a constant, whose gradient
            does not show that a unit is alive.
        signal: The score of the units without auxiliary terms: a unit is dead if this
            has no gradient. None if `score` is that already.
        targets: The index of the class that each image maximizes, in an objective that
            is bound to a model; None for units that are no class, or one at a position.
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
    targets: tuple[int | None, ...] = ()

    # Make NumPy's numbers leave the arithmetic to this class.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        """Fill in defaults and check that all lengths agree."""
        if not self.texts:
            object.__setattr__(self, "texts", self.names)
        if self.kind is None:
            object.__setattr__(self, "kind", self.score)
        if not self.targets:
            object.__setattr__(self, "targets", (None,) * len(self.names))
        lengths = {"texts": len(self.texts), "targets": len(self.targets)}
        lengths |= {name: len(values) for name, values in self.units.items()}
        for name, length in lengths.items():
            if length != len(self.names):
                raise ValueError(
                    f"An objective for {len(self.names)} images needs as many entries "
                    f"in `{name}`. Received: {length}"
                )
        if len(self) % self.group:
            raise ValueError(
                f"An objective for groups of {self.group} images needs a multiple of "
                f"{self.group} images. Received: {len(self)}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, places: Sequence[int]) -> "Objective":
        """Return the objective for some of the images, with repetitions if wanted.

        Raises:
            ValueError: If a group would be split.
        """
        places = list(places)
        for first in range(0, len(places), self.group):
            chunk = places[first : first + self.group]
            start = chunk[0]
            if start % self.group or chunk != list(range(start, start + self.group)):
                raise ValueError(
                    f"Groups of {self.group} images must stay together. "
                    f"Received: {places}"
                )

        def bind(adapter: Adapter, size: Size) -> "Objective":
            return self.bound(adapter, size)[places]

        return replace(
            self,
            bind=bind if self.bind else None,
            units={name: np.asarray(v)[places] for name, v in self.units.items()},
            names=tuple(self.names[place] for place in places),
            texts=tuple(self.texts[place] for place in places),
            targets=tuple(self.targets[place] for place in places),
        )

    def bound(self, adapter: Adapter, size: Size) -> "Objective":
        """Return the objective with names looked up in a model and units checked.

        Args:
            adapter: The adapter of the model.
            size: The height and width of the images that the model sees.

        Raises:
            ValueError: If the model lacks a layer, channel, position or class.
        """
        return self.bind(adapter, size) if self.bind else self

    def __add__(self, other: Any) -> "Objective":
        """Add the scores."""
        return _combine(self, other, "+") if _is_operand(other) else NotImplemented

    def __radd__(self, other: Any) -> "Objective":
        """Add the scores."""
        return _combine(other, self, "+") if _is_operand(other) else NotImplemented

    def __sub__(self, other: Any) -> "Objective":
        """Subtract the scores."""
        return _combine(self, other, "-") if _is_operand(other) else NotImplemented

    def __rsub__(self, other: Any) -> "Objective":
        """Subtract the scores."""
        return _combine(other, self, "-") if _is_operand(other) else NotImplemented

    def __mul__(self, other: Any) -> "Objective":
        """Multiply the scores."""
        return _combine(self, other, "*") if _is_operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> "Objective":
        """Multiply the scores."""
        return _combine(other, self, "*") if _is_operand(other) else NotImplemented

    def __neg__(self) -> "Objective":
        """Negate the scores, so that the units are minimized."""

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
            targets=(),
        )


def join(objectives: Sequence[Objective]) -> Objective:
    """Concatenate objectives of the same kind, so that their images share a batch.

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
        targets=tuple(target for o in objectives for target in o.targets),
        bind=None,
    )


def with_names_of(objective: Objective, other: Objective) -> Objective:
    """Return an objective with the names, texts and targets of another."""

    def bind(adapter: Adapter, size: Size) -> Objective:
        return with_names_of(objective.bound(adapter, size), other.bound(adapter, size))

    return replace(
        objective,
        names=other.names,
        texts=other.texts,
        targets=other.targets,
        bind=bind if objective.bind or other.bind else None,
    )


def constants(values: Iterable[float]) -> Objective:
    """Return constant scores, one for each image, as an objective."""

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return units[CONSTANT]

    values = list(values)
    scores = np.asarray(values, np.float32)
    names = tuple(f"{value:g}" for value in values)
    return Objective(
        (), {CONSTANT: scores}, score, names, kind=CONSTANT, is_auxiliary=True
    )


def take(values: Any, places: Any) -> Any:
    """Return what each image has at one place.

    Args:
        values: `(n, ...)`.
        places: `(n, k)`, for each image the indices along the first `k` axes after that
            of the images.

    Returns:
        The numbers, or slices of the axes that are left, with the images as axis 0.

    >>> take(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[1], [0]])).numpy()
    array([2., 3.], dtype=float32)
    """

    # The gradients of `tf.gather` have no kernel for graphics cards that gives the same
    # sum each time, and those of `tf.gather_nd` only a slow one.
    @tf.custom_gradient
    def gather(values: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            shape, indexed = tf.shape(values), places.shape[1]
            left = values.shape.rank - 1 - indexed
            for axis in reversed(range(indexed)):
                # Inserts the axis, with zeros everywhere but at the place.
                at_place = tf.one_hot(places[:, axis], shape[axis + 1])
                at_place = tf.reshape(at_place, (shape[0], -1, *[1] * left))
                upstream = at_place * upstream[:, None]
                left += 1
            return upstream

        return tf.gather_nd(values, places, batch_dims=1), gradient

    return gather(values)


def _combine(left: Any, right: Any, sign: str) -> Objective:
    """Return `left sign right`, where one side may be a number."""
    left, right = _as_objective(left), _as_objective(right)
    left, right = _repeat_to_equal_length(left, right)
    score = _joint_score((left.score, right.score), sign)

    def bind(adapter: Adapter, size: Size) -> Objective:
        return _combine(left.bound(adapter, size), right.bound(adapter, size), sign)

    def name(a: str, b: str) -> str:
        if sign == "*":
            a = f"({a})" if left.is_sum else a
        if sign != "+":
            b = f"({b})" if right.is_sum or b.startswith("-") else b
        return f"{a}{sign}{b}"

    def text(a: str, b: str) -> str:
        # The grammar of `parse` has sums only; the brackets make it refuse the rest,
        # instead of reading a difference as a range.
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


def _joint_score(scores: tuple[Score, Score], sign: str) -> Score:
    """Return the sum, difference or product of two scores as one score."""

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        a, b = (
            side(activations, images, latents, _side_units(units, place))
            for place, side in enumerate(scores)
        )
        return {"+": a + b, "-": a - b, "*": a * b}[sign]

    return score


def _joint_signal(left: Objective, right: Objective, sign: str) -> Score | None:
    """Return the score without auxiliary terms, or None if there are no such terms."""
    if left.is_auxiliary and right.is_auxiliary:
        return None
    sides = (left, right)
    if not any(side.is_auxiliary for side in sides):
        if not (left.signal or right.signal):
            return None
        return _joint_score(
            (left.signal or left.score, right.signal or right.score), sign
        )
    place = 1 if left.is_auxiliary else 0
    unit, other = sides[place], sides[1 - place]
    signal = unit.signal
    if signal is None and other.kind == CONSTANT:
        return None  # a constant does not change which gradients are zero
    alone = signal or unit.score

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        return alone(activations, images, latents, _side_units(units, place))

    return score


def _repeat_to_equal_length(
    left: Objective, right: Objective
) -> tuple[Objective, Objective]:
    """Repeat an objective for one image or group to the length of the other."""
    n = max(len(left), len(right))
    fit = [
        len(o) == n or (len(o) == o.group and n % len(o) == 0) for o in (left, right)
    ]
    if not all(fit):
        raise ValueError(
            f"Objectives for {len(left)} and {count_of(len(right), 'image')} "
            "cannot be combined: both need the same number of images, or one of them a "
            "single image."
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


def _side_units(units: Units, place: int) -> Units:
    """Return the units of the left (0) or right (1) side of a combination."""
    start = f"{place}."
    return {k.removeprefix(start): v for k, v in units.items() if k.startswith(start)}


def _is_operand(other: Any) -> bool:
    return isinstance(other, (Objective, int, float, np.number))


def _as_objective(value: Any) -> Objective:
    """Return an objective unchanged, and a number as a constant objective."""
    return value if isinstance(value, Objective) else constants([value])
