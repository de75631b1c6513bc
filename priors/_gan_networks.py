"""The networks of a GAN prior: generator, discriminator, and the encoder of photos.

None of them depends on a network that others trained. Images are in [-1, 1] with
64 pixels at the default widths. Weights have 32 bits; with the precision policy
`mixed_bfloat16`, convolutions multiply numbers of 16 bits, while colours and verdicts
are computed with 32.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from tfviz.priors._networks import SLOPE, LayerBuilder, small_initializer

# The channels at 4, 8, 16, ... pixels of the generator, and in reverse order of the
# discriminator.
WIDTHS = (384, 384, 192, 96, 48)
# The lengths of the vector that modulates a generator's activations, and of the
# features that a discriminator compares with the condition.
MAPPING, FEATURES = 256, 256
# The channels of the encoder's stages, of which each one after the first halves the
# map, and the number of residual blocks in each.
ENCODER_WIDTHS, ENCODER_BLOCKS = (32, 64, 128, 256), (1, 2, 2, 2)
# The last layer of the encoder with a map.
LAST_MAP = f"stage{len(ENCODER_WIDTHS)}"
# Added to the name of a convolution, this names its batch normalization.
_NORM = "_norm"


def gan_generator(
    condition: int,
    z: int,
    widths: Sequence[int] = WIDTHS,
    *,
    dtype: str | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build the generator of a GAN, from `(n, condition)` and `(n, z)` to images.

    Two dense layers mix both inputs into one vector, which decides the first map and
    then scales the activations in front of each convolution. Nothing is normalized, so
    an image does not depend on the others in its batch. The first convolution of each
    stage runs before the map is doubled, at a quarter of the cost.

    Args:
        condition: The length of the condition: a code, or a weight for each class.
        z: The length of the vector of random numbers.
        widths: The number of channels at 4, 8, 16, ... pixels, never rising.
        dtype: The precision policy of the convolutions.
        seed: The random seed of the weights.
    """
    build = LayerBuilder(seed, dtype)
    inputs = [keras.Input((condition,), name="condition"), keras.Input((z,), name="z")]
    style = layers.Concatenate(dtype="float32")(inputs)
    for _ in range(2):
        style = _leaky(_dense(build, style, MAPPING), "float32")

    def rectify(x: Any) -> Any:
        scale = _dense(build, style, x.shape[-1], small=True)
        return _leaky(Modulation(dtype=dtype)([x, scale]), dtype)

    x = layers.Reshape((4, 4, widths[0]), dtype=dtype)(
        _dense(build, style, 4 * 4 * widths[0])
    )
    x = layers.Add(dtype=dtype)([x, _small_conv(build, rectify(x), widths[0])])
    for width in widths[1:]:
        change = BilinearDoubling(dtype=dtype)(build.conv(rectify(x), width))
        change = _small_conv(build, rectify(change), width)
        x = BilinearDoubling(dtype=dtype)(x[..., :width])
        x = layers.Add(dtype=dtype)([x, change])
    # Small at first: where a tanh saturates, hardly any gradient passes.
    rgb = layers.Conv2D(
        3,
        3,
        padding="same",
        kernel_initializer=small_initializer(build.initializer()),
        activation="tanh",
        dtype="float32",
    )
    return keras.Model(inputs, rgb(rectify(x)), name="gan")


def gan_discriminator(
    condition: int,
    widths: Sequence[int] = WIDTHS,
    *,
    dtype: str | None = None,
    seed: int = 1,
) -> keras.Model:
    """Build the discriminator of images, a residual network without normalization.

    Args:
        condition: The length of the condition.
        widths: The number of channels of a generator, from the smallest map.
        dtype: The precision policy of the convolutions.
        seed: The random seed of the weights.

    Returns:
        A model from images and conditions to two verdicts `(n, 1)`. The first one is
        for images that belong to their condition: it also compares both, by the
        projection of Miyato and Koyama (https://arxiv.org/abs/1802.05637). The second
        ignores the condition.
    """
    build = LayerBuilder(seed, dtype)
    size = 4 * 2 ** (len(widths) - 1)
    images = keras.Input((size, size, 3), name="images")
    conditions = keras.Input((condition,), name="condition")
    from_rgb = layers.Conv2D(
        widths[-1],
        3,
        padding="same",
        kernel_initializer=build.initializer(),
        dtype="float32",
    )
    x = from_rgb(images)
    stages = list(zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True))
    for stage, (width, following) in enumerate(stages):
        change = build.conv(_leaky(x, dtype), width)
        if stage < len(stages) - 1:
            x, change = (_halve(maps, dtype) for maps in (x, change))
        change = _small_conv(build, _leaky(change, dtype), following)
        if following != width:
            x = build.conv(x, following, size=1, bias=False)
        x = layers.Add(dtype=dtype)([x, change])
    x = layers.Flatten(dtype="float32")(_leaky(x, "float32"))
    features = _leaky(_dense(build, x, FEATURES), "float32")
    wanted = _dense(build, conditions, FEATURES)
    match = layers.Dot(axes=1, dtype="float32")([features, wanted])
    matched = layers.Add()([_dense(build, features, 1), match / FEATURES**0.5])
    outputs = [matched, _dense(build, features, 1)]
    return keras.Model([images, conditions], outputs, name="discriminator")


