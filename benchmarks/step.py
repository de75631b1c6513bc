"""Compare the full rendering step with the bare gradient of the network.

Both run in this process, on the same truncated network, batch and threads:

    python benchmarks/step.py

The bare step is the forward pass of the network up to the layer and the gradient of
the same objective with respect to the input. The full step adds everything else:
decoding the Fourier spectrum, the transforms with the ranges of the article's
footnote, their gradients, the watch for dead units, and Adam.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz._ascent import Ascent
from tfviz.objectives import channel


def main() -> None:
    """Time both, in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", default="fire9")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8, help="in one run")
    parser.add_argument("--pairs", type=int, default=9, help="of runs to compare")
    options = parser.parse_args()

    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    objective = channel(options.layer, range(options.batch))
    param = tfviz.params.fourier(options.size, options.size)
    transforms = tfviz.transforms.distill()
    ascent = Ascent(adapter, objective, param, transforms)
    seeds = np.array([[i, i] for i in range(options.batch)], np.int32)
    ascent.start(seeds, objective.units)
    images = tf.Variable(ascent.images().astype(np.float32) / 255)
    units = {name: tf.constant(values) for name, values in objective.units.items()}

    # One step a call: the same steps in a loop are sometimes much slower, by process.
    @tf.function(autograph=False)
    def bare() -> None:
        seen = tf.identity(images)
        activations = adapter.forward(seen, objective.layers)
        scores = objective.score(activations, seen, {}, units)
        # The next step depends on this one, so that none is optimized away.
        images.assign_add(1e-6 * tf.gradients(scores, seen)[0])

    def run_full() -> None:
        # Past the first steps, in which dead units are woken.
        ascent.run(32, options.steps, 0.05)

    def run_bare() -> None:
        for _ in range(options.steps):
            bare()
        images.numpy()

    ascent.run(0, 16, 0.05)
    run_full()
    run_bare()
    ratios, times = [], []
    for _ in range(options.pairs):
        full, plain = seconds(run_full), seconds(run_bare)
        ratios.append(full / plain)
        times.append(full / options.steps)
    print(
        f"layer {options.layer}, batch {options.batch}, "
        f"{options.size}x{options.size} pixels, {options.pairs} pairs of "
        f"{options.steps} steps"
    )
    print(
        f"full step / bare step: median {statistics.median(ratios):.3f}, "
        f"min {min(ratios):.3f}, max {max(ratios):.3f}"
    )
    print(f"traces of the step: {ascent.traces}")
    rate = options.batch / statistics.median(times)
    print(f"image-steps per second: {rate:.0f}")


def seconds(run: Callable[[], None]) -> float:
    """Return how long `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
