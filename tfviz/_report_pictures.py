"""Pictures inside of a page, scaled down so that the page stays light."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tfviz import images
from tfviz._report_rows import picture_path

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
