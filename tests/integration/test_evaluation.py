"""Tests of the scripts that evaluate priors and measure photographs."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from support import load_script


@pytest.fixture(scope="module")
def evaluation():
    return load_script("evaluate_priors")


@pytest.fixture(scope="module")
def photographs():
    return load_script("measure_photographs")


def noise(count, amplitude=0.0):
    """Grey pictures of independent noise with the same oblique wave in all of them."""
    rows, columns = np.mgrid[:48, :64]
    wave = np.cos(2 * np.pi * (10 * rows / 48 + 14 * columns / 64))
    values = np.random.default_rng(0).normal(0.5, 0.05, (count, 48, 64, 1))
    return np.repeat(values + amplitude * wave[..., None], 3, axis=-1)


def test_a_lattice_is_found_with_its_amplitude(evaluation):
    found = evaluation.lattice(noise(256, 0.02))

    # The power of a wave is a quarter of the squared amplitude, times squared pixels.
    power, of_noise = (0.02 * 48 * 64 / 2) ** 2, 0.05**2 * 48 * 64
    assert found["lattice"] == pytest.approx(power / (power + of_noise), abs=0.02)
    assert found["amplitude"] == pytest.approx(255 * 0.02, rel=0.05)


def test_independent_pictures_have_no_lattice(evaluation):
    found = evaluation.lattice(noise(256))

    assert found["lattice"] < 0.05
    assert found["amplitude"] == 0


@pytest.mark.data
def test_photos_that_nearly_equal_training_photos_are_left_out(
    evaluation, data, capsys
):
    photos, classes = evaluation.load_photos(data, 16, 5)

    assert (
        "955 of 1000 photos nearly equal no training photo" in capsys.readouterr().out
    )
    assert photos.shape == (5, 16, 16, 3)
    leaks = json.loads((data / "evaluation-leaks.json").read_text())["photos"]
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))
    assert not {names[k].partition("_")[0] for k in classes} & set(leaks)
    assert (np.diff(classes) > 200).all()  # spread over all classes
    with zipfile.ZipFile(data / "tiny-imagenet-64px.zip") as archive:
        training = set(archive.namelist())
    train = json.loads((data / "evaluation-leaks.json").read_text())["train"]
    assert set(train) <= training


@pytest.mark.data
def test_taesd_is_loaded_by_its_name(evaluation, data):
    prior = evaluation.load_prior("taesd:48", data)

    assert prior.shape == (48, 48, 3)
    assert prior.encode is not None


@pytest.mark.parametrize(
    ("rows", "value", "framed"),
    [
        (0, 255, False),
        (20, 250, False),
        (30, 250, True),
        (30, 5, True),
        (30, 99, False),
    ],
)
def test_a_picture_with_a_plain_border_is_framed(photographs, rows, value, framed):
    picture = np.full((50, 50, 3), 128, np.uint8)
    picture[:rows, [0, -1]] = value  # about `2 * rows` of 200 pixels
    picture[5:45, 5:45] = 255  # what is inside does not matter

    assert photographs.is_framed(picture) is framed


def test_only_large_photographs_without_frames_are_measured(photographs, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, size, colour in (
            ("small.png", 20, 128),
            ("photo.webp", 40, 128),
            ("white.jpg", 40, 255),
            ("notes.txt", 40, 128),
        ):
            content = io.BytesIO()
            kind = name.rpartition(".")[2].replace("jpg", "jpeg").replace("txt", "png")
            Image.new("RGB", (size, 60), (colour,) * 3).save(content, kind)
            archive.writestr(f"set/{name}", content.getvalue())

    (photo,) = photographs.photographs(tmp_path / "photos.zip", 40)
    assert photo.shape == (60, 40, 3)
    np.testing.assert_allclose(photo, 128, atol=2)


def test_units_are_chosen_once_each_and_always_the_same_ones(evaluation, squeezenet):
    layers = ["fire6", "fire9"]
    texts, classes = evaluation.choose_units(squeezenet, layers, 200)

    assert len(texts) == len(set(texts)) == 400
    assert texts[:200] == [f"logit:{k}" for k in sorted(set(classes))]
    found = [text.partition(":")[0] for text in texts[200:]]
    assert found == layers * 100
    again, _ = evaluation.choose_units(squeezenet, layers, 200)
    assert texts == again


def test_what_pictures_tell_is_above_those_of_other_units(evaluation, rng):
    """Units that respond to one feature each, in pictures that have that feature."""
    photos = rng.normal(size=(80, 6))
    features = np.eye(6)[:, None] + rng.normal(0, 0.05, (6, 2, 6))

    told = evaluation.told(features, photos, photos)
    assert (told > 0.25).all()
    wrong = evaluation.told(features[::-1], photos, photos)
    assert wrong.mean() < 0
    assert wrong.max() < told.min()
    # The same pictures for all units tell nothing about any of them.
    same = evaluation.told(np.repeat(features[:1], 6, axis=0), photos, photos)
    np.testing.assert_allclose(same, 0, atol=1e-12)
