"""Models of several inputs, of several outputs, and of tokens."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfviz
from tfviz import objectives, transforms
from tfviz.models.inputs import apply_in_batches, map_batches, resize
from tfviz.models.introspection import LOGITS


def two_inputs(kind="list", library=keras):
    """An image and two numbers: the numbers are added to the output for the image."""
    library.utils.set_random_seed(3)
    layers = library.layers
    image = layers.Input((24, 20, 3), name="image")
    meta = layers.Input((2,), name="meta")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Concatenate(name="join")([x, meta])
    outputs = layers.Dense(3, activation="softmax", name="head")(x)
    inputs = [meta, image] if kind == "list" else {"meta": meta, "image": image}
    return library.Model(inputs, outputs, name="two")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(2, 24, 20, 3)).astype(np.float32)


class TestSeveralInputs:
    @pytest.mark.parametrize("kind", ["list", "dict"])
    @pytest.mark.parametrize("library", [keras, tf_keras])
    def test_the_other_inputs_are_constant(self, kind, library, images):
        model = two_inputs(kind, library)
        adapter = tfviz.adapt(model, (0, 1), held={"meta": [0.5, -2]})

        held = np.tile(np.array([[0.5, -2]], np.float32), (2, 1))
        given = {"meta": held, "image": images}
        expected = model(given if kind == "dict" else [held, images])
        np.testing.assert_allclose(
            adapter.probabilities(images), expected, rtol=1e-5, atol=1e-6
        )
        assert adapter.input_size == (24, 20)
        np.testing.assert_allclose(adapter(images, "join")["join"][:, 4:], held)

    def test_a_single_number_fills_an_input(self, images):
        adapter = tfviz.adapt(two_inputs(), (0, 1), held={"meta": 3})

        np.testing.assert_allclose(adapter(images, "join")["join"][:, 4:], 3)

    def test_they_are_rendered_and_described(self):
        adapter = tfviz.adapt(two_inputs(), (0, 1), held={"meta": [1, 2]})
        result = tfviz.render(
            adapter, ["conv:1", "logit:2"], transforms=transforms.none(), steps=20
        )

        assert (result.history[-1] > result.history[0]).all()
        assert result.spec["held"] == {"meta": [1, 2]}

    def test_whole_numbers_are_cast(self, images):
        image, label = keras.Input((8, 8, 3), name="x"), keras.Input((), name="label")
        label_input = keras.Input((1,), dtype="int32", name="id")
        embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 4)(label_input))
        flat = keras.layers.Flatten()(image)
        model = keras.Model(
            [image, label, label_input],
            keras.layers.Dense(2)(keras.layers.Concatenate()([flat, embedded])),
        )
        adapter = tfviz.adapt(model, (0, 1), held={"id": 3, "label": 0})

        assert adapter.logits(images[:, :8, :8]).shape == (2, 2)

    def test_one_of_two_images_is_selected(self):
        left, right = (keras.Input((8, 8, 1), name=n) for n in ("left", "right"))
        model = keras.Model(
            [left, right], keras.layers.Subtract(name="less")([left, right]), name="m"
        )
        ones = np.ones((1, 8, 8, 1), np.float32)
        for chosen, value in (("left", 0.75), ("right", -0.75)):
            other = "right" if chosen == "left" else "left"
            adapter = tfviz.adapt(model, (0, 1), held={other: 0.25}, image_input=chosen)
            np.testing.assert_allclose(adapter(ones, "less")["less"], value)

        with pytest.raises(ValueError, match=r"2 inputs that could take.*image_input"):
            tfviz.adapt(model, (0, 1))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, r"inputs 'meta' \(None, 2\), 'image'.*held=\{'meta'"),
            ({"held": {"mta": 1}}, "`held` gives values to .'mta'.*image: 'meta'"),
            ({"held": {"meta": [1, 2, 3]}}, r"shape \(2,\). Received: \[1, 2, 3\]"),
            ({"held": {"meta": "x"}}, "value of input 'meta'"),
            ({"held": {"meta": 1}, "image_input": "meta"}, "no image input 'meta'"),
            ({"held": {"image": 1}}, "takes no images: its inputs are"),
        ],
    )
    def test_wrong_options_raise_errors(self, settings, message):
        with pytest.raises(ValueError, match=message):
            tfviz.adapt(two_inputs(), (0, 1), **settings)


def dense(shape, **options):
    """A network of three classes whose input is of any shape."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input(shape, **options)
    x = keras.layers.Dense(3, name="head")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, x, name="dense")


