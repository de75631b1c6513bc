import hashlib
import shutil

import numpy as np
import pytest
import tfviz
import tensorflow as tf
from support import seeds_for
from tfviz import priors, transforms
from tfviz.priors import _tfhub as _modules

v1 = tf.compat.v1

CLASSES = 1000


def save(folder, build, *others, tags=(), resource=False):
    """Write a module in the format of tensorflow_hub 0.x, for TensorFlow 1.

    Args:
        folder: The folder of the module.
        build: A function that makes a graph and returns
            `{signature: (inputs, outputs)}`.
        *others: Pairs of tags and such a function, for further graphs of the same
            variables.
        tags: The tags of the first graph.
        resource: Whether variables are resources, as in later versions.
    """
    builder = v1.saved_model.Builder(str(folder))
    with v1.Graph().as_default(), v1.Session() as session:
        signatures = signatures_of(build, resource)
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, list(tags), signatures)
    for other_tags, other in others:
        with v1.Graph().as_default():
            signatures = signatures_of(other, resource)
            builder.add_meta_graph(list(other_tags), signatures)
    builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


def signatures_of(build, resource):
    def tensor_infos(tensors):
        return {k: v1.saved_model.build_tensor_info(t) for k, t in tensors.items()}

    with v1.variable_scope("module", use_resource=resource):
        return {
            name: v1.saved_model.build_signature_def(
                tensor_infos(inputs), tensor_infos(outputs)
            )
            for name, (inputs, outputs) in build().items()
        }


