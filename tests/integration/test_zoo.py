"""Small models of every kind, tested through the whole library."""

import sys
from dataclasses import dataclass
from functools import cache
from collections.abc import Callable
from typing import Any

import tfviz
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tfviz.models.introspection import LOGITS

layers, ops = keras.layers, keras.ops

STEPS = 3


@dataclass
class Animal:
    """A model and the results that tfviz must have for it.

    Attributes:
        build: A function that builds the model.
        shapes: The shapes of its layers by path, without axis 0; `...` stands for any
            layers in between.
        middle: The channel to be visualized.
        logits: A function `logits(model, inputs)` that does not use tfviz.
        preprocess: The option of `adapt`.
        output: The option of `adapt`.
    """

    build: Callable[[], Any]
    shapes: dict[str, tuple]
    middle: tuple[str, int]
    logits: Callable[[Any, Any], Any]
    preprocess: Any = (0, 1)
    output: Any = None


def convolution(filters, name, **options):
    options = {"padding": "same", "activation": "relu"} | options
    return layers.Conv2D(filters, 3, name=name, **options)


def ended(x, inputs, activation="softmax"):
    """Return a model that pools and classifies."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(3, activation=activation, name="head")(x)
    return keras.Model(inputs, x)


def head_of(model, inputs, before="pool", head="head"):
    """Compute the output of a dense head from the layer before it, in NumPy."""
    cut = keras.Model(model.inputs[0], model.get_layer(before).output)
    features = cut(inputs, training=False)
    kernel, bias = model.get_layer(head).get_weights()
    return np.asarray(features, np.float32) @ kernel + bias


# Images that are not RGB.


def digits():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="relu", name="edges"),
            layers.MaxPooling2D(name="half"),
            layers.Conv2D(8, 3, activation="relu", name="strokes"),
            layers.Flatten(name="flat"),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )


def satellite():
    inputs = keras.Input((16, 24, 6))
    x = layers.SeparableConv2D(8, 3, activation="relu", name="separable")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.Conv2D(8, 3, groups=2, name="groups")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    return ended(x, inputs, "sigmoid")


# Transformers and recurrent networks.


class ClassToken(layers.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="normal")
        size = (1, shape[1] + 1, shape[-1])
        self.positions = self.add_weight(shape=size, initializer="normal")

    def call(self, x):
        token = ops.repeat(self.token, ops.shape(x)[0], axis=0)
        return ops.concatenate([token, x], axis=1) + self.positions


def transformer():
    inputs = keras.Input((16, 24, 3))
    x = layers.Conv2D(8, 4, strides=4, name="patches")(inputs)
    x = layers.Reshape((24, 8), name="tokens")(x)
    x = ClassToken(name="class_token")(x)
    for block in "ab":
        y = layers.LayerNormalization(name=f"{block}_norm")(x)
        y = layers.MultiHeadAttention(2, 4, name=f"{block}_attention")(y, y)
        x = layers.Add(name=f"{block}_add")([x, y])
        y = layers.Dense(16, activation="gelu", name=f"{block}_gelu")(x)
        x = layers.Add(name=f"{block}_out")(
            [x, layers.Dense(8, name=f"{block}_mlp")(y)]
        )
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Lambda(lambda x: x[:, 0], output_shape=(8,), name="class")(x)
    x = layers.Dense(3, activation="softmax", name="head")(x)
    return keras.Model(inputs, x)


def recurrent():
    """Return a model that reads the rows of an image as a sequence."""
    inputs = keras.Input((12, 10, 1))
    x = layers.Reshape((12, 10), name="rows")(inputs)
    x = layers.Conv1D(6, 3, name="conv")(x)
    x = layers.LSTM(6, name="lstm")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


def distributed():
    inputs = keras.Input((8, 12, 3))
    x = layers.TimeDistributed(layers.Conv1D(4, 3, name="conv"), name="rows")(inputs)
    return ended(layers.ReLU(name="relu")(x), inputs)


# Outputs that are not classes.


def segmentation():
    inputs = keras.Input((16, 24, 3))
    fine = convolution(6, "fine")(inputs)
    coarse = convolution(8, "coarse")(layers.MaxPooling2D(name="down")(fine))
    up = layers.Conv2DTranspose(6, 2, strides=2, name="up")(coarse)
    x = layers.Concatenate(name="skip")([up, fine])
    x = layers.Conv2D(4, 1, activation="softmax", name="map")(x)
    return keras.Model(inputs, x, name="segmentation")


def map_logits(model, inputs, before="skip", head="map"):
    features = keras.Model(model.inputs[0], model.get_layer(before).output)(inputs)
    kernel, bias = model.get_layer(head).get_weights()
    return np.asarray(features) @ kernel[0, 0] + bias


def dense_segmentation():
    """Return a model that classifies each position, then takes the mean."""
    inner = segmentation()
    inputs = keras.Input((16, 24, 3))
    x = layers.GlobalAveragePooling2D(name="mean")(inner(inputs))
    return keras.Model(inputs, x)


def dense_segmentation_logits(model, inputs):
    return map_logits(model.layers[1], inputs).mean((1, 2))


def detection(kind):
    inputs = keras.Input((16, 24, 3))
    x = convolution(8, "backbone", strides=2)(inputs)
    boxes = layers.Conv2D(4, 1, name="boxes")(x)
    scores = layers.Conv2D(5, 1, activation="sigmoid", name="scores")(x)
    outputs = {"boxes": boxes, "classes": scores} if kind is dict else [boxes, scores]
    return keras.Model(inputs, outputs)


DETECTION = {"backbone": (8, 12, 8), "scores": (8, 12, 5), "boxes": (8, 12, 4)}


def named_logits():
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D(name="pool")(convolution(6, "conv")(inputs))
    return keras.Model(inputs, {"logits": layers.Dense(3, name="head")(x)})


# Other number types.


def typed(policy):
    inputs = keras.Input((16, 16, 3))
    x = convolution(8, "conv", dtype=policy)(inputs)
    x = layers.BatchNormalization(name="norm", dtype=policy)(x)
    x = convolution(8, "deep", dtype=policy)(x)
    x = layers.GlobalAveragePooling2D(name="pool", dtype=policy)(x)
    x = layers.Dense(3, activation="softmax", name="head", dtype=policy)(x)
    return keras.Model(inputs, x)


TYPED = {
    "conv": (16, 16, 8),
    "norm": (16, 16, 8),
    "deep": (16, 16, 8),
    "pool": (8,),
    "head": (3,),
}


def of_bytes():
    """Return a model that takes integers, which have no gradient."""
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 3), dtype="uint8"),
            layers.Rescaling(1 / 255, name="scale"),
        ],
        name="inner",
    )
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    return ended(convolution(6, "conv")(inner(inputs)), inputs)


# Layers that behave differently in training.


def augmented():
    inputs = keras.Input((16, 16, 3))
    x = layers.RandomFlip(name="flip")(inputs)
    x = layers.RandomRotation(0.2, name="rotation")(x)
    x = layers.RandomBrightness(0.5, value_range=(0, 1), name="brightness")(x)
    x = layers.GaussianNoise(0.5, name="noise")(x)
    x = layers.SpectralNormalization(convolution(8, "conv"), name="spectral")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.SpatialDropout2D(0.5, name="spatial")(x)
    x = layers.GaussianDropout(0.5, name="gaussian")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


# Ways to combine layers.


class Branches(keras.Model):
    """Holds its layers in a dict, a tuple, and another layer."""

    def __init__(self):
        super().__init__(name="branches")
        self.branches = {
            "wide": layers.Conv2D(4, 5, padding="same", name="wide"),
            "narrow": layers.Conv2D(4, 1, name="narrow"),
        }
        self.tail = (layers.ReLU(name="relu"), layers.GlobalMaxPooling2D(name="pool"))
        self.head = layers.Dense(3, name="head")

    def call(self, x):
        x = ops.concatenate([branch(x) for branch in self.branches.values()], axis=-1)
        for layer in self.tail:
            x = layer(x)
        return ops.softmax(self.head(x))

    def logits(self, x):
        x = [branch(x) for branch in self.branches.values()]
        return self.head(np.maximum(np.concatenate(x, -1), 0).max((1, 2)))


def branches():
    model = Branches()
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


class TwoTimes(layers.Layer):
    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner = inner

    def call(self, x):
        return self.inner(self.inner(x))


def repeated():
    """Calls a nested model twice, in a layer that is itself called twice."""
    inner = keras.Sequential(
        [keras.Input((16, 16, 3)), convolution(3, "conv")], name="inner"
    )
    inputs = keras.Input((16, 16, 3))
    twice = TwoTimes(inner, name="twice")
    return ended(twice(twice(inputs)), inputs)


def twins():
    """Two models that share a layer, and compare the image with its mirror image."""
    shared = convolution(4, "shared")
    left, right = (
        keras.Sequential([keras.Input((16, 16, 3)), shared], name=name)
        for name in ("left", "right")
    )
    inputs = keras.Input((16, 16, 3))
    x = layers.Subtract(name="gap")([left(inputs), right(ops.flip(inputs, axis=2))])
    return ended(x, inputs)


def functions():
    inputs = keras.Input((16, 16, 3))
    x = layers.Lambda(lambda x: 2 * x - 1, name="scale")(inputs)
    x = layers.Lambda(tf.nn.relu, name="relu")(convolution(6, "conv")(x))
    x = ops.leaky_relu(x)
    x = layers.Pipeline(
        [convolution(6, "piped"), layers.ReLU(name="end")], name="pipe"
    )(x)
    return ended(x, inputs)


class KerasTwo(tf_keras.Model):
    """A subclassed model of Keras 2, whose `call` has no argument `training`."""

    def __init__(self):
        super().__init__(name="keras_two")
        self.conv = tf_keras.layers.Conv2D(6, 3, activation="relu", name="conv")
        self.pool = tf_keras.layers.GlobalAveragePooling2D(name="pool")
        self.head = tf_keras.layers.Dense(3, name="head")

    def call(self, x):
        return tf.nn.softmax(self.logits(x))

    def logits(self, x):
        return self.head(self.pool(self.conv(x)))


def keras_two():
    model = KerasTwo()
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


# KerasHub, where it is installed.


def hub_classifier():
    hub = pytest.importorskip("keras_hub", reason="needs pip install keras-hub")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
        name="backbone",
    )
    deviation = np.array([0.229, 0.224, 0.225])
    converter = hub.layers.ImageConverter(
        image_size=(32, 32),
        scale=list(1 / 255 / deviation),
        offset=list(-np.array([0.485, 0.456, 0.406]) / deviation),
    )
    return hub.models.ImageClassifier(
        backbone=backbone,
        num_classes=3,
        activation="softmax",
        preprocessor=hub.models.ResNetImageClassifierPreprocessor(converter),
    )


def hub_logits(model, inputs):
    pooled = np.asarray(model.backbone(inputs)).mean((1, 2))
    kernel, bias = model.get_layer("predictions").get_weights()
    return pooled @ kernel + bias


def hub_transformer():
    hub = pytest.importorskip("keras_hub", reason="needs pip install keras-hub")
    return hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=4,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
        name="vit",
    )


ZOO = {
    "digits": Animal(
        digits,
        {
            "edges": (24, 24, 6),
            "half": (12, 12, 6),
            "strokes": (10, 10, 8),
            "flat": (800,),
            "head": (10,),
        },
        ("strokes", 5),
        lambda model, x: head_of(model, x, "flat"),
    ),
    "satellite": Animal(
        satellite,
        {
            "separable": (14, 22, 8),
            "depthwise": (12, 20, 8),
            "leaky": (12, 20, 8),
            "groups": (10, 18, 8),
            "prelu": (10, 18, 8),
            "pool": (8,),
            "head": (3,),
        },
        ("groups", 5),
        head_of,
    ),
    "transformer": Animal(
        transformer,
        {
            "patches": (4, 6, 8),
            "tokens": (24, 8),
            "class_token": (25, 8),
            "a_norm": (25, 8),
            "a_attention": (25, 8),
            "a_attention/query": (25, 2, 4),
            ...: ...,
            "b_gelu": (25, 16),
            "b_mlp": (25, 8),
            "b_out": (25, 8),
            "norm": (25, 8),
            "class": (8,),
            "head": (3,),
        },
        ("a_gelu", 7),
        lambda model, x: head_of(model, x, "class"),
    ),
    "recurrent": Animal(
        recurrent,
        {"rows": (12, 10), "conv": (10, 6), "lstm": (6,), "head": (3,)},
        ("lstm", 2),
        lambda model, x: head_of(model, x, "lstm"),
    ),
    "distributed": Animal(
        distributed,
        {
            "rows": (8, 10, 4),
            **{
                f"rows/conv{call}": (10, 4)
                for call in ["", *(f"#{i}" for i in range(1, 8))]
            },
            "relu": (8, 10, 4),
            "pool": (4,),
            "head": (3,),
        },
        ("rows/conv#5", 1),
        head_of,
    ),
    "segmentation": Animal(
        segmentation,
        {
            "fine": (16, 24, 6),
            "down": (8, 12, 6),
            "coarse": (8, 12, 8),
            "up": (16, 24, 6),
            "skip": (16, 24, 12),
            "map": (16, 24, 4),
        },
        ("up", 3),
        map_logits,
    ),
    "dense segmentation": Animal(
        dense_segmentation,
        {"segmentation": (16, 24, 4), ...: ..., "mean": (4,)},
        ("segmentation/up", 3),
        dense_segmentation_logits,
    ),
    "detection, a dict": Animal(
        lambda: detection(dict),
        DETECTION,
        ("backbone", 3),
        lambda model, x: map_logits(model, x, "backbone", "scores"),
        output="classes",
    ),
    "detection, a list": Animal(
        lambda: detection(list),
        DETECTION,
        ("boxes", 3),
        lambda model, x: map_logits(model, x, "backbone", "scores"),
        output=1,
    ),
    "named logits": Animal(
        named_logits,
        {"conv": (16, 16, 6), "pool": (6,), "head": (3,)},
        ("conv", 3),
        head_of,
    ),
    "mixed_float16": Animal(
        lambda: typed("mixed_float16"), TYPED, ("deep", 4), head_of
    ),
    "bfloat16": Animal(lambda: typed("bfloat16"), TYPED, ("deep", 4), head_of),
    "float64": Animal(lambda: typed("float64"), TYPED, ("deep", 4), head_of),
    "uint8": Animal(
        of_bytes,
        {
            "inner": (16, 16, 3),
            "inner/scale": (16, 16, 3),
            "conv": (16, 16, 6),
            "pool": (6,),
            "head": (3,),
        },
        ("conv", 3),
        lambda model, x: head_of(model, np.uint8(x)),
        None,  # the type of the input defines it
    ),
    "augmented": Animal(
        augmented,
        {
            "flip": (16, 16, 3),
            "rotation": (16, 16, 3),
            "brightness": (16, 16, 3),
            "noise": (16, 16, 3),
            "spectral": (16, 16, 8),
            "spectral/conv": (16, 16, 8),
            "norm": (16, 16, 8),
            "spatial": (16, 16, 8),
            "gaussian": (16, 16, 8),
            "pool": (8,),
            "drop": (8,),
            "head": (3,),
        },
        ("norm", 4),
        lambda model, x: head_of(model, x, "drop"),
    ),
    "branches": Animal(
        branches,
        {
            "wide": (16, 16, 4),
            "narrow": (16, 16, 4),
            "relu": (16, 16, 8),
            "pool": (8,),
            "head": (3,),
        },
        ("relu", 5),
        Branches.logits,
    ),
    "repeated": Animal(
        repeated,
        {
            "twice": (16, 16, 3),
            "twice/inner": (16, 16, 3),
            "twice/inner/conv": (16, 16, 3),
            "twice/inner#1": (16, 16, 3),
            "twice/inner#1/conv": (16, 16, 3),
            "twice#1": (16, 16, 3),
            "twice#1/inner": (16, 16, 3),
            "twice#1/inner/conv": (16, 16, 3),
            "twice#1/inner#1": (16, 16, 3),
            "twice#1/inner#1/conv": (16, 16, 3),
            "pool": (3,),
            "head": (3,),
        },
        ("twice#1/inner/conv", 1),
        head_of,
    ),
    "twins": Animal(
        twins,
        {
            "flip": (16, 16, 3),
            "left": (16, 16, 4),
            "left/shared": (16, 16, 4),
            "right": (16, 16, 4),
            "right/shared": (16, 16, 4),
            "gap": (16, 16, 4),
            "pool": (4,),
            "head": (3,),
        },
        ("gap", 2),
        head_of,
    ),
    "functions": Animal(
        functions,
        {
            "scale": (16, 16, 3),
            "conv": (16, 16, 6),
            "relu": (16, 16, 6),
            "leaky_relu": (16, 16, 6),
            "pipe": (16, 16, 6),
            "pipe/piped": (16, 16, 6),
            "pipe/end": (16, 16, 6),
            "pool": (6,),
            "head": (3,),
        },
        ("pipe/piped", 3),
        head_of,
    ),
    "Keras 2, subclassed": Animal(
        keras_two,
        {"conv": (14, 14, 6), "pool": (6,), "head": (3,)},
        ("conv", 3),
        KerasTwo.logits,
    ),
    "KerasHub classifier": Animal(
        hub_classifier,
        {"backbone": (4, 4, 64), ...: ..., "predictions": (3,)},
        ("backbone/stack0_block0_out", 30),
        hub_logits,
        None,  # the model's own preprocessor defines it
    ),
    "KerasHub transformer": Animal(
        hub_transformer,
        {"vit_patching_and_embedding": (17, 8), ...: ..., "vit_encoder/ln": (17, 8)},
        ("vit_encoder", 4),
        lambda model, x: model(x),
    ),
}


@cache
def model_and_adapter(name):
    keras.utils.set_random_seed(3)
    model = ZOO[name].build()
    animal = ZOO[name]
    return model, tfviz.adapt(model, animal.preprocess, output=animal.output)


def images_for(adapter):
    shape = (2, *adapter.size, adapter.channels)
    bytes_ = np.random.default_rng(5).integers(256, size=shape)
    return (bytes_ / 255).astype(np.float32)


def state(model):
    """The state that must not change: weights, and each layer's attributes."""
    found = model._flatten_layers()
    attributes = [(layer.name, set(layer.__dict__)) for layer in found]
    return attributes, [
        tf.convert_to_tensor(w).numpy().tobytes() for w in model.weights
    ]


