"""The evaluation of pictures: scores, activation paths, and all other measures."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import measures
from tfviz.comparison.judged import Evaluation, Panel
from tfviz.comparison.other_units import pictures_of_others
from tfviz.comparison.records import TOP_PHOTOS, Photos, Record, places_by_unit
from tfviz.comparison.robustness import unseen_transforms
from tfviz.images import to_bytes, to_floats
from tfviz.judges import Judge
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import apply_in_batches
from tfviz.objectives._base import Objective
from tfviz.optimize.batch import picture_seed
from tfviz.transforms import Transform

# The number of images that are scored at once. Smaller batches are filled up with
# repeated images, so that one compilation serves all.
BATCH = 16
# The number of photos that are scored, and whose features are computed, at once.
PHOTO_CHUNK = 50
# The number of activations of a layer that are compared. More take longer and hardly
# change the path similarity.
ACTIVATIONS = 20_000
# The number of each other unit's photos that serve as unrelated photos for a unit.
UNRELATED = 2
# The number of draws of the unseen transforms for each picture.
DRAWS = 8
# The shortest side, in pixels, of pictures whose spectrum has a meaningful slope.
MIN_SPECTRUM_SIZE = 10


class UnitScorer:
    """Computes the scores of units in images.

    Args:
        adapter: The adapter of the model.
        units: The objectives, of one unit each. Their auxiliary terms, such as
            penalties, are left out of the score.
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
        """Return the scores of all units in images, `(n, units)`.

        Args:
            images: The images as the model sees them, `(n, h, w, c)` in [0, 1].
            transform: The transform to apply to the images first; none by default.
            seeds: The random seed of the transform for each image, `(n, 2)`.
        """
        if seeds is None:
            seeds = np.zeros((len(images), 2), np.int32)
        key = (images.shape[1:], None if transform is None else repr(transform.spec))
        if key not in self._compiled:
            self._compiled[key] = self._compile(images.shape[1:], transform)
        function = self._compiled[key]
        return apply_in_batches(function, BATCH, images, seeds, fill=True)

    def on(self, adapter: Adapter) -> "UnitScorer":
        """Return the scorer of the same units of another network."""
        return UnitScorer(adapter, self._units)

    def _compile(self, shape: tuple[int, ...], transform: Transform | None) -> Any:
        """Return the compiled function that scores a batch of images of one shape."""
        units = [
            unit.bound(self._adapter, (shape[0], shape[1])) for unit in self._units
        ]
        layers = tuple(dict.fromkeys(path for unit in units for path in unit.layers))

        def scores(images: Any, seeds: Any) -> Any:
            if transform is not None:
                images = transform(images, seeds)
            activations = self._adapter.forward(images, layers)
            return tf.stack(
                [self._score(unit, activations, images) for unit in units], axis=1
            )

        return tf.function(scores, autograph=False).get_concrete_function(
            tf.TensorSpec((BATCH, *shape), tf.float32),
            tf.TensorSpec((BATCH, 2), tf.int32),
        )

    def _score(self, unit: Objective, activations: Any, images: Any) -> Any:
        units = {k: np.repeat(v, BATCH, axis=0) for k, v in unit.units.items()}
        units = {name: tf.constant(values) for name, values in units.items()}
        return (unit.signal or unit.score)(activations, images, {}, units)


def evaluate_photos(
    pictures: NDArray[np.uint8], scorer: UnitScorer, judges: Sequence[Judge]
) -> Photos:
    """Compute the units' scores and the judges' features of photos.

    Args:
        pictures: The photos as the network sees them, `(m, h, w, c)`, as bytes.
        scorer: The scorer of the units.
        judges: The judges that provide features.

    Raises:
        ValueError: If a judge cannot take photos of this size, or if pictures cannot
            be compared with the photos, such as copies of one photo.
    """
    parts: dict[str, list[Any]] = {j.name: [] for j in judges if j.features}
    for part in _chunks(pictures):
        for judge in judges:
            if judge.features:
                parts[judge.name].append(judge.features(part))
    features = {name: np.concatenate(rows) for name, rows in parts.items()}
    for rows in features.values():
        measures.nearest_ratio(rows[:1], rows)  # raises for unsuitable photos
    return score_photos(pictures, scorer, features)


