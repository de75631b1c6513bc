"""What is to be rendered: checked, planned into batches, and run."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz._adapter import Adapter, adapt
from tfviz._arguments import (
    check_numbers,
    checked_param,
    checked_transform,
    listed,
)
from tfviz._ascent import Ascent
from tfviz._batch import Batch, Finished, Progress
from tfviz._origin import origin
from tfviz._param import check_unit_range
from tfviz._plan import count_repeats, plan_batches, plan_pictures
from tfviz._result import Result
from tfviz._stuck import investigated
from tfviz._updates import Method
from tfviz.images import to_floats
from tfviz.params import Param
from tfviz.stops import State, Stop
from tfviz.transforms import Transform

# Steps in one call of the compiled loop: the grain of callbacks and of Ctrl-C.
BLOCK = 16


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
        learning_rate: float = 0.05,
        method: Method | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start: ArrayLike | Result | None = None,
        stop: Stop | Sequence[Stop] = (),
        at: tuple[int, int, int] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        check_numbers(steps, learning_rate, batch_size)
        self.adapter: Adapter = adapt(model)
        self.param = checked_param(param, self.adapter)
        self.transforms = checked_transform(transforms)
        self.steps, self.learning_rate = int(steps), float(learning_rate)
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
        ascent, kind = None, None
        for number, planned in enumerate(self._batches):
            wanted = [i for i, p in enumerate(planned.places) if p not in skip]
            if not wanted:
                continue
            if ascent is None or planned.objective.kind != kind:
                # Made anew only where the layers change: units are its arguments.
                kind = planned.objective.kind
                ascent = Ascent(
                    self.adapter,
                    planned.objective,
                    self.param,
                    self.transforms,
                    self.method,
                )
            yield self._rendered(ascent, number, wanted, callbacks)

    def _rendered(
        self,
        ascent: Ascent,
        number: int,
        wanted: list[int],
        callbacks: Sequence[Callback],
    ) -> Batch:
        planned = self._batches[number]
        filled = planned.filled(wanted)
        rows = [planned.slots[i] for i in wanted]
        places = [planned.places[i] for i in filled]
        start = None
        if self._start is not None:
            start = {name: values[places] for name, values in self._start.items()}
        seeds = np.array([self.pictures[place].seed for place in places], np.int32)
        ascent.start(seeds, planned.objective[filled].units, start)
        names = tuple(self.pictures[planned.places[i]].name for i in wanted)

        def images() -> NDArray[np.float32]:
            return to_floats(ascent.images()[rows])

        finished = Finished(planned.size, planned.group)
        history: list[NDArray[np.float32]] = []
        began = time.monotonic()
        for first in range(0, self.steps, BLOCK):
            count = min(BLOCK, self.steps - first)
            history.append(ascent.run(first, count, self.learning_rate))
            _check_finite(history[-1][:, rows], names, first + count)
            progress = Progress(
                first + count,
                self.steps,
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
        finished.add(
            np.ones(planned.size, bool), ascent, min(first + BLOCK, self.steps)
        )
        scores = np.concatenate(history)
        batch = finished.batch(tuple(planned.places[i] for i in wanted), rows, scores)
        stuck = {
            row: name
            for row, name, fired in zip(rows, names, batch.outcome.fired, strict=True)
            if not fired
        }
        if not stuck:
            return batch
        shape = (planned.size, *self.param.shape)
        return replace(batch, tried=investigated(ascent, stuck, scores, shape))

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

    def _seen_size(self) -> tuple[int, int]:
        """Return the size of what the model sees, by tracing; and check it."""
        seen = []

        def trace(images: Any) -> Any:
            images = self.transforms(images, [[0, 0]])
            seen.append((images.shape[1], images.shape[2]))
            return images

        spec = tf.TensorSpec((1, *self.param.shape), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        self.adapter.layers(seen[0])
        self.adapter.layers(self.param.shape[:2])  # the final score has no transforms
        return seen[0]

    def _encoded(
        self, start: ArrayLike | Result | None, n: int
    ) -> dict[str, Any] | None:
        if start is None:
            return None
        start = start.images if isinstance(start, Result) else start
        if self.param.encode is None:
            raise ValueError("This param cannot start from an image: no `encode`.")
        images = np.asarray(start, np.float32)
        images = images[None] if images.ndim == 3 else images
        if images.shape[1:] != self.param.shape or len(images) not in (1, n):
            raise ValueError(
                f"`start` must be one image of shape {self.param.shape} or {n} of "
                f"them. Received: {np.shape(start)}"
            )
        check_unit_range(images, "start")
        images = np.broadcast_to(images, (n, *self.param.shape))
        return {k: v.numpy() for k, v in self.param.encode(images).items()}

    def _settings(self, seed: int) -> dict[str, Any]:
        optimizer = {"name": "adam"}
        if self.method.optimizer is not None:
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
