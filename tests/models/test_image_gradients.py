"""The gradient of convolutions that see the image equals that of TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
from tfviz.models import image_gradients
from tfviz.models.gradient_overrides import override_gradients

CASES = [
    # height, width, kernel, strides, filters, padding
    (9, 8, (3, 3), (2, 2), 5, "VALID"),
    (10, 11, (3, 3), (2, 2), 4, "SAME"),
    (12, 9, (7, 7), (2, 2), 3, "SAME"),
    (12, 12, (7, 7), (2, 2), 3, [[0, 0], [3, 3], [3, 3], [0, 0]]),
    (13, 10, (3, 3), (1, 1), 6, "SAME"),
    (15, 14, (5, 3), (3, 2), 2, "VALID"),
    (16, 16, (4, 4), (4, 4), 7, "VALID"),
    (9, 9, (2, 2), (3, 3), 3, "VALID"),
    (9, 8, (1, 1), (2, 2), 3, "SAME"),
    (23, 21, (11, 11), (4, 4), 2, [[0, 0], [2, 1], [0, 2], [0, 0]]),
]


def both_gradients(images, kernel, strides, padding, **options):
    """Return TensorFlow's gradients of a convolution, and those with the override."""
    upstream = tf.random.normal(
        tf.nn.conv2d(images, kernel, strides, padding, **options).shape
    )

    @tf.function(autograph=False)
    def gradients(images, kernel):
        def of(convolve):
            return tf.gradients(convolve(), [images, kernel], upstream)

        def convolve():
            return tf.nn.conv2d(images, kernel, strides, padding, **options)

        plain = of(convolve)
        with override_gradients():
            faster = convolve()
        return plain, tf.gradients(faster, [images, kernel], upstream)

    return gradients(images, kernel)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_those_of_tensorflow(case, channels):
    height, width, size, strides, filters, padding = case
    images = tf.random.normal((2, height, width, channels))
    kernel = tf.random.normal((*size, channels, filters))
    plain, faster = both_gradients(images, kernel, strides, padding)
    for expected, received in zip(plain, faster, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=2e-5)


def test_gradient_agrees_with_finite_differences():
    images = np.random.default_rng(0).normal(size=(1, 7, 6, 3)).astype(np.float32)
    kernel = tf.random.normal((3, 3, 3, 2))

    @tf.function(autograph=False)
    def score_and_gradient(images):
        with override_gradients():
            maps = tf.nn.conv2d(images, kernel, 2, "SAME")
        score = tf.reduce_sum(maps**2)
        return score, tf.gradients(score, images)[0]

    gradient = score_and_gradient(tf.constant(images))[1].numpy()
    for place in [(0, 0, 0, 0), (0, 3, 2, 1), (0, 6, 5, 2)]:
        moved = []
        for step in (1e-2, -1e-2):
            other = images.copy()
            other[place] += step
            moved.append(float(score_and_gradient(tf.constant(other))[0]))
        assert (moved[0] - moved[1]) / 2e-2 == pytest.approx(gradient[place], rel=5e-3)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 8, 8, 5), {}),  # five channels
        ((2, 8, 8, 3), {"dilations": 2}),
        ((None, 8, 8, 3), {}),  # batches of any size
    ],
    ids=str,
)
def test_other_convolutions_keep_their_own_gradient(shape, options, monkeypatch):
    def refuse(*_):
        raise AssertionError("the faster gradient was used")

    monkeypatch.setattr(image_gradients, "_gradient_of_images", refuse)
    kernel = tf.random.normal((3, 3, shape[3], 2))

    def gradient(images):
        with override_gradients():
            maps = tf.nn.conv2d(images, kernel, 1, "VALID", **options)
        return tf.gradients(maps, images)[0]

    compiled = tf.function(gradient, autograph=False)
    compiled.get_concrete_function(tf.TensorSpec(shape, tf.float32))


def test_a_gpu_keeps_its_own_gradient(monkeypatch):
    monkeypatch.setattr(image_gradients, "has_gpu", lambda: True)
    monkeypatch.delattr(image_gradients, "_gradient_of_images")
    images, kernel = tf.random.normal((1, 8, 8, 3)), tf.random.normal((3, 3, 3, 2))
    plain, same = both_gradients(images, kernel, 2, "VALID")
    np.testing.assert_array_equal(plain[0], same[0])