def one_each(path, channel, target):
    """One image of a channel and one of a class, in one compilation."""

    def means(values, index):
        return tf.reduce_mean(values[..., index], axis=range(1, values.shape.rank - 1))

    def score(activations, images, latents, units):
        return tf.where(
            units["of_class"],
            means(activations[LOGITS], target),
            means(activations[path], channel),
        )

    units = {"of_class": np.array([False, True])}
    return tfviz.objectives.Objective((path, LOGITS), units, score, (path, "class"))


@pytest.mark.parametrize("name", ZOO)
class TestEveryAnimal:
    def test_layers_are_listed_with_their_shapes(self, name):
        _, adapter = model_and_adapter(name)
        wanted = [(path, shape) for path, shape in ZOO[name].shapes.items()]
        found = [(layer.path, layer.shape[1:]) for layer in adapter.layers()]
        if (..., ...) in wanted:
            gap = wanted.index((..., ...))
            after = len(wanted) - gap - 1
            found[gap : len(found) - after] = [(..., ...)]

        assert found == wanted
        assert all(layer.units == layer.shape[-1] for layer in adapter.layers())

    def test_logits_are_those_of_the_model(self, name):
        model, adapter = model_and_adapter(name)
        images = images_for(adapter)
        expected = ZOO[name].logits(
            model, adapter.preprocess.apply(tf.constant(images))
        )

        found = adapter.logits(images)
        coarse = name in ("mixed_float16", "bfloat16")
        tolerance = 2e-2 if coarse else 1e-5
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    def test_pictures_rise_and_the_model_stays(self, name):
        model, adapter = model_and_adapter(name)
        before = state(model)
        result = tfviz.render(
            adapter,
            one_each(*ZOO[name].middle, 1),
            tfviz.params.fourier(*adapter.size, adapter.channels),
            tfviz.transforms.none(),
            steps=STEPS,
            # Smaller steps may raise a score by less than 8 bits can distinguish.
            learning_rate=0.05 if name == "bfloat16" else 0.02,
            start=images_for(adapter),  # for which hardly any unit is dead
        )

        assert np.isfinite(result.history).all()
        assert (np.diff(result.history, axis=0) > 0).all()
        assert (result.scores > result.history[0]).all()
        assert not result.stuck.any()
        assert state(model) == before


