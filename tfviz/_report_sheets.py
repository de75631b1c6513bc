"""The pictures of each unit of a comparison in one, to be shown without a browser."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images
from tfviz._report_rows import is_number, lowest, ordered, picture_path, starts
from tfviz._result import file_names

Captioned = tuple[NDArray[np.float32], str]


def write_sheets(results: Mapping[str, Any], folder: Path, target: Path) -> None:
    """Write a PNG for each unit that has pictures.

    Args:
        results: Of a comparison.
        folder: Where its pictures are.
        target: The folder to write to, which is made.
    """
    target.mkdir(exist_ok=True)
    names = tuple(unit["name"] for unit in results["units"])
    for unit, file in zip(names, file_names(names), strict=True):
        own = [row for row in results["rows"] if row["unit"] == unit]
        lines = [line for line in _lines(results, unit, own, folder) if line]
        if lines:
            images.save(_sheet(lines), target / f"{file}.png")


def _sheet(lines: list[list[Captioned]]) -> Any:
    """Draw each line from the left, at the size of the last one's pictures."""
    size = lines[-1][0][0].shape[:2]
    # The last line is a method's where there is one: as many pictures as seeds.
    # Photos and starts can be more, and take several lines.
    columns = max(len(lines[-1]), 3)
    pictures: list[NDArray] = []
    captions: list[str] = []
    for line in lines:
        for picture, caption in line:
            fits = picture.shape[:2] == size
            pictures.append(picture if fits else images.centre_crop(picture, size))
            captions.append(caption)
        missing = -len(pictures) % columns
        pictures += [np.ones((*size, 3), np.float32)] * missing
        captions += [""] * missing
    return images.sheet(pictures, captions, columns)


def _lines(
    results: Mapping[str, Any], unit: str, rows: list[dict[str, Any]], folder: Path
) -> Iterator[list[Captioned]]:
    """Yield the photos of a unit, the starts, and the pictures of each method."""

    def read(name: str) -> NDArray[np.float32]:
        return images.read(picture_path(folder, name))

    photos = results["photos"].get(unit, [])
    yield [(read(name), f"photo {number}") for number, name in enumerate(photos, 1)]
    yield [
        (read(row["start"]), f"{row['method']} start")
        for row in starts(rows, results["methods"])
    ]
    for method in ordered(results["methods"]):
        own = [row for row in rows if row["method"] == method["name"]]
        least = lowest(own)
        yield [
            (read(row["picture"]), _caption(row, is_lowest=row is least))
            for row in own
            if row.get("picture")
        ]


def _caption(row: Mapping[str, Any], *, is_lowest: bool) -> str:
    score = f"  {row['score']:.4g}" if is_number(row.get("score")) else ""
    return f"{row['method']} {row['seed']}{score}{'  lowest' * is_lowest}"