def score_photos(
    pictures: NDArray[np.uint8],
    scorer: UnitScorer,
    features: Mapping[str, NDArray[np.float32]],
) -> Photos:
    """Compute the units' scores of photos whose features are known.

    Args:
        pictures: The photos as the network sees them, `(m, h, w, c)`, as bytes.
        scorer: The scorer of the units.
        features: The features of the photos by the name of the judge.
    """
    scores = np.concatenate([scorer(part) for part in _chunks(pictures)])
    top = np.argsort(-scores, axis=0, kind="stable")[:TOP_PHOTOS].T
    return Photos(pictures, scores, features, top)


def _chunks(pictures: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    """Yield photos in [0, 1], some at a time."""
    for first in range(0, len(pictures), PHOTO_CHUNK):
        yield to_floats(pictures[first : first + PHOTO_CHUNK])


class Paths:
    """Compares the activations of pictures, layer by layer, with those of photos.

    Args:
        adapter: The adapter of the network.
        photos: The evaluated photos.
    """

    def __init__(self, adapter: Adapter, photos: Photos) -> None:
        self._adapter, self._photos = adapter, photos
        self._top_photos = np.unique(photos.top)
        self.layers = main_layers(adapter)
        self._compiled: Any = None

    def similarity(
        self, records: Sequence[Record], seen: NDArray[np.float32]
    ) -> list[float]:
        """Return the median over units of the path similarity in each layer.

        The median is used because the similarity of a unit divides by a number near 0
        where its photos are hardly more alike than unrelated ones. The similarity is
        nan where records are photos, or have another size than the photos.

        Args:
            records: The records of one method.
            seen: Their pictures as the network sees them, `(n, h, w, c)`.
        """
        undefined = [float("nan")] * len(self.layers)
        same_size = seen.shape[1:] == self._photos.pictures.shape[1:]
        if not same_size or any(record.photo >= 0 for record in records):
            return undefined
        of_pictures, similarities = self._activations(seen), []
        for unit, places in places_by_unit(records).items():
            top, unrelated = self._reference_photos(unit)
            if not len(unrelated):
                continue
            same, different = (self._rows(photos) for photos in (top, unrelated))
            similarities.append(
                [
                    measures.path_similarity(
                        of_pictures[layer][places],
                        of_photos[same],
                        of_photos[different],
                    )
                    for layer, of_photos in self._of_photos.items()
                ]
            )
        if not similarities:
            return undefined
        return [
            float(np.median(column[np.isfinite(column)]))
            if np.isfinite(column).any()
            else float("nan")
            for column in np.array(similarities).T
        ]

    @cached_property
    def _of_photos(self) -> dict[str, NDArray[np.float32]]:
        """The activations of the top photos of all units, computed once."""
        return self._activations(self._photos.floats(self._top_photos))

    def _rows(self, photos: Sequence[int]) -> NDArray[np.intp]:
        """Return the rows of some photos in the activations of the top photos."""
        return np.searchsorted(self._top_photos, photos)

    def _reference_photos(self, unit: int) -> tuple[list[int], list[int]]:
        """Return the top photos of a unit, and unrelated top photos of other units."""
        top = self._photos.top[unit].tolist()
        unrelated = [
            place
            for places in self._photos.top.tolist()
            for place in [p for p in places if p not in top][:UNRELATED]
        ]
        return top, sorted(set(unrelated))

    def _activations(
        self, images: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Return a fixed selection of each layer's activations, `(n, activations)`."""
        if self._compiled is None:
            self._compiled = tf.function(self._select_activations, autograph=False)
        return apply_in_batches(self._compiled, 1, images)

    def _select_activations(self, images: Any) -> dict[str, Any]:
        selected = {}
        for layer, values in self._adapter.forward(images, self.layers).items():
            flat = tf.reshape(values, (values.shape[0], -1))
            count = int(flat.shape[1])
            if count > ACTIVATIONS:
                random = np.random.default_rng(count)
                places = np.sort(random.choice(count, ACTIVATIONS, replace=False))
                flat = tf.gather(flat, places, axis=1)
            selected[layer] = flat
        return selected


def main_layers(adapter: Adapter, most: int = 8) -> list[str]:
    """Return the paths of evenly spaced layers with channels, from early to late.

    Args:
        adapter: The adapter of the network.
        most: The largest number of layers.
    """
    layers = [layer for layer in adapter.layers() if layer.units]
    rectified = [layer for layer in layers if layer.rectified]
    paths = [layer.path for layer in (rectified if len(rectified) > 1 else layers)]
    if not paths:
        return []
    places = np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))
    return [paths[place] for place in places]


