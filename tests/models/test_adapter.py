import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support import build_toy, tolerance

import tfviz
from tfviz.models.adapter import provenance

layers = keras.layers


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).uniform(size=(2, 16, 16, 3)).astype(np.float32)


def convolution(name, filters=4, **options):
    return layers.Conv2D(filters, 3, padding="same", name=name, **options)


def functional(head="softmax"):
    inputs = keras.Input((16, 16, 3))
    x = convolution("first", activation="relu")(inputs)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(3, activation=head, name="head")(x))


def nested():
    inner = keras.Sequential(
        [convolution("conv"), layers.ReLU(name="relu")], name="inner"
    )
    outer = keras.Sequential([keras.Input((16, 16, 3)), inner], name="backbone")
    top = [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(3, name="out")]
    head = keras.Sequential([*top, layers.Softmax(name="soft")], name="head")
    return keras.Sequential([keras.Input((16, 16, 3)), outer, head], name="nested")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.blocks = [convolution("block", activation="relu") for _ in range(3)]
        self.pool = layers.GlobalAveragePooling2D(name="pool")
        self.head = layers.Dense(3, activation="softmax", name="head")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


def shared():
    inputs = keras.Input((16, 16, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    x = conv(conv(inputs))
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(x))


class Functions(keras.Model):
    """A model whose `call` is compiled by its author."""

    def __init__(self):
        super().__init__(name="functions")
        self.conv = convolution("conv")
        self.head = layers.GlobalAveragePooling2D(name="head")

    @tf.function
    def call(self, x):
        return self.head(self.conv(x))


def functions():
    model = Functions()
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


def legacy():
    inner = tf_keras.Sequential(
        [tf_keras.layers.Conv2D(4, 3, name="conv"), tf_keras.layers.ReLU(name="relu")],
        name="inner",
    )
    inputs = tf_keras.Input((16, 16, 3))
    x = tf_keras.layers.GlobalAveragePooling2D(name="pool")(inner(inputs))
    head = tf_keras.layers.Dense(3, activation="softmax", name="head")
    return tf_keras.Model(inputs, head(x), name="legacy")


PATHS = {
    functional: ["first", "pool", "head"],
    nested: [
        "backbone",
        "backbone/inner",
        "backbone/inner/conv",
        "backbone/inner/relu",
        "head",
        "head/pool",
        "head/out",
        "head/soft",
    ],
    subclassed: ["block", "block~1", "block~2", "pool", "head"],
    shared: ["conv", "conv#1", "pool"],
    functions: ["conv", "head"],
    legacy: ["inner", "inner/conv", "inner/relu", "pool", "head"],
}


def state(model):
    """The state that must not change: weights, and each layer's attributes."""
    found = model._flatten_layers()
    attributes = [set(layer.__dict__) for layer in found]
    calls = [layer.__dict__.get("call") for layer in found]
    return attributes, calls, [w.numpy().tobytes() for w in model.weights]


@pytest.mark.parametrize("build", PATHS)
class TestEveryKindOfModel:
    def test_layers_are_listed_in_the_order_of_their_calls(self, build):
        adapter = tfviz.adapt(build(), (0, 1))

        assert [layer.path for layer in adapter.layers()] == PATHS[build]
        assert adapter.layers()[-1].shape[-1] == adapter.classes

    def test_each_path_gives_activations_of_its_shape(self, build, images):
        adapter = tfviz.adapt(build(), (0, 1))
        found = adapter(images, PATHS[build])

        for layer in adapter.layers():
            assert found[layer.path].shape == (2, *layer.shape[1:])
            assert found[layer.path].dtype == tf.float32

    def test_the_last_layer_agrees_with_the_model(self, build, images):
        model = build()
        adapter = tfviz.adapt(model, (0, 1))
        last = adapter(images, PATHS[build][-1])[PATHS[build][-1]]

        np.testing.assert_allclose(last, model(images), atol=1e-6)

    def test_gradients_flow_eagerly_and_compiled(self, build, images):
        adapter = tfviz.adapt(build(), (0, 1))
        path = PATHS[build][0]

        def gradient(images):
            with tf.GradientTape() as tape:
                tape.watch(images)
                total = tf.reduce_sum(adapter(images, path)[path] ** 2)
            return tape.gradient(total, images)

        eager = gradient(tf.constant(images))
        assert np.abs(eager).max() > 0
        np.testing.assert_allclose(
            tf.function(gradient)(tf.constant(images)), eager, rtol=1e-4, atol=1e-6
        )

    def test_the_model_is_not_changed(self, build, images):
        model = build()
        before = state(model)
        adapter = tfviz.adapt(model, (0, 1))
        adapter(images, PATHS[build])
        adapter.logits(images)
        tfviz.render(
            adapter,
            tfviz.objectives.logit(1),
            tfviz.params.pixels(16, 16),
            tfviz.transforms.none(),
            steps=2,
        )

        assert state(model) == before
        assert not tf.config.functions_run_eagerly()


class Failing(layers.Layer):
    def call(self, x):
        if x.shape[1] == 8:
            raise ValueError("cannot be")
        return x


def test_the_model_is_restored_after_an_exception():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Failing(name="failing")(convolution("conv")(inputs)))
    before = state(model)
    adapter = tfviz.adapt(model, (0, 1))
    with pytest.raises(ValueError, match=r"8x8 .* 'failing'|8x8.*cannot be|8x8"):
        adapter(np.zeros((1, 8, 8, 3)), "conv")

    assert state(model) == before
    assert not tf.config.functions_run_eagerly()