@pytest.mark.slow
def test_a_saved_and_reloaded_model_gives_the_same_picture(tmp_path):
    model, adapter = model_and_adapter("segmentation")
    model.save(tmp_path / "model.keras")
    again = tfviz.adapt(tfviz.load_model(tmp_path / "model.keras"), (0, 1))
    first, second = (
        tfviz.render(
            each,
            "up:3",
            tfviz.params.fourier(16, 24),
            tfviz.transforms.jitter(2),
            steps=STEPS,
        )
        for each in (adapter, again)
    )

    assert first.images.tobytes() == second.images.tobytes()
    assert first.spec["model"]["hash"] == second.spec["model"]["hash"]


def test_pictures_under_a_policy_of_half_precision_are_of_float32():
    _, adapter = model_and_adapter("mixed_float16")

    def rendered():
        return tfviz.render(
            adapter,
            "deep:4",
            tfviz.params.fourier(16, 16),
            tfviz.transforms.none(),
            steps=STEPS,
        )

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        result = rendered()
    finally:
        keras.config.set_dtype_policy(before)

    assert result.scores.dtype == result.history.dtype == np.float32
    assert result.images.tobytes() == rendered().images.tobytes()


class ReturnsItsWeights(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(1, *shape[1:]))

    def call(self, x):
        return self.kernel


