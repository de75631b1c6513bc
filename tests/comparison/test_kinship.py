"""How priors are related to networks, for the bundled ones and for others."""

from dataclasses import replace

import numpy as np
import pytest
import tfviz
from support import build_toy, short_squeezenet
from tfviz import params, priors
from tfviz.comparison.kinship import (
    MEANINGS,
    dataset_of,
    dataset_of_source,
    describe,
    is_trained_with,
    kinship,
    kinships,
)
from tfviz.models.labels import imagenet_labels


@pytest.fixture(scope="module")
def toy():
    return tfviz.adapt(build_toy(), (0, 1))


@pytest.fixture(scope="module")
def other():
    """A network of ImageNet's classes with other weights than the bundled one."""
    return tfviz.adapt(short_squeezenet())


def learned(**trained):
    return replace(params.pixels(8, 8), trained=trained)


class TestBundledPriors:
    @pytest.fixture(scope="class", params=["inverter", "autoencoder"])
    def prior(self, request):
        return priors.load(request.param)

    def test_levels(self, prior, squeezenet, other, toy):
        assert kinship(prior, squeezenet) == "same network"
        assert kinship(prior, other) == "same data"
        assert kinship(prior, toy) == "other network"
        assert kinships(prior) == {
            "squeezenet": "same network",
            "other networks trained on ImageNet": "same data",
            "all others": "other network",
        }
        assert is_trained_with(prior, squeezenet.fingerprint())
        assert not is_trained_with(prior, toy.fingerprint())

    def test_what_they_were_trained_with(self, prior):
        assert describe(prior.trained).startswith("Trained on 62,000 photos")
        assert "in the features of squeezenet" in describe(prior.trained)


@pytest.mark.data
def test_taesd_is_related_to_networks_of_imagenet(data, squeezenet, toy):
    prior = priors.load(data / "taesd" / "taesd_decoder.safetensors", 16)

    assert kinship(prior, squeezenet) == "same data"
    assert kinship(prior, toy) == "other network"
    assert "LPIPS" in describe(prior.trained)
    assert not is_trained_with(prior, None)


def test_a_generator_of_the_users_is_unknown(toy):
    prior = priors.assembled(
        {"z": priors.gaussian(12)},
        lambda values: values["z"][:, :, None, None] * np.ones((1, 1, 4, 3)),
        value_range=(-1, 1),
    )

    assert kinship(prior, toy) == "unknown training"
    assert kinships(prior) == {"any network": "unknown training"}
    assert describe(prior.trained) == "What it was trained with is not recorded."


def test_a_param_without_a_decoder_has_no_relation(toy):
    assert kinship(params.fourier(8, 8), toy) is None
    assert kinships(params.fourier(8, 8)) == {}
    assert not is_trained_with(params.fourier(8, 8), toy.fingerprint())


def test_priors_without_features_of_networks(toy, other):
    plain = learned(networks={}, data=["photos of mine"])
    imagenet = learned(networks={}, data=["ImageNet"])

    assert kinship(plain, toy) == kinship(plain, other) == "pixels only"
    assert kinship(imagenet, toy) == "pixels only"
    assert kinship(imagenet, other) == "same data"
    assert kinships(imagenet) == {
        "networks trained on ImageNet": "same data",
        "all others": "pixels only",
    }


def test_a_network_of_unknown_weights_is_another_network(toy):
    prior = learned(networks={"net": None}, data=[])

    assert kinship(prior, toy) == "other network"
    assert kinships(prior) == {"any network": "other network"}


def test_datasets_of_networks(toy, other):
    labels = imagenet_labels()

    assert dataset_of(toy) is None
    assert dataset_of(other) == "ImageNet"
    renamed = tfviz.adapt(short_squeezenet(), labels=[str(k) for k in range(1000)])
    assert dataset_of(renamed) is None
    given = tfviz.adapt(short_squeezenet(), labels=labels.names)
    assert dataset_of(given) == "ImageNet"
    random = short_squeezenet()
    random.tfviz_source = "keras:MobileNetV2?weights=none"
    assert dataset_of(tfviz.adapt(random, (-1, 1))) is None


@pytest.mark.parametrize(
    ("source", "dataset"),
    [
        ("squeezenet", "ImageNet"),
        ("keras:MobileNetV2", "ImageNet"),
        ("keras:MobileNetV2?weights=none", None),
        ("hub:https://somewhere/else", None),
        (None, None),
    ],
)
def test_datasets_of_sources(source, dataset):
    assert dataset_of_source(source) == dataset


def test_each_level_is_explained():
    assert list(MEANINGS) == [
        "same network",
        "same data",
        "other network",
        "pixels only",
        "unknown training",
    ]
