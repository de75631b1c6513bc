"""Pictures as files: with everything that is needed to make them again.

Pictures are NumPy arrays `(height, width, channels)`, bytes or floats in [0, 1].
"""

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

from tfviz._files import write_safely


def file_names(names: tuple[str, ...]) -> list[str]:
    """Return a file name without suffix for each name, no two of them equal.

    Names that differ in letters that a file cannot have, or repeat, get a number.

    >>> file_names(("a/conv:3", "-logit:goldfish", "a/conv:3"))
    ['a.conv-3', 'neg-logit-goldfish', 'a.conv-3_2']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = f"neg:{name[1:]}" if name.startswith("-") else name
        plain = plain.replace("/", ".").replace(":", "-")
        # Letters that are safe on every system; at most what leaves room to count.
        plain = re.sub(r"[^\w.,@+()~#-]", "_", plain)[:180].lstrip(".") or "unit"
        unique, count = plain, 1
        while unique.casefold() in taken:  # some systems ignore case
            count += 1
            unique = f"{plain}_{count}"
        taken.add(unique.casefold())
        found.append(unique)
    return found


FORMATS = {".png": "PNG", ".webp": "WEBP"}
# Where the description of a picture is kept: a text chunk of PNG, an EXIF field
# (ImageDescription) of WebP.
_PNG_KEY = "tfviz"
_EXIF_TAG = 0x010E


def to_bytes(picture: ArrayLike) -> NDArray[np.uint8]:
    """Return a picture as bytes; floats are clipped to [0, 1].

    >>> to_bytes([[[0.0, 0.5, 2.0]]]).tolist()
    [[[0, 128, 255]]]
    """
    picture = np.asarray(picture)
    if picture.dtype == np.uint8:
        return picture
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def to_floats(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return bytes as floats in [0, 1].

    >>> to_floats(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    return pictures.astype(np.float32) / np.float32(255)


def to_pil(picture: ArrayLike, alpha: ArrayLike | None = None) -> Image.Image:
    """Return a picture for Pillow.

    One channel is shown in grey, three in colour, and any other number as grey
    pictures side by side, one a channel.

    Args:
        picture: `(height, width, channels)`.
        alpha: `(height, width)`, how opaque each pixel is, or None for no such layer.
    """
    picture = to_bytes(picture)
    channels = picture.shape[-1]
    if channels == 3:
        image = Image.fromarray(picture)
    else:
        planes = list(np.moveaxis(picture, -1, 0))
        image = Image.fromarray(np.concatenate(planes, axis=1))
    if alpha is not None:
        copies = 1 if channels == 3 else channels
        image.putalpha(Image.fromarray(np.tile(to_bytes(alpha), (1, copies))))
    return image


def sheet(
    pictures: Sequence[ArrayLike], captions: Sequence[str], columns: int | None = None
) -> Image.Image:
    """Draw pictures in a grid, with a line of text below each.

    Args:
        pictures: Of equal sizes.
        captions: One for each; what does not fit is cut. Without any, the pictures
            stand close together.
        columns: By default such that the grid is about square.
    """
    tiles = [to_pil(picture).convert("RGB") for picture in pictures]
    columns = columns or int(np.ceil(np.sqrt(len(tiles))))
    gap, text = (8, 18) if any(captions) else (2, 0)
    width, height = tiles[0].width + gap, tiles[0].height + text + gap
    rows = int(np.ceil(len(tiles) / columns))
    grid = Image.new("RGB", (columns * width + gap, rows * height + gap), "white")
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(12)
    for place, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = gap + place % columns * width
        top = gap + place // columns * height
        grid.paste(tile, (left, top))
        line = caption
        while line and draw.textlength(line, font) > tile.width:
            line = line[:-1]
        draw.text((left, top + tile.height + 2), line, "black", font)
    return grid


def save(
    image: Image.Image, path: str | os.PathLike, spec: Mapping[str, Any] | None = None
) -> None:
    """Write an image with its description; complete or not at all.

    Args:
        image: What to write.
        path: Ends in `.png` or `.webp`; both are written without loss.
        spec: The description, as JSON values.

    Raises:
        ValueError: If the name ends in something else.
    """
    path = Path(path)
    check_format(path)
    text = json.dumps(spec, sort_keys=True) if spec is not None else None

    def write(file: io.BytesIO) -> None:
        options: dict[str, Any] = {}
        if path.suffix.lower() == ".png":
            if text is not None:
                options["pnginfo"] = PngInfo()
                options["pnginfo"].add_itxt(_PNG_KEY, text)
        else:
            options["lossless"] = options["exact"] = True
            if text is not None:
                exif = Image.Exif()
                exif[_EXIF_TAG] = text
                options["exif"] = exif
        image.save(file, FORMATS[path.suffix.lower()], **options)

    write_safely(path, write)


def read_spec(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the description that tfviz saved a picture with, or None.

    Raises:
        ValueError: If the file is no image.
    """
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                text = image.text.get(_PNG_KEY)  # type: ignore[attr-defined]
            else:
                text = image.getexif().get(_EXIF_TAG)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be read as an image.") from error
    try:
        spec = json.loads(text or "null")
    except ValueError:  # a description of another kind
        return None
    return spec if isinstance(spec, dict) and "tfviz" in spec else None


def read(path: str | os.PathLike) -> NDArray[np.float32]:
    """Return an image file as RGB `(height, width, 3)` in [0, 1], upright.

    It is turned as its camera held it; what is transparent becomes white.

    Raises:
        ValueError: If the file is no image, has far too many pixels, or holds numbers
            of no known range.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)  # cameras note how they were held
            if upright.mode.startswith("I;16"):  # which Pillow would clip to 255
                upright = Image.fromarray(to_bytes(np.asarray(upright) / 65535))
            if upright.mode in ("I", "F"):
                raise ValueError(
                    f"{os.fspath(path)!r} holds numbers of no known range (mode "
                    f"{upright.mode}). Save it with 8 bits a channel."
                )
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return to_floats(np.asarray(upright.convert("RGB")))
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{os.fspath(path)!r} has too many pixels to be read: {error}"
        ) from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be read as an image.") from error


def centre_crop(
    picture: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Scale a picture until it covers `size` (height, width), and cut its middle.

    >>> centre_crop(np.zeros((40, 30, 3), np.float32), (20, 20)).shape
    (20, 20, 3)
    """
    height, width = picture.shape[:2]
    factor = max(size[0] / height, size[1] / width)
    scaled = (max(size[1], round(width * factor)), max(size[0], round(height * factor)))
    planes = [
        np.asarray(Image.fromarray(plane).resize(scaled, Image.Resampling.BILINEAR))
        for plane in np.moveaxis(picture, -1, 0)
    ]
    top, left = (scaled[1] - size[0]) // 2, (scaled[0] - size[1]) // 2
    cut = np.stack(planes, axis=-1)[top : top + size[0], left : left + size[1]]
    return np.clip(cut, 0, 1)


def check_format(path: Path) -> None:
    """Refuse a name that does not end in a format for pictures."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"{str(path)!r} must end in {' or '.join(FORMATS)} to be written without "
            "loss."
        )
