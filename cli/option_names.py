"""How messages of the library name arguments at the command line: as options."""

import shlex
from typing import Any

import click

from tfviz.cli import param_types as types

# The parameters of commands that have another name than the argument in Python. The
# `output` of a model is not `--output`, the file or folder to write.
_PARAMETERS = {
    "held": ("hold",),
    "images": ("images", "folder"),
    "output": ("output_name",),
    # In comparisons, an option has a value for each prior.
    "value_range": ("value_range", "ranges"),
    "encoder": ("encoder", "encoders"),
}


def write_option(name: str, value: Any) -> str | None:
    """Return how the command in progress takes an argument of the library.

    Args:
        name: The name of the argument in Python.
        value: A value to give, or None for the name of the option alone.

    Returns:
        Such as `--range=-1,1`, or None if the command has no such option.
    """
    context = click.get_current_context(silent=True)
    parameters = context.command.params if context else []
    options = {p.name: p for p in parameters if isinstance(p, click.Option)}
    known = [options[n] for n in _PARAMETERS.get(name, (name,)) if n in options]
    if not known:
        return None
    option = known[0]
    flag = option.opts[-1]
    if value is None or value is True:
        return flag
    if isinstance(value, dict):
        pairs = (f"{key}={_join(given)}" for key, given in value.items())
        return " ".join(f"{flag} {shlex.quote(pair)}" for pair in pairs)
    write = getattr(option.type, "write", _join)
    text = shlex.quote(value) if isinstance(value, str) else write(value)
    if isinstance(option.type, types.NamedValue):
        return f"{flag} NAME={text}"
    return f"{flag}{' ' if isinstance(value, str) else '='}{text}"


def _join(value: Any) -> str:
    """Return a number, or several separated by commas."""
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return ",".join(f"{number:g}" for number in numbers)
