"""Directions in the space of a layer's channels, as vectors of NumPy.

They add and subtract like any vectors, so "king - man + woman" is just that:

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

# Images that are seen at once.
_CHUNK = 16


def of_images(
    model: Any, layer: str, images: ArrayLike, against: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return what a set of images has in common in a layer.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        layer: Path of the layer.
        images: `(n, height, width, channels)` in [0, 1], or a single one.
        against: Images whose mean is subtracted: those of everything else, so that
            only the difference remains.

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
    """Return what a layer sees at each position of an image: an activation grid.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        layer: Path of the layer.
        image: `(height, width, channels)` in [0, 1].

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
    return adapt(model)(_listed(image), layer)[layer][0].numpy()


def random(channels: int, seed: int) -> NDArray[np.float32]:
    """Return a random direction, equally likely to point anywhere.

    Args:
        channels: The number of channels of the layer.
        seed: Another one gives another direction.

    Returns:
        A vector `(channels,)` of length 1.

    >>> float(np.linalg.norm(random(512, 7)).round(4))
    1.0
    """
    vector = np.random.default_rng([seed, channels]).normal(size=channels)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _mean(adapter: Any, layer: str, images: ArrayLike) -> NDArray[np.float32]:
    pictures = _listed(images)
    total = np.zeros((), np.float64)
    for first in range(0, len(pictures), _CHUNK):
        chunk = pictures[first : first + _CHUNK]
        activations = adapter(chunk, layer)[layer].numpy()
        axes = tuple(range(1, activations.ndim - 1))
        total = total + activations.mean(axis=axes, dtype=np.float64).sum(axis=0)
    return (total / len(pictures)).astype(np.float32)


def _listed(images: ArrayLike) -> NDArray[np.float32]:
    pictures = np.asarray(images, np.float32)
    pictures = pictures[None] if pictures.ndim == 3 else pictures
    if pictures.ndim != 4 or not len(pictures):
        raise ValueError(
            "Images must have the shape (n, height, width, channels), with at least "
            f"one. Received: {pictures.shape}"
        )
    return pictures
