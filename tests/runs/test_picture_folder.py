"""A folder of pictures, which a run can continue."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tfviz import images
from tfviz.runs.picture_folder import PictureFolder


def picture_of(name, repeat=0):
    return SimpleNamespace(name=name, text=name, repeat=repeat)


def save_as(folder, name, unit, repeat=0):
    folder.mkdir(exist_ok=True)
    spec = {"tfviz": "1", "unit": unit, "repeat": repeat, "name": unit, "seed": 0}
    images.save(Image.new("RGB", (4, 4)), folder / name, spec)


def test_a_new_picture_never_takes_the_file_of_another(tmp_path):
    """Guards against names that differ only in what files cannot be called."""
    save_as(tmp_path, "a.b-1.png", "a.b:1")
    folder = PictureFolder(tmp_path, {"seed": 0})
    wanted = [picture_of("a/b:1"), picture_of("a.b:1"), picture_of("sheet")]

    files = [file.name for file in folder.choose_files(wanted, ".png")]
    assert files == ["a.b-1_2.png", "a.b-1.png", "sheet_2.png"]


def test_names_do_not_depend_on_which_pictures_are_finished(tmp_path, rng):
    wanted = [picture_of(n, i // 3) for i, n in enumerate(["a/b", "a.b", "x"] * 3)]
    (tmp_path / "none").mkdir()
    names = PictureFolder(tmp_path / "none", {}).choose_files(wanted, ".png")
    for number in range(8):
        path = tmp_path / str(number)
        for i in rng.permutation(9)[: number + 1]:
            save_as(path, names[i].name, wanted[i].text, wanted[i].repeat)
        chosen = PictureFolder(path, {"seed": 0}).choose_files(wanted, ".png")
        assert [file.name for file in chosen] == [file.name for file in names]


def test_settings_are_compared_with_all_pictures_but_those_replaced(tmp_path):
    for i in range(3):
        save_as(tmp_path, f"{i}.png", f"a:{i}")
    PictureFolder(tmp_path, {"seed": 0, "tfviz": "2"}).check_settings()
    other = PictureFolder(tmp_path, {"seed": 1})
    other.check_settings({(f"a:{i}", 0) for i in range(3)})

    with pytest.raises(ValueError, match=r"such as 1.png: seed is 0 there and 1"):
        other.check_settings({("a:0", 0)})


def test_thousands_of_pictures_are_read_in_seconds(tmp_path, rng):
    """Half a millisecond each, as they are not decoded: 20 times the size here."""
    noise = Image.fromarray(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8))
    spec = {"tfviz": "1", "unit": "a:0", "repeat": 0, "name": "a:0", "seed": 0}
    images.save(noise, tmp_path / "0.png", spec | {"long": "x" * 3000})
    whole = (tmp_path / "0.png").read_bytes()
    for i in range(1, 1000):
        (tmp_path / f"{i}.png").write_bytes(whole)
    began = time.process_time()
    PictureFolder(tmp_path, {"seed": 0})

    assert time.process_time() - began < 2
