"""Builds that are killed: the same command finishes them, as if nothing had been."""

import hashlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from atlas_parts import write_picture, write_pictures
from support import names

LAYERS = {"conv1": 30, "fire8": 60, "logit": 10}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "pictures"
    write_pictures(folder, LAYERS)
    for unit in range(20):
        write_picture(folder, f"-fire8:{unit}", (9, 9, 9), unit_score=0.75)
    return folder


def command(pictures, site):
    call = (sys.executable, "-m", "tfviz.cli", "atlas")
    return [*call, "--pictures", str(pictures), "-o", str(site)]


def build(pictures, site):
    subprocess.run(command(pictures, site), check=True, capture_output=True)


def contents(site):
    """The digest of each file below a folder, hidden ones as well."""
    return {
        file.relative_to(site).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in site.rglob("*")
        if file.is_file()
    }


def written(site):
    """The number of files, those that are being written as well."""
    return sum(1 for _ in site.rglob("*")) if site.is_dir() else 0


def kill_at(pictures, site, count, wait):
    """Kill a build, a moment after its folder holds a number of files.

    Returns:
        Whether it was killed before its end.
    """
    process = subprocess.Popen(
        command(pictures, site), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and written(site) < count:
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "kills", [2, pytest.param(10, marks=pytest.mark.slow)], ids=["two", "ten"]
)
def test_a_killed_build_ends_as_an_uninterrupted_one(pictures, tmp_path, kills):
    build(pictures, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    assert len([file for file in expected if file.startswith("pictures/")]) == 120
    rng = np.random.default_rng(kills)
    # One moment in each part of the build, the first of them before any picture.
    shares = (np.arange(kills) + rng.random(kills)) / kills
    killed = 0
    for place, share in enumerate(shares):
        site = tmp_path / f"site{place}"
        wait = rng.uniform(0, 0.01)
        killed += kill_at(pictures, site, int(share * 0.9 * len(expected)), wait)
        build(pictures, site)
        assert contents(site) == expected, share
        assert not list(site.rglob("*.part"))
    assert killed == kills
    assert names(tmp_path) == sorted(["whole", *(f"site{p}" for p in range(kills))])


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_ends(pictures, tmp_path):
    """Each build goes on where the one before was killed."""
    build(pictures, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    site = tmp_path / "site"
    for share in np.linspace(0.1, 0.9, 9):
        assert kill_at(pictures, site, int(share * len(expected)), 0)
    build(pictures, site)
    assert contents(site) == expected
