"""TensorFlow's layout optimizer for graphics cards, run on a card that is made up.

It changes the order of the axes of maps for convolutions. Where it finds a scalar in
the place of a map, it gives up on the whole graph, so that every convolution transposes
its maps by itself.
"""

import keras
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import (
    config_pb2,
    device_properties_pb2,
    meta_graph_pb2,
    rewriter_config_pb2,
)
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.grappler.cluster import Cluster

import tfviz
from tfviz import objectives, params, priors, transforms
from tfviz.optimize.job import Job
from tfviz.optimize.options import PENALTIES, Diversity, Options
from tfviz.optimize.runner import Runner

_MACHINE = "/job:localhost/replica:0/task:0/device:"


def device(kind, **environment):
    properties = device_properties_pb2.DeviceProperties(
        type=kind, frequency=1000, num_cores=60, environment=environment
    )
    return device_properties_pb2.NamedDevice(
        name=f"{_MACHINE}{kind}:0", properties=properties
    )


def optimize_layout(function):
    """Return the nodes of a function after TensorFlow has optimized them for a card."""
    graph = graph_pb2.GraphDef.FromString(
        function.graph.as_graph_def().SerializeToString()
    )
    inner = [node for part in graph.library.function for node in part.node_def]
    for node in [*graph.node, *inner]:
        node.device = f"{_MACHINE}GPU:0"
    metagraph = meta_graph_pb2.MetaGraphDef(graph_def=graph)
    metagraph.collection_def["train_op"].node_list.value.extend(
        tensor.op.name for tensor in function.graph.outputs
    )
    config = config_pb2.ConfigProto()
    rewriter = config.graph_options.rewrite_options
    # In the second round, the branches of conditions have become part of the graph.
    rewriter.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.TWO
    rewriter.min_graph_nodes = -1
    rewriter.fail_on_optimizer_errors = True
    # Its architecture stands for a card for which channels come first.
    cluster = Cluster(devices=[device("CPU"), device("GPU", architecture="7.0")])
    return tf_optimizer.OptimizeGraph(
        config, metagraph, verbose=False, cluster=cluster
    ).node


def reordered(nodes):
    """Return how many maps are brought into the order of the card."""
    return sum("TransposeNHWCToNCHW" in node.name for node in nodes)


def traced_single_step(model, param, transform=None, options=None, unit=None):
    unit = unit or objectives.channel("conv_b", 1)
    job = Job(tfviz.adapt(model, (0, 1)), unit, param, transform, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "run", lambda *_: None)
        with job.lend_runner(0, job.wanted(0)) as (runner, _):
            number = tf.TensorSpec((), tf.int32)
            rate = tf.TensorSpec((), tf.float32)
            step = tf.function(runner._take_step, autograph=False)
            arguments = runner._seeds, runner._units, number, rate
            return step.get_concrete_function(*arguments)


@pytest.fixture(scope="module")
def network():
    """Layers with all kinds of gradients; the small maps reach every pixel."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, 2, activation="relu", name="conv_a"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(12, 3, activation="relu", name="conv_b"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(5, name="logits"),
        ]
    )


def small_prior():
    """A decoder of convolutions, whose images are resized for the network."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    decoder = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2DTranspose(8, 4, 2, "same", activation="leaky_relu"),
            layers.Conv2DTranspose(3, 4, 2, "same"),
        ]
    )
    maps = priors.waves(6, 6, 4, domain=priors.shell(12.0))
    return priors.assembled(
        {"maps": maps}, lambda values: decoder(values["maps"]), value_range=(-1, 1)
    )


class TestTheLayoutOptimizer:
    def test_gives_up_on_a_scalar_in_the_place_of_a_map(self):
        """So the tests below would notice one."""

        @tf.function
        def bounded(images, kernel):
            maps = tf.nn.conv2d(images, kernel, 1, "SAME")
            maps = tf.where(maps > 0.5, maps, 0.0)
            return tf.nn.conv2d(maps, kernel, 1, "SAME")

        specs = tf.TensorSpec((1, 8, 8, 3)), tf.TensorSpec((3, 3, 3, 3))
        with pytest.raises(tf.errors.InvalidArgumentError, match="values 0 does not"):
            optimize_layout(bounded.get_concrete_function(*specs))

    @pytest.mark.parametrize(
        "param",
        [
            lambda: params.fourier(32, 32),
            lambda: params.laplacian(32, 32, levels=2),
            lambda: params.maco(32, 32),
            lambda: params.cppn(32, 32, layers=2, hidden=4),
            small_prior,
            lambda: priors.refined(small_prior(), size=32),
        ],
        ids=["fourier", "laplacian", "maco", "cppn", "prior", "refined prior"],
    )
    def test_adapts_the_step_of_any_param(self, network, param):
        assert reordered(optimize_layout(traced_single_step(network, param()))) > 2

    def test_adapts_a_step_with_all_options(self, network):
        options = Options(
            penalties=dict.fromkeys(PENALTIES, 0.1),
            diversity=Diversity(2, 1.0, "conv_a"),
            gradient_blur=1.0,
            normalize_gradient=True,
            smooth_pools=True,
            alpha=True,
        )
        transform = transforms.chain(transforms.maco(), transforms.blur(0.5, 1.0))
        unit = objectives.neuron("conv_b", 1, 2, 1)
        step = traced_single_step(
            network, params.fourier(32, 32), transform, options, unit
        )
        assert reordered(optimize_layout(step)) > 2

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["inverter", "autoencoder"])
    def test_adapts_the_step_with_a_bundled_prior(self, name):
        """With the inverter, it once failed on the images that are clipped."""
        model = tfviz.load_model("squeezenet")
        unit = objectives.channel("fire8", 3)
        step = traced_single_step(model, priors.load(name), unit=unit)
        assert reordered(optimize_layout(step)) > 2
