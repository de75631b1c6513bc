"""The results of a comparison, built from its rendered pictures."""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfviz import measures
from tfviz._files import finite_or_none, write_safely
from tfviz._optional import import_optional
from tfviz.comparison.evaluation import Evaluator
from tfviz.comparison.kinship import MEANINGS
from tfviz.comparison.methods import other_units_of
from tfviz.comparison.other_units import group_units
from tfviz.comparison.records import Record, Unit
from tfviz.comparison.references import measure_references
from tfviz.comparison.rendered import (
    RenderedComparison,
    describe,
    load_records,
    save_photos,
)
from tfviz.comparison.summary import differences, summary
from tfviz.comparison.verdicts import RULE, verdicts
from tfviz.models.adapter import Adapter

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.json"
_OTHERS_ARE = (
    "The method's pictures of the other units of the group, shown to this unit: means "
    "over the pictures of the same seed."
)


class TemporaryFolder:
    """A folder that is deleted with the last reference to this object."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="tfviz-")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: what `compare` returns.

    Attributes:
        folder: The folder with its pictures and `results.json`.
        results: All results, as JSON values.
    """

    folder: Path
    results: Mapping[str, Any]
    _temporary: TemporaryFolder | None = field(default=None, repr=False)

    def save(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """Write the report: `report.html`, `results.csv` and a sheet for each unit.

        Args:
            folder: The folder to write to, which gets a copy of the comparison; by
                default the comparison's own.

        Returns:
            The path of the page.

        Raises:
            RuntimeError: If the extra `report` is not installed.
        """
        from tfviz.report.rows import check_installed  # noqa: PLC0415

        check_installed()
        from tfviz.report import page  # noqa: PLC0415

        target = self.folder if folder is None else Path(folder)
        if target.resolve() != self.folder.resolve():
            shutil.copytree(self.folder, target, dirs_exist_ok=True)
        return page.write(self.results, target)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each unit, method and seed, with its measures and files."""
        return [dict(row) for row in self.results["rows"]]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each method and measure, with quartiles and the interval."""
        return [dict(row) for row in self.results["summary"]]

    def to_dataframe(self) -> "pd.DataFrame":
        """Return `table()` as a table of Pandas; `pd.DataFrame(x.summary())` works too.

        Raises:
            RuntimeError: If Pandas is not installed.
        """
        pandas = import_optional("pandas", "comparison.to_dataframe()")
        return pandas.DataFrame(self.table())

    def verdicts(self) -> dict[str, str]:
        """Return the verdict on each method."""
        return {v["method"]: v["verdict"] for v in self.results["verdicts"]}


def build_results(
    comparison: RenderedComparison, note: Callable[[str], Any]
) -> dict[str, Any]:
    """Evaluate all pictures of a comparison, and return its results as JSON values.

    Random pictures, reconstructed photos and the units' best photos are written to the
    folder on the way, as their rows name these files.

    Args:
        comparison: The comparison.
        note: Function called with `photos`, and with the name of each method, before
            these are evaluated, and with an empty name at the end.
    """
    units = comparison.units
    groups = group_units(units)
    evaluators = _make_evaluators(comparison, groups)
    layers = evaluators[comparison.adapter].layers
    methods: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[float | None]] = {}
    totals: list[dict[str, Any]] = []
    for method, records in load_records(comparison, evaluators, note):
        methods.append(method)
        if not records:
            continue
        name, network = method["name"], comparison.network_of(method)
        evaluator = evaluators[network]
        evaluation = evaluator.evaluate(
            records, robustness=method.get("overlap") != "some"
        )
        scored = {"scored_by": network.name}
        for record, values in zip(records, evaluation.rows, strict=True):
            unit = units[record.unit]
            rows.append(_make_row(unit, record, values, record.facts | scored))
        if evaluator.layers == layers:
            curves[name] = [finite_or_none(value) for value in evaluation.path]
        for measure, total in evaluation.of_method.items():
            totals.append(_summarize_total(name, measure, *total, records))
        if method["kind"] == "method" and any(evaluation.of_others):
            others = other_units_of(name)
            methods.append(
                describe(comparison, others, "baseline", _OTHERS_ARE, name, name)
            )
            for record, values in zip(records, evaluation.of_others, strict=True):
                record.method = others
                rows.append(_make_row(units[record.unit], record, values, scored))
    rows += _rows_of_failures(comparison)

    levels = {method["name"]: method["kinship"] for method in methods}
    for row in rows:
        row["kinship"] = levels[row["method"]]
    order = [method["name"] for method in methods]
    names = [unit.name for unit in units]
    rows.sort(
        key=lambda r: (names.index(r["unit"]), order.index(r["method"]), r["seed"])
    )
    measured_names = _measure_names(rows)
    total_names = [total["measure"] for total in totals]
    references = measure_references(
        comparison.photos, comparison.judges, comparison.seed
    )
    summaries = [*summary(rows, order, measured_names, names), *totals]
    results = {
        "kinship": {k: v for k, v in MEANINGS.items() if k in levels.values()},
        "units": [
            {"name": u.name, "text": u.text, "class": u.target, "group": group}
            for u, group in zip(units, groups, strict=True)
        ],
        "methods": methods,
        "judges": [
            {
                "name": judge.name,
                "classes": judge.scores is not None,
                "features": judge.features is not None,
            }
            for judge in comparison.judges
        ],
        "measures": _describe_measures(
            [*measured_names, *total_names, "path_similarity"]
        ),
        "rows": rows,
        "photos": save_photos(comparison),
        "summary": [s | {"kinship": levels[s["method"]]} for s in summaries],
        "differences": differences(rows, methods, measured_names, names),
        "curves": {"path_similarity": {"layers": layers, "methods": curves}},
        "references": references,
        "verdicts": verdicts(rows, methods, measured_names, names, references),
        "rule": RULE,
    }
    note("")
    return results


