"""Each measure is compared with SciPy, scikit-learn, or values worked out by hand."""

import doctest
import inspect
import io
import json
import subprocess
import sys
import zipfile
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

import tfviz
from tfviz import images, measures
from tfviz.measures._base import _TABLE
from tfviz._spectrum import nonzero_frequencies

MEASURES = [name for name in measures.__all__ if name != "describe"]


def noise(rng, power, n, size, channels=1):
    """Images whose amplitudes fall as `1 / frequency ** power`, not periodic."""
    height, width = size
    frequency = nonzero_frequencies(2 * height, 2 * width)
    waves = np.fft.rfft2(rng.normal(size=(n, channels, 2 * height, 2 * width)))
    planes = np.fft.irfft2(waves / frequency**power, s=(2 * height, 2 * width))
    planes = np.moveaxis(planes[..., :height, :width], 1, -1)
    return (planes - planes.min()) / np.ptp(planes)


class TestDescriptions:
    def test_all_public_measures_are_in_the_table(self):
        assert set(_TABLE) == set(MEASURES)
        assert all(getattr(measures, name) is _TABLE[name][0] for name in MEASURES)

    @pytest.mark.parametrize("name", MEASURES)
    def test_each_is_described_in_full(self, name):
        facts = measures.describe(name)

        assert list(facts) == [
            *("label", "summary", "formula", "range", "better", "source", "bias"),
            "level",
        ]
        assert all(text == " ".join(text.split()) and text for text in facts.values())
        assert facts["better"] in ("higher", "lower", "neither")
        assert facts["level"] in ("picture", "unit", "method")
        assert facts["summary"].startswith("Measure ")
        assert facts["summary"].endswith(".")
        assert facts["bias"].endswith(".")
        assert len(facts["label"]) < 36
        assert "Args" not in " ".join(facts.values())

    @pytest.mark.parametrize("name", MEASURES)
    def test_the_docstring_has_the_summary_and_all_sections(self, name):
        facts = measures.describe(name)
        paragraphs = inspect.getdoc(getattr(measures, name)).split("\n\n")

        assert paragraphs[0] == facts["summary"]
        for section, text in zip(
            ["formula", "range", "better", "source", "bias"], paragraphs[1:6]
        ):
            assert " ".join(text.split()) == f"{section.capitalize()}: {facts[section]}"
            assert all(len(line) <= 88 for line in text.splitlines())
        assert paragraphs[6].startswith("Args:\n    ")
        assert any(text.startswith("Raises:\n    ") for text in paragraphs)

    def test_descriptions_do_not_need_docstrings(self):
        """`python -OO` drops docstrings, but reports must not lose their texts."""
        code = (
            "import json\n"
            "from tfviz import measures\n"
            "names = [name for name in measures.__all__ if name != 'describe']\n"
            "docs = [getattr(measures, name).__doc__ for name in names]\n"
            "facts = {name: measures.describe(name) for name in names}\n"
            "print(json.dumps([docs, facts]))"
        )
        result = subprocess.run(
            [sys.executable, "-OO", "-c", code], check=True, capture_output=True
        )
        docs, facts = json.loads(result.stdout)

        assert docs == [None] * len(MEASURES)
        assert facts == {name: measures.describe(name) for name in MEASURES}

    def test_a_description_cannot_be_changed_by_accident(self):
        measures.describe("gain")["label"] = "loss"

        assert measures.describe("gain")["label"] != "loss"

    @pytest.mark.parametrize("name", MEASURES)
    def test_each_has_an_example(self, name):
        text = inspect.getdoc(getattr(measures, name))

        assert doctest.DocTestParser().get_examples(text)

    def test_labels_differ(self):
        labels = {measures.describe(name)["label"] for name in MEASURES}

        assert len(labels) == len(MEASURES)

    def test_a_description_has_the_texts_of_its_measure(self):
        facts = measures.describe("top5")

        assert facts["label"] == "class is among five"
        assert facts["formula"] == "1 if rank <= 5, else 0"
        assert facts["better"] == "higher"
        assert facts["level"] == "picture"
        assert facts["range"] == (
            "0 or 1; 5 / k by chance with k classes, so nothing is told up to five."
        )

    def test_unknown_names_are_refused(self):
        with pytest.raises(ValueError, match="no measure 'relativ'. .* 'relative'"):
            measures.describe("relativ")
        with pytest.raises(ValueError, match="'x'. The measures are diversity, gain, "):
            measures.describe("x")

    def test_tensorflow_is_not_needed(self):
        code = (
            "import sys\n"
            "from tfviz import measures\n"
            "measures.relative(1.0, [2.0])\n"
            "assert not {'tensorflow', 'keras', 'scipy', 'sklearn'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

        assert tfviz.measures is measures


class TestRelative:
    def test_it_is_the_share_of_the_best_photo(self):
        values = measures.relative([[2.0], [-1.0]], [-3.0, 0.5, 0.25])

        np.testing.assert_array_equal(values, [[4.0], [-2.0]])
        assert measures.relative(2.0, [4.0]) == 0.5

    @pytest.mark.parametrize("photos", [[0.0, -1.0], [-2.0]])
    def test_without_a_photo_above_zero_there_is_none(self, photos):
        assert np.isnan(measures.relative([1.0, 2.0], photos)).all()


class TestPercentile:
    def test_it_is_scipy_s(self, rng):
        photos = rng.integers(0, 6, size=37)
        scores = np.arange(-1, 8).reshape(3, 3)
        expected = scipy.stats.percentileofscore(photos, scores.ravel(), kind="mean")

        np.testing.assert_allclose(
            measures.percentile(scores, photos).ravel(), expected
        )

    def test_the_mean_percentile_of_photos_among_themselves_is_fifty(self, rng):
        photos = rng.normal(size=101)

        assert measures.percentile(photos, photos).mean() == pytest.approx(50)

    def test_by_hand(self):
        # One photo is below 2, two are equal to it: 1 + 2 / 2 of 5.
        assert measures.percentile(2.0, [1, 2, 2, 3, 4]) == 40


class TestGain:
    def test_it_is_the_lead_over_the_mean_of_other_units(self):
        np.testing.assert_array_equal(
            measures.gain([[3.0], [1.0]], [1.0, 2.0, 6.0]), [[0.0], [-2.0]]
        )
        assert measures.gain(-1.0, [-3.0]) == 2

    def test_pictures_given_to_units_at_random_have_none(self, rng):
        """The mean over all permutations of the pictures is exactly 0."""
        scores = rng.normal(size=(4, 4))  # of each unit in each picture
        gains = [
            measures.gain(
                scores[unit, given[unit]], np.delete(scores[unit], given[unit])
            )
            for given in permutations(range(4))
            for unit in range(4)
        ]
        assert np.mean(gains) == pytest.approx(0, abs=1e-12)
        assert np.std(gains) > 0.5


class TestSearchGain:
    def test_it_is_the_difference(self):
        np.testing.assert_array_equal(
            measures.search_gain([3.0, 1.0], [1.0, 2.0]), [2.0, -1.0]
        )
        assert measures.search_gain(-1.0, -3.0) == 2

    def test_shapes_that_do_not_fit_are_refused(self):
        with pytest.raises(
            ValueError, match=r"shape \(2,\) for scores of shape \(3,\)"
        ):
            measures.search_gain([1.0, 2.0, 3.0], [1.0, 2.0])


class TestRobustness:
    def test_by_hand(self):
        # The photos' mean is 2. The first picture leads by 8 and keeps 7 or all, the
        # second leads by 4 and keeps 0 or 2, the third falls below the mean, the fourth
        # has no lead.
        transformed = [[9.0, 11.0], [2.0, 4.0], [1.0, 1.0], [5.0, 5.0]]
        values = measures.robustness(transformed, [1.0, 3.0], [10.0, 6.0, 4.0, 2.0])

        np.testing.assert_allclose(values, [15 / 16, 0.25, 0, np.nan])

    def test_a_gain_under_one_transform_does_not_hide_a_loss_under_another(self):
        assert measures.robustness([-1e6, 1e6], [0.0], 1.0) == 0.5

    def test_a_lead_of_next_to_nothing_stays_within_bounds(self):
        values = measures.robustness([[9.0, -9.0]] * 2, [0.0], [1e-12, -1e-12])
        np.testing.assert_array_equal(values, [0.5, np.nan])

    def test_one_picture_alone_is_as_among_others(self, rng):
        transformed, scores = rng.normal(size=(4, 3, 6)), rng.normal(4, size=(4, 3))
        values = measures.robustness(transformed, [0.5], scores)

        assert values.shape == (4, 3)
        assert (
            measures.robustness(transformed[1, 2], [0.5], scores[1, 2]) == values[1, 2]
        )

    @pytest.mark.parametrize(
        ("transformed", "score"),
        [([1.0, 2.0], [1.0, 2.0]), (1.0, 1.0), ([[]], [1.0]), ([[1.0]], 1.0)],
    )
    def test_shapes_that_do_not_fit_are_refused(self, transformed, score):
        with pytest.raises(ValueError, match="`transformed` must have the shape of"):
            measures.robustness(transformed, [0.0], score)


class TestRanks:
    def test_without_ties_it_is_scipy_s(self, rng):
        scores, target = rng.normal(size=(50, 11)), rng.integers(0, 11, size=50)
        ranks = scipy.stats.rankdata(-scores, method="max", axis=1)
        expected = ranks[np.arange(50), target]
        values = measures.rank(scores, target)

        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(measures.top1(scores, target), expected == 1)
        np.testing.assert_array_equal(measures.top5(scores, target), expected <= 5)

    def test_ties_count_against_the_picture(self):
        scores = np.zeros((4, 1000))
        scores[1, 3] = 1
        scores[2, [3, 4]] = 1
        values = measures.rank(scores, [3, 3, 3, 5])

        np.testing.assert_array_equal(values, [1000, 1, 2, 1000])
        np.testing.assert_array_equal(measures.top1(scores, [3, 3, 3, 5]), [0, 1, 0, 0])
        np.testing.assert_array_equal(measures.top5(scores, [3, 3, 3, 5]), [0, 1, 1, 0])

    def test_chance_is_as_the_docstring_says(self, rng):
        scores, target = rng.normal(size=(4000, 20)), rng.integers(0, 20, size=4000)

        assert measures.rank(scores, target).mean() == pytest.approx(10.5, abs=0.4)
        assert measures.top1(scores, target).mean() == pytest.approx(0.05, abs=0.015)
        assert measures.top5(scores, target).mean() == pytest.approx(0.25, abs=0.03)

    @pytest.mark.parametrize("function", [measures.rank, measures.top1, measures.top5])
    @pytest.mark.parametrize(
        ("scores", "target", "message"),
        [
            ([1.0, 2.0], [0], r"`scores` must have the shape \(n, k\).*\(2,\)"),
            ([[1.0, 2.0]], [0, 1], r"`target` must be 1 whole numbers.*shape \(2,\)"),
            ([[1.0, 2.0]], [0.0], "`target` must be 1 whole numbers.*float64"),
            ([[1.0, 2.0]], [2], "`target` must lie from 0 to 1. Received: 2 to 2"),
            ([[1.0, 2.0]], [-1], "`target` must lie from 0 to 1. Received: -1"),
            ([[1.0, np.nan]], [0], "`scores` must be finite.*1 of 2"),
        ],
    )
    def test_wrong_arguments_are_refused(self, function, scores, target, message):
        with pytest.raises(ValueError, match=message):
            function(scores, target)


class TestSpectrumSlope:
    @pytest.mark.parametrize(
        ("height", "width", "channels"), [(97, 130, 3), (131, 96, 1), (128, 128, 2)]
    )
    @pytest.mark.parametrize("power", [0, 1, 1.3])
    def test_a_power_law_has_its_power(self, height, width, channels, power, rng):
        """Power falls twice as fast as amplitudes; the slope of white noise is 0."""
        values = measures.spectrum_slope(
            noise(rng, power, 30, (height, width), channels)
        )

        assert values.shape == (30,)
        assert values.mean() == pytest.approx(-2 * power, abs=0.12)
        assert values.std() < 0.25

    def test_it_is_a_fit_to_the_full_spectrum(self, rng):
        """Recomputed bin by bin, with all waves instead of half of them."""
        image = noise(rng, 1, 1, (47, 62), 3)
        grey = image[0] @ [0.299, 0.587, 0.114]
        window = np.outer(scipy.signal.windows.hann(49), scipy.signal.windows.hann(64))
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window[1:-1, 1:-1])) ** 2
        radius = np.hypot(np.fft.fftfreq(47)[:, None], np.fft.fftfreq(62))
        edges = np.exp(np.linspace(np.log(2 / 47), np.log(0.4), 13))
        edges[0] *= 1 - 1e-12
        x, y = [], []
        for low, high in pairwise(edges):
            inside = (radius >= low) & (radius < high)
            if inside.any():
                x.append(np.log(radius[inside]).mean())
                y.append(np.log(power[inside].mean()))

        assert len(x) > 8
        assert measures.spectrum_slope(image)[0] == pytest.approx(
            scipy.stats.linregress(x, y).slope, abs=1e-8
        )

    def test_a_picture_alone_is_as_among_others(self, rng):
        pictures = noise(rng, 1, 3, (40, 51), 3)
        slopes = measures.spectrum_slope(pictures)

        assert measures.spectrum_slope(pictures[1:2])[0] == slopes[1]
        assert len(set(slopes)) == 3

    def test_turning_and_contrast_change_nothing(self, rng):
        pictures = noise(rng, 1, 4, (40, 51), 1)
        slopes = measures.spectrum_slope(pictures)

        np.testing.assert_allclose(
            measures.spectrum_slope(pictures.swapaxes(1, 2)), slopes, atol=1e-9
        )
        np.testing.assert_allclose(
            measures.spectrum_slope(0.3 + 0.5 * pictures), slopes, atol=1e-6
        )

    def test_an_enlarged_picture_is_steep_until_its_cutoff_is_given(self, rng):
        """A quarter of the waves remains; those up to an eighth are unchanged."""
        small = noise(rng, 1, 8, (64, 64))
        waves = np.zeros((8, 256, 129), complex)
        half = np.fft.rfft2(small[..., 0])[:, :, :32]
        waves[:, :32, :32], waves[:, -32:, :32] = half[:, :32], half[:, 32:]
        large = np.clip(np.fft.irfft2(waves, s=(256, 256)) * 16, 0, 1)[..., None]
        whole = measures.spectrum_slope(large).mean()
        below = measures.spectrum_slope(large, cutoff=0.1).mean()

        assert whole < -4
        assert below == pytest.approx(measures.spectrum_slope(small).mean(), abs=0.2)

    def test_bytes_are_as_floats(self, rng):
        pictures = images.to_bytes(noise(rng, 1, 2, (40, 51), 3))

        np.testing.assert_allclose(
            measures.spectrum_slope(pictures),
            measures.spectrum_slope(images.to_floats(pictures)),
        )

    def test_a_picture_of_one_colour_has_none(self, rng):
        pictures = noise(rng, 0, 2, (32, 32), 3)
        pictures[0] = 0.3
        slopes = measures.spectrum_slope(pictures)

        assert np.isnan(slopes[0])
        assert np.isfinite(slopes[1])

    @pytest.mark.parametrize("cutoff", [0.05, 0.51, np.nan])
    def test_a_cutoff_that_leaves_no_octave_is_refused(self, cutoff):
        with pytest.raises(ValueError, match="from 0.1 to 0.5 for 40x60 pixels"):
            measures.spectrum_slope(np.zeros((1, 40, 60, 3)), cutoff=cutoff)

    @pytest.mark.data
    def test_photographs_are_as_the_docstring_says(self, data):
        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))[::25]
            photos = [images.read(io.BytesIO(archive.read(name))) for name in names]
        cut = np.stack([images.centre_crop(photo, (224, 224)) for photo in photos])
        slopes = measures.spectrum_slope(cut)

        assert slopes.mean() == pytest.approx(-2.6, abs=0.2)
        assert np.mean((slopes > -3.4) & (slopes < -1.8)) > 0.85
        assert measures.saturation(cut).mean() == pytest.approx(0.02, abs=0.02)
        assert np.median(measures.saturation(cut)) < 0.01
        assert measures.total_variation(cut).mean() == pytest.approx(0.03, abs=0.01)


