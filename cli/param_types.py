"""Types of arguments and options, which refuse wrong values before any work is done.

Nothing here imports TensorFlow, so that a mistake is reported at once.
"""

import json
import os
import re
from math import inf
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tfviz._errors import did_you_mean
from tfviz._foreign_files import GRAPH_FILES, explain_file
from tfviz._storage import AnyPath, RemotePath, as_path
from tfviz.cli.completion import complete_files, complete_model, complete_names
from tfviz.cli.help import Command
from tfviz.models.labels import read_labels
from tfviz.models.sources import (
    CHOICES,
    HUB,
    SUFFIXES,
    check_judge,
    check_source,
    is_saved_model,
    is_url,
    split_choices,
)
from tfviz.optimize.options import AUTO, PARAMS, PENALTIES


class Size(click.ParamType):
    """The size of an image in pixels: `N` for a square, or `HEIGHTxWIDTH`."""

    name = "size"

    def get_metavar(self, param: click.Parameter, ctx: Any = None) -> str:
        """Return what the help calls the value."""
        return "N|HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Return the height and the width."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", value)
        if not match or not all(int(n) for n in match.groups() if n):
            self.fail(
                f"{value!r} is not a size; write 224 or 180x240, in pixels.", param, ctx
            )
        height, width = match.groups()
        return int(height), int(width or height)

    @staticmethod
    def write(value: tuple[int, int]) -> str:
        """Return a size as `convert` takes it, for messages."""
        return "x".join(map(str, value))


class BatchSize(click.ParamType):
    """A number of pictures, or `auto`."""

    name = "batch size"

    def get_metavar(self, param: click.Parameter, ctx: Any = None) -> str:
        """Return what the help calls the value."""
        return "N|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str:
        """Return the number, or `auto`."""
        if value == AUTO or isinstance(value, int):
            return value
        if not re.fullmatch(r"0*[1-9]\d*", value):
            self.fail(
                f"{value!r} is neither a whole number of at least 1 nor auto.",
                param,
                ctx,
            )
        return int(value)


class ModelSource(click.ParamType):
    """A model: a name, `keras:NAME`, `hub:URL`, or the path of a file or folder."""

    name = "MODEL"
    _check = staticmethod(check_source)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the source, unless it certainly is not that of a model."""
        try:
            self._check(value)
        except (ValueError, FileNotFoundError) as error:
            self.fail(str(error), param, ctx)
        # A model is named after its folder, and `.` is not a name.
        return str(Path.cwd()) if value == "." else value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return complete_model(incomplete)


class Judge(ModelSource):
    """A network that judges: any model, or the path of a `.tflite` file."""

    _check = staticmethod(check_judge)


class OutputFolder(click.ParamType):
    """The path of a folder for output, which need not exist yet.

    Args:
        remote: Whether it may have a scheme, such as `gs://`.
    """

    name = "DIR"

    def __init__(self, *, remote: bool = False) -> None:
        self._remote = remote

    def convert(self, value: Any, param: Any, ctx: Any) -> AnyPath:
        """Return the path; `make_folder` finds out whether it can be written to."""
        if not str(value):
            self.fail("an empty name is not a folder.", param, ctx)
        path = as_path(value)
        if isinstance(path, RemotePath) and not self._remote:
            self.fail(
                f"{str(value)!r} is not a folder of this machine; only `tfviz render` "
                "writes to others.",
                param,
                ctx,
            )
        return path

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return [CompletionItem(incomplete, type="dir")]


class OutputFile(click.ParamType):
    """The path of a file for output.

    Args:
        *suffixes: The suffixes of which its name must have one.
    """

    name = "FILE"

    def __init__(self, *suffixes: str) -> None:
        self._suffixes = suffixes

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Return the path; `make_folder` finds out whether it can be written to."""
        path = Path(value)
        if path.suffix.lower() not in self._suffixes:
            self.fail(
                f"the name {str(value)!r} must end in {' or '.join(self._suffixes)}.",
                param,
                ctx,
            )
        if path.is_dir():
            self.fail(
                f"{str(value)!r} is a folder, not a file. Choose the name of a file.",
                param,
                ctx,
            )
        return path

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return complete_files(incomplete)


