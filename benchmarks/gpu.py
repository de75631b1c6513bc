"""Measure everything that should be fast on a GPU, in at most ten minutes.

    python benchmarks/gpu.py -o gpu.json
    python benchmarks/gpu.py --tiny            # on a CPU, whether the script runs

Each result is printed at once, and written to the file with all that came before it.
The script ends by itself when its time is over; what was not measured by then says so.
Beside the numbers it prints the goals:

* a full step takes at most 1.25 times as long as the network's forward pass and input
  gradient compiled by XLA, at batches of 32 and 128;
* 10,000 image-steps a second at 224 pixels;
* with a learned prior, a full step takes at most 1.3 times as long as its decoder, the
  network and their gradient;
* the first picture of a cold process after 10 seconds;
* 6,000 training images a second for the inverter at 64 pixels.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Processes that this one starts need memory, too.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
import workload
from PIL import Image
from tfviz import priors
from tfviz.optimize.compilation import free_memory
from tfviz.optimize.memory import free_memory_of_gpu, step_bytes
from tfviz.optimize.step import Problem

ROOT = Path(__file__).parent.parent
LAYER = "fire8"
# The least number of seconds for which a measurement is begun.
LEAST = 15
# A line is printed after this many seconds without one.
HEARTBEAT = 20
# The steps of one computation, as `render` takes them between two callbacks.
BLOCK = 16


class Report:
    """What was measured: printed, and written to a file.

    Args:
        minutes: After this time, no measurement is begun, and soon the process ends.
        output: The file to write to, or None.
    """

    def __init__(self, minutes: float, output: Path | None) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + 60 * minutes
        self.output = output
        self.results: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self.doing = "starting"
        self.complete = False
        self._printed = time.monotonic()
        self._lock = threading.RLock()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.deadline - time.monotonic()

    def add(self, name: str, **values: Any) -> None:
        """Note a result, print it, and write all results."""
        with self._lock:
            self.results.append({"name": name} | values)
            shown = "  ".join(f"{k}={_shown(v)}" for k, v in values.items())
            self.print(f"{name:<28}{shown}")
            self.save()

    def print(self, line: str) -> None:
        """Print a line, with the seconds since the beginning."""
        with self._lock:
            print(f"[{time.monotonic() - self.began:5.0f} s] {line}", flush=True)
            self._printed = time.monotonic()

    def save(self) -> None:
        """Write all results so far."""
        if self.output is None:
            return
        contents = {
            "facts": self.facts,
            "results": self.results,
            "goals": goals(self.results),
            "complete": self.complete,
            "seconds": round(time.monotonic() - self.began, 1),
        }
        part = self.output.with_suffix(".part")
        part.write_text(json.dumps(contents, indent=1))
        part.replace(self.output)

    def value(self, name: str, key: str, **where: Any) -> Any:
        """Return a value of the first result with this name and these values."""
        return find(self.results, name, key, **where)

    def end(self) -> None:
        """Print the goals, and write everything."""
        with self._lock:
            self.print("goals")
            for line in goal_lines(self.results):
                print(f"  {line}", flush=True)
            self.save()

    def _watch(self) -> None:
        """Print a line now and then, and end the process when its time is over."""
        while True:
            time.sleep(1)
            if time.monotonic() - self._printed > HEARTBEAT:
                self.print(f"... {self.doing}")
                self.save()
            # A compilation cannot be interrupted in another way.
            if self.left < -LEAST:
                self.doing += ", which was not finished in time"
                self.end()
                os._exit(0)


def find(results: list[dict[str, Any]], name: str, key: str, **where: Any) -> Any:
    """Return a value of the first result with this name and these values, or None."""
    for row in results:
        if row["name"] == name and where.items() <= row.items() and key in row:
            return row[key]
    return None


def goals(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each goal with what was measured; None where nothing was."""
    rows: list[dict[str, Any]] = []

    def goal(about: str, value: float | None, limit: float, *, most: bool) -> None:
        met = None if value is None else (value <= limit if most else value >= limit)
        limit_text = f"at most {limit:g}" if most else f"at least {limit:,g}"
        rows.append({"goal": about, "limit": limit_text, "value": value, "met": met})

    def full(name: str, **where: Any) -> float | None:
        """Return the milliseconds of the faster way to take full steps."""
        ways = ("step", "step by XLA")
        times = [find(results, name, "ms", way=way, **where) for way in ways]
        return min([t for t in times if t is not None], default=None)

    for batch in (32, 128):
        of_full = full("fourier", batch=batch)
        bare = find(results, "fourier", "ms", way="bare by XLA", batch=batch)
        ratio = of_full / bare if of_full and bare else None
        goal(f"step / bare step by XLA, batch {batch}", ratio, 1.25, most=True)
    rates = [
        row["image_steps"]
        for row in results
        if row["name"] == "fourier" and "image_steps" in row and row["size"] == 224
        if row["way"].startswith("step")
    ]
    goal("image-steps a second, 224 px", max(rates, default=None), 10_000, most=False)
    for prior in ("inverter", "autoencoder"):
        for precision in (None, "bfloat16", "float16"):
            where = {"precision": precision}
            of_full = full(prior, **where)
            ways = ("bare", "bare by XLA")
            bare = [find(results, prior, "ms", way=way, **where) for way in ways]
            fastest = min([time for time in bare if time is not None], default=None)
            ratio = of_full / fastest if of_full and fastest else None
            about = f"step / bare step, {prior}, {precision or 'float32'}"
            goal(about, ratio, 1.3, most=True)
    seconds = find(results, "first picture", "seconds")
    goal("seconds to the first picture", seconds, 10, most=True)
    speed = find(results, "training of the inverter", "images")
    goal("training images a second", speed, 6000, most=False)
    return rows


