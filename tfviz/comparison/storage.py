"""The pictures of a comparison, rendered into a folder: one is lost at most."""

from collections.abc import Mapping, Sequence
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
# Why pictures could not be made, by the name of the method and the number of the unit.
Errors = Mapping[tuple[str, int], str]


@dataclass(frozen=True)
class StoredPicture:
    """One picture: a unit by a method from a seed.

    Attributes:
        unit: Number of the unit.
        method: Name of the method.
        seed: From 0.
        file: Of the picture.
        start: File of the picture before the first step.
        error: Why there is none, or None.
    """

    unit: int
    method: str
    seed: int
    file: Path
    start: Path
    error: str | None = None

    @property
    def spec(self) -> dict[str, Any] | None:
        """What the picture's file says of it; None if there is none."""
        return images.read_spec(self.file) if self.file.exists() else None

    def picture(self, channels: int) -> NDArray[np.float32]:
        """Return the picture `(height, width, channels)` in [0, 1]."""
        return read(self.file, channels)


class PictureStore:
    """The folder of a comparison.

    Args:
        folder: That can be written to.
        units: Their names.
        methods: Their names.
        seeds: How many.
    """

    def __init__(
        self, folder: Path, units: Sequence[str], methods: Sequence[str], seeds: int
    ) -> None:
        self.folder, self.seeds = folder, seeds
        self._units = file_names(tuple(units))
        # Sorted: files are the same in whatever order methods are given.
        named = sorted({PHOTOS, *methods, *(n for m in methods for n in beside(m))})
        self._stems = dict(zip(named, file_names(tuple(named)), strict=True))

    def file(self, unit: int, name: str, seed: int, end: str = ".png") -> Path:
        """Return the file of a picture of a unit.

        Args:
            unit: Its number.
            name: Of the method, of what stands beside it, or of the photos.
            seed: From 0.
            end: Of the file's name.
        """
        place = self.folder / PICTURES / self._units[unit]
        return place / f"{self._stems[name]}-{seed}{end}"

    def of(self, method: str, errors: Errors | None = None) -> list[StoredPicture]:
        """Return the cells of a method: the seeds of the first unit, of the second."""
        found = []
        for unit in range(len(self._units)):
            error = (errors or {}).get((method, unit))
            for seed in range(self.seeds):
                file = self.file(unit, method, seed)
                start = self.file(unit, method, seed, ".start.png")
                told = None if file.exists() else error
                found.append(StoredPicture(unit, method, seed, file, start, told))
        return found

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder that is of another comparison.

        Raises:
            ValueError: If it is, or does not tell.
        """
        check_settings(self.folder / CLAIM, settings, "comparison")

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, and say which comparison it is of."""
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
) -> Job:
    """Return the job of a method: a batch for each unit, of all of its seeds.

    So a picture does not depend on what else is compared.
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
        ),
    )


def render_unit(job: Job, cells: Sequence[StoredPicture], unit: int) -> int:
    """Render the pictures of a unit that are missing.

    Args:
        job: Of the method.
        cells: Of the method, in the order of the job's pictures.
        unit: Its number.

    Returns:
        How many pictures were written.
    """
    others = {
        place
        for place, cell in enumerate(cells)
        if cell.unit != unit or cell.file.exists()
    }
    written = 0
    for batch in job.run(others):
        result = as_result(job, [batch])
        for row, place in enumerate(sorted(batch.places)):
            cell = cells[place]
            at = batch.places.index(place)
            drawn = 1 if result.drawn is None else int(result.drawn[row])
            cost = {
                # A batch takes as long whichever of its pictures are wanted.
                "seconds": round(batch.seconds / job.pictures[place].batch_size, 3),
                "evaluations": drawn * job.options.restarts + int(result.steps[row]),
            }
            spec = result.picture_spec(row) | {"method": cell.method} | cost
            # The start first: a picture that is there is complete.
            images.save(images.to_pil(batch.starts[at]), cell.start)
            images.save(result.picture(row), cell.file, spec)
        written += len(batch.places)
    return written


def failure(error: Exception) -> str:
    """Return what a row says of a picture that could not be made."""
    return f"{type(error).__name__}: {reason_of(error)}"


def read(path: Path, channels: int) -> NDArray[np.float32]:
    """Return a picture that was saved here, `(height, width, channels)` in [0, 1]."""
    with Image.open(path) as image:
        values = np.asarray(image)
    if values.ndim == 2:
        # Of one channel, or of others side by side.
        values = np.stack(np.split(values, channels, axis=1), axis=-1)
    return to_floats(values[..., :channels])
