"""The sizes at which a photo is dreamed on, from a small copy up to its own."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A smaller octave holds nothing but blots.
SMALLEST_OCTAVE = 16

Size = tuple[int, int]
Floats = NDArray[np.float32]


def octave_sizes(photo: Size, octaves: int, ratio: float) -> list[Size]:
    """Return the sizes of the octaves, the smallest first.

    Args:
        photo: Height and width of the photo, which is the last octave.
        octaves: How many.
        ratio: How much larger each is than the one before.

    Raises:
        ValueError: If the smallest would be too small.
    """
    if min(photo) < SMALLEST_OCTAVE:
        raise ValueError(
            f"`image` must have {SMALLEST_OCTAVE} pixels or more at each side. "
            f"Received: {photo[0]}x{photo[1]}"
        )
    sizes: list[Size] = []
    for place in range(octaves):
        height, width = (round(length / ratio**place) for length in photo)
        if min(height, width) < SMALLEST_OCTAVE:
            raise ValueError(
                f"An image of {photo[0]}x{photo[1]} has room for {place} octaves, each "
                f"{ratio:g} times as large as the last; one more would be {height}x"
                f"{width}, under {SMALLEST_OCTAVE} pixels. Received: octaves={octaves}"
            )
        sizes.insert(0, (height, width))
    return sizes


def resized(picture: Floats, size: Size) -> Floats:
    """Return a picture at another size, band-limited where it shrinks."""
    if picture.shape[:2] == size:
        return picture
    scaled = np.empty((*size, picture.shape[2]), np.float32)
    for channel in range(picture.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        plane = plane.resize(size[::-1], Image.Resampling.BICUBIC)
        scaled[..., channel] = np.asarray(plane)
    return scaled


def shrunk(picture: Floats, longest: int) -> Floats:
    """Return a picture whose longer side is at most `longest`.

    >>> shrunk(np.zeros((30, 40, 3), np.float32), 20).shape
    (15, 20, 3)
    """
    height, width = picture.shape[:2]
    factor = min(1.0, longest / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return np.clip(resized(picture, size), 0, 1)
