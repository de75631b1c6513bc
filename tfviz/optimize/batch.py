"""A batch of pictures: how far it is, and what became of it."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from tfviz import objectives
from tfviz.objectives._base import Objective
from tfviz.optimize.runner import REDIRECTED_STEPS, Ascent, Outcome

RANDOM_IMAGES = 32


@dataclass(frozen=True)
class Stuck:
    """What was tried for a picture in vain.

    Attributes:
        name: What it was to show.
        steps: Steps taken.
        redirected: How many of the first of them had the redirected gradient.
        score: The highest in all steps.
        random_score: The highest over `random_images`.
    """

    name: str
    steps: int
    redirected: int
    score: float
    random_score: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.name} (highest score {self.score:.4g} in {self.steps} steps, "
            f"{self.redirected} with redirected gradients, and "
            f"{self.random_score:.4g} over {RANDOM_IMAGES} random images)"
        )


def investigated(
    ascent: Ascent,
    names: Mapping[int, str],
    history: NDArray[np.float32],
    shape: tuple[int, int, int, int],
) -> tuple[Stuck, ...]:
    """Say what was tried for some pictures of a batch, and try random images.

    Args:
        ascent: What rendered it.
        names: What the pictures were to show, by their slots.
        history: The scores of the batch `(steps, n)`.
        shape: Of a batch of images.
    """
    scores = [
        ascent.score_units(np.broadcast_to(image, shape))
        for image in random_images(*shape[1:])
    ]
    steps = len(history)
    return tuple(
        Stuck(
            name,
            steps,
            min(steps, REDIRECTED_STEPS),
            float(history[:, slot].max()),
            float(np.max(scores, axis=0)[slot]),
        )
        for slot, name in names.items()
    )


def random_images(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """Return images in [0, 1], from noise in single pixels to plain colours.

    >>> random_images(20, 30, 3).shape
    (32, 20, 30, 3)
    """
    generator = np.random.default_rng(0)
    found = []
    for cell in (1, 4, 16, max(height, width)):
        shape = (RANDOM_IMAGES // 4, -(-height // cell), -(-width // cell), channels)
        noise = generator.random(shape, np.float32)
        noise = noise.repeat(cell, axis=1).repeat(cell, axis=2)
        found.append(noise[:, :height, :width])
    return np.concatenate(found)


def warn_stuck(stuck: Sequence[Stuck]) -> None:
    """Warn of pictures whose unit never had a gradient, if there are any."""
    if stuck:
        shown = ", ".join(map(str, stuck[:5])) + (", ..." if len(stuck) > 5 else "")
        warn(
            f"{len(stuck)} unit(s) never fired, so their pictures show nothing: "
            f"{shown}. Try another seed, more steps, or a photo as the start.",
            stacklevel=3,
        )


LARGEST_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Picture:
    """One picture to be made.

    Attributes:
        name: What it shows, for people.
        text: The same in canonical form.
        repeat: How many equal texts stand before it in the job.
        slot: Its place in the batch.
        batch_size: The size of the batch.
        seed: Two numbers made of the job's seed, `text` and `repeat`.
    """

    name: str
    text: str
    repeat: int
    slot: int
    batch_size: int
    seed: tuple[int, int]

    @property
    def spec(self) -> dict[str, Any]:
        """What makes this picture differ from others of its job."""
        return {
            "unit": self.text,
            "repeat": self.repeat,
            "slot": self.slot,
            "batch_size": self.batch_size,
        }


@dataclass(frozen=True)
class Planned:
    """Pictures that are made together.

    Attributes:
        objective: One unit for each of `places`.
        places: Of the pictures in the job.
        slots: Of the pictures in the batch.
        size: Of the batch.
        group: How many pictures in a row belong together.
    """

    objective: Objective
    places: tuple[int, ...]
    slots: tuple[int, ...]
    size: int
    group: int

    def filled(self, wanted: list[int]) -> list[int]:
        """Return for each slot the index of the picture that is made in it.

        Slots without a picture of their own repeat others; groups stay whole.

        Args:
            wanted: Indices into `places`; others need not be made.
        """
        if self.group == 1:
            filled = [wanted[0]] * self.size
            shown = wanted
        else:
            filled = list(range(self.group)) * (self.size // self.group)
            shown = list(range(len(self.places)))
        for i in shown:
            filled[self.slots[i]] = i
        return filled


def plan_batches(
    units: list[Objective], batch_size: int | None, together: int = 1
) -> list[Planned]:
    """Plan the batches: those of one kind together, in the order asked for.

    Args:
        units: What is to be rendered.
        batch_size: Of each batch; by default up to 8, or as many as a group has.
        together: Pictures in a row that must share a batch whatever they show.

    Raises:
        ValueError: If a group would be torn apart.
    """
    groups: dict[Any, tuple[list[Objective], list[int]]] = {}
    place = 0
    for unit in units:
        members, places = groups.setdefault(unit.kind, ([], []))
        members.append(unit)
        places.extend(range(place, place + len(unit)))
        place += len(unit)
    planned = []
    for members, places in groups.values():
        joined = objectives.join(members)
        group = math.lcm(joined.group, together)
        size = batch_size or min(len(places), max(LARGEST_DEFAULT_BATCH, group))
        size = size if batch_size else size - size % group
        if len(places) % group or size % group or not size:
            raise ValueError(
                f"{joined.names[0]} and its like come in groups of {group} pictures, "
                f"so their number and the batch size must be multiples of {group}. "
                f"Received: {len(places)} pictures, batch_size={batch_size}"
            )
        for first in range(0, len(places), size):
            chunk = tuple(places[first : first + size])
            part = joined[range(first, first + len(chunk))]
            slots = tuple(range(len(chunk)))
            planned.append(Planned(part, chunk, slots, size, group))
    return planned


def plan_pictures(
    units: list[Objective], repeats: list[int], batches: list[Planned], seed: int
) -> list[Picture]:
    """Name and seed the pictures, in the order asked for."""
    texts = [text for unit in units for text in unit.texts]
    names = [name for unit in units for name in unit.names]
    at = {
        place: (slot, planned.size)
        for planned in batches
        for place, slot in zip(planned.places, planned.slots, strict=True)
    }
    rows = zip(names, texts, repeats, strict=True)
    return [
        Picture(name, text, repeat, *at[place], hashed(seed, text, repeat))
        for place, (name, text, repeat) in enumerate(rows)
    ]


def count_repeats(texts: list[str]) -> list[int]:
    """Return for each text how many equal ones stand before it."""
    seen: dict[str, int] = {}
    repeats = []
    for text in texts:
        repeats.append(seen.get(text, 0))
        seen[text] = repeats[-1] + 1
    return repeats


def hashed(seed: int, text: str, repeat: int) -> tuple[int, int]:
    """Return a picture's own seed, which does not depend on its place."""
    key = f"{seed}\n{text}\n{repeat}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    first, second = np.frombuffer(digest, "<i4").tolist()
    return first, second


