"""The networks that are trained here: small, for a processor without a graphics card.

All take and give images in [-1, 1] inside; their last layer is linear or tanh.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SLOPE = 0.2


def inverter_generator(
    code: int, widths: Sequence[int] = (256, 192, 128, 80, 48), seed: int = 0
) -> keras.Model:
    """Return a generator from codes `(n, code)` to images of 64 pixels.

    Nearest neighbours and convolutions, not transposed ones, which leave a
    checkerboard (Odena et al., https://distill.pub/2016/deconv-checkerboard/).

    Args:
        code: The size of a code.
        widths: Channels at 4, 8, 16, ... pixels.
        seed: Of the weights.
    """
    made = _Convolutions(seed)
    inputs = keras.Input((code,), name="code")
    # A bias would be a pattern of 4 x 4 places that all images have.
    x = layers.Dense(
        4 * 4 * widths[0], use_bias=False, kernel_initializer=made.initial()
    )(inputs)
    x = layers.Reshape((4, 4, widths[0]))(x)
    x = made.normalized(x)
    for stage, width in enumerate(widths[1:]):
        x = made.doubled(x, width, bias=False)
        if stage < len(widths) - 2:
            # Else squares of neighbours that were one are seen, as a grid. So it is in
            # StyleGAN (https://arxiv.org/abs/1812.04948).
            x = Smoothing()(x)
        x = made.normalized(x)
        if stage < 2:  # where convolutions cost little and see much
            x = layers.Add()([x, made.normalized(made.conv(x, width, bias=False))])
    x = made.conv(x, 3)
    return keras.Model(inputs, layers.Activation("tanh")(x), name="inverter")


def autoencoder_encoder(
    channels: int, widths: Sequence[int] = (32, 64, 96), seed: int = 0
) -> keras.Model:
    """Return an encoder from images to latents at an eighth of their size.

    Args:
        channels: Of the latents.
        widths: Channels at a half, a quarter and an eighth of the size.
        seed: Of the weights.
    """
    made = _Convolutions(seed)
    inputs = keras.Input((None, None, 3), name="images")
    x = inputs
    for stage, width in enumerate(widths):
        x = made.conv(x, width, size=4, strides=2)
        for _ in range(stage):
            x = made.residual(x, width)
    return keras.Model(inputs, made.conv(x, channels), name="encoder")


def autoencoder_decoder(
    channels: int, widths: Sequence[int] = (96, 64, 48, 24), seed: int = 1
) -> keras.Model:
    """Return a decoder from latents to images eight times their size.

    Args:
        channels: Of the latents.
        widths: Channels at an eighth, a quarter, a half and the whole size.
        seed: Of the weights.
    """
    made = _Convolutions(seed)
    inputs = keras.Input((None, None, channels), name="latents")
    x = made.conv(inputs, widths[0])
    for stage, width in enumerate(widths):
        if stage:
            x = made.doubled(layers.LeakyReLU(SLOPE)(x), width)
        for _ in range((3, 2, 1, 0)[stage]):
            x = made.residual(x, width)
    x = made.conv(layers.LeakyReLU(SLOPE)(x), 3)
    return keras.Model(inputs, x, name="decoder")


def discriminator(
    channels: Sequence[int],
    code: int | None,
    widths: Sequence[int] | None = None,
    seed: int = 2,
) -> keras.Model:
    """Return judges of maps of features, with weights normalized by their spectrum.

    Miyato et al., https://arxiv.org/abs/1802.05957; with a code, also the projection
    of Miyato and Koyama, https://arxiv.org/abs/1802.05637. What each judge says in
    the end is free, so that it can be sure.

    Args:
        channels: Of each map.
        code: The size of the codes they are told, or None.
        widths: Channels inside each judge; by default a quarter of the map's, at most
            64.
        seed: Of the weights.
    """
    made = _Convolutions(seed)
    maps = [keras.Input((None, None, count)) for count in channels]
    inputs = [*maps]
    if code is not None:
        inputs.append(keras.Input((code,), name="code"))
    verdicts = []
    for seen, width in zip(
        maps, widths or [min(max(c // 4, 1), 64) for c in channels], strict=True
    ):
        x = seen
        for strides in (2, 1):
            conv = layers.Conv2D(
                width, 3, strides, padding="same", kernel_initializer=made.initial()
            )
            x = layers.LeakyReLU(SLOPE)(layers.SpectralNormalization(conv)(x))
        verdict = layers.Conv2D(1, 1, kernel_initializer=made.initial())(x)
        if code is not None:
            dense = layers.Dense(width, kernel_initializer=made.initial())
            told = layers.SpectralNormalization(dense)(inputs[-1])
            told = layers.Reshape((1, 1, width))(told)
            match = keras.ops.sum(layers.Multiply()([x, told]), axis=-1, keepdims=True)
            verdict = layers.Add()([verdict, match / width**0.5])
        verdicts.append(verdict)
    model = keras.Model(inputs, verdicts, name="discriminator")
    for layer in model.layers:
        if isinstance(layer, layers.SpectralNormalization):
            # Keras draws it anew each time, and trainings would not be the same.
            layer.vector_u.assign(made.initial()(layer.vector_u.shape))
    return model


class Doubling(layers.Layer):
    """Doubles an image's size by nearest neighbours, then convolves it.

    It is the sum over the four places of a 3 x 3 kernel in a transposed convolution:
    the same numbers for less than half of the multiplications, and no checkerboard, as
    all places have the same kernel.

    Args:
        width: Channels of the result.
        use_bias: Whether they have a bias.
        kernel_initializer: Of the `(3, 3, channels, width)` kernel.
    """

    def __init__(
        self, width: int, *, use_bias: bool = True, kernel_initializer: object
    ) -> None:
        super().__init__()
        self.width, self.use_bias = width, use_bias
        self._initial = kernel_initializer

    def build(self, shape: Sequence[int | None]) -> None:
        """Make the weights."""
        self.kernel = self.add_weight(
            (3, 3, shape[-1], self.width), self._initial, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight((self.width,), "zeros", name="bias")

    def call(self, x: object) -> object:
        """Return `(n, 2h, 2w, width)`."""
        # Mirrored, as a transposed convolution spreads what a convolution gathers.
        kernel = keras.ops.transpose(self.kernel[::-1, ::-1], (0, 1, 3, 2))
        kernel = keras.ops.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = kernel[:-1] + kernel[1:]
        kernel = kernel[:, :-1] + kernel[:, 1:]
        x = keras.ops.conv_transpose(x, kernel, strides=2, padding="same")
        return x + self.bias if self.use_bias else x


class Smoothing(layers.Layer):
    """Averages each place with its eight neighbours; edges are mirrored.

    Nearer ones count more: 1, 2, 1 in each direction leaves nothing of what alternates
    from place to place, of which later layers would make a lattice.
    """

    def call(self, x: Any) -> Any:
        """Return maps of the same size."""
        x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")
        row = np.array([1, 2, 1], np.float32) / 4
        kernel = np.tile(np.outer(row, row)[..., None, None], (1, 1, x.shape[-1], 1))
        return keras.ops.depthwise_conv(x, kernel)


class Normalization(layers.BatchNormalization):
    """Batch normalization by TensorFlow's one operation for it.

    While training, Keras makes it of several, which take three times as long.
    """

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return maps of about mean 0 and variance 1, scaled and moved."""
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
        for known, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            known.assign(known * self.momentum + new * (1 - self.momentum))
        return x


class _Convolutions:
    """Layers whose weights are drawn one after the other from one seed."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def initial(self) -> keras.initializers.Initializer:
        self._drawn += 1
        return keras.initializers.HeNormal(seed=1000 * self._seed + self._drawn)

    def conv(
        self, x: object, width: int, size: int = 3, strides: int = 1, bias: bool = True
    ) -> object:
        return layers.Conv2D(
            width,
            size,
            strides,
            padding="same",
            use_bias=bias,
            kernel_initializer=self.initial(),
        )(x)

    def doubled(self, x: object, width: int, bias: bool = True) -> object:
        return Doubling(width, use_bias=bias, kernel_initializer=self.initial())(x)

    def normalized(self, x: object) -> object:
        x = Normalization(momentum=0.98)(x)
        return layers.LeakyReLU(SLOPE)(x)

    def residual(self, x: object, width: int) -> object:
        """Two convolutions beside the identity, which they leave alone at first."""
        change = self.conv(layers.LeakyReLU(SLOPE)(x), width)
        conv = layers.Conv2D(
            width, 3, padding="same", kernel_initializer=_small(self.initial())
        )
        change = conv(layers.LeakyReLU(SLOPE)(change))
        return layers.Add()([x, change])


def _small(initial: keras.initializers.Initializer) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(
        0.1, "fan_in", "truncated_normal", seed=initial.seed
    )
