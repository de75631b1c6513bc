"""What the measures say of pictures: the rows of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures
from tfviz._adapter import Adapter
from tfviz._scorer import Scorer
from tfviz.images import to_bytes, to_floats
from tfviz.judges import Judge
from tfviz.transforms import Transform, chain, noise, rotate, scale

# Draws of the transforms under which no method is optimized, for each picture.
DRAWS = 8
# Photos to which a unit responds most, that stand for it.
TOP = 9
# Numbers of a layer in which paths are compared; more change nothing but the time.
PATH_NUMBERS = 20_000
# Parts of the photos for kernel distances, and their most pictures.
PARTS, PART = 20, 100
# How many photos are judged at once.
CHUNK = 50


def held_out() -> Transform:
    """Return transforms that are stronger than those of any preset, and noisy."""
    return chain(scale([0.85, 0.9, 1.1, 1.15]), rotate([-12, -8, 8, 12]), noise(0.03))


@dataclass(frozen=True)
class Photos:
    """The user's photos, as the network sees them, and what is known of them.

    Attributes:
        pictures: `(m, h, w, c)`, of bytes.
        scores: `(m, units)`.
        features: `(m, d)` by judge.
        top: `(units, TOP)`, the photos to which each unit responds most, best first.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]]
    top: NDArray[np.int64]

    def floats(self, places: Any) -> NDArray[np.float32]:
        """Return some of them, in [0, 1]."""
        return to_floats(self.pictures[places])


def looked_at(
    pictures: NDArray[np.uint8], scorer: Scorer, judges: Sequence[Judge]
) -> Photos:
    """Return photos with what the network and the judges make of them."""
    scores, features = [], {judge.name: [] for judge in judges if judge.features}
    for first in range(0, len(pictures), CHUNK):
        part = to_floats(pictures[first : first + CHUNK])
        scores.append(scorer(part))
        for judge in judges:
            if judge.features:
                features[judge.name].append(judge.features(part))
    found = np.concatenate(scores)
    order = np.argsort(-found, axis=0, kind="stable")[:TOP].T
    known = {name: np.concatenate(parts) for name, parts in features.items()}
    return Photos(pictures, found, known, order)


