"""What the measures say of pictures: the rows of a comparison."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures
from tfviz._files import finite_or_none
from tfviz.comparison.records import TOP_PHOTOS, Photos, Record, places_by_unit
from tfviz.images import to_bytes, to_floats
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter
from tfviz.objectives._base import Objective
from tfviz.optimize.batch import picture_seed
from tfviz.transforms import Transform, chain, noise, rotate, scale

# Images that are scored at once. Others are filled up, so that one compilation does.
BATCH = 16


class UnitScorer:
    """Scores units in images.

    Args:
        adapter: Of the model.
        units: Objectives of one image each; terms beside the units, such as penalties,
            are left out.
    """

    def __init__(self, adapter: Adapter, units: Sequence[Objective]) -> None:
        self._adapter, self._units = adapter, units
        self._compiled: dict[Any, Any] = {}

    def __call__(
        self,
        images: NDArray[np.float32],
        transform: Transform | None = None,
        seeds: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the scores `(n, units)`.

        Args:
            images: `(n, h, w, c)` in [0, 1], as the model is shown them.
            transform: What is done to them before.
            seeds: `(n, 2)`, of its draws.
        """
        given = np.zeros((len(images), 2), np.int32) if seeds is None else seeds
        key = (images.shape[1:], None if transform is None else repr(transform.spec))
        if key not in self._compiled:
            self._compiled[key] = self._traced(images.shape[1:], transform)
        rows = []
        for first in range(0, len(images), BATCH):
            part, draws = images[first : first + BATCH], given[first : first + BATCH]
            n = len(part)
            part, draws = (np.resize(x, (BATCH, *x.shape[1:])) for x in (part, draws))
            rows.append(self._compiled[key](part, draws).numpy()[:n])
        return np.concatenate(rows)

    def _traced(self, shape: tuple[int, ...], transform: Transform | None) -> Any:
        units = [
            unit.bound(self._adapter, (shape[0], shape[1])) for unit in self._units
        ]
        layers = tuple(dict.fromkeys(path for unit in units for path in unit.layers))

        def scores(images: Any, seeds: Any) -> Any:
            if transform is not None:
                images = transform(images, seeds)
            activations = self._adapter.forward(images, layers)
            return tf.stack(
                [self._scored(unit, activations, images) for unit in units], axis=1
            )

        return tf.function(scores, autograph=False).get_concrete_function(
            tf.TensorSpec((BATCH, *shape), tf.float32),
            tf.TensorSpec((BATCH, 2), tf.int32),
        )

    def _scored(self, unit: Objective, activations: Any, images: Any) -> Any:
        known = {k: np.repeat(v, BATCH, axis=0) for k, v in unit.units.items()}
        known = {name: tf.constant(values) for name, values in known.items()}
        return (unit.signal or unit.score)(activations, images, {}, known)


# Numbers of a layer in which paths are compared; more change nothing but the time.
NUMBERS = 20_000
# Photos of each other unit that stand for different ones.
OTHERS = 2


# How many photos are judged at once.
CHUNK = 50


def evaluate_photos(
    pictures: NDArray[np.uint8], scorer: UnitScorer, judges: Sequence[Judge]
) -> Photos:
    """Return photos with what the network and the judges make of them.

    Raises:
        ValueError: If a judge cannot take them, or they do not do as what pictures are
            compared with, such as copies of one photo.
    """
    scores: list[NDArray[np.float32]] = []
    features: dict[str, list[Any]] = {j.name: [] for j in judges if j.features}
    for first in range(0, len(pictures), CHUNK):
        part = to_floats(pictures[first : first + CHUNK])
        scores.append(scorer(part))
        for judge in judges:
            if judge.features:
                features[judge.name].append(judge.features(part))
    found = np.concatenate(scores)
    order = np.argsort(-found, axis=0, kind="stable")[:TOP_PHOTOS].T
    known = {name: np.concatenate(parts) for name, parts in features.items()}
    for rows in known.values():
        measures.nearest_ratio(rows[:1], rows)
    return Photos(pictures, found, known, order)


