"""From a training to the file of a prior."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _store
from ._samples import CollapsedError

# Batches from which the statistics of normalizations are measured.
SETTLED = 64


class Trained(Protocol):
    """What a prior's file is made of.

    Attributes:
        batch: Photos at a time.
        exported: The variables that are exported, by name.
    """

    batch: int
    exported: Mapping[str, Any]

    def settle(self, photos: Iterable[Any]) -> None:
        """Measure what belongs to the weights and is not learned, over batches."""

    def remade(self, photos: NDArray) -> NDArray:
        """Return reconstructions of photos in [0, 1]."""

    def product(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return settings and arrays."""


def export(
    recipe: Trained,
    photos: Iterable[Any],
    held_out: NDArray[np.float32],
    path: Path,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the file of a prior, and return its settings.

    Everything is measured with the weights as the file holds them.

    Args:
        recipe: With its averaged weights.
        photos: Batches to learn from, for statistics.
        held_out: `(n, size, size, 3)` in [0, 1].
        path: Ends in `.npz`.
        facts: What else the file shall tell.

    Raises:
        CollapsedError: If the images made of photos are not finite.
    """
    recipe.settle(photos)
    values = {name: np.asarray(v) for name, v in recipe.exported.items()}
    for name, value in _store.halved(values).items():
        recipe.exported[name].assign(value.astype(np.float32))
    fidelity = psnr(recipe, held_out)
    if not np.isfinite(fidelity):
        raise CollapsedError(
            "The images made of photos are not finite. Start in another folder with a "
            "lower learning rate."
        )
    settings, arrays = recipe.product(held_out)
    settings |= dict(facts) | {"psnr": round(fidelity, 3)}
    _store.save(path, settings, arrays)
    return settings


def psnr(recipe: Trained, photos: NDArray[np.float32]) -> float:
    """Return the peak signal-to-noise ratio of reconstructions, in dB, over photos."""
    found = []
    for first in range(0, len(photos), recipe.batch):
        part = photos[first : first + recipe.batch]
        made = np.clip(recipe.remade(part), 0, 1)
        error = np.mean((made - part) ** 2, axis=(1, 2, 3), dtype=np.float64)
        found.append(-10 * np.log10(np.maximum(error, 1e-10)))
    return float(np.concatenate(found).mean())