@dataclass(frozen=True)
class Progress:
    """Where a batch is, as callbacks see it.

    Attributes:
        step: Steps done.
        steps: Steps to do.
        scores: `(n,)`, of the transformed images of the last step.
        names: What each picture shows.
        images: `images()` returns the pictures `(n, height, width, channels)` in
            [0, 1] as they are now.
        batch: Number of the batch, from 0.
        batches: Number of batches.
    """

    step: int
    steps: int
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    images: Callable[[], NDArray[np.float32]]
    batch: int
    batches: int


@dataclass(frozen=True)
class Batch:
    """The pictures of one finished batch, in the order of `places`.

    Attributes:
        places: Of the pictures in the job.
        outcome: The pictures and what is known about them.
        history: `(steps, n)`; NaN for the steps that a picture did not need.
        steps: `(n,)`, how many were taken.
        stopped: What ended each picture before all steps: a rule, `callback`, or None.
        restart: `(n,)`, the number of the attempt that made each picture.
        starts: `(n, height, width, channels)`, the pictures before the first step.
        seconds: How long all attempts took, the choice of their starts with them and
            compilation aside.
        tried: For each picture that is stuck, what was tried in vain.
    """

    places: tuple[int, ...]
    outcome: Outcome
    history: NDArray[np.float32]
    steps: NDArray[np.int32]
    stopped: tuple[str | None, ...]
    restart: NDArray[np.int32]
    starts: NDArray[np.uint8]
    seconds: float
    tried: tuple[Stuck, ...] = ()


