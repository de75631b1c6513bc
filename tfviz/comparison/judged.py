"""What judges say about the pictures of one method."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import measures
from tfviz.comparison.other_units import others_of, pictures_of_others
from tfviz.comparison.records import Photos, Record, places_by_unit
from tfviz.judges import Judge

# The number of random subsets of photos for kernel distances, and the largest size of a
# subset.
SUBSETS, SUBSET_SIZE = 20, 100


@dataclass(frozen=True)
class Evaluation:
    """The measures of the pictures of one method.

    Attributes:
        rows: The measures of each picture.
        of_others: For each picture the means of the measures that depend on the unit,
            over the method's pictures of the other units of its group from the same
            seed; empty if there are none.
        path: The path similarity in each layer.
        of_method: The measures of all pictures together, with their standard
            deviations.
    """

    rows: list[dict[str, Any]]
    of_others: list[dict[str, Any]]
    path: list[float] = field(default_factory=list)
    of_method: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """The judges of a comparison, with what they need to know.

    Attributes:
        judges: The judges.
        photos: The evaluated photos.
        targets: The class of each unit, or None for units that are not classes.
        groups: The number of each unit's group of comparable units.
        seed: The random seed of the subsets of photos.
    """

    judges: Sequence[Judge]
    photos: Photos
    targets: Sequence[int | None]
    groups: Sequence[int]
    seed: int

    def add(
        self,
        records: Sequence[Record],
        seen: NDArray[np.float32],
        evaluation: Evaluation,
    ) -> None:
        """Add the measures by each judge to an evaluation.

        Args:
            records: The records of one method.
            seen: Their pictures as the network sees them, `(n, h, w, c)`.
            evaluation: The evaluation of these records.
        """
        has_classes = any(self.targets[r.unit] is not None for r in records)
        for judge in self.judges:
            if judge.scores and has_classes:
                self._add_ranks(judge.name, records, judge.scores(seen), evaluation)
            if judge.features:
                features = judge.features(seen)
                self._add_distances(judge.name, records, features, evaluation)
                self._add_units(judge.name, records, features, evaluation)

    def _add_ranks(
        self,
        judge: str,
        records: Sequence[Record],
        class_scores: NDArray[np.float32],
        evaluation: Evaluation,
    ) -> None:
        """Add how a judge ranks the class in its pictures, and in those of others."""
        others = pictures_of_others(records, self.groups)
        for i, record in enumerate(records):
            target = self.targets[record.unit]
            if target is None:
                continue
            for name in ("rank", "top1", "top5"):
                measure = getattr(measures, name)
                values = measure(class_scores, np.full(len(records), target))
                evaluation.rows[i][f"{name}@{judge}"] = values[i]
                if others[i]:
                    of_others = values[others[i]].mean()
                    evaluation.of_others[i][f"{name}@{judge}"] = of_others

    def _add_distances(
        self,
        judge: str,
        records: Sequence[Record],
        features: NDArray[np.float32],
        evaluation: Evaluation,
    ) -> None:
        """Add the distances between pictures and photos in a judge's features."""
        photo_features = self.photos.features[judge]
        ratios = measures.nearest_ratio(
            features, photo_features, exclude=[record.photo for record in records]
        )
        for row, value in zip(evaluation.rows, ratios, strict=True):
            row[f"nearest_ratio@{judge}"] = value
        # Records that are photos, or were made from photos, are near these photos by
        # construction: the photos are left out. A photo that is recorded for several
        # units counts once, as its copies would be near each other.
        sources = np.array([record.photo for record in records])
        other_photos = np.delete(photo_features, sources[sources >= 0], axis=0)
        _, firsts = np.unique(sources, return_index=True)
        places = np.union1d(firsts, np.flatnonzero(sources < 0))
        shown = np.array([records[place].unit for place in places])
        size = min(SUBSET_SIZE, len(np.unique(shown)) // 2, len(other_photos) // 2)
        if size < 2:
            return
        subsets = {"size": size, "draws": SUBSETS, "seed": abs(self.seed)}
        evaluation.of_method[f"kid_spread@{judge}"] = measures.kid_spread(
            features[places], other_photos, units=shown, **subsets
        )
        floor = measures.kid_floor(other_photos, **subsets)
        evaluation.of_method[f"kid_floor@{judge}"] = floor

    def _add_units(
        self,
        judge: str,
        records: Sequence[Record],
        features: NDArray[np.float32],
        evaluation: Evaluation,
    ) -> None:
        """Add the measures of all pictures of a unit together."""
        photo_features = self.photos.features[judge]
        by_unit = places_by_unit(records)
        for unit, places in by_unit.items():
            of_unit = {}
            if len(places) > 1:
                of_unit["relative_diversity"] = measures.relative_diversity(
                    features[places], photo_features[self.photos.top[unit]]
                )

            def tell_apart(shown: Sequence[int], unit: int = unit) -> float:
                sources = {records[i].photo for i in shown}
                return self._tell_apart(judge, unit, features[shown], sources)

            own = of_unit["two_alternative"] = tell_apart(places)
            others = [
                tell_apart(by_unit[other])
                for other in others_of(self.groups, unit)
                if other in by_unit
            ]
            if others and np.isfinite([own, *others]).all():
                of_unit["specificity"] = measures.specificity(own, others)
            for i in places:
                evaluation.rows[i] |= {f"{k}@{judge}": v for k, v in of_unit.items()}
                if others:
                    mean = float(np.mean(others))
                    evaluation.of_others[i][f"two_alternative@{judge}"] = mean

    def _tell_apart(
        self, judge: str, unit: int, features: NDArray[np.float32], sources: set[int]
    ) -> float:
        """Return how well pictures help a judge to tell apart the photos of a unit.

        Args:
            judge: The name of the judge.
            unit: The unit.
            features: The features of the pictures, which may be of another unit.
            sources: The photos that the pictures are or were made from, which the
                judge would recognize.
        """
        photo_features = self.photos.features[judge]
        queries = [i for i in range(len(photo_features)) if i not in sources]
        return measures.two_alternative(
            features, photo_features[queries], self.photos.scores[queries, unit]
        )
