"""Every network of keras.applications, with random weights at its smallest size.

This takes minutes, or with FULL=1 most of an hour, so only `make sweep` runs it. Each
network gets a process of its own, so that its memory is freed. The results are kept in
pytest's cache, so that a later run of the same code continues there, and are written to
docs/reference/keras-applications.md.
"""

import hashlib
import os
import resource
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import tfviz
import keras
import numpy as np
import pytest
import tensorflow as tf
from support import ROOT
from tfviz.models.introspection import LOGITS

pytestmark = pytest.mark.sweep

TABLE = ROOT / "docs" / "reference" / "keras-applications.md"
SMALLEST = (  # the smallest network of each family
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",  # unlike B0, it has no Normalization layer
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
)
ALL = tuple(name for name in dir(keras.applications) if name[:1].isupper())
SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}  # others take 32
STEPS = 2
# The outputs of deep networks with random weights vary so wildly that a larger step may
# lower the score, and so may the rounding of the finished picture.
LEARNING_RATE = 0.01
WORKS = "works"


@pytest.mark.parametrize("name", ALL if os.environ.get("FULL") else SMALLEST)
def test_a_network_of_keras_applications_works(name, cache):
    key = f"sweep/{code()}"
    rows = cache.get(key, {})
    if rows.get(name, {}).get("outcome") != WORKS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
            rows[name] = executor.submit(try_network, name).result()
        cache.set(key, rows)
    write_table(rows)

    assert rows[name]["outcome"] == WORKS


def code():
    """Return a hash of everything that a result depends on."""
    digest = hashlib.blake2b(f"{keras.__version__} {tf.__version__}".encode())
    for path in (*sorted((ROOT / "tfviz").rglob("*.py")), Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def try_network(name):
    """Return a row of the table. This runs in a process of its own."""
    began = time.perf_counter()
    row = {"model": name, "input": SIZES.get(name, 32), "layers": 0, "logits": ""}
    try:
        row |= check_network(name, row["input"])
        row["outcome"] = WORKS
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        row["outcome"] = f"{type(error).__name__} {error} in `{place.line}`"
    row["seconds"] = round(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row["peak"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10))
    return row


def check_network(name, size):
    """Check a network, and return its entries of the table."""
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    prepare = sys.modules[build.__module__].preprocess_input
    model = build(weights=None, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(64, size, size, 3)).astype(np.float32)
    inputs = prepare(images * 255)
    calibrate(model, inputs)
    images, inputs = images[:8], inputs[:8]
    before = state(model)
    adapter = tfviz.adapt(model)
    layers = {layer.path: layer for layer in adapter.layers()}

    # Each layer of the model is listed.
    wanted = {layer.name for layer in model.layers[1:]}
    assert wanted <= layers.keys(), wanted - layers.keys()

    # The input is prepared as keras.applications does it.
    found = adapter.preprocess.apply(tf.constant(images))
    np.testing.assert_allclose(found, inputs, atol=1e-4)

    # The logits are the model's output without its last activation.
    head = model.layers[-1]
    activation, head.activation = head.activation, keras.activations.linear
    # This is compiled because the adapter is: with random weights, the rounding of
    # other kernels can result in other logits.
    logits = tf.function(lambda: model(inputs, training=False), autograph=False)()
    head.activation = activation
    close(adapter.logits(images), logits)
    assert "softmax" in adapter.logits_source

    # Pictures rise, and their scores are those of the model itself.
    maps = [
        layer for layer in layers.values() if len(layer.shape) == 4 and layer.units > 1
    ]
    middle = maps[len(maps) // 2]
    channel = middle.units // 2
    result = tfviz.render(
        adapter,
        channel_and_class(middle.path, channel, 7),
        tfviz.params.fourier(size, size),
        tfviz.transforms.none(),
        steps=STEPS,
        start=images[:2],
        learning_rate=LEARNING_RATE,
    )
    assert np.isfinite(result.history).all()
    assert np.isfinite(result.scores).all()
    assert (result.history[1] > result.history[0]).all(), result.history
    assert not result.stuck.any()
    cut = keras.Model(model.input, model.get_layer(middle.path).output)
    picture = prepare(result.images[:1] * 255)
    activations = tf.function(lambda: cut(picture, training=False), autograph=False)()
    close(result.scores[0], np.mean(activations[..., channel]))
    assert state(model) == before
    return {"layers": len(layers), "logits": adapter.logits_source}


def channel_and_class(path, channel, target):
    """One picture of a channel and one of a class, in one compilation."""

    def score(activations, images, latents, units):
        means = tf.reduce_mean(activations[path][..., channel], axis=(1, 2))
        return tf.where(units["is_class"], activations[LOGITS][:, target], means)

    names = (f"{path}:{channel}", f"logit:{target}")
    return tfviz.objectives.Objective(
        (path, LOGITS), {"is_class": np.array([False, True])}, score, names
    )


def calibrate(model, inputs):
    """Give normalizations the statistics of some inputs, as training would.

    Otherwise the signal vanishes in a deep network with random weights.
    """
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(inputs, training=True)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def close(found, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * scale)


def state(model):
    """Return the state that must not change."""
    digest = hashlib.blake2b()
    for weight in model.weights:
        digest.update(weight.numpy().tobytes())
    return digest.digest(), [set(layer.__dict__) for layer in model._flatten_layers()]


HEAD = f"""\
# Networks of keras.applications

This table shows that tfviz works with the networks of `keras.applications`.
`make sweep` writes it for the smallest network of each family, and
`make sweep FULL=1` for all networks. Each network has random weights and the smallest
input that it accepts. It counts as working if:

- every layer of the network is listed;
- the input is preprocessed as the network's own `preprocess_input` does it;
- the logits equal the output of the model without its last activation;
- {STEPS} steps with a learning rate of {LEARNING_RATE} give finite pictures of a \
channel of the
  middle layer and of a class, both score higher after the first step, and the channel's
  score equals that of a model which is cut at this layer;
- the weights and attributes of the model are the same afterwards.

Versions: tfviz {tfviz.__version__}, Keras {keras.__version__}, TensorFlow
{tf.__version__}. The seconds and the peak memory of the process include all of these
checks and the compilation.

| network | input | layers | logits are | seconds | peak MB | outcome |
| --- | --- | --- | --- | --- | --- | --- |
"""


def write_table(rows):
    lines = []
    for row in (rows[name] for name in sorted(rows, key=str.lower)):
        outcome = " ".join(row["outcome"].split()).replace("|", "/")
        lines.append(
            f"| {row['model']} | {row['input']}x{row['input']} | {row['layers']} "
            f"| {row['logits']} | {row['seconds']} | {row['peak']} | {outcome} |\n"
        )
    TABLE.parent.mkdir(exist_ok=True)
    unfinished = TABLE.with_suffix(".md.part")
    unfinished.write_text(HEAD + "".join(lines))
    unfinished.replace(TABLE)
