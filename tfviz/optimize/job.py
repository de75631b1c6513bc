"""What is to be rendered: checked, planned into batches, and run."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import params
from tfviz.images import to_floats
from tfviz.models.adapter import Adapter, adapt, origin
from tfviz.objectives._grammar import listed
from tfviz.optimize.batch import (
    Batch,
    Finished,
    Progress,
    count_repeats,
    investigated,
    plan_batches,
    plan_pictures,
)
from tfviz.optimize.optimizers import NORMALIZED, Method
from tfviz.optimize.result import Result
from tfviz.optimize.runner import Ascent, compiled
from tfviz.params import Param
from tfviz.params._base import check_from_one, check_unit_range
from tfviz.stops import State, Stop
from tfviz.transforms import Transform, distill
from tfviz.views import apply_view, with_channels

# Steps in one call of the compiled loop: the grain of callbacks and of Ctrl-C.
BLOCK = 16
# Of params that do not say what suits them.
LEARNING_RATE = 0.05
# From a seed to that of the next attempt.
NEXT_RESTART = 15485863

Callback = Callable[[Progress], Any]


class Job:
    """Everything that `render` needs to know, checked before any work.

    Takes the arguments of `render`. Pictures are planned into batches from the full
    list, so that leaving some out moves none to another slot. `at` puts a single
    picture, or its group, where another job had it, so that its bytes can be the same:
    its repeat number, its slot and the size of its batch. `notes` are put beside the
    settings: what a command line added to the units, as JSON values.

    Attributes:
        pictures: What is to be made, in the order asked for.
        settings: What all pictures have in common, as JSON values.
    """

    def __init__(
        self,
        model: Any,
        objective: Any,
        param: Param | None = None,
        transforms: Transform | None = None,
        *,
        steps: int = 256,
        learning_rate: float | None = None,
        method: Method | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start: ArrayLike | Result | None = None,
        candidates: int | None = None,
        restarts: int = 1,
        stop: Stop | Sequence[Stop] = (),
        at: tuple[int, int, int] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.adapter: Adapter = adapt(model)
        self.param = checked_param(param, self.adapter)
        suits = self.param.defaults
        rate = suits.get("learning_rate", LEARNING_RATE)
        rate = rate if learning_rate is None else learning_rate
        check_numbers(steps, rate, batch_size, restarts=restarts)
        self.steps, self.learning_rate = int(steps), float(rate)
        self.restarts = int(restarts)
        transforms = suits.get("transforms") if transforms is None else transforms
        self.transforms = checked_transform(transforms)
        self.candidates = self._checked_candidates(candidates, start)
        self.method = method or Method()
        self.stop = (stop,) if isinstance(stop, Stop) else tuple(stop)
        size = self._seen_size()
        units = [o.bound(self.adapter, size) for o in listed(objective, self.adapter)]
        self._start = self._encoded(start, sum(map(len, units)))
        self._batch_size = batch_size
        self._batches = plan_batches(units, batch_size, self.param.group)
        repeats = count_repeats([text for unit in units for text in unit.texts])
        if at is not None:
            repeats, self._batches = self._placed(*at)
        self.pictures = plan_pictures(units, repeats, self._batches, int(seed))
        self.settings = self._settings(int(seed)) | dict(notes or {})

    @property
    def batches(self) -> int:
        """The number of batches."""
        return len(self._batches)

    def batches_left(self, skip: Set[int]) -> int:
        """Return how many batches have a picture that is not in `skip`."""
        return sum(not skip >= set(planned.places) for planned in self._batches)

    def run(
        self, skip: Set[int] = frozenset(), callbacks: Sequence[Callback] = ()
    ) -> Iterator[Batch]:
        """Render, batch by batch.

        Args:
            skip: Places of pictures that are not wanted. A batch of none is left out.
            callbacks: As for `render`.

        Yields:
            Each batch as it is finished.

        Raises:
            FloatingPointError: If a score is not finite.
        """
        for number, planned in enumerate(self._batches):
            wanted = [i for i, p in enumerate(planned.places) if p not in skip]
            if not wanted:
                continue
            with compiled(
                self.adapter,
                planned.objective,
                self.param,
                self.transforms,
                self.method,
                planned.size,
            ) as ascent:
                batch = self._rendered(ascent, number, wanted, callbacks)
            yield batch

    def _rendered(
        self,
        ascent: Ascent,
        number: int,
        wanted: list[int],
        callbacks: Sequence[Callback],
    ) -> Batch:
        planned = self._batches[number]
        rows = [planned.slots[i] for i in wanted]
        best = self._attempted(ascent, number, wanted, callbacks, 0)
        for restart in range(1, self.restarts):
            best.improve(self._attempted(ascent, number, wanted, callbacks, restart))
        batch = best.batch(tuple(planned.places[i] for i in wanted), rows)
        stuck = {
            row: self.pictures[place].name
            for row, place, fired in zip(
                rows, batch.places, batch.outcome.fired, strict=True
            )
            if not fired
        }
        if not stuck:
            return batch
        scores = np.full((len(batch.history), planned.size), np.nan, np.float32)
        scores[:, rows] = batch.history
        shape = (planned.size, *self.param.shape)
        return replace(batch, tried=investigated(ascent, stuck, scores, shape))

    def _attempted(
        self,
        ascent: Ascent,
        number: int,
        wanted: list[int],
        callbacks: Sequence[Callback],
        restart: int,
    ) -> Finished:
        planned = self._batches[number]
        filled = planned.filled(wanted)
        rows = [planned.slots[i] for i in wanted]
        places = [planned.places[i] for i in filled]
        start = None
        if self._start is not None:
            start = {name: values[places] for name, values in self._start.items()}
        seeds = np.array([self.pictures[place].seed for place in places], np.int64)
        seeds[:, 1] += NEXT_RESTART * restart
        units = planned.objective[filled].units
        ascent.start(seeds.astype(np.int32), units, start, self.candidates)
        names = tuple(self.pictures[planned.places[i]].name for i in wanted)

        def images() -> NDArray[np.float32]:
            return to_floats(ascent.images()[rows])

        finished = Finished(planned.size, planned.group, ascent.images(), restart)
        fall = 1 / self.steps if self.method.optimizer == NORMALIZED else 0.0
        history: list[NDArray[np.float32]] = []
        began = time.monotonic() - ascent.searched
        block = min([BLOCK, *(rule.every for rule in self.stop)])
        for first in range(0, self.steps, block):
            count = min(block, self.steps - first)
            history.append(ascent.run(first, count, self.learning_rate, fall))
            _check_finite(history[-1][:, rows], names, first + count)
            progress = Progress(
                restart * self.steps + first + count,
                self.restarts * self.steps,
                history[-1][-1, rows],
                names,
                images,
                number,
                self.batches,
            )
            answers = [callback(progress) for callback in callbacks]
            if any(answer is True for answer in answers):
                finished.add(np.ones(planned.size, bool), ascent, first + count)
                finished.name("callback")
            elif first + count < self.steps:
                state = State(
                    np.concatenate(history),
                    time.monotonic() - began,
                    ascent.unit_scores,
                )
                for rule in self.stop:
                    finished.add(rule.reached(state), ascent, first + count)
                    finished.name(rule.spec.get("name", "rule"))
            if finished.all_of(rows):
                break
        finished.seconds = time.monotonic() - began
        finished.end(ascent, np.concatenate(history))
        return finished

    def _placed(self, repeat: int, slot: int, size: int) -> tuple[list[int], list]:
        """Return the repeat numbers and the batch of one picture, or of its group."""
        planned = self._batches[0]
        group = planned.group
        if len(self._batches) > 1 or len(planned.places) != group:
            raise ValueError("Only one picture, or one group, can be put in its place.")
        first, base = repeat - repeat % group, slot - slot % group
        slots = tuple(range(base, base + group))
        return (
            list(range(first, first + group)),
            [replace(planned, slots=slots, size=size)],
        )

    def shown(self, images: Any) -> Any:
        """Return what the model is shown of images, before any transform."""
        images = tf.convert_to_tensor(images, tf.float32)
        return apply_view(images, self.param, self.adapter)

    def _seen_size(self) -> tuple[int, int]:
        """Return the size of what the model sees, by tracing; and check it."""
        seen = []

        def trace(images: Any) -> Any:
            images = self.transforms(images, [[0, 0]])
            seen.append((images.shape[1], images.shape[2]))
            return images

        shape = tuple(self.shown(np.zeros((1, *self.param.shape))).shape[1:])
        spec = tf.TensorSpec((1, *shape), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        self.adapter.layers(seen[0])
        self.adapter.layers(shape[:2])  # the final score has no transforms
        return seen[0]

    def _checked_candidates(self, candidates: int | None, start: Any) -> int:
        if candidates is None:
            suits = self.param.defaults.get("candidates", 1)
            return 1 if start is not None else int(suits)
        check_from_one(candidates=candidates)
        if candidates > 1 and start is not None:
            raise ValueError(
                "`candidates` draws starts, and `start` gives one. Leave out one of "
                "them."
            )
        return int(candidates)

    def _encoded(
        self, start: ArrayLike | Result | None, n: int
    ) -> dict[str, Any] | None:
        if start is None:
            return None
        if self.param.encode is None:
            raise ValueError("This param cannot start from an image: no `encode`.")
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
        images = np.broadcast_to(images, (n, *self.param.shape))
        return {k: v.numpy() for k, v in self.param.encode(images).items()}

    def _settings(self, seed: int) -> dict[str, Any]:
        optimizer = {"name": self.method.optimizer or "adam"}
        if isinstance(self.method.optimizer, keras.optimizers.Optimizer):
            optimizer = keras.optimizers.serialize(self.method.optimizer)
        return origin(self.adapter) | {
            "param": dict(self.param.spec),
            "transforms": [dict(entry) for entry in self.transforms.spec],
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "optimizer": optimizer,
            "gradient_blur": self.method.gradient_blur,
            "normalize_gradient": self.method.normalize_gradient,
            "alpha": self.method.alpha,
            "smooth_pools": self.method.smooth_pools,
            "stop": [dict(rule.spec) for rule in self.stop],
            "batch": self._batch_size,
            "seed": seed,
            "start": None if self._start is None else _digest(self._start),
            "candidates": self.candidates,
            "restarts": self.restarts,
            "penalties": {},
            "diversity": None,
        }


def _digest(latents: Mapping[str, Any]) -> str:
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


def check_numbers(
    steps: int, learning_rate: float, batch_size: int | None = None, **counts: int
) -> None:
    """Refuse numbers with which there is nothing to do."""
    check_from_one(steps=steps, **counts)
    if not 0 < learning_rate < math.inf:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate}"
        )
    if batch_size is not None:
        check_from_one(batch_size=batch_size)


def checked_param(param: Param | None, adapter: Adapter) -> Param:
    """Return the param, by default Fourier's at the model's size, if it fits."""
    if param is None:
        return _usual_param(*adapter.size, adapter.channels)
    if not isinstance(param, Param):
        raise TypeError(
            "`param` must be a Param such as params.fourier(224, 224). "
            f"Received: {param!r}"
        )
    if param.view is None and param.shape[2] != adapter.channels:
        raise ValueError(
            f"Model {adapter.name!r} takes {adapter.channels} channels, but `param` "
            f"makes {param.shape[2]}."
        )
    return param


def checked_transform(transforms: Any) -> Transform:
    """Return the transforms, `distill` by default, if they are transforms."""
    if transforms is None:
        return distill()
    if not isinstance(transforms, Transform):
        raise TypeError(
            "`transforms` must be a Transform: transforms.distill(), transforms.none() "
            f"or a transforms.chain(...). Received: {transforms!r}"
        )
    return transforms


# The same object in each call, so that a loop that was compiled for it fits again.
_usual_param = cache(params.fourier)
