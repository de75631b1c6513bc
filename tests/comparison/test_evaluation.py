"""The values of an evaluation, worked out with NumPy and SciPy."""

from itertools import combinations, product

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf

import tfviz
from support import build_toy
from tfviz import measures
from tfviz.comparison.evaluation import (
    DRAWS,
    UNRELATED,
    Evaluator,
    Paths,
    UnitScorer,
    evaluate_photos,
)
from tfviz.comparison.records import Record
from tfviz.comparison.robustness import ANGLES, NOISE
from tfviz.images import to_floats
from tfviz.judges import Judge

SIZE, COUNT, BEST = 32, 60, 9
UNITS = ("conv_b:0", "conv_b:5", "conv_a:3", "head:1")
LAYERS = ("conv_a", "conv_b")


def soft_pictures(n, seed):
    """Blurred noise, as bytes."""
    noise = np.random.default_rng(seed).normal(size=(n, SIZE, SIZE, 3))
    soft = scipy.ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    return np.round(255 * (0.5 + 0.15 * soft / soft.std()).clip(0, 1)).astype(np.uint8)


def fields(pictures):
    """Features of a judge: the colours of 4 x 4 fields."""
    means = np.reshape(pictures, (len(pictures), 4, 8, 4, 8, 3)).mean(axis=(2, 4))
    return means.reshape(len(pictures), -1).astype(np.float32) - 0.5


JUDGE = Judge("eye", None, fields, None, {"kind": "made for a test"})


@pytest.fixture(scope="module")
def adapter():
    return tfviz.adapt(build_toy(), (-1, 1), labels=["ant", "bee", "cat", "dog", "eel"])


@pytest.fixture(scope="module")
def scorer(adapter):
    parsed = [tfviz.objectives.parse(text, adapter) for text in UNITS]
    return UnitScorer(adapter, [unit for units in parsed for unit in units])


@pytest.fixture(scope="module")
def photos(scorer):
    return evaluate_photos(soft_pictures(COUNT, 0), scorer, [JUDGE])


def record(unit, seed, picture, photo=-1):
    return Record(unit, "m", seed, picture, picture, photo)


def make_evaluator(adapter, scorer, photos, judges):
    """An evaluator of units that are no classes, and are all in one group."""
    count = len(UNITS)
    return Evaluator(
        adapter, scorer, photos, judges, [None] * count, groups=[0] * count
    )


class RecordingScorer:
    """Scores as another scorer does, and keeps the images that were scored."""

    def __init__(self, scorer):
        self._scorer, self.scored = scorer, []

    def __call__(self, images, transform=None, seeds=None):
        if transform is not None:
            images = np.asarray(transform(images, seeds))
            self.scored.append(images)
        return self._scorer(images)


class TestRobustness:
    @pytest.fixture(scope="class")
    def measured(self, adapter, scorer, photos):
        """The rows of pictures that lead, and the images behind their robustness."""
        recording = RecordingScorer(scorer)
        evaluator = make_evaluator(adapter, recording, photos, [])
        pictures = to_floats(soft_pictures(6, 1))
        seen = np.concatenate([pictures, photos.floats(photos.top[:3, 0])])
        records = [record(k % 3, k, picture) for k, picture in enumerate(seen)]
        rows = evaluator.evaluate(records).rows
        return records, rows, recording.scored

    def test_each_draw_is_one_rotation_with_noise_of_the_test(self, measured):
        records, _, scored = measured
        angles = [sign * angle for angle in ANGLES for sign in (1, -1)]
        across, down = np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2)
        inside = np.hypot(across, down) < 0.9
        drawn = []
        for images in scored:
            errors = []
            for angle in angles:
                turned = [
                    scipy.ndimage.rotate(r.seen, angle, reshape=False, order=1)
                    for r in records
                ]
                errors.append((images - turned)[:, inside].std(axis=(1, 2)))
            nearest = np.argmin(errors, axis=0)
            assert len(set(nearest)) == 1  # the same for all pictures of a draw
            np.testing.assert_allclose(np.min(errors, axis=0), NOISE, rtol=0.1)
            drawn.append(angles[nearest[0]])

        assert len(scored) == DRAWS
        assert len(set(drawn)) >= 4
        assert len({images.tobytes() for images in scored}) == DRAWS

    def test_it_is_the_share_of_the_lead_that_is_left(self, measured, scorer, photos):
        records, rows, scored = measured
        before = scorer(np.stack([r.seen for r in records]))
        after = np.stack([scorer(images) for images in scored])
        means = photos.scores.mean(axis=0)
        values = []
        for i, (of, row) in enumerate(zip(records, rows, strict=True)):
            lead = before[i, of.unit] - means[of.unit]
            if lead <= 0:
                assert np.isnan(row["robustness"])
                continue
            left = (after[:, i, of.unit] - means[of.unit]) / lead
            expected = left.clip(0, 1).mean()
            assert row["robustness"] == pytest.approx(expected, abs=1e-3)
            values.append(expected)
        assert len(values) >= 4
        assert min(values) < 0.9


