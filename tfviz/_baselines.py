"""What methods are compared with: random pictures, and photos made again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import views
from tfviz._exhibit import Exhibit, Photos, Unit
from tfviz._job import Job
from tfviz._plan import hashed
from tfviz._scorer import Scorer
from tfviz.images import to_bytes, to_floats

# Random pictures that are made at once.
CHUNK = 16


@dataclass(frozen=True)
class Drawn:
    """Random pictures of a method.

    Attributes:
        random: As they were drawn, of each unit others.
        best: For each unit and seed the one that it responds to most.
        scores: `(units, seeds)`, of the best.
        count: Of how many each is the best.
    """

    random: list[Exhibit]
    best: list[Exhibit]
    scores: NDArray[np.float32]
    count: int


def drawn(
    job: Job, scorer: Scorer, told: Sequence[Unit], *, seeds: int, count: int, seed: int
) -> Drawn:
    """Draw random pictures of a job's param.

    All units choose from the same ones, which depend on the seed alone: methods that
    hold pictures alike draw the same.

    Args:
        job: Of the method.
        scorer: Of the units.
        told: The units.
        seeds: How many pictures a unit gets.
        count: How many each of these is the best of.
        seed: Of the comparison.
    """
    pictured = _Pictured(job)
    draws = [hashed(seed, "random", k) for k in range(count * seeds)]
    scores = np.concatenate(
        [scorer(pictured(draws[i : i + CHUNK])[1]) for i in range(0, len(draws), CHUNK)]
    ).reshape(seeds, count, -1)
    places = scores.argmax(axis=1).T
    random: list[Exhibit] = []
    best: list[Exhibit] = []
    for unit, named in enumerate(told):
        # By its name: what else is compared changes nothing.
        some = [hashed(seed, f"random\n{named.text}", k) for k in range(seeds)]
        won = [draws[k * count + places[unit, k]] for k in range(seeds)]
        for kept, chosen in ((random, some), (best, won)):
            made = zip(*pictured(chosen), strict=True)
            kept += [Exhibit(unit, "", k, *pair) for k, pair in enumerate(made)]
    return Drawn(random, best, scores.max(axis=1).T, count)


def remade(job: Job, photos: Photos, seeds: int) -> list[Exhibit]:
    """Return each unit's best photos as a job's param reconstructs them."""
    param, exhibits = job.param, []
    if param.encode is None:
        return []
    for unit, top in enumerate(photos.top):
        places = top[:seeds]
        given = views.resized()(tf.constant(photos.floats(places)), param.shape)
        given = tf.clip_by_value(given, 0, 1)  # resizing may overshoot
        made = to_floats(to_bytes(np.asarray(param.decode(param.encode(given)))))
        seen = np.asarray(job.shown(made))
        exhibits += [
            Exhibit(unit, "", seed, made[seed], seen[seed], int(place))
            for seed, place in enumerate(places)
        ]
    return exhibits


class _Pictured:
    """Makes random pictures of a job's param, as they would be saved and shown."""

    def __init__(self, job: Job) -> None:
        def made(seeds: Any) -> tuple[Any, Any]:
            pictures = job.param.decode(job.param.init(seeds))
            pictures = tf.round(tf.clip_by_value(pictures, 0, 1) * 255) / 255
            return pictures, job.shown(pictures)

        self._made = tf.function(made, autograph=False)

    def __call__(
        self, seeds: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        pictures, seen = [], []
        for first in range(0, len(seeds), CHUNK):
            part = np.array(seeds[first : first + CHUNK], np.int32)
            found = self._made(tf.constant(np.resize(part, (CHUNK, 2))))
            pictures.append(found[0].numpy()[: len(part)])
            seen.append(found[1].numpy()[: len(part)])
        return np.concatenate(pictures), np.concatenate(seen)
