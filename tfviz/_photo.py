"""A photo as a model sees it."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images

if TYPE_CHECKING:
    from tfviz._adapter import Adapter


def fitted(
    adapter: "Adapter", photo: Any, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return a photo with the channels and the size of a model's input.

    Args:
        adapter: Of the model.
        photo: A file, or a picture `(height, width, channels)` as bytes or as floats
            in [0, 1], of any size. One of three channels also fits a grey model, and
            the other way round.
        size: Height and width, by default the model's.

    Returns:
        The middle of the photo, scaled: `(height, width, channels)` in [0, 1].

    Raises:
        ValueError: If it is no such picture.
    """
    if isinstance(photo, (str, os.PathLike)):
        picture = images.read(photo)
    else:
        picture = _checked(np.asarray(photo))
    channels = adapter.channels
    if channels == 1 and picture.shape[-1] == 3:
        picture = picture.mean(axis=-1, keepdims=True)
    elif channels == 3 and picture.shape[-1] == 1:
        picture = np.repeat(picture, 3, axis=-1)
    if picture.shape[-1] != channels:
        raise ValueError(
            f"Model {adapter.name!r} takes pictures of {channels} channels. "
            f"Received: {picture.shape[-1]} channels"
        )
    return images.centre_crop(picture, size or adapter.size)


def _checked(picture: NDArray[Any]) -> NDArray[np.float32]:
    if picture.ndim != 3 or 0 in picture.shape:
        raise ValueError(
            "A picture must have the shape (height, width, channels). "
            f"Received: {picture.shape}"
        )
    if picture.dtype == np.uint8:
        return images.to_floats(picture)
    picture = np.asarray(picture, np.float32)
    low, high = picture.min(), picture.max()
    if not 0 <= low <= high <= 1:  # also where it holds NaN
        raise ValueError(
            "A picture must hold bytes, or floats in [0, 1]. Received: values from "
            f"{low:g} to {high:g}"
        )
    return picture
