"""What all images have at the same places."""

from typing import Any

import tensorflow as tf

# How slowly the known mean follows that of a batch: as if of 20 batches.
MEMORY = 0.95
# Power that counts as none.
LEAST = 1e-2


class MeanImage:
    """Holds the mean of made images to that of photos.

    A generator puts texture whose place a code does not tell where it likes, at the
    same places in all images. As a lattice it costs nothing: pixels are compared
    coarsely, and to judges of single images it is a texture like others. But photos
    have nothing in common at the same places: the mean of many is smooth, and a lattice
    is left.

    Waves are compared, each measured in what single photos and images have of it; else
    the slow ones, of which they have most, would be all that counts.

    Attributes:
        apart: `(2, c, size, size // 2 + 1)`, the known mean of the differences between
            the waves of made images and of photos: real and imaginary parts.
    """

    def __init__(self, size: int, channels: int = 3) -> None:
        shape = (2, channels, size, size // 2 + 1)
        self.apart = tf.Variable(tf.zeros(shape), trainable=False)

    def distance(self, made: Any, photos: Any) -> Any:
        """Return a number with the slope of the distance of the means, and learn.

        Its expectation is the squared distance, in parts of the power of photos and
        images, so that it is 1 at most. The mean of batches before stands for one of
        both factors, as the mean of a batch alone has more of chance than of lattice.

        Args:
            made: `(n, size, size, c)`.
            photos: The same, those that the images are made of.
        """
        true, found = _waves(photos), _waves(made)
        power = sum(tf.reduce_mean(tf.abs(x) ** 2, axis=(0, 1)) for x in (true, found))
        power = tf.stop_gradient(power) + LEAST
        apart = tf.reduce_mean(found - true, axis=0)
        apart = tf.stack([tf.math.real(apart), tf.math.imag(apart)])
        known = tf.convert_to_tensor(self.apart)
        self.apart.assign(MEMORY * known + (1 - MEMORY) * apart)
        return tf.reduce_mean(tf.reduce_sum(known * apart, axis=0) / power)


def _waves(images: Any) -> Any:
    return tf.signal.rfft2d(tf.transpose(images, (0, 3, 1, 2)))
