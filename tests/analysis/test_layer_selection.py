"""Which layers paths and patterns stand for, and which an atlas shows."""

import keras

import tfviz
from tfviz.analysis.layer_selection import distinct_layers


def test_of_layers_with_the_same_units_the_last_is_shown():
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(2.0, name="scale")(inputs)
    x = layers.ZeroPadding2D(1, name="margin")(x)
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = pool = layers.MaxPooling2D(2, name="pool")(x)
    left = layers.Conv2D(3, 1, name="left")(x)
    right = layers.Conv2D(5, 1, activation="relu", name="right")(x)
    x = layers.Concatenate(name="both")([left, right])
    x = layers.DepthwiseConv2D(3, name="deep")(x)
    x = layers.Conv2D(4, 1, padding="same", name="back")(x)
    short = layers.Cropping2D(1, name="cut")(pool)
    x = layers.Add(name="sum")([x, short])
    x = layers.Activation("relu", name="sum_relu")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(6, name="hidden")(layers.Dropout(0.5, name="drop")(x))
    outputs = layers.Dense(2, activation="softmax", name="classes")(x)
    model = keras.Model(inputs, outputs)

    shown = ["relu", "both", "deep", "back", "sum_relu", "hidden"]
    assert distinct_layers(tfviz.adapt(model, (0, 1))) == shown


def test_a_layer_that_others_use_as_well_stays():
    """The sum is added again after its ReLU, as in a pre-activation ResNet."""
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    first = layers.Conv2D(4, 1, name="first")(inputs)
    x = layers.ReLU(name="relu")(first)
    x = layers.Conv2D(4, 1, name="second")(x)
    x = layers.Concatenate(name="all")([x, first])
    outputs = layers.Dense(3)(layers.Flatten()(x))
    model = keras.Model(inputs, outputs)

    shown = ["first", "relu", "all"]
    assert distinct_layers(tfviz.adapt(model, (0, 1))) == shown


def test_squeezenet_shows_its_squeezing_layers_and_the_joined_expanding_ones(
    squeezenet,
):
    fires = [f"fire{i}{end}" for i in range(2, 10) for end in ("_squeeze1x1", "")]

    assert distinct_layers(squeezenet) == ["conv1", *fires]
