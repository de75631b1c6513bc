"""`tfviz compare`, with a network of random weights and few pictures."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
from support import error_of, names, record_bars, short_squeezenet
from PIL import Image

from tfviz.cli.compare import _CompareProgress
from tfviz.comparison.compare import ComparisonProgress
from tfviz.report.rows import read

pytestmark = pytest.mark.usefixtures("_short")

COUNT = 22
BASE = ["compare", "--images", "photos", "-o", "out"]
FEW = [*BASE, "--methods", "pixels", "--steps", 2, "--seeds", 2]


@pytest.fixture
def photos(tmp_path):
    """A folder of smooth photos, one of them in a subfolder."""
    rng = np.random.default_rng(1)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number in range(COUNT):
        picture = np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((12, 12, 1)))
        folder = tmp_path / "photos" / ("more" if number == 0 else "")
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def judge(tmp_path):
    """A network other than the one that is visualized."""
    model = short_squeezenet()
    model.get_layer("conv10").bias.assign_add(np.ones(1000))
    model.save(tmp_path / "judge.keras")
    return "judge.keras"


def written(folder="out"):
    """Return, for each picture, properties that change if it is written again."""
    return {
        file: (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in Path(folder, "pictures").rglob("pixels-[0-9]*.png")
    }


def rows(folder="out"):
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in read(folder)["rows"]
    ]


@contextmanager
def interrupt_at_once(portion):
    """Stand in for `defer_interrupt`, as if Ctrl-C had been pressed."""
    yield lambda: True


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_to_a_report(run, photos, judge, monkeypatch):
    units = ["fire2:3", "fire2:5", "--judge", judge]
    with monkeypatch.context() as patch:
        patch.setattr("tfviz.cli.compare.defer_interrupt", interrupt_at_once)
        cut = run(*FEW, *units, code=1)
    assert error_of(cut) == (
        "Error: Interrupted: 2 of 4 pictures are in out. The same command goes on "
        "from here."
    )
    assert names("out") == ["comparison.json", "pictures"]
    before = written()
    assert len(before) == 4  # two pictures and their starts

    result = run(*FEW, *units)
    assert names("out") == [
        "comparison.json",
        "pictures",
        "report.html",
        "results.csv",
        "results.json",
        "sheets",
    ]
    after = written()
    assert {file: after[file] for file in before} == before
    assert len(after) == 8
    lines = result.stdout.splitlines()
    assert lines[0] == "pixels: no verdict: 2 units are too few for an interval"
    assert lines[-1] == str(Path("out", "report.html"))
    progress = [line for line in result.stderr.splitlines() if "/4  " in line]
    assert progress == ["2/4  pixels  fire2:5"]
    assert "4/4 pictures" in result.stderr
    assert "Judging the pictures." in result.stderr
    results = read("out")
    assert results["settings"]["photos"] == COUNT
    assert results["provenance"]["command"].startswith("tfviz")
    assert [judge["name"] for judge in results["judges"]] == ["judge"]
    assert {row["unit"] for row in results["rows"]} == {"fire2:3", "fire2:5"}

    again = run(*FEW, *units, "--json", "--no-report")
    assert written() == after
    summary = json.loads(again.stdout)
    assert summary["verdicts"] == results["verdicts"]
    assert summary["summary"] == results["summary"]
    assert summary["failed"] == {}
    assert rows() == [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in results["rows"]
    ]


class TestProgress:
    def tell(self, *, steps):
        """Tell of 4 pictures, two of each unit, and of those that are judged."""
        told = [
            ("rendering", "pixels", "a:1", 0, 0),
            ("rendering", "pixels", "a:1", 0, 16),
            ("rendering", "pixels", "a:1", 0, 31),
            ("rendering", "pixels", "a:2", 2, 0),
            ("rendering", "pixels", "a:2", 2, 31),
            ("judging", "photos", "", 0, 0),
            ("judging", "pixels", "", 0, 0),
            ("judging", "", "", 4, 0),
        ]
        with _CompareProgress(Path("out"), lambda: False, 2) as progress:
            for stage, method, unit, done, step in told:
                progress.note(
                    ComparisonProgress(stage, method, unit, done, 4, step, steps)
                )

    def test_a_terminal_gets_a_bar_with_the_steps_and_the_judging(self, monkeypatch):
        shown = record_bars(monkeypatch)
        self.tell(steps=31)

        assert {total for _, total, *_ in shown} == {4}
        # The end of a unit's steps is not yet the end of its pictures.
        assert [(done, *texts[:2]) for done, _, *texts in shown] == [
            (0, "0/4 pictures", "pixels  a:1"),
            (1, "0/4 pictures", "step 16 of 31  pixels  a:1"),
            (1.9375, "0/4 pictures", "step 31 of 31  pixels  a:1"),
            (2, "2/4 pictures", "pixels  a:2"),
            (3.9375, "2/4 pictures", "step 31 of 31  pixels  a:2"),
            (4, "4/4 pictures", ""),
            (0, "0/4 pictures judged", "photos"),
            (0, "0/4 pictures judged", "pixels"),
            (4, "4/4 pictures judged", ""),
        ]

    def test_steps_that_a_time_ends_are_counted_alone(self, monkeypatch):
        shown = record_bars(monkeypatch)
        self.tell(steps=None)

        assert shown[2][0] == 0
        assert shown[2][3] == "step 31  pixels  a:1"

    def test_a_log_gets_a_line_for_each_unit(self, capsys):
        self.tell(steps=31)

        lines = capsys.readouterr().err.splitlines()
        assert [line.split("  0:0")[0] for line in lines] == [
            "0/4  pixels  a:1",
            "2/4  pixels  a:2",
            "4/4 pictures",
            "Judging the pictures.",
        ]


@pytest.mark.slow
def test_controls_and_ablations_take_part(run, photos):
    (photos / "broken.png").write_bytes(b"no picture")
    few = [*BASE, "--methods", "pixels", "--steps", 1, "--seeds", 1]
    result = run(*few, "fire2:3", "--controls", "--ablations", "--no-report")

    kinds = {
        m["name"]: (m["kind"], m["of"])
        for m in read("out")["methods"]
        if m["kind"] != "baseline"
    }
    assert kinds == {
        "pixels": ("method", None),
        "pixels, random weights 1": ("control", "pixels"),
        "pixels, random weights 2": ("control", "pixels"),
        "pixels, random weights 3": ("control", "pixels"),
        "pixels without transforms": ("ablation", "pixels"),
    }
    assert result.stdout.splitlines()[-1] == str(Path("out", "results.json"))
    (warning,) = (x for x in result.stderr.splitlines() if x.startswith("Warning: "))
    assert warning.startswith(f"Warning: 1 of {COUNT + 1} images cannot be read")
    assert warning.endswith("broken.png")
    assert "0:0" in result.stderr  # the remaining time


@pytest.mark.slow
def test_generators_without_a_known_range_take_part(run, photos):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(48),
              keras.layers.Reshape((4, 4, 3))]  # fmt: skip
    keras.Sequential(layers).save("gan.keras")
    encoder = [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    keras.Sequential(encoder).save("encoder.keras")
    few = [*BASE, "--methods", "mine=gan.keras", "--steps", 1, "--seeds", 1]
    few += ["--control", "wrong=gan.keras", "--no-report", "fire2:3"]
    assert "Give --range NAME=-1,1 if that fits" in error_of(run(*few, code=1))
    ranges = ["--range", "mine=0,1", "--range", "wrong=-1,1"]
    run(*few, *ranges, "--encoder", "mine=encoder.keras")

    results = read("out")
    kinds = {m["name"]: m["kind"] for m in results["methods"]}
    assert kinds["mine: photos"] == "ceiling"
    assert kinds["wrong"] == "control"
    used = {n: p["param"] for n, p in results["provenance"]["methods"].items()}
    assert used["mine"]["value_range"] == [0, 1]
    assert used["mine"]["encoder"] == "encoder.keras"
    assert used["wrong"]["value_range"] == [-1, 1]


@pytest.mark.slow
def test_pictures_of_an_earlier_run_are_not_photos(run, photos):
    few = [*FEW, "--images", ".", "--steps", 1, "--seeds", 1, "--no-report"]
    for _ in range(2):
        run(*few, "fire2:3")
        assert read("out")["settings"]["photos"] == COUNT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "forier"], "Did you mean 'fourier'?"),
        (["--methods", "pixels,pixels"], "'pixels' is named twice"),
        (["--methods", ""], "there is no method ''"),
        (["--methods", "mine=inverterr"], "Did you mean 'inverter'?"),
        (["--control", "autoencoder"], "is not NAME=PRIOR"),
        (["--range", "0,1"], "is not NAME=LO,HI"),
        (["--range", "faces=1,0"], "Write --range NAME=0,1."),
        (["--encoder", "faces=gone.keras"], "gone.keras"),
        (["--judge", "judge.tflite"], "There is no file"),
        (["--steps", 0], "0 is not in the range x>=1"),
        (["--seconds", 0], "0"),
        (["--seconds", 1], "either --steps or --seconds"),
        (["--images", "nowhere"], "'nowhere' does not exist"),
        (["--images", "empty"], "'empty' holds no images"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_loaded(
    run, photos, monkeypatch, arguments, message
):
    monkeypatch.setattr("tfviz.cli.options.load_adapter", None)
    Path("empty").mkdir()
    result = run(*FEW, "fire2:3", *arguments, code=1 if "empty" in arguments else 2)

    assert message in error_of(result)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("units", "arguments", "message"),
    [
        (["fier2:3"], [], "Did you mean 'fire2'"),
        (["fire2:3", "fire2:3"], [], "Some units are given twice: fire2:3"),
        (["logit:goldfsh"], [], "Did you mean 'goldfish'"),
        (["fire2:3"], ["--images", "photos/more"], "at least 20 photos"),
        (["fire2:3"], ["--judge", "judge.keras"] * 2, "a name of its own"),
        (["fire2:3"], ["--judge", "squeezenet"], "the network that is visualized"),
        (["fire2:3"], ["--range", "faces=0,1"], "not a prior of this comparison"),
        (
            ["fire2:3"],
            ["--encoder", "pixels=judge.keras"],
            "not a prior of this comparison",
        ),
        (["fire2:3"], ["--judge", "keras:MobilNetV2"], "Did you mean"),
        (["fire2:3"], ["--control", "pixels=inverter"], "the name of a method"),
    ],
)
@pytest.mark.usefixtures("photos", "judge")
def test_units_and_methods_that_do_not_fit_are_refused_without_a_file(
    run, units, arguments, message
):
    wrong = {"--control", "--range", "--encoder"} & {*arguments}
    result = run(*FEW, *units, *arguments, code=2 if wrong else 1)

    assert message in error_of(result)
    assert not Path("out").exists() or names("out") == []


def test_a_folder_with_a_damaged_claim_is_refused_and_kept(run, photos):
    Path("out").mkdir()
    Path("out", "comparison.json").write_text('{"steps": 2')
    result = run(*FEW, "fire2:3", code=1)

    assert error_of(result) == (
        "Error: 'out/comparison.json' is cut off, or is not JSON. Choose another "
        "folder."
    )
    assert names("out") == ["comparison.json"]


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "--help"]])
def test_help_does_not_import_large_packages(arguments):
    code = (
        "import sys; from tfviz.cli.main import main\n"
        f"main({arguments}, standalone_mode=False)\n"
        "print({'tensorflow', 'keras', 'jinja2', 'matplotlib'} & set(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "compare" in output
    assert output.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_a_killed_comparison_goes_on(photos, tmp_path):
    """With the bundled network, in processes of their own."""
    arguments = [str(a) for a in (*FEW, "fire3:3", "fire3:7", "--no-report")]

    def start(folder):
        own = [folder if a == "out" else a for a in arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "tfviz.cli", *own],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    whole = start("whole")
    assert whole.wait(600) == 0
    cut = start("out")
    pictures, ends = tmp_path / "out" / "pictures", time.monotonic() + 600
    while not list(pictures.rglob("pixels-0.png")) and time.monotonic() < ends:
        time.sleep(0.002)
    os.kill(cut.pid, signal.SIGKILL)
    cut.wait(60)
    assert not (tmp_path / "out" / "results.json").exists()
    before = written(tmp_path / "out")
    assert 2 <= len(before) < 8
    again = start("out")
    assert again.wait(600) == 0

    after = written(tmp_path / "out")
    complete = [f for f in before if f.with_name(f.name[:8] + ".png") in before]
    assert complete
    assert {f: after[f] for f in complete} == {f: before[f] for f in complete}
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")
