"""Write the report of a comparison: the page, the table of numbers and the sheets.

The page is one HTML file that contains everything it shows, including the pictures, and
loads nothing from elsewhere. `report.html.jinja` is its template; this module computes
the values that the template shows.
"""

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
from markupsafe import Markup

from tfviz._files import write_safely
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

# The name of each kind of method, the heading of its group, and its marker, which
# resembles the one in the plots.
_KINDS = {
    "baseline": ("baseline", "Baselines", "■"),
    "method": ("method", "Methods", "●"),
    "ablation": ("ablation", "Ablations", "◆"),
    "control": ("control", "Controls", "▲"),
    "ceiling": ("ceiling", "Ceilings", "★"),
}
# The number of colours that the page defines for methods.
_COLOURS = 8
# The values of keys that methods and rows may lack.
_METHOD_DEFAULTS: dict[str, Any] = {
    "of": None,
    "kinship": None,
    "related_judges": (),
    "description": "",
}
_ROW_DEFAULTS = {"picture": None, "start": None, "error": None, "stuck": None}
# The measure that is written below pictures. The score replaces it if no row has it.
_HEADLINE = "relative"
# The first columns of the table of numbers.
_FIRST_COLUMNS = ("unit", "method", "seed", "score")


def write(results: Mapping[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Write the report of a comparison.

    Args:
        results: The results, as `tfviz.report.rows.read` returns them.
        folder: The folder that contains the pictures of the results. The report is
            written to it: `report.html`, which needs no other file; `results.csv`,
            with one line for each picture; and `sheets/`, with a PNG file for each
            unit.

    Returns:
        The path of the page.

    Raises:
        RuntimeError: If the extra `report` is not installed.
        FileNotFoundError: If a picture of the results is missing.
        ValueError: If the results contradict themselves, or refer to a picture outside
            of the folder.
    """
    check_installed()

    check(results, "`results`")
    folder = Path(folder)
    html = render_page(results, folder).encode()
    write_safely(folder / TABLE, lambda file: file.write(_csv(results)))
    write_sheets(results, folder, folder / SHEETS)
    write_safely(folder / PAGE, lambda file: file.write(html))
    return folder / PAGE


def render_page(results: Json, folder: Path) -> str:
    """Render the page as HTML.

    Args:
        results: The results of a comparison, already checked.
        folder: The folder that contains the pictures of the results.
    """
    methods = _methods(results)
    definitions = formatting.column_definitions(results)
    rows = [
        {**_ROW_DEFAULTS, **row, "id": f"row-{place}"}
        for place, row in enumerate(results["rows"], 1)
    ]
    records_stuck = any("stuck" in row for row in results["rows"])
    results = {**results, "rows": rows}
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
        "cell_text": cell_text,
        "is_number": is_number,
        "number": number,
        "prose": prose,
        "setting_text": setting_text,
        "sort_key": sort_key,
    }
    package = files("tfviz.report")
    template = package.joinpath("report.html.jinja").read_text("utf-8")
    return environment.from_string(template).render(
        palette=Markup(package.joinpath("palette.css").read_text("utf-8")),
        results=results,
        lead=_lead(results),
        methods={method["name"]: method for method in methods},
        kinds=[group for group in by_kind if group["methods"]],
        about={entry["key"]: entry for entry in definitions},
        definitions=definitions,
        summary=formatting.summary_table(results, methods),
        references=formatting.reference_table(results),
        differences=formatting.difference_tables(results),
        plots=draw_plots(results, methods),
        units=list(_units(results, methods)),
        pictures=embed_pictures(folder, _picture_names(results)),
        table=formatting.row_table(results),
        headline=_headline(results),
        failed=[row for row in rows if row["error"]],
        stuck=[row for row in rows if row["stuck"]],
        related=_related(methods),
        records_stuck=records_stuck,
        seeds=max((len(group) for group in _groups(results).values()), default=1),
    )


def _methods(results: Json) -> list[dict[str, Any]]:
    """Return the methods in the order of the report, with their colours and markers."""
    methods = []
    competing = 0
    for method in sort_methods(results["methods"]):
        label, _, mark = _KINDS[method["kind"]]
        colour = "muted"
        if method["kind"] == "method":
            colour = f"c{competing % _COLOURS + 1}"
            competing += 1
        if method.get("of"):
            label = f"{label} of {method['of']}"
        appearance = {"label": label, "mark": mark, "colour": colour}
        methods.append(_METHOD_DEFAULTS | dict(method) | appearance)
    return methods


def _related(methods: Sequence[Json]) -> dict[str, str]:
    """Return the methods whose priors were trained with a judge, by the judge."""
    names: dict[str, list[str]] = {}
    for method in methods:
        if method["kind"] != "method":
            continue
        for judge in method["related_judges"]:
            names.setdefault(judge, []).append(method["name"])
    return {judge: join_names(methods) for judge, methods in names.items()}


def _lead(results: Json) -> str:
    """Describe in one paragraph what was compared."""
    settings, provenance = results["settings"], results["provenance"]
    counts = dict.fromkeys(_KINDS, 0)
    for method in results["methods"]:
        counts[method["kind"]] += 1
    model = provenance.get("model", {}).get("name")
    seeds = settings.get("seeds", 1)
    seeds = seeds if isinstance(seeds, int) else len(seeds)
    budget = [
        count_noun(settings[key], noun)
        for key, noun in (("steps", "step"), ("seconds", "second"))
        if is_number(settings.get(key))
    ]
    text = (
        f"{count_noun(counts.pop('method'), 'method')} rendered the same "
        f"{count_noun(len(results['units']), 'unit')}{f' of {model}' if model else ''}"
        f", with {count_noun(seeds, 'seed')} each"
    )
    if budget:
        text += f" and the same budget of {join_names(budget)} per picture"
    text += "."
    references = [
        count_noun(count, *(name.lower() for name in _KINDS[kind][:2]))
        for kind, count in counts.items()
        if count
    ]
    if references:
        text += f" For reference, the report includes {join_names(references)}."
    photos = provenance.get("images", {}).get("count")
    judges = [judge["name"] for judge in results["judges"]]
    text += " Pictures were evaluated as saved, in 8 bits"
    if is_number(photos):
        text += f", in comparison with {count_noun(photos, 'photo')}"
    if judges:
        networks = "a network" if len(judges) == 1 else "networks"
        text += f", and by {networks} that took no part in the optimization: "
        text += join_names(judges)
    return f"{text}."


def _headline(results: Json) -> str:
    """Return the key of the number that is written below pictures."""
    recorded = any(_HEADLINE in row for row in results["rows"])
    return _HEADLINE if recorded else "score"


def _groups(results: Json) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Group the rows by unit and method."""
    groups = defaultdict(list)
    for row in results["rows"]:
        groups[row["unit"], row["method"]].append(row)
    return groups


def _units(results: Json, methods: Sequence[Json]) -> Iterator[dict[str, Any]]:
    """Yield each unit with the others of its group, its photos, starts and rows."""
    groups = _groups(results)
    for unit in results["units"]:
        name = unit["name"]
        own = [row for row in results["rows"] if row["unit"] == name]
        groups_of_unit = []
        for method in methods:
            rows = groups.get((name, method["name"]), [])
            if any(row.get("picture") or row.get("error") for row in rows):
                lowest = lowest_score(rows)
                group = {"method": method, "rows": rows, "lowest": lowest}
                groups_of_unit.append(group)
        yield {
            **unit,
            "comparable": [
                other["name"]
                for other in results["units"]
                if other["group"] == unit["group"] and other is not unit
            ],
            "photos": results["photos"].get(name, []),
            "starts": select_starts(own, methods),
            "groups": groups_of_unit,
        }


def _picture_names(results: Json) -> list[str]:
    """Return the names of all pictures of the page, without duplicates."""
    names: list[str] = []
    for unit in results["units"]:
        own = [row for row in results["rows"] if row["unit"] == unit["name"]]
        names += results["photos"].get(unit["name"], [])
        names += [row["start"] for row in select_starts(own, results["methods"])]
        names += [row["picture"] for row in own if row.get("picture")]
    return list(dict.fromkeys(names))


def _csv(results: Mapping[str, Any]) -> bytes:
    """Encode the rows as CSV; missing values are empty."""
    rows = results["rows"]
    keys = dict.fromkeys(
        key for row in rows for key in row if key not in _FIRST_COLUMNS
    )
    measures = [key for key in results["measures"] if key in keys]
    others = [key for key in keys if key not in measures]
    columns = [*_FIRST_COLUMNS, *measures, *others]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_csv_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value)
