"""Helpers for the tests of several folders: small networks, seeds and error lines."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import tfviz  # noqa: F401 (before TensorFlow: it sets environment variables)
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfviz import _precision
from tfviz.cli import progress
from tfviz.optimize.job import Job
from tfviz.optimize.runner import Runner, cache_of

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("TFVIZ_DATA", ROOT.parent / "shared" / "data"))
# What `make test-gpu` sets: `required`, where a graphics card must be there, or
# `pretended`, where the processor rounds as a card does. Without it, the card decides.
PROFILE = os.environ.get("TFVIZ_TEST_GPU", "")
ON_GPU = PROFILE == "pretended" or _precision.has_gpu()
# Options of `tfviz render` that make the tests of the command line fast.
FAST = ["--size", "64", "--steps", "4", "--transforms", "none"]
# The units of the rows of comparisons that `table` makes up.
UNITS = [f"unit {k}" for k in range(6)]


def tolerance(exact, on_gpu, reason):
    """Return how far numbers of a test may lie from the expected ones.

    Args:
        exact: The tolerance on a processor.
        on_gpu: That on a graphics card, where networks use TF32. The library's own
            arithmetic does not: its tests have one tolerance.
        reason: Which numbers of a network are compared, and with what.
    """
    assert on_gpu > exact, reason
    return on_gpu if ON_GPU else exact


def load_script(name, folder="scripts"):
    """Import a script of a folder, such as `scripts` or `benchmarks`, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def noted_runners(monkeypatch):
    """Return a list to which each runner is added that is compiled from now on."""
    made = []
    original = Runner.__init__

    def noted(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Runner, "__init__", noted)
    return made


def traced_step(adapter, objective, param, transforms=None, options=None):
    """Return the compiled functions of a first batch, which have not run.

    They are the loop of steps, the final measurement, and the pictures as bytes.
    """
    job = Job(adapter, objective, param, transforms, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "run", lambda *_: None)
        with job.lend_runner(0, job.wanted(0)) as (runner, _):
            traced = runner._run, runner._measure, runner._bytes
    cache_of(job.adapter).clear()
    return traced


def build_toy(head="softmax", channels=3, size=32):
    """A seeded network of four layers: 32x32 -> 15x15x8 -> 7x7x12 -> 5 classes."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            keras.layers.Conv2D(8, 3, 2, activation="relu", name="conv_a"),
            keras.layers.Conv2D(12, 3, 2, activation="relu", name="conv_b"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(5, activation=head, name="head"),
        ],
        name="toy",
    )


def build_overflowing(bad=(3, 10, 11), channels=16):
    """A network whose last layer, `far`, has infinite values in some channels."""
    factor = [3e38 if channel in bad else 1.0 for channel in range(channels)]
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(channels, 3, name="conv"),
            keras.layers.Rescaling(factor, name="scaled"),
            keras.layers.Rescaling(1e9, name="far"),
        ],
        name="overflowing",
    )


def seeds_for(n, first=0):
    return tf.constant([[first + i, 10 * i + 1] for i in range(n)], tf.int32)


def short_squeezenet():
    """A small network with random weights and the bundled network's name and layers.

    The command line behaves in the same way, but a small network is traced faster.
    """
    keras.utils.set_random_seed(3)
    layers = keras.layers
    mean = (123.68, 116.779, 103.939)
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Normalization(mean=mean, variance=(1.0,) * 3, name="mean")(inputs)
    x = layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for name, width in {"fire2": 128, "fire3": 128, "fire8": 512, "fire9": 512}.items():
        x = layers.Conv2D(width, 1, activation="relu", name=name)(x)
        if name == "fire3":
            x = layers.MaxPooling2D(7, 4, name="pool3")(x)
    x = layers.Conv2D(1000, 1, name="conv10")(x)
    outputs = layers.GlobalAveragePooling2D(name="logits")(x)
    return keras.Model(inputs, outputs, name="squeezenet")


def small_trainings(patch):
    """Let priors train tiny networks on a few photos."""
    from tfviz.priors import _networks
    from tfviz.priors.training import (
        photos as _photos,
        autoencoder as _train_autoencoder,
        encoder as _encoder,
        gan as _gan,
        gan_training as _gan_training,
        inverter as _train_inverter,
    )

    def judge(channels, code, seed):
        return _networks.discriminator(channels, code, [8] * len(channels), seed)

    patch.setattr(_photos, "FEWEST", 16)
    patch.setattr(_train_inverter, "WIDTHS", (24, 16, 12, 8, 8))
    patch.setattr(_train_inverter, "discriminator", judge)
    patch.setattr(_train_autoencoder, "discriminator", judge)
    patch.setattr(_gan, "WIDTHS", (24, 16, 12, 8, 8))
    patch.setattr(_encoder, "ENCODER_WIDTHS", (8, 8, 12, 16))
    patch.setattr(_encoder, "ENCODER_BLOCKS", (1, 1, 1, 1))
    patch.setattr(_gan_training, "ENCODER_BATCH", 32)


def names(folder):
    return sorted(file.name for file in Path(folder).iterdir())


def manifest(folder):
    """Return the lines of a folder's manifest."""
    text = Path(folder, "manifest.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def pictures(folder):
    """Return the bytes of the pictures in a folder by their names."""
    return {file.name: file.read_bytes() for file in sorted(Path(folder).glob("*.png"))}


def written(file):
    """Return properties of a file that change if it is written again."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def start_command(*arguments, cwd, prefix=(), setup="", **environment):
    """Start `tfviz` in a process of its own, through another command if wanted.

    `setup` is code that the process runs first.
    """
    code = f"{setup}\nfrom tfviz.cli.main import main\nmain()"
    program = ["-c", code] if setup else ["-m", "tfviz.cli"]
    command = [*prefix, sys.executable, *program, *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def record_bars(monkeypatch):
    """Let commands take stderr for a terminal, and return a list of what bars show.

    The list gets the amount done, the total, the count, the text and the time left.
    """
    shown = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def start(self):
            pass

        def stop(self):
            pass

        def move(self, done, *texts):
            shown.append((done, self.total, *texts))

    monkeypatch.setattr(progress, "is_live", lambda: True)
    monkeypatch.setattr(progress, "_Bar", Bar)
    return shown


def error_of(result):
    """Return the single error line of a command."""
    (line,) = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]
    assert "Traceback" not in result.output
    return line


def method(name="m", kind="method", of=None, *, kinship=None, judges=()):
    """The entry of a method in the results of a comparison."""
    return {
        "name": name,
        "kind": kind,
        "of": of,
        "kinship": kinship,
        "related_judges": judges,
    }


def row(name, unit, seed=0, error=None, **values):
    """A row of the results of a comparison."""
    return {"method": name, "unit": unit, "seed": seed, "error": error} | values


def table(name="m", **measures):
    """Rows of one seed; a measure has one value for all units, or one for each."""
    by_unit = {k: np.broadcast_to(v, len(UNITS)).tolist() for k, v in measures.items()}
    return [
        row(name, unit, **{measure: v[place] for measure, v in by_unit.items()})
        for place, unit in enumerate(UNITS)
    ]