def test_a_layer_that_returns_its_weights_is_not_listed():
    class Shifted(keras.Model):
        def __init__(self):
            super().__init__()
            self.shift, self.conv = (
                ReturnsItsWeights(name="shift"),
                convolution(4, "conv"),
            )

        def call(self, x):
            return self.conv(x + self.shift(x))

    model = Shifted()
    model(np.zeros((1, 8, 8, 3), np.float32))

    assert [layer.path for layer in tfviz.adapt(model, (0, 1)).layers()] == ["conv"]


def dense(x, classes=3, **options):
    return layers.Dense(classes, name="dense", **options)(x)


def map_of(x, activation):
    return layers.Conv2D(3, 1, activation=activation, name="map")(x)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mean(x):
    return x.mean((1, 2))


def largest(x):
    return x.max((1, 2))


def same(x):
    return x


# For each head: a function from the pooled features and the map of features to the
# output; the description of the logits; a function from the values before the softmax
# or sigmoid to the logits; and one from those values to the probabilities.
HEADS = {
    "temperature": (
        lambda pooled, _: layers.Softmax(name="soft")(dense(pooled) / 2.5),
        "softmax of 'soft'",
        lambda values: values / 2.5,
        lambda values: softmax(values / 2.5),
    ),
    "percent": (
        lambda pooled, _: layers.Rescaling(100.0, offset=1.0)(
            dense(pooled, activation="softmax")
        ),
        "softmax of 'dense'",
        same,
        softmax,
    ),
    "clipped": (
        lambda pooled, _: ops.clip(dense(pooled, activation="sigmoid"), 0.01, 0.99),
        "sigmoid of 'dense'",
        same,
        sigmoid,
    ),
    "logarithm": (
        lambda pooled, _: ops.log(dense(pooled, activation="softmax") + 1e-7),
        "softmax of 'dense'",
        same,
        softmax,
    ),
    "log_softmax, scaled": (
        lambda pooled, _: 0.5 * ops.log_softmax(dense(pooled)),
        "logsoftmax of 'log_softmax",
        same,
        softmax,
    ),
    "dropout": (
        lambda pooled, _: layers.Dropout(0.5)(dense(pooled, activation="softmax")),
        "softmax of 'dense'",
        same,
        softmax,
    ),
    "Lambda": (
        lambda pooled, _: layers.Lambda(tf.nn.softmax, name="soft")(dense(pooled)),
        "softmax of 'soft'",
        same,
        softmax,
    ),
    "float32 after half precision": (
        lambda pooled, _: layers.Activation("softmax", dtype="float32", name="soft")(
            dense(pooled, dtype="mixed_float16")
        ),
        "softmax of 'soft'",
        same,
        softmax,
    ),
    "mean of a map": (
        lambda _, features: layers.GlobalAveragePooling2D()(
            map_of(features, "softmax")
        ),
        "softmax of 'map'",
        mean,
        lambda values: softmax(values).mean((1, 2)),
    ),
    "maximum of a map": (
        lambda _, features: layers.Flatten()(
            layers.GlobalMaxPooling2D(keepdims=True)(map_of(features, "sigmoid"))
        ),
        "sigmoid of 'map'",
        largest,
        lambda values: sigmoid(values).max((1, 2)),
    ),
    # Operations that would reverse the order of the classes, or mix them, stay.
    "one minus": (
        lambda pooled, _: 1 - dense(pooled, activation="sigmoid"),
        "no softmax or sigmoid",
        lambda values: 1 - sigmoid(values),
        lambda values: softmax(1 - sigmoid(values)),
    ),
    "negative": (
        lambda pooled, _: layers.Rescaling(-1.0)(dense(pooled, activation="sigmoid")),
        "no softmax or sigmoid",
        lambda values: -sigmoid(values),
        lambda values: softmax(-sigmoid(values)),
    ),
    "mean of classes": (
        lambda pooled, _: ops.mean(dense(pooled, activation="sigmoid"), -1, True),
        "no softmax or sigmoid",
        lambda values: sigmoid(values).mean(-1, keepdims=True),
        lambda values: sigmoid(sigmoid(values).mean(-1, keepdims=True)),
    ),
    "gated": (
        lambda pooled, _: pooled * dense(pooled, 6, activation="sigmoid"),
        "no softmax or sigmoid",
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_logits_are_found_before_other_heads(name):
    build_head, source, to_logits, to_probabilities = HEADS[name]
    inputs = keras.Input((16, 16, 3))
    features = convolution(6, "conv")(inputs)
    pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    model = keras.Model(inputs, build_head(pooled, features))
    adapter = tfviz.adapt(model, (0, 1))
    images = images_for(adapter)

    assert source in adapter.logits_source
    if to_logits is None:
        np.testing.assert_allclose(adapter.logits(images), model(images), rtol=1e-5)
        return
    before, head = ("conv", "map") if "of a map" in name else ("pool", "dense")
    features = keras.Model(inputs, model.get_layer(before).output)(images)
    kernel, bias = model.get_layer(head).get_weights()
    values = np.asarray(features) @ kernel.reshape(kernel.shape[-2:]) + bias
    tolerance = 1e-2 if "half" in name else 1e-5
    np.testing.assert_allclose(
        adapter.logits(images), to_logits(values), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(
        adapter.probabilities(images), to_probabilities(values), atol=tolerance
    )


# The networks of keras.applications that are built quickly; `test_sweep.py` tests all.
NETWORKS = (
    (keras, "ConvNeXtTiny"),
    (keras, "EfficientNetV2B0"),
    (keras, "EfficientNetV2S"),
    (keras, "InceptionV3"),
    (keras, "MobileNet"),
    (keras, "MobileNetV3Small"),
    (keras, "ResNet50V2"),
    (keras, "VGG16"),
    (keras, "Xception"),
    (tf_keras, "RegNetX002"),
    (tf_keras, "ResNetRS50"),
)


def operations_of(model, parent=""):
    """Yield the paths and layers of a model in order, without tracing it."""
    for layer in model.layers:
        yield parent + layer.name, layer
        if hasattr(layer, "layers"):
            yield from operations_of(layer, f"{parent}{layer.name}/")


@pytest.mark.parametrize(
    ("library", "name"),
    [
        # Building the others takes longer than checking them.
        pytest.param(
            *network, marks=() if network[1] == "MobileNet" else pytest.mark.slow
        )
        for network in NETWORKS
    ],
)
def test_images_are_prepared_as_keras_applications_does(library, name):
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    build = getattr(library.applications, name)
    size = 75 if name in ("InceptionV3", "Xception") else 32
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    prepare = sys.modules[build.__module__].preprocess_input
    operations = list(operations_of(model))
    found = tfviz.preprocessing.detect(model, operations)

    expected = prepare(images * 255)
    np.testing.assert_allclose(found.apply(tf.constant(images)), expected, atol=1e-4)

    # The same without the preprocessing layers, as with `include_preprocessing=False`.
    others = []
    for path, layer in operations:
        if type(layer).__name__ in ("Rescaling", "Normalization"):
            expected = layer(expected)
        else:
            others.append((path, layer))
    found = tfviz.preprocessing.detect(model, others)

    assert "was trained with it" in found.source
    np.testing.assert_allclose(found.apply(tf.constant(images)), expected, atol=1e-4)


def test_names_are_ignored_for_networks_of_other_channels():
    """Guards against refusing X-rays or satellite bands because they are not RGB."""
    shape = (32, 32, 1)
    model = keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=shape
    )

    assert tfviz.preprocessing.detect(model, operations_of(model)) is None