@dataclass
class Exhibit:
    """A picture of a unit that is judged.

    Attributes:
        unit: Number of the unit.
        method: What made it.
        seed: From 0.
        picture: `(height, width, channels)` in [0, 1], as it is saved.
        seen: The same as the network is shown it.
        photo: The photo that it is, or was made from; -1 for none.
        best_of_n: What it is to be better than, or None.
        facts: What else its row says.
    """

    unit: int
    method: str
    seed: int
    picture: NDArray[np.float32]
    seen: NDArray[np.float32]
    photo: int = -1
    best_of_n: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


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
        self._adapter, self._scorer = adapter, scorer
        self._photos, self._judges, self._targets = photos, judges, targets
        self._seed, self._transform = seed, held_out()
        self._layers = _main_layers(adapter)
        self._paths = _Paths(adapter, self._layers)

    @property
    def layers(self) -> list[str]:
        """Where paths are compared."""
        return self._layers

    def rows(
        self, exhibits: Sequence[Exhibit]
    ) -> tuple[list[dict[str, Any]], list[float], dict[str, float]]:
        """Measure the pictures of one method, all of a size.

        Returns:
            A row of numbers for each picture; the path similarity in each layer; and
            the measures of the method as a whole.
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
        pictures = _by_size([e.picture for e in exhibits])
        for places, part in pictures:
            for name in ("spectrum_slope", "saturation", "total_variation"):
                values = getattr(measures, name)(part)
                for place, value in zip(places, values, strict=True):
                    rows[place][name] = value
        whole: dict[str, float] = {}
        for judge in self._judges:
            self._judged(judge, exhibits, seen, rows, whole)
        return [_plain(row) for row in rows], self._path(exhibits, seen), _plain(whole)

    def _moved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `(draws, n, units)` under transforms."""
        found = []
        for draw in range(DRAWS):
            # The same draws for all pictures and methods.
            seeds = np.tile(np.int32([self._seed, draw]), (len(seen), 1))
            found.append(self._scorer(seen, self._transform, seeds))
        return np.stack(found)

    def _judged(
        self,
        judge: Judge,
        exhibits: Sequence[Exhibit],
        seen: NDArray[np.float32],
        rows: list[dict[str, Any]],
        whole: dict[str, float],
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
        size = min(PART, len(features) - 1, len(known) // 2)
        if size >= 2:
            mean, _ = measures.kid_spread(
                features, known, size=size, draws=PARTS, seed=self._seed
            )
            floor, _ = measures.kid_floor(
                known, size=size, draws=PARTS, seed=self._seed
            )
            whole[f"kid@{judge.name}"] = mean
            whole[f"kid_floor@{judge.name}"] = floor
        for unit, places in _by_unit(exhibits).items():
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

    def _path(
        self, exhibits: Sequence[Exhibit], seen: NDArray[np.float32]
    ) -> list[float]:
        """Return the median path similarity of units in each layer.

        Not the mean: where photos of a unit are hardly more alike than others, it
        divides by little.
        """
        same_size = seen.shape[1:] == self._photos.pictures.shape[1:]
        if not same_size or any(e.photo >= 0 for e in exhibits):
            return [float("nan")] * len(self._layers)
        photos = {
            unit: self._paths(self._photos.floats(self._photos.top[unit][:TOP]))
            for unit in _by_unit(exhibits)
        }
        made = self._paths(seen)
        found = []
        for layer in self._layers:
            values = []
            for unit, places in _by_unit(exhibits).items():
                others = [photos[u][layer][:2] for u in photos if u != unit]
                if not others:
                    continue
                own = photos[unit][layer]
                values.append(
                    measures.path_similarity(
                        made[layer][places], own, np.concatenate(others)
                    )
                )
            finite = [v for v in values if np.isfinite(v)]
            found.append(float(np.median(finite)) if finite else float("nan"))
        return found


class _Paths:
    """Activations of some layers, of which a fixed choice of numbers is kept."""

    def __init__(self, adapter: Adapter, layers: Sequence[str]) -> None:
        self._adapter, self._layers = adapter, tuple(layers)
        self._compiled: Any = None

    def __call__(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self._compiled is None:
            self._compiled = tf.function(self._kept, autograph=False)
        parts = [
            self._compiled(tf.constant(images[i : i + 1])) for i in range(len(images))
        ]
        return {
            layer: np.concatenate([part[layer].numpy() for part in parts])
            for layer in self._layers
        }

    def _kept(self, images: Any) -> dict[str, Any]:
        found = {}
        for layer, values in self._adapter.forward(images, self._layers).items():
            flat = tf.reshape(values, (values.shape[0], -1))
            count = int(flat.shape[1])
            if count > PATH_NUMBERS:
                random = np.random.default_rng(count)
                places = np.sort(random.choice(count, PATH_NUMBERS, replace=False))
                flat = tf.gather(flat, places, axis=1)
            found[layer] = flat
        return found


def _main_layers(adapter: Adapter, most: int = 8) -> list[str]:
    """Return some layers with channels, from early to late."""
    paths = [
        layer.path for layer in adapter.layers() if layer.units and layer.rectified
    ]
    if len(paths) < 2:
        paths = [layer.path for layer in adapter.layers() if layer.units]
    places = np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))
    return [paths[place] for place in places]


def _by_unit(exhibits: Sequence[Exhibit]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place, exhibit in enumerate(exhibits):
        found.setdefault(exhibit.unit, []).append(place)
    return found


def _by_size(
    pictures: Sequence[NDArray[np.float32]],
) -> list[tuple[list[int], NDArray[np.uint8]]]:
    """Return pictures as bytes, those of a size together, with their places."""
    sizes: dict[Any, list[int]] = {}
    for place, picture in enumerate(pictures):
        sizes.setdefault(picture.shape, []).append(place)
    return [
        (places, np.stack([to_bytes(pictures[i]) for i in places]))
        for places in sizes.values()
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers as JSON has them: None for nan."""
    return {
        name: None if not np.isfinite(value) else float(value)
        for name, value in row.items()
    }
