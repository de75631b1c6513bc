"""A batch of pictures: how far it is, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._ascent import Ascent, Outcome
from tfviz._stuck import Stuck


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
