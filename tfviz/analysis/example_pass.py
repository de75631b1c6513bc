"""The state of a pass over images: what is known after any number of batches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._files import DAMAGED, list_differences, write_safely
from tfviz.analysis.example_statistics import (
    Histogram,
    Ranking,
    Sample,
    mean_similarity,
    most_correlated,
    sampling_keys,
    spread_ranks,
)
from tfviz.analysis.examples_file import ExampleImage, Examples, LayerExamples
from tfviz.analysis.photo_stream import Batch, Description
from tfviz.analysis.receptive_field import ReceptiveFields
from tfviz.analysis.responses import PEAK, Responses
from tfviz.levels import Moments

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

# The parts of the state whose arrays are saved.
_PARTS = ("top", "bottom", "sample", "histogram", "moments")


class Pass:
    """What a pass over images has kept of each unit so far.

    Args:
        units: The number of distinct units of all layers.
        features: The number of features of an image.
        k: The number of images in the top and bottom lists.
        by: What the response of a unit is, `PEAK` or `MEAN`.
        bins: The number of bins of the histograms.
        sample: The largest number of images in the sample.
        seed: The random seed of the sample.

    Attributes:
        images: The images that were read.
        unreadable: The files that could not be read, and the reasons.
        by: What the response of a unit is.
        seed: The random seed of the sample.
    """

    def __init__(
        self,
        units: int,
        features: int,
        *,
        k: int,
        by: str,
        bins: int,
        sample: int,
        seed: int,
    ) -> None:
        self.images: list[ExampleImage] = []
        self.unreadable: list[tuple[str, str]] = []
        self.by, self.seed = by, seed
        self.top = Ranking(units, k)
        self.bottom = Ranking(units, k, lowest=True)
        self.sample = Sample(sample, seed, units, features)
        self.histogram = Histogram(units, bins)
        self.moments = Moments()
        self.fires = np.zeros(units, np.int64)
        # The features of the images in the top lists, by the index of the image.
        self._features: dict[int, Floats] = {}
        self._most_features = 0

    @property
    def seen(self) -> int:
        """The number of images that were read or tried."""
        return len(self.images) + len(self.unreadable)

    def sampled(self, batch: Batch) -> NDArray[np.bool_]:
        """Return which rows of the next batch the sample may take, `(batch,)`."""
        places = self.seen + np.arange(len(batch.pictures))
        return sampling_keys(self.seed, places) < self.sample.limit

    def add(self, batch: Batch, responses: Responses) -> None:
        """Add a batch of images.

        Args:
            batch: The images, which come after all earlier ones.
            responses: The responses to those that could be read.
        """
        rows = batch.readable
        places = self.seen + rows
        for i, reason in enumerate(batch.errors):
            if reason:
                self.unreadable.append((batch.paths[i], reason))
        if not len(rows):
            return
        indices = self._indices(len(rows))
        for i in rows.tolist():
            height, width = batch.sizes[i].tolist()
            self.images.append(
                ExampleImage(batch.paths[i], height, width, batch.digests[i])
            )
        values = responses.peaks if self.by == PEAK else responses.means
        in_top = self.top.add(values, indices, responses.positions)
        self.bottom.add(values, indices, responses.positions)
        self.sample.add(
            indices, places, values, responses.positions, responses.features
        )
        self.histogram.add(values)
        self.moments.add(responses.means)
        self.fires += (responses.peaks > 0).sum(axis=0)
        for i in np.flatnonzero(in_top).tolist():
            self._features[int(indices[i])] = responses.features[i].copy()
        if len(self._features) > 2 * self._most_features:
            kept = set(np.unique(self.top.images).tolist())
            self._features = {i: f for i, f in self._features.items() if i in kept}
            self._most_features = max(len(self._features), 256)

    def layers(
        self,
        columns: Mapping[str, Integers],
        shapes: Mapping[str, tuple[int, ...]],
        fields: Mapping[str, ReceptiveFields],
        spread: int,
    ) -> dict[str, LayerExamples]:
        """Return the examples of each layer over all images so far.

        Args:
            columns: Which of the units each layer has, by its path.
            shapes: The shape of each layer's map.
            fields: The receptive fields of each layer.
            spread: The number of images that are spread over the responses.
        """
        k = min(self.top.images.shape[1], len(self.images))
        sample = self.sample.in_order()
        kept = np.unique(self.top.images[:, :k])
        features = np.stack([self._features[i] for i in kept.tolist()])
        with np.errstate(invalid="ignore", over="ignore"):  # of a layer not selected
            features = features - sample.features.mean(axis=0)
        level = self.moments.level()
        quantiles = ((np.arange(spread) + 0.5) / spread).astype(np.float32)
        layers = {}
        for path, part in columns.items():
            top = _examples(self.top, part, k)
            neighbours, correlations = most_correlated(sample.responses[:, part])
            layers[path] = LayerExamples(
                top=top,
                bottom=_examples(self.bottom, part, k),
                spread=_spread(sample, part, spread),
                spread_quantiles=quantiles,
                histogram=self.histogram.counts[part],
                histogram_low=self.histogram.low[part],
                histogram_width=self.histogram.width[part],
                fires=(self.fires[part] / len(self.images)).astype(np.float32),
                mean=level.mean[part],
                deviation=level.deviation[part],
                highest=level.highest[part],
                map_shape=shapes[path],
                rows=fields[path].rows,
                columns=fields[path].columns,
                neighbours=neighbours,
                correlations=correlations,
                agreement=mean_similarity(
                    np.searchsorted(kept, top.images).astype(np.int32), features
                ),
            )
        return layers

    def save(self, path: Path, settings: Mapping[str, Any], files: Description) -> None:
        """Write the state to a file, which is complete or not written.

        Args:
            path: The file.
            settings: The settings of the pass, as JSON values.
            files: The description of the folder of images.
        """
        images = [[i.path, i.height, i.width, i.digest] for i in self.images]
        facts = {"settings": settings, "images": images, "unreadable": self.unreadable}
        facts["files"] = files
        arrays: dict[str, Any] = {
            f"{name}.{key}": value
            for name in _PARTS
            for key, value in vars(getattr(self, name)).items()
            if isinstance(value, np.ndarray)
        }
        arrays["fires"] = self.fires
        arrays["features.images"] = np.array(list(self._features), np.int64)
        arrays["features.values"] = np.array(list(self._features.values()))
        arrays["facts"] = np.asarray(json.dumps(facts))
        write_safely(path, lambda file: np.savez(file, **arrays))

    def restore(self, path: Path, settings: Mapping[str, Any]) -> Description:
        """Continue from a state that `save` wrote.

        Args:
            path: The file.
            settings: The settings of this pass, as JSON values.

        Returns:
            The description of the folder of images.

        Raises:
            ValueError: If the file is that of a pass with other settings, or damaged.
        """
        remedy = f"Delete {str(path)!r} to begin anew."
        try:
            with path.open("rb") as file, np.load(file) as stored:
                arrays = {name: stored[name] for name in stored.files}
            facts = json.loads(arrays["facts"].item())
            saved = facts["settings"]
        except DAMAGED as error:
            raise ValueError(
                f"{str(path)!r} holds no interrupted pass, or is damaged. {remedy}"
            ) from error
        differences = list_differences(saved, json.loads(json.dumps(settings)))
        if differences:
            raise ValueError(
                f"{str(path)!r} holds an interrupted pass with other settings: "
                f"{'; '.join(differences)}. Use the same settings to continue it. "
                f"{remedy}"
            )
        self.images = [ExampleImage(*image) for image in facts["images"]]
        self.unreadable = [(file, reason) for file, reason in facts["unreadable"]]
        for name in _PARTS:
            part = getattr(self, name)
            for key, value in vars(part).items():
                if isinstance(value, np.ndarray):
                    setattr(part, key, arrays[f"{name}.{key}"])
        self.moments.count = len(self.images)
        self.fires = arrays["fires"]
        indices = arrays["features.images"].tolist()
        self._features = dict(zip(indices, arrays["features.values"], strict=True))
        return facts["files"]

    def _indices(self, n: int) -> Integers:
        """Return the indices of the next n images."""
        return np.arange(len(self.images), len(self.images) + n, dtype=np.int32)


def _examples(ranking: Ranking, part: Integers, k: int) -> Examples:
    """Return the first k images of the units of a layer."""
    return Examples(
        ranking.images[part, :k], ranking.values[part, :k], ranking.positions[part, :k]
    )


def _spread(sample: Sample, part: Integers, count: int) -> Examples:
    """Return the images of the sample at evenly spaced quantiles of the responses."""
    responses = sample.responses[:, part]
    # Images of equal responses are in their order.
    order = np.argsort(responses, axis=0, kind="stable")
    rows = order[spread_ranks(len(responses), count)]
    return Examples(
        sample.images[rows].T,
        np.take_along_axis(responses, rows, axis=0).T,
        np.take_along_axis(sample.positions[:, part], rows, axis=0).T,
    )
