"""The computations that the benchmarks of this folder time: a step and its parts.

All are of the same problem, on the same truncated network and batch:

* the full step is what `tfviz.render` takes many of; several can be one computation of
  XLA;
* the bare gradient is the forward pass of the network up to the layer, and the gradient
  of the same objective with respect to the input. With a learned prior it includes the
  prior's decoder, and the gradient is taken with respect to its latents;
* the bare forward pass is its first half.
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
from tfviz.objectives import channel
from tfviz.optimize.compilation import compile_function
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import REDIRECTED_STEPS, Problem

# What takes some steps, and returns once they are taken.
Steps = Callable[[int], Any]

RATE = 0.05
# The first step that is timed: no dead unit gets a redirected gradient any more.
FIRST = 2 * REDIRECTED_STEPS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the problem that `requested_problem` returns."""
    parser.add_argument("--layer", default="fire9")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--prior", help="a learned prior: what tfviz.priors.load accepts"
    )
    parser.add_argument(
        "--range", help="the value range of the prior's images, such as -1,1"
    )


def requested_problem(layer: str, options: argparse.Namespace) -> Problem:
    """Return the problem of a layer of SqueezeNet with the other options as given."""
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    prior = None
    if options.prior is not None:
        ends = options.range and tuple(map(float, options.range.split(",")))
        prior = priors.load(options.prior, value_range=ends)
    return build_problem(adapter, layer, options.batch, options.size, prior)


def build_problem(
    adapter: Any, layer: str, batch: int, size: int, prior: Any = None, **options: Any
) -> Problem:
    """Return the problem of the first channels of a layer, one in each picture.

    Args:
        adapter: The network.
        layer: The layer.
        batch: The number of pictures.
        size: The height and width of the pictures, in pixels.
        prior: A learned prior; by default the Fourier spectrum.
        **options: Other fields of `Options`.
    """
    param, transforms = prior, tfviz.transforms.gentle()
    if prior is None:
        param = tfviz.params.fourier(size, size)
        transforms = tfviz.transforms.distill()
    objective = channel(layer, range(batch))
    return Problem(adapter, objective, param, transforms, Options(**options))


def seeds_of(problem: Problem) -> Any:
    """Return seeds `(n, 2)` for the pictures of a problem."""
    return np.array([[i, i] for i in range(len(problem.objective))], np.int32)


class BareSteps:
    """Takes bare gradients, or bare forward passes, when called with their number.

    Args:
        problem: What is optimized.
        size: The height and width of the network's input in pixels.
        gradient: Whether the gradient is taken, too.
        by_xla: Whether XLA compiles the step.
    """

    def __init__(
        self,
        problem: Problem,
        size: int,
        *,
        gradient: bool = True,
        by_xla: bool = False,
    ) -> None:
        self._problem, self._size = problem, size
        param, units = problem.param, problem.objective.units
        self._is_prior = hasattr(param, "generate")
        latents = param.init(seeds_of(problem))
        start = latents if self._is_prior else {"images": param.decode(latents)}
        self._held = {name: tf.Variable(values) for name, values in start.items()}
        self._units = {name: tf.constant(values) for name, values in units.items()}
        # One step per call: in some processes, several in a loop are much slower.
        self._step = tf.function(
            self._gradient if gradient else self._forward,
            autograph=False,
            jit_compile=by_xla,
        )

    def __call__(self, count: int) -> None:
        """Take some steps."""
        result = None
        for _ in range(count):
            result = self._step()
        for values in self._held.values() if result is None else [result]:
            values.numpy()  # waits for the last step

    @property
    def graph(self) -> Any:
        """The graph of a step."""
        return self._step.get_concrete_function().graph

    def _forward(self) -> Any:
        return self._scores(self._given())

    def _gradient(self) -> None:
        given = self._given()
        gradients = tf.gradients(self._scores(given), list(given.values()))
        # The next step depends on this one, so that TensorFlow optimizes none away.
        for name, gradient in zip(given, gradients, strict=True):
            self._held[name].assign_add(1e-6 * gradient)

    def _given(self) -> dict[str, Any]:
        return {name: tf.identity(values) for name, values in self._held.items()}

    def _scores(self, given: dict[str, Any]) -> Any:
        param, objective = self._problem.param, self._problem.objective
        seen = given.get("images")
        if self._is_prior:
            low, high = param.value_range
            seen = (param.generate(param.values(given)) - low) / (high - low)
            seen = tf.cast(seen, tf.float32)
            seen = param.view(seen, (self._size, self._size, 3))
        activations = self._problem.adapter.forward(seen, objective.layers)
        return objective.score(activations, seen, {}, self._units)


def full_steps(problem: Problem) -> Steps:
    """Return what takes full steps."""
    runner = _start_runner(problem)
    return lambda count: runner.run(FIRST, count, RATE)


def steps_of_one_computation(problem: Problem, count: int) -> Steps:
    """Return what takes `count` full steps as a single computation of XLA."""
    runner = _start_runner(problem)

    def take(seeds: Any, units: Any) -> Any:
        def body(number: Any, history: Any) -> tuple[Any, Any]:
            scores = runner._take_step(seeds, units, FIRST + number, tf.constant(RATE))
            row = tf.reshape(number, (1, 1))
            return number + 1, tf.tensor_scatter_nd_update(history, row, scores[None])

        empty = tf.zeros((count, seeds.shape[0]))
        return tf.while_loop(
            lambda number, _: number < count,
            body,
            (tf.constant(0), empty),
            maximum_iterations=count,
        )[1]

    by_xla = tf.function(take, autograph=False, jit_compile=True)
    compiled = compile_function(by_xla, runner._seeds, runner._units)
    return lambda _: compiled(runner._seeds, runner._units).numpy()


def _start_runner(problem: Problem) -> Runner:
    seeds, units = seeds_of(problem), problem.objective.units
    runner = Runner(problem, seeds, units)
    runner.start(seeds, units)
    return runner


def seconds(run: Callable[[], Any]) -> float:
    """Return the seconds that a function takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def seconds_of_a_step(take: Steps, count: int, repeats: int = 5) -> float:
    """Return the median time of a step, in seconds.

    Args:
        take: Takes steps; it has been called before.
        count: How many steps are taken at once.
        repeats: How many times they are timed.
    """
    times = [seconds(lambda: take(count)) / count for _ in range(repeats)]
    return statistics.median(times)
