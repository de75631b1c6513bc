"""Images that a small network draws from the coordinates of each pixel."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._precision import matmul
from tfviz.params._base import (
    Latents,
    Param,
    channel_mixing,
    check_positive_integers,
    color_matrix,
    image_shape,
    make_spec,
    normal,
)

# The published learning rate for the weights is 0.005. With this factor, the default
# learning rate of 0.1 amounts to all of it.
WEIGHT_GAIN = 0.05
# The last layer changes more slowly than those that make shapes: it alone can saturate
# the sigmoid in a single colour, from which no gradient leads back.
LAST_LAYER_GAIN = 0.015


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

    A network turns the coordinates of each pixel into its colour, and its weights are
    optimized (Stanley, 2007; the architecture is that of Mordvintsev et al.,
    "Differentiable Image Parameterizations", Distill 2018,
    https://distill.pub/2018/differentiable-parameterizations/). The pictures are
    smooth, consist of lines and gradients in strong colours, and have no grain at any
    size.

    Args:
        height: The height of the images, in pixels. The coordinates along the longer
            side range from minus to plus the square root of 3, so that their variance
            is 1.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        layers: The number of hidden layers.
        hidden: The number of channels of each hidden layer.
        color: As in `pixels`.

    Returns:
        A param with the latents `weight_0` `(n, 2, hidden)`, `weight_1` `(n, 2 *
        hidden, hidden)` and so on to `weight_<layers>` `(n, 2 * hidden, channels)`,
        and for each of them a bias, such as `bias_0` `(n, 1, hidden)`. They are the
        weights of the network divided by 0.05, or by 0.015 in the last layer. The
        param has no `encode`.

    Raises:
        ValueError: As in `pixels`, or if `layers` or `hidden` is not a whole number of
            at least 1.

    >>> param = cppn(5, 7, layers=2, hidden=4)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = image_shape(height, width, channels)
    mix, _ = channel_mixing(color_matrix(color, channels))
    check_positive_integers(layers=layers, hidden=hidden)
    inputs = [2, *[2 * hidden] * layers]
    gains = [*[WEIGHT_GAIN] * layers, LAST_LAYER_GAIN]
    outputs = [*[hidden] * layers, channels]
    points = tf.constant(_coordinates(height, width))

    def init(seeds: Any) -> Latents:
        latents = {}
        for k, (wide, narrow) in enumerate(zip(inputs, outputs, strict=True)):
            # The last layer starts at zero, so that the image starts grey.
            size = 1 / (gains[k] * np.sqrt(wide)) if k < layers else 0.0
            weight = normal(seeds, (wide, narrow), stream=k)
            latents[f"weight_{k}"] = size * weight
            latents[f"bias_{k}"] = tf.zeros_like(weight[:, :1])
        return latents

    def decode(latents: Latents) -> Any:
        # All images share the same points, so the first layer is a single product.
        values = matmul(points, gains[0] * latents["weight_0"])
        values += gains[0] * latents["bias_0"]
        for k in range(1, layers + 1):
            values = _activate_and_multiply(values, gains[k] * latents[f"weight_{k}"])
            values += gains[k] * latents[f"bias_{k}"]
        return tf.reshape(mix(values), (-1, *shape))

    settings = {"layers": layers, "hidden": hidden}
    spec = make_spec("cppn", shape, color, **settings)
    defaults = {"learning_rate": 0.1, "momentum": 0.9}
    return Param(init, decode, shape, spec, defaults=defaults)


def _activate_and_multiply(values: Any, weight: Any) -> Any:
    """Return the product of `weight` and an odd and an even function of `values`.

    For standard normal `values`, both functions have a variance of about 1. Adding two
    products is four times faster than concatenating the functions for one product.
    """
    angles = tf.atan(values)
    odd, even = tf.split(weight, 2, axis=1)
    return matmul(angles, odd / 0.67) + matmul(angles**2, even / 0.6)


def _coordinates(height: int, width: int) -> np.ndarray:
    """Return the scaled column and row of each pixel's centre, `(pixels, 2)`."""
    unit = np.sqrt(3) / max(height, width)
    columns = (2 * np.arange(width) + 1 - width) * unit
    rows = (2 * np.arange(height) + 1 - height) * unit
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2).astype("f4")
