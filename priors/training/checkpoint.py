"""What a training leaves in its folder, so that it can go on from there."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tfviz._files import DAMAGED, check_same, write_safely
from tfviz.priors._trained import to_float16, write
from tfviz.priors.training.samples import CollapsedError

CHECKPOINT = "checkpoint.npz"
LOG = "log.csv"
SETTINGS = "settings.json"


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
        settings: Of the training, as JSON values.
        step: How many steps are taken.
        totals: What the log's next line has summed up so far.

    Raises:
        ArithmeticError: If a variable is not finite; the file is left as it was.
    """
    arrays: dict[str, Any] = {f"v{k}": np.asarray(v) for k, v in enumerate(state)}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise ArithmeticError(f"A weight is not finite at step {step}.")
    arrays |= {"settings": json.dumps(settings), "totals": json.dumps(totals)}
    write_safely(path, lambda file: np.savez(file, step=step, **arrays))


def restore(
    path: Path, state: Sequence[Any], settings: Mapping[str, Any]
) -> tuple[int, dict[str, float]]:
    """Give variables the values of a checkpoint, if there is one.

    Args:
        path: The file.
        state: The variables.
        settings: Of the training. What the file does not tell is not compared.

    Returns:
        How many steps are taken, and what the log's next line has summed up.

    Raises:
        ValueError: If it is of another training, or cannot be read.
    """
    if not path.exists():
        return 0, {}
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            known = json.loads(str(file["settings"]))
            wanted = {name: settings.get(name) for name in known}
            check_same(path.parent, known, wanted, "training")
            totals = json.loads(str(file["totals"])) if "totals" in file.files else {}
            step = int(file["step"])
            arrays = [file[f"v{k}"] for k in range(len(state))]
            extra = f"v{len(state)}" in file.files
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is no checkpoint of this training, or not all of one. Delete it "
            "to start anew, or choose another folder."
        ) from error
    shapes = [tuple(variable.shape) for variable in state]
    if extra or shapes != [values.shape for values in arrays]:
        raise ValueError(
            f"{path} is of other networks than this version trains. Choose another "
            "folder."
        )
    for variable, values in zip(state, arrays, strict=True):
        variable.assign(values)
    return step, totals


def write_line(path: Path, line: Mapping[str, float]) -> None:
    """Add a line to a log, which begins with the names."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(line)
        writer.writerow([f"{value:.6g}" for value in line.values()])


def cut_log(path: Path, step: int) -> None:
    """Take out of a log what came after a step, which will come again."""
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


def load_arrays(path: Path, settings: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return what `save_arrays` wrote with the same settings, or nothing."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if json.loads(str(file["settings"])) == json.loads(json.dumps(settings)):
                return {name: file[name] for name in file.files if name != "settings"}
    except DAMAGED:
        pass  # not there, or of a run that was killed: measured again
    return {}


def save_arrays(
    path: Path, settings: Mapping[str, Any], arrays: Mapping[str, NDArray]
) -> None:
    """Write arrays with what they were measured with, whole or not at all."""
    held: dict[str, Any] = {**arrays, "settings": json.dumps(settings)}
    write_safely(path, lambda file: np.savez(file, **held))


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
    for name, value in to_float16(values).items():
        recipe.exported[name].assign(value.astype(np.float32))
    fidelity = psnr(recipe, held_out)
    if not np.isfinite(fidelity):
        raise CollapsedError(
            "The images made of photos are not finite. Start in another folder with a "
            "lower learning rate."
        )
    settings, arrays = recipe.product(held_out)
    settings |= dict(facts) | {"psnr": round(fidelity, 3)}
    write(path, settings, arrays)
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
