"""The command that trains a prior."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfviz._errors import count_of
from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import defer_interrupt, fail, report_errors
from tfviz.cli.help import Command
from tfviz.cli.progress import LateProgress

# The sizes and defaults below are those of `tfviz.priors.training`, which a test
# compares with them. They are repeated here because importing it imports TensorFlow,
# for which `--help` and a mistyped option must not wait.
INVERTER_SIZES = (16, 32, 64, 128)
GAN_SIZES = (16, 32, 64)
GAN_VARIANTS = ("instance", "classes")
# The kinds of priors, as a sentence names them.
KINDS = {"inverter": "an inverter", "autoencoder": "an autoencoder", "gan": "a GAN"}
# The options that only some kinds of priors have, with these kinds.
ONLY_KIND = {
    "layers": ("inverter",),
    "code": ("inverter", "gan"),
    "channels": ("autoencoder",),
    "variant": ("gan",),
    "encoder": ("gan",),
    "encoder_steps": ("gan",),
    "initial": ("gan",),
    "by_clock": ("gan",),
}


# The sections of the help.
_SECTIONS = {
    "Most used options": (
        "--images",
        "--output",
        "--size",
        "--steps",
        "--minutes",
        "--model",
        "--layer",
    ),
    "What is learned": (
        "--without",
        "--held-out",
        "--code",
        "--channels",
        "--variant",
        "--encoder",
        "--encoder-steps",
        "--initial",
    ),
    "How the model of an inverter or autoencoder is fed": options.MODEL_SECTION,
    "Advanced options": (
        "--batch",
        "--learning-rate",
        "--seed",
        "--by-clock",
        "--bfloat16",
        "--xla",
        "--threads",
        "-h",
        "--help",
    ),
}


@click.command(cls=Command, sections=_SECTIONS)
@click.argument("kind", type=click.Choice([*KINDS]))
@click.option(
    "--images",
    "images",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="DIR|ZIP",
    help="A folder of photos, whose subfolders count as well, or a zip file of photos; "
    "may be repeated. At least 1000 photos in all. For a GAN, the photos of each class "
    "lie in a folder of their own.",
)
@click.option(
    "--without",
    type=types.NamesFile(),
    metavar="FILE",
    help="The photos to leave out, such as those on which the prior will be evaluated: "
    "a text file with one name per line, or a JSON list. Names are as in the folder or "
    "zip file, such as dogs/1.jpg.",
)
@click.option(
    "-o",
    "--output",
    type=types.OutputFolder(),
    required=True,
    help="The folder for the prior, its checkpoint, its log and its samples.",
)
@options.model_options
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER",
    help="A layer from which an inverter reconstructs images; may be repeated. By "
    "default the last layer with a map, and the logits.",
)
@click.option(
    "--code",
    type=click.IntRange(min=1),
    help="The number of values that say what a photo shows. By default 320 for an "
    "inverter, 256 for a GAN.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 8),
    help="The number of channels of an autoencoder's latent map. By default 8; fewer "
    "are a stronger prior.",
)
@click.option(
    "--variant",
    type=click.Choice(GAN_VARIANTS),
    help="What a GAN makes images from: codes of photos (instance), or classes. By "
    "default instance.",
)
@click.option(
    "--encoder",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The encoder of a GAN, from an earlier training (encoder/encoder.npz). By "
    "default it is trained first.",
)
@click.option(
    "--encoder-steps",
    type=click.IntRange(min=1),
    help="The number of steps of 256 photos in which the encoder is trained. By "
    "default 8000.",
)
@click.option(
    "--initial",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The output folder of an earlier training, from whose generator.npz and "
    "discriminator.npz a GAN goes on.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 256),
    default=64,
    show_default=True,
    help="The height and width of the images to learn from, in pixels.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=16_000,
    show_default=True,
    help="The number of training steps.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=2),
    help="The number of photos in a step. By default 32 for an inverter, 16 for an "
    "autoencoder, 64 for a GAN.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    help="The learning rate at the start. By default 6e-4 for an inverter, 5e-4 for "
    "an autoencoder, 3e-4 for a GAN.",
)
@click.option(
    "--held-out",
    type=click.IntRange(min=16),
    default=200,
    show_default=True,
    help="The number of photos that are not learned from, but used to measure and draw "
    "reconstructions.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Random seed; another seed gives another prior.",
)
@click.option(
    "--bfloat16/--no-bfloat16",
    default=None,
    help="Multiply numbers of 16 bits, which is twice as fast on processors that have "
    "instructions for it (avx512_bf16, AMX). By default, only graphics cards that can "
    "do so.",
)
@click.option(
    "--xla/--no-xla",
    default=None,
    help="Compile the steps with XLA, which takes minutes and makes them faster on "
    "graphics cards. By default, a trial decides on a graphics card, and processors do "
    "without.",
)
@click.option(
    "--minutes",
    type=types.Positive(),
    help="Stop after this time. The same command resumes the training.",
)
@click.option(
    "--by-clock",
    is_flag=True,
    help="Complete the training of a GAN after --minutes, however many steps were "
    "taken by then: the learning rate falls with the time.",
)
@report_errors
def train(
    kind: str,
    images: tuple[Path, ...],
    output: Path,
    minutes: float | None,
    **settings: Any,
) -> None:
    """Train a prior on your own images.

    \b
    inverter     makes an image from a few hundred numbers, which say what some
                 layers of the model show of it: a strong prior, for late layers
                 and classes
    autoencoder  makes an image of any size from a small map of numbers: a weak
                 prior, for early layers
    gan          makes an image that cannot be told from photos, from a few hundred
                 numbers: a strong prior that no other network took part in

    The same command resumes a training that was interrupted, and ends with the same
    prior as an uninterrupted one. DIR/samples.png shows held-out photos above their
    reconstructions; DIR/log.csv holds the losses. On two processor cores, 16000 steps
    take about 2 hours for an autoencoder and about 6 hours for an inverter. A GAN needs
    a graphics card. Its training begins with that of an encoder of its own, on the
    classes of the photos, and takes no model.

    \b
    tfviz priors train inverter --images photos -o inverter
    tfviz priors train inverter --images photos -o inverter -m net.keras --layer block4
    tfviz priors train autoencoder --images photos -o small --channels 4 --minutes 60
    tfviz priors train autoencoder --images a.zip --images b.zip --without test.txt -o b
    tfviz priors train gan --images photos -o gan --batch 256
    """
    _check_kind(kind, settings)
    _check_size(kind, settings["size"])
    if settings["by_clock"] and minutes is None:
        raise click.UsageError("--by-clock needs a time: give --minutes, too.")
    if settings["variant"] == "classes" and settings["encoder"] is not None:
        raise click.UsageError("--encoder is for --variant instance, not classes.")
    model = {name: settings.pop(name) for name in options.MODEL_OPTIONS}
    options.make_folder(output)
    if kind == "gan":
        options.import_tensorflow(model["threads"])
        network: list[Any] = []
    else:
        network = [options.load_adapter(**model)]
    from tfviz.priors import training  # noqa: PLC0415

    trainers: dict[str, Callable[..., dict[str, Any] | None]] = {
        "inverter": training.train_inverter,
        "autoencoder": training.train_autoencoder,
        "gan": training.train_gan,
    }
    with defer_interrupt("step") as interrupted, _TrainProgress("step") as progress:
        facts = trainers[kind](
            *network,
            images,
            output,
            # Where an option is not given, the default is that of the kind.
            **{name: v for name, v in settings.items() if _is_given(name, kind, v)},
            tell=lambda line: click.echo(line, err=True),
            callbacks=[progress.note],
            seconds=None if minutes is None else 60 * minutes,
            stop=interrupted,
        )
        was_interrupted = facts is None and interrupted()
    if facts is None:
        message = f"not finished; the same command resumes from {output}."
        if was_interrupted:
            fail(f"interrupted: {message}")
        click.echo(message)
        return
    file = output / f"{kind}.npz"
    if "psnr" not in facts:
        click.echo(f"{file}: its images are made from {facts['condition']} classes")
        return
    click.echo(
        f"{file}: held-out photos are reconstructed with {facts['psnr']:.1f} dB PSNR"
    )


class _TrainProgress(LateProgress):
    """A callback of a training: a bar on a terminal, a line every 50 steps elsewhere.

    A GAN has two trainings, one after the other, and each has a bar of its own.
    """

    def note(self, at: Any) -> None:
        """Show a `TrainingProgress`."""
        if at.is_logged:
            self.print_line(str(at))
        self(
            at.step,
            at.steps,
            at.losses_as_text() or "starting",
            count=f"{at.step}/{count_of(at.steps, 'step')}",
            seconds_left=at.seconds_left,
        )


def _check_kind(kind: str, settings: dict[str, Any]) -> None:
    for name, kinds in ONLY_KIND.items():
        if kind not in kinds and settings[name] not in (None, (), False):
            option = "--layer" if name == "layers" else f"--{name.replace('_', '-')}"
            owners = " or ".join(KINDS[owner] for owner in kinds)
            raise click.UsageError(f"{option} is for {owners}, not {KINDS[kind]}.")
    if kind != "gan":
        return
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if (
            parameter.name in options.MODEL_OPTIONS
            and parameter.name != "threads"
            and source == click.core.ParameterSource.COMMANDLINE
        ):
            raise click.UsageError(
                f"{parameter.opts[-1]} is for {KINDS['inverter']} or "
                f"{KINDS['autoencoder']}: no model takes part in training a GAN."
            )


def _is_given(name: str, kind: str, value: Any) -> bool:
    return value not in (None, ()) and kind in ONLY_KIND.get(name, KINDS)


def _check_size(kind: str, size: int) -> None:
    sizes = {"inverter": INVERTER_SIZES, "gan": GAN_SIZES}.get(kind)
    if sizes and size not in sizes:
        possible = ", ".join(map(str, sizes))
        message = f"{KINDS[kind]}'s size is one of {possible} pixels, not {size}."
    elif kind == "autoencoder" and (size < 32 or size % 8):
        message = (
            f"an autoencoder's size is a multiple of 8 pixels, at least 32, not {size}."
        )
    else:
        return
    raise click.BadParameter(message, param_hint="'--size'")