class TestPixels:
    def test_saturation_counts_what_becomes_0_or_255(self):
        values = np.array([0, 0.0019, 0.002, 0.5, 0.998, 0.9985, 1, 0.3])
        result = measures.saturation(values.reshape(1, 2, 4, 1))

        # 0.0019 * 255 and 0.9985 * 255 round to an end of the range, their neighbours
        # do not.
        np.testing.assert_array_equal(result, [4 / 8])
        assert measures.saturation(np.uint8([[[[0, 7, 255]]]])) == pytest.approx(2 / 3)

    def test_saturation_of_noise_is_that_of_two_values_in_256(self, rng):
        pictures = rng.integers(0, 256, size=(3, 101, 97, 3), dtype=np.uint8)

        np.testing.assert_allclose(measures.saturation(pictures), 2 / 256, atol=0.002)

    def test_total_variation_by_hand(self):
        # Two steps down (0.5, 0) and two to the right (1, 0.5), each of two channels.
        image = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.5, 0.5], [1.0, 1.0]]])

        np.testing.assert_allclose(measures.total_variation(image[None]), [2 / 4])

    @pytest.mark.parametrize("shape", [(2, 9, 14, 3), (3, 1, 6, 1), (2, 7, 1, 2)])
    def test_total_variation_is_the_objective_s_as_a_mean(self, shape, rng):
        pictures = rng.uniform(size=shape).astype(np.float32)
        _, height, width, _ = shape
        neighbours = (height - 1) * width + height * (width - 1)
        penalty = tfviz.objectives.total_variation().score({}, pictures, {}, {})

        np.testing.assert_allclose(
            measures.total_variation(pictures) * neighbours / (height * width),
            penalty,
            rtol=1e-5,
        )

    def test_total_variation_of_noise_is_a_third(self, rng):
        values = measures.total_variation(rng.uniform(size=(4, 111, 90, 3)))

        np.testing.assert_allclose(values, 1 / 3, atol=0.005)

    def test_a_single_pixel_has_no_neighbours(self):
        with pytest.raises(ValueError, match="single pixel, shape"):
            measures.total_variation(np.zeros((2, 1, 1, 3)))

    @pytest.mark.parametrize(
        "function",
        [measures.saturation, measures.spectrum_slope, measures.total_variation],
    )
    @pytest.mark.parametrize(
        ("pictures", "message"),
        [
            (np.zeros((32, 32, 3)), r"Received: shape \(32, 32, 3\)"),
            (np.zeros((0, 32, 32, 3)), r"Received: shape \(0, 32, 32, 3\)"),
            (np.zeros((1, 32, 32, 3), int), "Received: .*int64"),
            (np.full((1, 32, 32, 3), 1.5), r"in \[0, 1\].*\. Received: 1.5 to 1.5$"),
            (np.full((1, 32, 32, 3), np.nan), r"in \[0, 1\].*nan to nan"),
        ],
    )
    def test_arrays_that_are_no_images_are_refused(self, function, pictures, message):
        with pytest.raises(ValueError, match=message):
            function(pictures)

    def test_values_that_rounding_moves_out_of_the_range_are_clipped(self, rng):
        images = rng.integers(0, 2, (2, 32, 32, 3)).astype(np.float32)
        rounded = images + np.float32(4e-7) * (2 * images - 1)

        assert rounded.min() < 0
        assert rounded.max() > 1
        np.testing.assert_array_equal(
            measures.saturation(rounded), measures.saturation(images)
        )


