"""The compiled part of the loop: several gradient steps in one call."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._adapter import Adapter
from tfviz._objective import Objective
from tfviz._updates import updater
from tfviz.params import Latents, Param
from tfviz.transforms import Transform

# A picture without any gradient may use the redirected one this long, as in Lucid.
REDIRECTED_STEPS = 16


class Ascent:
    """Gradient ascent on one batch of images.

    Compiled once: seeds, units, the step and the learning rate are tensors.

    Attributes:
        traces: How often the step has been traced.
    """

    def __init__(
        self,
        adapter: Adapter,
        objective: Objective,
        param: Param,
        transforms: Transform,
        optimizer: keras.optimizers.Optimizer | None = None,
    ) -> None:
        self._adapter = adapter
        self._objective = objective
        self._param = param
        self._transforms = transforms
        self._optimizer = optimizer
        self._compiled: dict[str, Any] = {}
        self.traces = 0

    def start(
        self,
        seeds: NDArray[np.int32],
        units: Mapping[str, Any],
        latents: Latents | None = None,
    ) -> None:
        """Begin with new pictures, from `latents` if given."""
        self._seeds = tf.constant(seeds)
        self._units = {name: tf.constant(values) for name, values in units.items()}
        if not self._compiled:
            self._compile()
        latents = self._compiled["init"](self._seeds) if latents is None else latents
        for name, value in latents.items():
            self._latents[name].assign(value)
        self._update.reset()
        self._fired.assign(tf.zeros_like(self._fired))

    def run(self, first: int, count: int, learning_rate: float) -> NDArray[np.float32]:
        """Take `count` steps, the first of them with the number `first`.

        Returns:
            The scores `(count, n)` of the transformed images before each step.
        """
        return self._compiled["steps"](
            self._seeds,
            self._units,
            tf.constant(first),
            tf.constant(count),
            tf.constant(learning_rate, tf.float32),
        ).numpy()

    def images(self) -> NDArray[np.uint8]:
        """Return the pictures as they are now."""
        return self._compiled["bytes"]().numpy()

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the pictures and the scores of just these, without transforms."""
        pictures, scores = self._compiled["scored"](self._units)
        return pictures.numpy(), scores.numpy()

    def fired(self) -> NDArray[np.bool_]:
        """Return which pictures ever had a gradient of their own."""
        return self._fired.numpy()

    def _compile(self) -> None:
        def traced(function: Any, *arguments: Any) -> Any:
            # Traced at once: a function that is traced at its first call counts as
            # one that is traced too often when several layers are rendered.
            compiled = tf.function(function, autograph=False)
            return compiled.get_concrete_function(*arguments)

        init = traced(self._param.init, self._seeds)
        self._latents = {
            name: tf.Variable(tf.zeros(spec.shape))
            for name, spec in init.structured_outputs.items()
        }
        self._fired = tf.Variable(tf.zeros(self._seeds.shape[0], tf.bool))
        self._update = updater(self._optimizer, self._latents)
        number = tf.TensorSpec((), tf.int32)
        rate = tf.TensorSpec((), tf.float32)
        self._compiled = {
            "init": init,
            "steps": traced(
                self._steps, self._seeds, self._units, number, number, rate
            ),
            "scored": traced(self._scored, self._units),
            "bytes": traced(self._bytes),
        }

    def _steps(
        self, seeds: Any, units: Any, first: Any, count: Any, learning_rate: Any
    ) -> Any:
        # A function of its own: inside of the loop's cycle, oneDNN's pass over the
        # graph now finds the gradient of a pool, now misses it, by chance, which
        # changes the speed and the bytes.
        take_step = tf.function(
            self._step, autograph=False, experimental_attributes={"_noinline": True}
        )

        def body(number: Any, history: Any) -> tuple[Any, Any]:
            scores = take_step(seeds, units, first + number, learning_rate)
            return number + 1, history.write(number, scores)

        history = tf.TensorArray(tf.float32, size=count)
        _, history = tf.while_loop(
            lambda number, _: number < count,
            body,
            (tf.constant(0), history),
            parallel_iterations=1,
        )
        return history.stack()

    def _step(self, seeds: Any, units: Any, step: Any, learning_rate: Any) -> Any:
        self.traces += 1
        seeds += [[1, 0]] * step
        scores, gradients = self._ascended(seeds, units, redirect=False)
        alive = _has_gradient(gradients)
        self._fired.assign(self._fired | alive)
        # Tracing a second gradient costs nothing while no picture needs it.
        gradients = tf.cond(
            (step < REDIRECTED_STEPS) & ~tf.reduce_all(alive),
            lambda: _chosen(
                alive, gradients, self._ascended(seeds, units, redirect=True)[1]
            ),
            lambda: gradients,
        )
        if self._param.penalty:
            latents = _values(self._latents)
            away = tf.gradients(self._param.penalty(latents), list(latents.values()))
            for name, slope in zip(latents, away, strict=True):
                if slope is not None:
                    gradients[name] -= slope
        self._update(gradients, step, learning_rate)
        if self._param.project:
            projected = self._param.project(_values(self._latents))
            for name, value in projected.items():
                self._latents[name].assign(value)
        return scores

    def _ascended(
        self, seeds: Any, units: Any, *, redirect: bool
    ) -> tuple[Any, Latents]:
        """Return the scores and the gradient of their sum."""
        latents = _values(self._latents)
        images = self._param.decode(latents)
        seen = self._transforms(images, seeds)
        layers = self._objective.layers
        activations = self._adapter.forward(seen, layers, redirect=redirect)
        scores = self._objective.score(activations, images, latents, units)
        # Not a GradientTape: only this heeds the redirected gradients.
        slopes = tf.gradients(scores, list(latents.values()))
        return scores, {
            name: tf.zeros_like(value) if slope is None else slope
            for (name, value), slope in zip(latents.items(), slopes, strict=True)
        }

    def _bytes(self) -> Any:
        images = self._param.decode(_values(self._latents))
        images = tf.clip_by_value(images, 0, 1)
        return tf.cast(tf.round(images * 255), tf.uint8)

    def _scored(self, units: Any) -> tuple[Any, Any]:
        pictures = self._bytes()
        images = tf.cast(pictures, tf.float32) / 255
        activations = self._adapter.forward(images, self._objective.layers)
        latents = _values(self._latents)
        return pictures, self._objective.score(activations, images, latents, units)


def _values(variables: Mapping[str, tf.Variable]) -> Latents:
    return {name: tf.identity(variable) for name, variable in variables.items()}


def _has_gradient(gradients: Latents) -> Any:
    """Return for each image whether any of its gradients is not zero, `(n,)`."""
    found = [
        tf.reduce_any(tf.not_equal(value, 0), axis=list(range(1, value.shape.rank)))
        for value in gradients.values()
    ]
    return tf.reduce_any(tf.stack(found), axis=0)


def _chosen(alive: Any, plain: Latents, redirected: Latents) -> Latents:
    return {
        name: tf.where(
            tf.reshape(alive, (-1, *[1] * (value.shape.rank - 1))),
            value,
            redirected[name],
        )
        for name, value in plain.items()
    }
