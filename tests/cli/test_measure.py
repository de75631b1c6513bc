"""`tfviz calibrate`; `tfviz levels` is tested with `tfviz.levels`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfviz import images, statistics
from tfviz.cli.main import main


def run(*arguments):
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, rng):
    """A folder of twelve pictures, two of them in a subfolder, and a text file."""
    path = tmp_path / "images"
    (path / "more").mkdir(parents=True)
    for number in range(12):
        place = path / "more" if number > 9 else path
        values = rng.integers(0, 255, size=(24, 20 + number, 3), dtype=np.uint8)
        Image.fromarray(values).save(place / f"{number:02}.png")
    (path / "notes.txt").write_text("no image")
    return path


def expected(folder, size, grey=False):
    pictures = [images.read(p) for p in sorted(folder.rglob("*.png"))]
    if grey:
        pictures = [picture.mean(axis=-1, keepdims=True) for picture in pictures]
    return statistics.measure(pictures, size=size)


def test_pictures_in_subfolders_are_measured(folder, tmp_path):
    file = tmp_path / "new" / "stats.npz"
    result = run("--images", folder, "-o", file, "--size", 16)

    assert result.exit_code == 0, result.output
    stats = statistics.load(file)
    assert stats.count == 12
    assert stats.digest == expected(folder, 16).digest
    mean = " ".join(f"{value:7.3f}" for value in stats.mean)
    assert f"mean      {mean}" in result.stdout
    assert f"statistics.load('{file}')" in result.stdout
    assert "12 images of 16x16 pixels, 3 channels" in result.stdout
    assert result.stdout.count("colours") == 3


def test_statistics_are_printed_as_json(folder, tmp_path):
    file = tmp_path / "stats.npz"
    result = run("--images", folder, "-o", file, "--size", 16, "--json")
    printed = json.loads(result.stdout)
    stats = statistics.load(file)

    assert printed["file"] == str(file)
    assert printed["digest"] == stats.digest
    np.testing.assert_allclose(printed["color"], stats.color, atol=1e-6)
    np.testing.assert_allclose(printed["slope"], stats.slope())


def test_arrays_of_any_channels_are_measured(tmp_path, rng):
    arrays = rng.uniform(size=(11, 18, 16, 6)).astype(np.float32)
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number:02}.npy", array)
    file = tmp_path / "stats.npz"
    result = run("--images", tmp_path, "-o", file, "--size", 16)

    assert result.exit_code == 0, result.output
    assert statistics.load(file).digest == statistics.measure(arrays, size=16).digest


def test_pictures_are_converted_to_one_channel(folder, tmp_path):
    file = tmp_path / "stats.npz"
    result = run("--images", folder, "-o", file, "--size", 16, "--channels", 1)

    assert result.exit_code == 0, result.output
    assert statistics.load(file).digest == expected(folder, 16, grey=True).digest


def test_files_that_cannot_be_measured_are_named_and_left_out(folder, tmp_path, rng):
    before = expected(folder, 16)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "cut.png").write_bytes((folder / "03.png").read_bytes()[:500])
    Image.new("RGB", (9, 40)).save(folder / "small.png")
    np.save(folder / "other.npy", rng.uniform(size=(20, 20, 5)))
    np.save(folder / "range.npy", 300 * rng.uniform(size=(20, 20, 3)))
    np.save(folder / "text.npy", np.array(["a"]))
    np.save(folder / "pickle.npy", np.array([{}], object), allow_pickle=True)
    file = tmp_path / "stats.npz"
    result = run("--images", folder, "-o", file, "--size", 16)

    assert result.exit_code == 0, result.output
    assert "Warning: 7 of 19 files are left out: " in result.stderr
    assert "broken.png: " in result.stderr
    assert "It has 5 channels, not 3" in result.stderr
    assert "; and 2 more" in result.stderr
    assert statistics.load(file).digest == before.digest


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    result = run("--images", tmp_path, "-o", tmp_path / "stats.npz")

    assert result.exit_code == 1
    assert "holds no images" in result.stderr
    assert not (tmp_path / "stats.npz").exists()


def test_too_few_images_are_refused(folder, tmp_path):
    for file in (folder / "more").iterdir():
        file.unlink()
    (folder / "00.png").write_bytes(b"no picture")
    result = run("--images", folder, "-o", tmp_path / "stats.npz", "--size", 16)

    assert result.exit_code == 1
    assert "9 of 10 files could be measured; at least 10 are needed" in result.stderr
    assert not (tmp_path / "stats.npz").exists()


def test_images_that_are_all_too_small_say_so(folder, tmp_path):
    result = run("--images", folder, "-o", tmp_path / "stats.npz")

    assert result.exit_code == 1
    assert "smaller than 224" in result.stderr
    assert "0 of 12 files could be measured" in result.stderr


def test_bad_arguments_have_exit_code_2(folder, tmp_path):
    file = tmp_path / "stats.npz"
    for arguments, message in [
        (("--images", tmp_path / "nowhere", "-o", file), "does not exist"),
        (("--images", folder, "-o", tmp_path / "stats.txt"), "must end in .npz"),
        (("--images", folder), "Missing option '-o'"),
        (("--images", folder, "-o", file, "--size", 8), "x>=16"),
        (
            ("--images", folder, "-o", folder / "notes.txt" / "a.npz"),
            "is a file, not a folder",
        ),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr
