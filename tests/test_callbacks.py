import random
import sys
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image
from support import build_toy, names, noted_runners

import tfviz
from tfviz import images, params, transforms
from tfviz.callbacks import Visualize

# What makes rendering fast; the pictures are not looked at.
FAST = {"steps": 2, "size": 32, "transforms": transforms.none()}


def compiled(rate=0.05, build=build_toy):
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.SGD(rate), loss)
    return model


def train(model, *callbacks, epochs=2, **options):
    generator = np.random.default_rng(1)
    x = generator.random((6, 32, 32, 3), np.float32)
    y = np.arange(6) % 5
    options = {"batch_size": 2, "verbose": 0, "epochs": epochs} | options
    return model.fit(x, y, callbacks=list(callbacks), **options)


def show(folder, units="conv_a:1", **options):
    return Visualize(units, folder, preprocess=(-1, 1), **FAST | options)


def test_each_unit_gets_a_picture_before_the_training_and_after_each_epoch(tmp_path):
    model = compiled()
    callback = show(tmp_path, ["conv_a:1", "logit:2"], labels=list("abcde"))
    history = train(model, callback).history["loss"]

    assert names(tmp_path) == ["conv_a-1", "film.webp", "logit-c", "strip.png"]
    files = [f"epoch-000{epoch}.png" for epoch in range(3)]
    assert names(tmp_path / "conv_a-1") == names(tmp_path / "logit-c") == files
    assert [file.name for file in callback.files] == np.repeat(files, 2).tolist()
    specs = [images.read_spec(file) for file in callback.files[::2]]
    assert [spec["training"]["epoch"] for spec in specs] == [0, 1, 2]
    metrics = [spec["training"]["metrics"] for spec in specs]
    assert metrics[0] == {}
    np.testing.assert_allclose([m["loss"] for m in metrics[1:]], history)
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 3
    with Image.open(tmp_path / "strip.png") as strip:
        # Pictures of 32 pixels are enlarged four times, to have room for captions.
        assert strip.size == (3 * 136 + 8, 2 * 154 + 8)


def test_a_picture_is_that_which_render_makes_of_the_trained_model(tmp_path):
    model = compiled()
    callback = show(tmp_path)
    train(model, callback, epochs=1)
    again = tfviz.render(
        tfviz.adapt(model, (-1, 1)),
        *("conv_a:1", params.fourier(32, 32), transforms.none()),
        steps=2,
    )

    saved = images.read_spec(callback.files[-1])
    assert saved.items() >= (again.picture_spec(0) | {"xla": saved["xla"]}).items()
    np.testing.assert_array_equal(images.read(callback.files[-1]), again.images[0])


@pytest.mark.parametrize(("rate", "equal"), [(0.0, True), (0.5, False)])
def test_pictures_change_with_the_weights_only_and_are_traced_once(
    rate, equal, tmp_path, monkeypatch
):
    runners = noted_runners(monkeypatch)
    callback = show(tmp_path)
    train(compiled(rate), callback)

    pictures = [images.read(file) for file in callback.files]
    assert len(pictures) == 3
    for one, other in pairwise(pictures):
        assert np.array_equal(one, other) == equal
    assert [runner.traces for runner in runners] == [1]


@pytest.mark.slow
def test_units_of_many_layers_are_traced_once_as_well(tmp_path, monkeypatch):
    runners = noted_runners(monkeypatch)
    units = ["conv_a:1", "conv_b:1", "pool:1", "logit:1", "prob:1", "conv_a:1@2,2"]
    train(compiled(), show(tmp_path, units, film=None), epochs=1)

    assert len(runners) == len(units)


def build_random():
    """A network with everything that a training changes beside its weights."""
    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.RandomFlip(),
            layers.Conv2D(4, 3, 4, activity_regularizer="l2", name="conv_a"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.4),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def test_a_training_ends_with_the_same_weights_as_without_pictures(tmp_path):
    final = []
    for callbacks in ([], [show(tmp_path, every_batches=2)]):
        model = compiled(build=build_random)
        model.optimizer = keras.optimizers.Adam(0.01)
        history = train(model, *callbacks, shuffle=True).history
        weights = [weight.numpy() for weight in model.weights]
        state = [value.numpy() for value in model.optimizer.variables]
        drawn = [random.random(), np.random.rand()]  # noqa: NPY002
        drawn += [float(tf.random.uniform(())), float(keras.random.uniform(()))]
        final.append([history["loss"], drawn, *weights, *state])

    assert len(callbacks[0].files) == 5
    for without, with_pictures in zip(*final, strict=True):
        np.testing.assert_array_equal(without, with_pictures)


@pytest.mark.slow
def test_a_model_of_tf_keras_is_trained_alike(tmp_path):
    weights = []
    callback = show(tmp_path, every_batches=2)
    for callbacks in ([], [callback]):
        tf_keras.utils.set_random_seed(5)
        layers = [
            tf_keras.layers.Input((32, 32, 3)),
            tf_keras.layers.Conv2D(4, 3, activation="relu", name="conv_a"),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(5),
        ]
        model = tf_keras.Sequential(layers)
        model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(True))
        train(model, *callbacks)
        weights.append(model.get_weights())

    stems = ["epoch-0000", "epoch-0000-batch-000002"]
    stems += ["epoch-0001", "epoch-0001-batch-000002", "epoch-0002"]
    assert [file.stem for file in callback.files] == stems
    for without, beside in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, beside)


