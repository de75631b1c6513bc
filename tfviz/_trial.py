"""A comparison after its pictures are there: who is judged, and what comes of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures
from tfviz._adapter import Adapter
from tfviz._cells import Cells, save_photo
from tfviz._contender import PHOTOS, Contender
from tfviz._evidence import TOP, Court, Exhibit, Photos, looked_at
from tfviz._job import Job
from tfviz._objective import Objective
from tfviz._plan import hashed
from tfviz._scorer import Scorer
from tfviz._summary import RULE, differences, random_of, summary, verdicts
from tfviz.images import to_bytes, to_floats, write_safely
from tfviz.judges import Judge

RESULTS = "results.json"
# Random pictures that are made at once.
CHUNK = 16
_PHOTOS_ARE = "The photos to which the unit responds most, best first."


@dataclass(frozen=True)
class Unit:
    """What a unit is called.

    Attributes:
        name: For people.
        text: In canonical form.
        target: The class that it is, or None.
    """

    name: str
    text: str
    target: int | None


class Trial:
    """Judges the pictures in the folder of a comparison."""

    def __init__(
        self,
        adapter: Adapter,
        units: Sequence[Objective],
        told: Sequence[Unit],
        *,
        contenders: Mapping[str, Contender],
        jobs: Mapping[str, Job],
        cells: Cells,
        errors: Mapping[str, str],
        seed: int,
    ) -> None:
        self._adapter, self._told = adapter, told
        self._contenders, self._jobs = contenders, jobs
        self._cells, self._errors, self._seed = cells, errors, seed
        self._scorer = Scorer(adapter, units)

    def held(
        self, pictures: NDArray[np.uint8], judges: Sequence[Judge]
    ) -> dict[str, Any]:
        """Return everything that is known in the end, as JSON values."""
        photos = looked_at(pictures, self._scorer, judges)
        targets = [unit.target for unit in self._told]
        court = Court(
            self._adapter, self._scorer, photos, judges, targets, seed=self._seed
        )
        rows: list[dict[str, Any]] = []
        methods: list[dict[str, Any]] = []
        curves: dict[str, list[float | None]] = {}
        whole: list[dict[str, Any]] = []
        for method, exhibits in self._exhibits(photos):
            methods.append(method)
            if not exhibits:
                continue
            found, curve, of_all = court.rows(exhibits)
            rows += [self._row(e, row) for e, row in zip(exhibits, found, strict=True)]
            curves[method["name"]] = [v if np.isfinite(v) else None for v in curve]
            whole += [
                {"method": method["name"], "measure": name, "mean": value}
                for name, value in of_all.items()
            ]
        rows += self._failed()
        order = [method["name"] for method in methods]
        rows.sort(key=lambda r: (self._place(r["unit"]), order.index(r["method"])))
        names = _measured(rows)
        units = [unit.name for unit in self._told]
        compared = [m["name"] for m in methods if m["kind"] == "method"]
        return {
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
                for judge in judges
            ],
            "measures": _definitions([*names, *(w["measure"] for w in whole)]),
            "rows": rows,
            "photos": self._save_photos(photos),
            "summary": [*summary(rows, order, names, units), *whole],
            "differences": differences(rows, compared, names, units),
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
        self, photos: Photos
    ) -> Iterator[tuple[dict[str, Any], list[Exhibit]]]:
        """Yield each method, baseline and ceiling with its pictures."""
        yield self._described(PHOTOS, "baseline", _PHOTOS_ARE), self._of_photos(photos)
        for name, contender in self._contenders.items():
            best: NDArray[np.float32] | None = None
            baselines = []
            if contender.kind == "method" and contender.param.group == 1:
                random, chosen, best, count = self._random(name)
                told = f"Random pictures of {name}, as they were drawn."
                baselines.append((random_of(name), told, random))
                told = f"The best for the unit of {count} random pictures of {name}."
                baselines.append((f"{name}: best of {count}", told, chosen))
            method = self._described(name, contender.kind, contender.description)
            method["of"], method["circular"] = contender.of, self._is_circular(name)
            yield method, self._of_cells(name, best)
            for called, told, exhibits in baselines:
                baseline = self._described(called, "baseline", told, of=name)
                yield baseline, [self._saved(e, called) for e in exhibits]
            if contender.kind == "method" and self._remakes(contender):
                called = f"{name}: photos"
                told = f"The unit's best photos as {name} reconstructs them."
                yield (
                    self._described(called, "ceiling", told, of=name),
                    [self._saved(e, called) for e in self._remade(name, photos)],
                )

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

    def _is_circular(self, name: str) -> bool:
        trained = self._contenders[name].param.trained or {}
        return trained.get("network") == self._adapter.fingerprint()

    @staticmethod
    def _remakes(contender: Contender) -> bool:
        return contender.param.trained is not None and bool(contender.param.encode)

    def _of_photos(self, photos: Photos) -> list[Exhibit]:
        exhibits = []
        for unit in range(len(self._told)):
            for seed, place in enumerate(photos.top[unit][: self._cells.seeds]):
                seen = photos.floats(place)
                file = self._photo_file(unit, seed)
                facts = {"picture": self._relative(file)}
                exhibits.append(
                    Exhibit(unit, PHOTOS, seed, seen, seen, int(place), facts=facts)
                )
        return exhibits

    def _of_cells(self, name: str, best: NDArray[np.float32] | None) -> list[Exhibit]:
        job, exhibits = self._jobs[name], []
        for cell in self._cells.of(name):
            spec = cell.spec
            if spec is None:
                continue
            picture = cell.picture(job.param.shape[2])
            facts = {
                "picture": self._relative(cell.file),
                "start": self._relative(cell.start),
                "seconds": spec["seconds"],
                "steps": spec["steps_taken"],
                "evaluations": spec["evaluations"],
                "stuck": spec["stuck"],
                **spec.get("diagnostics", {}),
            }
            exhibits.append(
                Exhibit(
                    cell.unit,
                    name,
                    cell.seed,
                    picture,
                    np.asarray(job.shown(picture[None]))[0],
                    best_of_n=None
                    if best is None
                    else float(best[cell.unit, cell.seed]),
                    facts=facts,
                )
            )
        return exhibits

    def _random(
        self, name: str
    ) -> tuple[list[Exhibit], list[Exhibit], NDArray[np.float32], int]:
        """Return random pictures of a method, and the best of as many as it asked for.

        Returns:
            Some as they come, the best of each unit and seed, the scores of these
            `(units, seeds)`, and of how many they are the best.
        """
        job, seeds = self._jobs[name], self._cells.seeds
        specs = [cell.spec for cell in self._cells.of(name)]
        counts = [spec["evaluations"] for spec in specs if spec]
        count = max(counts, default=1)
        draws = [hashed(self._seed, "random", k) for k in range(count * seeds)]
        pictured = _Pictured(job)
        scores = np.concatenate(
            [
                self._scorer(pictured(draws[i : i + CHUNK])[1])
                for i in range(0, len(draws), CHUNK)
            ]
        )
        scores = scores.reshape(seeds, count, -1)
        best, places = scores.max(axis=1).T, scores.argmax(axis=1).T
        random, chosen = [], []
        for unit in range(len(self._told)):
            # Of other units others, so that all of them together are a sample.
            first = unit * seeds
            some = [draws[(first + seed) % len(draws)] for seed in range(seeds)]
            won = [draws[seed * count + places[unit, seed]] for seed in range(seeds)]
            for kept, seeded in ((random, some), (chosen, won)):
                for seed, (picture, seen) in enumerate(
                    zip(*pictured(seeded), strict=True)
                ):
                    kept.append(Exhibit(unit, name, seed, picture, seen))
        return random, chosen, best, count

    def _remade(self, name: str, photos: Photos) -> list[Exhibit]:
        job, exhibits = self._jobs[name], []
        encode, decode = job.param.encode, job.param.decode
        if encode is None:
            return []
        for unit in range(len(self._told)):
            places = photos.top[unit][: self._cells.seeds]
            made = np.asarray(decode(encode(tf.constant(photos.floats(places)))))
            made = to_floats(to_bytes(made))
            seen = np.asarray(job.shown(made))
            exhibits += [
                Exhibit(unit, name, seed, made[seed], seen[seed], int(place))
                for seed, place in enumerate(places)
            ]
        return exhibits

    def _saved(self, exhibit: Exhibit, method: str) -> Exhibit:
        """Write the picture of a baseline."""
        stem = method.replace(": ", "~").replace(" ", "-")
        file = self._cells.place(exhibit.unit, f"{stem}-{exhibit.seed}.png")
        save_photo(file, exhibit.picture)
        exhibit.method = method
        exhibit.facts["picture"] = self._relative(file)
        return exhibit

    def _save_photos(self, photos: Photos) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for unit, told in enumerate(self._told):
            found[told.name] = []
            for rank, place in enumerate(photos.top[unit][:TOP]):
                file = self._photo_file(unit, rank)
                save_photo(file, photos.floats(place))
                found[told.name].append(self._relative(file))
        return found

    def _failed(self) -> list[dict[str, Any]]:
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
            for cell in self._cells.of(name, self._errors)
            if cell.error is not None
        ]

    def _row(self, exhibit: Exhibit, numbers: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "unit": self._told[exhibit.unit].name,
            "method": exhibit.method,
            "seed": exhibit.seed,
            **numbers,
            "start": None,
            "error": None,
            **exhibit.facts,
        }

    def _place(self, name: str) -> int:
        return [unit.name for unit in self._told].index(name)

    def _photo_file(self, unit: int, rank: int) -> Path:
        return self._cells.place(unit, f"photo-{rank + 1}.png")

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._cells.folder).as_posix()


class _Pictured:
    """Makes random pictures of a job's param, as they would be saved and shown."""

    def __init__(self, job: Job) -> None:
        def made(seeds: Any) -> tuple[Any, Any]:
            pictures = job.param.decode(job.param.init(seeds))
            pictures = tf.round(tf.clip_by_value(pictures, 0, 1) * 255) / 255
            return pictures, job.shown(pictures)

        self._made = tf.function(made, autograph=False)

    def __call__(
        self, seeds: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        given = np.resize(np.array(seeds, np.int32), (CHUNK, 2))
        pictures, seen = self._made(tf.constant(given))
        return pictures.numpy()[: len(seeds)], seen.numpy()[: len(seeds)]


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
