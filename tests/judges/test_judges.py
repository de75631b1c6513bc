import io
import json
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tfviz
from support import build_toy
from scipy.special import log_softmax, softmax
from tfviz.judges import _base
from tfviz._errors import speaking
from tfviz import images, judges
from tfviz.judges._litert import Network

layers = keras.layers


def pictures(n=3, height=41, width=30, channels=3):
    shape = (n, height, width, channels)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def resized(images, size=32):
    """Resize as TensorFlow does, with a filter."""
    return tf.image.resize(images, (size, size), antialias=True)


def model_of(outputs, inputs):
    return keras.Model(inputs, outputs, name="net")


def converted(model, batch=1, size=32, quantized=None):
    """Return a model as the content of a `.tflite` file."""
    weights = model.get_weights()
    model = keras.models.clone_model(model)  # calls would change a Sequential
    model.set_weights(weights)
    channels, dtype = model.inputs[0].shape[-1], model.inputs[0].dtype
    image = keras.Input((size, size, channels), batch_size=batch, dtype=dtype)
    converter = tf.lite.TFLiteConverter.from_keras_model(
        keras.Model(image, model(image))
    )
    if quantized:
        samples = 2 * pictures(20, size, size, channels) - 1
        samples[0, 0, 0, 0], samples[0, 0, 1, 0] = -1, 1  # the ends of the range
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([s[None]] for s in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = quantized
        converter.inference_output_type = quantized
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        return converter.convert()


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
    """Return a function that writes a model to a file, once for each name."""
    folder = tmp_path_factory.mktemp("tflite")

    def write(name, model, **options):
        path = folder / f"{name}.tflite"
        if not path.exists():
            path.write_bytes(converted(model, **options))
        return path

    return write


@pytest.fixture(scope="module")
def toy_file(toy, file_of):
    return file_of("toy", toy)


@pytest.fixture(scope="module")
def toy_judge(toy):
    return judges.keras(toy, preprocess=(-1, 1))


def conv_head():
    """Classes by a convolution and a mean over positions, as in SqueezeNet."""
    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, 4, activation="relu", name="last")(image)
    x = layers.Conv2D(5, 1, name="classes")(x)
    return model_of(layers.GlobalAveragePooling2D(name="mean")(x), image)


def nested_head():
    body = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(6, 3, 4, name="conv"),
            layers.GlobalAveragePooling2D(name="pool"),
        ],
        name="body",
    )
    head = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, name="wide"), layers.Dense(2, "softmax")],
        name="head",
    )
    image = keras.Input((32, 32, 3))
    return model_of(head(body(image)), image)


def embedding(normed=False):
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, 4, name="conv")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return model_of(layers.UnitNormalization()(x) if normed else x, image)


def segmentation():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, 2, name="conv")(image)
    return model_of(layers.Conv2D(2, 1, activation="softmax", name="map")(x), image)


