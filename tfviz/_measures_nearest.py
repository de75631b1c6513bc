"""A measure of how near a picture is to photos, in the features of a network.

The features are those of a network that judges, `(n, d)`: never of the one whose units
the pictures were made for, which optimization can make believe anything.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._measures_checks import alike, indices, numbers
from tfviz._measures_table import measure


@measure("distance to the nearest photo", "picture")
def nearest_ratio(
    features: ArrayLike, photos: ArrayLike, *, exclude: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Measure how far a picture is from its nearest photo, where photos have 1.

    Formula:
        min_j |u - v_j| / median_i min_(j != i) |v_i - v_j|, u the features of the
        picture and v of the photos, each scaled to length 1

    Range:
        From 0, a copy of a photo; 1 for a photo among the others, 0.9 to 1.1 for most;
        no upper end. Missing if a picture has no features at all.

    Better:
        lower

    Source:
        Plausibility of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805), with
        the angle of features, and as a share of what photos have.

    Bias:
        Angles, as features without scaling take what has little contrast for natural:
        in MobileNetV1 a grey surface would have 0.86, white noise 1.12 and strongly
        blurred photos 0.93; by angle they have 1.43, 1.33 and 1.21. Below 1 is not
        more natural than 1, but nearer to one photo. The more photos the smaller are
        both distances. It sees only what the judging network sees.

    Args:
        features: `(n, d)`, of the pictures.
        photos: `(m, d)`, m from 2, of photos that the pictures did not start from.
        exclude: `(n,)`, the photo that each picture is not compared with, such as
            itself, from 0; -1 for none.

    Returns:
        `(n,)`.

    Raises:
        ValueError: If shapes do not fit, a number is not finite, a photo has no
            features, or half of the photos are there twice.

    >>> photos = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    >>> nearest_ratio([[3.0, 0.0], [0.8, 0.6]], photos).round(3).tolist()
    [0.0, 0.447]
    >>> nearest_ratio(photos, photos, exclude=[0, 1, 2]).round(3).tolist()
    [1.414, 1.0, 1.0]
    """
    made = directions(numbers("features", features, "nd"))
    known = directions(numbers("photos", photos, "nd", 2))
    alike("features", made, "photos", known)
    if np.isnan(known).any():
        raise ValueError("Some of the `photos` have no features: only zeros.")
    skipped = None
    if exclude is not None:
        skipped = indices("exclude", exclude, len(made), -1, len(known))
    usual = np.median(_nearest(known, known, np.arange(len(known))))
    if not usual > 0:
        raise ValueError(
            "Half of the `photos` or more have the features of another one. Leave out "
            "copies."
        )
    return _nearest(made, known, skipped) / usual


def directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of length 1; one of zeros has no direction, and becomes nan.

    >>> directions(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [nan, nan]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, np.nan)


def _nearest(
    made: NDArray[np.float64],
    photos: NDArray[np.float64],
    skipped: NDArray[np.intp] | None,
) -> NDArray[np.float64]:
    """Return the distance of each direction to its nearest photo."""
    products = made @ photos.T
    if skipped is not None:
        rows = np.flatnonzero(skipped >= 0)
        products[rows, skipped[rows]] = -np.inf
    # From the products, small distances would be lost to rounding.
    return np.linalg.norm(made - photos[np.argmax(products, axis=1)], axis=1)
