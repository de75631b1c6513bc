import hashlib
import io
import json
import pickle
import random
import re
import shutil
import urllib.error
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from click.testing import CliRunner
from support import build_toy, load_script
from PIL import Image

import tfviz
from tfviz import images, params, transforms
from tfviz.models.sources import BUNDLED, check_source
from tfviz.cli.main import main


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_networks_are_plain_keras_models(name, tmp_path):
    model = tfviz.load_model(name)
    model.save(tmp_path / "saved.keras")
    again = tfviz.load_model(tmp_path / "saved.keras")
    picture = np.random.default_rng(0).uniform(0, 255, (1, 64, 80, 3))

    assert model.input_shape == (None, None, None, 3)
    np.testing.assert_array_equal(model(picture), again(picture))
    assert tfviz.adapt(again).preprocess.name == "0,255"
    assert tfviz.adapt(again).fingerprint() == tfviz.adapt(model).fingerprint()


def test_the_bundled_network_has_the_layers_of_its_paper(squeezenet):
    shapes = {layer.path: layer.shape[1:] for layer in squeezenet.layers((224, 224))}

    assert shapes["conv1"] == (111, 111, 64)
    assert shapes["fire2_squeeze1x1"] == (55, 55, 16)
    assert shapes["fire2"] == (55, 55, 128)
    assert shapes["fire5_expand3x3"] == (27, 27, 128)
    assert shapes["fire7"] == (13, 13, 384)
    assert shapes["fire9"] == (13, 13, 512)
    assert shapes["conv10"] == (13, 13, 1000)
    assert squeezenet.model.count_params() == 1_235_496


def test_efficientnet_lite0_has_the_layers_of_its_paper(efficientnet):
    shapes = {layer.path: layer.shape[1:] for layer in efficientnet.layers((224, 224))}

    assert shapes["stem"] == (112, 112, 32)
    assert "block1_expand" not in shapes
    assert shapes["block1"] == (112, 112, 16)
    assert shapes["block2_expand"] == (112, 112, 96)
    assert shapes["block3"] == (56, 56, 24)
    assert shapes["block5"] == (28, 28, 40)
    assert shapes["block8"] == (14, 14, 80)
    assert shapes["block11_depthwise"] == (14, 14, 672)
    assert shapes["block16"] == (7, 7, 320)
    assert shapes["head"] == (7, 7, 1280)
    # 4,652,008 as it was trained, with a scale and a shift for each of 21,008 channels
    # that are normalized; only a bias is left of both.
    assert efficientnet.model.count_params() == 4_631_000
    assert efficientnet.labels == tfviz.adapt(tfviz.load_model("squeezenet")).labels


@pytest.mark.slow
def test_efficientnet_lite0_shows_its_own_units(efficientnet):
    options = {"steps": 12, "candidates": 1}
    result = tfviz.render(
        efficientnet, ["block7:3", "logit:goldfish"], params.fourier(96, 96), **options
    )
    assert (result.unit_scores > [1, 1]).all()


@pytest.fixture(scope="module")
def efficientnet():
    return tfviz.adapt(tfviz.load_model("efficientnet-lite0"))


@pytest.mark.slow
@pytest.mark.data
def test_efficientnet_lite0_was_converted_correctly(efficientnet, photos):
    """It has 75.1 % of the validation photos right; these are from its training set."""
    middle = photos[:, 1:225, 1:225]
    ranks = []
    for first in range(0, 1000, 50):
        batch = middle[first : first + 50].astype(np.float32) / 255
        ranks.append(np.argsort(-efficientnet.logits(batch).numpy(), axis=1))
    ranks, target = np.concatenate(ranks), np.arange(1000)[:, None]

    assert (ranks[:, :1] == target).any(axis=1).mean() >= 0.845
    assert (ranks[:, :5] == target).any(axis=1).mean() >= 0.96


