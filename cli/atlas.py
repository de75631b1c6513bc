"""The command `atlas`: a site to browse the units of a network."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import fail, report_errors

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--pictures",
    type=_FOLDER,
    multiple=True,
    metavar="DIR",
    help="A folder of pictures that `tfviz render` wrote, or of such folders. May be "
    "given several times.",
)
@click.option(
    "--examples",
    "examples_file",
    type=_FILE,
    metavar="FILE",
    help="The dataset examples of the units, as `tfviz examples` writes them.",
)
@options.images_option(
    "The folder of the images of the examples, if they have moved.", required=False
)
@click.option(
    "--network",
    "network_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    show_default="network.json in the first folder of pictures, or beside the examples",
    help="The facts about the network: its layers, its classes and the weights of its "
    "last layer. With -m they are gathered from the model and written to FILE.",
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
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder to write the site to: new, empty, or an atlas to be continued.",
)
@options.model_options
@click.pass_context
@report_errors
def atlas(
    ctx: click.Context,
    *,
    pictures: tuple[Path, ...],
    examples_file: Path | None,
    folder: Path | None,
    network_file: Path | None,
    judged: Path | None,
    title: str,
    output: Path,
    **model: Any,
) -> None:
    """Build a site to browse the units of a network.

    The site opens from disk and from any web server. It is made from pictures and
    dataset examples that exist; nothing is rendered. The same command continues an
    interrupted build, and updates the site if there are more pictures.

    \b
    tfviz render fire8:0-511 -o atlas/positive --size 128
    tfviz render neg:fire8:0-511 -o atlas/negative --size 128
    tfviz atlas --pictures atlas/positive --pictures atlas/negative \\
        -m squeezenet -o site
    """
    if not pictures and examples_file is None:
        raise click.UsageError(
            "Give what to show: --pictures DIR, --examples FILE, or both."
        )
    from tfviz.site.folder import check_folder  # noqa: PLC0415
    from tfviz.site.pages import check_installed  # noqa: PLC0415

    check_installed()
    check_folder(output)
    options.make_folder(output)
    has_model = (
        ctx.get_parameter_source("model") is click.core.ParameterSource.COMMANDLINE
    )
    network = _network(
        model if has_model else None,
        network_file,
        [*pictures, *([examples_file.parent] if examples_file else [])],
    )
    from tfviz.site.build import atlas as build  # noqa: PLC0415

    with click.progressbar(length=1, label="files", file=sys.stderr) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        page = build(
            output,
            pictures,
            network=network,
            examples=_load_examples(examples_file) if examples_file else None,
            images=folder,
            judged=_read_judged(judged) if judged else None,
            title=title,
            progress=show,
        )
    click.echo(str(page))


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
