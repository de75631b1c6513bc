import json
import re
import shlex
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import build_toy
from PIL import Image

import tfviz
from tfviz import images, levels
from tfviz.analysis.top_units import LEAST_DEVIATION
from tfviz.levels import Level, Levels

FAST = ["--size", "32", "--steps", "1", "--transforms", "none"]


@pytest.fixture
def photo(rng):
    return rng.random((40, 57, 3), np.float32)


def seen(adapter, photo):
    return images.centre_crop(photo, adapter.size)[np.newaxis]


def score(adapter, unit, photo):
    """The score of a unit's own objective, as in `render`."""
    (objective,) = tfviz.objectives.parse(unit, adapter)
    objective = objective.bound(adapter, adapter.size)

    @tf.function(autograph=False)
    def run(images):
        activations = adapter.forward(images, objective.layers)
        units = {name: tf.constant(values) for name, values in objective.units.items()}
        return objective.score(activations, images, {}, units)

    return float(run(tf.constant(seen(adapter, photo)))[0])


class TestNumbers:
    def test_units_agree_with_their_activations(self, toy, toy_adapter, photo):
        found = tfviz.top_units(toy_adapter, photo, "conv_b", n=12)
        cut = keras.Model(toy.inputs, toy.get_layer("conv_b").output)
        maps = cut.predict(seen(toy_adapter, photo) * 2 - 1, verbose=0)[0]
        means = maps.mean((0, 1))
        order = np.argsort(-means)

        assert [unit.unit for unit in found] == [f"conv_b:{c}" for c in order]
        for unit, c in zip(found, order):
            row, column = np.unravel_index(maps[..., c].argmax(), maps.shape[:2])
            assert unit.layer == "conv_b"
            assert unit.usual == "layer"
            assert unit.value == pytest.approx(means[c], abs=1e-5)
            assert unit.above == pytest.approx(
                (means[c] - means.mean()) / means.std(), abs=1e-4
            )
            assert unit.peak == f"conv_b:{c}@{row},{column}"
            assert unit.peak_value == pytest.approx(maps[..., c].max(), abs=1e-5)

    def test_what_is_printed_can_be_rendered(self, toy_adapter, photo):
        found = tfviz.top_units(toy_adapter, photo, ["logit", "conv*", "pool"], n=4)

        assert [unit.layer for unit in found] == [
            *["logit"] * 4, *["conv_a"] * 4, *["conv_b"] * 4, *["pool"] * 4,
        ]  # fmt: skip
        for unit in found:
            assert score(toy_adapter, unit.unit, photo) == pytest.approx(
                unit.value, abs=1e-5
            )
            if unit.peak:
                assert score(toy_adapter, unit.peak, photo) == pytest.approx(
                    unit.peak_value, abs=1e-5
                )
        assert found[-1].peak is None
        assert found[-1].peak_value == found[-1].value

    def test_units_are_ranked_by_levels(self, toy_adapter, photo):
        rng = np.random.default_rng(3)
        mean, deviation = rng.random(12), rng.random(12) + 0.1
        usual = Levels(
            {"conv_b": Level(mean, deviation, mean)},
            9,
            toy_adapter.fingerprint(),
            "-1,1",
        )
        found = tfviz.top_units(
            toy_adapter, photo, ["conv_b", "conv_a"], n=12, levels=usual
        )
        maps = toy_adapter(seen(toy_adapter, photo), "conv_b")["conv_b"].numpy()[0]
        above = (maps.mean((0, 1)) - mean) / deviation

        of_b = [unit for unit in found if unit.layer == "conv_b"]
        assert {unit.usual for unit in of_b} == {"photos"}
        assert [unit.unit for unit in of_b] == [
            f"conv_b:{c}" for c in np.argsort(-above)
        ]
        np.testing.assert_allclose(
            [unit.above for unit in of_b], np.sort(above)[::-1], rtol=1e-4
        )
        # There are no levels of the other layer.
        assert {u.usual for u in found if u.layer == "conv_a"} == {"layer"}

    def test_a_channel_that_never_varied_is_not_infinitely_high(
        self, toy_adapter, photo
    ):
        deviation = np.ones(12)
        deviation[:2] = 0, 1e-9
        fingerprint = toy_adapter.fingerprint()
        usual = Levels(
            {"conv_b": Level(np.full(12, -1.0), deviation, deviation)},
            9, fingerprint, "-1,1",
        )  # fmt: skip
        found = tfviz.top_units(toy_adapter, photo, "conv_b", n=12, levels=usual)
        for unit in found:
            floor = LEAST_DEVIATION if unit.unit in ("conv_b:0", "conv_b:1") else 1
            assert unit.above == pytest.approx((unit.value + 1) / floor, rel=1e-5)

        dead = Levels({"conv_b": Level(*np.zeros((3, 12)))}, 9, fingerprint, "-1,1")
        found = tfviz.top_units(toy_adapter, photo, "conv_b", levels=dead)
        assert {unit.above for unit in found} == {0}

    def test_equal_channels_come_in_their_order(self, toy_adapter):
        model = build_toy()
        model.layers[0].kernel.assign(np.zeros((3, 3, 3, 8)))
        found = tfviz.top_units(
            tfviz.adapt(model, (0, 1)), np.zeros((8, 8, 3)), "conv_a", n=3
        )
        assert [unit.unit for unit in found] == ["conv_a:0", "conv_a:1", "conv_a:2"]
        assert [unit.above for unit in found] == [0, 0, 0]


