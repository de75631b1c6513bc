"""The files of a training: checkpoint, log, sample images, and in the end the prior."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tfviz import images
from tfviz._files import DAMAGED, check_same_settings, write_safely
from tfviz.priors._trained import to_float16, write

CHECKPOINT = "checkpoint.npz"
LOG = "log.csv"
SETTINGS = "settings.json"
SAMPLES = "samples.png"
# The number of batches on which `Exportable.finalize` measures.
FINAL_BATCHES = 64
# The number of held-out photos that are drawn with their reconstructions.
SAMPLE_COUNT = 16
# Made images count as collapsed if their variety is less than this fraction of that of
# photos. A healthy generator, even a blurred one, has more than a half.
LEAST_VARIETY = 0.25


class CollapsedError(RuntimeError):
    """A training failed: it makes one image over and over, or NaN or infinity."""


def save(
    path: Path,
    state: Sequence[Any],
    settings: Mapping[str, Any],
    step: int,
    totals: Mapping[str, float],
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The file.
        state: The variables.
        settings: The settings of the training, as JSON values.
        step: The number of steps taken so far.
        totals: The sums from which the next line of the log will be computed.

    Raises:
        ArithmeticError: If a variable is not finite; the file stays as it was.
    """
    arrays: dict[str, Any] = {f"v{k}": np.asarray(v) for k, v in enumerate(state)}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise ArithmeticError(f"A weight is not finite at step {step}.")
    arrays |= {"settings": json.dumps(settings), "totals": json.dumps(totals)}
    write_safely(path, lambda file: np.savez(file, step=step, **arrays))


def restore(
    path: Path, state: Sequence[Any], settings: Mapping[str, Any]
) -> tuple[int, dict[str, float]]:
    """Assign the values of a checkpoint to variables, if there is a checkpoint.

    Args:
        path: The file.
        state: The variables.
        settings: The settings of the training. Those that the file does not hold are
            not compared.

    Returns:
        The number of steps taken, and the sums for the next line of the log.

    Raises:
        ValueError: If the file belongs to another training or cannot be read.
    """
    if not path.exists():
        return 0, {}
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            stored = json.loads(str(file["settings"]))
            current = {name: settings.get(name) for name in stored}
            check_same_settings(path.parent, stored, current, "training")
            totals = json.loads(str(file["totals"])) if "totals" in file.files else {}
            step = int(file["step"])
            arrays = [file[f"v{k}"] for k in range(len(state))]
            has_more = f"v{len(state)}" in file.files
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a checkpoint of this training, or is cut off. Delete it to "
            "start from the beginning, or choose another folder."
        ) from error
    shapes = [tuple(variable.shape) for variable in state]
    if has_more or shapes != [values.shape for values in arrays]:
        raise ValueError(
            f"{path} holds other networks than this version trains. Choose another "
            "folder."
        )
    for variable, values in zip(state, arrays, strict=True):
        variable.assign(values)
    return step, totals


def append_to_log(path: Path, line: Mapping[str, float]) -> None:
    """Append a line to a log, whose first line holds the names of the columns."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(line)
        writer.writerow([f"{value:.6g}" for value in line.values()])


def truncate_log(path: Path, step: int) -> None:
    """Remove the lines of a log after a step, as those steps will be taken again."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    kept = [row for row in rows if len(row) == len(names) and float(row[0]) <= step]
    if not step or not names:
        path.unlink()
    elif kept != rows:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([names, *kept])
        write_safely(path, lambda file: file.write(text.getvalue().encode()))


def load_arrays(path: Path, settings: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays that `save_arrays` wrote with the same settings, or none."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if json.loads(str(file["settings"])) == json.loads(json.dumps(settings)):
                return {name: file[name] for name in file.files if name != "settings"}
    except DAMAGED:
        pass  # missing, or left by a run that was killed: measured again
    return {}


def save_arrays(
    path: Path, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays with the settings they depend on, whole or not at all."""
    entries: dict[str, Any] = {**arrays, "settings": json.dumps(settings)}
    write_safely(path, lambda file: np.savez(file, **entries))


class Reconstructing(Protocol):
    """The part of a recipe that makes images from photos.

    Attributes:
        batch: The number of photos that are processed at a time.
    """

    batch: int

    def reconstruct(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return reconstructions of photos in [0, 1]."""


class Exportable(Reconstructing, Protocol):
    """The part of a recipe from which the file of a prior is made.

    Attributes:
        exported: The variables that are exported, by name.
    """

    exported: Mapping[str, Any]

    def finalize(self, photos: Iterable[Any]) -> None:
        """Adapt everything that is measured rather than learned to the final weights.

        Args:
            photos: Batches in [0, 1].
        """

    def file_contents(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the settings and the arrays of the prior's file."""


def export(
    recipe: Exportable,
    photos: Iterable[Any],
    held_out: NDArray[np.float32],
    path: Path,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the file of a prior, and return its settings.

    Everything is measured with the weights as the file holds them, in 16 bits.

    Args:
        recipe: The recipe, with its averaged weights.
        photos: Batches of photos that were learned from, for `Exportable.finalize`.
        held_out: The photos held out, `(n, size, size, 3)` in [0, 1].
        path: The file, whose name ends in `.npz`.
        facts: Further settings to write to the file.

    Raises:
        CollapsedError: If the reconstructions are not finite.
    """
    recipe.finalize(photos)
    values = {name: np.asarray(v) for name, v in recipe.exported.items()}
    for name, value in to_float16(values).items():
        recipe.exported[name].assign(value.astype(np.float32))
    fidelity = psnr(recipe, held_out)
    if not np.isfinite(fidelity):
        raise CollapsedError(
            "The reconstructions of held-out photos are not finite. Start again in "
            "another folder with a lower learning rate."
        )
    settings, arrays = recipe.file_contents(held_out)
    settings |= dict(facts) | {"psnr": round(fidelity, 3)}
    write(path, settings, arrays)
    return settings


def psnr(recipe: Reconstructing, photos: NDArray[np.float32]) -> float:
    """Return the mean peak signal-to-noise ratio of reconstructions, in dB."""
    ratios = []
    for first in range(0, len(photos), recipe.batch):
        part = photos[first : first + recipe.batch]
        pictures = np.clip(recipe.reconstruct(part), 0, 1)
        error = np.mean((pictures - part) ** 2, axis=(1, 2, 3), dtype=np.float64)
        ratios.append(-10 * np.log10(np.maximum(error, 1e-10)))
    return float(np.concatenate(ratios).mean())


def draw_samples(
    photos: NDArray[Any], rows: Sequence[NDArray[Any]], path: Path
) -> None:
    """Draw photos in a row, and the rows of images made from them below."""
    pictures = [picture for row in [photos, *rows] for picture in row]
    captions = [""] * len(pictures)
    images.save(images.sheet(pictures, captions, len(photos)), path)


def check_variety(
    photos: NDArray[Any], rows: Sequence[NDArray[Any]], step: int
) -> None:
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


def variety(pictures: NDArray[Any]) -> float:
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
