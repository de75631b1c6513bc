import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support import build_toy

import tfviz
from tfviz import params, transforms
from tfviz.models.saved_model import load_saved_model

SIZE = (16, 20)  # neither odd sizes nor squares must be special


def weights(*shape, seed=0):
    values = np.random.default_rng(seed).normal(0, 0.4, shape)
    return tf.Variable(values.astype(np.float32))


class Net(tf.Module):
    """A convolution with stride 2, a rectifier, the mean, and five classes."""

    def __init__(self, channels=3):
        super().__init__()
        self.kernel = weights(3, 3, channels, 4)
        self.bias = weights(4, seed=1)
        self.dense = weights(4, 5, seed=2)

    def features(self, x):
        convolved = tf.nn.conv2d(x, self.kernel, 2, "SAME", name="conv")
        return tf.nn.relu(tf.nn.bias_add(convolved, self.bias, name="sum"), name="act")

    def logits(self, x):
        return tf.reduce_mean(self.features(x), [1, 2], name="pool") @ self.dense

    def probabilities(self, x):
        return tf.nn.softmax(self.logits(x))


def saved(folder, function, shape=(None, *SIZE, 3), dtype=tf.float32, net=None):
    """Save one function as the usual signature."""
    net = net or Net()
    spec = tf.TensorSpec(shape, dtype, name="images")
    traced = tf.function(lambda images: function(net, images), input_signature=[spec])
    tf.saved_model.save(net, str(folder), signatures=traced)
    return folder


@pytest.fixture(scope="module")
def net():
    return Net()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("saved") / "net", Net.probabilities)


@pytest.fixture(scope="module")
def adapter(folder):
    return tfviz.adapt(tfviz.load_model(folder), (-1, 1))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SIZE, 3)).astype(np.float32)


def close(found, expected, atol=1e-5, rtol=1e-5):
    np.testing.assert_allclose(found, expected, rtol, atol)


