"""Stop rules, which end an optimization before all of its steps are taken.

Every few steps, a `Stop` decides which pictures of a batch are finished. A finished
picture no longer changes while the others continue, so that a picture does not depend
on the others in its batch. Only the pictures of one group stop together.
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
    """The state of a batch, from which a stop rule decides.

    Attributes:
        history: The scores of the transformed images so far, `(steps, n)`.
        seconds: The time since the first step of this batch, plus the time that it took
            to choose the start images.
        unit_scores: A function without arguments that returns the scores `(n,)` of the
            pictures as they would be saved now, without transforms, penalties and
            diversity.
    """

    history: NDArray[np.float32]
    seconds: float
    unit_scores: Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Stop:
    """A rule that decides when a picture is finished.

    Attributes:
        reached: The function `reached(state) -> (n,)`, true for finished pictures.
        spec: The name of the rule and its settings, as JSON values.
        every: The number of steps between two evaluations of the rule, at most 16.
    """

    reached: Callable[[State], NDArray[np.bool_]]
    spec: Mapping[str, Any] = field(default_factory=dict)
    every: int = 16


def plateau(*, window: int = 64, tolerance: float = 0.02) -> Stop:
    """Stop when the score no longer rises.

    The scores are smoothed by their mean over `window` steps. A picture is finished
    when the mean of the last window lies above that of the one before by less than
    `tolerance` times the rise since the first window.

    Args:
        window: The number of steps in a window, at least 2. No picture stops before
            three windows are full.
        tolerance: The least rise per window, as a share of the whole rise; above 0.

    Raises:
        ValueError: If a setting is out of range.

    >>> plateau(window=32).spec["name"]
    'plateau'
    """
    if int(window) != window or window < 2 or not tolerance > 0:
        raise ValueError(
            "`window` must be a whole number of at least 2, and `tolerance` must be "
            f"above 0. Received: window={window}, tolerance={tolerance}"
        )

    def reached(state: State) -> NDArray[np.bool_]:
        scores = state.history
        if len(scores) < 3 * window:
            return np.zeros(scores.shape[1], bool)
        first = scores[:window].mean(axis=0)
        before = scores[-2 * window : -window].mean(axis=0)
        last = scores[-window:].mean(axis=0)
        # A score that has not risen yet, as of a dead unit, is no plateau.
        return (last > first) & (last - before < tolerance * (last - first))

    return Stop(reached, {"name": "plateau", "window": window, "tolerance": tolerance})


def seconds(limit: float) -> Stop:
    """Stop when a batch has taken this long, not counting compilation.

    The time to choose start images counts, and a batch may take up to four more steps.
    The number of steps depends on the machine, so the pictures cannot be reproduced
    byte for byte; the result says how many steps were taken.

    Args:
        limit: The time in seconds, above 0.

    Raises:
        ValueError: If the limit is not above 0 or not finite.

    >>> seconds(60).spec
    {'name': 'seconds', 'limit': 60}
    """
    if not 0 < limit < math.inf:
        raise ValueError(
            f"`limit` must be a finite number above 0. Received: limit={limit}"
        )

    def reached(state: State) -> NDArray[np.bool_]:
        return np.full(state.history.shape[1], state.seconds >= limit)

    # Evaluated often, because 16 steps of a large decoder take long.
    return Stop(reached, {"name": "seconds", "limit": limit}, every=4)


def target(score: float) -> Stop:
    """Stop when the unit's score of the picture reaches a value.

    Args:
        score: The score to reach, of the picture as it would be saved, without
            transforms, penalties and diversity.

    Raises:
        ValueError: If the score is not finite.

    >>> target(12.5).spec
    {'name': 'target', 'score': 12.5}
    """
    if not math.isfinite(score):
        raise ValueError(f"`score` must be a finite number. Received: score={score}")

    def reached(state: State) -> NDArray[np.bool_]:
        return state.unit_scores() >= score

    return Stop(reached, {"name": "target", "score": score})


def from_spec(spec: Mapping[str, Any]) -> Stop:
    """Return the rule that a `spec` describes, such as the one of a saved picture.

    Args:
        spec: The name of the rule and its settings, as in `Stop.spec`.

    Raises:
        ValueError: If there is no rule of this name.

    >>> from_spec(target(3).spec).spec
    {'name': 'target', 'score': 3}
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    factories: dict[Any, Callable[..., Stop]] = {
        "plateau": plateau,
        "seconds": seconds,
        "target": target,
    }
    if name not in factories:
        raise ValueError(
            f"There is no stop rule {name!r}. The rules are {', '.join(factories)}."
        )
    return factories[name](**settings)
