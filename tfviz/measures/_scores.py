"""Measures of scores: a unit's response to pictures, compared with photos."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import as_indices, as_numbers, measure


@measure(
    "of the best photo",
    level="picture",
    summary=(
        "Measure how much a unit responds to a picture, as a share of its best photo."
    ),
    formula="score / max(photo_scores)",
    range=(
        "1: as much as to the best photo. Below 0 if the picture silences the unit; "
        "missing if no photo has a score above 0."
    ),
    better="higher",
    source=(
        "Relative activation of XDream (Xiao & Kreiman 2020, "
        "https://arxiv.org/abs/1905.00378)."
    ),
    bias=(
        "The best photo is better the more photos there are, so their number belongs "
        "beside it. Pictures far from any photo can score highest. It has no meaning "
        "for units whose zero is arbitrary, such as logits: see the percentile."
    ),
)
def relative(score: ArrayLike, photo_scores: ArrayLike) -> NDArray[np.float64]:
    """Measure how much a unit responds to a picture, as a share of its best photo.

    Args:
        score: The unit's scores of pictures, in any shape.
        photo_scores: The same unit's scores of photos, `(m,)` with m >= 1.

    Returns:
        The share for each score, in the shape of `score`; nan if no photo's score is
        above 0.

    Raises:
        ValueError: If there is no photo, or a number is not finite.

    >>> relative([3.0, -1.0], [0.5, 2.0]).tolist()
    [1.5, -0.5]
    """
    scores = as_numbers("score", score)
    best = as_numbers("photo_scores", photo_scores, "m").max()
    return scores / (best if best > 0 else np.nan)


@measure(
    "percentile among photos",
    level="picture",
    summary="Measure to how many photos in a hundred a unit responds less.",
    formula=(
        "100 * (count(photo_scores < score) + count(photo_scores == score) / 2) / m"
    ),
    range="0 to 100; 50 for a picture like the photo in the middle.",
    better="higher",
    source="The percentile rank with midranks for ties.",
    bias=(
        "All pictures above the best of m photos have 100, however far above. With few "
        "photos its steps are coarse."
    ),
)
def percentile(score: ArrayLike, photo_scores: ArrayLike) -> NDArray[np.float64]:
    """Measure to how many photos in a hundred a unit responds less.

    Args:
        score: The unit's scores of pictures, in any shape.
        photo_scores: The same unit's scores of photos, `(m,)` with m >= 1.

    Returns:
        The percentile of each score, in the shape of `score`.

    Raises:
        ValueError: If there is no photo, or a number is not finite.

    >>> percentile([5.0, 2.0], [1.0, 2.0, 3.0, 4.0]).tolist()
    [100.0, 37.5]
    """
    scores = as_numbers("score", score)
    photos = np.sort(as_numbers("photo_scores", photo_scores, "m"))
    below = np.searchsorted(photos, scores, "left")
    up_to = np.searchsorted(photos, scores, "right")
    return 100 * (below + up_to) / (2 * len(photos))


@measure(
    "gain over pictures of other units",
    level="picture",
    summary=(
        "Measure how much more a unit responds to its picture than to those of others."
    ),
    formula="score - mean(others)",
    range=(
        "Any number, in the scale of the scores; 0 if the method's pictures of other "
        "units do as well."
    ),
    better="higher",
    source=(
        "A permutation of the units: a picture that is right for its unit must do "
        "better than one that the same method made of another."
    ),
    bias=(
        "Scales differ from unit to unit: comparisons give both as shares of the best "
        "photo, and have no gain where no photo scores above 0. Units that are alike, "
        "such as two breeds of dogs, leave less to gain than units that are not. "
        "Adversarial noise that excites one unit alone has a high gain."
    ),
)
def gain(score: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Measure how much more a unit responds to its picture than to those of others.

    Args:
        score: The unit's scores of its own pictures, in any shape.
        others: The same unit's scores of pictures that the same method made of other
            units, `(k,)` with k >= 1.

    Returns:
        The difference for each score, in the shape of `score`.

    Raises:
        ValueError: If there is no picture of another unit, or a number is not finite.

    >>> gain([3.0, 5.0], [1.0, 3.0]).tolist()
    [1.0, 3.0]
    """
    return as_numbers("score", score) - as_numbers("others", others, "k").mean()


@measure(
    "gain over random search",
    level="picture",
    summary=(
        "Measure what optimization adds to the best random picture at the same cost."
    ),
    formula="score - best_of_n",
    range=(
        "Any number, in the scale of the scores; 0 if drawing at random does as well."
    ),
    better="higher",
    source="Random search at the same cost, the usual control of an optimizer.",
    bias=(
        "It tells that the search climbs, not that the picture belongs to its unit: "
        "pictures of other units can have it too. Scales differ from unit to unit: "
        "comparisons give both as shares of the best photo, and have none where no "
        "photo scores above 0. A prior that is good by itself leaves less to gain."
    ),
)
def search_gain(score: ArrayLike, best_of_n: ArrayLike) -> NDArray[np.float64]:
    """Measure what optimization adds to the best random picture at the same cost.

    Args:
        score: The unit's scores of pictures, in any shape.
        best_of_n: The best score of random pictures under the same param, of as many as
            cost the same as the optimization: one number, or one for each score. A
            gradient step costs about as much as three random pictures.

    Returns:
        The difference for each score, in the shape of `score`.

    Raises:
        ValueError: If a number is not finite, or the shapes do not fit.

    >>> search_gain([3.0, 5.0], 4.0).tolist()
    [-1.0, 1.0]
    """
    scores, best = as_numbers("score", score), as_numbers("best_of_n", best_of_n)
    if best.shape not in ((), scores.shape):
        raise ValueError(
            "`best_of_n` must be one number, or one for each score. Received: shape "
            f"{best.shape} for scores of shape {scores.shape}"
        )
    return scores - best