class TestLayers:
    def test_by_default_the_classes_and_the_last_map(self, toy_adapter, photo):
        found = tfviz.top_units(toy_adapter, photo, n=1)

        assert [unit.layer for unit in found] == ["logit", "conv_b"]

    def test_a_map_of_classes_is_not_the_default_layer(self, squeezenet, photo):
        found = tfviz.top_units(squeezenet, photo, n=1)

        assert [unit.layer for unit in found] == ["logit", "fire9"]

    def test_classes_are_named_if_the_name_is_unique(self, toy_adapter, photo):
        names = {u.unit for u in tfviz.top_units(toy_adapter, photo, "logit")}

        # Two classes are called cat.
        assert names == {"logit:ant", "logit:bee", "logit:2", "logit:dog", "logit:4"}

    @pytest.mark.parametrize("name", ["a+b", "a (b)", "7", "0-3", "", "x:y", "p@1,2"])
    def test_names_that_no_unit_can_have_become_indices(self, toy, photo, name):
        adapter = tfviz.adapt(toy, (-1, 1), labels=[name, "bee", "red fox", "d", "e"])
        found = tfviz.top_units(adapter, photo, "logit")

        assert {"logit:0", "logit:red_fox"} <= {unit.unit for unit in found}
        for unit in found:
            assert score(adapter, unit.unit, photo) == pytest.approx(
                unit.value, abs=1e-5
            )

    def test_tokens_have_one_position(self, photo):
        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Conv2D(6, 8, 8, name="patches"),
                keras.layers.Reshape((16, 6), name="tokens"),
                keras.layers.GlobalAveragePooling1D(name="mean"),
                keras.layers.Dense(3),
            ]
        )
        adapter = tfviz.adapt(model, (0, 1))
        values = adapter(seen(adapter, photo), "tokens")["tokens"].numpy()[0]
        for unit in tfviz.top_units(adapter, photo, "tokens"):
            match = re.fullmatch(r"tokens:(\d+)@(\d+)", unit.peak)
            channel, token = map(int, match.groups())
            assert values[:, channel].argmax() == token
            assert unit.peak_value == pytest.approx(values[token, channel])
            assert unit.value == pytest.approx(values[:, channel].mean(), abs=1e-6)

    def test_maps_of_classes_have_positions(self, photo):
        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Conv2D(8, 3, 2, name="features"),
                keras.layers.Conv2D(4, 1, activation="softmax", name="classes"),
            ]
        )
        adapter = tfviz.adapt(model, (0, 1))
        logits = adapter.logits(seen(adapter, photo)).numpy()[0]
        found = tfviz.top_units(adapter, photo, n=4)

        assert [u.layer for u in found[::4]] == ["logit", "features"]
        for unit in found[:4]:
            name, row, column = re.split("[@,]", unit.peak)
            index = int(name.removeprefix("logit:"))
            assert unit.unit == name
            assert unit.peak_value == pytest.approx(
                logits[int(row), int(column), index]
            )
            assert unit.peak_value == pytest.approx(logits[..., index].max())


