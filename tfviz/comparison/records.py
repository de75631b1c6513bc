"""The data of a comparison: units, photos, and the pictures that are measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.images import to_floats

# The number of photos that stand for a unit: those to which it responds most.
TOP_PHOTOS = 9


@dataclass(frozen=True)
class Unit:
    """The names of a unit.

    Attributes:
        name: The name that readers see.
        text: The text in canonical form that `objectives.parse` reads.
        target: The index of the class, if the unit is a class, or None.
        depth: The place of the unit's layer among those of the network, from early to
            late.
    """

    name: str
    text: str
    target: int | None
    depth: int = 0


@dataclass(frozen=True)
class Photos:
    """The user's photos, with the units' scores and the judges' features of them.

    Attributes:
        pictures: The photos as the network sees them, `(m, h, w, c)`, as bytes.
        scores: The scores of the units, `(m, units)`.
        features: The features `(m, d)` by the name of the judge.
        top: The indices of the photos to which each unit responds most, best first,
            `(units, TOP_PHOTOS)`.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]]
    top: NDArray[np.int64]

    def floats(self, places: Any) -> NDArray[np.float32]:
        """Return the photos at some indices, in [0, 1]."""
        return to_floats(self.pictures[places])


@dataclass
class Record:
    """A picture of a unit that is to be measured.

    Attributes:
        unit: The index of the unit.
        method: The name of the method that made the picture.
        seed: The number of the picture among those of its unit and method, from 0.
        picture: The picture as it is saved, `(height, width, channels)` in [0, 1].
        seen: The same picture as the network sees it.
        photo: The index of the photo that this is, or was made from; -1 for none.
        best_of_n: The score of the best random picture, which this one should exceed,
            or None.
        facts: Further columns of the picture's row in the results.
    """

    unit: int
    method: str
    seed: int
    picture: NDArray[np.float32]
    seen: NDArray[np.float32]
    photo: int = -1
    best_of_n: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def places_by_unit(records: Sequence[Record]) -> dict[int, list[int]]:
    """Return the indices of the records of each unit."""
    places: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        places.setdefault(record.unit, []).append(place)
    return places
