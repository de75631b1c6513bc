"""The sheets of docs/study.md, from the folder that `scripts/study.py` wrote.

    python scripts/study_sheets.py study docs/pictures

Each shows the first seed of every unit, beside the photo to which it responds most.
Comparisons that are not there yet are left out.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images
from tfviz.report.rows import read
from tfviz.report.rows import picture_path
from tfviz.models.inputs import resize

# Of a picture, in pixels.
SIDE = 88
# Of the files, of 100.
QUALITY = 75
# Columns that stand beside each other, to fill a page.
WIDEST = 14


def main() -> None:
    """Write what the folder holds."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for name in ("steps", "seconds"):
        if (source / name / "results.json").exists():
            write(source / name, target / f"study-{name}.webp", "method")
    if (source / "controls" / "results.json").exists():
        write(source / "controls", target / "study-controls.webp", "control")
        write(source / "controls", target / "study-ablations.webp", "ablation")


def write(folder: Path, path: Path, kind: str) -> None:
    """Write the pictures of the methods of a kind."""
    results = read(folder)
    methods = [m["name"] for m in results["methods"] if m["kind"] == kind]
    units = [unit["name"] for unit in results["units"]]
    columns = 1 + len(methods)
    blocks = min(max(WIDEST // columns, 1), len(units))
    rows = -(-len(units) // blocks)
    pictures, captions = [], []
    for place in range(rows):
        for unit in units[place::rows]:
            files = [results["photos"][unit][0], *first(results, unit, methods)]
            pictures += [
                small(images.read(picture_path(folder, file))) for file in files
            ]
            captions += [unit, *methods]
    sheet = images.sheet(pictures, captions, blocks * columns)
    sheet.save(path, quality=QUALITY, method=6)
    print(path)


def first(results: Mapping[str, Any], unit: str, methods: Sequence[str]) -> list[str]:
    """Return the files of a unit's first seed."""
    found = {
        row["method"]: row["picture"]
        for row in results["rows"]
        if row["unit"] == unit and row["seed"] == 0
    }
    return [found[method] for method in methods]


def small(picture: NDArray) -> NDArray[np.float32]:
    """Return a picture in the size of the sheets."""
    return np.clip(np.asarray(resize(picture[None], (SIDE, SIDE)))[0], 0, 1)


if __name__ == "__main__":
    main()
