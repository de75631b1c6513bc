"""Files without a model: what they are, and how to go on, verbatim where it matters."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import build_toy
from tfviz._foreign_files import explain_file


KERAS_WEIGHTS = (
    "{0!r} holds the weights of a Keras model without its architecture. Build the "
    "model in Python with the code that it was trained with, load them with "
    "model.load_weights({0!r}), and save it with model.save('name.keras')."
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files as people publish them beside their code."""
    folder = tmp_path_factory.mktemp("files")
    toy = build_toy()
    toy.save_weights(folder / "toy.weights.h5")
    toy.save_weights(folder / "plain.weights.h5")
    (folder / "plain.weights.h5").rename(folder / "plain.h5")
    toy.save(folder / "whole.h5")
    toy.save(folder / "toy.keras")
    checkpoint = tf.train.Checkpoint(generator=tf.Variable(1.0))
    checkpoint.save(str(folder / "training" / "ckpt"))
    for name in ("g.pt", "g.pth", "g.ckpt", "g.npz", "g.pkl", "g.json", "g.tflite"):
        (folder / name).touch()
    toy.save_weights(folder / "w{8}.weights.h5")
    (folder / "w{8}.weights.h5").rename(folder / "w{8}.h5")
    for name in ("torch/pytorch_model.bin", "js/model.json", "export/saved_model.pb"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    (folder / "photos.tar").touch()
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("toy.weights.h5", KERAS_WEIGHTS),
        ("plain.h5", "rename the file to '{folder}/plain.weights.h5', load them"),
        ("g.pt", "looks like weights of PyTorch, which TensorFlow cannot run"),
        ("g.ckpt", "looks like weights of PyTorch"),
        ("g.pth", "export the model with torch.onnx.export, convert that file with"),
        ("g.npz", "holds arrays without the architecture of a model"),
        ("g.pkl", "set its weights with model.set_weights"),
        ("g.json", "can hold the architecture of a model, but not its weights"),
        ("g.tflite", "is a model of TensorFlow Lite, which has no gradients"),
        ("training", "is a checkpoint of TensorFlow: weights without the architecture"),
        ("training/checkpoint", "tf.train.Checkpoint(NAME=model).read("),
        ("training/ckpt-1", "is a checkpoint of TensorFlow"),
        ("torch", "looks like weights of PyTorch, which TensorFlow cannot run."),
        ("js", "Give the Keras model that it was made from."),
        (
            "export/saved_model.pb",
            "is a part of a SavedModel. Give its folder: '{folder}",
        ),
        ("photos.tar", "is an archive. Unpack it"),
        ("training/ckpt-1.index", "training/ckpt-1'), where NAME begins the names"),
        ("training/ckpt-1.data-00000-of-00001", "training/ckpt-1'), where NAME begins"),
    ],
)
def test_a_file_is_explained(files, name, text):
    told = explain_file(files / name)

    assert text.format(str(files / name), folder=files) in told
    assert told.startswith(repr(str(files / name)))


def test_a_name_may_look_like_a_format(files):
    assert "rename the file to" in explain_file(files / "w{8}.h5")
    assert "w{8}.weights.h5')" in explain_file(files / "w{8}.h5")


@pytest.mark.parametrize("name", ["whole.h5", "toy.keras", "", "export", "no.onnx"])
def test_what_may_be_a_model_is_not_explained(files, name):
    assert explain_file(files / name) is None


def test_the_way_of_the_message_leads_to_a_model(files):
    """Of weights alone: build, load_weights, save."""
    model = build_toy()
    kernel = model.layers[0].kernel.numpy()
    model.layers[0].kernel.assign(0 * kernel)
    model.load_weights(files / "toy.weights.h5")
    model.save(files / "again.keras")

    again = keras.saving.load_model(files / "again.keras")
    np.testing.assert_array_equal(again.layers[0].kernel, kernel)


def test_tensorflow_is_not_imported():
    code = (
        "import sys; from pathlib import Path; import tfviz._foreign_files as f; "
        "f.explain_file(Path('a.onnx')); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