class TestPhotos:
    def test_a_file_is_read_as_a_picture_is(self, toy_adapter, photo, tmp_path):
        images.to_pil(photo).save(tmp_path / "photo.png")
        picture = np.asarray(Image.open(tmp_path / "photo.png"))

        assert tfviz.top_units(toy_adapter, tmp_path / "photo.png") == (
            tfviz.top_units(toy_adapter, picture)
        )

    def test_a_rotated_photo_is_turned_upright(self, toy_adapter, tmp_path):
        upright = np.zeros((40, 60, 3), np.uint8)
        upright[:20, :, 0], upright[20:, :30, 2] = 250, 120
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees, clockwise, to see it upright
        turned = Image.fromarray(np.rot90(upright).copy())
        turned.save(tmp_path / "turned.png", exif=exif)
        Image.fromarray(upright).save(tmp_path / "upright.png")

        np.testing.assert_array_equal(
            images.read(tmp_path / "turned.png"), images.to_floats(upright)
        )
        assert tfviz.top_units(toy_adapter, tmp_path / "turned.png") == (
            tfviz.top_units(toy_adapter, tmp_path / "upright.png")
        )

    def test_grey_models_get_grey_pictures(self, photo):
        adapter = tfviz.adapt(build_toy(channels=1), (0, 1))
        grey = photo.mean(-1, keepdims=True)

        assert [u.unit for u in tfviz.top_units(adapter, photo)] == (
            [u.unit for u in tfviz.top_units(adapter, grey)]
        )

    def test_colour_models_get_grey_pictures(self, toy_adapter, photo):
        grey = photo[..., :1]
        assert tfviz.top_units(toy_adapter, grey) == (
            tfviz.top_units(toy_adapter, np.repeat(grey, 3, -1))
        )

    @pytest.mark.parametrize("size", [(1, 1), (7, 300), (33, 31)])
    def test_any_size_is_accepted(self, toy_adapter, size):
        picture = np.random.default_rng(0).random((*size, 3))
        assert len(tfviz.top_units(toy_adapter, picture, n=2)) == 4


class TestBad:
    @pytest.mark.parametrize(
        ("picture", "options", "message"),
        [
            (np.zeros((8, 8, 3)), {"layers": "conv_c"}, "Did you mean 'conv_"),
            (np.zeros((8, 8, 3)), {"layers": ["wire*"]}, "No layer matches 'wire\\*'"),
            (np.zeros((8, 8, 3)), {"n": 0}, "at least 1. Received: 0"),
            (np.zeros((8, 8)), {}, "shape \\(height, width, channels\\)"),
            (np.zeros((8, 8, 4)), {}, "are converted. Received: 4 channels"),
            (np.full((8, 8, 3), 200.0), {}, "from 200 to 200"),
            (np.full((8, 8, 3), np.nan), {}, "from nan to nan"),
        ],
    )
    def test_bad_arguments_raise_errors(self, toy_adapter, picture, options, message):
        with pytest.raises(ValueError, match=message):
            tfviz.top_units(toy_adapter, picture, **options)

    def test_levels_of_another_model_are_refused(self, toy_adapter, photo, tmp_path):
        levels.bundled("squeezenet").save(tmp_path / "levels.npz")
        with pytest.raises(ValueError, match="not those of model 'toy'"):
            tfviz.top_units(toy_adapter, photo, levels=tmp_path / "levels.npz")

    def test_activations_that_are_not_finite_raise_an_error(self):
        model = build_toy()
        model.layers[1].bias.assign([3e38] * 12)
        model.layers[3].kernel.assign(np.full((12, 5), 3e38))
        with pytest.raises(ValueError, match="'logit' has activations.*not finite"):
            tfviz.top_units(tfviz.adapt(model, (0, 1)), np.zeros((8, 8, 3)))


