"""The memory of compiled functions."""

import gc

import pytest
import tensorflow as tf
from support import build_toy
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph

import tfviz
from tfviz import params, transforms
from tfviz.optimize.compilation import compile_function
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.runner import KEPT, cache_of


def count_graphs():
    gc.collect()
    return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())


@tf.custom_gradient
def twice(x):
    return x + x, lambda upstream: 3 * upstream


def test_the_gradients_of_a_compiled_function_are_its_own():
    def in_a_loop(x):
        inner = tf.function(
            lambda x: tf.gradients(twice(x), x)[0],
            autograph=False,
            experimental_attributes={"_noinline": True},
        )
        return tf.while_loop(
            lambda i, _: i < 2, lambda i, y: (i + 1, y + inner(y)), (0, x)
        )[1]

    before = set(ops.gradient_registry.list())
    compiled = compile_function(in_a_loop, tf.TensorSpec((2,), tf.float32))

    assert compiled(tf.constant([1.0, 2.0])).numpy().tolist() == [7, 8]
    assert set(ops.gradient_registry.list()) == before


def in_a_loop(x):
    inner = tf.function(
        lambda x: 2 * x + 1,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )
    return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, inner(y)), (0, x))[1]


@pytest.fixture
def _optimizing():
    """Graphs are optimized, as they are outside of tests."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options(before)


def is_optimized(options):
    config = config_pb2.ConfigProto.FromString(options)
    return not config.graph_options.rewrite_options.disable_meta_optimizer


@pytest.mark.usefixtures("_optimizing")
@pytest.mark.parametrize("loop", [True, False])
def test_the_function_in_a_loop_is_optimized_as_it_is_called(loop, monkeypatch):
    """And not before that, in vain, as a part of the loop."""
    compiled = compile_function(in_a_loop, tf.TensorSpec((), tf.float32), loop=loop)
    calls = [
        node.attr["config_proto"].s
        for function in compiled.graph.as_graph_def().library.function
        for node in function.node_def
        if "config_proto" in node.attr
    ]
    seen = []
    concrete = compiled._concrete

    def call(*arguments):
        options = context.context().function_call_options
        seen.append(is_optimized(options.config_proto_serialized))
        return concrete(*arguments)

    monkeypatch.setattr(compiled, "_concrete", call)
    before = context.context().function_call_options

    assert float(compiled(tf.constant(1.0))) == 15
    assert seen == [not loop]
    assert [is_optimized(call) for call in calls] == [True]
    assert context.context().function_call_options is before


def test_an_operation_without_a_gradient_is_an_error_of_its_layer():
    """TensorFlow raises a bare LookupError, whose subclasses are mistakes."""
    image = tf.TensorSpec((4, 4, 3), tf.float32)

    def hue(x):
        return tf.gradients(tf.image.adjust_hue(x, 0.1), x)[0]

    with pytest.raises(ValueError, match="an operation .* has no gradient.*AdjustHue"):
        compile_function(hue, image)
    with pytest.raises(KeyError, match="mistake"):
        compile_function(lambda x: {}["mistake"], image)


def test_gradients_that_others_registered_are_kept():
    """Also while the function is traced, as another thread would."""
    graphs = []

    def traced(x):
        with tf.Graph().as_default() as graph:
            y = tf.constant(1.0)
            graphs.append((graph, twice(y), y))
        return x

    compile_function(traced, tf.TensorSpec((), tf.float32))
    graph, result, y = graphs[0]
    with graph.as_default():
        gradient = tf.gradients(result, y)[0]
    with tf.compat.v1.Session(graph=graph) as session:
        assert session.run(gradient) == 3


@pytest.mark.slow
def test_a_layer_that_is_no_longer_kept_leaves_no_graph():
    """Guards against about 15 MB for each layer that a run goes through."""
    adapter = tfviz.adapt(build_toy(), (0, 1))
    param, moves = params.fourier(32, 32), transforms.jitter(2)

    def render():
        units = ["conv_a:0", "conv_b:0", "logit:0", "pool:0", "conv_a:0@1,1"]
        list(Job(adapter, units, param, moves, Options(steps=1)).run())
        assert len(cache_of(adapter)) == KEPT < len(units)
        return count_graphs()

    assert render() == render()