class TestKeras:
    def test_scores_are_those_before_the_softmax(self, toy, toy_judge):
        found = toy_judge.scores(pictures())

        expected = np.log(toy(resized(pictures()) * 2 - 1))
        assert found.dtype == np.float32
        assert found.shape == (3, 5)
        assert toy_judge.classes == 5
        np.testing.assert_allclose(log_softmax(found, axis=1), expected, atol=1e-5)

    def test_features_are_what_the_classes_are_computed_from(self, toy, toy_judge):
        found = toy_judge.features(pictures())

        kernel, bias = toy.get_layer("head").get_weights()
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found @ kernel + bias, toy_judge.scores(pictures()), atol=1e-5
        )

    @pytest.mark.parametrize(
        ("build", "path"), [(conv_head, "last"), (nested_head, "head/wide")]
    )
    def test_features_come_from_before_any_kind_of_head(self, build, path):
        judge = judges.keras(build(), preprocess=(0, 1))

        assert judge.spec["features"] == path
        assert judge.features(pictures()).shape == (3, {"last": 6}.get(path, 4))

    def test_a_named_layer_is_averaged_over_its_positions(self, toy, toy_adapter):
        judge = judges.keras(toy_adapter, features="conv_b")

        expected = toy_adapter(resized(pictures()), "conv_b")["conv_b"]
        np.testing.assert_allclose(
            judge.features(pictures()), np.mean(expected, axis=(1, 2)), atol=1e-6
        )
        with pytest.raises(ValueError, match="no layer 'conv_c'. Did you mean 'conv_"):
            judges.keras(toy_adapter, features="conv_c")

    @pytest.mark.parametrize("size", [(32, 32), (7, 50), (33, 31)])
    def test_a_picture_is_evaluated_independently_of_the_batch(
        self, toy_judge, size, monkeypatch
    ):
        monkeypatch.setattr(_base, "BATCH", 2)
        many = pictures(5, *size)
        for judging in (toy_judge.scores, toy_judge.features):
            alone = np.concatenate([judging(many[i : i + 1]) for i in range(5)])
            np.testing.assert_allclose(judging(many), alone, atol=1e-6)
            assert np.ptp(alone, axis=0).max() > 1e-3
            np.testing.assert_array_equal(judging(many), judging(many))

    def test_a_model_of_any_size_gets_the_usual_one(self):
        image = keras.Input((None, None, 1))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(image))
        judge = judges.keras(model_of(layers.Dense(2)(x), image), preprocess=(0, 1))

        assert judge.spec["size"] == [224, 224]
        grey = pictures(2, 30, 41, 1)
        larger = tf.image.resize(grey, (224, 224))
        np.testing.assert_allclose(judge.scores(grey), judge.scores(larger), atol=1e-6)

    def test_a_model_of_maps_has_features_but_no_classes(self):
        with pytest.raises(ValueError, match="'net' returns no vector of classes"):
            judges.keras(segmentation(), preprocess=(0, 1))
        judge = judges.keras(segmentation(), preprocess=(0, 1), features="conv")

        assert judge.scores is judge.classes is judge.spec["scores"] is None
        assert judge.features(pictures()).shape == (3, 6)

    def test_a_model_of_several_outputs_has_no_classes(self, toy):
        image = keras.Input((32, 32, 3))
        model = keras.Model(image, [keras.models.clone_model(toy)(image), image])
        with pytest.raises(ValueError, match="returns no vector of classes"):
            judges.keras(model, preprocess=(-1, 1))
        adapter = tfviz.adapt(model, (-1, 1), output=0)
        assert judges.keras(adapter).scores(pictures()).shape == (3, 5)

    def test_it_may_be_used_for_features_only(self, toy, toy_judge):
        judge = judges.keras(toy, preprocess=(-1, 1), features_only=True)

        assert judge.scores is judge.classes is None
        expected = toy_judge.features(pictures())
        np.testing.assert_array_equal(judge.features(pictures()), expected)

    def test_a_model_of_one_layer_has_no_features(self):
        image = keras.Input((8, 8, 3))
        pool = layers.GlobalAveragePooling2D()(image)
        judge = judges.keras(model_of(pool, image), preprocess=(0, 1))
        assert judge.features is judge.spec["features"] is None
        assert judge.scores(pictures()).shape == (3, 3)

    def test_its_description_is_json(self, toy_judge, toy_adapter):
        assert toy_judge.name == "toy"
        assert json.loads(json.dumps(toy_judge.spec)) == {
            "kind": "keras",
            "source": None,
            "hash": toy_adapter.fingerprint(),
            "preprocess": "-1,1",
            "size": [32, 32],
            "scores": "what goes into the softmax of 'head'",
            "features": "pool",
            "outputs": 5,
            "labels": "0 to 4",
        }


