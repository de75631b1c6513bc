"""Several steps of a training in one call, and whether XLA compiles them.

A graphics card waits while a program prepares the next call and reads the losses of the
last one. So a call takes many steps: photos are cut, and losses are noted, in the
compiled loop.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import reason_of
from tfviz._precision import has_gpu
from tfviz.optimize.compilation import collect
from tfviz.priors.training.device_photos import PhotoSource, take

# The learning rate at the end, as a fraction of that at the start.
FINAL_LEARNING_RATE = 0.02
# A call takes about so many seconds: a training that is to stop does so after a call.
CALL_SECONDS = 0.5
# The number of steps by which the times with and without XLA are compared, and the
# seconds that a training must still take, or else the compilation does not pay.
TRIAL_STEPS, LEAST_SECONDS = 20, 900.0


class Recipe(Protocol):
    """One kind of prior in training: its networks, its losses and its step.

    Attributes:
        settings: The settings that distinguish this training from others, as JSON
            values.
        size: The height and width of the crops to learn from, in pixels.
        batch: The number of photos in a step.
        zoom: The least side of a crop, as a fraction of the photo's.
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
        self, photos: Any, labels: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch, and return the numbers to log.

        Args:
            photos: `(batch, size, size, 3)` in [0, 1].
            labels: `(batch,)` integers: the class of each photo.
            seed: `(2,)` integers: the seed of the training and the number of the step.
            progress: How much of the training is done, from 0 to 1.
            learning_rate: The learning rate of this step.
        """

    def sample_rows(self, photos: NDArray[Any]) -> list[NDArray[Any]]:
        """Return rows of images in [0, 1]: reconstructions, then any random images."""


class Stepper:
    """Takes steps of a training, as many in one call as are asked for.

    How many steps a call takes does not change what they compute.

    Args:
        recipe: What is trained.
        averages: The moving averages of the exported variables.
        source: The photos.
        seed: The seed of the training.
        average_decay: The decay of the moving averages at each step.
        xla: Whether XLA compiles a step.
    """

    def __init__(
        self,
        recipe: Recipe,
        averages: Sequence[Any],
        source: PhotoSource,
        *,
        seed: int,
        average_decay: float,
        xla: bool,
    ) -> None:
        self._recipe, self._averages, self._source = recipe, averages, source
        self._seed, self._average_decay = seed, average_decay
        self._names: list[str] = []
        # A function of its own, also without XLA: what oneDNN makes of a graph must not
        # depend on the loop around it.
        own = {"jit_compile": True} if xla else {}
        self._step = tf.function(
            self._take_step,
            autograph=False,
            experimental_attributes=None if xla else {"_noinline": True},
            **own,
        )
        self._run = tf.function(
            self._take_steps, autograph=False, reduce_retracing=True
        )

    def run(
        self, items: Sequence[Any], first: int, progress: Sequence[float]
    ) -> dict[str, NDArray[np.float64]]:
        """Take some steps, and return the numbers to log, `(steps,)` by name.

        Args:
            items: The batches, as the source of the photos yields them.
            first: The number of steps taken before.
            progress: How much of the training is done before each step, from 0 to 1.
        """
        stacked = tf.nest.map_structure(lambda *parts: np.stack(parts), *items)
        values = self._run(
            tf.nest.map_structure(tf.constant, stacked),
            tf.constant(first),
            tf.constant(progress, tf.float32),
        ).numpy()
        return dict(zip(self._names, values.T.astype(np.float64), strict=True))

    def _take_steps(self, items: Any, first: Any, progress: Any) -> Any:
        def body(number: Any) -> Any:
            item = tf.nest.map_structure(lambda values: values[number], items)
            return self._step(item, first + number, progress[number])

        return collect(tf.shape(progress)[0], body)

    def _take_step(self, item: Any, number: Any, progress: Any) -> Any:
        recipe = self._recipe
        # The learning rate falls along half of a cosine.
        cosine = 0.5 + 0.5 * tf.cos(np.pi * progress)
        learning_rate = recipe.learning_rate * (
            FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine
        )
        key = tf.stack([tf.constant(self._seed), number])
        photos, labels = take(self._source, item, key, recipe.size, recipe.zoom)
        metrics = recipe.step(photos, labels, key, progress, learning_rate)
        # Faster at first, so that the random initial weights are soon forgotten.
        taken = tf.cast(number, tf.float32)
        decay = tf.minimum(self._average_decay, (1.0 + taken) / (10.0 + taken))
        exported = recipe.exported.values()
        for mean, variable in zip(self._averages, exported, strict=True):
            mean.assign(decay * mean + (1 - decay) * tf.convert_to_tensor(variable))
        self._names = list(metrics)
        return tf.stack([tf.cast(value, tf.float32) for value in metrics.values()])


def steps_of_a_call(step_seconds: float, left: int) -> int:
    """Return how many steps to take in the next call.

    Args:
        step_seconds: The time of a step, or 0 if it is unknown.
        left: The number of steps that must not be exceeded, at least 1.

    >>> steps_of_a_call(0.02, 50), steps_of_a_call(0.02, 7), steps_of_a_call(3.0, 50)
    (25, 7, 1)
    """
    wanted = int(CALL_SECONDS / step_seconds) if step_seconds else 1
    return max(1, min(wanted, left))


def select_stepper(
    make: Callable[[bool], Stepper],
    state: Sequence[Any],
    item: Any,
    steps: int,
    *,
    wanted: bool | None,
    tell: Callable[[str], Any],
) -> Stepper:
    """Return what takes the steps, compiled by XLA or not.

    Args:
        make: Function that returns a stepper, with XLA or without.
        state: All variables that a step changes; they are as before afterwards.
        item: A batch.
        steps: The number of steps still to take.
        wanted: What the user asked for. If None, XLA is used on a graphics card where a
            trial of both shows that it is faster, and never on processors.
        tell: Function that receives a line with the times.
    """
    if wanted is not None or not has_gpu():
        return make(bool(wanted))
    plain = make(False)
    seconds = _seconds_of_a_step(plain, state, item)
    if seconds * steps < LEAST_SECONDS:
        return plain
    tell("compiling the step with XLA, to compare both")
    compiled = make(True)
    try:
        faster = _seconds_of_a_step(compiled, state, item)
    except tf.errors.OpError as error:
        tell(f"XLA cannot compile this step and is not used: {reason_of(error)}")
        return plain
    used = "used" if faster < seconds else "not used"
    tell(
        f"a step takes {1000 * faster:.1f} ms with XLA and {1000 * seconds:.1f} ms "
        f"without: XLA is {used}"
    )
    return compiled if faster < seconds else plain


def _seconds_of_a_step(stepper: Stepper, state: Sequence[Any], item: Any) -> float:
    """Return the time of a step, without changing the state."""
    before = [np.array(variable) for variable in state]
    try:
        stepper.run([item], 0, [0.0])  # is compiled
        began = time.monotonic()
        stepper.run([item] * TRIAL_STEPS, 0, [0.0] * TRIAL_STEPS)
        return (time.monotonic() - began) / TRIAL_STEPS
    finally:
        for variable, values in zip(state, before, strict=True):
            variable.assign(values)
