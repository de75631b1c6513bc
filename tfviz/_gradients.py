"""Gradients through units that are off for the whole picture.

A rectified unit that is zero everywhere has no gradient, so a picture that starts
there would stay as it is. Following Lucid's `redirected_relu_grad`
(https://github.com/tensorflow/lucid, misc/redirected_relu_grad.py), the gradient is
let through such a layer, but only where it pushes the unit towards its active range.
"""

from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf


def redirected() -> AbstractContextManager:
    """Return a context in which rectifiers are traced with the redirected gradient.

    It acts on operations of the graph, whichever layer makes them, and on gradients
    taken with `tf.gradients`, of a quantity that is to be increased.
    """
    graph = tf.compat.v1.get_default_graph()
    return graph.gradient_override_map(
        {"Relu": "TfvizRedirectedRelu", "Relu6": "TfvizRedirectedRelu6"}
    )


@tf.RegisterGradient("TfvizRedirectedRelu")
def _redirected_relu(operation: Any, gradient: Any) -> Any:
    inputs = operation.inputs[0]
    return _redirect(gradient, inputs <= 0, tf.zeros_like(inputs, tf.bool))


@tf.RegisterGradient("TfvizRedirectedRelu6")
def _redirected_relu6(operation: Any, gradient: Any) -> Any:
    inputs = operation.inputs[0]
    return _redirect(gradient, inputs <= 0, inputs >= 6)


def _redirect(gradient: Any, below: Any, above: Any) -> Any:
    """Pass the gradient back into range, for images that would have none at all."""
    zero = tf.zeros_like(gradient)
    plain = tf.where(below | above, zero, gradient)
    axes = tf.range(1, tf.rank(gradient))
    silent = tf.reduce_all(tf.equal(plain, 0), axis=axes, keepdims=True)
    returning = (below & (gradient > 0)) | (above & (gradient < 0))
    return tf.where(silent & returning, gradient, plain)
