"""Numbers that tell what a visualization is worth, one function for each.

    tfviz.measures.relative(score, photo_scores)
    tfviz.measures.describe("relative")["bias"]

They take NumPy arrays: scores of units, features of a network that judges, or the
pictures themselves, as they are saved. What is wrong with the arrays is an error; where
a number is not defined for a picture, it is nan. No measure tells enough by itself, and
each has something it is blind to, which its docstring says.
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
    top1,
    top5,
)
from tfviz.measures._units import (
    diversity,
    path_similarity,
    relative_diversity,
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
    "spectrum_slope",
    "top1",
    "top5",
    "total_variation",
    "two_alternative",
]
