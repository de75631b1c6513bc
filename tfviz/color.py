"""Colours in which the channels of natural images are independent."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A square root of the covariance of red, green and blue in ImageNet's images, from
# Lucid (https://github.com/tensorflow/lucid, optvis/param/color.py).
_IMAGENET_ROOT = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32
)
# Channels that hardly differ would make a matrix without inverse; none counts as
# varying less than this share of the most.
_LEAST_VARIANCE = 1e-6


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


def root(covariance: ArrayLike) -> NDArray[np.float64]:
    """Return the square root of a covariance along its principal axes.

    Of the roots `m` with `m @ m.T == covariance`, this is the kind that Lucid has for
    ImageNet: neither Cholesky's, which depends on the order of the channels, nor the
    symmetric one, in which brightness and colours stay mixed. Here they are apart,
    and so are their spectra, which fall differently.

    Args:
        covariance: `(channels, channels)`.

    Returns:
        A matrix `(channels, channels)`, the column of the largest variance first, and
        no entry of the first row negative. It can be inverted even if channels depend
        on each other.

    Raises:
        ValueError: If nothing varies.

    >>> root([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
    if not variances[-1] > 0:
        raise ValueError("The images are all of one colour, so nothing is measured.")
    variances = np.maximum(variances[::-1], _LEAST_VARIANCE * variances[-1])
    axes = axes[:, ::-1] * np.where(axes[0, ::-1] < 0, -1, 1)
    return axes * np.sqrt(variances)
