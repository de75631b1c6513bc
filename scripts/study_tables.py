"""Print the tables of docs/study.md from the folder that `scripts/study.py` wrote.

    python scripts/study_tables.py study > tables.md

Missing comparisons are left out. Those of `curve` share one table for each measure.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.comparison.methods import best_of
from tfviz.comparison.summary import interval, means
from tfviz.report.rows import read

# The measures in the columns of two tables, which show medians over units. If a measure
# has several judges, their values are separated by slashes, as in `a / b`.
RESPONSE = {
    "relative": "of the best photo",
    "gain": "gain over other units",
    "search_gain": "gain over random search",
    "robustness": "robustness",
    "top5": "top 5",
    "two_alternative": "two alternatives",
    "specificity": "above other units",
}
LIKENESS = {
    "nearest_ratio": "nearest photo",
    "kid_spread": "kernel distance",
    "relative_diversity": "diversity",
    "spectrum_slope": "slope of spectrum",
    "saturation": "saturated",
}
# Measures whose interval is shown too.
WITH_INTERVAL = ("relative", "gain", "search_gain", "robustness")
# The measures in which methods are compared with `REFERENCE`, pair by pair.
LOG_RANK = "log(1 + rank)"
COMPARED = {
    "two_alternative": RESPONSE["two_alternative"],
    "specificity": RESPONSE["specificity"],
    LOG_RANK: LOG_RANK,
}
REFERENCE = "fourier"
# The measures that are shown by the number of steps.
BY_STEPS = ("gain", "specificity", "top5", "nearest_ratio")
# Measures whose mean is shown, not the median.
SHARES = ("top5", "two_alternative", "specificity")


def main() -> None:
    """Print the tables of all comparisons in a folder."""
    curve: dict[int, Mapping[str, Any]] = {}
    for file in sorted(Path(sys.argv[1]).glob("*/results.json")):
        name, results = file.parent.name, read(file.parent)
        if name.startswith("curve-"):
            curve[int(name.removeprefix("curve-"))] = results
            continue
        print(f"## {results['title']}\n")
        print(f"Judges: {', '.join(judge['name'] for judge in results['judges'])}.\n")
        # There are too many baselines of controls for a readable table.
        complete = name != "controls"
        for columns in (RESPONSE, LIKENESS):
            lines = measure_table(results, columns, baselines=complete)
            print("\n".join(lines), end="\n\n")
        if complete:
            print("\n".join(difference_table(results)), end="\n\n")
            print("\n".join(cost_table(results)), end="\n\n")
        for entry in results["verdicts"]:
            print(f"- **{entry['method']}**: {entry['verdict']}.")
            print("".join(f"  {reason}\n" for reason in entry["because"]))
    if curve:
        print("## Steps\n")
        for measure in BY_STEPS:
            print("\n".join(steps_table(curve, measure)), end="\n\n")


def measure_table(
    results: Mapping[str, Any], columns: Mapping[str, str], *, baselines: bool
) -> list[str]:
    """Return the lines of a table of methods by measures.

    Args:
        results: The results of a comparison.
        columns: The heading of each measure.
        baselines: Whether to include the best random pictures of each method. Its other
            baselines are left out: `specificity` compares with them already.
    """
    lines = [("", *columns.values())]
    for method in results["methods"]:
        of = method["of"]
        best = baselines and of and method["name"] == best_of(of)
        if method["kind"] == "baseline" and of and not best:
            continue
        cells = [format_cell(results, method["name"], measure) for measure in columns]
        kinship = method["kinship"]
        name = method["name"] + (f" ({kinship})" if kinship else "")
        lines.append((name, *cells))
    return format_table(lines)


def steps_table(curve: Mapping[int, Mapping[str, Any]], measure: str) -> list[str]:
    """Return the lines of a table of methods by their number of steps.

    Args:
        curve: The results of the comparisons by their number of steps.
        measure: The measure in the cells.
    """
    lines = [((RESPONSE | LIKENESS)[measure], *map(str, sorted(curve)))]
    for method in curve[min(curve)]["methods"]:
        if method["kind"] == "method":
            cells = (
                format_cell(curve[steps], method["name"], measure, intervals=False)
                for steps in sorted(curve)
            )
            lines.append((method["name"], *cells))
    return format_table(lines)


def format_cell(
    results: Mapping[str, Any], method: str, measure: str, *, intervals: bool = True
) -> str:
    """Format a measure of a method, with slashes between several judges."""
    entries = {(e["method"], e["measure"]): e for e in results["summary"]}
    return " / ".join(
        format_entry(entries[method, key], measure, intervals=intervals)
        for key in results["measures"]
        if key.partition("@")[0] == measure and (method, key) in entries
    )


def format_entry(
    entry: Mapping[str, Any], measure: str, *, intervals: bool = True
) -> str:
    """Format the median or mean of a measure, with its interval if that is shown."""
    value = f"{entry['mean' if measure in SHARES else 'median']:.2f}"
    if intervals and measure in WITH_INTERVAL and entry["low"] is not None:
        value += f" ({entry['low']:.2f} to {entry['high']:.2f})"
    return value


def difference_table(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of the mean differences from `REFERENCE`.

    The intervals are over units; those that exclude 0 are in bold type. The last column
    is for the mean over the judges with which the method was not trained.
    """
    judges = [judge["name"] for judge in results["judges"]]
    lines = [("", "", *judges, "mean of the unrelated")]
    for method in results["methods"]:
        if method["kind"] != "method" or method["name"] == REFERENCE:
            continue
        for measure, label in COMPARED.items():
            found = {
                judge: unit_values(results, method["name"], measure, judge)
                - unit_values(results, REFERENCE, measure, judge)
                for judge in judges
            }
            unrelated = [
                found[judge]
                for judge in judges
                if judge not in method["related_judges"]
                and not np.isnan(found[judge]).all()
            ]
            cells = [format_mean(values) for values in found.values()]
            cells.append(format_mean(np.mean(unrelated, axis=0)) if unrelated else "")
            lines.append((method["name"], label, *cells))
    return format_table(lines)


def unit_values(
    results: Mapping[str, Any], method: str, measure: str, judge: str
) -> NDArray[np.float64]:
    """Return the mean over seeds of a method's measure for each unit, `(units,)`."""
    rows, name = results["rows"], f"{measure}@{judge}"
    if measure == LOG_RANK:
        rank = f"rank@{judge}"
        rows = [
            row | {name: np.log1p(row[rank])}
            for row in rows
            if row.get(rank) is not None
        ]
    return means(rows, method, name, [unit["name"] for unit in results["units"]])


def format_mean(values: NDArray[np.float64]) -> str:
    """Format the mean of differences over units with its interval."""
    found = interval(values)
    if not found.units:
        return ""
    text = f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def cost_table(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of the mean cost of a picture by method."""
    lines = [("", "seconds", "steps", "forward passes")]
    for method in results["methods"]:
        rows = [r for r in results["rows"] if r["method"] == method["name"]]
        rows = [r for r in rows if r.get("seconds") is not None]
        if rows:
            means = [
                sum(row[key] for row in rows) / len(rows)
                for key in ("seconds", "steps", "forward_passes")
            ]
            lines.append((method["name"], *(f"{value:.1f}" for value in means)))
    return format_table(lines)


def format_table(lines: Sequence[Iterable[str]]) -> list[str]:
    """Format the lines of a table in Markdown; the first is its head."""
    head, *rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return [head, "|" + " --- |" * (head.count("|") - 1), *rows]


if __name__ == "__main__":
    main()
