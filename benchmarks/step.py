"""Measure how much longer a full rendering step takes than the network's gradient.

Both run in this process, on the same truncated network, batch and number of threads:

    python benchmarks/step.py
    python benchmarks/step.py --prior gan.keras --range=-1,1

The bare step consists of the forward pass of the network up to the layer, and of the
gradient of the same objective with respect to the input. The full step adds everything
else: decoding the Fourier spectrum, the transforms with the ranges of the article's
footnote, their gradients, the detection of dead units, and Adam. With a learned prior,
the bare step includes the decoder of the prior as well, and the gradient is taken with
respect to its latents.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz import priors
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import Problem
from tfviz.objectives import channel


def main() -> None:
    """Time both steps in turn, and print their ratios."""
    options = arguments()
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    objective = channel(options.layer, range(options.batch))
    param, transforms = prior(options.prior, options.range), tfviz.transforms.gentle()
    if param is None:
        param = tfviz.params.fourier(options.size, options.size)
        transforms = tfviz.transforms.distill()
    problem = Problem(adapter, objective, param, transforms, Options())
    seeds = np.array([[i, i] for i in range(options.batch)], np.int32)
    runner = Runner(problem, seeds, objective.units)
    runner.start(seeds, objective.units)
    start = {"images": runner.images().astype(np.float32) / 255}
    if options.prior:
        start = param.init(seeds)
    held = {name: tf.Variable(values) for name, values in start.items()}
    units = {name: tf.constant(values) for name, values in objective.units.items()}

    # One step per call: in some processes, several steps in a loop are much slower.
    @tf.function(autograph=False)
    def bare() -> None:
        given = {name: tf.identity(values) for name, values in held.items()}
        seen = given.get("images")
        if options.prior:
            low, high = param.value_range
            seen = (param.generate(param.values(given)) - low) / (high - low)
            seen = param.view(seen, (options.size, options.size, 3))
        activations = adapter.forward(seen, objective.layers)
        scores = objective.score(activations, seen, {}, units)
        # The next step depends on this one, so that TensorFlow optimizes none away.
        for name, slope in zip(
            given, tf.gradients(scores, list(given.values())), strict=True
        ):
            held[name].assign_add(1e-6 * slope)

    def run_full() -> None:
        # After the first steps, in which dead units get a redirected gradient.
        runner.run(32, options.steps, 0.05)

    def run_bare() -> None:
        for _ in range(options.steps):
            bare()
        for values in held.values():
            values.numpy()

    runner.run(0, 16, 0.05)
    run_full()
    run_bare()
    ratios, times = [], []
    for _ in range(options.pairs):
        full, plain = seconds(run_full), seconds(run_bare)
        ratios.append(full / plain)
        times.append(full / options.steps)
    print(
        f"{options.prior or 'fourier'}, layer {options.layer}, batch {options.batch}, "
        f"{options.size}x{options.size} pixels, {options.pairs} pairs of "
        f"{options.steps} steps"
    )
    print(
        f"full step / bare step: median {statistics.median(ratios):.3f}, "
        f"min {min(ratios):.3f}, max {max(ratios):.3f}"
    )
    print(f"traces of the step: {runner.traces}")
    rate = options.batch / statistics.median(times)
    print(f"image-steps per second: {rate:.0f}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", default="fire9")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8, help="steps in one run")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of runs to compare")
    parser.add_argument(
        "--prior", help="a learned prior: what tfviz.priors.load accepts"
    )
    parser.add_argument(
        "--range", help="the value range of the prior's images, such as -1,1"
    )
    return parser.parse_args()


def prior(source: str | None, value_range: str | None) -> Any:
    """Load the learned prior, if there is one."""
    if source is None:
        return None
    ends = None if value_range is None else tuple(map(float, value_range.split(",")))
    return priors.load(source, value_range=ends)


def seconds(run: Callable[[], None]) -> float:
    """Measure the seconds that `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
