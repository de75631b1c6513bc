"""Measure what passes until the first picture: a cold process, phase by phase.

Each repetition starts a new process that runs `tfviz render` with these arguments, and
notes how long each phase takes:

    python benchmarks/first_picture.py
    python benchmarks/first_picture.py -o glob.json -- 'fire*:0' --steps 32
    python benchmarks/first_picture.py fire8:20 --other ../before/.venv/bin/python

With `--other`, a second Python is measured in alternation, such as that of another
checkout, and the table has its times beside the ratio. On a busy machine the time of
the processors tells more than the time that passes; both are noted.

The phases are exclusive, and those of one kind are added up over all layers. Work that
another thread does at the same time counts for the processors alone. What belongs to no
other phase is `everything else`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# The phases, in the order of the table.
TENSORFLOW, STEPS = "import of TensorFlow", "steps"
PHASES = (
    "start of Python",
    TENSORFLOW,
    "import of Keras",
    "other imports",
    "loading the model",
    "planning",
    "tracing",
    "optimizing the graph",
    "starting",
    STEPS,
    "measuring",
    "saving",
    "freeing memory",
    "everything else",
)
# What the speed of tfviz does not depend on.
EXCLUDED = (TENSORFLOW, STEPS)

CHILD = '''
import functools, json, os, sys, threading, time

began, spent = float(sys.argv.pop(1)), time.process_time()
report = sys.argv.pop(1)
seconds = {"start of Python": time.time() - began}
processor = {"start of Python": spent}
stack = []

def note(now, used):
    """Add the time since the last change of phase to the current one."""
    name = stack[-1] if stack else "everything else"
    seconds[name] = seconds.get(name, 0.0) + now - note.at
    processor[name] = processor.get(name, 0.0) + used - note.used
    note.at, note.used = now, used

note.at, note.used = time.time(), time.process_time()

class Phase:
    def __init__(self, name):
        self.name = name
    def __enter__(self):
        note(time.time(), time.process_time())
        stack.append(self.name)
    def __exit__(self, *_):
        note(time.time(), time.process_time())
        stack.pop()

def timed(owner, attribute, name):
    """Count the calls of a function by the main thread as a phase."""
    function = getattr(owner, attribute)
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        if threading.current_thread() is not threading.main_thread():
            return function(*args, **kwargs)
        with Phase(name(*args) if callable(name) else name):
            return function(*args, **kwargs)
    setattr(owner, attribute, wrapped)

with Phase("other imports"):
    import tfviz
    from tfviz.cli import options
with Phase("import of TensorFlow"):
    options.import_tensorflow()
with Phase("import of Keras"):
    import keras
with Phase("other imports"):
    from tfviz import images
    from tfviz.cli import main, output
    from tfviz.models import adapter
    from tfviz.optimize import compilation, job, runner
    from tfviz.runs import picture_folder, run, work

timed(options, "load_adapter", "loading the model")
timed(job.Job, "__init__", "planning")
timed(work.Work, "__init__", "planning")
timed(runner, "compile_function", "tracing")
timed(runner, "free_memory", "freeing memory")
ran = set()

def phase_of_run(own, *_):
    first = id(own) not in ran
    ran.add(id(own))
    return "optimizing the graph" if first else "steps"

timed(runner.Runner, "run", phase_of_run)
timed(runner.Runner, "start", "starting")
for name in ("outcome", "images"):
    timed(runner.Runner, name, "measuring")
timed(images, "save", "saving")
main.main(sys.argv[1:], standalone_mode=False)
note(time.time(), time.process_time())
with open(report, "w") as file:
    json.dump({"seconds": seconds, "processor": processor}, file)
'''


def main() -> None:
    """Measure, and print the table."""
    options = arguments()
    pythons = {"this": sys.executable}
    if options.other:
        pythons["other"] = options.other
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    for number in range(options.repeat):
        for name, python in pythons.items():
            runs[name].append(observe(python, options))
            whole = sum(runs[name][-1]["seconds"].values())
            print(f"run {number + 1} of {name}: {whole:.1f} s", file=sys.stderr)
    for kind in ("seconds", "processor"):
        print_table(kind, runs)
    if options.output:
        text = json.dumps({"arguments": options.render, "runs": runs}, indent=1)
        options.output.write_text(text)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "render",
        nargs="*",
        default=["fire8:20"],
        help="units and options of `tfviz render`; options after --",
    )
    parser.add_argument("-n", "--repeat", type=int, default=5)
    parser.add_argument("--other", metavar="PYTHON", help="another Python to compare")
    parser.add_argument("-o", "--output", type=Path, help="the numbers of all runs")
    return parser.parse_args()


def observe(python: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run the command once in a new process, and return the times of its phases."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "times.json"
        done = subprocess.run(
            [
                *(python, "-c", CHILD, str(time.time()), str(report), "render"),
                *(*options.render, "-o", str(Path(folder) / "pictures")),
            ],
            check=False,
            capture_output=True,
            text=True,
            # Not where a package `tfviz` lies, which Python would import.
            cwd=folder,
        )
        if done.returncode:
            raise SystemExit(f"The command failed: {done.stderr}")
        return json.loads(report.read_text())


def print_table(kind: str, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print the median, the least and the largest time of each phase."""
    words = {"seconds": "seconds that passed", "processor": "seconds of the processors"}
    print(f"\n{words[kind]:28}" + "".join(f"{name:^24}" for name in runs))
    sums = {
        "all but TensorFlow and steps": [p for p in PHASES if p not in EXCLUDED],
        "all": [*PHASES],
    }
    rows = {phase: [phase] for phase in PHASES} | sums
    for name, phases in rows.items():
        medians, cells = [], ""
        for some in runs.values():
            times = [sum(run[kind].get(phase, 0.0) for phase in phases) for run in some]
            medians.append(statistics.median(times))
            cells += f"{medians[-1]:8.2f} ({min(times):.2f}-{max(times):.2f})".ljust(24)
        known = medians[1:] and medians[0] > 0.005
        ratio = f"{medians[1] / medians[0]:6.2f}" if known else ""
        print(f"{name:28}{cells}{ratio}", flush=True)


if __name__ == "__main__":
    main()