class Preprocess(click.ParamType):
    """An input range: `LO,HI`, or a mode of `keras.applications` (caffe, tf, torch)."""

    name = "MODE|LO,HI"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the text, which the library parses again."""
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
                f"{value!r} is not a range; write the lower end first, as 0,255.",
                param,
                ctx,
            )
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return complete_names(("caffe", "tf", "torch"), incomplete)


class Range(click.ParamType):
    """The values of black and white in a generator's images: `LO,HI`."""

    name = "LO,HI"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float]:
        """Return the lower and the upper end."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in value.split(","))
        except ValueError:
            low = high = inf
        if not -inf < low < high < inf:
            named = isinstance(getattr(param, "type", None), NamedValue)
            self.fail(
                f"{value!r} is not a range: the values of black and white, with a "
                f"comma between them. Write --range{' NAME' if named else ''}="
                f"{_propose_range(value)}.",
                param,
                ctx,
            )
        return low, high


def _propose_range(text: str) -> str:
    """Return a range with the two numbers of a text, or the most usual one.

    >>> _propose_range("0-1"), _propose_range("[0, 255]"), _propose_range("tanh")
    ('0,1', '0,255', '-1,1')
    """
    number = r"(-?\d+(?:\.\d+)?)"
    pattern = rf"[\[(\s]*{number}\s*(?:,|;|:|-|to|\.\.|\s)\s*{number}[\])\s]*"
    if match := re.fullmatch(pattern, text):
        low, high = sorted(float(end) for end in match.groups())
        if low < high:
            return f"{low:g},{high:g}"
    return "-1,1"


class PriorSource(click.ParamType):
    """A learned prior: a bundled name, a generator's file or folder, or `hub:URL`.

    Args:
        *others: Other names to accept, such as those of params.
    """

    name = "PRIOR"
    bundled = ("inverter", "autoencoder")
    # What can add detail to the images of a prior, after a plus.
    refinements = ("fourier", "autoencoder")
    refined = ("inverter+fourier", "inverter+autoencoder", "autoencoder+fourier")
    # The files of priors of tfviz and of TAESD, which are read later.
    own = (".npz", ".safetensors")
    suffixes = (*own, *SUFFIXES)

    def __init__(self, *others: str) -> None:
        self._names = (*others, *self.bundled, *self.refined)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the source, unless it certainly is not that of a prior."""
        value = str(value)
        base, plus, last = value.rpartition("+")
        source = base if plus and last in self.refinements else value
        if value in self._names or is_url(source.removeprefix(HUB)):
            return value
        path = Path(split_choices(source, *CHOICES)[0])
        known = is_saved_model(path) or path.suffix.lower() in self.own
        if not known and (explained := explain_file(path)):
            self.fail(explained, param, ctx)
        if path.is_file() and path.suffix.lower() not in self.suffixes:
            self.fail(
                f"{value!r} is not a prior. A prior is a file that ends in "
                f"{', '.join(self.suffixes)}, or the folder of a SavedModel.",
                param,
                ctx,
            )
        if path.is_dir() and not is_saved_model(path):
            inner = sorted(p for p in path.iterdir() if is_saved_model(p))
            hint = f" Did you mean {str(inner[0])!r}?" if inner else ""
            self.fail(
                f"{value!r} is a folder, but not a SavedModel: it holds no "
                f"{GRAPH_FILES[0]}.{hint} Give a generator's file, or the folder of a "
                "SavedModel.",
                param,
                ctx,
            )
        if not path.exists():
            hint = did_you_mean(value, self._names)
            self.fail(
                f"There is no prior {source!r}.{hint} Give one of "
                f"{', '.join(self._names)}, a generator's file, the folder of a "
                "SavedModel, or hub:URL.",
                param,
                ctx,
            )
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return [
            *complete_names(self._names, incomplete),
            *complete_files(incomplete),
        ]


class NamedValue(click.ParamType):
    """`NAME=VALUE`: a value and what it belongs to.

    Args:
        value_type: The type of the value.
    """

    def __init__(self, value_type: click.ParamType) -> None:
        self._value_type = value_type
        self.name = f"NAME={value_type.name.upper()}"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Return the name and the value."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        if not name or not sign:
            self.fail(
                f"{value!r} is not {self.name}: a name, an equals sign and a value.",
                param,
                ctx,
            )
        return name, self._value_type.convert(text, param, ctx)


