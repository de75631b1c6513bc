"""Measures of all pictures of a unit: how they differ, and what they tell of it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import alike, check_finite, measure, numbers
from tfviz.measures._features import directions
from tfviz.measures._scores import percentile

# What may be left of a difference of two numbers near 1 that are the same.
_ROUNDING = 1e-9


@measure("difference between seeds", "unit")
def diversity(features: ArrayLike) -> float:
    """Measure how much pictures of one unit differ from each other.

    Formula:
        mean_(i < j) (1 - cos(features_i, features_j))

    Range:
        0: all the same; 1: nothing in common. Above 1 only with negative features;
        missing if a picture has no features at all.

    Better:
        neither

    Source:
        Mean pairwise distance of Zhu et al. 2017, https://arxiv.org/abs/1711.11586,
        with the angle of a network's features as the distance.

    Bias:
        Noise differs too, so it says nothing by itself. Angles, as the length of
        features grows with a picture's contrast, which would pass for diversity.

    Args:
        features: `(s, d)`, of the pictures of a unit from s seeds, s from 2.

    Raises:
        ValueError: If the shape is another, or a number is not finite.

    >>> diversity([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    0.6666666666666667
    """
    rows = directions(numbers("features", features, "sd", 2))
    return 1 - _mean_product_apart(rows.sum(axis=0), len(rows))


@measure("of the best photos' difference", "unit")
def relative_diversity(features: ArrayLike, photos: ArrayLike) -> float:
    """Measure how much pictures of one unit differ, where its best photos have 1.

    Formula:
        diversity(features) / diversity(photos)

    Range:
        From 0; 1: as much as the photos to which the unit responds most.

    Better:
        neither

    Source:
        Mean pairwise distance of Zhu et al. 2017, https://arxiv.org/abs/1711.11586,
        with the angle of a network's features as the distance.

    Bias:
        Near 1 is better, on either side: below, a method finds one picture again and
        again; above, pictures have less in common than what the unit responds to.
        Photos also differ in what the unit does not care for. Few seeds make it coarse.

    Args:
        features: `(s, d)`, of the pictures of a unit from s seeds, s from 2.
        photos: `(m, d)`, of the photos to which it responds most, m from 2.

    Returns:
        nan if the photos do not differ.

    Raises:
        ValueError: If shapes do not fit, or a number is not finite.

    >>> relative_diversity([[1.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    0.0
    """
    made = numbers("features", features, "sd", 2)
    known = numbers("photos", photos, "md", 2)
    alike("features", made, "photos", known)
    usual = diversity(known)
    return diversity(made) / usual if usual > _ROUNDING else np.nan


@measure("path of photos", "unit")
def path_similarity(
    pictures: ArrayLike, same: ArrayLike, different: ArrayLike
) -> float:
    """Measure if a layer processes pictures of a unit as it does photos of that unit.

    Formula:
        (r(pictures, same) - r(same, different)) / (r(same, same) - r(same, different)),
        r the mean Spearman correlation of flattened activations over all pairs

    Range:
        1: as alike as the unit's photos among themselves; 0: no more than photos of
        different units. Beyond both at times; missing where photos of the unit are no
        more alike than others, or an activation does not vary.

    Better:
        higher

    Source:
        Geirhos et al. 2024, https://arxiv.org/abs/2306.04719.

    Bias:
        In early layers photos of a unit are hardly more alike than others, so that it
        divides by little and varies widely. A generator trained to reproduce a layer's
        activations raises it there by construction. Averages over places, so it sees
        where things are, not only what.

    Args:
        pictures: `(n, ...)`, the activations of a layer for pictures of one unit. Of
            a large map every second place will do, in all three.
        same: `(m, ...)`, for photos of its class or to which it responds most, m from
            2.
        different: `(k, ...)`, for photos of other units.

    Raises:
        ValueError: If shapes do not fit, or a number is not finite.

    >>> same, different = [[1, 2, 3, 4], [1, 2, 4, 3]], [[4, 3, 2, 1]]
    >>> path_similarity([[10, 20, 30, 40]], same, different)
    1.0588235294117647
    """
    made = _activations("pictures", pictures, 1)
    own = _activations("same", same, 2)
    other = _activations("different", different, 1)
    alike("pictures", made, "same", own)
    alike("different", other, "same", own)
    # The mean over all pairs is the product of sums.
    made_sum, own_sum, other_sum = (_sum_of_ranks(v) for v in (made, own, other))
    apart = own_sum @ other_sum / (len(own) * len(other))
    lead = _mean_product_apart(own_sum, len(own)) - apart
    if not lead > _ROUNDING:
        return np.nan
    return float((made_sum @ own_sum / (len(made) * len(own)) - apart) / lead)


@measure("two photos told apart", "unit")
def two_alternative(
    references: ArrayLike, features: ArrayLike, scores: ArrayLike, *, share: float = 0.1
) -> float:
    """Measure if pictures of a unit help to tell which of two photos excites it more.

    Formula:
        The share of pairs, of a photo from the top and one from the bottom part by
        score, in which the top one's mean cosine similarity to the references is the
        higher one; ties count half. Features are scaled to length 1, and the mean of
        all query photos is subtracted.

    Range:
        0 to 1; 0.5 by chance. Missing if the unit responds to all photos alike.

    Better:
        higher

    Source:
        The task of Borowski et al. 2021, https://arxiv.org/abs/2010.12606, done by a
        machine as by Zimmermann, Klindt & Brendel 2024,
        https://brendel-group.github.io/mis.

    Bias:
        A network's similarity is not a person's (people reached 0.82 with pictures and
        0.92 with photos), so this measure of photos as references belongs beside it.
        The smaller the share, the easier are the pairs. Photos drawn at random as
        references have 0.5 on average (0.51 over 150 channels of MobileNetV1; 0.60 if
        the mean is not subtracted). References like no photo, or like all of them, move
        that: random features had 0.58.

    Args:
        references: `(r, d)`, features of the pictures of a unit, or of photos to which
            it responds most as the upper mark. None of them may be a query.
        features: `(q, d)`, of query photos, q from 2.
        scores: `(q,)`, how much the unit responds to them.
        share: How many of the queries are in each part, above 0 to 0.5. Photos with
            the score of the last one are in it, too.

    Raises:
        ValueError: If shapes do not fit, a number is not finite, or the share is out
            of range.

    >>> photos = [[1.0, 0.0], [0.8, 0.1], [0.1, 0.8], [0.0, 1.0]]
    >>> two_alternative([[2.0, 0.0]], photos, [4.0, 3.0, 2.0, 1.0], share=0.5)
    1.0
    """
    shown = numbers("references", references, "rd")
    queries = numbers("features", features, "qd", 2)
    responses = numbers("scores", scores, "q", 2)
    alike("references", shown, "features", queries)
    if len(responses) != len(queries):
        raise ValueError(
            "There must be a score for each query. Received: "
            f"{len(responses)} scores for {len(queries)} features"
        )
    if not 0 < share <= 0.5:
        raise ValueError(f"`share` must be above 0 to 0.5. Received: share={share}")
    count = max(1, int(share * len(queries)))
    ordered = np.sort(responses)
    low, high = ordered[count - 1], ordered[-count]
    if not high > low:
        return np.nan
    # What has no direction, or that of the mean, resembles nothing.
    shown, queries = (np.nan_to_num(directions(rows)) for rows in (shown, queries))
    mean = queries.mean(axis=0)
    shown, queries = (np.nan_to_num(directions(v - mean)) for v in (shown, queries))
    likeness = queries @ shown.sum(axis=0)
    top, bottom = likeness[responses >= high], likeness[responses <= low]
    return float(percentile(top, bottom).mean()) / 100


def _mean_product_apart(total: NDArray[np.float64], n: int) -> float:
    """Return the mean product of two different ones of n rows of length 1.

    Args:
        total: `(d,)`, the sum of the rows.
        n: From 2.
    """
    return float((total @ total - n) / (n * (n - 1)))


def _activations(name: str, values: ArrayLike, fewest: int) -> NDArray:
    """Return activations `(n, ...)`, as they are: those of a layer take much room."""
    found = np.asarray(values)
    if found.ndim < 2 or len(found) < fewest or not found.size:
        raise ValueError(
            f"`{name}` must have the shape (n, ...), n from {fewest}. Received: shape "
            f"{found.shape}"
        )
    check_finite(name, found)
    return found


def _sum_of_ranks(activations: NDArray) -> NDArray[np.float64]:
    """Return the sum of each picture's ranks `(d,)`, with mean 0 and length 1 each."""
    total = np.zeros(activations[0].size)
    for one in activations:
        ranks = _ranks(one.ravel())
        total += directions((ranks - ranks.mean())[None])[0]
    return total


def _ranks(values: NDArray) -> NDArray[np.float64]:
    """Return the ranks of values `(d,)`, those of equal values their mean."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[group]