def write_results(results: Mapping[str, Any], folder: Path) -> None:
    """Write the results of a comparison into its folder, whole or not at all."""
    text = json.dumps(results, indent=1, allow_nan=False)
    write_safely(folder / RESULTS, lambda file: file.write(text.encode()))


def _make_evaluators(
    comparison: RenderedComparison, groups: Sequence[int]
) -> dict[Adapter, Evaluator]:
    """Return the evaluator of each network whose units are shown."""
    own = Evaluator(
        comparison.adapter,
        comparison.scorer,
        comparison.photos,
        comparison.judges,
        [unit.target for unit in comparison.units],
        groups=groups,
        seed=comparison.seed,
    )
    evaluators = {comparison.adapter: own}
    for job in comparison.jobs.values():
        if job.adapter not in evaluators:
            evaluators[job.adapter] = own.on(job.adapter)
    return evaluators


def _make_row(
    unit: Unit, record: Record, measured: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the row of a picture, with None, which JSON can hold, in place of nan."""
    return {
        "unit": unit.name,
        "method": record.method,
        "seed": record.seed,
        **{name: finite_or_none(value) for name, value in measured.items()},
        "picture": None,
        "start": None,
        "error": None,
        **facts,
    }


def _rows_of_failures(comparison: RenderedComparison) -> list[dict[str, Any]]:
    """Return a row for each picture that could not be made."""
    return [
        {
            "unit": comparison.units[stored.unit].name,
            "method": name,
            "seed": stored.seed,
            "score": None,
            "picture": None,
            "start": None,
            "error": stored.error,
        }
        for name in comparison.contenders
        for stored in comparison.store.of(name, comparison.errors)
        if stored.error is not None
    ]


def _measure_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the measures in rows, in the order of their first use."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name.partition("@")[0] in measures.__all__]


def _describe_measures(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the descriptions of measures, such as `rank@judge`."""
    descriptions = {}
    for name in dict.fromkeys(names):
        measure, _, judge = name.partition("@")
        descriptions[name] = {**measures.describe(measure), "judge": judge or None}
    return descriptions


def _summarize_total(
    name: str,
    measure: str,
    value: float,
    deviation: float,
    records: Sequence[Record],
) -> dict[str, Any]:
    """Return the summary of a measure that is one number for a whole method."""
    units = len({record.unit for record in records})
    known = {"median": value, "mean": value, "deviation": deviation, "units": units}
    unknown = dict.fromkeys(("q1", "q3", "low", "high"))
    return {"method": name, "measure": measure} | known | unknown
