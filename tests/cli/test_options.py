"""The effects of the options of `tfviz render`, and `--from` with each of them."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support import FAST, build_toy, error_of, names
from PIL import Image

from tfviz import images

pytestmark = pytest.mark.usefixtures("_short")


def spec_of(path):
    return images.read_spec(path)


def is_reproduced(run, file):
    """Return whether `--from` gives the same bytes as the file it reads."""
    run("render", "--from", file, "-o", "again")
    return Path("again", file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--penalty", "total_variation=20", "--penalty", "l2=3"],
        pytest.param(["--alpha"], marks=pytest.mark.slow),
        pytest.param(
            ["--optimizer", "nadam", "--learning-rate", "0.1"], marks=pytest.mark.slow
        ),
        ["--gradient-blur", "1.5", "--normalize-gradient", "--optimizer", "sgd"],
        pytest.param(["--smooth-pools"], marks=pytest.mark.slow),
        pytest.param(["--target", "-1e9", "--steps", "40"], marks=pytest.mark.slow),
        pytest.param(["--plateau"], marks=pytest.mark.slow),
    ],
)
def test_a_picture_with_options_is_made_again(options, run):
    run("render", "fire3:3", "-o", "out", *FAST, *options)

    assert is_reproduced(run, Path("out/fire3-3.png"))


def test_penalties_are_subtracted_and_keep_the_name(run):
    run("render", "fire2:3", "-o", "plain", *FAST)
    run("render", "fire2:3", "-o", "out", *FAST, "--penalty", "total_variation=1e3")
    plain, out = (spec_of(f"{folder}/fire2-3.png") for folder in ("plain", "out"))

    assert out["unit"] == plain["unit"] == "fire2:3"
    assert out["penalties"] == {"total_variation": 1000}
    assert out["score"] < out["unit_score"]
    assert plain["score"] == plain["unit_score"]
    result = run("render", "fire2:4", "-o", "out", *FAST, code=1)
    assert "penalties.total_variation is 1000.0 there and not set here" in error_of(
        result
    )


@pytest.mark.slow
def test_diverse_pictures_are_a_group(run):
    diverse = ["--diverse", "2", "--diversity", "50"]
    run("render", "fire3:3-4", "-o", "out", *FAST, *diverse)

    files = ["fire3-3.png", "fire3-3_2.png", "fire3-4.png", "fire3-4_2.png"]
    assert names("out") == [*files, "manifest.jsonl"]
    spec = spec_of("out/fire3-4_2.png")
    assert (spec["repeat"], spec["slot"], spec["batch_size"]) == (1, 3, 4)
    assert len(spec["distances"]) == 2
    before = [Path("out", file).read_bytes() for file in files]
    # A missing picture is rendered again together with its neighbour.
    Path("out/fire3-4_2.png").unlink()
    run("render", "fire3:3-4", "-o", "out", *FAST, *diverse)
    assert [Path("out", file).read_bytes() for file in files] == before
    # `--from` renders the whole group of a picture.
    run("render", "--from", "out/fire3-4_2.png", "-o", "again")
    assert Path("again/fire3-4_2.png").read_bytes() == before[3]
    assert Path("again/fire3-4.png").read_bytes() == before[2]


def test_transparency_is_written(run):
    run("render", "fire3:3", "-o", "out", *FAST, "--alpha")

    with Image.open("out/fire3-3.png") as image:
        assert image.mode == "RGBA"
        assert np.ptp(np.asarray(image)[..., 3]) == 255


def test_all_pictures_start_from_an_image(run):
    Image.new("RGB", (90, 70), (200, 40, 40)).save("red.png")
    run("render", "fire2:3", "-o", "out", "--size", "64", "--steps", "1",
        "--transforms", "none", "--start", "red.png")  # fmt: skip

    mean = images.read("out/fire2-3.png").mean((0, 1)) * 255
    np.testing.assert_allclose(mean, (200, 40, 40), atol=8)
    result = run("render", "--from", "out/fire2-3.png", "-o", "again", code=1)
    assert "start image" in error_of(result)


def test_the_file_says_when_and_why_the_picture_stopped(run):
    run("render", "fire2:3", "-o", "out", *FAST, "--target", "-1e9", "--steps", "40")
    spec = spec_of("out/fire2-3.png")

    assert (spec["steps_taken"], spec["stopped"]) == (16, "target")
    assert spec["stop"] == [{"name": "target", "score": -1e9}]


def save_two(path):
    keras.utils.set_random_seed(0)
    image, meta = keras.Input((24, 24, 3), name="image"), keras.Input((1,), name="age")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    x = keras.layers.Concatenate()([x, meta])
    first, second = (
        keras.layers.Dense(n, activation="softmax", name=name)(x)
        for n, name in ((3, "kind"), (5, "colour"))
    )
    keras.Model([image, meta], {"kind": first, "colour": second}, name="two").save(path)


def test_models_of_several_inputs_and_outputs(run):
    save_two("two.keras")
    model = ["-m", "two.keras", "--preprocess", "0,1"]
    short = ["--steps", "3", "--transforms", "none", "-o", "out"]

    assert "for example --hold age=0" in error_of(
        run("render", "logit:1", *model, *short, code=1)
    )
    held = [*model, "--hold", "age=30"]
    assert "--output-name" in error_of(run("render", "logit:1", *held, *short, code=1))
    chosen = [*held, "--output-name", "colour"]
    run("render", "logit:4", *chosen, *short)
    spec = spec_of("out/logit-4.png")
    assert (spec["held"], spec["output"]) == ({"age": 30}, "colour")
    # The picture stores the value and the output, but not where the model file is.
    run("render", "--from", "out/logit-4.png", "-o", "again", "-m", "two.keras")
    assert names("again") == ["logit-4.png", "manifest.jsonl"]
    assert (
        Path("again/logit-4.png").read_bytes() == Path("out/logit-4.png").read_bytes()
    )
    listed = json.loads(run("layers", *chosen, "--json").stdout)
    assert any(row["path"] == "colour" for row in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--penalty", "tv=3"], "there is no penalty 'tv'"),
        (["--penalty", "total_variatoin=3"], "Did you mean 'total_variation'?"),
        (["--penalty", "l1"], "'l1' has no weight; write l1=2"),
        (["--penalty", "l1=x"], "has no weight"),
        (["--diverse", "1"], "1 is not in the range"),
        (["--diverse", "3"], "--diverse needs the weight of the diversity"),
        (["--diversity", "3"], "--diversity and --diversity-layer need the number"),
        (["--optimizer", "adan"], "'adan' is not one of"),
        (["--gradient-blur", "-1"], "-1.0 is not in the range"),
        (["--seconds", "0"], "0.0 is not in the range"),
        (["--start", "none.png"], "'none.png' does not exist"),
        (["--hold", "age"], "'age' is not NAME=VALUE"),
        (["--hold", "age=x"], "is not NAME=VALUE"),
        (["--threads", "0"], "0 is not in the range"),
        (["--statistics", "none.npz"], "'none.npz' does not exist"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(arguments, message, run):
    result = run("render", "fire2:3", "-o", "out", *FAST, *arguments, code=2)

    assert message in error_of(result).replace("\n", " ")
    assert not list(Path().glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hold", "age=3"], "--hold gives values to ['age']. The inputs of model"),
        (["--image-input", "left"], "no image input 'left'"),
        (["--output-name", "classes"], "no output 'classes'"),
        (["--diverse", "2", "--diversity", "1", "--diversity-layer", "fire22"],
         "no layer 'fire22'"),
        (["--diverse", "3", "--diversity", "1", "--batch-size", "4"],
         "multiples of 3"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_model_are_one_line(arguments, message, run):
    result = run("render", "fire2:3", "-o", "out", *FAST, *arguments, code=1)

    assert message in error_of(result)
    assert not list(Path().glob("out/*.png"))


def test_a_start_that_is_no_image_is_refused(run):
    Path("x.png").write_bytes(b"no image")
    result = run("render", "fire2:3", "-o", "out", *FAST, "--start", "x.png", code=1)
    assert "cannot be read as an image" in error_of(result)


@pytest.mark.slow
def test_threads_are_limited(tmp_path):
    build_toy().save(tmp_path / "toy.keras")
    code = (
        "from click.testing import CliRunner\n"
        "from tfviz.cli.main import main\n"
        "import sys\n"
        "result = CliRunner().invoke(main, sys.argv[1:])\n"
        "import tensorflow as tf\n"
        "threads = tf.config.threading.get_intra_op_parallelism_threads()\n"
        "print(result.exit_code, threads)"
    )
    command = [sys.executable, "-c", code, "layers", "-m", "toy.keras"]
    result = subprocess.run(
        [*command, "--threads", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[-2:] == ["0", "1"]
