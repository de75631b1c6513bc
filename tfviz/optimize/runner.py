"""The runner, which compiles the step, keeps its state, and drives it."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.objectives._groups import similarities
from tfviz.optimize import xla
from tfviz.optimize.compilation import collect, compile_function, free_memory
from tfviz.optimize.optimizers import make_updater
from tfviz.optimize.step import (
    REDIRECTED_STEPS,
    Problem,
    best_start,
    compute_step,
    score_untransformed,
)
from tfviz.params._base import Latents

# The compiled runners that an adapter keeps: enough to go back and forth between
# layers, but not all that ever were.
KEPT = 4
# Added to a seed for each further candidate.
_NEXT_SEED = 104729


@dataclass(frozen=True)
class Outcome:
    """The pictures of a batch at one time, with their scores and diagnostics.

    Attributes:
        pictures: `(n, height, width, channels)`.
        scores: `(n,)`, the scores of exactly these bytes, without transforms.
        unit_scores: `(n,)`, the same without penalties and diversity.
        distances: `(n, group)`, from each picture to those of its group: 1 minus the
            cosine of their Gram matrices. None if they are not compared.
        alpha: `(n, height, width)` in [0, 1], how much a pixel counted over all steps.
            None if it was not asked for.
        fired: `(n,)`, whether the unit ever had a gradient of its own.
        start_scores: `(n,)`, the units' scores at the best of the candidates. None if
            only one start was drawn.
        drawn: `(n,)`, how many candidates were drawn. None if only one start was.
        diagnostics: `(n,)` by name, what the param measures of its latents.
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


class _State:
    """The variables of a batch that steps change.

    Attributes:
        latents: What the images are made of.
        fired: `(n,)`, whether a unit ever had a gradient of its own.
        threshold: `(n,)`, the size that the gradient of a live unit exceeds.
        importance: `(n, height, width)`, how much each pixel counted so far; without
            pixels where that is not asked for.
        clipped: `(n,)`, the share of latents that the param's projection moved, added
            up over the steps.
    """

    def __init__(
        self, n: int, latents: Mapping[str, Any], size: tuple[int, int]
    ) -> None:
        self.latents = {
            name: tf.Variable(tf.zeros(spec.shape)) for name, spec in latents.items()
        }
        self.fired = tf.Variable(tf.zeros(n, tf.bool))
        self.threshold = tf.Variable(tf.zeros(n))
        self.importance = tf.Variable(tf.zeros((n, *size)))
        self.clipped = tf.Variable(tf.zeros(n))

    def values(self) -> Latents:
        """Return the latents as tensors."""
        return {name: tf.identity(v) for name, v in self.latents.items()}

    def assign(self, latents: Latents) -> None:
        """Replace the latents."""
        for name, value in latents.items():
            self.latents[name].assign(value)

    def reset(self) -> None:
        """Forget what earlier steps noted."""
        for variable in (self.fired, self.importance, self.clipped):
            variable.assign(tf.zeros_like(variable))
        self.threshold.assign(tf.fill(self.threshold.shape, np.inf))


