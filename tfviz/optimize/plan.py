"""The plan of a job: its pictures by layer, and an estimate of the time they take."""

import time
from collections import Counter, deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfviz.models.introspection import LOGITS, PROBABILITIES
from tfviz.objectives import Objective
from tfviz.optimize.job import BLOCK, Job

# The seconds after which a trial measures no further layer.
TRIAL_SECONDS = 20.0

_WORDS = {LOGITS: "logit", PROBABILITIES: "prob"}


@dataclass(frozen=True)
class LayerPlan:
    """The pictures of one layer and kind of unit, which share one compiled step.

    Attributes:
        layer: The layer; `-` precedes it where its units are minimized.
        units: The number of pictures.
        batches: The number of batches that they are made in.
        finished: How many pictures are finished.
        failed: How many could not be made before, and are left out.
        numbers: The numbers in the job of those batches of which a picture is left.
        seconds: An estimate of the time for the pictures that are left.
    """

    layer: str
    units: int
    batches: int
    finished: int = 0
    failed: int = 0
    numbers: tuple[int, ...] = ()
    seconds: float | None = None

    @property
    def left(self) -> int:
        """The number of pictures that are left to be made."""
        return self.units - self.finished - self.failed

    @property
    def spec(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "layer": self.layer,
            "units": self.units,
            "batches": self.batches,
            "finished": self.finished,
            "failed": self.failed,
            "left": self.left,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Cost:
    """What the batches of a layer cost, in seconds.

    Attributes:
        compilation: The time before the first batch.
        batch: The time of each batch.
    """

    compilation: float
    batch: float


def plan_layers(
    job: Job, finished: Set[int] = frozenset(), failed: Set[int] = frozenset()
) -> list[LayerPlan]:
    """Return the plan of a job, layer by layer in the order of the work.

    Args:
        job: The job.
        finished: The places of the pictures that are finished.
        failed: The places of the pictures that failed before and are left out.
    """
    by_kind: dict[Any, list[int]] = {}
    for number, planned in enumerate(job.batches):
        by_kind.setdefault(planned.objective.kind, []).append(number)
    objectives = [job.batches[numbers[0]].objective for numbers in by_kind.values()]
    skip = finished | failed
    plans = []
    for name, numbers in zip(_name_layers(objectives), by_kind.values(), strict=True):
        places = {place for n in numbers for place in job.batches[n].places}
        plans.append(
            LayerPlan(
                name,
                len(places),
                len(numbers),
                len(places & finished),
                len(places & failed),
                tuple(n for n in numbers if job.wanted(n, skip)),
            )
        )
    return plans


def estimate(
    job: Job, plans: Sequence[LayerPlan], skip: Set[int] = frozenset()
) -> tuple[list[LayerPlan], int]:
    """Estimate the time for the pictures that are left, by a trial of a few steps.

    The trial compiles and times one batch of a layer, then of another, until it has
    taken `TRIAL_SECONDS`. The costs of the other layers are interpolated between those
    of their neighbours. Rules that stop pictures early are not considered.

    Args:
        job: The job.
        plans: The plan by layer, as `plan_layers` returns it.
        skip: The places of the pictures that are not made.

    Returns:
        The plan with `seconds`, and the number of layers that were measured.
    """
    left = [place for place, plan in enumerate(plans) if plan.numbers]
    costs: dict[int, Cost] = {}
    began, longest = time.monotonic(), 0.0
    for place in _spread(left):
        before = time.monotonic()
        if costs and before - began + longest > TRIAL_SECONDS:
            break
        number = plans[place].numbers[0]
        costs[place] = measure_cost(job, number, job.wanted(number, skip))
        longest = max(longest, time.monotonic() - before)
    if not costs:
        return [replace(plan, seconds=0.0) for plan in plans], 0
    measured = sorted(costs)
    sizes = [job.batches[plan.numbers[0]].size if plan.numbers else 1 for plan in plans]
    places = np.arange(len(plans))
    compilations = np.interp(
        places, measured, [costs[place].compilation for place in measured]
    )
    slots = np.interp(
        places, measured, [costs[place].batch / sizes[place] for place in measured]
    )
    return [
        replace(
            plan,
            seconds=bool(plan.numbers) * float(compilation)
            + len(plan.numbers) * size * float(slot),
        )
        for plan, size, compilation, slot in zip(
            plans, sizes, compilations, slots, strict=True
        )
    ], len(costs)


def measure_cost(job: Job, number: int, wanted: list[int]) -> Cost:
    """Measure what a batch costs, by a trial that makes no pictures.

    Args:
        job: The job.
        number: The number of the batch.
        wanted: The pictures to make, as `Job.wanted` returns them.
    """
    began = time.monotonic()
    with job.lend_runner(number, wanted) as (runner, start):
        start(0)
        runner.outcome()
        compiled = time.monotonic()
        start(0)
        runner.outcome()
        overhead = time.monotonic() - compiled

        def take(steps: int) -> float:
            before = time.monotonic()
            runner.run(0, steps, 0.0)
            return time.monotonic() - before

        steps, seconds = 1, take(1)
        while seconds < 1 and steps < min(BLOCK, job.options.steps):
            steps *= 2
            seconds = take(steps)
    one_attempt = overhead + job.options.steps * seconds / steps
    return Cost(compiled - began, job.options.restarts * one_attempt)


def _spread(places: list[int]) -> list[int]:
    """Order places so that the first few are spread over all of them.

    >>> _spread([0, 1, 2, 3, 4, 5, 6, 7, 8])
    [8, 0, 4, 2, 6, 1, 3, 5, 7]
    """
    order = [*places[-1:], *places[:1]]
    gaps = deque([(0, len(places) - 1)])
    while gaps:
        first, last = gaps.popleft()
        middle = (first + last) // 2
        if first < middle < last:
            order.append(places[middle])
            gaps += [(first, middle), (middle, last)]
    return list(dict.fromkeys(order))


def _name_layers(objectives: Sequence[Objective]) -> list[str]:
    """Name the layer of each of some objectives, or the first unit where that differs.

    >>> from tfviz.objectives import channel, neuron
    >>> _name_layers([channel("fire8", 1), -channel("fire9", 2)])
    ['fire8', '-fire9']
    >>> _name_layers([channel("fire8", [1, 2]), neuron("fire8", 2, 0, 0)])
    ['fire8 (as fire8:1)', 'fire8 (as fire8:2@0,0)']
    """
    names = []
    for objective in objectives:
        paths = [_WORDS.get(path, path) for path in objective.layers]
        sign = "-" if all(name.startswith("-") for name in objective.names) else ""
        names.append(sign + "+".join(paths) if paths else objective.names[0])
    counts = Counter(names)
    return [
        f"{name} (as {objective.names[0]})" if counts[name] > 1 else name
        for name, objective in zip(names, objectives, strict=True)
    ]
