"""Pictures inside of a page, scaled down so that the page stays light."""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfviz import images
from tfviz.images import file_names
from tfviz.report.rows import (
    is_number,
    lowest_score,
    picture_path,
    select_starts,
    sort_methods,
)

# The longest side in pixels and the quality, tried in this order. All pictures of a
# page get the same: a method whose pictures are noisy must not look blurred beside
# another. The page shows them at about half of the first.
_SIZES = ((224, 82), (176, 75), (128, 70))
# Of all pictures as text. What is around them takes a tenth of it.
_LIMIT = 13_000_000


@dataclass(frozen=True)
class Embedded:
    """A picture as a `data:` URI, and the size that it has there."""

    uri: str
    width: int
    height: int


def embedded(
    folder: Path, names: Iterable[str], *, limit: int = _LIMIT
) -> dict[str, Embedded]:
    """Return pictures by their names, at the largest size at which all are light.

    Args:
        folder: Where they are.
        names: Paths within it.
        limit: How many letters they may have together. Where there are so many that
            even the smallest size takes more, they have that.
    """
    paths = {name: picture_path(folder, name) for name in names}
    for side, quality in _SIZES:
        found: dict[str, Embedded] = {}
        length = 0
        for name, path in paths.items():
            found[name] = _embedded(path, side, quality)
            length += len(found[name].uri)
            if length > limit and (side, quality) != _SIZES[-1]:
                break
        else:
            break
    return found


def _embedded(path: Path, side: int, quality: int) -> Embedded:
    image = images.to_pil(images.read(path))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality)
    data = base64.b64encode(file.getvalue()).decode()
    return Embedded(f"data:image/webp;base64,{data}", image.width, image.height)


# A picture, or None where it failed, and what to write below it.
Captioned = tuple[NDArray[np.float32] | None, str]


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
        if any(picture is not None for line in lines for picture, _ in line):
            images.save(_sheet(lines), target / f"{file}.png")


def _sheet(lines: list[list[Captioned]]) -> Image.Image:
    """Draw each line from the left, at the size of the last picture."""
    known = [picture for line in lines for picture, _ in line if picture is not None]
    size = known[-1].shape[:2]
    blank = np.ones((*size, 3), np.float32)
    # The last line is a method's where there is one: as many pictures as seeds.
    # Photos and starts can be more, and take several lines.
    columns = max(len(lines[-1]), 3)
    pictures: list[NDArray] = []
    captions: list[str] = []
    for line in lines:
        missing = -len(line) % columns
        for picture, caption in [*line, *[(None, "")] * missing]:
            pictures.append(blank if picture is None else _fitted(picture, size))
            captions.append(caption)
    return images.sheet(pictures, captions, columns)


def _fitted(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return picture if picture.shape[:2] == size else images.centre_crop(picture, size)


def _lines(
    results: Mapping[str, Any], unit: str, rows: list[dict[str, Any]], folder: Path
) -> Iterator[list[Captioned]]:
    """Yield the photos of a unit, the starts, and the pictures of each method."""

    def read(name: str | None) -> NDArray[np.float32] | None:
        return images.read(picture_path(folder, name)) if name else None

    photos = results["photos"].get(unit, [])
    yield [(read(name), f"photo {number}") for number, name in enumerate(photos, 1)]
    yield [
        (read(row["start"]), f"{row['method']} start")
        for row in select_starts(rows, results["methods"])
    ]
    for method in sort_methods(results["methods"]):
        own = [row for row in rows if row["method"] == method["name"]]
        least = lowest_score(own)
        yield [
            (read(row.get("picture")), _caption(row, is_lowest=row is least))
            for row in own
            if row.get("picture") or row.get("error")
        ]


def _caption(row: Mapping[str, Any], *, is_lowest: bool) -> str:
    score = f"  {row['score']:.4g}" if is_number(row.get("score")) else ""
    score = "  failed" if row.get("error") else score
    return f"{row['method']} {row['seed']}{score}{'  lowest' * is_lowest}"
