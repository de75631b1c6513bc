"""Steps that XLA compiles: the same numbers, and the rule when they are used."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tfviz
from support import build_toy, noted_runners, seeds_for
from tfviz import objectives, params, priors, transforms
from tfviz.objectives._groups import with_diversity
from tfviz.optimize import xla
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner, cache_of
from tfviz.optimize.step import Problem

PARAMS = {
    "fourier": lambda: params.fourier(32, 32),
    "maco": lambda: params.maco(32, 32),
    "laplacian": lambda: params.laplacian(32, 32),
    "cppn": lambda: params.cppn(32, 32, layers=2, hidden=4),
    "aligned": lambda: params.aligned(32, 32, group=2),
    "inverter": lambda: priors.load("inverter"),
    "autoencoder": lambda: priors.load("autoencoder", 32),
    "refined": lambda: priors.load("inverter+fourier"),
}
# XLA compiles the steps of all others for up to half a minute.
FAST = ("fourier",)
NAMES = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
    for name in PARAMS
]
OPTIONS = {
    "adam": {"alpha": True},
    "keras": {"optimizer": keras.optimizers.AdamW(0.05), "smooth_pools": True},
    "normalized": {
        "optimizer": "normalized",
        "gradient_blur": 1.0,
        "normalize_gradient": True,
    },
}


@pytest.fixture(scope="module")
def pooled():
    """A network with a max-pool, and a layer whose units are dead at the start."""
    layers = keras.layers
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, 2, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(6, 3, activation="relu", name="deep"),
            layers.Conv2D(
                4, 1, activation="relu", name="dead",
                bias_initializer=keras.initializers.Constant(-3.0),
            ),
            layers.Conv2D(4, 1, activation="gelu", name="gated"),
        ]
    )  # fmt: skip
    return tfviz.adapt(model, (-1, 1))


def take_steps(adapter, unit, param, moves, **options):
    """Return the scores `(4, n)` of four steps, and the pictures after them."""
    options = Options(**options).resolve(param, has_start=False)
    problem = Problem(adapter, unit, param, moves, options)
    seeds = seeds_for(len(unit)).numpy()
    runner = Runner(problem, seeds, unit.units)
    runner.start(seeds, unit.units)
    rate = options.learning_rate
    scores = runner.run(0, 4, rate, 0.01)
    return scores, runner.outcome()


def compare(adapter, unit, param, moves, **options):
    plain, of_plain = take_steps(adapter, unit, param, moves, xla=False, **options)
    compiled, of_compiled = take_steps(adapter, unit, param, moves, xla=True, **options)
    # The first step: the same images, moved by the same random numbers.
    np.testing.assert_allclose(compiled[0], plain[0], rtol=1e-4, atol=1e-6)
    # Adam turns rounding into steps of full size where a gradient is nearly zero, so
    # that later steps agree in most of the pixels.
    np.testing.assert_allclose(compiled[1:], plain[1:], rtol=0.02, atol=1e-4)
    np.testing.assert_array_equal(of_compiled.fired, of_plain.fired)
    apart = of_compiled.pictures.astype(float) - of_plain.pictures
    assert np.abs(apart).mean() < 1
    return of_plain, of_compiled


def channels(layer):
    return objectives.join([objectives.channel(layer, 0), objectives.channel(layer, 3)])


@pytest.mark.parametrize("name", NAMES)
def test_a_param_agrees(pooled, name):
    param = PARAMS[name]()
    moves = param.defaults.get("transforms") or transforms.distill()
    compare(pooled, channels("deep").bound(pooled, (32, 32)), param, moves)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moves",
    [
        transforms.lucid(),  # makes images larger, which are then resized
        transforms.chain(
            transforms.box(0.6, 1.0),
            transforms.noise(0.1),
            transforms.blur(0.5, 1.5),
            transforms.flip(),
        ),
    ],
    ids=["lucid", "others"],
)
def test_transforms_agree(pooled, moves):
    unit = channels("deep").bound(pooled, (32, 32))
    compare(pooled, unit, params.pixels(32, 32), moves)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "adam" else pytest.mark.slow)
        for name in OPTIONS
    ],
)
def test_options_agree(pooled, name):
    unit = channels("deep").bound(pooled, (32, 32))
    plain, compiled = compare(
        pooled, unit, params.pixels(32, 32), transforms.jitter(2), **OPTIONS[name]
    )
    if name == "adam":
        np.testing.assert_allclose(compiled.alpha, plain.alpha, atol=0.05)


@pytest.mark.parametrize(
    "layer", ["dead", pytest.param("gated", marks=pytest.mark.slow)]
)
def test_redirected_gradients_agree(pooled, layer):
    """The units of `dead` have no gradient of their own in the first steps."""
    unit = channels(layer).bound(pooled, (32, 32))
    plain, compiled = compare(
        pooled, unit, params.pixels(32, 32), transforms.jitter(2), learning_rate=0.2
    )
    moved = np.abs(plain.pictures.astype(float) - 127.5).mean()
    assert moved > 5
    assert np.abs(compiled.pictures.astype(float) - 127.5).mean() > 5


@pytest.mark.slow
def test_penalties_and_groups_agree(pooled):
    penalty = objectives.total_variation() + objectives.high_frequency()
    unit = objectives.channel("deep", 0) - 0.1 * penalty
    unit = with_diversity(unit, "deep", 2, 0.5)
    compare(
        pooled,
        unit.bound(pooled, (32, 32)),
        params.fourier(32, 32),
        transforms.gentle(),
    )


class Clock:
    """Seconds that pass while steps are taken."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def taking(self, *seconds):
        times = iter(seconds)

        def run(count):
            assert count == xla.TRIAL_STEPS
            self.now += next(times)

        return run


