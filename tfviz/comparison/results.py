"""The results of a comparison, built from its rendered pictures."""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images, measures
from tfviz._errors import reason_of
from tfviz._files import finite_or_none, write_safely
from tfviz.comparison.baselines import (
    RandomPictures,
    draw_random_pictures,
    reconstruct_photos,
)
from tfviz.comparison.evaluation import Evaluator, UnitScorer
from tfviz.comparison.kinship import MEANINGS, is_trained_with, kinship
from tfviz.comparison.methods import (
    PHOTOS,
    Contender,
    best_of,
    other_units_of,
    random_of,
    reconstructed_by,
)
from tfviz.comparison.other_units import group_units
from tfviz.comparison.records import Photos, Record, Unit
from tfviz.comparison.references import measure_references
from tfviz.comparison.robustness import overlap
from tfviz.comparison.storage import (
    PASSES_PER_STEP,
    Errors,
    PictureStore,
    StoredPicture,
)
from tfviz.comparison.summary import differences, summary
from tfviz.comparison.verdicts import RULE, verdicts
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter
from tfviz.optimize.job import Job

RESULTS = "results.json"
# A picture that could be made, and its description.
PictureWithSpec = tuple[StoredPicture, dict[str, Any]]
_PHOTOS_ARE = "The photos to which the unit responds most, best first."
_OTHERS_ARE = (
    "The method's pictures of the other units of the group, shown to this unit: means "
    "over the pictures of the same seed."
)
# What is said of a method by whether its transforms reach those of the robustness test.
_OVERLAP_NOTES = {
    "none": "",
    "some": (
        "Its robustness is not measured: the test's transforms are among those that it "
        "is optimized under."
    ),
    "unknown": (
        "It is optimized under transforms that are not described, so its robustness "
        "may be measured under transforms of its own."
    ),
}


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

    def save(self, folder: str | os.PathLike | None = None) -> Path:
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

    def verdicts(self) -> dict[str, str]:
        """Return the verdict on each method."""
        return {v["method"]: v["verdict"] for v in self.results["verdicts"]}


@dataclass(frozen=True)
class RenderedComparison:
    """A comparison whose pictures are all rendered.

    Attributes:
        adapter: The network that the pictures visualize.
        scorer: Scores the units in any images.
        units: The units.
        photos: The photos, with their scores and features.
        judges: Other networks.
        contenders: The methods, by name.
        jobs: The job of each method, by name.
        store: The folder of the pictures.
        seed: The random seed of the comparison.
        errors: Why some pictures could not be made.
    """

    adapter: Adapter
    scorer: UnitScorer
    units: Sequence[Unit]
    photos: Photos
    judges: Sequence[Judge]
    contenders: Mapping[str, Contender]
    jobs: Mapping[str, Job]
    store: PictureStore
    seed: int
    errors: Errors

    def kinship(self, method: str) -> str | None:
        """Return how a method's prior is related to the network; None without one."""
        return kinship(self.contenders[method].param, self.adapter)

    def related_judges(self, method: str) -> list[str]:
        """Return the names of the judges that a method's prior was trained with."""
        param = self.contenders[method].param
        return [
            judge.name
            for judge in self.judges
            if is_trained_with(param, judge.spec.get("hash"))
        ]

    def network_of(self, method: Mapping[str, Any]) -> Adapter:
        """Return the network that scores the pictures of a method or its baseline."""
        for name in (method["name"], method["of"]):
            if name in self.jobs:
                return self.jobs[name].adapter
        return self.adapter

    def relative(self, file: Path) -> str:
        """Return a file's path in the folder, as the results name it."""
        return file.relative_to(self.store.folder).as_posix()


def build_results(comparison: RenderedComparison) -> dict[str, Any]:
    """Evaluate all pictures of a comparison, and return its results as JSON values.

    Random pictures, reconstructed photos and the units' best photos are written to the
    folder on the way, as their rows name these files.
    """
    units = comparison.units
    groups = group_units(units)
    evaluators = _make_evaluators(comparison, groups)
    layers = evaluators[comparison.adapter].layers
    methods: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[float | None]] = {}
    totals: list[dict[str, Any]] = []
    for method, records in _load_records(comparison, evaluators):
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
            methods.append(_describe(comparison, others, "baseline", _OTHERS_ARE, name))
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
    return {
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
        "photos": _save_photos(comparison),
        "summary": [s | {"kinship": levels[s["method"]]} for s in summaries],
        "differences": differences(rows, methods, measured_names, names),
        "curves": {"path_similarity": {"layers": layers, "methods": curves}},
        "references": references,
        "verdicts": verdicts(rows, methods, measured_names, names, references),
        "rule": RULE,
    }


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


