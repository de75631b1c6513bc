import json
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import ON_GPU, error_of, seeds_for, traced_step
from tensorflow.python.framework import config

import tfviz
from tfviz import images, objectives, params, transforms
from tfviz.comparison.storage import make_job
from tfviz.optimize.determinism import deterministic_operations
from tfviz.optimize.job import Job
from tfviz.optimize.options import PENALTIES, Diversity, Options

SMALL = {"steps": 3, "batch_size": 2}
# What TensorFlow cannot compute on a graphics card, or only on the processor, when only
# deterministic operations are allowed.
WITHOUT_KERNEL = {
    *("UnsortedSegmentSum", "SegmentSum", "ScatterNd", "TensorScatterAdd"),
    *("ResizeNearestNeighborGrad", "CropAndResizeGradImage", "Bincount"),
    *("DenseBincount", "SparseTensorDenseMatMul", "MaxPoolGradWithArgmax"),
    *("FusedBatchNormGradV3", "AdjustContrastv2"),
}


@pytest.fixture(autouse=True)
def _off():
    """Begin without it; on graphics cards, all other tests run with it."""
    was_on = config.is_op_determinism_enabled()
    assert was_on == ON_GPU
    config.disable_op_determinism()
    yield
    config.disable_op_determinism()
    if was_on:
        tf.config.experimental.enable_op_determinism()


class Timestamp(keras.layers.Layer):
    """An operation that TensorFlow does not allow when it is to be deterministic."""

    def call(self, x):
        return x + tf.cast(0 * tf.timestamp(), x.dtype)


def render(model, unit="conv_b:1", **options):
    param, distill = params.fourier(32, 32), transforms.distill()
    return tfviz.render(model, unit, param, distill, **(SMALL | options))


def test_the_same_seed_gives_the_same_bytes(toy):
    """On a graphics card, this is the promise of the option."""
    first, second = (
        render(tfviz.adapt(toy, (-1, 1)), deterministic=True) for _ in range(2)
    )
    assert second.images.tobytes() == first.images.tobytes()
    np.testing.assert_array_equal(second.history, first.history)


@pytest.mark.skipif(
    ON_GPU, reason="default operations of a card differ from run to run"
)
def test_the_bytes_on_a_processor_are_those_without_it(toy_adapter):
    plain = render(toy_adapter)
    exact = render(toy_adapter, deterministic=True)

    assert exact.images.tobytes() == plain.images.tobytes()
    np.testing.assert_array_equal(exact.scores, plain.scores)
    np.testing.assert_array_equal(exact.history, plain.history)


def test_operations_are_deterministic_while_pictures_are_made(toy_adapter):
    seen = []

    def note(progress):
        seen.append(config.is_op_determinism_enabled())

    render(toy_adapter, deterministic=True, callbacks=[note])
    assert not config.is_op_determinism_enabled()
    render(toy_adapter, callbacks=[note])
    assert seen == [True, False]


def test_functions_are_traced_with_it_and_not_shared(toy_adapter):
    """What is compiled with the setting is not used without it, and the reverse."""
    traced = []

    def score(activations, images, latents, units):
        traced.append(config.is_op_determinism_enabled())
        return tf.reduce_mean(activations["conv_a"], (1, 2, 3))

    unit = objectives.Objective(("conv_a",), {}, score, ("own",), kind="own")
    param, none = params.pixels(32, 32), transforms.none()
    for wanted in (True, False):
        traced.clear()
        options = {"steps": 1, "deterministic": wanted}
        tfviz.render(toy_adapter, unit, param, none, **options)
        assert {*traced} == {wanted}


def test_the_activations_of_a_target_are_computed_with_it(toy, monkeypatch):
    adapter = tfviz.adapt(toy, (-1, 1))
    seen, call = [], type(adapter).__call__

    def noted(*arguments, **options):
        seen.append(config.is_op_determinism_enabled())
        return call(*arguments, **options)

    monkeypatch.setattr(type(adapter), "__call__", noted)
    unit = objectives.inversion("conv_a", np.full((32, 32, 3), 0.5, np.float32))
    Job(adapter, unit, options=Options(deterministic=True))
    assert seen == [True]


