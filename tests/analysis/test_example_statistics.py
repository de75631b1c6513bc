"""What a pass keeps of each unit, against NumPy on all values at once."""

import tracemalloc

import numpy as np
import pytest

from tfviz.analysis import example_statistics as statistics
from tfviz.analysis.example_statistics import (
    Histogram,
    Ranking,
    Sample,
    mean_similarity,
    most_correlated,
    sampling_keys,
    spread_ranks,
)


def batches(values, size):
    for first in range(0, len(values), size):
        rows = np.arange(first, min(first + size, len(values)), dtype=np.int32)
        yield values[rows], rows


@pytest.mark.parametrize("lowest", [False, True])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_ranking_is_that_of_a_sort(rng, lowest, size):
    # Few different values, so that there are many ties.
    values = rng.integers(-3, 4, (40, 25)).astype(np.float32)
    positions = rng.integers(0, 99, (40, 25)).astype(np.int32)
    ranking = Ranking(25, 6, lowest=lowest)
    for part, images in batches(values, size):
        before = ranking.images.copy()
        kept = ranking.add(part, images, positions[images])
        new = set(ranking.images.ravel()) - set(before.ravel())
        assert new == set(images[kept])

    for unit in range(25):
        sign = 1 if lowest else -1
        order = np.lexsort((np.arange(40), sign * values[:, unit]))[:6]
        np.testing.assert_array_equal(ranking.images[unit], order)
        np.testing.assert_array_equal(ranking.values[unit], values[order, unit])
        np.testing.assert_array_equal(ranking.positions[unit], positions[order, unit])
    np.testing.assert_array_equal(ranking.threshold, ranking.values[:, -1])


def test_a_ranking_of_few_images_has_empty_places():
    ranking = Ranking(2, 4, lowest=True)
    ranking.add(np.array([[1.0, -1]], np.float32), np.array([0]), np.array([[5, 6]]))

    assert ranking.images.tolist() == [[0, -1, -1, -1]] * 2
    assert ranking.threshold.tolist() == [np.inf, np.inf]


def brute_histogram(values, bins):
    """The smallest power of two for which the values fit into consecutive bins."""
    low, high = values.min(), values.max()
    _, magnitude = np.frexp(max(abs(low), abs(high)))
    exponent = max(-20, magnitude - 23)
    while np.floor(high / 2.0**exponent) - np.floor(low / 2.0**exponent) >= bins:
        exponent += 1
    width = 2.0**exponent
    first = np.floor(low / width)
    edges = (first + np.arange(bins + 1)) * width
    # The last bin of NumPy contains its upper edge, which no value is at.
    return np.histogram(values, edges)[0], first * width, width


@pytest.mark.parametrize("bins", [2, 13, 64])
def test_histograms_depend_on_the_data_alone(rng, bins):
    scales = np.array([1e-9, 1e-3, 1, 7, 1e6, 3e30, 0, 0])
    values = (rng.normal(size=(90, 8)) * scales).astype(np.float32)
    values[:, 6], values[:, 7] = 0, -2.5
    values[:, 2] = np.round(values[:, 2] * 4) / 4  # on the edges
    values[:30] /= 64  # so that the bins must widen
    found = []
    for order in (np.arange(90), np.arange(90)[::-1], rng.permutation(90)):
        histogram = Histogram(8, bins)
        for part, _ in batches(values[order], 11):
            histogram.add(part)
        found.append(histogram)

    for histogram in found:
        assert histogram.counts.dtype == np.int32
        for unit in range(8):
            counts, low, width = brute_histogram(
                values[:, unit].astype(np.float64), bins
            )
            np.testing.assert_array_equal(histogram.counts[unit], counts)
            assert histogram.low[unit] == low
            assert histogram.width[unit] == width


def test_a_sample_is_that_of_the_smallest_hashes(rng):
    responses = rng.random((200, 3), np.float32)
    positions = rng.integers(0, 9, (200, 3)).astype(np.int32)
    features = rng.random((200, 2), np.float32)
    sample = Sample(20, 5, 3, 2)
    for _, images in batches(responses, 16):
        taken = set(images[sampling_keys(5, images) < sample.limit])
        sample.add(
            images, images, responses[images], positions[images], features[images]
        )
        assert set(sample.images) & set(images) <= taken
    ordered = sample.in_order()
    expected = np.sort(np.argsort(sampling_keys(5, np.arange(200)))[:20])

    np.testing.assert_array_equal(ordered.images, expected)
    np.testing.assert_array_equal(ordered.responses, responses[expected])
    np.testing.assert_array_equal(ordered.positions, positions[expected])
    np.testing.assert_array_equal(ordered.features, features[expected])


