"""The command `compare`, and how its options become the methods of a comparison."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from tfviz._errors import count_of, did_you_mean
from tfviz._files import describe_lack, find_files
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import defer_interrupt, fail, report_errors, warn
from tfviz.cli.priors import load_prior
from tfviz.cli.progress import LateProgress
from tfviz.optimize.options import PARAMS

# Pairs of a name and of the source of a param, as `--methods` and `--control` give
# them; and pairs of a name and of the value of another option.
Sources = tuple[tuple[str, str], ...]
NamedValues = tuple[tuple[str, Any], ...]

# The most photos that a warning names.
NAMED = 5


# The sections of the help.
_SECTIONS = {
    "Most used options": (
        "--images",
        "--output",
        "--model",
        "--methods",
        "--judge",
        "--steps",
        "--seconds",
        "--seeds",
    ),
    "What is compared": (
        *options.MODEL_SECTION,
        "--control",
        "--controls",
        "--ablations",
        "--range",
        "--encoder",
    ),
    "Where it is written": ("--title", "--no-report", "--json"),
    "Advanced options": ("--seed", "--threads", "--deterministic", "-h", "--help"),
}


@click.command(cls=types.UnitsCommand, sections=_SECTIONS)
@options.model_options
@click.argument("units", metavar="UNIT...", nargs=-1, required=True)
@click.option(
    "--methods",
    type=types.Methods(),
    default="fourier,inverter",
    show_default=True,
    help="The methods to compare, separated by commas: "
    f"{', '.join(types.Methods.names)}, or NAME=PRIOR with a generator's file, the "
    "folder of a SavedModel, or hub:URL.",
)
@options.images_option(
    "The folder of photos to compare with; its subfolders are searched, too."
)
@click.option(
    "--judge",
    "judges",
    type=types.Judge(),
    multiple=True,
    metavar="MODEL",
    help="A network that judges the pictures: efficientnet-lite0, squeezenet, "
    "keras:NAME, or a .keras, .h5 or .tflite file. May be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder for the pictures and results. The same command continues an "
    "interrupted comparison.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    show_default="256",
    help="The number of gradient steps for each picture.",
)
@click.option(
    "--seconds",
    type=types.Positive(),
    help="The time for each picture in seconds, in place of --steps.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="The number of pictures that each method renders of each unit.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed; another seed gives other pictures.",
)
@options.deterministic_option
@click.option(
    "--range",
    "ranges",
    type=types.NamedValue(types.Range()),
    multiple=True,
    help="The values of black and white in the images of the prior NAME: -1,1 after "
    "tanh, 0,1 after a sigmoid. Required for priors from Keras models and SavedModels. "
    "May be given several times.",
)
@click.option(
    "--encoder",
    "encoders",
    type=types.NamedValue(types.ExistingPath()),
    multiple=True,
    help="The encoder from images to latents of the prior NAME, to add photos as the "
    "prior reconstructs them. May be given several times.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Add each method on three copies of the network with random weights, which "
    "also score the pictures. Rendering then takes four times as long.",
)
@click.option(
    "--ablations",
    is_flag=True,
    help="Add each method without its penalty, its projection, the spectrum of its "
    "latents, and its transforms.",
)
@click.option(
    "--control",
    "control_priors",
    type=types.NamedValue(types.PriorSource()),
    multiple=True,
    help="Add a prior of another domain as a control. May be given several times.",
)
@click.option("--title", default="", help="The title of the report.")
@click.option(
    "--no-report", is_flag=True, help="Write only results.json, without report.html."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@report_errors
def compare(
    units: tuple[str, ...],
    *,
    methods: Sources,
    folder: Path,
    judges: tuple[str, ...],
    output: Path,
    ranges: NamedValues,
    encoders: NamedValues,
    controls: bool,
    ablations: bool,
    control_priors: Sources,
    no_report: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare methods on the same UNITs, and measure their pictures.

    Renders each UNIT with each method, with the same number of steps or the same time.
    Writes report.html, results.json and results.csv. If the comparison is
    interrupted, the same command continues it.

    The verdict on a method says whether its pictures are specific to their units:
    whether they score higher for these than the method's pictures of other units do.
    It needs at least five units. It also says whether the pictures are near photos:
    the thresholds come from how far grey pictures, white noise and blurred photos are
    from photos for the same judge.

    \b
    tfviz compare fire3:5 fire5:8 fire8:20 logit:goldfish logit:lion \\
        --images photos -o report --methods fourier,maco --judge efficientnet-lite0
    """
    if None not in (settings["steps"], settings["seconds"]):
        raise click.UsageError("Give either --steps or --seconds, not both.")
    # Pictures of an earlier run are not photos, even if the output folder is inside
    # the folder of photos.
    files = [
        file
        for file in find_files(folder)
        if not file.resolve().is_relative_to(output.resolve())
    ]
    if not files:
        fail(describe_lack(folder))
    options.make_folder(output)
    if not no_report:
        from tfviz.report.rows import check_installed  # noqa: PLC0415

        check_installed()
    model = {name: settings.pop(name) for name in options.MODEL_OPTIONS}
    adapter = options.load_adapter(**model)
    from tfviz import compare as run_comparison  # noqa: PLC0415
    from tfviz import judges as judging  # noqa: PLC0415

    competitors = load_methods(
        adapter,
        methods,
        control_priors,
        allow_unsafe=model["allow_unsafe"],
        value_range=values_by_prior("--range", ranges, methods, control_priors),
        encoder=values_by_prior("--encoder", encoders, methods, control_priors),
    )
    competitors = add_controls(
        adapter, competitors, controls=controls, ablations=ablations
    )
    panel = [judging.load(source) for source in judges]
    with (
        defer_interrupt("unit") as interrupted,
        _CompareProgress(output, interrupted, settings["seeds"]) as progress,
    ):
        comparison = run_comparison(
            adapter,
            list(units),
            competitors,
            images=_read_photos(files),
            judges=panel,
            folder=output,
            command=shlex.join(["tfviz", *sys.argv[1:]]),
            callbacks=[progress.note],
            **settings,
        )
    page = output / "results.json" if no_report else comparison.save()
    _print_outcome(comparison, page, as_json=as_json)


