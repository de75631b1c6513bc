"""`tfviz examples`, and `tfviz levels` from its file."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from support import build_toy, error_of, names

import tfviz
from tfviz import images, levels
from tfviz.analysis import dataset_examples

TOY = ["-m", "toy.keras", "--preprocess=-1,1"]


@pytest.fixture
def photos(run, rng):
    """A folder of eleven photos and seven files that cannot be read."""
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    for i in range(11):
        picture = rng.random((20 + i, 41 - i, 3), np.float32)
        images.to_pil(picture).save(folder / ("more" if i % 2 else ".") / f"{i:02}.png")
    for i in range(7):
        (folder / f"broken{i}.jpg").write_bytes(b"no picture")
    build_toy().save("toy.keras")
    return folder


def adapt_toy():
    return tfviz.adapt(tfviz.load_model("toy.keras"), (-1, 1))


def test_the_file_is_that_of_the_library(run, photos):
    result = run(
        "examples", *TOY, "--images", photos, "-o", "new/e.npz", "-k", 3,
        "--layers", "conv*", "-l", "logit", "--by", "mean", "--spread", 4,
        "--bins", 8, "--sample", 6, "--seed", 2, "--batch-size", 4,
    )  # fmt: skip
    tfviz.dataset_examples(
        adapt_toy(), photos, ["conv*", "logit"], k=3, by="mean", spread=4, bins=8,
        sample=6, seed=2, batch_size=4, output="expected.npz",
    )  # fmt: skip

    assert Path("new/e.npz").read_bytes() == Path("expected.npz").read_bytes()
    assert names("new") == ["e.npz"]
    lines = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["conv_a", "8", "units"], ["conv_b", "12", "units"], ["logit", "5", "units"],
    ]  # fmt: skip
    assert " 15x15  field       3x3  fire on" in lines[0]
    assert "     -  field     32x32" in lines[2]
    assert lines[3] == f"{Path('new/e.npz')}: 3 layers, 11 images, 7 could not be read"
    named = [line for line in result.stderr.splitlines() if "broken" in line]
    assert named == [
        f"Not read: broken{i}.jpg: cannot be read as an image" for i in range(5)
    ]
    assert "and 2 more" in result.stderr.splitlines()
    assert "18/18 images" in result.stderr


def test_json_has_all_facts(run, photos):
    result = run("examples", *TOY, "--images", photos, "-o", "e.npz", "--json")
    facts, found = json.loads(result.stdout), tfviz.load_examples("e.npz")

    assert (facts["file"], facts["images"]) == ("e.npz", 11)
    assert [entry["file"] for entry in facts["unreadable"]] == [
        file for file, _ in found.unreadable
    ]
    assert len(facts["unreadable"]) == 7
    rows = {row["layer"]: row for row in facts["layers"]}
    assert list(rows) == ["conv_a", "conv_b", "pool", "head", "logit"]
    layer = found.layers["conv_b"]
    assert rows["conv_b"] == {
        "layer": "conv_b",
        "units": 12,
        "map": [7, 7],
        "field": [7, 7],
        "never_fire": int((layer.fires == 0).sum()),
        "fires": pytest.approx(float(np.median(layer.fires))),
    }


def test_ctrl_c_stops_after_a_batch_and_the_same_command_continues(
    run, photos, monkeypatch
):
    command = ["examples", *TOY, "--images", photos, "-l", "conv_b", "--batch-size", 4]
    run(*command, "-o", "whole.npz")
    from tfviz.cli import examples

    show = examples.ExamplesProgress.note

    def press(self, done, total):
        if done == 8:
            os.kill(os.getpid(), signal.SIGINT)
        show(self, done, total)

    monkeypatch.setattr(examples.ExamplesProgress, "note", press)
    result = run(*command, "-o", "e.npz", code=1)
    assert "Stopping after this batch" in result.stderr
    assert error_of(result) == (
        "Error: Interrupted: 8 of 18 images are done. The same command continues from "
        "e.npz.partial."
    )
    assert Path("e.npz.partial").exists()
    assert not Path("e.npz").exists()
    other = run(*command, "-o", "e.npz", "-k", 4, code=1)
    assert "other settings: k is 9 there and 4 here" in error_of(other)
    run(*command, "-o", "e.npz")
    assert Path("e.npz").read_bytes() == Path("whole.npz").read_bytes()
    assert not Path("e.npz.partial").exists()


@pytest.mark.parametrize("writes", [2, 5])
def test_a_full_disk_keeps_the_last_state(run, photos, monkeypatch, writes):
    """While the state is written, and while the result is, after five batches."""
    command = ["examples", *TOY, "--images", photos, "-l", "conv_b", "--batch-size", 4]
    run(*command, "-o", "whole.npz")
    original, written = os.fsync, []

    def fsync(handle):
        written.append(handle)
        if len(written) > writes:
            raise OSError(28, os.strerror(28))
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(dataset_examples, "SAVE_SECONDS", 0)
        result = run(*command, "-o", "e.npz", code=1)
    file = "e.npz.partial" if writes == 2 else "e.npz"
    assert error_of(result) == (
        f"Error: No space left on device ({file}). What is finished is kept; once the "
        "problem is solved, the same command goes on from there."
    )
    kept = ["e.npz.partial", "photos", "toy.keras", "whole.npz"]
    assert names(".") == kept

    Path(".tfviz-00000000-other.part").touch()  # of another file, by its checksum
    result = run(*command, "-o", "e.npz")
    assert "Continuing from e.npz.partial" in result.stderr
    assert Path("e.npz").read_bytes() == Path("whole.npz").read_bytes()
    assert names(".") == [".tfviz-00000000-other.part", "e.npz", *kept[1:]]


def test_levels_are_taken_from_the_file(run, photos):
    run("examples", *TOY, "--images", photos, "-o", "e.npz")
    result = run("levels", "--examples", "e.npz", "-o", "from.npz")
    run("levels", *TOY, "--images", photos, "-o", "measured.npz")
    found, measured = levels.load("from.npz"), levels.load("measured.npz")

    assert result.stdout == "from.npz: 5 layers, 11 photos\n"
    assert list(found.layers) == list(measured.layers)
    assert found.count == measured.count
    for path, level in measured.layers.items():
        for name in ("mean", "deviation", "highest"):
            # Files of levels keep three digits.
            np.testing.assert_allclose(
                getattr(found.layers[path], name), getattr(level, name), rtol=1e-3,
                atol=1e-6,
            )  # fmt: skip
    run("levels", "--examples", "e.npz", "-l", "pool", "-o", "pool.npz")
    assert list(levels.load("pool.npz").layers) == ["pool", ":logits"]
    result = run("levels", "--examples", "e.npz", "-l", "pol", "-o", "x.npz", code=1)
    assert "no layer 'pol'. Did you mean 'pool'? They have conv_a" in error_of(result)
    run("levels", "--examples", "e.npz", "-l", "logit", "-o", "logit.npz")
    assert list(levels.load("logit.npz").layers) == [":logits"]


def test_levels_of_another_model_are_refused(run, photos):
    run("examples", *TOY, "--images", photos, "-l", "pool", "-o", "e.npz")
    other = build_toy()
    other.layers[0].bias.assign(other.layers[0].bias + 1)
    other.save("other.keras")
    model = ["-m", "other.keras", "--preprocess=-1,1"]
    result = run("levels", "--examples", "e.npz", *model, "-o", "l.npz", code=1)

    assert "The examples are not those of model 'toy'" in error_of(result)
    assert not Path("l.npz").exists()
    run("levels", "--examples", "e.npz", *TOY, "-o", "l.npz")
    assert list(levels.load("l.npz").layers) == ["pool"]


def test_top_takes_the_file_as_levels(run, photos):
    run("examples", *TOY, "--images", photos, "-o", "e.npz")
    run("levels", "--examples", "e.npz", "-o", "l.npz")
    options = [*TOY, photos / "00.png", "-n", 2, "--levels"]
    result = run("top", *options, "e.npz")

    assert result.stdout.count("sigma above usual") == 4
    assert result.stdout == run("top", *options, "l.npz").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--images", "empty", "-o", "e.npz"], 1, "'empty' holds no images"),
        (["--images", "bad", "-o", "e.npz"], 1, "None of 1 image could be read"),
        (["--images", "nowhere", "-o", "e.npz"], 2, "'nowhere' does not exist"),
        (["--images", "bad", "-o", "e.txt"], 2, "must end in .npz"),
        (["--images", "bad", "-o", "f/e.npz"], 2, "'f' is a file, not a folder"),
        (["--images", "bad", "-o", "e.npz", "-l", "pol"], 1, "Did you mean 'pool'"),
        (["--images", "bad", "-o", "e.npz", "-l", "x*"], 1, "No layer matches 'x*'"),
        (["--images", "bad", "-o", "e.npz", "-k", "0"], 2, "0 is not in the range"),
        (["--images", "bad", "-o", "e.npz", "--by", "max"], 2, "'max' is not one of"),
        (["--images", "bad"], 2, "Missing option '-o'"),
        (["-o", "e.npz"], 2, "Missing option '--images'"),
    ],
)
def test_bad_input_is_one_line(run, arguments, code, said):
    Path("empty").mkdir()
    Path("bad").mkdir()
    Path("f").touch()
    Path("bad/a.png").write_bytes(b"no picture")
    build_toy().save("toy.keras")

    assert said in error_of(run("examples", *TOY, *arguments, code=code))
    assert not Path("e.npz").exists()
