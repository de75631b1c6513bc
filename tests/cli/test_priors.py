import csv
import inspect
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import click
import keras
import numpy as np
import pytest
import tfviz
from support import ROOT, build_toy, error_of, names, record_bars, small_trainings
from PIL import Image
from tfviz.cli import options as command_options, param_types, train as command
from tfviz.priors import _sources, _trained, training
from tfviz.priors.training import autoencoder, gan, gan_training, inverter, recipes
from tfviz.priors._trained import read as load_file

pytestmark = pytest.mark.usefixtures("_short")

COUNT = 40
TINY = ["--size", 16, "--code", 6, "--batch", 4, "--steps", 6, "--held-out", 16]
ARGUMENTS = ["priors", "train", "inverter", "-o", "out", *TINY]


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        small_trainings(patch)
        yield


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    for number in range(COUNT):
        picture = np.kron(rng.integers(0, 255, (2, 3, 3)), np.ones((20, 20, 1)))
        image = Image.fromarray(picture.astype(np.uint8))
        image.save(tmp_path / "photos" / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def not_begun(monkeypatch):
    """Fail when photos are read or anything is trained."""
    monkeypatch.setattr(recipes, "find_photos", None)
    monkeypatch.setattr(recipes, "train", None)


@pytest.mark.slow
def test_an_inverter_of_the_bundled_network(run, photos):
    layers = ["--layer", "fire2", "--layer", "conv1"]
    result = run(*ARGUMENTS, "--images", photos, *layers)

    assert result.stdout.startswith("out/inverter.npz: held-out photos are reconstr")
    for line in ("24 to learn from, 16 held out", "6/6  features ", "0:00 left"):
        assert line in result.stderr
    assert names("out") == [
        "checkpoint.npz",
        "inverter.npz",
        "log.csv",
        "photos.json",
        "prepared.npz",
        "samples.png",
        "settings.json",
    ]
    with Image.open("out/samples.png") as sheet:
        assert sheet.size == (
            16 * 18 + 2,
            3 * 18 + 2,
        )  # photos, reconstructions, random
    (row,) = csv.DictReader(Path("out/log.csv").read_text().splitlines())
    assert row["step"] == "6"
    settings, _ = load_file("out/inverter.npz")
    assert settings["code_layers"] == ["fire2", "conv1"]
    assert settings["network"]["source"] == "squeezenet"
    assert set(settings["layers"]) > {"conv1", ":logits"}
    assert (settings["photos"], settings["steps"]) == (24, 6)
    # The network is loaded by its name and identified by its weights.
    param = _trained.load("out/inverter.npz")
    pictures = np.stack([tfviz.images.read(file) for file in sorted(photos.iterdir())])
    codes = np.asarray(param.encode(pictures)["code"])
    assert codes.shape == (COUNT, 6)
    assert 0.7 < codes.std() < 1.4
    with pytest.MonkeyPatch.context() as patch:
        from tfviz.models import bundled

        patch.setitem(bundled.BUILDERS, "squeezenet", bundled.squeezenet)
        with pytest.raises(ValueError, match="weights of 'squeezenet' that it was"):
            _trained.load("out/inverter.npz").encode(pictures)


@pytest.mark.slow
def test_an_autoencoder(run, photos):
    arguments = ["priors", "train", "autoencoder", "--images", photos, "-o", "out",
                 "--size", 32, "--channels", 3, "--batch", 4, "--steps", 6,
                 "--held-out", 16, "--without", "test.json"]  # fmt: skip
    (photos / "05.png").rename(photos / "n01443537_5.png")
    Path("test.json").write_text('["00.png", "01.png"]')
    result = run(*arguments)

    assert result.stdout.startswith("out/autoencoder.npz: held-out photos are reconstr")
    settings, arrays = load_file("out/autoencoder.npz")
    assert (settings["channels"], settings["size"]) == (3, 32)
    assert arrays["latent/mean"].shape == arrays["latent/stddev"].shape == (3,)
    assert settings["without"] == ["00.png", "01.png"]
    assert settings["sources"] == {"photos": COUNT - 2}
    assert settings["photos"] == COUNT - 2 - 16
    assert settings["data"] == ["ImageNet"]
    param = _trained.load("out/autoencoder.npz", size=(40, 48))
    assert "22 photos (photos), without 2 that were left" in param.trained["about"]
    assert param.decode(param.init([[0, 1]])).shape == (1, 40, 48, 3)
    assert ":logits" not in settings["layers"]
    assert param.trained["networks"] == {"squeezenet": settings["network"]["hash"]}


@pytest.mark.slow
def test_a_gan(run, photos, monkeypatch):
    """The photos of each class lie in a folder; no model is loaded."""
    for number, file in enumerate(sorted(photos.iterdir())):
        label = photos / f"class{number % 2}"
        label.mkdir(exist_ok=True)
        file.rename(label / file.name)
    small = ["--images", photos, "--size", 16, "--code", 6, "--batch", 4,
             "--steps", 5, "--encoder-steps", 3, "--held-out", 16]  # fmt: skip
    result = run("priors", "train", "gan", *small, "-o", "out")

    assert result.stdout.startswith("out/gan.npz: held-out photos are reconstructed")
    assert "of held-out photos have their class first" in result.stderr
    lines = [line.split("  ")[0] for line in result.stderr.splitlines()]
    assert [line for line in lines if "/" in line] == ["3/3", "5/5"]
    assert "squeezenet" not in result.stderr
    names_out = ["checkpoint.npz", "discriminator.npz", "encoder", "gan.encoder.npz",
                 "gan.npz", "generator.npz", "log.csv", "photos.json", "prepared.npz",
                 "samples.png", "settings.json"]  # fmt: skip
    assert names("out") == names_out
    more = ["--initial", "out", "--minutes", 5, "--by-clock", "--variant", "instance",
            "--encoder", "out/encoder/encoder.npz"]  # fmt: skip
    result = run("priors", "train", "gan", *small, *more, "-o", "more")
    assert "going on from the networks in out" in result.stderr
    classes = ["--variant", "classes"]
    result = run("priors", "train", "gan", *small, *classes, "-o", "classes")
    assert result.stdout == "classes/gan.npz: its images are made from 2 classes\n"
    # On a terminal a bar takes the place of the lines.
    shown = record_bars(monkeypatch)
    result = run("priors", "train", "gan", *small, "-o", "bar")
    assert "3/3" not in result.stderr
    for total in (3, 5):
        bars = [line for line in shown if line[1] == total]
        assert bars[0] == (0, total, f"0/{total} steps", "starting", "")
        assert bars[-1][0] == total
        assert re.fullmatch(r"(\w+ -?[\d.]+  )*\w+ -?[\d.]+", bars[-1][3])
        assert bars[-1][4] == "0:00 left"
    run("priors", "sample", "classes/gan.npz", "-n", 4, "-o", "sheet.png")
    assert "encoder   can start" in run("priors", "info", "more/gan.npz").stdout


def test_a_training_that_stops_after_some_minutes(run, photos, monkeypatch):
    arguments = {}
    # That it resumes with the same bytes is tested with the loop itself.
    monkeypatch.setattr(recipes, "train", lambda *_, **more: arguments.update(more))
    minutes = ["--layer", "fire2", "--minutes", "1.5"]
    result = run(*ARGUMENTS, "--images", photos, *minutes)

    assert result.stdout == "not finished; the same command resumes from out.\n"
    assert (arguments["seconds"], arguments["steps"]) == (90, 6)
    assert arguments["seed"] == 0
    assert arguments["stop"]() is False
    assert names("out") == ["photos.json", "prepared.npz", "settings.json"]


@pytest.mark.usefixtures("not_begun")
class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--channels", 4], "--channels is for an autoencoder, not an inverter"),
            (
                ["--size", 48],
                "an inverter's size is one of 16, 32, 64, 128 pixels, not 48",
            ),
            (["--steps", 0], "0 is not in the range x>=1"),
            (["--held-out", 4], "4 is not in the range x>=16"),
            (["--minutes", "inf"], "inf is not a finite number"),
            (["--images", "nowhere"], "'nowhere' does not exist"),
            (["--seed", -1], "-1 is not in the range"),
            (["-m", "nothing.keras"], "There is no model 'nothing.keras'"),
        ],
    )
    def test_arguments(self, run, photos, change, message):
        result = run(*ARGUMENTS, "--images", photos, *change, code=2)

        assert message in error_of(result)
        assert not Path("out").exists()

    @pytest.mark.parametrize(
        ("kind", "change", "message"),
        [
            ("autoencoder", ["--layer", "fire2"], "--layer is for an inverter"),
            ("autoencoder", ["--channels", 9], "9 is not in the range 1<=x<=8"),
            (
                "autoencoder",
                ["--size", 44],
                "a multiple of 8 pixels, at least 32, not 44",
            ),
            ("vae", [], "'vae' is not one of 'inverter', 'autoencoder', 'gan'"),
            ("gan", ["--layer", "fire2"], "--layer is for an inverter, not a GAN"),
            ("gan", ["--size", 128], "a GAN's size is one of 16, 32, 64 pixels"),
            ("gan", ["-m", "squeezenet"], "no model takes part in training a GAN"),
            ("gan", ["--by-clock"], "--by-clock needs a time: give --minutes"),
            ("gan", ["--initial", "nowhere"], "'nowhere' does not exist"),
            (
                "autoencoder",
                ["--code", 9],
                "--code is for an inverter or a GAN, not an autoencoder",
            ),
        ],
    )
    def test_arguments_of_another_kind(self, run, photos, kind, change, message):
        arguments = ["priors", "train", kind, "--images", photos, "-o", "out", *change]
        result = run(*arguments, code=2)

        assert message in error_of(result)
        assert not Path("out").exists()

    def test_an_output_that_cannot_be_written(self, run, photos):
        Path("file").write_text("not a folder")
        result = run(*ARGUMENTS, "--images", photos, "-o", "file/out", code=2)

        assert "cannot write to the folder 'file/out'" in error_of(result)

    def test_a_layer_that_does_not_exist(self, run, photos):
        result = run(*ARGUMENTS, "--images", photos, "--layer", "fire88", code=1)

        assert "no layer 'fire88'. Did you mean 'fire8'" in error_of(result)
        assert names("out") == []

    def test_a_layer_without_map_or_vector(self, run, photos):
        layers = [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.Reshape((-1, 4), name="tokens"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3),
        ]
        keras.Sequential(layers).save("net.keras")
        model = ["-m", "net.keras", "--preprocess", "0,1", "--layer", "tokens"]
        result = run(*ARGUMENTS, "--images", photos, *model, code=1)

        assert "Layer 'tokens' gives 900x4 for an image" in error_of(result)
        assert names("out") == []

    def test_a_network_of_another_number_of_channels(self, run, photos):
        build_toy(channels=1).save("grey.keras")
        model = ["-m", "grey.keras", "--preprocess", "0,1"]
        result = run(*ARGUMENTS, "--images", photos, *model, code=1)

        assert "three colours, and the images of model 'toy' have 1." in error_of(
            result
        )

    def test_a_folder_of_other_settings(self, run, photos):
        Path("out").mkdir()
        Path("out/settings.json").write_text('{"kind": "autoencoder", "code": 6}')
        result = run(*ARGUMENTS, "--images", photos, code=1)

        assert 'kind is "autoencoder" there and "inverter"' in error_of(result)
        assert "Choose another folder" in error_of(result)
        assert names("out") == ["settings.json"]


