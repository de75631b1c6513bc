"""Measures of what networks that judge see in a picture made for a class."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._measures_checks import indices, numbers
from tfviz._measures_table import measure


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
