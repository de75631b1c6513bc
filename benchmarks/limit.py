"""Measure how far a step is from the limit of this CPU, and where its time goes.

    python benchmarks/limit.py
    python benchmarks/limit.py --layer fire8 --prior gan -o limit.json

The yardstick is the fastest product of two large matrices in this process, and for
operations that only move numbers the speed of the memory. Printed are:

* the arithmetic of each layer of the network and of the decoder, as far as it consists
  of convolutions, matrix products and Fourier transforms, with the time that each
  convolution takes alone, forwards and for the gradient of its input;
* the bare forward pass, the bare gradient, and the full step (`workload.py` says what
  they contain), in milliseconds and as a share of the fastest product;
* the time of the bare gradient and of the full step by type of operation and by
  operation (`profiling.py` says how it is divided among operations that run at once).
"""

import argparse
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import machine
import profiling
import workload
import numpy as np
import tensorflow as tf
from arithmetic import count, needed
from tfviz.optimize.step import Problem

SIZES = (512, 1024, 2048, 3072)  # of the matrices whose product is timed
MEGABYTES = 64  # of an array that no cache holds
TRIES = 7  # runs of each small measurement, of which the fastest counts


@dataclass(frozen=True)
class Product:
    """An operation that consists of sums of products.

    Attributes:
        name: Its name in the graph.
        type: `Conv2D`, `MatMul` and the like.
        shape: Of its output.
        flops: Multiplications and additions, of the whole batch.
        forward: The milliseconds that it takes alone; None if that is not measured.
        backward: The same for the gradient with respect to its input.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    flops: float
    forward: float | None = None
    backward: float | None = None


def main() -> None:
    """Measure everything, and print it."""
    options = arguments()
    about = machine.describe()
    machine.print_machine(about)
    peak, speed = matrix_peak(), memory_speed()
    print(
        f"Fastest matrix product: {peak / 1e9:.0f} GFLOP/s. Memory: {speed / 1e9:.1f} "
        "GB/s, read and written."
    )
    problem = workload.requested_problem(options.layer, options)
    gradient = workload.BareSteps(problem, options.size)
    kinds = {
        "forward": workload.BareSteps(problem, options.size, gradient=False),
        "gradient": gradient,
        "full": workload.full_steps(problem),
    }
    results: dict[str, Any] = {
        "machine": about,
        "options": {k: v for k, v in vars(options).items() if k != "output"},
        "peak_flops": peak,
        "memory_bytes_per_second": speed,
    }
    network, decoder = count_parts(problem, options)
    print_products("Network", network, peak)
    print_products("Decoder", decoder, peak)
    results["network"] = [asdict(product) for product in network]
    results["decoder"] = [asdict(product) for product in decoder]
    gradient_flops = sum(p.flops for p in in_graph(gradient.graph))
    bare = sum(product.flops for product in network)
    decoding = sum(product.flops for product in decoder)
    if options.prior:
        bare += decoding
    flops = {
        "forward": bare,
        "gradient": gradient_flops,
        # A prior's decoder is part of the bare gradient; a spectrum is not.
        "full": gradient_flops + (0 if options.prior else 2 * decoding),
    }
    results["flops"] = flops
    results["milliseconds"] = time_steps(kinds, options)
    print_steps(results["milliseconds"], flops, peak)
    results["profiles"] = {}
    for kind in ("gradient", "full"):
        operations, whole, idle = profiling.profile(kinds[kind], options.steps)
        types = profiling.by_type(operations)
        title = f"{'Bare gradient' if kind == 'gradient' else 'Full step'}"
        parts = profiling.by_category(operations, problem.adapter.name)
        parts["no operation runs"] = idle
        print_operations(title, whole, parts, types, operations[: options.rows])
        results["profiles"][kind] = {
            "milliseconds": whole,
            "parts": parts,
            "types": [asdict(operation) for operation in types],
            "operations": [asdict(operation) for operation in operations],
        }
    machine.write_json(options.output, results)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workload.add_arguments(parser)
    parser.add_argument("--steps", type=int, default=8, help="steps in one run")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each kind")
    parser.add_argument(
        "--rows", type=int, default=30, help="operations that are printed"
    )
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    return parser.parse_args()


def matrix_peak() -> float:
    """Return the operations a second of the fastest product of two square matrices."""
    rates = []
    for size in SIZES:
        one = tf.random.stateless_normal((size, size), (1, 2))
        rates.append(2 * size**3 / fastest(lambda one=one: tf.matmul(one, one)))
    return max(rates)


def memory_speed() -> float:
    """Return the bytes a second that an addition reads and writes."""
    array = tf.zeros(MEGABYTES * 250_000)
    return 2 * MEGABYTES * 1e6 / fastest(lambda: array + 1.0)


def count_parts(
    problem: Problem, options: argparse.Namespace
) -> tuple[list[Product], list[Product]]:
    """Return the products of the network and of the decoder, with their times."""
    shape = (options.batch, options.size, options.size, 3)

    def forward(images: Any) -> Any:
        return problem.adapter.forward(images, problem.objective.layers)

    def decode(seeds: Any) -> Any:
        return problem.param.decode(problem.param.init(seeds))

    network = _graph(forward, tf.TensorSpec(shape, tf.float32))
    decoder = _graph(decode, tf.TensorSpec((options.batch, 2), tf.int32))
    return in_graph(network, timed=True), in_graph(decoder, timed=True)


def _graph(function: Callable, spec: tf.TensorSpec) -> tf.Graph:
    return tf.function(function, autograph=False).get_concrete_function(spec).graph


def in_graph(graph: Any, *, timed: bool = False) -> list[Product]:
    """Return the products of a graph in the order of its operations.

    Args:
        graph: The graph of a concrete function.
        timed: Whether to measure the convolutions.
    """
    products = []
    for operation in needed(graph):
        flops = count(operation)
        if flops:
            shape = tuple(operation.outputs[0].shape)
            times = time_alone(operation) if timed else (None, None)
            product = Product(operation.name, operation.type, shape, flops, *times)
            products.append(product)
    return products


def time_alone(operation: Any) -> tuple[float | None, float | None]:
    """Return the milliseconds of a convolution and of the gradient of its input.

    Each is run alone, on random numbers, as the only operation.
    """
    kind = operation.type
    if kind not in {"Conv2D", "Conv2DBackpropInput"}:
        return None, None
    names = ("strides", "padding", "dilations")
    attributes = {name: operation.get_attr(name) for name in names}
    attributes["padding"] = attributes["padding"].decode()
    transposed = kind == "Conv2DBackpropInput"
    images = operation.outputs[0] if transposed else operation.inputs[0]
    below = operation.inputs[2] if transposed else operation.outputs[0]
    image, kernel, gradient = (
        tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
        for shape in (images.shape, operation.inputs[1].shape, below.shape)
    )

    def convolve() -> Any:
        return tf.raw_ops.Conv2D(input=image, filter=kernel, **attributes)

    def transpose() -> Any:
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=image.shape,
            filter=kernel,
            out_backprop=gradient,
            **attributes,
        )

    both = 1e3 * fastest(convolve), 1e3 * fastest(transpose)
    return (both[1], both[0]) if transposed else both


def fastest(run: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of some runs."""
    run()
    return min(workload.seconds(lambda: run().numpy()) for _ in range(TRIES))