class TestCommand:
    def test_lines_can_be_pasted(self, run, photo):
        build_toy().save("my toy.keras")
        Path("my toy.labels.txt").write_text("ant\nbee\nred fox\ndog\nfox's\n")
        images.to_pil(photo).save("photo.png")
        model = ["-m", "my toy.keras", "--preprocess=-1,1"]
        lines = run("top", "photo.png", "-n", 5, *model).stdout.splitlines()

        assert len(lines) == 11
        pattern = r"logit:\S+ +-?[\d.e+-]+ +-?\d+\.\d sigma above its layer's mean"
        assert all(re.fullmatch(pattern, line) for line in lines[:5])
        pattern = (
            r"conv_b:\d+ +[\d.e+-]+ +-?\d+\.\d sigma above its layer's mean   "
            r"most at conv_b:\d+@\d,\d \([\d.e+-]+\)"
        )
        assert all(re.fullmatch(pattern, line) for line in lines[5:10])
        command = lines[-1]
        first = [lines[0].split()[0], lines[5].split()[0]]
        words = shlex.split(command)
        assert words == ["tfviz", "render", *first, *model, "-o", "out"]
        run(*words[1:], *FAST)
        assert len(list(Path("out").glob("*.png"))) == 2

    def test_the_bundled_network_has_its_levels(self, run, photo):
        images.to_pil(photo).save("photo.png")
        result = run("top", "photo.png", "-l", "fire[89]", "-n", 2)

        assert result.stdout.count("sigma above usual") == 4
        # They do not apply to another range.
        result = run("top", "photo.png", "-l", "fire9", "--preprocess", "0,1")
        assert "usual" not in result.stdout

    def test_json_holds_all_numbers(self, run, photo):
        images.to_pil(photo).save("photo.png")
        found = json.loads(run("top", "photo.png", "--json", "-n", 3).stdout)
        expected = tfviz.top_units(
            tfviz.load_model("squeezenet"), images.read("photo.png"), n=3
        )

        assert [row["unit"] for row in found["units"]] == [u.unit for u in expected]
        assert found["units"][0] == {
            "unit": expected[0].unit,
            "layer": "logit",
            "value": pytest.approx(expected[0].value, rel=1e-4),
            "peak": None,
            "peak_value": pytest.approx(expected[0].peak_value, rel=1e-4),
            "above": pytest.approx(expected[0].above, rel=1e-3),
            "usual": "photos",
        }
        assert found["render"].startswith("tfviz render logit:")

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["text.png"], 1, "'text.png' cannot be read as an image"),
            (["nothing.png"], 2, "'nothing.png' does not exist"),
            (
                ["photo.png", "-l", "fire88"],
                1,
                "no layer 'fire88'. Did you mean 'fire8",
            ),
            (["photo.png", "-l", "wire*"], 1, "No layer matches 'wire*'"),
            (["photo.png", "-n", "0"], 2, "0 is not in the range x>=1"),
            (["photo.png", "--levels", "text.png"], 1, "'text.png' holds no levels"),
            (["photo.png", "--levels", "no.npz"], 2, "'no.npz' does not exist"),
            (["photo.png", "-m", "no.keras"], 2, "There is no model 'no.keras'"),
            ([], 2, "Missing argument 'IMAGE'"),
        ],
    )
    def test_bad_input_is_one_line(self, run, photo, arguments, code, message):
        images.to_pil(photo).save("photo.png")
        Path("text.png").write_text("no picture")
        result = run("top", *arguments, code=code)
        (line,) = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]

        assert message in line
        assert "Traceback" not in result.output

    @pytest.mark.data
    def test_a_goldfish_is_a_goldfish(self, run, data):
        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            archive.extract("n01443537_goldfish.JPEG")
        lines = run("top", "n01443537_goldfish.JPEG").stdout.splitlines()

        assert lines[0].startswith("logit:goldfish ")
        assert float(re.search(r"([\d.]+) sigma", lines[0])[1]) > 5
