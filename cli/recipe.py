"""The making of an atlas, as the command line shows it."""

import time
from typing import Any

import click

from tfviz._errors import count_of
from tfviz.analysis.dataset_examples import RespondTo
from tfviz.cli.console import defer_interrupt
from tfviz.cli.examples import ExamplesProgress
from tfviz.cli.output import INTERRUPTED, TIME, end_early, report_failures, show_run
from tfviz.cli.plan import announce, print_plans
from tfviz.cli.progress import LateProgress
from tfviz.runs.recipe import EXAMPLES, Recipe
from tfviz.runs.run import Batches, Run, make_batches
from tfviz.runs.work import Work


def make_atlas(
    recipe: Recipe,
    *,
    model: str,
    max_seconds: float | None = None,
    batches: Batches = make_batches,
    respond_to: RespondTo | None = None,
    **of_site: Any,
) -> None:
    """Make the parts of an atlas that are missing, and print where its site is.

    Args:
        recipe: The recipe.
        model: The name or path of the model, for the manifests.
        max_seconds: The time after which no further batch is begun.
        batches: What makes the pictures.
        respond_to: As for `tfviz.dataset_examples`.
        **of_site: Other arguments of `tfviz.build_atlas`, such as the title.

    Raises:
        click.ClickException: If the work was interrupted, or pictures failed.
        SystemExit: With the code `TIME_IS_OVER`, if the time is over before all
            pictures are made.
    """
    began = time.monotonic()
    deadline = None if max_seconds is None else began + max_seconds
    runs: dict[str, Run] = {}
    with (
        defer_interrupt("batch") as interrupted,
        ExamplesProgress(recipe.source / EXAMPLES, interrupted) as images,
        LateProgress("site file") as building,
    ):

        def is_over() -> bool:
            return deadline is not None and time.monotonic() > deadline

        def collecting(done: int, total: Any) -> None:
            images.note(done, total)
            if is_over() and done < total:
                end_early(TIME, f"{done} of {count_of(total, 'image')} are done")

        def render(name: str, work: Work) -> str | None:
            announce(work, name)
            run = runs[name] = Run(work)
            # Either may have happened while the site was built. A command makes one
            # batch at least, so that a loop of commands comes to an end.
            has_begun = any(earlier.pace.made for earlier in runs.values())
            if run.left and interrupted():
                return INTERRUPTED
            if run.left and has_begun and is_over():
                return TIME
            return show_run(
                run,
                model=model,
                interrupted=interrupted,
                deadline=deadline,
                batches=batches,
            )

        if recipe.needs_examples:
            click.echo(f"examples: {count_of(len(recipe.files), 'image')}", err=True)
        stopped = recipe.make(
            render,
            collecting=collecting,
            building=building,
            respond_to=respond_to,
            **of_site,
        )
    page = recipe.site / "index.html"
    if stopped is not None:
        total = sum(len(work.files) for work in recipe.works.values())
        made = sum(
            len(runs[name].finished if name in runs else work.finished)
            for name, work in recipe.works.items()
        )
        shown = f", and {page} shows them" if page.exists() else ""
        end_early(stopped, f"{made} of {total} pictures are made{shown}")
    if page.exists():
        click.echo(str(page))
    report_failures(list(runs.values()))


def print_recipe(recipe: Recipe) -> None:
    """Print what there is to make, with an estimate of the time for the pictures.

    Args:
        recipe: The recipe.
    """
    if recipe.needs_examples:
        click.echo(
            f"examples: {count_of(len(recipe.files), 'image')} to look at", err=True
        )
    print_plans(recipe.works)
