"""Params built on others: masked, bounded in distance, or aligned in groups.

`masked` and `bounded` wrap any param; `aligned` is built on `fourier`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._spectrum import frequencies
from tfviz.params._base import (
    Latents,
    Param,
    check_positive_integers,
    check_unit_range,
    make_spec,
)
from tfviz.params._fourier import fourier

# The prefix of the latents in which `bounded` keeps the start.
_START = "start/"


def masked(param: Param, image: ArrayLike, mask: ArrayLike) -> Param:
    """Restrict the changes of an image to a region of it.

    Args:
        param: The param that holds the region. Everything but its `decode` and its
            `spec` is kept, such as `init`, `encode`, `project`, `penalty` and `group`.
        image: The image outside of the region, `(height, width, channels)` in [0, 1].
        mask: `(height, width)` or `(height, width, 1)`: 1 in the region, 0 outside, and
            values between them where both are to be blended.

    Returns:
        A param whose images are `mask * param + (1 - mask) * image`. Its `spec` is
        empty, because a description cannot contain the image.

    Raises:
        ValueError: If `image` or `mask` does not have the shape of the param's images,
            or has values outside of [0, 1].

    >>> from tfviz.params import pixels
    >>> left = np.repeat([[1.0, 0.0]], 4, axis=0)
    >>> param = masked(pixels(4, 2), np.ones((4, 2, 3)), left)
    >>> param.decode(param.init([[0, 1]]))[0, :, 1].numpy().min()
    np.float32(1.0)
    """
    picture = np.asarray(image, np.float32)
    region = np.asarray(mask, np.float32)
    if region.ndim == 2:
        region = region[..., None]
    _check_image("image", picture, param.shape)
    _check_image("mask", region, (*param.shape[:2], 1))
    outside = tf.constant((1 - region) * picture)
    inside = tf.constant(region)

    def decode(latents: Latents) -> Any:
        return inside * param.decode(latents) + outside

    return replace(param, decode=decode, spec={})


def bounded(param: Param, distance: float) -> Param:
    """Keep images within a distance of those that they start from.

    The change of an image since its start is scaled down where it exceeds the distance.
    So a picture made with one param can be refined with another: `fourier`, for
    example, can add the fine texture that a prior lacks, without losing the prior's
    composition.

    Args:
        param: The param that holds the images.
        distance: The largest root mean square of the change over pixels and channels,
            in units of the range [0, 1].

    Returns:
        A param that starts from given images, or from those that `param` draws. Its
        latents contain those of the start a second time, with the prefix `start/`. Its
        `spec` is empty.

    Raises:
        ValueError: If the distance is not above 0.

    >>> from tfviz.params import pixels
    >>> param = bounded(pixels(8, 8), 0.1)
    >>> white = param.encode(np.ones((1, 8, 8, 3), np.float32))
    >>> moved = {name: value - 9 * (name == "pixels") for name, value in white.items()}
    >>> far = np.square(param.decode(moved) - param.decode(white)).mean() ** 0.5
    >>> round(float(far), 4)
    0.1
    """
    if not distance > 0:
        raise ValueError(f"`distance` must be above 0. Received: distance={distance}")

    def with_start(latents: Latents) -> Latents:
        return {**latents, **{f"{_START}{k}": v for k, v in latents.items()}}

    def inner(latents: Latents, *, start: bool = False) -> Latents:
        prefix = _START if start else ""
        names = [k.removeprefix(_START) for k in latents if k.startswith(_START)]
        return {name: latents[prefix + name] for name in names}

    def decode(latents: Latents) -> Any:
        start = tf.stop_gradient(param.decode(inner(latents, start=True)))
        change = param.decode(inner(latents)) - start
        squared = tf.reduce_mean(change**2, axis=(1, 2, 3), keepdims=True)
        return start + change * tf.minimum(
            1.0, distance * tf.math.rsqrt(tf.maximum(squared, 1e-12))
        )

    def on_inner(function: Any) -> Any:
        return function and (lambda latents: function(inner(latents)))

    def project(latents: Latents) -> Latents:
        return {**latents, **on_inner(param.project)(latents)}

    def encode(images: Any, inner_encode: Any = param.encode) -> Latents:
        return with_start(inner_encode(images))

    return replace(
        param,
        init=lambda seeds: with_start(param.init(seeds)),
        decode=decode,
        spec={},
        project=param.project and project,
        penalty=on_inner(param.penalty),
        encode=param.encode and encode,
        diagnostics={name: on_inner(f) for name, f in param.diagnostics.items()},
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
    """Hold images as in `fourier`, with low frequencies shared within each group.

    The images of a group agree in layout and broad colours and differ in detail, so
    that pictures of several units, or of interpolations between units, can be compared
    side by side (https://distill.pub/2017/feature-visualization/#interaction). At low
    frequencies, each wave of an image is the mean over its group, at high frequencies
    it is the image's own, and at `cycles` it is an equal mixture of both.

    Args:
        height: The height of the images, in pixels.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        group: The number of consecutive images that form a group.
        cycles: The frequency at which waves are half shared, in cycles per length of
            the image's longer side.
        decay: As in `fourier`.
        stddev: As in `fourier`.
        color: As in `pixels`.

    Returns:
        A param with the latent of `fourier`. Its `decode` raises ValueError for a
        number of images that is not a multiple of `group`.

    Raises:
        ValueError: As in `fourier`, or if `group` is not a whole number of at least 1,
            or `cycles` is not above 0.

    >>> param = aligned(6, 8, group=2)
    >>> param.decode(param.init([[0, 1], [0, 2], [0, 3], [0, 4]])).shape
    TensorShape([4, 6, 8, 3])
    """
    check_positive_integers(group=group)
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
                f"Images aligned in groups of {group} must come in multiples of "
                f"{group}. Received: {n} images"
            )
        own = tf.reshape(spectrum, (-1, group, *spectrum.shape[1:]))
        mean = tf.reduce_mean(own, axis=1, keepdims=True)
        mixed = tf.reshape(own + share * (mean - own), tf.shape(spectrum))
        return plain.decode({"spectrum": tf.ensure_shape(mixed, spectrum.shape)})

    settings = {"decay": decay, "stddev": stddev, "group": group, "cycles": cycles}
    spec = make_spec("aligned", plain.shape, color, **settings)
    return replace(plain, decode=decode, spec=spec, group=group)


def _check_image(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError if an image has another shape or leaves [0, 1]."""
    if values.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape {shape}. Received: {values.shape}"
        )
    check_unit_range(values, name)
