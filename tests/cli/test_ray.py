"""The options `--ray`: bad input, and a Ray of our own on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support import build_toy, error_of, manifest, pictures

from tfviz import images

pytest.importorskip("ray", reason="ray is not installed")

FEW = ["--preprocess=-1,1", "--transforms", "none", "--batch-size", "4"]


@pytest.fixture(scope="module")
def toy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy.keras"
    build_toy().save(path)
    return path


class TestBadInput:
    def test_without_the_extra_it_says_what_to_install(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        result = run("render", "conv1:0", "-o", "out", "--ray", code=1)

        assert "Install it: pip install ray" in error_of(result)

    def test_an_address_that_does_not_answer_is_an_error_within_seconds(self, run):
        began = time.monotonic()
        result = run("render", "conv1:0", "-o", "o", "--ray", "127.0.0.1:9", code=1)

        assert "No Ray cluster answers at '127.0.0.1:9' ([Errno" in error_of(result)
        assert "`ray start --head` printed, such as 10.0.0.5:6379" in error_of(result)
        assert time.monotonic() - began < 10

    def test_a_unit_is_no_address(self, run):
        result = run("render", "-o", "out", "--ray", "fire8:*", code=2)

        assert "'fire8:*' is not the address of a Ray cluster" in result.stderr
        assert "write --ray last" in result.stderr

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--ray-cpus", "2"], "--ray-cpus is for workers on a Ray cluster. Add"),
            (["--dry-run", "--ray"], "--dry-run does not work with --ray"),
            (["--threads", "2", "--ray"], "--threads does not work with --ray"),
            (["--custom", "a:b", "--ray"], "--custom does not work with --ray"),
        ],
    )
    def test_options_that_do_not_fit(self, run, options, message):
        result = run("render", "conv1:0", "-o", "out", *options, code=2)

        assert message in result.stderr


@pytest.mark.slow
def test_a_ray_of_our_own_makes_the_same_pictures(run, toy_file):
    """One worker, so that the test is fast; tests/runs/test_cluster.py has more."""
    # The workers let TensorFlow optimize graphs, as users do; see conftest.py.
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    job = ["render", "conv_a:*", "logit:1", "-m", toy_file, *FEW, "--steps", "3"]
    try:
        run(*job, "-o", "plain")
    finally:
        tf.config.optimizer.set_experimental_options(before)
    result = run(*job, "-o", "out", "--json", "--ray-workers", "1", "--ray")

    assert pictures("out") == pictures("plain")
    *rows, last = map(json.loads, result.stdout.splitlines())
    assert {row["status"] for row in rows} == {"finished"}
    assert last["summary"]["made"] == 9
    assert {row["name"] for row in manifest("out")} == {row["name"] for row in rows}


@pytest.mark.slow
def test_examples_of_a_ray_of_our_own_are_the_same_file(run, toy_file, rng):
    """Several shards, files that cannot be read, ties, and a sample of the images."""
    photos = Path("photos")
    photos.mkdir()
    for i in range(50):
        picture = rng.random((20 + i % 7, 41, 3), np.float32)
        images.to_pil(np.round(picture * (i % 3))).save(photos / f"{i:02}.png")
    for i in (0, 7, 8, 30):
        (photos / f"{i:02}.png").write_bytes(b"no picture")
    job = ["examples", "-m", toy_file, "--preprocess=-1,1", "--images", photos]
    job += ["-k", 3, "--sample", 9, "--batch-size", 4]
    plain = run(*job, "-o", "plain.npz")
    result = run(*job, "-o", "ray.npz", "--ray-workers", "2", "--ray")

    assert Path("ray.npz").read_bytes() == Path("plain.npz").read_bytes()
    assert result.stdout == plain.stdout.replace("plain.npz", "ray.npz")
    assert "46 images, 4 could not be read" in result.stdout
    assert sorted(path.name for path in Path().glob("*.npz*")) == [
        "plain.npz",
        "ray.npz",
    ]


@pytest.mark.slow
def test_an_atlas_of_a_ray_of_our_own_is_the_same(run, toy_file, rng):
    """Its examples, its pictures of both signs, and so its pages."""
    Path("photos").mkdir()
    for i in range(6):
        image = images.to_pil(rng.random((32, 32, 3), np.float32))
        image.save(f"photos/{i}.png")
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    job = ["atlas", "conv_a:*", "logit:1", "-m", toy_file, "--preprocess=-1,1"]
    job += ["--images", "photos", "--batch-size", "4", "--steps", "2"]
    try:
        run(*job, "-o", "plain")
    finally:
        tf.config.optimizer.set_experimental_options(before)
    run(*job, "-o", "site", "--ray-workers", "1", "--ray")

    def contents(site):
        # Manifests have times.
        return {
            path.relative_to(site).as_posix(): path.read_bytes()
            for path in Path(site).rglob("*")
            if path.is_file() and path.name != "manifest.jsonl"
        }

    plain = contents("plain")
    assert contents("site") == plain
    assert {"index.html", "source/examples.npz"} < plain.keys()
    assert sum(name.startswith("source/negative/") for name in plain) == 8


def processes(session):
    """Return the commands of the processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(state[3]) == session and state[0] != "Z":
            found.append(command)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "steps"), [(1, 3000), (2, 10_000_000)])
def test_a_signal_leaves_no_process(tmp_path, toy_file, signals, steps):
    """The first ends the run after the current batches, the second one at once."""
    command = [sys.executable, "-m", "tfviz.cli", "render", "conv_a:*", "logit:*"]
    command += ["-m", str(toy_file), *FEW, "--steps", str(steps), "-o", "out", "--ray"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 300
    while sum("ray::PictureWorker.do" in c for c in processes(process.pid)) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, processes(process.pid)
        time.sleep(0.2)
    for _ in range(signals):
        # A terminal sends Ctrl-C to all processes of its group.
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1)
    _, errors = process.communicate(timeout=300)

    assert process.returncode == 1
    made = pictures(tmp_path / "out")
    if signals == 1:
        assert "Interrupted: 8 of 13 pictures are in out" in errors
        assert len(made) == 8
    else:
        assert made == {}
    until = time.monotonic() + 20
    while processes(process.pid):
        assert time.monotonic() < until, processes(process.pid)
        time.sleep(0.2)
    assert not list((tmp_path / "out").glob(".tfviz*"))
