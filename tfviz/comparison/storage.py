"""The pictures of a comparison, in a folder; a crash loses at most one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfviz import images
from tfviz._errors import reason_of
from tfviz._files import check_settings, write_settings
from tfviz.comparison.methods import PHOTOS, Contender, beside
from tfviz.images import file_names, to_floats
from tfviz.models.adapter import Adapter
from tfviz.objectives._base import Objective
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.render import as_result
from tfviz.stops import Stop

CLAIM = "comparison.json"
PICTURES = "pictures"
# The cost of an optimization step, in forward passes of the network. The gradient takes
# about twice as long as the forward pass that it follows, the transforms and the
# gradient of the param some more: on SqueezeNet, a step took 2.7 times as long as a
# forward pass with `pixels`, 3.1 with `fourier`, and 3.7 with `maco`.
PASSES_PER_STEP = 3.2
# Why pictures could not be made, by the name of the method and the unit's number.
Errors = Mapping[tuple[str, int], str]


@dataclass(frozen=True)
class StoredPicture:
    """One picture of a comparison: a unit, rendered by a method from a seed.

    Attributes:
        unit: The number of the unit.
        method: The name of the method.
        seed: The number of the seed, from 0.
        file: The file of the picture, which need not exist yet.
        start: The file of the picture before the first step.
        error: The reason why there is no picture, or None.
    """

    unit: int
    method: str
    seed: int
    file: Path
    start: Path
    error: str | None = None

    @property
    def spec(self) -> dict[str, Any] | None:
        """The description in the picture's file; None if there is no file."""
        return images.read_spec(self.file) if self.file.exists() else None

    def picture(self, channels: int) -> NDArray[np.float32]:
        """Return the picture `(height, width, channels)` in [0, 1]."""
        return _read(self.file, channels)


class PictureStore:
    """The folder of a comparison, which has a file for each picture.

    Args:
        folder: The folder.
        units: The names of the units.
        methods: The names of the methods.
        seeds: The number of seeds.
    """

    def __init__(
        self, folder: Path, units: Sequence[str], methods: Sequence[str], seeds: int
    ) -> None:
        self.folder, self.seeds = folder, seeds
        self._units = file_names(tuple(units))
        # Sorted, so that files have the same names whatever the order of the methods.
        named = sorted({PHOTOS, *methods, *(n for m in methods for n in beside(m))})
        self._stems = dict(zip(named, file_names(tuple(named)), strict=True))

    def file(self, unit: int, name: str, seed: int, end: str = ".png") -> Path:
        """Return the file of a picture of a unit.

        Args:
            unit: The number of the unit.
            name: The name of the method, of a baseline of it, or of the photos.
            seed: The number of the seed, from 0.
            end: The end of the file's name.
        """
        place = self.folder / PICTURES / self._units[unit]
        return place / f"{self._stems[name]}-{seed}{end}"

    def of(self, method: str, errors: Errors | None = None) -> list[StoredPicture]:
        """Return the pictures of a method: all seeds of the first unit, of the second.

        Args:
            method: The name of the method.
            errors: The reasons why some of them could not be made.
        """
        pictures = []
        for unit in range(len(self._units)):
            error = (errors or {}).get((method, unit))
            for seed in range(self.seeds):
                file = self.file(unit, method, seed)
                start = self.file(unit, method, seed, ".start.png")
                reason = None if file.exists() else error
                pictures.append(StoredPicture(unit, method, seed, file, start, reason))
        return pictures

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder that holds another comparison.

        Raises:
            ValueError: If it does, or if its settings cannot be read.
        """
        check_settings(self.folder / CLAIM, settings, "comparison")

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, and write into it the settings of the comparison."""
        for unit in self._units:
            (self.folder / PICTURES / unit).mkdir(parents=True, exist_ok=True)
        write_settings(self.folder / CLAIM, settings)


def make_job(
    adapter: Adapter,
    contender: Contender,
    units: Sequence[Objective],
    seeds: int,
    *,
    steps: int,
    seed: int,
    stop: Sequence[Stop],
    deterministic: bool = False,
) -> Job:
    """Return the job of a method, with a batch of all seeds for each unit.

    So a picture does not depend on the other units and methods that are compared.
    """
    return Job(
        adapter if contender.model is None else contender.model,
        [unit for unit in units for _ in range(seeds)],
        contender.param,
        contender.transforms,
        Options(
            steps=steps,
            learning_rate=contender.learning_rate,
            optimizer=contender.optimizer,
            candidates=contender.candidates,
            batch_size=seeds,
            seed=seed,
            stop=stop,
            deterministic=deterministic,
        ),
    )


def render_unit(
    job: Job,
    pictures: Sequence[StoredPicture],
    unit: int,
    note_step: Callable[[int], None],
) -> int:
    """Render the pictures of a unit that are missing.

    Args:
        job: The job of the method.
        pictures: The pictures of the method, in the order of the job's pictures.
        unit: The number of the unit.
        note_step: Function called after some steps with their number.

    Returns:
        The number of pictures that were written.
    """
    others = {
        place
        for place, picture in enumerate(pictures)
        if picture.unit != unit or picture.file.exists()
    }
    written = 0
    for batch in job.run(others, [lambda at: note_step(at.step)]):
        result = as_result(job, [batch])
        for row, place in enumerate(sorted(batch.places)):
            picture = pictures[place]
            at = batch.places.index(place)
            drawn = 1 if result.drawn is None else int(result.drawn[row])
            cost = {
                # A batch takes the same time whichever of its pictures are wanted.
                "seconds": round(batch.seconds / job.pictures[place].batch_size, 3),
                "forward_passes": forward_passes(drawn, int(result.steps[row])),
            }
            spec = result.picture_spec(row) | {"method": picture.method} | cost
            # The start comes first, so that a picture that exists is complete.
            images.save(images.to_pil(batch.starts[at]), picture.start)
            images.save(result.picture(row), picture.file, spec)
        written += len(batch.places)
    return written


def forward_passes(starts: int, steps: int) -> int:
    """Return the number of forward passes that take as long as making a picture.

    As many random pictures cost the same, so that the best of them is a fair baseline.

    Args:
        starts: The number of starts that were drawn.
        steps: The number of steps.

    >>> forward_passes(starts=1, steps=256)
    820
    """
    return starts + round(PASSES_PER_STEP * steps)


def describe_failure(error: Exception) -> str:
    """Return the text in the row of a picture that could not be made."""
    return f"{type(error).__name__}: {reason_of(error)}"


def _read(path: Path, channels: int) -> NDArray[np.float32]:
    """Return a picture that a comparison saved, as floats in [0, 1]."""
    with Image.open(path) as image:
        values = np.asarray(image)
    if values.ndim == 2:
        # One channel, or several channels side by side.
        values = np.stack(np.split(values, channels, axis=1), axis=-1)
    return to_floats(values[..., :channels])
