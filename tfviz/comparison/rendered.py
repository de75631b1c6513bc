"""A comparison whose pictures are all rendered, and the records of its pictures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import images
from tfviz._errors import reason_of
from tfviz._files import finite_or_none
from tfviz.comparison.baselines import (
    RandomPictures,
    draw_random_pictures,
    reconstruct_photos,
)
from tfviz.comparison.evaluation import Evaluator, UnitScorer
from tfviz.comparison.kinship import is_trained_with, kinship
from tfviz.comparison.methods import (
    PHOTOS,
    Contender,
    best_of,
    random_of,
    reconstructed_by,
)
from tfviz.comparison.records import Photos, Record, Unit
from tfviz.comparison.robustness import overlap
from tfviz.comparison.storage import (
    PASSES_PER_STEP,
    Errors,
    PictureStore,
    StoredPicture,
)
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter
from tfviz.optimize.job import Job

# A picture that could be made, and its description.
PictureWithSpec = tuple[StoredPicture, dict[str, Any]]
_PHOTOS_ARE = "The photos to which the unit responds most, best first."
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


def load_records(
    comparison: RenderedComparison,
    evaluators: Mapping[Adapter, Evaluator],
    note: Callable[[str], Any],
) -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """Yield the photos, and each method with its baselines and its ceiling.

    Args:
        comparison: The comparison.
        evaluators: What evaluates the pictures of each network.
        note: Function called with `photos`, and with the name of each method, before
            these are loaded and the baselines of the method are made.

    Yields:
        The description of what made some pictures, and these pictures.
    """
    note(PHOTOS)
    description = describe(comparison, PHOTOS, "baseline", _PHOTOS_ARE)
    yield description, _photo_records(comparison)
    for name, contender in comparison.contenders.items():
        note(name)
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
        method = describe(comparison, name, contender.kind, text, contender.of, name)
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
    return describe(comparison, name, kind, description, of, of), list(records)


def describe(  # noqa: PLR0917 (everything that describes some pictures)
    comparison: RenderedComparison,
    name: str,
    kind: str,
    description: str,
    of: str | None = None,
    made_by: str | None = None,
) -> dict[str, Any]:
    """Return the entry of a method, baseline or ceiling in the results.

    Args:
        comparison: The comparison.
        name: The name of the entry.
        kind: Its kind, such as `baseline`.
        description: One sentence that describes its pictures.
        of: The method that it belongs to, or None.
        made_by: The method whose prior made its pictures, or None for photos.
    """
    return {
        "name": name,
        "kind": kind,
        "of": of,
        "kinship": comparison.kinship(made_by) if made_by else None,
        "related_judges": comparison.related_judges(made_by) if made_by else [],
        "description": description,
    }


def save_photos(comparison: RenderedComparison) -> dict[str, list[str]]:
    """Write the best photos of each unit, and return their files."""
    files: dict[str, list[str]] = {}
    for number, unit in enumerate(comparison.units):
        files[unit.name] = []
        for rank, place in enumerate(comparison.photos.top[number]):
            file = comparison.store.file(number, PHOTOS, rank)
            images.save(images.to_pil(comparison.photos.pictures[place]), file)
            files[unit.name].append(comparison.relative(file))
    return files
