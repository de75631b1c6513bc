"""The compiled part of the loop: several gradient steps in one call."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.gradient_overrides import VANISHING, unreturned
from tfviz.objectives._base import Objective
from tfviz.objectives._groups import similarities
from tfviz.optimize.optimizers import Method, updater
from tfviz.optimize.step import LATENT, Judged, best_start, chosen, largest, led_back
from tfviz.params import Param
from tfviz.params._base import Latents
from tfviz.transforms import Transform
from tfviz.views import apply_view

# A picture without any gradient may use the redirected one this long, as in Lucid.
REDIRECTED_STEPS = 16
# From a seed to the next candidate's.
_NEXT_SEED = 104729


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
        start_scores: `(n,)`, the units' scores at the best of the starts that were
            drawn. None if only one was.
        drawn: `(n,)`, how many starts were drawn. None if only one was.
        diagnostics: `(n,)` by name, what the param tells of its latents.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    unit_scores: NDArray[np.float32]
    distances: NDArray[np.float32] | None
    alpha: NDArray[np.float32] | None
    fired: NDArray[np.bool_]
    start_scores: NDArray[np.float32] | None = None
    drawn: NDArray[np.int32] | None = None
    diagnostics: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Ascent:
    """Gradient ascent on one batch of images.

    Compiled once: seeds, units, the step and the learning rate are tensors.

    Attributes:
        traces: How often the step has been traced.
        searched: Seconds that the choice of the starts took.
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
        self.searched = 0.0

    def start(
        self,
        seeds: NDArray[np.int32],
        units: Mapping[str, Any],
        latents: Latents | None = None,
        candidates: int = 1,
    ) -> None:
        """Begin with new pictures.

        Args:
            seeds: `(n, 2)`.
            units: Of the objective.
            latents: Where to start. By default what the param draws.
            candidates: How many starts to draw for each picture, to take the best.
        """
        self._seeds = tf.constant(seeds)
        self._units = {name: tf.constant(values) for name, values in units.items()}
        if not self._compiled:
            self._compile()
            self._warm_up()
        self._found: list[Any] = [None, None]
        self.searched = 0.0
        if latents is None and candidates > 1:
            latents, *self._found = self._best_start(candidates)
        elif latents is None:
            latents = self._compiled["init"](self._seeds)
        for name, value in latents.items():
            self._latents[name].assign(value)
        self._update.reset()
        self._taken = 0
        for note in (self._fired, self._mattered, self._clipped):
            note.assign(tf.zeros_like(note))
        self._bar.assign(tf.fill(self._bar.shape, np.inf))

    def run(
        self, first: int, count: int, learning_rate: float, fall: float = 0.0
    ) -> NDArray[np.float32]:
        """Take `count` steps, the first of them with the number `first`.

        Args:
            first: The number of the first step.
            count: How many.
            learning_rate: At step 0.
            fall: How much of it is gone after each step.

        Returns:
            The scores `(count, n)` of the transformed images before each step.
        """
        self._taken += count
        return self._compiled["steps"](
            self._seeds,
            self._units,
            tf.constant(first),
            tf.constant(count),
            tf.constant([learning_rate, fall], tf.float32),
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
        pictures, scores, of_units, distances, told = self._compiled["scored"](
            self._units
        )
        diagnostics = {name: values.numpy() for name, values in told.items()}
        if self._param.project:
            diagnostics["clip_rate"] = self._clipped.numpy() / max(self._taken, 1)
        start_scores, drawn = self._found
        return Outcome(
            pictures.numpy(),
            scores.numpy(),
            of_units.numpy(),
            distances.numpy() if self._objective.compared else None,
            _opacity(self._mattered.numpy()) if self._method.alpha else None,
            self._fired.numpy(),
            start_scores,
            drawn,
            diagnostics,
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
        # The share of latents that the param's projection moved, added up over steps.
        self._clipped = tf.Variable(tf.zeros(n))
        self._update = updater(self._method.optimizer, self._latents)
        number = tf.TensorSpec((), tf.int32)
        rates = tf.TensorSpec((2,), tf.float32)
        self._compiled = {
            "init": init,
            "steps": traced(
                self._steps, self._seeds, self._units, number, number, rates
            ),
            "scored": traced(self._scored, self._units),
            "bytes": traced(self._bytes),
        }

    def _warm_up(self) -> None:
        """Take a step that is forgotten.

        Only then TensorFlow optimizes the graph, which takes longer than many steps,
        and would count as their time.
        """
        for name, value in self._compiled["init"](self._seeds).items():
            self._latents[name].assign(value)
        self._taken = 0
        self.run(0, 1, 0.0)

    def _steps(self, seeds: Any, units: Any, first: Any, count: Any, rates: Any) -> Any:
        # A function of its own: inside of the loop's cycle, oneDNN's pass over the
        # graph now finds the gradient of a pool, now misses it, by chance, which
        # changes the speed and the bytes.
        take_step = tf.function(
            self._step, autograph=False, experimental_attributes={"_noinline": True}
        )

        def body(number: Any, history: Any) -> tuple[Any, Any]:
            step = first + number
            rate = rates[0] * (1 - rates[1] * tf.cast(step, tf.float32))
            scores = take_step(seeds, units, step, rate)
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
        latents = _values(self._latents)
        images = self._method.shape_gradient()(self._param.decode(latents))
        seen = apply_view(images, self._param, self._adapter)
        seen = tf.identity(self._transforms(seen, seeds))
        judged = self._judged(latents, images, seen, units)
        own = judged.slopes()
        early = step < REDIRECTED_STEPS
        strength = self._strength(judged, own, needed=early)
        # At first of every picture, later of those that are off or get no gradient.
        doubtful = strength <= self._bar

        def compared() -> tuple[dict[str, Any], Any, Any]:
            again = self._judged(latents, images, seen, units, redirect=True)
            redirected = again.slopes()
            bar = VANISHING * self._strength(again, redirected)
            with unreturned():
                true = self._strength(again, again.slopes())
            off = doubtful & (true <= bar)
            # A gradient above the bar, of a unit that is off, leads further away.
            bar = tf.where(strength > bar, np.inf, bar)
            bar = tf.where(off, bar, tf.where(doubtful, 0.0, self._bar))
            return chosen(off, redirected, own), off, bar

        # Judging once more costs nothing while no picture needs it.
        slopes, off, bar = tf.cond(
            early & tf.reduce_any(doubtful),
            compared,
            lambda: (own, tf.zeros_like(doubtful), tf.identity(self._bar)),
        )
        gradients, of_images = led_back(latents, images, seen, slopes)
        if self._method.alpha and of_images is not None:
            mattered = tf.reduce_mean(tf.abs(of_images), axis=-1)
            mattered = tf.where(off[:, None, None], 0.0, mattered)
            self._mattered.assign_add(mattered)
        self._bar.assign(bar)
        self._fired.assign(self._fired | (strength > bar))
        if self._param.penalty:
            away = tf.gradients(self._param.penalty(latents), list(latents.values()))
            for name, slope in zip(latents, away, strict=True):
                if slope is not None:
                    gradients[name] = gradients.get(name, 0.0) - slope
        if gradients:
            self._update(gradients, step, learning_rate)
        if self._param.project:
            moved = _values(self._latents)
            projected = self._param.project(moved)
            values = self._param.values or (lambda latents: latents)
            self._clipped.assign_add(_share_changed(values(moved), values(projected)))
            for name, value in projected.items():
                self._latents[name].assign(value)
        return judged.scores

    def _judged(
        self,
        latents: Latents,
        images: Any,
        seen: Any,
        units: Any,
        *,
        redirect: bool = False,
    ) -> Judged:
        """Trace the network and the objective on what the model sees."""
        given = {"seen": tf.identity(seen), "images": tf.identity(images)}
        given |= {LATENT + name: tf.identity(v) for name, v in latents.items()}
        activations = self._adapter.forward(
            given["seen"],
            self._objective.layers,
            redirect=redirect,
            smooth_pools=self._method.smooth_pools,
        )
        latents = {name: given[LATENT + name] for name in latents}
        known = (activations, given["images"], latents, units)
        return Judged(given, *_scores(self._objective, *known))

    def _strength(
        self, judged: Judged, slopes: dict[str, Any], *, needed: Any = True
    ) -> Any:
        """Return the largest slope of the units in what the model sees, `(n,)`.

        Terms of the objective that do without the model must not hide a unit that is
        off. Where there are others, this takes a second way back, unless all units
        have fired and it is not `needed` for anything else.
        """
        if not self._objective.layers:  # nothing of the network that could be off
            return tf.ones(self._fired.shape)
        seen = judged.given["seen"]
        if self._objective.signal is None:
            return largest(slopes.get("seen"), seen)
        return tf.cond(
            tf.reduce_all(self._fired) & ~tf.convert_to_tensor(needed),
            lambda: tf.fill(self._fired.shape, np.inf),
            lambda: largest(tf.gradients(judged.of_units, seen)[0], seen),
        )

    def _best_start(
        self, candidates: int
    ) -> tuple[Latents, NDArray[np.float32], NDArray[np.int32]]:
        """Return the best of some starts, their units' scores, how many were drawn."""
        if "search" not in self._compiled:
            compiled = tf.function(self._searched, autograph=False)
            search = compiled.get_concrete_function(
                self._seeds, self._units, tf.TensorSpec((), tf.int32)
            )
            self._compiled["search"] = search
            # For the graph to be optimized, as in `_warm_up`.
            search(self._seeds, self._units, tf.constant(1))
        began = time.monotonic()
        latents, scores, drawn = self._compiled["search"](
            self._seeds, self._units, tf.constant(candidates)
        )
        found = latents, scores.numpy(), drawn.numpy()
        self.searched = time.monotonic() - began
        return found

    def _searched(self, seeds: Any, units: Any, count: Any) -> tuple[Any, Any, Any]:
        def draw(number: Any) -> tuple[Latents, Any]:
            latents = self._param.init(seeds + [[0, _NEXT_SEED]] * number)
            images = tf.clip_by_value(self._param.decode(latents), 0, 1)
            return latents, self._untransformed(images, units, latents)[2]

        return best_start(draw, count)

    def _bytes(self) -> Any:
        images = self._param.decode(_values(self._latents))
        images = tf.clip_by_value(images, 0, 1)
        return tf.cast(tf.round(images * 255), tf.uint8)

    def _scored_units(self, images: Any, units: Any) -> Any:
        return self._untransformed(images, units, _values(self._latents))[2]

    def _scored(self, units: Any) -> tuple[Any, Any, Any, Any, Any]:
        pictures = self._bytes()
        images = tf.cast(pictures, tf.float32) / 255
        latents = _values(self._latents)
        activations, scores, of_units = self._untransformed(images, units, latents)
        distances = tf.zeros_like(scores)
        if self._objective.compared:
            group = self._objective.group
            cosines = similarities(activations[self._objective.compared], group)
            distances = tf.maximum(1 - cosines, 0)
            distances = tf.reshape(distances, (-1, group))
        told = {name: of(latents) for name, of in self._param.diagnostics.items()}
        return pictures, scores, of_units, distances, told

    def _untransformed(
        self, images: Any, units: Any, latents: Latents
    ) -> tuple[Any, Any, Any]:
        """Return activations, scores and those of the units, without transforms."""
        objective = self._objective
        seen = apply_view(images, self._param, self._adapter)
        activations = self._adapter.forward(seen, objective.layers)
        return activations, *_scores(objective, activations, images, latents, units)


def _scores(objective: Objective, *known: Any) -> tuple[Any, Any]:
    """Return the scores, and those of the units alone."""
    scores = objective.score(*known)
    return scores, objective.signal(*known) if objective.signal else scores


def _values(variables: Mapping[str, tf.Variable]) -> Latents:
    return {name: tf.identity(variable) for name, variable in variables.items()}


def _share_changed(before: Latents, after: Latents) -> Any:
    """Return which part of each image's latents is another, `(n,)`."""
    changed = []
    for name, value in after.items():
        # Not what rounding changes.
        far = tf.abs(value - before[name]) > 1e-5 * (1 + tf.abs(before[name]))
        changed.append(tf.reshape(tf.cast(far, tf.float32), (value.shape[0], -1)))
    return tf.reduce_mean(tf.concat(changed, axis=1), axis=1)


def _opacity(mattered: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale what pixels mattered, `(n, height, width)`, to [0, 1] for each picture."""
    # A few pixels that stand far out shall not make all others invisible.
    top = np.percentile(mattered, 99, axis=(1, 2), keepdims=True)
    return np.clip(mattered / np.maximum(top, np.finfo(np.float32).tiny), 0, 1)


# Of an adapter: enough to go back and forth between layers, and not all that there is.
KEPT = 4


@contextmanager
def compiled(  # noqa: PLR0917 (what a loop is made of)
    adapter: Adapter,
    objective: Objective,
    param: Param,
    transforms: Transform,
    method: Method,
    size: int,
) -> Iterator[Ascent]:
    """Lend a loop for batches of `size` pictures, compiled before if possible.

    Units of one kind share a loop, as they are its arguments. Params and transforms
    must be the same objects: functions cannot be compared. While a loop is lent,
    others that ask for the same one get another, and one that was interrupted is not
    kept.
    """
    key = _key(objective, param, transforms, method, size)
    ascent = adapter.loops.pop(key, None)
    if ascent is None:
        ascent = Ascent(adapter, objective, param, transforms, method)
    yield ascent
    adapter.loops[key] = ascent
    for oldest in list(adapter.loops)[:-KEPT]:
        adapter.loops.pop(oldest, None)


def _key(
    objective: Objective,
    param: Param,
    transforms: Transform,
    method: Method,
    size: int,
) -> Hashable:
    units = tuple(
        (name, np.shape(values)[1:], np.asarray(values).dtype.str)
        for name, values in objective.units.items()
    )
    of_objective = (objective.kind, objective.layers, objective.group, units)
    optimizer: Hashable = method.optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # Made anew from its settings, which may be changed from call to call.
        settings = str(optimizer.get_config() | {"name": None})
        optimizer = (type(optimizer), settings)
    of_method = (optimizer, *astuple(replace(method, optimizer=None)))
    # The loop holds both objects, so that no others can get their ids.
    return (*of_objective, id(param), id(transforms), of_method, size)
