"""What is judged in a comparison: pictures, and the photos beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import measures
from tfviz._scorer import Scorer
from tfviz.images import to_floats
from tfviz.judges import Judge

# Photos to which a unit responds most, that stand for it.
TOP = 9
# How many photos are judged at once.
CHUNK = 50


@dataclass(frozen=True)
class Unit:
    """What a unit is called.

    Attributes:
        name: For people.
        text: In canonical form.
        target: The class that it is, or None.
    """

    name: str
    text: str
    target: int | None


@dataclass(frozen=True)
class Photos:
    """The user's photos, as the network sees them, and what is known of them.

    Attributes:
        pictures: `(m, h, w, c)`, of bytes.
        scores: `(m, units)`.
        features: `(m, d)` by judge.
        top: `(units, TOP)`, the photos to which each unit responds most, best first.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]]
    top: NDArray[np.int64]

    def floats(self, places: Any) -> NDArray[np.float32]:
        """Return some of them, in [0, 1]."""
        return to_floats(self.pictures[places])


def looked_at(
    pictures: NDArray[np.uint8], scorer: Scorer, judges: Sequence[Judge]
) -> Photos:
    """Return photos with what the network and the judges make of them.

    Raises:
        ValueError: If a judge cannot take them, or they do not do as what pictures are
            compared with, such as copies of one photo.
    """
    scores: list[NDArray[np.float32]] = []
    features: dict[str, list[Any]] = {j.name: [] for j in judges if j.features}
    for first in range(0, len(pictures), CHUNK):
        part = to_floats(pictures[first : first + CHUNK])
        scores.append(scorer(part))
        for judge in judges:
            if judge.features:
                features[judge.name].append(judge.features(part))
    found = np.concatenate(scores)
    order = np.argsort(-found, axis=0, kind="stable")[:TOP].T
    known = {name: np.concatenate(parts) for name, parts in features.items()}
    for rows in known.values():
        measures.nearest_ratio(rows[:1], rows)
    return Photos(pictures, found, known, order)


@dataclass
class Exhibit:
    """A picture of a unit that is judged.

    Attributes:
        unit: Number of the unit.
        method: What made it.
        seed: From 0.
        picture: `(height, width, channels)` in [0, 1], as it is saved.
        seen: The same as the network is shown it.
        photo: The photo that it is, or was made from; -1 for none.
        best_of_n: What it is to be better than, or None.
        facts: What else its row says.
    """

    unit: int
    method: str
    seed: int
    picture: NDArray[np.float32]
    seen: NDArray[np.float32]
    photo: int = -1
    best_of_n: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def by_unit(exhibits: Sequence[Exhibit]) -> dict[int, list[int]]:
    """Return the places of each unit's pictures."""
    found: dict[int, list[int]] = {}
    for place, exhibit in enumerate(exhibits):
        found.setdefault(exhibit.unit, []).append(place)
    return found
