"""What is judged in a comparison: pictures, and the photos beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.images import to_floats

# Photos to which a unit responds most, that stand for it.
TOP = 9


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


@dataclass
class Record:
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


def places_by_unit(records: Sequence[Record]) -> dict[int, list[int]]:
    """Return the places of each unit's pictures."""
    found: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        found.setdefault(record.unit, []).append(place)
    return found
