"""What a run of `tfviz render` has to do, and the plan that `--dry-run` prints."""

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from tfviz._storage import AnyPath
from tfviz.cli.console import count_of, format_duration
from tfviz.cli.folder import PictureFolder

# A message names files and failures up to this number.
_NAMED = 5


class Work:
    """What a run has to do: the pictures of a job, and what became of them before.

    Args:
        job: The `tfviz.optimize.job.Job`.
        folder: The folder to write to, which need not exist.
        suffix: The suffix of the files, `.png` or `.webp`.
        force: Whether to render pictures again that are in the folder.
        retry_failed: Whether to try those again that failed before.

    Attributes:
        pictures: The folder.
        files: The file of each picture.
        finished: The places of pictures that are finished.
        failed: The places of pictures that failed before, and are left out.
        plans: The plan by layer.

    Raises:
        ValueError: If the folder contains pictures with other settings.
    """

    def __init__(
        self,
        job: Any,
        folder: AnyPath,
        suffix: str,
        *,
        force: bool = False,
        retry_failed: bool = False,
    ) -> None:
        from tfviz.optimize.plan import plan_layers  # noqa: PLC0415

        self.job = job
        self.pictures = PictureFolder(folder, job.settings)
        self._keys = [(picture.text, picture.repeat) for picture in job.pictures]
        self.pictures.check_settings(self._keys if force else ())
        self.files = self.pictures.choose_files(job.pictures, suffix)
        known, reasons = self.pictures.finished, self.pictures.failed
        self.finished: set[int] = set()
        self.failed: set[int] = set()
        if not force:
            self.finished = {i for i, key in enumerate(self._keys) if key in known}
            for place in self.finished:
                self.files[place] = known[self._keys[place]]
        if not force and not retry_failed:
            self.failed = {i for i, key in enumerate(self._keys) if key in reasons}
        self.plans = plan_layers(job, self.finished, self.failed)

    @property
    def skip(self) -> set[int]:
        """The places of the pictures that are not to be made."""
        return self.finished | self.failed

    def announce(self) -> None:
        """Print what there is to do, and what became of pictures made before."""
        total = len(self.files)
        batches = sum(len(plan.numbers) for plan in self.plans)
        if batches > 1:
            layers = sum(bool(plan.numbers) for plan in self.plans)
            click.echo(
                f"{total - len(self.skip)} pictures to make, in "
                f"{count_of(batches, 'batch')} of {count_of(layers, 'layer')}",
                err=True,
            )
        if self.finished:
            click.echo(
                f"{len(self.finished)} of {total} are finished already", err=True
            )
        lost: dict[str, list[str]] = {"damaged": [], "missing": []}
        for place, key in enumerate(self._keys):
            name = self.files[place].name
            if place in self.finished:
                continue
            if name in self.pictures.damaged:
                lost["damaged"].append(name)
            elif key in self.pictures.listed and key not in self.pictures.finished:
                lost["missing"].append(name)
        for state, names in lost.items():
            if names:
                verb = "is" if len(names) == 1 else "are"
                click.echo(
                    f"{count_of(len(names), 'picture')} {verb} {state} and {verb} made "
                    f"again: {join_first(names)}",
                    err=True,
                )
        if self.failed:
            click.echo(
                f"{len(self.failed)} failed before and are left out; --retry-failed "
                "tries them again",
                err=True,
            )

    def repair_folder(self) -> None:
        """Delete what a killed run left, and make the manifest agree with the files."""
        skip = self.skip
        again = [key for place, key in enumerate(self._keys) if place not in skip]
        self.pictures.repair(again)


def print_plan(work: Work, *, as_json: bool) -> None:
    """Print what a run would do, with an estimate of its time from a short trial.

    Nothing is written.

    Args:
        work: What there is to do.
        as_json: Whether to print JSON instead of a table.
    """
    from tfviz.optimize.plan import LayerPlan, estimate  # noqa: PLC0415

    work.announce()
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
