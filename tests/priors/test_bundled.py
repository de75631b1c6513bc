"""The bundled priors, as users meet them: sizes, descriptions, quality, units."""

import io
import json
from zipfile import ZipFile

import numpy as np
import pytest
import tensorflow as tf
import tfviz
from support import names
from tfviz import measures, priors
from tfviz.priors import _trained

SIZES = {"autoencoder": (48, 40), "inverter": None}
# The number of components of each latent at these sizes.
NUMBERS = {"autoencoder": {"latent": 6 * 5 * 8}, "inverter": {"code": 320}}


@pytest.fixture(scope="module", params=SIZES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def prior(name):
    return priors.load(name, SIZES[name])


@pytest.fixture(scope="module")
def photos(data):
    """Return the centre crops of 24 photos of different classes."""
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
    assert images.std(axis=(1, 2)).min() > 0.02  # not uniformly grey
    assert np.abs(images[0] - images[1]).mean() > 0.02

    again = prior.init(np.array([[0, 2]], np.int32))
    np.testing.assert_allclose(prior.decode(again)[0], images[1], atol=1e-5)
    sizes = {k: int(np.prod(v.shape)) for k, v in prior.latents.items()}
    assert sizes == NUMBERS[name]


@pytest.mark.parametrize("size", [(57, 90), (64, 64), (224, 130)])
def test_images_of_any_size_can_be_encoded(prior, size, rng):
    latents = prior.encode(rng.uniform(size=(2, *size, 3)).astype("float32"))
    assert np.asarray(prior.decode(latents)).shape == (2, *prior.shape)


def test_codes_of_the_inverter_stay_near_those_of_photos(rng):
    prior = priors.load("inverter")
    far = rng.normal(0, [[3.0], [0.5]], (2, 320)).astype("float32")
    near = prior.project({"code": tf.constant(far)})["code"].numpy()

    assert np.abs(near[0]).max() == 2
    # In 95 of 100 vectors of 320 normal numbers the sum of squares is below 362.7.
    assert (near**2).sum(axis=1).max() < 363
    np.testing.assert_array_equal(near[1], far[1])


def test_a_prior_is_made_again_from_its_description(prior):
    spec = json.loads(json.dumps(prior.spec))
    again = priors.from_spec(spec)
    assert again.spec == prior.spec
    seeds = np.array([[3, 4]], np.int32)
    np.testing.assert_array_equal(
        prior.decode(prior.init(seeds)), again.decode(again.init(seeds))
    )


def test_the_network_of_the_training_is_recorded(prior, squeezenet):
    assert prior.trained["networks"] == {"squeezenet": squeezenet.fingerprint()}
    assert prior.trained["data"] == ["ImageNet"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"data": ["ImageNet"], "without": ["a", "b"], "sources": {"a.zip": 9}},
            (
                "Trained on 1,000 photos (a.zip), without 2 that were left out, "
                "without the features of any network. The photos are of ImageNet."
            ),
        ),
        (
            {"network": {"name": "net", "hash": "abc", "source": None}},
            "Trained on 1,000 photos, to match them in the features of net.",
        ),
    ],
)
def test_what_a_file_says_of_its_training(settings, expected):
    trained = _trained._training({"photos": 1000} | settings)
    assert trained["about"] == expected
    assert trained["data"] == settings.get("data", [])
    assert trained["networks"] == ({"net": "abc"} if "network" in settings else {})


def test_the_file_records_facts_of_the_training(name):
    facts = _trained.read_facts(_trained.bundled_file(name))
    assert facts["kind"] == name
    assert facts["steps"] > 10_000
    assert facts["photos"] == 62_000
    assert facts["held_out"] == 2000
    assert facts["network"]["source"] == "squeezenet"


def test_weights_are_stored_with_16_bits(name):
    with np.load(_trained.bundled_file(name), allow_pickle=False) as file:
        kinds = {file[key].dtype.str for key in file.files if key != "settings"}
    assert kinds == {"<f2"}