def goal_lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each goal."""
    for row in goals(results):
        verdict = {None: "not measured", True: "met", False: "missed"}[row["met"]]
        value = "" if row["value"] is None else f"{row['value']:,.2f}"
        yield f"{row['goal']:<44}{row['limit']:>16}{value:>12}  {verdict}"


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


class Ways:
    """The ways to take steps of a problem, each timed and reported.

    Args:
        report: The report.
        name: The name of the param.
        size: The height and width of the network's input in pixels.
        steps: How many steps are timed at once.
    """

    def __init__(self, report: Report, name: str, size: int, steps: int) -> None:
        self.report, self.name, self.size, self.steps = report, name, size, steps

    def time(
        self,
        way: str,
        make: Callable[[], workload.Steps],
        batch: int,
        **facts: Any,
    ) -> None:
        """Time one way, unless there is no time left or it fails.

        Args:
            way: The name of the way.
            make: Returns what takes steps.
            batch: The number of pictures.
            **facts: What else to report.
        """
        report = self.report
        row = {"way": way, "batch": batch, "size": self.size} | facts
        if report.left < LEAST:
            report.add(self.name, **row, not_measured="no time left")
            return
        report.doing = f"{self.name}, {way}, batch {batch}"
        reset_peak()
        try:
            began = time.monotonic()
            take = make()
            take(self.steps)
            compiled = time.monotonic() - began
            seconds = workload.seconds_of_a_step(take, self.steps)
        except (tf.errors.OpError, ValueError) as error:
            report.add(
                self.name, **row, failed=f"{type(error).__name__}: {error}"[:300]
            )
            return
        report.add(
            self.name,
            **row,
            ms=1000 * seconds,
            image_steps=batch / seconds,
            compile_seconds=round(compiled, 1),
            **peak_memory(),
        )


def reset_peak() -> None:
    """Free what earlier measurements left, and forget the peak of the memory."""
    free_memory()
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_memory() -> dict[str, float]:
    """Return the peak of the GPU's memory in MB, or nothing on a CPU."""
    if not tf.config.list_physical_devices("GPU"):
        return {}
    return {"peak_mb": tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6}