@pytest.mark.parametrize(
    ("broken", "arguments", "message"),
    [
        (2, [], "2 of the 42 images in photos cannot be read: bad-0.jpg, bad-1.jpg."),
        (0, ["--held-out", 30], "40 images in photos, but 16 to learn from and 30"),
        (0, ["--code", 25], "40 images in photos, but 25 to learn from and 16"),
    ],
)
def test_unsuitable_photos_are_refused(run, photos, broken, arguments, message):
    for number in range(broken):
        (photos / f"bad-{number}.jpg").write_bytes(b"no image")
    result = run(*ARGUMENTS, "--images", photos, *arguments, code=1)

    assert message in error_of(result)
    assert names("out") == []


def test_photos_to_leave_out_are_neither_learned_from_nor_held_out(
    run, photos, tmp_path, monkeypatch
):
    """Of two sources, one of them a zip file."""
    learned_from, find_photos, found = [], recipes.find_photos, []
    monkeypatch.setattr(recipes, "train", lambda *_, **__: False)
    monkeypatch.setattr(
        recipes, "load_photos", lambda files, *_, **__: learned_from.extend(files)
    )
    monkeypatch.setattr(
        recipes,
        "find_photos",
        lambda *args, **given: found.append(find_photos(*args, **given)) or found[0],
    )
    with zipfile.ZipFile("more.zip", "w") as archive:
        for number in range(4):
            archive.write(photos / f"{number:02}.png", f"dogs/{number}.png")
        archive.writestr("dogs/notes.txt", "no image")
    (tmp_path / "test.txt").write_text("03.png\n\n dogs/1.png \n")
    sources = ["--images", photos, "--images", "more.zip"]
    result = run(*ARGUMENTS, "--layer", "fire2", *sources, "--without", "test.txt")

    assert "26 to learn from, 16 held out" in result.stderr
    (photos,) = found
    assert learned_from == list(photos.train)
    names_found = [Path(f).name for f in (*photos.train, *photos.held_out)]
    assert "03.png" not in names_found
    assert sorted(n for n in names_found if len(n) == 5) == ["0.png", "2.png", "3.png"]
    assert photos.counts == {"photos": 39, "more.zip": 3}
    settings = json.loads(Path("out/settings.json").read_text())
    assert settings["without"] == ["03.png", "dogs/1.png"]
    assert len(json.loads(Path("out/photos.json").read_text())) == 42


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (
            '["03.png", "3.png"]',
            1,
            "1 of the 2 images to leave out are in photos, and 1 are not: 3.png. Write",
        ),
        (
            '{"train": ["03.png"]}',
            2,
            "'test.txt' holds no list of names. Write one name",
        ),
        ("[1, 2]", 2, "'test.txt' holds no list of names"),
        ('["03.png"', 2, "'test.txt' cannot be read: Expecting"),
    ],
)
def test_names_of_no_photos_are_refused(run, photos, content, code, message):
    Path("test.txt").write_text(content)
    arguments = [*ARGUMENTS, "--images", photos, "--without", "test.txt"]

    assert message in error_of(run(*arguments, code=code))


