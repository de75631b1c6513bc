"""Pictures whose unit never had a gradient: what was tried, and the warning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from tfviz._ascent import REDIRECTED_STEPS, Ascent

RANDOM_IMAGES = 32


@dataclass(frozen=True)
class Stuck:
    """What was tried for a picture in vain.

    Attributes:
        name: What it was to show.
        steps: Steps taken.
        redirected: How many of the first of them had the redirected gradient.
        score: The highest in all steps.
        random_score: The highest over `random_images`.
    """

    name: str
    steps: int
    redirected: int
    score: float
    random_score: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.name} (highest score {self.score:.4g} in {self.steps} steps, "
            f"{self.redirected} with redirected gradients, and "
            f"{self.random_score:.4g} over {RANDOM_IMAGES} random images)"
        )


def investigated(
    ascent: Ascent,
    names: Mapping[int, str],
    history: NDArray[np.float32],
    shape: tuple[int, int, int, int],
) -> tuple[Stuck, ...]:
    """Say what was tried for some pictures of a batch, and try random images.

    Args:
        ascent: What rendered it.
        names: What the pictures were to show, by their slots.
        history: The scores of the batch `(steps, n)`.
        shape: Of a batch of images.
    """
    scores = [
        ascent.score_units(np.broadcast_to(image, shape))
        for image in random_images(*shape[1:])
    ]
    steps = len(history)
    return tuple(
        Stuck(
            name,
            steps,
            min(steps, REDIRECTED_STEPS),
            float(history[:, slot].max()),
            float(np.max(scores, axis=0)[slot]),
        )
        for slot, name in names.items()
    )


def random_images(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """Return images in [0, 1], from noise in single pixels to plain colours.

    >>> random_images(20, 30, 3).shape
    (32, 20, 30, 3)
    """
    generator = np.random.default_rng(0)
    found = []
    for cell in (1, 4, 16, max(height, width)):
        shape = (RANDOM_IMAGES // 4, -(-height // cell), -(-width // cell), channels)
        noise = generator.random(shape, np.float32)
        noise = noise.repeat(cell, axis=1).repeat(cell, axis=2)
        found.append(noise[:, :height, :width])
    return np.concatenate(found)


def warn_stuck(stuck: Sequence[Stuck]) -> None:
    """Warn of pictures whose unit never had a gradient, if there are any."""
    if stuck:
        shown = ", ".join(map(str, stuck[:5])) + (", ..." if len(stuck) > 5 else "")
        warn(
            f"{len(stuck)} unit(s) never fired, so their pictures show nothing: "
            f"{shown}. Try another seed, more steps, or a photo as the start.",
            stacklevel=3,
        )
