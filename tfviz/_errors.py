"""The texts of errors: one line from Keras and TensorFlow, hints, names of arguments.

A message that tells the user to give an argument has to name an option instead where
the user is at the command line. It therefore contains `argument(...)`, and the command
line says with `speaking` how arguments are written there.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

# How the user writes an argument and its value, or None where only Python has it. The
# innermost comes last.
_WRITERS: list[Callable[[str, Any], str | None]] = []
# The other names that arguments have in the function that the user called.
_RENAMED: list[dict[str, str]] = []

# Beginnings of lines with the reason of an error, which Keras may put far below.
_REASONS = ("Could not locate", "Unknown layer", "Negative dimension")
# Beginnings of lines that only say where an error occurred.
_LOCATIONS = (
    *("Exception encountered when calling", "Could not deserialize"),
    # TensorFlow prints the origin of an operation before the reason.
    *("Graph execution error", "Detected at node", "<stack traces unavailable>"),
    'File "',
)


def reason_of(error: BaseException) -> str:
    """Return the line of an error's message that states the reason."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    text = re.sub(r" for '\{\{node (.*?)\}\}.*", r" at \1", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in lines:
        if line.startswith(_REASONS):
            return line
    reasons = [line for line in lines if not line.startswith(_LOCATIONS)]
    return (reasons or lines)[0]


def did_you_mean(
    name: str, candidates: Iterable[str], *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return a hint at the most similar names, to append to a message, or nothing.

    Args:
        name: A name that does not exist.
        candidates: The names that exist.
        most: The largest number of names in the hint.
        cutoff: The least similarity, from 0 to 1, as in `difflib.get_close_matches`.

    >>> did_you_mean("fier8", ["conv1", "fire8"]), did_you_mean("x", ["conv1"])
    (" Did you mean 'fire8'?", '')
    """
    close = get_close_matches(name, list(candidates), most, cutoff)
    return f" Did you mean {', '.join(map(repr, close))}?" if close else ""


def argument(name: str, value: Any = None, *, python: str | None = None) -> str:
    """Return how the user gives an argument, to be put into a message.

    In Python this is the argument, at the command line the option of the same purpose:
    `value_range=(-1, 1)` or `--range=-1,1`.

    Args:
        name: The name of the argument.
        value: A value to give, or None to return the name alone.
        python: What to do in Python instead, where that is not an argument.

    >>> argument("value_range"), argument("value_range", (-1, 1))
    ('`value_range`', 'value_range=(-1, 1)')
    """
    for renamed in reversed(_RENAMED):
        name = renamed.get(name, name)
    for write in reversed(_WRITERS):
        text = write(name, value)
        if text is not None:
            return text
    if python is not None:
        return python
    return f"`{name}`" if value is None else f"{name}={value!r}"


def either(*, python: str, command_line: str) -> str:
    """Return one of two texts: for a user of Python, or of the command line.

    >>> either(python="tfviz.check_range", command_line="`tfviz check`")
    'tfviz.check_range'
    """
    return command_line if _WRITERS else python


@contextmanager
def speaking(write: Callable[[str, Any], str | None]) -> Iterator[None]:
    """Let messages name arguments as the user of a program writes them.

    Args:
        write: `write(name, value)`, the text for an argument and its value, or for its
            name alone if the value is None. It returns None for an argument that the
            program does not have.

    >>> with speaking(lambda name, value: f"--{name}={value}"):
    ...     argument("steps", 5)
    '--steps=5'
    """
    _WRITERS.append(write)
    try:
        yield
    finally:
        _WRITERS.remove(write)


@contextmanager
def renaming(**names: str) -> Iterator[None]:
    """Let messages of inner functions use the names that an outer function has.

    Args:
        **names: The outer name of each inner argument.

    >>> with renaming(latents="given"):
    ...     argument("latents", {"y": 1})
    "given={'y': 1}"
    """
    _RENAMED.append(names)
    try:
        yield
    finally:
        _RENAMED.remove(names)


def count_of(number: int, noun: str) -> str:
    """Return a number with a noun, in the plural unless the number is 1.

    >>> count_of(1, "batch"), count_of(3, "batch"), count_of(0, "layer")
    ('1 batch', '3 batches', '0 layers')
    """
    ending = "es" if noun.endswith(("ch", "ss")) else "s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{ending}"