def test_a_penalty_on_activations_leaves_no_tensor_behind(images):
    inputs = keras.Input((16, 16, 3))
    x = convolution("conv", activity_regularizer="l2")(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    model(images)
    (before,) = model.losses
    tfviz.adapt(model, (0, 1))(images, "conv")

    assert len(model.losses) == 1
    assert float(model.losses[0]) == float(before)


def test_activations_agree_with_a_cut_model(images):
    model = functional()
    adapter = tfviz.adapt(model, (-1, 1))
    cut = keras.Model(model.inputs[0], model.get_layer("first").output)

    np.testing.assert_allclose(
        adapter(images, "first")["first"], cut(images * 2 - 1), atol=1e-6
    )


def test_the_two_calls_of_a_shared_layer_differ(images):
    model = shared()
    adapter = tfviz.adapt(model, (0, 1))
    found = adapter(images, ["conv", "conv#1"])
    conv = model.get_layer("conv")

    np.testing.assert_allclose(found["conv"], conv(images), atol=1e-6)
    np.testing.assert_allclose(found["conv#1"], conv(conv(images)), atol=1e-6)


def with_head(build_head):
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(convolution("conv")(inputs))
    return keras.Model(inputs, build_head(x))


def dense(x, **options):
    return layers.Dense(3, name="dense", **options)(x)


HEADS = {
    "activation": (lambda x: dense(x, activation="softmax"), "softmax of 'dense'"),
    "sigmoid": (lambda x: dense(x, activation="sigmoid"), "sigmoid of 'dense'"),
    "log softmax": (lambda x: dense(x, activation="log_softmax"), "logsoftmax of"),
    "Softmax": (lambda x: layers.Softmax(name="soft")(dense(x)), "softmax of 'soft'"),
    "Activation": (
        lambda x: layers.Activation("softmax", name="act")(dense(x)),
        "softmax of 'act'",
    ),
    "operation": (lambda x: keras.ops.softmax(dense(x)), "softmax of 'softmax"),
    "reshaped": (
        lambda x: layers.Reshape((3,), name="flat")(
            layers.Softmax(name="soft")(layers.Reshape((1, 1, 3))(dense(x)))
        ),
        "softmax of 'soft'",
    ),
    "nested": (
        lambda x: keras.Sequential(
            [layers.Dense(3, name="dense"), layers.Softmax(name="soft")], name="top"
        )(x),
        "softmax of 'top/soft'",
    ),
    "none": (dense, "no softmax or sigmoid was found"),
}


@pytest.mark.parametrize("name", HEADS)
def test_logits_are_found_and_described(name, images):
    build_head, source = HEADS[name]
    model = with_head(build_head)
    adapter = tfviz.adapt(model, (0, 1))
    dense_layer = next(
        layer for layer in model._flatten_layers() if layer.name == "dense"
    )
    pooled = keras.Model(model.inputs[0], model.layers[2].output)(images)
    expected = pooled @ dense_layer.kernel + dense_layer.bias

    near = tolerance(1e-5, 1e-3, "a network's last layer is compared with NumPy's")
    np.testing.assert_allclose(adapter.logits(images), expected, atol=near)
    assert source in adapter.logits_source
    probabilities = adapter.probabilities(images).numpy()
    if name == "sigmoid":
        np.testing.assert_allclose(probabilities, model(images), atol=1e-6)
    else:
        softmax = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
        near = tolerance(1e-6, 1e-3, "the softmax of the logits above")
        np.testing.assert_allclose(probabilities, softmax, atol=near)


def test_a_single_class_has_the_probability_of_a_sigmoid(images):
    """Guards against a softmax over one class, which is always 1."""
    model = with_head(lambda x: layers.Dense(1, name="dense")(x))
    adapter = tfviz.adapt(model, (0, 1))

    np.testing.assert_allclose(
        adapter.probabilities(images), 1 / (1 + np.exp(-model(images))), atol=1e-6
    )


def test_inference_is_forced(images):
    """Guards against dropout and normalization in training mode."""

    class Careless(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = convolution("conv")
            self.norm = layers.BatchNormalization(name="norm")
            self.drop = layers.Dropout(0.9, name="drop")

        def call(self, x, training=True):
            x = self.drop(self.norm(self.conv(x)), training=True)
            return keras.ops.mean(x, axis=(1, 2))

    model = Careless()
    model(images)
    means = model.norm.moving_mean.numpy().copy()
    adapter = tfviz.adapt(model, (0, 1))
    first, second = (adapter(images, "drop")["drop"] for _ in range(2))

    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, adapter(images, "norm")["norm"])
    np.testing.assert_array_equal(model.norm.moving_mean, means)


def test_mixed_precision_gives_float32(images):
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = functional()
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    adapter = tfviz.adapt(model, (0, 1))

    assert adapter(images, "first")["first"].dtype == tf.float32
    assert adapter.logits(images).dtype == tf.float32


@pytest.mark.parametrize("channels", [1, 6])
def test_other_numbers_of_channels(channels):
    adapter = tfviz.adapt(build_toy(channels=channels), (0, 1))

    assert adapter.channels == channels
    assert adapter.logits(np.zeros((2, 32, 32, channels))).shape == (2, 5)
    with pytest.raises(ValueError, match=rf"\(n, height, width, {channels}\)"):
        adapter.logits(np.zeros((2, 32, 32, 3)))


def test_images_are_resized_to_a_fixed_input(toy_adapter, rng):
    images = rng.uniform(size=(2, 50, 41, 3)).astype(np.float32)
    resized = tf.image.resize(images, (32, 32), antialias=True)

    np.testing.assert_allclose(
        toy_adapter.logits(images), toy_adapter.logits(resized), atol=1e-5
    )


def test_a_model_of_any_size_gets_images_unchanged(squeezenet):
    assert squeezenet.input_size is None
    assert squeezenet.size == (224, 224)
    assert squeezenet.layer("fire9").shape == (None, 13, 13, 512)
    assert squeezenet.layer("fire9", (64, 97)).shape == (None, 3, 5, 512)


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_inputs_come_in_the_model_s_own_structure(structure, images):
    inputs = keras.Input((16, 16, 3), name="picture")
    outputs = layers.GlobalAveragePooling2D()(inputs)
    given = [inputs] if structure == "list" else {"picture": inputs}

    adapter = tfviz.adapt(keras.Model(given, outputs), (0, 1))  # without a warning
    np.testing.assert_allclose(adapter.logits(images), images.mean((1, 2)), rtol=1e-5)


def test_half_fixed_inputs_are_completed():
    model = keras.Sequential([keras.Input((None, 32, 3)), convolution("conv")])
    adapter = tfviz.adapt(model, (0, 1))

    assert adapter.input_size == (224, 32)


def test_sizes_must_be_known(toy_adapter):
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def run(images):
        return toy_adapter.logits(images)

    with pytest.raises(ValueError, match="with a known height and width"):
        run(np.zeros((1, 32, 32, 3), np.float32))


def test_an_adapter_is_not_adapted_again(toy_adapter):
    assert tfviz.adapt(toy_adapter) is toy_adapter
    with pytest.raises(ValueError, match="an adapter already"):
        tfviz.adapt(toy_adapter, (0, 255))


def test_many_layers_one_by_one_cause_no_warning(toy_adapter, capfd):
    for size in (31, 32, 33):
        for path in ("conv_a", "conv_b", "pool", "head"):
            toy_adapter(np.zeros((1, size, size, 3)), path)

    assert "retracing" not in capfd.readouterr().err


def test_wrong_paths_name_close_ones(squeezenet):
    with pytest.raises(ValueError, match=r"no layer 'fire88'. Did you mean 'fire8'"):
        squeezenet(np.zeros((1, 64, 64, 3)), "fire88")
    adapter = tfviz.adapt(nested(), (0, 1))
    with pytest.raises(ValueError, match="Did you mean 'backbone/inner/conv'"):
        adapter.layer("conv")


def test_too_small_images_are_refused(squeezenet):
    with pytest.raises(
        ValueError,
        match=r"16x16 do not fit model 'squeezenet': Negative.*at squeezenet_1/pool",
    ):
        squeezenet(np.zeros((1, 16, 16, 3)), "fire9")


class TestPreprocessing:
    def test_modes_agree_with_keras(self, rng):
        images = rng.uniform(size=(2, 5, 4, 3)).astype(np.float32)
        for mode in ("caffe", "tf", "torch"):
            expected = keras.applications.imagenet_utils.preprocess_input(
                images * 255.0, data_format="channels_last", mode=mode
            )
            found = tfviz.preprocessing.resolve(mode).apply(tf.constant(images))
            np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_a_range_or_a_function_is_used(self):
        resolve = tfviz.preprocessing.resolve
        assert float(resolve("-1,1").apply(0.25)) == -0.5
        assert float(resolve((0, 255)).apply(1.0)) == 255
        assert resolve(lambda images: images + 3).apply(1) == 4

    @pytest.mark.parametrize(
        ("layer", "name"),
        [
            (lambda: layers.Rescaling(1 / 255), "0,255"),
            (lambda: layers.Rescaling(1 / 127.5, offset=-1), "0,255"),
            (lambda: layers.Rescaling(2.0, offset=-1), "0,1"),
            (lambda: layers.Normalization(mean=[120.0] * 3, variance=[1] * 3), "0,255"),
            (lambda: layers.Normalization(mean=[0.5] * 3, variance=[1] * 3), "0,1"),
        ],
    )
    def test_the_range_is_detected_from_layers_inside_the_model(self, layer, name):
        inner = keras.Sequential([keras.Input((16, 16, 3)), layer()], name="inside")
        model = keras.Sequential([keras.Input((16, 16, 3)), inner, convolution("conv")])
        found = tfviz.adapt(model).preprocess

        assert found.name == name
        assert "at inside/" in found.source

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("MobileNetV2", "tf"),
            ("ResNet50", "caffe"),
            ("DenseNet121", "torch"),
            ("EfficientNetB0", "0,255"),
        ],
    )
    def test_networks_of_keras_applications_are_recognized(self, name, mode):
        build = getattr(keras.applications, name)
        size = 32
        inner = build(weights=None, include_top=False, input_shape=(size, size, 3))
        model = keras.Sequential([keras.Input((size, size, 3)), inner])

        assert tfviz.adapt(model).preprocess.name == mode

    def test_an_undetected_range_is_warned_of(self):
        message = r"assuming 0,1. Set it with preprocess=\(0, 255\), or test"
        with pytest.warns(UserWarning, match=message):
            adapter = tfviz.adapt(functional())
        assert adapter.preprocess.name == "0,1"

    def test_a_layer_after_the_first_weights_is_ignored(self):
        model = keras.Sequential(
            [keras.Input((16, 16, 3)), convolution("conv"), layers.Rescaling(1 / 255)]
        )
        with pytest.warns(UserWarning, match="Input range unknown"):
            tfviz.adapt(model)

    def test_names_are_ignored_if_the_model_computes_first(self):
        """Guards against feeding [-1, 1] to a network that rescales by itself."""
        base = keras.applications.MobileNetV2(
            weights=None, include_top=False, input_shape=(32, 32, 3)
        )
        inputs = keras.Input((32, 32, 3))
        scaled = keras.applications.mobilenet_v2.preprocess_input(inputs)
        with pytest.warns(UserWarning, match="Input range unknown"):
            tfviz.adapt(keras.Model(inputs, base(scaled)))

    def test_layers_that_keep_the_range_are_passed(self):
        base = keras.applications.MobileNetV2(
            weights=None, include_top=False, input_shape=(32, 32, 3)
        )
        steps = [keras.Input((40, 40, 3)), layers.Resizing(32, 32), base]
        steps.insert(1, layers.RandomFlip())

        assert tfviz.adapt(keras.Sequential(steps)).preprocess.name == "tf"

    def test_ranges_are_named_exactly(self):
        resolve = tfviz.preprocessing.resolve
        low, high = -2.1179039301310043, 2.6400000123
        again = resolve(resolve((low, high)).name)

        assert float(again.apply(0.0)) == low
        assert float(again.apply(1.0)) == high
        assert resolve((0, 255)).name == "0,255"

    def test_bad_descriptions_are_refused(self):
        resolve = tfviz.preprocessing.resolve
        with pytest.raises(ValueError, match="caffe, tf, torch or a range"):
            resolve("coffee")
        with pytest.raises(ValueError, match="the lower one first"):
            resolve((1, 0))
        with pytest.raises(TypeError, match="a range"):
            resolve(3)
        with pytest.raises(ValueError, match="three channels"):
            tfviz.adapt(build_toy(channels=1), "caffe")