class Finished:
    """The pictures of a batch that are finished, as they were then.

    Attributes:
        starts: The pictures before the first step.
        seconds: How long the choice of the start and the steps took.
    """

    def __init__(
        self, n: int, group: int, starts: NDArray[np.uint8], restart: int = 0
    ) -> None:
        self.starts, self.seconds = starts.copy(), 0.0
        self._steps = np.zeros(n, np.int32)
        self._group = group
        self._restart = np.full(n, restart, np.int32)
        self._stopped: list[str | None] = [None] * n
        self._outcomes: list[Any] = [None] * n
        self._histories: list[NDArray[np.float32]] = []
        self._fresh: NDArray[np.bool_] = np.zeros(n, bool)

    def add(self, reached: NDArray[np.bool_], ascent: Ascent, step: int) -> None:
        """Keep the pictures that are finished now and were not before."""
        groups = np.asarray(reached).reshape(-1, self._group).all(axis=1)
        self._fresh = np.repeat(groups, self._group) & (self._steps == 0)
        if self._fresh.any():
            self._steps[self._fresh] = step
            outcome = ascent.finish()
            for row in np.flatnonzero(self._fresh):
                self._outcomes[row] = outcome

    def name(self, reason: str) -> None:
        """Say what finished the pictures that were added last."""
        for row in np.flatnonzero(self._fresh):
            self._stopped[row] = reason

    def all_of(self, rows: list[int]) -> bool:
        """Return whether all of these are finished."""
        return bool(self._steps[rows].all())

    def end(self, ascent: Ascent, history: NDArray[np.float32]) -> None:
        """Keep the pictures that are left, and the scores `(steps, n)` of all."""
        self.add(np.ones(len(self._steps), bool), ascent, len(history))
        self._histories = [
            scores[:steps] for scores, steps in zip(history.T, self._steps, strict=True)
        ]

    def improve(self, other: "Finished") -> None:
        """Take the pictures of another attempt whose groups have a higher score."""
        for row in np.flatnonzero(other._totals() > self._totals()):
            for name in ("_steps", "_restart", "_stopped", "_outcomes", "_histories"):
                getattr(self, name)[row] = getattr(other, name)[row]
            self.starts[row] = other.starts[row]
        self.seconds += other.seconds

    def batch(self, places: tuple[int, ...], rows: list[int]) -> Batch:
        """Return some of the pictures."""
        picked: list[Any] = []
        for field in fields(Outcome):
            values = [getattr(self._outcomes[row], field.name) for row in rows]
            picked.append(_picked(values, rows))
        steps = self._steps[rows]
        history = np.full((steps.max(), len(rows)), np.nan, np.float32)
        for column, row in enumerate(rows):
            history[: steps[column], column] = self._histories[row]
        stopped = tuple(self._stopped[row] for row in rows)
        return Batch(
            places,
            Outcome(*picked),
            history,
            steps,
            stopped,
            self._restart[rows],
            starts=self.starts[rows],
            seconds=self.seconds,
        )

    def _totals(self) -> NDArray[np.float32]:
        """Return for each picture the score of its group."""
        scores = [outcome.scores[row] for row, outcome in enumerate(self._outcomes)]
        groups = np.reshape(scores, (-1, self._group)).sum(axis=1)
        return np.repeat(groups, self._group)


def _picked(values: list[Any], rows: list[int]) -> Any:
    """Return one row of each of some arrays, or of dicts of arrays, as one."""
    if values[0] is None:
        return None
    if isinstance(values[0], dict):
        return {name: _picked([v[name] for v in values], rows) for name in values[0]}
    return np.stack([v[r] for v, r in zip(values, rows, strict=True)])
