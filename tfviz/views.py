"""What a model is shown of an image that has another size or other channels.

A view is a function `(images, shape) -> images` `(n, *shape)`, for images
`(n, height, width, channels)` in [0, 1] and the `(height, width, channels)` that a
model takes. It stands between a param and the transforms, and has no part in the
picture that is saved: `Result.views` shows what it makes of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import resize
from tfviz.params._base import Param, Shape, check_positive_integers

View = Callable[[Any, Shape], Any]

# What is around an image that does not fill the view.
GREY = 0.5


def resized() -> View:
    """Show the whole image at the model's size; what shrinks is filtered first.

    >>> resized()(tf.ones((2, 3, 4, 1)), (6, 8, 3)).shape
    TensorShape([2, 6, 8, 3])
    """

    def view(images: Any, shape: Shape) -> Any:
        return resize(with_channels(images, shape[2]), shape[:2])

    return view


def cropped() -> View:
    """Show the middle of the image as it is, as DGN-AM does with 256 of 227 pixels.

    Nguyen et al., https://arxiv.org/abs/1605.09304. Images that are smaller than what
    the model takes are refused.

    >>> cropped()(tf.ones((2, 8, 9, 3)), (5, 5, 3)).shape
    TensorShape([2, 5, 5, 3])
    """

    def view(images: Any, shape: Shape) -> Any:
        height, width = images.shape[1], images.shape[2]
        if height < shape[0] or width < shape[1]:
            raise ValueError(
                f"A view of {shape[0]} x {shape[1]} pixels cannot be cut out of images "
                f"of {height} x {width}. Use views.resized()."
            )
        top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
        images = images[:, top : top + shape[0], left : left + shape[1]]
        return with_channels(images, shape[2])

    return view


def placed(top: int, left: int, height: int, width: int) -> View:
    """Show the image in a box, on grey: a small picture for what a neuron can see.

    As Wang and Ponce do with images of generators
    (https://github.com/Animadversio/ActMax-Optimizer-Dev); `receptive_field` gives the
    box of a layer.

    Args:
        top: Of the box, in pixels of what the model takes.
        left: The same.
        height: Of the box.
        width: Of the box.

    Raises:
        ValueError: If the box is empty, or later, does not lie in the view.

    >>> shown = placed(1, 2, 3, 3)(tf.ones((1, 8, 8, 3)), (5, 6, 3))
    >>> shown[0, :, 2, 0].numpy().tolist()
    [0.5, 1.0, 1.0, 1.0, 0.5]
    """
    check_positive_integers(height=height, width=width)

    def view(images: Any, shape: Shape) -> Any:
        below, right = shape[0] - top - height, shape[1] - left - width
        if min(top, left, below, right) < 0:
            raise ValueError(
                f"The box of {height} x {width} pixels at row {top}, column {left} "
                f"does not lie in a view of {shape[0]} x {shape[1]}."
            )
        images = resize(with_channels(images, shape[2]), (height, width))
        margins = [[0, 0], [top, below], [left, right], [0, 0]]
        return tf.pad(images, margins, constant_values=GREY)

    return view


def shown(images: Any, param: Param, adapter: Adapter) -> Any:
    """Return what a model is shown of a param's images, before any transform."""
    if param.view is None:
        return images
    return param.view(images, (*adapter.size, adapter.channels))


def receptive_field(
    model: Any,
    layer: str,
    row: int | None = None,
    column: int | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> tuple[int, int, int, int]:
    """Return which part of an image a place of a layer can see.

    It is found by the gradient: where a change of the image can change the place.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        layer: The path of a layer with a map.
        row: Of the place; the middle by default.
        column: The same.
        size: Height and width of the images; the model's, or 224 where it takes any,
            by default.

    Returns:
        Top, left, height and width in pixels, as `placed` takes them.

    Raises:
        ValueError: If the layer has no map or no such place, or sees nothing.

    >>> import keras
    >>> convolution = keras.layers.Conv2D(2, 3, strides=2, name="first")
    >>> model = keras.Sequential([keras.Input((9, 9, 3)), convolution])
    >>> receptive_field(adapt(model, (0, 1)), "first", 1, 0)
    (2, 0, 3, 3)
    """
    adapter = adapt(model)
    height, width = size or adapter.size
    found = adapter.layer(layer, (height, width)).shape
    rows, columns = found[1:3] if len(found) == 4 else (None, None)
    if rows is None or columns is None:
        raise ValueError(
            f"Layer {layer!r} has no map: its shape is {found}. All of it sees the "
            "whole image."
        )
    place = (
        rows // 2 if row is None else row,
        columns // 2 if column is None else column,
    )
    if not (0 <= place[0] < rows and 0 <= place[1] < columns):
        raise ValueError(
            f"Layer {layer!r} has {rows} rows and {columns} columns at this size. "
            f"Received: row={row}, column={column}"
        )

    def slopes(images: Any) -> Any:
        # All that a unit could see: also through units that are off, and through all
        # inputs of a max-pool.
        activations = adapter.forward(images, [layer], redirect=True, smooth_pools=True)
        here = activations[layer][:, place[0], place[1]]
        return tf.gradients(here, images)[0]

    compiled = tf.function(slopes, autograph=False)
    noise = np.random.default_rng(0).uniform(size=(4, height, width, adapter.channels))
    found_slopes = compiled(tf.constant(noise, tf.float32)).numpy()
    mattered = np.abs(found_slopes).max(axis=(0, 3)) > 0
    seen = np.flatnonzero(mattered.any(1)), np.flatnonzero(mattered.any(0))
    if not len(seen[0]):
        raise ValueError(
            f"No gradient leads from layer {layer!r} to the image, so what it sees is "
            "not known."
        )
    top, left = int(seen[0][0]), int(seen[1][0])
    return top, left, int(seen[0][-1]) + 1 - top, int(seen[1][-1]) + 1 - left


def with_channels(images: Any, channels: int) -> Any:
    """Return grey images in colours, or the mean of colours as grey.

    Raises:
        ValueError: If neither has one channel, and they differ.

    >>> with_channels(tf.ones((1, 2, 2, 3)), 1).shape
    TensorShape([1, 2, 2, 1])
    """
    if images.shape[-1] == channels:
        return images
    if images.shape[-1] == 1:
        return tf.repeat(images, channels, axis=-1)
    if channels == 1:
        return tf.reduce_mean(images, axis=-1, keepdims=True)
    raise ValueError(
        f"Images of {images.shape[-1]} channels cannot be shown to a model that takes "
        f"{channels}."
    )
