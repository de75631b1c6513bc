"""Measures of the distance between pictures and photos, in a network's features."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import as_indices, as_numbers, check_same_rows, measure


@measure(
    "kernel distance to photos",
    level="method",
    summary=(
        "Measure how much the pictures of a method differ from photos, as two sets."
    ),
    formula=(
        "mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean k(x_i, y_j), "
        "k(a, b) = (a . b / d + 1)^3, x the features of pictures, y of photos"
    ),
    range=(
        "0 for two samples of one set, give or take chance, also below 0; no upper end."
    ),
    better="lower",
    source=(
        "The squared MMD of the Kernel Inception Distance (Bińkowski et al. 2018, "
        "https://arxiv.org/abs/1801.01401), in another network's features."
    ),
    bias=(
        "Right on average for any number of pictures, but widely spread for few: see "
        "the spread, and the distance among photos. Its scale is the network's, so "
        "numbers of different networks do not compare. Pictures of a few things differ "
        "from photos of everything, however natural they are."
    ),
)
def kid(features: ArrayLike, photos: ArrayLike) -> float:
    """Measure how much the pictures of a method differ from photos, as two sets.

    Args:
        features: The features of the pictures, `(n, d)` with n >= 2.
        photos: The features of the photos, `(m, d)` with m >= 2.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    >>> kid([[0.0], [2.0]], [[1.0], [1.0]])
    -19.0
    """
    x, y = _two_sets(features, photos)
    return _mmd(_kernel(x, x), _kernel(y, y), _kernel(x, y))


@measure(
    "kernel distance of subsets",
    level="method",
    summary="Measure the kernel distance between random parts of pictures and photos.",
    formula=(
        "mean and standard deviation of the kernel distance between `size` pictures of "
        "different units and `size` photos, drawn without replacement"
    ),
    range="As the kernel distance.",
    better="lower",
    source="Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401.",
    bias=(
        "The parts overlap, so the deviation is no standard error, even though no part "
        "has more than half of the units. It does not see that a method makes the same "
        "picture from each seed: see the difference between seeds."
    ),
)
def kid_spread(
    features: ArrayLike,
    photos: ArrayLike,
    *,
    size: int,
    units: ArrayLike | None = None,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Measure the kernel distance between random parts of pictures and photos.

    Args:
        features: The features of the pictures, `(n, d)`.
        photos: The features of the photos, `(m, d)`.
        size: The number of pictures, and of photos, in each random part: at least 2,
            and at most half of the number of units and half of m.
        units: The index of the unit that each picture shows, `(n,)`; by default, each
            picture shows another unit. A part has at most one picture of each unit, as
            pictures of one unit are alike, while the photos are independent.
        draws: The number of pairs of parts, at least 2.
        seed: Random seed; another seed draws other parts.

    Returns:
        The mean and the standard deviation.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, or there are too
            few units or photos.

    >>> values = np.random.default_rng(0).normal(size=(40, 3))
    >>> mean, spread = kid_spread(values[:20], values[20:], size=10)
    >>> bool(abs(mean) < spread)
    True
    """
    x, y = _two_sets(features, photos)
    shown = np.arange(len(x))
    if units is not None:
        shown = as_indices("units", units, len(x), 0, np.iinfo(np.int64).max)
    places = [np.flatnonzero(shown == unit) for unit in np.unique(shown)]
    _check_parts(size, min(len(places), len(y)) // 2, draws)
    rng = np.random.default_rng(seed)
    within_x, within_y, between = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    distances = []
    for _ in range(draws):
        drawn = rng.choice(len(places), size, replace=False)
        a = np.array([rng.choice(places[unit]) for unit in drawn])
        b = rng.choice(len(y), size, replace=False)
        distances.append(_mmd(within_x[a][:, a], within_y[b][:, b], between[a][:, b]))
    return float(np.mean(distances)), float(np.std(distances, ddof=1))


@measure(
    "kernel distance among photos",
    level="method",
    summary="Measure the kernel distance between photos and other photos.",
    formula=(
        "mean and standard deviation of the kernel distance between `size` photos and "
        "`size` others, drawn without replacement"
    ),
    range="About 0; the deviation is what chance makes of so few pictures.",
    better="neither",
    source="Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401.",
    bias=(
        "What lies within two deviations of it cannot be told from photos. The parts "
        "overlap from draw to draw, and more so the nearer `size` is to half of them."
    ),
)
def kid_floor(
    photos: ArrayLike, *, size: int, draws: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Measure the kernel distance between photos and other photos.

    Args:
        photos: The features of the photos, `(m, d)`.
        size: The number of photos in each random part: at least 2, at most half of m.
            Use the same size as for `kid_spread`.
        draws: The number of pairs of parts, at least 2.
        seed: Random seed; another seed draws other parts.

    Returns:
        The mean and the standard deviation.

    Raises:
        ValueError: If the shape is wrong, a number is not finite, or there are too few
            photos.

    >>> mean, spread = kid_floor(np.eye(30), size=10)
    >>> bool(abs(mean) < 1e-12)
    True
    """
    y = as_numbers("photos", photos, "nd", 4)
    _check_parts(size, len(y) // 2, draws)
    rng = np.random.default_rng(seed)
    kernel = _kernel(y, y)
    distances = []
    for _ in range(draws):
        both = rng.choice(len(y), 2 * size, replace=False)
        a, b = both[:size], both[size:]
        distances.append(_mmd(kernel[a][:, a], kernel[b][:, b], kernel[a][:, b]))
    return float(np.mean(distances)), float(np.std(distances, ddof=1))


def _two_sets(
    features: ArrayLike, photos: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = as_numbers("features", features, "nd", 2)
    y = as_numbers("photos", photos, "nd", 2)
    check_same_rows("features", x, "photos", y)
    return x, y


def _check_parts(size: int, most: int, draws: int) -> None:
    if not 2 <= size <= most or draws < 2:
        raise ValueError(
            f"`size` must lie from 2 to {most}, half of the number of units or photos, "
            f"and `draws` must be at least 2. Received: size={size}, draws={draws}"
        )


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mmd(
    within_x: NDArray[np.float64],
    within_y: NDArray[np.float64],
    between: NDArray[np.float64],
) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy."""

    def mean_off_diagonal(kernel: NDArray[np.float64]) -> float:
        n = len(kernel)
        return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    return float(
        mean_off_diagonal(within_x) + mean_off_diagonal(within_y) - 2 * between.mean()
    )


@measure(
    "distance to the nearest photo",
    level="picture",
    summary="Measure how far a picture is from its nearest photo, where photos have 1.",
    formula=(
        "min_j |u - v_j| / median_i min_(j != i) |v_i - v_j|, u the features of the "
        "picture and v of the photos, each scaled to length 1"
    ),
    range=(
        "From 0, a copy of a photo; 1 for a photo among the others, 0.9 to 1.1 for "
        "most; no upper end. Missing if a picture has no features at all."
    ),
    better="lower",
    source=(
        "Plausibility of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805), "
        "with the angle of features, and as a share of what photos have."
    ),
    bias=(
        "Angles, as features without scaling take what has little contrast for "
        "natural: in MobileNetV1 a grey surface would have 0.86, white noise 1.12 and "
        "strongly blurred photos 0.93; by angle they have 1.43, 1.33 and 1.21. These "
        "values differ from judge to judge, so each judge needs references of its own. "
        "Below 1 is not more natural than 1, but nearer to one photo. The more photos "
        "the smaller are both distances. It sees only what the judging network sees."
    ),
)
def nearest_ratio(
    features: ArrayLike, photos: ArrayLike, *, exclude: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Measure how far a picture is from its nearest photo, where photos have 1.

    Args:
        features: The features of the pictures, `(n, d)`.
        photos: The features of photos that the pictures did not start from, `(m, d)`
            with m >= 2.
        exclude: For each picture the index of a photo that it is not compared with,
            such as itself, or -1 to compare it with all, `(n,)`.

    Returns:
        The relative distance of each picture, `(n,)`.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, all features of a
            photo are zero, or half of the photos are copies of others.

    >>> photos = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    >>> nearest_ratio([[3.0, 0.0], [0.8, 0.6]], photos).round(3).tolist()
    [0.0, 0.447]
    >>> nearest_ratio(photos, photos, exclude=[0, 1, 2]).round(3).tolist()
    [1.414, 1.0, 1.0]
    """
    u = unit_vectors(as_numbers("features", features, "nd"))
    v = unit_vectors(as_numbers("photos", photos, "nd", 2))
    check_same_rows("features", u, "photos", v)
    if np.isnan(v).any():
        raise ValueError(
            "All features of some of the `photos` are zero. Leave these photos out."
        )
    excluded = None
    if exclude is not None:
        excluded = as_indices("exclude", exclude, len(u), -1, len(v))
    among_photos = np.median(_nearest_distances(v, v, np.arange(len(v))))
    if not among_photos > 0:
        raise ValueError(
            "At least half of the `photos` have the same features as another photo. "
            "Leave out copies."
        )
    return _nearest_distances(u, v, excluded) / among_photos


def unit_vectors(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows to length 1; a row of zeros has no direction and becomes nan.

    >>> unit_vectors(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [nan, nan]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, np.nan)


def _nearest_distances(
    pictures: NDArray[np.float64],
    photos: NDArray[np.float64],
    excluded: NDArray[np.intp] | None,
) -> NDArray[np.float64]:
    """Return the distance of each picture to its nearest photo, of unit vectors."""
    products = pictures @ photos.T
    if excluded is not None:
        rows = np.flatnonzero(excluded >= 0)
        products[rows, excluded[rows]] = -np.inf
    # A distance computed from the product would lose small values to rounding.
    return np.linalg.norm(pictures - photos[np.argmax(products, axis=1)], axis=1)
