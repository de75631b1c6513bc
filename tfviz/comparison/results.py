"""A comparison after its pictures are there: who is judged, and what comes of it."""

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
from tfviz.comparison.methods import (
    PHOTOS,
    Contender,
    best_of,
    random_of,
    reconstructed_by,
)
from tfviz.comparison.records import Photos, Record, Unit
from tfviz.comparison.storage import Errors, PictureStore, StoredPicture
from tfviz.comparison.summary import RULE, differences, summary, verdicts
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter
from tfviz.optimize.job import Job


class Temporary:
    """A folder that is gone with the last reference to this."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="tfviz-")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


@dataclass(frozen=True)
class Comparison:
    """What became of a comparison.

    Attributes:
        folder: Where its pictures are, and `results.json`.
        results: Everything that is known, as JSON values.
    """

    folder: Path
    results: Mapping[str, Any]
    _temporary: Temporary | None = field(default=None, repr=False)

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write the report: `report.html`, `results.csv` and a sheet for each unit.

        Args:
            folder: By default that of the comparison; another gets a copy of it.

        Returns:
            The page.

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
        """Return a row for each unit, method and seed: its measures, and its files."""
        return [dict(row) for row in self.results["rows"]]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each method and measure: quartiles, and the interval."""
        return [dict(row) for row in self.results["summary"]]

    def verdicts(self) -> dict[str, str]:
        """Return what the numbers say of each method."""
        return {told["method"]: told["verdict"] for told in self.results["verdicts"]}


RESULTS = "results.json"
# A cell whose picture is there, and what its file says.
Made = tuple[StoredPicture, dict[str, Any]]
_PHOTOS_ARE = "The photos to which the unit responds most, best first."
_CIRCULAR = (
    "A prior that was trained with the network may paint what it learned of it, rather "
    "than what the unit looks for: that its pictures excite the unit, and look like "
    "photos, tells less than of other methods."
)