class Evaluator:
    """Measures the pictures of the units of a comparison.

    Args:
        adapter: The adapter of the network whose units are visualized.
        scorer: The scorer of the units.
        photos: The evaluated photos.
        judges: Other networks that judge the pictures.
        targets: The class of each unit, or None for units that are not classes.
        groups: The number of each unit's group of comparable units.
        seed: The random seed of the unseen transforms and of the subsets of photos.

    Attributes:
        scorer: The scorer of the units.
        photos: The evaluated photos.
    """

    def __init__(
        self,
        adapter: Adapter,
        scorer: UnitScorer,
        photos: Photos,
        judges: Sequence[Judge],
        targets: Sequence[int | None],
        *,
        groups: Sequence[int],
        seed: int = 0,
    ) -> None:
        self.scorer, self.photos = scorer, photos
        self._panel = Panel(judges, photos, targets, groups, seed)
        self._seed, self._transform = seed, unseen_transforms()
        self._paths = Paths(adapter, photos)

    def on(self, adapter: Adapter) -> "Evaluator":
        """Return the evaluator of pictures of the same units of another network.

        The photos are scored by that network, so that the best photos, too, are its
        own. The judges and their features of the photos stay the same.
        """
        scorer = self.scorer.on(adapter)
        photos = score_photos(self.photos.pictures, scorer, self.photos.features)
        panel = self._panel
        return Evaluator(
            adapter,
            scorer,
            photos,
            panel.judges,
            panel.targets,
            groups=panel.groups,
            seed=panel.seed,
        )

    @property
    def layers(self) -> list[str]:
        """The paths of the layers in which activations are compared."""
        return self._paths.layers

    def evaluate(
        self, records: Sequence[Record], *, robustness: bool = True
    ) -> Evaluation:
        """Measure the pictures of one method, which all have the same size.

        Args:
            records: The pictures.
            robustness: Whether to measure the robustness, which has no meaning for
                pictures that were optimized under the transforms of its test.
        """
        seen = np.stack([record.seen for record in records])
        scores = self.scorer(seen)
        transformed = self._score_transformed(seen) if robustness else None
        rows: list[dict[str, Any]] = []
        of_others: list[dict[str, Any]] = []
        others = pictures_of_others(records, self._panel.groups)
        for i, record in enumerate(records):
            photo_scores = self.photos.scores[:, record.unit]
            row = _compare_with_photos(scores[i : i + 1, record.unit], photo_scores)
            other = _compare_with_photos(scores[others[i], record.unit], photo_scores)
            # Scores are divided by that of the best photo, so that the gains of
            # different units can be averaged.
            if other and np.isfinite(row["relative"]):
                row["gain"] = measures.gain(row["relative"], [other["relative"]])
            if record.best_of_n is not None:
                best = measures.relative(record.best_of_n, photo_scores)
                row["search_gain"] = np.nan
                if np.isfinite(best):
                    row["search_gain"] = measures.search_gain(row["relative"], best)
            if transformed is not None:
                row["robustness"] = measures.robustness(
                    transformed[:, i, record.unit], photo_scores, row["score"]
                )
            rows.append(row)
            of_others.append(other)
        pictures = to_bytes(np.stack([record.picture for record in records]))
        of_pixels = {"saturation": measures.saturation(pictures)}
        if min(pictures.shape[1:3]) >= MIN_SPECTRUM_SIZE:
            of_pixels["spectrum_slope"] = measures.spectrum_slope(pictures)
        # Total variation depends on the size, so it is measured at the network's, which
        # is the same for all methods.
        of_pixels["total_variation"] = measures.total_variation(seen)
        for name, values in of_pixels.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        path = self._paths.similarity(records, seen)
        evaluation = Evaluation(rows, of_others, path)
        self._panel.add(records, seen, evaluation)
        return evaluation

    def _score_transformed(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores under the unseen transforms, `(draws, n, units)`."""
        scores = []
        for draw in range(DRAWS):
            # All pictures and methods get the same draws, so that they are comparable.
            seed = np.array(picture_seed(self._seed, "moved", draw), np.int32)
            seeds = np.tile(seed, (len(seen), 1))
            scores.append(self.scorer(seen, self._transform, seeds))
        return np.stack(scores)


def _compare_with_photos(
    scores: NDArray[np.float32], photo_scores: NDArray[np.float32]
) -> dict[str, Any]:
    """Return means of the measures of scores, `(n,)`; none if there is no score."""
    if not len(scores):
        return {}
    return {
        "score": float(scores.mean()),
        "relative": float(measures.relative(scores, photo_scores).mean()),
        "percentile": float(measures.percentile(scores, photo_scores).mean()),
    }
