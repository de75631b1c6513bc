"""Views, which fit images of another size or with other channels to a model's input.

A view is a function `(images, shape) -> images` from images `(n, height, width,
channels)` in [0, 1] to images `(n, *shape)`, where `shape` is the `(height, width,
channels)` of the model's input. It is applied between a param and the transforms, and
does not change the picture that is saved: `Result.views` has the views of the pictures.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import resize
from tfviz.params._base import Param, Shape, check_positive_integers

View = Callable[[Any, Shape], Any]

# The value of the pixels around an image that does not fill the view.
GREY = 0.5


def resized() -> View:
    """Show the whole image at the model's size; images are filtered before they shrink.

    >>> resized()(tf.ones((2, 3, 4, 1)), (6, 8, 3)).shape
    TensorShape([2, 6, 8, 3])
    """

    def view(images: Any, shape: Shape) -> Any:
        return resize(with_channels(images, shape[2]), shape[:2])

    return view


def cropped() -> View:
    """Show the middle of the image without scaling it.

    DGN-AM (Nguyen et al. 2016, https://arxiv.org/abs/1605.09304) does so with 227 of
    256 pixels. The view refuses images that are smaller than the model's input.

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
    """Show the image in a box on grey, such as the receptive field of a neuron.

    Wang and Ponce do so with images of generators
    (https://github.com/Animadversio/ActMax-Optimizer-Dev). `receptive_field` returns
    the box of a neuron.

    Args:
        top: The first row of the box, in pixels of the model's input.
        left: The first column of the box, in pixels of the model's input.
        height: The height of the box in pixels.
        width: The width of the box in pixels.

    Raises:
        ValueError: If the box is empty; later, if it does not lie in the view.

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


def apply_view(images: Any, param: Param, adapter: Adapter) -> Any:
    """Return a param's images as the model's input shows them, before any transform."""
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
    """Return the receptive field of a layer's neurons at one position of its map.

    It is the box of all pixels with a gradient: those that can change the activations.

    Args:
        model: A Keras model, or an adapter returned by `adapt`.
        layer: The path of a layer with a map.
        row: The row of the position in the map; the middle by default.
        column: The column of the position in the map; the middle by default.
        size: Height and width of the images; by default those of the model's input, or
            224 if it takes any size.

    Returns:
        Top, left, height and width of the box in pixels, as `placed` takes them.

    Raises:
        ValueError: If the layer has no map, the position is not in the map, or no
            gradient leads from it to the image.

    >>> import keras
    >>> convolution = keras.layers.Conv2D(2, 3, strides=2, name="first")
    >>> model = keras.Sequential([keras.Input((9, 9, 3)), convolution])
    >>> receptive_field(adapt(model, (0, 1)), "first", 1, 0)
    (2, 0, 3, 3)
    """
    adapter = adapt(model)
    height, width = size or adapter.size
    shape = adapter.layer(layer, (height, width)).shape
    rows, columns = shape[1:3] if len(shape) == 4 else (None, None)
    if rows is None or columns is None:
        raise ValueError(
            f"Layer {layer!r} has no map: its shape is {shape}. Each of its units sees "
            "the whole image."
        )
    position = (
        rows // 2 if row is None else row,
        columns // 2 if column is None else column,
    )
    if not (0 <= position[0] < rows and 0 <= position[1] < columns):
        raise ValueError(
            f"Layer {layer!r} has {rows} rows and {columns} columns at this size. "
            f"Received: row={row}, column={column}"
        )

    def gradients(images: Any) -> Any:
        # Redirected through inactive units and through all inputs of a max-pool, so
        # that the field does not depend on the image.
        activations = adapter.forward(images, [layer], redirect=True, smooth_pools=True)
        neurons = activations[layer][:, position[0], position[1]]
        return tf.gradients(neurons, images)[0]

    compiled = tf.function(gradients, autograph=False)
    noise = np.random.default_rng(0).uniform(size=(4, height, width, adapter.channels))
    gradient = compiled(tf.constant(noise, tf.float32)).numpy()
    has_gradient = np.abs(gradient).max(axis=(0, 3)) > 0
    field_rows = np.flatnonzero(has_gradient.any(axis=1))
    field_columns = np.flatnonzero(has_gradient.any(axis=0))
    if not len(field_rows):
        raise ValueError(
            f"No gradient leads from layer {layer!r} to the image, so its receptive "
            "field is unknown."
        )
    top, left = int(field_rows[0]), int(field_columns[0])
    return top, left, int(field_rows[-1]) + 1 - top, int(field_columns[-1]) + 1 - left


def with_channels(images: Any, channels: int) -> Any:
    """Return images with another number of channels: grey as colour, colour as grey.

    Grey is repeated in each channel, and the mean of all channels becomes grey.

    Raises:
        ValueError: If the numbers differ, and neither of them is 1.

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
