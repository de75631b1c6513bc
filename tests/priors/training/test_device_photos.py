"""Photos on the device, and the batches that are drawn and cut there."""

from itertools import islice

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfviz.priors.training import device_photos
from tfviz.priors.training.augmentation import cut
from tfviz.priors.training.device_photos import (
    DevicePhotos,
    FilePhotos,
    load_photos,
    on_device,
    read_classes,
    side_for,
)

SIDE = 8


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (10, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.fixture
def files(pixels, tmp_path):
    """The same pictures as files."""
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    return tuple(str(tmp_path / f"{number}.png") for number in range(len(pixels)))


def oracle(picture, draws, size, zoom):
    """Cut one picture with NumPy, pixel by pixel, in 64 bits."""
    whole = len(picture)
    side = (zoom + (1 - zoom) * draws[0]) * whole

    def weights(draw):
        centres = draw * (whole - side) + (np.arange(size) + 0.5) / size * side - 0.5
        centres = np.clip(centres, 0, whole - 1)
        distances = np.abs(centres[:, None] - np.arange(whole))
        found = np.maximum(1 - distances / max(side / size, 1), 0)
        return found / found.sum(axis=1, keepdims=True)

    rows, columns = weights(draws[1]), weights(draws[2])
    made = np.einsum("yi,ijc,xj->yxc", rows, picture / 255, columns)
    return made[:, ::-1] if draws[3] < 0.5 else made


class TestCut:
    @pytest.mark.parametrize("xla", [False, True])
    def test_whole_photos_are_mirrored_exactly(self, xla, pixels, rng):
        draws = rng.uniform(size=(10, 4)).astype(np.float32)
        made = tf.function(cut, jit_compile=xla)(tf.constant(pixels), draws, SIDE)
        expected = pixels.astype(np.float32) / np.float32(255)
        mirrored = draws[:, 3] < 0.5
        expected[mirrored] = expected[mirrored, :, ::-1]

        assert 0 < mirrored.sum() < 10
        np.testing.assert_allclose(made, expected, rtol=1e-7, atol=1e-7)
        np.testing.assert_array_equal(np.round(made * 255), np.round(expected * 255))

    @pytest.mark.parametrize("xla", [False, True])
    @pytest.mark.parametrize(("size", "zoom"), [(8, 0.5), (6, 0.75), (12, 0.8)])
    def test_crops_are_those_of_numpy(self, xla, size, zoom, pixels, rng):
        draws = rng.uniform(size=(10, 4)).astype(np.float32)
        made = tf.function(cut, jit_compile=xla)(tf.constant(pixels), draws, size, zoom)
        expected = [oracle(p, d, size, zoom) for p, d in zip(pixels, draws)]

        np.testing.assert_allclose(made, expected, atol=2e-6)

    def test_a_smaller_copy_is_that_of_tensorflow(self, pixels):
        draws = tf.fill((10, 4), 1.0)
        made = cut(tf.constant(pixels), draws, 5)
        floats = tf.constant(pixels, tf.float32) / 255
        expected = tf.image.resize(floats, (5, 5), antialias=True)

        # At the border TensorFlow leaves out the pixels that do not exist.
        np.testing.assert_allclose(
            made[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5
        )

    def test_crops_have_sizes_and_positions_in_range(self, rng):
        ramp = np.zeros((1, 48, 48, 3), np.uint8)
        ramp[..., 0], ramp[..., 1] = 5 * np.arange(48), 5 * np.arange(48)[:, None]
        draws = rng.uniform(size=(400, 4)).astype(np.float32)
        made = cut(tf.constant(ramp.repeat(400, axis=0)), draws, 8, 0.5).numpy() * 51
        side = np.ptp(made[:, 1:-1, 1:-1, 1], axis=(1, 2)) * 8 / 5

        assert side.min() == pytest.approx(24, abs=0.8)
        assert side.max() == pytest.approx(48, abs=0.8)
        mirrored = made[:, 0, 0, 0] > made[:, 0, -1, 0]
        assert 150 < mirrored.sum() < 250  # within 5 standard deviations
        assert (made[:, 0, 0, 1] < made[:, -1, 0, 1]).all()  # never upside down


class TestOrder:
    def numbers(self, pixels, first, count, seed=3):
        batches = on_device(pixels).batches(4, first=first, seed=seed)
        return [batch.tolist() for batch in islice(batches, count)]

    @pytest.mark.parametrize("first", [0, 1, 4, 7])
    def test_batches_are_the_same_from_any_step(self, first, pixels):
        whole = self.numbers(pixels, 0, 10)

        assert self.numbers(pixels, first, 10 - first) == whole[first:]
        flat = [number for batch in whole for number in batch]
        for epoch in range(4):
            assert sorted(flat[10 * epoch : 10 * epoch + 10]) == list(range(10))
        assert flat[:10] != flat[10:20]
        assert self.numbers(pixels, 0, 10, seed=4) != whole


class TestSources:
    def test_photos_are_those_with_the_numbers(self, pixels):
        photos = on_device(pixels, np.arange(10))
        taken, labels = photos.fetch(tf.constant([7, 2, 2]))

        np.testing.assert_array_equal(taken, pixels[[7, 2, 2]])
        assert labels.numpy().tolist() == [7, 2, 2]

    @pytest.mark.parametrize("first", [0, 3])
    def test_files_give_the_same_batches(self, first, files, monkeypatch):
        labels = np.arange(10)
        kept = load_photos(files, SIDE, 1.0, labels=labels)
        monkeypatch.setattr(device_photos, "fits", lambda needed: False)
        read = load_photos(files, SIDE, 1.0, labels=labels, tell=lambda line: None)

        assert isinstance(kept, DevicePhotos)
        assert isinstance(read, FilePhotos)
        assert kept.count == read.count == 10
        pairs = zip(*(s.batches(4, first=first, seed=1) for s in (kept, read)))
        for numbers, item in islice(pairs, 5):
            for a, b in zip(kept.fetch(tf.constant(numbers)), read.fetch(item)):
                np.testing.assert_array_equal(a, b)

    def test_crops_are_those_of_the_training(self, files):
        source = load_photos(files, SIDE, 0.8)
        made = device_photos.crops(source, 4, 2, seed=9, size=SIDE, zoom=0.8)
        for number, batch in enumerate(made):
            item = next(source.batches(4, first=number, seed=9))
            key = tf.constant([9, number])
            expected, _ = device_photos.take(source, item, key, SIDE, 0.8)
            np.testing.assert_allclose(batch, expected, atol=1e-6)

    def test_photos_larger_than_half_of_the_free_memory_do_not_fit(self, monkeypatch):
        monkeypatch.setattr(device_photos, "available_memory", lambda: 1000)

        assert device_photos.fits(500)
        assert not device_photos.fits(501)

    def test_the_free_memory_is_that_of_the_machine(self):
        assert 1e7 < device_photos.available_memory() < 1e14


class TestSide:
    @pytest.mark.parametrize(
        ("photo", "zoom", "expected"),
        [
            ((8, 8), 1.0, 16),
            ((8, 8), 0.8, 16),
            ((19, 40), 0.8, 16),
            ((500, 300), 0.8, 20),
        ],
    )
    def test_no_more_than_photos_have_and_crops_need(
        self, photo, zoom, expected, tmp_path
    ):
        Image.new("RGB", photo).save(tmp_path / "a.png")

        assert side_for([str(tmp_path / "a.png")] * 3, 16, zoom) == expected


def test_classes_are_folders(tmp_path):
    files = [str(tmp_path / name) for name in ("cats/1.png", "ants/2.png")]
    classes, labels = read_classes(files)

    assert (classes, labels.tolist()) == (("ants", "cats"), [1, 0])
