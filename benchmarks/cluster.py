"""Measure what a unit costs on one processor, and what Ray adds to it.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --sizes 64 128 --layers conv1 fire5 --steps 128
    python benchmarks/cluster.py --only-ray

The first table has the seconds a unit and, in brackets, those of the compilation, by
size and layer of SqueezeNet, for one thread and batches of 8: what a worker of
`tfviz render --ray` takes. It is processor time, which other programs hardly change.

The lines after it are what Ray adds: its start on this machine, the start of a worker
with TensorFlow and the model, and the time of a batch beyond its computation. They are
elapsed time, so the machine should be idle.
"""

import argparse
import resource
import time
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz import params
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.step import REDIRECTED_STEPS
from tfviz.runs.cluster import Cluster, connect
from tfviz.runs.workers import work_through

BATCH = 8
# The steps of a trial.
TRIAL = 4
TASKS = 200


def main() -> None:
    """Print the table of costs, and the overhead of Ray."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument(
        "--layers", nargs="+", default=["conv1", "fire5", "fire9", "logit"]
    )
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--only-ray", action="store_true")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not options.only_ray:
        print_costs(options.sizes, options.layers, options.steps)
    print_overhead()


def print_costs(sizes: list[int], layers: list[str], steps: int) -> None:
    """Print the seconds a unit by size and layer, with those of the compilation."""
    print(f"seconds a unit of {steps} steps, one thread (compilation)")
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    for size in sizes:
        cells = []
        for layer in layers:
            job = Job(
                adapter,
                f"{layer}:0-{BATCH - 1}",
                params.fourier(size, size),
                options=Options(steps=steps, batch_size=BATCH),
            )
            compilation, batch = processor_seconds(job)
            cells.append(f"{layer} {batch / BATCH:.2f} ({compilation:.0f})")
        print(f"{size:4}", *cells, sep="  ", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of all of these {peak:.1f} GB")


def processor_seconds(job: Job) -> tuple[float, float]:
    """Return the processor time of the compilation and of a batch, from a trial."""
    times = [time.process_time()]
    with job.lend_runner(0, job.wanted(0)) as (runner, start):
        start(0)
        runner.outcome()
        times.append(time.process_time())
        start(0)
        runner.outcome()
        times.append(time.process_time())
        # The first steps take longer where units are dead at the start.
        runner.run(REDIRECTED_STEPS, TRIAL, 0.0)
        times.append(time.process_time())
    compilation, rest, trial = np.diff(times).tolist()
    return compilation, rest + job.options.steps * trial / TRIAL


class Idle:
    """A worker that loads the model, and then does nothing."""

    def start(self) -> None:
        """Load what a worker loads."""
        import tfviz  # noqa: PLC0415 (in the process of the worker)

        tfviz.adapt(tfviz.load_model("squeezenet"))

    def do(self, task: int) -> dict[int, dict[str, Any]]:
        """Return as much as a batch of pictures does."""
        entry = {"name": "fire8:20", "score": 1.0, "steps": 128, "file": "x" * 60}
        return dict.fromkeys(range(BATCH), entry)


class Tasks(list):
    """A queue of equal tasks."""

    def take(self, last: Any) -> Any:
        """Remove a task."""
        return self.pop()

    def put_back(self, task: Any) -> None:
        """Add a task again."""
        self.append(task)


def print_overhead() -> None:
    """Print how long Ray, a worker, and a batch that computes nothing take."""
    times = [time.monotonic()]
    cluster = Cluster(workers=1)
    with connect(cluster):
        times.append(time.monotonic())
        tasks = Tasks(range(TASKS))
        for _ in work_through(cluster, Idle, (), tasks, lambda: False):
            times.append(time.monotonic())
    batch = (times[-1] - times[2]) / (TASKS - 1)
    print(f"start of Ray {times[1] - times[0]:.1f} s")
    print(f"start of a worker {times[2] - times[1]:.1f} s")
    print(f"a batch {1000 * batch:.1f} ms, a unit {1000 * batch / BATCH:.2f} ms")


if __name__ == "__main__":
    main()
