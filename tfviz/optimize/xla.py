"""Whether the step is compiled by XLA, TensorFlow's compiler that fuses operations.

On a GPU, a step of many small operations is bound by their launches, of which XLA makes
few. On a CPU it makes steps slower, and is used there only where it is asked for.
"""

import time
import warnings
import weakref
from collections.abc import Callable

import tensorflow as tf

from tfviz._errors import either, reason_of
from tfviz._precision import has_gpu
from tfviz.models.adapter import Adapter
from tfviz.optimize.options import Options

# XLA compiles for some ten seconds, which fewer steps cannot save.
WORTHWHILE = 4096
# The steps that are timed at once, and how often.
TRIAL_STEPS, TRIALS = 8, 3
# The models of which a user was told that XLA cannot compile their steps.
_told: weakref.WeakSet[Adapter] = weakref.WeakSet()


def prescribed(options: Options) -> bool | None:
    """Return whether XLA is to compile the step; None if that is to be measured."""
    # A measured choice can differ from run to run, and on a GPU XLA has no gradient of
    # max-pools that gives the same bytes each time.
    if options.xla is None and (options.deterministic or not has_gpu()):
        return False
    return options.xla


def is_faster(
    first: Callable[[int], object],
    second: Callable[[int], object],
    clock: Callable[[], float] = time.perf_counter,
) -> bool:
    """Return whether the second of two functions takes steps faster than the first.

    They are timed in turn, and the best time of each counts, as only interruptions make
    a time longer.

    Args:
        first: `first(count)` takes some steps. It has been called before.
        second: The same in another way.
        clock: Returns the time in seconds.
    """

    def seconds(run: Callable[[int], object]) -> float:
        began = clock()
        run(TRIAL_STEPS)
        return clock() - began

    pairs = [(seconds(first), seconds(second)) for _ in range(TRIALS)]
    return min(pair[1] for pair in pairs) < min(pair[0] for pair in pairs)


def is_about_xla(error: Exception) -> bool:
    """Return whether an exception can mean that XLA does not support a network."""
    memory = tf.errors.ResourceExhaustedError
    return isinstance(error, tf.errors.OpError) and not isinstance(error, memory)


def refusal(adapter: Adapter, error: Exception) -> ValueError:
    """Return the exception for a step that XLA was told to compile and cannot."""
    return ValueError(
        f"XLA cannot compile the step of {adapter.name!r}: {reason_of(error)} Render "
        f"with {_without()}."
    )


def warn_of_fallback(adapter: Adapter, error: Exception) -> None:
    """Say once for each model that its steps are not compiled by XLA."""
    if adapter in _told:
        return
    _told.add(adapter)
    warnings.warn(
        f"XLA cannot compile the step of {adapter.name!r}, so it runs without: "
        f"{reason_of(error)} Render with {_without()} to save the attempt.",
        stacklevel=2,
    )


def _without() -> str:
    return either(python="xla=False", command_line="--no-xla")
