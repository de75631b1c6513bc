"""Read and write pictures, together with the settings to render them again.

Pictures are NumPy arrays `(height, width, channels)`, bytes or floats in [0, 1].
"""

import io
import json
import math
import os
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

from tfviz._files import write_safely
from tfviz._storage import AnyPath, as_path


def file_names(names: tuple[str, ...]) -> list[str]:
    """Return a unique file name without suffix for each name.

    Names that are repeated, or differ only in characters that are not allowed in file
    names, get a number.

    >>> file_names(("a/conv:3", "-logit:goldfish", "a/conv:3"))
    ['a.conv-3', 'neg-logit-goldfish', 'a.conv-3_2']
    """
    unique_names: list[str] = []
    taken: set[str] = set()
    counts: dict[str, int] = {}  # thousands of equal names are not counted from 1 each
    for name in names:
        plain = f"neg:{name[1:]}" if name.startswith("-") else name
        plain = plain.replace("/", ".").replace(":", "-")
        # Only characters that every system allows, and short enough for a number.
        plain = re.sub(r"[^\w.,@+()~#-]", "_", plain)[:180].lstrip(".") or "unit"
        key = plain.casefold()  # some file systems ignore case
        unique, count = plain, counts.get(key, 1)
        while unique.casefold() in taken:
            count += 1
            unique = f"{plain}_{count}"
        counts[key] = count
        taken.add(unique.casefold())
        unique_names.append(unique)
    return unique_names


FORMATS = {".png": "PNG", ".webp": "WEBP"}
# The place of a picture's description: a text chunk of a PNG file, or an EXIF field
# (ImageDescription) of a WebP file.
_PNG_KEY = "tfviz"
EXIF_TAG = 0x010E
# Of a picture, so many times the length that is seen are scaled.
_STRIP = 8
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    """Return a picture as an image of Pillow.

    One channel becomes a grey image, three channels become a colour image, and any
    other number of channels becomes grey images side by side, one per channel.

    Args:
        picture: The picture, `(height, width, channels)`.
        alpha: The opacity of each pixel, `(height, width)`, from 0 (transparent) to 1;
            by default the image has no alpha channel.
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
    pictures: Iterable[ArrayLike], captions: Sequence[str], columns: int | None = None
) -> Image.Image:
    """Draw pictures in a grid, with a line of text below each.

    Args:
        pictures: Pictures of equal sizes, which are asked for one by one, so that
            thousands need not be in the memory at once.
        captions: One line of text for each picture, cut off where it is too long. If
            all are empty, the pictures stand closer together.
        columns: The number of columns; by default the grid is about square.
    """
    tiles = (to_pil(picture).convert("RGB") for picture in pictures)
    first = next(tiles)
    count = len(captions)
    columns = columns or int(np.ceil(np.sqrt(count)))
    gap, text = (8, 18) if any(captions) else (2, 0)
    width, height = first.width + gap, first.height + text + gap
    rows = int(np.ceil(count / columns))
    grid = Image.new("RGB", (columns * width + gap, rows * height + gap), "white")
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(12)
    placed = zip(chain([first], tiles), captions, strict=True)
    for place, (tile, caption) in enumerate(placed):
        left = gap + place % columns * width
        top = gap + place // columns * height
        grid.paste(tile, (left, top))
        line = caption
        while line and draw.textlength(line, font) > tile.width:
            line = line[:-1]
        draw.text((left, top + tile.height + 2), line, "black", font)
    return grid


def save(
    image: Image.Image,
    path: str | os.PathLike[str],
    spec: Mapping[str, Any] | None = None,
) -> None:
    """Write an image and its description to a file, which is complete or not written.

    Args:
        image: The image.
        path: The file; its name must end in `.png` or `.webp`. Both are lossless. It
            may have a scheme that TensorFlow supports, such as `gs://`.
        spec: The description of how the image was made, as JSON values.

    Raises:
        ValueError: If the file's name has another ending.
    """
    path = as_path(path)
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
                exif[EXIF_TAG] = text
                options["exif"] = exif
        image.save(file, FORMATS[path.suffix.lower()], **options)

    write_safely(path, write)


def read_spec(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the description that tfviz saved with a picture, or None.

    All bytes of a PNG file are checked, so that damage anywhere in it is found, without
    decoding the picture, which takes 20 times as long. A WebP file, which has no
    checksums, is decoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image, or is damaged.
    """
    try:
        contents = as_path(path).read_bytes()
        if contents.startswith(_PNG_SIGNATURE):
            text = _read_png_text(contents)
        else:
            with Image.open(io.BytesIO(contents)) as image:
                image.load()
                text = image.getexif().get(EXIF_TAG)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be read as an image.") from error
    try:
        spec = json.loads(text or "null")
    except ValueError:  # a description by another program
        return None
    return spec if isinstance(spec, dict) and "tfviz" in spec else None


