from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from support import build_toy

import tfviz
from tfviz import images, levels
from tfviz.cli.main import main
from tfviz.levels import Level, Levels

PATHS = ["conv_a", "conv_b", "pool", "head"]


def photos(n, rng, channels=3):
    """Random pictures of different sizes."""
    return [rng.random((20 + i, 41 - i, channels), np.float32) for i in range(n)]


def channel_means(model, adapter, pictures, path):
    """The reference: a truncated model, on pictures that are cropped one by one."""
    cut = keras.Model(model.inputs, model.get_layer(path).output)
    fitted = [images.centre_crop(p, adapter.size) for p in pictures]
    values = cut.predict(np.stack(fitted) * 2 - 1, verbose=0)
    return values.reshape(len(pictures), -1, values.shape[-1]).mean(axis=1)


class TestMeasure:
    def test_levels_agree_with_a_cut_model(self, toy, toy_adapter, rng):
        pictures = photos(19, rng)  # more than a batch, but not a multiple of it
        measured = levels.measure(toy_adapter, pictures)

        assert list(measured.layers) == [*PATHS, ":logits"]
        assert measured.count == 19
        assert measured.preprocess == "-1,1"
        assert measured.fingerprint == toy_adapter.fingerprint()
        for path in PATHS:
            means = channel_means(toy, toy_adapter, pictures, path)
            level = measured.layers[path]
            np.testing.assert_allclose(level.mean, means.mean(0), atol=1e-5)
            np.testing.assert_allclose(level.deviation, means.std(0), atol=1e-5)
            np.testing.assert_allclose(level.highest, means.max(0), atol=1e-5)

    def test_the_classes_are_those_before_the_softmax(self, toy_adapter, rng):
        pictures = photos(3, rng)
        measured = levels.measure(toy_adapter, pictures, ["pool"])
        fitted = [images.centre_crop(p, (32, 32)) for p in pictures]
        logits = toy_adapter.logits(np.stack(fitted)).numpy()

        assert list(measured.layers) == ["pool", ":logits"]
        np.testing.assert_allclose(
            measured.layers[":logits"].mean, logits.mean(0), atol=1e-5
        )

    def test_images_are_taken_one_after_the_other(self, toy_adapter, rng, monkeypatch):
        pictures = photos(7, rng)
        whole = levels.measure(toy_adapter, pictures, ["conv_b"])
        monkeypatch.setattr(levels, "BATCH", 3)
        taken = []

        def stream():
            for picture in pictures:
                taken.append(picture)
                yield picture

        parts = levels.measure(toy_adapter, stream(), ["conv_b"])

        assert len(taken) == 7
        for name in ("mean", "deviation", "highest"):
            np.testing.assert_allclose(
                getattr(parts.layers["conv_b"], name),
                getattr(whole.layers["conv_b"], name),
                rtol=1e-5,
                atol=1e-7,
            )

    def test_a_small_deviation_around_a_large_mean_is_kept(self):
        """Guards against sums of squares about zero, which lose small deviations."""
        rng = np.random.default_rng(1)
        values = 1e6 + rng.normal(size=(9, 4))
        moments = levels.Moments()
        for start in range(0, 9, 2):
            moments.add(values[start : start + 2])

        np.testing.assert_allclose(moments.mean, values.mean(0), rtol=1e-12)
        np.testing.assert_allclose(
            np.sqrt(moments.squares / 9), values.std(0), rtol=1e-6
        )
        np.testing.assert_array_equal(moments.highest, values.max(0))
        np.testing.assert_allclose(moments.level().deviation, values.std(0), rtol=1e-6)

    def test_a_grey_model_sees_colour_pictures_in_grey(self, rng):
        adapter = tfviz.adapt(build_toy(channels=1), (-1, 1))
        colour = photos(3, rng)
        grey = [picture.mean(-1, keepdims=True) for picture in colour]
        of_colour = levels.measure(adapter, colour, ["conv_a"]).layers["conv_a"]
        of_grey = levels.measure(adapter, grey, ["conv_a"]).layers["conv_a"]

        np.testing.assert_allclose(of_colour.mean, of_grey.mean, rtol=1e-6)

    @pytest.mark.parametrize(
        ("pictures", "layers", "said"),
        [
            ([np.zeros((8, 8, 3))], None, "at least 2 images. Received: 1"),
            ([], None, "at least 2 images. Received: 0"),
            ([np.zeros((8, 8))] * 2, None, "shape \\(height, width, channels\\)"),
            ([np.zeros((8, 0, 3))] * 2, None, "shape \\(height, width, channels\\)"),
            ([np.zeros((8, 8, 2))] * 2, None, "are converted. Received: 2 channels"),
            ([np.full((8, 8, 3), 9.0)] * 2, None, "values from 9 to 9"),
            ([np.full((8, 8, 3), np.nan)] * 2, None, "values from nan to nan"),
            ([np.zeros((8, 8, 3))] * 2, ["conv_c"], "Did you mean 'conv_"),
        ],
    )
    def test_bad_input_is_refused(self, toy_adapter, pictures, layers, said):
        with pytest.raises(ValueError, match=said):
            levels.measure(toy_adapter, pictures, layers)

    def test_activations_that_are_not_finite_are_refused(self):
        model = build_toy()
        model.layers[1].bias.assign([3e38] * 12)
        model.layers[3].kernel.assign(np.full((12, 5), 3e38))
        with pytest.raises(ValueError, match="':logits' of model 'toy'.*not finite"):
            levels.measure(
                tfviz.adapt(model, (0, 1)), [np.zeros((8, 8, 3))] * 2, ["conv_a"]
            )