def values_by_prior(
    option: str, values: NamedValues, *sources: Sources
) -> dict[str, Any]:
    """Return the values of an option by the names of the priors they belong to.

    Args:
        option: The name of the option, for the error message.
        values: Pairs of the name of a prior and a value.
        *sources: The methods and the controls of the comparison.

    Raises:
        click.UsageError: If a name is not that of a prior in the comparison.
    """
    pairs = [pair for group in sources for pair in group]
    priors = [name for name, source in pairs if source not in PARAMS]
    for name, _ in values:
        if name not in priors:
            raise click.UsageError(
                f"{option} names {name!r}, which is not a prior of this comparison."
                f"{did_you_mean(name, priors)} Its priors: "
                f"{', '.join(priors) or 'none'}."
            )
    return dict(values)


def load_methods(
    adapter: Any,
    methods: Sources,
    control_priors: Sources,
    *,
    allow_unsafe: bool = False,
    **prior_options: dict[str, Any],
) -> dict[str, Any]:
    """Return the `tfviz.Contender` of each method and of each control, by name.

    Args:
        adapter: The adapter of the network that is visualized.
        methods: The methods: names, and names of params or sources of priors.
        control_priors: The priors of other domains: names and sources.
        allow_unsafe: Whether the files of priors may contain Python code.
        **prior_options: For each option of `load_prior`, its values by the names of
            the priors.
    """
    from tfviz import Contender  # noqa: PLC0415
    from tfviz.cli.render import make_param  # noqa: PLC0415
    from tfviz.comparison.kinship import is_trained_with  # noqa: PLC0415

    twice = {name for name, _ in methods} & {name for name, _ in control_priors}
    if twice:
        raise click.UsageError(
            f"--control {min(twice)} has the name of a method. Choose another name."
        )

    def load(name: str, source: str) -> Any:
        own: dict[str, Any] = {
            option: values.get(name) for option, values in prior_options.items()
        } | {"allow_unsafe": allow_unsafe}
        prior = load_prior(source, **own)
        related = is_trained_with(prior, adapter.fingerprint())
        if source.endswith(".npz") and related:
            # An inverter encodes photos with the network that it was trained on. Its
            # file may not say where to load that from, but here it is.
            prior = load_prior(source, network=adapter, **own)
        return prior

    height, width = adapter.size
    competitors = {}
    for name, source in methods:
        if source in PARAMS:
            param = make_param(source, height, width, adapter)
        else:
            param = load(name, source)
        competitors[name] = Contender(param)
    for name, source in control_priors:
        competitors[name] = Contender(
            load(name, source),
            kind="control",
            description="A prior of another domain.",
        )
    return competitors


