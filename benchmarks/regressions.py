"""The limits of `make bench-check`, and the rule by which a measurement breaks them.

A time in milliseconds depends on the machine; a ratio of two times that were measured
in turn in the same process depends on it much less. Other programs disturb some runs;
they rarely disturb both the median of the ratios and the ratio of the fastest runs, so
the smaller of the two counts. What has really become slower raises both. The limits are
for the default network, batch and size of `step.py`, by layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

# The seconds of a run of full steps, and of as many bare gradients after it.
Pair = tuple[float, float]


@dataclass(frozen=True)
class Limit:
    """The usual ratio of a full step to the bare gradient, and what noise adds.

    Attributes:
        usual: The ratio on an idle machine.
        noise: By which share of it the ratio of 36 pairs may be larger.
    """

    usual: float
    noise: float


# Measured on 2 idle cores with AVX-512, at batch 8 and 224 pixels: medians of 1.25 at
# fire8 and 1.23 at fire9, and 1.23 and 1.20 by the rule above. What the step adds to
# the gradient (spectrum, transforms, Adam) takes the same time whatever the layer, so
# the ratio is smaller at deeper layers. Without AVX-512 the convolutions take longer,
# and the ratio is smaller as well.
RATIOS = {"fire8": Limit(1.25, 0.1), "fire9": Limit(1.23, 0.1)}
# Units of a kind are arguments of the compiled step: one trace serves all of a layer.
TRACES = 1


def robust_ratio(pairs: Sequence[Pair]) -> float:
    """Return the ratio of a full step to the bare gradient, in spite of disturbances.

    >>> robust_ratio([(3.0, 2.0), (9.0, 2.5), (4.0, 2.5)])  # medians would give 1.6
    1.5
    """
    fastest = min(full for full, _ in pairs) / min(bare for _, bare in pairs)
    return min(fastest, median(full / bare for full, bare in pairs))


def find_regressions(
    pairs: Mapping[str, Sequence[Pair]],
    traces: int,
    limits: Mapping[str, Limit] | None = None,
) -> list[str]:
    """Return a sentence on each measurement that is worse than its limit.

    Args:
        pairs: The times that were measured, by layer.
        traces: How often the step was traced for the units of one layer.
        limits: The limits by layer; by default `RATIOS`.

    Raises:
        KeyError: If a layer has no limit.

    >>> find_regressions({"fire8": [(2.5, 2.0), (9.0, 2.1)]}, 1)
    []
    """
    found = []
    for layer, times in pairs.items():
        limit = (RATIOS if limits is None else limits)[layer]
        measured, most = robust_ratio(times), limit.usual * (1 + limit.noise)
        if measured > most:
            found.append(
                f"At {layer}, a full step took {measured:.2f} times as long as the "
                f"bare gradient; usual is {limit.usual:.2f}, and up to {most:.2f} is "
                f"noise. `python benchmarks/limit.py --layer {layer}` shows which "
                "operations take the time."
            )
    if traces > TRACES:
        found.append(
            f"The step was traced {traces} times for the units of one layer; usual is "
            f"{TRACES}. Something that differs between units is a Python value instead "
            "of a tensor."
        )
    return found