def test_a_source_that_is_neither_folder_nor_zip_is_refused(run, photos):
    result = run(*ARGUMENTS, "--images", photos / "00.png", code=1)

    assert "00.png' is neither a folder nor a zip file" in error_of(result)


def test_a_code_longer_than_its_features_is_refused(run, photos):
    longer = ["--code", 24, "--layer", "fire2"]
    result = run(*ARGUMENTS, "--images", photos, *longer, code=1)

    assert "directions, too few for a code of 24 numbers" in error_of(result)
    # The folder belongs to this training, but holds nothing that took time.
    assert names("out") == ["photos.json", "settings.json"]


TRAINERS = {
    "inverter": training.train_inverter,
    "autoencoder": training.train_autoencoder,
    "gan": training.train_gan,
}


class TestDefaults:
    """The command repeats sizes and defaults, as its help must not import them."""

    @pytest.fixture
    def options(self):
        given = [option for option in command.train.params if option.expose_value]
        return {option.name: option for option in given}  # -h is not given to it

    @pytest.mark.parametrize("kind", TRAINERS)
    def test_options_are_the_arguments_of_the_function(self, kind, options):
        arguments = inspect.signature(TRAINERS[kind]).parameters.keys()
        others = {n for n, kinds in command.ONLY_KIND.items() if kind not in kinds}

        missing = arguments - options.keys()
        network = set() if kind == "gan" else {"adapter"}
        assert missing == network | {"tell", "callbacks", "seconds", "stop"}
        shared = options.keys() - arguments - {*command_options.MODEL_OPTIONS}
        assert shared == {"kind", "minutes"} | others

    @pytest.mark.parametrize("kind", TRAINERS)
    def test_defaults_are_those_of_the_function(self, kind, options):
        defaults = {
            name: argument.default
            for name, argument in inspect.signature(TRAINERS[kind]).parameters.items()
        }
        for name in ("size", "steps", "held_out", "seed", "bfloat16", "xla"):
            context = click.Context(command.train)
            assert options[name].get_default(context) == defaults[name]
        rate = f"{defaults['learning_rate']:.0e}".replace("e-0", "e-")
        name = command.KINDS[kind]
        assert f"{rate} for {name}" in options["learning_rate"].help
        assert f"{defaults['batch']} for {name}" in options["batch"].help
        (own,) = {"code", "channels"} & defaults.keys()
        assert re.search(rf"\b{defaults[own]}\b", options[own].help)
        for more in {"variant", "encoder_steps"} & defaults.keys():
            assert options[more].help.endswith(f"By default {defaults[more]}.")

    def test_sizes_are_those_of_the_functions(self, monkeypatch):
        monkeypatch.setattr(inverter, "WIDTHS", (256, 192, 128, 80, 48))
        assert command.GAN_VARIANTS == gan_training.VARIANTS
        checks = {
            "gan": gan.widths_for,
            "inverter": inverter.widths_for,
            "autoencoder": autoencoder.check_size,
        }

        def refuses(check, *arguments):
            try:
                check(*arguments)
            except (ValueError, click.BadParameter):
                return True
            return False

        for kind, check in checks.items():
            for size in range(16, 257):
                assert refuses(command._check_size, kind, size) == refuses(check, size)


