"""The command that compares methods."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tfviz._errors import did_you_mean
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import clock, fail, handled, until_interrupted
from tfviz.cli.priors import load_prior
from tfviz.optimize.options import PARAMS


def named(
    option: str,
    given: tuple[tuple[str, Any], ...],
    *contenders: tuple[tuple[str, str], ...],
) -> dict[str, Any]:
    """Return what an option says of priors, by their names."""
    names = [name for group in contenders for name, of in group if of not in PARAMS]
    for name, _ in given:
        if name not in names:
            raise click.UsageError(
                f"{option} is of {name!r}, which is no prior that takes part."
                f"{did_you_mean(name, names)} There are: {', '.join(names) or 'none'}."
            )
    return dict(given)


def loaded(
    adapter: Any,
    methods: tuple[tuple[str, str], ...],
    wrong: tuple[tuple[str, str], ...],
    **told: dict[str, Any],
) -> dict[str, Any]:
    """Return the methods, and the priors of other domains.

    Args:
        adapter: Of the network.
        methods: Names and what they are.
        wrong: Names and priors.
        **told: Options of `load_prior`, by the names of priors.
    """
    from tfviz import Contender  # noqa: PLC0415
    from tfviz.cli.render import make_param  # noqa: PLC0415

    twice = {name for name, _ in methods} & {name for name, _ in wrong}
    if twice:
        raise click.UsageError(
            f"--control {min(twice)} has the name of a method. Give it another."
        )

    def prior(name: str, source: str) -> Any:
        options: dict[str, Any] = {option: of.get(name) for option, of in told.items()}
        found = load_prior(source, **options)
        network = (found.trained or {}).get("network")
        if source.endswith(".npz") and network == adapter.fingerprint():
            # An inverter looks at photos with it, and its file may not name it.
            found = load_prior(source, network=adapter, **options)
        return found

    height, width = adapter.size
    found = {}
    for name, source in methods:
        if source in PARAMS:
            param = make_param(source, height, width, adapter)
            found[name] = Contender(param)
        else:
            found[name] = Contender(prior(name, source))
    for name, source in wrong:
        found[name] = Contender(
            prior(name, source),
            kind="control",
            description="A prior of another domain.",
        )
    return found


def with_controls(
    adapter: Any, contenders: dict[str, Any], *, controls: bool, ablations: bool
) -> dict[str, Any]:
    """Return contenders with each method on random weights, and without its parts."""
    from tfviz.comparison.methods import ablations as without  # noqa: PLC0415
    from tfviz.comparison.methods import on_random_weights, randomized  # noqa: PLC0415

    found = dict(contenders)
    methods = {n: c for n, c in contenders.items() if c.kind == "method"}
    if controls:
        random = randomized(adapter)
        for name, contender in methods.items():
            found |= on_random_weights(name, contender, random)
    if ablations:
        for name, contender in methods.items():
            found |= without(name, contender)
    return found


# Photos that are left out are named up to this number.
NAMED = 5


@click.command(cls=types.Units)
@options.model_options
@click.argument("units", metavar="UNIT...", nargs=-1, required=True)
@click.option(
    "--methods",
    type=types.Methods(),
    default="fourier,inverter",
    show_default=True,
    help=f"Comma-separated: {', '.join(types.Methods.known)}, or NAME=PRIOR for a "
    "generator's file or handle.",
)
@options.images_option("Photos to compare with, also in folders inside.")
@click.option(
    "--judge",
    "judges",
    type=types.Judge(),
    multiple=True,
    metavar="MODEL",
    help="A network that judges: keras:NAME, a .keras, .h5 or .tflite file. May be "
    "given several times.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="A folder; the same command goes on with what is there.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Of each picture.  [256]")
@click.option(
    "--seconds",
    type=types.Positive(),
    help="For each picture, instead of --steps.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Pictures of each unit by each method.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--range",
    "ranges",
    type=types.Named(types.Range()),
    multiple=True,
    help="What black and white are in the images of a prior of --methods or --control, "
    "NAME=LO,HI: -1,1 after tanh, 0,1 after a sigmoid. Needed for Keras models and "
    "SavedModels.",
)
@click.option(
    "--encoder",
    "encoders",
    type=types.Named(click.Path(exists=True)),
    multiple=True,
    help="From images to the latents of a prior, NAME=FILE, to show photos as it "
    "reconstructs them.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Also each method on the same network with random weights.",
)
@click.option(
    "--ablations",
    is_flag=True,
    help="Also each method without its penalty, projection, waves, transforms.",
)
@click.option(
    "--control",
    "wrong",
    type=types.Named(types.PriorSource()),
    multiple=True,
    help="A prior of another domain, NAME=PRIOR. May be given several times.",
)
@click.option("--title", default="", help="Of the report.")
@click.option("--no-report", is_flag=True, help="Write results.json alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@handled
def compare(
    units: tuple[str, ...],
    *,
    methods: tuple[tuple[str, str], ...],
    folder: Path,
    judges: tuple[str, ...],
    output: Path,
    ranges: tuple[tuple[str, Any], ...],
    encoders: tuple[tuple[str, Any], ...],
    controls: bool,
    ablations: bool,
    wrong: tuple[tuple[str, str], ...],
    no_report: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Render the same UNITs by several methods, and judge them alike.

    \b
    tfviz compare fire3:5 fire5:8 fire8:20 logit:goldfish logit:lion \\
        --images photos -o report --methods fourier,maco --judge keras:MobileNetV2

    Writes report.html, results.json and results.csv. An interrupted comparison goes on
    where it was.
    """
    if None not in (settings["steps"], settings["seconds"]):
        raise click.UsageError("Give either --steps or --seconds.")
    # Not what an earlier run wrote, where the output is among the photos.
    files = [
        file
        for file in options.files_in(folder, types.PICTURES)
        if not file.resolve().is_relative_to(output.resolve())
    ]
    if not files:
        fail(f"there are no images in {folder}.")
    options.make_folder(output)
    if not no_report:
        from tfviz.report.rows import check_installed  # noqa: PLC0415

        check_installed()
    model = {name: settings.pop(name) for name in options.MODEL_OPTIONS}
    adapter = options.load_adapter(**model)
    from tfviz import compare as run  # noqa: PLC0415
    from tfviz import judges as judging  # noqa: PLC0415

    own = loaded(
        adapter,
        methods,
        wrong,
        value_range=named("--range", ranges, methods, wrong),
        encoder=named("--encoder", encoders, methods, wrong),
    )
    contenders = with_controls(adapter, own, controls=controls, ablations=ablations)
    panel = [judging.load(source) for source in judges]
    with until_interrupted("unit") as interrupted:
        found = run(
            adapter,
            list(units),
            contenders,
            images=_photos(files),
            judges=panel,
            folder=output,
            command=shlex.join(["tfviz", *sys.argv[1:]]),
            callbacks=[_Lines(output, interrupted)],
            **settings,
        )
    page = output / "results.json" if no_report else found.save()
    _tell(found, page, as_json=as_json)


