"""Numbers and sentences as a report writes them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup, escape

from tfviz._report_rows import is_number

UNKNOWN, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

_LINK = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:)\]]")
_SPECIAL = re.compile(rf"`([^`]+)`|({_LINK.pattern})")


def number(value: Any) -> str:
    """Return a number with three digits that count, or more if it is whole.

    >>> [number(value) for value in (0.12345, 2.0, 1234.5, 256, 2.5e9)]
    ['0.123', '2', '1,234', '256', '2.5e+09']
    """
    if not is_number(value):
        return UNKNOWN
    value = value or 0  # of -0.0 the sign says nothing
    size = abs(float(f"{value:.3g}"))  # 999.6 is written as a thousand is
    whole = size >= 1000 or value == int(value)
    text = f"{value:,.0f}" if whole and size < 1e7 else f"{value:.3g}"
    return text.replace("-", MINUS)


def shown(value: Any) -> str:
    """Return any value of a table's cell as text.

    >>> [shown(value) for value in (0.5, "text", True, [1, 2])]
    ['0.5', 'text', 'yes', '1, 2']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, str):
        return value
    return number(value)


def sortable(value: Any) -> str:
    """Return what a cell is sorted by: nothing where its value is not known.

    >>> [sortable(value) for value in (0.5, "text", None, float("nan"))]
    ['0.5', 'text', '', '']
    """
    text = shown(value)
    return repr(value) if is_number(value) else text.removeprefix(UNKNOWN)


def exact(value: Any) -> str:
    """Return a setting as it was given.

    >>> [exact(value) for value in (0.0001234, False, None, [224, 224])]
    ['0.0001234', 'no', 'none', '224, 224']
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(exact(item) for item in value)
    return str(value)


def prose(text: str) -> Markup:
    """Return a sentence as HTML, with its `code` and its links to papers.

    >>> print(prose("`x` < 1"))
    <code>x</code> &lt; 1
    """
    parts: list[Markup] = []
    at = 0
    for found in _SPECIAL.finditer(text):
        parts.append(escape(text[at : found.start()]))
        code, link = found.groups()
        if code is not None:
            parts.append(Markup("<code>{}</code>").format(code))
        else:
            anchor = Markup('<a href="{0}" rel="noreferrer">{0}</a>')
            parts.append(anchor.format(link))
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def titled(measure: Mapping[str, Any]) -> str:
    """Return the label of a measure with the judge that takes part in it."""
    label, judge = measure["label"], measure.get("judge")
    return f"{label} ({judge})" if judge and judge not in label else label


def direction(measure: Mapping[str, Any]) -> str:
    """Return which values of a measure are better, in words."""
    better = measure["better"]
    return "no direction is better" if better == "neither" else f"{better} is better"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> counted(1, "seed"), counted(3, "seed"), counted(0, "photo of", "photos of")
    ('1 seed', '3 seeds', '0 photos of')
    """
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def anchors(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Return an id for each name, no two of them equal.

    >>> anchors(["a@B", "a b", "c"], "measure")
    {'a@B': 'measure-a-b', 'a b': 'measure-a-b-2', 'c': 'measure-c'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{name}".lower()).strip("-")
        anchor, repeat = plain, 1
        while anchor in found.values():
            repeat += 1
            anchor = f"{plain}-{repeat}"
        found[name] = anchor
    return found
