"""The blocks of each page run in order, in a folder with what the pages speak of."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from pages import commands, markdown_files, read_blocks, read_text
from PIL import Image
from support import DATA, ROOT

pytestmark = pytest.mark.slow
CLASSES = (
    *("goldfish", "lion", "king penguin", "monarch"),
    *("jellyfish", "spider web", "school bus", "banana"),
)
PHOTOS = (*CLASSES, "tabby", "strawberry", "snail", "castle")
PAGES = [
    str(file.relative_to(ROOT))
    for file in markdown_files()
    if any(
        block.language in ("sh", "python") and block.reason is None
        for block in read_blocks(read_text(file))
    )
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that each page begins with."""
    folder = tmp_path_factory.mktemp("pages")
    build_classifier().save(folder / "mine.keras")
    (folder / "mine.labels.txt").write_text("\n".join(CLASSES) + "\n")
    build_generator().save(folder / "gan.keras")
    (folder / "photos").mkdir()
    for name, photo in zip((*PHOTOS, "alp"), read_photos((*PHOTOS, "alp"))):
        place = "holiday" if name == "alp" else f"photos/{name.replace(' ', '_')}"
        photo.save(folder / f"{place}.jpg", quality=90)
    # The pages call the command by its name.
    (folder / "tfviz").write_text(f'#!/bin/sh\nexec {sys.executable} -m tfviz.cli "$@"')
    (folder / "tfviz").chmod(0o755)
    return folder


def build_classifier():
    """A classifier for photos of 64 pixels, with random weights."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((64, 64, 3), name="photo")
    x = layers.Rescaling(1 / 127.5, -1, name="rescaling")(x)
    for number, channels in enumerate((32, 48, 64, 96), 1):
        x = layers.Conv2D(channels, 3, padding="same", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    outputs = layers.Dense(len(CLASSES), activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="mine")


def build_generator():
    """A generator of images of 32 pixels from -1 to 1, with random weights."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(8 * 8 * 32),
            layers.LeakyReLU(),
            layers.Reshape((8, 8, 32)),
            layers.Conv2DTranspose(32, 4, 2, "same"),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(16, 4, 2, "same"),
            layers.LeakyReLU(),
            layers.Conv2D(3, 3, padding="same", activation="tanh"),
        ],
        name="gan",
    )


def read_photos(names):
    """Return a photo of each class, or one that is drawn where there are none."""
    archive = DATA / "imagenet-1000-samples.zip"
    if not archive.is_file():
        rng = np.random.default_rng(0)
        small = rng.integers(0, 256, (len(names), 6, 8, 3), np.uint8)
        return [Image.fromarray(x).resize((320, 240), Image.BICUBIC) for x in small]
    with zipfile.ZipFile(archive) as file:
        members = {Path(n).stem.partition("_")[2]: n for n in file.namelist()}
        contents = [file.read(members[name.replace(" ", "_")]) for name in names]
    return [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]


def as_script(blocks):
    """Return a page as one script, in which its blocks of Python share their names.

    Installing is left out: that the page is tested here shows that it was done.
    """
    lines = ["import subprocess as _subprocess"]
    for block in blocks:
        if block.reason is not None:
            continue
        if block.language == "python":
            lines.append(block.code)
        elif block.language == "sh":
            for _, line in commands(block):
                if line.startswith("tfviz "):
                    lines.append(f"print({'$ ' + line!r}, flush=True)")
                    call = f"['bash', '-c', {line!r}], check=True"
                    lines.append(f"_subprocess.run({call})")
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, folder, tmp_path):
    work = tmp_path / "page"
    shutil.copytree(folder, work)
    (work / "_page.py").write_text(as_script(read_blocks(read_text(ROOT / page))))
    result = subprocess.run(
        [sys.executable, "_page.py"],
        cwd=work,
        env=os.environ
        | {
            "PATH": f"{work}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "Agg",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout[-5000:]