class TestLabels:
    def test_imagenet_classes_have_names_identifiers_and_indices(self, squeezenet):
        for text in ("goldfish", "GoldFish", "n01443537", "1", 1):
            assert squeezenet.class_index(text) == 1
        assert squeezenet.class_index("acoustic guitar") == 402
        assert squeezenet.class_index("Black-and-tan_coonhound") == 165

    def test_ambiguous_names_list_the_candidates(self, squeezenet):
        with pytest.raises(ValueError, match=r"134 \(n02012849\), 517 \(n03126707\)"):
            squeezenet.class_index("crane")

    def test_unknown_names_list_close_ones(self, squeezenet):
        with pytest.raises(ValueError, match="Did you mean 'goldfish'"):
            squeezenet.class_index("goldfsh")

    @pytest.mark.parametrize(
        "text",
        [
            "n01440764 tench\nn01443537 gold fish\n",
            '[["n01440764", "tench"], ["n01443537", "gold fish"]]',
            '{"1": ["n01443537", "gold fish"], "0": ["n01440764", "tench"]}',
        ],
    )
    def test_files_are_read(self, text, tmp_path):
        (tmp_path / "labels").write_text(text)
        model = with_head(lambda x: layers.Dense(2)(x))
        adapter = tfviz.adapt(model, (0, 1), labels=tmp_path / "labels")

        assert adapter.class_index("gold_fish") == 1
        assert adapter.class_index("n01440764") == 0

    def test_plain_names_are_read(self, tmp_path):
        (tmp_path / "labels").write_text("cat\n\nguinea pig\n")
        model = with_head(lambda x: layers.Dense(2)(x))
        adapter = tfviz.adapt(model, (0, 1), labels=tmp_path / "labels")

        assert adapter.class_index("Guinea_Pig") == 1

    def test_a_number_of_names_that_does_not_fit_is_refused(self):
        model = with_head(lambda x: layers.Dense(2)(x))
        with pytest.raises(ValueError, match=r"3 class names, but .* has 2"):
            tfviz.adapt(model, (0, 1), labels=["a", "b", "c"])

    def test_bad_files_are_refused(self, tmp_path):
        (tmp_path / "labels").write_text("[1, 2")
        with pytest.raises(ValueError, match="cannot be read as class names"):
            tfviz.adapt(functional(), (0, 1), labels=tmp_path / "labels")

    def test_without_names_an_index_is_required(self):
        adapter = tfviz.adapt(functional(), (0, 1))
        with pytest.raises(ValueError, match="index from 0 to 2"):
            adapter.class_index("goldfish")


