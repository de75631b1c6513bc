"""What is maximized.

An `Objective` gives one number for each image; higher is better. The numbers of
different images do not mix. Objectives add, subtract and scale like numbers:

>>> both = channel("fire8", 20) - 0.5 * channel("fire9", [3, 4])
>>> both.names
('fire8:20-0.5*fire9:3', 'fire8:20-0.5*fire9:4')

Whatever names a layer or a class is looked up by `bind`, when a model is at hand.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._adapter import LOGITS, PROBABILITIES, Adapter
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

Units = Mapping[str, Any]
Score = Callable[[Mapping[str, Any], Any, Mapping[str, Any], Units], Any]
Size = tuple[int, int]
# A neuron's row and column before the size of its map is known.
CENTRE = -1


@dataclass(frozen=True)
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
    """

    layers: tuple[str, ...]
    units: Units
    score: Score
    names: tuple[str, ...]
    texts: tuple[str, ...] = ()
    bind: Callable[[Adapter, Size], "Objective"] | None = None
    kind: Hashable = None

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
            return f"-({name})" if _is_sum(name) else f"-{name}"

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
        values = activations[layer]
        means = tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1)))
        return tf.gather(means, units["channel"], axis=1, batch_dims=1)

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
        if len(shape) != 4:
            raise ValueError(
                f"Layer {layer!r} has the shape {shape}, so its units have no row and "
                f"column. Leave the position out: {layer}:{channels[0]}."
            )
        found = []
        for axis, name, places in ((1, "row", rows), (2, "column", columns)):
            length = shape[axis]
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


def join(objectives: Sequence[Objective]) -> Objective:
    """Put objectives of the same kind one after the other, an image each.

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
        names=sum((o.names for o in objectives), ()),
        texts=sum((o.texts for o in objectives), ()),
        bind=None,
    )


def _of_class(prefix: str, source: str, target: Any) -> Objective:
    single = isinstance(target, (int, str, np.integer))
    targets = [target] if single else list(target)
    if not targets:
        raise ValueError("`target` must name at least one class. Received: []")

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[source]
        means = tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1)))
        return tf.gather(means, units["class"], axis=1, batch_dims=1)

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
        return _combined(*(side.bound(adapter, size) for side in sides), sign)

    def joined(a: str, b: str) -> str:
        if sign == "*":
            a = f"({a})" if _is_sum(a) else a
        if sign != "+":
            b = f"({b})" if _is_sum(b) or b.startswith("-") else b
        return f"{a}{sign}{b}"

    return Objective(
        tuple(dict.fromkeys(left.layers + right.layers)),
        {
            f"{place}.{name}": values
            for place, side in enumerate(sides)
            for name, values in side.units.items()
        },
        score,
        tuple(map(joined, left.names, right.names)),
        tuple(map(joined, left.texts, right.texts)),
        bind,
        (sign, left.kind, right.kind),
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


def _is_sum(name: str) -> bool:
    """Whether a name has a sum or a difference outside of brackets."""
    depth = 0
    for place, letter in enumerate(name):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and place and letter in "+-":
            return True
    return False


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
    if numbers.ndim != 1 or not len(numbers) or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be a whole number or a list of them. Received: {value!r}"
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
