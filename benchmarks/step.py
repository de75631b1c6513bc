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
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
from problems import bare_step, build_problem, full_steps, seconds, start_runner
from tfviz import priors


def main() -> None:
    """Time both steps in turn, and print their ratios."""
    options = arguments()
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    problem = build_problem(
        adapter,
        options.layer,
        options.batch,
        options.size,
        prior(options.prior, options.range),
    )
    runner = start_runner(problem)
    full, bare = full_steps(runner), bare_step(problem, options.size)
    runner.run(0, 16, 0.05)
    full(options.steps)
    bare(options.steps)
    ratios, times = [], []
    for _ in range(options.pairs):
        of_full = seconds(lambda: full(options.steps))
        ratios.append(of_full / seconds(lambda: bare(options.steps)))
        times.append(of_full / options.steps)
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


if __name__ == "__main__":
    main()
