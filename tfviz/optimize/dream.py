"""DeepDream: a photo is changed until a unit sees in it what it responds to."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any
from warnings import warn

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from tfviz import objectives
from tfviz._errors import argument, count_of
from tfviz.images import to_bytes, to_floats
from tfviz.models.adapter import Adapter, adapt, provenance
from tfviz.objectives._base import Objective
from tfviz.optimize.batch import Progress, plan_batches, plan_pictures
from tfviz.optimize.job import Callback
from tfviz.optimize.options import check_numbers
from tfviz.optimize.result import Result
from tfviz.optimize.step import REDIRECTED_STEPS
from tfviz.optimize.tiles import Size, Tiles, count_tiles, even_tile
from tfviz.params._base import check_positive_integers, check_unit_range
from tfviz.transforms._base import uniform

# Tiles are at most this large by default, as memory grows with them.
LARGEST_TILE = 512
# A smaller octave shows nothing but blots.
SMALLEST_OCTAVE = 16

Floats = NDArray[np.float32]


def dream(
    model: Any,
    image: ArrayLike,
    objective: Any,
    *,
    octaves: int = 4,
    ratio: float = 1.4,
    steps: int = 10,
    learning_rate: float = 0.005,
    tile: int | None = None,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Change a photo until a unit sees in it what it responds to (DeepDream).

    Mordvintsev et al.,
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks/:
    gradient ascent from the photo, first on a small copy of it, then on larger copies
    (octaves), each of which inherits the details that were dreamed into the smaller.
    The gradient is computed tile by tile, on a grid that moves at random before each
    step, so that memory hardly grows with the photo. Photos are continued by their
    mirror images at the borders.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        image: The photo, `(height, width, channels)` in [0, 1].
        objective: What to maximize, for one picture: an `Objective`, or a text that
            `objectives.parse` reads. A layer (`fire8`) gives DeepDream's mean of
            squares. A position in a layer's map would be another place of the photo in
            each tile, and is refused.
        octaves: The number of sizes at which the photo is dreamed on, its own
            included. Dreamed details have about the same size in pixels on each of
            them, so that a large photo needs more octaves for large details.
        ratio: The ratio of the sizes of two octaves.
        steps: The number of gradient steps in each octave.
        learning_rate: The mean change of a pixel's value in a step.
        tile: The side of the square tiles, in pixels; by default the size of the
            model's input or, where it takes any size, one that divides the photo
            evenly, at most 512.
        seed: The random seed; another seed gives other pictures of the same photo.
        callbacks: Functions called as `callback(progress)` after every step; see
            `Progress`, whose images have the size of the octave. One that returns True
            ends the dream there.

    Returns:
        One picture of the photo's size. Its score is the mean of the scores of tiles
        that cover it; `spec["photo_score"]` is the score of the photo. `history` has
        the mean scores of the octave's picture before each step.

    Raises:
        ValueError: If something does not fit: the image, a unit, the tile, the number
            of octaves.
        TypeError: If the objective is not one.
        FloatingPointError: If a score is not finite.

    Warns:
        UserWarning: If the unit is dead, so that the picture means nothing.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> photo = np.random.default_rng(0).random((60, 80, 3))
    >>> result = tfviz.dream(model, photo, "fire3", octaves=2, steps=3)
    >>> result.images.shape, bool(result.scores[0] > result.spec["photo_score"])
    ((1, 60, 80, 3), True)
    """
    work = Dream(
        model,
        image,
        objective,
        octaves=octaves,
        ratio=ratio,
        steps=steps,
        learning_rate=learning_rate,
        tile=tile,
        seed=seed,
    )
    return work.run(callbacks)


