"""SqueezeNet v1.1 trained on ImageNet, the classifier that comes with the package.

The network is Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer
parameters" (https://arxiv.org/abs/1602.07360), version 1.1 of its authors.
"""

from importlib.resources import files
from typing import Any

import keras
import numpy as np

# The training set's mean colour, red, green, blue, on a scale of 0 to 255.
MEAN_RGB = (123.68, 116.779, 103.939)
SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def squeezenet() -> Any:
    """Build SqueezeNet v1.1 with its trained weights.

    Returns:
        A `keras.Model` from RGB images `(n, height, width, 3)` in [0, 255] of any
        size from 31 pixels to logits `(n, 1000)`. `fire2` to `fire9` are its
        modules' outputs.
    """
    layers = keras.layers

    def convolution(x: Any, name: str, filters: int, size: int, **options: Any) -> Any:
        options = {"activation": "relu", "padding": "same"} | options
        return layers.Conv2D(filters, size, name=name, **options)(x)

    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Normalization(mean=MEAN_RGB, variance=(1.0,) * 3, name="mean")(inputs)
    x = convolution(x, "conv1", 64, 3, strides=2, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for module, filters in SQUEEZE.items():
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

    with files("tfviz").joinpath("squeezenet.npz").open("rb") as file:
        weights = np.load(file, allow_pickle=False)
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                kernel = weights[f"{layer.name}_kernel"].astype(np.float32)
                if layer.name == "conv1":
                    kernel = kernel[:, :, ::-1]  # trained on blue, green, red
                bias = weights[f"{layer.name}_bias"].astype(np.float32)
                layer.set_weights([kernel, bias])
    return model
