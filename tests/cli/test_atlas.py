import json
import os
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from atlas_parts import dataset_examples, network_facts, write_picture, write_pictures
from support import build_overflowing, build_toy, error_of, names, pictures

import tfviz
from tfviz import images
from tfviz.cli.atlas import atlas
from tfviz.optimize.job import Job
from tfviz.site import sprites


def test_a_site_is_built_from_pictures(run, tmp_path):
    write_pictures(tmp_path / "a", {"fire8": 3})
    result = run("atlas", "--pictures", "a", "--title", "Mine", "-o", "site")

    assert result.stdout == "site/index.html\n"
    assert "<h1>Mine</h1>" in (tmp_path / "site/index.html").read_text()
    again = run("atlas", "--pictures", "a", "--title", "Mine", "-o", "site")
    assert again.stdout == "site/index.html\n"


def test_the_quality_is_that_of_the_library():
    """It stands twice, as the library imports NumPy and `--help` does not."""
    (option,) = (param for param in atlas.params if param.name == "quality")
    assert option.default == sprites.QUALITY


def test_facts_are_read_from_the_usual_file(run, tmp_path):
    write_pictures(tmp_path / "a", {"fire8": 3})
    network_facts({"fire8": 9}).save(tmp_path / "a/network.json")
    run("atlas", "--pictures", "a", "-o", "site")

    text = (tmp_path / "site/index.html").read_text()
    assert "9 units, 3 with pictures · Conv2D" in text


def test_examples_and_judgements_are_read(run, tmp_path, rng, monkeypatch):
    examples = dataset_examples(tmp_path / "photos", rng, {"fire8": 3})
    module = types.ModuleType("examples_file")
    module.load_examples = lambda file: examples if file.name == "e.npz" else None
    monkeypatch.setitem(sys.modules, "tfviz.analysis.examples_file", module)
    (tmp_path / "e.npz").write_bytes(b"")
    (tmp_path / "photos").rename(tmp_path / "moved")
    (tmp_path / "judged.json").write_text(json.dumps({"fire8:1": 0.5}))
    options = ("--images", "moved", "--judged", "judged.json")
    run("atlas", "--examples", "e.npz", *options, "-o", "site")

    (file,) = (tmp_path / "site/data").glob("fire8-????????.js")
    assert '"judged":[null,0.5,null]' in file.read_text()
    assert len(names(tmp_path / "site/images")) > 3


@pytest.mark.usefixtures("_short")
def test_facts_are_gathered_from_a_model(run, tmp_path):
    """Pictures and facts of one model belong together."""
    run("render", "fire8:0-1", "-o", "a", "--size", "64", "--steps", "1")
    run("atlas", "--pictures", "a", "-m", "squeezenet", "-o", "site")

    facts = json.loads((tmp_path / "a/network.json").read_text())
    assert facts["readout"]["layer"] == "fire9"
    text = (tmp_path / "site/index.html").read_text()
    assert "512 units, 2 with pictures" in text
    assert "1,000 classes" in text


def test_mistakes_are_explained(run, tmp_path):
    result = run("atlas", "-o", "site", code=2)
    text = " ".join(result.output.split())
    assert "Give what to show: units such as 'fire8:*', or -m MODEL" in text
    assert "or what exists, by --pictures DIR, --examples FILE" in text
    write_picture(tmp_path / "layers", "fire8")
    result = run("atlas", "--pictures", "layers", "-o", "site", code=1)
    assert "contains no pictures of channels or classes" in error_of(result)
    write_pictures(tmp_path / "a", {"fire8": 1})
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    result = run("atlas", "--pictures", "a", "-o", "full", code=1)
    assert "'full' is not empty and holds no atlas" in error_of(result)
    assert names(tmp_path / "full") == ["notes.txt"]
    options = ("--pictures", "a", "-o", "site")
    result = run("atlas", *options, "--network", "no.json", code=1)
    assert "There is no file 'no.json'" in result.output
    (tmp_path / "judged.json").write_text('{"fire8:0": "high"}')
    result = run("atlas", *options, "--judged", "judged.json", code=1)
    assert "does not hold a number for each unit" in error_of(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fire8:3", "--pictures", "a"], "nothing is rendered. Leave out UNIT;"),
        (
            ["--steps", 9, "--no-negative", "--pictures", "a", "-m", "squeezenet"],
            "Leave out --no-negative, --steps; or leave out --pictures and",
        ),
        (["--examples", "e.npz", "--dry-run"], "Leave out --dry-run;"),
        (["fire8:3", "--network", "n.json"], "--network goes with --pictures or"),
        (["fire8:3", "--range=-1,1"], "--range is for learned priors. Name one by"),
        (["fire8:3", "--param", "inverted"], "There is no prior 'inverted'"),
        (["fire8:3", "--images", "none"], "Directory 'none' does not exist"),
        (["-fire8:3"], "Write neg:fire8:3"),
    ],
)
def test_contradictions_are_refused_before_any_work(run, tmp_path, options, message):
    (tmp_path / "a").mkdir()
    (tmp_path / "e.npz").write_bytes(b"")
    result = run("atlas", *options, "-o", "site", code=2)

    assert message in " ".join(result.output.split())


