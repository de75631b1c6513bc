"""How latents move along their gradient, and how the gradient is shaped before."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfviz.optimize.options import MOMENTUM, NORMALIZED, Options
from tfviz.params._base import Latents
from tfviz.transforms import blur


def gradient_shaper(options: Options) -> Callable[[Any], Any]:
    """Return the identity for images whose gradient is blurred and normalized."""
    if not options.gradient_blur and not options.normalize_gradient:
        return tf.identity

    def shaped(gradients: Any) -> Any:
        if options.gradient_blur:
            seeds = tf.zeros((gradients.shape[0], 2), tf.int32)  # nothing is random
            gradients = blur(options.gradient_blur)(gradients, seeds)
        if options.normalize_gradient:
            squares = tf.reduce_mean(tf.square(gradients), (1, 2, 3), keepdims=True)
            gradients = tf.math.divide_no_nan(gradients, tf.sqrt(squares))
        return gradients

    @tf.custom_gradient
    def identity(images: Any) -> Any:
        return tf.identity(images), shaped

    return identity


class Adam:
    """Adam (Kingma & Ba, https://arxiv.org/abs/1412.6980), one fused operation.

    Args:
        latents: What is optimized.
        momentum: The share of the mean gradient that is kept at each step: beta_1.
    """

    BETA_2, EPSILON = 0.999, 1e-8

    def __init__(
        self, latents: dict[str, tf.Variable], momentum: float = MOMENTUM
    ) -> None:
        self._latents, self._momentum = latents, momentum
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
        for name, gradient in gradients.items():
            variable, (first, second) = self._latents[name], self._moments[name]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=self._momentum**count,
                beta2_power=self.BETA_2**count,
                lr=-learning_rate,  # uphill
                beta1=self._momentum,
                beta2=self.BETA_2,
                epsilon=self.EPSILON,
                grad=gradient,
            )


class KerasOptimizer:
    """A Keras optimizer that is built anew from the settings of the user's."""

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
        self._optimizer.apply([-gradient for gradient in gradients.values()], moving)


class NormalizedSteps:
    """Steps of the same mean size, whatever the size of the gradient, as in DGN-AM.

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
            tf.reduce_sum(tf.abs(gradient), axis=tuple(range(1, gradient.shape.rank)))
            for gradient in gradients.values()
        ]
        size = sum(int(np.prod(gradient.shape[1:])) for gradient in gradients.values())
        factor = tf.math.divide_no_nan(learning_rate * size, tf.add_n(sums))
        for name, gradient in gradients.items():
            shape = (-1, *[1] * (gradient.shape.rank - 1))
            self._latents[name].assign_add(tf.reshape(factor, shape) * gradient)


def make_updater(options: Options, latents: dict[str, tf.Variable]) -> Any:
    """Return what moves latents: `update(gradients, step, learning_rate)`."""
    if options.optimizer == NORMALIZED:
        return NormalizedSteps(latents)
    if options.optimizer:
        return KerasOptimizer(options.optimizer, latents)
    return Adam(latents, MOMENTUM if options.momentum is None else options.momentum)
