"""What the benchmarks of a step share: problems, the bare step, and timing."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz.objectives import channel
from tfviz.optimize.compilation import compile_function
from tfviz.optimize.options import Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import Problem

# What takes some steps, and returns once they are taken.
Steps = Callable[[int], object]


def build_problem(
    adapter: Any, layer: str, batch: int, size: int, prior: Any = None, **options: Any
) -> Problem:
    """Return the problem of the first channels of a layer, one in each picture."""
    param, transforms = prior, tfviz.transforms.gentle()
    if prior is None:
        param = tfviz.params.fourier(size, size)
        transforms = tfviz.transforms.distill()
    objective = channel(layer, range(batch))
    return Problem(adapter, objective, param, transforms, Options(**options))


def start_runner(problem: Problem) -> Runner:
    """Return a runner with the starts of a problem."""
    units = problem.objective.units
    runner = Runner(problem, seeds_of(problem), units)
    runner.start(seeds_of(problem), units)
    return runner


def seeds_of(problem: Problem) -> Any:
    """Return seeds `(n, 2)` for the pictures of a problem."""
    return np.array([[i, i] for i in range(len(problem.objective))], np.int32)


def bare_step(problem: Problem, size: int, *, by_xla: bool = False) -> Steps:
    """Return what takes bare steps: the network, and the gradient of its input.

    With a learned prior, the bare step includes its decoder, and the gradient is that
    of its latents.

    Args:
        problem: What is optimized.
        size: The height and width of the network's input in pixels.
        by_xla: Whether XLA compiles the step.
    """
    param, objective = problem.param, problem.objective
    latents = param.init(seeds_of(problem))
    is_prior = hasattr(param, "generate")
    start = latents if is_prior else {"images": param.decode(latents)}
    held = {name: tf.Variable(values) for name, values in start.items()}
    units = {name: tf.constant(values) for name, values in objective.units.items()}

    # One step per call: in some processes, several steps in a loop are much slower.
    @tf.function(autograph=False, jit_compile=by_xla)
    def bare() -> None:
        given = {name: tf.identity(values) for name, values in held.items()}
        seen = given.get("images")
        if is_prior:
            low, high = param.value_range
            seen = (param.generate(param.values(given)) - low) / (high - low)
            seen = param.view(tf.cast(seen, tf.float32), (size, size, 3))
        activations = problem.adapter.forward(seen, objective.layers)
        scores = objective.score(activations, seen, {}, units)
        # The next step depends on this one, so that TensorFlow optimizes none away.
        gradients = tf.gradients(scores, list(given.values()))
        for name, gradient in zip(given, gradients, strict=True):
            held[name].assign_add(1e-6 * gradient)

    def take(count: int) -> None:
        for _ in range(count):
            bare()
        for values in held.values():
            values.numpy()

    return take


def full_steps(runner: Runner) -> Steps:
    """Return what takes full steps by a runner.

    They come after the first steps, in which dead units get a redirected gradient.
    """
    return lambda count: runner.run(32, count, 0.05)


def steps_of_one_computation(runner: Runner, count: int) -> Steps:
    """Return what takes `count` steps as a single computation of XLA."""

    def take(seeds: Any, units: Any) -> Any:
        def body(number: Any, history: Any) -> tuple[Any, Any]:
            scores = runner._take_step(seeds, units, 32 + number, tf.constant(0.05))
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


def seconds(run: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def seconds_of_a_step(take: Steps, count: int, repeats: int = 5) -> float:
    """Return the median time of a step, in seconds.

    Args:
        take: Takes steps; it has been called before.
        count: How many steps are taken at once.
        repeats: How many times they are timed.
    """
    times = [seconds(lambda: take(count)) / count for _ in range(repeats)]
    return statistics.median(times)
