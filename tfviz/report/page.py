"""The page of a report: one HTML file that needs no other and asks for nothing."""

import csv
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from tfviz import images
from tfviz.report import formatting
from tfviz.report.formatting import (
    cell_text,
    count_noun,
    join_names,
    number,
    prose,
    setting_text,
    sort_key,
)
from tfviz.report.pictures import embed_pictures, write_sheets
from tfviz.report.plots import draw_plots
from tfviz.report.rows import (
    PAGE,
    SHEETS,
    TABLE,
    check,
    check_installed,
    is_number,
    lowest_score,
    select_starts,
    sort_methods,
)

Json = Mapping[str, Any]

# How each kind is called, alone and among others, and the mark that stands for it here
# and in the plots.
_KINDS = {
    "baseline": ("baseline", "Baselines", "■"),
    "method": ("method", "Methods", "●"),
    "ablation": ("ablation", "Ablations", "◆"),
    "control": ("control", "Controls", "▲"),
    "ceiling": ("ceiling", "Ceilings", "★"),
}
_COLOURS = 8
# What methods and rows need not say.
_UNSAID: dict[str, Any] = {"of": None, "circular": False, "description": ""}
_BLANK = {"picture": None, "start": None, "error": None, "stuck": None}
# Below pictures stands this measure, or the score where it is not known.
_HEADLINE = "relative"


def page(results: Json, folder: Path) -> str:
    """Return the report as HTML.

    Args:
        results: Of a comparison, checked.
        folder: Where its pictures are.
    """
    methods = _methods(results)
    described = formatting.column_definitions(results)
    numbered = [
        {**_BLANK, **row, "id": f"row-{n}"} for n, row in enumerate(results["rows"], 1)
    ]
    tells_stuck = any("stuck" in row for row in results["rows"])
    results = {**results, "rows": numbered}
    by_kind = [
        {"title": _KINDS[kind][1], "methods": [m for m in methods if m["kind"] == kind]}
        for kind in _KINDS
    ]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "cell_text": cell_text,
        "setting_text": setting_text,
        "prose": prose,
        "is_number": is_number,
        "sort_key": sort_key,
    }
    text = files("tfviz.report").joinpath("report.html.jinja").read_text("utf-8")
    return environment.from_string(text).render(
        results=results,
        lead=_lead(results),
        methods={method["name"]: method for method in methods},
        kinds=[group for group in by_kind if group["methods"]],
        about={entry["key"]: entry for entry in described},
        definitions=described,
        summary=formatting.summary_table(results, methods),
        differences=formatting.difference_tables(results),
        plots=draw_plots(results, methods),
        units=list(_units(results, methods)),
        pictures=embed_pictures(folder, _paths(results)),
        table=formatting.row_table(results),
        headline=_headline(results),
        failed=[row for row in numbered if row["error"]],
        stuck=[row for row in numbered if row["stuck"]],
        tells_stuck=tells_stuck,
        seeds=max((len(group) for group in _groups(results).values()), default=1),
    )


def _methods(results: Json) -> list[dict[str, Any]]:
    """Return the methods in order, each with its colour and mark."""
    found = []
    compared = 0
    for method in sort_methods(results["methods"]):
        label, _, mark = _KINDS[method["kind"]]
        colour = "muted"
        if method["kind"] == "method":
            colour = f"c{compared % _COLOURS + 1}"
            compared += 1
        if method.get("of"):
            label = f"{label} of {method['of']}"
        shown_as = {"label": label, "mark": mark, "colour": colour}
        found.append(_UNSAID | dict(method) | shown_as)
    return found


