"""The training loop: steps, log, samples, and checkpoints to resume from."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.priors.training import checkpoint
from tfviz.priors.training.checkpoint import CollapsedError
from tfviz.priors.training.device_photos import PhotoSource
from tfviz.priors.training.stepping import (
    Recipe,
    Stepper,
    select_stepper,
    steps_of_a_call,
)

# Steps between two lines of the log.
LOG_INTERVAL = 50
# Seconds between two checkpoints.
CHECKPOINT_SECONDS = 240.0
# The decay of the moving average of the weights, which is what is exported.
AVERAGE_DECAY = 0.999
# Collapse is not checked before so many steps, or this fraction of all steps, as every
# generator makes nothing but grey at first.
WARM_UP_STEPS, WARM_UP_SHARE = 500, 0.1


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is; callbacks get one.

    Attributes:
        step: The number of steps taken, with those of earlier calls.
        steps: The number of steps in all.
        losses: The means of the losses, by name, over the steps since the last line of
            the log; empty before the first step.
        images_per_second: The number of photos learned from in a second, or None while
            it is unknown.
        seconds_left: The time left, or None while it is unknown.
        is_logged: Whether the losses are a line of the log.
    """

    step: int
    steps: int
    losses: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float | None = None
    seconds_left: float | None = None
    is_logged: bool = False

    def __str__(self) -> str:
        """Return a line for a log.

        >>> print(TrainingProgress(50, 600, {"loss": 0.25}, 32.0, 660.0))
        50/600  loss 0.250  32 images/s  0:11 left
        """
        parts = [f"{self.step}/{self.steps}", self.losses_as_text()]
        if self.images_per_second is not None:
            parts.append(f"{self.images_per_second:.0f} images/s")
        if self.seconds_left is not None:
            hours, minutes = divmod(round(self.seconds_left / 60), 60)
            parts.append(f"{hours}:{minutes:02} left")
        return "  ".join(filter(None, parts))

    def losses_as_text(self) -> str:
        """Return the losses with their names."""
        return "  ".join(f"{name} {value:.3f}" for name, value in self.losses.items())


def train(
    recipe: Recipe,
    photos: PhotoSource,
    output: Path,
    *,
    steps: int,
    seed: int = 0,
    held_out: NDArray[np.float32],
    report: Callable[[str], Any] = print,
    callbacks: Sequence[Callable[[TrainingProgress], Any]] = (),
    seconds: float | None = None,
    by_clock: bool = False,
    stop: Callable[[], bool] = lambda: False,
    average_decay: float = AVERAGE_DECAY,
    save_seconds: float = CHECKPOINT_SECONDS,
    save_more: Callable[[int, dict[str, NDArray[Any]]], Any] = lambda step, averages: (
        None
    ),
    xla: bool | None = None,
) -> bool:
    """Train a recipe, or resume its training after an interruption.

    At the end the exported variables hold the moving averages of their values.

    Args:
        recipe: The networks to train, with their losses.
        photos: The photos to learn from.
        output: The folder for the checkpoint, the log and the samples.
        steps: The number of steps in all.
        seed: Random seed of the order of photos, their crops and all other draws.
        held_out: The photos for samples, `(n, size, size, 3)` in [0, 1].
        report: Function that receives each line of progress.
        callbacks: Functions called with a `TrainingProgress` before the first step and
            after each call, which takes half a second or one step. If there are any,
            `report` does not receive the lines of the steps.
        seconds: Time after which to stop; a later call resumes.
        by_clock: Whether the training is complete when this time is over, however many
            steps were taken: schedules follow the time instead of the steps.
        stop: Function called after each call, which takes half a second or one step; if
            it returns true the training stops, and a later call resumes it.
        average_decay: The decay of the moving average of the weights at each step.
        save_seconds: Seconds between two checkpoints.
        save_more: Function called after each checkpoint with the number of steps taken
            and the averaged values of the exported variables, by name.
        xla: Whether the step is compiled by XLA. This takes a minute or more, and then
            is faster on graphics cards. By default a trial decides on a graphics card,
            and it is not used on processors.

    Returns:
        Whether the training is complete.

    Raises:
        CollapsedError: If all images become the same, or a loss is not finite.
        ValueError: If the folder holds another training, or a photo has disappeared.
    """
    settings = dict(recipe.settings) | {"steps": steps, "seed": seed}
    averages = [
        tf.Variable(tf.convert_to_tensor(variable), trainable=False)
        for variable in recipe.exported.values()
    ]
    state = [*recipe.state, *averages]
    path = output / checkpoint.CHECKPOINT
    first, totals = checkpoint.restore(path, state, settings)
    checkpoint.truncate_log(output / checkpoint.LOG, first)
    if first:
        report(f"resuming from step {first} of {steps}")

    def make_stepper(with_xla: bool) -> Stepper:
        return Stepper(
            recipe,
            averages,
            photos,
            seed=seed,
            average_decay=average_decay,
            xla=with_xla,
        )

    # Before the first step is compiled, which takes a while.
    _announce(TrainingProgress(first, steps), callbacks, report)
    photo_batches = photos.batches(recipe.batch, first=first, seed=seed)
    items = list(islice(photo_batches, 1))
    stepper = select_stepper(
        make_stepper, state, items[0], steps - first, wanted=xla, tell=report
    )
    clock, step = _Clock(seconds if by_clock else None), first
    saved = clock.now
    while step < steps:
        left = min(LOG_INTERVAL - step % LOG_INTERVAL, steps - step)
        count = steps_of_a_call(clock.step_time, left)
        progress = [clock.progress(k / steps) for k in range(step, step + count)]
        items.extend(islice(photo_batches, count - len(items)))
        _add(totals, stepper.run(items, step, progress), step)
        items = []
        step += count
        clock.read(step)
        timed_out = seconds is not None and clock.elapsed > seconds
        complete = step == steps or (by_clock and timed_out)
        is_logged = step % LOG_INTERVAL == 0 or complete
        in_line = (step - 1) % LOG_INTERVAL + 1
        means = {name: total / in_line for name, total in totals.items()}
        if is_logged:
            totals = {}
            checkpoint.append_to_log(output / checkpoint.LOG, {"step": step} | means)
        at = TrainingProgress(
            step,
            steps,
            means,
            images_per_second=clock.speed(recipe.batch),
            seconds_left=clock.remaining(steps - step),
            is_logged=is_logged,
        )
        _announce(at, callbacks, report)
        stopping = timed_out or stop()
        if stopping or complete or clock.now - saved > save_seconds:
            share = clock.progress(step / steps)
            warm = step >= WARM_UP_STEPS and share >= WARM_UP_SHARE
            # Before saving: a training that has collapsed keeps its last checkpoint
            # from before.
            _draw_samples(recipe, averages, held_out, output, step if warm else None)
            try:
                checkpoint.save(path, state, settings, step, totals)
            except ArithmeticError as error:
                raise CollapsedError(_not_finite(step)) from error
            save_more(step, _by_name(recipe, averages))
            saved = clock.now
        if complete:
            break
        if stopping:
            return False
    _assign(recipe, averages)
    return True