class TestPictures:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (np.zeros((2, 9, 9, 3), np.uint8), r"floats in \[0, 1\].*to_floats.*uint8"),
            (pictures() * 2 - 1, r"floats in \[0, 1\].*Received: float32 from -0.99"),
            (pictures() * np.nan, "from nan"),
            (pictures()[0], r"\(n, height, width, 3\). Received: \(41, 30, 3\)"),
            (pictures(channels=1), r"Received: \(3, 41, 30, 1\)"),
            (pictures()[:0], r"Received: \(0, 41, 30, 3\)"),
        ],
    )
    def test_arrays_that_are_not_pictures_are_refused(self, toy_judge, wrong, message):
        for judging in (toy_judge.scores, toy_judge.features):
            with pytest.raises(ValueError, match=f"Judge 'toy' takes.*{message}"):
                judging(wrong)


class TestLabels:
    def test_they_select_outputs_in_the_order_of_the_model(self, toy, toy_judge):
        judge = judges.keras(toy, preprocess=(-1, 1), labels=[4, 0, 2])

        expected = toy_judge.scores(pictures())[:, [4, 0, 2]]
        np.testing.assert_array_equal(judge.scores(pictures()), expected)
        assert judge.classes == 3
        assert judge.spec["outputs"] == 5
        assert json.loads(json.dumps(judge.spec))["labels"] == [4, 0, 2]

    @pytest.mark.parametrize("outputs", [1000, 1001, 1002])
    def test_of_1001_outputs_the_first_is_the_background(self, outputs):
        image = keras.Input((4, 4, 3))
        net = model_of(layers.Dense(outputs)(layers.Flatten()(image)), image)
        judge = judges.keras(net, preprocess=(0, 1))

        first = int(outputs == 1001)
        expected = net(pictures(2, 4, 4)).numpy()[:, first:]
        np.testing.assert_allclose(judge.scores(pictures(2, 4, 4)), expected, atol=1e-6)
        assert judge.classes == outputs - first
        assert judge.spec["labels"] == f"{first} to {outputs - 1}"

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, 5], "outputs 0 to 4. Received: `labels` from 0 to 5"),
            ([-1, 2], "from -1 to 2"),
            ([1, 1], "not name an output twice"),
            ([], r"list of outputs of the judge.*Received: \[\]"),
            (["ant", "bee"], "list of outputs.*Received: .'ant'"),
            ([0.0, 1.0], "list of outputs"),
            (3, "list of outputs.*Received: 3"),
        ],
    )
    def test_wrong_labels_are_refused(self, toy, labels, message):
        with pytest.raises(ValueError, match=message):
            judges.keras(toy, preprocess=(-1, 1), labels=labels)

    def test_an_unknown_range_is_not_that_of_the_visualized_model(self, toy):
        """`--preprocess` of `tfviz compare` is for that one."""
        message = r"Set it with tfviz.judges.load\(..., preprocess=\(0, 255\)\), or"
        with (
            speaking(lambda name, value: f"--{name}"),
            pytest.warns(UserWarning, match=message),
        ):
            judges.keras(toy)

    def test_labels_are_refused_for_features_only(self, toy):
        with pytest.raises(ValueError, match="'toy' is used for features only"):
            judges.keras(toy, preprocess=(-1, 1), labels=[1], features_only=True)

    def test_a_judge_of_other_classes_is_refused(self, toy, toy_judge):
        judges.check(toy_judge, 5)
        judges.check(toy_judge, None)
        message = (
            r"^Judge 'toy' has 5 classes, the model 1000. {} labels=\[...\][^\n]*$"
        )
        with pytest.raises(ValueError, match=message.format("Load it with")):
            judges.check(toy_judge, 1000)
        at_the_command_line = "In Python, compare with tfviz.judges.load.*,"
        with (
            speaking(lambda *_: None),
            pytest.raises(ValueError, match=message.format(at_the_command_line)),
        ):
            judges.check(toy_judge, 1000)
        judges.check(judges.keras(toy, preprocess=(-1, 1), features_only=True), 1000)


