"""Measure how much longer a full rendering step takes than the network's gradient.

Both run in this process, on the same truncated network, batch and number of threads:

    python benchmarks/step.py
    python benchmarks/step.py --layer fire9 --prior gan.keras --range=-1,1
    python benchmarks/step.py --check

The bare step consists of the forward pass of the network up to the layer, and of the
gradient of the same objective with respect to the input. The full step adds everything
else: decoding the Fourier spectrum, the transforms with the ranges of the article's
footnote, their gradients, the detection of dead units, and Adam. With a learned prior,
the bare step includes the decoder of the prior as well, and the gradient is taken with
respect to its latents. The traces are those of the step while three batches of units of
one layer are rendered in two calls.

With `--check` it fails where a figure is worse than its limit in `regressions.py`. A
ratio that is gets as many pairs once more: another program may have disturbed the
first.
"""

import argparse
import statistics
import sys
import warnings
from unittest import mock

import machine
import regressions
import workload
import tfviz
from tfviz.optimize.runner import Runner

LAYERS = ("fire8", "fire9")


def main() -> None:
    """Time both steps in turn, print their ratios, and check them if asked to."""
    options = arguments()
    about = machine.describe()
    busy = about["load"] > about["cores"] / 2
    layers = [options.layer] if options.layer else LAYERS
    pairs = {layer: measure(layer, options) for layer in layers}
    traces = count_traces(layers[0])
    print(f"traces of the step for three batches of {layers[0]}: {traces}")
    if not options.check:
        return
    for layer in layers:
        if regressions.find_regressions({layer: pairs[layer]}, traces=0):
            pairs[layer] += measure(layer, options)
    found = regressions.find_regressions(pairs, traces)
    print("\n".join(found) or "No figure is worse than its limit.")
    if found and busy:
        print(
            f"Other programs used this machine: its load was {about['load']} on "
            f"{about['cores']} cores. Try again when it is idle."
        )
    sys.exit(bool(found))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workload.add_arguments(parser)
    parser.set_defaults(layer=None)
    parser.add_argument("--steps", type=int, default=2, help="steps in one run")
    parser.add_argument(
        "--pairs", type=int, default=36, help="pairs of runs to compare"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail if a ratio or the number of traces is worse than its limit",
    )
    options = parser.parse_args()
    for name in ("layer", "size", "batch", "prior", "range"):
        if options.check and getattr(options, name) != parser.get_default(name):
            parser.error(f"the limits of --check are not for another --{name}")
    return options


def measure(layer: str, options: argparse.Namespace) -> list[regressions.Pair]:
    """Return the seconds of full steps and of bare gradients, of each pair of runs."""
    problem = workload.requested_problem(layer, options)
    take_full = workload.full_steps(problem)
    take_bare = workload.BareSteps(problem, options.size)
    take_full(options.steps)
    take_bare(options.steps)
    pairs = []
    for _ in range(options.pairs):
        full = workload.seconds(lambda: take_full(options.steps))
        bare = workload.seconds(lambda: take_bare(options.steps))
        pairs.append((full, bare))
    ratios = [full / bare for full, bare in pairs]
    print(
        f"{options.prior or 'fourier'}, layer {layer}, batch {options.batch}, "
        f"{options.size}x{options.size} pixels, {options.pairs} pairs of "
        f"{options.steps} steps"
    )
    print(
        f"full step / bare step: median {statistics.median(ratios):.3f}, "
        f"min {min(ratios):.3f}, max {max(ratios):.3f}, "
        f"without disturbances {regressions.robust_ratio(pairs):.3f}"
    )
    typical = statistics.median(full for full, _ in pairs)
    print(f"image-steps per second: {options.batch * options.steps / typical:.0f}")
    return pairs


def count_traces(layer: str) -> int:
    """Return how often the step is traced for three batches of units in two calls."""
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    small = tfviz.params.fourier(64, 64)
    step = Runner._take_step
    with (
        warnings.catch_warnings(action="ignore"),  # of dead units
        mock.patch.object(Runner, "_take_step", autospec=True, side_effect=step) as t,
    ):
        for units in (f"{layer}:0-5", f"{layer}:20-21"):
            tfviz.render(adapter, units, small, steps=1, batch_size=4)
    return t.call_count


if __name__ == "__main__":
    main()
