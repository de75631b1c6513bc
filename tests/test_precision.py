"""No machine with a graphics card is needed: the decision that there is one is patched.

What such a card would compute is seen in the types of the operations of a graph, and in
products whose factors are rounded as TF32 rounds them.
"""

from math import cos, radians, sin

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import seeds_for, traced_step
from tf32 import emulate, rounded

import tfviz
from tfviz import _precision, objectives, params, priors, transforms
from tfviz._precision import matmul
from tfviz.objectives._groups import similarities
from tfviz.optimize.options import PARAMS, PENALTIES, TRANSFORMS, Diversity, Options
from tfviz.priors._codes import _average_cells
from tfviz.priors.training.augmentation import _resample
from tfviz.transforms import _base

# The operations whose float32 kernels use TF32, or compute something from products.
PRODUCTS = ("MatMul", "Einsum", "Conv2D", "Conv2d", "Conv3D", "XlaDot", "MatrixInverse")
EVERY_TRANSFORM = {
    **{name: preset() for name, preset in transforms.PRESETS.items()},
    "box": transforms.box(0.4, 0.9),
    "blur": transforms.blur(0.5, 1.5),
    "flip": transforms.flip(),
    "turn": transforms.rotate([90, 45]),
    "noise": transforms.noise(0.1),
}
EVERY_PARAM = {
    "fourier": lambda: params.fourier(16, 20),
    "pixels": lambda: params.pixels(16, 20),
    "laplacian": lambda: params.laplacian(16, 20, levels=3),
    "maco": lambda: params.maco(16, 20),
    "cppn": lambda: params.cppn(16, 20, layers=2, hidden=6),
    "aligned": lambda: params.aligned(16, 20, group=2),
}


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(_precision, "has_gpu", lambda: True)


@pytest.fixture(scope="module")
def elementwise():
    """A network in which no operation is affected by TF32."""
    inputs = keras.Input((16, 20, 3))
    x = keras.layers.Rescaling(3.0, -1.0, name="scaled")(inputs)
    x = keras.layers.Activation("softplus", name="positive")(x)
    outputs = keras.layers.GlobalAveragePooling2D(name="logits")(x)
    return tfviz.adapt(keras.Model(inputs, outputs, name="elementwise"), (0, 1))


@pytest.fixture
def rounding(monkeypatch):
    """Let float32 products round their factors as a graphics card does."""
    emulate(monkeypatch)


def inexact(*functions):
    """Return the operations of compiled functions that would use TF32."""
    found = set()
    for function in functions:
        graph = function.graph.as_graph_def()
        nodes = [*graph.node]
        nodes += [n for inner in graph.library.function for n in inner.node_def]
        for node in nodes:
            types = {node.attr[k].type for k in ("T", "Ta", "Tb") if k in node.attr}
            exact = types == {tf.float64.as_datatype_enum}
            if any(part in node.op for part in PRODUCTS) and not exact:
                found.add(node.op)
    return found


def value_and_gradient(function, inputs, rng):
    """Return a function's value, and the gradient of a random combination of it."""
    tensor = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        values = function(tensor)
        weights = np.random.default_rng(1).normal(size=values.shape)
        total = tf.reduce_sum(values * weights.astype(np.float32))
    return values.numpy(), tape.gradient(total, tensor).numpy()