class TestTflite:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("toy", {}),
            ("any_batch", {"batch": None}),
            ("batch_of_eight", {"batch": 8}),
        ],
    )
    def test_a_file_agrees_with_the_model_it_was_made_from(
        self, file_of, toy, toy_judge, name, options
    ):
        judge = judges.tflite(file_of(name, toy, **options), preprocess=(-1, 1))

        assert judge.name == name
        assert judge.classes == 5
        for mine, its in (
            (judge.scores, toy_judge.scores),
            (judge.features, toy_judge.features),
        ):
            assert mine(pictures()).dtype == np.float32
            np.testing.assert_allclose(mine(pictures()), its(pictures()), atol=1e-6)

    def test_a_file_of_any_size_gets_the_usual_one(self, file_of):
        image = keras.Input((None, None, 1))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(image))
        model = model_of(layers.Dense(2, activation="softmax")(x), image)
        path = file_of("any_size", model, size=None)
        judge = judges.tflite(path, preprocess=(0, 255))

        assert judge.spec["size"] == [224, 224]
        np.testing.assert_allclose(
            judge.scores(pictures(channels=1)),
            judges.keras(model, preprocess=(0, 255)).scores(pictures(channels=1)),
            rtol=1e-4,
            atol=1e-3,
        )

    def test_features_of_a_head_of_convolutions_are_averaged(self, file_of):
        judge = judges.tflite(
            file_of("conv_head", conv_head()), preprocess=(0, 1), labels=range(5)
        )

        expected = judges.keras(conv_head(), preprocess=(0, 1))
        for mine, its in (
            (judge.scores, expected.scores),
            (judge.features, expected.features),
        ):
            np.testing.assert_allclose(mine(pictures()), its(pictures()), atol=1e-5)

    @pytest.mark.parametrize("size", [(32, 32), (7, 50), (97, 31)])
    def test_a_picture_is_evaluated_independently_of_the_batch(self, toy_file, size):
        first, second = (judges.tflite(toy_file, preprocess=(-1, 1)) for _ in range(2))
        many = pictures(3, *size)
        for place in ("scores", "features"):
            judging = getattr(first, place)
            alone = np.concatenate([judging(many[i : i + 1]) for i in (2, 0, 1)])
            np.testing.assert_array_equal(judging(many), alone[[1, 2, 0]])
            np.testing.assert_array_equal(judging(many), getattr(second, place)(many))
            assert np.ptp(alone, axis=0).max() > 1e-3

    def test_floats_need_a_range(self, toy_file):
        with pytest.raises(ValueError, match=r"toy.tflite' takes float32.*\(-1, 1\)"):
            judges.tflite(toy_file)

    def test_an_unidentified_vector_is_features(self, file_of):
        path = file_of("embedding", embedding(normed=True))
        judge = judges.tflite(path, preprocess=(0, 1))

        assert judge.scores is judge.classes is judge.spec["scores"] is None
        expected = embedding_values(path)
        np.testing.assert_allclose(judge.features(pictures()), expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)

        classes = judges.tflite(path, preprocess=(0, 1), labels=[5, 0])
        assert classes.classes == 2
        np.testing.assert_array_equal(classes.scores(pictures()), expected[:, [5, 0]])
        assert classes.features is None

    def test_a_file_may_return_both(self, file_of):
        toy = build_toy()
        early = layers.GlobalAveragePooling2D()(toy.get_layer("conv_a").output)
        whole = keras.ops.cast(toy.outputs[0], "int32")
        model = keras.Model(toy.inputs, [whole, early, *toy.outputs])
        judge = judges.tflite(file_of("both", model), preprocess=(-1, 1))

        expected = judges.keras(toy, preprocess=(-1, 1), features="conv_a")
        for mine, its in (
            (judge.scores, expected.scores),
            (judge.features, expected.features),
        ):
            np.testing.assert_allclose(mine(pictures()), its(pictures()), atol=1e-6)

    def test_it_may_be_used_for_features_only(self, toy_file, toy_judge):
        judge = judges.tflite(toy_file, preprocess=(-1, 1), features_only=True)

        assert judge.scores is judge.classes is None
        expected = toy_judge.features(pictures())
        np.testing.assert_allclose(judge.features(pictures()), expected, atol=1e-6)

    def test_its_description_is_json(self, toy_file):
        judge = judges.tflite(toy_file, name="mine", preprocess="tf", labels=[1, 2])
        spec = json.loads(json.dumps(judge.spec))

        assert judge.name == "mine"
        assert (len(spec.pop("hash")), spec.pop("scores")[-7:-1]) == (32, "MatMul")
        assert spec.pop("features").endswith("pool_1/Mean")
        assert spec == {
            "kind": "tflite",
            "source": "toy.tflite",
            "preprocess": "tf",
            "size": [32, 32],
            "outputs": 5,
            "labels": [1, 2],
        }


