"""Whether a function is being compiled by XLA, which lacks some of the operations."""

from tensorflow.python.framework import ops
from tensorflow.python.ops import control_flow_util


def is_compiling() -> bool:
    """Return whether the function that is being traced is compiled by XLA."""
    # TensorFlow has no public way to ask.
    return control_flow_util.GraphOrParentsInXlaContext(ops.get_default_graph())
