"""Measure what a run of many units costs, as users start it: through the command line.

All channels of some layers of a network are rendered by one `tfviz render`. The pace of
each layer and the memory of the process are printed:

    python benchmarks/many_units.py -o runs
    python benchmarks/many_units.py -o runs --layer fire2 --layer fire9 --steps 16

Afterwards the first half of the last layer's channels is rendered in alternation with
all of them (`fire9:0-255` and `fire9:*`), several times. A cost that is linear in the
units gives a ratio of 2 in the time after the first batch, and a smaller one in the
whole time, which contains the start of the program and the compilation. On a busy
machine, the ratio of processor time tells more.

The memory is the resident set of the process when its 100th picture is finished, when
the last one is, and the largest in between. Everything is written to new folders in
`--output`, so that a benchmark that is killed is started anew without old pictures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTLED = 100  # the picture from which on the memory is to stay the same
MEGABYTE = 1e6


@dataclass
class Run:
    """What was observed of a run.

    Attributes:
        memory: The memory of the process in bytes after each picture.
        seconds: The time since the start at which each picture was finished.
        processor: The processor time of the process at these moments, in seconds.
        whole: The time until the process had ended.
        summary: The last line of the command's JSON.
    """

    memory: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    whole: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    """Run both measurements, and print them."""
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    layers = options.layer or ["fire2", "fire5", "fire9"]
    print_layers(observe([f"{layer}:*" for layer in layers], options))
    channels = count_channels(layers[-1], options)
    half = f"{layers[-1]}:0-{channels // 2 - 1}"
    compare_halves(half, f"{layers[-1]}:*", options)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument("--layer", action="append", help="may be given several times")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3)
    return parser.parse_args()


def observe(units: list[str], options: argparse.Namespace) -> Run:
    """Render units into a new folder, and note time and memory at each picture."""
    folder = tempfile.mkdtemp(dir=options.output)
    command = [sys.executable, "-m", "tfviz.cli", "render", *units, "-o", folder]
    command += ["-m", options.model, "--json"]
    for name in ("size", "steps", "batch_size"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    run = Run()
    began = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        process = Path(f"/proc/{child.pid}")
        for line in child.stdout or ():
            row = json.loads(line)
            if "summary" in row:
                run.summary = row["summary"]
            else:
                run.seconds.append(time.monotonic() - began)
                pages = int((process / "statm").read_text().split()[1])
                run.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
                ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
                run.processor.append(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
    run.whole = time.monotonic() - began
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {child.returncode}.")
    return run


def print_layers(run: Run) -> None:
    """Print the pace of each layer, and the memory of the process."""
    print(f"{'layer':12} {'units':>6} {'a minute':>9} {'compilation':>12}")
    for layer in run.summary["layers"]:
        print(
            f"{layer['layer']:12} {layer['made']:6} {layer['units_a_minute']:9.1f} "
            f"{layer['compilation']:10.1f} s"
        )
    print(f"{'all':12} {run.summary['made']:6} {run.summary['units_a_minute']:9.1f}")
    settled = min(SETTLED, len(run.memory)) - 1
    first, last = run.memory[settled] / MEGABYTE, run.memory[-1] / MEGABYTE
    most = max(run.memory[settled:]) / MEGABYTE
    print(
        f"memory: {first:.0f} MB at unit {settled + 1}, {last:.0f} MB at unit "
        f"{len(run.memory)} ({last - first:+.0f}), at most {most - first:+.0f} MB",
        flush=True,
    )


def count_channels(layer: str, options: argparse.Namespace) -> int:
    """Return how many channels a layer has."""
    command = [sys.executable, "-m", "tfviz.cli", "layers", "-m", options.model]
    shown = subprocess.run(
        [*command, "--json"], check=True, capture_output=True, text=True
    )
    return {row["path"]: row["units"] for row in json.loads(shown.stdout)}[layer]


def compare_halves(half: str, whole: str, options: argparse.Namespace) -> None:
    """Time half of a layer and the whole of it in alternation, and print the ratios."""
    ratios: dict[str, list[float]] = {"time": [], "processor": [], "with start": []}
    for pair in range(options.pairs):
        short, long = observe([half], options), observe([whole], options)
        times = [after_first(run.seconds, options) for run in (short, long)]
        spent = [after_first(run.processor, options) for run in (short, long)]
        ratios["time"].append(times[1] / times[0])
        ratios["processor"].append(spent[1] / spent[0])
        ratios["with start"].append(long.whole / short.whole)
        print(
            f"pair {pair + 1}: {len(short.seconds)} units {times[0]:.1f} s (processor "
            f"{spent[0]:.1f} s, with start {short.whole:.1f} s), {len(long.seconds)} "
            f"units {times[1]:.1f} s ({spent[1]:.1f} s, {long.whole:.1f} s)",
            flush=True,
        )
    print(f"{whole} / {half}, medians of the ratios:")
    for name, values in ratios.items():
        print(f"  {name:10} {statistics.median(values):.3f}")


def after_first(times: list[float], options: argparse.Namespace) -> float:
    """Return the time per picture after the first batch, times all pictures.

    Args:
        times: The time at each picture; those of a batch are written together.
        options: The size of the batches.
    """
    units, batch = len(times), options.batch_size
    return (times[-1] - times[batch - 1]) * units / (units - batch)


if __name__ == "__main__":
    main()
