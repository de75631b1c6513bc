"""Which measures there are, and what their docstrings say of them.

A measure is defined in its docstring and nowhere else: a report shows the sections
`Formula`, `Range`, `Better`, `Source` and `Bias` as they stand there.
"""

import difflib
import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.images import to_floats

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


# How far resizing and the like can leave [0, 1].
ROUNDING = 1e-5


def numbers(
    name: str, values: ArrayLike, axes: str = "", fewest: int = 1
) -> NDArray[np.float64]:
    """Return finite numbers of a given shape.

    Args:
        name: Of the argument, for the message.
        values: What was given.
        axes: A letter for each, or none for any shape.
        fewest: How long the first axis must be.

    Raises:
        ValueError: If they are of another shape, or some are not finite.
    """
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array of numbers: {error}") from error
    if axes and (found.ndim != len(axes) or len(found) < fewest or not found.size):
        shape = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        raise ValueError(
            f"`{name}` must have the shape {shape}, {axes[0]} from {fewest}. "
            f"Received: shape {found.shape}"
        )
    check_finite(name, found)
    return found


def check_finite(name: str, values: NDArray) -> None:
    """Refuse NaN and infinity."""
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ValueError(
            f"`{name}` must be finite numbers. Received: {bad} of {values.size} that "
            "are not. Leave out what failed."
        )


def alike(name: str, values: NDArray, other: str, others: NDArray) -> None:
    """Refuse arrays whose rows differ in shape."""
    if values.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"The rows of `{name}` and `{other}` must have the same shape. Received: "
            f"{values.shape[1:]} and {others.shape[1:]}"
        )


def indices(
    name: str, values: ArrayLike, count: int, low: int, high: int
) -> NDArray[np.intp]:
    """Return `count` whole numbers from `low` to below `high`.

    Raises:
        ValueError: If they are something else.
    """
    found = np.asarray(values)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be {count} whole numbers, one for each picture. Received: "
            f"shape {found.shape}, {found.dtype}"
        )
    if found.min(initial=low) < low or found.max(initial=low) >= high:
        raise ValueError(
            f"`{name}` must lie from {low} to {high - 1}. Received: {found.min()} to "
            f"{found.max()}"
        )
    return found.astype(np.intp)


def pictures(images: ArrayLike) -> NDArray[np.floating]:
    """Return images as floats in [0, 1].

    Raises:
        ValueError: If they are no images.
    """
    found = np.asarray(images)
    is_bytes = found.dtype == np.uint8
    if found.ndim != 4 or not found.size or not (is_bytes or found.dtype.kind == "f"):
        raise ValueError(
            "`images` must have the shape (n, height, width, channels), as bytes or "
            f"floats. Received: shape {found.shape}, {found.dtype}"
        )
    if is_bytes:
        return to_floats(found)
    if not (found.min() >= -ROUNDING and found.max() <= 1 + ROUNDING):
        raise ValueError(
            "`images` must lie in [0, 1], or be bytes. "
            f"Received: {found.min():g} to {found.max():g}"
        )
    return np.clip(found, 0, 1)
