"""The table of measures, and the checks of their arguments."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._errors import did_you_mean
from tfviz.images import to_floats

Function = TypeVar("Function", bound=Callable[..., Any])

# The function and the description of each measure, by its name.
_TABLE: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {}


def describe(name: str) -> dict[str, str]:
    """Return the description of a measure, as a report shows it.

    Args:
        name: The name of the measure's function, such as `"relative"`.

    Returns:
        `label`, a few words for the head of a column; `summary`, a sentence;
        `formula`; `range`, of the values; `better`: `"higher"`, `"lower"` or
        `"neither"`; `source`, the paper that the measure is from; `bias`, the
        measure's blind spots; `level`, the items that get a value each: `"picture"`,
        `"unit"` (all pictures of a unit) or `"method"` (all pictures of a method).

    Raises:
        ValueError: If there is no such measure.

    >>> describe("gain")["formula"]
    'score - mean(others)'
    """
    if name not in _TABLE:
        hint = did_you_mean(name, _TABLE)
        raise ValueError(
            f"There is no measure {name!r}."
            + (hint or f" The measures are {', '.join(sorted(_TABLE))}.")
        )
    _, description = _TABLE[name]
    return dict(description)


def measure(
    label: str,
    *,
    level: Literal["picture", "unit", "method"],
    summary: str,
    formula: str,
    range: str,
    better: Literal["higher", "lower", "neither"],
    source: str,
    bias: str,
) -> Callable[[Function], Function]:
    """Enter a function in the table of measures, and complete its docstring.

    The description is passed as arguments, because Python drops docstrings under
    `-OO`. Where the function has a docstring, it must start with the summary; the other
    texts are inserted below it for readers of `help`.

    Args:
        label: A few words for the head of a column.
        level: The items that get a value each.
        summary: One sentence, the first line of the docstring.
        formula: The formula of the value.
        range: The range of the values, and the values that mark its ends.
        better: The direction in which pictures get better.
        source: The paper that the measure is from.
        bias: The measure's blind spots, and the pictures that it flatters.
    """
    sections = {
        "formula": formula,
        "range": range,
        "better": better,
        "source": source,
        "bias": bias,
    }

    def enter(function: Function) -> Function:
        description = {"label": label, "summary": summary, **sections, "level": level}
        _TABLE[function.__name__] = (function, description)
        if function.__doc__:
            first, _, rest = inspect.cleandoc(function.__doc__).partition("\n\n")
            inserted = [_section(*section) for section in sections.items()]
            function.__doc__ = "\n\n".join([first, *inserted, rest])
        return function

    return enter


def _section(name: str, text: str) -> str:
    """Return a section of a docstring.

    >>> print(_section("better", "lower"))
    Better:
        lower
    """
    lines = textwrap.fill(text, 84, break_long_words=False, break_on_hyphens=False)
    return f"{name.capitalize()}:\n{textwrap.indent(lines, '    ')}"


# Resizing and similar operations leave [0, 1] by no more than this.
ROUNDING = 1e-5


def as_numbers(
    name: str, values: ArrayLike, axes: str = "", fewest: int = 1
) -> NDArray[np.float64]:
    """Return an argument as an array of finite numbers.

    Args:
        name: The name of the argument, for messages.
        values: The value of the argument.
        axes: One letter for each axis that the array must have; any shape if empty.
        fewest: The least length of the first axis.

    Raises:
        ValueError: If the array has another shape, or some numbers are not finite.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array of numbers: {error}") from error
    if axes and (
        numbers.ndim != len(axes) or len(numbers) < fewest or not numbers.size
    ):
        shape = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        raise ValueError(
            f"`{name}` must have the shape {shape} with {axes[0]} >= {fewest}. "
            f"Received: shape {numbers.shape}"
        )
    check_finite(name, numbers)
    return numbers


def check_finite(name: str, values: NDArray[Any]) -> None:
    """Refuse NaN and infinity."""
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ValueError(
            f"`{name}` must be finite numbers. Received: {bad} of {values.size} that "
            "are not. Leave out the pictures or photos that they belong to."
        )


def check_same_rows(
    name: str, values: NDArray[Any], other: str, others: NDArray[Any]
) -> None:
    """Refuse arrays whose rows differ in shape."""
    if values.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"The rows of `{name}` and `{other}` must have the same shape. Received: "
            f"{values.shape[1:]} and {others.shape[1:]}"
        )


def as_indices(
    name: str, values: ArrayLike, count: int, low: int, high: int
) -> NDArray[np.intp]:
    """Return an argument as `count` whole numbers from `low` to below `high`.

    Raises:
        ValueError: If it is anything else.
    """
    indices = np.asarray(values)
    if indices.shape != (count,) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be {count} whole numbers, one for each picture. Received: "
            f"shape {indices.shape}, {indices.dtype}"
        )
    if indices.min(initial=low) < low or indices.max(initial=low) >= high:
        raise ValueError(
            f"`{name}` must lie from {low} to {high - 1}. Received: {indices.min()} to "
            f"{indices.max()}"
        )
    return indices.astype(np.intp)


def as_pictures(images: ArrayLike) -> NDArray[np.floating]:
    """Return images as floats in [0, 1].

    Raises:
        ValueError: If the array does not hold images.
    """
    pictures = np.asarray(images)
    is_bytes = pictures.dtype == np.uint8
    is_numeric = is_bytes or pictures.dtype.kind == "f"
    if pictures.ndim != 4 or not pictures.size or not is_numeric:
        raise ValueError(
            "`images` must have the shape (n, height, width, channels), as bytes or "
            f"floats. Received: shape {pictures.shape}, {pictures.dtype}"
        )
    if is_bytes:
        return to_floats(pictures)
    if not (pictures.min() >= -ROUNDING and pictures.max() <= 1 + ROUNDING):
        raise ValueError(
            "`images` must lie in [0, 1], or be bytes. "
            f"Received: {pictures.min():g} to {pictures.max():g}"
        )
    return np.clip(pictures, 0, 1)
