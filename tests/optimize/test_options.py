import json
import subprocess
import sys

import keras
import pytest
import tfviz
from tfviz import objectives, params, stops, transforms
from tfviz.optimize.options import (
    OPTIMIZERS,
    PARAMS,
    PENALTIES,
    TRANSFORMS,
    Diversity,
    Options,
    make_optimizer,
)


def test_names_are_those_of_the_library():
    for name in PARAMS:
        param = getattr(params, name)(16, 16)
        assert param.spec["name"] == name
    assert set(TRANSFORMS) == set(transforms.PRESETS)
    for name in PENALTIES:
        assert len(getattr(objectives, name)()) == 1
    for name in OPTIMIZERS[1:]:
        optimizer = make_optimizer(name, 0.25)
        assert type(optimizer).__name__.lower() == name
        assert float(optimizer.learning_rate) == 0.25
    assert make_optimizer("adam") is None
    assert make_optimizer("normalized") == "normalized"


def test_neither_tensorflow_nor_numpy_is_needed_for_names_and_defaults():
    code = (
        "import sys, tfviz.optimize.options as options\n"
        "assert options.STEPS == 128 and options.PARAMS[0] == 'fourier'\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(
            steps=7,
            learning_rate=0.25,
            optimizer="normalized",
            gradient_blur=1.5,
            normalize_gradient=True,
            smooth_pools=True,
            deterministic=True,
            alpha=True,
            batch_size=6,
            largest_batch=16,
            xla=True,
            seed=-3,
            candidates=4,
            restarts=2,
            stop=[stops.plateau(window=32), stops.target(2.5)],
            penalties={"l1": 0.5, "high_frequency": -1.0},
            diversity=Diversity(3, 0.75, "conv_b"),
        ),
        Options(diversity=Diversity(2, 1.0, tried=[{"weight": 1.0, "share": 0.9}])),
    ],
)
def test_a_description_holds_all_of_them(options):
    resolved = options.resolve(params.pixels(32, 32), has_start=False)
    spec = json.loads(json.dumps(resolved.spec()))
    again = Options.from_spec(spec)

    assert again.resolve(params.pixels(32, 32), has_start=False).spec() == spec
    for name in ("steps", "learning_rate", "seed", "candidates", "penalties", "xla"):
        assert getattr(again, name) == getattr(resolved, name)
    assert [rule.spec for rule in again.stop] == [rule.spec for rule in options.stop]


def test_an_optimizer_of_keras_is_made_again_from_its_settings():
    options = Options(optimizer=keras.optimizers.SGD(0.5, momentum=0.25))
    spec = options.resolve(params.pixels(32, 32), has_start=False).spec()
    optimizer = Options.from_spec(json.loads(json.dumps(spec))).optimizer

    assert optimizer.get_config()["momentum"] == 0.25
    assert float(optimizer.learning_rate) == 0.5


def test_all_options_of_render_are_here(toy_adapter):
    """Nothing that `render` takes is missing from a picture's description."""
    result = tfviz.render(
        toy_adapter,
        "conv_b:1",
        params.pixels(32, 32),
        transforms.none(),
        steps=3,
        learning_rate=0.1,
        momentum=0.8,
        gradient_blur=0.5,
        normalize_gradient=True,
        smooth_pools=True,
        deterministic=True,
        alpha=True,
        batch_size=2,
        seed=5,
        candidates=2,
        restarts=2,
        stop=stops.target(1e9),
    )
    options = Options.from_spec(result.picture_spec(0))

    assert options == Options(
        steps=3,
        learning_rate=0.1,
        momentum=0.8,
        gradient_blur=0.5,
        normalize_gradient=True,
        smooth_pools=True,
        deterministic=True,
        alpha=True,
        batch_size=2,
        xla=False,  # what was used
        seed=5,
        candidates=2,
        restarts=2,
        stop=options.stop,
    )
    assert [rule.spec for rule in options.stop] == [stops.target(1e9).spec]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "`steps` must be a whole number of at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be above 0"),
        ({"largest_batch": 0}, "`largest_batch` must be a whole number"),
        ({"batch_size": 1.5}, "`batch_size` must be a whole number of at least 1"),
        ({"candidates": 0}, "`candidates` must be a whole number of at least 1"),
        ({"restarts": 0}, "`restarts` must be a whole number of at least 1"),
        ({"optimizer": "adam"}, "must be 'normalized' or a Keras optimizer"),
    ],
)
def test_values_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Options(**wrong)
