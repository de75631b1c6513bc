"""Thresholds of judges, from references whose distances are planted."""

import numpy as np
import pytest
import scipy.ndimage

from tfviz import measures
from tfviz.comparison.records import Photos
from tfviz.comparison.references import COUNT, make_references, measure_references
from tfviz.comparison.summary import interval
from tfviz.images import to_bytes, to_floats
from tfviz.judges import Judge

SIDE = 32


@pytest.fixture(scope="module")
def pictures():
    """Photos of coarse blocks with fine grain, so that blur and noise can be seen."""
    rng = np.random.default_rng(0)
    blocks = rng.uniform(0.2, 0.8, size=(60, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    grain = rng.normal(scale=0.08, size=(60, SIDE, SIDE, 3))
    return to_bytes((blocks + grain).clip(0, 1))


def evaluated(pictures, judge):
    scores = np.zeros((len(pictures), 1), np.float32)
    features = {judge.name: judge.features(to_floats(pictures))}
    return Photos(pictures, scores, features, np.zeros((1, 1), np.int64))


def sharp(images):
    """Features that see edges: the spectrum of the grey picture."""
    grey = np.asarray(images).mean(axis=-1)
    return np.abs(np.fft.rfft2(grey - 0.5)).reshape(len(grey), -1).astype(np.float32)


def blind(images):
    """Features of nothing but a hash of the picture: all are equally far apart."""
    flat = np.asarray(images).reshape(len(images), -1)
    return np.stack(
        [np.random.default_rng(int(row.sum() * 1e4)).normal(size=40) for row in flat]
    ).astype(np.float32)


def judge_of(features, name="J"):
    return Judge(name, None, features, None, {})


def test_references_are_grey_noise_and_blurred_photos(pictures):
    photos = evaluated(pictures, judge_of(sharp))
    made = make_references(photos, seed=3)

    grey, sources = made["grey pictures"]
    assert sources == [-1] * COUNT
    assert np.ptp(grey, axis=(1, 2, 3)).max() == 0
    np.testing.assert_allclose(
        grey[:, 0, 0, 0], np.linspace(0.1, 0.9, COUNT), atol=0.002
    )
    noise, sources = made["white noise"]
    assert sources == [-1] * COUNT
    assert noise.std() == pytest.approx(12**-0.5, rel=0.01)
    assert abs(np.corrcoef(noise[:, 0, 0, 0], noise[:, 0, 1, 0])[0, 1]) < 0.7
    blurred, sources = made["blurred photos"]
    assert (len(set(sources)), min(sources), max(sources)) == (COUNT, 0, 59)
    sigma = 12 / 224 * SIDE
    expected = scipy.ndimage.gaussian_filter(
        photos.floats(sources), (0, sigma, sigma, 0), mode="reflect"
    )
    np.testing.assert_allclose(blurred, expected, atol=0.01)
    again = make_references(photos, seed=3)["white noise"][0]
    np.testing.assert_array_equal(noise, again)
    assert not np.array_equal(noise, make_references(photos, seed=4)["white noise"][0])


def test_the_threshold_is_midway_to_the_nearest_reference(pictures):
    judge = judge_of(sharp)
    photos = evaluated(pictures, judge)
    (entry,) = measure_references(photos, [judge], 0)

    assert entry["measure"] == "nearest_ratio@J"
    by_name = {kind.pop("name"): kind for kind in entry["pictures"]}
    features = photos.features["J"]
    own = measures.nearest_ratio(features, features, exclude=np.arange(60))
    expected = interval(own)
    assert by_name["photos"] == pytest.approx(
        {
            "mean": expected.value,
            "low": expected.low,
            "high": expected.high,
            "pictures": 60,
        }
    )
    made, sources = make_references(photos, 0)["blurred photos"]
    ratios = measures.nearest_ratio(sharp(made), features, exclude=sources)
    assert by_name["blurred photos"]["mean"] == pytest.approx(ratios.mean())
    unlike = [by_name[n]["mean"] for n in by_name if n != "photos"]
    assert len(unlike) == 3
    assert by_name["photos"]["high"] < min(unlike)
    assert entry["threshold"] == pytest.approx((own.mean() + min(unlike)) / 2)


def test_a_judge_whose_references_are_not_apart_has_no_threshold(pictures):
    judge = judge_of(blind)
    (entry,) = measure_references(evaluated(pictures, judge), [judge], 0)

    assert entry["threshold"] is None
    assert len(entry["pictures"]) == 4


def test_one_reference_that_passes_for_a_photo_leaves_no_threshold(pictures):
    """Noise and blur are far, but grey pictures have the features of a photo."""
    photo = sharp(to_floats(pictures[:1]))

    def features(images):
        values = sharp(images)
        return np.where(np.ptp(images, axis=(1, 2, 3))[:, None] == 0, photo, values)

    judge = judge_of(features)
    (entry,) = measure_references(evaluated(pictures, judge), [judge], 0)
    by_name = {kind["name"]: kind["mean"] for kind in entry["pictures"]}
    assert by_name["grey pictures"] < 0.01
    assert entry["threshold"] is None


def test_references_without_features_are_left_out(pictures):
    """Grey pictures may have no features at all, and so no distance."""

    def features(images):
        values = sharp(images)
        return values * (np.ptp(images, axis=(1, 2, 3)) > 0)[:, None]

    judge = judge_of(features)
    (entry,) = measure_references(evaluated(pictures, judge), [judge], 0)
    by_name = {kind["name"]: kind for kind in entry["pictures"]}
    assert by_name["grey pictures"]["mean"] is None
    assert by_name["grey pictures"]["pictures"] == 0
    unlike = [by_name["white noise"]["mean"], by_name["blurred photos"]["mean"]]
    middle = (by_name["photos"]["mean"] + min(unlike)) / 2
    assert entry["threshold"] == pytest.approx(middle)


def test_judges_without_features_have_no_references(pictures):
    photos = evaluated(pictures, judge_of(sharp))
    assert measure_references(photos, [Judge("J", sharp, None, 5, {})], 0) == []