def suggested(message, model):
    """Return the model that a message suggests, in the words of its code."""
    code = str(message).partition("new model: ")[2]
    return eval(code, {"keras": keras, "model": model})


class TestInputsThatAreNoImages:
    """The message has the layers that are missing, and with these the model works."""

    @pytest.mark.parametrize(
        ("shape", "problem", "as_input"),
        [
            ((8, 9), "missing axis of the channels", lambda x: x[..., 0]),
            ((49,), "pixels of a picture", lambda x: x.reshape(2, -1)),
            ((75,), "pixels of a picture", lambda x: x.reshape(2, -1)),
            ((3, 8, 9), "channels first", lambda x: np.moveaxis(x, -1, 1)),
            ((4, 8, 9, 3), "in all frames", lambda x: np.stack([x] * 4, 1)),
        ],
    )
    def test_the_suggested_layers_make_it_one_of_images(
        self, shape, problem, as_input, rng
    ):
        model = dense(shape)
        with pytest.raises(ValueError, match=problem) as caught:
            tfviz.adapt(model, (0, 1))
        adapter = tfviz.adapt(suggested(caught.value, model), (0, 1))
        images = rng.uniform(size=(2, *adapter.size, adapter.channels))
        images = images.astype(np.float32)
        expected = model(as_input(images))

        np.testing.assert_allclose(adapter.logits(images), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("shape", "options"),
        [((None, 8), {}), ((50,), {}), ((49,), {"dtype": "int32"})],
    )
    def test_nothing_is_suggested_for_other_inputs(self, shape, options):
        inputs = keras.Input(shape, **options)
        model = keras.Model(inputs, keras.ops.cast(inputs, "float32"), name="text")
        with pytest.raises(
            ValueError, match=r"'text' takes no images: .*channels\)\.$"
        ):
            tfviz.adapt(model, (0, 1))

    def test_features_of_one_position_are_no_images_of_pytorch(self):
        model = dense((1, 1, 64))
        assert tfviz.adapt(model, (0, 1)).channels == 64


def test_all_constants_that_are_missing_are_named():
    inputs = [keras.Input((8, 8, 3), name=name) for name in ("left", "right")]
    more = [keras.Input((1,), name=name) for name in ("age", "size")]
    x = keras.layers.Flatten()(keras.layers.Subtract()(inputs))
    model = keras.Model([*inputs, *more], keras.layers.Concatenate()([x, *more]))
    with pytest.raises(
        ValueError, match=r"image_input='left' and held=\{'right': 0.5\}"
    ):
        tfviz.adapt(model, (0, 1))
    with pytest.raises(ValueError, match=r"held=\{'right': 0, 'age': 0, 'size': 0\}"):
        tfviz.adapt(model, (0, 1), image_input="left")


