"""Baselines of a comparison: random pictures, and reconstructed photos."""

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
from tfviz.models.inputs import apply_in_batches
from tfviz.optimize.batch import picture_seed
from tfviz.optimize.job import Job

# The number of random pictures that are made at once. Two or three seeds of a unit
# need no more.
CHUNK = 8


@dataclass(frozen=True)
class RandomPictures:
    """Random pictures of a method.

    Attributes:
        random: One random picture for each unit and seed, not selected by its score.
        best: For each unit and seed, the random picture with the highest score.
        scores: The scores of the best pictures, `(units, seeds)`.
    """

    random: list[Record]
    best: list[Record]
    scores: NDArray[np.float32]


def draw_random_pictures(
    job: Job,
    scorer: UnitScorer,
    units: Sequence[Unit],
    counts: NDArray[np.int64],
    seed: int,
) -> RandomPictures:
    """Draw random pictures of a job's param, and select the best for each unit.

    For one seed, all units select from the same sequence of pictures, each from its
    first `counts[unit, seed]`. A unit's pictures therefore do not depend on the other
    units and methods in the comparison, and methods with the same param draw the same.

    Args:
        job: The job of the method.
        scorer: The scorer of the units.
        units: The units.
        counts: The numbers of random pictures from which the best are selected,
            `(units, seeds)`.
        seed: The random seed of the comparison.
    """
    draw = _PictureMaker(job)
    seeds, most = counts.shape[1], int(counts.max())
    draws = [
        picture_seed(seed, f"random {s}", k) for s in range(seeds) for k in range(most)
    ]
    scores = np.concatenate(
        [scorer(draw(draws[i : i + CHUNK])[1]) for i in range(0, len(draws), CHUNK)]
    ).reshape(seeds, most, -1)
    allowed = np.arange(most)[None, :, None] < counts.T[:, None, :]
    scores = np.where(allowed, scores, -np.inf)
    places = scores.argmax(axis=1).T
    random: list[Record] = []
    best: list[Record] = []
    for unit, text in enumerate(unit.text for unit in units):
        unselected = [picture_seed(seed, f"random\n{text}", k) for k in range(seeds)]
        selected = [draws[k * most + places[unit, k]] for k in range(seeds)]
        pictures, seen = draw(unselected + selected)
        for k in range(seeds):
            for records, place in ((random, k), (best, seeds + k)):
                records.append(Record(unit, "", k, pictures[place], seen[place]))
    return RandomPictures(random, best, scores.max(axis=1).T)


def reconstruct_photos(job: Job, photos: Photos, seeds: int) -> list[Record]:
    """Return each unit's best photos as a job's param reconstructs them.

    Args:
        job: The job of the method.
        photos: The evaluated photos.
        seeds: The number of photos of each unit.

    Returns:
        The records; none if the param has no encoder.
    """
    param, records = job.param, []
    if param.encode is None:
        return []
    for unit, top in enumerate(photos.top):
        places = top[:seeds]
        resized = views.resized()(tf.constant(photos.floats(places)), param.shape)
        resized = tf.clip_by_value(resized, 0, 1)  # resizing may overshoot
        decoded = np.asarray(param.decode(param.encode(resized)))
        pictures = to_floats(to_bytes(decoded))
        seen = np.asarray(job.shown(pictures))
        records += [
            Record(unit, "", seed, pictures[seed], seen[seed], int(place))
            for seed, place in enumerate(places)
        ]
    return records


class _PictureMaker:
    """Makes random pictures of a job's param, as saved and as the network sees them."""

    def __init__(self, job: Job) -> None:
        def make(seeds: Any) -> tuple[Any, Any]:
            pictures = job.param.decode(job.param.init(seeds))
            pictures = tf.round(tf.clip_by_value(pictures, 0, 1) * 255) / 255
            return pictures, job.shown(pictures)

        self._make = tf.function(make, autograph=False)

    def __call__(
        self, seeds: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        pairs = np.array(seeds, np.int32)
        return apply_in_batches(self._make, CHUNK, pairs, fill=True)
