"""Which pictures are made together, and what makes each of them its own."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfviz import objectives
from tfviz._objective import Objective

LARGEST_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Picture:
    """One picture to be made.

    Attributes:
        name: What it shows, for people.
        text: The same in canonical form.
        repeat: How many equal texts stand before it in the job.
        slot: Its place in the batch.
        batch_size: The size of the batch.
        seed: Two numbers made of the job's seed, `text` and `repeat`.
    """

    name: str
    text: str
    repeat: int
    slot: int
    batch_size: int
    seed: tuple[int, int]

    @property
    def spec(self) -> dict[str, Any]:
        """What makes this picture differ from others of its job."""
        return {
            "unit": self.text,
            "repeat": self.repeat,
            "slot": self.slot,
            "batch_size": self.batch_size,
        }


@dataclass(frozen=True)
class Planned:
    """Pictures that are made together.

    Attributes:
        objective: One unit for each of `places`.
        places: Of the pictures in the job.
        slots: Of the pictures in the batch.
        size: Of the batch.
    """

    objective: Objective
    places: tuple[int, ...]
    slots: tuple[int, ...]
    size: int


def plan_batches(units: list[Objective], batch_size: int | None) -> list[Planned]:
    """Plan the batches: those of one kind together, in the order asked for."""
    groups: dict[Any, tuple[list[Objective], list[int]]] = {}
    place = 0
    for unit in units:
        members, places = groups.setdefault(unit.kind, ([], []))
        members.append(unit)
        places.extend(range(place, place + len(unit)))
        place += len(unit)
    planned = []
    for members, places in groups.values():
        joined = objectives.join(members)
        size = batch_size or min(len(places), LARGEST_DEFAULT_BATCH)
        for first in range(0, len(places), size):
            chunk = tuple(places[first : first + size])
            part = joined[range(first, first + len(chunk))]
            slots = tuple(range(len(chunk)))
            planned.append(Planned(part, chunk, slots, size))
    return planned


def plan_pictures(
    units: list[Objective], repeats: list[int], batches: list[Planned], seed: int
) -> list[Picture]:
    """Name and seed the pictures, in the order asked for."""
    texts = [text for unit in units for text in unit.texts]
    names = [name for unit in units for name in unit.names]
    at = {
        place: (slot, planned.size)
        for planned in batches
        for place, slot in zip(planned.places, planned.slots, strict=True)
    }
    rows = zip(names, texts, repeats, strict=True)
    return [
        Picture(name, text, repeat, *at[place], _hashed(seed, text, repeat))
        for place, (name, text, repeat) in enumerate(rows)
    ]


def count_repeats(texts: list[str]) -> list[int]:
    """Return for each text how many equal ones stand before it."""
    seen: dict[str, int] = {}
    repeats = []
    for text in texts:
        repeats.append(seen.get(text, 0))
        seen[text] = repeats[-1] + 1
    return repeats


def _hashed(seed: int, text: str, repeat: int) -> tuple[int, int]:
    """Return a picture's own seed, which does not depend on its place."""
    key = f"{seed}\n{text}\n{repeat}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    first, second = np.frombuffer(digest, "<i4").tolist()
    return first, second