def _lead(results: Json) -> str:
    """Return in a paragraph what was compared."""
    settings, provenance = results["settings"], results["provenance"]
    counts = dict.fromkeys(_KINDS, 0)
    for method in results["methods"]:
        counts[method["kind"]] += 1
    model = provenance.get("model", {}).get("name")
    seeds = settings.get("seeds", 1)
    seeds = seeds if isinstance(seeds, int) else len(seeds)
    budget = [
        count_noun(settings[key], one)
        for key, one in (("steps", "step"), ("seconds", "second"))
        if is_number(settings.get(key))
    ]
    text = (
        f"{count_noun(counts.pop('method'), 'method')} rendered the same "
        f"{count_noun(len(results['units']), 'unit')}{f' of {model}' if model else ''}, "
        f"from {count_noun(seeds, 'seed')} each"
    )
    if budget:
        text += f" and with the same budget of {join_names(budget)} a picture"
    text += "."
    beside = [
        count_noun(count, *(name.lower() for name in _KINDS[kind][:2]))
        for kind, count in counts.items()
        if count
    ]
    if beside:
        text += f" Beside them stand {join_names(beside)}."
    photos = provenance.get("images", {}).get("count")
    judges = [judge["name"] for judge in results["judges"]]
    text += " Pictures were judged as saved, in 8 bits"
    if is_number(photos):
        text += f", against {count_noun(photos, 'photo')}"
    if judges:
        networks = "a network" if len(judges) == 1 else "networks"
        text += (
            f", and by {networks} that never saw the optimization: {join_names(judges)}"
        )
    return f"{text}."


def _headline(results: Json) -> str:
    known = any(_HEADLINE in row for row in results["rows"])
    return _HEADLINE if known else "score"


def _groups(results: Json) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rows of each unit and method."""
    groups = defaultdict(list)
    for row in results["rows"]:
        groups[row["unit"], row["method"]].append(row)
    return groups


def _units(results: Json, methods: Sequence[Json]) -> Iterator[dict[str, Any]]:
    """Yield the pictures of each unit, as they stand in the page."""
    groups = _groups(results)
    for unit in results["units"]:
        name = unit["name"]
        own = [row for row in results["rows"] if row["unit"] == name]
        shown_groups = []
        for method in methods:
            rows = groups.get((name, method["name"]), [])
            if any(row.get("picture") or row.get("error") for row in rows):
                least = lowest_score(rows)
                shown_groups.append({"method": method, "rows": rows, "least": least})
        yield {
            **unit,
            "photos": results["photos"].get(name, []),
            "starts": select_starts(own, methods),
            "groups": shown_groups,
        }


def _paths(results: Json) -> list[str]:
    """Return the names of all pictures that the page shows."""
    found: list[str] = []
    for unit in results["units"]:
        own = [row for row in results["rows"] if row["unit"] == unit["name"]]
        found += results["photos"].get(unit["name"], [])
        found += [row["start"] for row in select_starts(own, results["methods"])]
        found += [row["picture"] for row in own if row.get("picture")]
    return list(dict.fromkeys(found))


_FIRST = ("unit", "method", "seed", "score")


def write(results: Mapping[str, Any], folder: str | os.PathLike) -> Path:
    """Write the report of a comparison.

    Args:
        results: As `read` returns them.
        folder: Where the pictures are that the results name. It gets `report.html`,
            one file that needs no other; `results.csv`, one line for each picture; and
            a PNG for each unit in `sheets/`.

    Returns:
        The page.

    Raises:
        RuntimeError: If the extra `report` is not installed.
        FileNotFoundError: If a picture that the results name is not there.
        ValueError: If the results contradict themselves, or name a picture outside of
            the folder.
    """
    check_installed()

    check(results, "`results`")
    folder = Path(folder)
    text = page(results, folder).encode()
    images.write_safely(folder / TABLE, lambda file: file.write(_table(results)))
    write_sheets(results, folder, folder / SHEETS)
    images.write_safely(folder / PAGE, lambda file: file.write(text))
    return folder / PAGE


def _table(results: Mapping[str, Any]) -> bytes:
    """Return the rows as CSV; what is not known is empty."""
    rows = results["rows"]
    found = dict.fromkeys(key for row in rows for key in row if key not in _FIRST)
    measures = [key for key in results["measures"] if key in found]
    columns = [*_FIRST, *measures, *(key for key in found if key not in measures)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value)
