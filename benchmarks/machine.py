"""What the figures of a benchmark depend on: processor, threads, versions.

It imports no TensorFlow, so that the starter of other processes stays small.
"""

import json
import os
import platform
import resource
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("tensorflow", "keras", "numpy", "tfviz", "xplique", "tf-keras-vis")


def describe() -> dict[str, Any]:
    """Return the processor, the cores of this process, and the versions of packages."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter, as far as they are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def print_machine(machine: dict[str, Any]) -> None:
    """Print the description in two lines."""
    print(
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load']} "
        f"at the start, Python {machine['python']}"
    )
    print(", ".join(f"{name} {v}" for name, v in machine["versions"].items()))


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def write_json(path: Path | None, results: dict[str, Any]) -> None:
    """Write the results to a file, if one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


def _processor() -> str:
    """Return the processor's name, and the widest vectors that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    vectors = [name for name in ("avx512f", "avx2") if name in flags]
    return f"{facts.get('model name', platform.processor())} ({', '.join(vectors)})"
