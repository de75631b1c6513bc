"""The tables of docs/study.md, from the folder that `scripts/study.py` wrote.

    python scripts/study_tables.py study > tables.md

Comparisons that are not there yet are left out.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfviz.report.rows import read

# What the columns of two tables show: medians over units. Judges follow each other as
# in `a / b`.
RESPONSE = {
    "relative": "of the best photo",
    "gain": "gain over best random",
    "robustness": "robustness",
    "top5": "top 5",
    "two_alternative": "two alternatives",
}
LIKENESS = {
    "nearest_ratio": "nearest photo",
    "kid_spread": "kernel distance",
    "relative_diversity": "diversity",
    "spectrum_slope": "slope of spectrum",
    "saturation": "saturated",
}
# Of these, the interval is shown too.
WITH_INTERVAL = ("relative", "gain", "robustness")
# Of these the mean is shown.
SHARES = ("top5", "two_alternative")


def main() -> None:
    """Print the tables of all comparisons in a folder."""
    for name in ("steps", "seconds", "controls"):
        folder = Path(sys.argv[1]) / name
        if not (folder / "results.json").exists():
            continue
        results = read(folder)
        print(f"## {results['title']}\n")
        print(f"Judges: {', '.join(judge['name'] for judge in results['judges'])}.\n")
        # The baselines of all controls are too many to be read, and the pictures of
        # their methods are those of `steps`.
        whole = name != "controls"
        for columns in (RESPONSE, LIKENESS):
            lines = table(results, columns, baselines=whole)
            print("\n".join(lines), end="\n\n")
        if whole:
            print("\n".join(costs(results)), end="\n\n")
        for told in results["verdicts"]:
            print(f"- **{told['method']}**: {told['verdict']}.")
            print("".join(f"  {reason}\n" for reason in told["because"]))


def table(
    results: Mapping[str, Any], columns: Mapping[str, str], *, baselines: bool
) -> list[str]:
    """Return a line for the photos and each method, control, ablation and baseline."""
    known = {(e["method"], e["measure"]): e for e in results["summary"]}
    lines = [("", *columns.values())]
    for method in results["methods"]:
        if method["kind"] == "baseline" and method["of"] and not baselines:
            continue
        cells = [
            " / ".join(
                said(known[method["name"], key], measure)
                for key in results["measures"]
                if key.partition("@")[0] == measure and (method["name"], key) in known
            )
            for measure in columns
        ]
        lines.append((method["name"] + " (circular)" * method["circular"], *cells))
    return formatted(lines)


def said(found: Mapping[str, Any], measure: str) -> str:
    """Return a median, or the mean of a share, and its interval where that is shown."""
    value = f"{found['mean' if measure in SHARES else 'median']:.2f}"
    if measure in WITH_INTERVAL and found["low"] is not None:
        value += f" ({found['low']:.2f} to {found['high']:.2f})"
    return value


def costs(results: Mapping[str, Any]) -> list[str]:
    """Return what a picture of each method took."""
    lines = [("", "seconds", "steps", "images shown to the network")]
    for method in results["methods"]:
        rows = [r for r in results["rows"] if r["method"] == method["name"]]
        rows = [r for r in rows if r.get("seconds") is not None]
        if rows:
            means = [
                sum(row[key] for row in rows) / len(rows)
                for key in ("seconds", "steps", "evaluations")
            ]
            lines.append((method["name"], *(f"{value:.1f}" for value in means)))
    return formatted(lines)


def formatted(lines: Sequence[Iterable[str]]) -> list[str]:
    """Return lines of a table in Markdown; the first is its head."""
    head, *rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return [head, "|" + " --- |" * (head.count("|") - 1), *rows]


if __name__ == "__main__":
    main()
