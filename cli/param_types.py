"""Types of arguments and options, which refuse what is wrong before any work."""

import os
import re
from math import inf
from pathlib import Path
from typing import Any

import click

from tfviz._errors import did_you_mean
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
from tfviz.optimize.options import PARAMS, PENALTIES

# What is taken for a photo in a folder.
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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
    _check = staticmethod(check_source)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Refuse what is certainly no model, before anything is loaded."""
        try:
            self._check(value)
        except (ValueError, FileNotFoundError) as error:
            self.fail(str(error), param, ctx)
        # Names are made of it, which `.` does not have.
        return str(Path.cwd()) if value == "." else value


class Judge(ModelSource):
    """A network that judges: any model, or a `.tflite` file."""

    _check = staticmethod(check_judge)


class OutputFolder(click.ParamType):
    """A folder that files can be written to, or that can be made."""

    name = "DIR"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse what can be no folder; `make_folder` does the rest."""
        if not str(value):
            self.fail("an empty name is no folder.", param, ctx)
        return Path(value)


class OutputFile(click.ParamType):
    """A file to be written, by what its name ends in."""

    name = "FILE"

    def __init__(self, *suffixes: str) -> None:
        self._suffixes = suffixes

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse what can be no such file; `make_folder` does the rest."""
        path = Path(value)
        if path.suffix.lower() not in self._suffixes:
            self.fail(
                f"{str(value)!r} must end in {' or '.join(self._suffixes)}.", param, ctx
            )
        if path.is_dir():
            self.fail(f"{str(value)!r} is a folder.", param, ctx)
        return path


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


class Range(click.ParamType):
    """What black and white are in images: `LO,HI`."""

    name = "LO,HI"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float]:
        """Return both ends."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in value.split(","))
        except ValueError:
            low = high = inf
        if not -inf < low < high < inf:
            self.fail(
                f"{value!r} is no range; write the lower end first, as -1,1.",
                param,
                ctx,
            )
        return low, high


class PriorSource(click.ParamType):
    """A prior's name, file, folder or handle."""

    name = "PRIOR"
    bundled = ("inverter", "autoencoder")
    suffixes = (".npz", ".safetensors", *SUFFIXES)

    def __init__(self, *others: str) -> None:
        self._names = (*others, *self.bundled)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Refuse what is certainly no prior, before anything is loaded."""
        value = str(value)
        if value in self._names or is_url(value.removeprefix(HUB)):
            return value
        path = Path(split_choices(value, *CHOICES)[0])
        if path.is_file() and path.suffix.lower() not in self.suffixes:
            self.fail(
                f"{value!r} is no prior; expected a file that ends in "
                f"{', '.join(self.suffixes)}.",
                param,
                ctx,
            )
        if path.is_dir() and not is_saved_model(path):
            self.fail(f"{value!r} is a folder, but no SavedModel's.", param, ctx)
        if not path.exists():
            hint = did_you_mean(value, self._names)
            self.fail(
                f"there is no {value!r}.{hint} There are {', '.join(self._names)}, or "
                "give a generator's file, a SavedModel's folder or hub:URL.",
                param,
                ctx,
            )
        return value


class Named(click.ParamType):
    """`NAME=VALUE`: something by the name that it has, or that takes part.

    Args:
        value: The type of the value.
    """

    def __init__(self, value: click.ParamType) -> None:
        self._value = value
        self.name = f"NAME={value.name.upper()}"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Return the name and the value."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        if not name or not sign:
            self.fail(f"{value!r} is not {self.name}.", param, ctx)
        return name, self._value.convert(text, param, ctx)


class Methods(click.ParamType):
    """Comma-separated params and priors, each `NAME` or `NAME=PRIOR`."""

    name = "NAME,..."
    known = (*PARAMS, *PriorSource.bundled)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[tuple[str, str], ...]:
        """Return names and what they are."""
        if isinstance(value, tuple):
            return value
        found: dict[str, str] = {}
        for part in value.split(","):
            name, sign, _ = part.partition("=")
            if name in found:
                self.fail(f"{name!r} is named twice.", param, ctx)
            if sign:
                found[name] = Named(PriorSource()).convert(part, param, ctx)[1]
                continue
            if name not in self.known:
                hint = did_you_mean(name, self.known)
                self.fail(
                    f"there is no method {name!r}.{hint} There are "
                    f"{', '.join(self.known)}, or give NAME=FILE.",
                    param,
                    ctx,
                )
            found[name] = name
        return tuple(found.items())


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


class Held(click.ParamType):
    """`NAME=VALUE`, where the value is a number or several."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Return the name and the value."""
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
    """`NAME=WEIGHT`."""

    name = "NAME=WEIGHT"
    known = PENALTIES

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """Return the name and the weight."""
        if isinstance(value, tuple):
            return value
        name, _, text = value.partition("=")
        if name not in self.known:
            hint = did_you_mean(name, self.known)
            self.fail(
                f"there is no penalty {name!r}.{hint} There are "
                f"{', '.join(self.known)}.",
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