class TestConversionOfEfficientNet:
    """The script reads PyTorch's old files without PyTorch, and runs no code."""

    def test_code_in_a_pickle_is_refused(self):
        script = load_script("convert_efficientnet")
        danger = pickle.dumps(print, protocol=2)
        with pytest.raises(pickle.UnpicklingError, match="builtin.*print is not"):
            script.TensorUnpickler(io.BytesIO(danger)).load()

    def test_batch_normalization_is_folded(self, rng):
        script = load_script("convert_efficientnet")
        norm = {
            f"_bn1.{name}": rng.uniform(0.5, 1.5, 3)
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        kernel = rng.normal(size=(3, 2, 1, 1))
        fully = {"_fc.weight": rng.normal(size=(4, 3)), "_fc.bias": np.zeros(4)}
        arrays = script.fold({"_conv_head.weight": kernel, **norm, **fully})
        x = rng.normal(size=(5, 2))
        mean, variance = norm["_bn1.running_mean"], norm["_bn1.running_var"]
        y = (x @ kernel[:, :, 0, 0].T - mean) / np.sqrt(variance + 1e-3)
        expected = y * norm["_bn1.weight"] + norm["_bn1.bias"]
        found = x @ arrays["head_kernel"][0, 0] + arrays["head_bias"]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=5e-3)