def network(code, size=16, fill=None):
    """Make images in (-1, 1) from codes `(n, d)`, by a matrix and a convolution."""

    def weights(name, shape, seed):
        make = v1.random_normal_initializer(stddev=0.15, seed=seed)
        if fill is not None:
            make = v1.constant_initializer(fill)
        return v1.get_variable(name, shape, initializer=make)

    dense = weights("dense", [code.shape[1], 4 * 4 * 6], 1)
    maps = tf.nn.relu(tf.reshape(code @ dense, [-1, 4, 4, 6]))
    kernel = weights("kernel", [5, 5, 3, 6], 2)
    shape = [tf.shape(maps)[0], size, size, 3]
    return tf.tanh(tf.nn.conv2d_transpose(maps, kernel, shape, size // 4, "SAME"))


def placeholder(name, shape, dtype=tf.float32):
    return v1.placeholder(dtype, shape, name)


def biggan(size=128):
    y, z = placeholder("y", [None, CLASSES]), placeholder("z", [None, size])
    truncation = v1.placeholder_with_default(tf.constant(1.0), [], "truncation")
    images = network(tf.concat([z, 3 * y, z * truncation], axis=1))
    inputs = {"y": y, "z": z, "truncation": truncation}
    return {"default": (inputs, {"default": images})}


def progan(fill=None):
    latent = placeholder("latent", [None, 512])
    images = 0.5 + 0.5 * network(latent / 5, size=32, fill=fill)
    return {"default": ({"latent": latent}, {"default": images})}


def s3gan(batch=None, training=False, output="generated"):
    z = placeholder("z", [batch, 120])
    labels = placeholder("labels", [batch], tf.int32)
    if batch is not None:  # with a fixed batch, inputs are zeros that are fed
        z, labels = tf.zeros([batch, 120]), tf.zeros([batch], tf.int32)
    images = 0.5 + 0.5 * network(tf.concat([z, 2 * tf.one_hot(labels, 10)], axis=1))
    if training:
        images -= 0.3 * tf.reduce_mean(images, axis=0, keepdims=True)
    return {"default": ({"z": z, "labels": labels}, {output: images})}


def unknown(psi=False, outputs=("a",), dtype=tf.float32):
    w, noise = placeholder("w", [None, 64]), placeholder("noise", [None, 4])
    inputs = {"w": w, "noise": noise}
    if psi:
        inputs["psi"] = placeholder("psi", [])
        w *= inputs["psi"]
    images = network(tf.concat([w, noise], axis=1))
    images = tf.cast(127 * images, dtype) if dtype.is_integer else images
    made = {"generate": (inputs, dict.fromkeys(outputs, images))}
    if psi:
        code = tf.reduce_mean(images, axis=(1, 2))
        made["encode"] = {"images": images}, {"code": code}
    return made


class Exported(tf.Module):
    """A generator as TensorFlow 2 saves it."""

    def __init__(self, training=True):
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((88, 192), [3, 4]) / 9)
        shapes = {"z": (None, 80), "y": (None, 8)}
        specs = [tf.TensorSpec(shape, name=name) for name, shape in shapes.items()]
        if training:
            specs.append(tf.TensorSpec((), tf.bool, name="training"))
        self.make = tf.function(self._make, input_signature=specs)

    def _make(self, z, y, training=None):
        made = tf.tanh(tf.concat([z, y], axis=1) @ self.kernel)
        if training is not None:
            made *= tf.where(training, 0.1, 1.0)
        return {"images": tf.reshape(made, (-1, 8, 8, 3))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function from names to the folders of modules, each written once."""
    made = {}

    def find(name):
        if name not in made:
            path = tmp_path_factory.mktemp("modules") / name.replace(" ", "_")
            made[name] = MODULES[name](path)
        return made[name]

    return find


MODULES = {
    "biggan": lambda path: save(path, biggan),
    "progan": lambda path: save(path, progan),
    "s3gan": lambda path: save(path, s3gan, tags=("gen", "bsNone")),
    "s3gan 4": lambda path: save(path, lambda: s3gan(4)),
    "unknown": lambda path: save(path, unknown, resource=True),
    "psi": lambda path: save(path, lambda: unknown(True, ("a", "b"))),
    "exported": lambda path: export(path, Exported()),
}


def export(path, net):
    tf.saved_model.save(net, str(path), signatures=net.make)
    return path


CLASS_207 = {"y": priors.chosen(207, CLASSES)}
CLASS_7 = {"labels": priors.held(7)}
CLASS_2 = {"y": priors.chosen(2, 8)}
# The arguments for each module, and the shape and value range of its images.
WORKING = {
    "biggan": ({"latents": CLASS_207}, (16, 16, 3), (-1, 1)),
    "progan": ({}, (32, 32, 3), (0, 1)),
    "s3gan": ({"latents": CLASS_7}, (16, 16, 3), (0, 1)),
    "s3gan 4": ({"latents": CLASS_7}, (16, 16, 3), (0, 1)),
    "unknown": ({}, (16, 16, 3), (-1, 1)),
    "exported": ({"value_range": (-1, 1), "latents": CLASS_2}, (8, 8, 3), (-1, 1)),
}


@pytest.fixture(scope="module")
def param_of(folder):
    made = {}

    def find(name):
        if name not in made:
            made[name] = priors.saved_model(folder(name), **WORKING[name][0])
        return made[name]

    return find


@pytest.fixture(scope="module")
def rendered(param_of, toy_adapter):
    made = {}

    def find(name):
        if name not in made:
            made[name] = render(param_of(name), toy_adapter)
        return made[name]

    return find


def render(param, adapter):
    return tfviz.render(adapter, "conv_b:3-4", param, transforms.none(), steps=20)


def call_module(folder, stored, value_range):
    """Return the images of a module without a prior, scaled to [0, 1]."""
    loaded = tf.saved_model.load(str(folder))
    (function,) = loaded.signatures.values()
    given = {}
    for name, spec in function.structured_input_signature[1].items():
        value = stored[name][0] if spec.shape.rank == 0 else stored[name]
        given[name] = tf.cast(value, spec.dtype)
    (images,) = function(**given).values()
    low, high = value_range
    return (images - low) / (high - low)


@pytest.mark.parametrize("name", WORKING)
class TestAllModules:
    def test_images_are_those_of_the_module(self, name, param_of, folder):
        _, shape, value_range = WORKING[name]
        param = param_of(name)
        stored = param.init(seeds_for(4))
        images = param.decode(stored).numpy()

        assert param.shape == shape
        assert images.shape == (4, *shape)
        assert images.std(0).max() > 0.01
        np.testing.assert_allclose(
            images, call_module(folder(name), stored, value_range), atol=1e-6
        )

    def test_gradients_agree_with_finite_differences(self, name, param_of, rng):
        param = param_of(name)
        stored = param.init(seeds_for(3))
        moving = next(k for k in ("z", "latent", "w") if k in stored)
        weights = rng.normal(size=(3, *param.shape)).astype(np.float32)
        step = np.zeros(stored[moving].shape, np.float32)
        step[1, 5] = 1e-2

        def total(change):
            images = param.decode({**stored, moving: stored[moving] + change})
            return tf.reduce_sum(weights * images, axis=(1, 2, 3))

        with tf.GradientTape() as tape:
            tape.watch(stored[moving])
            found = tf.reduce_sum(total(0.0))
        slope = tape.gradient(found, stored[moving]).numpy()
        expected = (total(step) - total(-step)).numpy() / 2e-2

        assert np.abs(slope).max() > 0.05
        np.testing.assert_allclose(expected[[0, 2]], 0, atol=1e-6)
        np.testing.assert_allclose(slope[1, 5], expected[1], rtol=0.03, atol=2e-3)

    def test_scores_rise(self, name, rendered):
        result = rendered(name)

        assert not result.stuck.any()
        assert (result.scores > 1.1 * result.history[0]).all()


@pytest.mark.parametrize("name", ["biggan", "exported"])
def test_a_start_does_not_depend_on_the_order_of_inputs(name, param_of):
    """TensorFlow lists the inputs of a file in a different order in each process."""
    stored = param_of(name).init(seeds_for(1))

    assert list(stored) == sorted(stored)


def test_the_same_seed_gives_the_same_bytes(rendered, param_of, toy_adapter):
    again = render(param_of("s3gan 4"), toy_adapter)

    np.testing.assert_array_equal(again.images, rendered("s3gan 4").images)


class TestRecognizedModules:
    def test_z_of_biggan_starts_and_stays_truncated(self, param_of):
        param = param_of("biggan")
        stored = param.init(seeds_for(20))
        z = stored["z"].numpy()

        assert np.abs(z).max() <= 1
        assert 0.35 < z.std() < 0.5  # 0.5 times 0.88, for normal numbers truncated at 2
        np.testing.assert_array_equal(stored["truncation"], np.full(20, 0.5))
        moved = param.project({**stored, "z": 9 * stored["z"]})
        np.testing.assert_allclose(moved["z"], np.clip(9 * z, -1, 1), rtol=1e-6)

    @pytest.mark.parametrize("size", [120, 140])
    def test_biggan_of_other_sizes(self, size, tmp_path):
        path = save(tmp_path / "module", lambda: biggan(size))
        param = priors.saved_model(path, latents=CLASS_207)

        assert np.abs(param.init(seeds_for(9))["z"]).max() <= 1

    def test_z_of_biggan_follows_the_truncation(self, folder):
        latents = {**CLASS_207, "truncation": priors.held(0.1)}
        param = priors.saved_model(folder("biggan"), latents=latents)

        assert 0.15 < np.abs(param.init(seeds_for(20))["z"]).max() <= 0.2

    @pytest.mark.parametrize(
        ("name", "number", "same"),
        [
            (
                "biggan",
                {"y": 207, "truncation": 0.25},
                {"truncation": priors.held(0.25)},
            ),
            ("s3gan", {"labels": 7}, CLASS_7),
        ],
    )
    def test_a_number_makes_a_constant_latent(self, name, number, same, folder):
        same = {**CLASS_207, **same} if name == "biggan" else same
        one, other = (
            priors.saved_model(folder(name), latents=latents)
            for latents in (number, same)
        )
        np.testing.assert_array_equal(
            one.decode(one.init(seeds_for(2))), other.decode(other.init(seeds_for(2)))
        )

    def test_classes_of_biggan_can_be_mixed(self, folder):
        shares = priors.gaussian(
            1000, mean=1e-3, stddev=0.0, rate=0.01, domain=priors.simplex()
        )
        param = priors.saved_model(folder("biggan"), latents={"y": shares})
        stored = param.init(seeds_for(2))
        with tf.GradientTape() as tape:
            tape.watch(stored["y"])
            total = tf.reduce_sum(param.decode(stored) ** 2)

        assert np.abs(tape.gradient(total, stored["y"])).max() > 0
        moved = {**stored, "y": stored["y"] + 20 * np.arange(1000) / 1000}
        np.testing.assert_allclose(
            np.sum(0.01 * param.project(moved)["y"], axis=1), 1, rtol=1e-4
        )

    def test_latents_of_progan_stay_on_a_shell(self, param_of):
        param = param_of("progan")
        moved = param.project({"latent": 3 * param.init(seeds_for(2))["latent"]})

        length = np.linalg.norm(moved["latent"], axis=1)
        np.testing.assert_allclose(length, np.sqrt(512), rtol=1e-5)

    @pytest.mark.filterwarnings(r"ignore:value_range=\(0, 2\) contradicts")
    def test_arguments_override_recognized_properties(self, folder):
        z = priors.gaussian(120, stddev=0.0)
        param = priors.saved_model(
            folder("s3gan"), latents={**CLASS_7, "z": z}, value_range=(0, 2)
        )
        plain = priors.saved_model(folder("s3gan"), latents={**CLASS_7, "z": z})
        stored = param.init(seeds_for(1))

        assert not stored["z"].numpy().any()
        np.testing.assert_allclose(
            2 * param.decode(stored), plain.decode(stored), atol=1e-6
        )


class TestHeld:
    def test_the_class_changes_the_image(self, folder):
        made = []
        for index in (7, 3):
            latents = {"labels": priors.held(index)}
            param = priors.saved_model(folder("s3gan"), latents=latents)
            made.append(param.decode(param.init(seeds_for(1))).numpy())

        assert np.abs(made[0] - made[1]).max() > 0.02

    def test_constant_latents_get_no_gradient(self, param_of):
        for name, held in (("biggan", ("y", "truncation")), ("s3gan", ("labels",))):
            stored = param_of(name).init(seeds_for(2))
            with tf.GradientTape() as tape:
                tape.watch(stored)
                total = tf.reduce_sum(param_of(name).decode(stored))
            slopes = tape.gradient(total, stored)

            assert {k for k, slope in slopes.items() if slope is None} == {*held}

    def test_the_switch_for_training_is_off(self, param_of, tmp_path):
        without = export(tmp_path / "net", Exported(training=False))
        options, _, _ = WORKING["exported"]
        param = priors.saved_model(without, **options)
        stored = param_of("exported").init(seeds_for(2))
        images = param_of("exported").decode(stored)

        del stored["training"]
        np.testing.assert_allclose(param.decode(stored), images, atol=1e-6)


class TestFixedBatch:
    @pytest.mark.parametrize("n", [1, 4, 6, 9])
    def test_any_number_of_images_can_be_made(self, n, param_of):
        fixed, free = param_of("s3gan 4"), param_of("s3gan")
        stored = free.init(seeds_for(n))
        uphill = tf.random.stateless_normal((n, 16, 16, 3), [1, 2])
        found = []
        for param in (fixed, free):
            with tf.GradientTape() as tape:
                tape.watch(stored["z"])
                images = param.decode(stored)
                total = tf.reduce_sum(uphill * images)
            found.append((images, tape.gradient(total, stored["z"])))

        for one, other in zip(*found):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_graphs_and_eager_calls_agree(self, param_of):
        param = param_of("s3gan 4")
        stored = param.init(seeds_for(5))

        np.testing.assert_allclose(
            tf.function(param.decode)(stored), param.decode(stored), atol=1e-6
        )


class TestChoices:
    def test_tags(self, tmp_path):
        """The tags of compare_gan, whose graph without tags has a fixed batch."""
        path = save(
            tmp_path / "module",
            lambda: s3gan(4),
            (("disc", "bsNone"), s3gan),
            (("gen", "bsNone"), s3gan),
            (("gen", "bs8"), lambda: s3gan(8)),
        )
        batches = {
            str(tags): _modules._load_module(path, "module", None, None, tags).batch
            for tags in (None, (), ("gen", "bs8"))
        }

        assert batches == {"None": None, "()": 4, "('gen', 'bs8')": 8}
        with pytest.raises(ValueError, match=r"tags \['gen'\]. It has \[\], \['bsN"):
            priors.saved_model(path, tags="gen")

    def test_a_graph_for_training_is_not_used(self, tmp_path):
        path = save(
            tmp_path / "module",
            lambda: s3gan(training=True),
            ((), s3gan),
            tags=("train",),
        )

        assert priors.saved_model(path, latents=CLASS_7).shape == (16, 16, 3)
        with pytest.raises(ValueError, match="different images of the same latent"):
            priors.saved_model(path, latents=CLASS_7, tags=["train"])

    def test_unusual_tags_must_be_given(self, tmp_path):
        path = save(tmp_path / "m", s3gan, (("b",), s3gan), tags=("a",))
        with pytest.raises(
            ValueError, match=r"tags \['a'\], \['b'\]. Choose one in Python: .*tags="
        ):
            priors.saved_model(path, latents=CLASS_7)

    def test_signature_and_output(self, folder):
        options = {"value_range": (-1, 1), "latents": {"psi": priors.held(0.7)}}
        path = folder("psi")
        param = priors.saved_model(path, signature="generate", output="b", **options)

        assert param.shape == (16, 16, 3)
        several = r"several outputs: a float32 \(None, 16, 16, 3\), b .* output='a'"
        for wrong, message in (
            ({}, "several signatures: encode, generate. .* signature='encode', or"),
            ({"signature": "genrate"}, "'genrate'. Did you mean 'generate'. It has e"),
            ({"signature": "generate"}, several),
            ({"signature": "generate", "output": "c"}, "no output 'c'. It has a float"),
        ):
            with pytest.raises(ValueError, match=message):
                priors.saved_model(path, **wrong, **options)


class TestHub:
    URL = "https://tfhub.dev/somebody/progan/1"

    def test_a_module_in_the_cache(self, folder, param_of, tmp_path, monkeypatch):
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
        name = hashlib.sha1(self.URL.encode()).hexdigest()
        shutil.copytree(folder("progan"), tmp_path / name)
        param = priors.hub(self.URL)
        stored = param.init(seeds_for(2))

        np.testing.assert_array_equal(
            param.decode(stored), param_of("progan").decode(stored)
        )
        with pytest.raises(ValueError, match=f"{self.URL}' has no output 'images'"):
            priors.hub(self.URL, output="images")

    def test_a_module_that_cannot_be_fetched(self, monkeypatch):
        import tensorflow_hub

        def offline(handle):
            raise OSError("Name or service not known")

        monkeypatch.setattr(tensorflow_hub, "resolve", offline)
        with pytest.raises(ValueError, match="could not be fetched .Name or service"):
            priors.hub(self.URL)


class TestRefused:
    def refused(self, message, folder, error=ValueError, **options):
        with pytest.raises(error, match=message) as caught:
            priors.saved_model(folder, **options)
        assert "\n" not in str(caught.value)

    def test_a_value_range_that_is_not_a_range(self, folder):
        self.refused(
            "`value_range` must be the values", folder("progan"), value_range=()
        )

    def test_biggan_without_a_class(self, folder):
        self.refused(
            "1000 classes. .* latents={'y': 207}",
            folder("biggan"),
        )

    @pytest.mark.parametrize("truncation", [0, 1.5])
    def test_a_truncation_of_biggan_outside_of_its_range(self, truncation, folder):
        latents = {**CLASS_207, "truncation": priors.held(truncation)}
        message = f"at most 1. Received: {truncation:g}. A usual one is"
        self.refused(message, folder("biggan"), latents=latents)

    def test_an_unknown_input(self, folder):
        self.refused(
            r"no input 'label'. Did you mean 'labels'. It takes labels int32 \(None,\)",
            folder("s3gan"),
            latents={"label": priors.held(7)},
        )

    def test_an_argument_that_is_not_a_latent(self, folder):
        for name, latents, example in (
            ("biggan", {"y": "dog"}, r"chosen\(0, 1000\). Received: 'dog'"),
            ("s3gan", {"labels": [7]}, r"held\(0\). Received: \[7\]"),
        ):
            self.refused(example, folder(name), TypeError, latents=latents)

    def test_a_latent_of_another_size(self, folder):
        self.refused(
            r"'y' of .* takes \(1000,\) for each image, but its latent .* \(10,\)",
            folder("biggan"),
            latents={"y": priors.chosen(2, 10)},
        )

    def test_integers_need_a_constant(self, folder):
        self.refused(
            r"'labels' of .* one of 10 classes, .* Hold it constant: "
            r"latents={'labels': 0}, or another number up to 9\.",
            folder("s3gan"),
        )

    def test_integers_cannot_be_optimized(self, folder):
        self.refused(
            "'labels' of .* takes int32, .* cannot be optimized. Hold it constant",
            folder("s3gan"),
            latents={"labels": priors.gaussian()},
        )

    def test_a_class_that_does_not_exist(self, tmp_path):
        def build():
            z, labels = placeholder("z", [None, 8]), placeholder("y", [None], tf.int64)
            table = tf.constant(np.eye(5, dtype=np.float32))
            images = network(tf.concat([z, tf.gather(table, labels)], axis=1))
            return {"default": ({"z": z, "y": labels}, {"default": images})}

        self.refused(
            "selects one of 5 classes, from 0 to 4. Received: 5",
            save(tmp_path / "module", build),
            value_range=(-1, 1),
            latents={"y": priors.held(5)},
        )

    def test_one_number_for_all_images(self, folder):
        options = {"signature": "generate", "output": "a", "value_range": (-1, 1)}
        self.refused(
            r"'psi' of .* one number for all images. Hold it constant: "
            r"latents={'psi': 0.5}",
            folder("psi"),
            **options,
        )
        for latent in (priors.gaussian(), priors.gaussian(optimized=False)):
            self.refused(
                "'psi' of .* images cannot have different ones. Use priors.held",
                folder("psi"),
                latents={"psi": latent},
                **options,
            )

    def test_inputs_with_different_batch_sizes(self, tmp_path):
        def build():
            z, noise = placeholder("z", [4, 8]), placeholder("noise", [8, 2])
            images = network(z) + tf.reduce_mean(noise)
            return {"default": ({"z": z, "noise": noise}, {"default": images})}

        path = save(tmp_path / "module", build)
        self.refused(
            r"takes noise float32 \(8, 2\), z float32 \(4, 8\): no number", path
        )

    def test_an_input_without_a_fixed_size(self, tmp_path):
        def build():
            z = placeholder("z", [None, None])
            images = tf.reshape(tf.tanh(z), [-1, 4, 4, 3])
            return {"default": ({"z": z}, {"default": images})}

        path = save(tmp_path / "module", build)
        self.refused(
            r"'z' of .* shape \(None, None\), .* Give them in Python: .*gaussian", path
        )
        latents = {"z": priors.gaussian(48)}
        param = priors.saved_model(path, latents=latents, value_range=(-1, 1))
        assert param.shape == (4, 4, 3)

    def test_images_of_integers(self, tmp_path):
        path = save(tmp_path / "m", lambda: unknown(dtype=tf.uint8))
        self.refused("Output 'a' of .* is uint8, which has no gradient. Choose", path)

    def test_an_input_without_effect(self, tmp_path):
        def build():
            z, unused = placeholder("z", [None, 8]), placeholder("extra", [None, 2])
            images = network(tf.concat([z, 0 * unused], axis=1))
            return {"default": ({"z": z, "extra": unused}, {"default": images})}

        path = save(tmp_path / "module", build)
        self.refused("of the latent 'extra' is 0", path, value_range=(-1, 1))

    def test_only_constant_latents(self, folder):
        latents = {**CLASS_7, "z": priors.gaussian(120, optimized=False)}
        self.refused(
            "No latent would be optimized: labels, z", folder("s3gan"), latents=latents
        )

    def test_rounding(self, tmp_path):
        def build():
            z = placeholder("z", [None, 8])
            return {"default": ({"z": z}, {"default": tf.round(9 * network(z)) / 9})}

        path = save(tmp_path / "module", build)
        self.refused("latent 'z'", path, value_range=(-1, 1))

    def test_weights_that_are_not_finite(self, tmp_path):
        path = save(tmp_path / "module", lambda: progan(fill=np.nan))
        self.refused("images that are not finite", path)

    def test_an_output_that_is_not_an_image(self, tmp_path):
        def build():
            z = placeholder("z", [None, 8])
            return {"default": ({"z": z}, {"default": tf.tanh(z)})}

        path = save(tmp_path / "module", build)
        self.refused("must return images .n, height", path, value_range=(-1, 1))

    def test_no_signature(self, tmp_path):
        tf.saved_model.save(Exported(), str(tmp_path), signatures={})
        self.refused("has no signature. Export it with", tmp_path)

    def test_paths_that_are_not_saved_models(self, folder, tmp_path):
        self.refused("There is no SavedModel", tmp_path / "none", FileNotFoundError)
        self.refused(r"not a folder with a saved_model.pb\.$", tmp_path)
        path = folder("progan")
        self.refused(f"Did you mean '{path}'", path.parent)
        self.refused(f"Give its folder: '{path}'", path / "saved_model.pb")
        keras_file = tmp_path / "model.keras"
        keras_file.write_bytes(b"")
        self.refused("for the file of a Keras model, use `gan`", keras_file)

    def test_a_damaged_module(self, folder, tmp_path):
        broken = tmp_path / "broken"
        shutil.copytree(folder("progan"), broken)
        shutil.rmtree(broken / "variables")
        self.refused("cannot be loaded as a SavedModel", broken)
        graph = broken / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[:-100])
        self.refused("cannot be loaded as a SavedModel", broken)
