"""How far a judge puts pictures from photos that are no pictures of anything.

Distances of different judges do not compare: one puts grey pictures at 1.4 times the
distance of photos, another at 1.1. So each judge measures references of its own, made
from the user's photos, and gets a threshold of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures, transforms
from tfviz._files import finite_or_none
from tfviz.comparison.records import Photos
from tfviz.comparison.summary import Interval, interval
from tfviz.images import to_bytes, to_floats
from tfviz.judges import Judge

# The number of pictures of each kind, except for the photos themselves.
COUNT = 24
# The standard deviation of the blur as a share of the shorter side: 12 of 224 pixels.
BLUR = 12 / 224
# The name of the photos among the references.
PHOTOS_THEMSELVES = "photos"


def measure_references(
    photos: Photos, judges: Sequence[Judge], seed: int
) -> list[dict[str, Any]]:
    """Measure by each judge how far photos, and pictures of nothing, are from photos.

    The pictures of nothing are grey, white noise, or blurred photos. The threshold
    between near and far is midway between photos and the nearest of these, which must
    be distinctly further from photos than photos are: the intervals must not overlap.

    Args:
        photos: The evaluated photos.
        judges: The judges; those without features are left out.
        seed: The random seed of the noise.

    Returns:
        For each judge the name of its `measure`, its `threshold` or None, and its
        `pictures`: for each kind the `name`, the mean distance with its interval over
        pictures, and the number of pictures.
    """
    made = make_references(photos, seed)
    references = []
    for judge in judges:
        if judge.features is None:
            continue
        of_photos = photos.features[judge.name]
        everything = list(range(len(of_photos)))
        distances = {
            PHOTOS_THEMSELVES: measures.nearest_ratio(
                of_photos, of_photos, exclude=everything
            )
        }
        for name, (pictures, sources) in made.items():
            distances[name] = measures.nearest_ratio(
                judge.features(pictures), of_photos, exclude=sources
            )
        means = {name: interval(values) for name, values in distances.items()}
        references.append(
            {
                "measure": f"nearest_ratio@{judge.name}",
                "threshold": _threshold(means),
                "pictures": [
                    {
                        "name": name,
                        "mean": finite_or_none(mean.value),
                        "low": finite_or_none(mean.low),
                        "high": finite_or_none(mean.high),
                        "pictures": mean.units,
                    }
                    for name, mean in means.items()
                ],
            }
        )
    return references


def make_references(
    photos: Photos, seed: int
) -> dict[str, tuple[NDArray[np.float32], list[int]]]:
    """Return pictures of nothing by kind, each with the photo it is made from or -1.

    Args:
        photos: The photos.
        seed: The random seed of the noise.
    """
    shape = photos.pictures.shape[1:]
    levels = np.linspace(0.1, 0.9, COUNT, dtype=np.float32)
    grey = np.broadcast_to(levels[:, None, None, None], (COUNT, *shape))
    noise = np.random.default_rng(abs(seed)).uniform(size=(COUNT, *shape))
    count = min(COUNT, len(photos.pictures))
    sources = np.linspace(0, len(photos.pictures) - 1, count).astype(int).tolist()
    blur = transforms.blur(BLUR * min(shape[:2]))
    blurred = blur(tf.constant(photos.floats(sources)), tf.zeros((count, 2), tf.int32))
    none = [-1] * COUNT
    return {
        "grey pictures": (_as_saved(grey), none),
        "white noise": (_as_saved(noise), none),
        "blurred photos": (_as_saved(np.asarray(blurred)), sources),
    }


def _as_saved(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Return pictures in 8 bits, as all pictures are measured."""
    return to_floats(to_bytes(np.clip(pictures, 0, 1)))


def _threshold(means: dict[str, Interval]) -> float | None:
    """Return the distance midway between photos and the nearest pictures of nothing.

    Returns:
        The distance, or None if these are not distinctly further than photos.
    """
    of_photos = means[PHOTOS_THEMSELVES]
    unlike = [m for k, m in means.items() if k != PHOTOS_THEMSELVES and m.units]
    if not unlike:
        return None
    nearest = min(unlike, key=lambda mean: mean.value)
    if not nearest.low > of_photos.high:
        return None
    return (of_photos.value + nearest.value) / 2
