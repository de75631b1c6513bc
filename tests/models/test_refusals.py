"""Files that cannot be loaded, and the messages that say why and what to do."""

import json
import zipfile
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from click.testing import CliRunner

import tfviz
from tfviz.cli.main import main
from tfviz.models.refusals import explain, read_description, reason

OTHER = "it was written by Keras {}, and Keras " + keras.__version__


class Folded(keras.layers.Layer):
    def get_config(self):
        return super().get_config() | {"secret": list(range(100))}

    def call(self, x):
        return x


@keras.saving.register_keras_serializable("origami")
class Registered(Folded):
    pass


def bent(x):
    return x * keras.ops.sigmoid(2 * x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a small network, plain and with layers that Keras does not have."""
    folder = tmp_path_factory.mktemp("files")
    for name, middle in {
        "plain": keras.layers.Activation("relu", name="middle"),
        "custom": Folded(name="middle"),
        "registered": Registered(name="middle"),
        "function": keras.layers.Dense(3, activation=bent, name="middle"),
    }.items():
        inputs = keras.Input((8, 8, 3))
        x = middle(keras.layers.Conv2D(3, 3, name="conv")(inputs))
        x = keras.layers.GlobalAveragePooling2D()(x)
        model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
        model.save(folder / f"{name}.keras")
    keras.saving.get_custom_objects().pop("origami>Registered")
    edit(folder, "newer argument", "3.99.0", conv={"quantum": True})
    edit(folder, "older argument", "3.0.0", conv={"quantum": True, "spin": 2})
    edit(folder, "newer layer", "3.99.0", classes={"Conv2D": "QuantumConv2D"})
    return folder


def edit(folder, name, version, conv=None, classes=None):
    """Write a file as another version of Keras would have written it."""
    with zipfile.ZipFile(folder / "plain.keras") as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    config = json.loads(files["config.json"])
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Conv2D":
            layer["config"] |= conv or {}
        layer["class_name"] = (classes or {}).get(
            layer["class_name"], layer["class_name"]
        )
    files["config.json"] = json.dumps(config).encode()
    metadata = json.loads(files["metadata.json"]) | {"keras_version": version}
    files["metadata.json"] = json.dumps(metadata).encode()
    with zipfile.ZipFile(folder / f"{name}.keras", "w") as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)


# What is wrong with each file, what to do in Python, and what at the command line.
REGISTER = "Register it: keras.saving.get_custom_objects()['{0}'] = {0}."
NEWER = "Update Keras: pip install 'keras>=3.99.0'"
OLDER = (
    "Load it with that version (pip install keras==3.0.0), and save it in another "
    "format with model.export."
)
FILES = {
    "newer argument": (
        f"{OTHER.format('3.99.0')} does not know the argument quantum of Conv2D (layer "
        f"'conv'). {NEWER}"
    ),
    "older argument": (
        f"{OTHER.format('3.0.0')} does not know the arguments quantum and spin of "
        f"Conv2D (layer 'conv'). {OLDER}"
    ),
    "newer layer": (
        f"{OTHER.format('3.99.0')} does not have the class QuantumConv2D (layer "
        f"'conv'). {NEWER}"
    ),
    "custom": (
        f"it needs the class Folded of the module {__name__} (layer 'middle'), which "
        "is not part of Keras. "
    ),
    "registered": (
        f"it needs the class Registered of the module {__name__} (layer 'middle'), "
        "which is not part of Keras. "
    ),
    "function": "it needs the function bent, which is not part of Keras. ",
}
REMEDIES = {
    "custom": (
        REGISTER.format("Folded"),
        f"Import it with --custom {__name__}:Folded.",
    ),
    "registered": (
        "Import the Python module that defines it.",
        f"Import it with --custom {__name__}:Registered.",
    ),
    "function": (
        REGISTER.format("bent"),
        (
            "Import it with --custom MODULE:bent, where MODULE is the Python module "
            "that defines it."
        ),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_layer_and_the_remedy_are_named(name, folder):
    problem, (in_python, with_options) = FILES[name], REMEDIES.get(name, ("", ""))
    path = folder / f"{name}.keras"
    start = f"{str(path)!r} cannot be loaded as a Keras model: {problem}"
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        tfviz.load_model(path)
    result = CliRunner().invoke(main, ["layers", "-m", str(path)])

    assert str(caught.value) == start + in_python
    assert result.stderr == f"Error: {start}{with_options}\n"


def test_a_known_module_is_named(folder):
    description = read_description(folder / "custom.keras")
    for entry in description.config["config"]["layers"]:
        if entry["class_name"] == "Folded":
            entry["module"] = "paper.models"
    refusal = TypeError("Could not locate class 'Folded'. Make sure custom classes ...")
    error = explain(Path("x.keras"), description, refusal)

    assert "the class Folded of the module paper.models (layer 'middle')" in str(error)


def test_a_package_of_keras_is_to_be_installed(folder):
    description = read_description(folder / "plain.keras")
    description.config["config"]["layers"].append(
        {"class_name": "ViTBackbone", "module": "keras_hub.src.models", "config": {}}
    )
    refusal = TypeError(
        "Could not deserialize class 'ViTBackbone' because its parent module "
        "keras_hub.src.models cannot be imported. Full object config: {}"
    )
    error = explain(Path("x.keras"), description, refusal)

    assert str(error).endswith("Install that: pip install keras-hub")


def test_a_class_of_the_user_that_does_not_take_its_arguments(folder):
    description = read_description(folder / "custom.keras")
    description.config["config"]["layers"][2]["module"] = "mine"
    refusal = TypeError("Folded.__init__() got an unexpected keyword argument 'secret'")
    error = explain(Path("x.keras"), description, refusal)

    assert "Folded (layer 'middle') does not take the argument secret that" in str(
        error
    )


CONTENTS = {
    "empty.keras": (b"", "it is empty"),
    "lfs.h5": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "hdf5.keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5 file. Rename it, so that"),
    "zip.h5": (b"PK\x03\x04" + bytes(100), "zip archive. If Keras wrote it, let its"),
    "part.keras": (
        b"PK\x03\x04" + bytes(100),
        "incomplete, or a zip archive that Keras did not",
    ),
    "text.keras": (
        b"a text",
        "first bytes are not those of such a file. Save it again",
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_are_not_a_model(name, tmp_path):
    content, message = CONTENTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot be loaded.*{message}"):
        tfviz.load_model(tmp_path / name)


def test_an_archive_that_keras_did_not_write(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("photo.png", b"")
    with pytest.raises(ValueError, match="a zip archive that Keras did not write"):
        tfviz.load_model(tmp_path / "photos.keras")


def test_the_reason_of_any_error():
    """Not every error can be made of a text alone."""
    error = tf.errors.NotFoundError(None, None, "no such file\nFull object config: {}")
    assert reason(error) == "no such file"


def test_an_unpacked_file_is_loaded(folder, tmp_path):
    with zipfile.ZipFile(folder / "plain.keras") as archive:
        archive.extractall(tmp_path / "net")

    names = [layer.name for layer in tfviz.load_model(tmp_path / "net").layers]
    assert names[1:3] == ["conv", "middle"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        # The texts for other kinds are tested with `explain_file`.
        ("net.onnx", "is a model in ONNX format"),
        ("net.zip", "is an archive. Unpack it"),
        ("hugging/tf_model.h5", "model of the package transformers"),
        ("torch/pytorch_model.bin", "weights of PyTorch, which TensorFlow cannot run"),
        ("training/ckpt.index", "is a checkpoint of TensorFlow: weights without"),
        ("js/model.json", "a TensorFlow.js model"),
        ("export/1/saved_model.pb", "Did you mean '.*export/1'"),
    ],
)
def test_models_of_other_programs(name, message, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    source = tmp_path / Path(name).parts[0]
    with pytest.raises(ValueError, match=message):
        tfviz.load_model(source)
    result = CliRunner().invoke(main, ["layers", "-m", str(source)])
    assert result.exit_code == 2


class TestDownloads:
    """Handles of Hugging Face and Kaggle, without a network."""

    @pytest.fixture(autouse=True)
    def _nothing_is_installed(self, monkeypatch):
        self.installed = set()
        monkeypatch.setattr(
            "tfviz.models.load.find_spec", lambda name: name in self.installed or None
        )

    HUGGING_FACE = "hf://somebody/net"
    KAGGLE = "kaggle://keras/resnetv1/keras/resnet_18"

    def refuse(self, source, message):
        with pytest.raises(ValueError, match=message):
            tfviz.load_model(source)

    def test_missing_packages_are_named(self):
        self.refuse(self.HUGGING_FACE, "another package: pip install huggingface_hub$")
        self.refuse(self.KAGGLE, r"needs KerasHub: pip install keras-hub")
        self.installed = {"keras_hub"}
        self.refuse(self.KAGGLE, "another package: pip install kagglehub$")

    def test_keras_loads_them_safely(self, monkeypatch):
        self.installed = {"huggingface_hub"}
        model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
        calls = []

        def load(source, **options):
            calls.append((source, options["safe_mode"]))
            return model

        monkeypatch.setattr(keras.saving, "load_model", load)

        assert tfviz.load_model(self.HUGGING_FACE) is model
        assert model.tfviz_source == self.HUGGING_FACE
        assert calls == [(self.HUGGING_FACE, True)]

    def test_no_connection_is_reported_with_what_else_may_be_missing(self, monkeypatch):
        self.installed = {"huggingface_hub"}

        def offline(*_, **__):
            raise ConnectionError("No route to huggingface.co\nfor this host")

        monkeypatch.setattr(keras.saving, "load_model", offline)
        self.refuse(
            self.HUGGING_FACE,
            r"could not be loaded \(No route to huggingface.co; a preset of KerasHub "
            r"needs pip install keras-hub\). Check the name and the conn",
        )

    def test_presets_are_those_of_keras_hub(self, monkeypatch):
        self.installed = {"kagglehub", "keras_hub"}
        model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
        asked = []

        def preset(handle):
            asked.append(handle)
            return model

        monkeypatch.setattr("tfviz.models.load._from_preset", preset)

        assert tfviz.load_model(self.KAGGLE) is model
        assert asked == [self.KAGGLE]
