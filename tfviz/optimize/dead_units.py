"""Dead units, which have no gradient anywhere: starts that wake them, and a report."""

from collections.abc import Iterator, Sequence
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
    """A unit that stayed dead, with the attempts to wake it.

    Attributes:
        name: The unit.
        steps: The number of steps that were taken.
        score: The highest score in all steps.
        random_score: The highest score over `random_images`.
        restarted: Whether the optimization started anew from the best of these images.
    """

    name: str
    steps: int
    score: float
    random_score: float
    restarted: bool = False

    def __str__(self) -> str:
        """Return a line for people."""
        redirected = min(self.steps, REDIRECTED_STEPS)
        restarted = "; a second attempt, from the best of these, failed as well"
        return (
            f"{self.name} (highest score {self.score:.4g} in {self.steps} steps, "
            f"{redirected} with redirected gradients, and {self.random_score:.4g} "
            f"over {RANDOM_IMAGES} random images{restarted if self.restarted else ''})"
        )


def best_random_images(
    runner: Runner, seeds: NDArray[np.int32], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return for each slot of a batch the random image that excites its unit most.

    Args:
        runner: Holds the units of the batch.
        seeds: `(n, 2)`, the seeds of the slots. A slot's images depend on its own seed
            alone, and not on its neighbours.
        shape: The shape of an image.

    Returns:
        The images `(n, height, width, channels)` in [0, 1], and their scores `(n,)`.
    """
    best = np.zeros((len(seeds), *shape), np.float32)
    scores = np.full(len(seeds), -np.inf, np.float32)
    for images in zip(*(random_images(*shape, seed) for seed in seeds), strict=True):
        batch = np.stack(images)
        new = runner.score_units(batch)
        better = new > scores
        best[better], scores[better] = batch[better], new[better]
    return best, scores


def random_images(
    height: int, width: int, channels: int, seed: Sequence[int] | NDArray[np.int32]
) -> Iterator[NDArray[np.float32]]:
    """Yield images in [0, 1], from noise in single pixels to plain colours.

    Args:
        height: The height of the images.
        width: Their width.
        channels: The number of their channels.
        seed: Two integers; others give other images.

    >>> [image.shape for image in random_images(20, 30, 3, (0, 0))].count((20, 30, 3))
    32
    """
    generator = np.random.default_rng([int(part) % 2**32 for part in seed])
    for cell in (1, 4, 16, max(height, width)):
        shape = (-(-height // cell), -(-width // cell), channels)
        for _ in range(RANDOM_IMAGES // 4):
            noise = generator.random(shape, np.float32)
            yield noise.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]


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
