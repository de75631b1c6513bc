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
    "bounded",
    "cppn",
    "fourier",
    "from_spec",
    "laplacian",
    "maco",
    "masked",
    "pixels",
]


# Before the names of the latents that `bounded` keeps from the start.
_START = "start/"


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


def bounded(param: Param, distance: float) -> Param:
    """Hold images that stay near the one they start from.

    What a param adds to its start is scaled down where it is too much. So a picture of
    one param can be refined under another: the fine texture that a prior lacks under
    `fourier`, say, without its composition being lost.

    Args:
        param: How images are held.
        distance: How far they may go: the root mean square over pixels and channels.

    Returns:
        A param that starts from images, or from what `param` draws. Its latents hold
        those of the start a second time, under `start/`. Its `spec` is empty.

    Raises:
        ValueError: If the distance is not above 0.

    >>> param = bounded(pixels(8, 8), 0.1)
    >>> white = param.encode(np.ones((1, 8, 8, 3), np.float32))
    >>> moved = {name: value - 9 * (name == "pixels") for name, value in white.items()}
    >>> far = np.square(param.decode(moved) - param.decode(white)).mean() ** 0.5
    >>> round(float(far), 4)
    0.1
    """
    if not distance > 0:
        raise ValueError(f"`distance` must be above 0. Received: distance={distance}")

    def begun(latents: Latents) -> Latents:
        return {**latents, **{f"{_START}{k}": v for k, v in latents.items()}}

    def inner(latents: Latents, *, start: bool = False) -> Latents:
        lead = _START if start else ""
        names = [k.removeprefix(_START) for k in latents if k.startswith(_START)]
        return {name: latents[lead + name] for name in names}

    def decode(latents: Latents) -> Any:
        start = tf.stop_gradient(param.decode(inner(latents, start=True)))
        change = param.decode(inner(latents)) - start
        squared = tf.reduce_mean(change**2, axis=(1, 2, 3), keepdims=True)
        return start + change * tf.minimum(
            1.0, distance * tf.math.rsqrt(tf.maximum(squared, 1e-12))
        )

    def apart(function: Any) -> Any:
        return function and (lambda latents: function(inner(latents)))

    def project(latents: Latents) -> Latents:
        return {**latents, **apart(param.project)(latents)}

    def encode(images: Any, known: Any = param.encode) -> Latents:
        return begun(known(images))

    return replace(
        param,
        init=lambda seeds: begun(param.init(seeds)),
        decode=decode,
        spec={},
        project=param.project and project,
        penalty=apart(param.penalty),
        encode=param.encode and encode,
        diagnostics={name: apart(of) for name, of in param.diagnostics.items()},
    )


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
