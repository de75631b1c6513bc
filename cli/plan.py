"""What a run is going to do, as the command line says it."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tfviz._errors import count_of
from tfviz.cli.console import format_duration

# The columns of a plan that are numbers.
_COUNTS = ("units", "batches", "finished", "failed", "left", "time")
# A message names files and failures up to this number.
_NAMED = 5


def announce(work: Any, name: str = "") -> None:
    """Print what there is to do, and what became of pictures made before.

    Args:
        work: The `tfviz.runs.work.Work`.
        name: The name of the run, if there are several.
    """
    total = len(work.files)
    batches = sum(len(plan.numbers) for plan in work.plans)
    if name or batches > 1:
        layers = sum(bool(plan.numbers) for plan in work.plans)
        click.echo(
            f"{name}{': ' * bool(name)}"
            f"{count_of(total - len(work.skip), 'picture')} to make, in "
            f"{count_of(batches, 'batch')} of {count_of(layers, 'layer')}",
            err=True,
        )
    if work.finished:
        verb = "is" if len(work.finished) == 1 else "are"
        click.echo(
            f"{len(work.finished)} of {count_of(total, 'picture')} {verb} finished "
            "already",
            err=True,
        )
    for state, names in work.lost.items():
        if names:
            verb = "is" if len(names) == 1 else "are"
            click.echo(
                f"{count_of(len(names), 'picture')} {verb} {state} and {verb} made "
                f"again: {join_first(names)}",
                err=True,
            )
    if work.failed:
        click.echo(
            f"{count_of(len(work.failed), 'picture')} failed before and "
            f"{'is' if len(work.failed) == 1 else 'are'} left out; --retry-failed "
            f"tries {'it' if len(work.failed) == 1 else 'them'} again",
            err=True,
        )


def print_plan(work: Any, *, as_json: bool) -> None:
    """Print what a run would do, with an estimate of its time from a short trial.

    Nothing is written.

    Args:
        work: The `tfviz.runs.work.Work`.
        as_json: Whether to print JSON instead of a table.
    """
    announce(work)
    plans, trial = _estimate(work)
    total = _add_up(plans)
    if as_json:
        layers = {"layers": [plan.spec for plan in plans]}
        click.echo(json.dumps(total.spec | trial | layers, indent=2))
        return
    _print_table(["layer", *_COUNTS], [_row(plan) for plan in [*plans, total]])
    _say_how(trial["measured_layers"], trial["trial_seconds"])


def print_plans(works: Mapping[str, Any]) -> None:
    """Print what several runs would do, as `print_plan` does for one.

    Args:
        works: The `tfviz.runs.work.Work` of each run by its name.
    """
    rows, every, measured, seconds = [], [], 0, 0.0
    for name, work in works.items():
        announce(work, name)
        plans, trial = _estimate(work)
        rows += [[name, *_row(plan)] for plan in plans]
        every += plans
        measured += trial["measured_layers"]
        seconds += trial["trial_seconds"]
    rows.append(["", *_row(_add_up(every))])
    _print_table(["run", "layer", *_COUNTS], rows)
    _say_how(measured, seconds)


def _estimate(work: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the plan of each layer with its time, and facts about the trial."""
    from tfviz.optimize.plan import estimate  # noqa: PLC0415

    began = time.monotonic()
    plans, measured = estimate(work.job, work.plans, work.skip)
    seconds = round(time.monotonic() - began, 1)
    return plans, {"measured_layers": measured, "trial_seconds": seconds}


def _add_up(plans: Sequence[Any]) -> Any:
    """Return the plan of all layers together."""
    from tfviz.optimize.plan import LayerPlan  # noqa: PLC0415

    return LayerPlan(
        "total",
        sum(plan.units for plan in plans),
        sum(plan.batches for plan in plans),
        sum(plan.finished for plan in plans),
        sum(plan.failed for plan in plans),
        seconds=sum(plan.seconds or 0 for plan in plans),
    )


def _row(plan: Any) -> list[str]:
    cells = [str(plan.spec[name]) for name in ("layer", *_COUNTS[:-1])]
    return [*cells, format_duration(plan.seconds or 0)]


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows whose last cells, those of `_COUNTS`, are numbers."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = len(head) - len(_COUNTS)
    for line in lines:
        cells = [
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells))


def _say_how(measured: int, seconds: float) -> None:
    click.echo(
        f"estimated from a trial of {count_of(measured, 'layer')} in {seconds:.0f} s; "
        "nothing was written",
        err=True,
    )


def join_first(texts: Sequence[str]) -> str:
    """Join the first texts, with dots if there are more."""
    return ", ".join(texts[:_NAMED]) + ", ..." * (len(texts) > _NAMED)
