"""Images drawn by a small network of their own, from the coordinates of a pixel."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz.params._base import (
    Latents,
    Param,
    check_from_one,
    checked_color,
    checked_shape,
    describe,
    mixing,
    normal,
)

# The published learning rate, 0.005, is for weights; this makes half of it of the
# default of 0.05.
WEIGHT_GAIN = 0.05
# The last layer alone can paint all in one colour, and from there no gradient leads
# back through the sigmoid; it moves more slowly than those that make shapes.
LAST_GAIN = 0.015


def cppn(
    height: int,
    width: int,
    channels: int = 3,
    *,
    layers: int = 8,
    hidden: int = 24,
    color: ArrayLike | None = None,
) -> Param:
    """Hold an image as a compositional pattern-producing network.

    A function of the coordinates draws the image; what is optimized are its weights
    (Stanley, 2007; Mordvintsev et al., "Differentiable Image Parameterizations",
    Distill 2018, https://distill.pub/2018/differentiable-parameterizations/, whose
    network this is). Its pictures are smooth, made of lines and gradients in strong
    colours, and have no grain at any size.

    Args:
        height: Of the images, in pixels. The coordinates of the longer side go from
            minus to plus the root of 3, so that their variance is 1.
        width: Of the images, in pixels.
        channels: Of the images.
        layers: Hidden ones.
        hidden: Channels of each.
        color: As in `pixels`.

    Returns:
        A param with the latents `weight_0` `(n, 2, hidden)`, `weight_1` `(n, 2 *
        hidden, hidden)` and so on to `weight_<layers>` `(n, 2 * hidden, channels)`,
        and as many `bias_0` `(n, 1, hidden)`; they are the network's
        divided by 0.05, and by 0.015 in the last layer. It has no `encode`.

    Raises:
        ValueError: As `pixels`, or if `layers` or `hidden` is no whole number from 1.

    >>> param = cppn(5, 7, layers=2, hidden=4)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = checked_shape(height, width, channels)
    mix, _ = mixing(checked_color(color, channels))
    check_from_one(layers=layers, hidden=hidden)
    inputs = [2, *[2 * hidden] * layers]
    gains = [*[WEIGHT_GAIN] * layers, LAST_GAIN]
    outputs = [*[hidden] * layers, channels]
    points = tf.constant(_coordinates(height, width))

    def init(seeds: Any) -> Latents:
        latents = {}
        for k, (wide, narrow) in enumerate(zip(inputs, outputs, strict=True)):
            # The last layer starts at zero, and so the image at grey.
            size = 1 / (gains[k] * np.sqrt(wide)) if k < layers else 0.0
            weight = normal(seeds, (wide, narrow), stream=k)
            latents[f"weight_{k}"] = size * weight
            latents[f"bias_{k}"] = tf.zeros_like(weight[:, :1])
        return latents

    def decode(latents: Latents) -> Any:
        # One product does the same for all images, which start from the same points.
        values = tf.matmul(points, gains[0] * latents["weight_0"])
        values += gains[0] * latents["bias_0"]
        for k in range(1, layers + 1):
            values = _activated_product(values, gains[k] * latents[f"weight_{k}"])
            values += gains[k] * latents[f"bias_{k}"]
        return tf.reshape(mix(values), (-1, *shape))

    settings = {"layers": layers, "hidden": hidden}
    return Param(init, decode, shape, describe("cppn", shape, color, **settings))


def _activated_product(values: Any, weight: Any) -> Any:
    """Return the product of `weight` and an odd and an even function of `values`.

    For normal numbers, both are about of variance 1. To add two products is four
    times faster than to join the functions for one.
    """
    angles = tf.atan(values)
    odd, even = tf.split(weight, 2, axis=1)
    return tf.matmul(angles, odd / 0.67) + tf.matmul(angles**2, even / 0.6)


def _coordinates(height: int, width: int) -> np.ndarray:
    """Return `(height * width, 2)`: column and row of each pixel's centre."""
    unit = np.sqrt(3) / max(height, width)
    columns = (2 * np.arange(width) + 1 - width) * unit
    rows = (2 * np.arange(height) + 1 - height) * unit
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2).astype("f4")
