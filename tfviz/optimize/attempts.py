"""Work through the batches of a job, although some pictures cannot be made."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

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


def attempt_batches(
    job: Job,
    skip: Set[int] = frozenset(),
    callbacks: Sequence[Callback] = (),
    *,
    succeeded: bool = False,
) -> Iterator[Attempt]:
    """Render batch by batch, and go on when a batch fails.

    A batch that fails is divided until the pictures that are to blame stand alone. The
    others are made in the slots that they always have, so their bytes are the same.
    Only the compiled step of the current layer is kept, so that the memory does not
    grow with the number of layers.

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
    waiting: list[Attempt] = []  # failed while no batch has succeeded yet
    kind = None
    for number in range(len(job.batches)):
        wanted = job.wanted(number, skip)
        if not wanted:
            continue
        if kind not in (None, job.batches[number].objective.kind):
            cache_of(job.adapter).clear()
        kind = job.batches[number].objective.kind
        attempt = Attempt(number)
        _make(job, attempt, wanted, callbacks)
        waiting.append(attempt)
        succeeded = succeeded or bool(attempt.batches)
        if succeeded:
            yield from waiting
            waiting = []
        elif len(waiting) == HOPELESS:
            failure = next(iter(attempt.failures.values()))
            raise RuntimeError(
                f"None of the first {HOPELESS} batches could be made, so the run ends. "
                f"{describe(failure)}"
            ) from failure
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
