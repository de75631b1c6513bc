"""Which measures there are, and what their docstrings say of them.

A measure is defined in its docstring and nowhere else: a report shows the sections
`Formula`, `Range`, `Better`, `Source` and `Bias` as they stand there.
"""

import difflib
import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

_SECTIONS = ("formula", "range", "better", "source", "bias")
# What has one number: a picture, all pictures of a unit, or all of a method.
Level = Literal["picture", "unit", "method"]
Function = TypeVar("Function", bound=Callable[..., Any])

_TABLE: dict[str, tuple[Callable[..., Any], str, Level]] = {}


def measure(label: str, level: Level) -> Callable[[Function], Function]:
    """Enter a function in the table of measures.

    Args:
        label: A few words for the head of a column.
        level: What has one number.
    """

    def enter(function: Function) -> Function:
        _TABLE[function.__name__] = (function, label, level)
        return function

    return enter


def describe(name: str) -> dict[str, str]:
    """Return what a measure is, for people: read from its docstring.

    Args:
        name: Of the function, such as `"relative"`.

    Returns:
        `label`, a few words; `summary`, a sentence; `formula`; `range`, of its values;
        `better`: `"higher"`, `"lower"` or `"neither"`; `source`, the paper it is from;
        `bias`, what it is blind to; `level`, what has one number: `"picture"`,
        `"unit"` or `"method"`.

    Raises:
        ValueError: If there is no such measure.

    >>> describe("gain")["formula"]
    'score - best_of_n'
    """
    if name not in _TABLE:
        close = difflib.get_close_matches(name, _TABLE, 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {_names()}."
        raise ValueError(f"There is no measure {name!r}. {hint}")
    function, label, level = _TABLE[name]
    text = inspect.getdoc(function) or ""
    lines: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z][a-z]+:", line):
            section = line[:-1].lower()
        elif line.startswith("    "):
            lines.setdefault(section, []).append(line.strip())
        elif line:  # sections are over
            section = ""
    told = {"label": label, "summary": text.partition("\n")[0]}
    told |= {section: " ".join(lines[section]) for section in _SECTIONS}
    return told | {"level": level}


def _names() -> str:
    return ", ".join(sorted(_TABLE))
