"""Receptive fields from gradients, against the formula for windows."""

import keras
import numpy as np
import pytest
from support import build_toy

import tfviz
from tfviz.analysis.receptive_field import receptive_fields
from tfviz.models.adapter import LOGITS

# The kernel, stride, dilation and padding of the layers of plain stacks.
VALID, SAME = "valid", "same"
STACKS = {
    "valid": [(3, 2, 1, VALID), (3, 1, 1, VALID), (2, 2, 1, VALID)],
    "same": [(3, 1, 1, SAME), (5, 2, 1, SAME), (3, 2, 1, SAME)],
    "widened": [(3, 1, 1, SAME), (3, 1, 4, SAME), (3, 1, 1, SAME)],
    "dilated": [(3, 1, 2, SAME), (3, 1, 3, VALID), (4, 3, 1, SAME)],
    "mixed": [(7, 2, 1, SAME), (3, 2, 1, VALID), (1, 1, 1, VALID), (3, 1, 1, SAME)],
}


def formula(length, windows):
    """The ranges that the positions of the last layer depend on, along one axis."""
    lengths, lefts = [length], []
    for kernel, stride, dilation, padding in windows:
        span, n = (kernel - 1) * dilation + 1, lengths[-1]
        outputs = -(-n // stride) if padding == "same" else (n - span) // stride + 1
        missing = max((outputs - 1) * stride + span - n, 0)
        lefts.append(missing // 2 if padding == "same" else 0)
        lengths.append(outputs)
    ranges = []
    for place in range(lengths[-1]):
        seen = {place}
        for window, left, n in list(zip(windows, lefts, lengths))[::-1]:
            kernel, stride, dilation, _ = window
            taps = {
                p * stride - left + t * dilation for p in seen for t in range(kernel)
            }
            seen = taps & set(range(n))
        ranges.append((min(seen), max(seen) + 1))
    return ranges


def stack(windows, size, pools=()):
    """A network of convolutions and pools; most of its ReLUs are off."""
    layers = [keras.Input((*size, 3))]
    for i, (kernel, stride, dilation, padding) in enumerate(windows):
        if i in pools:
            layer = keras.layers.MaxPooling2D(kernel, stride, padding, name=f"layer{i}")
        else:
            layer = keras.layers.Conv2D(
                4,
                kernel,
                stride,
                padding,
                dilation_rate=dilation,
                activation="relu",
                bias_initializer=keras.initializers.Constant(-0.3),
                name=f"layer{i}",
            )
        layers.append(layer)
    return tfviz.adapt(keras.Sequential(layers), (0, 1))


@pytest.mark.parametrize("size", [(45, 70), (64, 31)])
@pytest.mark.parametrize("name", STACKS)
def test_fields_of_convolutions_agree_with_the_formula(name, size):
    windows = STACKS[name]
    fields = receptive_fields(
        stack(windows, size), [f"layer{i}" for i in range(len(windows))]
    )

    for i in range(len(windows)):
        found = fields[f"layer{i}"]
        expected = [formula(length, windows[: i + 1]) for length in size]
        np.testing.assert_array_equal(found.rows, expected[0])
        np.testing.assert_array_equal(found.columns, expected[1])


def test_pools_do_not_hide_what_is_not_their_maximum():
    windows = [
        (3, 1, 1, "valid"),
        (3, 2, 1, "same"),
        (3, 1, 1, "same"),
        (2, 2, 1, "valid"),
    ]
    found = receptive_fields(stack(windows, (38, 41), pools=(1, 3)), ["layer3"])

    np.testing.assert_array_equal(found["layer3"].rows, formula(38, windows))
    np.testing.assert_array_equal(found["layer3"].columns, formula(41, windows))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "softplus", "gelu"])
def test_saturated_activations_do_not_hide_the_image(activation):
    """For pixels up to 255, most of them have a gradient of exactly zero."""
    layers = [
        keras.layers.Conv2D(4, 3, stride, activation=activation, name=f"layer{stride}")
        for stride in (2, 1)
    ]
    adapter = tfviz.adapt(
        keras.Sequential([keras.Input((29, 32, 3)), *layers]), (0, 2550)
    )
    found = receptive_fields(adapter, ["layer1"])["layer1"]

    windows = [(3, 2, 1, VALID), (3, 1, 1, VALID)]
    np.testing.assert_array_equal(found.rows, formula(29, windows))
    np.testing.assert_array_equal(found.columns, formula(32, windows))


def test_opposite_channels_do_not_cancel():
    model = build_toy()
    kernel, bias = model.layers[0].get_weights()
    kernel[..., 4:] = -kernel[..., :4]
    model.layers[0].set_weights([kernel, bias])
    found = receptive_fields(tfviz.adapt(model, (0, 1)), ["conv_a"])["conv_a"]

    np.testing.assert_array_equal(found.rows, formula(32, [(3, 2, 1, "valid")]))


def test_layers_without_a_map_see_everything(toy_adapter):
    fields = receptive_fields(toy_adapter, ["pool", LOGITS])

    for path in ("pool", LOGITS):
        assert fields[path].rows.tolist() == [[0, 32]]
        assert fields[path].columns.tolist() == [[0, 32]]


def test_tokens_see_their_patch_until_they_are_mixed():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 32, 3))
    x = keras.layers.Conv2D(6, 8, 8, name="patches")(inputs)
    tokens = keras.layers.Reshape((12, 6), name="tokens")(x)
    mixed = keras.layers.MultiHeadAttention(1, 4, name="attention")(tokens, tokens)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(mixed))
    adapter = tfviz.adapt(keras.Model(inputs, outputs), (0, 1))
    fields = receptive_fields(adapter, ["tokens", "attention"])

    rows, columns = np.divmod(np.arange(12), 4)
    for found, place in (
        (fields["tokens"].rows, rows),
        (fields["tokens"].columns, columns),
    ):
        np.testing.assert_array_equal(found, np.stack([8 * place, 8 * place + 8], 1))
    assert fields["attention"].rows.tolist() == [[0, 24]] * 12
    assert fields["attention"].columns.tolist() == [[0, 32]] * 12


def test_a_global_branch_sees_everything():
    """Squeeze and excitation multiplies a map by what the whole image gives."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="local")(inputs)
    gate = keras.layers.Dense(4, activation="sigmoid")(
        keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    )
    x = keras.layers.Multiply(name="gated")([x, gate])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    fields = receptive_fields(tfviz.adapt(model, (0, 1)), ["local", "gated"])

    assert (np.ptp(fields["local"].rows, axis=1) == 3).all()
    assert fields["gated"].rows.tolist() == [[0, 32]] * 30


@pytest.mark.slow
def test_squeezenet_agrees_with_the_formula(squeezenet):
    down, conv = (3, 2, 1, "valid"), (3, 1, 1, "same")
    windows = [down, down]  # conv1, pool1
    expected = {"conv1": windows[:1]}
    for number in range(2, 10):
        if number in (4, 6):
            windows = [*windows, down]
        expected[f"fire{number}_squeeze1x1"] = windows
        windows = [*windows, conv]
        expected[f"fire{number}"] = windows
    fields = receptive_fields(squeezenet, list(expected))

    for path, stacked in expected.items():
        ranges = formula(squeezenet.size[0], stacked)
        np.testing.assert_array_equal(fields[path].rows, ranges, path)
        np.testing.assert_array_equal(fields[path].columns, ranges, path)
