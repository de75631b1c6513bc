"""Format numbers and sentences for a report, and arrange its tables.

The first part turns values into text: numbers, table cells, settings, prose with links
and short lists. The second part turns results into the tables of the page: definitions
of the columns, the summary, the paired differences and all rows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from tfviz.report.rows import is_number

Json = Mapping[str, Any]

UNKNOWN, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

_LINK = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:)\]]")
_CODE_OR_LINK = re.compile(rf"`([^`]+)`|({_LINK.pattern})")

# The columns that the run records for every picture. The results describe measures.
_RUN_COLUMNS = {
    "score": "The unit's objective for the picture as saved: in 8 bits and without "
    "transforms. Each unit has its own scale, so compare scores only within a unit.",
    "seconds": "The time for choosing the start and for the steps, without "
    "compilation. Pictures that are optimized together share the time equally.",
    "steps": "The number of optimization steps.",
    "forward_passes": "The cost of the picture, in forward passes of the visualized "
    "network: 1 for each start that was drawn, 3.2 for each step with its gradient.",
    "scored_by": "The network that scored the picture and the photos.",
}
# The columns that a learned prior records for its final latents, by the last part of
# the name.
_LATENT_COLUMNS = {
    "clip_rate": "The share of the latents that had to be moved back into their "
    "domain, averaged over the steps.",
    "out_of_range": "The share of the decoder's values that are darker than black or "
    "brighter than white, and are clipped.",
    "norm_percentile": "The percentage of random latents that have a smaller norm.",
    "unusual": "The share of the latents outside of the range that was measured on "
    "photos or samples.",
}
_OTHER_COLUMNS = "Recorded by the run or by the method itself."
# Columns that the page shows in other ways than as a column of numbers.
_NOT_TABULATED = (
    "unit",
    "method",
    "seed",
    "picture",
    "start",
    "error",
    "stuck",
    "kinship",
    "id",
)
_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def number(value: Any) -> str:
    """Format a number with three significant digits, or all digits of an integer.

    >>> [number(value) for value in (0.12345, 2.0, 1234.5, 256, 2.5e9)]
    ['0.123', '2', '1,234', '256', '2.5e+09']
    """
    if not is_number(value):
        return UNKNOWN
    value = value or 0  # the sign of -0.0 carries no information
    size = abs(float(f"{value:.3g}"))  # rounded first: 999.6 is written like 1000
    whole = size >= 1000 or value == int(value)
    text = f"{value:,.0f}" if whole and size < 1e7 else f"{value:.3g}"
    return text.replace("-", MINUS)


def cell_text(value: Any) -> str:
    """Format any value of a table cell.

    >>> [cell_text(value) for value in (0.5, "text", True, [1, 2])]
    ['0.5', 'text', 'yes', '1, 2']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell_text(item) for item in value)
    if isinstance(value, str):
        return value
    return number(value)


def sort_key(value: Any) -> str:
    """Return the text by which a cell is sorted, empty if its value is missing.

    >>> [sort_key(value) for value in (0.5, "text", None, float("nan"))]
    ['0.5', 'text', '', '']
    """
    text = cell_text(value)
    return repr(value) if is_number(value) else text.removeprefix(UNKNOWN)


