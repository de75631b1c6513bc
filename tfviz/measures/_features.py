"""Measures of how far apart pictures and photos are as two sets of features."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import alike, indices, measure, numbers


@measure("kernel distance to photos", "method")
def kid(features: ArrayLike, photos: ArrayLike) -> float:
    """Measure how much the pictures of a method differ from photos, as two sets.

    Formula:
        mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean k(x_i, y_j),
        k(a, b) = (a . b / d + 1)^3, x the features of pictures, y of photos

    Range:
        0 for two samples of one set, give or take chance, also below 0; no upper end.

    Better:
        lower

    Source:
        The squared MMD of the Kernel Inception Distance (Bińkowski et al. 2018,
        https://arxiv.org/abs/1801.01401), in another network's features.

    Bias:
        Right on average for any number of pictures, but widely spread for few: see the
        spread, and the distance among photos. Its scale is the network's, so numbers of
        different networks do not compare. Pictures of a few things differ from photos
        of everything, however natural they are.

    Args:
        features: `(n, d)`, of the pictures, n from 2.
        photos: `(m, d)`, of photos, m from 2.

    Raises:
        ValueError: If shapes do not fit, or a number is not finite.

    >>> kid([[0.0], [2.0]], [[1.0], [1.0]])
    -19.0
    """
    made, known = _two_sets(features, photos)
    own, other = _kernel(made, made), _kernel(known, known)
    return _mmd(own, other, _kernel(made, known))


@measure("kernel distance of subsets", "method")
def kid_spread(
    features: ArrayLike,
    photos: ArrayLike,
    *,
    size: int,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Measure the kernel distance between random parts of pictures and photos.

    Formula:
        mean and standard deviation of the kernel distance between `size` pictures and
        `size` photos, drawn without replacement

    Range:
        As the kernel distance.

    Better:
        lower

    Source:
        Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401.

    Bias:
        The parts overlap, so the deviation is no standard error; it falls to nothing
        as `size` nears the number of pictures: take half of it at most.

    Args:
        features: `(n, d)`, of the pictures.
        photos: `(m, d)`, of photos.
        size: Of each part, from 2 to below n and m.
        draws: How many parts, from 2.
        seed: Of the parts.

    Returns:
        The mean and the standard deviation.

    Raises:
        ValueError: If shapes do not fit, a number is not finite, or there are too few
            pictures.

    >>> values = np.random.default_rng(0).normal(size=(40, 3))
    >>> mean, spread = kid_spread(values[:20], values[20:], size=10)
    >>> bool(abs(mean) < spread)
    True
    """
    made, known = _two_sets(features, photos)
    _check_parts(size, min(len(made), len(known)) - 1, draws)
    rng = np.random.default_rng(seed)
    own, other, cross = _kernel(made, made), _kernel(known, known), _kernel(made, known)
    found = []
    for _ in range(draws):
        a = rng.choice(len(made), size, replace=False)
        b = rng.choice(len(known), size, replace=False)
        found.append(_mmd(own[a][:, a], other[b][:, b], cross[a][:, b]))
    return float(np.mean(found)), float(np.std(found, ddof=1))


@measure("kernel distance among photos", "method")
def kid_floor(
    photos: ArrayLike, *, size: int, draws: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Measure the kernel distance between photos and other photos.

    Formula:
        mean and standard deviation of the kernel distance between `size` photos and
        `size` others, drawn without replacement

    Range:
        About 0; the deviation is what chance makes of so few pictures.

    Better:
        neither

    Source:
        Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401.

    Bias:
        What lies within two deviations of it cannot be told from photos. The parts
        overlap from draw to draw, and more so the nearer `size` is to half of them.

    Args:
        photos: `(m, d)`, of photos.
        size: Of each part, from 2 to half of m. The same as for `kid_spread`.
        draws: How many pairs of parts, from 2.
        seed: Of the parts.

    Returns:
        The mean and the standard deviation.

    Raises:
        ValueError: If the shape is another, a number is not finite, or there are too
            few photos.

    >>> mean, spread = kid_floor(np.eye(30), size=10)
    >>> bool(abs(mean) < 1e-12)
    True
    """
    known = numbers("photos", photos, "nd", 4)
    _check_parts(size, len(known) // 2, draws)
    rng = np.random.default_rng(seed)
    kernel = _kernel(known, known)
    found = []
    for _ in range(draws):
        both = rng.choice(len(known), 2 * size, replace=False)
        a, b = both[:size], both[size:]
        found.append(_mmd(kernel[a][:, a], kernel[b][:, b], kernel[a][:, b]))
    return float(np.mean(found)), float(np.std(found, ddof=1))


def _two_sets(
    features: ArrayLike, photos: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    made = numbers("features", features, "nd", 2)
    known = numbers("photos", photos, "nd", 2)
    alike("features", made, "photos", known)
    return made, known


def _check_parts(size: int, most: int, draws: int) -> None:
    if not 2 <= size <= most or draws < 2:
        raise ValueError(
            f"`size` must lie from 2 to {most} for so many pictures, and `draws` from "
            f"2. Received: size={size}, draws={draws}"
        )


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mmd(
    own: NDArray[np.float64], other: NDArray[np.float64], cross: NDArray[np.float64]
) -> float:
    """Return the unbiased square of the maximum mean discrepancy."""

    def apart(kernel: NDArray[np.float64]) -> float:
        n = len(kernel)
        return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    return float(apart(own) + apart(other) - 2 * cross.mean())


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
