"""Numbers that tell what a visualization is worth, one function for each.

    tfviz.measures.relative(score, photo_scores)
    tfviz.measures.describe("relative")["bias"]

They take NumPy arrays: scores of units, features of a network that judges, or the
pictures themselves, as they are saved. What is wrong with the arrays is an error; where
a number is not defined for a picture, it is nan. No measure tells enough by itself, and
each has something it is blind to, which its docstring says.
"""

from tfviz._measures_classes import rank, top1, top5
from tfviz._measures_kernel import kid, kid_floor, kid_spread
from tfviz._measures_nearest import nearest_ratio
from tfviz._measures_pixels import saturation, spectrum_slope, total_variation
from tfviz._measures_scores import (
    gain,
    percentile,
    relative,
    robustness,
)
from tfviz._measures_table import describe
from tfviz._measures_units import (
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
