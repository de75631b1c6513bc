"""The commands. Nothing heavy is imported before the arguments are checked."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

import tfviz
from tfviz.cli import _options as options

DEMO_UNITS = (
    "conv1:4",
    "fire3:10",
    "fire5:6",
    "fire7:12",
    "fire9:300",
    "fire8:20@6,6",
    "fire7",
    "logit:goldfish",
    "logit:lion",
)
DEMO_STEPS = 128


def handled(command: Callable) -> Callable:
    """Turn the library's errors into one line and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        options.one_line_warnings()
        try:
            return command(*args, **kwargs)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            options.fail(_one_line(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            options.fail(
                f"{error.strerror or _one_line(error)}{where}. Finished pictures are "
                "kept; the same command goes on when this is mended."
            )
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            if "MemoryError" not in names and "ResourceExhaustedError" not in names:
                raise
            options.fail("not enough memory. Lower --batch-size or --size.")

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tfviz.__version__, prog_name="tfviz")
def main() -> None:
    """See what the units of a Keras model look for.

    \b
    tfviz demo -o demo
    tfviz render fire8:20 logit:goldfish -o out
    tfviz layers -m keras:MobileNetV2
    """


@main.command()
@click.option("-o", "--output", type=options.OutputFolder(), required=True)
@handled
def demo(output: Path) -> None:
    """Render nine units of the bundled network: pictures and sheet.png.

    \b
    tfviz demo -o demo
    """
    options.make_folder(output)
    adapter = options.load_adapter("squeezenet", None, None, (), False)
    from tfviz._job import Job  # noqa: PLC0415
    from tfviz.cli._render import fill  # noqa: PLC0415

    job = Job(adapter, DEMO_UNITS, steps=DEMO_STEPS)
    fill(job, output, model="squeezenet", suffix=".png", sheet=True)


@main.command(cls=options.Units)
@click.argument("units", metavar="UNIT...", nargs=-1)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Make the picture in FILE again, from its own description.",
)
@click.option(
    "-o", "--output", type=options.OutputFolder(), required=True, help="The folder."
)
@options.model_options
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Gradient steps.",
)
@click.option(
    "--size",
    type=options.Size(),
    help="Of the pictures, in pixels. By default the model's, or 224.",
)
@click.option(
    "--param",
    type=click.Choice(["fourier", "pixels"]),
    default="fourier",
    show_default=True,
    help="How pictures are held.",
)
@click.option(
    "--transforms",
    type=click.Choice(["distill", "lucid", "none"]),
    default="distill",
    show_default=True,
    help="What pictures must survive.",
)
@click.option(
    "--learning-rate",
    type=options.Positive(),
    default=0.05,
    show_default=True,
    help="Of Adam.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="For other ones.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Pictures made at once. By default up to 8.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "webp"]),
    default="png",
    show_default=True,
    help="Of the files; both without loss.",
)
@click.option("--sheet", is_flag=True, help="Also draw all in DIR/sheet.png.")
@click.option("--force", is_flag=True, help="Render again what is finished.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
@handled
def render(  # noqa: PLR0917 (click passes by name)
    ctx: click.Context,
    units: tuple[str, ...],
    source: str | None,
    output: Path,
    suffix: str,
    sheet: bool,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Render a picture of each UNIT into a folder.

    \b
    UNIT is one of
      fire8:20          a channel                 fire8:20@3,4  a neuron (row,column)
      fire8             a whole layer (DeepDream) logit:goldfish, prob:291  a class
      neg:fire8:20      what it responds to least fire8:20+fire9:3  both at once
      fire8:0-15        a range                   'fire*:3'  all layers that match

    Finished pictures are not rendered again, so an interrupted run goes on where it
    was. What was made is listed in DIR/manifest.jsonl.

    \b
    tfviz render fire8:0-511 -o fire8 --size 128
    tfviz render logit:goldfish neg:fire9:3 -o out
    tfviz render --from out/logit-goldfish.png -o again
    """
    if bool(units) == bool(source):
        raise click.UsageError(
            "Give units to render, such as fire8:20, or a picture with --from FILE"
            + (", not both." if units else ".")
        )
    options.make_folder(output)
    from tfviz.cli._render import fill  # noqa: PLC0415

    if source:
        job, model = _job_again(ctx, source)
    else:
        job, model = _job_of(units, settings), settings["model"]
    fill(
        job,
        output,
        model=model,
        suffix=f".{suffix}",
        force=force,
        sheet=sheet,
        as_json=as_json,
    )


@main.command()
@options.model_options
@click.option("--size", type=options.Size(), help="Of the images, in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def layers(size: tuple[int, int] | None, as_json: bool, **model: Any) -> None:
    """List a model's layers: path, units, shape, kind.

    \b
    tfviz layers -m keras:MobileNetV2
    """
    adapter = options.load_adapter(**model)
    found = adapter.layers(size)
    if as_json:
        rows = [
            {"path": f.path, "units": f.units, "shape": f.shape, "kind": f.kind}
            for f in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(layer.path) for layer in found), default=0)
    for layer in found:
        shape = "x".join("?" if n is None else str(n) for n in layer.shape[1:])
        click.echo(
            f"{layer.path:{width}}  {layer.units!s:>6}  {shape:>14}  {layer.kind}"
        )


@main.command()
@options.model_options
@click.argument("image", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@handled
def check(image: str, as_json: bool, **model: Any) -> None:
    """Predict the classes of IMAGE, to see that the preprocessing is right.

    If the five likeliest classes are nonsense, the model gets a range that it was not
    trained on, and its visualizations would be as wrong: see --preprocess.

    \b
    tfviz check goldfish.jpg -m keras:MobileNetV2
    """
    adapter = options.load_adapter(**model)
    import numpy as np  # noqa: PLC0415

    from tfviz import images  # noqa: PLC0415

    picture = images.read(image)
    if adapter.channels == 1:
        picture = picture.mean(axis=-1, keepdims=True)
    picture = images.centre_crop(picture, adapter.size)
    values = np.asarray(adapter.probabilities(picture[None])[0])
    if values.ndim != 1:
        options.fail(
            f"model {adapter.name!r} has an output of shape {values.shape}, not one "
            "number for each class, so there is nothing to name. Render its layers."
        )
    rows = [
        {
            "index": int(i),
            "name": adapter.class_name(int(i)),
            "probability": float(values[i]),
        }
        for i in np.argsort(-values)[:5]
    ]
    if as_json:
        outcome = {"preprocess": adapter.preprocess.name, "top": rows}
        click.echo(json.dumps(outcome, indent=2))
        return
    for row in rows:
        click.echo(f"{row['probability']:7.1%}  {row['index']:4}  {row['name'] or ''}")


def _job_of(units: tuple[str, ...], settings: dict[str, Any]) -> Any:
    adapter = options.load_adapter(
        settings["model"],
        settings["preprocess"],
        settings["labels"],
        settings["custom"],
        settings["allow_unsafe"],
    )
    from tfviz import params, transforms  # noqa: PLC0415
    from tfviz._job import Job  # noqa: PLC0415

    height, width = settings["size"] or adapter.size
    make = {"fourier": params.fourier, "pixels": params.pixels}[settings["param"]]
    return Job(
        adapter,
        units,
        make(height, width, adapter.channels),
        transforms.PRESETS[settings["transforms"]](),
        steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
    )


def _job_again(ctx: click.Context, source: str) -> tuple[Any, str]:
    """Return the job that makes the picture in a file again, and its model."""
    from tfviz import images  # noqa: PLC0415
    from tfviz.cli._again import job_from  # noqa: PLC0415

    own = ("units", "source", "output", "suffix", "sheet", "force", "as_json")
    model = ("model", "preprocess", "labels", "custom", "allow_unsafe")
    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    extra = sorted(given - {*own, *model})
    if extra:
        names = ", ".join("--" + name.replace("_", "-") for name in extra)
        raise click.UsageError(
            f"--from takes {names} from the file. Leave it out, or name the unit "
            "instead of --from."
        )
    spec = images.read_spec(source)
    if not spec or "unit" not in spec:
        raise click.ClickException(
            f"{source} holds no description of a single picture. --from takes a file "
            "that tfviz wrote, not a sheet."
        )
    chosen = {name: ctx.params[name] for name in model if name in given}
    return job_from(spec, chosen)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
