"""A newcomer follows the first page literally, in a new environment."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from pages import DOCS, commands, read_blocks, read_text
from PIL import Image
from support import ROOT

from tfviz import images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new environment, with nothing in it.

    The page installs from the repository. Only this is replaced: by a wheel of this
    checkout, with its dependencies from where pip finds packages on this machine.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "new", cwd=folder)
    bin = folder / "new" / "bin"
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    run(sys.executable, *wheel, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(bin / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return bin


def run(*command, cwd, **variables):
    result = subprocess.run(
        command,
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    return result.stdout


def test_the_page_can_be_followed(environment, tmp_path):
    blocks = read_blocks(read_text(DOCS / "get-started.md"))
    install, *blocks = [b for b in blocks if b.language != "text" and b.reason is None]
    (line,) = commands(install)
    assert line[1] == "pip install git+https://github.com/tfviz/tfviz"
    path = f"{environment}{os.pathsep}{os.environ['PATH']}"

    printed = ""
    for block in blocks:
        if block.language == "python":
            printed += run(environment / "python", "-c", block.code, cwd=tmp_path)
        else:
            printed += run("bash", "-ec", block.code, cwd=tmp_path, PATH=path)

    names = {"fire8-20.png", "logit-goldfish.png"}
    assert {file.name for file in (tmp_path / "first").iterdir()} == names
    second = {file.name for file in (tmp_path / "second").iterdir()}
    assert second == names | {"manifest.jsonl"}
    assert (tmp_path / "four" / "fire9-3.png").exists()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (472, 258)
    for name in names:
        np.testing.assert_array_equal(
            images.read(tmp_path / "first" / name),
            images.read(tmp_path / "second" / name),
        )
    np.testing.assert_array_equal(
        images.read(tmp_path / "second" / "logit-goldfish.png"),
        images.read(tmp_path / "again" / "logit-goldfish.png"),
    )
    # The command that `tfviz top` proposes.
    assert re.search(r"^tfviz render fire9:\d+ logit:goldfish ", printed, re.M)
