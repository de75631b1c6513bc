"""The commands `render` and `demo`: pictures of units in a folder."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from tfviz._storage import AnyPath
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import report_errors
from tfviz.cli.priors import OPTION_OF, load_prior, prior_options
from tfviz.cli.ray_options import (
    RAY_OPTIONS,
    make_batches_of,
    open_cluster,
    ray_options,
    unsent,
)
from tfviz.optimize.options import (
    ADAM,
    NORMALIZED,
    OPTIMIZERS,
    PARAMS,
    TRANSFORMS,
)
from tfviz.runs.lock import lock_folder

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
    with lock_folder(output):
        adapter = options.load_adapter("squeezenet")
        from tfviz.cli.output import render_to_folder  # noqa: PLC0415
        from tfviz.optimize.job import Job  # noqa: PLC0415
        from tfviz.runs.work import Work  # noqa: PLC0415

        job = Job(adapter, DEMO_UNITS)
        render_to_folder(Work(job, output, ".png"), model="squeezenet", sheet=True)


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
    type=types.OutputFolder(remote=True),
    required=True,
    help="The folder to write the pictures to; it may have a scheme that TensorFlow "
    "supports, such as gs://.",
)
@options.model_options
@options.steps_option
@click.option(
    "--size",
    type=types.Size(),
    show_default="the model's input size, or 224",
    help="The size of the pictures in pixels: N for a square, or HEIGHTxWIDTH.",
)
@click.option(
    "--param",
    type=types.PriorSource(*PARAMS),
    default="fourier",
    show_default=True,
    help="The parameterization of the pictures: fourier, pixels, maco, laplacian or "
    "cppn; or a learned prior: inverter, autoencoder, a generator's file, the folder "
    "of a SavedModel, or hub:URL. PRIOR+autoencoder and PRIOR+fourier add detail to "
    "the images of a prior.",
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
    type=click.Choice(TRANSFORMS),
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
    show_default="0.1, or the prior's own",
    help="The learning rate of the optimizer.",
)
@click.option(
    "--momentum",
    type=click.FloatRange(0, 1, max_open=True),
    show_default="0.5, or the prior's own",
    help="The share of its mean gradient that Adam keeps at each step. Less lets it "
    "follow the random transforms faster.",
)
@click.option(
    "--optimizer",
    type=click.Choice([*OPTIMIZERS, NORMALIZED]),
    default=ADAM,
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
@options.seed_option
@options.deterministic_option
@options.batch_size_option
@click.option(
    "--xla/--no-xla",
    default=None,
    show_default="the faster way on a graphics card, no XLA on a processor",
    help="Whether XLA, TensorFlow's compiler, compiles the steps. By default, this is "
    "measured where many pictures of a layer are made on a graphics card.",
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
@options.long_run_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print how many pictures there are in each layer, and how long they will "
    "take, estimated from a trial of about 20 seconds. Nothing is written.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a line of JSON for each picture once it is finished, after lines for "
    "those that were finished before, and one with a summary at the end. With "
    "--dry-run, print the plan as JSON.",
)
@ray_options
@click.pass_context
@report_errors
def render(  # noqa: PLR0917 (click passes by name)
    ctx: click.Context,
    units: tuple[str, ...],
    source: str | None,
    output: AnyPath,
    suffix: str,
    sheet: bool,
    force: bool,
    retry_failed: bool,
    max_seconds: float | None,
    dry_run: bool,
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
      'fire8:*'         all channels of a layer; 'logit:*': all classes
      'fire*:3'         a channel in each layer that matches, one picture each

    Finished pictures are not rendered again: if a run is interrupted, the same
    command continues it. A picture that fails does not end the run.
    DIR/manifest.jsonl lists the finished pictures, and those that failed, with the
    reasons. The exit code is 0 if all pictures are finished, 1 if some failed or the
    run was interrupted, 3 if --max-seconds are over.

    \b
    tfviz render 'fire8:*' -o fire8 --size 128
    tfviz render 'fire*:*' 'logit:*' -o all --dry-run
    tfviz render logit:goldfish neg:fire9:3 -o out
    tfviz render --from out/logit-goldfish.png -o again
    tfviz render 'fire*:*' -o /shared/all --ray 10.0.0.5:6379
    """
    if bool(units) == bool(source):
        raise click.UsageError(
            "Give units to render, such as fire8:20, or a picture with --from FILE"
            + (", not both." if units else ".")
        )
    if not dry_run:
        options.make_folder(output)
    # Before the model is loaded, so that a second command does not wait for it.
    refused = {"dry_run": dry_run, "from": source} | unsent(settings)
    with (
        open_cluster(settings, **refused) as cluster,
        nullcontext() if dry_run else lock_folder(output),
    ):
        if source:
            job, model = _job_again(ctx, source)
        else:
            job, model = _job_of(units, output, settings), settings["model"]
        from tfviz.cli.output import render_to_folder  # noqa: PLC0415
        from tfviz.cli.plan import print_plan  # noqa: PLC0415
        from tfviz.runs.work import Work  # noqa: PLC0415

        work = Work(
            job,
            output,
            f".{suffix}",
            force=force,
            retry_failed=retry_failed,
            remedy="replace these pictures with --force",
        )
        if dry_run:
            print_plan(work, as_json=as_json)
            return
        render_to_folder(
            work,
            model=model,
            sheet=sheet,
            as_json=as_json,
            max_seconds=max_seconds,
            batches=make_batches_of(cluster, settings),
        )


def _job_of(units: tuple[str, ...], output: AnyPath, settings: dict[str, Any]) -> Any:
    """Return the job that renders units into a folder as the options say."""
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
    from tfviz.runs.picture_folder import keep_batch_size  # noqa: PLC0415
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
        keep_batch_size(_options_of(settings), output),
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
    same = ["steps", "learning_rate", "momentum", "gradient_blur", "alpha"]
    same += ["normalize_gradient", "smooth_pools", "batch_size", "xla", "seed"]
    same += ["candidates", "restarts", "deterministic"]
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
    own = {k: settings[k] for k in OPTION_OF}
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
    return load_prior(name, size, **own, allow_unsafe=settings["allow_unsafe"])


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

        loaded = measured.load(statistics)
        own = {"statistics": loaded} if name == "maco" else {"color": loaded.color}
    return getattr(params, name)(height, width, adapter.channels, **own)


def _job_again(ctx: click.Context, source: str) -> tuple[Any, str]:
    """Return the job that makes the picture in a file again, and its model."""
    own = {"units", "source", "output", "suffix", "sheet", "force", "retry_failed"}
    own |= {"max_seconds", "dry_run", "as_json", *RAY_OPTIONS}
    model_options = options.MODEL_OPTIONS
    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    extra = sorted(given - own - {*model_options})
    if extra:
        names = ", ".join("--" + name.replace("_", "-") for name in extra)
        raise click.UsageError(
            f"--from takes {names} from the file. Leave it out, or name the unit "
            "instead of --from."
        )
    options.import_tensorflow(ctx.params["threads"])
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
    unsafe = ctx.params["allow_unsafe"]
    return job_from_spec(adapter, spec, allow_unsafe=unsafe), model