class Paths:
    """Compares paths of pictures with those of photos.

    Args:
        adapter: Of the network.
        photos: Looked at.
    """

    def __init__(self, adapter: Adapter, photos: Photos) -> None:
        self._adapter, self._photos = adapter, photos
        self._shown = np.unique(photos.top)
        self.layers = main_layers(adapter)
        self._compiled: Any = None

    def similarity(
        self, records: Sequence[Record], seen: NDArray[np.float32]
    ) -> list[float]:
        """Return the median path similarity of units in each layer.

        Not the mean: where photos of a unit are hardly more alike than others, it
        divides by little. Nan where pictures are photos, or have another size.
        """
        unknown = [float("nan")] * len(self.layers)
        same_size = seen.shape[1:] == self._photos.pictures.shape[1:]
        if not same_size or any(e.photo >= 0 for e in records):
            return unknown
        made, values = self._activations(seen), []
        for unit, places in places_by_unit(records).items():
            own, others = self._beside(unit)
            if not len(others):
                continue
            same, different = (self._rows(photos) for photos in (own, others))
            values.append(
                [
                    measures.path_similarity(
                        made[layer][places], found[same], found[different]
                    )
                    for layer, found in self._of_photos.items()
                ]
            )
        if not values:
            return unknown
        found = np.array(values)
        return [
            float(np.median(column[np.isfinite(column)]))
            if np.isfinite(column).any()
            else float("nan")
            for column in found.T
        ]

    @cached_property
    def _of_photos(self) -> dict[str, NDArray[np.float32]]:
        """The activations of all photos that stand for a unit, looked at once."""
        return self._activations(self._photos.floats(self._shown))

    def _rows(self, photos: Sequence[int]) -> NDArray[np.intp]:
        """Return where photos are among the activations of photos."""
        return np.searchsorted(self._shown, photos)

    def _beside(self, unit: int) -> tuple[list[int], list[int]]:
        """Return the photos of a unit, and some of others that are not its own."""
        own = self._photos.top[unit].tolist()
        others = [
            place
            for other, places in enumerate(self._photos.top.tolist())
            if other != unit
            for place in [p for p in places if p not in own][:OTHERS]
        ]
        return own, sorted(set(others))

    def _activations(
        self, images: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Return of each layer a fixed choice of numbers, `(n, numbers)`."""
        if self._compiled is None:
            self._compiled = tf.function(self._kept, autograph=False)
        parts = [
            self._compiled(tf.constant(images[i : i + 1])) for i in range(len(images))
        ]
        return {
            layer: np.concatenate([part[layer].numpy() for part in parts])
            for layer in self.layers
        }

    def _kept(self, images: Any) -> dict[str, Any]:
        found = {}
        for layer, values in self._adapter.forward(images, self.layers).items():
            flat = tf.reshape(values, (values.shape[0], -1))
            count = int(flat.shape[1])
            if count > NUMBERS:
                random = np.random.default_rng(count)
                places = np.sort(random.choice(count, NUMBERS, replace=False))
                flat = tf.gather(flat, places, axis=1)
            found[layer] = flat
        return found


def main_layers(adapter: Adapter, most: int = 8) -> list[str]:
    """Return some layers with channels, from early to late."""
    layers = [layer for layer in adapter.layers() if layer.units]
    rectified = [layer for layer in layers if layer.rectified]
    paths = [layer.path for layer in (rectified if len(rectified) > 1 else layers)]
    if not paths:
        return []
    places = np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))
    return [paths[place] for place in places]


# Draws of the transforms under which no method is optimized, for each picture.
DRAWS = 8
# Parts of the photos for kernel distances, and their most pictures.
PARTS, PART = 20, 100
# Pixels of a side from which a spectrum has a slope.
SPECTRUM_FROM = 10
# Measures of all pictures of a method together, with their standard deviations.
Whole = dict[str, tuple[float, float]]


def unseen_transforms() -> Transform:
    """Return transforms that turn and scale further than `distill`, and are noisy."""
    return chain(scale([0.85, 0.9, 1.1, 1.15]), rotate([-12, -8, 8, 12]), noise(0.03))


class Evaluator:
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
        scorer: UnitScorer,
        photos: Photos,
        judges: Sequence[Judge],
        targets: Sequence[int | None],
        *,
        seed: int = 0,
    ) -> None:
        self._scorer, self._photos = scorer, photos
        self._judges, self._targets = judges, targets
        self._seed, self._transform = seed, unseen_transforms()
        self._paths = Paths(adapter, photos)

    @property
    def layers(self) -> list[str]:
        """Where paths are compared."""
        return self._paths.layers

    def rows(
        self, records: Sequence[Record]
    ) -> tuple[list[dict[str, Any]], list[float], Whole]:
        """Measure the pictures of one method, all of a size.

        Returns:
            A row of numbers for each picture; the path similarity in each layer; and
            the measures of the method as a whole, with their deviations.
        """
        seen = np.stack([e.seen for e in records])
        scores = self._scorer(seen)
        moved = self._moved(seen)
        rows = []
        for place, e in enumerate(records):
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
        pictures = to_bytes(np.stack([e.picture for e in records]))
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
            self._judged(judge, records, seen, rows, whole)
        path = self._paths.similarity(records, seen)
        return [_plain(row) for row in rows], path, whole

    def _moved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `(draws, n, units)` under transforms."""
        found = []
        for draw in range(DRAWS):
            # The same draws for all pictures and methods.
            drawn = np.array(picture_seed(self._seed, "moved", draw), np.int32)
            seeds = np.tile(drawn, (len(seen), 1))
            found.append(self._scorer(seen, self._transform, seeds))
        return np.stack(found)

    def _judged(
        self,
        judge: Judge,
        records: Sequence[Record],
        seen: NDArray[np.float32],
        rows: list[dict[str, Any]],
        whole: Whole,
    ) -> None:
        targets = [self._targets[e.unit] for e in records]
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
            features, known, exclude=[e.photo for e in records]
        )
        for row, value in zip(rows, ratios, strict=True):
            row[f"nearest_ratio@{judge.name}"] = value
        # Photos that are judged themselves, or were copied, would be near by nature;
        # and to itself, one that is the best of several units.
        own = np.array([e.photo for e in records])
        others = np.delete(known, own[own >= 0], axis=0)
        _, firsts = np.unique(own, return_index=True)
        made = features[np.union1d(firsts, np.flatnonzero(own < 0))]
        size = min(PART, len(made) - 1, len(others) // 2)
        if size >= 2:
            parts = {"size": size, "draws": PARTS, "seed": abs(self._seed)}
            spread = measures.kid_spread(made, others, **parts)
            whole[f"kid_spread@{judge.name}"] = spread
            whole[f"kid_floor@{judge.name}"] = measures.kid_floor(others, **parts)
        for unit, places in places_by_unit(records).items():
            told = self._of_unit(
                unit, [records[i] for i in places], features[places], known
            )
            for i in places:
                rows[i] |= {f"{name}@{judge.name}": v for name, v in told.items()}

    def _of_unit(
        self,
        unit: int,
        records: Sequence[Record],
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
        own = {e.photo for e in records} - {-1}
        queries = [i for i in range(len(known)) if i not in own]
        found["two_alternative"] = measures.two_alternative(
            features, known[queries], self._photos.scores[queries, unit]
        )
        return found


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers as JSON has them: None for nan."""
    return {name: finite_or_none(value) for name, value in row.items()}