@measure(
    "kept under transforms",
    level="picture",
    summary="Measure how much of a picture's lead over photos survives transforms.",
    formula=(
        "mean(clip((transformed - mean(photo_scores)) / (score - mean(photo_scores)), "
        "0, 1)), the mean over transforms"
    ),
    range=(
        "0: no more is left than a photo has; 1: nothing is lost. Missing if the "
        "picture does not lead the mean photo."
    ),
    better="higher",
    source=(
        "After the transforms of Olah et al. 2017 "
        "(https://distill.pub/2017/feature-visualization), here as a test."
    ),
    bias=(
        "It tells of the transforms that were tried, and flatters methods that were "
        "optimized under them: those of the test must lie outside of a method's own. "
        "Where a transform leaves a border around the image, it costs even the photos "
        "of a channel some of their lead. A lead that is small against the differences "
        "between photos is kept or lost by chance, so summarize by the median."
    ),
)
def robustness(
    transformed: ArrayLike, photo_scores: ArrayLike, score: ArrayLike
) -> NDArray[np.float64]:
    """Measure how much of a picture's lead over photos survives transforms.

    Args:
        transformed: The scores of each picture after t transforms that no method was
            optimized under, `(..., t)`.
        photo_scores: The same unit's scores of photos without transforms, `(m,)` with
            m >= 1.
        score: The scores of the pictures without transforms, `(...)`.

    Returns:
        The share for each score, in the shape of `score`; nan where the score is not
        above the photos' mean. It is limited to [0, 1] for each transform by itself, so
        that one that raises the score cannot make up for others that destroy it.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    >>> robustness([[5.0, 7.0], [1.0, 12.0]], [1.0, 3.0], [10.0, 9.0]).tolist()
    [0.5, 0.5]
    """
    before, after = as_numbers("score", score), as_numbers("transformed", transformed)
    if after.shape[:-1] != before.shape or not after.shape or not after.size:
        raise ValueError(
            "`transformed` must have the shape of `score` and one more axis. Received: "
            f"shapes {after.shape} and {before.shape}"
        )
    photo_mean = as_numbers("photo_scores", photo_scores, "m").mean()
    lead = np.where(before > photo_mean, before - photo_mean, np.nan)
    return ((after - photo_mean) / lead[..., None]).clip(0, 1).mean(axis=-1)


@measure(
    "rank of the class",
    level="picture",
    summary=(
        "Measure how far up a network that was not optimized puts the picture's class."
    ),
    formula="count(scores >= scores[target])",
    range="1 (first) to k, the number of classes; (k + 1) / 2 by chance.",
    better="lower",
    source=(
        "Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805), "
        "as a rank."
    ),
    bias=(
        "Classes that are level count as ahead, which is hard on networks with few "
        "output values, such as quantized ones. The network errs on photos too: give "
        "their ranks beside it. Means are ruled by the worst; use medians."
    ),
)
def rank(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure how far up a network that was not optimized puts the picture's class.

    Args:
        scores: The network's scores of n pictures for k classes, on any monotonic
            scale, `(n, k)`.
        target: The index of the class that each picture was optimized for, `(n,)`.

    Returns:
        The rank of each picture's class, `(n,)`, whole numbers as floats.

    Raises:
        ValueError: If the shapes do not fit, a class does not exist, or a number is not
            finite.

    >>> rank([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [2, 0]).tolist()
    [2.0, 2.0]
    """
    of_classes = as_numbers("scores", scores, "nk")
    count, classes = of_classes.shape
    targets = as_indices("target", target, count, 0, classes)
    of_target = of_classes[np.arange(count), targets][:, None]
    return np.count_nonzero(of_classes >= of_target, axis=1).astype(np.float64)


@measure(
    "class is first",
    level="picture",
    summary=(
        "Measure if a network that was not optimized names the picture's class first."
    ),
    formula="1 if rank == 1, else 0",
    range="0 or 1; 1 / k by chance with k classes.",
    better="higher",
    source=(
        "Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805)."
    ),
    bias=(
        "One of a thousand classes is often missed for a near one, and on photos too: "
        "give theirs beside it. Classes that are level count as ahead."
    ),
)
def top1(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure if a network that was not optimized names the picture's class first.

    Args:
        scores: The scores of all classes, as for `rank`.
        target: The classes of the pictures, as for `rank`.

    Returns:
        1 or 0 for each picture, `(n,)`.

    Raises:
        ValueError: If `rank` refuses the arguments.

    >>> top1([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]], [2, 0]).tolist()
    [0.0, 1.0]
    """
    return (rank(scores, target) <= 1).astype(np.float64)


@measure(
    "class is among five",
    level="picture",
    summary=(
        "Measure if a network that was not optimized has the class among its first "
        "five."
    ),
    formula="1 if rank <= 5, else 0",
    range="0 or 1; 5 / k by chance with k classes, so nothing is told up to five.",
    better="higher",
    source=(
        "Transferability of MaCo (Fel et al. 2023, https://arxiv.org/abs/2306.06805)."
    ),
    bias=(
        "The network errs on photos too: give theirs beside it. Classes that are level "
        "count as ahead."
    ),
)
def top5(scores: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Measure if a network that was not optimized has the class among its first five.

    Args:
        scores: The scores of all classes, as for `rank`.
        target: The classes of the pictures, as for `rank`.

    Returns:
        1 or 0 for each picture, `(n,)`.

    Raises:
        ValueError: If `rank` refuses the arguments.

    >>> top5([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]], [4, 5]).tolist()
    [1.0, 0.0]
    """
    return (rank(scores, target) <= 5).astype(np.float64)
