"""The same units by several methods, with the same budget, judged alike."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz import judges as judging
from tfviz import stops
from tfviz._adapter import Adapter, adapt
from tfviz._arguments import listed
from tfviz._cells import Cell, Cells, failure, job_of, rendered
from tfviz._contender import checked
from tfviz._objective import Objective
from tfviz._origin import origin
from tfviz._param import check_from_one
from tfviz._photo import fitted
from tfviz._trial import Trial, Unit
from tfviz.images import to_bytes
from tfviz.judges import Judge

# Steps where seconds are what ends them.
ENDLESS = 100_000
STEPS = 256
# Photos from which distances among them, and parts for kernels, can be had.
FEWEST_PHOTOS = 20


@dataclass(frozen=True)
class Compared:
    """Where a comparison is, as callbacks see it.

    Attributes:
        method: Name of the method that is rendered, or what is done otherwise.
        done: Pictures that are there.
        total: Pictures in all.
    """

    method: str
    done: int
    total: int


@dataclass(frozen=True)
class Comparison:
    """What became of a comparison.

    Attributes:
        folder: Where its pictures are, and `results.json`.
        results: Everything that is known, as JSON values.
    """

    folder: Path
    results: Mapping[str, Any]
    _temporary: Any = field(default=None, repr=False)

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write the report: `report.html`, `results.csv` and a sheet for each unit.

        Args:
            folder: By default that of the comparison; another gets a copy of it.

        Returns:
            The page.

        Raises:
            RuntimeError: If the extra `report` is not installed.
        """
        from tfviz import _report  # noqa: PLC0415

        _report.check_installed()
        target = self.folder if folder is None else Path(folder)
        if target != self.folder:
            shutil.copytree(self.folder, target, dirs_exist_ok=True)
        return _report.write(self.results, target)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each unit, method and seed: its measures, and its files."""
        return [dict(row) for row in self.results["rows"]]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each method and measure: quartiles, and the interval."""
        return [dict(row) for row in self.results["summary"]]

    def verdicts(self) -> dict[str, str]:
        """Return what the numbers say of each method."""
        return {told["method"]: told["verdict"] for told in self.results["verdicts"]}


def compare(
    model: Any,
    objectives: Any,
    methods: Mapping[str, Any],
    *,
    images: Sequence[Any] | ArrayLike,
    judges: Sequence[Judge] = (),
    steps: int | None = None,
    seconds: float | None = None,
    seeds: int = 3,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    title: str = "",
    command: str = "",
    callbacks: Sequence[Callable[[Compared], Any]] = (),
) -> Comparison:
    """Compare methods on the same units, with the same budget.

    Each picture is judged as it is saved. Beside the methods stand the photos to which
    the units respond most, random pictures of each method, and the best of as many of
    them as it asked the network for.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        objectives: The units, as for `render`: an objective, a text, or a list.
        methods: Params or contenders by name.
        images: The photos to compare with: files, or pictures `(h, w, c)` as bytes or
            floats in [0, 1]. The network sees their middles.
        judges: Other networks; see `tfviz.judges`. Without any, only what the network
            itself tells is measured.
        steps: Of each picture; 256 by default.
        seconds: For each picture instead of `steps`, compilation aside. How far a
            method comes then depends on the machine.
        seeds: Pictures of each unit by each method.
        seed: Makes other pictures.
        folder: Where to; a comparison that was cut off there is gone on with. By
            default a temporary one, which is gone with what is returned.
        title: For readers.
        command: How to make it again, for readers.
        callbacks: Called with a `Compared` after each batch.

    Returns:
        The comparison.

    Raises:
        ValueError: If something does not fit: units, photos, judges, the folder.
        TypeError: If methods are none.

    >>> import numpy as np, tfviz
    >>> photos = np.random.default_rng(0).random((20, 64, 64, 3))
    >>> model = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> small = {"fourier": tfviz.params.fourier(64, 64)}
    >>> found = compare(model, "fire5:3", small, images=photos, steps=2, seeds=2)
    >>> found.verdicts()
    {'fourier': 'no verdict: no judge has features'}
    """
    check_from_one(seeds=seeds)
    if steps is not None and seconds is not None:
        raise ValueError(
            "A budget is either `steps` or `seconds`. Received: "
            f"steps={steps}, seconds={seconds}"
        )
    adapter = adapt(model)
    units, told = _units(adapter, objectives)
    contenders = checked(methods)
    _check_judges(judges, adapter, told)
    rules = [] if seconds is None else [stops.seconds(seconds * seeds)]
    budget = ENDLESS if seconds is not None else STEPS if steps is None else steps
    jobs = {
        name: job_of(
            adapter, contender, units, seeds, steps=budget, seed=seed, stop=rules
        )
        for name, contender in contenders.items()
    }
    photos = _photos(adapter, images)
    temporary = None
    if folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="tfviz-")
        folder = temporary.name
    cells = Cells(Path(folder), [u.name for u in told], tuple(contenders), seeds)
    settings = {
        "steps": None if seconds is not None else budget,
        "seconds": seconds,
        "seeds": seeds,
        "seed": seed,
        "units": [unit.text for unit in told],
    }
    cells.claim(
        settings | {"methods": {name: _fixed(job) for name, job in jobs.items()}}
    )
    errors = _fill(jobs, cells, callbacks)
    trial = Trial(
        adapter,
        units,
        told,
        contenders=contenders,
        jobs=jobs,
        cells=cells,
        errors=errors,
        seed=seed,
    )
    for callback in callbacks:
        callback(Compared("judging", len(jobs), len(jobs)))
    results = trial.held(photos, judges)
    results = {
        "title": title or f"How {adapter.name} is shown by {', '.join(contenders)}",
        "settings": settings | {"size": list(adapter.size), "photos": len(photos)},
        "provenance": {
            **{k: v for k, v in origin(adapter).items() if k != "held"},
            "methods": {name: _fixed(job) for name, job in jobs.items()},
            "images": {"count": len(photos), "digest": _digest(photos)},
            "judges": {judge.name: dict(judge.spec) for judge in judges},
            "command": command,
        },
    } | results
    trial.write(results)
    return Comparison(Path(folder), results, temporary)


