"""Products of matrices in full float32, on every device.

NVIDIA's graphics cards since Ampere round the factors of float32 products to 10 bits,
a format called TF32, unless `tf.config.experimental.enable_tensor_float_32_execution`
turns that off. Networks bear that well. Positions in an image, colours and similarities
would be off by a thousandth, so the library's own products do without TF32.
"""

from typing import Any

import tensorflow as tf


def has_gpu() -> bool:
    """Return whether TensorFlow may place operations on a graphics card."""
    return bool(tf.config.get_visible_devices("GPU"))


def matmul(
    a: Any, b: Any, *, transpose_a: bool = False, transpose_b: bool = False
) -> Any:
    """Return the product of float32 matrices, with an equally exact gradient.

    On a graphics card it is computed in float64, which TF32 does not affect.

    Args:
        a: `(..., m, k)`, or `(..., k, m)` to be transposed.
        b: `(..., k, n)`, or `(..., n, k)` to be transposed.
        transpose_a: Whether to transpose `a`.
        transpose_b: Whether to transpose `b`.

    Returns:
        The product `(..., m, n)`.

    >>> matmul(tf.eye(2), tf.constant([[0.1], [0.2]])).numpy().tolist()
    [[0.10000000149011612], [0.20000000298023224]]
    """
    if not has_gpu():
        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    a, b = (tf.cast(factor, tf.float64) for factor in (a, b))
    product = tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    return tf.cast(product, tf.float32)
