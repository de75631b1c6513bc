"""Dataset examples, against a pass that holds everything in memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support import build_toy

import tfviz
from tfviz import images, levels
from tfviz.analysis import dataset_examples as module
from tfviz.analysis.example_statistics import sampling_keys
from tfviz.analysis.receptive_field import map_shape
from tfviz.analysis.responses import Responder
from tfviz.models.adapter import LOGITS
from tfviz.models.inputs import fit_photo

BATCH = 4


@pytest.fixture(scope="module")
def adapter():
    """The toy network, with a dead channel in each layer of convolutions."""
    model = build_toy()
    for name in ("conv_a", "conv_b"):
        layer = model.get_layer(name)
        layer.kernel.assign(layer.kernel.numpy() * (np.arange(layer.filters) != 2))
        layer.bias.assign(np.where(np.arange(layer.filters) == 2, -1, 0.0))
    return tfviz.adapt(model, (-1, 1))


@pytest.fixture(scope="module")
def pictures():
    """Random pictures of different sizes; some of them are equal."""
    rng = np.random.default_rng(4)
    found = [rng.random((20 + i, 41 - i, 3), np.float32) for i in range(22)]
    found[7] = found[3]
    found[20] = found[3]
    found[13] = np.zeros((5, 9, 3), np.float32)
    return found


def save_pictures(folder, pictures):
    """Save pictures as PNG files, some of them in a subfolder."""
    (folder / "more").mkdir(parents=True)
    for i, picture in enumerate(pictures):
        place = "more/" if i % 3 == 2 else ""
        images.to_pil(picture).save(folder / f"{place}{i:02}.png")


def activations(adapter, pictures, paths):
    """All activations, computed in batches of the same size as in the pass."""
    fitted = np.stack([fit_photo(adapter, picture) for picture in pictures])
    forward = tf.function(lambda x: adapter.forward(x, paths), autograph=False)
    parts = []
    for first in range(0, len(fitted), BATCH):
        chunk = fitted[first : first + BATCH]
        n = len(chunk)
        chunk = np.concatenate([chunk, np.zeros((BATCH - n, *chunk.shape[1:]), "f")])
        parts.append({p: v.numpy()[:n] for p, v in forward(tf.constant(chunk)).items()})
    return {path: np.concatenate([part[path] for part in parts]) for path in paths}


def assert_same(found, expected):
    """Compare two records of examples, array by array and bit by bit."""
    assert found.images == expected.images
    assert found.unreadable == expected.unreadable
    assert list(found.layers) == list(expected.layers)
    for path, layer in expected.layers.items():
        for name, value in vars(layer).items():
            other = getattr(found.layers[path], name)
            if name in ("top", "bottom", "spread"):
                for part, array in vars(value).items():
                    np.testing.assert_array_equal(getattr(other, part), array)
            elif name == "map_shape":
                assert other == value
            else:
                np.testing.assert_array_equal(other, value)
                assert other.dtype == value.dtype


def check_layer(layer, values, by, *, k, spread, sample):
    """Compare the examples of a layer with all its activations.

    Args:
        layer: The examples.
        values: The activations `(n, ..., channels)`.
        by: What the response is.
        k: The number of images in the lists.
        spread: The number of images that are spread.
        sample: The indices of the images of the sample, ascending.
    """
    n, units = len(values), values.shape[-1]
    flat = values.reshape(n, -1, units)
    peaks, means = flat.max(axis=1), flat.mean(axis=1, dtype=np.float64)
    responses = peaks if by == "peak" else means
    places = flat.argmax(axis=1)
    exact = {"rtol": 0, "atol": 0 if by == "peak" else 1e-6}
    for unit in range(units):
        own = responses[:, unit]
        down = np.lexsort((np.arange(n), -own))[:k]
        up = np.lexsort((np.arange(n), own))[:k]
        ranked = sample[np.argsort(own[sample], kind="stable")]
        ranks = [
            int(np.ceil((i + 0.5) / spread * len(sample) - 1e-9)) - 1
            for i in range(spread)
        ]
        for found, expected in (
            (layer.top, down), (layer.bottom, up), (layer.spread, ranked[ranks]),
        ):  # fmt: skip
            np.testing.assert_array_equal(found.images[unit], expected)
            np.testing.assert_allclose(found.values[unit], own[expected], **exact)
            np.testing.assert_array_equal(found.positions[unit], places[expected, unit])
        assert layer.histogram[unit].sum() == n
        bins = layer.histogram.shape[1]
        edges = layer.histogram_low[unit] + layer.histogram_width[unit] * np.arange(
            bins + 1
        )
        if by == "peak":
            np.testing.assert_array_equal(
                layer.histogram[unit], np.histogram(own, edges.astype(np.float64))[0]
            )
    np.testing.assert_allclose(layer.fires, (peaks > 0).mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(layer.mean, means.mean(0), atol=1e-6)
    np.testing.assert_allclose(layer.deviation, means.std(0), atol=1e-6)
    np.testing.assert_allclose(layer.highest, means.max(0), atol=1e-6)
    assert layer.map_shape == values.shape[1:-1]
    np.testing.assert_allclose(
        layer.spread_quantiles, (np.arange(spread) + 0.5) / spread, rtol=1e-6
    )
    with np.errstate(invalid="ignore"):
        matrix = np.nan_to_num(np.corrcoef(responses[sample].astype(np.float64).T))
    np.fill_diagonal(matrix, -np.inf)
    np.testing.assert_allclose(
        layer.correlations,
        -np.sort(-matrix, axis=1)[:, : layer.correlations.shape[1]],
        atol=1e-5,
    )


class TestNumbers:
    @pytest.mark.parametrize("by", ["peak", "mean"])
    def test_a_brute_force_pass_finds_the_same(self, adapter, pictures, by):
        found = tfviz.dataset_examples(
            adapter, iter(pictures), k=6, by=by, spread=3, bins=16, batch_size=BATCH
        )
        paths = ["conv_a", "conv_b", "pool", "head", LOGITS]
        values = activations(adapter, pictures, paths)

        assert list(found.layers) == paths
        assert (found.count, found.k, found.by) == (22, 6, by)
        for path in paths:
            check_layer(
                found.layers[path],
                values[path],
                by,
                k=6,
                spread=3,
                sample=np.arange(22),
            )
        # The dead channel responds to all images alike, so the first ones win.
        dead = found.layers["conv_a"]
        assert dead.top.images[2].tolist() == list(range(6))
        assert dead.bottom.images[2].tolist() == list(range(6))
        assert (dead.fires[2], dead.histogram[2, 0]) == (0, 22)
        # So do equal images.
        tops = dead.top.images.tolist()
        assert any(3 in row and 7 in row for row in tops)
        assert all(row.index(3) < row.index(7) for row in tops if 7 in row)

    def test_the_sample_is_fixed_by_the_seed(self, adapter, pictures):
        found = tfviz.dataset_examples(
            adapter,
            pictures,
            "conv_b",
            k=2,
            spread=4,
            sample=9,
            seed=3,
            batch_size=BATCH,
        )
        sample = np.sort(np.argsort(sampling_keys(3, np.arange(22)))[:9])
        values = activations(adapter, pictures, ["conv_b"])["conv_b"]

        check_layer(
            found.layers["conv_b"], values, "peak", k=2, spread=4, sample=sample
        )

    def test_agreement_is_that_of_the_features_of_the_top_images(
        self, adapter, pictures
    ):
        found = tfviz.dataset_examples(
            adapter, pictures, "conv_a", k=5, sample=10, batch_size=BATCH
        )
        values = activations(adapter, pictures, ["conv_b"])["conv_b"].mean(axis=(1, 2))
        sample = np.argsort(sampling_keys(0, np.arange(22)))[:10]
        values = values - values[sample].mean(axis=0)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        for unit, rows in enumerate(found.layers["conv_a"].top.images):
            cosines = (values[rows] @ values[rows].T)[np.tril_indices(5, -1)]
            assert found.layers["conv_a"].agreement[unit] == pytest.approx(
                cosines.mean(), abs=1e-5
            )

    def test_agreement_is_undefined_if_the_features_overflow(self, pictures):
        """The layer that is asked for is finite, the last one of features is not."""
        image = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(6, 3, name="conv")(image)
        x = keras.layers.Rescaling(3e38, name="scaled")(x)
        x = keras.layers.Rescaling(3e38, name="far")(x)
        outputs = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
        adapter = tfviz.adapt(keras.Model(image, outputs), (0, 1))
        found = tfviz.dataset_examples(adapter, pictures, "conv", k=2)
        layer = found.layers["conv"]

        assert np.isnan(layer.agreement).all()
        assert np.isfinite(layer.top.values).all()

    def test_few_images_make_short_lists(self, adapter, pictures):
        found = tfviz.dataset_examples(adapter, pictures[:1], "conv_b", k=9, spread=3)
        layer = found.layers["conv_b"]

        assert layer.top.images.tolist() == layer.bottom.images.tolist() == [[0]] * 12
        assert layer.spread.images.tolist() == [[0, 0, 0]] * 12
        assert np.isnan(layer.agreement).all()
        with pytest.raises(ValueError, match="at least 2 images. Received: 1"):
            found.levels()

    def test_tokens_and_maps_of_classes_have_positions(self, pictures):
        inputs = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(6, 8, 8, name="patches")(inputs)
        tokens = keras.layers.Reshape((16, 6), name="tokens")(x)
        mixed = keras.layers.Dense(5, name="mixed")(tokens)
        x = keras.layers.Reshape((4, 4, 5), name="map")(mixed)
        outputs = keras.layers.Softmax(name="classes")(x)
        adapter = tfviz.adapt(keras.Model(inputs, outputs), (0, 1))
        found = tfviz.dataset_examples(
            adapter, pictures, ["tokens", "logit"], k=3, spread=2, batch_size=BATCH
        )
        values = activations(adapter, pictures, ["tokens", LOGITS])

        assert [layer.map_shape for layer in found.layers.values()] == [(16,), (4, 4)]
        for path, layer in found.layers.items():
            check_layer(
                layer, values[path], "peak", k=3, spread=2, sample=np.arange(22)
            )
            rows, columns = layer.box(5)
            assert (rows, columns) == (slice(8, 16), slice(8, 16))

    def test_layers_that_consist_of_others_share_their_units(self, pictures):
        inputs = keras.Input((32, 32, 3))
        a = keras.layers.Conv2D(4, 3, 2, activation="relu", name="a")(inputs)
        b = keras.layers.Conv2D(3, 3, 2, name="b")(inputs)
        both = keras.layers.Concatenate(name="both")([b, a])
        below = keras.layers.Concatenate(axis=1, name="below")([b, b])
        x = keras.layers.Dropout(0.5, name="dropped")(both)
        more = keras.layers.Concatenate(name="more")([x, a])
        pooled = [keras.layers.GlobalAveragePooling2D()(y) for y in (more, below)]
        outputs = keras.layers.Dense(5, name="head")(
            keras.layers.Add()([keras.layers.Dense(6)(y) for y in pooled])
        )
        adapter = tfviz.adapt(keras.Model(inputs, outputs), (0, 1))
        paths = ["more", "both", "below", "b", "a", "dropped", "head", LOGITS]
        shapes = {path: map_shape(adapter, path) for path in paths}
        responder = Responder(adapter, shapes, "peak", BATCH)
        found = tfviz.dataset_examples(
            adapter, pictures, [*paths[:-1], "logit"], k=3, spread=2, batch_size=BATCH
        )
        values = activations(adapter, pictures, paths)

        assert responder.units == 4 + 3 + 3 + 5  # of a, b, below and head
        columns = responder.columns
        assert columns["dropped"].tolist() == [*columns["b"], *columns["a"]]
        for path, layer in found.layers.items():
            check_layer(
                layer, values[path], "peak", k=3, spread=2, sample=np.arange(22)
            )

    def test_a_saved_model_finds_the_same_as_its_keras_model(
        self, adapter, pictures, tmp_path
    ):
        adapter.model.export(tmp_path / "toy", verbose=False)
        exported = tfviz.adapt(tfviz.load_model(tmp_path / "toy"), (-1, 1))
        found, other = (
            tfviz.dataset_examples(model, pictures, k=3).layers
            for model in (adapter, exported)
        )
        path = next(path for path in other if "conv_b" in path and "Relu" in path)

        for mine, its in ((LOGITS, LOGITS), ("conv_b", path)):
            for name in ("images", "positions"):
                np.testing.assert_array_equal(
                    getattr(other[its].top, name), getattr(found[mine].top, name)
                )
            np.testing.assert_array_equal(other[its].rows, found[mine].rows)

    def test_levels_are_those_that_are_measured(self, adapter, pictures, tmp_path):
        found = tfviz.dataset_examples(adapter, pictures, batch_size=BATCH)
        measured = levels.measure(adapter, pictures)
        taken = found.levels()

        assert list(taken.layers) == list(measured.layers)
        assert taken.count == measured.count == 22
        taken.check(adapter)
        for path, level in measured.layers.items():
            for name in ("mean", "deviation", "highest"):
                np.testing.assert_allclose(
                    getattr(taken.layers[path], name),
                    getattr(level, name),
                    rtol=1e-6,
                    atol=1e-6,
                )
        # `top_units` takes the record, its file, or the levels.
        found.save(tmp_path / "examples.npz")
        ranked = tfviz.top_units(adapter, pictures[0], "conv_b", levels=taken)
        assert ranked[0].usual == "photos"
        for source in (found, tmp_path / "examples.npz"):
            assert (
                tfviz.top_units(adapter, pictures[0], "conv_b", levels=source) == ranked
            )

    @pytest.mark.slow
    def test_memory_does_not_grow_with_the_images(self, adapter):
        """From 1,000 to 64,000 images, it grows by little more than their index."""
        page = os.sysconf("SC_PAGE_SIZE")
        memory = {}

        def note(done, total):
            if done in (1000, 64_000):
                resident = int(Path("/proc/self/statm").read_text().split()[1])
                memory[done] = resident * page / 2**20

        def stream():
            rng = np.random.default_rng(0)
            for _ in range(64_000):
                yield rng.random((32, 32, 3), np.float32)

        found = tfviz.dataset_examples(
            adapter, stream(), k=9, sample=100, batch_size=50, progress=note
        )

        assert found.count == 64_000
        assert memory[64_000] - memory[1000] < 30


class TestFolders:
    def test_files_are_read_as_everywhere(self, adapter, pictures, tmp_path):
        save_pictures(tmp_path / "photos", pictures)
        found = tfviz.dataset_examples(
            adapter, tmp_path / "photos", "conv_b", k=3, batch_size=BATCH
        )
        files = sorted((tmp_path / "photos").rglob("*.png"))
        given = tfviz.dataset_examples(adapter, files, "conv_b", k=3, batch_size=BATCH)

        names = [f.relative_to(tmp_path / "photos").as_posix() for f in files]
        assert [image.path for image in found.images] == names
        assert found.folder == str(tmp_path / "photos")
        assert given.folder is None
        for path, layer in given.layers.items():
            np.testing.assert_array_equal(
                found.layers[path].top.values, layer.top.values
            )
        for index, file in enumerate(files):
            image = found.images[index]
            assert (image.height, image.width) == images.read(file).shape[:2]
            assert image.digest == given.images[index].digest
            np.testing.assert_array_equal(
                found.picture(index), fit_photo(adapter, file)
            )
            np.testing.assert_array_equal(given.picture(index), found.picture(index))

    def test_files_of_all_kinds_are_read_and_others_named(self, adapter, tmp_path, rng):
        folder = tmp_path / "photos"
        folder.mkdir()
        colour = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(colour).save(folder / "colour.jpg")
        Image.fromarray(colour[..., 0]).save(folder / "grey.png")
        Image.fromarray(colour[:1, :1]).save(folder / "tiny.png")
        Image.fromarray(np.tile(colour, (50, 40, 1))).save(folder / "huge.jpg")
        Image.fromarray(colour).convert("RGBA").save(folder / "alpha.webp")
        (folder / "broken.png").write_bytes(b"no picture")
        cut = (folder / "colour.jpg").read_bytes()
        (folder / "cut.jpg").write_bytes(cut[: len(cut) // 2])
        (folder / "empty.gif").touch()
        Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "range.tif")
        (folder / "notes.txt").write_text("no picture at all")
        found = tfviz.dataset_examples(adapter, folder, "pool", k=2, batch_size=3)

        read = ["alpha.webp", "colour.jpg", "grey.png", "huge.jpg", "tiny.png"]
        assert [image.path for image in found.images] == read
        assert (found.images[3].height, found.images[3].width) == (3000, 3200)
        assert found.images[4].height == found.images[4].width == 1
        assert [file for file, _ in found.unreadable] == [
            "broken.png", "cut.jpg", "empty.gif", "range.tif",
        ]  # fmt: skip
        reasons = dict(found.unreadable)
        assert reasons["broken.png"] == "cannot be read as an image"
        assert "unknown range" in reasons["range.tif"]
        # Images that could not be read leave no trace in the numbers.
        whole = tfviz.dataset_examples(
            adapter, [folder / name for name in read], "pool", k=2, batch_size=3
        )
        layer, expected = found.layers["pool"], whole.layers["pool"]
        np.testing.assert_array_equal(layer.top.images, expected.top.images)
        np.testing.assert_allclose(layer.top.values, expected.top.values, atol=1e-6)
        np.testing.assert_array_equal(layer.fires, expected.fires)

    def test_links_to_missing_files_are_named(self, adapter, pictures, tmp_path):
        folder = tmp_path / "phötos of mine"
        save_pictures(folder, pictures[:2])
        (folder / "a link.png").symlink_to(folder / "00.png")
        (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
        (folder / "linked").symlink_to(folder / "more", target_is_directory=True)
        found = tfviz.dataset_examples(
            adapter, folder, "pool", k=2, output=tmp_path / "e.npz"
        )

        assert [image.path for image in found.images] == [
            "00.png", "01.png", "a link.png",
        ]  # fmt: skip
        assert found.unreadable == (("gone.png", "No such file or directory"),)
        assert_same(tfviz.load_examples(tmp_path / "e.npz"), found)
        np.testing.assert_array_equal(found.picture(2), found.picture(0))

    def test_a_sample_larger_than_the_folder_takes_no_memory(
        self, adapter, pictures, tmp_path
    ):
        save_pictures(tmp_path / "photos", pictures[:5])
        found, expected = (
            tfviz.dataset_examples(
                adapter, tmp_path / "photos", "conv_b", k=2, sample=sample
            )
            for sample in (10**12, 5)
        )

        assert_same(found, expected)

    def test_crops_are_receptive_fields(self, adapter, pictures, tmp_path):
        save_pictures(tmp_path / "photos", pictures)
        found = tfviz.dataset_examples(adapter, tmp_path / "photos", k=3, spread=2)
        for kind in ("top", "bottom", "spread"):
            examples = getattr(found.layers["conv_b"], kind)
            place, index = examples.positions[4, 1], examples.images[4, 1]
            top, left = 4 * (place // 7), 4 * (place % 7)
            np.testing.assert_array_equal(
                found.crop("conv_b", 4, 1, kind),
                found.picture(index)[top : top + 7, left : left + 7],
            )
        # The crop alone gives the unit's activation, as valid convolutions see no more.
        crop, layer = found.crop("conv_b", 4, 0), found.layers["conv_b"]
        kernel_a, bias_a = adapter.model.get_layer("conv_a").get_weights()
        kernel_b, bias_b = adapter.model.get_layer("conv_b").get_weights()
        hidden = np.maximum(
            [
                [
                    np.tensordot(crop[y : y + 3, x : x + 3] * 2 - 1, kernel_a, 3)
                    + bias_a
                    for x in (0, 2, 4)
                ]
                for y in (0, 2, 4)
            ],
            0,
        )
        value = np.tensordot(hidden, kernel_b[..., 4], 3) + bias_b[4]
        assert layer.top.values[4, 0] == pytest.approx(value, rel=1e-4)
        np.testing.assert_array_equal(
            found.crop("logit", 1, 0),
            found.picture(found.layer("logit").top.images[1, 0]),
        )

    def test_pictures_are_found_elsewhere_and_checked(
        self, adapter, pictures, tmp_path
    ):
        save_pictures(tmp_path / "photos", pictures[:3])
        found = tfviz.dataset_examples(adapter, tmp_path / "photos", "pool", k=2)
        before = found.picture(0)
        (tmp_path / "photos").rename(tmp_path / "moved")

        with pytest.raises(FileNotFoundError, match="no image .*00.png.*`folder`"):
            found.picture(0)
        np.testing.assert_array_equal(found.picture(0, tmp_path / "moved"), before)
        images.to_pil(pictures[5]).save(tmp_path / "moved" / "00.png")
        with pytest.raises(ValueError, match="00.png' has changed since then"):
            found.picture(0, tmp_path / "moved")
        given = tfviz.dataset_examples(adapter, pictures[:2], "pool", k=1)
        with pytest.raises(ValueError, match="Image 1 was an array"):
            given.picture(1)
        with pytest.raises(ValueError, match="no layer 'pol'. Did you mean 'pool'"):
            given.crop("pol", 0, 0)
        with pytest.raises(ValueError, match="top, bottom or spread. Received: 'best'"):
            given.crop("pool", 0, 0, "best")


class TestResuming:
    @pytest.fixture
    def folder(self, pictures, tmp_path):
        save_pictures(tmp_path / "photos", pictures)
        (tmp_path / "photos" / "05.png").write_bytes(b"no picture")
        (tmp_path / "photos" / "10.png").write_bytes(b"no picture")
        return tmp_path / "photos"

    def stop_after(self, count):
        def progress(done, total):
            assert total == 22 + 1  # 05.png is more/05.png's namesake
            if done >= count:
                raise KeyboardInterrupt

        return progress

    def test_an_interrupted_pass_ends_with_the_same_file(
        self, adapter, folder, tmp_path
    ):
        options = {
            "layers": ["conv_b", "logit"],
            "k": 3,
            "sample": 8,
            "batch_size": BATCH,
        }
        whole = tmp_path / "whole.npz"
        tfviz.dataset_examples(adapter, folder, output=whole, **options)
        output, partial = tmp_path / "parts.npz", tmp_path / "parts.npz.partial"
        for count in (4, 12, 20):
            with pytest.raises(KeyboardInterrupt):
                tfviz.dataset_examples(
                    adapter,
                    folder,
                    output=output,
                    progress=self.stop_after(count),
                    **options,
                )
            assert partial.exists()
            assert not output.exists()
        begun = []
        found = tfviz.dataset_examples(
            adapter,
            folder,
            output=output,
            progress=lambda done, _: begun.append(done),
            **options,
        )

        assert begun == [23]  # only the last batch was left
        assert not partial.exists()
        assert output.read_bytes() == whole.read_bytes()
        assert_same(found, tfviz.load_examples(whole))

    def test_the_state_is_written_from_time_to_time(
        self, adapter, folder, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(module, "SAVE_SECONDS", 0)
        partial, states = tmp_path / "e.npz.partial", []

        def note(done, total):
            states.append(partial.exists())

        tfviz.dataset_examples(
            adapter,
            folder,
            "pool",
            k=1,
            batch_size=8,
            output=tmp_path / "e.npz",
            progress=note,
        )

        assert states == [False, True, True]
        assert sorted(f.name for f in tmp_path.iterdir()) == ["e.npz", "photos"]

    def test_another_pass_is_refused(self, adapter, folder, tmp_path):
        output = tmp_path / "e.npz"

        def go(model=adapter, layers="pool", **options):
            return tfviz.dataset_examples(
                model,
                folder,
                layers,
                output=output,
                **{"k": 3, "batch_size": 8} | options,
            )

        with pytest.raises(KeyboardInterrupt):
            go(progress=self.stop_after(8))
        state = (tmp_path / "e.npz.partial").read_bytes()
        other = tfviz.adapt(build_toy(), (-1, 1))
        for options, said in (
            (
                {"k": 4},
                "other settings: k is 3 there and 4 here. Use the same settings",
            ),
            ({"by": "mean"}, 'by is "peak" there and "mean"'),
            ({"layers": "conv_b"}, r'layers is \["pool"\] there and \["conv_b"\]'),
            ({"model": other}, "model.weights"),
        ):
            with pytest.raises(ValueError, match=said):
                go(**options)
        images.to_pil(np.zeros((8, 8, 3))).save(folder / "new.png")
        with pytest.raises(
            ValueError,
            match=r"1 file is new \(new.png\). Restore .* delete '.*partial' to begin",
        ):
            go()
        (folder / "new.png").unlink()
        assert (tmp_path / "e.npz.partial").read_bytes() == state
        (tmp_path / "e.npz.partial").write_bytes(state[:300])
        with pytest.raises(
            ValueError, match="holds no interrupted pass, or is damaged"
        ):
            go()

    def go_on(self, adapter, folder, output, **options):
        """Find few examples, in batches of 8 of the 23 files."""
        options = {"batch_size": 8} | options
        return tfviz.dataset_examples(
            adapter, folder, "pool", k=3, output=output, **options
        )

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("new", r"1 file is new \(more/a.png\)"),
            ("gone", r"2 files are gone \(21.png, ...\)"),
            ("changed", r"1 file is changed \(00.png\)"),
            ("unreadable", r"1 file is changed \(05.png\)"),
        ],
    )
    def test_changed_images_are_refused_and_named(
        self, adapter, folder, tmp_path, change, said
    ):
        """Those that were read, and the list; the time of change alone is no change."""
        output = tmp_path / "e.npz"
        with pytest.raises(KeyboardInterrupt):
            self.go_on(adapter, folder, output, progress=self.stop_after(8))
        if change == "new":
            (folder / "more/a.png").write_bytes(b"no picture")
        elif change == "gone":
            (folder / "21.png").unlink()
            (folder / "more/20.png").unlink()
        elif change == "changed":
            whole = (folder / "00.png").read_bytes()
            (folder / "00.png").write_bytes(whole[:-1] + b"x")  # of the same size
        else:
            (folder / "05.png").write_bytes(b"another that cannot be read")

        with pytest.raises(ValueError, match=f"since the pass began: {said}. Restore"):
            self.go_on(adapter, folder, output)
        assert (tmp_path / "e.npz.partial").exists()
        assert not output.exists()

    def test_images_that_were_not_read_may_change(
        self, adapter, folder, pictures, tmp_path
    ):
        output = tmp_path / "e.npz"

        def replace_a_later_one(done, total):
            """The one before the last two, which is read in the last batch but one."""
            if done == 2:
                images.to_pil(pictures[0]).save(folder / "more/14.png")
            self.stop_after(22)(done, total)

        small = {"batch_size": 2}
        with pytest.raises(KeyboardInterrupt):
            self.go_on(adapter, folder, output, progress=replace_a_later_one, **small)
        for file in (folder / "00.png", folder / "05.png"):
            os.utime(file, (1, 1))  # as in a copy
        images.to_pil(pictures[0]).save(folder / "more/20.png")
        found = self.go_on(adapter, folder, output, **small)
        whole = self.go_on(adapter, folder, tmp_path / "whole.npz", **small)

        assert_same(found, whole)
        assert output.read_bytes() == (tmp_path / "whole.npz").read_bytes()

    def test_images_that_change_during_the_pass_are_named(
        self, adapter, folder, pictures, tmp_path
    ):
        def change(done, total):
            if done == 2:  # more batches are read already, but not the last ones
                (folder / "more/20.png").unlink()
                images.to_pil(pictures[1]).save(folder / "00.png")
                images.to_pil(pictures[1]).save(folder / "new.png")

        with pytest.warns(
            UserWarning,
            match=r"photos' changed during the pass: 1 file is new \(new.png\), 1 file "
            r"is gone \(more/20.png\), 1 file is changed \(00.png\). The examples are",
        ):
            found = self.go_on(
                adapter, folder, tmp_path / "e.npz", progress=change, batch_size=2
            )
        reasons = dict(found.unreadable)
        assert "No such file" in reasons["more/20.png"]
        assert "new.png" not in [image.path for image in found.images]
        with pytest.raises(ValueError, match="00.png' has changed since then"):
            found.picture(0)

    def test_other_constant_inputs_are_another_pass(self, pictures, tmp_path):
        image = keras.Input((32, 32, 3), name="image")
        shift = keras.Input((4,), name="shift")
        x = keras.layers.Conv2D(4, 3, name="conv")(image)
        x = keras.layers.Add(name="sum")([x, keras.layers.Reshape((1, 1, 4))(shift)])
        model = keras.Model([image, shift], keras.layers.GlobalMaxPooling2D()(x))
        save_pictures(tmp_path / "photos", pictures[:6])

        def go(value, **options):
            return tfviz.dataset_examples(
                tfviz.adapt(model, (0, 1), held={"shift": value}),
                tmp_path / "photos",
                "sum",
                k=6,
                batch_size=2,
                output=tmp_path / "e.npz",
                **options,
            )

        def stop(done, total):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go(1.0, progress=stop)
        with pytest.raises(ValueError, match=r"held.shift is 1.0 there and 5.0"):
            go(5.0)
        one = go(1.0).layers["sum"].top
        five = go(5.0).layers["sum"].top
        np.testing.assert_allclose(five.values, one.values + 4, rtol=1e-5)

    @pytest.mark.slow
    def test_a_pass_that_is_killed_again_and_again_ends_with_the_same_file(
        self, adapter, folder, tmp_path
    ):
        options = {"layers": ["conv_b", "logit"], "k": 3, "sample": 8, "batch_size": 4}
        adapter.model.save(tmp_path / "toy.keras")
        model = tfviz.adapt(tfviz.load_model(tmp_path / "toy.keras"), (-1, 1))
        whole = tmp_path / "whole.npz"
        tfviz.dataset_examples(model, folder, output=whole, **options)
        program = f"""
