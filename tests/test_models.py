import io
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import tfviz
from tfviz import images, params, transforms


def test_the_bundled_network_is_a_plain_keras_model(tmp_path):
    model = tfviz.load_model("squeezenet")
    model.save(tmp_path / "squeezenet.keras")
    again = tfviz.load_model(tmp_path / "squeezenet.keras")
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


@pytest.mark.data
def test_the_bundled_network_was_converted_rightly(squeezenet, photos):
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


def test_late_channels_do_not_stay_grey(squeezenet):
    """A third to two thirds of them are off everywhere at the start."""
    channels = np.random.default_rng(0).choice(512, 8, replace=False)
    units = [f"fire9:{c}" for c in channels]
    result = tfviz.render(squeezenet, units, params.fourier(64, 64), steps=48)

    assert (result.history[0] == 0).sum() >= 2  # else this shows nothing
    assert result.images.std(axis=(1, 2, 3)).min() > 0.05
    assert (result.scores > 0).sum() >= 7


def test_networks_of_keras_applications_come_with_the_same_random_weights():
    first = tfviz.load_model("keras:MobileNet?weights=none")
    second = tfviz.load_model("keras:MobileNet?weights=none")

    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert tfviz.adapt(first).preprocess.name == "tf"
    assert tfviz.adapt(first).classes == 1000


def test_weights_that_cannot_be_fetched_are_said(monkeypatch):
    def offline(weights):
        raise OSError("URL fetch failure on https://...: [Errno -3] Temporary failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(ValueError, match=r"could not be fetched.*\?weights=none"):
        tfviz.load_model("keras:VGG16")


def test_unknown_sources_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model 'alexnet'. Give squeezenet"):
        tfviz.load_model("alexnet")
    with pytest.raises(ValueError, match="no model file: expected a name that ends in"):
        tfviz.load_model(tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'ResNet50'"):
        tfviz.load_model("keras:Resnet50")


@pytest.mark.data
def test_a_second_network_of_others_renders(data):
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
