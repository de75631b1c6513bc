import io
import json
import zipfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from support import build_toy
from PIL import Image

import tfviz
from tfviz.analysis import input_range
from tfviz import check_range, images
from tfviz.analysis.input_range import RangeTrial

RANGES = {"0,1": (0, 1), "-1,1": (-1, 1), "0,255": (0, 255)}


def photos(n, channels=3, seed=0):
    """Smooth pictures of the brightness and contrast of photos."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        coarse = rng.random((5, 7, channels)).astype(np.float32)
        planes = [
            np.asarray(Image.fromarray(plane).resize((60, 45), Image.BICUBIC))
            for plane in np.moveaxis(coarse, -1, 0)
        ]
        found.append(np.clip(np.stack(planes, -1), 0, 1))
    return found


@cache
def normalized(low, high, channels=3):
    """A network whose batch normalizations have seen pictures in [low, high]."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, channels)),
            layers.Conv2D(8, 3, 2, use_bias=False, name="conv_1"),
            layers.BatchNormalization(momentum=0, name="norm_1", scale=False),
            layers.ReLU(),
            layers.Conv2D(12, 3, 2, name="conv_2"),
            layers.BatchNormalization(momentum=0, name="norm_2"),
            layers.ReLU(),
            layers.BatchNormalization(name="norm_3", center=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ],
        name="normalized",
    )
    rng = np.random.default_rng(4)
    model.get_layer("norm_2").gamma.assign(rng.random(12) + 0.5)
    model.get_layer("norm_2").beta.assign(rng.normal(size=12))
    seen = [images.centre_crop(p, (32, 32)) for p in photos(64, channels, seed=9)]
    model(np.stack(seen) * (high - low) + low, training=True)
    return model


def trial_of(found, name):
    (trial,) = (t for t in found.trials if t.preprocess == name)
    return trial


class TestNormalizations:
    @pytest.mark.parametrize("trained", RANGES)
    @pytest.mark.parametrize("used", RANGES)
    @pytest.mark.parametrize("n", [1, 4])
    def test_they_reveal_the_range(self, trained, used, n):
        model = normalized(*RANGES[trained])
        found = check_range(tfviz.adapt(model, RANGES[used]), photos(n))

        if used == trained:
            assert (found.verdict, found.probable) == ("right", ())
        else:
            assert (found.verdict, found.probable) == ("wrong", (trained,))
        assert "batch normalization" in found.reason

    def test_the_misfit_is_that_of_normal_distributions(self):
        model = normalized(-1, 1)
        pictures = photos(3)
        found = check_range(tfviz.adapt(model, (0, 1)), pictures)
        for name, (low, high) in RANGES.items():
            fitted = np.stack([images.centre_crop(p, (32, 32)) for p in pictures])
            divergences = []
            for layer, before in (("norm_1", "conv_1"), ("norm_2", "conv_2")):
                cut = keras.Model(model.inputs, model.get_layer(before).output)
                values = cut.predict(fitted * (high - low) + low, verbose=0)
                norm = model.get_layer(layer)
                # The inputs of the layer, compared with those in training.
                mean, var = values.mean((0, 1, 2)), values.var((0, 1, 2))
                mean0 = np.asarray(norm.moving_mean)
                var0 = np.asarray(norm.moving_variance) + norm.epsilon
                divergence = 0.5 * (
                    ((mean - mean0) ** 2 + var) / var0 - 1 - np.log(var / var0)
                )
                divergences.append(np.median(divergence))
            assert trial_of(found, name).misfit == pytest.approx(
                np.mean(divergences), rel=1e-3
            )

    def test_untrained_ones_are_ignored(self):
        model = keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                keras.layers.BatchNormalization(),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(4),
            ]
        )
        found = check_range(tfviz.adapt(model, (0, 1)), photos(1))

        assert {trial.misfit for trial in found.trials} == {None}

    def test_grey_models_are_not_tried_on_colour_modes(self):
        model = normalized(-1, 1, channels=1)
        found = check_range(tfviz.adapt(model, (0, 1)), photos(2))

        assert [t.preprocess for t in found.trials] == ["0,1", "-1,1", "0,255"]
        assert found.probable == ("-1,1",)

    def test_close_misfits_are_no_verdict(self):
        def trial(name, misfit, n):
            return RangeTrial(name, np.ones((n, 1)), 4.0, misfit)

        def verdict(used, other, n=1):
            trials = (trial("0,1", used, n), trial("-1,1", other, n))
            return input_range._by_normalizations(trials, n)[0]

        assert verdict(0.5, 0.1) == "wrong"
        assert verdict(0.1, 0.5) == "right"
        assert verdict(0.2, 0.1) == verdict(0.1, 0.2) == "unsure"
        # For many photos, a smaller ratio is enough.
        assert verdict(0.2, 0.1, n=3) == "wrong"
        assert verdict(0.1, 0.2, n=3) == "right"
        # Misfits far below the floor count alike.
        assert verdict(0.02, 0.0001, n=3) == "unsure"


