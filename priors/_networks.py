"""The networks of trained priors, small enough to train without a graphics card.

All of them use images in [-1, 1]; the last layer of those that make images is linear or
tanh.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

# The slope of leaky rectifiers for negative values.
SLOPE = 0.2


def inverter_generator(
    code: int, widths: Sequence[int] = (256, 192, 128, 80, 48), seed: int = 0
) -> keras.Model:
    """Build the generator of an inverter, from codes `(n, code)` to images.

    The images have 64 pixels with the default widths. The generator enlarges maps by
    nearest neighbours and convolutions, because transposed convolutions leave a
    checkerboard (Odena et al., https://distill.pub/2016/deconv-checkerboard/).

    Args:
        code: The number of components of a code.
        widths: The number of channels at 4, 8, 16, ... pixels.
        seed: The random seed of the weights.
    """
    build = LayerBuilder(seed)
    inputs = keras.Input((code,), name="code")
    # A bias would be a pattern of 4 x 4 positions that is the same in all images.
    x = layers.Dense(
        4 * 4 * widths[0], use_bias=False, kernel_initializer=build.initializer()
    )(inputs)
    x = layers.Reshape((4, 4, widths[0]))(x)
    x = build.normalize(x)
    for stage, width in enumerate(widths[1:]):
        x = build.double(x, width, bias=False)
        if stage < len(widths) - 2:
            # Without smoothing, the blocks of equal neighbours show as a grid. StyleGAN
            # smooths as well (https://arxiv.org/abs/1812.04948).
            x = Smoothing()(x)
        x = build.normalize(x)
        if stage < 2:  # Here convolutions are cheap and have large receptive fields.
            x = layers.Add()([x, build.normalize(build.conv(x, width, bias=False))])
    x = build.conv(x, 3)
    return keras.Model(inputs, layers.Activation("tanh")(x), name="inverter")


def autoencoder_encoder(
    channels: int, widths: Sequence[int] = (32, 64, 96), seed: int = 0
) -> keras.Model:
    """Build the encoder from images to latent maps of an eighth of their size.

    Args:
        channels: The number of channels of the latent maps.
        widths: The number of channels at a half, a quarter and an eighth of the size.
        seed: The random seed of the weights.
    """
    build = LayerBuilder(seed)
    inputs = keras.Input((None, None, 3), name="images")
    x = inputs
    for stage, width in enumerate(widths):
        x = build.conv(x, width, size=4, strides=2)
        for _ in range(stage):
            x = build.residual(x, width)
    return keras.Model(inputs, build.conv(x, channels), name="encoder")


def autoencoder_decoder(
    channels: int, widths: Sequence[int] = (96, 64, 48, 24), seed: int = 1
) -> keras.Model:
    """Build the decoder from latent maps to images of eight times their size.

    Args:
        channels: The number of channels of the latent maps.
        widths: The number of channels at an eighth, a quarter, a half and the whole of
            the size.
        seed: The random seed of the weights.
    """
    build = LayerBuilder(seed)
    inputs = keras.Input((None, None, channels), name="latents")
    x = build.conv(inputs, widths[0])
    for stage, width in enumerate(widths):
        if stage:
            x = build.double(layers.LeakyReLU(SLOPE)(x), width)
        for _ in range((3, 2, 1, 0)[stage]):
            x = build.residual(x, width)
    x = build.conv(layers.LeakyReLU(SLOPE)(x), 3)
    return keras.Model(inputs, x, name="decoder")


def discriminator(
    channels: Sequence[int],
    code: int | None,
    widths: Sequence[int] | None = None,
    seed: int = 2,
) -> keras.Model:
    """Build discriminators of feature maps, with spectrally normalized weights.

    Spectral normalization is that of Miyato et al. (https://arxiv.org/abs/1802.05957).
    With a code, the discriminators are conditioned on it by the projection of Miyato
    and Koyama (https://arxiv.org/abs/1802.05637). The last layer of each is not
    normalized, so that its output can be large.

    Args:
        channels: The number of channels of each map.
        code: The number of components of the codes on which the discriminators are
            conditioned, or None.
        widths: The number of channels inside each discriminator; by default a quarter
            of those of its map, at most 64.
        seed: The random seed of the weights.

    Returns:
        A model from the maps, followed by the code if there is one, to an output map
        `(n, h, w, 1)` of each discriminator.
    """
    build = LayerBuilder(seed)
    maps = [keras.Input((None, None, count)) for count in channels]
    inputs = [*maps]
    if code is not None:
        inputs.append(keras.Input((code,), name="code"))
    outputs = []
    for feature_map, width in zip(
        maps, widths or [min(max(c // 4, 1), 64) for c in channels], strict=True
    ):
        x = feature_map
        for strides in (2, 1):
            conv = layers.Conv2D(
                width,
                3,
                strides,
                padding="same",
                kernel_initializer=build.initializer(),
            )
            x = layers.LeakyReLU(SLOPE)(layers.SpectralNormalization(conv)(x))
        output = layers.Conv2D(1, 1, kernel_initializer=build.initializer())(x)
        if code is not None:
            dense = layers.Dense(width, kernel_initializer=build.initializer())
            projected = layers.SpectralNormalization(dense)(inputs[-1])
            projected = layers.Reshape((1, 1, width))(projected)
            match = keras.ops.sum(
                layers.Multiply()([x, projected]), axis=-1, keepdims=True
            )
            output = layers.Add()([output, match / width**0.5])
        outputs.append(output)
    model = keras.Model(inputs, outputs, name="discriminator")
    for layer in model.layers:
        if isinstance(layer, layers.SpectralNormalization):
            # Keras draws this vector without a seed, so that trainings would differ.
            layer.vector_u.assign(build.initializer()(layer.vector_u.shape))
    return model


class Doubling(layers.Layer):
    """Doubles the size of maps by nearest neighbours, then convolves them.

    Both are computed as one transposed convolution, whose 4 x 4 kernel is the sum of
    the 3 x 3 kernel at four shifts. The result is the same, with less than half of the
    multiplications, and has no checkerboard, because all positions share one kernel.

    Args:
        width: The number of channels of the result.
        use_bias: Whether a bias is added to the result.
        kernel_initializer: The initializer of the `(3, 3, channels, width)` kernel.
    """

    def __init__(
        self, width: int, *, use_bias: bool = True, kernel_initializer: object
    ) -> None:
        super().__init__()
        self.width, self.use_bias = width, use_bias
        self._initializer = kernel_initializer

    def build(self, shape: Sequence[int | None]) -> None:
        """Create the weights."""
        self.kernel = self.add_weight(
            (3, 3, shape[-1], self.width), self._initializer, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight((self.width,), "zeros", name="bias")

    def call(self, x: object) -> object:
        """Return `(n, 2h, 2w, width)`."""
        # A transposed convolution applies its kernel mirrored.
        kernel = keras.ops.transpose(self.kernel[::-1, ::-1], (0, 1, 3, 2))
        kernel = keras.ops.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = kernel[:-1] + kernel[1:]
        kernel = kernel[:, :-1] + kernel[:, 1:]
        x = keras.ops.conv_transpose(x, kernel, strides=2, padding="same")
        return x + self.bias if self.use_bias else x


class Smoothing(layers.Layer):
    """Averages each position with its eight neighbours; edges are mirrored.

    The weights 1, 2, 1 in each direction remove all patterns that alternate from
    position to position, which later layers would turn into a lattice.
    """

    def call(self, x: Any) -> Any:
        """Return maps of the same size."""
        x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")
        row = np.array([1, 2, 1], np.float32) / 4
        kernel = np.tile(np.outer(row, row)[..., None, None], (1, 1, x.shape[-1], 1))
        return keras.ops.depthwise_conv(x, keras.ops.cast(kernel, x.dtype))


class Normalization(layers.BatchNormalization):
    """Batch normalization by a single TensorFlow operation.

    While training, Keras computes it by several operations, which take three times as
    long.
    """

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return maps normalized to mean 0 and variance 1, then scaled and shifted."""
        if not training:
            return super().call(x, training=False)
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        for average, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return x


def set_weights(
    model: keras.Model, arrays: Mapping[str, NDArray[Any]], name: str
) -> None:
    """Set the weights of a network from the arrays whose names start with its name."""
    keys = [f"{name}/{k}" for k in range(len(model.weights))]
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(
            f"The file lacks {len(missing)} of the {len(keys)} weights of the {name}."
        )
    model.set_weights([arrays[key] for key in keys])
    model.trainable = False


class LayerBuilder:
    """Applies layers whose weights are drawn one after the other from one seed.

    Args:
        seed: The random seed of the weights.
        dtype: The precision policy of the layers; by default that of Keras.
    """

    def __init__(self, seed: int, dtype: str | None = None) -> None:
        self._seed, self._count, self.dtype = seed, 0, dtype

    def initializer(self) -> keras.initializers.Initializer:
        self._count += 1
        return keras.initializers.HeNormal(seed=1000 * self._seed + self._count)

    def conv(
        self, x: object, width: int, size: int = 3, strides: int = 1, bias: bool = True
    ) -> object:
        return layers.Conv2D(
            width,
            size,
            strides,
            padding="same",
            use_bias=bias,
            kernel_initializer=self.initializer(),
            dtype=self.dtype,
        )(x)

    def double(self, x: object, width: int, bias: bool = True) -> object:
        return Doubling(width, use_bias=bias, kernel_initializer=self.initializer())(x)

    def normalize(self, x: object) -> object:
        x = Normalization(momentum=0.98)(x)
        return layers.LeakyReLU(SLOPE)(x)

    def residual(self, x: object, width: int) -> object:
        """Add two convolutions to the identity, at first with small weights."""
        change = self.conv(layers.LeakyReLU(SLOPE)(x), width)
        conv = layers.Conv2D(
            width,
            3,
            padding="same",
            kernel_initializer=small_initializer(self.initializer()),
        )
        change = conv(layers.LeakyReLU(SLOPE)(change))
        return layers.Add()([x, change])


def small_initializer(
    initializer: keras.initializers.Initializer,
) -> keras.initializers.Initializer:
    """Return an initializer of small weights with the seed of another one."""
    return keras.initializers.VarianceScaling(
        0.1, "fan_in", "truncated_normal", seed=initializer.seed
    )
