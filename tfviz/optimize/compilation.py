"""Compile functions quickly, and so that their memory is free once they are dropped."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

from tfviz._errors import reason_of

# The names under which TensorFlow registers the gradients of `tf.custom_gradient`, and
# the attribute by which an operation of a graph refers to one.
_CUSTOM = "CustomGradient-"
_ATTRIBUTE = "_gradient_op_type"


class CompiledFunction:
    """A function that was traced for arguments of one kind.

    Attributes:
        structured_outputs: The specifications of what it returns.
        graph: Its operations, before TensorFlow optimizes them.
    """

    def __init__(self, concrete: Any, *, loop: bool) -> None:
        self._concrete, self._options = concrete, _unoptimized() if loop else None
        self.structured_outputs = concrete.structured_outputs
        self.graph = concrete.graph

    def __call__(self, *arguments: Any) -> Any:
        """Return the results for some arguments."""
        if self._options is None:
            return self._concrete(*arguments)
        with _call_options(self._options):
            return self._concrete(*arguments)


def compile_function(
    function: Any, *arguments: Any, loop: bool = False
) -> CompiledFunction:
    """Trace a function at once, whose gradients are all computed inside of it.

    One that is traced at its first call counts as one that is traced too often when
    several layers are rendered.

    TensorFlow keeps each gradient of `tf.custom_gradient` for the life of the process,
    and with it the graph it was traced in: about 15 MB for each layer that is rendered.
    As nobody asks for the gradients of this function from outside, they are removed.

    Args:
        function: The function.
        *arguments: Its arguments, or their specifications.
        loop: Whether it is no more than a loop around a function of its own. That one
            is optimized when it is called, so optimizing it as a part of the loop would
            be done in vain, and take longer than all else.

    Raises:
        ValueError: If it contains an operation that has no gradient.
    """
    # The registry has no public way to remove an entry.
    registry = ops.gradient_registry._registry
    known = set(registry)
    traced = tf.function(function, autograph=False)
    try:
        compiled = traced.get_concrete_function(*arguments)
    except LookupError as error:
        if type(error) is not LookupError:  # such as KeyError, a mistake in the program
            raise
        raise ValueError(
            "The unit cannot be optimized, because an operation between the image and "
            f"the unit has no gradient. {reason_of(error)} Choose a unit of an earlier "
            "layer."
        ) from error
    # Only those that this graph uses: other threads may be tracing others.
    if set(registry) != known:
        for name in _custom_gradients(compiled.graph.as_graph_def()):
            if name not in known:
                registry.pop(name, None)
    return CompiledFunction(compiled, loop=loop)


def collect(count: Any, body: Callable[[Any], Any]) -> Any:
    """Run a function several times in a graph, one call after the other.

    Args:
        count: How often, a tensor.
        body: `body(number) -> values`, where `number` counts from 0.

    Returns:
        The float32 values of all calls, `(count, ...)`.

    >>> collect(tf.constant(3), lambda number: tf.cast(number, tf.float32)).numpy()
    array([0., 1., 2.], dtype=float32)
    """

    def write(number: Any, history: Any) -> tuple[Any, Any]:
        return number + 1, history.write(number, body(number))

    _, history = tf.while_loop(
        lambda number, _: number < count,
        write,
        (tf.constant(0), tf.TensorArray(tf.float32, size=count)),
        parallel_iterations=1,
    )
    return history.stack()


def _unoptimized() -> Any:
    """Return TensorFlow's options for a call, without the optimization of its graph."""
    current = context.context().function_call_options.config_proto_serialized
    config = config_pb2.ConfigProto.FromString(current)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return context.FunctionCallOptions(config_proto=config)


@contextmanager
def _call_options(options: Any) -> Iterator[None]:
    """Let this thread call functions with other options in this context."""
    # There is no public way to set them for one call, or for one thread.
    current = context.context()
    before = current.function_call_options
    current.function_call_options = options
    try:
        yield
    finally:
        current.function_call_options = before


def free_memory() -> None:
    """Free the memory of compiled functions that were dropped.

    Graphs are cycles of many small objects, which Python would look for only after
    several layers. The C library of Linux keeps what is freed between pieces that are
    in use, unless it is told to give it back to the system.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not all libraries can
        if trim is not None:
            trim(0)


def _custom_gradients(graph: Any) -> Iterator[str]:
    """Yield the names of the custom gradients in a graph and its inner functions."""
    inner = (node for function in graph.library.function for node in function.node_def)
    for node in (*graph.node, *inner):
        if _ATTRIBUTE in node.attr:
            name = node.attr[_ATTRIBUTE].s.decode()
            if name.startswith(_CUSTOM):
                yield name
