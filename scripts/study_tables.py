"""Print the tables of docs/study.md from the folder that `scripts/study.py` wrote.

    python scripts/study_tables.py study > tables.md

Missing comparisons are left out.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
# Measures whose mean is shown, not the median.
SHARES = ("top5", "two_alternative", "specificity")


def main() -> None:
    """Print the tables of all comparisons in a folder."""
    for file in sorted(Path(sys.argv[1]).glob("*/results.json")):
        name, results = file.parent.name, read(file.parent)
        print(f"## {results['title']}\n")
        print(f"Judges: {', '.join(judge['name'] for judge in results['judges'])}.\n")
        # There are too many baselines of controls for a readable table.
        complete = name != "controls"
        for columns in (RESPONSE, LIKENESS):
            lines = measure_table(results, columns, baselines=complete)
            print("\n".join(lines), end="\n\n")
        if complete:
            print("\n".join(cost_table(results)), end="\n\n")
        for entry in results["verdicts"]:
            print(f"- **{entry['method']}**: {entry['verdict']}.")
            print("".join(f"  {reason}\n" for reason in entry["because"]))


def measure_table(
    results: Mapping[str, Any], columns: Mapping[str, str], *, baselines: bool
) -> list[str]:
    """Return the lines of a table of methods by measures.

    Args:
        results: The results of a comparison.
        columns: The heading of each measure.
        baselines: Whether to include the baselines of single methods.
    """
    entries = {(e["method"], e["measure"]): e for e in results["summary"]}
    lines = [("", *columns.values())]
    for method in results["methods"]:
        if method["kind"] == "baseline" and method["of"] and not baselines:
            continue
        cells = [
            " / ".join(
                format_entry(entries[method["name"], key], measure)
                for key in results["measures"]
                if key.partition("@")[0] == measure and (method["name"], key) in entries
            )
            for measure in columns
        ]
        kinship = method["kinship"]
        name = method["name"] + (f" ({kinship})" if kinship else "")
        lines.append((name, *cells))
    return format_table(lines)


def format_entry(entry: Mapping[str, Any], measure: str) -> str:
    """Format the median or mean of a measure, with its interval if that is shown."""
    value = f"{entry['mean' if measure in SHARES else 'median']:.2f}"
    if measure in WITH_INTERVAL and entry["low"] is not None:
        value += f" ({entry['low']:.2f} to {entry['high']:.2f})"
    return value


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
