"""How latents are moved along their gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfviz.params._base import Latents
from tfviz.transforms import blur


@dataclass(frozen=True)
class Method:
    """How pictures are moved uphill.

    Attributes:
        optimizer: A Keras optimizer, `normalized`, or None for Adam.
        gradient_blur: Standard deviation, in pixels, of a blur of the gradient in the
            image; 0 for none.
        normalize_gradient: Whether the gradient in each image is scaled to a root mean
            square of 1.
        alpha: Whether to note where in the image the gradient was.
        smooth_pools: Whether max-pools share their gradient within a window.
    """

    optimizer: keras.optimizers.Optimizer | str | None = None
    gradient_blur: float = 0.0
    normalize_gradient: bool = False
    alpha: bool = False
    smooth_pools: bool = False

    def __post_init__(self) -> None:
        """Refuse optimizers of another name."""
        if isinstance(self.optimizer, str) and self.optimizer != NORMALIZED:
            raise ValueError(
                f"`optimizer` must be {NORMALIZED!r} or a Keras optimizer; None is "
                f"Adam. Received: optimizer={self.optimizer!r}"
            )

    def shape_gradient(self) -> Callable[[Any], Any]:
        """Return the identity for images, whose gradient is blurred and normalized."""
        if not self.gradient_blur and not self.normalize_gradient:
            return tf.identity

        @tf.custom_gradient
        def identity(images: Any) -> Any:
            return tf.identity(images), self._shaped

        return identity

    def _shaped(self, slopes: Any) -> Any:
        if self.gradient_blur:
            seeds = tf.zeros((slopes.shape[0], 2), tf.int32)  # draws nothing
            slopes = blur(self.gradient_blur)(slopes, seeds)
        if self.normalize_gradient:
            squares = tf.reduce_mean(tf.square(slopes), (1, 2, 3), keepdims=True)
            slopes = tf.math.divide_no_nan(slopes, tf.sqrt(squares))
        return slopes


class Adam:
    """Adam (Kingma & Ba, https://arxiv.org/abs/1412.6980) as one fused operation."""

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, latents: dict[str, tf.Variable]) -> None:
        self._latents = latents
        self._moments = {
            name: [tf.Variable(tf.zeros_like(value)) for _ in range(2)]
            for name, value in latents.items()
        }

    def reset(self) -> None:
        """Forget all earlier steps."""
        for moments in self._moments.values():
            for moment in moments:
                moment.assign(tf.zeros_like(moment))

    def __call__(self, gradients: Latents, step: Any, learning_rate: Any) -> None:
        """Take one step uphill."""
        count = tf.cast(step + 1, tf.float32)
        for name, slope in gradients.items():
            variable, (first, second) = self._latents[name], self._moments[name]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=self.BETA_1**count,
                beta2_power=self.BETA_2**count,
                lr=-learning_rate,  # uphill
                beta1=self.BETA_1,
                beta2=self.BETA_2,
                epsilon=self.EPSILON,
                grad=slope,
            )


class KerasUpdate:
    """A Keras optimizer made anew from the settings of another."""

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, latents: dict[str, tf.Variable]
    ) -> None:
        self._latents = latents
        self._optimizer = type(optimizer).from_config(optimizer.get_config())
        self._optimizer.build(list(latents.values()))
        self._initial = [v.numpy() for v in self._optimizer.variables]

    def reset(self) -> None:
        """Forget all earlier steps."""
        for variable, value in zip(
            self._optimizer.variables, self._initial, strict=True
        ):
            variable.assign(value)

    def __call__(self, gradients: Latents, step: Any, learning_rate: Any) -> None:
        """Take one step uphill."""
        moving = [self._latents[name] for name in gradients]
        self._optimizer.apply([-slope for slope in gradients.values()], moving)


class NormalizedAscent:
    """Steps of the same mean size whatever the gradient's, as in DGN-AM.

    Each image's gradient is divided by the mean of its absolute values (Nguyen et al.,
    https://arxiv.org/abs/1605.09304); the learning rate falls to 0 over the steps.
    """

    def __init__(self, latents: dict[str, tf.Variable]) -> None:
        self._latents = latents

    def reset(self) -> None:
        """Do nothing: a step does not depend on earlier ones."""

    def __call__(self, gradients: Latents, step: Any, learning_rate: Any) -> None:
        """Take one step uphill."""
        sums = [
            tf.reduce_sum(tf.abs(slope), axis=tuple(range(1, slope.shape.rank)))
            for slope in gradients.values()
        ]
        size = sum(int(np.prod(slope.shape[1:])) for slope in gradients.values())
        factor = tf.math.divide_no_nan(learning_rate * size, tf.add_n(sums))
        for name, slope in gradients.items():
            shape = (-1, *[1] * (slope.shape.rank - 1))
            self._latents[name].assign_add(tf.reshape(factor, shape) * slope)


NORMALIZED = "normalized"


def updater(
    optimizer: keras.optimizers.Optimizer | str | None,
    latents: dict[str, tf.Variable],
) -> Any:
    """Return what moves the latents: `update(gradients, step, learning_rate)`."""
    if optimizer == NORMALIZED:
        return NormalizedAscent(latents)
    return KerasUpdate(optimizer, latents) if optimizer else Adam(latents)