def _load_records(
    comparison: RenderedComparison, evaluators: Mapping[Adapter, Evaluator]
) -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """Yield the photos, and each method with its baselines and its ceiling.

    Yields:
        The description of what made some pictures, and these pictures.
    """
    description = _describe(comparison, PHOTOS, "baseline", _PHOTOS_ARE)
    yield description, _photo_records(comparison)
    for name, contender in comparison.contenders.items():
        stored = [(p, p.spec) for p in comparison.store.of(name)]
        pictures = [(p, spec) for p, spec in stored if spec is not None]
        job = comparison.jobs[name]
        evaluator = evaluators[job.adapter]
        # A method that makes no picture at all makes no random one either.
        works = bool(pictures) and contender.kind == "method"
        # On another network, the best random pictures are others, too.
        own_random = works or (bool(pictures) and job.adapter is not comparison.adapter)
        random = None
        if own_random and contender.param.group == 1:
            random = _draw_random(comparison, evaluator.scorer, name, pictures)
        reach = overlap(job.transforms)
        text = f"{contender.description} {_OVERLAP_NOTES[reach]}".strip()
        method = _describe(comparison, name, contender.kind, text)
        method["of"] = contender.of
        method["kinship"] = comparison.kinship(name)
        method["related_judges"] = comparison.related_judges(name)
        method["overlap"] = reach
        best = random.scores if random else None
        yield method, _method_records(comparison, name, pictures, best)
        if works and random:
            text = f"Random pictures of {name}, as they were drawn."
            yield _save_beside(comparison, random_of(name), text, name, random.random)
            text = (
                "The best for the unit of as many random pictures as cost the same "
                f"as one picture of {name}: one for each forward pass of the network, "
                f"of which a step with its gradient costs {PASSES_PER_STEP:g}."
            )
            yield _save_beside(comparison, best_of(name), text, name, random.best)
        trained = contender.param.trained is not None and contender.param.encode
        if works and trained:
            yield _reconstruct(comparison, evaluator.photos, name)


def _photo_records(comparison: RenderedComparison) -> list[Record]:
    """Return the best photos of each unit, as many as there are seeds."""
    records = []
    for unit, top in enumerate(comparison.photos.top):
        for seed, place in enumerate(top[: comparison.store.seeds]):
            seen = comparison.photos.floats(place)
            file = comparison.store.file(unit, PHOTOS, seed)
            facts = {"picture": comparison.relative(file)}
            records.append(
                Record(unit, PHOTOS, seed, seen, seen, int(place), facts=facts)
            )
    return records


def _method_records(
    comparison: RenderedComparison,
    name: str,
    pictures: Sequence[PictureWithSpec],
    best: NDArray[np.float32] | None,
) -> list[Record]:
    """Return the pictures of a method.

    Args:
        comparison: The comparison.
        name: The name of the method.
        pictures: Its pictures that could be made, with their descriptions.
        best: `(units, seeds)`, the scores of the best random pictures, if any.
    """
    if not pictures:
        return []
    job, records = comparison.jobs[name], []
    arrays = np.stack([p.picture(job.param.shape[2]) for p, _ in pictures])
    seen = np.asarray(job.shown(arrays))
    for place, (stored, spec) in enumerate(pictures):
        diagnostics = spec.get("diagnostics", {})
        facts = {
            "picture": comparison.relative(stored.file),
            "start": comparison.relative(stored.start),
            "seconds": spec["seconds"],
            "steps": spec["steps_taken"],
            "forward_passes": spec["forward_passes"],
            "stuck": spec["stuck"],
            **{k: finite_or_none(value) for k, value in diagnostics.items()},
        }
        best_of_n = None if best is None else float(best[stored.unit, stored.seed])
        records.append(
            Record(
                stored.unit,
                name,
                stored.seed,
                arrays[place],
                seen[place],
                best_of_n=best_of_n,
                facts=facts,
            )
        )
    return records


def _draw_random(
    comparison: RenderedComparison,
    scorer: UnitScorer,
    name: str,
    pictures: Sequence[PictureWithSpec],
) -> RandomPictures:
    """Draw random pictures of a method, as many as cost the same as its pictures."""
    counts = np.ones((len(comparison.units), comparison.store.seeds), np.int64)
    for stored, spec in pictures:
        counts[stored.unit, stored.seed] = spec["forward_passes"]
    return draw_random_pictures(
        comparison.jobs[name],
        scorer,
        comparison.units,
        counts,
        comparison.seed,
    )


def _reconstruct(
    comparison: RenderedComparison, photos: Photos, name: str
) -> tuple[dict[str, Any], list[Record]]:
    """Return the photos that a method reconstructs, or the reason why it cannot."""
    text = f"The unit's best photos as {name} reconstructs them."
    records: list[Record] = []
    try:
        records = reconstruct_photos(
            comparison.jobs[name], photos, comparison.store.seeds
        )
    except (ValueError, ArithmeticError) as error:  # the encoder's network is missing
        text = f"{text} There are none: {reason_of(error)}"
    beside = reconstructed_by(name)
    return _save_beside(comparison, beside, text, name, records, "ceiling")


def _save_beside(  # noqa: PLR0917 (everything that describes some pictures)
    comparison: RenderedComparison,
    name: str,
    description: str,
    of: str,
    records: Sequence[Record],
    kind: str = "baseline",
) -> tuple[dict[str, Any], list[Record]]:
    """Write the pictures of a method's baseline or ceiling."""
    for record in records:
        file = comparison.store.file(record.unit, name, record.seed)
        images.save(images.to_pil(record.picture), file)
        record.method = name
        record.facts["picture"] = comparison.relative(file)
    return _describe(comparison, name, kind, description, of), list(records)


def _describe(
    comparison: RenderedComparison,
    name: str,
    kind: str,
    description: str,
    of: str | None = None,
) -> dict[str, Any]:
    """Return the entry of a method, baseline or ceiling in the results."""
    return {
        "name": name,
        "kind": kind,
        "of": of,
        "kinship": None if of is None else comparison.kinship(of),
        "related_judges": [] if of is None else comparison.related_judges(of),
        "description": description,
    }


def _save_photos(comparison: RenderedComparison) -> dict[str, list[str]]:
    """Write the best photos of each unit, and return their files."""
    files: dict[str, list[str]] = {}
    for number, unit in enumerate(comparison.units):
        files[unit.name] = []
        for rank, place in enumerate(comparison.photos.top[number]):
            file = comparison.store.file(number, PHOTOS, rank)
            images.save(images.to_pil(comparison.photos.pictures[place]), file)
            files[unit.name].append(comparison.relative(file))
    return files


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