class TestMatmul:
    @pytest.mark.parametrize("transposed", ["", "a", "b", "ab"])
    def test_it_is_the_product_with_its_gradient(self, on_gpu, rng, transposed):
        a = rng.normal(size=(2, 4, 3)).astype(np.float32)
        b = rng.normal(size=(2, 3, 5)).astype(np.float32)
        options = {f"transpose_{name}": True for name in transposed}
        turned = np.swapaxes(a, 1, 2) if "a" in transposed else a
        other = np.swapaxes(b, 1, 2) if "b" in transposed else b

        product, gradient = value_and_gradient(
            lambda a: matmul(a, other, **options), turned, rng
        )
        np.testing.assert_allclose(product, a @ b, atol=1e-6)
        weights = np.random.default_rng(1).normal(size=product.shape)
        expected = weights @ np.swapaxes(b, 1, 2)
        if "a" in transposed:
            expected = np.swapaxes(expected, 1, 2)
        np.testing.assert_allclose(gradient, expected, atol=1e-5)
        assert product.dtype == gradient.dtype == np.float32

    def test_it_is_computed_in_float64_only_where_there_is_a_card(self, monkeypatch):
        square = tf.TensorSpec((3, 3), tf.float32)

        def trace():
            return tf.function(lambda a: matmul(a, a)).get_concrete_function(square)

        monkeypatch.setattr(_precision, "has_gpu", lambda: False)
        assert inexact(trace()) == {"MatMul"}
        monkeypatch.setattr(_precision, "has_gpu", lambda: True)
        assert inexact(trace()) == set()

    def test_visible_devices_decide(self, monkeypatch):
        for devices in ([], ["a card"]):
            monkeypatch.setattr(
                tf.config, "get_visible_devices", {"GPU": devices}.__getitem__
            )
            assert _precision.has_gpu() is bool(devices)


class TestNoProductOfOursUsesTF32:
    """Networks may: here, there is none with products."""

    def test_the_check_finds_products(self, elementwise, monkeypatch):
        monkeypatch.setattr(_precision, "has_gpu", lambda: False)
        objective = objectives.channel("positive", 0)
        step = traced_step(
            elementwise, objective, params.pixels(16, 20), transforms.gentle()
        )
        assert inexact(*step) == {"BatchMatMulV2"}

    @pytest.mark.parametrize("name", EVERY_PARAM)
    def test_of_any_param(self, name, elementwise, on_gpu):
        assert {*EVERY_PARAM} >= {*PARAMS}
        objective = objectives.channel("positive", [0, 1])
        param, none = EVERY_PARAM[name](), transforms.none()

        assert not inexact(*traced_step(elementwise, objective, param, none))
        if param.encode:
            images = tf.TensorSpec((2, *param.shape), tf.float32)
            encode = tf.function(param.encode).get_concrete_function(images)
            assert not inexact(encode)

    @pytest.mark.parametrize("name", EVERY_TRANSFORM)
    def test_of_any_transform(self, name, on_gpu):
        assert {*EVERY_TRANSFORM} >= {*TRANSFORMS}

        @tf.function(autograph=False)
        def moved(images):
            seen = EVERY_TRANSFORM[name](images, seeds_for(2))
            return tf.gradients(seen, images)

        spec = tf.TensorSpec((2, 16, 20, 3), tf.float32)
        assert not inexact(moved.get_concrete_function(spec))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "unit",
        [
            objectives.neuron("positive", 1, 2, 3),
            objectives.layer("positive"),
            objectives.logit(1),
            objectives.direction("positive", [1.0, 2.0, 3.0]),
            objectives.inversion("positive", np.full((16, 20, 3), 0.3)),
            objectives.caricature("positive", np.full((16, 20, 3), 0.3)),
        ],
        ids=lambda unit: unit.names[0],
    )
    def test_of_any_objective(self, unit, elementwise, on_gpu):
        param = params.fourier(16, 20)
        assert not inexact(*traced_step(elementwise, unit, param, transforms.none()))

    @pytest.mark.slow
    def test_of_penalties_groups_and_shaped_gradients(self, elementwise, on_gpu):
        options = Options(
            penalties=dict.fromkeys(PENALTIES, 0.1),
            diversity=Diversity(2, 1.0),
            gradient_blur=1.0,
            normalize_gradient=True,
            alpha=True,
        )
        objective = objectives.channel("positive", 0)
        param = params.fourier(16, 20)
        step = traced_step(elementwise, objective, param, transforms.distill(), options)
        assert not inexact(*step)

    def test_of_latents_and_views_of_priors(self, elementwise, on_gpu):
        """The decoder is elementwise, and the images are resized for the model."""
        maps = priors.waves(
            8, 10, 3, domain=priors.shell(9.0), penalty=priors.near_shell(1)
        )
        prior = priors.assembled(
            {"z": maps}, lambda values: tf.sigmoid(values["z"]), value_range=(0, 1)
        )
        objective = objectives.channel("positive", 0)
        step = traced_step(elementwise, objective, prior, transforms.gentle())
        assert not inexact(*step)

    def test_of_averaged_cells_and_augmentations(self, on_gpu):
        images = tf.TensorSpec((2, 6, 6, 3), tf.float32)
        square = tf.TensorSpec((2, 6, 6), tf.float32)
        cells = tf.function(lambda x: _average_cells(x, 2))
        moved = tf.function(_resample)

        assert not inexact(
            cells.get_concrete_function(images),
            moved.get_concrete_function(images, square, square),
        )