def test_it_is_off_again_after_an_error(toy_adapter):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(toy_adapter, deterministic=True, callbacks=[stop])
    assert not config.is_op_determinism_enabled()
    with pytest.raises(ValueError, match="conv_z"):
        render(toy_adapter, "conv_z:1", deterministic=True)
    assert not config.is_op_determinism_enabled()


def test_a_user_who_had_turned_it_on_keeps_it(toy_adapter):
    tf.config.experimental.enable_op_determinism()
    render(toy_adapter, deterministic=True)
    assert config.is_op_determinism_enabled()
    render(toy_adapter)
    assert config.is_op_determinism_enabled()


def test_it_stays_on_until_the_last_thread_is_done():
    inside, leave, seen = threading.Event(), threading.Event(), []

    def work():
        with deterministic_operations():
            inside.set()
            leave.wait(10)
            seen.append(config.is_op_determinism_enabled())

    thread = threading.Thread(target=work)
    with deterministic_operations():
        thread.start()
        assert inside.wait(10)
    assert config.is_op_determinism_enabled()
    leave.set()
    thread.join(10)
    assert seen == [True]
    assert not config.is_op_determinism_enabled()


def test_an_operation_that_cannot_be_deterministic_is_an_error_with_the_option():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    x = Timestamp(name="stamped")(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    options = {"steps": 1, "transforms": transforms.none()}

    tfviz.render(tfviz.adapt(model, (0, 1)), "stamped:0", **options)
    with pytest.raises(ValueError, match="`deterministic` allows.*Timestamp") as caught:
        tfviz.render(
            tfviz.adapt(model, (0, 1)), "stamped:0", deterministic=True, **options
        )
    assert isinstance(caught.value.__cause__, tf.errors.OpError)
    assert not config.is_op_determinism_enabled()


def test_other_errors_pass():
    with (
        pytest.raises(RuntimeError, match="^something else$"),
        deterministic_operations(),
    ):
        raise RuntimeError("something else")


def test_the_description_holds_it(toy_adapter):
    spec = json.loads(
        json.dumps(render(toy_adapter, deterministic=True).picture_spec(0))
    )
    assert spec["deterministic"] is True
    assert Options.from_spec(spec).deterministic
    assert not Options.from_spec(render(toy_adapter).picture_spec(0)).deterministic


@pytest.mark.parametrize(
    "unit",
    [
        objectives.neuron("conv_a", 1, 2, 3),
        *(
            pytest.param(unit, marks=pytest.mark.slow)
            for unit in (
                objectives.channel("conv_a", 1),
                objectives.logit(2),
                objectives.direction("conv_a", np.ones(8), row=2, column=3),
                objectives.caricature("conv_a", np.full((32, 32, 3), 0.3)),
            )
        ),
    ],
    ids=lambda unit: unit.names[0],
)
def test_no_step_of_ours_has_an_operation_without_such_a_kernel(toy_adapter, unit):
    """On graphics cards they would be errors, or take a way round by the processor."""
    options = Options(
        penalties=dict.fromkeys(PENALTIES, 0.1),
        diversity=Diversity(2, 1.0, "conv_a"),
        gradient_blur=1.0,
        alpha=True,
        deterministic=True,
    )
    moving = transforms.chain(transforms.maco(), transforms.blur(0.5, 1.0))
    for param in (params.maco(32, 32), params.laplacian(32, 32)):
        functions = traced_step(toy_adapter, unit, param, moving, options)
        operations = set()
        for function in functions:
            graph = function.graph.as_graph_def()
            operations |= {node.op for node in graph.node}
            operations |= {n.op for f in graph.library.function for n in f.node_def}
        assert "Conv2DBackpropInput" in operations  # the gradient is there
        assert not operations & WITHOUT_KERNEL


def test_gathers_would_have_such_operations():
    """The check above sees what TensorFlow's own gradients are made of."""

    @tf.function
    def gradients(values):
        picked = tf.gather(values, [1, 0], axis=1, batch_dims=1)
        placed = tf.gather_nd(values, seeds_for(2) * 0, batch_dims=1)
        return tf.gradients(picked, values), tf.gradients(placed, values)

    graph = gradients.get_concrete_function(tf.TensorSpec((2, 3, 4))).graph
    operations = {operation.type for operation in graph.get_operations()}
    assert operations & WITHOUT_KERNEL == {"UnsortedSegmentSum", "ScatterNd"}


@pytest.mark.usefixtures("_short")
def test_the_command_line_has_the_option(run):
    common = ["-o", "out", "--size", "32", "--steps", "1"]
    run("render", "fire2:3", *common, "--deterministic")
    assert images.read_spec("out/fire2-3.png")["deterministic"] is True

    # Pictures that were made in another way are not mixed with these.
    refusal = error_of(run("render", "fire2:4", *common, code=1))
    assert "deterministic is true there and false" in refusal


class TestOtherFunctionsAndCommands:
    """They hand the option on; what it does is tested above."""

    @pytest.fixture
    def caught(self, monkeypatch):
        """Stop atlases and comparisons where they begin, and note the option."""
        seen = []

        def recipe(*_, options, **__):
            seen.append(options.deterministic)
            raise ValueError("stopped here")

        def evaluate_photos(*_):
            seen.append(config.is_op_determinism_enabled())
            raise ValueError("stopped here")

        monkeypatch.setattr("tfviz.runs.atlas.Recipe", recipe)
        monkeypatch.setattr("tfviz.runs.recipe.Recipe", recipe)
        monkeypatch.setattr("tfviz.comparison.compare.evaluate_photos", evaluate_photos)
        return seen

    @pytest.mark.parametrize("wanted", [True, False])
    def test_in_python(self, toy_adapter, tmp_path, caught, rng, wanted):
        with pytest.raises(ValueError, match="stopped here"):
            tfviz.atlas(toy_adapter, tmp_path / "site", deterministic=wanted)
        methods = {"pixels": params.pixels(32, 32)}
        photos = rng.uniform(size=(20, 32, 32, 3))
        with pytest.raises(ValueError, match="stopped here"):
            tfviz.compare(
                toy_adapter,
                "conv_b:1",
                methods,
                images=photos,
                deterministic=wanted,
            )
        assert caught == [wanted, wanted]
        assert not config.is_op_determinism_enabled()

    def test_a_method_of_a_comparison_is_rendered_with_it(self, toy_adapter):
        contender = tfviz.Contender(params.pixels(32, 32))
        unit = objectives.channel("conv_b", 1).bound(toy_adapter, (32, 32))
        for wanted in (True, False):
            job = make_job(
                toy_adapter,
                contender,
                [unit],
                2,
                steps=1,
                seed=0,
                stop=[],
                deterministic=wanted,
            )
            assert job.options.deterministic is wanted
            assert job.settings["deterministic"] is wanted

    @pytest.mark.usefixtures("_short")
    @pytest.mark.parametrize("flag", [["--deterministic"], []])
    def test_on_the_command_line(self, run, caught, rng, flag):
        Path("photos").mkdir()
        for number, photo in enumerate(rng.uniform(size=(20, 32, 32, 3))):
            images.save(images.to_pil(photo), Path(f"photos/{number}.png"))
        common = ["fire2:3", "--images", "photos", *flag]

        refusals = [run("atlas", *common, "-o", "site", code=1)]
        options = ["-o", "report", "--methods", "pixels"]
        refusals += [run("compare", *common, *options, code=1)]
        assert {error_of(refusal) for refusal in refusals} == {"Error: stopped here"}
        assert caught == [bool(flag)] * 2