class TestModelsThatAreRefused:
    def refuse(self, model, message):
        with pytest.raises(ValueError, match=message):
            tfviz.adapt(model, (0, 1))

    def test_without_image_input(self):
        model = keras.Sequential([keras.Input((10,)), layers.Dense(2)], name="table")
        self.refuse(model, r"'table' takes no images: .*\(None, 10\)")

    def test_of_several_inputs(self):
        a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
        self.refuse(keras.Model([a, b], layers.Add()([a, b])), "2 inputs")

    def test_that_were_never_called(self):
        self.refuse(Subclassed(), "is not defined yet. Call the model once")

    def test_with_nan_in_the_weights(self):
        model = functional()
        weights = model.get_weights()
        weights[2][0, 1] = np.nan
        model.set_weights(weights)
        self.refuse(model, "Weight 'head/kernel' .* holds NaN")

    def test_that_are_rematerialized(self):
        with keras.RematScope(mode="full"):
            model = functional()
        self.refuse(model, "rematerialized")

    def test_that_are_quantized(self):
        model = functional()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.quantize("int8")
        self.refuse(model, "quantized")

    def test_that_are_not_models(self):
        with pytest.raises(
            TypeError, match="Received: str. Load it first: tfviz.load_model"
        ):
            tfviz.adapt("squeezenet.keras")
        with pytest.raises(TypeError, match="loaded with load_model. Received: "):
            tfviz.adapt(Subclassed)  # the class, not a model of it

    def test_several_outputs_have_layers_but_no_logits(self, images):
        inputs = keras.Input((16, 16, 3))
        x = convolution("conv")(inputs)
        model = keras.Model(inputs, [x, layers.GlobalAveragePooling2D()(x)])
        adapter = tfviz.adapt(model, (0, 1))

        assert adapter(images, "conv")["conv"].shape == (2, 16, 16, 4)
        with pytest.raises(ValueError, match="several outputs: .*Select the one"):
            adapter.logits(images)


