"""The training loop: steps, log, samples, and checkpoints to resume from."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import reason_of
from tfviz.priors.training import checkpoint
from tfviz.priors.training.checkpoint import CollapsedError
from tfviz.priors.training.device_photos import DevicePhotos
from tfviz.priors.training.photos import Photos, batches

# Steps between two lines of the log.
LOG_INTERVAL = 50
# Seconds between two checkpoints.
CHECKPOINT_SECONDS = 240.0
# The learning rate at the end, as a fraction of that at the start.
FINAL_LEARNING_RATE = 0.02
# The decay of the moving average of the weights, which is what is exported.
AVERAGE_DECAY = 0.999
# Collapse is not checked before so many steps, or this fraction of all steps, as every
# generator makes nothing but grey at first.
WARM_UP_STEPS, WARM_UP_SHARE = 500, 0.1


class Recipe(Protocol):
    """One kind of prior in training: its networks, its losses and its step.

    Attributes:
        settings: The settings that distinguish this training from others, as JSON
            values.
        size: The height and width of the crops to learn from, in pixels.
        batch: The number of photos in a step.
        zoom: The least side of a crop, as in `batches`.
        learning_rate: The learning rate at the start.
        exported: The variables that are exported, by name.
        state: All variables that a step changes.
    """

    settings: Mapping[str, Any]
    size: int
    batch: int
    zoom: float
    learning_rate: float
    exported: Mapping[str, Any]
    state: list[Any]

    def step(
        self, photos: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch, and return the numbers to log.

        Args:
            photos: `(batch, size, size, 3)` in [0, 1]; of photos on the device their
                numbers `(batch,)`.
            seed: `(2,)` integers: the seed of the training and the number of the step.
            progress: How much of the training is done, from 0 to 1.
            learning_rate: The learning rate of this step.
        """

    def sample_rows(self, photos: NDArray) -> list[NDArray]:
        """Return rows of images in [0, 1]: reconstructions, then any random images."""


def train(
    recipe: Recipe,
    photos: Photos | DevicePhotos,
    output: Path,
    *,
    steps: int,
    seed: int = 0,
    held_out: NDArray[np.float32],
    report: Callable[[str], Any] = print,
    seconds: float | None = None,
    by_clock: bool = False,
    stop: Callable[[], bool] = lambda: False,
    average_decay: float = AVERAGE_DECAY,
    save_seconds: float = CHECKPOINT_SECONDS,
    save_more: Callable[[int, dict[str, NDArray]], Any] = lambda step, averages: None,
    xla: bool = False,
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
        seconds: Time after which to stop; a later call resumes.
        by_clock: Whether the training is complete when this time is over, however many
            steps were taken: schedules follow the time instead of the steps.
        stop: Function called after each step; if it returns true the training stops,
            and a later call resumes it.
        average_decay: The decay of the moving average of the weights at each step.
        save_seconds: Seconds between two checkpoints.
        save_more: Function called after each checkpoint with the number of steps taken
            and the averaged values of the exported variables, by name.
        xla: Whether the step is compiled by XLA. This takes a minute or more, and then
            is faster on graphics cards.

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
    compiled = _compile_step(recipe, averages, seed, average_decay, xla=xla)
    photo_batches = _read_batches(recipe, photos, first, seed)
    began = saved = compiled_at = time.monotonic()
    for step in range(first + 1, steps + 1):
        progress = (step - 1) / steps
        if by_clock and seconds is not None:
            progress = max(progress, min((time.monotonic() - began) / seconds, 1.0))
        metrics = compiled(
            next(photo_batches), tf.constant(step - 1), tf.constant(progress)
        )
        for name, value in metrics.items():
            totals[name] = totals.get(name, 0.0) + float(value)
        if not all(np.isfinite(total) for total in totals.values()):
            raise CollapsedError(_not_finite(step))
        now = time.monotonic()
        if step == first + 1:
            compiled_at = now
        timed_out = seconds is not None and now - began > seconds
        complete = step == steps or (by_clock and timed_out)
        if step % LOG_INTERVAL == 0 or complete:
            count = (step - 1) % LOG_INTERVAL + 1
            means = {name: total / count for name, total in totals.items()}
            totals = {}
            checkpoint.append_to_log(output / checkpoint.LOG, {"step": step} | means)
            # The first step, which is compiled, says nothing about the others.
            step_time = (now - compiled_at) / max(step - first - 1, 1)
            speed = recipe.batch / max(step_time, 1e-9)
            remaining = (steps - step) * step_time
            if by_clock and seconds is not None:
                remaining = min(remaining, max(began + seconds - now, 0.0))
            report(_progress_line(step, steps, means, speed, remaining))
        stopping = timed_out or stop()
        if stopping or complete or now - saved > save_seconds:
            share = max(progress, step / steps)
            warm = step >= WARM_UP_STEPS and share >= WARM_UP_SHARE
            # Before saving: a training that has collapsed keeps its last checkpoint
            # from before.
            _draw_samples(recipe, averages, held_out, output, step if warm else None)
            try:
                checkpoint.save(path, state, settings, step, totals)
            except ArithmeticError as error:
                raise CollapsedError(_not_finite(step)) from error
            save_more(step, _by_name(recipe, averages))
            saved = now
        if complete:
            break
        if stopping:
            return False
    _assign(recipe, averages)
    return True


def _read_batches(
    recipe: Recipe, photos: Photos | DevicePhotos, first: int, seed: int
) -> Iterator[Any]:
    if isinstance(photos, DevicePhotos):
        yield from photos.batches(recipe.batch, first=first, seed=seed)
        return
    try:
        yield from batches(
            photos.train,
            recipe.size,
            recipe.batch,
            first=first,
            seed=seed,
            zoom=recipe.zoom,
        )
    except tf.errors.OpError as error:
        raise ValueError(
            f"A photo could be read before and no longer can: {reason_of(error)}. "
            "Restore it; the same command resumes from the last checkpoint."
        ) from error


def _compile_step(
    recipe: Recipe, averages: list[Any], seed: int, average_decay: float, *, xla: bool
) -> Any:
    exported = list(recipe.exported.values())

    def step(photos: Any, number: Any, progress: Any) -> dict[str, Any]:
        # The learning rate falls along half of a cosine.
        cosine = 0.5 + 0.5 * tf.cos(np.pi * progress)
        learning_rate = recipe.learning_rate * (
            FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine
        )
        key = tf.stack([tf.constant(seed), number])
        metrics = recipe.step(photos, key, progress, learning_rate)
        # Faster at first, so that the random initial weights are soon forgotten.
        decay = tf.minimum(
            average_decay,
            (1.0 + tf.cast(number, tf.float32)) / (10.0 + tf.cast(number, tf.float32)),
        )
        for mean, variable in zip(averages, exported, strict=True):
            mean.assign(decay * mean + (1 - decay) * tf.convert_to_tensor(variable))
        return metrics

    return tf.function(step, autograph=False, jit_compile=xla or None)


def _draw_samples(
    recipe: Recipe,
    averages: list[Any],
    held_out: NDArray,
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


def _by_name(recipe: Recipe, averages: list[Any]) -> dict[str, NDArray]:
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


def _progress_line(
    step: int,
    steps: int,
    metrics: Mapping[str, float],
    speed: float,
    remaining: float,
) -> str:
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    hours, minutes = divmod(round(remaining / 60), 60)
    return f"{step}/{steps}  {numbers}  {speed:.0f} images/s  {hours}:{minutes:02} left"