class Dream:
    """A dream: everything it needs is checked before any work, and then it is run.

    It cannot use the runner of `render`, which holds whole pictures as variables of one
    compiled step: here the gradient of a picture of any size is put together from
    tiles, so that memory grows with the tile and not with the picture.

    Attributes:
        sizes: The height and width of each octave, the smallest first.
        steps: The number of gradient steps in each octave.
        tiles: Computes the gradient.
    """

    def __init__(
        self,
        model: Any,
        image: ArrayLike,
        objective: Any,
        *,
        octaves: int,
        ratio: float,
        steps: int,
        learning_rate: float,
        tile: int | None,
        seed: int,
    ) -> None:
        _check_numbers(octaves, ratio, steps, learning_rate, tile)
        adapter = adapt(model)
        self._photo = _checked_image(image, adapter)
        self.sizes = octave_sizes(self._photo.shape[:2], int(octaves), float(ratio))
        self.steps, self._rate = int(steps), float(learning_rate)
        size = _tile_size(tile, adapter, self.sizes[-1])
        unit = _only_unit(objective, adapter).bound(adapter, size)
        _refuse_positions(unit)
        self.tiles = Tiles(adapter, unit, size)
        (self._picture,) = plan_pictures(
            [unit], [0], plan_batches([unit], 1), int(seed)
        )
        self._settings = {
            **provenance(adapter),
            "octaves": len(self.sizes),
            "ratio": float(ratio),
            "steps": self.steps,
            "learning_rate": self._rate,
            "tile": list(size),
            "seed": int(seed),
            "photo": hashlib.blake2b(self._photo.tobytes(), digest_size=16).hexdigest(),
        }

    def tiles_in(self, octave: int) -> int:
        """Return how many tiles a step takes in an octave."""
        height, width = self.sizes[octave]
        rows = count_tiles(height, self.tiles.size[0])
        return rows * count_tiles(width, self.tiles.size[1])

    def run(self, callbacks: Sequence[Callback] = ()) -> Result:
        """Run all octaves, and return the picture.

        Args:
            callbacks: As for `dream`.

        Raises:
            FloatingPointError: If a score is not finite.

        Warns:
            UserWarning: If the unit is dead.
        """
        photo_score = self.tiles.score(self._photo)
        history: list[float] = []
        fired, stopped = False, False
        picture = plain = resized(self._photo, self.sizes[0])
        for octave, size in enumerate(self.sizes):
            dreamed = resized(picture - plain, size)
            plain = resized(self._photo, size)
            picture = np.clip(plain + dreamed, 0, 1)
            del dreamed
            for _ in range(self.steps):
                if stopped:
                    break
                score, alive = self._step(picture, len(history))
                fired |= alive
                history.append(score)
                stopped = self._call(callbacks, picture, history, octave)
        if not fired:
            warn(
                f"{self._picture.name} is a dead unit on this photo: its gradient was "
                f"zero in all {count_of(len(history), 'step')}, so the picture shows "
                "nothing of it. Try another unit or photo.",
                stacklevel=3,
            )
        pixels = to_floats(to_bytes(picture))
        scores = np.array([self.tiles.score(pixels)], np.float32)
        return Result(
            images=pixels[None],
            scores=scores,
            unit_scores=scores,
            history=np.array(history, np.float32)[:, None],
            steps=np.array([len(history)], np.int32),
            stopped=("callback" if stopped else None,),
            stuck=np.array([not fired]),
            names=(self._picture.name,),
            spec=self._settings
            | {"photo_score": photo_score, "pictures": [{"dream": self._picture.text}]},
        )

    def _step(self, picture: Floats, number: int) -> tuple[float, bool]:
        """Move a picture uphill, in place; return its score and whether it is alive."""
        seeds = tf.add([self._picture.seed], [[number, 0]])
        down, right = uniform(seeds, 2)[0].numpy().tolist()
        score, gradient = self.tiles.gradient(picture, (down, right))
        size = _mean_size(gradient)
        if not (math.isfinite(score) and math.isfinite(size)):
            raise FloatingPointError(
                f"The score of {self._picture.name} was not finite at step "
                f"{number + 1}. Lower the learning rate "
                f"({argument('learning_rate')}), or use float32."
            )
        alive = size > 0
        if not alive and number < REDIRECTED_STEPS:
            _, gradient = self.tiles.gradient(picture, (down, right), redirect=True)
            size = _mean_size(gradient)
        if size > 0:
            # In place, so that a large photo is not copied at each step.
            gradient *= self._rate / size
            picture += gradient
            np.clip(picture, 0, 1, out=picture)
        return score, alive

    def _call(
        self,
        callbacks: Sequence[Callback],
        picture: Floats,
        history: list[float],
        octave: int,
    ) -> bool:
        """Call the callbacks, and return whether one of them ends the dream."""
        progress = Progress(
            len(history),
            self.steps * len(self.sizes),
            np.array(history[-1:], np.float32),
            (self._picture.name,),
            picture[None].copy,
            octave,
            len(self.sizes),
        )
        answers = [callback(progress) for callback in callbacks]
        return any(answer is True for answer in answers)


def _mean_size(gradient: Floats) -> float:
    # Row by row: the absolute values of all pixels would be one more copy.
    return float(np.mean([np.abs(row).mean() for row in gradient]))