class TestRecipe:
    """The whole recipe, with the toy network."""

    @pytest.fixture
    def photos(self, run, rng):
        build_toy().save("toy.keras")
        for i in range(4):
            noise = rng.random((36, 40, 3), np.float32)
            Path("photos").mkdir(exist_ok=True)
            images.to_pil(noise).save(f"photos/{i}.png")
        return "photos"

    @pytest.mark.slow
    def test_it_is_the_separate_commands_and_the_library(self, run, photos):
        of_model = ["-m", "toy.keras", "--preprocess=-1,1"]
        few = ["--steps", 2, "--size", 32]
        both = ["--param", "fourier", "--param", "pixels"]
        recipe = ["atlas", "conv_a:0-2", *of_model, "--images", photos, *few, *both]
        result = run(*recipe, "-o", "site")
        assert result.stdout == "site/index.html\n"

        run("render", "conv_a:0-2", *of_model, *few, "-o", "p/1")
        run("render", "neg:conv_a:0-2", *of_model, *few, "-o", "p/2")
        run("render", "conv_a:0-2", *of_model, *few, "--param", "pixels", "-o", "p/3")
        run("examples", *of_model, "--images", photos, "-l", "conv_a", "-o", "p/e.npz")
        parts = ["--examples", "p/e.npz"]
        for number in (1, 2, 3):
            parts += ["--pictures", f"p/{number}"]
        run("atlas", *parts, *of_model, "-o", "separate")
        tfviz.atlas(
            tfviz.adapt(tfviz.load_model("toy.keras"), (-1, 1)), "python",
            "conv_a:0-2", images=photos, params=("fourier", "pixels"), steps=2, size=32,
        )  # fmt: skip

        made = contents("site", without="source")
        assert len([name for name in made if name.startswith("pictures/")]) == 9
        assert contents("separate") == made
        assert contents("python", without="source") == made
        for name in ("positive", "negative", "pixels"):
            assert len(pictures(f"site/source/{name}")) == 3
            here, there = (pictures(f"{s}/source/{name}") for s in ("site", "python"))
            assert here == there

    @pytest.mark.slow
    def test_it_goes_on_when_the_time_is_over(self, run, photos):
        recipe = ["atlas", "conv_a:0-4", "-m", "toy.keras", "--preprocess=-1,1"]
        recipe += ["--steps", 1, "--batch-size", 3, "-o", "site"]
        for made in (3, 5, 8):  # a batch each time, and never one of two runs
            result = run(*recipe, "--max-seconds", 0.001, code=3)
            assert result.stderr.splitlines()[-1] == (
                f"The time is over: {made} of 10 pictures are made, and "
                "site/index.html shows them. The same command goes on from here."
            )
        # The time is over in the last batch as well, but nothing is left then.
        result = run(*recipe, "--max-seconds", 0.001)
        assert result.stdout == "site/index.html\n"

    def test_a_signal_ends_it_after_the_batch(self, run, photos, monkeypatch):
        original = Job.render_batch

        def render(*arguments):
            batch = original(*arguments)
            os.kill(os.getpid(), signal.SIGTERM)
            return batch

        monkeypatch.setattr(Job, "render_batch", render)
        recipe = ["atlas", "conv_a:0-3", "-m", "toy.keras", "--preprocess=-1,1"]
        recipe += ["--steps", 1, "--batch-size", 2, "-o", "site"]
        result = run(*recipe, code=1)

        assert "Stopping after this batch" in result.stderr
        assert error_of(result) == (
            "Error: Interrupted: 2 of 8 pictures are made, and site/index.html shows "
            "them. The same command goes on from here."
        )
        assert len(contents("site/pictures")) == 2

    def test_a_dry_run_prints_all_runs_and_writes_nothing(self, run, photos):
        before = names(".")
        recipe = ["atlas", "conv_a:0-2", "-m", "toy.keras", "--preprocess=-1,1"]
        options = ["--images", photos, "--steps", 1, "--dry-run"]
        result = run(*recipe, *options, "-o", "site")

        rows = [line.split() for line in result.stdout.splitlines()]
        counts = ["3", "1", "0", "0", "3"]
        assert [row[:-1] for row in rows] == [
            ["run", "layer", "units", "batches", "finished", "failed", "left"],
            ["positive", "conv_a", *counts],
            ["negative", "-conv_a:pre", *counts],
            ["total", "6", "2", "0", "0", "6"],
        ]
        assert "examples: 4 images to look at" in result.stderr
        assert names(".") == before

    def test_failures_are_told_after_the_site_is_built(self, run):
        build_overflowing().save("bad.keras")
        recipe = ["atlas", "far:2-3", "-m", "bad.keras", "--preprocess=0,1"]
        result = run(*recipe, "--steps", 1, "--no-negative", "-o", "site", code=1)

        assert result.stdout == "site/index.html\n"
        assert "1 of 2 pictures failed: far:3 (FloatingPointError" in error_of(result)
        result = run(*recipe, "--steps", 1, "--no-negative", "-o", "site", code=1)
        assert "1 of 2 pictures failed before" in error_of(result)


def contents(folder, without=None):
    """Return the bytes of all files in a folder by their paths."""
    files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
    paths = {file.relative_to(folder): file for file in files}
    return {
        path.as_posix(): file.read_bytes()
        for path, file in paths.items()
        if path.parts[0] != without
    }
