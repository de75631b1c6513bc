"""Embed the pictures of a comparison in the page, and arrange them in sheets.

Embedded pictures are scaled down so that the page stays small. Sheets are PNG files,
one for each unit, that hold its pictures at their full size.
"""

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

# The longest side in pixels, and the WebP quality, tried in this order. All pictures of
# a page get the same: a method with noisy pictures must not look more blurred than
# another. The page shows pictures at about half of the first size.
_SIZES = ((224, 82), (176, 75), (128, 70))
# The characters that all embedded pictures may take. The rest of the page takes about
# a tenth of that.
_LIMIT = 13_000_000

# A picture, or None if it is missing, and its caption.
_Captioned = tuple[NDArray[np.float32] | None, str]


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a `data:` URI, with its width and height in pixels."""

    uri: str
    width: int
    height: int


def embed_pictures(
    folder: Path, names: Iterable[str], *, limit: int = _LIMIT
) -> dict[str, EmbeddedPicture]:
    """Encode pictures at the largest size at which all of them fit into a page.

    Args:
        folder: The folder of the results.
        names: The paths of the pictures relative to the folder.
        limit: The number of characters that the URIs may have together. The smallest
            size is used even if it exceeds this limit.

    Returns:
        The encoded pictures by their names.
    """
    paths = {name: picture_path(folder, name) for name in names}
    for side, quality in _SIZES:
        pictures: dict[str, EmbeddedPicture] = {}
        length = 0
        for name, path in paths.items():
            pictures[name] = _embed(path, side, quality)
            length += len(pictures[name].uri)
            if length > limit and (side, quality) != _SIZES[-1]:
                break
        else:
            break
    return pictures


def write_sheets(results: Mapping[str, Any], folder: Path, target: Path) -> None:
    """Write a PNG file with the photos, starts and pictures of each unit.

    Args:
        results: The results of a comparison.
        folder: The folder of the results.
        target: The folder to write to, which is created if it is missing.
    """
    target.mkdir(exist_ok=True)
    names = tuple(unit["name"] for unit in results["units"])
    for unit, file in zip(names, file_names(names), strict=True):
        rows = [row for row in results["rows"] if row["unit"] == unit]
        lines = [line for line in _lines(results, unit, rows, folder) if line]
        if any(picture is not None for line in lines for picture, _ in line):
            images.save(_sheet(lines), target / f"{file}.png")


def _embed(path: Path, side: int, quality: int) -> EmbeddedPicture:
    image = images.to_pil(images.read(path))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality)
    data = base64.b64encode(file.getvalue()).decode()
    return EmbeddedPicture(f"data:image/webp;base64,{data}", image.width, image.height)


def _lines(
    results: Mapping[str, Any], unit: str, rows: list[dict[str, Any]], folder: Path
) -> Iterator[list[_Captioned]]:
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
        lowest = lowest_score(own)
        yield [
            (read(row.get("picture")), _caption(row, is_lowest=row is lowest))
            for row in own
            if row.get("picture") or row.get("error")
        ]


def _caption(row: Mapping[str, Any], *, is_lowest: bool) -> str:
    score = f"  {row['score']:.4g}" if is_number(row.get("score")) else ""
    score = "  failed" if row.get("error") else score
    return f"{row['method']} {row['seed']}{score}{'  lowest' * is_lowest}"


def _sheet(lines: list[list[_Captioned]]) -> Image.Image:
    """Arrange lines of pictures in a sheet, all at the size of the last picture."""
    read = [picture for line in lines for picture, _ in line if picture is not None]
    size = read[-1].shape[:2]
    blank = np.ones((*size, 3), np.float32)
    # The last line usually belongs to a method and has as many pictures as seeds. The
    # photos and starts can be more than that, and are then broken into several lines.
    columns = max(len(lines[-1]), 3)
    pictures: list[NDArray[Any]] = []
    captions: list[str] = []
    for line in lines:
        padding = -len(line) % columns
        for picture, caption in [*line, *[(None, "")] * padding]:
            pictures.append(blank if picture is None else _fit(picture, size))
            captions.append(caption)
    return images.sheet(pictures, captions, columns)


def _fit(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return picture if picture.shape[:2] == size else images.centre_crop(picture, size)
