"""What is installed: every package and data file of the checkout, and nothing else."""

import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from support import ROOT

# Where the folders of the checkout are installed.
HOMES = {"tfviz": "tfviz", "priors": "tfviz/priors", "cli": "tfviz/cli"}


def checkout():
    """Return the files of the package, by the names they are installed under."""
    return {
        f"{home}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, home in HOMES.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }


def test_every_package_is_listed():
    """One that is not works from the checkout, and is missing from the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {
        name.removesuffix("/__init__.py").replace("/", ".")
        for name in checkout()
        if name.endswith("/__init__.py")
    }

    assert settings["tool"]["setuptools"]["packages"] == sorted(found)
    with_code = {name.rpartition("/")[0] for name in checkout() if name[-3:] == ".py"}
    assert {name.replace("/", ".") for name in with_code} == found


def test_the_wheel_holds_every_module_and_data_file(tmp_path):
    for name in (*HOMES, "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        installed = {name for name in file.namelist() if ".dist-info/" not in name}

    assert installed == checkout()


@pytest.mark.slow
def test_every_module_can_be_imported_from_anywhere(tmp_path):
    """As it is installed here: in a checkout that is the editable install."""
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in checkout()
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    code = "import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *modules], cwd=tmp_path, check=True)
