"""Sample images of a training: drawn to a file, and checked for collapse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfviz import images

SAMPLES = "samples.png"
# The number of held-out photos that are drawn with their reconstructions.
SAMPLE_COUNT = 16
# Made images count as collapsed if their variety is less than this fraction of that of
# photos. A healthy generator, even a blurred one, has more than a half.
LEAST_VARIETY = 0.25


class CollapsedError(RuntimeError):
    """A training failed: it makes one image over and over, or NaN or infinity."""


def draw(photos: NDArray, rows: Sequence[NDArray], path: Path) -> None:
    """Draw photos in a row, and the rows of images made from them below."""
    pictures = [picture for row in [photos, *rows] for picture in row]
    captions = [""] * len(pictures)
    images.save(images.sheet(pictures, captions, len(photos)), path)


def check_variety(photos: NDArray, rows: Sequence[NDArray], step: int) -> None:
    """Refuse made images that are much more alike than photos are.

    Args:
        photos: `(n, height, width, 3)` in [0, 1].
        rows: Arrays of the same shape, each with images made from different photos or
            codes.
        step: The number of steps taken so far, for the message.

    Raises:
        CollapsedError: If the images of a row are nearly the same.
    """
    photo_variety = variety(photos)
    for row in rows:
        row_variety = variety(row)
        if not row_variety >= LEAST_VARIETY * photo_variety:  # also if it is NaN
            raise CollapsedError(
                f"After {step} steps images made from different photos or codes differ "
                f"only {row_variety / photo_variety:.0%} as much as photos do (see "
                f"{SAMPLES}): the training has collapsed. Start again in another "
                "folder with another seed, a lower learning rate, or more diverse "
                "photos."
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