class NamedNumbers(click.ParamType):
    """`NAME=NUMBER` or `NAME=NUMBER,NUMBER,...`."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Return the name, and the number or a list of the numbers."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if not name or not sign or not numbers:
            self.fail(f"{value!r} is not NAME=VALUE; write age=30.", param, ctx)
        return name, numbers[0] if len(numbers) == 1 else numbers


class Penalty(click.ParamType):
    """`NAME=WEIGHT`, with the name of a penalty in `tfviz.objectives`."""

    name = "NAME=WEIGHT"
    names = PENALTIES

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """Return the name and the weight."""
        if isinstance(value, tuple):
            return value
        name, _, text = value.partition("=")
        if name not in self.names:
            hint = did_you_mean(name, self.names)
            self.fail(
                f"there is no penalty {name!r}.{hint} Give one of "
                f"{', '.join(self.names)}.",
                param,
                ctx,
            )
        try:
            weight = float(text)
        except ValueError:
            weight = inf
        if not -inf < weight < inf:
            self.fail(f"{value!r} has no weight; write {name}=2.", param, ctx)
        return name, weight

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        return complete_names((f"{name}=" for name in self.names), incomplete)


class Methods(click.ParamType):
    """The methods of a comparison: params and priors as `NAME` or `NAME=PRIOR`,..."""

    name = "NAME,..."
    names = (*PARAMS, *PriorSource.bundled, *PriorSource.refined)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[tuple[str, str], ...]:
        """Return the name of each method and the name or source of its param."""
        if isinstance(value, tuple):
            return value
        sources: dict[str, str] = {}
        for part in value.split(","):
            name, sign, _ = part.partition("=")
            if name in sources:
                self.fail(
                    f"{name!r} is named twice. Leave out one of them, or give NAME="
                    "PRIOR with another name.",
                    param,
                    ctx,
                )
            if sign:
                sources[name] = NamedValue(PriorSource()).convert(part, param, ctx)[1]
                continue
            if name not in self.names:
                hint = did_you_mean(name, self.names)
                self.fail(
                    f"there is no method {name!r}.{hint} Give some of "
                    f"{', '.join(self.names)}, or NAME=PRIOR.",
                    param,
                    ctx,
                )
            sources[name] = name
        return tuple(sources.items())

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell suggests."""
        earlier, comma, _ = incomplete.rpartition(",")
        names = (f"{earlier}{comma}{name}" for name in self.names)
        return complete_names(names, incomplete)


class ExistingPath(click.Path):
    """The path of a file or folder that exists; similar names are suggested.

    Args:
        **settings: As for `click.Path`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(exists=True, **settings)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path, if there is such a file or folder."""
        path = Path(os.fsdecode(value))
        if not path.exists() and path.parent.is_dir():
            near = [entry.name for entry in path.parent.iterdir()]
            hint = did_you_mean(path.name, near, cutoff=0.75)
            kind = "folder" if not self.file_okay else "file"
            if hint:
                self.fail(f"there is no {kind} {str(path)!r}.{hint}", param, ctx)
        return super().convert(value, param, ctx)


class Positive(click.FloatRange):
    """A finite number above 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number; unlike `FloatRange`, refuse infinity and NaN."""
        number = super().convert(value, param, ctx)
        if not number < inf:
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class LabelsFile(ExistingPath):
    """The path of a file of class names, one per line or as JSON."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path, if the file can be read as class names."""
        path = os.fsdecode(super().convert(value, param, ctx))
        try:
            read_labels(path)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return path


class NamesFile(click.ParamType):
    """The path of a file of names, one per line or as a JSON list."""

    name = "FILE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Return the names in the file."""
        if isinstance(value, tuple):
            return value
        file = click.Path(exists=True, dir_okay=False)
        path = Path(os.fsdecode(file.convert(value, param, ctx)))
        try:
            text = path.read_text("utf-8")
            lines = [line.strip() for line in text.splitlines()]
            is_json = text.lstrip().startswith(("[", "{"))
            names = json.loads(text) if is_json else [line for line in lines if line]
        except ValueError as error:  # raised by JSON, or by UTF-8
            self.fail(f"{str(path)!r} cannot be read: {error}", param, ctx)
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            self.fail(
                f"{str(path)!r} holds no list of names. Write one name per line, or a "
                "JSON list of names.",
                param,
                ctx,
            )
        return tuple(names)


class UnitsCommand(Command):
    """A command that takes units, and explains a unit with a leading hyphen.

    In Python, `-unit` minimizes a unit; on the command line, `-fire8:20` would be
    an option.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, unless one of them looks like a unit with a hyphen."""
        for arg in args:
            if arg == "--":
                break
            # `-mkeras:VGG16` is an option with its value.
            unit = re.match(r"-(?!-)(?!mkeras:)([^-].*[:/].*|\w{3,}\d+)$", arg)
            if unit and not Path(arg[2:]).exists():
                raise click.UsageError(
                    f"{arg!r} looks like a unit to be minimized, but a leading hyphen "
                    f"marks an option. Write neg:{unit[1]}.",
                    ctx,
                )
        return super().parse_args(ctx, args)
