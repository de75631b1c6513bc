"""What a training makes on the way: drawn, and looked at for collapse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfviz import images

SAMPLES = "samples.png"
# How many held-out photos are drawn, with what is made of them.
SHOWN = 16
# Made images that differ from each other less than this part of what photos do are
# one image. Those of a blurred but healthy generator differ by more than a half.
COLLAPSED = 0.25


class CollapsedError(RuntimeError):
    """A training that makes one image over and over, or numbers that are none."""


def draw(photos: NDArray, rows: Sequence[NDArray], path: Path) -> None:
    """Draw photos in a row, and what was made of them in rows below."""
    pictures = [picture for row in [photos, *rows] for picture in row]
    captions = [""] * len(pictures)
    images.save(images.sheet(pictures, captions, len(photos)), path)


def check_variety(photos: NDArray, rows: Sequence[NDArray], step: int) -> None:
    """Refuse made images that are much more alike than photos are.

    Args:
        photos: `(n, height, width, 3)` in [0, 1].
        rows: The same, made of different photos or codes.
        step: How many steps are taken, for the message.

    Raises:
        CollapsedError: If they are.
    """
    usual = variety(photos)
    for row in rows:
        found = variety(row)
        if not found >= COLLAPSED * usual:
            raise CollapsedError(
                f"After {step} steps images of different codes differ only "
                f"{found / usual:.0%} as much as photos do ({SAMPLES} shows them): the "
                "training has collapsed. Start in another folder with another seed, a "
                "lower learning rate, or more photos that differ more."
            )


def variety(pictures: NDArray) -> float:
    """Return the root mean squared difference of two pictures, averaged over pairs.

    >>> variety(np.array([0.0, 0.0, 0.3]).reshape(3, 1, 1, 1)).__round__(3)
    0.2
    """
    flat = np.reshape(pictures, (len(pictures), -1)).astype(np.float64)
    flat -= flat.mean(axis=0)
    products = flat @ flat.T
    lengths = np.diag(products)
    squares = lengths[:, None] + lengths[None] - 2 * products
    distances = np.sqrt(np.maximum(squares, 0) / flat.shape[1])
    return float(distances[~np.eye(len(flat), dtype=bool)].mean())
