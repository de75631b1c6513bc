"""The bundled ImageNet classifiers: SqueezeNet v1.1 and EfficientNet-Lite0.

Their weights are stored as 16-bit floats. `scripts/convert_squeezenet.py` and
`scripts/convert_efficientnet.py` made the files.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

# The mean colour (red, green, blue) of SqueezeNet's training set, from 0 to 255.
_MEAN_RGB = (123.68, 116.779, 103.939)
# The number of filters of the squeeze layer in each of SqueezeNet's fire modules.
_SQUEEZE_FILTERS = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
# The stages of EfficientNet-Lite0: the number of blocks, the size of the depthwise
# kernel, the stride of the first block, and the number of filters. See table 1 of Tan
# and Le 2019, https://arxiv.org/abs/1905.11946.
_STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)
# Hidden layers of a block have so many times the channels of its input, but for the
# first block, which does not expand them.
_EXPANSION = 6


def squeezenet() -> Any:
    """Build SqueezeNet v1.1 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360).

    Returns:
        A `keras.Model` from RGB images `(n, height, width, 3)` in [0, 255], at least
        31 pixels high and wide, to logits `(n, 1000)`. The layers `fire2` to `fire9`
        are the outputs of its modules.
    """

    def convolution(x: Any, name: str, filters: int, size: int, **options: Any) -> Any:
        options = {"activation": "relu", "padding": "same"} | options
        return layers.Conv2D(filters, size, name=name, **options)(x)

    inputs = keras.Input((None, None, 3), name="image")
    # Unlike Normalization, this does not divide by a variance that is 1.
    offset = [-mean for mean in _MEAN_RGB]
    x = layers.Rescaling(1.0, offset=offset, name="mean")(inputs)
    x = convolution(x, "conv1", 64, 3, strides=2, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for module, filters in _SQUEEZE_FILTERS.items():
        name = f"fire{module}"
        squeezed = convolution(x, f"{name}_squeeze1x1", filters, 1)
        x = layers.Concatenate(name=name)(
            [
                convolution(squeezed, f"{name}_expand1x1", 4 * filters, 1),
                convolution(squeezed, f"{name}_expand3x3", 4 * filters, 3),
            ]
        )
        if module in {3, 5}:
            x = layers.MaxPooling2D(3, 2, name=f"pool{module}")(x)
    x = convolution(x, "conv10", 1000, 1, activation=None)
    outputs = layers.GlobalAveragePooling2D(name="logits")(x)
    model = keras.Model(inputs, outputs, name="squeezenet")
    weights = _read_weights("squeezenet.npz")
    # It was trained on images whose first channel is blue.
    weights["conv1_kernel"] = weights["conv1_kernel"][:, :, ::-1]
    return _with_weights(model, weights)


def efficientnet_lite0() -> Any:
    """Build EfficientNet-Lite0, which has neither squeeze-and-excitation nor swish.

    The network is that of Tan and Le 2019, https://arxiv.org/abs/1905.11946, without
    the parts that are slow on phones (Liu 2020,
    https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html).
    Its batch normalizations are folded into its convolutions.

    Returns:
        A `keras.Model` from RGB images `(n, height, width, 3)` in [0, 255] to logits
        `(n, 1000)`. It was trained at 224 pixels. The layers `block1` to `block16` are
        the outputs of its blocks.

    >>> efficientnet_lite0().count_params()
    4631000
    """
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(inputs)
    x = layers.Conv2D(
        32, 3, strides=2, padding="same", activation="relu6", name="stem"
    )(x)
    for number, (size, stride, filters) in enumerate(_blocks(), 1):
        x = _add_block(x, f"block{number}", size, stride, filters, number > 1)
    x = layers.Conv2D(1280, 1, activation="relu6", name="head")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(1000, name="logits")(x)
    model = keras.Model(inputs, outputs, name="efficientnet-lite0")
    return _with_weights(model, _read_weights("efficientnet_lite0.npz"))


def _blocks() -> Iterator[tuple[int, int, int]]:
    """Yield the kernel size, the stride and the number of filters of each block."""
    for count, size, stride, filters in _STAGES:
        for place in range(count):
            yield size, stride if place == 0 else 1, filters


def _add_block(  # noqa: PLR0917 (the numbers of a row of the paper's table)
    x: Any, name: str, size: int, stride: int, filters: int, expand: bool
) -> Any:
    """Append a block: an inverted bottleneck, which adds its input where it fits."""
    block_input = x
    if expand:
        x = layers.Conv2D(
            _EXPANSION * x.shape[-1], 1, activation="relu6", name=f"{name}_expand"
        )(x)
    x = layers.DepthwiseConv2D(
        size,
        strides=stride,
        padding="same",
        activation="relu6",
        name=f"{name}_depthwise",
    )(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_project")(x)
    if stride == 1 and block_input.shape[-1] == filters:
        return layers.Add(name=name)([block_input, x])
    # Every block has an output of its own name, whether it adds its input or not.
    return layers.Identity(name=name)(x)


def _read_weights(file: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a weights file by name."""
    with files("tfviz.models").joinpath(file).open("rb") as opened:
        weights = np.load(opened, allow_pickle=False)
        return {name: weights[name].astype(np.float32) for name in weights.files}


def _with_weights(model: Any, weights: dict[str, NDArray[np.float32]]) -> Any:
    """Set the weights of all layers that have a kernel and a bias, by their names."""
    for layer in model.layers:
        if f"{layer.name}_kernel" in weights:
            kinds = ("kernel", "bias")
            layer.set_weights([weights[f"{layer.name}_{kind}"] for kind in kinds])
    return model


# The functions that build the bundled networks, by the names that `load_model` takes.
BUILDERS = {"squeezenet": squeezenet, "efficientnet-lite0": efficientnet_lite0}