def describe_device() -> dict[str, Any]:
    """Return the versions and the device."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    build = tf.sysconfig.get_build_info()
    return {
        "tfviz": tfviz.__version__,
        "tensorflow": tf.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "python": sys.version.split()[0],
        "devices": [d.get("device_name", "GPU") for d in details] or ["CPU"],
        "cores": os.cpu_count(),
        "free_memory_mb": (free_memory_of_gpu() or 0) / 1e6,
    }


def measure_steps(report: Report, adapter: Any, options: argparse.Namespace) -> None:
    """Measure the bare and the full step in each way, and the memory of a step."""
    ways = Ways(report, "fourier", options.size, options.steps)
    for batch in options.batches:

        def problem(xla: bool, batch: int = batch) -> Problem:
            return workload.build_problem(
                adapter, options.layer, batch, options.size, xla=xla
            )

        def bare(xla: bool, problem: Any = problem) -> workload.Steps:
            return workload.BareSteps(problem(xla), options.size, by_xla=xla)

        def full(xla: bool, problem: Any = problem) -> workload.Steps:
            return workload.full_steps(problem(xla))

        ways.time("bare", lambda bare=bare: bare(False), batch)
        ways.time("bare by XLA", lambda bare=bare: bare(True), batch)
        ways.time("step", lambda full=full: full(False), batch)
        ways.time("step by XLA", lambda full=full: full(True), batch)
        if report.left > LEAST:
            estimate = step_bytes(problem(False), workload.seeds_of(problem(False)))
            report.add("memory", batch=batch, estimated_mb=estimate / 1e6)


def measure_blocks(report: Report, adapter: Any, options: argparse.Namespace) -> None:
    """Measure several steps as one computation of XLA."""
    ways = Ways(report, "fourier", options.size, options.steps)
    for batch in options.batches[:2]:

        def block(batch: int = batch) -> workload.Steps:
            problem = workload.build_problem(
                adapter, options.layer, batch, options.size
            )
            return workload.steps_of_one_computation(problem, options.steps)

        ways.time("block by XLA", block, batch)


def measure_priors(report: Report, adapter: Any, options: argparse.Namespace) -> None:
    """Measure steps with learned priors, in each precision."""
    for name in ("inverter", "autoencoder")[: options.priors]:
        ways = Ways(report, name, options.size, options.steps)
        size = None if name == "inverter" else options.size
        for precision in (None, "bfloat16", "float16")[: options.precisions]:
            prior = priors.load(name, size, precision=precision)
            facts = {"precision": precision}
            for xla in (False, True)[: options.prior_ways]:
                problem = workload.build_problem(
                    adapter,
                    options.layer,
                    options.prior_batch,
                    options.size,
                    prior,
                    xla=xla,
                )
                end = " by XLA" if xla else ""
                ways.time(
                    f"bare{end}",
                    lambda problem=problem, xla=xla: workload.BareSteps(
                        problem, options.size, by_xla=xla
                    ),
                    options.prior_batch,
                    **facts,
                )
                ways.time(
                    f"step{end}",
                    lambda problem=problem: workload.full_steps(problem),
                    options.prior_batch,
                    **facts,
                )


def measure_switch(report: Report, options: argparse.Namespace, switch: str) -> None:
    """Measure steps without TF32, or with deterministic operations.

    They cannot be switched back, so another process measures them.
    """
    if report.left < 2 * LEAST:
        report.add(switch, not_measured="no time left")
        return
    report.doing = f"steps with {switch}"
    command = [sys.executable, __file__, "--switch", switch, *options.again]
    answer = run(command, report.left)
    rows = [json.loads(line) for line in answer.splitlines() if line.startswith("{")]
    for row in rows:
        before = report.value("fourier", "ms", way=row["way"], batch=row["batch"])
        report.add(switch, **row, ratio=row["ms"] / before if before else None)
    if not rows:
        report.add(switch, not_measured=answer[-200:] or "no time left")


def print_switched(options: argparse.Namespace) -> None:
    """Print the time of steps as JSON, after a switch was set."""
    if options.switch == "deterministic":
        tf.keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    else:
        tf.config.experimental.enable_tensor_float_32_execution(False)
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    batch = options.switch_batch
    for xla in (False,) if options.tiny else (False, True):
        problem = workload.build_problem(
            adapter, options.layer, batch, options.size, xla=xla
        )
        take = workload.full_steps(problem)
        take(options.steps)
        seconds = workload.seconds_of_a_step(take, options.steps)
        way = "step by XLA" if xla else "step"
        print(json.dumps({"way": way, "batch": batch, "ms": 1000 * seconds}))


def measure_first_picture(report: Report, options: argparse.Namespace) -> None:
    """Measure how long a cold process takes to write one picture."""
    report.doing = "the first picture of a cold process"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "tfviz.cli",
            "render",
            "fire8:20",
            "-o",
            folder,
        ]
        command += ["--steps", str(options.first_steps), "--size", str(options.size)]
        began = time.monotonic()
        run(command, report.left)
        if list(Path(folder).glob("*.png")):
            seconds = time.monotonic() - began
            report.add("first picture", seconds=seconds, steps=options.first_steps)
        else:
            report.add("first picture", not_measured="no picture was made in time")


def measure_training(report: Report, options: argparse.Namespace) -> None:
    """Measure the speed of the training of an inverter, on photos that are made up."""
    report.doing = "the training of an inverter"
    with tempfile.TemporaryDirectory() as folder:
        photos = options.photos or make_photos(
            Path(folder, "photos"), options.train_size
        )
        command = [sys.executable, "-m", "tfviz.cli", "priors", "train", "inverter"]
        command += ["--images", str(photos), "-o", str(Path(folder, "out"))]
        command += [
            "--size",
            str(options.train_size),
            "--batch",
            str(options.train_batch),
        ]
        command += ["--held-out", "16", "--minutes", str(options.train_minutes)]
        command += ["--steps", str(options.train_steps)]
        answer = run(command, min(report.left, 60 * options.train_minutes + 60))
        speeds = re.findall(r"([\d,.]+) images/s", answer)
        if speeds:
            facts = {"batch": options.train_batch, "size": options.train_size}
            images = float(speeds[-1].replace(",", ""))
            report.add("training of the inverter", images=images, **facts)
        else:
            last = answer.strip().splitlines()[-1:]
            report.add("training of the inverter", not_measured=str(last)[:200])


def make_photos(folder: Path, size: int, count: int = 1100) -> Path:
    """Write smooth random pictures as JPEG files, for want of photos."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        waves = random.integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(waves).resize((size, size), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.jpg")
    return folder


