"""What a run is going to do, as the command line says it."""

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from tfviz.cli.console import count_of, format_duration

# A message names files and failures up to this number.
_NAMED = 5


def announce(work: Any) -> None:
    """Print what there is to do, and what became of pictures made before.

    Args:
        work: The `tfviz.runs.work.Work`.
    """
    total = len(work.files)
    batches = sum(len(plan.numbers) for plan in work.plans)
    if batches > 1:
        layers = sum(bool(plan.numbers) for plan in work.plans)
        click.echo(
            f"{total - len(work.skip)} pictures to make, in "
            f"{count_of(batches, 'batch')} of {count_of(layers, 'layer')}",
            err=True,
        )
    if work.finished:
        click.echo(f"{len(work.finished)} of {total} are finished already", err=True)
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
            f"{len(work.failed)} failed before and are left out; --retry-failed "
            "tries them again",
            err=True,
        )


def print_plan(work: Any, *, as_json: bool) -> None:
    """Print what a run would do, with an estimate of its time from a short trial.

    Nothing is written.

    Args:
        work: The `tfviz.runs.work.Work`.
        as_json: Whether to print JSON instead of a table.
    """
    from tfviz.optimize.plan import LayerPlan, estimate  # noqa: PLC0415

    announce(work)
    began = time.monotonic()
    plans, measured = estimate(work.job, work.plans, work.skip)
    trial = time.monotonic() - began
    total = LayerPlan(
        "total",
        sum(plan.units for plan in plans),
        sum(plan.batches for plan in plans),
        sum(plan.finished for plan in plans),
        sum(plan.failed for plan in plans),
        seconds=sum(plan.seconds or 0 for plan in plans),
    )
    if as_json:
        layers = {"layers": [plan.spec for plan in plans]}
        trials = {"measured_layers": measured, "trial_seconds": round(trial, 1)}
        click.echo(json.dumps(total.spec | trials | layers, indent=2))
        return
    rows = [["layer", "units", "batches", "finished", "failed", "left", "time"]]
    for plan in [*plans, total]:
        spec = plan.spec
        rows.append([str(spec[name]) for name in rows[0][:-1]])
        rows[-1].append(format_duration(plan.seconds or 0))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True)]
        click.echo("  ".join(cells))
    click.echo(
        f"estimated from a trial of {count_of(measured, 'layer')} in {trial:.0f} s; "
        "nothing was written",
        err=True,
    )


def join_first(texts: Sequence[str]) -> str:
    """Join the first texts, with dots if there are more."""
    return ", ".join(texts[:_NAMED]) + ", ..." * (len(texts) > _NAMED)