class TestFiles:
    def test_a_file_holds_three_digits(self, toy_adapter, rng, tmp_path):
        measured = levels.measure(toy_adapter, photos(4, rng))
        odd = Levels(
            {"a/b~1#2:c": measured.layers["conv_a"]} | dict(measured.layers),
            measured.count,
            measured.fingerprint,
            measured.preprocess,
        )
        odd.save(tmp_path / "levels.npz")
        again = levels.load(tmp_path / "levels.npz")

        assert list(again.layers) == list(odd.layers)
        assert (again.count, again.fingerprint) == (4, toy_adapter.fingerprint())
        assert again.preprocess == "-1,1"
        for path, level in odd.layers.items():
            for name in ("mean", "deviation", "highest"):
                value = getattr(again.layers[path], name)
                assert value.dtype == np.float32
                np.testing.assert_allclose(value, getattr(level, name), rtol=2.5e-4)

    def test_a_file_is_complete_or_not_written(
        self, toy_adapter, rng, tmp_path, monkeypatch
    ):
        measured = levels.measure(toy_adapter, photos(2, rng), ["pool"])
        path = tmp_path / "levels.npz"
        measured.save(path)
        before = path.read_bytes()

        def fail(file, **arrays):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez_compressed", fail)
        with pytest.raises(OSError, match="No space left"):
            measured.save(path)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["levels.npz"]

    def test_only_npz_is_written(self, tmp_path):
        with pytest.raises(ValueError, match="must end in .npz"):
            Levels({}, 2, "", "0,1").save(tmp_path / "levels.txt")

    @pytest.mark.parametrize("kind", ["text", "empty", "npy", "pickle", "other", "cut"])
    def test_a_file_without_levels_is_refused(self, kind, tmp_path):
        path = tmp_path / "file.npz"
        if kind == "npy":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        elif kind == "pickle":
            np.savez(path, count=np.array([{}], object))
        elif kind == "other":
            np.savez(path, weights=np.zeros(3))
        elif kind == "cut":
            Levels({"a": Level(*np.ones((3, 9)))}, 2, "", "0,1").save(path)
            path.write_bytes(path.read_bytes()[:200])
        else:
            path.write_bytes(b"" if kind == "empty" else b"no levels at all")
        with pytest.raises(ValueError, match="'.*file.npz' holds no levels"):
            levels.load(path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            levels.load(tmp_path / "nothing.npz")


class TestCheck:
    def test_levels_of_other_weights_are_refused(self, toy_adapter, rng):
        measured = levels.measure(toy_adapter, photos(2, rng), ["pool"])
        measured.check(toy_adapter)
        other = build_toy()
        other.layers[0].bias.assign_add([0.1] * 8)
        with pytest.raises(ValueError, match="not those of model 'toy'.*fingerprint"):
            measured.check(tfviz.adapt(other, (-1, 1)))

    def test_levels_of_another_range_are_refused(self, toy, toy_adapter, rng):
        measured = levels.measure(toy_adapter, photos(2, rng), ["pool"])
        with pytest.raises(ValueError, match="range -1,1, but the model now uses 0,1"):
            measured.check(tfviz.adapt(toy, (0, 1)))


class TestBundled:
    def test_they_are_those_of_the_bundled_network(self, squeezenet):
        measured = levels.bundled("squeezenet")
        measured.check(squeezenet)

        assert measured.count == 1000
        paths = [layer.path for layer in squeezenet.layers() if layer.units]
        assert list(measured.layers) == [*paths, ":logits"]
        for path in paths:
            level = measured.layers[path]
            assert level.mean.shape == (squeezenet.layer(path).units,)
            assert (level.highest >= level.mean - 1e-3 * abs(level.mean)).all()
            assert (level.deviation >= 0).all()
        file = Path(levels.__file__).parent / "models" / "squeezenet_levels.npz"
        assert file.stat().st_size < 100_000

    def test_others_are_refused(self):
        with pytest.raises(ValueError, match="only for squeezenet.*'resnet'"):
            levels.bundled("resnet")

    @pytest.mark.data
    def test_photos_are_as_active_as_they_say(self, squeezenet, data):
        """The standard scores of 40 photos have mean 0 and deviation 1, about."""
        import io
        import zipfile

        measured = levels.bundled("squeezenet")
        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            names = sorted(archive.namelist())[::25]
            pictures = [images.read(io.BytesIO(archive.read(n))) for n in names]
        some = levels.measure(squeezenet, pictures, ["fire3", "fire8"])
        for path in ("fire3", "fire8", ":logits"):
            usual, here = measured.layers[path], some.layers[path]
            score = (here.mean - usual.mean) / usual.deviation
            assert abs(score.mean()) < 0.2
            assert np.median(here.deviation / usual.deviation) == pytest.approx(1, 0.2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_toy().save("toy.keras")

    def call(*arguments, code=0):
        fixed = ["levels", "-m", "toy.keras", "--preprocess=-1,1"]
        result = CliRunner().invoke(main, [*fixed, *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call


class TestCommand:
    def test_photos_in_folders_are_measured_and_others_named(self, run, rng):
        Path("photos/more").mkdir(parents=True)
        for i, picture in enumerate(photos(3, rng)):
            folder = "photos/more" if i else "photos"
            images.to_pil(picture).save(f"{folder}/{i}.png")
        Path("photos/broken.JPG").write_bytes(b"no picture")
        Path("photos/notes.txt").write_text("not a photo at all")
        result = run("--images", "photos", "-o", "toy.npz", "-l", "pool")

        assert result.stdout == ("toy.npz: 2 layers, 3 photos, 1 could not be read\n")
        assert f"Not read: {Path('photos/broken.JPG')}" in result.stderr
        assert "notes.txt" not in result.output
        measured = levels.load("toy.npz")
        read = [images.read(f) for f in sorted(Path("photos").rglob("*.png"))]
        adapter = tfviz.adapt(tfviz.load_model("toy.keras"), (-1, 1))
        expected = levels.measure(adapter, read, ["pool"])
        np.testing.assert_allclose(
            measured.layers["pool"].mean, expected.layers["pool"].mean, rtol=1e-3
        )

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["--images", "empty", "-o", "l.npz"], 1, "'empty' holds no images"),
            (["--images", "broken", "-o", "l.npz"], 1, "2 images. Received: 0"),
            (["--images", "nowhere", "-o", "l.npz"], 2, "'nowhere' does not exist"),
            (["--images", "empty", "-o", "l.txt"], 2, "must end in .npz"),
            (["--images", "broken", "-o", "f/l.npz"], 2, "'f' is a file, not a folder"),
            (["--images", "broken", "-o", "l.npz", "-l", "pol"], 1, "mean 'pool'"),
            (
                ["-o", "l.npz"],
                2,
                "Give either --images, a folder of photos, or --examples",
            ),
            (
                ["--images", "empty", "--examples", "broken/a.png", "-o", "l.npz"],
                2,
                "Give either --images, a folder of photos, or --examples",
            ),
            (["--examples", "broken/a.png", "-o", "l.npz"], 1, "no dataset examples"),
        ],
    )
    def test_bad_input_is_one_line(self, run, arguments, code, said):
        Path("empty").mkdir()
        Path("broken").mkdir()
        Path("f").touch()
        Path("broken/a.png").write_bytes(b"no picture")
        result = run(*arguments, code=code)
        (line,) = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]

        assert said in line
        assert not Path("l.npz").exists()
