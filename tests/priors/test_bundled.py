"""The priors that come with the package, as their users meet them."""

import io
import json
from zipfile import ZipFile

import numpy as np
import pytest
import tfviz
from tfviz import measures, priors
from tfviz.priors import _trained as _store, _trained

from support import names


SIZES = {"autoencoder": (48, 40), "inverter": None}
# Numbers in the latents of these.
NUMBERS = {"autoencoder": {"latent": 6 * 5 * 8}, "inverter": {"code": 320}}


@pytest.fixture(scope="module", params=SIZES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def prior(name):
    return priors.load(name, SIZES[name])


@pytest.fixture(scope="module")
def photos(data):
    """Return the middles of 24 photos of different classes."""
    with ZipFile(data / "imagenet-1000-samples.zip") as archive:
        files = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))[::42]
        read = [tfviz.images.read(io.BytesIO(archive.read(file))) for file in files]
    return np.stack([tfviz.images.centre_crop(photo, (256, 256)) for photo in read])


def test_sizes():
    assert priors.load("autoencoder").shape == (224, 224, 3)
    assert priors.load("autoencoder", 64).shape == (64, 64, 3)
    assert priors.load("autoencoder", (40, 64)).shape == (40, 64, 3)
    with pytest.raises(ValueError, match="multiples of 8"):
        priors.load("autoencoder", 100)
    assert priors.load("inverter").shape == (64, 64, 3)
    assert priors.load("inverter", 64).shape == (64, 64, 3)
    with pytest.raises(ValueError, match="images of 64 pixels"):
        priors.load("inverter", 128)


def test_images_and_latents(prior, name):
    latents = prior.init(np.array([[0, 1], [0, 2]], np.int32))
    images = np.asarray(prior.decode(latents))
    assert images.shape == (2, *prior.shape)
    assert np.isfinite(images).all()
    assert images.std(axis=(1, 2)).min() > 0.02  # no plain grey
    assert np.abs(images[0] - images[1]).mean() > 0.02

    again = prior.init(np.array([[0, 2]], np.int32))
    np.testing.assert_allclose(prior.decode(again)[0], images[1], atol=1e-5)
    sizes = {k: int(np.prod(v.shape)) for k, v in prior.latents.items()}
    assert sizes == NUMBERS[name]


@pytest.mark.parametrize("size", [(57, 90), (64, 64), (224, 130)])
def test_images_of_any_size_are_encoded(prior, size, rng):
    latents = prior.encode(rng.uniform(size=(2, *size, 3)).astype("float32"))
    assert np.asarray(prior.decode(latents)).shape == (2, *prior.shape)


def test_a_description_makes_it_again(prior):
    spec = json.loads(json.dumps(prior.spec))
    again = priors.from_spec(spec)
    assert again.spec == prior.spec
    seeds = np.array([[3, 4]], np.int32)
    np.testing.assert_array_equal(
        prior.decode(prior.init(seeds)), again.decode(again.init(seeds))
    )


def test_it_is_known_what_network_it_was_trained_with(prior, squeezenet):
    assert prior.trained == {"network": squeezenet.fingerprint()}


def test_the_file_tells_how_it_was_made(name):
    facts = _store.read_facts(_trained.bundled_file(name))
    assert facts["kind"] == name
    assert facts["steps"] > 10_000
    assert facts["photos"] == 62_000
    assert facts["held_out"] == 2000
    assert facts["network"]["source"] == "squeezenet"


def test_weights_have_16_bits(name):
    with np.load(_trained.bundled_file(name), allow_pickle=False) as file:
        kinds = {file[key].dtype.str for key in file.files if key != "settings"}
    assert kinds == {"<f2"}


@pytest.mark.data
def test_the_autoencoder_gives_photos_back(photos):
    """As the card says of 1,000, with some room: at least 21 dB, at 128 pixels."""
    prior = priors.load("autoencoder", 128)
    made, true = remade(prior, photos)
    error = ((made - true) ** 2).mean(axis=(1, 2, 3))
    assert -10 * np.log10(error).mean() > 24
    slopes = [measures.spectrum_slope(images).mean() for images in (made, true)]
    assert slopes[0] == pytest.approx(slopes[1], abs=0.4)
    # No grid: nothing stands out at the waves that strides of 2, 4 and 8 would leave.
    apart = power_at_waves(made) / power_at_waves(true)
    assert apart[[16, 32, 63]].max() < 1.5


@pytest.mark.data
def test_the_inverter_gives_what_the_network_saw(photos, squeezenet):
    """Of another 1,000 the card says more; 24 tell codes that are of no use."""
    prior = priors.load("inverter")
    made, true = remade(prior, photos)
    seen, wanted = (prior.encode(images)["code"] for images in (made, true))
    # Of its own photo a picture's code is nearer than of all others, nearly always.
    products = normalized(seen) @ normalized(wanted).T
    assert (products.argmax(axis=1) == np.arange(len(products))).mean() > 0.9


def test_random_images_of_the_inverter_have_no_lattice():
    """What is at the same place in all of them adds up, as nothing else does."""
    images = np.clip(priors.load("inverter").sample(256), 0, 1)
    grey = images.mean(axis=-1)
    waves = np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))
    common = np.abs(waves.mean(axis=0)) ** 2 / (np.abs(waves) ** 2).mean(axis=0)
    # Of images that have nothing in common, 1 / 256; a lattice had 0.7.
    assert common[4:-4, 4:].max() < 0.1
    assert common[4:-4, 4:].mean() < 0.01
    # Photos of 64 pixels have -2.74.
    assert measures.spectrum_slope(images).mean() == pytest.approx(-2.74, abs=0.4)


@pytest.mark.slow
def test_pictures_of_units(name, squeezenet):
    prior = priors.load(name, {"autoencoder": 96}.get(name))
    options = {"steps": 64, "seed": 1}
    units = ["logit:goldfish", "logit:lion"]
    result = tfviz.render(squeezenet, units, prior, **options)
    assert result.images.shape == (2, *prior.shape)
    assert (result.unit_scores > result.start_scores + 10).all()
    classes = squeezenet.logits(result.views).numpy().argmax(axis=1)
    np.testing.assert_array_equal(classes, [1, 291])
    again = tfviz.render(squeezenet, units, prior, **options)
    np.testing.assert_array_equal(result.images, again.images)


def test_the_command_line_knows_them_by_name(run):
    run("priors", "sample", "autoencoder", "--size", "48", "-n", "4", "-o", "a.png")
    run("priors", "sample", "inverter", "-n", "4", "-o", "b.png")
    assert names(".") == ["a.png", "b.png"]
    told = json.loads(
        run("priors", "info", "autoencoder", "--size", "48x40", "--json").stdout
    )
    assert told["encoder"] is True
    assert told["images"] == [48, 40, 3]
    told = json.loads(run("priors", "info", "inverter", "--json").stdout)
    assert told["encoder"] is True
    assert told["images"] == [64, 64, 3]
    listed = run("priors", "list").stdout
    assert "autoencoder   trained in " in listed
    assert "inverter      trained in " in listed


def remade(prior, photos):
    """Return what comes back of photos, and the photos at the prior's size."""
    made = np.clip(prior.decode(prior.encode(photos)), 0, 1)
    return made, np.clip(tfviz.views.resized()(photos, prior.shape), 0, 1)


def normalized(codes):
    codes = np.asarray(codes)
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def power_at_waves(images):
    """Return the mean power at each number of waves across, of grey images."""
    grey = images.mean(axis=-1)
    power = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2
    power = power.mean(axis=0)
    return (power.mean(axis=0) + power.mean(axis=1))[: len(power) // 2]
