"""Which pictures are made together, and what makes each of them its own."""

import hashlib
import math
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
        group: How many pictures in a row belong together.
    """

    objective: Objective
    places: tuple[int, ...]
    slots: tuple[int, ...]
    size: int
    group: int

    def filled(self, wanted: list[int]) -> list[int]:
        """Return for each slot the index of the picture that is made in it.

        Slots without a picture of their own repeat others; groups stay whole.

        Args:
            wanted: Indices into `places`; others need not be made.
        """
        if self.group == 1:
            filled = [wanted[0]] * self.size
            shown = wanted
        else:
            filled = list(range(self.group)) * (self.size // self.group)
            shown = list(range(len(self.places)))
        for i in shown:
            filled[self.slots[i]] = i
        return filled


def plan_batches(
    units: list[Objective], batch_size: int | None, together: int = 1
) -> list[Planned]:
    """Plan the batches: those of one kind together, in the order asked for.

    Args:
        units: What is to be rendered.
        batch_size: Of each batch; by default up to 8, or as many as a group has.
        together: Pictures in a row that must share a batch whatever they show.

    Raises:
        ValueError: If a group would be torn apart.
    """
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
        group = math.lcm(joined.group, together)
        size = batch_size or min(len(places), max(LARGEST_DEFAULT_BATCH, group))
        size = size if batch_size else size - size % group
        if len(places) % group or size % group or not size:
            raise ValueError(
                f"{joined.names[0]} and its like come in groups of {group} pictures, "
                f"so their number and the batch size must be multiples of {group}. "
                f"Received: {len(places)} pictures, batch_size={batch_size}"
            )
        for first in range(0, len(places), size):
            chunk = tuple(places[first : first + size])
            part = joined[range(first, first + len(chunk))]
            slots = tuple(range(len(chunk)))
            planned.append(Planned(part, chunk, slots, size, group))
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
        Picture(name, text, repeat, *at[place], hashed(seed, text, repeat))
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


def hashed(seed: int, text: str, repeat: int) -> tuple[int, int]:
    """Return a picture's own seed, which does not depend on its place."""
    key = f"{seed}\n{text}\n{repeat}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    first, second = np.frombuffer(digest, "<i4").tolist()
    return first, second