@pytest.mark.parametrize(
    ("plain", "compiled", "expected"),
    [
        ((2.0, 2.0, 2.0), (1.0, 1.0, 1.0), True),
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), False),
        ((2.0, 2.0, 9.0), (9.0, 1.0, 9.0), True),  # interruptions do not count
        ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), False),
    ],
)
def test_the_faster_way_is_the_one_with_the_best_time(plain, compiled, expected):
    clock = Clock()
    ways = clock.taking(*plain), clock.taking(*compiled)
    assert xla.is_faster(*ways, clock) is expected


@pytest.mark.parametrize(
    ("asked", "gpu", "expected"),
    [
        (None, False, False),
        (None, True, None),
        (True, False, True),
        (True, True, True),
        (False, True, False),
    ],
)
def test_without_a_gpu_xla_must_be_asked_for(monkeypatch, asked, gpu, expected):
    monkeypatch.setattr(xla, "has_gpu", lambda: gpu)
    assert xla.prescribed(Options(xla=asked)) is expected


def rendered(adapter, unit="conv_b:1", steps=3, **options):
    param = params.pixels(32, 32)
    return tfviz.render(adapter, unit, param, transforms.none(), steps=steps, **options)


@pytest.mark.parametrize("faster", [True, False])
def test_on_a_gpu_the_faster_way_is_kept(monkeypatch, faster):
    monkeypatch.setattr(xla, "has_gpu", lambda: True)
    monkeypatch.setattr(xla, "WORTHWHILE", 6)
    monkeypatch.setattr(xla, "is_faster", lambda plain, compiled: faster)
    made = noted_runners(monkeypatch)
    adapter = tfviz.adapt(build_toy(), (-1, 1))
    expected = rendered(adapter, steps=6, xla=faster)
    result = rendered(adapter, steps=6)

    assert [runner.xla for runner in made] == [faster, faster]
    assert [runner.traces for runner in made] == [1, 2]
    assert result.picture_spec(0)["xla"] is faster
    # The trial left nothing behind.
    np.testing.assert_array_equal(result.history, expected.history)
    np.testing.assert_array_equal(result.images, expected.images)


def test_few_steps_are_taken_without_a_trial(monkeypatch):
    """Also by a runner that was kept; it is measured once there is more to do."""
    monkeypatch.setattr(xla, "has_gpu", lambda: True)
    monkeypatch.setattr(xla, "WORTHWHILE", 9)
    monkeypatch.setattr(xla, "is_faster", lambda plain, compiled: True)
    made = noted_runners(monkeypatch)
    adapter, param = tfviz.adapt(build_toy(), (-1, 1)), params.pixels(32, 32)

    def xla_of(**options):
        moves = transforms.none()
        result = tfviz.render(adapter, "conv_b:1", param, moves, **options)
        return result.picture_spec(0)["xla"]

    assert xla_of(steps=8) is False
    assert made[0].xla is None
    assert xla_of(steps=3, restarts=3) is True
    assert xla_of(steps=8) is True
    assert len(made) == len(cache_of(adapter)) == 1


@pytest.fixture
def stubborn():
    class Stubborn(keras.layers.Layer):
        def call(self, x):
            return tf.image.resize(x, (20, 20), antialias=True)  # not in XLA

    inputs = keras.Input((32, 32, 3))
    x = Stubborn(name="odd")(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv_b")(x)
    return tfviz.adapt(keras.Model(inputs, x, name="stubborn"), (-1, 1))


def test_a_network_that_xla_cannot_compile_runs_without(monkeypatch, stubborn):
    monkeypatch.setattr(xla, "has_gpu", lambda: True)
    monkeypatch.setattr(xla, "WORTHWHILE", 1)
    with pytest.warns(UserWarning, match="XLA cannot compile the step of 'stubborn'"):
        result = rendered(stubborn)
    assert result.picture_spec(0)["xla"] is False
    expected = rendered(stubborn, xla=False)
    np.testing.assert_array_equal(result.images, expected.images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        rendered(stubborn, "conv_b:2@1,1")


def test_xla_that_is_asked_for_and_fails_is_an_error(stubborn):
    with pytest.raises(ValueError, match="XLA cannot compile.*xla=False"):
        rendered(stubborn, xla=True)


def test_a_picture_is_made_again_in_the_same_way(toy_adapter, tmp_path):
    result = rendered(toy_adapter, xla=True)
    (file,) = result.save(tmp_path / "picture.png")
    again = tfviz.render_again(file, toy_adapter)

    assert again.picture_spec(0)["xla"] is True
    np.testing.assert_array_equal(again.images, result.images)
