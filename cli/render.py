"""The commands `render` and `demo`: pictures of units in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import report_errors
from tfviz.cli.priors import OPTION_OF, load_prior, prior_options

# The pictures of `tfviz demo`: channels of five layers, a neuron, a layer, two classes.
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
# By their names in Keras. `adam` is run as a faster implementation of tfviz's own.
OPTIMIZERS = ("adam", "sgd", "rmsprop", "nadam", "adamw", "adamax", "adagrad", "lion")
# The optimizer of DGN-AM; see `tfviz.render`.
NORMALIZED = "normalized"


@click.command()
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder to write the pictures to.",
)
@report_errors
def demo(output: Path) -> None:
    """Render nine units of the bundled network, and a sheet of them.

    The pictures are written to DIR, the sheet to DIR/sheet.png.

    \b
    tfviz demo -o demo
    """
    options.make_folder(output)
    adapter = options.load_adapter("squeezenet")
    from tfviz.cli.output import render_to_folder  # noqa: PLC0415
    from tfviz.optimize.job import Job  # noqa: PLC0415

    job = Job(adapter, DEMO_UNITS, steps=DEMO_STEPS)
    render_to_folder(job, output, model="squeezenet", suffix=".png", sheet=True)


@click.command(cls=types.UnitsCommand)
@click.argument("units", metavar="UNIT...", nargs=-1)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Render the picture in FILE again, with the settings that the file contains.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder to write the pictures to.",
)
@options.model_options
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="The number of gradient steps.",
)
@click.option(
    "--size",
    type=types.Size(),
    show_default="the model's input size, or 224",
    help="The size of the pictures in pixels: N for a square, or HEIGHTxWIDTH.",
)
@click.option(
    "--param",
    type=types.PriorSource(*types.PARAMS),
    default="fourier",
    show_default=True,
    help="The parameterization of the pictures: fourier, pixels, maco, laplacian or "
    "cppn; or a learned prior: inverter, autoencoder, a generator's file, the folder "
    "of a SavedModel, or hub:URL.",
)
@prior_options
@click.option(
    "--statistics",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    show_default="those of ordinary photos",
    help="The statistics of your images, measured by `tfviz calibrate`: their colours "
    "and, for maco, their spectrum.",
)
@click.option(
    "--transforms",
    type=click.Choice(["distill", "gentle", "lucid", "maco", "none"]),
    show_default="maco for --param maco, gentle for learned priors, else distill",
    help="The random transforms applied to the pictures before each step.",
)
@click.option(
    "--penalty",
    "penalties",
    type=types.Penalty(),
    multiple=True,
    help="Subtract WEIGHT times a penalty from the score: total_variation, l1, l2, "
    "high_frequency or blur_difference. May be given several times.",
)
@click.option(
    "--diverse",
    type=click.IntRange(min=2),
    metavar="N",
    help="Render N pictures of each unit that differ from each other. Needs "
    "--diversity.",
)
@click.option(
    "--diversity",
    type=types.Positive(),
    help="The weight of the diversity term in the score. A good start is about the "
    "score that the unit reaches without it.",
)
@click.option(
    "--diversity-layer",
    metavar="LAYER",
    show_default="the unit's own layer",
    help="The layer whose activations are to differ between the pictures.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    show_default="0.05, or the prior's own",
    help="The learning rate of the optimizer.",
)
@click.option(
    "--optimizer",
    type=click.Choice([*OPTIMIZERS, NORMALIZED]),
    default="adam",
    show_default=True,
    help="The optimizer. With normalized, steps do not depend on the gradient's size "
    "and get smaller towards the end, as in DGN-AM.",
)
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="1, or the prior's own",
    help="Draw N random starts for each picture, and optimize the one with the highest "
    "score.",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Optimize each picture N times, and keep the one with the highest score.",
)
@click.option(
    "--gradient-blur",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Blur the gradient by a Gaussian with this standard deviation in pixels.",
)
@click.option(
    "--normalize-gradient",
    is_flag=True,
    help="Scale the gradient of each picture to a root mean square of 1.",
)
@click.option(
    "--smooth-pools",
    is_flag=True,
    help="Spread the gradient of max-pooling layers over all inputs of a window, which "
    "avoids grid patterns.",
)
@click.option(
    "--alpha",
    is_flag=True,
    help="Make pixels that mattered little transparent, as MACO does.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Start all pictures from the image in FILE instead of a random start.",
)
@click.option(
    "--plateau",
    is_flag=True,
    help="Stop a picture when its score no longer rises.",
)
@click.option(
    "--seconds",
    type=types.Positive(),
    help="Stop each batch of pictures after this time in seconds.",
)
@click.option(
    "--target",
    type=float,
    help="Stop a picture when its unit responds this strongly.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed; another seed gives other pictures.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    show_default="up to 8",
    help="The number of pictures that are optimized together.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "webp"]),
    default="png",
    show_default=True,
    help="The file format; both are lossless.",
)
@click.option(
    "--sheet", is_flag=True, help="Also draw all pictures as one sheet, DIR/sheet.png."
)
@click.option(
    "--force", is_flag=True, help="Render finished pictures again, and replace them."
)
@click.option("--json", "as_json", is_flag=True, help="Print files and scores as JSON.")
@click.pass_context
@report_errors
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
    """Render a visualization of each UNIT into a folder.

    \b
    UNIT is one of
      fire8:20          a channel: the mean over its map
      fire8:20@3,4      a neuron: the channel in row 3, column 4
      block3:20@5       the channel at token 5 of a transformer
      fire8             a whole layer (DeepDream)
      fire8:random:7    a random direction of the layer's channels, by its seed
      fire8:pre:20      the channel before its ReLU
      logit:goldfish    a class before the softmax
      prob:goldfish     a class after the softmax
      neg:fire8:20      the image that the unit responds to least
      fire8:20+fire9:3  the sum of several units
      fire8:0-15        a range of channels, one picture each
      'fire*:3'         a channel in each layer that matches, one picture each

    Finished pictures are not rendered again: if a run is interrupted, the same
    command continues it. DIR/manifest.jsonl lists the finished pictures.

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
    from tfviz.cli.output import render_to_folder  # noqa: PLC0415

    if source:
        job, model = _job_again(ctx, source)
    else:
        job, model = _job_of(units, settings), settings["model"]
    render_to_folder(
        job,
        output,
        model=model,
        suffix=f".{suffix}",
        force=force,
        sheet=sheet,
        as_json=as_json,
    )


