import json

import keras
import numpy as np
import pytest
import tfviz
import tensorflow as tf
from support import FAST, error_of, names, seeds_for
from tfviz import priors
from tfviz.images import read_spec
from tfviz.priors import _trained
from tfviz.priors._diagnostics import checked

layers = keras.layers
pytestmark = pytest.mark.usefixtures("_short")


def gan_model(head="tanh"):
    keras.utils.set_random_seed(5)
    given = keras.Input((8,), name="z")
    x = layers.Dense(4 * 4 * 6, activation="relu")(given)
    x = layers.UpSampling2D(4)(layers.Reshape((4, 4, 6))(x))
    return keras.Model(given, layers.Conv2D(3, 3, padding="same", activation=head)(x))


def decoder_model(size=None):
    keras.utils.set_random_seed(6)
    given = keras.Input((size, size, 2), name="map")
    x = layers.Conv2DTranspose(3, 4, 2, "same", activation="sigmoid")(given)
    return keras.Model(given, x)


def encoder_model():
    keras.utils.set_random_seed(7)
    images = keras.Input((None, None, 3))
    return keras.Model(images, layers.Conv2D(2, 2, 2)(images))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of generators."""
    folder = tmp_path_factory.mktemp("models")
    gan_model().save(folder / "gan.keras")
    gan_model("linear").save(folder / "linear.keras")
    decoder_model().save(folder / "decoder.keras")
    decoder_model(4).save(folder / "fixed.keras")
    encoder_model().save(folder / "encoder.keras")

    net = tf.Module()
    net.matrix = tf.Variable(tf.random.stateless_normal((6, 48), (0, 1)))
    net.make = tf.function(
        lambda z, label: {
            "images": tf.reshape(
                tf.sigmoid(z @ net.matrix + 0.1 * tf.cast(label, tf.float32)[:, None]),
                (-1, 4, 4, 3),
            )
        },
        input_signature=[
            tf.TensorSpec((None, 6), name="z"),
            tf.TensorSpec((None,), tf.int32, name="label"),
        ],
    )
    tf.saved_model.save(net, str(folder / "module"), signatures=net.make)
    return folder


class TestLoad:
    def images(self, prior):
        return prior.decode(prior.init(seeds_for(2))).numpy()

    @pytest.mark.parametrize(
        ("name", "options", "shape"),
        [
            ("gan.keras", {"value_range": (-1, 1)}, (16, 16, 3)),
            ("decoder.keras", {"value_range": (0, 1), "size": (12, 20)}, (12, 20, 3)),
            ("module", {"value_range": (0, 1), "given": {"label": 2}}, (4, 4, 3)),
        ],
    )
    def test_each_kind_is_made_again_from_its_description(
        self, name, options, shape, models
    ):
        prior = priors.load(models / name, **options)
        again = priors.from_spec(json.loads(json.dumps(prior.spec)))

        assert prior.shape == shape
        np.testing.assert_array_equal(self.images(prior), self.images(again))
        assert again.spec == prior.spec

    def test_an_encoder_is_used(self, models, rng):
        prior = priors.load(
            models / "decoder.keras",
            8,
            value_range=(0, 1),
            encoder=models / "encoder.keras",
        )
        images = rng.uniform(size=(2, 8, 8, 3)).astype(np.float32)

        expected = decoder_model()(encoder_model()(images))
        np.testing.assert_allclose(
            prior.decode(prior.encode(images)), expected, atol=1e-4
        )

    def test_a_calibration_file_beside_the_prior_is_used(self, tmp_path):
        gan_model().save(tmp_path / "gan.keras")
        plain = priors.load(tmp_path / "gan.keras", value_range=(-1, 1))
        measured = plain.calibrate(50)
        measured.save_calibration(tmp_path / "gan.keras.calibration.npz")
        found = priors.load(tmp_path / "gan.keras", value_range=(-1, 1))
        without = priors.load(
            tmp_path / "gan.keras", value_range=(-1, 1), calibrated=False
        )

        assert found.measured["z"].count == 50
        np.testing.assert_array_equal(self.images(found), self.images(measured))
        np.testing.assert_array_equal(self.images(without), self.images(plain))
        assert found.spec["digest"] != without.spec["digest"] == plain.spec["digest"]

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("linear.keras", {}, "does not say which values are black and white"),
            ("module", {}, r"takes integers.* Hold it constant: given={'label': 0}\."),
            ("gan.keras", {"size": 32}, "takes no `size`"),
            (
                "decoder.keras",
                {"value_range": (0, 1), "size": 8, "given": {"y": 1}},
                "takes no `given`",
            ),
            (
                "decoder.keras",
                {},
                r"images of any size. Give one in pixels, such as size=\(64, 64\)",
            ),
            (
                "decoder.keras",
                {"size": (8, 9)},
                r"multiples of 2 and 2 pixels, not 8 and 9. Give size=\(8, 8\)",
            ),
            ("fixed.keras", {"value_range": (0, 1), "size": 16}, "takes no `size`"),
        ],
    )
    def test_wrong_options_are_refused(self, name, options, message, models):
        with pytest.raises(ValueError, match=message):
            priors.load(models / name, **options)

    def test_other_files_and_descriptions_are_refused(self, models):
        (models / "notes.txt").write_text("none")
        with pytest.raises(
            ValueError, match=r"notes.txt' is not a prior. Expected a file"
        ):
            priors.load(models / "notes.txt")
        with pytest.raises(
            FileNotFoundError, match="no prior 'no.keras'. The bundled priors are"
        ):
            priors.load("no.keras", value_range=(0, 1))
        with pytest.raises(ValueError, match="not the description of a prior"):
            priors.from_spec({"name": "fourier"})


def test_one_of_several_functions_is_selected_by_name(run, tmp_path):
    net = tf.Module()
    for name, sign in (("make", 1.0), ("unmake", -1.0)):
        made = tf.function(
            lambda z, sign=sign: {
                "image": tf.sigmoid(sign * tf.reshape(z, (-1, 2, 2, 3))),
                "grey": tf.sigmoid(tf.reshape(z, (-1, 2, 6, 1))),
            },
            input_signature=[tf.TensorSpec((None, 12), name="z")],
        )
        setattr(net, name, made)
    functions = {"make": net.make, "unmake": net.unmake}
    tf.saved_model.save(net, str(tmp_path / "net"), signatures=functions)

    with pytest.raises(ValueError, match=r"net\?signature=make"):
        priors.load(tmp_path / "net", value_range=(0, 1))
    source = f"{tmp_path}/net?signature=unmake&output=image"
    param = priors.load(source, value_range=(0, 1))
    z = tf.random.stateless_normal((1, 12), (0, 1))
    np.testing.assert_allclose(
        param.decode({"z": z})[0], 1 / (1 + np.exp(z)).reshape(2, 2, 3), rtol=1e-5
    )
    assert param.shape == (2, 2, 3)
    again = priors.from_spec(param.spec)
    assert again.spec == param.spec
    other = priors.load(
        f"{tmp_path}/net?signature=make&output=grey", value_range=(0, 1)
    )
    assert other.shape == (2, 6, 1)
    assert "z" in run("priors", "info", source, "--range=0,1").stdout
    with pytest.raises(ValueError, match="takes no `signature`"):
        priors.load("autoencoder?signature=make")


class TestChecked:
    def check(self, head="tanh", value_range=(-1, 1), model=None):
        return checked(priors.gan(model or gan_model(head), value_range=value_range))

    def test_a_good_prior_has_no_warnings(self):
        model = gan_model("linear")
        model.layers[-1].kernel.assign(5 * model.layers[-1].kernel)
        facts, warnings = self.check(
            model=keras.Model(model.input, keras.ops.tanh(model.output))
        )
        assert warnings == []
        assert facts["gradient_of_z"] > 0
        assert facts["variety"] > 0.05

    def test_a_range_that_is_too_wide_is_reported(self):
        _, warnings = self.check("linear", (-9, 9))
        assert warnings[0].startswith("random images go from 0.4")
        assert "Is the range narrower than -9 to 9? Set it with `val" in warnings[0]

    def test_a_range_that_is_too_narrow_is_reported(self):
        _, warnings = self.check("linear", (-0.05, 0.05))
        assert "Is it wider than -0.05 to 0.05? Set it with `value_r" in warnings[0]

    def test_images_that_are_all_alike_are_reported(self):
        model = gan_model()
        model.layers[1].kernel.assign(1e-4 * model.layers[1].kernel)
        model.layers[1].bias.assign(tf.random.stateless_normal((96,), (0, 1)))
        _, warnings = self.check(model=model)
        assert any("all alike" in warning for warning in warnings)

    def test_images_that_are_not_finite_are_reported(self):
        model = gan_model()
        z = priors.gaussian(*model.input_shape[1:])

        def broken(given, training):
            far = given[:, :1, None, None] < -1
            return tf.where(far, np.nan, model(given, training=training))

        facts, warnings = checked(
            priors.gan(broken, value_range=(-1, 1), latents={"z": z})
        )
        assert 0.02 < facts["not_finite"] < 0.4  # 16 % of normal numbers are below -1
        assert "of the pixels of random images are not finite" in warnings[0]


class TestCommands:
    def test_list(self, run, tmp_path, monkeypatch):
        facts = {"steps": 1600, "photos": 62_000, "size": 64, "psnr": 17.25}
        _trained.write(tmp_path / "inverter.npz", facts, {"w": np.ones(2, np.float32)})
        monkeypatch.setattr(
            _trained, "bundled_file", lambda name: tmp_path / f"{name}.npz"
        )
        inverter, autoencoder, *_ = run("priors", "list").stdout.splitlines()

        assert "in 1,600 steps on 62,000 photos of 64 pixels" in inverter
        assert "come back with 17.2 dB" in inverter
        assert "`tfviz priors train autoencoder` makes one" in autoencoder
        told = json.loads(run("priors", "list", "--json").stdout)
        assert told["inverter"]["photos"] == 62_000
        assert told["autoencoder"] is None
        refused = run("priors", "info", "autoencoder", code=1)
        assert "without the weights of 'autoencoder'" in error_of(refused)

    def test_info(self, run, models):
        out = run("priors", "info", models / "gan.keras", "--range", "-1,1").stdout
        assert "images    16 x 16 x 3, from -1 (black) to 1 (white), as given" in out
        assert "latent    z: 8, optimized, bounded" in out
        assert "kinship   any network: unknown training" in out
        facts = json.loads(
            run(
                *("priors", "info", models / "module", "--range", "0,1"),
                *("--give", "label=2", "--json"),
            ).stdout
        )
        assert facts["latents"]["label"]["optimized"] is False
        assert facts["images"] == [4, 4, 3]

    def test_check(self, run, models):
        wide = ("--range", "-9,9")
        result = run("priors", "check", models / "linear.keras", *wide, code=1)
        assert "gradient of z" in result.stdout
        assert "Warning: random images go from 0.4" in result.stderr
        assert (
            "Is the range narrower than -9 to 9? Set it with --range." in result.stderr
        )
        as_json = run("priors", "check", models / "gan.keras", *wide, "--json", code=1)
        facts = json.loads(as_json.stdout)
        assert facts["warnings"][0].startswith(
            "--range=-9,9 contradicts the generator, whose last activation, tanh, "
            "gives values from -1 to 1."
        )
        assert as_json.stderr.count("contradicts") == 1

    def test_sample(self, run, models):
        run(
            *("priors", "sample", models / "gan.keras", "--range=-1,1"),
            *("-o", "a/samples.png", "-n", "5", "--seed", "3"),
        )
        spec = read_spec("a/samples.png")
        assert spec["seed"] == 3
        assert spec["param"]["source"].endswith("gan.keras")
        assert names("a") == ["samples.png"]

    def test_calibrate(self, run, models, tmp_path, rng):
        (tmp_path / "photos").mkdir()
        for k in range(22):
            photo = tfviz.images.to_pil(rng.uniform(size=(20, 30, 3)))
            tfviz.images.save(photo, tmp_path / "photos" / f"{k}.png")
        out = run(
            *("priors", "calibrate", models / "decoder.keras", "--range", "0,1"),
            *("--encoder", models / "encoder.keras", "--size", "8"),
            *("--images", "photos", "-o", "out.npz"),
        ).stdout
        assert "latent: mean" in out
        assert "out.npz: measured on 22 photos" in out
        prior = priors.autoencoder(decoder_model(), value_range=(0, 1), height=4)
        assert prior.calibrate("out.npz").measured["latent"].count == 22

    def test_calibrate_measures_photos_of_all_folders(self, run, models, tmp_path):
        for place, kind in enumerate(("black", "white")):
            (tmp_path / "photos" / kind).mkdir(parents=True)
            for k in range(30):
                photo = tfviz.images.to_pil(np.full((8, 8, 3), float(place)))
                tfviz.images.save(photo, tmp_path / "photos" / kind / f"{k}.png")
        run(
            *("priors", "calibrate", models / "decoder.keras", "--range", "0,1"),
            *("--encoder", models / "encoder.keras", "--size", "8"),
            *("--images", "photos", "-n", 20, "-o", "out.npz"),
        )
        prior = priors.autoencoder(decoder_model(), value_range=(0, 1), height=4)
        measured = prior.calibrate("out.npz").measured["latent"]
        assert measured.count == 20
        assert (measured.stddev > 0).any()

    def test_calibrate_needs_an_output_for_bundled_priors(self, run):
        result = run("priors", "calibrate", "autoencoder", "-n", 20, code=2)
        assert "Say where it goes, such as -o calibration.npz" in error_of(result)

    def test_calibrate_needs_images_or_a_number(self, run, models, tmp_path):
        source = (models / "gan.keras", "--range=-1,1")
        result = run("priors", "calibrate", *source, code=2)
        assert "Give photos with --images" in error_of(result)
        (tmp_path / "few").mkdir()
        result = run("priors", "calibrate", *source, "--images", "few", code=1)
        assert "holds 0 photos, and 20 are the fewest" in error_of(result)
        assert not any("calibration" in name for name in names(models))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("inverterr", "--range=0,1"), "Did you mean 'inverter'?"),
            (("{models}/gan.keras", "--range=1,0"), "Write --range=0,1."),
            (
                ("{models}/gan.keras", "--range=0-1"),
                "'0-1' is not a range: the values of black and white, with a comma bet",
            ),
            (
                ("{models}/gan.keras", "--range=-1:2"),
                "with a comma between them. Write --range=-1,2.",
            ),
            (("{models}/gan.keras", "--range=255..0"), "Write --range=0,255."),
            (("{models}/gan.keras", "--range=[0, 1]"), "Write --range=0,1."),
            (("{models}/gan.keras", "--range=0"), "Write --range=-1,1."),
            (("{models}/gan.keras", "--range=0,inf"), "Write --range=-1,1."),
            (("{models}/notes.txt",), "is not a prior. A prior is a file that ends in"),
            (("{models}/net.onnx",), "net.onnx' is a model in ONNX format. Convert"),
            (("{models}/arrays.npz",), "holds arrays without the architecture"),
            (("{models}",), "Did you mean '{models}/module'?"),
        ],
    )
    def test_wrong_arguments(self, run, models, arguments, message):
        (models / "notes.txt").write_text("none")
        (models / "net.onnx").touch()
        np.savez(models / "arrays.npz", a=np.ones(3))
        given = [a.format(models=models) for a in arguments]
        code = 1 if "arrays" in given[0] else 2
        error = error_of(run("priors", "info", *given, code=code))
        assert message.format(models=models) in error

    def test_a_range_that_is_read_is_said(self, run, models):
        for command in (["info"], ["sample", "-o", "a.png", "-n", 1]):
            result = run("priors", *command, models / "gan.keras")
            assert result.stderr == (
                "gan.keras: values from -1 (black) to 1 (white), read from its last "
                "activation, tanh\n"
            )

    def test_a_range_that_cannot_be_read(self, run, models):
        result = run("priors", "info", models / "linear.keras", code=1)
        assert "it does not end in an activation that limits them" in error_of(result)
        assert "Give --range=-1,1 if that fits the images" in error_of(result)
        again = run("priors", "info", models / "linear.keras", "--range=-1,1")
        assert "from -1 (black) to 1 (white), as given" in again.stdout


class TestRender:
    def prior(self, models, *more):
        return ("--param", models / "gan.keras", "--range=-1,1", *more)

    def test_a_prior_is_a_param(self, run, models):
        fast = ["--steps", "4", "--candidates", "3"]
        run("render", "fire8:20", *self.prior(models), *fast, "-o", "out", "--sheet")
        spec = read_spec("out/fire8-20.png")

        assert spec["param"]["name"] == "prior"
        assert spec["candidates"] == spec["drawn"] == 3
        assert set(spec["diagnostics"]) == {
            "clip_rate",
            "out_of_range",
            "z/norm_percentile",
        }
        assert [t["name"] for t in spec["transforms"]] == [
            *("pad", "jitter", "scale", "rotate", "crop")
        ]
        assert tfviz.images.read("out/fire8-20.png").shape == (16, 16, 3)

    @pytest.mark.slow
    def test_a_picture_is_rendered_again_from_its_file(self, run, models):
        fast = ["--steps", "3", "--candidates", "2", "--restarts", "2"]
        run("render", "fire8:20", *self.prior(models), *fast, "-o", "out")
        run("render", "--from", "out/fire8-20.png", "-o", "again")

        one, other = (
            tfviz.images.read(f"{folder}/fire8-20.png") for folder in ("out", "again")
        )
        np.testing.assert_array_equal(one, other)

    @pytest.mark.slow
    @pytest.mark.filterwarnings("default:.* is not what the picture was made with")
    def test_a_changed_or_missing_file_is_reported(self, run, tmp_path):
        gan_model().save(tmp_path / "gan.keras")
        fast = ["--steps", "2", "--candidates", "1"]
        run("render", "fire8:20", *self.prior(tmp_path), *fast, "-o", "out")
        other = gan_model()
        other.layers[1].kernel.assign(2 * other.layers[1].kernel)
        other.save(tmp_path / "gan.keras")
        result = run("render", "--from", "out/fire8-20.png", "-o", "again")
        assert "is not what the picture was made with" in result.stderr
        (tmp_path / "gan.keras").unlink()
        result = run("render", "--from", "out/fire8-20.png", "-o", "third", code=1)
        assert "There is no prior" in error_of(result)

    @pytest.mark.slow
    def test_the_normalized_optimizer_by_name(self, run, models):
        run(
            *("render", "fire8:20", *self.prior(models), "--steps", "3"),
            *("--optimizer", "normalized", "--candidates", "1", "-o", "out"),
        )
        spec = read_spec("out/fire8-20.png")
        assert spec["optimizer"] == {"name": "normalized"}
        run("render", "--from", "out/fire8-20.png", "-o", "again")

    def test_options_of_other_params_are_refused(self, run, models):
        result = run("render", "fire8:20", *FAST, "--range=0,1", "-o", "out", code=2)
        assert "--range is for learned priors; --param fourier" in error_of(result)
        result = run(
            *("render", "fire8:20", "--param", "fouriere", *FAST, "-o", "out"), code=2
        )
        assert "Did you mean 'fourier'?" in error_of(result)
