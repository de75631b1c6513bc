"""Trainings of GANs with networks so small that a training takes seconds."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tfviz
from PIL import Image
from support import build_toy, small_trainings
from tfviz import priors
from tfviz.comparison.kinship import kinship
from tfviz.priors import _trained, training
from tfviz.priors.training import (
    checkpoint,
    device_photos,
    gan,
    gan_training,
    loop,
    stepping,
)
from tfviz.priors.training.conditions import ClassConditions
from tfviz.priors.training.device_photos import on_device

CLASSES, EACH, SIZE = 4, 40, 16
SMALL = {
    "code": 8,
    "size": SIZE,
    "batch": 8,
    "held_out": 32,
    "steps": 100,
    "encoder_steps": 60,
    "learning_rate": 2e-3,
    "tell": lambda line: None,
}


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        small_trainings(patch)
        patch.setattr(stepping, "CALL_SECONDS", 0)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of four colours, of which one says the class."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir()
        for number in range(EACH):
            colours = rng.integers(0, 256, (2, 2, 3))
            colours[..., label % 3] = 250 if label < 3 else 0
            picture = np.kron(colours, np.ones((8, 8, 1))).astype(np.uint8)
            name = folder / f"class{label}" / f"{number:02}.png"
            Image.fromarray(picture).save(name)
    return folder


def train(folder, output, **change):
    return training.train_gan(folder, output, **SMALL | change)


def log_of(output):
    names, *rows = (output / checkpoint.LOG).read_text().splitlines()
    columns = np.array([row.split(",") for row in rows], float).T
    return dict(zip(names.split(","), columns))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A GAN of codes, trained without interruption: its folder, facts and lines."""
    output, lines = tmp_path_factory.mktemp("gan"), []
    return output, train(folder, output, tell=lines.append), lines


