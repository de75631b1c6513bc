"""What the measures say of pictures: the rows of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import measures
from tfviz._adapter import Adapter
from tfviz._exhibit import Exhibit, Photos, by_unit
from tfviz._json import finite
from tfviz._paths import Paths
from tfviz._plan import hashed
from tfviz._scorer import Scorer
from tfviz.images import to_bytes
from tfviz.judges import Judge
from tfviz.transforms import Transform, chain, noise, rotate, scale

# Draws of the transforms under which no method is optimized, for each picture.
DRAWS = 8
# Parts of the photos for kernel distances, and their most pictures.
PARTS, PART = 20, 100
# Pixels of a side from which a spectrum has a slope.
SPECTRUM_FROM = 10
# Measures of all pictures of a method together, with their standard deviations.
Whole = dict[str, tuple[float, float]]


def held_out() -> Transform:
    """Return transforms that turn and scale further than `distill`, and are noisy."""
    return chain(scale([0.85, 0.9, 1.1, 1.15]), rotate([-12, -8, 8, 12]), noise(0.03))


class Court:
    """Measures pictures of the same units.

    Args:
        adapter: Of the network that they visualize.
        scorer: Of the units.
        photos: Looked at.
        judges: Other networks.
        targets: The class of each unit, or None.
        seed: Of the transforms' draws, and of the parts of photos.
    """

    def __init__(
        self,
        adapter: Adapter,
        scorer: Scorer,
        photos: Photos,
        judges: Sequence[Judge],
        targets: Sequence[int | None],
        *,
        seed: int = 0,
    ) -> None:
        self._scorer, self._photos = scorer, photos
        self._judges, self._targets = judges, targets
        self._seed, self._transform = seed, held_out()
        self._paths = Paths(adapter, photos)

    @property
    def layers(self) -> list[str]:
        """Where paths are compared."""
        return self._paths.layers

    def rows(
        self, exhibits: Sequence[Exhibit]
    ) -> tuple[list[dict[str, Any]], list[float], Whole]:
        """Measure the pictures of one method, all of a size.

        Returns:
            A row of numbers for each picture; the path similarity in each layer; and
            the measures of the method as a whole, with their deviations.
        """
        seen = np.stack([e.seen for e in exhibits])
        scores = self._scorer(seen)
        moved = self._moved(seen)
        rows = []
        for place, e in enumerate(exhibits):
            score = float(scores[place, e.unit])
            known = self._photos.scores[:, e.unit]
            row: dict[str, Any] = {"score": score}
            row["relative"] = measures.relative(score, known)
            row["percentile"] = measures.percentile(score, known)
            if e.best_of_n is not None:
                # In parts of the best photo, or units could not be averaged.
                best = measures.relative(e.best_of_n, known)
                row["gain"] = np.nan
                if np.isfinite(best):
                    row["gain"] = measures.gain(row["relative"], best)
            row["robustness"] = measures.robustness(
                moved[:, place, e.unit], known, score
            )
            rows.append(row)
        pictures = to_bytes(np.stack([e.picture for e in exhibits]))
        alone = {"saturation": measures.saturation(pictures)}
        if min(pictures.shape[1:3]) >= SPECTRUM_FROM:
            alone["spectrum_slope"] = measures.spectrum_slope(pictures)
        # At one size for all methods, as it depends on it.
        alone["total_variation"] = measures.total_variation(seen)
        for name, values in alone.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        whole: Whole = {}
        for judge in self._judges:
            self._judged(judge, exhibits, seen, rows, whole)
        path = self._paths.similarity(exhibits, seen)
        return [_plain(row) for row in rows], path, whole

    def _moved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `(draws, n, units)` under transforms."""
        found = []
        for draw in range(DRAWS):
            # The same draws for all pictures and methods.
            drawn = np.array(hashed(self._seed, "moved", draw), np.int32)
            seeds = np.tile(drawn, (len(seen), 1))
            found.append(self._scorer(seen, self._transform, seeds))
        return np.stack(found)

    def _judged(
        self,
        judge: Judge,
        exhibits: Sequence[Exhibit],
        seen: NDArray[np.float32],
        rows: list[dict[str, Any]],
        whole: Whole,
    ) -> None:
        targets = [self._targets[e.unit] for e in exhibits]
        asked = [i for i, target in enumerate(targets) if target is not None]
        if judge.scores and asked:
            found = judge.scores(seen[asked])
            classes = [targets[i] for i in asked]
            for name in ("rank", "top1", "top5"):
                values = getattr(measures, name)(found, classes)
                for i, value in zip(asked, values, strict=True):
                    rows[i][f"{name}@{judge.name}"] = value
        if not judge.features:
            return
        features = judge.features(seen)
        known = self._photos.features[judge.name]
        ratios = measures.nearest_ratio(
            features, known, exclude=[e.photo for e in exhibits]
        )
        for row, value in zip(rows, ratios, strict=True):
            row[f"nearest_ratio@{judge.name}"] = value
        # Photos that are judged themselves, or were copied, would be near by nature;
        # and to itself, one that is the best of several units.
        own = np.array([e.photo for e in exhibits])
        others = np.delete(known, own[own >= 0], axis=0)
        _, firsts = np.unique(own, return_index=True)
        made = features[np.union1d(firsts, np.flatnonzero(own < 0))]
        size = min(PART, len(made) - 1, len(others) // 2)
        if size >= 2:
            parts = {"size": size, "draws": PARTS, "seed": abs(self._seed)}
            spread = measures.kid_spread(made, others, **parts)
            whole[f"kid_spread@{judge.name}"] = spread
            whole[f"kid_floor@{judge.name}"] = measures.kid_floor(others, **parts)
        for unit, places in by_unit(exhibits).items():
            told = self._of_unit(
                unit, [exhibits[i] for i in places], features[places], known
            )
            for i in places:
                rows[i] |= {f"{name}@{judge.name}": v for name, v in told.items()}

    def _of_unit(
        self,
        unit: int,
        exhibits: Sequence[Exhibit],
        features: NDArray[np.float32],
        known: NDArray[np.float32],
    ) -> dict[str, float]:
        """Return the measures of the pictures of a unit together."""
        top = self._photos.top[unit]
        found = {}
        if len(features) > 1:
            found["relative_diversity"] = measures.relative_diversity(
                features, known[top]
            )
        # Photos that are references, or that pictures were made from, are no queries.
        own = {e.photo for e in exhibits} - {-1}
        queries = [i for i in range(len(known)) if i not in own]
        found["two_alternative"] = measures.two_alternative(
            features, known[queries], self._photos.scores[queries, unit]
        )
        return found


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers as JSON has them: None for nan."""
    return {name: finite(value) for name, value in row.items()}