def test_a_mistake_ends_the_training_before_it_begins(tmp_path):
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match="no layer 'conv_c'. Did you mean 'conv_"):
        train(model, show(tmp_path, "conv_c:1"))

    assert not any(tmp_path.iterdir())
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Spoil(keras.callbacks.Callback):
    """Makes the weights NaN after the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.set_weights([w * np.nan for w in self.model.get_weights()])


def test_pictures_that_fail_later_do_not_end_the_training(tmp_path):
    callback = show(tmp_path)
    with pytest.warns(UserWarning, match="No pictures were made after epoch") as noted:
        history = train(compiled(), Spoil(), callback, epochs=2)

    assert len(history.epoch) == 2
    assert [str(w.message).partition(", and the")[0] for w in noted] == [
        f"No pictures were made after epoch {epoch}" for epoch in (1, 2)
    ]
    assert "FloatingPointError: The score of conv_a:1 was not" in str(noted[0].message)
    assert names(tmp_path / "conv_a-1") == ["epoch-0000.png"]
    assert names(tmp_path) == ["conv_a-1", "film.webp", "strip.png"]


def test_pictures_after_batches_and_every_other_epoch(tmp_path):
    callback = show(tmp_path, every=2, every_batches=2, film="gif")
    train(compiled(), callback, epochs=3)

    assert [file.stem for file in callback.files] == [
        "epoch-0000",
        "epoch-0000-batch-000002",
        "epoch-0001-batch-000002",
        "epoch-0002",
        "epoch-0002-batch-000002",
        "epoch-0003",
    ]
    assert names(tmp_path) == ["conv_a-1", "film.gif", "strip.png"]


@pytest.mark.slow
def test_a_training_that_goes_on_adds_to_its_pictures(tmp_path):
    model = compiled()
    train(model, show(tmp_path))
    callback = show(tmp_path)
    train(model, callback, initial_epoch=2, epochs=3)

    assert [file.stem for file in callback.files] == ["epoch-0002", "epoch-0003"]
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 4

    # A new training, which ends earlier, shows none of the pictures of the old one.
    train(compiled(0.2), show(tmp_path), epochs=1)
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 2


def test_a_folder_with_other_pictures_is_refused(tmp_path):
    train(compiled(), show(tmp_path, film=None), epochs=1)
    model = compiled()
    with pytest.raises(
        ValueError, match="another training's pictures: steps is 2 there and 3 here"
    ):
        train(model, show(tmp_path, steps=3))

    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize(
    "every_batches", [None, pytest.param(2, marks=pytest.mark.slow)]
)
def test_tensorboard_gets_the_pictures_as_images(every_batches, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    units = ["conv_a:1", "conv_b:2"]
    logs, folder = tmp_path / "logs", tmp_path / "pictures"
    callback = show(folder, units, log_dir=logs, every_batches=every_batches)
    train(compiled(), callback)
    events = accumulator.EventAccumulator(str(logs), {"tensors": 0})
    events.Reload()

    steps = [0, 1, 2] if every_batches is None else [0, 2, 3, 5, 6]
    assert sorted(events.Tags()["tensors"]) == units
    for place, unit in enumerate(units):
        shown = events.Tensors(unit)
        assert [event.step for event in shown] == steps
        png = shown[-1].tensor_proto.string_val[2]
        np.testing.assert_array_equal(
            tf.io.decode_png(png).numpy() / np.float32(255),
            images.read(callback.files[place - 2]),
        )


@pytest.mark.slow
def test_a_loop_of_ones_own_and_other_channels(tmp_path):
    model = build_toy(channels=1)
    callback = Visualize("conv_a:1", tmp_path, preprocess=(-1, 1), **FAST)
    callbacks = keras.callbacks.CallbackList([callback], model=model)
    callbacks.on_train_begin()
    for epoch in range(2):
        model.layers[0].kernel.assign_add(tf.ones_like(model.layers[0].kernel))
        callbacks.on_train_batch_end(0)
        callbacks.on_epoch_end(epoch, {"loss": tf.constant(0.5)})
    callbacks.on_train_end()

    assert [file.stem for file in callback.files] == [
        # The beginning of the first epoch was not announced.
        "epoch-0000",
        "epoch-0001",
        "epoch-0002",
    ]
    training = images.read_spec(callback.files[-1])["training"]
    assert training == {"epoch": 2, "batch": 0, "metrics": {"loss": 0.5}}
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (3 * 136 + 8, 154 + 8)


@pytest.mark.slow
def test_mixed_precision(tmp_path):
    def build():
        keras.config.set_dtype_policy("mixed_float16")
        try:
            return build_toy()
        finally:
            keras.config.set_dtype_policy("float32")

    callback = show(tmp_path)
    train(compiled(build=build), callback, epochs=1)

    first, last = (images.read(file) for file in callback.files)
    assert not np.array_equal(first, last)


def test_nothing_can_be_shown_before_a_training(tmp_path):
    with pytest.raises(ValueError, match="no training has begun with this callback"):
        show(tmp_path).strip()


def test_wrong_arguments_are_refused_at_once(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="needs a `folder` for its pictures, or a"):
        Visualize("conv_a:1")
    with pytest.raises(ValueError, match="`every` must be a whole number of at least"):
        show(tmp_path, every=0)
    with pytest.raises(ValueError, match="every_batches=0.5"):
        show(tmp_path, every_batches=0.5)
    with pytest.raises(ValueError, match="'webp', 'gif' or None. Received: 'mp4'"):
        show(tmp_path, film="mp4")
    with pytest.raises(ValueError, match="Leave it out, and give `param` its size"):
        show(tmp_path, param=params.fourier(32, 32))
    with pytest.raises(ValueError, match="`steps` must be a whole number"):
        show(tmp_path, steps=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rates'"):
        show(tmp_path, learning_rates=1)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RuntimeError, match="Install it: pip install tensorboard"):
        show(tmp_path, log_dir=tmp_path)
