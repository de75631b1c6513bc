"""The command that trains a prior."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import defer_interrupt, fail, report_errors

# The sizes and defaults below are those of `tfviz.priors.training`, which a test
# compares with them. They are repeated here because importing it imports TensorFlow,
# for which `--help` and a mistyped option must not wait.
INVERTER_SIZES = (16, 32, 64, 128)
# The options that only one kind of prior has.
ONLY_KIND = {"layers": "inverter", "code": "inverter", "channels": "autoencoder"}


@click.command()
@click.argument("kind", type=click.Choice(["inverter", "autoencoder"]))
@click.option(
    "--images",
    "images",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="DIR|ZIP",
    help="A folder of photos, whose subfolders count as well, or a zip file of photos; "
    "may be repeated. At least 1000 photos in all.",
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
    help="The number of values from which an inverter makes an image. By default 320.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 8),
    help="The number of channels of an autoencoder's latent map. By default 8; fewer "
    "are a stronger prior.",
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
    "autoencoder.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    help="The learning rate at the start. By default 6e-4 for an inverter, 5e-4 for "
    "an autoencoder.",
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
    "--bfloat16",
    is_flag=True,
    help="Multiply numbers of 16 bits: twice as fast on processors with instructions "
    "for it (avx512_bf16, AMX).",
)
@click.option(
    "--minutes",
    type=types.Positive(),
    help="Stop after this time. The same command resumes the training.",
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

    The same command resumes a training that was interrupted, and ends with the same
    prior as an uninterrupted one. DIR/samples.png shows held-out photos above their
    reconstructions, DIR/log.csv holds the losses. Training takes hours on two processor
    cores: 16000 steps of an autoencoder about 2, of an inverter about 6.

    \b
    tfviz priors train inverter --images photos -o inverter
    tfviz priors train inverter --images photos -o inverter -m net.keras --layer block4
    tfviz priors train autoencoder --images photos -o small --channels 4 --minutes 60
    tfviz priors train autoencoder --images a.zip --images b.zip --without test.txt -o b
    """
    _check_kind(kind, settings)
    _check_size(kind, settings["size"])
    options.make_folder(output)
    adapter = options.load_adapter(
        **{name: settings.pop(name) for name in options.MODEL_OPTIONS}
    )
    from tfviz.priors import training  # noqa: PLC0415

    trainers: dict[str, Callable[..., dict[str, Any] | None]] = {
        "inverter": training.train_inverter,
        "autoencoder": training.train_autoencoder,
    }
    with defer_interrupt("step") as interrupted:
        facts = trainers[kind](
            adapter,
            images,
            output,
            # Where an option is not given, the default is that of the kind.
            **{name: v for name, v in settings.items() if v not in (None, ())},
            tell=lambda line: click.echo(line, err=True),
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
    click.echo(
        f"{file}: held-out photos are reconstructed with {facts['psnr']:.1f} dB PSNR"
    )


def _check_kind(kind: str, settings: dict[str, Any]) -> None:
    for name, only in ONLY_KIND.items():
        if only != kind and settings[name] not in (None, ()):
            option = "--layer" if name == "layers" else f"--{name}"
            raise click.UsageError(f"{option} is for an {only}, not an {kind}.")


def _check_size(kind: str, size: int) -> None:
    if kind == "inverter" and size not in INVERTER_SIZES:
        sizes = ", ".join(map(str, INVERTER_SIZES))
        message = f"an inverter's size is one of {sizes} pixels, not {size}."
    elif kind == "autoencoder" and (size < 32 or size % 8):
        message = (
            f"an autoencoder's size is a multiple of 8 pixels, at least 32, not {size}."
        )
    else:
        return
    raise click.BadParameter(message, param_hint="'--size'")
