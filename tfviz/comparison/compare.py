"""Compare methods: the same units, the same budget, the same evaluation."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz import judges as judging
from tfviz import stops
from tfviz._errors import argument
from tfviz.comparison.evaluation import UnitScorer, evaluate_photos
from tfviz.comparison.methods import PHOTOS, Contender, checked
from tfviz.comparison.records import Unit
from tfviz.comparison.rendered import RenderedComparison
from tfviz.comparison.results import (
    Comparison,
    TemporaryFolder,
    build_results,
    write_results,
)
from tfviz.comparison.storage import (
    Errors,
    PictureStore,
    describe_failure,
    make_job,
    render_unit,
)
from tfviz.images import to_bytes
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter, adapt, provenance
from tfviz.models.inputs import fit_photo
from tfviz.models.introspection import PRE
from tfviz.objectives._base import Objective
from tfviz.objectives._grammar import as_objectives
from tfviz.optimize.determinism import deterministic_operations
from tfviz.optimize.job import Job
from tfviz.optimize.options import STEPS
from tfviz.params._base import check_positive_integers

# The number of steps where only the time ends them.
ENDLESS = 100_000
# The stages of a comparison.
RENDERING, JUDGING = "rendering", "judging"
# The fewest photos among which distances mean something.
FEWEST_PHOTOS = 20


@dataclass(frozen=True)
class ComparisonProgress:
    """How far a comparison is; callbacks get one.

    Attributes:
        stage: `rendering`, or `judging` when all pictures are rendered.
        method: The name of the method whose pictures are rendered or judged; `photos`
            while the photos are judged, which come first; empty when all are judged.
        unit: The unit that is rendered; empty while pictures are judged.
        done: The number of pictures that are rendered, or that are judged.
        total: The number of all pictures.
        step: The number of steps that the pictures of the unit have taken; 0 before
            they are begun, and while pictures are judged.
        steps: The number of steps that they take, or None if their time ends them.
    """

    stage: str
    method: str
    unit: str
    done: int
    total: int
    step: int
    steps: int | None


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
    deterministic: bool = False,
    folder: str | os.PathLike[str] | None = None,
    title: str = "",
    command: str = "",
    callbacks: Sequence[Callable[[ComparisonProgress], Any]] = (),
) -> Comparison:
    """Compare methods on the same units, with the same budget.

    Each picture is evaluated as it is saved. Each method is compared with its own
    pictures of the other units, with the photos to which the units respond most, with
    random pictures of its own, and with the best of as many random pictures as cost the
    same: a step with its gradient costs as much as 3.2 forward passes of the network,
    and a random picture as much as one. A verdict needs at least five units.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        objectives: The units, as for `render`: an objective, a text, or a list.
        methods: Params or contenders, by name.
        images: The photos to compare with: files, or pictures `(h, w, c)` as bytes or
            floats in [0, 1]. The network sees their centres.
        judges: Other networks that evaluate the pictures; see `tfviz.judges`. Without
            any, only the network itself does.
        steps: The number of gradient steps for each picture; 256 by default.
        seconds: The time for each picture, without compilation, instead of `steps`. A
            batch may take four steps more. How far a method comes then depends on the
            machine, and the learning rate of the optimizer `normalized` hardly falls.
        seeds: The number of pictures of each unit by each method.
        seed: The random seed; another seed gives other pictures.
        deterministic: Whether TensorFlow uses only operations that give the same bytes
            each time, for the pictures and for their measures; see `render`.
        folder: The folder to write to, in which an interrupted comparison continues; by
            default a temporary one, which is deleted with the result.
        title: The title of the report.
        command: The command that makes the comparison again, for the report.
        callbacks: Functions called with a `ComparisonProgress` before the pictures of
            each unit are rendered and after some of their steps, before the pictures of
            each method are judged, and when all are judged.

    Returns:
        The comparison.

    Raises:
        ValueError: If something does not fit: units, photos, judges, the folder.
        TypeError: If methods are neither params nor contenders.

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
    bound, units = _list_units(adapter, objectives)
    contenders = checked(methods)
    _check_judges(judges, adapter, units)
    jobs = {
        name: _make_job(
            adapter,
            name,
            contender,
            bound,
            seeds,
            steps=budget,
            seed=seed,
            stop=rules,
            deterministic=deterministic,
        )
        for name, contender in contenders.items()
    }
    temporary = None if folder is not None else TemporaryFolder()
    folder = Path(temporary.name if temporary else folder or "")
    names = [unit.name for unit in units]
    store = PictureStore(folder, names, tuple(contenders), seeds)
    settings = {
        "steps": None if seconds is not None else budget,
        "seconds": seconds,
        "seeds": seeds,
        "seed": seed,
        "deterministic": deterministic,
        "units": [unit.text for unit in units],
    }
    method_settings = {name: _fixed_settings(job) for name, job in jobs.items()}
    store.check(settings | {"methods": method_settings})
    pictures = _fit_photos(adapter, images)
    scorer = UnitScorer(adapter, bound)
    # Photos come before any picture, so that what does not fit is known early.
    with deterministic_operations(deterministic):
        photos = evaluate_photos(pictures, scorer, judges)
    store.claim(settings | {"methods": method_settings})
    reporter = _Reporter(callbacks, jobs, None if seconds is not None else budget)
    errors = _render_missing(jobs, store, reporter)
    rendered = RenderedComparison(
        adapter,
        scorer,
        units,
        photos,
        judges,
        contenders=contenders,
        jobs=jobs,
        store=store,
        seed=seed,
        errors=errors,
    )
    with deterministic_operations(deterministic):
        measured = build_results(rendered, reporter.judging)
    results = {
        "title": title or f"How {adapter.name} is shown by {', '.join(contenders)}",
        "settings": settings | {"size": list(adapter.size), "photos": len(pictures)},
        "provenance": {
            **{k: v for k, v in provenance(adapter).items() if k != "held"},
            "methods": method_settings,
            "images": {"count": len(pictures), "digest": _digest(pictures)},
            "judges": {judge.name: dict(judge.spec) for judge in judges},
            "command": command,
        },
    } | measured
    write_results(results, folder)
    return Comparison(folder, results, temporary)