def _photos(files: list[Path]) -> Iterator[Any]:
    """Yield the photos that can be read, one at a time; name the others at the end."""
    left_out: list[Path] = []
    yield from options.read_photos(files, left_out.append)
    if left_out:
        named = ", ".join(str(file) for file in left_out[:NAMED])
        click.echo(
            f"Warning: {len(left_out)} of {len(files)} images cannot be read and are "
            f"left out: {named}" + ", ..." * (len(left_out) > NAMED),
            err=True,
        )


class _Lines:
    """Progress: a line for each batch; Ctrl-C ends the work after one."""

    def __init__(self, output: Path, interrupted: Any) -> None:
        self._output, self._interrupted = output, interrupted
        self._began: tuple[float, int] | None = None

    def __call__(self, at: Any) -> None:
        from tfviz.comparison.compare import JUDGING  # noqa: PLC0415

        now = time.monotonic()
        if at.method == JUDGING:
            click.echo("judging the pictures", err=True)
            return
        # The first batch takes its compilation with it.
        before, first = self._began or (now, at.done)
        self._began = (before, first)
        left = ""
        if at.done > first:
            rest = (at.total - at.done) * (now - before) / (at.done - first)
            left = f"  {clock(rest)} left"
        click.echo(f"{at.done}/{at.total}  {at.method}{left}", err=True)
        if self._interrupted() and at.done < at.total:
            raise click.ClickException(
                f"interrupted: {at.done} of {at.total} pictures are in "
                f"{self._output}. The same command goes on from here."
            )


def _tell(found: Any, page: Path, *, as_json: bool) -> None:
    failed = {
        row["method"]: row["error"] for row in found.results["rows"] if row["error"]
    }
    for method, error in failed.items():
        click.echo(f"Warning: {method} failed: {error}", err=True)
    if as_json:
        kept = ("summary", "differences", "verdicts", "rule")
        told = {name: found.results[name] for name in kept} | {"failed": failed}
        click.echo(json.dumps(told, indent=2))
        return
    for told in found.results["verdicts"]:
        click.echo(f"{told['method']}: {told['verdict']}")
        for reason in told["because"]:
            click.echo(f"  {reason}")
    click.echo(str(page))