def _tile_size(tile: int | None, adapter: Adapter, photo: Size) -> Size:
    """Return the height and width of the tiles."""
    if adapter.input_size:
        if tile is not None and (tile, tile) != adapter.input_size:
            height, width = adapter.input_size
            raise ValueError(
                f"Model {adapter.name!r} takes images of {height}x{width} only, so its "
                f"tiles have that size. Leave out {argument('tile')}. Received: {tile}"
            )
        return adapter.input_size
    height, width = (int(tile or even_tile(length, LARGEST_TILE)) for length in photo)
    try:
        adapter.layers((height, width))
    except ValueError as error:
        raise ValueError(
            f"A tile of {height}x{width} is too small; give a larger "
            f"{argument('tile')}. {error}"
        ) from error
    return height, width


def _only_unit(objective: Any, adapter: Adapter) -> Objective:
    """Return the objective that the user asks for, if it is for one picture."""
    units = [objective]
    if isinstance(objective, str):
        units = objectives.parse(objective, adapter)
    if not all(isinstance(unit, Objective) for unit in units):
        raise TypeError(
            "`objective` must be an Objective or a text such as 'fire8'. "
            f"Received: {objective!r}"
        )
    if sum(map(len, units)) != 1:
        raise ValueError(
            "A dream is one picture of one unit; join several units with +. "
            f"Received: {count_of(sum(map(len, units)), 'unit')}"
        )
    return units[0]


def _refuse_positions(unit: Objective) -> None:
    if any(name.rpartition(".")[2] in ("row", "token") for name in unit.units):
        raise ValueError(
            f"{unit.names[0]} has a position, which would be another place of the "
            "photo in each tile. Leave it out to dream of the channel everywhere."
        )


def _checked_image(image: ArrayLike, adapter: Adapter) -> Floats:
    photo = np.array(image, np.float32)
    if photo.ndim != 3 or photo.shape[2] != adapter.channels or not photo.size:
        raise ValueError(
            f"`image` must have the shape (height, width, {adapter.channels}) for "
            f"model {adapter.name!r}. Received: {photo.shape}"
        )
    check_unit_range(photo, "image", "; `tfviz.images.read` reads a file so")
    return photo


def _check_numbers(
    octaves: int, ratio: float, steps: int, learning_rate: float, tile: int | None
) -> None:
    check_numbers(learning_rate, steps=steps, octaves=octaves)
    if tile is not None:
        check_positive_integers(tile=tile)
    if not 1 < ratio < math.inf:
        raise ValueError(f"`ratio` must be above 1. Received: ratio={ratio}")


def octave_sizes(photo: Size, octaves: int, ratio: float) -> list[Size]:
    """Return the sizes of the octaves, the smallest first.

    Args:
        photo: The height and width of the photo, which is the last octave.
        octaves: The number of octaves.
        ratio: The ratio of the sizes of two octaves.

    Raises:
        ValueError: If the smallest octave would be too small.
    """
    if min(photo) < SMALLEST_OCTAVE:
        raise ValueError(
            f"Each side of `image` must have at least {SMALLEST_OCTAVE} pixels. "
            f"Received: {photo[0]}x{photo[1]}"
        )
    sizes: list[Size] = []
    for place in range(octaves):
        height, width = (round(length / ratio**place) for length in photo)
        if min(height, width) < SMALLEST_OCTAVE:
            raise ValueError(
                f"An image of {photo[0]}x{photo[1]} has room for {place} octaves, each "
                f"{ratio:g} times as large as the last; one more would be {height}x"
                f"{width}, under {SMALLEST_OCTAVE} pixels. Received: octaves={octaves}"
            )
        sizes.insert(0, (height, width))
    return sizes


def resized(picture: Floats, size: Size) -> Floats:
    """Return a picture at another size, without aliasing where it shrinks."""
    if picture.shape[:2] == size:
        return picture
    scaled = np.empty((*size, picture.shape[2]), np.float32)
    for channel in range(picture.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        plane = plane.resize(size[::-1], Image.Resampling.BICUBIC)
        scaled[..., channel] = np.asarray(plane)
    return scaled


def shrunk(picture: Floats, longest: int) -> Floats:
    """Return a picture whose longer side is at most `longest`.

    >>> shrunk(np.zeros((30, 40, 3), np.float32), 20).shape
    (15, 20, 3)
    """
    height, width = picture.shape[:2]
    factor = min(1.0, longest / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return np.clip(resized(picture, size), 0, 1)