class TestNearestRatio:
    def test_it_is_that_of_scikit_learn(self, rng):
        pictures, photos = rng.normal(size=(7, 5)), rng.normal(size=(31, 5))
        u, v = (
            x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pictures, photos)
        )
        neighbors = NearestNeighbors(n_neighbors=1).fit(v)
        usual = np.median(neighbors.kneighbors()[0])  # the nearest other photo

        np.testing.assert_allclose(
            measures.nearest_ratio(pictures, photos),
            neighbors.kneighbors(u)[0][:, 0] / usual,
        )

    def test_photos_among_photos_have_one(self, rng):
        photos = rng.normal(size=(200, 12))
        values = measures.nearest_ratio(photos, photos, exclude=np.arange(200))
        others = measures.nearest_ratio(rng.normal(size=(200, 12)), photos)

        assert np.median(values) == pytest.approx(1)
        assert np.median(others) == pytest.approx(1, abs=0.05)

    def test_a_copy_has_zero_to_the_last_digit(self, rng):
        photos = rng.uniform(size=(50, 64))

        np.testing.assert_array_equal(measures.nearest_ratio(photos, photos), 0)

    def test_brightness_of_features_does_not_count(self, rng):
        pictures, photos = rng.normal(size=(4, 6)), rng.normal(size=(20, 6))

        np.testing.assert_allclose(
            measures.nearest_ratio(5 * pictures, photos),
            measures.nearest_ratio(pictures, photos * np.arange(1, 21)[:, None]),
        )

    def test_pictures_far_from_photos_have_more_than_one(self, rng):
        photos = rng.normal(3, 1, size=(100, 16))

        assert (measures.nearest_ratio(rng.normal(size=(9, 16)), photos) > 1.5).all()

    def test_the_excluded_photo_is_passed_over_and_no_other(self, rng):
        photos = rng.normal(size=(20, 4))
        values = measures.nearest_ratio(photos[:3], photos, exclude=[0, -1, 19])
        own = measures.nearest_ratio(photos[:1], photos[1:], exclude=None)
        scale = measures.nearest_ratio(photos[5:6], photos[1:], exclude=[4])
        whole = measures.nearest_ratio(photos[5:6], photos, exclude=[5])

        # The median distance changes with the set, photo 5 keeps its nearest photo.
        assert values[0] == pytest.approx((own * whole / scale)[0])
        np.testing.assert_array_equal(values[1:], 0)

    def test_a_picture_without_features_has_none(self):
        values = measures.nearest_ratio([[0.0, 0.0], [1.0, 1.0]], np.eye(2))

        assert np.isnan(values[0])
        assert np.isfinite(values[1])

    @pytest.mark.parametrize(
        ("features", "photos", "exclude", "message"),
        [
            ([[1.0]], [[1.0]], None, r"`photos` must have the shape .* n >= 2"),
            ([1.0], np.eye(2), None, r"`features` must have .*\(n, d\).*\(1,\)"),
            (np.eye(3), np.eye(2), None, r"same shape. Received: \(3,\) and \(2,\)"),
            (np.eye(2), np.eye(2), [0], "`exclude` must be 2 whole numbers"),
            (np.eye(2), np.eye(2), [0, 2], "`exclude` must lie from -1 to 1.* 0 to 2"),
            (np.eye(2), [[1.0, 0.0]] * 3, None, "half of the `photos` have the same"),
            (
                np.eye(2),
                [[1.0, 0.0], [0.0, 0.0]],
                None,
                "some of the `photos` are zero",
            ),
            (np.full((2, 2), np.inf), np.eye(2), None, "`features` must be finite"),
            (np.eye(2), [["a", "b"]], None, "`photos` must be an array of numbers"),
        ],
    )
    def test_wrong_arguments_are_refused(self, features, photos, exclude, message):
        with pytest.raises(ValueError, match=message):
            measures.nearest_ratio(features, photos, exclude=exclude)


