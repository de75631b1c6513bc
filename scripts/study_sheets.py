"""Make the sheets of docs/study.md from the folder that `scripts/study.py` wrote.

    python scripts/study_sheets.py study docs/pictures

Each sheet shows, for every unit, the photo to which it responds most strongly and the
first seed of each method. Missing comparisons are left out, as are those of `curve`,
which show the same units.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images
from tfviz.report.rows import picture_path, read
from tfviz.models.inputs import resize

# The side of a picture in pixels.
SIDE = 72
# The WebP quality of the files, up to 100.
QUALITY = 70
# The largest number of columns in the width of a page.
WIDEST = 14


def main() -> None:
    """Write the sheets of all comparisons in a folder."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for file in sorted(source.glob("*/results.json")):
        name = file.parent.name
        if name.startswith("curve-"):
            continue
        kind = {"controls": "control", "ablations": "ablation"}.get(name, "method")
        write(file.parent, target / f"study-{name}.webp", kind)


def write(folder: Path, path: Path, kind: str) -> None:
    """Write the sheet of all methods of one kind."""
    results = read(folder)
    methods = [m["name"] for m in results["methods"] if m["kind"] == kind]
    units = [unit["name"] for unit in results["units"]]
    columns = 1 + len(methods)
    blocks = min(max(WIDEST // columns, 1), len(units))
    rows = -(-len(units) // blocks)
    pictures, captions = [], []
    for place in range(rows):
        for unit in units[place::rows]:
            files = [results["photos"][unit][0], *first_seeds(results, unit, methods)]
            pictures += [
                shrink(images.read(picture_path(folder, file))) for file in files
            ]
            captions += [unit, *methods]
    sheet = images.sheet(pictures, captions, blocks * columns)
    sheet.save(path, quality=QUALITY, method=6)
    print(path)


def first_seeds(
    results: Mapping[str, Any], unit: str, methods: Sequence[str]
) -> list[str]:
    """Return the picture of the first seed of a unit for each method."""
    pictures = {
        row["method"]: row["picture"]
        for row in results["rows"]
        if row["unit"] == unit and row["seed"] == 0
    }
    return [pictures[method] for method in methods]


def shrink(picture: NDArray) -> NDArray[np.float32]:
    """Scale a picture to the size that it has in a sheet."""
    return np.clip(np.asarray(resize(picture[None], (SIDE, SIDE)))[0], 0, 1)


if __name__ == "__main__":
    main()
