"""Several pictures of one unit, as different as the unit lets them be."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tfviz._errors import count_of
from tfviz.models.adapter import Adapter, adapt
from tfviz.objectives._base import Objective
from tfviz.objectives._grammar import as_objectives
from tfviz.objectives._groups import comparison_layer, with_diversity
from tfviz.optimize.render import render
from tfviz.optimize.result import Result

# The renderings that the search for a weight may take, the plain one aside.
SEARCHES = 7
# The first weight that is tried, in units of the plain optimum.
FIRST_WEIGHT = 1.0


def diverse(
    model: Any,
    objective: Any,
    *,
    n: int = 4,
    layer: str | None = None,
    weight: float | None = None,
    share: float = 0.8,
    **options: Any,
) -> Result:
    """Render several pictures of one unit that differ from each other.

    A unit often responds to several kinds of images, of which a single picture shows
    one (Olah et al., https://distill.pub/2017/feature-visualization/#diversity).

    Without a weight, this searches for the largest one at which even the weakest
    picture keeps a given share of the score that the unit reaches without diversity:
    first by steps of a factor of 4, then by halving the interval, as in the studies of
    Borowski et al. (https://arxiv.org/abs/2010.12606). That takes up to eight
    renderings.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        objective: One unit, as for `render`.
        n: The number of pictures, at least 2.
        layer: The path of the layer in which pictures are compared; by default the
            unit's own layer, or the last layer with a map where that has none.
        weight: The weight of diversity against the unit, as in `objective + weight *
            objectives.diversity(layer, n)`; by default it is searched for.
        share: The share of the plain optimum that the weakest picture must keep, in
            (0, 1).
        **options: Further arguments of `render`.

    Returns:
        The pictures. `result.distances` has the distances between them, and
        `result.spec["diversity"]` the weight, the layer and the weights tried.

    Raises:
        ValueError: If `objective` is not one unit, or something else does not fit.

    >>> import tfviz
    >>> model, small = tfviz.load_model("squeezenet"), tfviz.params.fourier(64, 64)
    >>> result = diverse(model, "fire5:3", n=2, weight=1.0, param=small, steps=4)
    >>> result.distances.shape
    (2, 2)
    """
    adapter = adapt(model)
    unit = _single_unit(objective, adapter)
    if not 0 < share < 1:
        raise ValueError(f"`share` must lie between 0 and 1. Received: share={share}")
    compared = layer or comparison_layer(adapter, unit)

    def rendered(weight: float) -> Result:
        return render(adapter, with_diversity(unit, compared, n, weight), **options)

    if weight is not None:
        tried: list[dict[str, float]] = []
        result = rendered(weight)
    else:
        weight, result, tried = _search_weight(rendered, share)
    note = {"layer": compared, "n": n, "weight": weight, "tried": tried}
    return replace(result, spec=result.spec | {"diversity": note})


def _single_unit(objective: Any, adapter: Adapter) -> Objective:
    units = as_objectives(objective, adapter)
    if len(units) != 1 or len(units[0]) != 1 or units[0].group != 1:
        raise ValueError(
            "`diverse` makes pictures of one unit. Received: "
            f"{count_of(sum(map(len, units)), 'unit')}"
        )
    return units[0]


def _search_weight(
    rendered: Callable[[float], Result], share: float
) -> tuple[float, Result, list[dict[str, float]]]:
    """Return the largest weight that keeps the share, its result, and all weights."""
    best = rendered(0.0)
    # The optimum of a minimized unit, or of a logit, can be below 0; what it gained
    # since the start cannot.
    start = float(np.mean(best.history[0]))
    optimum = float(np.max(best.unit_scores))
    scale = max(optimum - start, 1e-30)
    tried: list[dict[str, float]] = []
    low, high, largest = 0.0, math.inf, 0.0
    weight = FIRST_WEIGHT * scale
    for _ in range(SEARCHES):
        with warnings.catch_warnings():
            # On the way there are weights that drown the unit.
            warnings.simplefilter("ignore", UserWarning)
            result = rendered(weight)
        kept = (float(np.min(result.unit_scores)) - start) / scale
        tried.append({"weight": weight, "share": kept})
        if kept >= share:
            low, largest, best = weight, weight, result
        else:
            high = weight
        if high == math.inf:
            weight = 4 * low
        else:
            weight = high / 4 if low == 0 else math.sqrt(low * high)
    return largest, best, tried
