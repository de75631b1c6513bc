"""Params made of others: within a mask, within a distance, or of one subject."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._spectrum import frequencies
from tfviz.params._base import (
    Latents,
    Param,
    check_from_one,
    check_unit_range,
    describe,
)
from tfviz.params._fourier import fourier

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


def aligned(
    height: int,
    width: int,
    channels: int = 3,
    *,
    group: int,
    cycles: float = 4.0,
    decay: float = 1.0,
    stddev: float = 0.01,
    color: ArrayLike | None = None,
) -> Param:
    """Hold images of which `group` at a time share their low frequencies.

    The images of a group agree in layout and broad colours and differ in detail, so
    that units can be compared, or interpolated between, picture by picture (as in
    https://distill.pub/2017/feature-visualization/#interaction). Wave by wave, an
    image is the mean of its group where frequencies are low, and its own where they
    are high; half and half at `cycles`.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        channels: Of the images.
        group: How many images, one after the other, share.
        cycles: Per image, along its longer side, where sharing is half.
        decay: As in `fourier`.
        stddev: As in `fourier`.
        color: As in `pixels`.

    Returns:
        A param with the latent of `fourier`. Its `decode` raises ValueError for a
        batch that is no multiple of `group`.

    Raises:
        ValueError: As `fourier`, or if `group` is no whole number from 1 or `cycles`
            is not above 0.

    >>> param = aligned(6, 8, group=2)
    >>> param.decode(param.init([[0, 1], [0, 2], [0, 3], [0, 4]])).shape
    TensorShape([4, 6, 8, 3])
    """
    check_from_one(group=group)
    if not cycles > 0:
        raise ValueError(f"`cycles` must be above 0. Received: cycles={cycles}")
    plain = fourier(height, width, channels, decay=decay, stddev=stddev, color=color)
    relative = frequencies(height, width) * max(height, width) / cycles
    share = tf.constant(1 / (1 + relative**4)[..., None], tf.float32)

    def decode(latents: Latents) -> Any:
        spectrum = latents["spectrum"]
        n = spectrum.shape[0]
        if n is not None and n % group:
            raise ValueError(
                f"Images that are aligned in groups of {group} come in multiples of "
                f"{group}. Received: {n} images"
            )
        own = tf.reshape(spectrum, (-1, group, *spectrum.shape[1:]))
        mean = tf.reduce_mean(own, axis=1, keepdims=True)
        mixed = tf.reshape(own + share * (mean - own), tf.shape(spectrum))
        return plain.decode({"spectrum": tf.ensure_shape(mixed, spectrum.shape)})

    settings = {"decay": decay, "stddev": stddev, "group": group, "cycles": cycles}
    spec = describe("aligned", plain.shape, color, **settings)
    return replace(plain, decode=decode, spec=spec, group=group)


def _check_like(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape {shape}. Received: {values.shape}"
        )
    check_unit_range(values, name)