def _fill(
    jobs: Mapping[str, Any], cells: Cells, callbacks: Sequence[Callable[..., Any]]
) -> dict[str, str]:
    """Render what is missing; return why methods failed."""
    errors: dict[str, str] = {}
    total = sum(len(job.pictures) for job in jobs.values())
    done = sum(c.file.exists() for name in jobs for c in cells.of(name))

    def finished(cell: Cell) -> None:
        nonlocal done
        done += 1

    for name, job in jobs.items():
        batches = rendered(job, cells.of(name), finished)
        while True:
            try:
                next(batches)
            except StopIteration:
                break
            except Exception as error:
                errors[name] = failure(error)
                break
            for callback in callbacks:
                callback(Compared(name, done, total))
    return errors


def _units(adapter: Adapter, objectives: Any) -> tuple[list[Objective], list[Unit]]:
    """Return the units, one image each, and what they are called."""
    units, told = [], []
    for objective in listed(objectives, adapter):
        bound = objective.bound(adapter, adapter.size)
        if objective.group > 1:
            raise ValueError(
                f"{bound.names[0]} comes in groups of {objective.group} pictures. "
                "Units are compared one by one."
            )
        for place, (name, text) in enumerate(
            zip(bound.names, bound.texts, strict=True)
        ):
            units.append(objective[[place]])
            told.append(Unit(name, text, _target(text)))
    twice = sorted({u.name for u in told if [v.text for v in told].count(u.text) > 1})
    if twice:
        raise ValueError(f"Units are named twice: {', '.join(twice)}.")
    return units, told


def _target(text: str) -> int | None:
    """Return the class that a unit is, or None."""
    prefix, _, number = text.partition(":")
    if prefix in ("logit", "prob") and number.isdigit():
        return int(number)
    return None


def _check_judges(
    judges: Sequence[Judge], adapter: Adapter, told: Sequence[Unit]
) -> None:
    names = [judge.name for judge in judges]
    if len(set(names)) != len(names):
        raise ValueError(f"Judges need names of their own. Received: {names}")
    for judge in judges:
        if judge.scores and any(unit.target is not None for unit in told):
            judging.check(judge, adapter.classes)


def _photos(adapter: Adapter, images: Any) -> NDArray[np.uint8]:
    pictures = [to_bytes(fitted(adapter, image)) for image in images]
    if len(pictures) < FEWEST_PHOTOS:
        raise ValueError(
            f"A comparison needs {FEWEST_PHOTOS} photos or more, to know how near "
            f"photos are to each other. Received: {len(pictures)}"
        )
    return np.stack(pictures)


def _fixed(job: Any) -> dict[str, Any]:
    """Return what must be the same for pictures to belong together."""
    versions = ("tfviz", "versions", "notes", "penalties", "diversity", "start")
    return {k: v for k, v in job.settings.items() if k not in versions}


def _digest(photos: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(photos.tobytes(), digest_size=16).hexdigest()
