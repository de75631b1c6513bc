"""A job: units and options, checked before any work, planned, and rendered."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import objectives, params
from tfviz import transforms as transform_presets
from tfviz._errors import argument, count_of
from tfviz.images import to_floats
from tfviz.models.adapter import Adapter, adapt, provenance
from tfviz.objectives import Objective
from tfviz.objectives._base import with_names_of
from tfviz.objectives._grammar import as_objectives
from tfviz.objectives._groups import comparison_layer, with_diversity
from tfviz.optimize.batch import (
    Batch,
    BatchState,
    PlannedBatch,
    Progress,
    count_repeats,
    plan_batches,
    plan_pictures,
)
from tfviz.optimize.compilation import compile_function
from tfviz.optimize.dead_units import RANDOM_IMAGES, DeadUnit, best_random_images
from tfviz.optimize.determinism import deterministic_operations
from tfviz.optimize.memory import fitting_batch
from tfviz.optimize.options import NORMALIZED, Options
from tfviz.optimize.result import Result
from tfviz.optimize.runner import Runner, compiled
from tfviz.optimize.step import Problem
from tfviz.params import Param
from tfviz.params._base import check_unit_range
from tfviz.stops import State
from tfviz.transforms import Transform
from tfviz.views import apply_view, with_channels

# Steps in one call of the compiled loop: the grain of callbacks and of Ctrl-C.
BLOCK = 16
# Added to a seed for each further attempt.
NEXT_RESTART = 15485863


Callback = Callable[[Progress], Any]


class Job:
    """Everything that is to be rendered, checked before any work.

    Pictures are planned into batches from the full list, so that leaving some out moves
    none to another slot.

    Args:
        model: As for `render`.
        objective: As for `render`.
        param: As for `render`.
        transforms: As for `render`.
        options: How the pictures are optimized.
        start: As for `render`, or the latents of the starts, as `start` of another job.
        at: The repeat number, the slot and the batch size that a single picture, or its
            group, had in another job, so that its bytes can be the same.

    Attributes:
        asked: The units as they were given.
        start: The latents to start from, of one picture or of all, by name; None where
            the param draws them.
        pictures: What is to be made, in the order asked for.
        batches: The batches, those of one layer and kind of unit in a row.
        options: The options, with the defaults filled in.
        settings: What all pictures have in common, as JSON values.
    """

    def __init__(
        self,
        model: Any,
        objective: Any,
        param: Param | None = None,
        transforms: Transform | None = None,
        options: Options | None = None,
        *,
        start: ArrayLike | Result | Mapping[str, Any] | None = None,
        at: tuple[int, int, int] | None = None,
    ) -> None:
        self.adapter: Adapter = adapt(model)
        self.asked = objective
        self.param = _check_param(param, self.adapter)
        options = (options or Options()).resolve(
            self.param, has_start=start is not None
        )
        self.options = options
        if transforms is None:
            transforms = self.param.defaults.get("transforms")
        self.transforms = _check_transforms(transforms)
        size = self._seen_size()
        with deterministic_operations(options.deterministic):
            units = [
                _extend(unit, self.adapter, options).bound(self.adapter, size)
                for unit in as_objectives(objective, self.adapter)
            ]
            self.start = self._encode(start, sum(map(len, units)))
        batch_size, together = options.batch_size, self.param.group
        if isinstance(batch_size, str):  # auto
            batch_size = None
            largest = self._fitting_batch(plan_batches(units, None, together))
            self.options = replace(options, batch_size=None, largest_batch=largest)
        largest = self.options.largest_batch
        self.batches = plan_batches(units, batch_size, together, largest)
        repeats = count_repeats([text for unit in units for text in unit.texts])
        if at is not None:
            repeats, self.batches = self._place(*at)
        self.pictures = plan_pictures(units, repeats, self.batches, options.seed)
        self.settings = (
            provenance(self.adapter)
            | {
                "param": dict(self.param.spec),
                "transforms": [dict(entry) for entry in self.transforms.spec],
            }
            | self.options.spec()
            | {"start": None if self.start is None else _digest(self.start)}
        )

    @classmethod
    def from_spec(cls, model: Any, spec: Mapping[str, Any], param: Param) -> "Job":
        """Return the job that makes a saved picture, or its group, again.

        Args:
            model: As for `render`.
            spec: The picture's description.
            param: The param that the description names.
        """
        job = cls(
            model,
            spec["unit"],
            param,
            transform_presets.from_spec(spec["transforms"]),
            Options.from_spec(spec),
            at=(spec["repeat"], spec["slot"], spec["batch_size"]),
        )
        # Names that were given to the classes by hand are not in the model.
        job.pictures = [replace(p, name=spec["name"]) for p in job.pictures]
        return job

    def wanted(self, number: int, skip: Set[int] = frozenset()) -> list[int]:
        """Return which pictures of a batch are to be made, as indices of its places.

        Args:
            number: The number of the batch.
            skip: The places of pictures that are not wanted.
        """
        places = self.batches[number].places
        return [i for i, place in enumerate(places) if place not in skip]

    def shown(self, images: Any) -> Any:
        """Return images as the model is shown them, before any transform."""
        images = tf.convert_to_tensor(images, tf.float32)
        return apply_view(images, self.param, self.adapter)

    def run(
        self, skip: Set[int] = frozenset(), callbacks: Sequence[Callback] = ()
    ) -> Iterator[Batch]:
        """Render, batch by batch.

        Args:
            skip: The places of pictures that are not wanted. A batch of nothing else
                is left out.
            callbacks: As for `render`.

        Yields:
            Each batch as it is finished.

        Raises:
            FloatingPointError: If a score is not finite.
        """
        for number in range(len(self.batches)):
            wanted = self.wanted(number, skip)
            if wanted:
                yield self.render_batch(number, wanted, callbacks)

    def render_batch(
        self, number: int, wanted: list[int], callbacks: Sequence[Callback] = ()
    ) -> Batch:
        """Make all attempts at a batch, and return its best wanted pictures.

        Args:
            number: The number of the batch.
            wanted: The pictures to make, as `wanted` returns them. Their slots, and so
                their bytes, do not depend on which others are wanted.
            callbacks: As for `render`.

        Raises:
            FloatingPointError: If a score is not finite.
        """
        planned = self.batches[number]
        rows = [planned.slots[i] for i in wanted]
        with self.lend_runner(number, wanted) as (runner, start):

            def attempt(restart: int) -> BatchState:
                start(restart)
                return self._attempt(runner, number, wanted, callbacks, restart)

            best = attempt(0)
            for restart in range(1, self.options.restarts):
                best.keep_best(attempt(restart))
            dead_units = self._wake(runner, number, wanted, callbacks, best)
            batch = best.batch(tuple(planned.places[i] for i in wanted), rows)
            batch = replace(batch, xla=bool(runner.xla), dead_units=dead_units)
            names = [self.pictures[place].name for place in batch.places]
            _check_finite(batch.outcome.scores[None], names, self.options.steps)
        return batch

    def _wake(
        self,
        runner: Runner,
        number: int,
        wanted: list[int],
        callbacks: Sequence[Callback],
        best: BatchState,
    ) -> tuple[DeadUnit, ...]:
        """Start the dead units of a batch anew, from random images that excite them.

        The images, and so the pictures, depend on a picture's own seed alone.

        Args:
            runner: What rendered the batch.
            number: The number of the batch.
            wanted: As for `render_batch`.
            callbacks: As for `render`.
            best: The best attempts, which take the pictures of units that were woken.

        Returns:
            A report on each unit that stayed dead.
        """
        planned, last = self.batches[number], self.options.restarts
        rows = {planned.slots[i]: planned.places[i] for i in wanted}
        dead = best.dead(list(rows))
        if not dead:
            return ()
        filled = planned.fill(wanted)
        seeds = self._seeds(planned, filled, last)
        images, scores = best_random_images(runner, seeds, self.param.shape)
        # A start that the user gave is not replaced.
        can_start = self.param.encode is not None and self.start is None
        excited = [row for row in dead if can_start and scores[row] > best.highest(row)]
        if excited:
            units = planned.objective[filled].units
            searched: tuple[Any, Any] = (None, None)
            if (self.options.candidates or 1) > 1:
                searched = scores, np.full(len(seeds), RANDOM_IMAGES, np.int32)
            latents = self.param.encode(images)  # type: ignore[misc]
            runner.start(seeds, units, latents, searched=searched)
            other = self._attempt(runner, number, wanted, callbacks, last)
            best.keep_woken(other, excited)
        return tuple(
            DeadUnit(
                self.pictures[rows[row]].name,
                best.steps(row),
                best.highest(row),
                float(scores[row]),
                row in excited,
            )
            for row in best.dead(dead)
        )

    @contextmanager
    def lend_runner(
        self, number: int, wanted: list[int]
    ) -> Iterator[tuple[Runner, Callable[[int], None]]]:
        """Lend the compiled runner of a batch, and what starts it.

        Args:
            number: The number of the batch.
            wanted: The pictures to make, as `wanted` returns them.

        Yields:
            The runner, and a function that gives it the starts of an attempt, which is
            numbered from 0. Until the runner is given back, operations are
            deterministic if the options say so.
        """
        planned = self.batches[number]
        filled = planned.fill(wanted)
        units = planned.objective[filled].units
        seeds = self._seeds(planned, filled, 0)
        problem = Problem(
            self.adapter, planned.objective, self.param, self.transforms, self.options
        )
        alike = [b.objective.kind == planned.objective.kind for b in self.batches]
        steps = sum(alike) * self.options.steps * self.options.restarts
        with (
            deterministic_operations(self.options.deterministic),
            compiled(problem, seeds, units, steps) as runner,
        ):

            def start(restart: int) -> None:
                self._start_runner(runner, planned, filled, units, restart)

            yield runner, start

    def _start_runner(
        self,
        runner: Runner,
        planned: PlannedBatch,
        filled: list[int],
        units: Mapping[str, Any],
        restart: int,
    ) -> None:
        """Give a runner the starts of a batch in an attempt."""
        start = None
        if self.start is not None:
            # One image that is the start of all pictures is held once.
            places = [planned.places[i] for i in filled]
            start = {
                name: values[places]
                if len(values) > 1
                else values.repeat(len(places), 0)
                for name, values in self.start.items()
            }
        seeds = self._seeds(planned, filled, restart)
        runner.start(seeds, units, start, self.options.candidates or 1)

    def _attempt(
        self,
        runner: Runner,
        number: int,
        wanted: list[int],
        callbacks: Sequence[Callback],
        restart: int,
    ) -> BatchState:
        """Optimize a batch that has started, until its steps or its rules end it."""
        planned, options = self.batches[number], self.options
        rows = [planned.slots[i] for i in wanted]
        names = tuple(self.pictures[planned.places[i]].name for i in wanted)

        def images() -> NDArray[np.float32]:
            return to_floats(runner.images()[rows])

        state = BatchState(planned.size, planned.group, runner.images(), restart)
        rate = options.learning_rate or 0.0
        decay = 1 / options.steps if options.optimizer == NORMALIZED else 0.0
        # The attempt that wakes dead units repeats the steps of the last one.
        before = min(restart, options.restarts - 1) * options.steps
        history: list[NDArray[np.float32]] = []
        began = time.monotonic() - runner.search_seconds
        block = min([BLOCK, *(rule.every for rule in options.stop)])
        for first in range(0, options.steps, block):
            count = min(block, options.steps - first)
            done = first + count
            history.append(runner.run(first, count, rate, decay))
            _check_finite(history[-1][:, rows], names, done)
            progress = Progress(
                before + done,
                options.restarts * options.steps,
                history[-1][-1, rows],
                names,
                images,
                number,
                len(self.batches),
            )
            answers = [callback(progress) for callback in callbacks]
            if any(answer is True for answer in answers):
                everything = np.ones(planned.size, bool)
                state.finish(everything, runner, done, "callback")
            elif done < options.steps:
                seen = State(
                    np.concatenate(history),
                    time.monotonic() - began,
                    runner.unit_scores,
                )
                for rule in options.stop:
                    name = rule.spec.get("name", "rule")
                    state.finish(rule.reached(seen), runner, done, name)
            if state.has_finished(rows):
                break
        state.seconds = time.monotonic() - began
        state.end(runner, np.concatenate(history))
        return state

    def _seeds(
        self, planned: PlannedBatch, filled: list[int], restart: int
    ) -> NDArray[np.int32]:
        """Return the seeds `(n, 2)` of a batch's slots in an attempt."""
        pictures = [self.pictures[planned.places[i]] for i in filled]
        seeds = np.array([picture.seed for picture in pictures], np.int64)
        seeds[:, 1] += NEXT_RESTART * restart
        return seeds.astype(np.int32)

    def _place(
        self, repeat: int, slot: int, size: int
    ) -> tuple[list[int], list[PlannedBatch]]:
        """Return the repeat numbers and the batch of one picture, or of its group."""
        planned = self.batches[0]
        group = planned.group
        if len(self.batches) > 1 or len(planned.places) != group:
            raise ValueError("Only one picture, or one group, can be put in its place.")
        first, base = repeat - repeat % group, slot - slot % group
        slots = tuple(range(base, base + group))
        return (
            list(range(first, first + group)),
            [replace(planned, slots=slots, size=size)],
        )

    def _seen_size(self) -> tuple[int, int]:
        """Return the size of the images that the model sees, and check that it fits."""
        seen = []

        def trace(images: Any) -> Any:
            images = self.transforms(images, [[0, 0]])
            seen.append((images.shape[1], images.shape[2]))
            return images

        shape = tuple(self.shown(np.zeros((1, *self.param.shape))).shape[1:])
        compile_function(trace, tf.TensorSpec((1, *shape), tf.float32))
        self.adapter.layers(seen[0])
        self.adapter.layers(shape[:2])  # the final score has no transforms
        return seen[0]

    def _fitting_batch(self, batches: Sequence[PlannedBatch]) -> int:
        """Return how many pictures of the deepest layer fit into memory at once."""
        depths = {layer.path: k for k, layer in enumerate(self.adapter.layers())}

        def depth(batch: PlannedBatch) -> int:
            # The logits and the probabilities are not among the layers.
            layers = batch.objective.layers
            return max([depths.get(path, len(depths)) for path in layers], default=0)

        deepest = max(batches, key=depth)
        few = deepest.objective[range(deepest.group)]
        problem = Problem(self.adapter, few, self.param, self.transforms, self.options)
        return fitting_batch(problem, np.zeros((len(few), 2), np.int32))

    def _encode(
        self, start: ArrayLike | Result | Mapping[str, Any] | None, n: int
    ) -> Mapping[str, Any] | None:
        """Return the latents of `n` start images, or of one; None without a start."""
        if start is None or isinstance(start, Mapping):
            return start
        if self.param.encode is None:
            raise ValueError(
                "This param cannot start from an image, as it has no `encode`. Leave "
                f"out {argument('start')}, or choose another {argument('param')}."
            )
        given = start.images if isinstance(start, Result) else start
        images = np.asarray(given, np.float32)
        images = images[None] if images.ndim == 3 else images
        if isinstance(start, Result) and images.shape[1:] != self.param.shape:
            # Pictures of another param, which this one is to go on with.
            *size, channels = self.param.shape
            images = tf.image.resize(
                with_channels(images, channels), size, antialias=True
            )
            images = images.numpy().clip(0, 1)
        if images.shape[1:] != self.param.shape or len(images) not in (1, n):
            raise ValueError(
                f"`start` must be one image of shape {self.param.shape} or {n} of "
                f"them. Received: {np.shape(given)}"
            )
        check_unit_range(images, "start")
        return {k: v.numpy() for k, v in self.param.encode(images).items()}


