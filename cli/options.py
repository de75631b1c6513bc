"""Options that several commands share, and their types."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from tfviz.cli import param_types as types


def make_folder(path: Path) -> None:
    """Make the output folder and try to write to it, before any work is done.

    Raises:
        click.BadParameter: If it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".tfviz-{os.getpid()}.part"
        probe.write_bytes(b"tfviz")
        probe.unlink()
    except OSError as error:
        raise click.BadParameter(
            f"cannot write to {str(path)!r} ({error.strerror}). Choose another folder.",
            param_hint="'-o' / '--output'",
        ) from error


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files in a folder and those inside of it that end in one of these."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in suffixes and file.is_file()
    ]


def read_photos(files: list[Path], leave_out: Callable[[Path], Any]) -> Iterator[Any]:
    """Yield the photos that can be read, and name the others to `leave_out`."""
    from tfviz import images  # noqa: PLC0415

    with click.progressbar(files, label="photos", file=sys.stderr) as bar:
        for file in bar:
            try:
                photo = images.read(file)
            except ValueError:
                leave_out(file)
            else:
                yield photo


def images_option(told: str, *, required: bool = True) -> Callable:
    """Return the option that names a folder of images."""
    return click.option(
        "--images",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        required=required,
        metavar="DIR",
        help=told,
    )


def model_options(command: Callable) -> Callable:
    """Add the options that say which model, and how it sees images."""
    options = [
        click.option(
            "-m",
            "--model",
            type=types.ModelSource(),
            default="squeezenet",
            show_default=True,
            help="squeezenet, keras:NAME, keras:NAME?weights=none, a .keras or .h5 "
            "file, a SavedModel's folder, or hub:URL. One of several signatures: "
            "FOLDER?signature=NAME.",
        ),
        click.option(
            "--preprocess",
            type=types.Preprocess(),
            help="What the model was trained on: caffe, tf, torch, or a range such as "
            "0,255. By default what the model tells.",
        ),
        click.option(
            "--labels",
            type=types.LabelsFile(exists=True, dir_okay=False),
            metavar="FILE",
            help="Names of the classes, one a line, or JSON. By default "
            "MODEL.labels.txt beside the model file.",
        ),
        click.option(
            "--custom",
            metavar="MODULE:NAME",
            multiple=True,
            help="A layer or function of your own that the model file needs.",
        ),
        click.option(
            "--allow-unsafe",
            is_flag=True,
            help="Let the model file run Python code (Lambda layers).",
        ),
        click.option(
            "--hold",
            type=types.Held(),
            multiple=True,
            help="The value of an input beside the image, such as age=30 or "
            "meta=0.5,2.",
        ),
        click.option(
            "--image-input",
            metavar="NAME",
            help="Which of several images that the model takes is to be made.",
        ),
        click.option(
            "--output-name",
            metavar="NAME",
            help="Which of several outputs of the model has the classes.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="Processor threads to use. By default all.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


# What `load_adapter` takes, and a saved picture can be made again with.
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
    """Load a model as the options say, and print what was found out about it."""
    _import_custom(custom)
    quiet_tensorflow(threads)
    import tfviz  # noqa: PLC0415

    if labels is None:
        beside = Path(model).with_suffix(".labels.txt")
        labels = str(beside) if beside.is_file() else None
    loaded = tfviz.load_model(model, allow_unsafe=allow_unsafe)
    adapter = tfviz.adapt(
        loaded,
        preprocess,
        labels=labels,
        held=dict(hold) or None,
        image_input=image_input,
        output=output_name,
    )
    click.echo(
        f"{adapter.name}: input {adapter.preprocess}; logits: {adapter.logits_source}",
        err=True,
    )
    return adapter


def quiet_tensorflow(threads: int | None = None) -> None:
    """Import TensorFlow without what it prints on the way, and limit its threads."""
    _silently_import_tensorflow()
    if threads is not None:
        import tensorflow as tf  # noqa: PLC0415

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _silently_import_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        return
    import tfviz  # noqa: F401, PLC0415 (sets what must be set before TensorFlow)

    # Its C++ parts write to the file descriptor before they read any setting.
    sys.stderr.flush()
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        import tensorflow as tf  # noqa: PLC0415

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)
    tf.get_logger().setLevel("ERROR")


def _import_custom(custom: tuple[str, ...]) -> None:
    if not custom:
        return
    for text in custom:
        if not all(text.partition(":")):
            raise click.BadParameter(
                f"{text!r} is not MODULE:NAME.", param_hint="'--custom'"
            )
    sys.path.insert(0, "")
    quiet_tensorflow()
    from importlib import import_module  # noqa: PLC0415

    import keras  # noqa: PLC0415

    for text in custom:
        module, _, name = text.partition(":")
        try:
            value = getattr(import_module(module), name)
        except Exception as error:  # the module is the user's own
            raise click.BadParameter(
                f"{text!r} cannot be imported ({error}). Write MODULE:NAME.",
                param_hint="'--custom'",
            ) from error
        keras.saving.get_custom_objects()[name] = value
