"""Dead units, which have no gradient anywhere: a report on them, and a warning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from tfviz._errors import argument, count_of
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import REDIRECTED_STEPS

RANDOM_IMAGES = 32
# A warning names dead units up to this number.
_NAMED = 5


@dataclass(frozen=True)
class DeadUnit:
    """A dead unit, with the attempts to wake it.

    Attributes:
        name: The unit.
        steps: The number of steps that were taken.
        redirected: How many of the first of them had the redirected gradient.
        score: The highest score in all steps.
        random_score: The highest score over `random_images`.
    """

    name: str
    steps: int
    redirected: int
    score: float
    random_score: float

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.name} (highest score {self.score:.4g} in {self.steps} steps, "
            f"{self.redirected} with redirected gradients, and "
            f"{self.random_score:.4g} over {RANDOM_IMAGES} random images)"
        )


def investigate(
    runner: Runner,
    names: Mapping[int, str],
    history: NDArray[np.float32],
    shape: tuple[int, int, int, int],
) -> tuple[DeadUnit, ...]:
    """Report on the dead units of a batch, after trying random images as well.

    Args:
        runner: What rendered the batch.
        names: The dead units by their slots.
        history: The scores of the batch `(steps, n)`.
        shape: The shape of a batch of images.
    """
    scores = [
        runner.score_units(np.broadcast_to(image, shape))
        for image in random_images(*shape[1:])
    ]
    steps = len(history)
    return tuple(
        DeadUnit(
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
    images = []
    for cell in (1, 4, 16, max(height, width)):
        shape = (RANDOM_IMAGES // 4, -(-height // cell), -(-width // cell), channels)
        noise = generator.random(shape, np.float32)
        noise = noise.repeat(cell, axis=1).repeat(cell, axis=2)
        images.append(noise[:, :height, :width])
    return np.concatenate(images)


def warn_of_dead_units(dead: Sequence[DeadUnit]) -> None:
    """Warn of dead units, if there are any."""
    if dead:
        named = ", ".join(map(str, dead[:_NAMED])) + ", ..." * (len(dead) > _NAMED)
        warn(
            f"{count_of(len(dead), 'dead unit')}, whose "
            f"{'picture shows' if len(dead) == 1 else 'pictures show'} nothing: "
            f"{named}. Try another {argument('seed')}, more {argument('steps')}, or a "
            f"photo for {argument('start')}.",
            stacklevel=4,
        )
