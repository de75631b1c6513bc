"""Measures of how much a unit responds, to the picture and to photos."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import indices, measure, numbers


@measure("of the best photo", "picture")
def relative(score: ArrayLike, photo_scores: ArrayLike) -> NDArray[np.float64]:
    """Measure how much a unit responds to a picture, as a share of its best photo.

    Formula:
        score / max(photo_scores)

    Range:
        1: as much as to the best photo. Below 0 if the picture silences the unit;
        missing if no photo has a score above 0.

    Better:
        higher

    Source:
        Relative activation of XDream (Xiao & Kreiman 2020,
        https://arxiv.org/abs/1905.00378).

    Bias:
        The best photo is better the more photos there are, so their number belongs
        beside it. Pictures far from any photo can score highest. It has no meaning
        for units whose zero is arbitrary, such as logits: see the percentile.

    Args:
        score: Of pictures, of any shape.
        photo_scores: `(m,)`, of the same unit, m from 1.

    Returns:
        Of the shape of `score`; nan if no photo is above 0.

    Raises:
        ValueError: If there is no photo, or a number is not finite.

    >>> relative([3.0, -1.0], [0.5, 2.0]).tolist()
    [1.5, -0.5]
    """
    scores = numbers("score", score)
    best = numbers("photo_scores", photo_scores, "m").max()
    return scores / (best if best > 0 else np.nan)


@measure("percentile among photos", "picture")
def percentile(score: ArrayLike, photo_scores: ArrayLike) -> NDArray[np.float64]:
    """Measure to how many photos in a hundred a unit responds less.

    Formula:
        100 * (count(photo_scores < score) + count(photo_scores == score) / 2) / m

    Range:
        0 to 100; 50 for a picture like the photo in the middle.

    Better:
        higher

    Source:
        The percentile rank with midranks for ties.

    Bias:
        All pictures above the best of m photos have 100, however far above. With few
        photos its steps are coarse.

    Args:
        score: Of pictures, of any shape.
        photo_scores: `(m,)`, of the same unit, m from 1.

    Returns:
        Of the shape of `score`.

    Raises:
        ValueError: If there is no photo, or a number is not finite.

    >>> percentile([5.0, 2.0], [1.0, 2.0, 3.0, 4.0]).tolist()
    [100.0, 37.5]
    """
    scores = numbers("score", score)
    photos = np.sort(numbers("photo_scores", photo_scores, "m"))
    below = np.searchsorted(photos, scores, "left")
    up_to = np.searchsorted(photos, scores, "right")
    return 100 * (below + up_to) / (2 * len(photos))


@measure("gain over the best random picture", "picture")
def gain(score: ArrayLike, best_of_n: ArrayLike) -> NDArray[np.float64]:
    """Measure what optimization adds to the best of as many random pictures.

    Formula:
        score - best_of_n

    Range:
        Any number, in the scale of the scores; 0 if drawing at random does as well.

    Better:
        higher

    Source:
        Random search under the same budget, the usual control of an optimizer.

    Bias:
        Scales differ from unit to unit: comparisons give both as shares of the best
        photo, and have no gain where no photo scores above 0. A prior that is good by
        itself leaves less to gain.

    Args:
        score: Of pictures, of any shape.
        best_of_n: The best score of random pictures under the same param, as many as
            the optimization asked the network for; of a shape that fits `score`.

    Returns:
        Of the shape of `score`.

    Raises:
        ValueError: If a number is not finite, or the shapes do not fit.

    >>> gain([3.0, 5.0], 4.0).tolist()
    [-1.0, 1.0]
    """
    scores, best = numbers("score", score), numbers("best_of_n", best_of_n)
    if best.shape not in ((), scores.shape):
        raise ValueError(
            "`best_of_n` must be one number, or one for each score. Received: shape "
            f"{best.shape} for scores of shape {scores.shape}"
        )
    return scores - best


@measure("kept under transforms", "picture")
def robustness(
    transformed: ArrayLike, photo_scores: ArrayLike, score: ArrayLike
) -> NDArray[np.float64]:
    """Measure how much of a picture's lead over photos survives small changes.

    Formula:
        (mean(transformed) - mean(photo_scores)) / (score - mean(photo_scores))

    Range:
        1: nothing is lost; 0: no more is left than a photo has. Above 1 if changes
        help, below 0 if they do harm; missing if the picture leads no photos.

    Better:
        higher

    Source:
        After the transforms of Olah et al. 2017
        (https://distill.pub/2017/feature-visualization), here as a test.

    Bias:
        It tells of the transforms that were tried, and flatters methods that were
        optimized under similar ones. Near the photos' mean it divides by next to
        nothing.

    Args:
        transformed: `(..., t)`, the scores of each picture after t transforms that no
            method was optimized under.
        photo_scores: `(m,)`, of the same unit, m from 1, without transforms.
        score: `(...)`, of the pictures without transforms.

    Returns:
        Of the shape of `score`; nan where it is not above the photos' mean.

    Raises:
        ValueError: If shapes do not fit, or a number is not finite.

    >>> robustness([[5.0, 7.0], [9.0, 9.0]], [1.0, 3.0], [10.0, 9.0]).tolist()
    [0.5, 1.0]
    """
    scores, changed = numbers("score", score), numbers("transformed", transformed)
    if changed.shape[:-1] != scores.shape or not changed.shape or not changed.size:
        raise ValueError(
            "`transformed` must have the shape of `score` and one axis more. Received: "
            f"shapes {changed.shape} and {scores.shape}"
        )
    photos = numbers("photo_scores", photo_scores, "m").mean()
    lead = np.where(scores > photos, scores - photos, np.nan)
    return (changed.mean(axis=-1) - photos) / lead


@measure("rank of the class", "picture")
def rank(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure how far up a network that was not optimized puts the picture's class.

    Formula:
        count(scores >= scores[target])

    Range:
        1 (first) to k, the number of classes; (k + 1) / 2 by chance.

    Better:
        lower

    Source:
        Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805), as
        a rank.

    Bias:
        Classes that are level count as ahead, which is hard on networks with few
        output values, such as quantized ones. The network errs on photos too: give
        their ranks beside it. Means are ruled by the worst; use medians.

    Args:
        scores: `(n, k)`, of n pictures and k classes, in any monotonic scale.
        target: `(n,)`, the class that each picture was made for, from 0.

    Returns:
        `(n,)`, whole numbers.

    Raises:
        ValueError: If shapes do not fit, a class is missing, or a number is not
            finite.

    >>> rank([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [2, 0]).tolist()
    [2.0, 2.0]
    """
    answers = numbers("scores", scores, "nk")
    own = indices("target", target, len(answers), 0, answers.shape[1])
    level = answers[np.arange(len(answers)), own][:, None]
    return np.count_nonzero(answers >= level, axis=1).astype(np.float64)


@measure("class is first", "picture")
def top1(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure if a network that was not optimized names the picture's class first.

    Formula:
        1 if rank == 1, else 0

    Range:
        0 or 1; 1 / k by chance with k classes.

    Better:
        higher

    Source:
        Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805).

    Bias:
        One of a thousand classes is often missed for a near one, and on photos too:
        give theirs beside it. Classes that are level count as ahead.

    Args:
        scores: As for `rank`.
        target: As for `rank`.

    Returns:
        `(n,)`.

    Raises:
        ValueError: As for `rank`.

    >>> top1([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]], [2, 0]).tolist()
    [0.0, 1.0]
    """
    return (rank(scores, target) <= 1).astype(np.float64)


@measure("class is among five", "picture")
def top5(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure if a network that was not optimized has the class among its first five.

    Formula:
        1 if rank <= 5, else 0

    Range:
        0 or 1; 5 / k by chance with k classes, so nothing is told up to five.

    Better:
        higher

    Source:
        Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805).

    Bias:
        The network errs on photos too: give theirs beside it. Classes that are level
        count as ahead.

    Args:
        scores: As for `rank`.
        target: As for `rank`.

    Returns:
        `(n,)`.

    Raises:
        ValueError: As for `rank`.

    >>> top5([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]], [4, 5]).tolist()
    [1.0, 0.0]
    """
    return (rank(scores, target) <= 5).astype(np.float64)
