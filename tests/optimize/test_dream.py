import subprocess
import sys
from pathlib import Path

import tfviz  # first: TensorFlow must not be imported before it
import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from click.testing import CliRunner
from support import error_of, build_toy
from PIL import Image

from tfviz.optimize import dream as _dream
from tfviz import images, objectives
from tfviz.optimize.dream import Dream
from tfviz.optimize.dream import octave_sizes, resized
from tfviz.optimize.tiles import (
    Tiles,
    _cores,
    _mirrored_indices,
    count_tiles,
    even_tile,
    margin_of,
)
from tfviz.cli.main import main

SHORT = {"octaves": 2, "steps": 3}


def smooth(height, width, channels=3, seed=0):
    """A picture without sharp edges that leaves room on both sides."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    soft = scipy.ndimage.gaussian_filter(noise, (4, 4, 0))
    return (0.5 + 0.12 * soft / soft.std()).clip(0.1, 0.9).astype(np.float32)


def convolution(kernel, activation=None, bias=0.0, channels=3):
    """A model of one layer that takes images of any size."""
    kernel = np.asarray(kernel, np.float32)
    model = keras.Sequential(
        [
            keras.Input((None, None, channels)),
            keras.layers.Conv2D(
                kernel.shape[-1],
                kernel.shape[:2],
                padding="same",
                activation=activation,
                name="conv",
            ),
        ]
    )
    model.layers[0].set_weights([kernel, np.full(kernel.shape[-1], bias)])
    return tfviz.adapt(model, (0, 1))


class TestTiles:
    @pytest.mark.parametrize("tile", [7, 16, 33, 64, 300])
    @pytest.mark.parametrize("length", [1, 16, 63, 200, 411])
    @pytest.mark.parametrize("share", [0.0, 0.37, 0.9999999])
    def test_cores_cover_each_pixel_once(self, tile, length, share):
        seen = np.zeros(length, int)
        margin = margin_of(tile)
        for start, there, here in _cores(length, tile, share):
            seen[there] += 1
            assert there.start - start == here.start >= margin
            assert here.stop <= tile - margin
            assert there.stop - there.start == here.stop - here.start > 0
        assert (seen == 1).all()

    def test_the_grid_has_room_to_move(self):
        for length in (100, 224, 511):
            firsts = {next(_cores(length, 128, s))[0] for s in np.linspace(0, 1, 200)}
            assert max(firsts) - min(firsts) >= 2 * margin_of(128)

    def test_outside_is_the_mirror_image(self):
        row = np.arange(5)
        expected = np.pad(row, 40, mode="symmetric")
        np.testing.assert_array_equal(row[_mirrored_indices(-40, 85, 5)], expected)

    @pytest.mark.parametrize("length", [20, 224, 480, 500, 512, 1000, 4000])
    def test_even_tiles_are_few_and_waste_little(self, length):
        tile = even_tile(length, 512)
        count = count_tiles(length, tile)

        assert tile <= 512
        assert count == count_tiles(length, 512)
        assert count * (tile - 32) - length - 32 < count

    @pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, 0.8), (0.999, 0.5)])
    @pytest.mark.parametrize("size", [(48, 55), (63, 49), (130, 120)])
    def test_the_gradient_by_tiles_is_that_of_the_whole(self, shift, size, rng):
        kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
        adapter = convolution(kernel, channels=2)
        picture = rng.random((61, 77, 2)).astype(np.float32)
        _, gradient = Tiles(adapter, objectives.layer("conv"), size).gradient(
            picture, shift
        )
        # Zeros at a tile's border reach 3 pixels far: no further than its margin.
        assert min(map(margin_of, size)) >= 3
        wide = np.pad(picture, ((9, 9), (9, 9), (0, 0)), mode="symmetric")
        expected = np.zeros_like(wide)
        for out in range(4):
            seen = sum(
                scipy.ndimage.correlate(wide[..., c], kernel[..., c, out])
                for c in range(2)
            )
            for c in range(2):
                expected[..., c] += scipy.ndimage.convolve(seen, kernel[..., c, out])
        expected *= 2 / (size[0] * size[1] * 4)  # the mean of squares
        for axis in (0, 1):
            expected = scipy.ndimage.convolve1d(expected, [0.25, 0.5, 0.25], axis)

        expected = expected[9:-9, 9:-9]
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)

    def test_the_score_is_the_mean_of_tiles_inside(self, squeezenet):
        picture = smooth(70, 150)
        tiles = Tiles(squeezenet, objectives.layer("fire3"), (64, 64))
        values = [
            float((squeezenet(part[None], "fire3")["fire3"].numpy() ** 2).mean())
            for top in (0, 6)
            for left in (0, 43, 86)
            for part in [picture[top : top + 64, left : left + 64]]
        ]

        assert tiles.score(picture) == pytest.approx(np.mean(values), rel=1e-4)

    @pytest.mark.parametrize(
        "layer", [pytest.param("fire3", marks=pytest.mark.slow), "fire5"]
    )
    def test_no_seam_is_seen_after_some_steps(self, squeezenet, layer, monkeypatch):
        photo = smooth(150, 170)

        def outstanding():
            """Return how much the steepest line stands out from its neighbours."""
            result = tfviz.dream(squeezenet, photo, layer, octaves=1, steps=12, tile=80)
            change = result.images[0] - photo
            ratios = []
            for axis in (0, 1):
                jumps = np.abs(np.diff(change, axis=axis)).mean(axis=(1 - axis, 2))
                ratios.append(jumps / scipy.ndimage.median_filter(jumps, 15))
            return np.concatenate(ratios).max(), change

        most, change = outstanding()
        assert most < 1.5
        for axis in (0, 1):  # nor does the border stand out
            lines = np.abs(change).mean(axis=(1 - axis, 2))
            edge = np.concatenate([lines[:8], lines[-8:]]).mean()
            assert 0.7 < edge / lines.mean() < 1.3
        # A grid that stays where it is would fail.
        monkeypatch.setattr(_dream, "uniform", lambda *_: tf.zeros((1, 2)))
        assert outstanding()[0] > 1.6


class TestOctaves:
    def test_sizes_grow_by_the_ratio_up_to_the_photo(self):
        assert octave_sizes((101, 200), 3, 1.4) == [(52, 102), (72, 143), (101, 200)]
        assert octave_sizes((50, 40), 1, 2.0) == [(50, 40)]

    def test_how_many_fit_is_said(self):
        with pytest.raises(ValueError, match=r"64x100 has room for 5 octaves.*=9"):
            octave_sizes((64, 100), 9, 1.4)
        assert len(octave_sizes((64, 100), 5, 1.4)) == 5
        with pytest.raises(ValueError, match="at least 16 pixels.*15x90"):
            octave_sizes((15, 90), 1, 1.4)

    @pytest.mark.parametrize("size", [(31, 90), (45, 47), (64, 20)])
    def test_resizing_moves_nothing(self, size):
        """A slope is the same slope at any size, but for the outermost pixels."""

        def slope(height, width):
            rows = (np.arange(height) + 0.5) / height
            columns = (np.arange(width) + 0.5) / width
            planes = np.meshgrid(rows, columns, indexing="ij")
            return np.stack(planes, axis=-1).astype(np.float32)

        here, there = resized(slope(45, 60), size), slope(*size)
        np.testing.assert_allclose(here[6:-6, 6:-6], there[6:-6, 6:-6], atol=1e-3)

    def test_details_are_carried_upwards(self, squeezenet):
        """What was dreamed on the small copy is added to the large one, enlarged."""
        photo = smooth(60, 90)
        seen = []

        def stop(progress):
            seen.append(progress.images()[0])
            return progress.step == 3

        result = tfviz.dream(
            squeezenet, photo, "fire3", octaves=2, steps=3, callbacks=[stop]
        )
        small = seen[-1]
        assert small.shape == (43, 64, 3)
        plain = resized(photo, (43, 64))
        expected = np.clip(photo + resized(small - plain, (60, 90)), 0, 1)

        assert len(result.history) == 3
        assert np.abs(result.images[0] - expected).max() <= 0.5 / 255 + 1e-6
        assert np.abs(expected - photo).mean() > 0.005


class TestDream:
    def test_a_linear_model_gives_its_weights_everywhere(self):
        weights = np.array([0.5, -1.5, 1.0], np.float32)
        adapter = convolution(weights.reshape(1, 1, 3, 1))
        photo = np.full((37, 90, 3), 0.5, np.float32)
        seen = []
        result = tfviz.dream(
            adapter, photo, "conv:0", octaves=1, steps=1, learning_rate=0.02, tile=40,
            callbacks=[lambda progress: seen.append(progress.images())],
        )  # fmt: skip
        # The mean size of these weights is 1, and so is that of the gradient.
        expected = np.broadcast_to(0.5 + 0.02 * weights, photo.shape)

        np.testing.assert_allclose(seen[0][0], expected, atol=1e-6)
        assert np.abs(result.images[0] - expected).max() <= 0.5 / 255 + 1e-6
        assert result.scores[0] == pytest.approx(
            (result.images[0, 0, 0] * weights).sum()
        )
        assert result.spec["photo_score"] == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(
        ("size", "unit", "options"),
        [
            ((63, 101), "fire3", {}),
            ((101, 63), "fire5:3", {}),
            ((64, 64), "logit:goldfish", {}),
            ((90, 61), "-fire2:7", {"tile": 40}),
            ((50, 70), "fire3+fire2:3", {"tile": 128, "ratio": 1.2}),
        ],
    )
    def test_the_picture_scores_above_the_photo(self, squeezenet, size, unit, options):
        photo = smooth(*size)
        result = tfviz.dream(squeezenet, photo, unit, **SHORT, **options)
        picture = result.images[0]

        assert picture.shape == photo.shape
        assert result.scores[0] > result.spec["photo_score"]
        assert np.isfinite(result.history).all()
        assert result.history.shape == (6, 1)
        np.testing.assert_allclose(picture * 255, np.round(picture * 255), atol=1e-4)
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert not result.stuck[0]

    def test_the_score_is_that_of_the_picture_in_8_bits(self, squeezenet):
        result = tfviz.dream(squeezenet, smooth(60, 60), "fire3", tile=60, **SHORT)
        seen = squeezenet(result.images, "fire3")["fire3"].numpy()

        assert result.scores[0] == pytest.approx((seen**2).mean(), rel=1e-4)

    def test_the_colour_and_the_photo_stay(self, squeezenet):
        photo = smooth(80, 100)
        picture = tfviz.dream(squeezenet, photo, "fire5", octaves=3).images[0]

        assert np.abs(picture.mean((0, 1)) - photo.mean((0, 1))).max() < 0.05
        assert np.corrcoef(picture.ravel(), photo.ravel())[0, 1] > 0.7
        assert ((picture == 0) | (picture == 1)).mean() < 0.05
        # Structures, not single pixels: neighbours change alike.
        change = picture - photo
        right = np.corrcoef(change[:, 1:].ravel(), change[:, :-1].ravel())[0, 1]
        assert right > 0.6

    def test_seeds_make_pictures(self, squeezenet):
        photo = smooth(60, 80)

        def picture(seed):
            result = tfviz.dream(squeezenet, photo, "fire3", seed=seed, **SHORT)
            return images.to_bytes(result.images[0]).tobytes()

        first = picture(1)
        assert picture(1) == first
        assert picture(2) != first

    def test_all_octaves_share_one_trace(self, squeezenet):
        work = Dream(
            squeezenet, smooth(120, 80), "fire2", octaves=4, ratio=1.4, steps=2,
            learning_rate=0.01, tile=None, seed=0,
        )  # fmt: skip
        work.run()
        assert work.tiles.traces == 1

    @pytest.mark.parametrize("size", [(20, 25), (32, 32), (61, 90)])
    def test_a_model_of_one_size_and_one_channel(self, size):
        adapter = tfviz.adapt(build_toy(channels=1), (0, 1))
        photo = smooth(*size, channels=1)
        result = tfviz.dream(adapter, photo, "conv_b", octaves=1, steps=4)

        assert result.images.shape == (1, *photo.shape)
        assert result.spec["tile"] == [32, 32]
        assert result.scores[0] > result.spec["photo_score"]

    def test_the_photo_is_left_alone(self, squeezenet):
        photo = smooth(40, 40)
        before = photo.copy()
        tfviz.dream(squeezenet, photo, "fire2", octaves=1, steps=2)

        np.testing.assert_array_equal(photo, before)

    def test_callbacks_see_each_step_and_can_end_it(self, squeezenet):
        seen = []

        def watch(progress):
            size = progress.images().shape[1:3]
            seen.append((progress.step, progress.steps, progress.batch, size))
            return progress.step == 4

        result = tfviz.dream(
            squeezenet, smooth(40, 56), "fire2", callbacks=[watch], **SHORT
        )
        small, large = (29, 40), (40, 56)
        assert seen == [(i, 6, i > 3, large if i > 3 else small) for i in (1, 2, 3, 4)]
        assert result.history.shape == (4, 1)

    def test_it_tells_how_it_was_made(self, squeezenet, tmp_path):
        result = tfviz.dream(squeezenet, smooth(40, 56), "fire2:3", seed=5, **SHORT)
        (file,) = result.save(tmp_path / "dream.png")
        spec = images.read_spec(file)

        wanted = {"octaves": 2, "ratio": 1.4, "steps": 3, "seed": 5, "dream": "fire2:3"}
        assert wanted.items() <= spec.items()
        assert spec["score"] == pytest.approx(float(result.scores[0]))
        assert spec["photo_score"] < spec["score"]
        assert spec["model"]["source"] == "squeezenet"
        assert len(spec["photo"]) == 32


class TestDead:
    def test_a_unit_that_never_fires_is_said(self):
        adapter = convolution(np.zeros((1, 1, 3, 2)), "relu", bias=-1.0)
        photo = smooth(40, 40)
        with pytest.warns(UserWarning, match="conv:1 is a dead unit .* 6 steps"):
            result = tfviz.dream(adapter, photo, "conv:1", **SHORT)

        assert result.stuck.tolist() == [True]
        assert result.scores.tolist() == [0.0]
        np.testing.assert_array_equal(
            result.images[0], images.to_floats(images.to_bytes(photo))
        )

    def test_a_unit_that_is_off_on_the_photo_is_woken(self):
        kernel = np.ones((1, 1, 3, 1), np.float32)
        adapter = convolution(kernel, "relu", bias=-1.6)  # a photo of 0.5 gives -0.1
        photo = np.full((40, 40, 3), 0.5, np.float32)
        result = tfviz.dream(
            adapter, photo, "conv:0", octaves=1, steps=8, learning_rate=0.02
        )
        assert not result.stuck[0]
        assert result.history[0, 0] == 0
        assert result.scores[0] > 0.1


def score_of(value):
    def score(activations, images, latents, units):
        return tf.reduce_mean(images, axis=(1, 2, 3)) * value

    return objectives.Objective((), {}, score, ("own",))


GREY = np.full((64, 64, 3), 0.5, np.float32)
REFUSED = [
    # (image, unit, options, error, what it says)
    (GREY[..., 0], "fire2", {}, ValueError, r"\(height, width, 3\).*\(64, 64\)"),
    (GREY[..., :1], "fire2", {}, ValueError, r"Received: \(64, 64, 1\)"),
    (GREY[None], "fire2", {}, ValueError, r"Received: \(1, 64, 64, 3\)"),
    (GREY * 255, "fire2", {}, ValueError, r"in \[0, 1\].*127.5"),
    (GREY - 1, "fire2", {}, ValueError, r"in \[0, 1\].*-0.5"),
    (GREY * np.nan, "fire2", {}, ValueError, r"in \[0, 1\].*nan"),
    (GREY[:10], "fire2", {}, ValueError, "at least 16 pixels.*10x64"),
    (GREY, "fire2", {"octaves": 9}, ValueError, "has room for 5 octaves"),
    (GREY, "fire2", {"octaves": 0}, ValueError, "octaves=0"),
    (GREY, "fire2", {"steps": 1.5}, ValueError, "steps=1.5"),
    (GREY, "fire2", {"ratio": 1.0}, ValueError, "`ratio` must be above 1"),
    (GREY, "fire2", {"learning_rate": 0}, ValueError, "learning_rate=0"),
    (GREY, "fire2", {"learning_rate": np.nan}, ValueError, "learning_rate=nan"),
    (GREY, "fire2", {"tile": -4}, ValueError, "tile=-4"),
    (GREY, "fire2", {"tile": 20}, ValueError, "tile of 20x20 is too small"),
    (GREY, "fire22", {}, ValueError, "no layer 'fire22'. Did you mean 'fire2'"),
    (GREY, "fire2:128", {}, ValueError, "channels 0 to 127. Received: 128"),
    (GREY, "fire2:1-3", {}, ValueError, "one picture.*Received: 3 units"),
    (GREY, "fire2:1@3,4", {}, ValueError, "fire2:1@3,4 has a position"),
    (GREY, "fire3+fire2:1@3,4", {}, ValueError, "has a position"),
    (GREY, 7, {}, TypeError, "an Objective or a text such as 'fire8'.*Received: 7"),
    (GREY, score_of(np.nan), {}, FloatingPointError, "own was not finite at step 1"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[-1])
def test_what_does_not_fit_is_refused(squeezenet, case):
    image, unit, options, error, said = case
    with pytest.raises(error, match=said):
        tfviz.dream(squeezenet, image, unit, **{"octaves": 2, **options})


def test_a_tile_of_another_size_than_the_model_s_is_refused(toy_adapter):
    with pytest.raises(ValueError, match=r"images of 32x32 only.*Received: 40"):
        tfviz.dream(toy_adapter, GREY, "conv_b", tile=40)
    photo = smooth(40, 40)
    result = tfviz.dream(toy_adapter, photo, "conv_b", tile=32, octaves=1, steps=1)
    assert result.spec["tile"] == [32, 32]


def test_an_objective_of_one_s_own_is_taken(squeezenet):
    result = tfviz.dream(squeezenet, GREY, score_of(-1.0), octaves=1, steps=5)
    np.testing.assert_allclose(result.images, 0.475, atol=0.5 / 255)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `tfviz dream` in a folder that holds a photo."""
    monkeypatch.chdir(tmp_path)
    images.save(images.to_pil(smooth(48, 72)), "photo.png")

    def call(*arguments, code=0):
        result = CliRunner().invoke(main, ["dream", *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call


FAST = ["--octaves", 2, "--steps", 2]


class TestCommand:
    def test_a_photo_becomes_a_dream(self, run):
        result = run("photo.png", "fire3", "-o", "new/dream.png", *FAST)
        picture, spec = images.read("new/dream.png"), images.read_spec("new/dream.png")

        assert picture.shape == (48, 72, 3)
        assert spec["dream"] == "fire3"
        assert spec["score"] > spec["photo_score"]
        assert result.stdout == (
            f"new/dream.png: fire3 scores {spec['score']:.4g}, in the photo "
            f"{spec['photo_score']:.4g}\n"
        )
        lines = result.stderr.splitlines()
        assert lines[-2].startswith("octave 1/2  34x51  ")
        assert lines[-1] == "octave 2/2  48x72  0:00 left"
        assert sorted(p.name for p in Path("new").iterdir()) == ["dream.png"]

    def test_the_same_command_gives_the_same_bytes_as_python(self, run, squeezenet):
        run("photo.png", "-o", "a.png", *FAST, "--seed", 3, "--ratio", 1.3)
        run("photo.png", "fire7", "-o", "b.png", *FAST, "--seed", 3, "--ratio", 1.3)
        result = tfviz.dream(
            squeezenet, images.read("photo.png"), "fire7", octaves=2, steps=2,
            seed=3, ratio=1.3,
        )  # fmt: skip
        result.save("c.png")

        first = Path("a.png").read_bytes()
        assert Path("b.png").read_bytes() == first
        assert Path("c.png").read_bytes() == first

    def test_defaults_are_those_of_python(self):
        from inspect import signature

        ours = {o.name: o.default for o in main.commands["dream"].params}
        theirs = signature(tfviz.dream).parameters
        for name in ("octaves", "ratio", "steps", "learning_rate", "seed"):
            assert ours[name] == theirs[name].default

    def test_a_photo_is_turned_as_its_camera_held_it(self, run):
        photo = Image.fromarray(images.to_bytes(smooth(48, 72)))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        photo.save("turned.jpg", quality=95, exif=exif)
        run("turned.jpg", "fire2", "-o", "dream.png", *FAST)
        expected = np.rot90(smooth(48, 72), -1)

        assert images.read("dream.png").shape == (72, 48, 3)
        assert np.abs(images.read("turned.jpg") - expected).max() < 0.05

    def test_what_is_transparent_is_white(self, run):
        pixels = np.zeros((20, 30, 4), np.uint8)
        pixels[:, 10:, 3] = 255
        Image.fromarray(pixels).save("half.png")
        expected = np.broadcast_to(np.arange(30)[None, :, None] < 10, (20, 30, 3))

        np.testing.assert_array_equal(images.read("half.png"), expected)

    def test_size_only_shrinks(self, run):
        run("photo.png", "fire2", "-o", "small.webp", "--size", 36, *FAST[2:],
            "--octaves", 1)  # fmt: skip
        run("photo.png", "fire2", "-o", "same.png", "--size", 500, *FAST)

        assert images.read("small.webp").shape == (24, 36, 3)
        assert images.read_spec("small.webp")["dream"] == "fire2"
        assert images.read("same.png").shape == (48, 72, 3)

    def test_a_model_of_one_channel_from_a_file(self, run):
        build_toy(channels=1).save("grey.keras")
        run("photo.png", "conv_b:2", "-m", "grey.keras", "--preprocess", "0,1",
            "-o", "dream.png", *FAST)  # fmt: skip

        with Image.open("dream.png") as picture:
            assert (picture.mode, picture.size) == ("L", (72, 48))

    def test_a_file_is_replaced_only_by_force(self, run):
        arguments = ["photo.png", "fire2", "-o", "dream.png", *FAST]
        run(*arguments)
        before = Path("dream.png").read_bytes()

        assert "already exists" in error_of(run(*arguments, "--seed", 2, code=2))
        assert Path("dream.png").read_bytes() == before
        run(*arguments, "--seed", 2, "--force")
        assert Path("dream.png").read_bytes() != before
        arguments[3] = "photo.png"
        assert "the photo itself" in error_of(run(*arguments, "--force", code=2))

    @pytest.mark.filterwarnings("default::UserWarning")
    def test_a_unit_that_never_fires_is_said(self, run):
        adapter = convolution(np.zeros((1, 1, 3, 2)), "relu", bias=-1.0)
        adapter.model.save("dead.keras")
        result = run("photo.png", "conv:1", "-m", "dead.keras", "--preprocess", "0,1",
                     "-o", "dream.png", *FAST)  # fmt: skip

        assert (
            "Warning: conv:1 is a dead unit on this photo: its gradient was "
            in result.stderr
        )
        assert images.read_spec("dream.png")["stuck"] is True

    def test_a_full_disk_leaves_nothing(self, run, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        result = run("photo.png", "fire2", "-o", "dream.png", *FAST, code=1)

        assert "Cannot write 'dream.png' (No space left" in error_of(result)
        assert [p.name for p in Path().iterdir()] == ["photo.png"]


BAD = [
    # (arguments, exit code, what the line says)
    ([], 2, "Missing argument 'PHOTO'"),
    (["nothing.jpg"], 2, "'nothing.jpg' does not exist"),
    (["text.jpg"], 1, "'text.jpg' cannot be read as an image"),
    (["cut.png"], 1, "'cut.png' cannot be read as an image"),
    (["tiny.png"], 1, "must have at least 16 pixels. Received: 9x12"),
    (["photo.png", "fire22"], 1, "no layer 'fire22'. Did you mean 'fire2'"),
    (["photo.png", "fire2:1-2"], 1, "Received: 2 units"),
    (["photo.png", "fire2:1@2,3"], 1, "has a position"),
    (["photo.png", "-fire8:20"], 2, "Write neg:fire8:20"),
    (["photo.png", "fire2", "fire3"], 2, "unexpected extra argument (fire3)"),
    (["photo.png", "--octaves", "9"], 1, "has room for 4 octaves"),
    (["photo.png", "--octaves", "0"], 2, "0 is not in the range x>=1"),
    (["photo.png", "--ratio", "1"], 2, "1.0 is not in the range x>1"),
    (["photo.png", "--ratio", "nan"], 2, "nan is not a finite number"),
    (["photo.png", "--steps", "0"], 2, "0 is not in the range x>=1"),
    (["photo.png", "--learning-rate", "nan"], 2, "nan is not a finite number"),
    (["photo.png", "--tile", "20", "--octaves", "2"], 1, "20x20 is too small"),
    (["photo.png", "--size", "15"], 2, "15 is not in the range x>=16"),
    (["photo.png", "--seed", "x"], 2, "'x' is not a valid whole number"),
    (["photo.png", "-m", "keras:VGG16"], 2, "tfviz layers -m keras:VGG16"),
    (["photo.png", "-m", "nothing.keras"], 2, "There is no model"),
    (["photo.png", "-o", "dream.jpg"], 2, "must end in .png or .webp"),
    (["photo.png", "-o", "folder.png"], 2, "'folder.png' is a folder"),
    (
        ["photo.png", "-o", "text.jpg/dream.png"],
        2,
        "'text.jpg' is a file, not a folder",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "said"), BAD)
def test_bad_input_is_one_line_and_writes_nothing(arguments, code, said, run):
    Path("text.jpg").write_text("no picture")
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:300])
    Image.new("RGB", (12, 9)).save("tiny.png")
    Path("folder.png").mkdir()
    before = sorted(Path().iterdir())
    output = [] if "-o" in arguments else ["-o", "dream.png"]
    result = run(*arguments, *output, code=code)

    assert said in error_of(result)
    assert sorted(Path().iterdir()) == before


def test_tensorflow_is_not_imported_for_mistakes(tmp_path):
    mistakes = [
        ["--help"],
        ["nothing.jpg", "-o", "dream.png"],
        ["here.png", "-o", "dream.jpg"],
        ["here.png", "-o", "here.png"],
        ["here.png", "-o", "dream.png", "--octaves", "0"],
        ["here.png", "-o", "dream.png", "-m", "keras:VGG16"],
        ["here.png", "-o", "dream.png"],  # no picture at all
    ]
    (tmp_path / "here.png").write_text("no picture")
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tfviz.cli.main import main\n"
        f"for arguments in {mistakes!r}:\n"
        "    CliRunner().invoke(main, ['dream', *arguments])\n"
        "    assert 'tensorflow' not in sys.modules, arguments\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