def two_outputs(kind):
    keras.utils.set_random_seed(3)
    image = keras.Input((24, 20, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    boxes = keras.layers.Dense(4, name="boxes")(x)
    classes = keras.layers.Dense(3, activation="softmax", name="classes")(x)
    both = {
        "list": [boxes, classes],
        "dict": {"boxes": boxes, "classes": classes},
    }
    return keras.Model(image, both[kind], name="two")


class TestSeveralOutputs:
    @pytest.mark.parametrize("kind", ["list", "dict"])
    @pytest.mark.parametrize(
        "output", ["classes", pytest.param(1, marks=pytest.mark.slow), "1"]
    )
    def test_one_has_the_classes(self, kind, output, images):
        model = two_outputs(kind)
        adapter = tfviz.adapt(model, (0, 1), output=output)

        both = model(images)
        expected = both["classes"] if kind == "dict" else both[1]
        np.testing.assert_allclose(adapter.probabilities(images), expected, rtol=1e-5)
        assert adapter.classes == 3
        assert adapter.logits_source == "what goes into the softmax of 'classes'"
        result = tfviz.render(adapter, "logit:1", steps=8)
        assert result.spec["output"] == output

    def test_without_a_selection_layers_work_and_logits_name_the_outputs(self):
        adapter = tfviz.adapt(two_outputs("dict"), (0, 1))

        assert tfviz.render(adapter, "classes:1", steps=2).names == ("classes:1",)
        message = (
            r"outputs: 'boxes' \(4\), 'classes' \(3\)\. Select .*output='classes'\."
        )
        with pytest.raises(ValueError, match=message):
            tfviz.render(adapter, "logit:1", steps=2)

    def test_another_name_is_refused(self):
        with pytest.raises(ValueError, match=r"'clases'. Did you mean 'classes'\?"):
            tfviz.adapt(two_outputs("dict"), (0, 1), output="clases")
        with pytest.raises(ValueError, match="no output '2'.*'boxes', 'classes'"):
            tfviz.adapt(two_outputs("list"), (0, 1), output="2")
        with pytest.raises(ValueError, match="It has a single output"):
            tfviz.adapt(two_inputs(), (0, 1), held={"meta": 0}, output="classes")


def transformer(cls):
    """Patches of 8 pixels of a 32x32 image, a class token before them or not."""
    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 8, 8)(image)
    x = keras.layers.Reshape((16, 6), name="patches")(x)
    if cls:
        x = keras.layers.ZeroPadding1D((1, 0), name="tokens")(x)
    x = keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = keras.layers.Dense(8, activation="gelu", name="mlp")(x)
    return tfviz.adapt(keras.Model(image, x[:, 0], name="vit"), (0, 1))


class TestTokens:
    def values(self, adapter, objective):
        images = np.random.default_rng(1).uniform(size=(1, 32, 32, 3))
        bound = objective.bound(adapter, (32, 32))
        activations = adapter(images.astype(np.float32), "mlp")
        units = {name: tf.constant(v) for name, v in bound.units.items()}
        score = float(bound.score(activations, None, {}, units)[0])
        return score, activations["mlp"].numpy()[0], bound

    def test_a_token_by_its_index(self):
        score, tokens, bound = self.values(
            transformer(cls=True), objectives.token("mlp", 3, 7)
        )
        assert score == pytest.approx(tokens[7, 3])
        assert bound.names == ("mlp:3@7",)

    def test_the_class_token_is_the_first(self):
        score, tokens, bound = self.values(
            transformer(cls=True), objectives.token("mlp", 3, "cls")
        )
        assert score == pytest.approx(tokens[0, 3])
        assert bound.names == ("mlp:3@cls",)

    @pytest.mark.parametrize(("cls", "token"), [(True, 1 + 4 * 2 + 3), (False, 11)])
    def test_a_patch_by_its_row_and_column(self, cls, token):
        score, tokens, bound = self.values(
            transformer(cls), objectives.neuron("mlp", 3, 2, 3)
        )
        assert score == pytest.approx(tokens[token, 3])
        assert bound.names == ("mlp:3@2,3",)

    def test_the_middle_patch_is_the_default(self):
        *_, bound = self.values(transformer(cls=True), objectives.neuron("mlp", 3))
        assert bound.names == ("mlp:3@2,2",)

    def test_a_channel_is_the_mean_over_tokens(self):
        score, tokens, _ = self.values(
            transformer(cls=True), objectives.channel("mlp", 3)
        )
        assert score == pytest.approx(tokens[:, 3].mean(), rel=1e-5)

    def test_they_are_rendered_from_text(self):
        units = ["mlp:3@cls", "mlp:3@7", "mlp:3@2,3", "mlp:3"]
        result = tfviz.render(
            transformer(cls=True), units, transforms=transforms.none(), steps=12
        )

        assert result.names == tuple(units)
        assert (result.history[-1] > result.history[0]).all()

    def test_missing_positions_raise_errors(self, toy_adapter):
        adapter = transformer(cls=False)
        for objective, message in (
            (objectives.token("mlp", 3, "cls"), "4x4 patches and no class token"),
            (objectives.token("mlp", 3, 16), "tokens 0 to 15. Received: 16"),
            (objectives.neuron("mlp", 3, 4, 0), "map of 4x4.*Received: row 4"),
            (objectives.token("mlp", 8, 0), "channels 0 to 7"),
        ):
            with pytest.raises(ValueError, match=message):
                objective.bound(adapter, (32, 32))
        with pytest.raises(ValueError, match="no tokens. Write conv_b:1@row,column"):
            objectives.token("conv_b", 1, 0).bound(toy_adapter, (32, 32))


class TestDenseOutputs:
    def test_a_class_at_a_position(self):
        image = keras.Input((12, 10, 3))
        outputs = keras.layers.Conv2D(4, 1, activation="softmax", name="map")(image)
        adapter = tfviz.adapt(keras.Model(image, outputs, name="segments"), (0, 1))
        images = np.random.default_rng(1).uniform(size=(1, 12, 10, 3))
        logits = adapter.logits(images.astype(np.float32)).numpy()[0]

        for text, expected in {
            "logit:2@11,9": logits[11, 9, 2],
            "logit:2": logits[..., 2].mean(),
        }.items():
            (unit,) = objectives.parse(text, adapter)
            bound = unit.bound(adapter, (12, 10))
            units = {name: tf.constant(v) for name, v in bound.units.items()}
            found = bound.score({LOGITS: tf.constant(logits[None])}, None, {}, units)
            assert float(found[0]) == pytest.approx(expected, rel=1e-5)
            assert bound.names == (text,)
        result = tfviz.render(
            adapter, "prob:2@3,4", transforms=transforms.none(), steps=12
        )
        assert result.scores[0] > result.history[0, 0]
        with pytest.raises(ValueError, match="map of 12x10.*Received: column 10"):
            tfviz.render(adapter, "logit:2@3,10", steps=2)

    def test_a_model_without_a_map_refuses_a_position(self, toy_adapter):
        with pytest.raises(ValueError, match="no row and column. Leave"):
            objectives.logit(1, 2, 3).bound(toy_adapter, (32, 32))
        with pytest.raises(ValueError, match="both `row` and `column`"):
            objectives.logit(1, 2)


class TestBeforeRelu:
    def test_it_is_the_input_of_the_relu(self, squeezenet):
        images = np.random.default_rng(0).uniform(size=(2, 63, 80, 3))
        paths = ["fire8", "fire8_expand3x3", "pool5", "pool1"]
        found = squeezenet(images, [*paths, *(f"{path}:pre" for path in paths)])

        for path in paths:
            before = found[f"{path}:pre"].numpy()
            assert before.min() < 0
            np.testing.assert_allclose(np.maximum(before, 0), found[path], atol=1e-4)

    def test_functional_operations_and_six_count_too(self):
        image = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, name="conv")(image)
        x = keras.ops.relu(x)
        x = keras.layers.ReLU(6, name="six")(keras.layers.Conv2D(2, 3, name="b")(x))
        adapter = tfviz.adapt(keras.Model(image, x), (0, 1))

        rectified = {layer.path for layer in adapter.layers() if layer.rectified}
        assert rectified == {"relu", "six"}

    def test_a_layer_without_a_relu_raises_an_error(self, squeezenet):
        with pytest.raises(ValueError, match="'conv10' does not end in a ReLU.*use"):
            squeezenet.layer("conv10:pre")
        with pytest.raises(ValueError, match="no layer 'fire88'"):
            squeezenet.layer("fire88:pre")


