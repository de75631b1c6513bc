"""Batches of pictures: their planning, their progress, and their results."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import objectives
from tfviz.objectives import Objective
from tfviz.optimize.dead_units import DeadUnit
from tfviz.optimize.options import LARGEST_BATCH
from tfviz.optimize.runner import Outcome, Runner


@dataclass(frozen=True)
class Picture:
    """One picture to be made.

    Attributes:
        name: The unit that it shows, for people.
        text: The same in canonical form.
        repeat: How many equal texts precede it in the job.
        slot: Its place in the batch.
        batch_size: The size of the batch.
        seed: Two numbers, a hash of the job's seed, `text` and `repeat`.
    """

    name: str
    text: str
    repeat: int
    slot: int
    batch_size: int
    seed: tuple[int, int]

    @property
    def spec(self) -> dict[str, Any]:
        """What distinguishes this picture from others of its job, as JSON values."""
        return {
            "unit": self.text,
            "repeat": self.repeat,
            "slot": self.slot,
            "batch_size": self.batch_size,
        }


@dataclass(frozen=True)
class PlannedBatch:
    """Pictures that are made together.

    Attributes:
        objective: One unit for each of `places`.
        places: The places of the pictures in the job.
        slots: The places of the pictures in the batch.
        size: The size of the batch.
        group: How many pictures in a row belong together.
    """

    objective: Objective
    places: tuple[int, ...]
    slots: tuple[int, ...]
    size: int
    group: int

    def fill(self, wanted: list[int]) -> list[int]:
        """Return for each slot the index of the picture that is made in it.

        Slots without a picture of their own repeat others; groups stay whole.

        Args:
            wanted: Indices into `places`; others need not be made.
        """
        if self.group == 1:
            filled = [wanted[0]] * self.size
            placed = wanted
        else:
            filled = list(range(self.group)) * (self.size // self.group)
            placed = list(range(len(self.places)))
        for i in placed:
            filled[self.slots[i]] = i
        return filled


@dataclass(frozen=True)
class Progress:
    """How far a batch is; callbacks get one.

    Attributes:
        step: The number of steps done.
        steps: The number of steps to do.
        scores: `(n,)`, the scores of the transformed images in the last step.
        names: The unit that each picture shows.
        images: `images()` returns the pictures `(n, height, width, channels)` in
            [0, 1] at this time.
        batch: The number of the batch, from 0.
        batches: The number of batches.
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
        places: The places of the pictures in the job.
        outcome: The pictures and what was measured of them.
        history: `(steps, n)`, the scores; NaN for steps that a picture did not need.
        steps: `(n,)`, how many steps were taken.
        stopped: What ended each picture before all steps: the name of a rule,
            `callback`, or None.
        restart: `(n,)`, the number of the attempt that made each picture. The one that
            begins with random images, where a unit was dead, comes last.
        starts: `(n, height, width, channels)`, the pictures before the first step.
        seconds: The time of all attempts, with the choice of their starts and without
            compilation.
        dead_units: For each picture of a unit that stayed dead, what was tried.
        xla: Whether XLA compiled the steps.
    """

    places: tuple[int, ...]
    outcome: Outcome
    history: NDArray[np.float32]
    steps: NDArray[np.int32]
    stopped: tuple[str | None, ...]
    restart: NDArray[np.int32]
    starts: NDArray[np.uint8]
    seconds: float
    dead_units: tuple[DeadUnit, ...] = ()
    xla: bool = False


class BatchState:
    """The pictures of an attempt that are finished, as they were at that time.

    Attributes:
        starts: The pictures before the first step.
        seconds: The time of the choice of the starts and of the steps.
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

    def finish(
        self,
        reached: NDArray[np.bool_],
        runner: Runner,
        step: int,
        reason: str | None = None,
    ) -> None:
        """Keep the pictures that are finished now and were not before.

        Args:
            reached: `(n,)`, which pictures are; a group is when all of it is.
            runner: Holds the pictures.
            step: How many steps were taken.
            reason: What finished them.
        """
        groups = np.asarray(reached).reshape(-1, self._group).all(axis=1)
        new = np.repeat(groups, self._group) & (self._steps == 0)
        if not new.any():
            return
        self._steps[new] = step
        outcome = runner.outcome()
        for row in np.flatnonzero(new):
            self._outcomes[row] = outcome
            self._stopped[row] = reason

    def has_finished(self, rows: list[int]) -> bool:
        """Return whether all of these pictures are finished."""
        return bool(self._steps[rows].all())

    def end(self, runner: Runner, history: NDArray[np.float32]) -> None:
        """Keep the pictures that are left, and the scores `(steps, n)` of all."""
        self.finish(np.ones(len(self._steps), bool), runner, len(history))
        self._histories = [
            scores[:steps] for scores, steps in zip(history.T, self._steps, strict=True)
        ]

    def keep_best(self, other: "BatchState") -> None:
        """Take the pictures of another attempt whose groups have a higher score."""
        self._take(other, np.flatnonzero(other._totals() > self._totals()))

    def dead(self, rows: list[int]) -> list[int]:
        """Return those of some rows whose units never had a gradient of their own.

        A callback that ended a picture did not want it to go on.
        """
        return [
            row
            for row in rows
            if not self._outcomes[row].fired[row] and self._stopped[row] != "callback"
        ]

    def steps(self, row: int) -> int:
        """Return how many steps a picture took."""
        return int(self._steps[row])

    def highest(self, row: int) -> float:
        """Return the highest score that a picture had in any step."""
        return float(self._histories[row].max())

    def keep_woken(self, other: "BatchState", dead: list[int]) -> None:
        """Take the groups of dead units that are not dead in another attempt."""
        woken = {row // self._group for row in dead if other._outcomes[row].fired[row]}
        rows = np.arange(len(self._steps))
        self._take(other, rows[np.isin(rows // self._group, list(woken))])

    def _take(self, other: "BatchState", rows: NDArray[np.int_]) -> None:
        """Take some pictures of another attempt, and count its time."""
        for row in rows:
            for name in ("_steps", "_restart", "_stopped", "_outcomes", "_histories"):
                getattr(self, name)[row] = getattr(other, name)[row]
            self.starts[row] = other.starts[row]
        self.seconds += other.seconds

    def batch(self, places: tuple[int, ...], rows: list[int]) -> Batch:
        """Return the pictures in these rows, which have these places in the job."""
        outcome: list[Any] = []
        for field in fields(Outcome):
            values = [getattr(self._outcomes[row], field.name) for row in rows]
            outcome.append(_stack_rows(values, rows))
        steps = self._steps[rows]
        history = np.full((steps.max(), len(rows)), np.nan, np.float32)
        for column, row in enumerate(rows):
            history[: steps[column], column] = self._histories[row]
        stopped = tuple(self._stopped[row] for row in rows)
        return Batch(
            places,
            Outcome(*outcome),
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


def plan_batches(
    units: list[Objective],
    batch_size: int | None,
    together: int = 1,
    largest: int = LARGEST_BATCH,
) -> list[PlannedBatch]:
    """Plan the batches: units of one kind together, in the order asked for.

    Args:
        units: The units to be rendered.
        batch_size: The size of each batch; by default up to `largest`, or as many as a
            group has.
        together: How many pictures in a row must share a batch whatever they show.
        largest: The largest size of a batch by default.

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
        size = batch_size or min(len(places), max(largest, group))
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
            planned.append(PlannedBatch(part, chunk, slots, size, group))
    return planned


def plan_pictures(
    units: list[Objective], repeats: list[int], batches: list[PlannedBatch], seed: int
) -> list[Picture]:
    """Name and seed the pictures, in the order asked for."""
    texts = [text for unit in units for text in unit.texts]
    names = [name for unit in units for name in unit.names]
    slots = {
        place: (slot, planned.size)
        for planned in batches
        for place, slot in zip(planned.places, planned.slots, strict=True)
    }
    rows = zip(names, texts, repeats, strict=True)
    return [
        Picture(name, text, repeat, *slots[place], picture_seed(seed, text, repeat))
        for place, (name, text, repeat) in enumerate(rows)
    ]


def count_repeats(texts: list[str]) -> list[int]:
    """Return for each text how many equal texts precede it."""
    seen: dict[str, int] = {}
    repeats = []
    for text in texts:
        repeats.append(seen.get(text, 0))
        seen[text] = repeats[-1] + 1
    return repeats


def picture_seed(seed: int, text: str, repeat: int) -> tuple[int, int]:
    """Return a picture's own seed, a hash that does not depend on its place."""
    key = f"{seed}\n{text}\n{repeat}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    first, second = np.frombuffer(digest, "<i4").tolist()
    return first, second


def _stack_rows(values: list[Any], rows: list[int]) -> Any:
    """Return one row of each of some arrays, or of dicts of arrays, as one array."""
    if values[0] is None:
        return None
    if isinstance(values[0], dict):
        names = values[0]
        return {name: _stack_rows([v[name] for v in values], rows) for name in names}
    return np.stack([v[r] for v, r in zip(values, rows, strict=True)])