class TestWithModel:
    def test_all_options_are_kept(self):
        def build():
            inputs = [
                keras.Input((16, 16, 3), name="first"),
                keras.Input((16, 16, 3), name="second"),
                keras.Input((2,), name="meta"),
            ]
            x = layers.GlobalAveragePooling2D()(layers.Concatenate()(inputs[:2]))
            x = layers.Concatenate()([x, inputs[2]])
            outputs = {
                name: layers.Dense(3, name=name)(x) for name in ("other", "classes")
            }
            return keras.Model(inputs, outputs, name="many")

        options = {
            "labels": ["a", "b", "c"],
            "held": {"meta": [0.5, 2], "first": 0.25},
            "image_input": "second",
            "output": "classes",
        }
        model, other = build(), build()
        adapter = tfviz.adapt(model, (-1, 1), **options)
        changed = adapter.with_model(other)
        expected = tfviz.adapt(other, (-1, 1), **options)

        assert adapter.model is model
        assert changed.model is other
        for name in ("preprocess", "labels", "held", "image_input", "output"):
            assert getattr(changed, name) == getattr(adapter, name), name
        assert changed.fingerprint() != adapter.fingerprint()
        picture = np.full((1, 16, 16, 3), 0.7, np.float32)
        np.testing.assert_array_equal(changed.logits(picture), expected.logits(picture))
        assert np.abs(changed.logits(picture) - adapter.logits(picture)).max() > 0.01

    def test_defaults_are_kept(self):
        changed = tfviz.adapt(functional(), (0, 1)).with_model(functional())
        assert (changed.held, changed.labels) == ({}, None)
        assert (changed.image_input, changed.output) == (None, None)

    def test_a_custom_preprocessing_is_kept(self):
        adapter = tfviz.adapt(functional(), lambda images: images / 2)
        changed = adapter.with_model(functional())
        assert changed.preprocess is adapter.preprocess

    def test_models_that_do_not_fit_are_refused(self, toy_adapter):
        with pytest.raises(ValueError, match=r"5 class names, but .* has 3"):
            toy_adapter.with_model(functional())
        with pytest.raises(TypeError, match="needs a Keras model"):
            toy_adapter.with_model("toy.keras")


def test_the_provenance_has_the_model_the_options_and_the_versions():
    adapter = tfviz.adapt(functional(), (-1, 1))
    described = json.loads(json.dumps(provenance(adapter)))

    assert described["model"] == {
        "name": adapter.name,
        "source": None,
        "hash": adapter.fingerprint(),
    }
    assert described["preprocess"] == "-1,1"
    assert described["logits"] == adapter.logits_source
    assert (described["held"], described["image_input"]) == ({}, None)
    assert described["versions"]["tensorflow"] == tf.__version__
    assert described["tfviz"] == tfviz.__version__


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(RuntimeError, match="channels last"):
            tfviz.adapt(functional(), (0, 1))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_the_fingerprint_is_that_of_the_weights():
    first, second = tfviz.adapt(build_toy(), (0, 1)), tfviz.adapt(build_toy(), (0, 1))
    assert first.fingerprint() == second.fingerprint()

    other = build_toy()
    other.layers[0].bias.assign_add([1e-3] * 8)
    assert tfviz.adapt(other, (0, 1)).fingerprint() != first.fingerprint()
