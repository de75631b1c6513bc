import zipfile

import numpy as np
import pytest
import scipy.fft
from PIL import Image
from support import ROOT

from tfviz import images, statistics
from tfviz._spectrum import column_counts, energy, frequencies, resample, slope


def natural(rng, n=40, size=32, channels=3):
    """Images in [0, 1] whose colour matrix, mean and spectrum are known."""
    mixing = np.eye(channels) * 0.3 + np.tril(np.full((channels, channels), 0.5))
    frequency = np.maximum(
        np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)), 1 / size
    )
    white = rng.normal(size=(n, channels, size, size))
    pink = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(size, size))
    pink *= 0.05 / pink.std()
    mean = np.linspace(0.4, 0.6, channels)
    values = mean + np.moveaxis(pink, 1, -1) @ mixing.T
    assert values.min() > 0
    assert values.max() < 1
    return values.astype(np.float32)


class TestMeasure:
    @pytest.mark.parametrize("channels", [1, 2, 3, 5])
    def test_mean_and_colours_are_those_of_all_pixels(self, channels, rng):
        pictures = natural(rng, channels=channels)
        stats = statistics.measure(pictures, size=32)
        pixels = pictures.reshape(-1, channels)
        root = stats.contrast * stats.color.astype(float)

        np.testing.assert_allclose(stats.mean, pixels.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(
            root @ root.T,
            np.cov(pixels.T, bias=True).reshape(channels, channels),
            atol=1e-6,
        )
        assert np.linalg.norm(stats.color, axis=0).max() == pytest.approx(1)
        assert (stats.channels, stats.size, stats.count) == (channels, 32, 40)
        assert stats.source is None

    def test_spectrum_is_that_of_the_channels_once_decorrelated(self, rng):
        """Equal, although one pass measures it before the colours are known."""
        pictures = natural(rng)
        stats = statistics.measure(pictures, size=32)
        inverse = np.linalg.inv(stats.contrast * stats.color.astype(float))
        planes = np.moveaxis((pictures - stats.mean) @ inverse.T, -1, 1)
        waves = scipy.fft.rfft2(planes, norm="ortho")
        expected = np.sqrt(np.mean(np.abs(waves) ** 2, axis=0))

        np.testing.assert_allclose(stats.spectrum, expected, rtol=3e-3)
        np.testing.assert_allclose(stats.slope(), 1, atol=0.15)

    def test_decorrelated_channels_have_unit_variance(self, rng):
        stats = statistics.measure(natural(rng), size=32)

        np.testing.assert_allclose(
            energy(stats.spectrum.astype(float), 32) / 32**2, 1, rtol=2e-3
        )

    def test_a_generator_of_bytes_of_any_size_is_measured(self, rng):
        pictures = images.to_bytes(natural(rng, size=48))
        seen = statistics.measure((image[:, :40] for image in pictures), size=24)
        cut = np.stack(
            [
                images.centre_crop(images.to_floats(i), (24, 24))
                for i in (image[:, :40] for image in pictures)
            ]
        )
        expected = statistics.measure(cut, size=24)

        assert seen.digest == expected.digest

    def test_white_noise_has_a_flat_spectrum(self, rng):
        noise = rng.uniform(size=(400, 16, 16, 1))
        stats = statistics.measure(noise, size=16)

        np.testing.assert_allclose(stats.spectrum, 1, atol=0.12)

    def test_channels_that_depend_on_each_other_can_be_inverted(self, rng):
        grey = natural(rng, channels=1).repeat(3, axis=-1)
        stats = statistics.measure(grey, size=32)

        assert np.linalg.matrix_rank(stats.color) == 3
        np.testing.assert_allclose(stats.color[:, 0], np.sqrt(1 / 3), atol=1e-4)
        assert stats.spectrum[1:].max() < 0.05

    def test_the_order_of_images_does_not_matter(self, rng):
        pictures = natural(rng)
        one, other = (
            statistics.measure(x, size=32) for x in (pictures, pictures[::-1])
        )

        np.testing.assert_allclose(one.color, other.color, atol=1e-6)

    @pytest.mark.parametrize(
        ("pictures", "message"),
        [
            ([], "no images to measure"),
            ([np.zeros((16, 16, 3))], "have the same single colour"),
            ([np.zeros((16, 16))], r"Received: shape \(16, 16\)"),
            ([np.zeros((16, 16, 1), int)], "Received: .* int64"),
            ([np.full((16, 16, 1), 1.5)], r"must lie in \[0, 1\].* 1.5 to 1.5"),
            ([np.full((16, 16, 1), np.nan)], r"must lie in \[0, 1\].* nan to nan"),
            ([np.zeros((20, 15, 1))], "20x15 pixels is smaller than 16"),
            (
                [np.zeros((16, 16, c)) for c in (1, 3)],
                "same number of channels. Received: 1 and 3",
            ),
        ],
    )
    def test_images_that_cannot_be_measured_are_refused(self, pictures, message):
        with pytest.raises(ValueError, match=message):
            statistics.measure(pictures, size=16)

    @pytest.mark.parametrize("size", [15, 32.5])
    def test_bad_sizes_are_refused(self, size):
        with pytest.raises(
            ValueError, match="`size` must be a whole number of at least 16"
        ):
            statistics.measure([], size=size)


class TestFiles:
    def test_saved_statistics_come_back(self, tmp_path, rng):
        stats = statistics.measure(natural(rng, channels=2), size=32)
        path = tmp_path / "mine.npz"
        saved = stats.save(path)
        again = statistics.load(path)

        assert saved.source == again.source == str(path)
        assert stats.digest == saved.digest == again.digest
        assert again.count == 40
        assert again.contrast == stats.contrast
        for name in ("mean", "color", "spectrum"):
            np.testing.assert_array_equal(getattr(again, name), getattr(stats, name))
        assert [p.name for p in tmp_path.iterdir()] == ["mine.npz"]

    def test_different_statistics_have_different_digests(self, rng):
        pictures = natural(rng)
        digests = {
            statistics.measure(x, size=32).digest
            for x in (pictures, pictures[:-1], 1 - pictures)
        }

        assert len(digests) == 3

    def test_other_files_are_refused(self, tmp_path, rng):
        stats = statistics.measure(natural(rng, n=5), size=32)
        arrays = {
            name: getattr(stats, name)
            for name in ("mean", "color", "contrast", "spectrum", "count")
        }
        text, array, other, pickled, shapes, infinite, archive = (
            tmp_path / f"{i}.npz" for i in range(7)
        )
        text.write_text("mean")
        with array.open("wb") as file:
            np.save(file, np.zeros(3))
        np.savez(other, mean=stats.mean)
        np.savez(pickled, **arrays | {"mean": np.array([{}], object)})
        np.savez(shapes, **arrays | {"mean": stats.mean[:2]})
        np.savez(infinite, **arrays | {"color": stats.color * np.inf})
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("mean.npy", "no array")
        for path in (text, array, other, pickled, shapes, infinite, archive):
            with pytest.raises(ValueError, match=f"{path.name} holds no statistics"):
                statistics.load(path)
        with pytest.raises(FileNotFoundError, match="nowhere.npz"):
            statistics.load(tmp_path / "nowhere.npz")
        with pytest.raises(ValueError, match="must end in .npz. Received: .*mine.txt"):
            stats.save(tmp_path / "mine.txt")


class TestSpectrum:
    @pytest.mark.parametrize("width", [1, 2, 5, 8])
    def test_columns_add_up_to_the_full_spectrum(self, width, rng):
        image = rng.normal(size=(6, width))
        half = np.abs(np.fft.rfft2(image))

        assert column_counts(width).sum() == width
        assert energy(half[None], width)[0] == pytest.approx(
            np.sum(np.abs(np.fft.fft2(image)) ** 2)
        )

    @pytest.mark.parametrize("size", [(64, 64), (32, 32), (97, 130), (130, 97), (1, 5)])
    @pytest.mark.parametrize("old", [32, 33])
    @pytest.mark.parametrize("power", [0.8, 1.3])
    def test_a_power_law_stays_one_at_every_size(self, size, old, power):
        """This includes frequencies below the lowest one that was measured."""
        law = np.maximum(frequencies(old, old), 1 / old) ** -power
        seen = resample(law[None], *size)
        expected = np.maximum(frequencies(*size), 1 / max(size)) ** -power
        expected *= np.sqrt(energy(law[None], old) / energy(expected[None], size[1]))

        np.testing.assert_allclose(seen[0].ravel()[1:], expected.ravel()[1:], rtol=1e-6)
        np.testing.assert_allclose(seen[0, 0, 0], expected[0, 0], rtol=1e-6)
        assert slope(law[None], old) == pytest.approx(power)

    def test_at_its_own_size_nothing_changes(self, rng):
        amplitude = rng.uniform(0.5, 2, size=(2, 16, 9))

        np.testing.assert_allclose(resample(amplitude, 16, 16), amplitude, rtol=1e-10)

    def test_energy_is_kept(self, rng):
        amplitude = rng.uniform(0.5, 2, size=(2, 17, 9))
        for height, width in [(8, 40), (41, 7), (64, 64)]:
            np.testing.assert_allclose(
                energy(resample(amplitude, height, width), width), energy(amplitude, 17)
            )


class TestColour:
    def test_three_channels_are_those_of_imagenet(self):
        """The first column is brightness, the others are differences of colours."""
        matrix = statistics.correlation(3)

        assert matrix.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(matrix[:, 0]), 1, rtol=1e-6)
        assert (matrix[:, 0] > 0.5).all()
        assert np.linalg.norm(matrix, axis=0).argmax() == 0
        np.testing.assert_allclose(
            matrix / matrix[0, 0],
            np.array([[26, 9, 2], [27, 0, -5], [27, -9, 3]]) / 26,
            rtol=1e-5,
        )

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_other_numbers_of_channels_are_not_mixed(self, channels):
        matrix = statistics.correlation(channels)

        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix, np.eye(channels))

    def test_a_root_along_the_principal_axes_is_a_root(self, rng):
        values = rng.normal(size=(4, 4))
        covariance = values @ values.T
        root = statistics.root(covariance)
        product = root.T @ root

        np.testing.assert_allclose(root @ root.T, covariance, atol=1e-10)
        np.testing.assert_allclose(product, np.diag(np.diag(product)), atol=1e-10)
        assert (np.diff(np.diag(product)) <= 0).all()
        assert (root[0] >= 0).all()
        with pytest.raises(ValueError, match="have the same single colour"):
            statistics.root(np.zeros((3, 3)))