class _Clock:
    """The time of a training.

    Attributes:
        now: The time of the last reading.
        step_time: The mean seconds of a step, 0 until it is known.
    """

    def __init__(self, schedule: float | None) -> None:
        """Begin.

        Args:
            schedule: The seconds that the schedules of the training follow, or None if
                they follow the steps.
        """
        self._schedule = schedule
        self.now = self._began = time.monotonic()
        self.step_time = 0.0
        self._first: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        """The seconds from the beginning to the last reading."""
        return self.now - self._began

    def read(self, step: int) -> None:
        """Read the time after a step."""
        self.now = time.monotonic()
        # The first call, which is compiled, says nothing about the others.
        self._first = self._first or (self.now, step)
        began, first = self._first
        self.step_time = (self.now - began) / max(step - first, 1)

    def progress(self, share: float) -> float:
        """Return how much of the training is done, if this share of its steps is."""
        if self._schedule is None:
            return share
        return max(share, min(self.elapsed / self._schedule, 1.0))

    def speed(self, batch: int) -> float | None:
        """Return the photos in a second, or None while the time is unknown."""
        return batch / self.step_time if self.step_time else None

    def remaining(self, steps: int) -> float | None:
        """Return how many seconds some steps take, or None while it is unknown."""
        if not self.step_time:
            return None
        seconds = steps * self.step_time
        if self._schedule is None:
            return seconds
        return min(seconds, max(self._schedule - self.elapsed, 0.0))


def _announce(
    at: TrainingProgress,
    callbacks: Sequence[Callable[[TrainingProgress], Any]],
    report: Callable[[str], Any],
) -> None:
    """Call the callbacks; without any, report the lines of the log."""
    for callback in callbacks:
        callback(at)
    if at.is_logged and not callbacks:
        report(str(at))


def _add(
    totals: dict[str, float], metrics: Mapping[str, NDArray[Any]], step: int
) -> None:
    """Add the numbers of some steps to the sums for the next line of the log.

    Raises:
        CollapsedError: If one is not finite.
    """
    finite = np.isfinite(np.stack([*metrics.values()])).all(axis=0)
    if not finite.all():
        raise CollapsedError(_not_finite(step + int(np.argmin(finite)) + 1))
    for name, values in metrics.items():
        for value in values:  # one by one: a sum does not depend on the calls
            totals[name] = totals.get(name, 0.0) + float(value)


def _draw_samples(
    recipe: Recipe,
    averages: list[Any],
    held_out: NDArray[Any],
    output: Path,
    step: int | None,
) -> None:
    """Draw samples with the averaged weights, and check them for collapse.

    Without a number of the step they are not checked.
    """
    before = [np.asarray(variable) for variable in recipe.exported.values()]
    _assign(recipe, averages)
    photos = held_out[: checkpoint.SAMPLE_COUNT]
    rows = recipe.sample_rows(photos)
    _assign(recipe, before)
    checkpoint.draw_samples(photos, rows, output / checkpoint.SAMPLES)
    if step is not None:
        checkpoint.check_variety(photos, rows, step)


def _by_name(recipe: Recipe, averages: list[Any]) -> dict[str, NDArray[Any]]:
    values = (np.asarray(average) for average in averages)
    return dict(zip(recipe.exported, values, strict=True))


def _assign(recipe: Recipe, values: list[Any]) -> None:
    for variable, value in zip(recipe.exported.values(), values, strict=True):
        variable.assign(value)


def _not_finite(step: int) -> str:
    return (
        f"A loss or a weight is not finite at step {step}. Start again in another "
        "folder with a lower learning rate."
    )