def check_gradient(adapter, images, unit=1):
    """Compare the gradient of a logit with a difference along it."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = adapter.logits(images)[:, unit]
    gradient = tape.gradient(scores, images).numpy()
    assert np.isfinite(gradient).all()
    norm = np.linalg.norm(gradient)
    step = 0.02 * gradient / norm
    above, below = (
        adapter.logits(images + sign * step).numpy()[:, unit].sum(dtype=np.float64)
        for sign in (1, -1)
    )
    assert norm > 0
    close((above - below) / 0.04, norm, rtol=0.02)


class TestGraph:
    def test_activations_are_those_of_the_function(self, adapter, net, images):
        inputs = images * 2 - 1
        found = adapter(images, ["act", "sum", "pool"])

        close(found["act"], net.features(inputs))
        np.testing.assert_array_equal(found["act"], np.maximum(found["sum"], 0))
        close(found["pool"], found["act"].numpy().mean((1, 2)), atol=1e-5)
        close(adapter.logits(images), net.logits(inputs), atol=1e-5)
        close(adapter.probabilities(images), net.probabilities(inputs), atol=1e-5)

    def test_operations_that_change_values_are_listed(self, adapter):
        assert [(x.path, x.kind, x.shape) for x in adapter.layers()] == [
            ("conv", "Conv2D", (None, 8, 10, 4)),
            ("sum", "BiasAdd", (None, 8, 10, 4)),
            ("act", "Relu", (None, 8, 10, 4)),
            ("pool", "Mean", (None, 4)),
            ("matmul", "MatMul", (None, 5)),
            ("Softmax", "Softmax", (None, 5)),
        ]
        assert adapter.classes == 5
        assert adapter.input_size == SIZE
        assert adapter.name == "net"
        assert adapter.logits_source == "what goes into the softmax of 'Softmax'"

    def test_other_operations_have_paths(self, adapter, images):
        """Operations that only pass on values are not listed."""
        assert adapter.layer("Identity").shape == (None, 5)
        np.testing.assert_array_equal(
            adapter(images, "Identity")["Identity"], adapter.probabilities(images)
        )
        with pytest.raises(ValueError, match="no layer 'acc'. Did you mean 'act'"):
            adapter.layer("acc")

    def test_an_image_does_not_depend_on_its_neighbours(self, adapter, images):
        together = adapter(images, "act")["act"]

        close(together[1:2], adapter(images[1:2], "act")["act"], atol=1e-6)

    def test_gradients_are_those_of_finite_differences(self, adapter, images):
        check_gradient(adapter, images)

    def test_weights_are_the_variables(self, folder, net, adapter):
        shapes = {tuple(w.shape) for w in adapter.model.weights}

        assert shapes == {(3, 3, 3, 4), (4,), (4, 5)}
        again = tfviz.adapt(tfviz.load_model(folder), (-1, 1))
        assert again.fingerprint() == adapter.fingerprint()

    def test_other_weights_have_another_fingerprint(self, adapter, tmp_path):
        net = Net()
        net.bias.assign_add([0, 0, 0, 0.1])
        other = load_saved_model(saved(tmp_path / "net", Net.probabilities, net=net))

        assert tfviz.adapt(other, (-1, 1)).fingerprint() != adapter.fingerprint()

    def test_weights_that_are_no_numbers_are_refused(self, tmp_path):
        net = Net()
        net.bias.assign([0, np.nan, 0, 0])
        module = tfviz.load_model(saved(tmp_path / "net", Net.logits, net=net))
        with pytest.raises(ValueError, match="of model 'net' holds NaN"):
            tfviz.adapt(module, (-1, 1))

    def test_a_keras_model_and_its_export_are_the_same(self, tmp_path):
        model = build_toy()
        model.export(tmp_path / "toy", verbose=False)
        exported = tfviz.adapt(tfviz.load_model(tmp_path / "toy"), (-1, 1))
        small = params.fourier(32, 32)
        path = next(x.path for x in exported.layers() if "conv_b" in x.path)
        assert path.startswith("toy")
        rectified = next(
            x.path for x in exported.layers() if "conv_b" in x.path and x.kind == "Relu"
        )
        start = np.random.default_rng(0).uniform(size=(32, 32, 3))
        made = [
            tfviz.render(adapter, unit, small, transforms.none(), steps=1, start=start)
            for adapter, unit in (
                (tfviz.adapt(model, (-1, 1)), "conv_b:3"),
                (exported, f"{rectified}:3"),
            )
        ]

        close(made[0].history, made[1].history, rtol=1e-5)
        close(made[0].images, made[1].images, atol=1.5 / 255)
        close(made[0].scores, made[1].scores, rtol=1e-3)

    @pytest.mark.slow
    def test_a_picture_of_a_channel_rises(self, adapter):
        result = tfviz.render(
            adapter, ["act:0-3", "logit:2"], params.fourier(*SIZE), steps=32
        )

        assert not result.stuck.any()
        assert (result.scores[:4] > result.history[0, :4] + 0.05).all()


class TestDeadStart:
    """A dead unit has no gradient, in a graph as in a layer."""

    @pytest.mark.parametrize("rectifier", [tf.nn.relu, tf.nn.relu6])
    def test_a_dead_unit_is_revived(self, rectifier, tmp_path):
        net = Net()
        mean = tf.reduce_mean(net.kernel, (0, 1, 2), keepdims=True)
        net.kernel.assign(net.kernel - mean)  # responds to grey with its bias alone
        net.bias.assign([-0.3] * 4)

        def function(net, x):
            x = tf.nn.conv2d(x, net.kernel, 1, "VALID") + net.bias
            return tf.reduce_mean(rectifier(x, name="act"), [1, 2])

        module = load_saved_model(saved(tmp_path / "net", function, net=net))
        result = tfviz.render(
            tfviz.adapt(module, (-1, 1)),
            "act:0-3",
            params.pixels(*SIZE),
            transforms.none(),
            steps=60,
        )

        assert (result.history[0] == 0).all()
        assert not result.stuck.any()
        assert (result.scores > 0.05).all()


class TestInput:
    def test_any_size_where_the_signature_leaves_it_open(self, net, tmp_path, rng):
        shape = (None, None, None, 3)
        folder = saved(tmp_path / "net", Net.probabilities, shape)
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))
        images = rng.uniform(size=(2, 9, 23, 3)).astype(np.float32)

        assert adapter.input_size is None
        assert adapter.layer("act", (9, 23)).shape == (None, 5, 12, 4)
        close(adapter.logits(images), net.logits(images), atol=1e-5)
        check_gradient(adapter, images)

    def test_a_fixed_number_of_images_becomes_any(self, tmp_path, images):
        def function(net, x):
            x = tf.reshape(net.features(x), [1, -1])
            x = tf.reduce_mean(tf.reshape(x, [1, 80, 4]), 1)
            return tf.reshape(x, [1, 4]) @ net.dense

        folder = saved(tmp_path / "one", function, (1, *SIZE, 3))
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))

        close(adapter.logits(images), Net().logits(images), atol=1e-5)
        check_gradient(adapter, images)

    def test_four_images_become_any(self, tmp_path, images):
        folder = saved(tmp_path / "four", Net.logits, (4, *SIZE, 3))
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))

        close(adapter.logits(images), Net().logits(images), atol=1e-5)

    def test_a_graph_that_would_mix_images_is_refused(self, tmp_path):
        def function(net, x):
            return tf.reduce_mean(net.features(x), [0, 1, 2])[None] @ net.dense

        folder = saved(tmp_path / "one", function, (1, *SIZE, 3))
        with pytest.raises(ValueError, match=r"a batch size of 1.*would be mixed"):
            tfviz.load_model(folder)

    def test_images_replace_the_cast_of_bytes(self, tmp_path, images):
        def function(net, x):
            return net.logits(tf.cast(x, tf.float32) / 127.5 - 1)

        folder = saved(tmp_path / "net", function, dtype=tf.uint8)
        adapter = tfviz.adapt(tfviz.load_model(folder))

        assert adapter.preprocess.name == "0,255"
        close(adapter.logits(images), Net().logits(images * 2 - 1), atol=1e-4)
        check_gradient(adapter, images)

    def test_an_input_of_bytes_defines_the_range(self, tmp_path):
        folder = saved(
            tmp_path / "net",
            lambda net, x: net.logits(tf.image.rgb_to_yiq(tf.cast(x, tf.float32))),
            dtype=tf.uint8,
        )
        found = load_saved_model(folder).detected_preprocess
        assert str(found) == "0,255 (the module takes bytes)"

    def test_half_precision(self, tmp_path, images):
        def function(net, x):
            return net.logits(tf.cast(x, tf.float32))

        folder = saved(tmp_path / "net", function, dtype=tf.float16)
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))
        close(adapter.logits(images), Net().logits(images), atol=2e-3)

    def test_grey_images(self, tmp_path, rng):
        net = Net(channels=1)
        shape = (None, *SIZE, 1)
        folder = saved(tmp_path / "net", Net.logits, shape, net=net)
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))
        images = rng.uniform(size=(2, *SIZE, 1)).astype(np.float32)

        assert adapter.channels == 1
        close(adapter.logits(images), net.logits(images), atol=1e-5)

    @pytest.mark.parametrize(
        ("shape", "dtype", "message"),
        [
            ((None, 10), tf.float32, r"Its inputs: images float32 \(None, 10\)"),
            ((None,), tf.string, r"Its inputs: images string \(None,\)"),
            ((None, 3, 32, 40), tf.float32, "channels first"),
        ],
    )
    def test_modules_that_take_no_images_are_refused(
        self, shape, dtype, message, tmp_path
    ):
        def function(net, x):
            if dtype == tf.string:
                x = tf.map_fn(tf.strings.to_number, x, fn_output_signature=tf.float32)
            return tf.reduce_mean(x) + net.bias

        folder = saved(tmp_path / "net", function, shape, dtype)
        with pytest.raises(ValueError, match=message):
            tfviz.load_model(folder)


class TestRange:
    """The first arithmetic of a graph reveals the range of its input."""

    @pytest.mark.parametrize(
        ("before", "found"),
        [
            (lambda x: x / 255, "0,255"),
            (lambda x: x * (1 / 127.5) - 1, "0,255"),
            (lambda x: (x - 127.5) / 127.5, "0,255"),
            (lambda x: x - [123.68, 116.779, 103.939], "0,255"),
            (lambda x: 2 * x - 1, "0,1"),
            (lambda x: (x - 0.5) * 2, "0,1"),
            (lambda x: (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], "0,1"),
            (lambda x: tf.image.resize(x, (8, 8)) / 255, "0,255"),
            (lambda x: x, None),
            (lambda x: (x + 1) / 2, None),  # takes [-1, 1]
            (lambda x: 1 - x, None),
            (lambda x: 0.3 * x, None),
            (lambda x: x * tf.reduce_mean(x), None),
            (lambda x: tf.concat([x[..., :1] / 255, x[..., 1:] / 9], -1), None),
        ],
    )
    def test_range(self, before, found, tmp_path):
        folder = saved(tmp_path / "net", lambda net, x: net.logits(before(x)))
        detected = load_saved_model(folder).detected_preprocess

        assert (detected.name if detected else None) == found

    def test_its_source_is_described(self, tmp_path):
        folder = saved(tmp_path / "net", lambda net, x: net.logits(x / 127.5 - 1))
        adapter = tfviz.adapt(tfviz.load_model(folder))

        assert str(adapter.preprocess) == (
            "0,255 (the graph computes 0.00784314 * input -1 at sub)"
        )

    def test_an_undetected_range_is_warned_of(self, folder):
        with pytest.warns(UserWarning, match="Input range unknown; assuming 0,1"):
            tfviz.adapt(tfviz.load_model(folder))


class TestFunctions:
    """One function of a SavedModel is selected."""

    @pytest.fixture(scope="class")
    def several(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("several") / "net"
        net = Net()
        spec = [tf.TensorSpec((None, *SIZE, 3))]
        signatures = {
            "classify": tf.function(lambda x: net.probabilities(x), spec),
            "embed": tf.function(
                lambda x: {
                    "map": net.features(x),
                    "mean": tf.reduce_mean(net.features(x), [1, 2]),
                    "best": tf.argmax(net.logits(x), axis=1),
                },
                spec,
            ),
            "rank": tf.function(
                lambda x: {"p": net.probabilities(x), "i": tf.argmax(net.logits(x), 1)},
                spec,
            ),
        }
        tf.saved_model.save(net, str(folder), signatures=signatures)
        return folder

    def test_one_of_several_must_be_selected(self, several):
        with pytest.raises(
            ValueError,
            match=r"several signatures. Its signatures: classify, embed, rank. .*"
            r"net\?signature=classify",
        ):
            tfviz.load_model(several)
        with pytest.raises(ValueError, match="no 'clasify'. Its signatures: classify"):
            tfviz.load_model(f"{several}?signature=clasify")

    def test_the_only_one_that_takes_images_is_taken(self, tmp_path):
        net = Net()
        of_files = tf.function(
            lambda x: net.probabilities(tf.io.decode_jpeg(x, 3)[None] / 255),
            [tf.TensorSpec((), tf.string)],
        )
        of_images = tf.function(
            lambda x: net.logits(x), [tf.TensorSpec((None, *SIZE, 3))]
        )
        signatures = {"serving_default": of_files, "images": of_images}
        tf.saved_model.save(net, str(tmp_path / "net"), signatures=signatures)
        tf.saved_model.save(net, str(tmp_path / "files"), signatures=of_files)

        assert tfviz.load_model(tmp_path / "net").input_shape == (None, *SIZE, 3)
        with pytest.raises(ValueError, match="x string .*not as encoded files"):
            tfviz.load_model(tmp_path / "files")

    def test_it_is_selected_by_name(self, several):
        adapter = tfviz.adapt(tfviz.load_model(f"{several}?signature=classify"), (0, 1))
        assert adapter.classes == 5

    def test_the_only_output_with_a_gradient_is_the_output(self, several):
        adapter = tfviz.adapt(tfviz.load_model(f"{several}?signature=rank"), (0, 1))
        assert adapter.classes == 5

    def test_several_outputs_have_layers_but_no_logits(self, several):
        adapter = tfviz.adapt(tfviz.load_model(f"{several}?signature=embed"), (0, 1))
        result = tfviz.render(adapter, "act:1", params.fourier(*SIZE), steps=2)

        assert adapter.classes is None
        assert result.images.shape == (1, *SIZE, 3)

    def test_a_module_without_signatures_is_called(self, net, tmp_path, rng):
        """The function for inference is used, and of these the one for any size."""

        class Callable(Net):
            @tf.function
            def __call__(self, x, training=False):
                x = self.features(x)
                x = tf.nn.dropout(x, 0.9) if training else x
                return tf.reduce_mean(x, [1, 2]) @ self.dense

        module, call = Callable(), []
        for size, training in ((None, True), (32, False), (None, False)):
            spec = tf.TensorSpec((None, size, size, 3))
            call.append(module.__call__.get_concrete_function(spec, training=training))
        tf.saved_model.save(module, str(tmp_path / "net"))
        adapter = tfviz.adapt(tfviz.load_model(tmp_path / "net"), (0, 1))
        images = rng.uniform(size=(2, *SIZE, 3)).astype(np.float32)

        assert adapter.input_size is None
        close(adapter.logits(images), net.logits(images), atol=1e-5)

    def test_modules_without_float_outputs_are_refused(self, tmp_path):
        folder = saved(tmp_path / "net", lambda net, x: tf.argmax(net.logits(x), 1))
        with pytest.raises(ValueError, match="returns no floating-point numbers, so"):
            tfviz.load_model(folder)

    def test_a_module_without_functions_is_refused(self, tmp_path):
        tf.saved_model.save(Net(), str(tmp_path / "net"))
        with pytest.raises(ValueError, match="no signature, and no function"):
            tfviz.load_model(tmp_path / "net")

    @pytest.mark.parametrize("resource", [True, False])
    def test_modules_of_tensorflow_1(self, resource, net, tmp_path, images):
        """Two graphs, of which one trains; a switch; variables of both kinds."""
        values = {
            name: getattr(net, name).numpy() for name in ("kernel", "bias", "dense")
        }
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, (None, *SIZE, 3), "images")
            train = tf.compat.v1.placeholder(tf.bool, (), "train")
            kernel, bias, dense = (
                tf.compat.v1.get_variable(name, initializer=v, use_resource=resource)
                for name, v in values.items()
            )
            y = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME", name="conv"), bias)
            y = tf.reduce_mean(tf.nn.relu(y, name="act"), [1, 2])
            y *= tf.cond(train, lambda: 5.0, lambda: 1.0)
            out = tf.matmul(y, dense, name="out")
            session.run(tf.compat.v1.global_variables_initializer())
            describe = tf.compat.v1.saved_model.predict_signature_def
            signatures = {
                "default": describe({"images": x, "train": train}, {"default": out}),
                "features": describe({"images": x, "train": train}, {"a": y, "b": out}),
            }
            builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "one"))
            builder.add_meta_graph_and_variables(session, ["train"], signatures)
            builder.add_meta_graph([], signatures)
            builder.save()
        adapter = tfviz.adapt(tfviz.load_model(tmp_path / "one"), (0, 1))

        assert [x.path for x in adapter.layers()][:3] == ["conv", "BiasAdd", "act"]
        close(adapter.logits(images), net.logits(images), atol=1e-5)
        check_gradient(adapter, images)

    def test_models_of_keras_2(self, tmp_path, rng):
        """Their swish has a custom gradient that refers to its original graph."""
        layers = tf_keras.layers
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [
                tf_keras.Input((None, None, 3)),
                layers.Rescaling(1 / 127.5, -1),
                layers.Conv2D(4, 3, activation="swish", name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.Dropout(0.5),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, activation="softmax", name="head"),
            ],
            name="legacy",
        )
        model.save(tmp_path / "2", save_format="tf")
        adapter = tfviz.adapt(tfviz.load_model(tmp_path / "2"))
        images = rng.uniform(size=(2, 12, 15, 3)).astype(np.float32)

        assert adapter.name == tmp_path.name  # `2` is only a version
        assert adapter.preprocess.name == "0,255"
        close(adapter.logits(images), tfviz.adapt(model).logits(images), atol=1e-5)
        check_gradient(adapter, images)

    def test_an_axis_for_channels_is_asked_for(self, tmp_path):
        folder = saved(
            tmp_path / "net",
            lambda net, x: net.logits(tf.repeat(x[..., None], 3, -1)),
            (None, *SIZE),
        )
        message = r"without an axis for channels: .*takes \(None, 16, 20, 1\)"
        with pytest.raises(ValueError, match=message):
            tfviz.load_model(folder)

    def test_conditions_and_loops(self, tmp_path, images):
        def function(net, x):
            x = net.features(x)
            x = tf.cond(tf.reduce_mean(x) > 0, lambda: x * 2, lambda: x)
            _, x = tf.while_loop(
                lambda i, _: i < 3, lambda i, x: (i + 1, x * 1.5), [tf.constant(0), x]
            )
            return tf.reduce_mean(x, [1, 2]) @ net.dense

        folder = saved(tmp_path / "net", function)
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))

        close(adapter.logits(images), Net().logits(images) * 2 * 1.5**3, atol=1e-4)
        check_gradient(adapter, images)

    def test_a_damaged_folder_raises_an_error(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "net")
        (tmp_path / "net" / "variables" / "variables.index").unlink()
        with pytest.raises(ValueError, match="cannot be loaded as a SavedModel: "):
            tfviz.load_model(tmp_path / "net")
        (tmp_path / "net" / "saved_model.pb").write_bytes(b"no graph")
        with pytest.raises(ValueError, match="cannot be loaded as a SavedModel: "):
            tfviz.load_model(tmp_path / "net")


def test_a_module_as_tensorflow_loads_it_is_explained(folder):
    with pytest.raises(TypeError, match="a module loaded with load_model"):
        tfviz.adapt(tf.saved_model.load(str(folder)))


class TestAugmentation:
    """Layers of augmentation, whose seeds the graph advances."""

    @staticmethod
    def build(*augmentation):
        keras.utils.set_random_seed(1)
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((*SIZE, 3)),
                *augmentation,
                layers.Dropout(0.5),
                layers.Conv2D(4, 3, activation="relu", name="conv"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, activation="softmax", name="head"),
            ],
            name="augmented",
        )

    @pytest.fixture(scope="class")
    def model(self):
        layers = keras.layers
        return self.build(
            layers.RandomFlip(),
            layers.RandomRotation(0.2),
            layers.RandomZoom(0.2),
            layers.RandomContrast(0.2),
        )

    @pytest.mark.parametrize(
        "writer", ["archive", pytest.param("tf", marks=pytest.mark.slow)]
    )
    def test_without_training_images_pass_unchanged(
        self, model, writer, tmp_path, images
    ):
        spec = [tf.TensorSpec((None, *SIZE, 3))]
        if writer == "archive":
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serve", lambda x: model(x, training=False), spec)
            archive.write_out(tmp_path / "net", verbose=False)
        else:
            module = tf.Module()
            module.model = model
            module.seeds = [
                layer.generator.state.value
                for layer in model.layers
                if getattr(layer, "generator", None)
            ]
            traced = tf.function(lambda x: model(x, training=False), spec)
            tf.saved_model.save(module, str(tmp_path / "net"), signatures=traced)
        adapter = tfviz.adapt(tfviz.load_model(tmp_path / "net"), (0, 1))
        close(adapter.probabilities(images), model(images, training=False), atol=1e-5)
        options = {"transforms": transforms.none(), "steps": 3}
        result = tfviz.render(adapter, "logit:1", params.fourier(*SIZE), **options)
        assert result.scores[0] > result.history[0, 0]

    @pytest.mark.parametrize(
        "layer",
        [
            lambda: keras.layers.RandomFlip(),
            lambda: keras.layers.RandomRotation(0.2),
            *(
                pytest.param(layer, marks=pytest.mark.slow)
                for layer in (
                    lambda: keras.layers.RandomZoom(0.2),
                    lambda: keras.layers.RandomTranslation(0.2, 0.2),
                    lambda: keras.layers.RandomBrightness(0.2, value_range=(0, 1)),
                )
            ),
        ],
    )
    def test_at_work_it_is_held_in_its_middle(self, layer, tmp_path, images):
        """`model.export` leaves it at work. All images get the same."""
        model = self.build(layer())
        model.export(tmp_path / "net", verbose=False)
        with pytest.warns(UserWarning, match="random augmentation at work. The middle"):
            module = tfviz.load_model(tmp_path / "net")
        adapter = tfviz.adapt(module, (0, 1))
        expected = model(images, training=False)

        close(adapter.probabilities(images), expected, atol=1e-3)
        close(adapter.probabilities(images[::-1]), expected[::-1], atol=1e-3)

    def test_moving_averages_are_not_written_to(self, tmp_path, images):
        net = Net()
        net.mean = tf.Variable(tf.zeros(()), name="mean")

        def function(net, x):
            net.mean.assign_add(tf.reduce_mean(x))
            return net.logits(x) - 0.5

        folder = saved(tmp_path / "net", function, net=net)
        adapter = tfviz.adapt(tfviz.load_model(folder), (0, 1))

        close(adapter.logits(images), net.logits(images) - 0.5, atol=1e-5)