class TestBundled:
    def test_colours_are_those_published_for_imagenet(self):
        stats = statistics.bundled()

        np.testing.assert_allclose(stats.color, statistics.correlation(3), atol=0.04)
        np.testing.assert_allclose(stats.mean, [0.485, 0.456, 0.406], atol=0.025)

    def test_contrast_and_slope_are_those_of_photographs(self):
        stats = statistics.bundled()

        assert stats.source == "bundled"
        assert stats.size == 160
        assert stats.count == 7092
        assert 0.42 < stats.contrast < 0.46
        assert ((stats.slope() > 1.1) & (stats.slope() < 1.4)).all()

    def test_the_file_is_small(self):
        assert (ROOT / "tfviz" / "statistics.npz").stat().st_size < 300_000

    @pytest.mark.slow
    @pytest.mark.data
    def test_the_spectrum_at_160_pixels_is_that_at_224(self, data):
        """The docstring of scripts/measure_photographs.py states these ratios."""
        archive = zipfile.ZipFile(data / "imagenet-1000-samples.zip")
        names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))[::5]
        photos = [Image.open(archive.open(n)).convert("RGB") for n in names]
        photos = [photo for photo in photos if min(photo.size) >= 224]
        scale = [160 / min(photo.size) for photo in photos]
        scaled = [
            photo.resize([max(160, round(side * s)) for side in photo.size])
            for photo, s in zip(photos, scale, strict=True)
        ]
        large = statistics.measure(map(np.asarray, photos), size=224)
        small = statistics.measure(map(np.asarray, scaled), size=160)
        power = [s.amplitude(224, 224) ** 2 for s in (small, large)]
        frequency = frequencies(224, 224)

        for low, high, ratio, channel, tolerance in (
            (0.01, 0.18, 1, 0, 0.04),  # brightness
            (0.25, 0.35, 1.23, 0, 0.1),
            (0.01, 0.06, 1, slice(1, 3), 0.06),  # colours
        ):
            band = (frequency >= low) & (frequency < high)
            sums = [values[channel][..., band].sum() for values in power]
            assert np.sqrt(sums[0] / sums[1]) == pytest.approx(ratio, abs=tolerance)
        assert small.contrast == pytest.approx(large.contrast, rel=0.02)
        np.testing.assert_allclose(small.color, large.color, atol=0.01)

    @pytest.mark.data
    def test_photographs_of_the_samples_are_alike(self, data):
        """They are other photographs, with which methods are compared."""
        archive = zipfile.ZipFile(data / "imagenet-1000-samples.zip")
        names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))[::4]
        photos = (images.read(archive.open(n)) for n in names)
        samples = statistics.measure(
            (photo for photo in photos if min(photo.shape[:2]) >= 224), size=224
        )
        stats = statistics.bundled()

        np.testing.assert_allclose(stats.mean, samples.mean, atol=0.04)
        np.testing.assert_allclose(stats.color, samples.color, atol=0.04)
        assert stats.contrast == pytest.approx(samples.contrast, rel=0.05)
        frequency = frequencies(224, 224)
        low = (frequency > 0.01) & (frequency < 0.18)
        power = [s.amplitude(224, 224)[0, low] ** 2 for s in (stats, samples)]
        assert np.sqrt(power[0].sum() / power[1].sum()) == pytest.approx(1, abs=0.06)