class TestKernelDistance:
    def test_it_is_the_unbiased_estimate_with_scikit_learn_s_kernel(self, rng):
        x, y = rng.normal(size=(9, 13)), rng.normal(0.5, 1, size=(14, 13))

        def apart(kernel):
            return kernel[~np.eye(len(kernel), dtype=bool)].mean()

        expected = (
            apart(polynomial_kernel(x, degree=3, coef0=1))  # gamma is 1 / d
            + apart(polynomial_kernel(y, degree=3, coef0=1))
            - 2 * polynomial_kernel(x, y, degree=3, coef0=1).mean()
        )

        assert measures.kid(x, y) == pytest.approx(expected)
        assert measures.kid(y, x) == pytest.approx(expected)

    def test_it_is_unbiased_for_few_pictures(self, rng):
        """The mean over samples of five is that of the population, which is 0."""
        distances = [measures.kid(*rng.normal(size=(2, 5, 6))) for _ in range(3000)]
        error = np.std(distances) / np.sqrt(len(distances))

        assert abs(np.mean(distances)) < 3 * error
        assert np.mean(np.array(distances) < 0) > 0.3

    def test_sets_of_one_kind_are_as_far_apart_as_photos_from_photos(self, rng):
        photos, pictures = rng.normal(size=(120, 8)), rng.normal(size=(60, 8))
        mean, spread = measures.kid_spread(pictures, photos, size=20)
        floor, width = measures.kid_floor(photos, size=20)

        assert mean - 2 * spread < 0 < mean + 2 * spread
        assert abs(floor) < width / 2
        assert width == pytest.approx(spread, rel=0.5)
        assert measures.kid(pictures, photos) == pytest.approx(0, abs=width)

    def test_another_kind_is_farther_than_chance(self, rng):
        photos, pictures = rng.normal(size=(120, 8)), rng.normal(0.8, 1, size=(60, 8))
        mean, spread = measures.kid_spread(pictures, photos, size=20)
        floor, width = measures.kid_floor(photos, size=20)

        assert mean - 2 * spread > floor + 2 * width
        assert mean == pytest.approx(measures.kid(pictures, photos), rel=0.2)

    def test_pictures_that_are_all_the_same_are_far_though_each_is_a_photo(self, rng):
        photos = rng.normal(size=(60, 8))
        same = np.repeat(photos[:1], 20, axis=0)

        assert measures.kid(same, photos) > measures.kid(photos[:20], photos) + 1

    def test_parts_are_those_of_the_seed(self, rng):
        x, y = rng.normal(size=(2, 12, 3))

        assert measures.kid_spread(x, y, size=5) == measures.kid_spread(x, y, size=5)
        assert measures.kid_spread(x, y, size=5, seed=1) != measures.kid_spread(
            x, y, size=5
        )
        assert measures.kid_floor(x, size=5) == measures.kid_floor(x, size=5, seed=0)

    def test_each_part_is_one_of_all_possible_parts(self):
        """Parts of 2 of 4 pictures and of 5 photos have 60 distances, computed here."""
        x = np.array([[0.0], [1.0], [3.0], [3.5]])
        y = np.array([[2.0], [2.0], [5.0], [4.0], [1.0]])
        of_x, of_y = (list(combinations(range(n), 2)) for n in (4, 5))
        each = [measures.kid(x[list(a)], y[list(b)]) for a, b in product(of_x, of_y)]
        mean, spread = measures.kid_spread(x, y, size=2, draws=4000)

        assert mean == pytest.approx(np.mean(each), abs=3 * np.std(each) / 4000**0.5)
        assert spread == pytest.approx(np.std(each), rel=0.05)

        mean, spread = measures.kid_spread(x, y, size=2, draws=2)
        pairs = [(a, b) for a, b in product(each, each) if np.isclose(a + b, 2 * mean)]

        assert spread > 0
        assert any(np.isclose(spread, abs(a - b) / 2**0.5) for a, b in pairs)

    def test_a_part_has_one_picture_of_a_unit(self):
        """Of four units with five pictures there are nine parts, all computed here."""
        x, units = np.array([[0.0], [0.5], [1.0], [1.5], [2.0]]), [4, 0, 0, 2, 3]
        y = np.eye(4, 1)
        parts = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
        # All pairs of units are drawn equally often, and so are a unit's pictures.
        weights = np.array([1, 1, 2, 2, 1, 1, 1, 1, 2])
        pairs = list(combinations(range(4), 2))
        each = [
            np.mean([measures.kid(x[list(a)], y[list(b)]) for b in pairs])
            for a in parts
        ]
        mean, _ = measures.kid_spread(x, y, size=2, units=units, draws=20_000)

        assert mean == pytest.approx(np.average(each, weights=weights), rel=0.03)

    def test_copies_of_photos_repeated_for_each_unit_are_no_further_than_photos(
        self, rng
    ):
        photos = rng.normal(size=(400, 8))
        copies, units = np.repeat(photos[:24], 3, axis=0), np.repeat(np.arange(24), 3)
        others = photos[24:]
        mean, _ = measures.kid_spread(copies, others, size=12, units=units)
        once, _ = measures.kid_spread(photos[:24], others, size=12)
        pooled, _ = measures.kid_spread(copies, others, size=12)
        _, chance = measures.kid_floor(others, size=24)

        # The same 24 photos without copies are the truth; chance remains.
        assert mean == pytest.approx(once, abs=chance / 3)
        assert abs(mean) < 2 * chance
        assert pooled > mean + chance / 2  # copies in one part seem to be a cluster

    def test_several_seeds_do_not_change_the_mean(self, rng):
        """The mean over draws of units is that of the population, which is 0."""
        distances = []
        for _ in range(300):
            pictures = np.repeat(rng.normal(size=(8, 1, 6)), 3, axis=1)
            pictures = (pictures + 0.1 * rng.normal(size=pictures.shape)).reshape(24, 6)
            photos = rng.normal(size=(20, 6)) * 1.01**0.5
            units = np.repeat(np.arange(8), 3)
            distances.append(
                measures.kid_spread(pictures, photos, size=4, units=units, draws=20)[0]
            )
        error = np.std(distances) / len(distances) ** 0.5
        assert abs(np.mean(distances)) < 3 * error

    def test_photos_are_halved_without_a_photo_on_both_sides(self):
        """A photo on both sides would make the distance negative."""
        photos = np.eye(8)
        mean, spread = measures.kid_floor(photos, size=4, draws=20)

        assert mean == pytest.approx(0, abs=1e-12)
        assert spread == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: measures.kid([[1.0]], np.eye(1)), "`features` .* n >= 2"),
            (lambda: measures.kid(np.eye(2), np.eye(3)), r"\(2,\) and \(3,\)"),
            (
                lambda: measures.kid(np.eye(2), np.eye(2) * np.nan),
                "`photos` must be fi",
            ),
            (
                lambda: measures.kid_spread(np.eye(6), np.ones((9, 6)), size=4),
                "`size` must lie from 2 to 3, half of the number of units.*size=4",
            ),
            (
                lambda: measures.kid_spread(
                    np.eye(8), np.eye(8), size=3, units=[0, 0, 1, 1, 2, 2, 3, 3]
                ),
                "`size` must lie from 2 to 2, half of the number of units.*size=3",
            ),
            (
                lambda: measures.kid_spread(np.eye(8), np.eye(8), size=2, units=[0, 1]),
                "`units` must be 8 whole numbers",
            ),
            (
                lambda: measures.kid_spread(np.eye(5), np.eye(5), size=2, draws=1),
                "`draws` must be at least 2. .*draws=1",
            ),
            (lambda: measures.kid_floor(np.eye(5), size=3), "from 2 to 2, .*size=3"),
            (lambda: measures.kid_floor(np.eye(3), size=2), "`photos` .* n >= 4"),
        ],
    )
    def test_wrong_arguments_are_refused(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()


class TestDiversity:
    def test_it_is_scipy_s_mean_cosine_distance(self, rng):
        features = rng.normal(size=(6, 9))

        assert measures.diversity(features) == pytest.approx(
            pdist(features, "cosine").mean()
        )

    def test_it_is_relative_to_that_of_photos(self, rng):
        features, photos = rng.uniform(size=(3, 9)), rng.uniform(size=(7, 9))

        assert measures.relative_diversity(features, photos) == pytest.approx(
            pdist(features, "cosine").mean() / pdist(photos, "cosine").mean()
        )
        assert measures.relative_diversity(photos, photos) == pytest.approx(1)

    def test_pictures_that_differ_in_contrast_alone_do_not_differ(self):
        features = np.outer([1, 2, 5], [0.3, 0.1, 0.7])

        assert measures.diversity(features) == pytest.approx(0, abs=1e-12)
        assert measures.relative_diversity(features, np.eye(3)) == pytest.approx(
            0, abs=1e-12
        )

    def test_undefined_values_are_nan(self):
        same = np.tile([0.1, 0.2, 0.7], (3, 1))

        assert np.isnan(measures.relative_diversity(np.eye(3), same))
        assert np.isnan(measures.diversity([[1.0, 0.0], [0.0, 0.0]]))

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: measures.diversity([[1.0, 2.0]]), r"`features` .* s >= 2"),
            (lambda: measures.diversity([[1.0], [np.nan]]), "1 of 2 that are not"),
            (
                lambda: measures.relative_diversity(np.eye(2), [[1.0, 2.0]]),
                "`photos` .* m >= 2",
            ),
            (
                lambda: measures.relative_diversity(np.eye(2), np.eye(3)),
                r"`features` and `photos` .*\(2,\) and \(3,\)",
            ),
        ],
    )
    def test_wrong_arguments_are_refused(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()


class TestPathSimilarity:
    def layer(self, rng, n, centre, *, height=5, width=4, channels=3):
        """Activations, some of them 0, that vary about the map of a unit's photos."""
        values = centre + rng.normal(size=(n, height, width, channels))
        return np.maximum(values, 0)

    def test_it_is_made_of_scipy_s_correlations(self, rng):
        one, other = rng.normal(size=(2, 5, 4, 3))
        pictures = self.layer(rng, 2, one)
        same, different = self.layer(rng, 4, one), self.layer(rng, 3, other)

        def mean(pairs):
            return np.mean(
                [
                    scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic
                    for a, b in pairs
                ]
            )

        assert np.mean(same == 0) > 0.2  # so that ties count
        apart = mean(product(same, different))
        among = mean(combinations(same, 2))
        expected = (mean(product(pictures, same)) - apart) / (among - apart)

        assert measures.path_similarity(pictures, same, different) == pytest.approx(
            expected
        )

    def test_photos_of_the_unit_have_one_and_of_others_none(self, rng):
        one, other = rng.normal(size=(2, 5, 4, 3)) * 2
        same, different = self.layer(rng, 60, one), self.layer(rng, 60, other)

        def value(centre):
            pictures = self.layer(rng, 60, centre)
            return measures.path_similarity(pictures, same, different)

        assert value(one) == pytest.approx(1, abs=0.05)
        assert value(other) == pytest.approx(0, abs=0.05)

    def test_any_rising_function_of_activations_is_the_same(self, rng):
        pictures, same, different = rng.normal(size=(3, 4, 11))
        same[:] = same[:1] + 0.3 * same

        assert measures.path_similarity(
            np.exp(pictures), same**3, different
        ) == pytest.approx(measures.path_similarity(pictures, same, different))

    def test_undefined_values_are_nan(self, rng):
        one, other = rng.normal(size=(2, 12))
        same = np.stack([one, other])

        assert np.isnan(measures.path_similarity([one], same, [one, one]))
        assert np.isnan(measures.path_similarity(np.zeros((1, 12)), same, -same))

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            (((2,), (2, 3), (1, 3)), r"`pictures` must have the shape \(n, ...\)"),
            (((1, 3), (1, 3), (1, 3)), r"`same` .* n >= 2. Received: shape \(1, 3\)"),
            (((1, 3), (2, 3), (0, 3)), "`different` .* n >= 1"),
            (((1, 3), (2, 4), (1, 4)), r"`pictures` and `same` .*\(3,\) and \(4,\)"),
            (((1, 4), (2, 4), (1, 3)), r"`different` and `same` .*\(3,\) and \(4,\)"),
            (((1, 2, 3), (2, 3, 2), (1, 2, 3)), r"\(2, 3\) and \(3, 2\)"),
        ],
    )
    def test_shapes_that_do_not_fit_are_refused(self, shapes, message):
        with pytest.raises(ValueError, match=message):
            measures.path_similarity(*(np.zeros(shape) for shape in shapes))

    def test_activations_that_are_no_numbers_are_refused(self):
        with pytest.raises(ValueError, match="`different` must be finite"):
            measures.path_similarity([[1.0]], [[1.0], [2.0]], [[np.inf]])


