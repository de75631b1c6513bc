from types import SimpleNamespace

import tfviz
import keras
import pytest

from tfviz.objectives._grammar import _parse
from tfviz.objectives import parse

# TensorFlow refuses most of these as names of layers, but some models are not Keras'.
ODD_PATHS = ("a", "a:3", "a+b", "-a", "logit", "b-1", "a*")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fire8:20", ["fire8:20"]),
        (" fire8:20 ", ["fire8:20"]),
        ("fire8:20@3,4", ["fire8:20@3,4"]),
        ("fire8", ["fire8"]),
        ("net/block_1/conv", ["net/block_1/conv"]),
        ("net/conv#1:2", ["net/conv#1:2"]),
        ("logit:goldfish", ["logit:goldfish"]),
        ("logit:great white shark", ["logit:great white shark"]),
        ("prob:291", ["prob:291"]),
        ("logit:3-5", ["logit:3", "logit:4", "logit:5"]),
        ("-fire8:20", ["-fire8:20"]),
        ("neg:fire8:20", ["-fire8:20"]),
        ("neg:logit:7", ["-logit:7"]),
        ("fire8:0-2", ["fire8:0", "fire8:1", "fire8:2"]),
        ("fire8:5-5", ["fire8:5"]),
        ("fire8:1-2@0,3", ["fire8:1@0,3", "fire8:2@0,3"]),
        ("a:1+b:2", ["a:1+b:2"]),
        ("-a:1+b:2", ["-a:1+b:2"]),
        ("a:1+-b:2", ["a:1+-b:2"]),
        ("a:1+neg:b:2+logit:3", ["a:1+-b:2+logit:3"]),
        ("a:1-2+b:7", ["a:1+b:7", "a:2+b:7"]),
        ("a:1-2+b:7-8", ["a:1+b:7", "a:2+b:8"]),
        ("neg:a:1-2", ["-a:1", "-a:2"]),
        ("block:20@5", ["block:20@5"]),
        ("block:1-2@cls", ["block:1@cls", "block:2@cls"]),
        ("logit:3@40,80", ["logit:3@40,80"]),
        ("logit:1-2@0,7", ["logit:1@0,7", "logit:2@0,7"]),
        ("fire8:random:7", ["fire8:random:7"]),
        ("fire8:random:0-1", ["fire8:random:0", "fire8:random:1"]),
        ("fire8:pre:20", ["fire8:pre:20"]),
        ("fire8:pre", ["fire8:pre"]),
    ],
)
def test_texts_are_read_as_units(text, names):
    assert [unit.names[0] for unit in parse(text)] == names


@pytest.mark.parametrize(
    "text",
    [
        "-fire8:3",
        "a:1+b:2",
        "a:1+-b:2",
        "-a:1+b:2@3,4",
        "fire8",
        "-logit:3",
        "-fire8:pre:3",
        "a:random:4+logit:3@1,2",
        "a:7@cls",
    ],
)
def test_texts_survive_a_round_trip(text):
    (unit,) = parse(text)

    assert unit.texts == (text,)


def test_negated_units_are_read_before_the_relu(squeezenet):
    """Guards against minimizing a rectified unit, whose minimum of 0 shows nothing."""
    units = ["neg:fire8:3", "-fire8:3", "neg:fire8_expand1x1:3", "neg:fire8:pre:3"]
    names = [unit.names[0] for text in units for unit in parse(text, squeezenet)]
    assert names == [
        "-fire8:pre:3",
        "-fire8:pre:3",
        "-fire8_expand1x1:pre:3",
        "-fire8:pre:3",
    ]

    for text, name in {
        "neg:conv10:3": "-conv10:3",  # has no ReLU
        "neg:logit:3": "-logit:3",
        "neg:fire8": "-fire8",  # the score of a layer is a square, without a sign
        "neg:fire8:random:3": "-fire8:pre:random:3",
        "neg:fire8:3@1,2": "-fire8:pre:3@1,2",
        "neg:fire8:3+fire8:4": "-fire8:pre:3+fire8:4",
    }.items():
        assert [unit.names[0] for unit in parse(text, squeezenet)] == [name]
    names = [unit.names[0] for unit in parse("neg:fire[89]:3", squeezenet)]
    assert names == ["-fire8:pre:3", "-fire9:pre:3"]
    names = [unit.names[0] for unit in parse("fire[89]:pre:3", squeezenet)]
    assert names == ["fire8:pre:3", "fire9:pre:3"]


