"""Random changes of images, which have gradients and run on every device.

Crops and shifts are products with matrices that resample rows and columns. Unlike
gathered pixels, they have fast gradients of gradients, which the penalties of a
discriminator need.
"""

from typing import Any

import tensorflow as tf

from tfviz._precision import matmul

# The strengths of `diff_augment`, those of its authors: the range of the brightness,
# of the saturation and of the contrast, and the largest shift and the side of the hole,
# as fractions of the image's side.
BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 1.0
SHIFT, HOLE = 1 / 8, 1 / 2
# The number of random numbers that `diff_augment` needs for an image.
DRAWS = 7


def stream(seed: Any, number: int) -> Any:
    """Return one of several independent seeds of a step.

    Args:
        seed: `(2,)` integers: the seed of the training and the number of the step.
        number: The number of the stream.
    """
    return seed + tf.constant([7919 * number, 0])


def cut(pixels: Any, draws: Any, size: int, zoom: float = 1.0) -> Any:
    """Return photos as they are learned from: cropped and mirrored at random.

    Args:
        pixels: `(n, side, side, 3)` integers of 8 bits.
        draws: `(n, 4)` random numbers from 0 to 1: the side, the top and the left of
            each crop, and whether it is mirrored: below a half.
        size: The height and width of the crops, in pixels.
        zoom: The least side of a crop, as a fraction of the photo's.

    Returns:
        `(n, size, size, 3)` in [0, 1]. Photos of this size that are not to be enlarged
        keep their colours exactly.
    """
    photos = tf.cast(pixels, tf.float32) / 255
    if zoom < 1 or size != pixels.shape[1]:
        photos = crop(photos, draws[:, :3], zoom, size)
    mirrored = draws[:, 3, None, None, None] < 0.5
    return tf.where(mirrored, photos[:, :, ::-1], photos)


def crop(images: Any, draws: Any, zoom: float, size: int | None = None) -> Any:
    """Return random square crops, resized linearly and without aliasing.

    Args:
        images: `(n, side, side, c)`.
        draws: `(n, 3)` random numbers from 0 to 1: the side, the top and the left.
        zoom: The least side of a crop, as a fraction of the image's.
        size: The height and width of the crops, by default those of the images.
    """
    whole = images.shape[1]
    size = size or whole
    side = (zoom + (1 - zoom) * draws[:, 0]) * whole
    # The centre of each new pixel, in pixels of the image.
    steps = (tf.range(size, dtype=tf.float32) + 0.5) / size
    centres = [
        draws[:, k, None] * (whole - side[:, None]) + steps * side[:, None] - 0.5
        for k in (1, 2)
    ]
    # A new pixel that is larger than an old one is the mean of several.
    reach = tf.maximum(side / size, 1.0)[:, None, None]
    rows, columns = (
        _sampling(tf.clip_by_value(c, 0, whole - 1.0), whole, reach) for c in centres
    )
    return _resample(images, rows, columns)


def diff_augment(images: Any, draws: Any) -> Any:
    """Change colours, shift images and cover a part of them, at random.

    A discriminator that sees photos and made images only after such changes cannot
    learn the photos by heart, and the generator does not learn the changes (Zhao et
    al., DiffAugment, https://arxiv.org/abs/2006.10738). The same draws change a photo
    and a made image in the same way.

    Args:
        images: `(n, size, size, c)` in [-1, 1].
        draws: `(n, DRAWS)` random numbers from 0 to 1.

    Returns:
        Images of the same shape, not limited to [-1, 1]. What is moved in from outside
        or covered is 0.
    """
    size = images.shape[1]
    cells = draws[:, :, None, None, None]
    images = images + BRIGHTNESS * (cells[:, 0] - 0.5)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * (SATURATION * cells[:, 1]) + grey
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * (CONTRAST * (cells[:, 2] - 0.5) + 1) + mean

    positions = tf.range(size, dtype=tf.float32)
    reach = round(SHIFT * size)
    # The place among whole shifts from -reach to reach.
    shifts = tf.floor(draws[:, 3:5] * (2 * reach + 1)) - reach
    rows, columns = (_sampling(positions + shifts[:, k, None], size) for k in (0, 1))
    images = _resample(images, rows, columns)

    # The hole may lie partly outside: its centre is any corner of a pixel.
    corners = tf.floor(draws[:, 5:7, None] * (size + 1))
    far = tf.abs(positions + 0.5 - corners) > HOLE * size / 2
    kept = far[:, 0, :, None] | far[:, 1, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _sampling(centres: Any, count: int, reach: Any = 1.0) -> Any:
    """Return the linear weights `(n, size, count)` of old pixels in new ones.

    Args:
        centres: `(n, size)`, where each new pixel lies among the old ones. Outside of
            these its weights are 0.
        count: The number of old pixels in a row.
        reach: How far the weights reach, in old pixels. If further than 1, they sum to
            1 for every new pixel.
    """
    positions = tf.range(count, dtype=tf.float32)
    weights = tf.nn.relu(1 - tf.abs(centres[:, :, None] - positions) / reach)
    if isinstance(reach, float):
        return weights
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def _resample(images: Any, rows: Any, columns: Any) -> Any:
    n, height, width, channels = images.shape
    flat = tf.reshape(images, (n, height, width * channels))
    moved = tf.reshape(matmul(rows, flat), (n, -1, width, channels))
    moved = tf.transpose(moved, (0, 2, 1, 3))
    size = columns.shape[1]
    moved = tf.reshape(moved, (n, width, rows.shape[1] * channels))
    moved = tf.reshape(matmul(columns, moved), (n, size, rows.shape[1], channels))
    return tf.transpose(moved, (0, 2, 1, 3))
