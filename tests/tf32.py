"""What graphics cards make of float32 products, imitated on the processor."""

import tensorflow as tf

# The functions whose products TF32 affects, by their names in TensorFlow's modules.
_PRODUCTS = (
    (tf, "matmul"),
    (tf.linalg, "matmul"),
    (tf, "tensordot"),
    (tf.nn, "conv2d"),
    (tf.nn, "convolution"),
    (tf.nn, "conv2d_transpose"),
    (tf.nn, "conv_transpose"),
)


def rounded(values):
    """Round float32 numbers to 10 bits of mantissa, to the nearest, as TF32 does."""
    bits = tf.bitcast(tf.convert_to_tensor(values), tf.int32)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x1000, ~0x1FFF), tf.float32)


@tf.custom_gradient
def _factor(values):
    """Round a factor; its gradient, which is another product, is left alone."""
    return rounded(values), lambda upstream: upstream


@tf.custom_gradient
def _product(values):
    """Round what comes back to a product, where it is a factor of the gradient."""
    return tf.identity(values), rounded


def emulate(patch):
    """Let float32 products round their factors, by a `pytest.MonkeyPatch`."""
    for module, name in _PRODUCTS:
        patch.setattr(module, name, _rounding(getattr(module, name)))


def _rounding(function):
    def product(first, second, *arguments, **options):
        first = tf.convert_to_tensor(first)
        if first.dtype != tf.float32:
            return function(first, second, *arguments, **options)
        factors = _factor(first), _factor(tf.convert_to_tensor(second))
        return _product(function(*factors, *arguments, **options))

    return product