def _job_of(units: tuple[str, ...], settings: dict[str, Any]) -> Any:
    adapter = options.load_adapter(
        **{name: settings[name] for name in options.MODEL_OPTIONS}
    )
    import keras  # noqa: PLC0415

    from tfviz import stops, transforms  # noqa: PLC0415
    from tfviz.models.inputs import fitted  # noqa: PLC0415
    from tfviz.optimize.job import LEARNING_RATE, Job  # noqa: PLC0415
    from tfviz.optimize.optimizers import Method  # noqa: PLC0415
    from tfviz.views import with_channels  # noqa: PLC0415

    param = _param_of(adapter, settings)
    optimizer = None if settings["optimizer"] == "adam" else settings["optimizer"]
    if optimizer not in (None, NORMALIZED):
        rate = settings["learning_rate"] or LEARNING_RATE
        optimizer = keras.optimizers.get(
            {"class_name": optimizer, "config": {"learning_rate": rate}}
        )
    rules = {"seconds": stops.seconds, "target": stops.target}
    stop = [stops.plateau()] if settings["plateau"] else []
    stop += [
        rule(settings[name])
        for name, rule in rules.items()
        if settings[name] is not None
    ]
    start = settings["start"]
    if start is not None:
        start = with_channels(
            fitted(adapter, start, param.shape[:2])[None], param.shape[2]
        )
    names = ("penalties", "diverse", "diversity", "diversity_layer")
    objectives, notes = extended(
        adapter, units, **{name: settings[name] for name in names}
    )
    return Job(
        adapter,
        objectives,
        param,
        transforms.PRESETS[settings["transforms"]]()
        if settings["transforms"]
        else None,
        steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        method=Method(
            optimizer,
            settings["gradient_blur"],
            settings["normalize_gradient"],
            settings["alpha"],
            settings["smooth_pools"],
        ),
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        start=start,
        candidates=settings["candidates"],
        restarts=settings["restarts"],
        stop=stop,
        notes=notes,
    )


