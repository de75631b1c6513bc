"""Measures of all pictures of a unit: their diversity, and the information in them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import as_numbers, check_finite, check_same_rows, measure
from tfviz.measures._features import unit_vectors
from tfviz.measures._scores import percentile

# The largest difference that rounding leaves between two equal numbers near 1.
_ROUNDING = 1e-9


@measure(
    "difference between seeds",
    level="unit",
    summary="Measure how much pictures of one unit differ from each other.",
    formula="mean_(i < j) (1 - cos(features_i, features_j))",
    range=(
        "0: all the same; 1: nothing in common. Above 1 only with negative features; "
        "missing if a picture has no features at all."
    ),
    better="neither",
    source=(
        "Mean pairwise distance of Zhu et al. 2017, https://arxiv.org/abs/1711.11586, "
        "with the angle of a network's features as the distance."
    ),
    bias=(
        "Noise differs too, so it says nothing by itself. Angles, as the length of "
        "features grows with a picture's contrast, which would pass for diversity."
    ),
)
def diversity(features: ArrayLike) -> float:
    """Measure how much pictures of one unit differ from each other.

    Args:
        features: The features of a unit's pictures from s seeds, `(s, d)` with s >= 2.

    Raises:
        ValueError: If the shape is wrong, or a number is not finite.

    >>> diversity([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    0.6666666666666667
    """
    rows = unit_vectors(as_numbers("features", features, "sd", 2))
    return 1 - _mean_product_of_pairs(rows.sum(axis=0), len(rows))


@measure(
    "of the best photos' difference",
    level="unit",
    summary=(
        "Measure how much pictures of one unit differ, where its best photos have 1."
    ),
    formula="diversity(features) / diversity(photos)",
    range="From 0; 1: as much as the photos to which the unit responds most.",
    better="neither",
    source=(
        "Mean pairwise distance of Zhu et al. 2017, https://arxiv.org/abs/1711.11586, "
        "with the angle of a network's features as the distance."
    ),
    bias=(
        "Near 1 is better, on either side: below, a method finds one picture again and "
        "again; above, pictures have less in common than what the unit responds to. "
        "Photos also differ in what the unit does not care for. Few seeds make it "
        "coarse."
    ),
)
def relative_diversity(features: ArrayLike, photos: ArrayLike) -> float:
    """Measure how much pictures of one unit differ, where its best photos have 1.

    Args:
        features: The features of a unit's pictures from s seeds, `(s, d)` with s >= 2.
        photos: The features of the photos to which the unit responds most, `(m, d)`
            with m >= 2.

    Returns:
        The ratio of both diversities; nan if the photos do not differ.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    >>> relative_diversity([[1.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    0.0
    """
    of_pictures = as_numbers("features", features, "sd", 2)
    of_photos = as_numbers("photos", photos, "md", 2)
    check_same_rows("features", of_pictures, "photos", of_photos)
    reference = diversity(of_photos)
    return diversity(of_pictures) / reference if reference > _ROUNDING else np.nan


@measure(
    "path of photos",
    level="unit",
    summary=(
        "Measure if a layer processes pictures of a unit as it does photos of that "
        "unit."
    ),
    formula=(
        "(r(pictures, same) - r(same, different)) / (r(same, same) - r(same, "
        "different)), r the mean Spearman correlation of flattened activations over "
        "all pairs"
    ),
    range=(
        "1: as alike as the unit's photos among themselves; 0: no more than photos of "
        "different units. Beyond both at times; missing where photos of the unit are "
        "no more alike than others, or an activation does not vary."
    ),
    better="higher",
    source="Geirhos et al. 2024, https://arxiv.org/abs/2306.04719.",
    bias=(
        "In early layers photos of a unit are hardly more alike than others, so that "
        "it divides by little and varies widely. A generator trained to reproduce a "
        "layer's activations raises it there by construction. Averages over places, so "
        "it sees where things are, not only what."
    ),
)
def path_similarity(
    pictures: ArrayLike, same: ArrayLike, different: ArrayLike
) -> float:
    """Measure if a layer processes pictures of a unit as it does photos of that unit.

    Args:
        pictures: The activations of a layer for pictures of one unit, `(n, ...)`. Of
            a large map every second position is enough, in all three arguments.
        same: The activations for photos of the unit's class, or for photos to which it
            responds most, `(m, ...)` with m >= 2.
        different: The activations for photos of other units, `(k, ...)`.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    >>> same, different = [[1, 2, 3, 4], [1, 2, 4, 3]], [[4, 3, 2, 1]]
    >>> path_similarity([[10, 20, 30, 40]], same, different)
    1.0588235294117647
    """
    of_pictures = _as_activations("pictures", pictures, 1)
    of_same = _as_activations("same", same, 2)
    of_different = _as_activations("different", different, 1)
    check_same_rows("pictures", of_pictures, "same", of_same)
    check_same_rows("different", of_different, "same", of_same)
    n, m, k = len(of_pictures), len(of_same), len(of_different)
    # The sum over all pairs is the product of the sums.
    pictures_sum, same_sum, different_sum = (
        _sum_of_ranks(values) for values in (of_pictures, of_same, of_different)
    )
    baseline = same_sum @ different_sum / (m * k)
    lead = _mean_product_of_pairs(same_sum, m) - baseline
    if not lead > _ROUNDING:
        return np.nan
    return float((pictures_sum @ same_sum / (n * m) - baseline) / lead)


@measure(
    "two photos told apart",
    level="unit",
    summary=(
        "Measure if pictures of a unit help to tell which of two photos excites it "
        "more."
    ),
    formula=(
        "The share of pairs, of a photo from the top and one from the bottom part by "
        "score, in which the top one's mean cosine similarity to the references is the "
        "higher one; ties count half. Features are scaled to length 1, and the mean of "
        "all query photos is subtracted."
    ),
    range="0 to 1; 0.5 by chance. Missing if the unit responds to all photos alike.",
    better="higher",
    source=(
        "The task of Borowski et al. 2021, https://arxiv.org/abs/2010.12606, done by a "
        "machine as by Zimmermann, Klindt & Brendel 2024, "
        "https://brendel-group.github.io/mis."
    ),
    bias=(
        "A network's similarity is not a person's (people reached 0.82 with pictures "
        "and 0.92 with photos), so this measure of photos as references belongs beside "
        "it. The smaller the share, the easier are the pairs. Photos drawn at random "
        "as references have 0.5 on average (0.51 over 150 channels of MobileNetV1; "
        "0.60 if the mean is not subtracted). References like no photo, or like all of "
        "them, move that: random features had 0.58. What the pictures of other units "
        "reach is therefore the baseline: see the value above it."
    ),
)
def two_alternative(
    references: ArrayLike, features: ArrayLike, scores: ArrayLike, *, share: float = 0.1
) -> float:
    """Measure if pictures of a unit help to tell which of two photos excites it more.

    Args:
        references: The features of a unit's pictures, or, as an upper bound, of the
            photos to which it responds most, `(r, d)`. None of these photos may be a
            query photo.
        features: The features of the query photos, `(q, d)` with q >= 2.
        scores: The unit's scores of the query photos, `(q,)`.
        share: The share of the query photos in the top part and in the bottom part:
            above 0, at most 0.5. Photos that tie with the last one of a part belong to
            it, too.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, or `share` is out
            of range.

    >>> photos = [[1.0, 0.0], [0.8, 0.1], [0.1, 0.8], [0.0, 1.0]]
    >>> two_alternative([[2.0, 0.0]], photos, [4.0, 3.0, 2.0, 1.0], share=0.5)
    1.0
    """
    hints = as_numbers("references", references, "rd")
    queries = as_numbers("features", features, "qd", 2)
    responses = as_numbers("scores", scores, "q", 2)
    check_same_rows("references", hints, "features", queries)
    if len(responses) != len(queries):
        raise ValueError(
            "`scores` must have one number for each query photo. Received: "
            f"{len(responses)} scores for {len(queries)} features"
        )
    if not 0 < share <= 0.5:
        raise ValueError(f"`share` must lie in (0, 0.5]. Received: share={share}")
    count = max(1, int(share * len(queries)))
    ordered = np.sort(responses)
    low, high = ordered[count - 1], ordered[-count]
    if not high > low:
        return np.nan
    # Zeros in place of nan: features without a direction, or with the direction of the
    # mean, are similar to nothing.
    hints, queries = (np.nan_to_num(unit_vectors(rows)) for rows in (hints, queries))
    mean = queries.mean(axis=0)
    hints, queries = (np.nan_to_num(unit_vectors(v - mean)) for v in (hints, queries))
    similarity = queries @ hints.sum(axis=0)
    top, bottom = similarity[responses >= high], similarity[responses <= low]
    return float(percentile(top, bottom).mean()) / 100


@measure(
    "told apart, above other units",
    level="unit",
    summary=(
        "Measure if a unit's pictures tell its photos apart better than others do."
    ),
    formula="own - mean(others), of the shares of pairs that are told apart",
    range="-1 to 1; 0 if the method's pictures of other units help as much.",
    better="higher",
    source=(
        "The two-alternative task of Borowski et al. 2021, "
        "https://arxiv.org/abs/2010.12606, with a permutation of the units."
    ),
    bias=(
        "The share by itself is not 0.5 by chance: pictures can point to photos that "
        "many units respond to, or away from them. Units that are alike leave little "
        "above each other. What is left depends on what the judge sees."
    ),
)
def specificity(own: ArrayLike, others: ArrayLike) -> float:
    """Measure if a unit's pictures tell its photos apart better than others do.

    Args:
        own: The value of `two_alternative` with the unit's own pictures as references.
        others: The values with pictures that the same method made of other units, one
            for each of these units, for the same scores of the same photos, `(k,)` with
            k >= 1.

    Raises:
        ValueError: If there is no other unit, or a number is not finite.

    >>> specificity(0.75, [0.5, 0.25])
    0.375
    """
    value = as_numbers("own", own)
    return float(value - as_numbers("others", others, "k").mean())


def _mean_product_of_pairs(total: NDArray[np.float64], n: int) -> float:
    """Return the mean product of two different rows, of n >= 2 rows of length 1.

    Args:
        total: The sum of the rows, `(d,)`.
        n: The number of rows.
    """
    return float((total @ total - n) / (n * (n - 1)))


def _as_activations(name: str, values: ArrayLike, fewest: int) -> NDArray[Any]:
    """Return an argument as activations `(n, ...)`, in their own type to save memory.

    Raises:
        ValueError: If the array has another shape, or some numbers are not finite.
    """
    activations = np.asarray(values)
    if activations.ndim < 2 or len(activations) < fewest or not activations.size:
        raise ValueError(
            f"`{name}` must have the shape (n, ...) with n >= {fewest}. Received: "
            f"shape {activations.shape}"
        )
    check_finite(name, activations)
    return activations


def _sum_of_ranks(activations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum of the ranks of all pictures, `(d,)`.

    The ranks of each picture are shifted to mean 0 and scaled to length 1, so that the
    product of two pictures is their Spearman correlation.
    """
    total = np.zeros(activations[0].size)
    for picture in activations:
        ranks = _ranks(picture.ravel())
        total += unit_vectors((ranks - ranks.mean())[None])[0]
    return total


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the ranks of values `(d,)`; equal values get the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[group]
