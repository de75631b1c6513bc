"""The pictures of the site, encoded as WebP: sheets of small ones, and large ones."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from tfviz import images

# The side of a small picture in pixels, which grids show in about this size; the number
# of them in a row of a sheet, and in a whole sheet, which takes about half a megabyte.
CELL, COLUMNS, PER_SHEET = 96, 16, 256
# The longest side of a large picture and of an example image in pixels.
LARGEST, EXAMPLE = 512, 256

# The quality of WebP, from 0 to 100: of sheets, and by default of other pictures.
_SHEET_QUALITY, QUALITY = 72, 88


def output_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height of a large picture on the site.

    >>> output_size((224, 224)), output_size((1024, 512))
    ((224, 224), (512, 256))
    """
    scale = min(1, LARGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def encode_sheet(files: Sequence[Path]) -> bytes:
    """Draw pictures as small squares, row by row, without gaps.

    Args:
        files: The files of up to `PER_SHEET` pictures.
    """
    columns = min(COLUMNS, len(files))
    rows = -(-len(files) // columns)
    sheet = Image.new("RGB", (columns * CELL, rows * CELL))
    for place, file in enumerate(files):
        small = ImageOps.fit(_read(file), (CELL, CELL), Image.Resampling.LANCZOS)
        sheet.paste(small, (place % columns * CELL, place // columns * CELL))
    return _encode(sheet, _SHEET_QUALITY)


def encode_picture(
    file: Path, size: tuple[int, int], spec: Mapping[str, Any], quality: int = QUALITY
) -> bytes:
    """Encode a large picture, with the description that makes it again.

    Args:
        file: The file of the picture.
        size: The width and height in pixels.
        spec: The description, which the encoded file holds as well.
        quality: The quality, from 0 to 100.
    """
    image = _read(file)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[images.EXIF_TAG] = json.dumps(spec, sort_keys=True)
    return _encode(image, quality, exif=exif)


def encode_example(picture: ArrayLike, quality: int = QUALITY) -> bytes:
    """Encode an image of the data set, `(height, width, 3)` in [0, 1].

    Args:
        picture: The image.
        quality: The quality, from 0 to 100.
    """
    image = images.to_pil(np.asarray(picture)).convert("RGB")
    image.thumbnail((EXAMPLE, EXAMPLE), Image.Resampling.LANCZOS)
    return _encode(image, quality)


def _read(file: Path) -> Image.Image:
    """Read a picture, with transparent areas on white."""
    return images.to_pil(images.read(file))


def _encode(image: Image.Image, quality: int, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=4, **options)
    return file.getvalue()