@pytest.mark.data
def test_the_autoencoder_reconstructs_photos(photos):
    """Checks the error and the spectrum of the model card on fewer photos.

    The card has 27.4 dB for 1,000 photos, and slopes of -3.00 and, for the photos
    themselves, -2.71. Of these 24 photos, the mean PSNR has a standard error of 0.5 dB.
    """
    prior = priors.load("autoencoder", 128)
    made, true = reconstruct(prior, photos)
    assert psnr(made, true) == pytest.approx(26.9, abs=0.1)
    slopes = [measures.spectrum_slope(images).mean() for images in (made, true)]
    np.testing.assert_allclose(slopes, [-3.01, -2.69], atol=0.03)
    # No grid: power does not stand out at the periods of strides of 2, 4 and 8.
    ratio = power_at_waves(made) / power_at_waves(true)
    assert ratio[[16, 32, 63]].max() < 1.5


@pytest.mark.data
def test_the_inverter_reconstructs_codes(photos, squeezenet):
    """Checks that codes are useful, and the error and the spectrum of the model card.

    The card has 18.3 dB for 1,000 photos, and slopes of -2.92 and, for the photos
    themselves, -2.74.
    """
    prior = priors.load("inverter")
    made, true = reconstruct(prior, photos)
    assert psnr(made, true) == pytest.approx(18.4, abs=0.1)
    slopes = [measures.spectrum_slope(images).mean() for images in (made, true)]
    np.testing.assert_allclose(slopes, [-3.0, -2.76], atol=0.03)
    codes, expected = (prior.encode(images)["code"] for images in (made, true))
    # The code of a reconstruction is nearly always nearest to that of its own photo.
    products = normalized(codes) @ normalized(expected).T
    assert (products.argmax(axis=1) == np.arange(len(products))).mean() > 0.9


def test_random_images_of_the_inverter_have_no_lattice():
    """A lattice is at the same position in all images, so it survives their mean."""
    images = np.clip(priors.load("inverter").sample(256), 0, 1)
    grey = images.mean(axis=-1)
    waves = np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))
    common = np.abs(waves.mean(axis=0)) ** 2 / (np.abs(waves) ** 2).mean(axis=0)
    # Independent images would give 1 / 256; a lattice gave 0.7.
    assert common[4:-4, 4:].max() < 0.1
    assert common[4:-4, 4:].mean() < 0.01
    # The slope of photos of 64 pixels is -2.74.
    assert measures.spectrum_slope(images).mean() == pytest.approx(-2.74, abs=0.4)


@pytest.mark.slow
def test_rendering_reaches_classes_reproducibly(name, squeezenet):
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


def test_commands_take_bundled_priors_by_name(run):
    run("priors", "sample", "autoencoder", "--size", "48", "-n", "4", "-o", "a.png")
    run("priors", "sample", "inverter", "-n", "4", "-o", "b.png")
    assert names(".") == ["a.png", "b.png"]
    info = json.loads(
        run("priors", "info", "autoencoder", "--size", "48x40", "--json").stdout
    )
    assert info["encoder"] is True
    assert info["images"] == [48, 40, 3]
    assert info["kinship"]["squeezenet"] == "same network"
    described = run("priors", "info", "autoencoder", "--size", "48").stdout
    assert "training  Trained on 62,000 photos, to match them in the fea" in described
    assert described.endswith(
        "kinship   squeezenet: same network\n"
        "kinship   other networks trained on ImageNet: same data\n"
        "kinship   all others: other network\n"
    )
    info = json.loads(run("priors", "info", "inverter", "--json").stdout)
    assert info["encoder"] is True
    assert info["images"] == [64, 64, 3]
    listed = run("priors", "list").stdout
    assert "autoencoder   trained in " in listed
    assert "inverter      trained in " in listed


def reconstruct(prior, photos):
    """Return the reconstructions of photos, and the photos at the prior's size."""
    made = np.clip(prior.decode(prior.encode(photos)), 0, 1)
    return made, np.clip(tfviz.views.resized()(photos, prior.shape), 0, 1)


def psnr(made, true):
    """Return the mean peak signal-to-noise ratio of images in [0, 1], in dB."""
    return -10 * np.log10(((made - true) ** 2).mean(axis=(1, 2, 3))).mean()


def normalized(codes):
    codes = np.asarray(codes)
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def power_at_waves(images):
    """Return the mean power of grey images at each frequency, along both axes."""
    grey = images.mean(axis=-1)
    power = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2
    power = power.mean(axis=0)
    return (power.mean(axis=0) + power.mean(axis=1))[: len(power) // 2]