@pytest.fixture(scope="module")
def photos(data):
    """The middle 227 pixels of 1000 photographs, one of each class, in its order."""
    found = []
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
        for name in sorted(archive.namelist()):
            with Image.open(io.BytesIO(archive.read(name))) as file:
                photo = file.convert("RGB")
            scale = 256 / min(photo.size)
            size = [max(256, round(side * scale)) for side in photo.size]
            pixels = np.asarray(photo.resize(size, Image.Resampling.BILINEAR))
            top, left = ((side - 227) // 2 for side in pixels.shape[:2])
            found.append(pixels[top : top + 227, left : left + 227])
    return np.stack(found)


@pytest.mark.slow
@pytest.mark.data
def test_the_bundled_network_was_converted_correctly(squeezenet, photos):
    ranks = []
    for first in range(0, 1000, 50):
        batch = photos[first : first + 50].astype(np.float32) / 255
        ranks.append(np.argsort(-squeezenet.logits(batch).numpy(), axis=1))
    ranks, target = np.concatenate(ranks), np.arange(1000)[:, None]

    assert (ranks[:, :1] == target).any(axis=1).mean() >= 0.60
    assert (ranks[:, :5] == target).any(axis=1).mean() >= 0.825


@pytest.mark.data
def test_labels_are_those_of_the_photographs(data, squeezenet):
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
        names = [name.removesuffix(".JPEG") for name in sorted(archive.namelist())]
    labels = squeezenet.labels

    assert [f"{w}_{n}" for w, n in zip(labels.wnids, labels.names)] == names


@pytest.mark.slow
def test_pictures_of_classes_are_classified_as_such(squeezenet):
    result = tfviz.render(
        squeezenet,
        ["logit:goldfish", "logit:strawberry"],
        params.fourier(128, 128),
        steps=64,
    )

    np.testing.assert_array_equal(
        np.argmax(squeezenet.logits(result.images), axis=1), [1, 949]
    )


@pytest.mark.slow
def test_every_compilation_gives_the_same_bytes(squeezenet):
    """Guards against pools whose gradient depends on how their graph was rewritten.

    On a flat start most windows of a pool are ties, which oneDNN and Eigen give to
    different pixels.
    """
    made = {
        tfviz.render(
            squeezenet, "fire7:12", params.fourier(224, 224), steps=6
        ).images.tobytes()
        for _ in range(5)
    }

    assert len(made) == 1


@pytest.mark.slow
def test_late_channels_do_not_stay_grey(squeezenet):
    """A third to two thirds of them are dead at the start."""
    channels = np.random.default_rng(0).choice(512, 8, replace=False)
    units = [f"fire9:{c}" for c in channels]
    result = tfviz.render(squeezenet, units, params.fourier(64, 64), steps=48)

    assert (result.history[0] == 0).sum() >= 2  # otherwise this test proves nothing
    assert result.images.std(axis=(1, 2, 3)).min() > 0.05
    assert (result.scores > 0).sum() >= 7


def test_networks_of_keras_applications_come_with_the_same_random_weights():
    random.seed(3)
    np.random.seed(4)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(3)
    np.random.seed(4)  # noqa: NPY002
    first = tfviz.load_model("keras:MobileNet?weights=none")
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    second = tfviz.load_model("keras:MobileNet?weights=none")

    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert tfviz.adapt(first).preprocess.name == "tf"
    assert tfviz.adapt(first).classes == 1000


def test_weights_that_cannot_be_fetched_raise_an_error(monkeypatch):
    def offline(weights):
        raise OSError("URL fetch failure on https://...: [Errno -3] Temporary failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(ValueError, match=r"could not be fetched.*\?weights=none"):
        tfviz.load_model("keras:VGG16")


class TestSources:
    """Sources are checked before anything is loaded, also by the command line."""

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("models/net/1").mkdir(parents=True)
        Path("models/net/1/saved_model.pb").write_bytes(b"")
        Path("models/mine.keras").write_bytes(b"")
        Path("models/text.txt").write_text("no model")

    @pytest.mark.parametrize(
        ("source", "kind", "message"),
        [
            ("alexnet", FileNotFoundError, "no model 'alexnet'. Give squeezenet"),
            ("squeezent", FileNotFoundError, "Did you mean 'squeezenet'"),
            ("MobileNetV2", FileNotFoundError, "Did you mean 'keras:MobileNetV2'"),
            ("https://a.b/c.keras", FileNotFoundError, "Download the file and give"),
            ("hf://somebody", ValueError, "not of the form hf://OWNER/NAME"),
            ("kaggle://a/b", ValueError, "form kaggle://OWNER/MODEL/keras/VARIATION"),
            ("models/mime.keras", FileNotFoundError, "Did you mean 'mine.keras'"),
            ("models/net/11", FileNotFoundError, "Did you mean '1'"),
            (
                "models/net",
                ValueError,
                "no saved_model.pb. Did you mean 'models/net/1'",
            ),
            ("models", ValueError, "not a model: the folder has no saved_model.pb"),
            ("models/text.txt", ValueError, "not a model. Give .* a file that ends"),
            ("models/net/1/saved_model.pb", ValueError, "its folder: 'models/net/1'"),
            ("hub:models/nett", FileNotFoundError, "no model 'hub:models/nett'"),
            ("hub:models/mine.keras", ValueError, "is not a model"),
            ("hub:", ValueError, "'hub:' does not name a model"),
            ("", ValueError, "'' does not name a model"),
        ],
    )
    def test_sources_that_are_not_models_are_refused(self, source, kind, message):
        with pytest.raises(kind, match=message):
            tfviz.load_model(source)
        result = CliRunner().invoke(main, ["layers", "-m", source])
        assert result.exit_code == 2
        assert re.search(message, " ".join(result.output.split()))

    @pytest.mark.parametrize(
        "source",
        [
            "squeezenet",
            "keras:VGG16",
            "models/mine.keras",
            "models/net/1",
            "models/net/1?signature=embed",
            "hub:models/net/1",
            "hub:https://tfhub.dev/google/bit/s-r50x1/1?signature=embed",
            "hf://keras-io/some.model_1",
            "kaggle://keras/resnetv1/keras/resnet_18_imagenet",
            "kaggle://keras/resnetv1/keras/resnet_18_imagenet/2",
        ],
    )
    def test_sources_that_may_be_models_are_accepted(self, source):
        check_source(source)


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'keras:ResNet50'"):
        tfviz.load_model("keras:Resnet50")
    with pytest.raises(ValueError, match="Did you mean 'keras:MobileNetV2'"):
        tfviz.load_model("keras:MobilNetV2")
    with pytest.raises(ValueError, match="Its networks: .*, Xception."):
        tfviz.load_model("keras:Foo")


class TestOldFiles:
    """Files of Keras 2, which Keras 3 may refuse."""

    @staticmethod
    def network(*middle):
        tf_keras.utils.set_random_seed(0)
        layers = [
            tf_keras.Input((16, 20, 3)),
            tf_keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            *middle,
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3, activation="softmax", name="head"),
        ]
        return tf_keras.Sequential(layers, name="old")

    @staticmethod
    def save(model, path, version="2.4.0"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the old format
            model.save(path)
        if path.suffix == ".h5":
            with h5py.File(path, "a") as file:
                file.attrs["keras_version"] = version
        return path

    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    def test_files_that_keras_3_refuses_are_loaded_with_tf_keras(
        self, suffix, tmp_path, rng
    ):
        # It was written with `groups`, which Keras 3 does not accept.
        model = self.network(tf_keras.layers.DepthwiseConv2D(3, name="depth"))
        path = self.save(model, tmp_path / f"old{suffix}")
        with pytest.warns(UserWarning, match=r"written by Keras 2.*with tf_keras"):
            loaded = tfviz.load_model(path)
        images = rng.uniform(size=(2, 16, 20, 3)).astype(np.float32)

        assert isinstance(loaded, tf_keras.Model)
        assert [x.path for x in tfviz.adapt(loaded, (0, 1)).layers()][:2] == [
            "conv",
            "depth",
        ]
        np.testing.assert_array_equal(loaded(images), model(images))

    def test_the_warning_has_the_reason(self, tmp_path):
        model = self.network(tf_keras.layers.DepthwiseConv2D(3))
        path = self.save(model, tmp_path / "old.h5")
        with pytest.warns(
            UserWarning, match=r"'old.h5' was written by Keras 2.4.0 .*'groups': 1"
        ) as warned:
            tfviz.load_model(path)
        assert len(warned) == 1
        assert "\n" not in str(warned[0].message)

    def test_files_that_keras_3_accepts_are_loaded_with_keras_3(self, tmp_path):
        loaded = tfviz.load_model(self.save(self.network(), tmp_path / "old.h5"))
        assert isinstance(loaded, keras.Model)

    def test_files_that_both_refuse_have_both_reasons(self, tmp_path):
        path = self.save(self.network(), tmp_path / "old.h5")
        edit_config(path, lambda text: text.replace('"units": 3', '"units": -3'))
        with pytest.raises(ValueError, match=r"Keras 3: .*-3.*; tf_keras, .*-3"):
            tfviz.load_model(path)

    def test_a_class_that_both_do_not_know_is_named(self, tmp_path):
        path = self.save(self.network(), tmp_path / "old.h5")
        edit_config(path, lambda text: text.replace('"Dense"', '"Sense"'))
        with pytest.raises(ValueError, match=r"needs the class Sense \(layer 'head'\)"):
            tfviz.load_model(path)

    def test_files_of_weights_only_raise_an_error(self, tmp_path):
        self.network().save_weights(tmp_path / "weights.h5")
        with pytest.raises(ValueError, match="holds the weights of a Keras model with"):
            tfviz.load_model(tmp_path / "weights.h5")

    def test_the_softmax_of_tensorflow_is_known(self, tmp_path, rng):
        """Keras 2 wrote it by the name of its Python function, `softmax_v2`."""
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        x = keras.layers.Dense(3, activation=tf.nn.softmax, name="head")(x)
        model = keras.Model(inputs, x)
        model.save(tmp_path / "net.keras")
        loaded = tfviz.load_model(tmp_path / "net.keras")

        pictures = rng.uniform(size=(2, 8, 8, 3))
        np.testing.assert_allclose(loaded(pictures), model(pictures), rtol=1e-5)
        source = tfviz.adapt(loaded, (0, 1)).logits_source
        assert source == "what goes into the softmax of 'head'"

    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    def test_a_lambda_does_not_run(self, suffix, tmp_path, rng):
        """Neither in Keras 3, nor in tf_keras, which has no safe mode for HDF5."""
        middle = [
            tf_keras.layers.DepthwiseConv2D(3),
            tf_keras.layers.Lambda(lambda x: x * 2, name="twice"),
        ]
        model = self.network(*middle)
        path = self.save(model, tmp_path / f"old{suffix}")
        message = "contains a Lambda layer.*allow_unsafe=True"
        with pytest.raises(ValueError, match=message):
            tfviz.load_model(path)

        with pytest.warns(UserWarning, match="with tf_keras"):
            loaded = tfviz.load_model(path, allow_unsafe=True)
        images = rng.uniform(size=(2, 16, 20, 3)).astype(np.float32)
        np.testing.assert_array_equal(loaded(images), model(images))

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            # Each would make tf_keras import or run something.
            ({"class_name": "__lambda__", "config": {"value": "x"}}, "a Lambda layer"),
            (
                {"class_name": "Popen", "module": "subprocess", "config": {}},
                "a layer of the Python module 'subprocess'",
            ),
            (
                {
                    "class_name": "ResidualWrapper",
                    "config": {"residual_fn": ["x"], "residual_fn_type": "lambda"},
                },
                "a lambda as residual_fn",
            ),
        ],
    )
    def test_no_other_code_runs(self, entry, message, tmp_path):
        model = self.network(tf_keras.layers.DepthwiseConv2D(3))
        path = self.save(model, tmp_path / "old.h5")

        def add(text):
            config = json.loads(text)
            config["config"]["layers"].append(entry)
            return json.dumps(config)

        edit_config(path, add)
        with pytest.raises(ValueError, match=f"contains {message}.*allow it"):
            tfviz.load_model(path)

    def test_registered_custom_layers_are_loaded(self, tmp_path, monkeypatch):
        class Twice(tf_keras.layers.Layer):
            def call(self, x):
                return 2 * x

        middle = [tf_keras.layers.DepthwiseConv2D(3), Twice(name="twice")]
        path = self.save(self.network(*middle), tmp_path / "old.keras")
        with pytest.raises(ValueError, match="a layer of the Python module"):
            tfviz.load_model(path)
        # As --custom does it.
        monkeypatch.setitem(keras.saving.get_custom_objects(), "Twice", Twice)
        with pytest.warns(UserWarning, match="with tf_keras"):
            assert tfviz.load_model(path).get_layer("twice")


