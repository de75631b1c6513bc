"""Work through the batches of a job, although some pictures cannot be made."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

import tensorflow as tf

from tfviz._errors import reason_of
from tfviz.optimize.batch import Batch
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.runner import cache_of

# What can be wrong with some pictures and right with others. All other exceptions are
# mistakes in the program, or of the file system, and end the work.
FAILURES = (ArithmeticError, RuntimeError, ValueError, MemoryError, tf.errors.OpError)
# Pictures that are made one by one take as much memory as together: the compiled step
# always has the size of the whole batch.
_TOO_LARGE = (MemoryError, tf.errors.ResourceExhaustedError)
T = TypeVar("T")

# If so many batches fail and none succeeds, something is wrong with all of them.
HOPELESS = 3


@dataclass
class Attempt:
    """What became of one batch.

    Attributes:
        number: The number of the batch in the job.
        batches: The pictures that were made: all at once, or in several parts if some
            failed.
        failures: For each picture that could not be made, by its place in the job,
            the exception.
    """

    number: int
    batches: list[Batch] = field(default_factory=list)
    failures: dict[int, Exception] = field(default_factory=dict)


class Attempts:
    """Makes batches of a job one after another, although some may fail.

    A batch that fails is divided until the pictures that are to blame stand alone. The
    others are made in the slots that they always have, so their bytes are the same.
    Only the compiled step of the current layer is kept, so that the memory does not
    grow with the number of layers.

    Args:
        job: The job.
        callbacks: As for `render`.
    """

    def __init__(self, job: Job, callbacks: Sequence[Callback] = ()) -> None:
        self._job, self._callbacks = job, callbacks
        self._kind: Any = None

    def make(self, number: int, wanted: list[int]) -> Attempt:
        """Make some pictures of a batch.

        Args:
            number: The number of the batch.
            wanted: The pictures to make, as `Job.wanted` returns them.
        """
        kind = self._job.batches[number].objective.kind
        if self._kind not in (None, kind):
            cache_of(self._job.adapter).clear()
        self._kind = kind
        attempt = Attempt(number)
        _make(self._job, attempt, wanted, self._callbacks)
        return attempt


def attempt_batches(
    job: Job,
    skip: Set[int] = frozenset(),
    callbacks: Sequence[Callback] = (),
    *,
    succeeded: bool = False,
) -> Iterator[Attempt]:
    """Render batch by batch, and go on when a batch fails; see `Attempts`.

    Args:
        job: The job.
        skip: The places of pictures that are not wanted.
        callbacks: As for `render`.
        succeeded: Whether pictures of the job were made in an earlier run. This one
            then works through all batches, as that one would have done.

    Yields:
        An attempt for each batch that has a wanted picture.

    Raises:
        RuntimeError: If none of the first batches can be made, nor was any before. They
            are not yielded, as the failure is not about their pictures in particular.
    """
    attempts = Attempts(job, callbacks)
    wanted = {number: job.wanted(number, skip) for number in range(len(job.batches))}
    made = (attempts.make(number, some) for number, some in wanted.items() if some)

    def reason(attempt: Attempt) -> str | None:
        failures = iter(attempt.failures.values())
        return None if attempt.batches else describe(next(failures))

    yield from expect_success(made, reason, succeeded=succeeded)


def expect_success(
    batches: Iterable[T],
    reason: Callable[[T], str | None],
    *,
    succeeded: bool = False,
) -> Iterator[T]:
    """Yield batches, but none before the first one that has succeeded.

    Args:
        batches: What became of each batch.
        reason: Returns why nothing of a batch was made, or None if something was.
        succeeded: Whether one has succeeded before, in an earlier run.

    Yields:
        The same batches.

    Raises:
        RuntimeError: If none of the first batches has succeeded. They are not yielded.

    >>> list(expect_success(["bad", ""], lambda batch: batch or None))
    ['bad', '']
    """
    waiting: list[T] = []  # failed while no batch has succeeded yet
    for batch in batches:
        waiting.append(batch)
        failure = reason(batch)
        succeeded = succeeded or failure is None
        if succeeded:
            yield from waiting
            waiting = []
        elif len(waiting) == HOPELESS:
            raise RuntimeError(
                f"None of the first {HOPELESS} batches could be made, so the run ends. "
                f"{failure}"
            )
    yield from waiting


def describe(failure: Exception) -> str:
    """Return the reason of a failure in one line, with a remedy if there is one.

    >>> describe(FloatingPointError("The score of fire8:20 was not finite."))
    'FloatingPointError: The score of fire8:20 was not finite.'
    """
    remedy = ""
    if isinstance(failure, _TOO_LARGE):
        remedy = " Use smaller batches or smaller pictures, in another folder."
    return f"{type(failure).__name__}: {reason_of(failure)}{remedy}"


def _make(
    job: Job, attempt: Attempt, wanted: list[int], callbacks: Sequence[Callback]
) -> None:
    """Make some pictures of a batch, and halve them as long as they fail."""
    planned = job.batches[attempt.number]
    try:
        attempt.batches.append(job.render_batch(attempt.number, wanted, callbacks))
    except FAILURES as failure:
        groups = sorted({i // planned.group for i in wanted})
        if len(groups) == 1 or isinstance(failure, _TOO_LARGE):
            attempt.failures |= {planned.places[i]: failure for i in wanted}
            return
        middle = groups[len(groups) // 2]
        for part in (
            [i for i in wanted if i // planned.group < middle],
            [i for i in wanted if i // planned.group >= middle],
        ):
            _make(job, attempt, part, callbacks)