@pytest.fixture
def _on_processor():
    """Plain products are exact there, also on a machine that has a graphics card."""
    with tf.device("CPU"):
        yield


def decoders(name, rng):
    """Yield for each latent of a param the function from it to images, and values."""
    param = EVERY_PARAM[name]()
    latents = {
        k: v + 0.3 * rng.normal(size=v.shape).astype(np.float32)
        for k, v in param.init(seeds_for(2)).items()
    }
    for latent, values in latents.items():
        yield (
            lambda values, latent=latent: param.decode(latents | {latent: values}),
            values,
        )


@pytest.mark.usefixtures("_on_processor")
class TestTheExactPathAgreesWithThePlainOne:
    @pytest.mark.parametrize("name", EVERY_PARAM)
    def test_in_images_and_their_gradients(self, name, monkeypatch, rng):
        for decode, values in decoders(name, rng):
            monkeypatch.setattr(_precision, "has_gpu", lambda: False)
            plain = value_and_gradient(decode, values, rng)
            monkeypatch.setattr(_precision, "has_gpu", lambda: True)
            exact = value_and_gradient(decode, values, rng)
            np.testing.assert_allclose(exact[0], plain[0], atol=1e-6)
            scale = np.abs(plain[1]).max()
            np.testing.assert_allclose(exact[1], plain[1], atol=1e-5 * scale)

    @pytest.mark.parametrize("name", EVERY_TRANSFORM)
    def test_in_transforms_and_their_gradients(self, name, monkeypatch, rng):
        images = rng.uniform(size=(2, 16, 20, 3)).astype(np.float32)

        def move(images):
            return EVERY_TRANSFORM[name](images, seeds_for(2))

        monkeypatch.setattr(_precision, "has_gpu", lambda: False)
        plain = value_and_gradient(move, images, rng)
        monkeypatch.setattr(_precision, "has_gpu", lambda: True)
        exact = value_and_gradient(move, images, rng)
        # The positions of pixels agree to a millionth of the side of the image.
        np.testing.assert_allclose(exact[0], plain[0], atol=1e-5)
        np.testing.assert_allclose(exact[1], plain[1], atol=1e-4)

    def test_in_similarities_and_their_gradients(self, monkeypatch, rng):
        activations = rng.uniform(size=(4, 5, 3, 7)).astype(np.float32)

        def compare(activations):
            return similarities(activations, 2)

        monkeypatch.setattr(_precision, "has_gpu", lambda: False)
        plain = value_and_gradient(compare, activations, rng)
        monkeypatch.setattr(_precision, "has_gpu", lambda: True)
        exact = value_and_gradient(compare, activations, rng)
        np.testing.assert_allclose(exact[0], plain[0], atol=1e-6)
        np.testing.assert_allclose(exact[1], plain[1], atol=1e-5)