def add_controls(
    adapter: Any, competitors: dict[str, Any], *, controls: bool, ablations: bool
) -> dict[str, Any]:
    """Return the competitors, with controls and ablations of each method.

    Args:
        adapter: The adapter of the network that is visualized.
        competitors: The methods, and other controls.
        controls: Whether to add each method on networks with random weights.
        ablations: Whether to add each method without each of its parts.
    """
    from tfviz.comparison.methods import ablations as without  # noqa: PLC0415
    from tfviz.comparison.methods import (  # noqa: PLC0415
        on_random_weights,
        random_networks,
    )

    extended = dict(competitors)
    methods = {n: c for n, c in competitors.items() if c.kind == "method"}
    if controls:
        networks = random_networks(adapter)
        for name, method in methods.items():
            extended |= on_random_weights(name, method, networks)
    if ablations:
        for name, method in methods.items():
            extended |= without(name, method)
    return extended


def _read_photos(files: list[Path]) -> Iterator[Any]:
    """Yield the photos one at a time, and warn at the end about unreadable files."""
    left_out: list[Path] = []
    yield from options.read_photos(files, left_out.append)
    if left_out:
        names = ", ".join(str(file) for file in left_out[:NAMED])
        warn(
            f"{len(left_out)} of {count_of(len(files), 'image')} cannot be read and "
            f"{'is' if len(left_out) == 1 else 'are'} left out: {names}"
            + ", ..."
            * (len(left_out) > NAMED)
        )


class _CompareProgress(LateProgress):
    """A callback that shows the progress, and stops after a unit on Ctrl-C.

    Args:
        output: The folder of the comparison, for the message.
        interrupted: A function that says whether Ctrl-C has been pressed.
        seeds: The number of pictures of a unit, which are rendered together.
    """

    def __init__(
        self, output: Path, interrupted: Callable[[], bool], seeds: int
    ) -> None:
        super().__init__("picture")
        self._output, self._interrupted, self._seeds = output, interrupted, seeds
        self._has_begun = self._is_judging = False

    def note(self, at: Any) -> None:
        """Show what is rendered next, and stop if Ctrl-C has been pressed.

        Raises:
            click.ClickException: If it has.
        """
        from tfviz.comparison.compare import JUDGING  # noqa: PLC0415

        if at.stage == JUDGING:
            self._note_judging(at)
            return
        if at.step:
            self._show_steps(at)
            return
        # A command renders one unit at least, so that a loop of commands ends.
        if self._has_begun and self._interrupted():
            fail(
                f"Interrupted: {at.done} of {count_of(at.total, 'picture')} are in "
                f"{self._output}. The same command goes on from here."
            )
        self._has_begun = True
        self(at.done, at.total, f"{at.method}  {at.unit}")
        line = f"{at.done}/{at.total}  {at.method}  {at.unit}  {self.left}"
        self.print_line(line.rstrip())

    def _show_steps(self, at: Any) -> None:
        """Show the steps within the pictures of a unit."""
        step, share = f"step {at.step}", 0.0
        if at.steps is not None:
            # Saving the pictures comes after the last step.
            step, share = f"{step} of {at.steps}", at.step / (at.steps + 1)
        self(
            at.done + min(self._seeds, at.total - at.done) * share,
            at.total,
            f"{step}  {at.method}  {at.unit}",
            count=f"{at.done}/{count_of(at.total, 'picture')}",
        )

    def _note_judging(self, at: Any) -> None:
        """Show the method whose pictures are judged."""
        if not self._is_judging:
            self(at.total, at.total)
            click.echo("Judging the pictures.", err=True)
            self._is_judging = True
        self(
            at.done,
            at.total,
            at.method,
            count=f"{at.done}/{count_of(at.total, 'picture')} judged",
        )


def _print_outcome(comparison: Any, page: Path, *, as_json: bool) -> None:
    """Print the verdicts and where the report is, or the summary as JSON."""
    results = comparison.results
    failed = {row["method"]: row["error"] for row in results["rows"] if row["error"]}
    for method, error in failed.items():
        warn(f"{method} failed: {error}")
    if as_json:
        keys = ("summary", "differences", "verdicts", "rule")
        summary = {key: results[key] for key in keys} | {"failed": failed}
        click.echo(json.dumps(summary, indent=2))
        return
    for row in results["verdicts"]:
        click.echo(f"{row['method']}: {row['verdict']}")
        for reason in row["because"]:
            click.echo(f"  {reason}")
    click.echo(str(page))
