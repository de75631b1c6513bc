"""The same units by several methods, with the same budget, judged alike."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz import judges as judging
from tfviz import stops
from tfviz.comparison.evaluation import UnitScorer, evaluate_photos
from tfviz.comparison.methods import Contender, checked
from tfviz.comparison.records import Unit
from tfviz.comparison.results import Comparison, Temporary, Trial
from tfviz.comparison.storage import (
    Errors,
    PictureStore,
    failure,
    make_job,
    render_unit,
)
from tfviz.images import to_bytes
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter, adapt, provenance
from tfviz.models.inputs import fit_photo
from tfviz.objectives._base import Objective
from tfviz.objectives._grammar import as_objectives
from tfviz.optimize.job import Job
from tfviz.params._base import check_positive_integers

# Steps where seconds are what ends them.
ENDLESS = 100_000
STEPS = 256
# What is done when all pictures are there, as callbacks are told.
JUDGING = "judging"
# Photos from which distances among them, and parts for kernels, can be had.
FEWEST_PHOTOS = 20


@dataclass(frozen=True)
class ComparisonProgress:
    """Where a comparison is, as callbacks see it.

    Attributes:
        method: Name of the method that is rendered; `judging` when all of them are.
        done: Pictures that are there.
        total: Pictures in all.
    """

    method: str
    done: int
    total: int


def compare(
    model: Any,
    objectives: Any,
    methods: Mapping[str, Any],
    *,
    images: Iterable[Any] | ArrayLike,
    judges: Sequence[Judge] = (),
    steps: int | None = None,
    seconds: float | None = None,
    seeds: int = 3,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    title: str = "",
    command: str = "",
    callbacks: Sequence[Callable[[ComparisonProgress], Any]] = (),
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
        seconds: For each picture instead of `steps`, compilation aside. A batch may
            take four steps more. How far a method comes then depends on the machine,
            and the rate of the optimizer `normalized` hardly falls.
        seeds: Pictures of each unit by each method.
        seed: Makes other pictures.
        folder: Where to; a comparison that was cut off there is gone on with. By
            default a temporary one, which is gone with what is returned.
        title: For readers.
        command: How to make it again, for readers.
        callbacks: Called with a `ComparisonProgress` after each batch.

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
    check_positive_integers(seeds=seeds)
    rules, budget = _budget(steps, seconds, seeds)
    adapter = adapt(model)
    units, told = _units(adapter, objectives)
    contenders = checked(methods)
    _check_judges(judges, adapter, told)
    jobs = {
        name: _job(
            adapter, name, contender, units, seeds, steps=budget, seed=seed, stop=rules
        )
        for name, contender in contenders.items()
    }
    temporary = None if folder is not None else Temporary()
    folder = Path(temporary.name if temporary else folder or "")
    cells = PictureStore(folder, [unit.name for unit in told], tuple(contenders), seeds)
    settings = {
        "steps": None if seconds is not None else budget,
        "seconds": seconds,
        "seeds": seeds,
        "seed": seed,
        "units": [unit.text for unit in told],
    }
    made_of = {name: _fixed(job) for name, job in jobs.items()}
    cells.check(settings | {"methods": made_of})
    pictures = _photos(adapter, images)
    scorer = UnitScorer(adapter, units)
    # Before any picture: what does not fit is to be known early.
    photos = evaluate_photos(pictures, scorer, judges)
    cells.claim(settings | {"methods": made_of})
    errors = _fill(jobs, cells, callbacks)
    trial = Trial(
        adapter,
        scorer,
        told,
        photos,
        judges,
        contenders=contenders,
        jobs=jobs,
        cells=cells,
        seed=seed,
    )
    results = {
        "title": title or f"How {adapter.name} is shown by {', '.join(contenders)}",
        "settings": settings | {"size": list(adapter.size), "photos": len(pictures)},
        "provenance": {
            **{k: v for k, v in provenance(adapter).items() if k != "held"},
            "methods": made_of,
            "images": {"count": len(pictures), "digest": _digest(pictures)},
            "judges": {judge.name: dict(judge.spec) for judge in judges},
            "command": command,
        },
    } | trial.held(errors)
    trial.write(results)
    return Comparison(folder, results, temporary)


def _budget(
    steps: int | None, seconds: float | None, seeds: int
) -> tuple[list[stops.Stop], int]:
    """Return the rules that end a batch, and the steps that it has at most."""
    if seconds is None:
        return [], STEPS if steps is None else steps
    if steps is not None:
        raise ValueError(
            "A budget is either `steps` or `seconds`: leave out one of them. Received: "
            f"steps={steps}, seconds={seconds}"
        )
    if not 0 < seconds < math.inf:
        raise ValueError(f"`seconds` must be above 0. Received: seconds={seconds}")
    return [stops.seconds(seconds * seeds)], ENDLESS


def _job(
    adapter: Adapter,
    name: str,
    contender: Contender,
    units: Sequence[Objective],
    seeds: int,
    **settings: Any,
) -> Job:
    """Return the job of a method, or say which method does not fit."""
    try:
        job = make_job(adapter, contender, units, seeds, **settings)
    except ValueError as error:
        raise ValueError(f"Method {name!r}: {error}") from error
    wanted, given = ((a.channels, a.size, a.classes) for a in (adapter, job.adapter))
    if wanted != given:
        raise ValueError(
            f"Method {name!r} has a model of other channels, another size or other "
            f"classes: expected {wanted}. Received: {given}"
        )
    return job


def _fill(
    jobs: Mapping[str, Job],
    cells: PictureStore,
    callbacks: Sequence[Callable[[ComparisonProgress], Any]],
) -> Errors:
    """Render what is missing; return why some pictures could not be made."""
    errors: dict[tuple[str, int], str] = {}
    total = sum(len(job.pictures) for job in jobs.values())
    done = sum(c.file.exists() for name in jobs for c in cells.of(name))

    def tell(what: str) -> None:
        for callback in callbacks:
            callback(ComparisonProgress(what, done, total))

    for name, job in jobs.items():
        of_method = cells.of(name)
        missing = {cell.unit for cell in of_method if not cell.file.exists()}
        for unit in sorted(missing):
            try:
                done += render_unit(job, of_method, unit)
            except OSError:  # a full disk is no fault of the method
                raise
            except Exception as error:
                errors[name, unit] = failure(error)
            tell(name)
    tell(JUDGING)
    return errors


def _units(adapter: Adapter, objectives: Any) -> tuple[list[Objective], list[Unit]]:
    """Return the units, one image each, and what they are called."""
    units, told = [], []
    for objective in as_objectives(objectives, adapter):
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
    texts, names = ([getattr(u, kind) for u in told] for kind in ("text", "name"))
    twice = sorted({unit.name for unit in told if texts.count(unit.text) > 1})
    if twice:
        raise ValueError(
            f"Units are there twice: {', '.join(twice)}. Leave out the copies."
        )
    # Some classes share a name, such as ImageNet's two cranes.
    told = [
        replace(u, name=f"{u.name} ({u.text})") if names.count(u.name) > 1 else u
        for u in told
    ]
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
        raise ValueError(
            "Judges need names of their own: give `name` to some. Received: "
            f"{', '.join(names)}"
        )
    for judge in judges:
        if judge.spec.get("hash") == adapter.fingerprint():
            raise ValueError(
                f"Judge {judge.name!r} is the network that is visualized: the pictures "
                "were made to please it. Give another."
            )
        if judge.scores and any(unit.target is not None for unit in told):
            judging.check(judge, adapter.classes)


def _photos(adapter: Adapter, images: Any) -> NDArray[np.uint8]:
    pictures = [to_bytes(fit_photo(adapter, image)) for image in images]
    if len(pictures) < FEWEST_PHOTOS:
        raise ValueError(
            f"A comparison needs {FEWEST_PHOTOS} photos or more, to know how near "
            f"photos are to each other. Received: {len(pictures)}"
        )
    return np.stack(pictures)


def _fixed(job: Job) -> dict[str, Any]:
    """Return what must be the same for pictures to belong together."""
    versions = ("tfviz", "versions", "penalties", "diversity", "start")
    return {k: v for k, v in job.settings.items() if k not in versions}


def _digest(photos: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(photos.tobytes(), digest_size=16).hexdigest()
