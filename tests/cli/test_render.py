"""`tfviz render`, and what other commands have in common with it."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from support import (
    FAST,
    build_toy,
    error_of,
    manifest,
    names,
    start_command,
    written,
)
from PIL import Image

import tfviz
from tfviz.optimize.options import LEARNING_RATE
from tfviz.models import bundled
from tfviz import images
from tfviz.cli.main import main

pytestmark = pytest.mark.usefixtures("_short")


@pytest.fixture(scope="module")
def one_picture(tmp_path_factory, _short):
    """A folder that contains a picture of fire2:3."""
    folder = tmp_path_factory.mktemp("one")
    arguments = ["render", "fire2:3", "-o", str(folder), *FAST]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def toy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy.keras"
    build_toy().save(path)
    path.with_suffix(".labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    return path


class TestRender:
    def test_each_unit_gets_a_file_and_a_line_in_the_manifest(self, run):
        result = run("render", "fire2:3", "logit:goldfish", "-o", "out", *FAST)

        assert names("out") == ["fire2-3.png", "logit-goldfish.png", "manifest.jsonl"]
        lines = manifest("out")
        assert [line["file"] for line in lines] == ["fire2-3.png", "logit-goldfish.png"]
        assert [line["unit"] for line in lines] == ["fire2:3", "logit:1"]
        assert lines[0]["model"] == "squeezenet"
        assert result.stdout == "2 pictures in out\n"
        line = r"2/2  logit:goldfish  [\d.e+]+ a minute  0:00 left\n"
        assert re.search(line, result.stderr)

    def test_metadata_contain_no_times_and_no_paths(self, run, toy_file):
        run("render", "conv_b:3", "-m", toy_file, "--preprocess=-1,1", "-o", "out",
            "--steps", 2, "--transforms", "none")  # fmt: skip
        text = json.dumps(images.read_spec("out/conv_b-3.png"))

        assert str(toy_file.parent) not in text
        assert time.strftime("%Y-") not in text

    def test_finished_pictures_are_not_rendered_again(self, run):
        run("render", "fire2:3", "-o", "out", *FAST)
        before = written(Path("out/fire2-3.png"))
        result = run("render", "fire2:3-4", "-o", "out", *FAST)

        assert "1 of 2 pictures is finished already" in result.stderr
        assert written(Path("out/fire2-3.png")) == before
        assert names("out") == ["fire2-3.png", "fire2-4.png", "manifest.jsonl"]

        run("render", "fire2:3", "-o", "out", "--force", *FAST)
        assert written(Path("out/fire2-3.png")) != before

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--steps", "5"], "steps is 4 there and 5"),
            (["--seed", "1"], "seed is 0 there and 1"),
            (
                ["--learning-rate", "0.3"],
                f"learning_rate is {LEARNING_RATE} there and 0.3",
            ),
            (["--transforms", "lucid"], "transforms"),
            (["--size", "65"], "param"),
            (["--param", "pixels"], "param"),
            (["--batch-size", "4"], "batch is not set there and 4 here"),
            (["--preprocess", "0,1"], 'preprocess is "0,255" there and "0,1"'),
        ],
    )
    def test_a_folder_of_other_settings_is_refused(
        self, run, change, message, one_picture
    ):
        shutil.copytree(one_picture, "out")
        before = {f: (Path("out") / f).read_bytes() for f in names("out")}
        result = run("render", "fire2:4", "-o", "out", *FAST, *change, code=1)

        assert message in error_of(result)
        assert "'out' holds another job's pictures, such as fire2-3.png: " in (
            error_of(result)
        )
        assert error_of(result).endswith(
            ". Choose another folder, or use the same settings to continue, or replace "
            "these pictures with --force."
        )
        assert {f: (Path("out") / f).read_bytes() for f in names("out")} == before

    def test_force_replaces_all_or_nothing(self, run):
        run("render", "fire2:3-4", "-o", "out", *FAST)
        other = ["-o", "out", *FAST, "--seed", "7", "--force"]

        error = error_of(run("render", "fire2:3", *other, code=1))
        assert "fire2-4.png: seed is 0 there and 7" in error
        assert "--force" not in error
        run("render", "fire2:3-4", *other)
        assert {images.read_spec(f)["seed"] for f in Path("out").glob("*.png")} == {7}

    def test_the_manifest_is_made_again_from_the_files(self, run):
        run("render", "fire2:3-5", "-o", "out", *FAST)
        path = Path("out/manifest.jsonl")
        lines = path.read_text().splitlines()
        # A missing line, a line that is cut off, and a file that was deleted.
        path.write_text(lines[1] + "\n" + lines[2][:40])
        Path("out/fire2-4.png").unlink()
        Path("out/.tfviz-left.part").write_bytes(b"half a picture")
        run("render", "fire2:3-5", "-o", "out", *FAST)

        assert sorted(e["unit"] for e in manifest("out")) == [
            "fire2:3",
            "fire2:4",
            "fire2:5",
        ]
        assert names("out") == [
            "fire2-3.png",
            "fire2-4.png",
            "fire2-5.png",
            "manifest.jsonl",
        ]

    def test_units_asked_for_twice_are_two_pictures(self, run):
        run("render", "fire2:3", "fire2:3", "-o", "out", *FAST)

        assert names("out") == ["fire2-3.png", "fire2-3_2.png", "manifest.jsonl"]
        assert (
            Path("out/fire2-3.png").read_bytes()
            != Path("out/fire2-3_2.png").read_bytes()
        )

    def test_a_layer_called_sheet_keeps_its_picture(self, run):
        layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, name="sheet")]
        keras.Sequential(layers).save("sheets.keras")
        run("render", "sheet", "-m", "sheets.keras", "--preprocess", "0,1", "-o", "out",
            "--steps", 2, "--transforms", "none", "--sheet")  # fmt: skip

        assert names("out") == ["manifest.jsonl", "sheet.png", "sheet_2.png"]
        assert images.read_spec("out/sheet_2.png")["unit"] == "sheet"

    def test_formats_sheets_and_json(self, run):
        result = run(
            "render", "fire2:3-4", "-o", "out", "--format", "webp", "--sheet",
            "--json", *FAST,
        )  # fmt: skip

        assert names("out") == [
            "fire2-3.webp",
            "fire2-4.webp",
            "manifest.jsonl",
            "sheet.png",
        ]
        *rows, last = map(json.loads, result.stdout.splitlines())
        assert [row["name"] for row in rows] == ["fire2:3", "fire2:4"]
        assert rows[0]["file"] == str(Path("out/fire2-3.webp"))
        assert last["summary"]["pictures"] == 2
        # A second run does not mistake the sheet for a picture.
        run("render", "fire2:3-4", "-o", "out", "--format", "webp", *FAST)

    def test_a_model_from_a_file_with_names_beside_it(self, run, toy_file):
        run("render", "logit:bee", "neg:conv_b:2", "-m", toy_file, "-o", "out",
            "--preprocess=-1,1", "--steps", 3, "--transforms", "none")  # fmt: skip

        assert names("out") == [
            "logit-bee.png",
            "manifest.jsonl",
            "neg-conv_b-pre-2.png",
        ]


class TestAgain:
    @pytest.mark.parametrize(
        ("format", "options", "units", "file"),
        [
            ("png", ["--size", "64", "--steps", "20"], ["fire2:7"] * 2, "fire2-7_2"),
            ("webp", FAST, ["fire2:1", "fire2:7"], "fire2-7"),
            pytest.param(
                *("png", FAST, ["fire2:1", "neg:fire2:5"], "neg-fire2-pre-5"),
                marks=pytest.mark.slow,
            ),
            pytest.param(
                *("png", FAST, ["fire2:1+fire3:2", "fire2:1"], "fire2-1+fire3-2"),
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_a_picture_is_made_again_byte_by_byte(
        self, run, format, options, units, file
    ):
        shared = ["--format", format, "--seed", "3"]
        run("render", *units, "-o", "out", *options, *shared)
        before = Path(f"out/{file}.{format}")
        run("render", "--from", before, "-o", "new", "--format", format)

        (made,) = (f for f in Path("new").iterdir() if f.suffix == f".{format}")
        assert images.read_spec(made) == images.read_spec(before)
        assert made.read_bytes() == before.read_bytes()

    @pytest.mark.slow
    def test_pictures_made_from_python_are_made_again(self, run):
        result = tfviz.render(
            tfviz.load_model("squeezenet"),
            ["fire2:3", "fire2:4"],
            tfviz.params.fourier(48, 64, decay=1.2),
            tfviz.transforms.chain(tfviz.transforms.jitter(3)),
            steps=5,
            optimizer=keras.optimizers.SGD(30.0),
        )
        files = result.save("out")
        run("render", "--from", files[1], "-o", "new")

        assert Path("new/fire2-4.png").read_bytes() == files[1].read_bytes()

    @pytest.mark.slow
    @pytest.mark.filterwarnings("default:the model's weights are not those")
    def test_another_model_is_warned_about(self, run, toy_file, tmp_path):
        run("render", "conv_b:3", "-m", toy_file, "--preprocess=-1,1", "-o", "out",
            "--steps", 2, "--transforms", "none")  # fmt: skip
        model = build_toy()
        model.layers[0].bias.assign_add([0.1] * 8)
        model.save("other.keras")
        again = ["render", "--from", "out/conv_b-3.png", "-o", "new"]

        assert "Give that file with -m" in error_of(run(*again, code=1))
        assert "weights are not those" in run(*again, "-m", "other.keras").stderr
        silent = run(*again, "-m", toy_file, "--force").stderr
        assert "Warning" not in silent

    @pytest.mark.filterwarnings("default:the picture was made with")
    def test_other_versions_are_warned_about(self, run, one_picture):
        file = one_picture / "fire2-3.png"
        spec = images.read_spec(file)
        spec["versions"]["numpy"] = "1.0"
        with Image.open(file) as picture:
            images.save(picture, "old.png", spec)
        result = run("render", "--from", "old.png", "-o", "new")

        assert f"numpy 1.0, now {np.__version__}" in result.stderr

    def test_files_that_cannot_be_rendered_again_are_refused(self, run):
        Image.new("RGB", (4, 4)).save("photo.png")
        Path("broken.png").write_bytes(b"no picture")
        run("render", "fire2:3-4", "-o", "out", "--sheet", *FAST)

        def error(*arguments, code=1):
            return error_of(run("render", "--from", *arguments, "-o", "new", code=code))

        assert "holds no description" in error("photo.png")
        assert "holds no description" in error("out/sheet.png")
        assert "cannot be read as an image" in error("broken.png")
        assert "takes --steps from the file" in error(
            "out/fire2-3.png", "--steps", "3", code=2
        )


class TestOtherCommands:
    def test_layers_are_listed(self, run, toy_file):
        result = run("layers", "-m", toy_file, "--preprocess", "0,1")
        assert result.stdout.splitlines() == [
            "conv_a       8         15x15x8  Conv2D",
            "conv_b      12          7x7x12  Conv2D",
            "pool        12              12  GlobalAveragePooling2D",
            "head         5               5  Dense",
        ]
        result = run("layers", "--json", "--size", "64x96")
        rows = {row["path"]: row for row in json.loads(result.stdout)}
        assert rows["fire9"] == {
            "path": "fire9",
            "units": 512,
            "shape": [None, 3, 5, 512],
            "kind": "Conv2D",
        }

    @pytest.mark.data
    def test_check_names_the_most_probable_classes(self, run, data, monkeypatch):
        import zipfile

        monkeypatch.setitem(bundled.BUILDERS, "squeezenet", bundled.squeezenet)

        with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
            archive.extract("n01443537_goldfish.JPEG")
        result = run("check", "n01443537_goldfish.JPEG")
        assert "goldfish" in result.stdout.splitlines()[0]
        assert len(result.stdout.splitlines()) == 5
        assert "input 0,255 (the model has " in result.stderr

        result = run("check", "n01443537_goldfish.JPEG", "--json")
        outcome = json.loads(result.stdout)
        assert outcome["top"][0]["index"] == 1
        assert outcome["preprocess"] == "0,255"

    def test_check_advises_on_models_that_predict_no_classes(self, run):
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)]).save(
            "dense.keras"
        )
        Image.new("RGB", (8, 8)).save("black.png")
        result = run("check", "black.png", "-m", "dense.keras", "--preprocess", "0,1")

        assert "the model does not give each photo a class" in result.output
        assert "Ask whoever trained the model" in result.output

    def test_check_without_names_gives_indices(self, run, tmp_path):
        build_toy(channels=1).save("plain.keras")
        Image.new("RGB", (50, 40), "red").save("red.png")
        result = run("check", "red.png", "-m", "plain.keras", "--preprocess", "0,1",
                     "--json")  # fmt: skip
        top = json.loads(result.stdout)["top"]

        assert sum(row["probability"] for row in top) == pytest.approx(1)
        assert {row["name"] for row in top} == {None}

    def test_version_and_help(self, run):
        assert run("--version").stdout == f"tfviz, version {tfviz.__version__}\n"
        commands = main.commands | {
            f"priors {name}": command
            for name, command in main.commands["priors"].commands.items()
        }
        for name, command in commands.items():
            help_text = run(*name.split(), "--help").stdout
            assert f"  tfviz {name}" in help_text.split("\n", 1)[1]  # an example
            options = [p for p in command.params if isinstance(p, click.Option)]
            assert all(option.help for option in options), name
        help_text = run("render", "--help").stdout
        assert "\\b" not in help_text
        assert "\n    fire8:0-15        a range " in help_text


def save_lambda(path):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Lambda(lambda x: x * 2, output_shape=(16, 16, 3))(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(path)


def save_nan(path):
    model = build_toy()
    model.layers[0].bias.assign([np.nan] * 8)
    model.save(path)


def save_table(path):
    keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)]).save(path)


BAD = [
    # (arguments, exit code, message)
    (["fire88:1"], 1, "no layer 'fire88'. Did you mean 'fire8'"),
    (["logit:goldfsh"], 1, "no class 'goldfsh'. Did you mean 'goldfish'"),
    (["logit:crane"], 1, "134 (n02012849), 517 (n03126707)"),
    (["fire8:512"], 1, "channels 0 to 511. Received: 512"),
    (["fire2:1@16,0"], 1, "rows go from 0 to 14. Received: row 16"),
    (["fire8:"], 1, "is not a unit. Write layer:channel"),
    (["wire*:1"], 1, "No layer matches 'wire*'"),
    (["fire2:1", "--size", "8"], 1, "8x8 do not fit model 'squeezenet'"),
    (["fire2:1", "--size", "0"], 2, "'0' is not a size; write 224 or 180x240"),
    (["fire2:1", "--steps", "0"], 2, "0 is not in the range x>=1"),
    (["fire2:1", "--learning-rate", "0"], 2, "0.0 is not in the range x>0"),
    (["fire2:1", "--param", "wavelet"], 2, "no prior 'wavelet'. Give one of fourier"),
    (["-fire8:20"], 2, "Write neg:fire8:20"),
    (["-mixed4:3"], 2, "Write neg:mixed4:3"),
    ([], 2, "Give units to render, such as fire8:20"),
    (["fire2:1", "-m", "nothing.keras"], 2, "There is no model 'nothing.keras'"),
    (["fire2:1", "-m", "text.txt"], 2, "'text.txt' is not a model. Give squeezenet"),
    (["fire2:1", "-m", "corrupt.keras"], 1, "cannot be loaded as a Keras model"),
    (["fire2:1", "-m", "corrupt.h5"], 1, "cannot be loaded as a Keras model"),
    (["fire2:1", "-m", "lambda.keras"], 1, "allow it: --allow-unsafe"),
    (["fire2:1", "-m", "nan.keras"], 1, "holds NaN"),
    (["fire2:1", "-m", "table.keras"], 1, "takes no images"),
    (["fire2:1", "-m", "keras:MobilNet"], 1, "Did you mean 'keras:MobileNet'"),
    (["fire2:1", "-m", "keras:VGG16?weight=none"], 1, "keras:VGG16?weights=none"),
    (["fire2:1", "--learning-rate", "nan"], 2, "nan is not a finite number"),
    (["fire2:1", "--preprocess", "coffee"], 2, "caffe, tf, torch nor a range"),
    (["fire2:1", "--preprocess", "1,0"], 2, "write the lower end first"),
    (["fire2:1", "--preprocess", "0,inf"], 2, "is not a range"),
    (["fire2:1", "--labels", "broken.json"], 2, "cannot be read as class names"),
    (["fire2:1", "--custom", "Layer"], 2, "is not MODULE:NAME"),
    (["fire2:1", "--custom", "wrong:Layer"], 2, "cannot be imported"),
    (["fire2:1@99999999999,0"], 1, "below 2147483648"),
    (["fire2:1", "--labels", "text.txt"], 1, "1 class names, but model"),
    (["fire2:1", "--custom", "nowhere:Layer"], 2, "cannot be imported"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD)
def test_bad_input_is_one_line_and_writes_nothing(arguments, code, message, run):
    Path("text.txt").write_text("no model")
    Path("broken.json").write_text("[1, 2")
    Path("wrong.py").write_text("this is no Python")
    for suffix in ("keras", "h5"):
        Path(f"corrupt.{suffix}").write_bytes(b"\x89HDF\r\n or whatever" * 50)
    for name, save in (
        ("lambda", save_lambda),
        ("nan", save_nan),
        ("table", save_table),
    ):
        if f"{name}.keras" in arguments:
            save(f"{name}.keras")
    steps = [] if "--steps" in arguments else ["--steps", "4"]
    size = [] if "--size" in arguments else ["--size", "64"]
    result = run("render", "-o", "out", *steps, *size, *arguments, code=code)

    assert message in error_of(result)
    assert not Path("out").exists() or not names("out")


def test_a_lambda_runs_only_when_it_is_allowed(run):
    save_lambda("lambda.keras")
    run("render", "conv:1", "-m", "lambda.keras", "--preprocess", "0,1", "-o", "out",
        "--allow-unsafe", "--steps", 2, "--transforms", "none")  # fmt: skip

    assert "conv-1.png" in names("out")


def test_own_layers_are_imported(run, monkeypatch):
    # What the command registers must not last longer than this test.
    monkeypatch.setitem(keras.saving.get_custom_objects(), "Twice", None)
    Path("mine.py").write_text(
        "import keras\n"
        "class Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 2 * x\n"
    )
    sys.path.insert(0, str(Path.cwd()))
    import mine

    model = keras.Sequential([keras.Input((8, 8, 3)), mine.Twice(name="twice")])
    model.save("own.keras")
    sys.path.pop(0)
    arguments = ["layers", "-m", "own.keras", "--preprocess", "0,1"]

    assert "Import it with --custom mine:Twice." in error_of(run(*arguments, code=1))
    assert "twice" in run(*arguments, "--custom", "mine:Twice").stdout


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(run):
    Path("file").write_text("")
    result = run("render", "fire2:1", "-o", "file/out", code=2)

    assert "cannot write to the folder 'file/out' (Not a directory)" in error_of(result)


def test_a_run_keeps_its_batch_size_whatever_memory_is_free(run, monkeypatch):
    from tfviz.optimize import job

    monkeypatch.setattr(job, "fitting_batch", lambda problem, seeds: 2)
    command = ["render", "fire2:3-7", "-o", "out", "--batch-size", "auto", *FAST]
    run(*command)
    sizes = [entry["batch_size"] for entry in manifest("out")]
    assert sizes == [2] * 5
    Path("out/fire2-3.png").unlink()
    monkeypatch.setattr(job, "fitting_batch", lambda problem, seeds: 256)
    run(*command)
    spec = images.read_spec("out/fire2-3.png")
    assert (spec["batch"], spec["largest_batch"], spec["batch_size"]) == (None, 2, 2)

    run("render", "fire2:3-7", "-o", "other", "--batch-size", "auto", *FAST)
    assert {entry["batch_size"] for entry in manifest("other")} == {5}


@pytest.mark.parametrize("size", ["0", "-2", "all", "1.5"])
def test_a_batch_size_is_a_number_or_auto(run, size):
    result = run("render", "fire2:0", "-o", "out", f"--batch-size={size}", code=2)
    assert f"{size!r} is neither a whole number of at least 1" in error_of(result)


def test_xla_is_used_where_it_is_asked_for(run):
    for name, option in {
        "with": ["--xla"],
        "without": ["--no-xla"],
        "rule": [],
    }.items():
        run("render", "fire2:3", "-o", name, *FAST, *option)
        assert manifest(name)[0]["xla"] is (name == "with")
    # Whether pictures can be made again does not depend on how they were made.
    run("render", "fire2:3-4", "-o", "with", *FAST)
    assert [entry["xla"] for entry in manifest("with")] == [True, False]


def test_a_full_disk_keeps_finished_pictures(run, monkeypatch):
    original = images.save

    def fill(image, path, spec=None):
        if path.stem == "fire2-3":
            raise OSError(28, "No space left on device", str(path))
        original(image, path, spec)

    job = ["render", "fire2:0-5", "-o", "out", "--batch-size", "2", *FAST]
    with monkeypatch.context() as patch:
        patch.setattr(images, "save", fill)
        line = error_of(run(*job, code=1))
    assert "No space left on device" in line
    assert "same command goes on" in line

    before = {f: written(Path("out", f)) for f in names("out") if f.endswith("png")}
    assert len(before) == 3
    run(*job)
    assert len(names("out")) == 7
    assert {f: written(Path("out", f)) for f in before} == before


@pytest.mark.slow
def test_a_log_contains_no_lines_of_tensorflow(tmp_path):
    child = start_command("layers", cwd=tmp_path)
    stdout, stderr = child.communicate()

    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("squeezenet: input 0,255")
    assert len(stdout.splitlines()) == 39


WITHOUT_TENSORFLOW = [
    ["--help"],
    ["--version"],
    ["render", "--help"],
    ["render"],
    ["render", "fire8:1", "-o", "out", "--steps", "0"],
    ["render", "fire8:1", "-o", "out", "--size", "big"],
    ["render", "-fire8:1", "-o", "out"],
    ["render", "fire8:1", "-m", "nothing.keras", "-o", "out"],
    ["render", "fire8:1", "--from", "nothing.png", "-o", "out"],
    ["render", "fire8:1", "--preprocess", "coffee", "-o", "out"],
    ["render", "fire8:1", "--learning-rate", "nan", "-o", "out"],
    ["layers", "-m", "nothing.keras"],
    ["layers", "-m", "hub:nowhere"],
    ["layers", "-m", "."],
    ["check", "nothing.png"],
]


def test_tensorflow_is_not_imported_for_help_and_wrong_arguments(tmp_path):
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tfviz.cli.main import main\n"
        f"for arguments in {WITHOUT_TENSORFLOW!r}:\n"
        "    CliRunner().invoke(main, arguments)\n"
        "    heavy = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "    assert not heavy, (arguments, heavy)\n"
        "CliRunner().invoke(main, ['layers'])\n"
        "assert 'tensorflow' in sys.modules  # this test can fail\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
