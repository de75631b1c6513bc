"""Options that several commands share, and their types."""

import os
import re
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import click

from tfviz._labels import read_labels
from tfviz._sources import check_source


class Size(click.ParamType):
    """`N` or `HEIGHTxWIDTH`, in pixels."""

    name = "N|HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Return height and width."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", value)
        if not match or not all(int(n) for n in match.groups() if n):
            self.fail(f"{value!r} is no size; write 224 or 180x240.", param, ctx)
        height, width = match.groups()
        return int(height), int(width or height)


class ModelSource(click.ParamType):
    """The name of a model, or a file or folder that holds one."""

    name = "MODEL"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Refuse what is certainly no model, before anything is loaded."""
        try:
            check_source(value)
        except (ValueError, FileNotFoundError) as error:
            self.fail(str(error), param, ctx)
        # Names are made of it, which `.` does not have.
        return str(Path.cwd()) if value == "." else value


class OutputFolder(click.ParamType):
    """A folder that files can be written to, or that can be made."""

    name = "DIR"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse what can be no folder; `make_folder` does the rest."""
        if not str(value):
            self.fail("an empty name is no folder.", param, ctx)
        return Path(value)


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


class Preprocess(click.ParamType):
    """A mode of `keras.applications`, or a range."""

    name = "MODE|LO,HI"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Refuse what the library would refuse, without loading it."""
        if value in ("caffe", "tf", "torch"):
            return value
        try:
            low, high = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(
                f"{value!r} is neither caffe, tf, torch nor a range such as 0,255.",
                param,
                ctx,
            )
        if not -inf < low < high < inf:
            self.fail(
                f"{value!r} is no range; write the lower end first, as 0,255.",
                param,
                ctx,
            )
        return value


class Positive(click.FloatRange):
    """A finite number above 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Refuse also what is infinite or no number at all."""
        number = super().convert(value, param, ctx)
        if not number < inf:
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class LabelsFile(click.Path):
    """A file of class names."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read it once, to refuse it at once."""
        path = os.fsdecode(super().convert(value, param, ctx))
        try:
            read_labels(path)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return path


class Units(click.Command):
    """A command whose arguments may look like options: `-fire8:20`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Explain a unit with a leading hyphen."""
        for arg in args:
            if arg == "--":
                break
            # `-mkeras:VGG16` is an option with its value, and a real one.
            unit = re.match(r"-(?!-)(?!mkeras:)([^-].*[:/].*|\w{3,}\d+)$", arg)
            if unit and not Path(arg[2:]).exists():
                raise click.UsageError(
                    f"{arg!r} looks like a unit to be minimized, but a leading hyphen "
                    f"makes an option. Write neg:{unit[1]}.",
                    ctx,
                )
        return super().parse_args(ctx, args)


def model_options(command: Callable) -> Callable:
    """Add the options that say which model, and how it sees images."""
    options = [
        click.option(
            "-m",
            "--model",
            type=ModelSource(),
            default="squeezenet",
            show_default=True,
            help="squeezenet, keras:NAME, keras:NAME?weights=none, a .keras or .h5 "
            "file, a SavedModel's folder, or hub:URL. One of several signatures: "
            "FOLDER?signature=NAME.",
        ),
        click.option(
            "--preprocess",
            type=Preprocess(),
            help="What the model was trained on: caffe, tf, torch, or a range such as "
            "0,255. By default what the model tells.",
        ),
        click.option(
            "--labels",
            type=LabelsFile(exists=True, dir_okay=False),
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
    ]
    for option in reversed(options):
        command = option(command)
    return command


def load_adapter(
    model: str,
    preprocess: str | None,
    labels: str | None,
    custom: tuple[str, ...],
    allow_unsafe: bool,
) -> Any:
    """Load a model as the options say, and print what was found out about it."""
    _import_custom(custom)
    quiet_tensorflow()
    import tfviz  # noqa: PLC0415

    if labels is None:
        beside = Path(model).with_suffix(".labels.txt")
        labels = str(beside) if beside.is_file() else None
    loaded = tfviz.load_model(model, allow_unsafe=allow_unsafe)
    adapter = tfviz.adapt(loaded, preprocess, labels=labels)
    click.echo(
        f"{adapter.name}: input {adapter.preprocess}; logits: {adapter.logits_source}",
        err=True,
    )
    return adapter


def quiet_tensorflow() -> None:
    """Import TensorFlow without what it prints on the way."""
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
