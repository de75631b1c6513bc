"""The compiled part of the loop: several gradient steps in one call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._adapter import Adapter
from tfviz._gradients import VANISHING, unreturned
from tfviz._groups import similarities
from tfviz._objective import Objective
from tfviz._updates import Method, updater
from tfviz.params import Latents, Param
from tfviz.transforms import Transform

# A picture without any gradient may use the redirected one this long, as in Lucid.
REDIRECTED_STEPS = 16


@dataclass(frozen=True)
class Outcome:
    """The pictures of a batch as they are, and what is known about them.

    Attributes:
        pictures: `(n, height, width, channels)`.
        scores: `(n,)`, of just these bytes, without transforms.
        unit_scores: `(n,)`, the same without penalties and diversity.
        distances: `(n, group)`, from each picture to those of its group: 1 minus the
            cosine of their Gram matrices. None if they are not compared.
        alpha: `(n, height, width)` in [0, 1], how much a pixel mattered over all
            steps. None if it was not asked for.
        fired: `(n,)`, whether the unit ever had a gradient of its own.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    unit_scores: NDArray[np.float32]
    distances: NDArray[np.float32] | None
    alpha: NDArray[np.float32] | None
    fired: NDArray[np.bool_]


@dataclass(frozen=True)
class _View:
    """What one step looks at, from the latents to the scores."""

    latents: Latents
    images: Any
    seen: Any
    scores: Any
    of_units: Any


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
        method: Method | None = None,
    ) -> None:
        self._adapter = adapter
        self._objective = objective
        self._param = param
        self._transforms = transforms
        self._method = method or Method()
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
        for note in (self._fired, self._mattered):
            note.assign(tf.zeros_like(note))
        self._bar.assign(tf.fill(self._bar.shape, np.inf))

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

    def unit_scores(self) -> NDArray[np.float32]:
        """Return the scores of the units in the pictures as they are now."""
        return self._compiled["scored"](self._units)[2].numpy()

    def score_units(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `(n,)` of the units in other images, one for each slot."""
        if "units" not in self._compiled:
            compiled = tf.function(self._scored_units, autograph=False)
            self._compiled["units"] = compiled.get_concrete_function(
                tf.TensorSpec(images.shape, tf.float32), self._units
            )
        return self._compiled["units"](tf.constant(images), self._units).numpy()

    def finish(self) -> Outcome:
        """Return the pictures as they are now, with what is known about them."""
        pictures, scores, of_units, distances = self._compiled["scored"](self._units)
        return Outcome(
            pictures.numpy(),
            scores.numpy(),
            of_units.numpy(),
            distances.numpy() if self._objective.compared else None,
            _opacity(self._mattered.numpy()) if self._method.alpha else None,
            self._fired.numpy(),
        )

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
        n = self._seeds.shape[0]
        self._fired = tf.Variable(tf.zeros(n, tf.bool))
        # What a picture's gradient must exceed for its unit to be on.
        self._bar = tf.Variable(tf.zeros(n))
        seen = self._param.shape[:2] if self._method.alpha else (0, 0)
        self._mattered = tf.Variable(tf.zeros((n, *seen)))
        self._update = updater(self._method.optimizer, self._latents)
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
        view = self._viewed(seeds, units, redirect=False)
        gradients, of_images, of_seen = _uphill(view)
        if self._method.alpha and of_images is not None:
            self._mattered.assign_add(tf.reduce_mean(tf.abs(of_images), axis=-1))
        strength = self._strength(view, of_seen, needed=step < REDIRECTED_STEPS)
        # At first of every picture, later of those that are off or get no gradient.
        doubtful = strength <= self._bar

        def compared() -> tuple[Latents, Any]:
            redirected, reach, own = self._redirected(seeds, units)
            off = doubtful & (own <= VANISHING * reach)
            # A gradient above the bar, of a unit that is off, leads further away.
            bar = VANISHING * reach
            bar = tf.where(strength > bar, np.inf, bar)
            bar = tf.where(off, bar, tf.where(doubtful, 0.0, self._bar))
            return _chosen(off, redirected, gradients), bar

        # Tracing a second gradient costs nothing while no picture needs it.
        gradients, bar = tf.cond(
            (step < REDIRECTED_STEPS) & tf.reduce_any(doubtful),
            compared,
            lambda: (gradients, tf.identity(self._bar)),
        )
        self._bar.assign(bar)
        self._fired.assign(self._fired | (strength > bar))
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
        return view.scores

    def _redirected(self, seeds: Any, units: Any) -> tuple[Latents, Any, Any]:
        """Return the redirected gradient, its strength, and what of it is true."""
        view = self._viewed(seeds, units, redirect=True)
        gradients, _, of_seen = _uphill(view)
        reach = self._strength(view, of_seen)
        with unreturned():
            own = self._strength(view, _uphill(view)[2])
        return gradients, reach, own

    def _viewed(self, seeds: Any, units: Any, *, redirect: bool) -> _View:
        """Trace all from the latents to the scores."""
        latents = _values(self._latents)
        images = self._method.shape_gradient()(self._param.decode(latents))
        seen = tf.identity(self._transforms(images, seeds))
        objective = self._objective
        activations = self._adapter.forward(
            seen,
            objective.layers,
            redirect=redirect,
            smooth_pools=self._method.smooth_pools,
        )
        scores = _scores(objective, activations, images, latents, units)
        return _View(latents, images, seen, *scores)

    def _strength(self, view: _View, of_seen: Any, *, needed: Any = True) -> Any:
        """Return the largest slope of the units in what the model sees, `(n,)`.

        Terms of the objective that do without the model must not hide a unit that is
        off. Where there are others, this takes a second way back, unless all units
        have fired and it is not `needed` for anything else.
        """
        if not self._objective.layers:  # nothing of the network that could be off
            return tf.ones(self._fired.shape)
        if self._objective.signal is None:
            return _largest(of_seen, view.seen)
        return tf.cond(
            tf.reduce_all(self._fired) & ~tf.convert_to_tensor(needed),
            lambda: tf.fill(self._fired.shape, np.inf),
            lambda: _largest(tf.gradients(view.of_units, view.seen)[0], view.seen),
        )

    def _bytes(self) -> Any:
        images = self._param.decode(_values(self._latents))
        images = tf.clip_by_value(images, 0, 1)
        return tf.cast(tf.round(images * 255), tf.uint8)

    def _scored_units(self, images: Any, units: Any) -> Any:
        return self._judged(images, units)[2]

    def _scored(self, units: Any) -> tuple[Any, Any, Any, Any]:
        pictures = self._bytes()
        images = tf.cast(pictures, tf.float32) / 255
        activations, scores, of_units = self._judged(images, units)
        distances = tf.zeros_like(scores)
        if self._objective.compared:
            group = self._objective.group
            cosines = similarities(activations[self._objective.compared], group)
            distances = tf.maximum(1 - cosines, 0)
            distances = tf.reshape(distances, (-1, group))
        return pictures, scores, of_units, distances

    def _judged(self, images: Any, units: Any) -> tuple[Any, Any, Any]:
        """Return activations, scores and those of the units, without transforms."""
        objective = self._objective
        activations = self._adapter.forward(images, objective.layers)
        latents = _values(self._latents)
        return activations, *_scores(objective, activations, images, latents, units)


def _scores(objective: Objective, *known: Any) -> tuple[Any, Any]:
    """Return the scores, and those of the units alone."""
    scores = objective.score(*known)
    return scores, objective.signal(*known) if objective.signal else scores


def _values(variables: Mapping[str, tf.Variable]) -> Latents:
    return {name: tf.identity(variable) for name, variable in variables.items()}


def _uphill(view: _View) -> tuple[Latents, Any, Any]:
    """Return the slopes of the scores in the latents, the images and what is seen."""
    # Not a GradientTape: only this heeds the redirected gradients.
    *slopes, of_images, of_seen = tf.gradients(
        view.scores, [*view.latents.values(), view.images, view.seen]
    )
    gradients = {
        name: tf.zeros_like(value) if slope is None else slope
        for (name, value), slope in zip(view.latents.items(), slopes, strict=True)
    }
    return gradients, of_images, of_seen


def _largest(slopes: Any, images: Any) -> Any:
    if slopes is None:
        return tf.zeros(images.shape[0])
    return tf.reduce_max(tf.abs(slopes), axis=(1, 2, 3))


def _opacity(mattered: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale what pixels mattered, `(n, height, width)`, to [0, 1] for each picture."""
    # A few pixels that stand far out shall not make all others invisible.
    top = np.percentile(mattered, 99, axis=(1, 2), keepdims=True)
    return np.clip(mattered / np.maximum(top, np.finfo(np.float32).tiny), 0, 1)


def _chosen(which: Any, first: Latents, second: Latents) -> Latents:
    return {
        name: tf.where(
            tf.reshape(which, (-1, *[1] * (value.shape.rank - 1))),
            value,
            second[name],
        )
        for name, value in first.items()
    }
