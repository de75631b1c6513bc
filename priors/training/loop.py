"""The loop of a training: checkpoints, a log, samples, and a way back in."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import reason_of
from tfviz.priors.training import checkpoint, samples
from tfviz.priors.training.photos import Photos, batches
from tfviz.priors.training.samples import CollapsedError

# Steps between two lines of the log.
LINE = 50
# Seconds between two checkpoints.
CHECKPOINT_EVERY = 240.0
# The learning rate ends here, as a part of where it began.
LAST_RATE = 0.02
# The weights that are exported follow the trained ones this slowly.
MEMORY = 0.999
# Before so many steps, or this part of all, nothing is called collapsed: at first a
# generator makes grey of everything.
WARM_UP_STEPS, WARM_UP = 500, 0.1


class Recipe(Protocol):
    """What a training trains.

    Attributes:
        settings: Everything that makes it another training, as JSON values.
        size: Of the photos' cuts, in pixels.
        batch: Photos in a step.
        zoom: As in `batches`.
        learning_rate: At the start.
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

    def step(self, photos: Any, seed: Any, progress: Any, rate: Any) -> dict[str, Any]:
        """Learn from a batch; `progress` goes from 0 to 1. Return what to log."""

    def shown(self, photos: NDArray) -> list[NDArray]:
        """Return rows of images in [0, 1]: reconstructions, then random ones."""


def train(
    recipe: Recipe,
    photos: Photos,
    output: Path,
    *,
    steps: int,
    seed: int = 0,
    held_out: NDArray[np.float32],
    tell: Callable[[str], Any] = print,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train, or go on with a training that was interrupted.

    Args:
        recipe: What to train. At the end its exported variables have their averages.
        photos: To learn from.
        output: A folder for the checkpoint, the log and the samples.
        steps: In all.
        seed: Of everything that is left to chance.
        held_out: `(n, size, size, 3)` in [0, 1], for samples.
        tell: Called with lines of progress.
        seconds: Stop after about this time, to go on later.
        stop: Asked after each step whether to stop, to go on later.

    Returns:
        Whether all steps are taken.

    Raises:
        CollapsedError: If the images become one image, or a loss is not finite.
        ValueError: If the folder holds another training, or a photo is gone.
    """
    settings = dict(recipe.settings) | {"steps": steps, "seed": seed}
    average = [
        tf.Variable(tf.convert_to_tensor(variable), trainable=False)
        for variable in recipe.exported.values()
    ]
    state = [*recipe.state, *average]
    path = output / checkpoint.CHECKPOINT
    first, totals = checkpoint.restore(path, state, settings)
    checkpoint.cut_log(output / checkpoint.LOG, first)
    if first:
        tell(f"going on from step {first} of {steps}")
    compiled = _compiled(recipe, average, seed, steps)
    found = _readable(recipe, photos, first, seed)
    began = saved = time.monotonic()
    for step in range(first + 1, steps + 1):
        for name, value in compiled(next(found), tf.constant(step - 1)).items():
            totals[name] = totals.get(name, 0.0) + float(value)
        if not all(np.isfinite(total) for total in totals.values()):
            raise CollapsedError(_not_finite(step))
        now = time.monotonic()
        if step % LINE == 0 or step == steps:
            line = {k: total / ((step - 1) % LINE + 1) for k, total in totals.items()}
            totals = {}
            checkpoint.write_line(output / checkpoint.LOG, {"step": step} | line)
            pace = (now - began) / (step - first)
            tell(_line(step, steps, line, recipe.batch / pace, (steps - step) * pace))
        due = (seconds is not None and now - began > seconds) or stop()
        if due or step == steps or now - saved > CHECKPOINT_EVERY:
            warm = step >= max(WARM_UP_STEPS, WARM_UP * steps)
            # First: a training that has collapsed keeps its last good checkpoint.
            _look(recipe, average, held_out, output, step if warm else None)
            try:
                checkpoint.save(path, state, settings, step, totals)
            except ArithmeticError as error:
                raise CollapsedError(_not_finite(step)) from error
            saved = now
        if due and step < steps:
            return False
    _assign(recipe, average)
    return True


def _readable(recipe: Recipe, photos: Photos, first: int, seed: int) -> Iterator[Any]:
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
            f"A photo could be read before and no longer can: {reason_of(error)}. Put "
            "it back; the same command goes on from the last checkpoint."
        ) from error


def _compiled(recipe: Recipe, average: list[Any], seed: int, steps: int) -> Any:
    exported = list(recipe.exported.values())

    def step(photos: Any, number: Any) -> dict[str, Any]:
        progress = tf.cast(number, tf.float32) / steps
        turn = 0.5 + 0.5 * tf.cos(np.pi * progress)
        rate = recipe.learning_rate * (LAST_RATE + (1 - LAST_RATE) * turn)
        key = tf.stack([tf.constant(seed), number])
        told = recipe.step(photos, key, progress, rate)
        # Faster at first, when what there is to remember is chance.
        memory = tf.minimum(
            MEMORY,
            (1.0 + tf.cast(number, tf.float32)) / (10.0 + tf.cast(number, tf.float32)),
        )
        for mean, variable in zip(average, exported, strict=True):
            mean.assign(memory * mean + (1 - memory) * tf.convert_to_tensor(variable))
        return told

    return tf.function(step, autograph=False)


def _look(
    recipe: Recipe,
    average: list[Any],
    held_out: NDArray,
    output: Path,
    step: int | None,
) -> None:
    """Draw what the averaged weights make, and refuse it where it is all the same."""
    before = [np.asarray(variable) for variable in recipe.exported.values()]
    _assign(recipe, average)
    photos = held_out[: samples.SHOWN]
    rows = recipe.shown(photos)
    _assign(recipe, before)
    samples.draw(photos, rows, output / samples.SAMPLES)
    if step is not None:
        samples.check_variety(photos, rows, step)


def _assign(recipe: Recipe, values: list[Any]) -> None:
    for variable, value in zip(recipe.exported.values(), values, strict=True):
        variable.assign(value)


def _not_finite(step: int) -> str:
    return (
        f"A loss or a weight is not finite at step {step}. Start in another folder "
        "with a lower learning rate."
    )


def _line(
    step: int, steps: int, told: Mapping[str, float], speed: float, left: float
) -> str:
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in told.items())
    hours, minutes = divmod(round(left / 60), 60)
    return f"{step}/{steps}  {numbers}  {speed:.0f} images/s  {hours}:{minutes:02} left"
