"""Options and steps that several commands share."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from tfviz._storage import AnyPath, RemotePath
from tfviz.cli import param_types as types
from tfviz.cli.progress import track
from tfviz.optimize.options import STEPS


def model_options(command: Callable) -> Callable:
    """Add the options that choose a model and say how it takes images."""
    decorators = [
        click.option(
            "-m",
            "--model",
            type=types.ModelSource(),
            default="squeezenet",
            show_default=True,
            help="The model: squeezenet, efficientnet-lite0, keras:NAME, "
            "keras:NAME?weights=none, a .keras or .h5 file, the folder of a "
            "SavedModel, hub:URL, hf://OWNER/NAME or "
            "kaggle://OWNER/MODEL/keras/VARIATION. If there are several signatures, "
            "choose one with FOLDER?signature=NAME.",
        ),
        click.option(
            "--preprocess",
            type=types.Preprocess(),
            show_default="detected from the model",
            help="The input range that the model was trained on: caffe, tf, torch, or "
            "a range such as 0,255.",
        ),
        click.option(
            "--labels",
            type=types.LabelsFile(dir_okay=False),
            metavar="FILE",
            show_default="MODEL.labels.txt beside the model file",
            help="The class names: a text file with one name per line, or JSON.",
        ),
        click.option(
            "--custom",
            metavar="MODULE:NAME",
            multiple=True,
            help="A layer or function of your own that the model file needs. May be "
            "given several times.",
        ),
        click.option(
            "--allow-unsafe",
            is_flag=True,
            help="Allow the model file to run Python code of its own, as Lambda layers "
            "do. Give this only for files that you trust.",
        ),
        click.option(
            "--hold",
            type=types.NamedNumbers(),
            multiple=True,
            help="A fixed value for an input other than the image, such as age=30 or "
            "meta=0.5,2. May be given several times.",
        ),
        click.option(
            "--image-input",
            metavar="NAME",
            help="The image input to optimize, if the model has several of them.",
        ),
        click.option(
            "--output-name",
            metavar="NAME",
            help="The output that predicts the classes, if the model has several of "
            "them.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            show_default="all",
            help="The number of processor threads to use.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


# The options of `model_options` other than `--model`, for the sections of a help text:
# those that say how the model is loaded and fed.
MODEL_SECTION = (
    "--preprocess",
    "--labels",
    "--output-name",
    "--image-input",
    "--hold",
    "--custom",
    "--allow-unsafe",
)

# The parameters of `model_options`, which `load_adapter` takes.
MODEL_OPTIONS = (
    "model",
    "preprocess",
    "labels",
    "custom",
    "allow_unsafe",
    "hold",
    "image_input",
    "output_name",
    "threads",
)


def images_option(description: str, *, required: bool = True) -> Callable:
    """Return the option `--images`, which names a folder of images.

    Args:
        description: The help text: which images the command expects.
        required: Whether the command needs it.
    """
    return click.option(
        "--images",
        "folder",
        type=types.ExistingPath(file_okay=False, path_type=Path),
        required=required,
        metavar="DIR",
        help=description,
    )


def steps_option(command: Callable) -> Callable:
    """Add the option `--steps`."""
    return click.option(
        "--steps",
        type=click.IntRange(min=1),
        default=STEPS,
        show_default=True,
        help="The number of gradient steps.",
    )(command)


def seed_option(command: Callable) -> Callable:
    """Add the option `--seed`."""
    return click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Random seed; another seed gives other pictures.",
    )(command)


def deterministic_option(command: Callable) -> Callable:
    """Add the option `--deterministic`."""
    return click.option(
        "--deterministic",
        is_flag=True,
        help="Use only operations that give the same bytes each time. Processors do so "
        "anyway; on a graphics card the same seed gives the same bytes only with this "
        "option, and steps take longer.",
    )(command)


def batch_size_option(command: Callable) -> Callable:
    """Add the option `--batch-size`."""
    return click.option(
        "--batch-size",
        type=types.BatchSize(),
        show_default="up to 8",
        help="The number of pictures that are optimized together; auto for as many as "
        "the memory of a graphics card allows, up to 256. A run that is continued "
        "keeps its number.",
    )(command)


def long_run_options(command: Callable) -> Callable:
    """Add the options of runs that take long: `--retry-failed` and `--max-seconds`."""
    decorators = [
        click.option(
            "--retry-failed",
            is_flag=True,
            help="Try again to make the pictures that failed in an earlier run; by "
            "default they are left out.",
        ),
        click.option(
            "--max-seconds",
            type=types.Positive(),
            help="Begin no further batch after this time in seconds. If pictures are "
            "left to be made then, the exit code is 3.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def make_folder(path: AnyPath) -> None:
    """Make the output folder, and check that it can be written to.

    Commands call it before they load or render anything.

    Raises:
        click.BadParameter: If the folder cannot be written to.
    """
    if isinstance(path, RemotePath):
        import_tensorflow()
    elif path.is_file():
        raise click.BadParameter(
            f"{str(path)!r} is a file, not a folder. Choose the name of a folder.",
            param_hint="'-o' / '--output'",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".tfviz-{os.getpid()}.part"
        try:
            probe.write_bytes(b"tfviz")
        finally:  # a full disk may have room for an empty file
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise click.BadParameter(
            f"cannot write to the folder {str(path)!r} ({error.strerror}). Choose "
            "another one.",
            param_hint="'-o' / '--output'",
        ) from error


def read_photos(files: list[Path], leave_out: Callable[[Path], Any]) -> Iterator[Any]:
    """Yield photos one at a time, and show the progress.

    Args:
        files: The files to read.
        leave_out: Called with each file that cannot be read as an image.
    """
    from tfviz import images  # noqa: PLC0415

    for file in track(files, "photo"):
        try:
            photo = images.read(file)
        except ValueError:
            leave_out(file)
        else:
            yield photo


def load_adapter(
    model: str,
    preprocess: str | None = None,
    labels: str | None = None,
    *,
    custom: tuple[str, ...] = (),
    allow_unsafe: bool = False,
    hold: tuple[tuple[str, Any], ...] = (),
    image_input: str | None = None,
    output_name: str | None = None,
    threads: int | None = None,
) -> Any:
    """Load the model that the options describe, and return its adapter.

    Prints on stderr which input range and which logits are used.
    """
    import_custom(custom)
    import_tensorflow(threads)
    import tfviz  # noqa: PLC0415

    beside = Path(model).with_suffix(".labels.txt")
    are_beside = labels is None and beside.is_file()
    if are_beside:
        labels = str(beside)
    adapter = tfviz.adapt(
        tfviz.load_model(model, allow_unsafe=allow_unsafe),
        preprocess,
        labels=labels,
        held=dict(hold) or None,
        image_input=image_input,
        output=output_name,
    )
    # What was assumed, with the options that say otherwise.
    other_range = "" if preprocess else "; --preprocess sets another range"
    names = f"; class names from {labels} (--labels)" if are_beside else ""
    click.echo(
        f"{adapter.name}: input {adapter.preprocess}{other_range}; logits: "
        f"{adapter.logits_source}{names}",
        err=True,
    )
    return adapter


def import_tensorflow(threads: int | None = None) -> None:
    """Import TensorFlow without its log lines, and limit its threads.

    Args:
        threads: The number of threads, or None for all.
    """
    _import_tensorflow_silently()
    if threads is not None:
        import tensorflow as tf  # noqa: PLC0415

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _import_tensorflow_silently() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        return
    import tfviz  # noqa: F401, PLC0415 (sets the environment that TensorFlow reads)

    # TensorFlow's C++ code writes to the file descriptor of stderr before it reads
    # any setting, so the descriptor itself has to be redirected.
    sys.stderr.flush()
    stderr = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        import tensorflow as tf  # noqa: PLC0415

        tf.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
    tf.get_logger().setLevel("ERROR")
    # What was imported stays until the end. Python would look through it, for a third
    # of a second, whenever the memory of a layer is freed.
    gc.freeze()


def import_custom(custom: tuple[str, ...]) -> None:
    """Import layers and functions, and register them with Keras by their names."""
    if not custom:
        return
    for text in custom:
        if not all(text.partition(":")):
            raise click.BadParameter(
                f"{text!r} is not MODULE:NAME; write mylayers:Attention for the class "
                "Attention in mylayers.py.",
                param_hint="'--custom'",
            )
    sys.path.insert(0, "")
    import_tensorflow()
    from importlib import import_module  # noqa: PLC0415

    import keras  # noqa: PLC0415

    for text in custom:
        module, _, name = text.partition(":")
        try:
            value = getattr(import_module(module), name)
        except Exception as error:  # the user's own module may raise anything
            raise click.BadParameter(
                f"{text!r} cannot be imported ({error}). Give MODULE:NAME, where "
                "MODULE is in this folder or installed.",
                param_hint="'--custom'",
            ) from error
        keras.saving.get_custom_objects()[name] = value
