"""Models and params as plain data: what comes out elsewhere is what went in."""

import pickle
import shutil

import keras
import numpy as np
import pytest
from support import build_toy

import tfviz
from tfviz import params, priors, statistics
from tfviz.models.adapter import provenance
from tfviz.runs.shipping import ship_model, ship_param


def elsewhere(shipped, *originals):
    """Load what was shipped where its files are not."""
    data = pickle.dumps(shipped)
    for path in originals:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return pickle.loads(data).load()


def check_same(adapter, again):
    assert provenance(again) == provenance(adapter)
    assert again.labels == adapter.labels
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    (layer,) = {x.path for x in adapter.layers()} & {"conv_b", "conv_b/Relu", "fire5"}
    old, new = (a.forward(image, [layer])[layer] for a in (adapter, again))
    np.testing.assert_array_equal(old, new)


class TestModels:
    def test_a_bundled_one_is_named(self, squeezenet):
        shipped = ship_model(squeezenet, "squeezenet")

        assert shipped.files == {}
        check_same(squeezenet, elsewhere(shipped))

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    @pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
    def test_a_file_is_sent(self, tmp_path, suffix):
        path = tmp_path / f"toy{suffix}"
        build_toy().save(path)
        adapter = tfviz.adapt(tfviz.load_model(path), (-1, 1), labels=list("abcde"))

        check_same(adapter, elsewhere(ship_model(adapter, str(path)), path))

    def test_one_in_memory_is_saved(self):
        adapter = tfviz.adapt(build_toy(), (0, 255))

        check_same(adapter, elsewhere(ship_model(adapter, "mine")))

    def test_a_saved_model_is_sent_as_its_folder(self, tmp_path):
        path = tmp_path / "module"
        build_toy().export(path, verbose=False)
        source = f"{path}?signature=serving_default"
        adapter = tfviz.adapt(tfviz.load_model(source), (0, 1))
        again = elsewhere(ship_model(adapter, source), path)

        assert provenance(again) == provenance(adapter)

    def test_one_of_keras_applications_keeps_its_name(self, monkeypatch):
        model = build_toy()
        model.tfviz_source = "keras:Toy"
        adapter = tfviz.adapt(model, (0, 1))
        again = elsewhere(ship_model(adapter, "keras:Toy"))

        assert provenance(again)["model"]["source"] == "keras:Toy"
        check_same(adapter, again)


class TestParams:
    def test_one_of_the_core_is_described(self):
        param = params.fourier(16, 24, decay=1.5)
        shipped = ship_param(param)

        assert shipped.files == {}
        assert elsewhere(shipped).spec == param.spec

    def test_measured_statistics_are_sent(self, tmp_path, rng):
        path = tmp_path / "photos.npz"
        photos = rng.random((4, 32, 32, 3), np.float32)
        measured = statistics.measure(photos, size=32)
        measured.save(path)
        param = params.maco(32, 32, statistics=statistics.load(path))
        again = elsewhere(ship_param(param), path)

        assert again.spec == param.spec
        seeds = np.array([[1, 2]], np.int32)
        images, same = (p.decode(p.init(seeds)) for p in (param, again))
        np.testing.assert_array_equal(images, same)

    def test_a_bundled_prior_is_named(self):
        param = priors.load("autoencoder+fourier", 64)
        shipped = ship_param(param)

        assert shipped.files == {}
        assert elsewhere(shipped).spec == param.spec

    def test_the_file_of_a_prior_is_sent_with_its_calibration_and_encoder(
        self, tmp_path
    ):
        decoder, encoder = tmp_path / "net.keras", tmp_path / "other" / "net.keras"
        encoder.parent.mkdir()
        layers = keras.layers
        keras.Sequential(
            [keras.Input((4, 4, 2)), layers.Conv2DTranspose(3, 4, 4)]
        ).save(decoder)
        keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(2, 4, 4)]).save(
            encoder
        )
        param = priors.load(str(decoder), value_range=(-1, 1), encoder=str(encoder))
        shipped = ship_param(param)

        assert set(shipped.files) == {"net.keras", "encoder/net.keras"}
        again = elsewhere(shipped, decoder, encoder)
        assert again.spec == param.spec
        seeds = np.array([[1, 2]], np.int32)
        images, same = (p.decode(p.init(seeds)) for p in (param, again))
        np.testing.assert_array_equal(images, same)

    def test_python_code_in_a_prior_is_allowed_elsewhere_only_if_it_is_here(
        self, tmp_path
    ):
        path = tmp_path / "gan.keras"
        layers = keras.layers
        double = layers.Lambda(lambda x: 2 * x, output_shape=(16, 16, 3))
        keras.Sequential(
            [keras.Input((4, 4, 2)), layers.Conv2DTranspose(3, 4, 4), double]
        ).save(path)
        param = priors.load(path, value_range=(-1, 1), allow_unsafe=True)

        with pytest.raises(ValueError, match="a Lambda layer"):
            ship_param(param).load()
        again = elsewhere(ship_param(param, allow_unsafe=True), path)
        assert again.spec == param.spec
        seeds = np.array([[1, 2]], np.int32)
        images, same = (p.decode(p.init(seeds)) for p in (param, again))
        np.testing.assert_array_equal(images, same)
