"""The tables of a report, as its template takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tfviz._report_rows import is_number
from tfviz._report_text import anchors, direction, titled

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