def _budget(
    steps: int | None, seconds: float | None, seeds: int
) -> tuple[list[stops.Stop], int]:
    """Return the rules that end a batch, and its largest number of steps."""
    if seconds is None:
        return [], STEPS if steps is None else steps
    if steps is not None:
        raise ValueError(
            f"A budget is either {argument('steps')} or {argument('seconds')}: leave "
            f"out one of them. Received: steps={steps}, seconds={seconds}"
        )
    if not 0 < seconds < math.inf:
        raise ValueError(f"`seconds` must be above 0. Received: seconds={seconds}")
    return [stops.seconds(seconds * seeds)], ENDLESS


def _make_job(
    adapter: Adapter,
    name: str,
    contender: Contender,
    units: Sequence[Objective],
    seeds: int,
    **settings: Any,
) -> Job:
    """Return the job of a method.

    Raises:
        ValueError: If the method does not fit; the message has its name.
    """
    try:
        job = make_job(adapter, contender, units, seeds, **settings)
    except ValueError as error:
        raise ValueError(f"Method {name!r}: {error}") from error
    wanted, given = ((a.channels, a.size, a.classes) for a in (adapter, job.adapter))
    if wanted != given:
        raise ValueError(
            f"Method {name!r} has a model with other channels, another size or other "
            f"classes: expected {wanted}. Received: {given}"
        )
    return job


class _Reporter:
    """Calls the callbacks of a comparison.

    Args:
        callbacks: The callbacks.
        jobs: The job of each method, by name.
        steps: The number of steps of a picture, or None if its time ends it.

    Attributes:
        error: The error that a callback raised.
    """

    def __init__(
        self,
        callbacks: Sequence[Callable[[ComparisonProgress], Any]],
        jobs: Mapping[str, Job],
        steps: int | None,
    ) -> None:
        self._callbacks, self._steps = callbacks, steps
        counts = {name: len(job.pictures) for name, job in jobs.items()}
        self._counts = {PHOTOS: 0} | counts
        self.error: Exception | None = None

    def rendering(self, method: str, unit: str, done: int, step: int = 0) -> None:
        """Tell what is rendered."""
        self._report(RENDERING, method, unit, done, step)

    def judging(self, method: str) -> None:
        """Tell which method or `photos` are judged; an empty name says that all are."""
        names = [*self._counts, ""]
        earlier = names[: names.index(method)]
        self._report(JUDGING, method, "", sum(self._counts[name] for name in earlier))

    def _report(
        self, stage: str, method: str, unit: str, done: int, step: int = 0
    ) -> None:
        total = sum(self._counts.values())
        at = ComparisonProgress(stage, method, unit, done, total, step, self._steps)
        try:
            for callback in self._callbacks:
                callback(at)
        except Exception as error:
            self.error = error
            raise