class TestTwoAlternative:
    def photos(self, rng, n=400, d=16):
        """Features of photos, and the scores of a unit that looks for one direction."""
        features = np.abs(rng.normal(size=(n, d)))
        wanted = np.eye(d)[3]
        return features, features @ wanted, wanted

    def test_it_is_scikit_learn_s_area_under_the_curve(self, rng):
        features, scores, _ = self.photos(rng, 30)
        shown = rng.normal(size=(4, 16))
        order = np.argsort(scores)
        used = np.concatenate([order[:6], order[-6:]])
        u, v = (x / np.linalg.norm(x, axis=1)[:, None] for x in (features, shown))
        mean = u.mean(axis=0)
        likeness = -cdist(u[used] - mean, v - mean, "cosine").mean(axis=1)
        expected = roc_auc_score(np.repeat([0, 1], 6), likeness)

        assert measures.two_alternative(shown, features, scores, share=0.2) == (
            pytest.approx(expected)
        )

    def test_a_matched_picture_beats_noise_and_photos_are_between(self, rng):
        features, scores, wanted = self.photos(rng)
        others, other_scores, _ = self.photos(rng)
        natural = others[np.argsort(other_scores)[-5:]]
        random = [others[rng.choice(400, 5)] for _ in range(100)]

        def share(shown):
            return measures.two_alternative(shown, features, scores)

        assert share(wanted[None]) > 0.99
        assert 0.8 < share(natural) <= share(wanted[None])
        assert np.mean([share(shown) for shown in random]) == pytest.approx(
            0.5, abs=0.05
        )
        assert share(1 - wanted[None]) < 0.1

    def test_the_more_extreme_the_photos_the_easier(self, rng):
        features, scores, wanted = self.photos(rng)
        shown = wanted[None] + 0.6 * np.abs(rng.normal(size=(2, 16)))
        values = [
            measures.two_alternative(shown, features, scores, share=share)
            for share in (0.02, 0.1, 0.5)
        ]

        assert values == sorted(values, reverse=True)
        assert values[0] > values[2] + 0.05

    def test_the_order_of_photos_does_not_matter_though_many_do_not_excite(self, rng):
        features, scores, wanted = self.photos(rng, 101)
        scores = np.maximum(scores - np.median(scores), 0)
        order = rng.permutation(101)

        assert measures.two_alternative(
            wanted[None], features, scores
        ) == measures.two_alternative(wanted[None], features[order], scores[order])

    def test_ties_by_hand(self):
        # Scaled to length 1, the mean is 0. The first top photo is at 0 degrees, like
        # the reference, the second at 90, the bottom ones at 180 and 270: the first
        # wins twice, the second wins once and ties once.
        features = [[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [0.0, -1.0]]
        values = measures.two_alternative(
            [[5.0, 0.0]], features, [4.0, 3.0, 2.0, 1.0], share=0.5
        )

        assert values == (1 + 1 + 1 + 0.5) / 4

    def test_features_that_all_photos_share_do_not_count(self, rng):
        """Otherwise any photo would separate the parts by these features."""
        features, scores, wanted = self.photos(rng)
        features = features * (1 + 4 * wanted)
        extreme = np.abs(scipy.stats.rankdata(scores) - 200.5) > 160
        shown = [features[rng.choice(400, 5)] for _ in range(100)]
        values = [measures.two_alternative(v, features, scores) for v in shown]
        plain = [
            roc_auc_score(
                scores[extreme] > np.median(scores),
                -cdist(features[extreme], v, "cosine").mean(axis=1),
            )
            for v in shown
        ]

        assert np.mean(values) == pytest.approx(0.5, abs=0.07)
        assert np.mean(plain) > 0.8

    def test_the_length_of_features_does_not_count(self, rng):
        features, scores, wanted = self.photos(rng)
        shown = wanted[None] + 0.6 * np.abs(rng.normal(size=(2, 16)))
        values = measures.two_alternative(shown, features, scores)

        assert measures.two_alternative(shown / 9, 5 * features, scores) == values
        assert 0.6 < values < 1

    def test_a_unit_that_responds_to_all_alike_has_none(self):
        assert np.isnan(measures.two_alternative(np.eye(2), np.eye(2), [1.0, 1.0]))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"references": np.zeros(2)}, r"`references` .*\(r, d\).*\(2,\)"),
            ({"references": np.eye(3)}, r"same shape. Received: \(3,\) and \(2,\)"),
            ({"features": np.ones((1, 2))}, "`features` .* q >= 2"),
            ({"scores": [1.0, 2.0, 3.0]}, "3 scores for 2 features"),
            ({"scores": [1.0, np.nan]}, "`scores` must be finite"),
            ({"share": 0}, r"`share` must lie in \(0, 0.5\]. Received: share=0$"),
            ({"share": 0.6}, r"`share` must lie in \(0, 0.5\]. Received: share=0.6"),
        ],
    )
    def test_wrong_arguments_are_refused(self, changes, message):
        arguments = {
            "references": np.eye(2),
            "features": np.eye(2),
            "scores": [1.0, 2.0],
        }
        with pytest.raises(ValueError, match=message):
            measures.two_alternative(**arguments | changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measures.relative(1.0, []), r"`photo_scores` .*\(m,\) with m >= 1"),
        (lambda: measures.relative(np.nan, [1.0]), "`score` must be finite.*1 of 1"),
        (lambda: measures.percentile(1.0, [[1.0]]), r"`photo_scores` .*\(1, 1\)"),
        (lambda: measures.percentile(1.0, [np.inf]), "`photo_scores` must be finite"),
        (lambda: measures.gain(1.0, [np.nan]), "`others` must be finite"),
        (lambda: measures.gain(1.0, []), r"`others` .*\(k,\) with k >= 1"),
        (lambda: measures.search_gain(1.0, np.nan), "`best_of_n` must be finite"),
        (lambda: measures.search_gain(None, 1.0), "`score` must be .*finite"),
        (lambda: measures.search_gain({}, 1.0), "`score` must be an array of numbers"),
        (lambda: measures.specificity(0.5, []), r"`others` .*\(k,\) with k >= 1"),
        (lambda: measures.specificity(np.nan, [0.5]), "`own` must be finite"),
        (
            lambda: measures.robustness([np.nan], [1.0], 1.0),
            "`transformed` must be fin",
        ),
    ],
)
def test_scores_that_are_no_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_specificity_is_the_lead_over_the_mean_of_other_units():
    assert measures.specificity(0.9, [0.5, 0.6, 0.7]) == pytest.approx(0.3)
    assert measures.specificity(0.5, [0.5]) == 0