def test_patterns_match_layers(squeezenet):
    names = [unit.names[0] for unit in parse("fire?:3", squeezenet)]
    assert names == [f"fire{module}:3" for module in range(2, 10)]

    names = [unit.names[0] for unit in parse("fire[23]_squeeze*:0-1", squeezenet)]
    assert names == [
        "fire2_squeeze1x1:0",
        "fire2_squeeze1x1:1",
        "fire3_squeeze1x1:0",
        "fire3_squeeze1x1:1",
    ]
    assert len(parse("pool*", squeezenet)) == 3


def test_a_star_stands_for_all_channels_layer_by_layer(squeezenet):
    names = [unit.names[0] for unit in parse("fire[34]:*", squeezenet)]
    assert names == [f"fire3:{i}" for i in range(128)] + [
        f"fire4:{i}" for i in range(256)
    ]

    widths = (128, 128, 256, 256, 384, 384, 512, 512)
    squeezed = (16, 16, 32, 32, 48, 48, 64, 64)
    expanded = sum(widths)  # of two halves each, which `fire?` joins
    assert len(parse("fire?:*", squeezenet)) == sum(widths)
    assert len(parse("fire*:*", squeezenet)) == 2 * expanded + sum(squeezed)
    order = [unit.layers[0] for unit in parse("fire*:*", squeezenet)]
    paths = [layer.path for layer in squeezenet.layers()]
    assert order == sorted(order, key=paths.index)


def test_a_star_stands_for_whatever_else_a_range_can(toy_adapter):
    def names(text):
        return [unit.names[0] for unit in parse(text, toy_adapter)]

    assert names("logit:*") == [f"logit:{i}" for i in range(5)]
    assert names("prob:*") == [f"prob:{i}" for i in range(5)]
    assert names("neg:conv_b:*") == [f"-conv_b:pre:{i}" for i in range(12)]
    assert names("conv_a:*@3,4") == [f"conv_a:{i}@3,4" for i in range(8)]
    assert names("conv_a:*+logit:2") == [f"conv_a:{i}+logit:2" for i in range(8)]
    assert len(names("*:*")) == 8 + 12 + 12 + 5


def test_all_classes_of_a_model_of_several_outputs_are_refused():
    inputs = keras.Input((8, 8, 3))
    outputs = [keras.layers.Dense(n)(keras.layers.Flatten()(inputs)) for n in (2, 3)]
    adapter = tfviz.adapt(keras.Model(inputs, outputs), (0, 1))

    with pytest.raises(ValueError, match="Select the one that has the classes"):
        parse("logit:*", adapter)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a", ("layer", "a")),
        ("a:3", ("layer", "a:3")),
        ("a:2", ("channel", "a")),
        ("a:3:1", ("channel", "a:3")),
        ("a+b", ("layer", "a+b")),
        ("a+b:1", ("channel", "a+b")),
        ("-a", ("layer", "-a")),
        ("neg:-a", ("-", ("layer", "-a"))),
        ("logit:3", ("channel", "logit")),
        ("logit", ("layer", "logit")),
        ("b-1:2", ("channel", "b-1")),
        ("a*:2", ("channel", "a*")),
        ("a+b:1+a:2", ("+", ("channel", "a+b"), ("channel", "a"))),
    ],
)
def test_exact_paths_take_precedence(text, kind):
    layers = [SimpleNamespace(path=path) for path in ODD_PATHS]
    (unit,) = _parse(text, SimpleNamespace(layers=lambda: layers))

    assert unit.kind == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fire8:", "'fire8:' is not a unit"),
        (":3", "':3' is not a unit"),
        ("fire8:x", "is not a unit. Write layer:channel"),
        ("fire8:3@", "no position after @"),
        ("fire8:3@x", "layer:channel@row,column, or layer:channel@token"),
        ("fire8:random:x", "has no seed"),
        ("fire8:3@cl", "no position"),
        ("fire8:3@1,2,3", "no position"),
        ("fire8:9-3", "range 9-3 descends. Write 3-9"),
        ("fire8:0-99999999", "more than 100000 numbers"),
        ("fire8: 3", "is not a unit. Leave out the spaces"),
        ("a:1+", "nothing on one side"),
        ("+a:1", "nothing on one side"),
        ("logit:", "names no class"),
        ("a:1-3+b:1-2", "adds 3 and 2 units"),
        ("fire*:3", "can be read only with the model"),
        ("fire8:*", "all channels of a layer, which can be counted only with the"),
        ("logit:*", "all classes, which can be counted only with the model"),
        ("fire8:random:*", "has no seed"),
        (":*", "is not a unit. Write layer:channel, layer:first-last, layer:\\*"),
        ("", "names no unit"),
        ("neg:", "names no unit"),
    ],
)
def test_unreadable_texts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_a_pattern_without_a_match_is_refused(squeezenet):
    with pytest.raises(ValueError, match=r"No layer matches 'wire\*'.*tfviz layers"):
        parse("wire*:3", squeezenet)