def test_samples_are_uniform_and_differ_by_seed():
    keys = np.stack([sampling_keys(seed, np.arange(4000)) for seed in range(50)])
    chosen = np.argsort(keys, axis=1)[:, :400]

    assert len({tuple(row) for row in chosen.tolist()}) == 50
    # Each tenth of the images has its share, within four standard deviations.
    for tenth in range(10):
        count = (chosen // 400 == tenth).sum()
        assert abs(count - 2000) < 4 * np.sqrt(2000 * 0.9)


def test_the_hash_is_splitmix64():
    """The first numbers of the published generator that starts at 0."""
    assert sampling_keys(0, np.arange(3)).tolist() == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@pytest.mark.parametrize(("n", "spread"), [(1, 3), (5, 5), (97, 4), (1000, 5)])
def test_quantiles_are_those_of_numpy(rng, n, spread):
    values = np.sort(rng.normal(size=n))
    quantiles = (np.arange(spread) + 0.5) / spread
    expected = np.quantile(values, quantiles, method="inverted_cdf")

    np.testing.assert_array_equal(values[spread_ranks(n, spread)], expected)


def test_neighbours_are_those_of_the_correlation_matrix(rng):
    responses = rng.normal(size=(60, 14)).astype(np.float32)
    responses[:, 3] = 0.1  # never varies
    responses[:, 9] = 2 * responses[:, 5] + 1
    units, values = most_correlated(responses)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(responses.T))
    np.fill_diagonal(expected, -np.inf)

    assert units.shape == values.shape == (14, 8)
    np.testing.assert_allclose(
        values, -np.sort(-expected, axis=1)[:, :8], atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(
        np.take_along_axis(expected, units, axis=1), values, atol=1e-6, rtol=0
    )
    assert units[5, 0] == 9
    assert units[3].tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert (values[3] == 0).all()


def test_neighbours_of_many_units_are_found_in_parts(rng, monkeypatch):
    """Not with all correlations at once: of a flattened map there are 25,088 units."""
    responses = rng.normal(size=(30, 23)).astype(np.float32)
    responses[:, 20] = responses[:, 2]
    expected = np.corrcoef(responses.T)
    monkeypatch.setattr(statistics, "_ROWS", 5)
    units, values = most_correlated(responses)

    np.fill_diagonal(expected, -np.inf)
    order = np.argsort(-expected, axis=1)[:, :8]
    np.testing.assert_array_equal(np.sort(units), np.sort(order))
    np.testing.assert_allclose(
        values, np.take_along_axis(expected, order, axis=1), atol=1e-6
    )


def test_neighbours_take_little_memory(rng):
    """All correlations of 6,000 units at once would take 288 MB in double precision."""
    responses = rng.normal(size=(3, 6000)).astype(np.float32)
    tracemalloc.start()
    most_correlated(responses)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 60e6


def test_a_layer_of_few_units_has_fewer_neighbours(rng):
    units, values = most_correlated(rng.random((9, 3), np.float32))
    assert units.shape == values.shape == (3, 2)
    units, _ = most_correlated(rng.random((9, 1), np.float32))
    assert units.shape == (1, 0)


def test_similarity_is_the_mean_over_pairs(rng):
    features = rng.normal(size=(12, 5)).astype(np.float32)
    features[7] = 0
    images = np.array([[0, 1, 2], [3, 3, 3], [4, 7, 5]], np.int32)
    found = mean_similarity(images, features)

    def cosine(a, b):
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / length if length else 0.0

    for unit, rows in enumerate(images):
        pairs = [(a, b) for a in range(3) for b in range(a)]
        expected = np.mean(
            [cosine(features[rows[a]], features[rows[b]]) for a, b in pairs]
        )
        assert found[unit] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(mean_similarity(images[:, :1], features)).all()
    features[4, 2] = np.inf
    assert np.isnan(mean_similarity(images, features)).all()
