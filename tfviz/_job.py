"""What is to be rendered: checked, planned into batches, and run."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

import tfviz
from tfviz import objectives, params
from tfviz._adapter import Adapter, adapt
from tfviz._ascent import Ascent
from tfviz._plan import count_repeats, plan_batches, plan_pictures
from tfviz.images import to_floats
from tfviz.objectives import Objective
from tfviz.params import Param
from tfviz.transforms import Transform, distill

# Steps in one call of the compiled loop: the grain of callbacks and of Ctrl-C.
BLOCK = 16


@dataclass(frozen=True)
class Progress:
    """Where a batch is, as callbacks see it.

    Attributes:
        step: Steps done.
        steps: Steps to do.
        scores: `(n,)`, of the transformed images of the last step.
        names: What each picture shows.
        images: `images()` returns the pictures `(n, height, width, channels)` in
            [0, 1] as they are now.
        batch: Number of the batch, from 0.
        batches: Number of batches.
    """

    step: int
    steps: int
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    images: Callable[[], NDArray[np.float32]]
    batch: int
    batches: int


Callback = Callable[[Progress], Any]


@dataclass(frozen=True)
class Batch:
    """The pictures of one finished batch, in the order of `places`."""

    places: tuple[int, ...]
    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    history: NDArray[np.float32]
    stuck: NDArray[np.bool_]


class Job:
    """Everything that `render` needs to know, checked before any work.

    Takes the arguments of `render`. Pictures are planned into batches from the full
    list, so that leaving some out moves none to another slot. `at` puts a single
    picture where another job had it, so that its bytes can be the same: its repeat
    number, its slot and the size of its batch.

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
        optimizer: keras.optimizers.Optimizer | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start: ArrayLike | None = None,
        at: tuple[int, int, int] | None = None,
    ) -> None:
        _check_numbers(steps, learning_rate, batch_size)
        self.adapter: Adapter = adapt(model)
        self.param = _checked_param(param, self.adapter)
        self.transforms = _checked_transform(transforms)
        self.steps, self.learning_rate = int(steps), float(learning_rate)
        self.optimizer = optimizer
        size = self._seen_size()
        units = [o.bound(self.adapter, size) for o in _listed(objective, self.adapter)]
        self._start = self._encoded(start, sum(map(len, units)))
        self._batch_size = batch_size
        self._batches = plan_batches(units, batch_size)
        repeats = count_repeats([text for unit in units for text in unit.texts])
        if at is not None:
            repeats, slots = [at[0]], (at[1],)
            self._batches = [replace(self._batches[0], slots=slots, size=at[2])]
        self.pictures = plan_pictures(units, repeats, self._batches, int(seed))
        self.settings = self._settings(int(seed))

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
                    self.optimizer,
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
        # Slots without a picture of their own repeat a wanted one.
        filled = [wanted[0]] * planned.size
        for i in wanted:
            filled[planned.slots[i]] = i
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

        history = []
        for first in range(0, self.steps, BLOCK):
            count = min(BLOCK, self.steps - first)
            history.append(ascent.run(first, count, self.learning_rate)[:, rows])
            _check_finite(history[-1], names, first + count)
            progress = Progress(
                first + count,
                self.steps,
                history[-1][-1],
                names,
                images,
                number,
                self.batches,
            )
            answers = [callback(progress) for callback in callbacks]
            if any(answer is True for answer in answers):
                break
        finished, scores = ascent.finish()
        return Batch(
            tuple(planned.places[i] for i in wanted),
            finished[rows],
            scores[rows],
            np.concatenate(history),
            ~ascent.fired()[rows],
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

    def _encoded(self, start: ArrayLike | None, n: int) -> dict[str, Any] | None:
        if start is None:
            return None
        if self.param.encode is None:
            raise ValueError("This param cannot start from an image: no `encode`.")
        images = np.asarray(start, np.float32)
        images = images[None] if images.ndim == 3 else images
        if images.shape[1:] != self.param.shape or len(images) not in (1, n):
            raise ValueError(
                f"`start` must be one image of shape {self.param.shape} or {n} of "
                f"them. Received: {np.shape(start)}"
            )
        if not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "`start` must lie in [0, 1]. "
                f"Received: {images.min():g} to {images.max():g}"
            )
        images = np.broadcast_to(images, (n, *self.param.shape))
        return {k: v.numpy() for k, v in self.param.encode(images).items()}

    def _settings(self, seed: int) -> dict[str, Any]:
        optimizer = {"name": "adam"}
        if self.optimizer is not None:
            optimizer = keras.optimizers.serialize(self.optimizer)
        return {
            "tfviz": tfviz.__version__,
            "model": {
                "name": self.adapter.name,
                "source": getattr(self.adapter.model, "tfviz_source", None),
                "hash": self.adapter.fingerprint(),
            },
            "preprocess": self.adapter.preprocess.name,
            "logits": self.adapter.logits_source,
            "param": dict(self.param.spec),
            "transforms": [dict(entry) for entry in self.transforms.spec],
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "optimizer": optimizer,
            "batch": self._batch_size,
            "seed": seed,
            "start": None if self._start is None else _digest(self._start),
            "versions": {
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }


def _listed(objective: Any, adapter: Adapter) -> list[Objective]:
    """Turn what a user asks for into a list of objectives."""
    if isinstance(objective, Objective):
        return [objective]
    if isinstance(objective, str):
        return objectives.parse(objective, adapter)
    if isinstance(objective, Sequence) and objective:
        return [unit for item in objective for unit in _listed(item, adapter)]
    raise TypeError(
        "`objective` must be an Objective, a text such as 'fire8:20', or a list of "
        f"those that is not empty. Received: {objective!r}"
    )


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


def _check_numbers(steps: int, learning_rate: float, batch_size: int | None) -> None:
    if int(steps) != steps or steps < 1:
        raise ValueError(
            f"`steps` must be a whole number from 1. Received: steps={steps}"
        )
    if not 0 < learning_rate < math.inf:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate}"
        )
    if batch_size is not None and (int(batch_size) != batch_size or batch_size < 1):
        raise ValueError(
            f"`batch_size` must be a whole number from 1. Received: {batch_size}"
        )


def _checked_param(param: Param | None, adapter: Adapter) -> Param:
    if param is None:
        return params.fourier(*adapter.size, adapter.channels)
    if not isinstance(param, Param):
        raise TypeError(
            "`param` must be a Param such as params.fourier(224, 224). "
            f"Received: {param!r}"
        )
    if param.shape[2] != adapter.channels:
        raise ValueError(
            f"Model {adapter.name!r} takes {adapter.channels} channels, but `param` "
            f"makes {param.shape[2]}."
        )
    return param


def _checked_transform(transforms: Any) -> Transform:
    if transforms is None:
        return distill()
    if not isinstance(transforms, Transform):
        raise TypeError(
            "`transforms` must be a Transform: transforms.distill(), transforms.none() "
            f"or a transforms.chain(...). Received: {transforms!r}"
        )
    return transforms
