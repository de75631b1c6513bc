"""The commands that make pictures of units."""

from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import handled
from tfviz.cli.priors import OPTION_OF, load_prior, prior_options
from tfviz.optimize.options import (
    ADAM,
    NORMALIZED,
    OPTIMIZERS,
    PARAMS,
    STEPS,
    TRANSFORMS,
)

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


@click.command()
@click.option("-o", "--output", type=types.OutputFolder(), required=True)
@handled
def demo(output: Path) -> None:
    """Render nine units of the bundled network: pictures and sheet.png.

    \b
    tfviz demo -o demo
    """
    options.make_folder(output)
    adapter = options.load_adapter("squeezenet")
    from tfviz.cli.output import fill  # noqa: PLC0415
    from tfviz.optimize.job import Job  # noqa: PLC0415
    from tfviz.optimize.options import Options  # noqa: PLC0415

    job = Job(adapter, DEMO_UNITS, options=Options(steps=DEMO_STEPS))
    fill(job, output, model="squeezenet", suffix=".png", sheet=True)


@click.command(cls=types.Units)
@click.argument("units", metavar="UNIT...", nargs=-1)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Make the picture in FILE again, from its own description.",
)
@click.option(
    "-o", "--output", type=types.OutputFolder(), required=True, help="The folder."
)
@options.model_options
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=STEPS,
    show_default=True,
    help="Gradient steps.",
)
@click.option(
    "--size",
    type=types.Size(),
    help="Of the pictures, in pixels. By default the model's, or 224.",
)
@click.option(
    "--param",
    type=types.PriorSource(*PARAMS),
    default="fourier",
    show_default=True,
    help="How pictures are held: fourier, pixels, maco, laplacian, cppn; or a learned "
    "prior: inverter, autoencoder, a generator's file, a SavedModel's folder, hub:URL.",
)
@prior_options
@click.option(
    "--statistics",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Colours, and for maco waves, that `tfviz calibrate` measured. By default "
    "those of photos.",
)
@click.option(
    "--transforms",
    type=click.Choice(TRANSFORMS),
    help="What pictures must survive. By default distill; maco for maco, and gentle "
    "for learned priors.",
)
@click.option(
    "--penalty",
    "penalties",
    type=types.Penalty(),
    multiple=True,
    help="Subtract WEIGHT times total_variation, l1, l2, high_frequency or "
    "blur_difference from the score.",
)
@click.option(
    "--diverse",
    type=click.IntRange(min=2),
    metavar="N",
    help="Make N pictures of each unit that differ from each other.",
)
@click.option(
    "--diversity",
    type=types.Positive(),
    help="The weight of the difference, in units of the score: about what a unit "
    "reaches by itself.",
)
@click.option(
    "--diversity-layer",
    metavar="LAYER",
    help="Where pictures are compared. By default the unit's own layer.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    help="Of the optimizer. By default 0.05, or what suits a prior.",
)
@click.option(
    "--optimizer",
    type=click.Choice([*OPTIMIZERS, NORMALIZED]),
    default=ADAM,
    show_default=True,
    help="What moves the pictures; normalized: steps of one size, as in DGN-AM.",
)
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    metavar="N",
    help="Draw N starts for each picture and take the best. By default 1, or what "
    "suits a prior.",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Make each picture N times and keep the best.",
)
@click.option(
    "--gradient-blur",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Blur the gradient by this many pixels.",
)
@click.option(
    "--normalize-gradient",
    is_flag=True,
    help="Scale each picture's gradient to the same size.",
)
@click.option(
    "--smooth-pools",
    is_flag=True,
    help="Share the gradient of max-pools among their inputs.",
)
@click.option(
    "--alpha",
    is_flag=True,
    help="Write how much each pixel mattered as transparency, as for maco.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Start all pictures from this image instead of from grey.",
)
@click.option(
    "--plateau",
    is_flag=True,
    help="Stop where the score no longer rises.",
)
@click.option(
    "--seconds",
    type=types.Positive(),
    help="Stop a batch of pictures after this time.",
)
@click.option(
    "--target",
    type=float,
    help="Stop where the unit responds this much.",
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
    from tfviz.cli.output import fill  # noqa: PLC0415

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


def _job_of(units: tuple[str, ...], settings: dict[str, Any]) -> Any:
    """Return the job that renders units as the options say."""
    if settings["diverse"] is not None and settings["diversity"] is None:
        raise click.UsageError(
            "--diverse needs the weight of the difference: --diversity. In Python, "
            "tfviz.diverse searches for it."
        )
    if settings["diverse"] is None and (
        settings["diversity"] is not None or settings["diversity_layer"] is not None
    ):
        raise click.UsageError("--diversity needs the number of pictures: --diverse.")
    adapter = options.load_adapter(
        **{name: settings[name] for name in options.MODEL_OPTIONS}
    )
    from tfviz import transforms  # noqa: PLC0415
    from tfviz.models.inputs import fit_photo  # noqa: PLC0415
    from tfviz.optimize.job import Job  # noqa: PLC0415
    from tfviz.views import with_channels  # noqa: PLC0415

    param = _param_of(adapter, settings)
    start = settings["start"]
    if start is not None:
        start = with_channels(
            fit_photo(adapter, start, param.shape[:2])[None], param.shape[2]
        )
    preset = settings["transforms"]
    return Job(
        adapter,
        list(units),
        param,
        transforms.PRESETS[preset]() if preset else None,
        _options_of(settings),
        start=start,
    )


def _options_of(settings: dict[str, Any]) -> Any:
    """Return how pictures are optimized, as the options of the command say."""
    from tfviz import stops  # noqa: PLC0415
    from tfviz.optimize.options import (  # noqa: PLC0415
        Diversity,
        Options,
        make_optimizer,
    )

    rules = {"seconds": stops.seconds, "target": stops.target}
    stop = [stops.plateau()] if settings["plateau"] else []
    stop += [
        rule(settings[name])
        for name, rule in rules.items()
        if settings[name] is not None
    ]
    diversity = None
    if settings["diverse"] is not None:
        diversity = Diversity(
            settings["diverse"], settings["diversity"], settings["diversity_layer"]
        )
    same = ["steps", "learning_rate", "gradient_blur", "normalize_gradient", "alpha"]
    same += ["smooth_pools", "batch_size", "seed", "candidates", "restarts"]
    return Options(
        **{name: settings[name] for name in same},
        optimizer=make_optimizer(settings["optimizer"], settings["learning_rate"]),
        stop=stop,
        penalties=dict(settings["penalties"]),
        diversity=diversity,
    )


def _param_of(adapter: Any, settings: dict[str, Any]) -> Any:
    """Return the param that the options name: one of the core, or a learned prior."""
    name, size = settings["param"], settings["size"]
    own = {k: settings[k] for k in ("value_range", "given", "encoder")}
    if name in PARAMS:
        unused = [OPTION_OF[k] for k, value in own.items() if value]
        if unused:
            raise click.UsageError(
                f"{', '.join(unused)} is for learned priors; --param {name} is none."
            )
        height, width = size or adapter.size
        return make_param(name, height, width, adapter, settings["statistics"])
    if settings["statistics"]:
        raise click.UsageError("--statistics is not for learned priors.")
    return load_prior(name, size, **own)


def make_param(
    name: str, height: int, width: int, adapter: Any, statistics: str | None = None
) -> Any:
    """Return the param of a name for a model.

    Args:
        name: One of `PARAMS`.
        height: The height of the pictures.
        width: The width of the pictures.
        adapter: The model.
        statistics: A file of measured colours and spectra, which the param then uses.
    """
    from tfviz import params  # noqa: PLC0415

    own: dict[str, Any] = {}
    if statistics is not None:
        from tfviz import statistics as measured  # noqa: PLC0415

        found = measured.load(statistics)
        own = {"statistics": found} if name == "maco" else {"color": found.color}
    return getattr(params, name)(height, width, adapter.channels, **own)


def _job_again(ctx: click.Context, source: str) -> tuple[Any, str]:
    """Return the job that makes the picture in a file again, and its model."""
    own = ("units", "source", "output", "suffix", "sheet", "force", "as_json")
    model_options = options.MODEL_OPTIONS
    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    extra = sorted(given - {*own, *model_options})
    if extra:
        names = ", ".join("--" + name.replace("_", "-") for name in extra)
        raise click.UsageError(
            f"--from takes {names} from the file. Leave it out, or name the unit "
            "instead of --from."
        )
    options.quiet_tensorflow(ctx.params["threads"])
    from tfviz.priors._again import (  # noqa: PLC0415
        adapter_settings,
        job_from_spec,
        read_description,
    )

    spec = read_description(source)
    chosen = {name: ctx.params[name] for name in model_options if name in given}
    model = chosen.pop("model", spec["model"].get("source"))
    if model is None:
        raise click.ClickException(
            f"The picture was made with the model {spec['model']['name']!r} from a "
            "file. Give that file with -m."
        )
    if "preprocess" in chosen:
        spec = spec | {"preprocess": chosen.pop("preprocess")}
    known = adapter_settings(spec)
    chosen.setdefault("hold", tuple((known["held"] or {}).items()))
    chosen.setdefault("image_input", known["image_input"])
    chosen.setdefault("output_name", known["output"])
    adapter = options.load_adapter(model, known["preprocess"], **chosen)
    return job_from_spec(adapter, spec), model