@pytest.fixture(scope="module")
def of_classes(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("classes")
    return output, train(folder, output, variant="classes", steps=30)


@pytest.fixture(scope="module")
def held_out(folder):
    files = sorted(folder.rglob("*.png"))[::7]
    return np.stack([tfviz.images.read(file) for file in files])


class TestInstances:
    def test_losses_fall(self, trained):
        log = log_of(trained[0])

        assert log["step"].tolist() == [50, 100]
        for name in ("features", "pixels", "penalty"):
            assert log[name][1] < 0.97 * log[name][0]

    def test_the_encoder_is_trained_first_and_measured(self, trained):
        output, facts, lines = trained
        _, encoder = gan_training.load_encoder(output / "encoder" / "encoder.npz")

        assert facts["top1"] > 0.9  # chance is 0.25
        assert f"encoder: {facts['top1']:.1%} of held-out photos" in "\n".join(lines)
        assert (encoder["classes"], encoder["steps"]) == (4, 60)
        top1 = log_of(output / "encoder")["top1"]
        assert top1[-1] > max(0.9, top1[0])

    def test_the_prior_is_loaded_from_its_file(self, trained, held_out):
        output, facts, _ = trained
        prior = priors.load(output / "gan.npz")

        assert prior.shape == (SIZE, SIZE, 3)
        shapes = {name: latent.shape for name, latent in prior.latents.items()}
        assert shapes == {"code": (8,), "z": (64,)}
        assert prior.defaults["learning_rate"] == 0.2
        # No network that could be visualized took part.
        assert prior.trained["networks"] == {"its own encoder": None}
        assert prior.trained["data"] == []
        assert "128 photos (" in prior.trained["about"]
        assert kinship(prior, tfviz.adapt(build_toy(), (0, 1))) == "other network"
        settings = _trained.read_facts(output / "gan.npz")
        assert settings == facts | {"version": _trained.VERSION}
        assert (settings["variant"], settings["photos"]) == ("instance", 128)

    def test_photos_are_encoded_and_decoded(self, trained, held_out):
        prior = priors.load(trained[0] / "gan.npz")
        larger = held_out.repeat(2, axis=1).repeat(3, axis=2)
        latents = prior.encode(larger)
        images = prior.decode(latents).numpy()

        codes = np.asarray(latents["code"])
        assert codes.shape == (len(held_out), 8)
        assert 0.6 < codes.std() < 1.5
        assert images.shape == (len(held_out), SIZE, SIZE, 3)
        assert 0 <= images.min() < images.max() <= 1
        again = prior.encode(held_out)["code"]
        np.testing.assert_allclose(again, codes, atol=0.4)

    def test_latents_stay_where_photos_have_them(self, trained, rng):
        output, _, _ = trained
        prior = priors.load(output / "gan.npz")
        _, arrays = _trained.read(output / "gan.npz")
        outside = {
            name: tf.constant(9 * rng.normal(size=(3, length)), tf.float32)
            for name, length in (("code", 8), ("z", 64))
        }
        inside = prior.project(outside)
        expected = np.clip(outside["code"], arrays["code/low"], arrays["code/high"])

        np.testing.assert_allclose(inside["code"], expected, atol=1e-6)
        # Codes have unit variance, so their range is wider than that.
        assert (arrays["code/low"] < -0.8).all()
        assert (arrays["code/high"] > 0.8).all()
        np.testing.assert_allclose(np.linalg.norm(inside["z"], axis=1), 8, rtol=1e-5)
        diagnostics = prior.diagnostics["code/unusual"](outside)
        assert (np.asarray(diagnostics) > 0.3).all()

    def test_a_prior_without_its_encoder_cannot_encode(self, trained, tmp_path):
        file = tmp_path / "gan.npz"
        file.write_bytes((trained[0] / "gan.npz").read_bytes())
        prior = priors.load(file)

        assert prior.encode is None
        whole = priors.load(trained[0] / "gan.npz")
        assert prior.spec["digest"] != whole.spec["digest"]
        assert priors.from_spec(json.loads(json.dumps(prior.spec))).spec == prior.spec

    def test_another_size_is_refused(self, trained):
        with pytest.raises(ValueError, match="This GAN makes images of 16 pixels"):
            priors.load(trained[0] / "gan.npz", 32)

    def test_it_is_rendered_with(self, trained):
        prior = priors.load(trained[0] / "gan.npz")
        toy = tfviz.adapt(build_toy(), (-1, 1))
        result = tfviz.render(toy, "conv_b:3", prior, steps=8)

        assert result.images.shape == (1, SIZE, SIZE, 3)
        assert (result.unit_scores > result.start_scores).all()

    @pytest.mark.slow
    def test_an_interrupted_training_writes_the_same_file(
        self, trained, folder, tmp_path, monkeypatch
    ):
        left = iter(range(90)[::-1])  # 60 steps of the encoder, 30 of the generator
        assert train(folder, tmp_path, stop=lambda: next(left) == 0) is None
        assert (tmp_path / "gan.npz").exists()  # with the weights so far
        monkeypatch.setattr(gan_training, "measure_codes", None)
        facts = train(folder, tmp_path)

        assert facts == trained[1]
        for name in ("gan.npz", "gan.encoder.npz", "generator.npz", "log.csv"):
            same = (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()
            assert same, name

    @pytest.mark.slow
    def test_an_encoder_and_the_networks_of_another_training_are_taken(
        self, trained, folder, tmp_path
    ):
        encoder, lines = trained[0] / "encoder" / "encoder.npz", []
        more = {"encoder": encoder, "initial": trained[0], "steps": 50}
        facts = train(folder, tmp_path, tell=lines.append, **more)

        assert facts["top1"] == trained[1]["top1"]
        assert "training the encoder" not in lines
        assert not (tmp_path / "encoder").exists()
        # It goes on where the other one ended.
        before, after = log_of(trained[0]), log_of(tmp_path)
        for name in ("features", "pixels"):
            assert after[name][0] < 1.05 * before[name][-1]

    def test_networks_of_another_size_are_refused(self, trained, folder, tmp_path):
        with pytest.raises(ValueError, match="the generator of another GAN. Give the"):
            train(folder, tmp_path, initial=trained[0], variant="classes")


class TestClasses:
    def test_it_needs_no_encoder(self, of_classes):
        output, facts = of_classes
        names = {file.name for file in output.iterdir()}

        assert not {"encoder", "gan.encoder.npz", "prepared.npz"} & names
        assert not {"psnr", "top1"} & facts.keys()
        assert list(log_of(output)) == ["step", "fooled", "judge", "penalty", "right"]

    def test_it_has_learned_from_pixels_alone(self, of_classes):
        prior = priors.load(of_classes[0] / "gan.npz")

        assert prior.trained["networks"] == {}
        assert kinship(prior, tfviz.adapt(build_toy(), (0, 1))) == "pixels only"

    @pytest.mark.slow
    def test_photos_can_be_left_out_and_sources_are_recorded(self, folder, tmp_path):
        names = ["class0/00.png", "class1/03.png"]
        facts = train(folder, tmp_path, variant="classes", steps=2, without=names)

        count = len(list(folder.rglob("*.png")))
        assert facts["without"] == names
        assert facts["sources"] == {folder.name: count - 2}
        assert facts["photos"] + facts["held_out"] == count - 2
        with pytest.raises(ValueError, match="1 of the 2 images to leave out are in"):
            train(folder, tmp_path / "x", without=["class0/00.png", "class0/none.png"])

    def test_classes_are_mixed(self, of_classes):
        prior = priors.load(of_classes[0] / "gan.npz")
        shapes = {name: latent.shape for name, latent in prior.latents.items()}
        start = prior.init([[0, 1], [0, 2]])

        assert shapes == {"class": (CLASSES,), "z": (128,)}
        assert prior.encode is None
        inside = prior.project({k: 50 * v for k, v in start.items()})
        shares = prior.latents["class"].values(inside["class"]).numpy()
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        images = prior.decode(inside).numpy()
        assert images.shape == (2, SIZE, SIZE, 3)

    def test_a_class_is_what_the_generator_was_trained_with(self, of_classes):
        output, _ = of_classes
        prior = priors.load(output / "gan.npz")
        settings, arrays = _trained.read(output / "gan.npz")
        recipe = gan.Gan(
            ClassConditions(CLASSES),
            widths=settings["widths"],
            batch=8,
            learning_rate=1e-3,
        )
        _trained.set_weights(recipe.generator, arrays, "generator")
        condition, _ = recipe.conditions.of(None, tf.constant([2]))
        z = tf.ones((1, 128))
        expected = recipe.generator([condition, z]) / 2 + 0.5
        one = {"class": tf.one_hot([2], CLASSES) / 0.1, "z": z}

        np.testing.assert_allclose(prior.decode(one), expected, atol=1e-6)


class TestState:
    """A machine is lent for minutes: what is carried has 16 bits and no optimizers."""

    def build(self, seed):
        pixels = np.random.default_rng(2).integers(0, 256, (40, 2, 2, 3), np.uint8)
        pixels = pixels.repeat(8, axis=1).repeat(8, axis=2)
        photos = on_device(pixels, np.arange(40) % 3)
        recipe = gan.Gan(
            ClassConditions(3),
            widths=(16, 12, 8),
            batch=8,
            learning_rate=1e-3,
            seed=seed,
        )
        return recipe, photos

    def run(self, recipe, photos, first, count):
        """Return the metrics of steps."""
        batches = photos.batches(8, first=first, seed=0)

        @tf.function(autograph=False)
        def step(item, key):
            taken = device_photos.take(photos, item, key, SIZE, 1.0)
            return recipe.step(*taken, key, tf.constant(0.5), 1e-3)

        rows = [
            step(tf.constant(next(batches)), tf.constant([0, number]))
            for number in range(first, first + count)
        ]
        return {k: np.array([float(row[k]) for row in rows]) for k in rows[0]}

    @pytest.mark.slow
    def test_a_restart_continues_with_nearly_the_same_losses(self, tmp_path):
        recipe, photos = self.build(0)
        self.run(recipe, photos, 0, 60)
        gan_training.save_networks(recipe, tmp_path)
        other, _ = self.build(7)
        gan_training.restore_networks(other, tmp_path)
        expected, actual = (self.run(r, photos, 61, 30) for r in (recipe, other))

        for name in ("fooled", "judge", "penalty"):
            # The first step sees the weights as they were stored.
            assert actual[name][0] == pytest.approx(expected[name][0], rel=0.01)
            mean = np.mean(expected[name])
            assert np.mean(actual[name]) == pytest.approx(mean, rel=0.2)

    def test_the_weights_are_those_that_were_saved(self, tmp_path):
        recipe, _ = self.build(0)
        gan_training.save_networks(recipe, tmp_path)
        other, _ = self.build(7)
        gan_training.restore_networks(other, tmp_path)

        for name, network in recipe.networks.items():
            assert other.networks[name].trainable
            for a, b in zip(network.weights, other.networks[name].weights):
                half = np.asarray(a).astype(np.float16).astype(np.float32)
                np.testing.assert_array_equal(half, b)

    def test_the_learning_rate_rises_at_first(self):
        recipe, photos = self.build(0)
        rates = []
        for number in (0, 49, 99, 500):
            key = tf.constant([0, number])
            taken = device_photos.take(photos, np.arange(8), key, SIZE, 1.0)
            recipe.step(*taken, key, tf.constant(0.5), tf.constant(1e-3))
            rates.append([float(o.learning_rate) for o in recipe._optimizers])

        np.testing.assert_allclose(
            rates, np.outer([1e-5, 5e-4, 1e-3, 1e-3], [1, 1]), rtol=1e-5
        )

    def test_checkpoints_and_the_schedule_follow_the_clock(self, tmp_path, monkeypatch):
        recipe, photos = self.build(0)
        times = iter(range(0, 10**6, 10))
        monkeypatch.setattr(loop.time, "monotonic", lambda: next(times))
        saved = []
        held_out = np.random.default_rng(0).uniform(size=(16, 16, 16, 3))
        complete = loop.train(
            recipe,
            photos,
            tmp_path,
            steps=10**6,
            held_out=held_out.astype(np.float32),
            seconds=400,
            by_clock=True,
            save_seconds=120,
            save_more=lambda step, averages: saved.append((step, averages)),
            report=lambda line: None,
        )

        # The clock is read once a step.
        assert complete
        with np.load(tmp_path / checkpoint.CHECKPOINT) as file:
            assert 38 <= int(file["step"]) <= 41
        assert len(saved) == 4  # after 120, 240 and 360 seconds, and at the end
        # The learning rate has fallen nearly to its end.
        rate = float(recipe._optimizers[0].learning_rate)
        assert rate < 0.5 * stepping.FINAL_LEARNING_RATE * 1e-3
        assert [step for step, _ in saved] == [13, 26, 39, 41]
        for name, values in saved[-1][1].items():
            np.testing.assert_array_equal(values, recipe.exported[name])

    def test_the_average_has_the_decay_of_its_half_life(self, tmp_path):
        recipe, photos = self.build(0)
        averages, values = [], []

        def record():
            values.append([np.asarray(v, float) for v in recipe.exported.values()])
            return False

        average = [np.asarray(v, float) for v in recipe.exported.values()]
        decay = gan_training.decay_for(8, 40)
        loop.train(
            recipe, photos, tmp_path, steps=12, stop=record, average_decay=decay,
            held_out=np.zeros((16, 16, 16, 3), np.float32), report=lambda line: None,
            save_more=lambda step, values: averages.append(values),
        )  # fmt: skip
        for number, step in enumerate(values):
            now = min(decay, (1 + number) / (10 + number))
            average = [now * a + (1 - now) * b for a, b in zip(average, step)]

        for mean, actual in zip(average, averages[-1].values()):
            np.testing.assert_allclose(actual, mean, atol=1e-5)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                {"variant": "other"},
                "must be one of instance, classes. Received: 'other'",
            ),
            ({"size": 24}, "must be one of 16, 32, 64 pixels. Received: size=24"),
            ({"by_clock": True}, "needs a time: give `seconds`"),
            ({"variant": "classes", "encoder": "e.npz"}, "has no encoder. Leave out"),
        ],
    )
    def test_arguments(self, folder, tmp_path, change, said):
        with pytest.raises(ValueError, match=said):
            train(folder, tmp_path / "out", **change)
        assert not (tmp_path / "out").exists()

    def test_photos_without_classes(self, folder, tmp_path):
        with pytest.raises(ValueError, match="lie in one folder. A GAN needs their cl"):
            train(folder / "class0", tmp_path, held_out=4)

    def test_a_file_that_is_no_encoder(self, trained, folder, tmp_path):
        with pytest.raises(ValueError, match="holds a 'gan', not the encoder"):
            train(folder, tmp_path, encoder=trained[0] / "gan.npz")

    def test_a_gan_is_not_bundled(self):
        message = "no prior 'gan'. The bundled priors are inverter, aut.* priors train"
        with pytest.raises(FileNotFoundError, match=message):
            priors.load("gan")
