"""The making of pictures into a folder, and what a run has made so far."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tfviz._storage import AnyPath
from tfviz.optimize.attempts import Attempt, attempt_batches, describe
from tfviz.optimize.dead_units import DeadUnit
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.render import as_result
from tfviz.runs.pace import LayerPace, Pace
from tfviz.runs.picture_folder import save_picture
from tfviz.runs.work import Work


@dataclass
class FinishedBatch:
    """What became of one batch, whose pictures are in the folder.

    Attributes:
        number: The number of the batch in the job.
        seconds: The time that it took.
        compilation: How much of that was not spent on its steps.
        entries: The entry of each picture for the manifest, by its place in the job.
        failures: The reason why a picture could not be made, by its place.
        dead_units: The dead units.
    """

    number: int
    seconds: float
    compilation: float
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    dead_units: list[DeadUnit] = field(default_factory=list)

    @property
    def places(self) -> list[int]:
        """The places of all its pictures."""
        return sorted([*self.entries, *self.failures])


# What makes the pictures of a run: called like `make_batches`.
Batches = Callable[..., Iterator[FinishedBatch]]


def never() -> bool:
    """Return False: nothing stops a run."""
    return False


def make_batches(
    work: Work,
    model: str,
    callbacks: Sequence[Callback] = (),
    stopping: Callable[[], bool] = never,
) -> Iterator[FinishedBatch]:
    """Make the pictures that are missing, batch by batch, and write their files.

    Args:
        work: What there is to do.
        model: The name or path of the model, for the manifest.
        callbacks: As for `tfviz.render`.
        stopping: A function that is called after each batch; once it returns True, no
            further batch is begun.

    Yields:
        Each batch, once its pictures are in the folder.

    Raises:
        RuntimeError: If none of the first batches can be made.
    """
    began = time.monotonic()
    for attempt in attempt_batches(
        work.job, work.skip, callbacks, succeeded=bool(work.finished)
    ):
        seconds = time.monotonic() - began
        yield save_attempt(work.job, work.files, attempt, model, seconds)
        if stopping():
            return
        began = time.monotonic()


def save_attempt(
    job: Job,
    files: Mapping[int, AnyPath] | Sequence[AnyPath],
    attempt: Attempt,
    model: str,
    seconds: float,
) -> FinishedBatch:
    """Write the pictures of an attempt at a batch.

    Args:
        job: The job.
        files: The file of each picture of the batch, by its place in the job.
        attempt: The attempt.
        model: The name or path of the model, for the manifest.
        seconds: The time that the attempt took.
    """
    made = sum(len(batch.places) for batch in attempt.batches)
    steps = sum(batch.seconds for batch in attempt.batches)
    finished = FinishedBatch(attempt.number, seconds, seconds - steps)
    for batch in attempt.batches:
        result = as_result(job, [batch])
        places = sorted(batch.places)
        facts: dict[str, Any] = {"model": model, "seconds": round(seconds / made, 3)}
        # Several at a time: a GPU makes pictures as fast as one processor writes them.
        with ThreadPoolExecutor() as pool:
            entries = pool.map(
                partial(save_picture, **facts),
                [files[place] for place in places],
                map(result.picture, range(len(places))),
                map(result.picture_spec, range(len(places))),
            )
            finished.entries |= dict(zip(places, entries, strict=True))
        finished.dead_units += batch.dead_units
    for place, failure in attempt.failures.items():
        finished.failures[place] = describe(failure)
    return finished


class Run:
    """What a run has made so far.

    Args:
        work: What there is to do. Its folder is repaired.

    Attributes:
        work: What there is to do.
        finished: The places of all pictures that are in the folder.
        failed: The reasons why pictures failed in this run, by their places.
        dead_units: The dead units.
        pace: The speed by layer.
        began: When the run began, by `time.monotonic`.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        work.repair_folder()
        self.finished = set(work.finished)
        self.failed: dict[int, str] = {}
        self.dead_units: list[DeadUnit] = []
        self.pace = Pace(work.plans)
        self.began = time.monotonic()

    @property
    def left(self) -> int:
        """The number of pictures that are neither finished nor failed."""
        done = len(self.finished) + len(self.failed) + len(self.work.failed)
        return len(self.work.files) - done

    def note(self, batch: FinishedBatch) -> LayerPace:
        """Note what became of a batch, also in the manifest.

        Returns:
            The speed of its layer.
        """
        pictures = self.work.pictures
        for place, entry in batch.entries.items():
            pictures.note_picture(entry)
            self.finished.add(place)
        for place, reason in batch.failures.items():
            pictures.note_failure(self.work.job.pictures[place], reason)
            self.failed[place] = reason
        self.dead_units += batch.dead_units
        return self.pace.add(
            batch.number, len(batch.entries), batch.seconds, batch.compilation
        )

    def forget_deleted(self) -> list[str]:
        """Return the names of pictures that somebody else deleted during the run."""
        there = {file.name for file in self.work.pictures.path.iterdir()}
        files = self.work.files
        deleted = [i for i in sorted(self.finished) if files[i].name not in there]
        self.finished.difference_update(deleted)
        return [files[place].name for place in deleted]

    def summary(self, stopped: str | None) -> dict[str, Any]:
        """Return what the run has made, as JSON values.

        Args:
            stopped: Why the run ended before all was made: `interrupted` or `time`.
        """
        return {
            "folder": str(self.work.pictures.path),
            "pictures": len(self.work.files),
            "finished": len(self.finished),
            "made": self.pace.made,
            "failed": len(self.failed) + len(self.work.failed),
            "left": self.left,
            "stopped": stopped,
            "seconds": round(time.monotonic() - self.began, 3),
            "units_a_minute": round(self.pace.units_a_minute, 2),
            "layers": [
                {
                    "layer": layer.name,
                    "made": layer.made,
                    "seconds": round(layer.seconds, 3),
                    "compilation": round(layer.compilation or 0, 3),
                    "units_a_minute": round(layer.units_a_minute, 2),
                }
                for layer in self.pace.layers
                if layer.made
            ],
        }