def setting_text(value: Any) -> str:
    """Format a setting with all its digits.

    >>> [setting_text(value) for value in (0.0001234, False, None, [224, 224])]
    ['0.0001234', 'no', 'none', '224, 224']
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting_text(item) for item in value)
    return str(value)


def prose(text: str) -> Markup:
    """Convert a sentence to HTML, with its `code` and its links to papers.

    >>> print(prose("`x` < 1"))
    <code>x</code> &lt; 1
    """
    parts: list[Markup] = []
    end = 0
    for match in _CODE_OR_LINK.finditer(text):
        parts.append(escape(text[end : match.start()]))
        code, link = match.groups()
        if code is not None:
            parts.append(Markup("<code>{}</code>").format(code))
        else:
            anchor = Markup('<a href="{0}" rel="noreferrer">{0}</a>')
            parts.append(anchor.format(link))
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def measure_label(measure: Mapping[str, Any]) -> str:
    """Return the label of a measure, with the name of its judge if it has one."""
    label, judge = measure["label"], measure.get("judge")
    return f"{label} ({judge})" if judge and judge not in label else label


def direction(measure: Mapping[str, Any]) -> str:
    """Say in words which values of a measure are better."""
    better = measure["better"]
    return "no direction is better" if better == "neither" else f"{better} is better"


def count_noun(count: int, singular: str, plural: str | None = None) -> str:
    """Format a count together with its noun.

    >>> count_noun(1, "seed"), count_noun(3, "seed")
    ('1 seed', '3 seeds')
    >>> count_noun(0, "photo of", "photos of")
    '0 photos of'
    """
    noun = singular if count == 1 else plural or singular + "s"
    return f"{number(count)} {noun}"


def join_names(names: Iterable[str]) -> str:
    """Join names with commas and "and", as in a sentence.

    >>> join_names(["a"]), join_names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def make_anchors(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Make a unique HTML id for each name.

    >>> make_anchors(["a@B", "a b", "c"], "measure")
    {'a@B': 'measure-a-b', 'a b': 'measure-a-b-2', 'c': 'measure-c'}
    """
    anchors: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{name}".lower()).strip("-")
        anchor, repeat = plain, 1
        while anchor in anchors.values():
            repeat += 1
            anchor = f"{plain}-{repeat}"
        anchors[name] = anchor
    return anchors


def column_definitions(results: Json) -> list[dict[str, Any]]:
    """Define the columns of all tables: first those of the run, then the measures."""
    measures = results["measures"]
    run_columns = {"score": None} | {
        key: None
        for row in results["rows"]
        for key in row
        if key not in _NOT_TABULATED and key not in measures
    }
    order = [*_RUN_COLUMNS, *(key for key in run_columns if key not in _RUN_COLUMNS)]
    definitions = []
    for key in sorted(run_columns, key=order.index):
        fallback = _LATENT_COLUMNS.get(key.rpartition("/")[2], _OTHER_COLUMNS)
        summary = _RUN_COLUMNS.get(key, fallback)
        title = key.replace("_", " ")
        definitions.append({"key": key, "title": title, "summary": summary})
    for key, measure in measures.items():
        hint = f"{_ARROWS[measure['better']]} {direction(measure)}".strip()
        own = {"key": key, "title": measure_label(measure), "direction": hint}
        definitions.append({**measure, **own})
    anchors = make_anchors([entry["key"] for entry in definitions], "about")
    return [{**entry, "anchor": anchors[entry["key"]]} for entry in definitions]


def summary_table(results: Json, methods: Sequence[Json]) -> dict[str, Any]:
    """Arrange the summary as a table of methods by measures.

    Returns:
        The `keys` of the measures, and a line for each method: its `method`, and its
        `cells`, each of which says whether the method is among the `best`.
    """
    cells = {(entry["method"], entry["measure"]): entry for entry in results["summary"]}
    keys = [key for key in results["measures"] if any(key == m for _, m in cells)]
    best = {key: best_methods(results, key) for key in keys}
    lines = [
        {
            "method": method,
            "cells": [
                {
                    **cells.get((method["name"], key), {}),
                    "best": method["name"] in best[key],
                }
                for key in keys
            ],
        }
        for method in methods
        if any((method["name"], key) in cells for key in keys)
    ]
    return {"keys": keys, "lines": lines}


def reference_table(results: Json) -> dict[str, Any]:
    """Arrange the references of the judges as a table of kinds by judges.

    Returns:
        The `keys` of the measures with their thresholds, and a line for each kind: its
        `name`, and its `cells`, which are empty for judges that lack it.
    """
    references = results["references"]
    cells = {
        (kind["name"], entry["measure"]): kind
        for entry in references
        for kind in entry["pictures"]
    }
    keys = {entry["measure"]: entry["threshold"] for entry in references}
    lines = [
        {"name": name, "cells": [cells.get((name, key), {}) for key in keys]}
        for name in dict.fromkeys(name for name, _ in cells)
    ]
    return {"keys": keys, "lines": lines}


def best_methods(results: Json, measure: str) -> set[str]:
    """Return the methods than which no other is distinctly better in a measure.

    Only methods that compete count: baselines, controls, ablations and ceilings do not.

    Returns:
        Their names; none if no method is distinctly worse than another.
    """
    better = results["measures"][measure]["better"]
    competing = {m["name"] for m in results["methods"] if m["kind"] == "method"}
    worse: set[str] = set()
    compared: set[str] = set()
    for pair in results["differences"]:
        sides = [pair["first"], pair["second"]]
        if pair["measure"] != measure or not competing.issuperset(sides):
            continue
        if is_number(pair["low"]) and is_number(pair["high"]):
            compared.update(sides)
            winner = better_method(pair, better)
            worse.update(side for side in sides if winner and side != winner)
    return compared - worse if worse else set()


def better_method(pair: Json, better: str) -> str | None:
    """Return which of two methods is distinctly better, or None if neither is."""
    if not pair["distinct"] or better == "neither" or not is_number(pair["mean"]):
        return None
    first_is_better = (pair["mean"] > 0) == (better == "higher")
    return pair["first"] if first_is_better else pair["second"]


def difference_tables(results: Json) -> list[dict[str, Any]]:
    """Arrange the paired differences by measure, with a bar for each interval."""
    tables = []
    for key, measure in results["measures"].items():
        pairs = [pair for pair in results["differences"] if pair["measure"] == key]
        ends = [p[end] for p in pairs for end in ("low", "high") if is_number(p[end])]
        reach = max(map(abs, ends), default=0) or 1
        lines = [
            {
                **pair,
                "better": better_method(pair, measure["better"]),
                "bar": _bar(pair, reach),
            }
            for pair in pairs
        ]
        if lines:
            distinct = sum(bool(line["distinct"]) for line in lines)
            tables.append({"key": key, "lines": lines, "distinct": distinct})
    return tables


def _bar(pair: Json, reach: float) -> dict[str, float] | None:
    """Scale an interval to percent of the bar's width, with zero at 50."""
    if not all(is_number(pair[end]) for end in ("low", "high", "mean")):
        return None
    low, high, mean = (
        round(50 + 50 * pair[end] / reach, 2) for end in ("low", "high", "mean")
    )
    return {"left": low, "width": round(high - low, 2), "mean": mean}


def row_table(results: Json) -> dict[str, Any]:
    """Arrange all rows as a table of their numbers and other values."""
    present = {key for row in results["rows"] for key in row} - set(_NOT_TABULATED)
    keys = [e["key"] for e in column_definitions(results) if e["key"] in present]
    # The score comes first, then the measures, then the costs.
    keys.sort(key=lambda key: (key != "score", key not in results["measures"]))
    return {
        "keys": keys,
        "lines": [
            {"row": row, "cells": [row.get(key) for key in keys]}
            for row in results["rows"]
        ],
    }