class Trial:
    """Judges the pictures in the folder of a comparison.

    Args:
        adapter: Of the network that they visualize.
        scorer: Of the units.
        told: The units.
        photos: Looked at.
        judges: Other networks.
        contenders: By name.
        jobs: By the same names.
        cells: The folder.
        seed: Of the comparison.
    """

    def __init__(
        self,
        adapter: Adapter,
        scorer: UnitScorer,
        told: Sequence[Unit],
        photos: Photos,
        judges: Sequence[Judge],
        *,
        contenders: Mapping[str, Contender],
        jobs: Mapping[str, Job],
        cells: PictureStore,
        seed: int,
    ) -> None:
        self._adapter, self._scorer, self._told = adapter, scorer, told
        self._photos, self._judges = photos, judges
        self._contenders, self._jobs = contenders, jobs
        self._cells, self._seed = cells, seed

    def held(self, errors: Errors) -> dict[str, Any]:
        """Return everything that is known in the end, as JSON values.

        Args:
            errors: Why pictures could not be made.
        """
        targets = [unit.target for unit in self._told]
        court = Evaluator(
            self._adapter,
            self._scorer,
            self._photos,
            self._judges,
            targets,
            seed=self._seed,
        )
        rows: list[dict[str, Any]] = []
        methods: list[dict[str, Any]] = []
        curves: dict[str, list[float | None]] = {}
        whole: list[dict[str, Any]] = []
        for method, records in self._exhibits():
            methods.append(method)
            if not records:
                continue
            found, curve, of_all = court.rows(records)
            rows += [self._row(e, row) for e, row in zip(records, found, strict=True)]
            curves[method["name"]] = [finite_or_none(value) for value in curve]
            whole += [
                _of_method(method["name"], measure, *found, records)
                for measure, found in of_all.items()
            ]
        rows += self._failed(errors)
        circular = {method["name"] for method in methods if method["circular"]}
        for row in rows:
            row["circular"] = row["method"] in circular
        order = [method["name"] for method in methods]
        units = [unit.name for unit in self._told]
        rows.sort(
            key=lambda r: (
                units.index(r["unit"]),
                order.index(r["method"]),
                r["seed"],
            )
        )
        names = _measured(rows)
        return {
            "circular_note": _CIRCULAR,
            "units": [
                {"name": u.name, "text": u.text, "class": u.target} for u in self._told
            ],
            "methods": methods,
            "judges": [
                {
                    "name": judge.name,
                    "classes": judge.scores is not None,
                    "features": judge.features is not None,
                }
                for judge in self._judges
            ],
            "measures": _definitions(
                [*names, *(told["measure"] for told in whole), "path_similarity"]
            ),
            "rows": rows,
            "photos": self._save_photos(),
            "summary": [
                told | {"circular": told["method"] in circular}
                for told in [*summary(rows, order, names, units), *whole]
            ],
            "differences": differences(rows, methods, names, units),
            "curves": {"path_similarity": {"layers": court.layers, "methods": curves}},
            "verdicts": verdicts(rows, methods, names, units),
            "rule": RULE,
        }

    def write(self, results: Mapping[str, Any]) -> None:
        """Write the results beside the pictures, whole or not at all."""
        text = json.dumps(results, indent=1, allow_nan=False)
        path = self._cells.folder / RESULTS
        write_safely(path, lambda file: file.write(text.encode()))

    def _exhibits(
        self,
    ) -> Iterator[tuple[dict[str, Any], list[Record]]]:
        """Yield each method, baseline and ceiling with its pictures."""
        yield self._described(PHOTOS, "baseline", _PHOTOS_ARE), self._of_photos()
        for name, contender in self._contenders.items():
            cells = [(cell, cell.spec) for cell in self._cells.of(name)]
            made = [(cell, spec) for cell, spec in cells if spec is not None]
            # What makes no picture at all makes no random one either.
            works = bool(made) and contender.kind == "method"
            random = None
            if works and contender.param.group == 1:
                random = self._drawn(name, made)
            method = self._described(name, contender.kind, contender.description)
            method["of"], method["circular"] = contender.of, self._is_circular(name)
            yield method, self._of_cells(name, made, random.scores if random else None)
            if random:
                told = f"Random pictures of {name}, as they were drawn."
                yield self._beside(random_of(name), told, name, random.random)
                told = (
                    "The best for the unit of as many random pictures as the network "
                    f"was shown for one of {name}."
                )
                yield self._beside(best_of(name), told, name, random.best)
            trained = contender.param.trained is not None and contender.param.encode
            if works and trained:
                yield self._remade(name)

    def _remade(self, name: str) -> tuple[dict[str, Any], list[Record]]:
        """Return the photos that a method reconstructs, or why it cannot."""
        told, again = f"The unit's best photos as {name} reconstructs them.", []
        try:
            again = reconstruct_photos(
                self._jobs[name], self._photos, self._cells.seeds
            )
        except (ValueError, ArithmeticError) as error:  # an encoder's network is away
            told = f"{told} There are none: {reason_of(error)}"
        return self._beside(reconstructed_by(name), told, name, again, "ceiling")

    def _described(
        self, name: str, kind: str, description: str, of: str | None = None
    ) -> dict[str, Any]:
        return {
            "name": name,
            "kind": kind,
            "of": of,
            "circular": of is not None and self._is_circular(of),
            "description": description,
        }

    def _beside(
        self,
        name: str,
        told: str,
        of: str,
        records: Sequence[Record],
        kind: str = "baseline",
    ) -> tuple[dict[str, Any], list[Record]]:
        """Write the pictures of what stands beside a method."""
        for record in records:
            file = self._cells.file(record.unit, name, record.seed)
            images.save(images.to_pil(record.picture), file)
            record.method = name
            record.facts["picture"] = self._relative(file)
        return self._described(name, kind, told, of), list(records)

    def _is_circular(self, name: str) -> bool:
        trained = self._contenders[name].param.trained or {}
        return trained.get("network") == self._adapter.fingerprint()

    def _of_photos(self) -> list[Record]:
        records = []
        for unit, top in enumerate(self._photos.top):
            for seed, place in enumerate(top[: self._cells.seeds]):
                seen = self._photos.floats(place)
                facts = {"picture": self._relative(self._photo_file(unit, seed))}
                records.append(
                    Record(unit, PHOTOS, seed, seen, seen, int(place), facts=facts)
                )
        return records

    def _of_cells(
        self, name: str, made: Sequence[Made], best: NDArray[np.float32] | None
    ) -> list[Record]:
        if not made:
            return []
        job, records = self._jobs[name], []
        pictures = np.stack([cell.picture(job.param.shape[2]) for cell, _ in made])
        seen = np.asarray(job.shown(pictures))
        for place, (cell, spec) in enumerate(made):
            facts = {
                "picture": self._relative(cell.file),
                "start": self._relative(cell.start),
                "seconds": spec["seconds"],
                "steps": spec["steps_taken"],
                "evaluations": spec["evaluations"],
                "stuck": spec["stuck"],
                **{
                    k: finite_or_none(v) for k, v in spec.get("diagnostics", {}).items()
                },
            }
            records.append(
                Record(
                    cell.unit,
                    name,
                    cell.seed,
                    pictures[place],
                    seen[place],
                    best_of_n=None
                    if best is None
                    else float(best[cell.unit, cell.seed]),
                    facts=facts,
                )
            )
        return records

    def _drawn(self, name: str, made: Sequence[Made]) -> RandomPictures:
        """Return random pictures, the best of as many as the method asked for."""
        counts = np.ones((len(self._told), self._cells.seeds), np.int64)
        for cell, spec in made:
            counts[cell.unit, cell.seed] = spec["evaluations"]
        return draw_random_pictures(
            self._jobs[name], self._scorer, self._told, counts, self._seed
        )

    def _save_photos(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for unit, told in enumerate(self._told):
            found[told.name] = []
            for rank, place in enumerate(self._photos.top[unit]):
                file = self._photo_file(unit, rank)
                images.save(images.to_pil(self._photos.pictures[place]), file)
                found[told.name].append(self._relative(file))
        return found

    def _failed(self, errors: Errors) -> list[dict[str, Any]]:
        """Return a row for each picture that could not be made."""
        return [
            {
                "unit": self._told[cell.unit].name,
                "method": name,
                "seed": cell.seed,
                "score": None,
                "picture": None,
                "start": None,
                "error": cell.error,
            }
            for name in self._contenders
            for cell in self._cells.of(name, errors)
            if cell.error is not None
        ]

    def _row(self, record: Record, numbers: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "unit": self._told[record.unit].name,
            "method": record.method,
            "seed": record.seed,
            **numbers,
            "start": None,
            "error": None,
            **record.facts,
        }

    def _photo_file(self, unit: int, rank: int) -> Path:
        return self._cells.file(unit, PHOTOS, rank)

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._cells.folder).as_posix()


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the measures in rows, in the order of their first."""
    found = dict.fromkeys(name for row in rows for name in row)
    return [name for name in found if name.partition("@")[0] in measures.__all__]


def _definitions(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in dict.fromkeys(names):
        measure, _, judge = name.partition("@")
        found[name] = {**measures.describe(measure), "judge": judge or None}
    return found


def _of_method(
    name: str,
    measure: str,
    value: float,
    deviation: float,
    records: Sequence[Record],
) -> dict[str, Any]:
    """Return the summary of what has one number: there are no quartiles of it."""
    unknown = dict.fromkeys(("q1", "q3", "low", "high"))
    units = len({record.unit for record in records})
    known = {"median": value, "mean": value, "deviation": deviation, "units": units}
    return {"method": name, "measure": measure} | known | unknown