def test_help_needs_no_tensorflow():
    code = (
        "import sys; from tfviz.cli.main import main\n"
        "try: main(['priors', 'train', '--help'])\n"
        "except SystemExit: print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.splitlines()[-1] == "False"
    assert "tfviz priors train autoencoder --images" in result.stdout


@pytest.mark.slow
def test_a_killed_training_resumes(photos, tmp_path):
    """With the real command, in a process of its own."""
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import pytest, tfviz\n"
        "from support import small_trainings; from tfviz.priors.training import loop\n"
        "small_trainings(pytest.MonkeyPatch()); loop.CHECKPOINT_SECONDS = 1.0\n"
        "from tfviz.cli.main import main; main(sys.argv[1:])"
    )
    tiny = [*map(str, TINY), "--images", str(photos), "--steps", "400",
            "--layer", "fire2"]  # fmt: skip
    command = [sys.executable, "-c", script, str(ROOT / "tests"), "priors",
               "train", "inverter", *tiny]  # fmt: skip
    subprocess.run([*command, "-o", "whole"], cwd=tmp_path, check=True)
    process = subprocess.Popen([*command, "-o", "out"], cwd=tmp_path)
    while not (tmp_path / "out" / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.kill()
    process.wait()
    result = subprocess.run(
        [*command, "-o", "out"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    assert "resuming from step " in result.stderr
    for name in ("inverter.npz", "log.csv", "samples.png"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == whole, name


def test_the_command_line_knows_the_bundled_priors():
    """It names them without TensorFlow, which importing their package would load."""
    names = param_types.PriorSource
    assert names.bundled == _trained.BUNDLED
    assert names.refinements == _sources.REFINEMENTS
    pairs = {f"{b}+{r}" for b in names.bundled for r in names.refinements if b != r}
    assert set(names.refined) == pairs


def test_detail_is_added_to_the_pictures_of_a_prior(run):
    """By name in `render` and in `compare`, and for a file of one's own."""
    arguments = ["fire2:3", "--size", 40, "--steps", 1, "--candidates", 2, "-o"]
    run("render", "--param", "inverter+fourier", *arguments, "named")
    bundled = _trained.bundled_file("inverter")
    shutil.copy(bundled, "mine.npz")
    run("render", "--param", "mine.npz+fourier", *arguments, "own")
    (named,), (own,) = (list(Path(folder).glob("*.png")) for folder in ("named", "own"))
    pictures = [tfviz.images.read(file) for file in (named, own)]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].shape == (40, 40, 3)
    assert tfviz.images.read_spec(named)["param"]["source"] == "inverter+fourier"

    error = error_of(run("render", "fire2:3", "--param", "inverter+fourrier", code=2))
    assert "Did you mean 'inverter+fourier'?" in error
    methods = param_types.Methods().convert("fourier,inverter+fourier", None, None)
    assert methods[1] == ("inverter+fourier", "inverter+fourier")