def _param_of(adapter: Any, settings: dict[str, Any]) -> Any:
    """Return how pictures are held: a param of the core, or a learned prior."""
    name, size = settings["param"], settings["size"]
    own = {k: settings[k] for k in ("value_range", "given", "encoder")}
    if name in types.PARAMS:
        unused = [OPTION_OF[k] for k, value in own.items() if value]
        if unused:
            raise click.UsageError(
                f"{', '.join(unused)} is for learned priors; --param {name} is none."
            )
        height, width = size or adapter.size
        return param_of(name, height, width, adapter, settings["statistics"])
    if settings["statistics"]:
        raise click.UsageError("--statistics is not for learned priors.")
    return load_prior(name, size, **own)


def _job_again(ctx: click.Context, source: str) -> tuple[Any, str]:
    """Return the job that makes the picture in a file again, and its model."""
    from tfviz import images  # noqa: PLC0415

    own = ("units", "source", "output", "suffix", "sheet", "force", "as_json")
    model = options.MODEL_OPTIONS
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


def job_from(spec: Mapping[str, Any], chosen: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the job that makes a picture again, and the name of its model.

    Args:
        spec: The picture's description.
        chosen: Options about the model that the user gave.

    Raises:
        click.ClickException: If the description does not tell enough.
    """
    model = chosen.get("model") or spec["model"].get("source")
    if model is None:
        raise click.ClickException(
            f"The picture was made with the model {spec['model']['name']!r} from a "
            "file. Give that file with -m."
        )
    preprocess = chosen.get("preprocess") or spec["preprocess"]
    if preprocess == "custom":
        raise click.ClickException(
            "The picture was made with a preprocessing function, which a file cannot "
            "hold. Make it again from Python."
        )
    given = {k: v for k, v in chosen.items() if k not in ("model", "preprocess")}
    given.setdefault("hold", tuple(spec["held"].items()))
    given.setdefault("image_input", spec["image_input"])
    given.setdefault("output_name", spec["output"])
    adapter = options.load_adapter(
        model,
        preprocess,
        **given,
    )
    import keras  # noqa: PLC0415

    from tfviz import stops, transforms  # noqa: PLC0415
    from tfviz.optimize.job import Job  # noqa: PLC0415
    from tfviz.optimize.optimizers import NORMALIZED, Method  # noqa: PLC0415

    optimizer = None
    if spec["optimizer"] == {"name": NORMALIZED}:
        optimizer = NORMALIZED
    elif spec["optimizer"] != {"name": "adam"}:
        optimizer = keras.optimizers.deserialize(spec["optimizer"])
    if spec["start"] is not None or not spec["param"]:
        raise click.ClickException(
            "The picture was made from a start image or with a param of your own, "
            "which a file cannot hold. Make it again from Python."
        )
    shaping = ("gradient_blur", "normalize_gradient", "alpha", "smooth_pools")
    method = Method(optimizer, **{name: spec[name] for name in shaping})
    job = Job(
        adapter,
        extended_again(adapter, spec),
        _param_from(spec["param"]),
        transforms.from_spec(spec["transforms"]),
        steps=spec["steps"],
        learning_rate=spec["learning_rate"],
        method=method,
        stop=[stops.from_spec(rule) for rule in spec["stop"]],
        batch_size=spec["batch"],
        seed=spec["seed"],
        candidates=spec.get("candidates", 1),
        restarts=spec.get("restarts", 1),
        notes={name: spec.get(name) for name in ("penalties", "diversity")},
        at=(spec["repeat"], spec["slot"], spec["batch_size"]),
    )
    # Names given to the classes by hand are not in the model.
    job.pictures = [replace(picture, name=spec["name"]) for picture in job.pictures]
    _warn_of_differences(spec, job.settings)
    return job, model


def _param_from(spec: Mapping[str, Any]) -> Any:
    """Return the param of a description: one of the core, or a learned prior."""
    from tfviz import params  # noqa: PLC0415

    if spec["name"] != "prior":
        return params.from_spec(spec)
    from tfviz import priors  # noqa: PLC0415

    try:
        prior = priors.from_spec(spec)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    if prior.spec["digest"] != spec["digest"]:
        click.echo(
            f"Warning: {spec['source']!r} is not what the picture was made with; "
            "another picture will come out.",
            err=True,
        )
    return prior


def _warn_of_differences(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if spec["model"]["hash"] != settings["model"]["hash"]:
        click.echo(
            "Warning: the model's weights are not those that the picture was made "
            "with; another picture will come out.",
            err=True,
        )
    before = {"tfviz": spec["tfviz"]} | spec["versions"]
    now = {"tfviz": settings["tfviz"]} | settings["versions"]
    changed = [f"{k} {v}, now {now[k]}" for k, v in before.items() if now[k] != v]
    if changed:
        click.echo(
            f"Warning: the picture was made with {'; '.join(changed)}. Bytes may "
            "differ.",
            err=True,
        )


def extended(
    adapter: Any,
    units: Sequence[str],
    *,
    penalties: Sequence[tuple[str, float]] = (),
    diverse: int | None = None,
    diversity: float | None = None,
    diversity_layer: str | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the objectives of units with penalties and diversity, under their names.

    Returns:
        The objectives, and what was added as JSON values for a picture's description.
    """
    from tfviz import objectives  # noqa: PLC0415
    from tfviz.objectives._base import named_as  # noqa: PLC0415
    from tfviz.objectives._grammar import listed  # noqa: PLC0415
    from tfviz.optimize.diverse import compared_layer, with_diversity  # noqa: PLC0415

    found = listed(list(units), adapter)
    notes: dict[str, Any] = {"penalties": dict(penalties), "diversity": None}
    if diverse is not None:
        if diversity is None:
            raise click.UsageError(
                "--diverse needs the weight of the difference: --diversity. In "
                "Python, tfviz.diverse searches for it."
            )
        found = [
            with_diversity(
                unit,
                diversity_layer or compared_layer(adapter, unit),
                diverse,
                diversity,
            )
            for unit in found
        ]
        notes["diversity"] = {
            "n": diverse,
            "weight": diversity,
            "layer": diversity_layer,
        }
    elif diversity is not None or diversity_layer is not None:
        raise click.UsageError("--diversity needs the number of pictures: --diverse.")
    for name, weight in penalties:
        penalty = getattr(objectives, name)()
        found = [named_as(unit - weight * penalty, unit) for unit in found]
    return found, notes


def extended_again(adapter: Any, spec: Mapping[str, Any]) -> list[Any]:
    """Return the objective of a saved picture, or of its group."""
    diversity = spec.get("diversity") or {}
    found, _ = extended(
        adapter,
        [spec["unit"]],
        penalties=list(spec.get("penalties", {}).items()),
        diverse=diversity.get("n"),
        diversity=diversity.get("weight"),
        diversity_layer=diversity.get("layer"),
    )
    return found


def param_of(
    name: str, height: int, width: int, adapter: Any, statistics: str | None
) -> Any:
    """Return the param of that name, with colours and waves as measured."""
    from tfviz import params  # noqa: PLC0415

    options: dict[str, Any] = {}
    if statistics is not None:
        from tfviz import statistics as measured  # noqa: PLC0415

        found = measured.load(statistics)
        if name == "maco":
            options["statistics"] = found
        else:
            options["color"] = found.color
    return getattr(params, name)(height, width, adapter.channels, **options)