import os, signal, tfviz
from tfviz.analysis import dataset_examples as module
module.SAVE_SECONDS = 0
kept = module._SavedState.save_if_due
begun = []
def save(self, state):
    kept(self, state)
    begun.append(state.seen)
    if len(begun) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
module._SavedState.save_if_due = save
model = tfviz.adapt(tfviz.load_model({str(tmp_path / "toy.keras")!r}), (-1, 1))
tfviz.dataset_examples(
    model, {str(folder)!r}, output={str(tmp_path / "parts.npz")!r}, **{options!r}
)
"""
        codes = [
            subprocess.run([sys.executable, "-c", program], check=False).returncode
            for _ in range(4)
        ]

        # Two batches of four in each run, and 23 files.
        assert codes == [-signal.SIGKILL] * 3 + [0]
        assert (tmp_path / "parts.npz").read_bytes() == whole.read_bytes()
        assert not (tmp_path / "parts.npz.partial").exists()


class TestFiles:
    def test_a_file_stands_alone(self, adapter, pictures, tmp_path):
        save_pictures(tmp_path / "photos", pictures)
        (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
        found = tfviz.dataset_examples(
            adapter, tmp_path / "photos", k=3, output=tmp_path / "a.npz"
        )
        again = tfviz.load_examples(tmp_path / "a.npz")
        again.save(tmp_path / "b.npz")

        assert_same(again, found)
        for name in ("folder", "size", "channels", "by", "k", "count", "model"):
            assert getattr(again, name) == getattr(found, name)
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        # Plain NumPy reads it as well.
        with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
            assert arrays["layer:conv_b:top.images"].shape == (12, 3)
            assert json.loads(arrays["examples"].item())["model"] == "toy"
            assert arrays["image:path"][0] == "00.png"

    def test_examples_of_another_model_are_refused(self, adapter, pictures, tmp_path):
        found = tfviz.dataset_examples(adapter, pictures[:3], "pool", k=1)
        found.check(adapter)
        other = tfviz.adapt(build_toy(), (-1, 1))
        with pytest.raises(
            ValueError, match="not those of model 'toy': they were made"
        ):
            found.check(other)
        with pytest.raises(ValueError, match="with the range -1,1, but the model now"):
            found.check(tfviz.adapt(adapter.model, (0, 1)))
        found.save(tmp_path / "e.npz")
        with pytest.raises(ValueError, match="not those of model 'toy'"):
            tfviz.top_units(other, pictures[0], levels=tmp_path / "e.npz")

    @pytest.mark.parametrize("kind", ["text", "empty", "levels", "cut", "version"])
    def test_a_file_without_examples_is_refused(
        self, adapter, pictures, tmp_path, kind
    ):
        path = tmp_path / "file.npz"
        found = tfviz.dataset_examples(adapter, pictures[:2], "pool", k=1)
        if kind == "levels":
            found.levels().save(path)
        elif kind == "cut":
            found.save(path)
            path.write_bytes(path.read_bytes()[:-200])
        elif kind == "version":  # a byte that says which version of zip is needed
            found.save(path)
            data = bytearray(path.read_bytes())
            data[data.index(b"PK\x01\x02") + 6] = 0xFF
            path.write_bytes(data)
        else:
            path.write_text("text" if kind == "text" else "")
        with pytest.raises(ValueError, match="file.npz' holds no dataset examples"):
            tfviz.load_examples(path)
        with pytest.raises(ValueError, match="must end in .npz"):
            found.save(tmp_path / "file.txt")


class TestBad:
    @pytest.mark.parametrize(
        ("pictures", "options", "said"),
        [
            ([], {}, "There are no images"),
            (
                [np.zeros((8, 8))],
                {},
                "Image 0 cannot be used: .*height, width, channels",
            ),
            (
                [np.zeros((8, 8, 3)), np.full((8, 8, 3), 9.0)],
                {},
                "Image 1 .*from 9 to 9",
            ),
            (
                [np.zeros((8, 8, 3))],
                {"k": 0},
                "`k` must be a whole number.* 1. Received: 0",
            ),
            ([np.zeros((8, 8, 3))], {"spread": 2.5}, "at least 1. Received: 2.5"),
            (
                [np.zeros((8, 8, 3))],
                {"bins": 1},
                "`bins` must be .* at least 2. Received: 1",
            ),
            ([np.zeros((8, 8, 3))], {"by": "max"}, "peak or mean. Received: 'max'"),
            ([np.zeros((8, 8, 3))], {"layers": "conv_c"}, "Did you mean 'conv_"),
            ([np.zeros((8, 8, 3))], {"layers": []}, "No layer is selected"),
            ([np.zeros((8, 8, 3))], {"output": "a.txt"}, "must end in .npz"),
            (
                [np.zeros((8, 8, 3))],
                {"output": "nowhere/a.npz"},
                "no folder 'nowhere' to write 'a.npz' to",
            ),
            ([np.zeros((8, 8, 3))], {"seed": 1.5}, "`seed` must be a whole number. Re"),
            ([np.zeros((8, 8, 3))], {"seed": "a"}, "Received: 'a'"),
        ],
    )
    def test_bad_input_is_refused(self, adapter, pictures, options, said):
        with pytest.raises(ValueError, match=said):
            tfviz.dataset_examples(adapter, pictures, **{"layers": "pool"} | options)

    def test_an_output_that_is_a_folder_is_refused(self, adapter, tmp_path):
        (tmp_path / "e.npz").mkdir()
        with pytest.raises(ValueError, match="e.npz' is a folder"):
            tfviz.dataset_examples(
                adapter, [np.zeros((8, 8, 3))], "pool", output=tmp_path / "e.npz"
            )

    def test_integers_of_numpy_are_numbers(self, adapter, pictures, tmp_path):
        save_pictures(tmp_path / "photos", pictures[:3])
        numbers = {"k": 2, "spread": 2, "bins": 4, "sample": 2, "seed": 3}
        for name, kind in (("a", np.int32), ("b", int)):
            options = {key: kind(value) for key, value in numbers.items()}
            tfviz.dataset_examples(
                adapter,
                tmp_path / "photos",
                "pool",
                batch_size=kind(2),
                output=tmp_path / f"{name}.npz",
                **options,
            )

        written = (tmp_path / "a.npz").read_bytes()
        assert written == (tmp_path / "b.npz").read_bytes()

    def test_folders_without_images_are_refused(self, adapter, tmp_path):
        with pytest.raises(ValueError, match="nowhere' is not a folder of images"):
            tfviz.dataset_examples(adapter, tmp_path / "nowhere", "pool")
        with pytest.raises(ValueError, match="holds no images: .* ends in .bmp"):
            tfviz.dataset_examples(adapter, tmp_path, "pool")
        (tmp_path / "a.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match="None of 1 image .* a.png: cannot be"):
            tfviz.dataset_examples(adapter, tmp_path, "pool")

    def test_activations_that_are_not_finite_are_refused(self):
        model = build_toy()
        model.layers[1].bias.assign([3e38] * 12)
        model.layers[3].kernel.assign(np.full((12, 5), 3e38))
        with pytest.raises(ValueError, match="'logit' of model 'toy'.*not finite"):
            tfviz.dataset_examples(
                tfviz.adapt(model, (0, 1)), [np.zeros((8, 8, 3))], ["conv_a", "logit"]
            )

    def test_the_image_of_activations_that_are_not_finite_is_named(self, tmp_path):
        """One photo of many: only for a white one is there a logarithm of zero."""
        image = keras.Input((16, 16, 3))
        x = keras.layers.Rescaling(-1, offset=1, name="dark")(image)
        x = keras.layers.Lambda(tf.math.log, name="log")(x)
        model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        for name, grey in (("a", 0.2), ("b", 0.9), ("white", 1), ("z", 0)):
            images.to_pil(np.full((16, 16, 3), grey)).save(tmp_path / f"{name}.png")
        with pytest.raises(
            ValueError, match=r"Layer 'log' .* not finite for the image 'white.png'\."
        ):
            tfviz.dataset_examples(
                tfviz.adapt(model, (0, 1)), tmp_path, ["dark", "log"]
            )
