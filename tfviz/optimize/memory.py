"""How many pictures fit into the memory of the device at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.client import device_lib

from tfviz.optimize.compilation import compile_function
from tfviz.optimize.options import LARGEST_BATCH
from tfviz.optimize.step import Problem, compute_step

# More pictures at once make a GPU hardly faster.
LARGEST = 256
# The share of the free memory that may be used: the estimate knows nothing of what
# convolutions need beside their results.
SHARE = 0.8


def largest_fitting(free: int, of_one: int) -> int:
    """Return the largest power of two up to 256 of pictures that fit into memory.

    Args:
        free: The free memory in bytes, of which 80 % are used.
        of_one: The bytes that a step needs for each picture.

    >>> largest_fitting(10_000, 100), largest_fitting(10_000, 9_000)
    (64, 1)
    """
    batch = LARGEST
    while batch > 1 and batch * of_one > SHARE * free:
        batch //= 2
    return batch


def free_memory_of_gpu() -> int | None:
    """Return how many bytes of the first GPU are free; None without a GPU."""
    for device in device_lib.list_local_devices():
        if device.device_type == "GPU":
            used = tf.config.experimental.get_memory_info("GPU:0")["current"]
            return int(device.memory_limit) - used
    return None


def fitting_batch(problem: Problem, seeds: Any) -> int:
    """Return how many pictures to optimize at once on this machine.

    On a CPU these are 8. On a GPU, a step of the pictures is traced, but not run, and
    its tensors are taken to be in memory all at once. That is more than it needs, since
    memory is used again within a step.

    Args:
        problem: What is optimized; few pictures, as each takes the same memory.
        seeds: `(n, 2)`, their seeds.
    """
    free = free_memory_of_gpu()
    if free is None:
        return LARGEST_BATCH
    return largest_fitting(free, step_bytes(problem, seeds) // len(seeds))


def step_bytes(problem: Problem, seeds: Any) -> int:
    """Return the bytes of all tensors in a step.

    Args:
        problem: What is optimized.
        seeds: `(n, 2)`, the seeds of its pictures.
    """
    units = {name: tf.constant(v) for name, v in problem.objective.units.items()}
    n = len(seeds)

    def trace(seeds: Any) -> Any:
        latents = problem.param.init(seeds)
        return compute_step(
            problem,
            latents,
            units,
            seeds,
            tf.constant(0),
            fired=tf.zeros(n, tf.bool),
            threshold=tf.zeros(n),
        ).gradients

    graph = compile_function(trace, tf.constant(seeds, tf.int32)).graph
    return sum(_sizes(graph))


def _sizes(graph: Any) -> Iterator[int]:
    """Yield the bytes of each tensor in a graph and in the functions that it calls."""
    graphs = [graph, *(function.graph for function in graph._functions.values())]
    for part in graphs:
        for operation in part.get_operations():
            for tensor in operation.outputs:
                if tensor.shape.is_fully_defined():
                    yield int(np.prod(tensor.shape)) * tensor.dtype.size
