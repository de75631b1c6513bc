"""Colours in which the channels of natural images are independent."""

import numpy as np
from numpy.typing import NDArray

# A square root of the covariance of red, green and blue in ImageNet's images, from
# Lucid (https://github.com/tensorflow/lucid, optvis/param/color.py).
_IMAGENET_ROOT = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32
)


def correlation(channels: int) -> NDArray[np.float32]:
    """Return the matrix that turns independent channels into a natural image's.

    Optimizing independent channels is better conditioned than red, green and blue,
    which differ little from each other in natural images
    (https://distill.pub/2017/feature-visualization/#preconditioning).

    Args:
        channels: The number of channels of the image.

    Returns:
        A matrix `(channels, channels)` `m`, applied to a pixel as `m @ pixel`: for
        three channels the one measured on ImageNet, with its longest column scaled
        to 1; for any other number the identity, as nothing is known about them.

    >>> correlation(3).round(2).tolist()[0]
    [0.5600000023841858, 0.1899999976158142, 0.03999999910593033]
    """
    if channels != 3:
        return np.eye(channels, dtype=np.float32)
    return _IMAGENET_ROOT / np.linalg.norm(_IMAGENET_ROOT, axis=0).max()
