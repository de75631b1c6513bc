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
from tfviz.comparison.summary import distinct, interval, means
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
    entries = index_summary(results)
    lines = [("", *columns.values())]
    for method in results["methods"]:
        of = method["of"]
        best = baselines and of and method["name"] == best_of(of)
        if method["kind"] == "baseline" and of and not best:
            continue
        cells = [format_cell(entries, method["name"], measure) for measure in columns]
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
    entries = [index_summary(results) for _, results in sorted(curve.items())]
    lines = [((RESPONSE | LIKENESS)[measure], *map(str, sorted(curve)))]
    for method in curve[min(curve)]["methods"]:
        if method["kind"] == "method":
            cells = (
                format_cell(each, method["name"], measure, intervals=False)
                for each in entries
            )
            lines.append((method["name"], *cells))
    return format_table(lines)


def index_summary(results: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the entries of the summary by method and measure, in their order."""
    return {(e["method"], e["measure"]): e for e in results["summary"]}


def format_cell(
    entries: Mapping[tuple[str, str], Any],
    method: str,
    measure: str,
    *,
    intervals: bool = True,
) -> str:
    """Format a measure of a method, with slashes between several judges."""
    return " / ".join(
        format_entry(entry, measure, intervals=intervals)
        for (name, key), entry in entries.items()
        if name == method and key.partition("@")[0] == measure
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
    units = [unit["name"] for unit in results["units"]]
    rows = [add_log_ranks(row, judges) for row in results["rows"]]

    def unit_means(method: str, measure: str) -> dict[str, NDArray[np.float64]]:
        return {j: means(rows, method, f"{measure}@{j}", units) for j in judges}

    reference = {measure: unit_means(REFERENCE, measure) for measure in COMPARED}
    lines = [("", "", *judges, "mean of the unrelated")]
    for method in results["methods"]:
        if method["kind"] != "method" or method["name"] == REFERENCE:
            continue
        for measure, label in COMPARED.items():
            own = unit_means(method["name"], measure)
            found = {judge: own[judge] - reference[measure][judge] for judge in judges}
            unrelated = [
                values
                for judge, values in found.items()
                if judge not in method["related_judges"] and not np.isnan(values).all()
            ]
            cells = [format_mean(values) for values in found.values()]
            cells.append(format_mean(np.mean(unrelated, axis=0)) if unrelated else "")
            lines.append((method["name"], label, *cells))
    return format_table(lines)


def add_log_ranks(row: Mapping[str, Any], judges: Iterable[str]) -> dict[str, Any]:
    """Return a row with the logarithms of its ranks too."""
    ranks = {judge: row.get(f"rank@{judge}") for judge in judges}
    return dict(row) | {
        f"{LOG_RANK}@{judge}": np.log1p(rank)
        for judge, rank in ranks.items()
        if rank is not None
    }


def format_mean(values: NDArray[np.float64]) -> str:
    """Format the mean of differences over units with its interval."""
    found = interval(values)
    if not found.units:
        return ""
    text = f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    return f"**{text}**" if distinct(found.low, found.high) else text


def cost_table(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of the mean cost of a picture by method."""
    lines = [("", "seconds", "steps", "forward passes")]
    for method in results["methods"]:
        rows = [r for r in results["rows"] if r["method"] == method["name"]]
        rows = [r for r in rows if r.get("seconds") is not None]
        if rows:
            costs = [
                sum(row[key] for row in rows) / len(rows)
                for key in ("seconds", "steps", "forward_passes")
            ]
            lines.append((method["name"], *(f"{value:.1f}" for value in costs)))
    return format_table(lines)


def format_table(lines: Sequence[Iterable[str]]) -> list[str]:
    """Format the lines of a table in Markdown; the first is its head."""
    head, *rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return [head, "|" + " --- |" * (head.count("|") - 1), *rows]


if __name__ == "__main__":
    main()
