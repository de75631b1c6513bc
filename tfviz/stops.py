"""When to stop before all steps are taken.

A `Stop` looks at the pictures of a batch every few steps and says which of them are
finished. A finished picture is kept as it is then, while its neighbours go on, so
that a picture does not depend on what is rendered beside it; those of one group stop
together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["State", "Stop", "from_spec", "plateau", "seconds", "target"]


@dataclass(frozen=True)
class State:
    """What a stop rule can look at.

    Attributes:
        history: `(steps, n)`, the scores so far, of the transformed images.
        seconds: Since the first step of this batch, and what the choice of its starts
            took.
        unit_scores: `unit_scores()` returns the scores `(n,)` of the pictures as they
            would be saved now, without transforms, penalties and diversity.
    """

    history: NDArray[np.float32]
    seconds: float
    unit_scores: Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Stop:
    """A rule that ends the work on a picture.

    Attributes:
        reached: `reached(state) -> (n,)`, which pictures are finished.
        spec: The name of the rule and its settings, as JSON values.
        every: After how many steps it is asked, 16 at most.
    """

    reached: Callable[[State], NDArray[np.bool_]]
    spec: Mapping[str, Any] = field(default_factory=dict)
    every: int = 16


def plateau(*, window: int = 64, tolerance: float = 0.02) -> Stop:
    """Stop where the score no longer rises.

    The scores are smoothed by their mean over `window` steps. A picture is finished
    when the mean of the last window lies above that of the one before by less than
    `tolerance` times the rise since the first window.

    Args:
        window: In steps, from 2. Nothing stops before three windows are full.
        tolerance: A share of the whole rise, above 0.

    Raises:
        ValueError: If a setting is out of range.

    >>> plateau(window=32).spec["name"]
    'plateau'
    """
    if int(window) != window or window < 2 or not tolerance > 0:
        raise ValueError(
            "`window` must be a whole number from 2 and `tolerance` above 0. "
            f"Received: window={window}, tolerance={tolerance}"
        )

    def reached(state: State) -> NDArray[np.bool_]:
        scores = state.history
        if len(scores) < 3 * window:
            return np.zeros(scores.shape[1], bool)
        first = scores[:window].mean(axis=0)
        before = scores[-2 * window : -window].mean(axis=0)
        last = scores[-window:].mean(axis=0)
        # Where nothing has risen yet, as at a dead start, nothing is finished.
        return (last > first) & (last - before < tolerance * (last - first))

    return Stop(reached, {"name": "plateau", "window": window, "tolerance": tolerance})


def seconds(limit: float) -> Stop:
    """Stop when a batch has taken this long, compilation aside.

    The choice of starts counts. A batch may take four steps more. How far pictures
    come then depends on the machine, so they cannot be made again byte for byte; how
    many steps were taken is in the result.

    Args:
        limit: In seconds, above 0.

    Raises:
        ValueError: If it is not.

    >>> seconds(60).spec
    {'name': 'seconds', 'limit': 60}
    """
    if not 0 < limit < math.inf:
        raise ValueError(f"`limit` must be above 0. Received: limit={limit}")

    def reached(state: State) -> NDArray[np.bool_]:
        return np.full(state.history.shape[1], state.seconds >= limit)

    # Often, as 16 steps of a large decoder take long.
    return Stop(reached, {"name": "seconds", "limit": limit}, every=4)


def target(score: float) -> Stop:
    """Stop when the unit responds this much.

    Args:
        score: Of the picture as it would be saved, without transforms, penalties and
            diversity.

    Raises:
        ValueError: If it is no finite number.

    >>> target(12.5).spec
    {'name': 'target', 'score': 12.5}
    """
    if not math.isfinite(score):
        raise ValueError(f"`score` must be a finite number. Received: score={score}")

    def reached(state: State) -> NDArray[np.bool_]:
        return state.unit_scores() >= score

    return Stop(reached, {"name": "target", "score": score})


def from_spec(spec: Mapping[str, Any]) -> Stop:
    """Make a rule again from its description, as a saved picture holds it.

    Raises:
        ValueError: If no such rule is known here.

    >>> from_spec(target(3).spec).spec
    {'name': 'target', 'score': 3}
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    makers: dict[Any, Callable[..., Stop]] = {
        "plateau": plateau,
        "seconds": seconds,
        "target": target,
    }
    if name not in makers:
        raise ValueError(
            f"There is no stop rule {name!r}; there are {', '.join(makers)}."
        )
    return makers[name](**settings)