def _extend(unit: Objective, adapter: Adapter, options: Options) -> Objective:
    """Return a unit with the diversity and the penalties of the options.

    The pictures keep the names of the unit, as the options are described beside them.
    """
    if options.diversity is not None:
        diversity = options.diversity
        layer = diversity.layer or comparison_layer(adapter, unit)
        unit = with_diversity(unit, layer, diversity.n, diversity.weight)
    for name, weight in options.penalties.items():
        penalty = getattr(objectives, name)()
        unit = with_names_of(unit - weight * penalty, unit)
    return unit


def _check_param(param: Param | None, adapter: Adapter) -> Param:
    """Return the param, by default Fourier at the model's size, if it fits."""
    if param is None:
        return _default_param(*adapter.size, adapter.channels)
    if not isinstance(param, Param):
        raise TypeError(
            "`param` must be a Param such as params.fourier(224, 224). "
            f"Received: {param!r}"
        )
    if param.view is None and param.shape[2] != adapter.channels:
        raise ValueError(
            f"Model {adapter.name!r} takes images of "
            f"{count_of(adapter.channels, 'channel')}, but {argument('param')} makes "
            f"images of {param.shape[2]}. Choose one with as many."
        )
    return param


# The same object in each call, so that a runner that was compiled for it fits again.
_default_param = cache(params.fourier)


def _check_transforms(transforms: Any) -> Transform:
    """Return the transforms, `distill` by default, if they are transforms."""
    if transforms is None:
        return transform_presets.distill()
    if not isinstance(transforms, Transform):
        raise TypeError(
            "`transforms` must be a Transform: transforms.distill(), transforms.none() "
            f"or a transforms.chain(...). Received: {transforms!r}"
        )
    return transforms


def _digest(latents: Mapping[str, Any]) -> str:
    """Return a digest of latents, which stands for the start in a description."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(latents):
        digest.update(np.ascontiguousarray(latents[name]).tobytes())
    return digest.hexdigest()


def _check_finite(
    history: NDArray[np.float32], names: Sequence[str], step: int
) -> None:
    finite = np.isfinite(history).all(axis=0)
    if not finite.all():
        raise FloatingPointError(
            f"The score of {names[int(np.argmin(finite))]} was not finite at step "
            f"{step} or shortly before. Lower the learning rate, or use float32."
        )