def _read_png_text(contents: bytes) -> str | None:
    """Return the description in a PNG file, or None if it has none.

    Raises:
        ValueError: If the file is cut off, or one of its checksums is wrong.
    """
    text, place = None, len(_PNG_SIGNATURE)
    while place + 12 <= len(contents):
        length, kind = struct.unpack_from(">I4s", contents, place)
        end = place + 8 + length
        checksum = contents[end : end + 4]
        if zlib.crc32(contents[place + 4 : end]) != int.from_bytes(checksum):
            raise ValueError(f"A checksum is wrong, in a chunk of kind {kind!r}.")
        if kind == b"iTXt":
            key, _, rest = contents[place + 8 : end].partition(b"\0")
            if key == _PNG_KEY.encode():
                # Two bytes about compression, the language, and the key's translation.
                text = rest[2:].split(b"\0", 2)[-1].decode()
        if kind == b"IEND":
            return text
        place = end + 4
    raise ValueError("The file is cut off.")


def read(path: str | os.PathLike[str] | IO[bytes]) -> NDArray[np.float32]:
    """Read an image file as RGB `(height, width, 3)` in [0, 1].

    The image is turned upright as its EXIF orientation says, and transparent areas
    become white.

    Args:
        path: The file, or an open binary file, such as a member of an archive.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image, has far too many pixels, or holds
            values whose range is unknown.
    """
    opened: IO[bytes] | None = None
    if isinstance(path, (str, os.PathLike)):
        name = os.fspath(path)
    else:
        name, opened = getattr(path, "name", "the file"), path
    try:
        if opened is None:
            opened = io.BytesIO(as_path(name).read_bytes())
        with Image.open(opened) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # Pillow would clip the values to 255
                upright = Image.fromarray(to_bytes(np.asarray(upright) / 65535))
            if upright.mode in ("I", "F"):
                raise ValueError(
                    f"{name!r} holds values of unknown range (mode "
                    f"{upright.mode}). Save it with 8 bits per channel."
                )
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return to_floats(np.asarray(upright.convert("RGB")))
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name!r} has too many pixels to be read: {error}") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name!r} cannot be read as an image.") from error


def centre_crop(
    picture: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Scale a picture until it covers `size` (height, width), and crop its middle.

    >>> centre_crop(np.zeros((40, 30, 3), np.float32), (20, 20)).shape
    (20, 20, 3)
    """
    picture = _shorten(picture, size)
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


def _shorten(
    picture: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut off the ends of a strip of which only the middle will be seen.

    Scaled as a whole, a strip of 1x5000 pixels would need gigabytes. What is left is
    longer than what is seen, so that the ends have no influence.
    """
    lengths = picture.shape[:2]
    factor = max(size[0] / lengths[0], size[1] / lengths[1])
    cuts = [
        max(0, length - _STRIP * math.ceil(seen / factor)) // 2
        for length, seen in zip(lengths, size, strict=True)
    ]
    return picture[
        tuple(
            slice(cut, length - cut) for cut, length in zip(cuts, lengths, strict=True)
        )
    ]


def check_format(path: AnyPath) -> None:
    """Refuse a file name without a suffix of a supported picture format."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"The name of a picture's file must end in {' or '.join(FORMATS)}, which "
            f"are lossless. Received: {str(path)!r}"
        )