class TestTwoAlternative:
    def test_photos_behind_records_are_no_queries(self, adapter, scorer, photos):
        """Whether the records are these photos, or were made from them."""
        evaluator = make_evaluator(adapter, scorer, photos, [JUDGE])
        features = photos.features["eye"]
        for shift in (0.0, 0.05):
            records = [
                record(unit, seed, photos.floats(place) * (1 - shift), int(place))
                for unit in range(len(UNITS))
                for seed, place in enumerate(photos.top[unit, :3])
            ]
            rows = evaluator.evaluate(records).rows
            with_references = []
            for unit in range(len(UNITS)):
                own = [i for i, r in enumerate(records) if r.unit == unit]
                references = fields(np.stack([records[i].seen for i in own]))
                left = np.delete(np.arange(COUNT), photos.top[unit, :3])
                scores = photos.scores[:, unit]
                expected = measures.two_alternative(
                    references, features[left], scores[left]
                )
                for i in own:
                    value = rows[i]["two_alternative@eye"]
                    assert value == pytest.approx(expected, abs=1e-6)
                leaked = measures.two_alternative(references, features, scores)
                with_references.append(leaked - expected)
            # The photos themselves would be recognized.
            assert np.mean(with_references) > 0.05


def spearman(first, second):
    return scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic


class TestPathSimilarity:
    def test_it_is_the_median_over_units_by_layer(self, adapter, scorer, photos):
        paths = Paths(adapter, photos)
        # Pictures that have something of a photo of their unit.
        bests = photos.floats(np.repeat(photos.top[:, 0], 2))
        seen = (to_floats(soft_pictures(len(bests), 3)) + bests - 0.5).clip(0, 1)
        records = [record(k // 2, k % 2, picture) for k, picture in enumerate(seen)]
        found = paths.similarity(records, seen)

        assert paths.layers == list(LAYERS)
        forward = tf.function(lambda images: adapter.forward(images, LAYERS))
        of_photos = {
            k: v.numpy() for k, v in forward(photos.floats(range(COUNT))).items()
        }
        of_pictures = {k: v.numpy() for k, v in forward(seen).items()}
        top = np.argsort(-photos.scores, axis=0, kind="stable")[:BEST].T
        for layer, value in zip(LAYERS, found, strict=True):
            pictures, activations = of_pictures[layer], of_photos[layer]
            values = []
            for unit in range(len(UNITS)):
                same = set(top[unit])
                different = set()
                for other in set(range(len(UNITS))) - {unit}:
                    strangers = [p for p in top[other] if p not in same]
                    different |= set(strangers[:UNRELATED])
                assert different
                own = pictures[2 * unit : 2 * unit + 2]
                within = np.mean(
                    [spearman(*activations[[a, b]]) for a, b in combinations(same, 2)]
                )
                between = np.mean(
                    [
                        spearman(*activations[[a, b]])
                        for a, b in product(same, different)
                    ]
                )
                towards = np.mean(
                    [spearman(p, activations[a]) for p, a in product(own, same)]
                )
                values.append((towards - between) / (within - between))
                if within <= between:
                    values[-1] = np.nan
            assert np.isfinite(values).sum() >= 3
            assert np.nanstd(values) > 0.1
            assert value == pytest.approx(np.nanmedian(values), rel=1e-3)
