"""Directions in the space of a layer's channels, as NumPy vectors.

They can be added and subtracted, as in "king - man + woman":

>>> import numpy as np, tfviz
>>> model = tfviz.adapt(tfviz.load_model("squeezenet"))
>>> kings, men, women = np.random.default_rng(0).uniform(size=(3, 2, 64, 64, 3))
>>> king, man, woman = (of_images(model, "fire8", x) for x in (kings, men, women))
>>> tfviz.objectives.direction("fire8", king - man + woman).layers
('fire8',)
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.models.adapter import adapt

__all__ = ["at_positions", "of_images", "random"]

# The number of images that the model evaluates at once.
_CHUNK = 16


def of_images(
    model: Any, layer: str, images: ArrayLike, against: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return the mean activation of a layer over images: what they have in common.

    Args:
        model: A Keras model, or an adapter returned by `adapt`.
        layer: The path of the layer.
        images: Images `(n, height, width, channels)` in [0, 1], or a single image.
        against: Images whose mean activation is subtracted, such as images of
            everything else, so that only the difference remains.

    Returns:
        The mean activation over all images and positions, `(channels,)`.

    Raises:
        ValueError: If there is no such layer, or the images do not fit.

    >>> import tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> of_images(model, "fire8", np.zeros((64, 64, 3))).shape
    (512,)
    """
    adapter = adapt(model)
    total = _mean(adapter, layer, images)
    return total if against is None else total - _mean(adapter, layer, against)


def at_positions(model: Any, layer: str, image: ArrayLike) -> NDArray[np.float32]:
    """Return the activations of a layer at each position of an image.

    Args:
        model: A Keras model, or an adapter returned by `adapt`.
        layer: The path of the layer.
        image: An image `(height, width, channels)` in [0, 1].

    Returns:
        The activations `(rows, columns, channels)`, a direction for each position;
        `(tokens, channels)` for a layer of tokens.

    Raises:
        ValueError: If there is no such layer, or the image does not fit.

    >>> import tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> at_positions(model, "fire8", np.zeros((64, 96, 3))).shape
    (3, 5, 512)
    """
    return adapt(model)(_as_batch(image), layer)[layer][0].numpy()


def random(channels: int, seed: int) -> NDArray[np.float32]:
    """Return a random direction, equally likely to point anywhere.

    Args:
        channels: The number of channels of the layer.
        seed: Random seed; another seed gives another direction.

    Returns:
        A vector `(channels,)` of length 1.

    >>> float(np.linalg.norm(random(512, 7)).round(4))
    1.0
    """
    vector = np.random.default_rng([seed, channels]).normal(size=channels)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _mean(adapter: Any, layer: str, images: ArrayLike) -> NDArray[np.float32]:
    pictures = _as_batch(images)
    total = np.zeros((), np.float64)
    for first in range(0, len(pictures), _CHUNK):
        chunk = pictures[first : first + _CHUNK]
        activations = adapter(chunk, layer)[layer].numpy()
        axes = tuple(range(1, activations.ndim - 1))
        total = total + activations.mean(axis=axes, dtype=np.float64).sum(axis=0)
    return (total / len(pictures)).astype(np.float32)


def _as_batch(images: ArrayLike) -> NDArray[np.float32]:
    pictures = np.asarray(images, np.float32)
    pictures = pictures[None] if pictures.ndim == 3 else pictures
    if pictures.ndim != 4 or not len(pictures):
        raise ValueError(
            "`images` must have the shape (n, height, width, channels) with n >= 1. "
            f"Received: shape {pictures.shape}"
        )
    return pictures
