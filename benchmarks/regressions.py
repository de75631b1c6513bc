"""The limits of `make bench-check`, and the rule by which a measurement breaks them.

A time in milliseconds depends on the machine, a ratio of two times that were measured
in turn in the same process hardly does. The limits are for the default network, batch
and size of `step.py`, by layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Limit:
    """The usual ratio of a full step to the bare gradient, and what noise adds.

    Attributes:
        usual: The median of several runs on idle machines.
        noise: By which share of it a median of 9 pairs may be larger.
    """

    usual: float
    noise: float


# Measured on 2 cores with AVX-512 at batch 8 and 224 pixels. What the step adds to the
# gradient (spectrum, transforms, Adam) takes the same time whatever the layer, so that
# the ratio is smaller at deeper layers. The medians of ten runs spread by 4 percent,
# and by 8 while other programs used one of the cores.
RATIOS = {"fire8": Limit(1.36, 0.12), "fire9": Limit(1.34, 0.12)}
# Units of a kind are arguments of the compiled step: one trace serves all of a layer.
TRACES = 1


def find_regressions(
    ratios: Mapping[str, Sequence[float]],
    traces: int,
    limits: Mapping[str, Limit] | None = None,
) -> list[str]:
    """Return a sentence on each measurement that is worse than its limit.

    Args:
        ratios: The ratios of a full step to the bare gradient, of each pair of runs,
            by layer.
        traces: How often the step was traced for the units of one layer.
        limits: The limits by layer; by default `RATIOS`.

    Raises:
        KeyError: If a layer has no limit.

    >>> find_regressions({"fire8": [1.1, 1.2, 2.0]}, 1, {"fire8": Limit(1.15, 0.1)})
    []
    """
    found = []
    for layer, values in ratios.items():
        limit = (RATIOS if limits is None else limits)[layer]
        measured, most = median(values), limit.usual * (1 + limit.noise)
        if measured > most:
            found.append(
                f"At {layer}, a full step took {measured:.2f} times as long as the "
                f"bare gradient; usual is {limit.usual:.2f}, and up to {most:.2f} is "
                "noise. "
                f"`python benchmarks/limit.py --layer {layer}` shows which operations "
                "take the time."
            )
    if traces > TRACES:
        found.append(
            f"The step was traced {traces} times for the units of one layer; usual is "
            f"{TRACES}. Something that differs between units is a Python value instead "
            "of a tensor."
        )
    return found