def edit_config(path, edit):
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = edit(file.attrs["model_config"])


class TestHub:
    URL = "https://tfhub.dev/somebody/classifier/1"

    @pytest.fixture(scope="class")
    def module(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("hub") / "toy"
        build_toy().export(folder, verbose=False)
        return folder

    @pytest.fixture
    def cached(self, module, tmp_path, monkeypatch):
        """A cache as tensorflow_hub leaves it after a download."""
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
        name = hashlib.sha1(self.URL.encode()).hexdigest()
        shutil.copytree(module, tmp_path / "cache" / name)

    def test_a_folder(self, module):
        model = tfviz.load_model(f"hub:{module}")

        assert model.name == "toy"
        # The path of a folder is useless elsewhere, and private.
        assert not hasattr(model, "tfviz_source")

    def test_a_module_in_the_cache(self, module, cached):
        model = tfviz.load_model(f"hub:{self.URL}")
        here = tfviz.load_model(module)
        prints = {tfviz.adapt(m, (0, 1)).fingerprint() for m in (model, here)}

        assert model.name == "somebody/classifier/1"
        assert model.tfviz_source == f"hub:{self.URL}"
        assert len(prints) == 1

    def test_a_picture_records_the_name_of_its_model(self, cached, tmp_path):
        def run(*arguments):
            result = CliRunner().invoke(main, [*arguments])
            assert result.exit_code == 0, result.output

        run("render", "logit:3", "-m", f"hub:{self.URL}", "-o", f"{tmp_path}/out",
            "--preprocess=-1,1", "--steps", "3", "--transforms", "none")  # fmt: skip
        run("render", "--from", f"{tmp_path}/out/logit-3.png", "-o", f"{tmp_path}/new")

        first, again = (tmp_path / name / "logit-3.png" for name in ("out", "new"))
        assert images.read_spec(first)["model"]["source"] == f"hub:{self.URL}"
        assert first.read_bytes() == again.read_bytes()

    def test_modules_that_cannot_be_fetched_raise_a_one_line_error(
        self, monkeypatch, tmp_path
    ):
        import tensorflow_hub

        def offline(handle):
            raise urllib.error.URLError(OSError(-2, "Name or service not known"))

        monkeypatch.setattr(tensorflow_hub, "resolve", offline)
        with pytest.raises(
            ValueError,
            match=r"could not be fetched \(\[Errno -2\] Name or service not known\). "
            r".*TFHUB_CACHE_DIR",
        ) as error:
            tfviz.load_model(f"hub:{self.URL}")
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_command_line_takes_a_saved_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_toy().export("toy", verbose=False)
    Image.new("RGB", (50, 40), "red").save("red.png")

    def run(*arguments):
        result = CliRunner().invoke(main, [*arguments, "--preprocess", "0,1"])
        assert result.exit_code == 0, result.output
        return result

    listed = run("layers", "-m", "toy").stdout.splitlines()
    assert len(listed) == 10
    path = next(line.split()[0] for line in listed if line.endswith("Relu"))
    run("render", path, "-m", "toy", "-o", "out", "--steps", "2")
    assert [f.name for f in Path("out").glob("*.png")] == [
        path.replace("/", ".") + ".png"
    ]
    top = json.loads(run("check", "red.png", "-m", "toy", "--json").stdout)["top"]
    assert sum(row["probability"] for row in top) == pytest.approx(1)
    # From inside the folder, so that its name is not given.
    monkeypatch.chdir("toy")
    assert len(run("layers", "-m", ".").stdout.splitlines()) == 10


@pytest.mark.slow
@pytest.mark.data
def test_a_second_third_party_network_renders(data):
    """MobileNet v1, which was trained on [-1, 1] and ends in a softmax."""
    path = data / "models" / "classifiers" / "imagenet_mobilenet_v1_075_224.keras"
    adapter = tfviz.adapt(tfviz.load_model(path), "tf")
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
        name = "n01443537_goldfish.JPEG"
        with Image.open(io.BytesIO(archive.read(name))) as photo:
            picture = np.asarray(photo.convert("RGB"), np.float32) / 255
    picture = images.centre_crop(picture, adapter.size)
    assert np.argmax(adapter.logits(picture[None])) == 1

    result = tfviz.render(
        adapter, "logit:goldfish", transforms=transforms.distill(), steps=32
    )
    assert np.argmax(adapter.logits(result.images)) == 1


# Of each third-party file: its range if it cannot be detected, its input shape, the
# number of classes, a channel in the middle, and the source of the logits.
KERAS = "keras.src"
LEGACY = "tf_keras.src"
CLASSIFIERS = {
    "potato_disease.h5": (
        (KERAS, None, (256, 256, 3), 3),
        ("conv2d_3:0", "the softmax of 'dense_1'"),
    ),
    "potato_disease_savedmodel": (
        ("tfviz.models.saved_model", None, (256, 256, 3), 3),
        (
            "sequential_2/conv2d_3/Relu:0",
            "the softmax of 'sequential_2/dense_1/Softmax'",
        ),
    ),
    "brain_tumor.h5": (
        (KERAS, (0, 1), (256, 256, 3), 4),
        ("conv2d_14:3", "the softmax of 'dense_5'"),
    ),
    "emotion_mini_xception_gray.hdf5": (
        (KERAS, (-1, 1), (64, 64, 1), 7),
        ("add_2:0", "the softmax of 'predictions'"),
    ),
    "lane_segmentation_80x160.h5": (
        (LEGACY, (0, 255), (80, 160, 3), 1),
        ("Conv5:0", "no softmax or sigmoid was found"),
    ),
    "waste_mobilenetv2_nested.h5": (
        (LEGACY, (-1, 1), (224, 224, 3), 4),
        (
            "sequential_1/model1/block_6_expand_relu:7",
            "the softmax of 'sequential_3/dense_Dense2'",
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.filterwarnings("ignore:.*is loaded with tf_keras")
@pytest.mark.parametrize(
    "file",
    [
        # For the largest files, loading with Keras 2 takes longest.
        pytest.param(file, marks=pytest.mark.slow if "waste" in file else ())
        for file in CLASSIFIERS
    ],
)
def test_third_party_classifiers_render(file, data):
    (loader, preprocess, shape, classes), (unit, source) = CLASSIFIERS[file]
    model = tfviz.load_model(data / "models" / "classifiers" / file)
    adapter = tfviz.adapt(model, preprocess)

    assert type(model).__module__.startswith(loader)
    assert (*adapter.input_size, adapter.channels) == shape
    assert adapter.classes == classes
    assert adapter.logits_source.endswith(source)
    assert adapter.preprocess.name == (
        "{},{}".format(*preprocess) if preprocess else "0,255"  # as detected
    )

    small = params.fourier(shape[0] // 2, shape[1] // 2, shape[2])
    result = tfviz.render(
        adapter, [unit, "logit:0"], small, transforms.none(), steps=24
    )
    start, end = result.history[0], result.scores
    assert not result.stuck.any()
    assert np.isfinite(result.history).all()
    assert (end > start + 0.3 * np.abs(start)).all(), (start, end)
    assert (result.images.std(axis=(1, 2, 3)) > 0.03).all()


@pytest.mark.data
@pytest.mark.slow
def test_a_file_and_a_saved_model_of_one_network_agree(data, rng):
    folder = data / "models" / "classifiers"
    file, module = (
        tfviz.adapt(tfviz.load_model(folder / name))
        for name in ("potato_disease.h5", "potato_disease_savedmodel")
    )
    photos = rng.uniform(size=(2, 64, 48, 3)).astype(np.float32)
    expected = file.logits(photos).numpy()

    assert np.ptp(expected) > 1
    np.testing.assert_allclose(module.logits(photos), expected, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(
        module(photos, "sequential_2/conv2d_3/Relu")["sequential_2/conv2d_3/Relu"],
        file(photos, "conv2d_3")["conv2d_3"],
        atol=1e-4,
    )
    small = params.fourier(64, 64)
    scores = [
        tfviz.render(a, "logit:0", small, transforms.none(), steps=12).scores
        for a in (file, module)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=0.05)
