"""Compare the speed of tfviz with that of Xplique and tf-keras-vis.

    python benchmarks/peers.py -o peers.json
    python benchmarks/peers.py --peers xplique --batch 8 --pairs 2 --steps 16

All three run the same network with the same weights, SqueezeNet v1.1 up to a layer, in
an environment of their own that the first run makes (`.peers`, some minutes and
2 GB), on the same TensorFlow, in float32, with as many threads as TensorFlow takes by
itself. Each library runs in a process of its own that stays: one pair is a run of the
peer and then one of tfviz, with equal numbers of images and steps. Loading and tracing
are not part of the image-steps a second; the time to the first picture contains them,
from the start of the process.

Compared are

* the libraries as they are shipped, except for the size of the images and the range of
  the network's input, which they must be told. Xplique pads, crops, scales, blurs,
  flips and resizes images that are spectra; tf-keras-vis rolls and rotates images of
  pixels, and adds penalties; tfviz pads, shifts, scales, rotates and crops images that
  are spectra;
* Xplique with oneDNN, which TensorFlow turns on by itself only on processors with
  AVX-512, and which tfviz always turns on;
* without transforms and penalties (`plain`): Xplique and tfviz on spectra, tf-keras-vis
  and tfviz on pixels.

Xplique asks for an older TensorFlow than tf-keras-vis and tfviz can share; it works
with the one used here and is installed without its dependencies.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import machine

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("peers_worker.py")
ANSWER = "@answer "
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Of the versions that tfviz runs with here.
SAME = ("tensorflow", "tf_keras", "keras", "numpy")
PACKAGES = ("tf-keras-vis",)
# Xplique, and what it imports of its dependencies.
XPLIQUE = "xplique"
XPLIQUE_NEEDS = (
    "deprecated",
    "einops",
    "matplotlib",
    "opencv-python-headless",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "tensorflow-probability",
)


@dataclass(frozen=True)
class Setting:
    """How a peer and tfviz are run.

    Attributes:
        library: The peer.
        worker: What the peer's process is told.
        tfviz: What that of tfviz is told.
        onednn: The value of TensorFlow's variable in the peer's process; None for its
            default.
        goals: The ratio that tfviz is to reach, by batch size.
    """

    library: str
    worker: tuple[str, ...] = ()
    tfviz: tuple[str, ...] = ()
    onednn: str | None = None
    goals: dict[int, float] = field(default_factory=dict)


PIXELS = ("--plain", "--param", "pixels")
SETTINGS = {
    "xplique": Setting("xplique", goals={1: 3, 8: 5}),
    "xplique-onednn": Setting("xplique", onednn="1", goals={8: 2.6}),
    "xplique-without-onednn": Setting("xplique", onednn="0"),
    "xplique-plain": Setting("xplique", ("--plain",), ("--plain",), onednn="1"),
    "tf-keras-vis": Setting("tf-keras-vis", goals={1: 4, 8: 9}),
    "tf-keras-vis-plain": Setting("tf-keras-vis", ("--plain",), PIXELS, onednn="1"),
}


def main() -> None:
    """Run the pairs of each setting, and print the ratios."""
    options = arguments()
    python = prepare(options.environment)
    about = machine.describe()
    machine.print_machine(about)
    results: dict[str, Any] = {"machine": about, "runs": []}
    results["options"] = {
        "layer": options.layer,
        "size": options.size,
        "steps": options.steps,
        "pairs": options.pairs,
    }
    print(
        f"SqueezeNet up to {options.layer}, {options.size}x{options.size} pixels, "
        f"{options.pairs} pairs of {options.steps} steps"
    )
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.keras"
        common = [
            f"--network={network}",
            f"--layer={options.layer}",
            f"--size={options.size}",
        ]
        subprocess.run(
            [python, WORKER, "tfviz", "--save", *common],
            env=environment(None),
            check=True,
            stderr=subprocess.DEVNULL,
        )
        for batch in options.batch:
            print_heading(batch)
            for name in options.peers:
                told = [*common, f"--batch={batch}", f"--steps={options.steps}"]
                run = compare(python, name, told, options.pairs, batch)
                print_run(run)
                results["runs"].append(run)
    results["versions"] = results["runs"][-1]["peer"]["versions"]
    print(", ".join(f"{name} {v}" for name, v in results["versions"].items()))
    machine.write_json(options.output, results)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=ROOT / ".peers",
        help="the folder of the environment, which is made if it is missing",
    )
    parser.add_argument("--layer", default="fire8")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--peers", nargs="+", choices=sorted(SETTINGS), default=list(SETTINGS)
    )
    parser.add_argument(
        "--steps", type=int, default=32, help="timed steps in a run, a multiple of 16"
    )
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    if options.steps % 16 or options.steps < 1:
        parser.error(f"--steps must be a multiple of 16. Received: {options.steps}")
    return options


def prepare(folder: Path) -> Path:
    """Make the environment, unless it is there, and return its Python."""
    python, finished = folder / "bin" / "python", folder / "peers-installed"
    if not finished.exists():
        print(f"Installing the peers into {folder}, which takes some minutes.")
        venv.create(folder, with_pip=True)
        same = [f"{p}=={metadata.version(p)}" for p in SAME]
        install = [python, "-m", "pip", "install", "--quiet"]
        wanted = [*same, *PACKAGES, *XPLIQUE_NEEDS]
        subprocess.run([*install, "--editable", ROOT, *wanted], check=True)
        subprocess.run([*install, "--no-deps", XPLIQUE], check=True)
        finished.touch()
    return python


def environment(onednn: str | None) -> dict[str, str]:
    """Return the variables of a process."""
    variables = {k: v for k, v in os.environ.items() if k != ONEDNN}
    variables["PEERS_STARTED"] = str(time.time())
    variables["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if onednn is not None:
        variables[ONEDNN] = onednn
    return variables


class Worker:
    """A process that runs one library."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.first = self._read()
        self.seconds: list[float] = []

    def run(self) -> None:
        """Make a picture, and note the seconds of its steps."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.last = self._read()
        self.seconds.append(self.last["seconds"])

    def facts(self, batch: int) -> dict[str, Any]:
        """Return what was measured."""
        return self.first | {
            "image_steps": batch / statistics.median(self.seconds),
            "seconds": self.seconds,
            "megabytes": self.last["megabytes"],
        }

    def _read(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
        raise SystemExit(
            f"A worker has ended without an answer: {self._process.args}. "
            "Its error is above."
        )


@contextmanager
def started(command: list[Any], onednn: str | None) -> Iterator[Worker]:
    """Start a worker, and end it afterwards."""
    with subprocess.Popen(
        [str(part) for part in command],
        env=environment(onednn),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Worker(process)
            process.stdin.close()
            process.wait(60)
        finally:
            process.kill()


def compare(
    python: Path, name: str, told: list[str], pairs: int, batch: int
) -> dict[str, Any]:
    """Run a peer and tfviz in turn, and return what was measured."""
    setting = SETTINGS[name]
    peer_command = [python, WORKER, setting.library, *told, *setting.worker]
    own_command = [python, WORKER, "tfviz", *told, *setting.tfviz]
    with (
        started(peer_command, setting.onednn) as peer,
        started(own_command, None) as own,
    ):
        for _ in range(pairs):
            peer.run()
            own.run()
        ratios = [p / o for p, o in zip(peer.seconds, own.seconds, strict=True)]
        return {
            "setting": name,
            "told": asdict(setting),
            "batch": batch,
            "goal": setting.goals.get(batch),
            "ratio": {
                "min": min(ratios),
                "median": statistics.median(ratios),
                "max": max(ratios),
            },
            "peer": peer.facts(batch),
            "tfviz": own.facts(batch),
        }


def print_heading(batch: int) -> None:
    """Print the heading of a table."""
    print(
        f"\nbatch {batch:<17} {'oneDNN':>6} {'image-steps/s':>15} "
        f"{'ratio: median (min, max)':>25} {'goal':>5} {'megabytes':>12} "
        f"{'first picture':>15}"
    )
    print(f"{'':<23} {'peer':>6} {'peer  tfviz':>15} {'':>25} {'':>5} ", end="")
    print(f"{'peer  tfviz':>12} {'peer  tfviz':>15}")


def print_run(run: dict[str, Any]) -> None:
    """Print a row."""
    peer, own, ratio = run["peer"], run["tfviz"], run["ratio"]
    ratios = f"{ratio['median']:.2f} ({ratio['min']:.2f}, {ratio['max']:.2f})"
    goal = "" if run["goal"] is None else f"{run['goal']:g}"
    print(
        f"{run['setting']:<23} {'on' if peer['onednn'] else 'off':>6} "
        f"{peer['image_steps']:7.1f} {own['image_steps']:7.1f} {ratios:>25} {goal:>5} "
        f"{peer['megabytes']:6.0f} {own['megabytes']:5.0f} "
        f"{peer['first_picture']:6.1f} s {own['first_picture']:4.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