def time_steps(
    kinds: dict[str, workload.Steps], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Run the three kinds of steps in turn, and return milliseconds a step."""
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for repeat in range(options.repeats + 1):
        for kind, run in kinds.items():
            took = workload.seconds(lambda run=run: run(options.steps))
            if repeat:  # the first run compiles
                times[kind].append(1e3 * took / options.steps)
    return {
        kind: {"median": statistics.median(all_), "min": min(all_), "max": max(all_)}
        for kind, all_ in times.items()
    }


def print_products(title: str, products: list[Product], peak: float) -> None:
    """Print the arithmetic of a part, and the time of its convolutions."""
    total = sum(product.flops for product in products)
    print(f"\n{title}: {total / 1e9:.2f} GFLOP forwards, for the whole batch")
    print(
        f"{'operation':<44} {'output':>18} {'GFLOP':>6} "
        f"{'forward':>9} {'of peak':>8} {'backward':>9} {'of peak':>8}"
    )
    for product in products:
        shape = "x".join(map(str, product.shape[1:]))
        row = f"{product.name[-44:]:<44} {shape:>18} {product.flops / 1e9:6.2f}"
        for time in (product.forward, product.backward):
            if time is not None:
                share = product.flops / (time / 1e3 * peak)
                row += f" {time:6.2f} ms {share:8.0%}"
        print(row)
    timed = [product for product in products if product.forward is not None]
    sums = [sum(getattr(p, way) for p in timed) for way in ("forward", "backward")]
    if timed:
        print(f"{'all convolutions alone':<70} {sums[0]:6.2f} ms {sums[1]:15.2f} ms")


def print_steps(
    times: dict[str, dict[str, float]], flops: dict[str, float], peak: float
) -> None:
    """Print the time of each kind of step, and its share of the peak."""
    titles = {
        "forward": "bare forward pass",
        "gradient": "bare gradient",
        "full": "full step",
    }
    print(f"\n{'':<20} {'GFLOP':>7} {'at peak':>9} {'median':>10} {'of peak':>8}")
    for kind, title in titles.items():
        ideal = 1e3 * flops[kind] / peak
        time = times[kind]
        print(
            f"{title:<20} {flops[kind] / 1e9:7.2f} {ideal:6.2f} ms "
            f"{time['median']:7.2f} ms {ideal / time['median']:8.0%} "
            f"(min {time['min']:.2f}, max {time['max']:.2f})"
        )
    ratio = times["full"]["median"] / times["gradient"]["median"]
    print(f"full step / bare gradient: {ratio:.3f}")


def print_operations(
    title: str,
    whole: float,
    parts: dict[str, float],
    types: Iterable[profiling.Operation],
    operations: Iterable[profiling.Operation],
) -> None:
    """Print where the time of a step goes."""
    print(f"\n{title}: {whole:.2f} ms under the profiler")
    for label, time in parts.items():
        print(f"{time:5.2f} ms {time / whole:6.1%}  {label}")
    for heading, rows in (("type", types), ("operation", operations)):
        print(f"{'time':>8} {'share':>6} {'lasting':>8} {'calls':>6}  {heading}")
        for o in rows:
            if o.share >= 0.005:
                label = f"{o.type} ({o.name})" if heading == "type" else o.name
                kind = "" if heading == "type" else f"  [{o.type}]"
                print(
                    f"{o.share:5.2f} ms {o.share / whole:6.1%} {o.duration:5.2f} ms "
                    f"{o.calls:6.1f}  {label}{kind}"
                )


if __name__ == "__main__":
    main()