def run(command: list[str], seconds: float) -> str:
    """Run a command for at most some seconds, and return what it printed."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max(seconds, 1),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return late.stdout.decode() if late.stdout else ""
    return done.stdout


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="the JSON file to write")
    parser.add_argument("--minutes", type=float, help="end after this time")
    parser.add_argument("--tiny", action="store_true", help="small, for a CPU")
    parser.add_argument("--batches", help="such as 1,8,32,128")
    parser.add_argument("--photos", type=Path, help="photos to train on")
    parser.add_argument("--switch", choices=("deterministic", "no TF32"))
    options = parser.parse_args()
    tiny = options.tiny
    options.again = ["--tiny"] if tiny else []
    options.minutes = options.minutes or (1.7 if tiny else 9.5)
    # The batch that `render` has by default comes first, and the goals next.
    batches = options.batches or ("2" if tiny else "8,128,32,1")
    options.batches = [int(batch) for batch in batches.split(",")]
    options.layer = "fire2" if tiny else LAYER
    options.size, options.steps = (48, 2) if tiny else (224, BLOCK)
    options.priors, options.precisions = (1, 2) if tiny else (2, 3)
    options.prior_ways = 1 if tiny else 2
    options.prior_batch, options.switch_batch = (2, 2) if tiny else (32, 32)
    options.first_steps = 4 if tiny else 256
    options.train_size, options.train_batch = (16, 8) if tiny else (64, 128)
    options.train_steps = 3 if tiny else 16_000
    options.train_minutes = 1.0
    return options


def main() -> None:
    """Measure everything, the most important first."""
    options = arguments()
    if options.switch:
        print_switched(options)
        return
    report = Report(options.minutes, options.output)
    report.facts = describe_device()
    report.print(json.dumps(report.facts))
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    measure_steps(report, adapter, options)
    for measure in (measure_first_picture, measure_training):
        if report.left > LEAST:
            measure(report, options)
    measure_priors(report, adapter, options)
    measure_blocks(report, adapter, options)
    for switch in ("no TF32", "deterministic"):
        measure_switch(report, options, switch)
    report.complete = not any("not_measured" in row for row in report.results)
    report.doing = "done"
    report.end()


if __name__ == "__main__":
    main()
