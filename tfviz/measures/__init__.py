"""Measures of the quality of visualizations, one function for each.

    tfviz.measures.relative(score, photo_scores)
    tfviz.measures.describe("relative")["bias"]

Measures take NumPy arrays: the scores of units, the features of a judging network, or
the pictures themselves, as they are saved. Wrong arrays raise a ValueError; a value
that is not defined for a picture is nan. No measure is sufficient by itself, and each
has blind spots, which its docstring and `describe` name.
"""

from tfviz.measures._base import describe
from tfviz.measures._features import kid, kid_floor, kid_spread, nearest_ratio
from tfviz.measures._pixels import saturation, spectrum_slope, total_variation
from tfviz.measures._scores import (
    gain,
    percentile,
    rank,
    relative,
    robustness,
    search_gain,
    top1,
    top5,
)
from tfviz.measures._units import (
    diversity,
    path_similarity,
    relative_diversity,
    specificity,
    two_alternative,
)

__all__ = [
    "describe",
    "diversity",
    "gain",
    "kid",
    "kid_floor",
    "kid_spread",
    "nearest_ratio",
    "path_similarity",
    "percentile",
    "rank",
    "relative",
    "relative_diversity",
    "robustness",
    "saturation",
    "search_gain",
    "specificity",
    "spectrum_slope",
    "top1",
    "top5",
    "total_variation",
    "two_alternative",
]