@pytest.mark.skipif(
    not tf.config.get_visible_devices("GPU"),
    reason="compares a graphics card with the processor, and there is none",
)
class TestTheCardAgreesWithTheProcessor:
    """In everything that is not part of a network; TF32 would exceed the tolerances."""

    @pytest.mark.parametrize("name", EVERY_PARAM)
    def test_in_images_and_their_gradients(self, name, rng):
        for decode, values in decoders(name, rng):
            image, gradient = value_and_gradient(decode, values, rng)
            with tf.device("CPU"):
                expected = value_and_gradient(decode, values, rng)
            np.testing.assert_allclose(image, expected[0], atol=1e-5)
            scale = np.abs(expected[1]).max()
            np.testing.assert_allclose(gradient, expected[1], atol=1e-4 * scale)

    @pytest.mark.parametrize("name", EVERY_TRANSFORM)
    def test_in_transforms_and_their_gradients(self, name, rng):
        images = rng.uniform(size=(2, 16, 20, 3)).astype(np.float32)

        def move(images):
            return EVERY_TRANSFORM[name](images, seeds_for(2))

        seen, gradient = value_and_gradient(move, images, rng)
        with tf.device("CPU"):
            expected = value_and_gradient(move, images, rng)
        np.testing.assert_allclose(seen, expected[0], atol=1e-4)
        np.testing.assert_allclose(gradient, expected[1], atol=1e-3)

    def test_in_similarities(self, rng):
        activations = tf.constant(rng.uniform(size=(4, 30, 64)), tf.float32)
        cosines = similarities(activations, 2).numpy()
        with tf.device("CPU"):
            np.testing.assert_allclose(cosines, similarities(activations, 2), atol=1e-6)


@pytest.mark.usefixtures("_on_processor")
class TestWhatTF32WouldChange:
    """With factors rounded to 10 bits, plain products are off by a lot."""

    def test_rounding_keeps_ten_bits(self):
        values = [1.0, 1 + 2**-10, 1 + 2**-11 + 2**-20, 1 + 2**-12, -3.14159265]
        expected = [1.0, 1 + 2**-10, 1 + 2**-10, 1.0, -3.140625]
        np.testing.assert_array_equal(rounded(values), np.float32(expected))

    @pytest.mark.parametrize("has_gpu", [False, True])
    def test_positions(self, has_gpu, rounding, monkeypatch):
        """The corner of 224 pixels is where it belongs, or off by tenths of a pixel."""
        seen = []

        def warp(images, matrices, size, **_):
            seen.append(matrices.numpy().astype(np.float64))
            return images

        steps = transforms.rotate([10]), transforms.scale([1.1])
        monkeypatch.setattr(_base, "warp", warp)
        monkeypatch.setattr(_precision, "has_gpu", lambda: has_gpu)
        images = tf.zeros((1, 224, 224, 3))
        transforms.chain(*steps)(images, [[1, 2]])
        (both,) = seen

        # Both steps have a single choice, so the seeds do not matter.
        cosine, sine = cos(radians(10)), sin(radians(10))
        turn = np.array([[cosine, -sine], [sine, cosine]]) / 1.1
        corner = [223, 223, 1]
        expected = turn @ [111.5, 111.5] + 111.5
        wrong = np.abs((both[0] @ corner)[:2] - expected).max()
        if has_gpu:
            assert wrong < 1e-4
        else:
            assert 0.02 < wrong < 1

    # Those of waves mix their colours without products of matrices.
    @pytest.mark.parametrize("name", ["pixels", "cppn"])
    def test_images(self, name, rounding, monkeypatch, rng):
        param = EVERY_PARAM[name]()
        size = 10 if name == "cppn" else 1  # its weights are scaled down
        latents = {
            k: v + size * rng.normal(size=v.shape).astype(np.float32)
            for k, v in param.init(seeds_for(2)).items()
        }
        monkeypatch.setattr(_precision, "has_gpu", lambda: False)
        rough = param.decode(latents).numpy()
        monkeypatch.setattr(_precision, "has_gpu", lambda: True)
        exact = param.decode(latents).numpy()

        assert np.abs(rough - exact).max() > 3e-5

    def test_distances_between_pictures(self, rounding, monkeypatch, rng):
        activations = rng.uniform(size=(2, 30, 64)).astype(np.float32)
        flat = activations.astype(np.float64)
        gram = np.einsum("npc,npd->ncd", flat, flat).reshape(2, -1)
        gram /= np.linalg.norm(gram, axis=1, keepdims=True)
        expected = 1 - gram[0] @ gram[1]

        wrong = {}
        for has_gpu in (False, True):
            monkeypatch.setattr(_precision, "has_gpu", lambda here=has_gpu: here)
            cosine = similarities(tf.constant(activations), 2)[0, 0, 1]
            wrong[has_gpu] = abs(1 - float(cosine) - expected) / expected
        assert wrong[True] < 1e-4 < wrong[False]
