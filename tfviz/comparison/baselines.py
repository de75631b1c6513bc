"""What methods are compared with: random pictures, and photos made again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import views
from tfviz.comparison.evaluation import UnitScorer
from tfviz.comparison.records import Photos, Record, Unit
from tfviz.images import to_bytes, to_floats
from tfviz.optimize.batch import picture_seed
from tfviz.optimize.job import Job

# Random pictures that are made at once: what two or three seeds of a unit need.
CHUNK = 8


@dataclass(frozen=True)
class RandomPictures:
    """Random pictures of a method.

    Attributes:
        random: As they were drawn, of each unit others.
        best: For each unit and seed the one that it responds to most.
        scores: `(units, seeds)`, of the best.
    """

    random: list[Record]
    best: list[Record]
    scores: NDArray[np.float32]


def draw_random_pictures(
    job: Job,
    scorer: UnitScorer,
    told: Sequence[Unit],
    counts: NDArray[np.int64],
    seed: int,
) -> RandomPictures:
    """Draw random pictures of a job's param.

    All units choose from the same ones, each from the first of them: what else is
    compared changes nothing, and methods that hold pictures alike draw the same.

    Args:
        job: Of the method.
        scorer: Of the units.
        told: The units.
        counts: `(units, seeds)`, how many each picture is the best of.
        seed: Of the comparison.
    """
    pictured = _PictureMaker(job)
    seeds, most = counts.shape[1], int(counts.max())
    draws = [
        picture_seed(seed, f"random {s}", k) for s in range(seeds) for k in range(most)
    ]
    scores = np.concatenate(
        [scorer(pictured(draws[i : i + CHUNK])[1]) for i in range(0, len(draws), CHUNK)]
    ).reshape(seeds, most, -1)
    allowed = np.arange(most)[None, :, None] < counts.T[:, None, :]
    scores = np.where(allowed, scores, -np.inf)
    places = scores.argmax(axis=1).T
    random: list[Record] = []
    best: list[Record] = []
    for unit, named in enumerate(told):
        some = [picture_seed(seed, f"random\n{named.text}", k) for k in range(seeds)]
        won = [draws[k * most + places[unit, k]] for k in range(seeds)]
        made, seen = pictured(some + won)
        for k in range(seeds):
            for kept, place in ((random, k), (best, seeds + k)):
                kept.append(Record(unit, "", k, made[place], seen[place]))
    return RandomPictures(random, best, scores.max(axis=1).T)


def reconstruct_photos(job: Job, photos: Photos, seeds: int) -> list[Record]:
    """Return each unit's best photos as a job's param reconstructs them."""
    param, records = job.param, []
    if param.encode is None:
        return []
    for unit, top in enumerate(photos.top):
        places = top[:seeds]
        given = views.resized()(tf.constant(photos.floats(places)), param.shape)
        given = tf.clip_by_value(given, 0, 1)  # resizing may overshoot
        made = to_floats(to_bytes(np.asarray(param.decode(param.encode(given)))))
        seen = np.asarray(job.shown(made))
        records += [
            Record(unit, "", seed, made[seed], seen[seed], int(place))
            for seed, place in enumerate(places)
        ]
    return records


class _PictureMaker:
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