class Runner:
    """Runs compiled gradient steps on batches of one shape.

    Compiled once: seeds, units, the number of the step and the learning rate are
    tensors, so that other units of the same kind need no new compilation.

    Args:
        problem: What is optimized.
        seeds: `(n, 2)`, the seeds of a batch.
        units: The units of that batch.

    Attributes:
        traces: How often the step has been traced.
        xla: Whether XLA compiles the step; None as long as that is not decided, and
            the step runs without.
        search_seconds: The seconds that the choice of the last starts took.
    """

    def __init__(
        self, problem: Problem, seeds: NDArray[np.int32], units: Mapping[str, Any]
    ) -> None:
        self.traces = 0
        self.search_seconds = 0.0
        self._problem = problem
        self._begin(seeds, units)
        param, n = problem.param, len(seeds)
        self._init = compile_function(param.init, self._seeds)
        size = param.shape[:2] if problem.options.alpha else (0, 0)
        self._state = _State(n, self._init.structured_outputs, size)
        self._update = make_updater(problem.options, self._state.latents)
        self.xla = xla.prescribed(problem.options)
        self._run = self._compile_steps(by_xla=bool(self.xla))
        self._measure = compile_function(self._measured, self._units)
        self._bytes = compile_function(self._pictures)
        # One step that is forgotten: only then TensorFlow optimizes the graph, which
        # takes longer than many steps and would count as their time.
        self._state.assign(self._init(self._seeds))
        try:
            self.run(0, 1, 0.0)
        except tf.errors.OpError as error:
            if self.xla and xla.is_about_xla(error):
                raise xla.refusal(problem.adapter, error) from error
            raise

    def decide_on_xla(self, steps: int) -> None:
        """Measure once whether XLA takes steps faster, and use it if it does.

        This changes the state, so the next pictures must be started afterwards.

        Args:
            steps: How many steps are to be taken; if they are few, nothing is measured,
                as the time of the compilation is not saved.
        """
        if self.xla is not None or steps < xla.WORTHWHILE:
            return
        plain, compiled = self._run, self._compile_steps(by_xla=True)

        def taking(run: Any) -> Any:
            # After the first steps, in which dead units get a redirected gradient.
            return lambda count: self._call(run, REDIRECTED_STEPS, count)

        try:
            taking(compiled)(1)  # compiles, which is not to be timed
            self.xla = xla.is_faster(taking(plain), taking(compiled))
        except tf.errors.OpError as error:
            if not xla.is_about_xla(error):
                raise
            xla.warn_of_fallback(self._problem.adapter, error)
            self.xla = False
        if self.xla:
            self._run = compiled

    def start(
        self,
        seeds: NDArray[np.int32],
        units: Mapping[str, Any],
        latents: Latents | None = None,
        candidates: int = 1,
        searched: tuple[Any, Any] = (None, None),
    ) -> None:
        """Begin with new pictures.

        Args:
            seeds: `(n, 2)`, a pair for each picture.
            units: The units of the objective.
            latents: The latents to start from; by default what the param draws.
            candidates: How many starts to draw for each picture, to take the best.
            searched: If `latents` were chosen so before: their scores `(n,)`, and of
                how many they are the best `(n,)`.
        """
        self._begin(seeds, units)
        self._searched = searched
        if latents is None and candidates > 1:
            latents = self._search_start(candidates)
        elif latents is None:
            latents = self._init(self._seeds)
        self._state.assign(latents)
        self._update.reset()
        self._state.reset()

    def run(
        self, first: int, count: int, learning_rate: float, decay: float = 0.0
    ) -> NDArray[np.float32]:
        """Take some steps.

        Args:
            first: The number of the first step.
            count: The number of steps.
            learning_rate: The learning rate at step 0.
            decay: The share of it that is gone after each step.

        Returns:
            The scores `(count, n)` of the transformed images before each step.
        """
        self._steps_taken += count
        return self._call(self._run, first, count, learning_rate, decay)

    def images(self) -> NDArray[np.uint8]:
        """Return the pictures at this time."""
        return self._bytes().numpy()

    def unit_scores(self) -> NDArray[np.float32]:
        """Return the scores of the units in the pictures at this time."""
        return self._measure(self._units)[2].numpy()

    def score_units(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `(n,)` of the units in other images, one for each slot."""
        return self._score_units(tf.constant(images), self._units).numpy()

    def outcome(self) -> Outcome:
        """Return the pictures at this time, with their scores and diagnostics."""
        pictures, scores, unit_scores, distances, diagnostics = self._measure(
            self._units
        )
        diagnostics = {name: values.numpy() for name, values in diagnostics.items()}
        if self._problem.param.project:
            clipped = self._state.clipped.numpy()
            diagnostics["clip_rate"] = clipped / max(self._steps_taken, 1)
        alpha = None
        if self._problem.options.alpha:
            alpha = _opacity(self._state.importance.numpy())
        return Outcome(
            pictures.numpy(),
            scores.numpy(),
            unit_scores.numpy(),
            distances.numpy() if self._problem.objective.compared else None,
            alpha,
            self._state.fired.numpy(),
            *self._searched,
            diagnostics,
        )

    def _begin(self, seeds: NDArray[np.int32], units: Mapping[str, Any]) -> None:
        self._seeds = tf.constant(seeds)
        self._units = {name: tf.constant(values) for name, values in units.items()}
        # The scores of the starts that were chosen, and how many were drawn.
        self._searched = None, None
        self._steps_taken = 0
        self.search_seconds = 0.0

    def _compile_steps(self, *, by_xla: bool) -> Any:
        """Compile the function that takes some steps and returns their scores."""

        def take_steps(
            seeds: Any, units: Any, first: Any, count: Any, rates: Any
        ) -> Any:
            # A function of its own: inside of the loop's cycle, oneDNN's pass over the
            # graph finds the gradient of a pool only by chance, which changes the speed
            # and the bytes.
            take_step = tf.function(
                self._take_step,
                autograph=False,
                jit_compile=by_xla,
                experimental_attributes={"_noinline": True},
            )

            def body(number: Any) -> Any:
                step = first + number
                rate = rates[0] * (1 - rates[1] * tf.cast(step, tf.float32))
                return take_step(seeds, units, step, rate)

            return collect(count, body)

        number, rates = tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.float32)
        return compile_function(
            take_steps, self._seeds, self._units, number, number, rates, loop=True
        )

    def _call(
        self, run: Any, first: int, count: int, rate: float = 0.0, decay: float = 0.0
    ) -> NDArray[np.float32]:
        """Take some steps by a function that `_compile_steps` returned."""
        rates = tf.constant([rate, decay], tf.float32)
        numbers = tf.constant(first), tf.constant(count)
        return run(self._seeds, self._units, *numbers, rates).numpy()

    def _take_step(self, seeds: Any, units: Any, number: Any, rate: Any) -> Any:
        """Compute a step, and change the state by it; return the scores before it."""
        self.traces += 1
        state, param = self._state, self._problem.param
        seeds += [[1, 0]] * number
        latents = state.values()
        step = compute_step(
            self._problem,
            latents,
            units,
            seeds,
            number,
            fired=state.fired,
            threshold=state.threshold,
        )
        if step.importance is not None:
            state.importance.assign_add(step.importance)
        state.threshold.assign(step.threshold)
        state.fired.assign(step.fired)
        if step.gradients:
            self._update(step.gradients, number, rate)
        if param.project:
            moved = state.values()
            projected = param.project(moved)
            values = param.values or (lambda latents: latents)
            state.clipped.assign_add(_share_changed(values(moved), values(projected)))
            state.assign(projected)
        return step.scores

    def _search_start(self, candidates: int) -> Latents:
        """Return the best of some starts for each picture, and note their scores."""
        began = time.monotonic()
        if "_search" not in vars(self):
            # The first call optimizes the graph, which is no part of the search.
            self._search(self._seeds, self._units, tf.constant(1))
            began = time.monotonic()
        latents, scores, drawn = self._search(
            self._seeds, self._units, tf.constant(candidates)
        )
        self._searched = scores.numpy(), drawn.numpy()
        self.search_seconds = time.monotonic() - began
        return latents

    @cached_property
    def _search(self) -> Any:
        def search(seeds: Any, units: Any, count: Any) -> tuple[Any, Any, Any]:
            def draw(number: Any) -> tuple[Latents, Any]:
                param = self._problem.param
                latents = param.init(seeds + [[0, _NEXT_SEED]] * number)
                images = tf.clip_by_value(param.decode(latents), 0, 1)
                scored = score_untransformed(self._problem, images, units, latents)
                return latents, scored[2]

            return best_start(draw, count)

        return compile_function(
            search, self._seeds, self._units, tf.TensorSpec((), tf.int32)
        )

    @cached_property
    def _score_units(self) -> Any:
        def score(images: Any, units: Any) -> Any:
            latents = self._state.values()
            return score_untransformed(self._problem, images, units, latents)[2]

        shape = (self._seeds.shape[0], *self._problem.param.shape)
        return compile_function(score, tf.TensorSpec(shape, tf.float32), self._units)

    def _pictures(self) -> Any:
        images = self._problem.param.decode(self._state.values())
        images = tf.clip_by_value(images, 0, 1)
        return tf.cast(tf.round(images * 255), tf.uint8)

    def _measured(self, units: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Return pictures, scores, unit scores, distances, and diagnostics."""
        pictures = self._pictures()
        images = tf.cast(pictures, tf.float32) / 255
        latents, objective = self._state.values(), self._problem.objective
        activations, scores, unit_scores = score_untransformed(
            self._problem, images, units, latents
        )
        distances = tf.zeros_like(scores)
        if objective.compared:
            cosines = similarities(activations[objective.compared], objective.group)
            distances = tf.maximum(1 - cosines, 0)
            distances = tf.reshape(distances, (-1, objective.group))
        diagnostics = self._problem.param.diagnostics
        measured = {name: measure(latents) for name, measure in diagnostics.items()}
        return pictures, scores, unit_scores, distances, measured


class RunnerCache:
    """The runners that were compiled for an adapter last.

    Units of one kind share a runner, as they are its arguments. Params and transforms
    must be the same objects, since functions cannot be compared otherwise.

    Attributes:
        most: How many runners are kept; None for all.
    """

    def __init__(self) -> None:
        self.most: int | None = KEPT
        self._kept: list[tuple[Hashable, Runner]] = []

    def __len__(self) -> int:
        """Return the number of runners that are kept."""
        return len(self._kept)

    def take(self, problem: Problem, size: int) -> Runner | None:
        """Take out the runner that fits, so that nobody else gets it, or None."""
        key = _key(problem, size)
        for place, (other, runner) in enumerate(self._kept):
            own = runner._problem
            same = own.param is problem.param and own.transforms is problem.transforms
            if same and other == key:
                del self._kept[place]
                return runner
        return None

    def keep(self, problem: Problem, size: int, runner: Runner) -> None:
        """Keep a runner, and drop the one that was not used for longest."""
        self._kept.append((_key(problem, size), runner))
        if self.most is not None and len(self._kept) > self.most:
            del self._kept[0]
            free_memory()

    def clear(self) -> None:
        """Drop all runners, and free their memory."""
        self._kept.clear()
        free_memory()


def cache_of(adapter: Any) -> RunnerCache:
    """Return the runners compiled for an adapter, which are freed together with it."""
    return adapter.compiled.setdefault(RunnerCache, RunnerCache())


@contextmanager
def compiled(
    problem: Problem, seeds: NDArray[np.int32], units: Mapping[str, Any], steps: int = 0
) -> Iterator[Runner]:
    """Lend a runner for batches like this one, compiled before if possible.

    Its pictures must be started before any step is taken.

    While a runner is lent, others who ask for the same one get another, and one that
    was interrupted is not kept, unless all that happened is a score that is not finite:
    the next start replaces everything that the runner holds.

    Args:
        problem: What is optimized.
        seeds: `(n, 2)`, the seeds of a batch.
        units: The units of that batch.
        steps: How many steps the caller is going to take with batches like this one.

    Yields:
        The runner.
    """
    cache, size = cache_of(problem.adapter), len(seeds)
    runner = cache.take(problem, size)
    if runner is None:
        runner = Runner(problem, seeds, units)
    runner.decide_on_xla(steps)
    try:
        yield runner
    except FloatingPointError:
        cache.keep(problem, size, runner)
        raise
    cache.keep(problem, size, runner)


def _key(problem: Problem, size: int) -> Hashable:
    """Return everything that a runner is compiled for, param and transforms aside."""
    objective, options = problem.objective, problem.options
    units = tuple(
        (name, np.shape(values)[1:], np.asarray(values).dtype.str)
        for name, values in objective.units.items()
    )
    optimizer: Hashable = options.optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # It is built anew from its settings, which may be changed from call to call.
        settings = str(optimizer.get_config() | {"name": None})
        optimizer = (type(optimizer), settings)
    return (
        *(objective.kind, objective.layers, objective.group, units),
        *(options.gradient_blur, options.normalize_gradient),
        *(options.smooth_pools, options.alpha, options.deterministic, options.xla),
        *(optimizer, options.momentum, size),
    )


def _share_changed(before: Latents, after: Latents) -> Any:
    """Return the share of each image's latents that differ, `(n,)`."""
    changed = []
    for name, value in after.items():
        # Not what rounding changes.
        far = tf.abs(value - before[name]) > 1e-5 * (1 + tf.abs(before[name]))
        changed.append(tf.reshape(tf.cast(far, tf.float32), (value.shape[0], -1)))
    return tf.reduce_mean(tf.concat(changed, axis=1), axis=1)


def _opacity(importance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the importance of pixels `(n, height, width)` to [0, 1] in each picture."""
    # A few pixels that stand far out must not make all others invisible.
    top = np.percentile(importance, 99, axis=(1, 2), keepdims=True)
    return np.clip(importance / np.maximum(top, np.finfo(np.float32).tiny), 0, 1)
