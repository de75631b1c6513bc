"""The computations that the benchmarks of this folder time: a step and its parts.

All run on the same truncated network, batch and number of threads:

* the full step is what `tfviz.render` takes many of;
* the bare gradient is the forward pass of the network up to the layer, and the gradient
  of the same objective with respect to the input. With a learned prior it includes the
  prior's decoder, and the gradient is taken with respect to its latents;
* the bare forward pass is its first half.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz import priors
from tfviz.objectives import channel
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import Problem

# After these steps dead units no longer get a redirected gradient.
EARLY_STEPS = 16


@dataclass(frozen=True)
class Workload:
    """A compiled step with its parts; each function runs so many steps.

    Attributes:
        problem: What the step is compiled for.
        runner: The full step, compiled.
        full: Takes full steps.
        gradient: Takes bare gradients.
        forward: Takes bare forward passes.
        graph: Returns the graph of `gradient` or `forward`, by that name.
    """

    problem: Problem
    runner: Runner
    full: Callable[[int], Any]
    gradient: Callable[[int], Any]
    forward: Callable[[int], Any]
    graph: Callable[[str], Any]


def build(
    layer: str,
    size: int,
    batch: int,
    source: str | None = None,
    value_range: str | None = None,
) -> Workload:
    """Compile the steps for the first channels of a layer of SqueezeNet.

    Args:
        layer: The layer.
        size: The height and width of the pictures, in pixels.
        batch: The number of pictures.
        source: A learned prior, as `tfviz.priors.load` accepts it; by default the
            Fourier spectrum.
        value_range: The range of the prior's images, such as `-1,1`.
    """
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    objective = channel(layer, range(batch))
    param: Any = tfviz.params.fourier(size, size)
    transforms = tfviz.transforms.distill()
    if source is not None:
        ends = value_range and tuple(map(float, value_range.split(",")))
        param = priors.load(source, value_range=ends)
        transforms = tfviz.transforms.gentle()
    problem = Problem(adapter, objective, param, transforms, Options())
    seeds = np.array([[i, i] for i in range(batch)], np.int32)
    runner = Runner(problem, seeds, objective.units)
    runner.start(seeds, objective.units)
    runner.run(0, EARLY_STEPS, 0.05)
    start = {"images": runner.images().astype(np.float32) / 255}
    if source is not None:
        start = param.init(seeds)
    held = {name: tf.Variable(values) for name, values in start.items()}
    units = {name: tf.constant(values) for name, values in objective.units.items()}

    def scores_of(given: dict[str, Any]) -> Any:
        seen = given.get("images")
        if seen is None:
            low, high = param.value_range
            seen = (param.generate(param.values(given)) - low) / (high - low)
            seen = param.view(seen, (size, size, 3))
        activations = adapter.forward(seen, objective.layers)
        return objective.score(activations, seen, {}, units)

    # One step per call: in some processes, several steps in a loop are much slower.
    @tf.function(autograph=False)
    def gradient() -> None:
        given = {name: tf.identity(values) for name, values in held.items()}
        gradients = tf.gradients(scores_of(given), list(given.values()))
        # The next step depends on this one, so that TensorFlow optimizes none away.
        for name, value in zip(given, gradients, strict=True):
            held[name].assign_add(1e-6 * value)

    @tf.function(autograph=False)
    def forward() -> Any:
        return scores_of({name: tf.identity(values) for name, values in held.items()})

    def repeat(step: Callable[[], Any]) -> Callable[[int], None]:
        def run(steps: int) -> None:
            result = None
            for _ in range(steps):
                result = step()
            for value in held.values() if result is None else [result]:
                value.numpy()  # waits for the last step

        return run

    traced = {"gradient": gradient, "forward": forward}
    return Workload(
        problem,
        runner,
        lambda steps: runner.run(2 * EARLY_STEPS, steps, 0.05),
        repeat(gradient),
        repeat(forward),
        lambda kind: traced[kind].get_concrete_function().graph,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is built."""
    parser.add_argument("--layer", default="fire9")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--prior", help="a learned prior: what tfviz.priors.load accepts"
    )
    parser.add_argument(
        "--range", help="the value range of the prior's images, such as -1,1"
    )


def seconds(run: Callable[[], Any]) -> float:
    """Measure the seconds that `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
