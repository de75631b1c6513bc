"""The transform that looks at a part of the image."""

from typing import Any

import tensorflow as tf

from tfviz._transform import Transform, fold_in, uniform

# Standard deviation of a box's centre, as a share of the image.
_BOX_SPREAD = 0.15


def box(low: float, high: float) -> Transform:
    """Cut out a random box and enlarge it to the full size.

    Its centre is drawn normally about the middle, with a standard deviation of 0.15
    of the image's size as in MaCo, and moved so that the box lies inside. The box is
    enlarged linearly.

    Args:
        low: The smallest share of the image's height and width, above 0.
        high: The largest, up to 1.
    """
    if not 0 < low <= high <= 1:
        raise ValueError(
            f"box needs 0 < low <= high <= 1. Received: low={low}, high={high}"
        )

    # Not a motion: what a pixel is enlarged to is found by trying all places within
    # reach, of which there are too many. Two products along the axes are seven times
    # faster for a quarter of the image, and do not depend on its share.
    def apply(images: Any, seeds: Any) -> Any:
        n, height, width, channels = images.shape
        share = low + (high - low) * uniform(seeds, 1)
        centre = 0.5 + _BOX_SPREAD * _normal(seeds, 2)
        centre = tf.clip_by_value(centre, share / 2, 1 - share / 2)
        down = _sampling(share, centre[:, :1], height)
        right = _sampling(share, centre[:, 1:], width)
        images = tf.matmul(down, tf.reshape(images, (n, height, -1)))
        images = tf.reshape(images, (n, height, width, channels))
        images = tf.reshape(tf.transpose(images, (0, 2, 1, 3)), (n, width, -1))
        images = tf.matmul(right, images)
        images = tf.reshape(images, (n, width, height, channels))
        return tf.transpose(images, (0, 2, 1, 3))

    return Transform(apply, ({"name": "box", "low": low, "high": high},))


def _sampling(share: Any, centre: Any, length: int) -> Any:
    """Return matrices `(n, length, length)` that enlarge a part of an axis.

    Args:
        share: `(n, 1)`, of the length.
        centre: `(n, 1)`, in lengths.
        length: In pixels.
    """
    # Pixels are taken at their centres, so that the whole axis is itself.
    places = (tf.range(length, dtype=tf.float32) + 0.5) / length - 0.5
    places = (share * places + centre) * length - 0.5
    places = tf.clip_by_value(places, 0, length - 1)
    pixels = tf.range(length, dtype=tf.float32)
    return tf.maximum(1 - tf.abs(places[..., None] - pixels), 0)


def _normal(seeds: Any, count: int) -> Any:
    # Not the stream that `uniform` draws from.
    seeds = tf.unstack(fold_in(0)(seeds))
    return tf.stack([tf.random.stateless_normal([count], seed) for seed in seeds])