def embedding_values(path):
    """The outputs of the interpreter itself, one picture at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (asked,), (told,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    rows = []
    for picture in resized(pictures()):
        interpreter.set_tensor(asked["index"], picture[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(told["index"])[0])
    return np.array(rows)


class TestQuantized:
    @pytest.fixture(scope="class", params=["uint8", "int8"])
    def kind(self, request):
        return request.param

    @pytest.fixture(scope="class")
    def path(self, file_of, toy, kind):
        return file_of(kind, toy, quantized=getattr(tf, kind))

    def test_it_differs_from_the_model_by_a_few_steps(self, path, toy_judge):
        judge = judges.tflite(path)

        for mine, its in (
            (judge.scores, toy_judge.scores),
            (judge.features, toy_judge.features),
        ):
            expected = its(pictures(12))
            step = np.ptp(expected) / 100
            assert 0 < np.abs(mine(pictures(12)) - expected).max() < 4 * step

    def test_bytes_reach_the_network_as_they_are(self, path, kind):
        network = Network(path, None, labelled=False, features_only=False)
        ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)

        (found,) = network._quantize(images.to_floats(ramp))
        assert found.dtype == kind
        expected = ramp.astype(int) - (128 if kind == "int8" else 0)
        np.testing.assert_array_equal(found, expected)

    def test_a_given_range_has_priority(self, path):
        """Scale and zero point still define the byte of a number."""
        network = Network(path, (0, 0.5), labelled=False, features_only=False)
        scale, zero = network._input["quantization"]

        values = np.array([0, 0.1, 0.5, 1], np.float32).reshape(2, 2, 1)
        (found,) = network._quantize(values)
        expected = np.round(values * 0.5 / scale + zero)
        np.testing.assert_allclose(found, expected)
        low, high = map(float, judges.tflite(path).spec["preprocess"].split(","))
        assert (low, high) == pytest.approx((-1, 1), abs=0.01)

    def test_bytes_without_a_scale_are_their_own_values(self, file_of):
        image = keras.Input((32, 32, 3), dtype="uint8")
        x = layers.Rescaling(1 / 255)(image)
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, name="conv")(x))
        model = model_of(layers.Dense(4, activation="softmax")(x), image)
        judge = judges.tflite(file_of("bytes", model))

        exact = images.to_floats(images.to_bytes(pictures(2, 32, 32)))
        assert judge.spec["preprocess"] == "0,255"
        np.testing.assert_allclose(
            softmax(judge.scores(exact), axis=1),
            model(images.to_bytes(exact)),
            atol=1e-6,
        )


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is not a TensorFlow Lite model: its first bytes"),
            (
                b"\x89PNG\r\n\x1a\n" * 9,
                "is not a TensorFlow Lite model: its first bytes",
            ),
            (b"\x1c\0\0\0TFL3", "cannot be read as a TensorFlow Lite model: .*valid"),
        ],
    )
    def test_a_file_of_another_kind(self, tmp_path, content, message):
        path = tmp_path / "other.tflite"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"other.tflite' {message}"):
            judges.load(path)

    def test_a_file_cut_off(self, tmp_path, toy_file):
        content = toy_file.read_bytes()
        path = tmp_path / "cut.tflite"
        path.write_bytes(content[: len(content) // 3])
        with pytest.raises(ValueError, match="cannot be read as a TensorFlow Lite mod"):
            judges.tflite(path, preprocess=(-1, 1))

    def test_a_missing_file_gets_a_hint(self, toy_file, tmp_path):
        wrong = toy_file.with_name("toi.tflite")
        for load in (judges.load, judges.tflite):
            with pytest.raises(FileNotFoundError, match="toi.tflite'. Did you mean 't"):
                load(wrong)
        with pytest.raises(FileNotFoundError, match=r"There is no file '.*a.tflite'.$"):
            judges.load(tmp_path / "a.tflite")
        with pytest.raises(FileNotFoundError, match="There is no model 'squeezenut'"):
            judges.load("squeezenut")

    def test_a_map_is_refused(self, file_of):
        path = file_of("map", segmentation())
        with pytest.raises(ValueError, match=r"no vector.*outputs: \(1, 15, 15, 2\)"):
            judges.tflite(path, preprocess=(0, 1))

    def test_two_inputs_are_one_too_many(self, tmp_path):
        one, other = (
            keras.Input((8, 8, 3), batch_size=1),
            keras.Input((4,), batch_size=1),
        )
        x = layers.Concatenate()([layers.Flatten()(one), other])
        model = keras.Model([one, other], layers.Dense(3, activation="softmax")(x))
        path = tmp_path / "two.tflite"
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        with pytest.raises(ValueError, match=r"must take images .*Its inputs: \("):
            judges.tflite(path, preprocess=(0, 1))

    def test_without_litert_the_extra_is_named(self, toy_file, monkeypatch):
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
        with pytest.raises(
            RuntimeError, match=r"^A .tflite .*pip install ai-edge-litert$"
        ):
            judges.load(toy_file, preprocess=(-1, 1))


class TestLoad:
    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_a_model_s_file(self, tmp_path, toy, toy_judge, suffix):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5")
            toy.save(tmp_path / f"mine{suffix}")
        judge = judges.load(tmp_path / f"mine{suffix}", preprocess=(-1, 1))

        assert judge.name == "mine"
        assert judge.spec == {**toy_judge.spec, "source": f"mine{suffix}"}
        expected = toy_judge.scores(pictures())
        np.testing.assert_allclose(judge.scores(pictures()), expected, atol=1e-6)

    def test_a_network_of_keras_with_its_own_preprocessing(self, monkeypatch):
        build = keras.applications.MobileNetV2
        made = []

        def small(weights):
            made.append((weights, build((32, 32, 3), alpha=0.35, weights=None)))
            return made[-1][1]

        monkeypatch.setattr(keras.applications, "MobileNetV2", small)
        judge = judges.load("keras:MobileNetV2")
        ((weights, model),) = made

        assert weights == "imagenet"
        assert judge.name == "MobileNetV2"
        assert judge.spec["source"] == "keras:MobileNetV2"
        assert judge.spec["preprocess"] == "tf"
        assert judge.classes == 1000
        inputs = keras.applications.mobilenet_v2.preprocess_input(
            255 * resized(pictures()).numpy()
        )
        np.testing.assert_allclose(
            softmax(judge.scores(pictures()), axis=1), model(inputs), rtol=1e-4
        )
        with pytest.raises(
            ValueError, match="no network 'MobileNetV4'. Did you mean 'keras:"
        ):
            judges.load("keras:MobileNetV4")

    def test_options_are_those_of_the_kind(self, toy_file):
        judge = judges.load(toy_file, name="b", preprocess=(-1, 1), labels=[2, 1])
        assert (judge.name, judge.classes) == ("b", 2)
        with pytest.raises(TypeError, match="features"):
            judges.load(toy_file, preprocess=(-1, 1), features="pool")


QUANTIZED = ("mobilenet_v1_0.75_192_quant", "tf2_mobilenet_v2_1.0_224_ptq")
EMBEDDING = "mobilenet_v1_1.0_224_quant_embedding_extractor"
FLOATS = "imagenet_mobilenet_v1_075_224"


@pytest.fixture(scope="module")
def of_data(data):
    found = {
        name: judges.load(data / "evaluators" / f"{name}.tflite")
        for name in (*QUANTIZED, EMBEDDING)
    }
    found[FLOATS] = judges.load(data / "models" / "classifiers" / f"{FLOATS}.keras")
    return found


def photos(data, every):
    """One photo for each of some classes, and the classes."""
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as archive:
        names = sorted(archive.namelist())[::every]
        read = [images.read(io.BytesIO(archive.read(name))) for name in names]
    cut = np.stack([images.centre_crop(photo, (224, 224)) for photo in read])
    return cut, np.arange(0, 1000, every)


def accuracy(judge, photos, classes):
    """Top-1 and top-5 accuracy in percent; a tie is a miss."""
    scores = judge.scores(photos)
    own = scores[np.arange(len(scores)), classes][:, None]
    ranks = (scores >= own).sum(axis=1)
    return tuple(100 * (ranks <= k).mean() for k in (1, 5))


@pytest.mark.data
class TestRealJudges:
    def test_they_classify_photos(self, of_data, data):
        """On 20 photos; the accuracies on all photos are below."""
        seen, classes = photos(data, 50)
        for name in (*QUANTIZED, FLOATS):
            top1, top5 = accuracy(of_data[name], seen, classes)
            assert top1 >= 60, name
            assert top5 >= 85, name

    def test_their_descriptions(self, of_data):
        shapes = {
            name: (judge.classes, judge.spec["size"][0], judge.spec["preprocess"][:6])
            for name, judge in of_data.items()
        }
        assert shapes == {
            QUANTIZED[0]: (1000, 192, "-1,0.9"),
            QUANTIZED[1]: (1000, 224, "-0.996"),
            EMBEDDING: (None, 224, "-1,0.9"),
            FLOATS: (1000, 224, "tf"),
        }

    @pytest.mark.parametrize("name", QUANTIZED)
    def test_their_softmax_is_what_the_file_returns(self, name, data):
        """The scores are from inside the file, the 1001 outputs from its end."""
        from ai_edge_litert.interpreter import Interpreter

        path = data / "evaluators" / f"{name}.tflite"
        judge = judges.tflite(path, labels=range(1001))
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        (asked,) = interpreter.get_input_details()
        (told,) = interpreter.get_output_details()
        seen, _ = photos(data, 250)
        seen = images.to_bytes(tf.image.resize(seen, asked["shape"][1:3]))

        for picture in seen:
            interpreter.set_tensor(asked["index"], picture[None])
            interpreter.invoke()
            expected = interpreter.get_tensor(told["index"])[0] / 256
            found = softmax(judge.scores(images.to_floats(picture[None]))[0])
            np.testing.assert_allclose(found, expected, atol=1 / 128)

    def test_a_photo_in_grey_is_nearest_to_itself(self, of_data, data):
        seen, _ = photos(data, 100)
        grey = np.repeat(seen.mean(axis=-1, keepdims=True), 3, axis=-1)
        for name, judge in of_data.items():
            a, b = judge.features(seen), judge.features(grey)
            distances = np.linalg.norm(a[:, None] - b, axis=-1)
            assert (distances.argmin(axis=1) == np.arange(10)).mean() >= 0.8, name

    @pytest.mark.slow
    def test_they_classify_a_thousand_photos(self, of_data, data):
        seen, classes = photos(data, 1)
        expected = {
            QUANTIZED[0]: (72.4, 91.5),
            QUANTIZED[1]: (85.5, 98.1),
            FLOATS: (84.3, 96.4),
        }
        for name, numbers in expected.items():
            found = accuracy(of_data[name], seen, classes)
            assert found == pytest.approx(numbers, abs=1), name
