"""Numbers and sentences as a report writes them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from tfviz.report.rows import is_number

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


Json = Mapping[str, Any]

# What the run itself notes of each picture. Measures are described in the results.
_OF_THE_RUN = {
    "score": "The unit's objective for the picture as saved, in 8 bits and "
    "untransformed. Units have scales of their own: compare scores within a unit only.",
    "seconds": "What the choice of the start and the steps took, compilation aside. "
    "Pictures made side by side share the time.",
    "steps": "How often the picture was changed.",
    "evaluations": "How many images the visualized network was shown for the picture.",
}
# What a learned prior notes of its latents at the end, by the last part of the name.
_OF_LATENTS = {
    "clip_rate": "Which part of the latents were taken back into their domain, on "
    "average over steps.",
    "out_of_range": "Which part of the decoder's values are outside of black and white "
    "and are clipped.",
    "norm_percentile": "Of a hundred random latents how many are shorter.",
    "unusual": "Which part of the latents lie outside of the range that was measured "
    "on photos or samples.",
}
_OF_OTHERS = "Noted by the run or by the method itself."
# Columns of rows that the page shows otherwise.
_ELSEWHERE = (
    "unit",
    "method",
    "seed",
    "picture",
    "start",
    "error",
    "stuck",
    "circular",
    "id",
)
_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def definitions(results: Json) -> list[dict[str, Any]]:
    """Return what the columns of all tables mean: those of the run, then measures."""
    measures = results["measures"]
    found = {"score": None} | {
        key: None
        for row in results["rows"]
        for key in row
        if key not in _ELSEWHERE and key not in measures
    }
    described = []
    for key in sorted(found, key=lambda key: [*_OF_THE_RUN, key].index(key)):
        of_latents = _OF_LATENTS.get(key.rpartition("/")[2], _OF_OTHERS)
        summary = _OF_THE_RUN.get(key, of_latents)
        title = key.replace("_", " ")
        described.append({"key": key, "title": title, "summary": summary})
    for key, measure in measures.items():
        hint = f"{_ARROWS[measure['better']]} {direction(measure)}".strip()
        own = {"key": key, "title": titled(measure), "direction": hint}
        described.append({**measure, **own})
    ids = anchors([entry["key"] for entry in described], "about")
    return [{**entry, "anchor": ids[entry["key"]]} for entry in described]


def leaders(results: Json, measure: str) -> set[str]:
    """Return the methods that none is distinctly better than, if any is worse.

    Only what is compared counts: baselines, controls, ablations and ceilings do not.
    """
    better = results["measures"][measure]["better"]
    compared = {m["name"] for m in results["methods"] if m["kind"] == "method"}
    worse: set[str] = set()
    seen: set[str] = set()
    for pair in results["differences"]:
        sides = [pair["first"], pair["second"]]
        if pair["measure"] != measure or not compared.issuperset(sides):
            continue
        if is_number(pair["low"]) and is_number(pair["high"]):
            seen.update(sides)
            winner = favoured(pair, better)
            worse.update(side for side in sides if winner and side != winner)
    return seen - worse if worse else set()


def favoured(pair: Json, better: str) -> str | None:
    """Return which of two methods is distinctly better, or None."""
    if not pair["distinct"] or better == "neither" or not is_number(pair["mean"]):
        return None
    first_is_better = (pair["mean"] > 0) == (better == "higher")
    return pair["first"] if first_is_better else pair["second"]


def summary(results: Json, methods: Sequence[Json]) -> dict[str, Any]:
    """Return the cells of methods by measures, and which of them are among the best."""
    cells = {(entry["method"], entry["measure"]): entry for entry in results["summary"]}
    keys = [key for key in results["measures"] if any(key == m for _, m in cells)]
    best = {key: leaders(results, key) for key in keys}
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


def differences(results: Json) -> list[dict[str, Any]]:
    """Return the paired differences of each measure, with a bar for each interval."""
    found = []
    for key, measure in results["measures"].items():
        pairs = [pair for pair in results["differences"] if pair["measure"] == key]
        ends = [p[end] for p in pairs for end in ("low", "high") if is_number(p[end])]
        reach = max(map(abs, ends), default=0) or 1
        lines = [
            {
                **pair,
                "better": favoured(pair, measure["better"]),
                "bar": _bar(pair, reach),
            }
            for pair in pairs
        ]
        if lines:
            distinct = sum(bool(line["distinct"]) for line in lines)
            found.append({"key": key, "lines": lines, "distinct": distinct})
    return found


def _bar(pair: Json, reach: float) -> dict[str, float] | None:
    """Return an interval in hundredths of the widest one, around zero at 50."""
    if not all(is_number(pair[end]) for end in ("low", "high", "mean")):
        return None
    low, high, mean = (
        round(50 + 50 * pair[end] / reach, 2) for end in ("low", "high", "mean")
    )
    return {"left": low, "width": round(high - low, 2), "mean": mean}


def table(results: Json) -> dict[str, Any]:
    """Return all rows, with the columns that hold numbers or texts of their own."""
    found = {key for row in results["rows"] for key in row} - set(_ELSEWHERE)
    keys = [entry["key"] for entry in definitions(results) if entry["key"] in found]
    # The score leads, then the measures, then what they cost.
    keys.sort(key=lambda key: (key != "score", key not in results["measures"]))
    return {
        "keys": keys,
        "lines": [
            {"row": row, "cells": [row.get(key) for key in keys]}
            for row in results["rows"]
        ],
    }