class TestBatches:
    @pytest.mark.parametrize(("n", "size"), [(1, 4), (4, 4), (7, 3), (7, 1)])
    @pytest.mark.parametrize("fill", [False, True])
    def test_results_are_those_of_all_rows_at_once(self, rng, n, size, fill):
        images, seeds = rng.uniform(size=(n, 5, 3)), rng.integers(9, size=(n, 2))
        sizes = []

        def function(x, y):
            sizes.append(len(x))
            return {"sum": tf.reduce_sum(x, axis=(1, 2)), "pair": (y, 2 * y)}

        results = apply_in_batches(function, size, images, seeds, fill=fill)

        np.testing.assert_allclose(results["sum"], images.sum(axis=(1, 2)))
        np.testing.assert_array_equal(results["pair"][1], 2 * seeds)
        assert max(sizes) <= size
        assert set(sizes) == {size} or not fill

    def test_batches_come_one_at_a_time(self, rng):
        values = rng.uniform(size=(5, 2))
        batches = map_batches(lambda x: x + 1, 2, values)

        assert next(batches).shape == (2, 2)
        np.testing.assert_allclose(np.concatenate(list(batches)), values[2:] + 1)


@pytest.mark.parametrize(
    ("before", "after"), [((9, 12), (5, 4)), ((8, 8), (3, 11)), ((7, 5), (6, 5))]
)
def test_xla_resizes_with_the_same_filter(before, after, rng):
    images = rng.uniform(size=(2, *before, 3)).astype("float32")
    upstream = rng.normal(size=(2, *after, 3)).astype("float32")

    def resized(images):
        result = resize(images, after)
        return result, tf.gradients(result, images, upstream)[0]

    plain, compiled = (
        tf.function(resized, jit_compile=by_xla, autograph=False)(tf.constant(images))
        for by_xla in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
