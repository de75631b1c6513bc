"""What a training leaves in its folder, so that it can go on from there."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._arrays import DAMAGED
from tfviz._claim import check_same
from tfviz.images import write_safely

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
