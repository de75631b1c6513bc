"""The command that trains a prior."""

from pathlib import Path
from typing import Any

import click

from tfviz.cli import options
from tfviz.cli import param_types as types
from tfviz.cli.console import defer_interrupt, fail, report_errors

# Options that only one kind of prior has.
_ONLY = {"layers": "inverter", "code": "inverter", "channels": "autoencoder"}
_INVERTER_SIZES = (16, 32, 64, 128)


@click.command()
@click.argument("kind", type=click.Choice(["inverter", "autoencoder"]))
@options.images_option("1000 photos or many more, also in folders inside.")
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
    help="What an inverter makes images from; several times for several. By default "
    "the last map and the logits.",
)
@click.option(
    "--code",
    type=click.IntRange(min=1),
    help="How many numbers an inverter makes an image from. By default 320.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 8),
    help="Of an autoencoder's map. By default 8; fewer are a stronger prior.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 256),
    default=64,
    show_default=True,
    help="Of the images that are learned from, in pixels.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=16_000,
    show_default=True,
    help="Batches that are learned from.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=2),
    help="Photos in a step. By default 32 for an inverter, 16 for an autoencoder.",
)
@click.option(
    "--learning-rate",
    type=types.Positive(),
    help="At the start. By default 6e-4 for an inverter, 5e-4 for an autoencoder.",
)
@click.option(
    "--held-out",
    type=click.IntRange(min=16),
    default=200,
    show_default=True,
    help="Photos that are not learned from, but shown and measured.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="For another one.",
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
    help="Stop after this time. The same command goes on.",
)
@report_errors
def train(
    kind: str, folder: Path, output: Path, minutes: float | None, **settings: Any
) -> None:
    """Train a prior on your own images.

    \b
    inverter     makes an image from what some layers of the model see in it: strong,
                 for late layers and classes
    autoencoder  makes an image from a small map of numbers, of any size: weak, for
                 early layers

    What is interrupted goes on by the same command, and gives the same prior as if it
    had never been. DIR/samples.png shows held-out photos above what is made of them,
    DIR/log.csv how well. It takes hours on two processor cores: 16000 steps of
    an autoencoder about 2, of an inverter about 6.

    \b
    tfviz priors train inverter --images photos -o inverter
    tfviz priors train inverter --images photos -o inverter -m net.keras --layer block4
    tfviz priors train autoencoder --images photos -o small --channels 4 --minutes 60
    """
    chosen = {
        name: settings.pop(name)
        for name in ("layers", "code", "channels", "batch", "learning_rate")
    }
    chosen = {name: value for name, value in chosen.items() if value not in (None, ())}
    for name in chosen:
        if _ONLY.get(name, kind) != kind:
            option = "--layer" if name == "layers" else f"--{name}"
            raise click.UsageError(f"{option} is for an {_ONLY[name]}, not an {kind}.")
    _check_size(kind, settings["size"])
    options.make_folder(output)
    adapter = options.load_adapter(
        **{name: settings.pop(name) for name in options.MODEL_OPTIONS}
    )
    from tfviz.priors.training import recipes as _training  # noqa: PLC0415

    start = {
        "inverter": _training.train_inverter,
        "autoencoder": _training.train_autoencoder,
    }[kind]
    with defer_interrupt("step") as interrupted:
        facts = start(
            adapter,
            folder,
            output,
            **chosen,
            **settings,
            tell=lambda line: click.echo(line, err=True),
            seconds=None if minutes is None else 60 * minutes,
            stop=interrupted,
        )
        stopped = facts is None and interrupted()
    if facts is None:
        left = f"not finished; the same command goes on from {output}."
        if stopped:
            fail(f"interrupted: {left}")
        click.echo(left)
        return
    file = output / f"{kind}.npz"
    click.echo(f"{file}: held-out photos come back with {facts['psnr']:.1f} dB")


def _check_size(kind: str, size: int) -> None:
    if kind == "inverter" and size not in _INVERTER_SIZES:
        known = ", ".join(map(str, _INVERTER_SIZES))
        message = f"an inverter's is one of {known} pixels, not {size}."
    elif kind == "autoencoder" and (size < 32 or size % 8):
        message = f"an autoencoder's is a multiple of 8 pixels from 32, not {size}."
    else:
        return
    raise click.BadParameter(message, param_hint="'--size'")
