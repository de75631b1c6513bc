"""The command `atlas`: a site to browse the units of a network."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import SiteProgress, fail, report_errors
from tfviz.cli.priors import OPTION_OF, load_prior, prior_options
from tfviz.cli.ray_options import (
    make_batches_of,
    open_cluster,
    ray_options,
    respond_to_of,
    unsent,
)
from tfviz.optimize.options import PARAMS
from tfviz.runs.lock import lock_folder

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

# Options that say how pictures are rendered, so that they contradict those of a site
# that is built from what exists.
_OF_RENDERING = {
    "params": "--param",
    "negative": "--no-negative",
    "steps": "--steps",
    "size": "--size",
    "seed": "--seed",
    "deterministic": "--deterministic",
    "batch_size": "--batch-size",
    "retry_failed": "--retry-failed",
    "max_seconds": "--max-seconds",
    "dry_run": "--dry-run",
    "ray_address": "--ray",
    **OPTION_OF,
}


@click.command(cls=types.UnitsCommand)
@click.argument("units", metavar="[UNIT...]", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder to write the site to: new, empty, or an atlas to be continued.",
)
@options.model_options
@options.images_option(
    "A folder of images, also in subfolders, of which each unit's examples are shown. "
    "With --examples, where the images of the examples are now, if they have moved.",
    required=False,
)
@click.option(
    "--param",
    "params",
    type=types.PriorSource(*PARAMS),
    multiple=True,
    default=("fourier",),
    show_default="fourier",
    help="What makes the pictures, as for `tfviz render`. May be given several times: "
    "the first stands for a unit wherever it is shown small, and each further one, "
    "such as the learned prior inverter, adds a picture of each unit.",
)
@prior_options
@click.option(
    "--no-negative",
    "negative",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave out the pictures of what each channel responds to least.",
)
@options.steps_option
@click.option(
    "--size",
    type=types.Size(),
    show_default="the model's input size, or 224",
    help="The size of the pictures in pixels: N for a square, or HEIGHTxWIDTH. "
    "Pictures of learned priors have the size of the prior.",
)
@options.seed_option
@options.deterministic_option
@options.batch_size_option
@options.long_run_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print how many pictures each run makes of each layer, and how long they will "
    "take, estimated from a trial of about 20 seconds for each run. Nothing is "
    "written.",
)
@click.option(
    "--pictures",
    type=_FOLDER,
    multiple=True,
    metavar="DIR",
    help="Render nothing, and show the pictures in a folder that `tfviz render` wrote, "
    "or in its subfolders. May be given several times.",
)
@click.option(
    "--examples",
    "examples_file",
    type=_FILE,
    metavar="FILE",
    help="Render nothing, and show the dataset examples in the file that `tfviz "
    "examples` wrote.",
)
@click.option(
    "--network",
    "network_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    show_default="network.json in the first folder of pictures, or beside the examples",
    help="With --pictures or --examples: the facts about the network, which are its "
    "layers, its classes and the weights of its last layer. With -m they are gathered "
    "from the model and written to FILE.",
)
@click.option(
    "--judged",
    type=_FILE,
    metavar="FILE",
    help="A JSON file with the machine two-alternative value of each unit: "
    '{"fire8:20": 0.93}.',
)
@click.option(
    "--title",
    default="",
    show_default="the model's name",
    help="The title of the site.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=88,
    show_default=True,
    help="The quality of the large pictures and of the images on the site; a lower one "
    "makes a smaller site.",
)
@ray_options
@click.pass_context
@report_errors
def atlas(
    ctx: click.Context,
    *,
    units: tuple[str, ...],
    output: Path,
    folder: Path | None,
    pictures: tuple[Path, ...],
    examples_file: Path | None,
    network_file: Path | None,
    judged: Path | None,
    title: str,
    quality: int,
    **settings: Any,
) -> None:
    """Make a site to browse the units of a network.

    Renders a picture of each UNIT and, for a channel, of what it responds to least;
    finds the images that it responds to, if there are --images; and builds a site of
    pages, which opens from disk and from any web server. UNIT is a channel or a class
    as for `tfviz render`, such as fire8:20, 'fire8:*' or 'logit:*'. With -m and no
    UNIT, the atlas shows all channels of the layers that differ from each other, and
    all classes.

    The site is built after each part of the work, so it can be browsed while the rest
    is made. If the command is interrupted, the same command continues. More units,
    images or params extend the atlas. What the site is made from is in DIR/source,
    which need not be published.

    With --pictures or --examples nothing is rendered: the site shows what other
    commands have made.

    \b
    tfviz atlas 'fire8:*' --size 128 -o site
    tfviz atlas -m squeezenet --images photos --size 128 -o site --dry-run
    tfviz atlas -m mine.keras --images photos --param fourier --param inverter -o site
    tfviz atlas -m mine.keras -o /shared/site --ray 10.0.0.5:6379
    tfviz atlas --pictures fire8 --pictures fire8-negative -m squeezenet -o site
    """
    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    builds = bool(pictures or examples_file)
    _check_usage(given, builds=builds)
    from tfviz.site.folder import check_folder  # noqa: PLC0415
    from tfviz.site.pages import check_installed  # noqa: PLC0415

    check_installed()
    check_folder(output)
    of_site: dict[str, Any] = {
        "title": title,
        "quality": quality,
        "judged": _read_judged(judged) if judged else None,
    }
    is_dry = settings["dry_run"]
    if not is_dry:
        options.make_folder(output)
    refused = {"dry_run": is_dry} | unsent(settings)
    # Before the model is loaded, so that a second command does not wait for it.
    with (
        open_cluster(settings, **refused) as cluster,
        nullcontext() if is_dry else lock_folder(output),
    ):
        if not builds:
            _make(units, output, folder, settings, cluster=cluster, of_site=of_site)
            return
        model = {name: settings[name] for name in options.MODEL_OPTIONS}
        network = _network(
            model if "model" in given else None,
            network_file,
            [*pictures, *([examples_file.parent] if examples_file else [])],
        )
        from tfviz.site.build import build_atlas  # noqa: PLC0415

        page = build_atlas(
            output,
            pictures,
            network=network,
            examples=_load_examples(examples_file) if examples_file else None,
            images=folder,
            progress=SiteProgress(),
            **of_site,
        )
    click.echo(str(page))


def _check_usage(given: set[str], *, builds: bool) -> None:
    """Refuse options that contradict each other.

    Args:
        given: The names of the parameters on the command line.
        builds: Whether the site is built from what exists.

    Raises:
        click.UsageError: If some do.
    """
    if builds:
        extra = ["UNIT"] * ("units" in given)
        extra += [text for name, text in _OF_RENDERING.items() if name in given]
        if extra:
            raise click.UsageError(
                "With --pictures or --examples nothing is rendered, so leave out "
                f"{', '.join(extra)}; or leave out --pictures and --examples, and the "
                "pictures are rendered."
            )
    elif "network_file" in given:
        raise click.UsageError(
            "--network is for sites of --pictures or --examples; otherwise the facts "
            "are gathered from the model. Leave it out."
        )
    elif not given & {"units", "model"}:
        raise click.UsageError(
            "Give what to show: units such as 'fire8:*', or -m MODEL for a whole "
            "network; or what exists, by --pictures DIR, --examples FILE, or both."
        )


def _make(
    units: tuple[str, ...],
    output: Path,
    images: Path | None,
    settings: dict[str, Any],
    *,
    cluster: Any,
    of_site: dict[str, Any],
) -> None:
    """Make an atlas, or print the plan of it."""
    of_prior = {name: settings[name] for name in OPTION_OF}
    unused = [OPTION_OF[name] for name, value in of_prior.items() if value]
    if unused and all(name in PARAMS for name in settings["params"]):
        raise click.UsageError(
            f"{', '.join(unused)} is for learned priors. Name one by --param."
        )
    adapter = options.load_adapter(
        **{name: settings[name] for name in options.MODEL_OPTIONS}
    )
    from tfviz.cli.recipe import make_atlas, print_recipe  # noqa: PLC0415
    from tfviz.optimize.options import Options  # noqa: PLC0415
    from tfviz.runs.recipe import Recipe  # noqa: PLC0415

    of_options = ("steps", "seed", "batch_size", "deterministic")
    recipe = Recipe(
        adapter,
        output,
        list(units) or None,
        images=images,
        params=[
            name
            if name in PARAMS
            else load_prior(name, **of_prior, allow_unsafe=settings["allow_unsafe"])
            for name in settings["params"]
        ],
        negative=settings["negative"],
        size=settings["size"],
        options=Options(**{name: settings[name] for name in of_options}),
        retry_failed=settings["retry_failed"],
    )
    if settings["dry_run"]:
        print_recipe(recipe)
        return
    make_atlas(
        recipe,
        model=settings["model"],
        max_seconds=settings["max_seconds"],
        batches=make_batches_of(cluster, settings),
        respond_to=respond_to_of(cluster, settings),
        **of_site,
    )


def _network(
    model: dict[str, Any] | None, file: Path | None, folders: list[Path]
) -> Any:
    """Return the facts about the network, from the model or from a file.

    Args:
        model: The options of the model, or None if none is given.
        file: The file of the facts; None for the usual one.
        folders: The folders in which the usual file may be.

    Returns:
        The `tfviz.site.facts.NetworkFacts`, or None if neither is there.
    """
    from tfviz.site import facts  # noqa: PLC0415

    usual = [place / facts.FILE for place in folders]
    if model is not None:
        from tfviz.analysis.network import network_facts  # noqa: PLC0415

        network = network_facts(options.load_adapter(**model))
        network.save(file or usual[0])
        return network
    if file is not None:
        return facts.load(file)
    found = next((path for path in usual if path.is_file()), None)
    return None if found is None else facts.load(found)


def _load_examples(file: Path) -> Any:
    """Return the dataset examples in a file."""
    from tfviz.analysis.examples_file import load_examples  # noqa: PLC0415

    return load_examples(file)


def _read_judged(file: Path) -> dict[str, float]:
    """Return the values of units in a JSON file."""
    try:
        values = json.loads(file.read_bytes())
        return {str(unit): float(value) for unit, value in values.items()}
    except (ValueError, TypeError, AttributeError) as error:
        fail(
            f"{str(file)!r} does not hold a number for each unit, such as "
            f'{{"fire8:20": 0.93}} ({error}).'
        )
