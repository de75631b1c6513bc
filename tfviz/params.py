"""What is optimized: ways to hold images as tensors that a gradient can move.

A `Param` is a record of functions. Latents are a dict of float32 tensors whose axis
0 is the image; `decode` turns them into images `(n, height, width, channels)` in
[0, 1]. Seeds are int32 `(n, 2)`, one pair an image, so that an image's start does
not depend on its neighbours. The latents of all params are scaled for the same
learning rate.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz import _maco
from tfviz._cppn import cppn
from tfviz._fourier import aligned, fourier
from tfviz._laplacian import laplacian
from tfviz._maco import maco
from tfviz._param import Latents, Param, check_unit_range
from tfviz._pixels import pixels

__all__ = [
    "Param",
    "aligned",
    "cppn",
    "fourier",
    "from_spec",
    "laplacian",
    "maco",
    "masked",
    "pixels",
]


def masked(param: Param, image: ArrayLike, mask: ArrayLike) -> Param:
    """Hold images of which only a region can change.

    Args:
        param: How the region is held. Its `init`, `encode`, `project`, `penalty` and
            `group` are kept.
        image: `(height, width, channels)` in [0, 1]: what is outside of the region.
        mask: `(height, width)` or `(height, width, 1)`: 1 in the region, 0 outside,
            and between them a smooth transition.

    Returns:
        A param whose images are `mask * param + (1 - mask) * image`. A description
        cannot hold the image, so its `spec` is empty.

    Raises:
        ValueError: If a shape is another or a value leaves [0, 1].

    >>> left = np.repeat([[1.0, 0.0]], 4, axis=0)
    >>> param = masked(pixels(4, 2), np.ones((4, 2, 3)), left)
    >>> param.decode(param.init([[0, 1]]))[0, :, 1].numpy().min()
    np.float32(1.0)
    """
    picture = np.asarray(image, np.float32)
    region = np.asarray(mask, np.float32)
    if region.ndim == 2:
        region = region[..., None]
    _check_like("image", picture, param.shape)
    _check_like("mask", region, (*param.shape[:2], 1))
    outside = tf.constant((1 - region) * picture)
    inside = tf.constant(region)

    def decode(latents: Latents) -> Any:
        return inside * param.decode(latents) + outside

    return replace(param, decode=decode, spec={})


def from_spec(spec: Mapping[str, Any]) -> Param:
    """Make a param again from its description, as a saved picture holds it.

    Raises:
        ValueError: If no such param is known here, or if it needs a file that is not
            there or holds something else by now.

    >>> from_spec(fourier(5, 7, decay=1.5).spec).spec["decay"]
    1.5
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    known = (pixels, fourier, aligned, laplacian, cppn)
    makers: dict[Any, Callable[..., Param]] = {f.__name__: f for f in known}
    makers["maco"] = lambda **settings: _maco.from_settings(settings)
    if name not in makers:
        raise ValueError(
            f"There is no param {name!r} to make again; there are {', '.join(makers)}."
        )
    return makers[name](**settings)


def _check_like(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape {shape}. Received: {values.shape}"
        )
    check_unit_range(values, name)
