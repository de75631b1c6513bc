"""Measure how the time of a step and the memory grow with size, batch and depth.

    python benchmarks/growth.py -o growth.json
    python benchmarks/growth.py --sizes 64 128 --batches 1 8 --layers fire2 --steps 16

Each row is a process of its own that renders channels of a layer of SqueezeNet with the
defaults of `tfviz.render`: one thing varies, the others are those of `fire8`, batch 8
and 224 pixels. The first picture, with as many steps as are timed, is counted from the
start of the process; the steps are timed in a second run. The memory is the largest
resident set. How the cost grows with the units is measured by `many_units.py`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine

BLOCK = 16  # steps between two callbacks of `tfviz.render`
STARTED = "GROWTH_STARTED"


@dataclass(frozen=True)
class Point:
    """What a process renders."""

    layer: str = "fire8"
    size: int = 224
    batch: int = 8


def main() -> None:
    """Run each row in its own process, and print it."""
    options = arguments()
    if options.point:
        layer, size, batch = options.point
        print(json.dumps(measure(Point(layer, int(size), int(batch)), options.steps)))
        return
    about = machine.describe()
    machine.print_machine(about)
    rows = {
        "size": [run(Point(size=size), options.steps) for size in options.sizes],
        "batch": [run(Point(batch=batch), options.steps) for batch in options.batches],
        "layer": [run(Point(layer=layer), options.steps) for layer in options.layers],
    }
    machine.write_json(options.output, {"machine": about, "rows": rows})


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[96, 128, 224, 320, 448]
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument(
        "--layers", nargs="+", default=["fire2", "fire4", "fire6", "fire8", "logit"]
    )
    parser.add_argument(
        "--steps", type=int, default=64, help="timed steps, a multiple of 16"
    )
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    if options.steps % BLOCK or options.steps < 1:
        parser.error(f"--steps must be a multiple of 16. Received: {options.steps}")
    return options


def run(point: Point, steps: int) -> dict[str, Any]:
    """Measure a point in a process of its own, and print the row."""
    told = [str(value) for value in astuple(point)]
    finished = subprocess.run(
        [sys.executable, __file__, f"--steps={steps}", "--point", *told],
        env=os.environ | {STARTED: str(time.time()), "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row = json.loads(finished.stdout.splitlines()[-1])
    print(
        f"{row['layer']:<6} {row['size']:4} px, batch {row['batch']:2}: "
        f"{1e3 * row['seconds']:7.1f} ms a step, {row['image_steps']:5.0f} image-steps "
        f"a second, {row['megabytes']:5.0f} MB, first picture "
        f"{row['first_picture']:5.1f} s",
        flush=True,
    )
    return row


def measure(point: Point, steps: int) -> dict[str, Any]:
    """Render twice, and return what the second run and the process cost."""
    import tfviz  # noqa: PLC0415

    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    param = tfviz.params.fourier(point.size, point.size)
    units = f"{point.layer}:0-{point.batch - 1}"
    times: list[float] = []

    def render(count: int) -> None:
        times.clear()
        tfviz.render(
            adapter,
            units,
            param,
            steps=count,
            batch_size=point.batch,
            callbacks=[lambda _: times.append(time.perf_counter())],
        )

    render(steps)
    first = time.time() - float(os.environ[STARTED])
    render(steps + BLOCK)
    blocks = [end - start for start, end in pairwise(times)]
    seconds = statistics.median(blocks) / BLOCK
    return {
        "layer": point.layer,
        "size": point.size,
        "batch": point.batch,
        "seconds": seconds,
        "image_steps": point.batch / seconds,
        "first_picture": first,
        "megabytes": machine.peak_memory(),
    }


if __name__ == "__main__":
    main()