def gan_encoder(
    classes: int,
    widths: Sequence[int] = ENCODER_WIDTHS,
    blocks: Sequence[int] = ENCODER_BLOCKS,
    *,
    normalized: bool = False,
    dtype: str | None = None,
    seed: int = 2,
) -> keras.Model:
    """Build the encoder of photos: a residual network with logits.

    It is trained as a classifier with batch normalizations, which are then folded into
    the convolutions by `folded_weights`. The layers `stage1`, `stage2`, ... end in a
    rectifier and halve the map from one to the next.

    Args:
        classes: The number of logits.
        widths: The number of channels of each stage.
        blocks: The number of residual blocks of each stage.
        normalized: Whether there are batch normalizations, as for the training.
        dtype: The precision policy of the convolutions.
        seed: The random seed of the weights.
    """
    build = LayerBuilder(seed, dtype)

    def conv(x: Any, width: int, name: str, size: int = 3, strides: int = 1) -> Any:
        x = layers.Conv2D(
            width,
            size,
            strides,
            padding="same",
            use_bias=not normalized,
            kernel_initializer=build.initializer(),
            dtype=dtype,
            name=name,
        )(x)
        norm = layers.BatchNormalization(momentum=0.95, name=name + _NORM, dtype=dtype)
        return norm(x) if normalized else x

    def relu(x: Any, name: str | None = None) -> Any:
        return layers.ReLU(dtype=dtype, name=name)(x)

    images = keras.Input((None, None, 3), name="images")
    x = relu(conv(images, widths[0], "first"))
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for block in range(count):
            name = f"stage{stage}_block{block + 1}"
            strides = 2 if stage > 1 and block == 0 else 1
            change = relu(conv(x, width, f"{name}_a", strides=strides))
            change = conv(change, width, f"{name}_b")
            if strides > 1 or x.shape[-1] != width:
                x = conv(x, width, f"{name}_skip", size=1, strides=strides)
            x = layers.Add(dtype=dtype)([x, change])
            x = relu(x, f"stage{stage}" if block == count - 1 else None)
    x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(images, _dense(build, x, classes, name="head"), name="encoder")


def folded_weights(normalized: keras.Model, plain: keras.Model) -> list[NDArray[Any]]:
    """Return weights for an encoder without normalizations that computes the same.

    Args:
        normalized: A trained encoder with batch normalizations.
        plain: An encoder of the same sizes without them, which stays as it is.
    """
    values = {}
    for layer in plain.layers:
        if isinstance(layer, layers.Conv2D):
            (kernel,) = normalized.get_layer(layer.name).get_weights()
            norm = normalized.get_layer(layer.name + _NORM)
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            values[layer.kernel.path] = kernel * scale
            values[layer.bias.path] = beta - mean * scale
        elif layer.weights:
            trained = normalized.get_layer(layer.name).get_weights()
            values |= zip((w.path for w in layer.weights), trained, strict=True)
    return [values[weight.path] for weight in plain.weights]


class Modulation(layers.Layer):
    """Scales each channel of a map by a factor near 1, which differs between images."""

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return the map `(n, h, w, c)` times `1 + scale`, for `[map, scale]`."""
        x, scale = inputs
        return x * (1 + scale[:, None, None])


class BilinearDoubling(layers.Layer):
    """Doubles the size of maps by bilinear interpolation; edges are repeated.

    As in StyleGAN2 (https://arxiv.org/abs/1912.04958), this leaves no blocks or
    lattices, which convolutions would turn into texture. Unlike `tf.image.resize`, it
    keeps 16 bits where it gets them.
    """

    def call(self, x: Any) -> Any:
        """Return `(n, 2h, 2w, c)`."""
        return _double_axis(_double_axis(x, 1), 2)


def _double_axis(x: Any, axis: int) -> Any:
    padding = [[0, 0]] * 4
    padding[axis] = [1, 1]
    size = x.shape[axis]
    padded = keras.ops.pad(x, padding, "symmetric")
    before, middle, after = (
        padded[:, k : k + size] if axis == 1 else padded[:, :, k : k + size]
        for k in range(3)
    )
    # New positions lie a quarter of the old distance from the nearest old one.
    both = [0.25 * before + 0.75 * middle, 0.75 * middle + 0.25 * after]
    shape = [-1, *x.shape[1:]]
    shape[axis] = 2 * size
    return keras.ops.reshape(keras.ops.stack(both, axis=axis + 1), shape)


def _dense(
    build: LayerBuilder,
    x: Any,
    width: int,
    *,
    small: bool = False,
    name: str | None = None,
) -> Any:
    """Apply a dense layer of 32 bits, at first with small weights if asked to."""
    initializer = build.initializer()
    if small:
        initializer = small_initializer(initializer)
    return layers.Dense(
        width, kernel_initializer=initializer, dtype="float32", name=name
    )(x)


def _small_conv(build: LayerBuilder, x: Any, width: int) -> Any:
    """Apply the last convolution of a residual block, at first with small weights."""
    return layers.Conv2D(
        width,
        3,
        padding="same",
        kernel_initializer=small_initializer(build.initializer()),
        dtype=build.dtype,
    )(x)


def _leaky(x: Any, dtype: str | None) -> Any:
    return layers.LeakyReLU(SLOPE, dtype=dtype)(x)


def _halve(x: Any, dtype: str | None) -> Any:
    return layers.AveragePooling2D(2, dtype=dtype)(x)