def _render_missing(
    jobs: Mapping[str, Job], store: PictureStore, reporter: _Reporter
) -> Errors:
    """Render the missing pictures; return why some of them could not be made."""
    errors: dict[tuple[str, int], str] = {}
    done = sum(c.file.exists() for name in jobs for c in store.of(name))
    for name, job in jobs.items():
        pictures = store.of(name)
        missing = {p.unit for p in pictures if not p.file.exists()}
        names = {
            p.unit: made.name for p, made in zip(pictures, job.pictures, strict=True)
        }
        # Units of one layer follow each other, so that each layer is compiled once.
        ordered = dict.fromkeys(
            pictures[place].unit for planned in job.batches for place in planned.places
        )
        for unit in [unit for unit in ordered if unit in missing]:
            tell = partial(reporter.rendering, name, names[unit], done)
            tell()
            try:
                done += render_unit(job, pictures, unit, tell)
            except OSError:  # such as a full disk, which is not the method's fault
                raise
            except Exception as error:
                if error is reporter.error:
                    raise
                errors[name, unit] = describe_failure(error)
    return errors


def _list_units(
    adapter: Adapter, objectives: Any
) -> tuple[list[Objective], list[Unit]]:
    """Return the objectives of the units, one image each, and their names."""
    singles, units = [], []
    order = [layer.path for layer in adapter.layers()]
    for objective in as_objectives(objectives, adapter):
        bound = objective.bound(adapter, adapter.size)
        if objective.group > 1:
            raise ValueError(
                f"{bound.names[0]} comes in groups of {objective.group} pictures. "
                "Units are compared one by one."
            )
        # The outputs, such as logits, are no layer, and deeper than all.
        layers = [path.removesuffix(PRE) for path in bound.layers]
        depth = max(
            (order.index(path) if path in order else len(order) for path in layers),
            default=0,
        )
        named = zip(bound.names, bound.texts, bound.targets, strict=True)
        for place, (name, text, target) in enumerate(named):
            singles.append(objective[[place]])
            units.append(Unit(name, text, target, depth))
    texts, names = ([getattr(u, kind) for u in units] for kind in ("text", "name"))
    twice = sorted({unit.name for unit in units if texts.count(unit.text) > 1})
    if twice:
        raise ValueError(
            f"Some units are given twice: {', '.join(twice)}. Leave out the copies."
        )
    # Some classes share a name, such as ImageNet's two cranes.
    units = [
        replace(u, name=f"{u.name} ({u.text})") if names.count(u.name) > 1 else u
        for u in units
    ]
    return singles, units


def _check_judges(
    judges: Sequence[Judge], adapter: Adapter, units: Sequence[Unit]
) -> None:
    names = [judge.name for judge in judges]
    if len(set(names)) != len(names):
        raise ValueError(
            "Each judge needs a name of its own. Give some of them a `name`. Received: "
            f"{', '.join(names)}"
        )
    for judge in judges:
        if judge.spec.get("hash") == adapter.fingerprint():
            raise ValueError(
                f"Judge {judge.name!r} is the network that is visualized: the pictures "
                "were optimized for it. Give another network."
            )
        if judge.scores and any(unit.target is not None for unit in units):
            judging.check(judge, adapter.classes)


def _fit_photos(adapter: Adapter, images: Any) -> NDArray[np.uint8]:
    pictures = [to_bytes(fit_photo(adapter, image)) for image in images]
    if len(pictures) < FEWEST_PHOTOS:
        raise ValueError(
            f"A comparison needs at least {FEWEST_PHOTOS} photos, to know how near "
            f"photos are to each other. Received: {len(pictures)}"
        )
    return np.stack(pictures)


def _fixed_settings(job: Job) -> dict[str, Any]:
    """Return the settings that all pictures of a method have in common."""
    versions = ("tfviz", "versions", "penalties", "diversity", "start")
    return {k: v for k, v in job.settings.items() if k not in versions}


def _digest(photos: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(photos.tobytes(), digest_size=16).hexdigest()
