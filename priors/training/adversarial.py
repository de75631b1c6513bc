"""The losses of a GAN: relativistic pairs and the penalties of gradients.

This is the loss of R3GAN (Huang et al., https://arxiv.org/abs/2501.05441). With both
penalties it converges locally, so that neither the weights nor the activations of the
discriminator need to be normalized.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def discriminator_loss(real: Any, made: Any) -> Any:
    """Return the loss of verdicts that should be higher on photos than on their pairs.

    Jolicoeur-Martineau, https://arxiv.org/abs/1807.00734, with a softplus.

    Args:
        real: `(n, ...)`, the verdicts on photos.
        made: The verdicts on the images that they are compared with.
    """
    return tf.reduce_mean(tf.nn.softplus(made - real))


def generator_loss(real: Any, made: Any) -> Any:
    """Return the loss of images whose verdicts should be higher than those of photos.

    Args:
        real: `(n, ...)`, the verdicts on photos.
        made: The verdicts on the images that are compared with them.
    """
    return tf.reduce_mean(tf.nn.softplus(real - made))


def verdicts_with_penalty(judge: Callable[[Any], Any], images: Any) -> tuple[Any, Any]:
    """Return verdicts on images, and the squared norms of their gradients.

    Half of their mean over photos is the penalty R1, that over made images R2
    (Mescheder et al., https://arxiv.org/abs/1801.04406).

    Args:
        judge: `judge(images) -> (n,)`, in which no image changes another one's verdict.
        images: `(n, height, width, channels)`.

    Returns:
        The verdicts `(n,)` and the squared norms `(n,)`, in 32 bits.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        verdicts = judge(images)
        total = tf.reduce_sum(verdicts)
    gradients = tf.cast(tape.gradient(total, images), tf.float32)
    return verdicts, tf.reduce_sum(gradients**2, axis=(1, 2, 3))


def decay_for(batch: int, half_life: float) -> float:
    """Return the decay of a moving average that forgets half after so many images.

    >>> decay_for(100, 100), round(decay_for(32, 10_000), 5)
    (0.5, 0.99778)
    """
    return 0.5 ** (batch / half_life)