def plain(factor, classes=6, activation="softmax"):
    """A network without normalization; `factor` scales its response to photos."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 5, 2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation=activation, name="head"),
        ],
        name="plain",
    )
    model.layers[-1].kernel.assign(model.layers[-1].kernel * factor)
    return model


class TestMovement:
    def test_it_is_the_distance_from_a_flat_picture(self):
        model, pictures = plain(3), photos(3)
        adapter = tfviz.adapt(model, (0, 1))
        found = check_range(adapter, pictures)
        fitted = np.stack([images.centre_crop(p, (32, 32)) for p in pictures])
        flat = np.broadcast_to(fitted.mean((1, 2), keepdims=True), fitted.shape)
        for trial in found.trials[:3]:
            other = tfviz.adapt(model, RANGES[trial.preprocess])
            change = other.logits(fitted).numpy() - other.logits(flat).numpy()
            assert trial.movement == pytest.approx(
                np.median(change.std(axis=1)), rel=1e-3
            )
            np.testing.assert_allclose(
                trial.probabilities, other.probabilities(fitted), atol=1e-5
            )

    def test_a_range_that_is_too_small_or_too_large_is_wrong(self):
        movement = check_range(tfviz.adapt(plain(1), (0, 1)), photos(1)).trials[0]
        factor = 4 / movement.movement  # so that [0, 1] gets the usual one
        small = check_range(tfviz.adapt(plain(factor / 255), (0, 1)), photos(1))
        large = check_range(tfviz.adapt(plain(factor), (0, 255)), photos(1))

        assert small.verdict == large.verdict == "wrong"
        assert small.probable[0] in ("0,255", "caffe")
        assert large.probable[0] == "0,1"
        assert "by 0.0157 with 0,1" in small.reason
        assert "by 1.02e+03 with 0,255" in large.reason

    def test_similar_ranges_are_not_distinguished(self):
        movement = check_range(tfviz.adapt(plain(1), (0, 1)), photos(1)).trials[0]
        model = plain(4 / movement.movement)
        for used in ((0, 1), (-1, 1)):
            assert check_range(tfviz.adapt(model, used), photos(1)).verdict == "unsure"

    @pytest.mark.parametrize("used", RANGES)
    def test_a_blank_picture_gives_no_verdict(self, used):
        found = check_range(tfviz.adapt(plain(3), used), np.full((9, 9, 3), 0.3))

        assert found.verdict == "unsure"

    def test_a_single_class_moves_against_nothing(self):
        model = plain(3, classes=1, activation="sigmoid")
        found = check_range(tfviz.adapt(model, (0, 1)), photos(1))
        adapter = tfviz.adapt(model, (0, 1))
        fitted = images.centre_crop(photos(1)[0], (32, 32))[None]
        flat = np.broadcast_to(fitted.mean((1, 2), keepdims=True), fitted.shape)
        change = adapter.logits(fitted).numpy() - adapter.logits(flat).numpy()

        assert found.trials[0].movement == pytest.approx(abs(change[0, 0]) / 2, 1e-3)


class TestTruth:
    def test_it_decides_if_nothing_else_does(self):
        # It responds to colour alone: red is class 0 in [0, 1], and class 1 below zero.
        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )
        model.layers[-1].set_weights(
            [np.float32([[20, 0], [0, 0], [0, 0]]), np.float32([-4, 0])]
        )
        picture = np.full((8, 8, 3), 0.4, np.float32)
        adapter = tfviz.adapt(model, (-1, 1), labels=["red", "other"])

        found = check_range(adapter, picture, truth="red")
        assert found.verdict == "wrong"
        assert found.probable[0] == "0,255"
        assert "the true class 'red' gets" in found.reason
        assert check_range(adapter, picture, truth=1).verdict == "unsure"

    def test_a_class_that_does_not_exist(self, toy_adapter):
        with pytest.raises(ValueError, match="no class 'bea'. Did you mean 'bee'"):
            check_range(toy_adapter, photos(1), truth="bea")


class TestDeclaration:
    def build(self):
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(4, 3),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3),
            ]
        )

    def test_the_model_s_own_layers_count(self):
        wrong = check_range(tfviz.adapt(self.build(), (-1, 1)), photos(1))
        assert "0,255" in wrong.probable
        assert wrong.verdict == "wrong"

    def test_two_names_of_one_range_are_one(self):
        model = build_toy()
        model.name = "mobilenet_1.00_32"
        for used in ("tf", (-1, 1)):
            found = check_range(tfviz.adapt(model, used), photos(1))
            names = [trial.preprocess for trial in found.trials]
            assert names.count("tf") + names.count("-1,1") == 1
            assert found.verdict != "wrong" or "tf" not in found.probable


class TestInput:
    def test_one_or_several_pictures_or_files(self, toy_adapter, tmp_path):
        pictures = [images.to_bytes(p) for p in photos(2)]
        for i, picture in enumerate(pictures):
            images.to_pil(picture).save(tmp_path / f"{i}.png")
        files = [tmp_path / "0.png", str(tmp_path / "1.png")]
        both = check_range(toy_adapter, pictures)

        for given in (files, tuple(files), np.stack(pictures)):
            found = check_range(toy_adapter, given)
            np.testing.assert_array_equal(
                found.trials[0].probabilities, both.trials[0].probabilities
            )
        for given in (files[0], str(files[0]), pictures[0]):
            found = check_range(toy_adapter, given)
            assert found.trials[0].probabilities.shape == (1, 5)

    def test_the_model_is_not_changed(self, toy):
        adapter = tfviz.adapt(toy, (-1, 1))
        picture = images.centre_crop(photos(1)[0], (32, 32))[None]
        before = adapter.logits(picture).numpy()
        check_range(adapter, photos(1))

        assert adapter.preprocess.name == "-1,1"
        np.testing.assert_array_equal(adapter.logits(picture), before)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ([], "no image to check"),
            (np.zeros((8, 8)), "shape \\(height, width, channels\\)"),
            (np.full((8, 8, 3), 200.0), "from 200 to 200"),
        ],
    )
    def test_bad_pictures_raise_errors(self, toy_adapter, given, message):
        with pytest.raises(ValueError, match=message):
            check_range(toy_adapter, given)


def mapped(low, high):
    """A segmentation, and a detector, behind a trained batch normalization."""
    keras.utils.set_random_seed(6)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization(momentum=0, name="norm")(x)
    mask = keras.layers.Conv2D(3, 1, activation="softmax", name="mask")(x)
    boxes = keras.layers.Conv2D(4, 1, name="boxes")(x)
    segmentation = keras.Model(inputs, mask, name="segmentation")
    seen = [images.centre_crop(p, (32, 32)) for p in photos(64, seed=9)]
    segmentation(np.stack(seen) * (high - low) + low, training=True)
    return segmentation, keras.Model(inputs, {"boxes": boxes, "mask": mask})


class TestModelsWithoutClasses:
    """They are checked by batch normalization, and by what their layers reveal."""

    @pytest.mark.parametrize("kind", [0, 1])
    def test_normalizations_reveal_the_range(self, kind):
        model = mapped(-1, 1)[kind]
        wrong = check_range(tfviz.adapt(model, (0, 255)), photos(2))
        right = check_range(tfviz.adapt(model, (-1, 1)), photos(2))

        assert (wrong.verdict, wrong.probable) == ("wrong", ("-1,1",))
        assert right.verdict == "right"
        assert {trial.probabilities for trial in right.trials} == {None}
        assert {trial.movement for trial in right.trials} == {None}

    def test_layers_reveal_the_range(self):
        inputs = keras.Input((32, 32, 3))
        x = keras.layers.Rescaling(1 / 255)(inputs)
        model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(x))

        assert check_range(tfviz.adapt(model, (0, 1)), photos(1)).probable == ("0,255",)

    @pytest.mark.parametrize(("factor", "verdict"), [(255, "right"), (254, "wrong")])
    def test_a_function_is_judged_by_what_it_does(self, factor, verdict):
        inputs = keras.Input((32, 32, 3))
        x = keras.layers.Rescaling(1 / 255)(inputs)
        model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(x))
        adapter = tfviz.adapt(model, lambda images: images * factor)

        assert check_range(adapter, photos(1)).verdict == verdict

    def test_an_output_with_classes_is_advised(self):
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        outputs = [keras.layers.Dense(n, name=name)(x) for n, name in TWO]
        model = keras.Model(inputs, outputs)
        found = check_range(tfviz.adapt(model, (0, 1)), photos(1))

        assert found.verdict == "unsure"
        assert found.reason.startswith("the model does not give each photo a class")
        assert found.advice == (
            "Select the output that has classes to check: output='gender'"
        )
        selected = tfviz.adapt(model, (0, 1), output="gender")
        assert check_range(selected, photos(1)).trials[0].probabilities.shape == (1, 2)

    def test_a_class_of_the_photos_is_refused(self):
        segmentation, detector = mapped(0, 1)
        with pytest.raises(ValueError, match="shape 15x15x3.*Leave out `truth`"):
            check_range(tfviz.adapt(segmentation, (0, 1)), photos(1), truth=1)
        with pytest.raises(ValueError, match="several outputs: .*output='mask'"):
            check_range(tfviz.adapt(detector, (0, 1)), photos(1), truth=1)

    def test_a_graph_reveals_its_range(self, tmp_path):
        model = TestDeclaration().build()
        model.export(tmp_path / "net", verbose=False)
        adapter = tfviz.adapt(tfviz.load_model(tmp_path / "net"))
        found = check_range(adapter, photos(1))

        assert found.verdict == "right"
        assert found.reason.startswith("the graph computes 0.00392157 * input")


TWO = ((1, "age"), (2, "gender"))


class TestCommand:
    @pytest.fixture
    def files(self, run):
        normalized(-1, 1).save("model.keras")
        for i, picture in enumerate(photos(3)):
            images.to_pil(picture).save(f"{i}.png")
        return ["0.png", "1.png", "2.png"]

    def test_a_wrong_range_is_a_warning_in_words(self, run, files):
        result = run("check", "0.png", "-m", "model.keras", "--preprocess", "0,255")
        (line,) = [x for x in result.stderr.splitlines() if "as used" in x]

        assert line.startswith("Warning: with 0,255, as used, the model gives ")
        assert "% to 'class " in line
        assert "; with -1,1 it gives " in line
        assert (
            "It was probably trained on -1,1 (the inputs of batch normalization" in line
        )
        assert line.endswith("pass --preprocess=-1,1")
        assert len(result.stdout.splitlines()) == 5

    def test_a_right_range_is_confirmed(self, run, files):
        result = run("check", *files, "-m", "model.keras", "--preprocess=-1,1")

        assert "The range -1,1 seems right: the inputs of batch" in result.stderr
        assert "Warning" not in result.stderr
        lines = result.stdout.splitlines()
        assert [line for line in lines if line.endswith(".png:")] == [
            f"{file}:" for file in files
        ]
        assert len(lines) == 18

    def test_an_unsure_verdict_is_reported(self, run):
        build_toy().save("toy.keras")
        images.to_pil(photos(1)[0]).save("0.png")
        result = run("check", "0.png", "-m", "toy.keras", "--preprocess", "0,255")

        assert "Not sure that the range 0,255 is right" in result.stderr

    def test_a_model_without_classes(self, run):
        segmentation, detector = mapped(-1, 1)
        segmentation.save("mask.keras")
        detector.save("boxes.keras")
        images.to_pil(photos(1)[0]).save("0.png")
        wrong = run("check", "0.png", "-m", "mask.keras", "--preprocess", "0,255")
        found = json.loads(run("check", "0.png", "-m", "boxes.keras", "--json",
                               "--preprocess", "-1,1").stdout)  # fmt: skip

        assert wrong.stdout == ""
        assert (
            "Warning: the model was probably trained on -1,1, not on 0,255, as used "
            "(the inputs of batch" in wrong.stderr
        )
        assert wrong.stderr.endswith("): pass --preprocess=-1,1\n")
        assert found["verdict"] == "right"
        assert found["top"] == found["images"][0]["top"] == []

    @pytest.mark.filterwarnings("default:Input range unknown")
    def test_an_unknown_range_names_the_option_and_the_command(self, run):
        build_toy().save("toy.keras")
        assert (
            "Warning: Input range unknown; assuming 0,1. Set it with "
            "--preprocess=0,255, or test it with `tfviz check`.\n"
        ) in run("layers", "-m", "toy.keras").stderr
        message = (
            "Input range unknown; assuming 0,1. Set it with preprocess=(0, 255), or "
            "test it with tfviz.check_range."
        )
        with pytest.warns(UserWarning, match="Input range unknown") as caught:
            tfviz.adapt(build_toy())
        assert [str(warning.message) for warning in caught] == [message]

    def test_json_holds_the_numbers(self, run, files):
        arguments = ["check", *files, "-m", "model.keras", "--preprocess", "0,1"]
        found = json.loads(run(*arguments, "--json").stdout)
        expected = check_range(
            tfviz.adapt(tfviz.load_model("model.keras"), (0, 1)), files
        )

        assert found["verdict"] == "wrong"
        assert found["probable"] == ["-1,1"]
        assert found["preprocess"] == "0,1"
        assert [row["file"] for row in found["images"]] == files
        assert found["top"] == found["images"][0]["top"]
        for row, trial in zip(found["ranges"], expected.trials):
            assert row["preprocess"] == trial.preprocess
            assert row["misfit"] == pytest.approx(trial.misfit, rel=1e-4)
            assert row["movement"] == pytest.approx(trial.movement, rel=1e-4)
            best = trial.probabilities[0].argmax()
            assert row["top"][0]["index"] == best
            assert row["top"][0]["probability"] == pytest.approx(
                trial.probabilities[0, best], abs=1e-5
            )

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["text.png"], 1, "'text.png' cannot be read as an image"),
            (["nothing.png"], 2, "'nothing.png' does not exist"),
            (["photo.png", "--class", "goldfsh"], 1, "Did you mean 'goldfish'"),
            (["photo.png", "--class", "1000"], 1, "classes 0 to 999. Received: 1000"),
            ([], 2, "Missing argument 'IMAGE...'"),
        ],
    )
    def test_bad_input_is_one_line(self, run, arguments, code, message):
        images.to_pil(photos(1)[0]).save("photo.png")
        Path("text.png").write_text("no picture")
        result = run("check", *arguments, code=code)
        (line,) = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]

        assert message in line


@pytest.mark.slow
@pytest.mark.data
class TestRealModels:
    """Third-party networks, on four photos of ImageNet."""

    @pytest.fixture(scope="class")
    def four(self, data):
        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            names = sorted(archive.namelist())[1::251]
            return [images.read(io.BytesIO(archive.read(name))) for name in names]

    @pytest.mark.parametrize("used", ["0,1", "-1,1", "0,255"])
    def test_with_normalization(self, data, four, used):
        path = data / "models/classifiers/imagenet_mobilenet_v1_075_224.keras"
        found = check_range(tfviz.adapt(tfviz.load_model(path), used), four)

        assert found.verdict == ("right" if used == "-1,1" else "wrong")
        assert found.probable == (() if used == "-1,1" else ("-1,1",))

    @pytest.mark.parametrize("used", ["0,1", "-1,1", "0,255"])
    def test_without_normalization(self, data, four, used):
        path = data / "models/classifiers/brain_tumor.h5"
        found = check_range(tfviz.adapt(tfviz.load_model(path), used), four)

        assert found.verdict == ("right" if used == "0,1" else "wrong")
        assert found.probable == (() if used == "0,1" else ("0,1",))

    @pytest.mark.parametrize("used", ["0,1", "-1,1", "0,255"])
    def test_the_bundled_network(self, squeezenet, four, used):
        found = check_range(tfviz.adapt(squeezenet.model, used), four)

        assert found.verdict == ("right" if used == "0,255" else "wrong")
        assert found.probable[:1] == (() if used == "0,255" else ("0,255",))
