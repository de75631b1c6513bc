"""Trainings of priors with networks so small that a training takes seconds."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tfviz
import tensorflow as tf
from support import build_toy, small_trainings
from PIL import Image
from tfviz.priors import _trained, training
from tfviz.priors.training import (
    checkpoint,
    device_photos,
    inverter,
    loop,
    photos as _photos,
    precision,
    recipes,
    stepping,
)
from tfviz.priors.training import CollapsedError
from tfviz.priors.training.checkpoint import export, psnr
from tfviz.priors.training.device_photos import load_photos

COUNT, SIZE = 120, 16
SMALL = {"code": 6, "size": SIZE, "batch": 8, "held_out": 16, "seed": 3}


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        small_trainings(patch)
        # A call takes one step, so that trainings can be stopped after any of them.
        patch.setattr(stepping, "CALL_SECONDS", 0)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures with two colours, one above the other."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        colours = rng.integers(0, 255, (2, 1, 3))
        picture = np.repeat(np.repeat(colours, 10, axis=0), 24, axis=1)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def photos(folder):
    return _photos.find_photos({"photos": folder}, 16)


@pytest.fixture(scope="module")
def source(photos):
    return load_photos(photos.train, SIZE, Toy.zoom)


@pytest.fixture(scope="module")
def held_out(photos):
    return _photos.centre_squares(photos.held_out, SIZE)


class Toy:
    """A recipe with two linear layers, an optimizer, and noise drawn from the seed."""

    size, batch, zoom, learning_rate = SIZE, 4, 0.5, 0.05

    def __init__(self, **settings):
        self.settings = {"kind": "toy"} | settings
        self.model = keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 3)),
                keras.layers.AveragePooling2D(8),
                keras.layers.Conv2D(4, 1, kernel_initializer=initial(1)),
                keras.layers.Conv2D(3, 1, kernel_initializer=initial(2)),
                keras.layers.UpSampling2D(8),
            ]
        )
        self._optimizer = keras.optimizers.Adam(self.learning_rate)
        self._optimizer.build(self.model.trainable_variables)
        self.exported = {v.path: v for v in self.model.variables}
        self.state = [*self.model.variables, *self._optimizer.variables]

    def step(self, photos, labels, seed, progress, learning_rate):
        self._optimizer.learning_rate.assign(learning_rate)
        variables = self.model.trainable_variables
        noise = tf.random.stateless_normal(photos.shape, seed, stddev=0.05)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(photos + noise) - photos) ** 2)
        values = [v.value for v in variables]
        self._optimizer.apply(tape.gradient(loss, values), variables)
        return {"loss": loss}

    def reconstruct(self, photos):
        return self.model(photos).numpy()

    def sample_rows(self, photos):
        return [self.reconstruct(photos)]


class Collapsing(Toy):
    """Depends a little less on its input after each step."""

    def step(self, photos, labels, seed, progress, learning_rate):
        kernel, bias = self.model.layers[2].variables
        kernel.assign(0.9 * kernel)
        bias.assign(0.9 * bias + 0.1)
        return {"loss": tf.reduce_mean(kernel**2)}


class Counting(Toy):
    """Its loss is the number of the step."""

    def step(self, photos, labels, seed, progress, learning_rate):
        super().step(photos, labels, seed, progress, learning_rate)
        return {"loss": tf.cast(seed[1], tf.float32)}


def initial(seed):
    return keras.initializers.HeNormal(seed=seed)


def clock(monkeypatch):
    """Let 100 s pass between two readings: a checkpoint every three steps."""
    times = iter(range(0, 10**9, 100))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(times))


def state_of(output):
    with np.load(output / checkpoint.CHECKPOINT) as file:
        return {name: file[name].tobytes() for name in file.files}


def same_files(first, second, *files):
    return all((first / f).read_bytes() == (second / f).read_bytes() for f in files)


class TestPackage:
    def test_what_it_lists_is_there(self):
        assert set(training.__all__) <= set(dir(training))
        assert training.train_inverter is recipes.train_inverter
        assert training.CollapsedError is checkpoint.CollapsedError

    def test_another_name_is_refused(self):
        with pytest.raises(
            AttributeError, match="training' has no attribute 'nothing'"
        ):
            training.nothing  # noqa: B018

    @pytest.mark.parametrize("kind", [str, Path])
    def test_the_output_folder_is_made(self, kind, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(recipes, "train", lambda *_, **__: False)
        toy, output = tfviz.adapt(build_toy(), (-1, 1)), tmp_path / "new" / "toy"
        facts = training.train_inverter(toy, kind(folder), kind(output), **SMALL)

        assert facts is None
        assert (output / checkpoint.SETTINGS).exists()


class TestLoop:
    @pytest.fixture(scope="class")
    def whole(self, source, held_out, tmp_path_factory):
        output = tmp_path_factory.mktemp("whole")
        choices = {"steps": 60, "seed": 5, "held_out": held_out, "report": print}
        assert loop.train(Toy(), source, output, **choices)
        return output, choices

    def test_an_interrupted_training_ends_with_the_same_bytes(
        self, whole, source, tmp_path
    ):
        output, choices = whole
        # In the middle of a line of the log, at its end, and soon after it.
        for count in (20, 30, 3):
            left = iter(range(count)[::-1])
            stopped = {"stop": lambda: next(left) == 0}  # noqa: B023
            assert not loop.train(Toy(), source, tmp_path, **choices | stopped)
        assert loop.train(Toy(), source, tmp_path, **choices)

        assert state_of(tmp_path) == state_of(output)
        assert same_files(output, tmp_path, checkpoint.LOG, checkpoint.SAMPLES)
        lines = (output / checkpoint.LOG).read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["step", "50", "60"]

    def test_a_killed_training_resumes_from_the_last_checkpoint(
        self, whole, source, tmp_path, monkeypatch
    ):
        output, choices = whole

        def killed():
            steps.append(None)
            if len(steps) == 56:
                raise KeyboardInterrupt
            return False

        steps, lines = [], []
        clock(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            loop.train(Toy(), source, tmp_path, **choices, stop=killed)
        last = (tmp_path / checkpoint.LOG).read_text().splitlines()[-1]
        assert last.startswith("50,")
        (tmp_path / ".tfviz-half.part").write_bytes(b"half a checkpoint")
        loop.train(Toy(), source, tmp_path, **choices | {"report": lines.append})

        assert lines[0] == "resuming from step 54 of 60"
        assert state_of(tmp_path) == state_of(output)
        assert same_files(output, tmp_path, checkpoint.LOG, checkpoint.SAMPLES)

    def test_callbacks_are_told_of_each_call_in_place_of_lines(
        self, source, held_out, tmp_path
    ):
        told, lines = [], []
        choices = {"steps": 54, "held_out": held_out, "report": lines.append}
        choices["callbacks"] = [told.append]
        stopped = {"stop": lambda: told[-1].step == 52}
        assert not loop.train(Counting(), source, tmp_path, **choices, **stopped)
        assert loop.train(Counting(), source, tmp_path, **choices)

        assert [at.step for at in told] == [*range(53), 52, 53, 54]
        assert {at.steps for at in told} == {54}
        assert [at.step for at in told if at.is_logged] == [50, 54]
        assert lines == ["resuming from step 52 of 54"]
        # The means of the steps since the last line of the log.
        first = {step: (step - 1) / 2 for step in range(1, 51)}
        means = first | {51: 50, 52: 50.5, 53: 51, 54: 51.5}
        assert told[0].losses == told[53].losses == {}
        for at in (*told[1:53], *told[54:]):
            assert at.losses == {"loss": means[at.step]}
        # The first call is compiled, so that the time of a step is known later.
        known = [at.seconds_left is not None for at in told]
        assert known == [False] * 2 + [True] * 51 + [False] * 2 + [True]
        at = told[10]
        pace = at.seconds_left * at.images_per_second
        assert pace == pytest.approx((54 - 10) * Toy.batch)
        assert str(replace(at, seconds_left=3720, images_per_second=31.6)) == (
            "10/54  loss 4.500  32 images/s  1:02 left"
        )

    def test_lines_after_the_checkpoint_are_removed_from_the_log(self, tmp_path):
        path = tmp_path / "log.csv"
        for step in (50, 100, 150):
            checkpoint.append_to_log(path, {"step": step, "loss": step / 8})
        whole = path.read_text()
        checkpoint.truncate_log(path, 120)

        assert path.read_text().splitlines() == whole.splitlines()[:3]
        checkpoint.truncate_log(path, 0)
        assert not path.exists()

    def test_remaining_time_is_shown(self, source, held_out, tmp_path, monkeypatch):
        lines = []
        clock(monkeypatch)
        loop.train(
            Toy(), source, tmp_path, steps=110, held_out=held_out, report=lines.append,
            seconds=5250,
        )  # fmt: skip

        # After 50 steps of 100 s, 60 more remain.
        assert lines[-1].startswith("50/110  loss 0.0")
        assert lines[-1].endswith("0 images/s  1:40 left")
        assert int(np.load(tmp_path / checkpoint.CHECKPOINT)["step"]) == 53

    def test_the_average_is_exported(self, whole, source, held_out, tmp_path):
        _, choices = whole
        recipe = Toy()
        values = []

        def record_values():
            values.append([np.asarray(v, np.float64) for v in recipe.model.variables])
            return False

        average = [np.asarray(v, np.float64) for v in recipe.model.variables]
        loop.train(recipe, source, tmp_path, **choices, stop=record_values)
        for number, step in enumerate(values):
            decay = min(loop.AVERAGE_DECAY, (1 + number) / (10 + number))
            average = [
                decay * mean + (1 - decay) * value for mean, value in zip(average, step)
            ]

        for mean, variable in zip(average, recipe.model.variables):
            np.testing.assert_allclose(variable, mean, atol=1e-5)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"steps": 61}, "steps is 60 there and 61 here"),
            ({"seed": 6}, "seed is 5 there and 6 here"),
            ({"recipe": {"kind": "other"}}, 'kind is "toy" there and "other" here'),
        ],
    )
    def test_other_settings_are_refused(self, whole, source, change, said):
        output, choices = whole
        before = state_of(output)
        recipe = Toy(**change.get("recipe", {}))
        choices = choices | {k: v for k, v in change.items() if k != "recipe"}

        with pytest.raises(ValueError, match=f"another training: {said}. Choose"):
            loop.train(recipe, source, output, **choices)
        assert state_of(output) == before

    def test_other_networks_and_damaged_files_are_refused(self, whole, tmp_path):
        output, _ = whole
        path = output / checkpoint.CHECKPOINT
        state = [tf.Variable(np.zeros((1, 1, 3, 4), np.float32))]
        settings = {"kind": "toy", "steps": 60, "seed": 5}
        with pytest.raises(ValueError, match="other networks"):
            checkpoint.restore(path, state, settings)
        damaged = tmp_path / checkpoint.CHECKPOINT
        damaged.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(ValueError, match="is cut off. Delete it"):
            checkpoint.restore(damaged, state, settings)

    @pytest.mark.parametrize("kept", [True, False])
    def test_a_photo_that_disappeared_is_named(
        self, kept, photos, held_out, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(device_photos, "fits", lambda needed: kept)
        gone = shutil.copy(photos.train[0], tmp_path / "gone.png")
        files = (*photos.train[:3], str(gone))

        def load_and_train():
            source = load_photos(files, SIZE, 1.0, tell=lambda line: None)
            loop.train(Toy(), source, tmp_path, steps=9, held_out=held_out)

        Path(gone).unlink()
        with pytest.raises(ValueError, match="no longer can: .*gone.png"):
            load_and_train()


class TestCollapse:
    @pytest.fixture(autouse=True)
    def _warm(self, monkeypatch):
        monkeypatch.setattr(loop, "WARM_UP_STEPS", 20)

    def choices(self, held_out, steps=60):
        return {"steps": steps, "held_out": held_out, "report": lambda line: None}

    def test_the_same_image_for_all_photos_is_refused(self, source, held_out, tmp_path):
        message = r"After 60 steps images .* differ only \d+% as much .* another seed"
        with pytest.raises(CollapsedError, match=message):
            loop.train(Collapsing(), source, tmp_path, **self.choices(held_out))
        assert (tmp_path / checkpoint.SAMPLES).exists()
        assert not (tmp_path / checkpoint.CHECKPOINT).exists()

    def test_collapse_is_not_checked_during_warm_up(self, source, held_out, tmp_path):
        choices = self.choices(held_out, 19)

        assert loop.train(Collapsing(), source, tmp_path, **choices)

    def test_a_loss_that_is_not_finite_is_refused(self, source, held_out, tmp_path):
        class Exploding(Toy):
            def step(self, photos, labels, seed, progress, learning_rate):
                metrics = super().step(photos, labels, seed, progress, learning_rate)
                return metrics | {"loss": metrics["loss"] / (progress - 0.5)}

        message = "not finite at step 31. .*lower learning rate"
        with pytest.raises(CollapsedError, match=message):
            loop.train(Exploding(), source, tmp_path, **self.choices(held_out))

    def test_weights_that_are_not_finite_are_not_saved(
        self, source, held_out, tmp_path
    ):
        recipe = Toy()
        loop.train(recipe, source, tmp_path, **self.choices(held_out, 3))
        before = state_of(tmp_path)
        recipe.state[0].assign(np.nan * np.asarray(recipe.state[0]))

        with pytest.raises(ArithmeticError, match="not finite at step 4"):
            checkpoint.save(tmp_path / checkpoint.CHECKPOINT, recipe.state, {}, 4, {})
        assert state_of(tmp_path) == before

    def test_variety_is_the_mean_difference_of_pairs(self, rng):
        pictures = rng.uniform(size=(5, 3, 4, 3))
        pairs = [
            np.sqrt(np.mean((pictures[i] - pictures[j]) ** 2))
            for i in range(5)
            for j in range(i)
        ]

        assert checkpoint.variety(pictures) == pytest.approx(np.mean(pairs))
        assert checkpoint.variety(pictures[:1].repeat(4, axis=0)) < 1e-6

    def test_blurred_and_faint_images_have_not_collapsed(self, rng):
        photos = rng.uniform(size=(16, 8, 8, 3))
        checkpoint.check_variety(photos, [0.5 + 0.3 * (photos - 0.5)], 1)
        with pytest.raises(CollapsedError, match="differ only 20% as much"):
            checkpoint.check_variety(photos, [photos, 0.5 + 0.2 * (photos - 0.5)], 1)


@pytest.fixture(scope="module")
def trained(folder, toy_adapter, tmp_path_factory):
    """An inverter of the toy, trained without interruption: its folder and facts."""
    output = tmp_path_factory.mktemp("inverter")
    facts = training.train_inverter(
        toy_adapter, folder, output, steps=80, learning_rate=3e-3, **SMALL
    )
    return output, facts


@pytest.fixture
def again(trained, folder, toy_adapter):
    def call(output, **change):
        choices = {"steps": 80, "learning_rate": 3e-3, "tell": lambda line: None}
        return training.train_inverter(
            toy_adapter, folder, output, **choices | SMALL | change
        )

    return call


class TestPrecision:
    name = "auto_mixed_precision_onednn_bfloat16"

    def is_enabled(self):
        return tf.config.optimizer.get_experimental_options().get(self.name, False)

    @pytest.mark.parametrize("wanted", [True, False])
    def test_it_is_enabled_during_the_training_alone(self, wanted):
        before = self.is_enabled()

        with precision.half_precision([], enabled=wanted):
            assert self.is_enabled() is wanted

        assert self.is_enabled() is before

    def test_it_is_undone_when_a_training_fails(self):
        with pytest.raises(RuntimeError), precision.half_precision([]):
            raise RuntimeError

        assert not self.is_enabled()

    def test_on_a_graphics_card_layers_get_another_policy(self, monkeypatch):
        monkeypatch.setattr(precision, "has_gpu", lambda: True)
        generator = inverter.inverter_generator(6, (24, 16, 12))
        codes = tf.constant(np.random.default_rng(0).normal(size=(4, 6)), tf.float32)
        exact = generator(codes, training=True).numpy()
        policies = [layer.dtype_policy.name for layer in generator.layers]
        with precision.half_precision([generator, "no model of Keras"]):
            function = tf.function(lambda x: generator(x, training=True))
            rounded = function(codes)
            graph = function.get_concrete_function(codes).graph
            convolved = [
                operation.outputs[0].dtype.name
                for operation in graph.get_operations()
                if "Conv2d" in operation.type or "Conv2D" in operation.type
            ]

        assert convolved
        assert set(convolved[:-1]) == {"bfloat16"}
        assert rounded.dtype == tf.float32
        assert 0 < np.abs(rounded - exact).max() < 0.1
        assert [layer.dtype_policy.name for layer in generator.layers] == policies

    @pytest.mark.parametrize(
        ("cards", "expected"),
        [([], False), ([(9, 0)], True), ([(9, 0), (7, 5)], False)],
    )
    def test_the_rule(self, cards, expected, tmp_path, monkeypatch):
        def details(card):
            return {"compute_capability": card}

        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: cards)
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
        settings = tmp_path / "settings.json"

        assert precision.select_bfloat16(None, settings) is expected
        assert precision.select_bfloat16(True, settings) is True
        for begun in (True, False):
            settings.write_text(f'{{"bfloat16": {str(begun).lower()}}}')
            assert precision.select_bfloat16(None, settings) is begun


class TestCalls:
    """Several steps in one call, with XLA and without."""

    def train(self, source, held_out, output, **more):
        choices = {"steps": 60, "seed": 5, "held_out": held_out, "report": print}
        output.mkdir(exist_ok=True)
        assert loop.train(Toy(), source, output, **choices | more)
        return state_of(output), (output / checkpoint.LOG).read_bytes()

    def test_their_number_changes_nothing(
        self, source, held_out, tmp_path, monkeypatch
    ):
        one_by_one = self.train(source, held_out, tmp_path / "one")
        monkeypatch.setattr(stepping, "CALL_SECONDS", 10**6)
        counts = []
        steps_of_a_call = stepping.steps_of_a_call
        monkeypatch.setattr(
            loop,
            "steps_of_a_call",
            lambda *some: counts.append(steps_of_a_call(*some)) or counts[-1],
        )

        assert self.train(source, held_out, tmp_path / "many") == one_by_one
        # The first two calls are timed; a call ends where a line of the log does.
        assert counts == [1, 1, 48, 10]

    def test_photos_that_do_not_fit_give_the_same_training(
        self, photos, source, held_out, tmp_path, monkeypatch
    ):
        kept = self.train(source, held_out, tmp_path / "kept")
        monkeypatch.setattr(device_photos, "fits", lambda needed: False)
        lines = []
        read = load_photos(photos.train, SIZE, Toy.zoom, tell=lines.append)

        assert isinstance(read, device_photos.FilePhotos)
        assert "more than half of the free memory: they are decoded anew" in lines[0]
        assert self.train(read, held_out, tmp_path / "read") == kept

    def test_xla_computes_the_same(self, source, held_out, tmp_path):
        """But for rounding, and for how it makes normal numbers of random bits."""
        plain, _ = self.train(source, held_out, tmp_path / "plain", steps=9)
        compiled, _ = self.train(source, held_out, tmp_path / "xla", steps=9, xla=True)
        start = Toy().state[0]
        first, second = (
            np.frombuffer(state["v0"], np.float32) for state in (plain, compiled)
        )

        assert np.abs(first - np.ravel(start)).max() > 0.2
        np.testing.assert_allclose(first, second, atol=0.05)

    @pytest.mark.parametrize("faster", [True, False])
    def test_a_trial_decides_on_a_graphics_card(
        self, faster, source, held_out, tmp_path, monkeypatch
    ):
        before = self.train(source, held_out, tmp_path / "before", xla=faster)
        monkeypatch.setattr(stepping, "has_gpu", lambda: True)
        monkeypatch.setattr(stepping, "LEAST_SECONDS", 0)
        seconds = stepping._seconds_of_a_step
        measured = iter([2.0, 1.0 if faster else 3.0])

        def timed(*arguments):
            assert seconds(*arguments) > 0
            return next(measured)

        monkeypatch.setattr(stepping, "_seconds_of_a_step", timed)
        lines = []
        after = self.train(source, held_out, tmp_path, report=lines.append)

        assert "compiling the step with XLA" in lines[0]
        assert lines[1].endswith("is used" if faster else "is not used")
        # The steps of the trial left no trace.
        assert after == before

    def test_without_a_graphics_card_nothing_is_tried(self, source, monkeypatch):
        monkeypatch.setattr(stepping, "_seconds_of_a_step", None)
        made = []
        stepping.select_stepper(
            made.append, [], None, 10**6, wanted=None, tell=made.append
        )

        assert made == [False]


@pytest.mark.slow
class TestInverter:
    def test_the_loss_falls(self, trained):
        output, _ = trained
        rows = (output / checkpoint.LOG).read_text().splitlines()
        names = rows[0].split(",")
        columns = np.array([row.split(",") for row in rows[1:]], float).T
        log = dict(zip(names, columns))

        assert log["step"].tolist() == [50, 80]
        for name in ("features", "pixels", "code", "classes"):
            assert log[name][-1] < 0.8 * log[name][0]
        assert log["judge"][-1] != 2  # the discriminators have begun to learn

    def test_an_interrupted_training_writes_the_same_file(
        self, trained, again, tmp_path
    ):
        output, facts = trained
        steps = iter(range(1000))
        assert again(tmp_path, stop=lambda: next(steps) == 39) is None
        assert not (tmp_path / "inverter.npz").exists()
        lines = []
        facts_again = again(tmp_path, tell=lines.append)

        assert "resuming from step 40 of 80" in lines
        assert facts_again == facts
        assert same_files(output, tmp_path, "inverter.npz", "log.csv", "samples.png")

    def test_a_complete_training_writes_its_file_again(
        self, trained, again, monkeypatch
    ):
        """From stored measurements: no photo is checked or measured a second time."""
        monkeypatch.setattr(inverter, "measure_code", None)
        monkeypatch.setattr(_photos, "_is_readable", None)
        output, facts = trained
        before = (output / "inverter.npz").read_bytes()
        (output / "inverter.npz").unlink()
        (output / ".tfviz-left.part").write_bytes(b"half a file")

        assert again(output) == facts
        assert (output / "inverter.npz").read_bytes() == before
        assert not list(output.glob("*.part"))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"code": 7}, "code is 6 there and 7"),
            ({"layers": ["conv_a"]}, r'code_layers \["conv_b", ":logits"\], not'),
            ({"held_out": 17}, "held_out is 16 there and 17"),
            ({"size": 32}, "size is 16 there and 32"),
        ],
    )
    def test_other_settings_are_refused_before_any_work(
        self, trained, again, change, said, monkeypatch
    ):
        monkeypatch.setattr(recipes, "find_photos", None)
        with pytest.raises(ValueError, match=f"another training: .*{said}"):
            again(trained[0], **change)

    def test_another_network_is_refused(self, trained, folder):
        toy = build_toy()
        toy.layers[0].bias.assign_add(np.ones(8))
        with pytest.raises(ValueError, match=r"network\.hash"):
            training.train_inverter(
                tfviz.adapt(toy, (-1, 1)), folder, trained[0], steps=80,
                learning_rate=3e-3, **SMALL,
            )  # fmt: skip

    def test_photos_are_reconstructed_from_their_codes(
        self, trained, toy_adapter, held_out
    ):
        """The file holds the averaged generator, in 16 bits, and the basis of codes."""
        output, facts = trained
        param = _trained.load(output / "inverter.npz", network=toy_adapter)
        stored = param.encode(held_out)
        made = param.decode(stored).numpy()

        assert param.shape == (SIZE, SIZE, 3)
        error = ((made - held_out) ** 2).mean((1, 2, 3))
        assert (-10 * np.log10(error)).mean() == pytest.approx(facts["psnr"], abs=0.05)
        # At least half of them resemble their own photo more than any other.
        errors = ((made[:, None] - held_out[None]) ** 2).mean((2, 3, 4))
        assert (errors.argmin(axis=1) == np.arange(16)).sum() >= 8
        codes = np.asarray(stored["code"])
        assert codes.shape == (16, 6)
        assert 0.6 < codes.std() < 1.5
        # Random codes give diverse images of medium brightness.
        random = param.decode(param.init([[0, k] for k in range(6)])).numpy()
        assert checkpoint.variety(random) > 0.3 * checkpoint.variety(held_out)
        assert 0.2 < random.mean() < 0.8

    def test_codes_need_the_network_of_the_training(self, trained, held_out):
        output, _ = trained
        with pytest.raises(
            ValueError, match="'toy', which cannot be loaded by its name"
        ):
            _trained.load(output / "inverter.npz").encode(held_out)
        toy = build_toy()
        toy.layers[0].bias.assign_add(np.ones(8))
        other = tfviz.adapt(toy, (-1, 1))
        with pytest.raises(ValueError, match="trained on .* with other weights"):
            _trained.load(output / "inverter.npz", network=other).encode(held_out)

    def test_normalization_statistics_fit_the_averaged_weights(
        self, trained, toy_adapter, photos
    ):
        """In training mode and in inference the generator makes the same images."""
        output, _ = trained
        settings, arrays = _trained.read(output / "inverter.npz")
        generator = inverter.inverter_generator(6, settings["widths"])
        _trained.set_weights(generator, arrays, "generator")
        param = _trained.load(output / "inverter.npz", network=toy_adapter)
        squares = _photos.centre_squares(photos.train, SIZE)
        codes = param.encode(squares)["code"]
        generator.trainable = True
        inferred = generator(codes, training=False).numpy()
        in_training = generator(codes, training=True).numpy()

        assert np.abs(inferred - in_training).mean() < 0.1 * inferred.std()


class TestFile:
    @pytest.fixture
    def file(self, trained):
        return trained[0] / "inverter.npz"

    def test_a_truncated_file_is_refused(self, file, tmp_path):
        whole, cut = file.read_bytes(), tmp_path / "cut.npz"
        for end in (0, 10, len(whole) // 2, len(whole) - 1):
            cut.write_bytes(whole[:end])
            with pytest.raises(
                ValueError, match="not the file of a prior, or it is incomplete"
            ):
                _trained.load(cut)

    def test_weights_that_are_nan_are_refused(self, file, tmp_path):
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}
        arrays["generator/3"] = np.full_like(arrays["generator/3"], np.nan)
        np.savez(tmp_path / "nan.npz", **arrays)

        with pytest.raises(ValueError, match="holds NaN in 'generator/3'"):
            _trained.load(tmp_path / "nan.npz")

    def test_another_kind_or_number_of_weights_is_refused(self, file, tmp_path):
        settings, arrays = _trained.read(file)
        path = tmp_path / "other.npz"
        _trained.write(path, settings | {"kind": "diffusion"}, arrays)
        with pytest.raises(
            ValueError, match="of the kind 'diffusion'. The known kinds are"
        ):
            _trained.load(path)
        del arrays["generator/3"]
        _trained.write(path, settings, arrays)
        with pytest.raises(ValueError, match="lacks 1 of the"):
            _trained.load(path)

    def test_weights_too_large_for_16_bits_are_refused(self, tmp_path):
        arrays = {"weight": np.array([1.0, -7e4], np.float32)}
        with pytest.raises(ValueError, match="'weight' holds .* up to 70000"):
            _trained.write(tmp_path / "big.npz", {"kind": "toy"}, arrays)
        assert not list(tmp_path.iterdir())


class TestExport:
    def test_weights_are_measured_as_the_file_holds_them(self, held_out, tmp_path):
        class Exported(Toy):
            def finalize(self, photos):
                self.finalized = list(photos)

            def file_contents(self, held_out):
                weights = self.model.get_weights()
                return {"kind": "toy"}, {f"w/{k}": w for k, w in enumerate(weights)}

        recipe = Exported()
        path = tmp_path / "toy.npz"
        facts = export(recipe, [1, 2], held_out, path, {"steps": 7})
        settings, arrays = _trained.read(path)

        assert recipe.finalized == [1, 2]
        assert settings == facts | {"version": _trained.VERSION}
        assert (settings["kind"], settings["steps"]) == ("toy", 7)
        for k, weight in enumerate(recipe.model.get_weights()):
            np.testing.assert_array_equal(arrays[f"w/{k}"], weight)
        made = np.clip(recipe.reconstruct(held_out), 0, 1)
        error = ((made - held_out) ** 2).mean((1, 2, 3))
        assert psnr(recipe, held_out) == pytest.approx((-10 * np.log10(error)).mean())

        recipe.exported[recipe.model.variables[0].path].assign_add(
            np.full((1, 1, 3, 4), np.float32(3e4))
        )
        recipe.reconstruct = lambda photos: np.nan * photos
        with pytest.raises(CollapsedError, match="not finite"):
            export(recipe, [], held_out, Path(tmp_path, "b.npz"), {})
        assert [file.name for file in tmp_path.iterdir()] == ["toy.npz"]
