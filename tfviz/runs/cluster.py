"""A Ray cluster: how to reach it, and what its workers get."""

import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# The address that starts a Ray of its own on this machine.
LOCAL = "local"
# How long an address may take to answer, in seconds. Ray itself tries for minutes.
PATIENCE = 5.0
# What Ray reads when it is imported.
_ENVIRONMENT = {
    # It would report to its makers what it is used for.
    "RAY_USAGE_STATS_ENABLED": "0",
    # It would print on standard output, between lines of JSON, that a worker has died.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and the resources of a worker on it.

    Attributes:
        address: The address: `HOST:PORT` of the head node, `ray://HOST:PORT` of a Ray
            client server, `auto` for the cluster that this machine belongs to, or
            `local` for a Ray of our own on this machine.
        cpus: The processors of a worker, and the threads of its TensorFlow.
        gpus: The graphics cards of a worker; a part of one lets workers share it.
        workers: The number of workers; None for as many as the nodes have room for.
    """

    address: str = LOCAL
    cpus: int = 1
    gpus: float = 0.0
    workers: int | None = None

    @property
    def resources(self) -> str:
        """What a worker needs, in words."""
        words = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return words + (f" and {self.gpus:g} GPU" if self.gpus else "")


def import_ray() -> Any:
    """Import Ray, which is an extra.

    Raises:
        RuntimeError: If it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError(
            f"--ray needs Ray, which cannot be imported ({error}). Install it: "
            "pip install ray"
        ) from error
    return ray


@contextmanager
def connect(cluster: Cluster) -> Iterator[None]:
    """Connect this process to a cluster; a local Ray is started and ended.

    Args:
        cluster: The cluster.

    Raises:
        RuntimeError: If Ray is not installed, or the cluster does not answer.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if cluster.address == LOCAL:
        options |= {"num_cpus": os.cpu_count(), "include_dashboard": False}
    else:
        _check_answer(cluster.address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Ray, about its next version
        try:
            ray.init(address=cluster.address, **options)
        except ConnectionError as error:
            raise RuntimeError(_no_answer(cluster.address, str(error))) from error
    try:
        yield
    finally:
        ray.shutdown()


def count_workers(cluster: Cluster, most: int) -> int:
    """Return how many workers to start.

    Args:
        cluster: The cluster, which is connected.
        most: The largest number that has something to do.

    Raises:
        RuntimeError: If no node has room for a worker, and the number of workers is not
            given, so that no further nodes can be expected.
    """
    if cluster.workers is not None:
        return min(cluster.workers, most)
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    room = sum(_room(node, cluster) for node in nodes)
    if not room:
        largest = {
            name: max((node.get(name, 0) for node in nodes), default=0)
            for name in ("CPU", "GPU")
        }
        raise RuntimeError(
            f"No node of the Ray cluster has room for a worker of {cluster.resources}: "
            f"the largest numbers are {largest['CPU']:g} CPU and {largest['GPU']:g} "
            "GPU. Lower --ray-cpus or --ray-gpus; or give --ray-workers, which waits "
            "until the cluster has grown."
        )
    return min(room, most)


def worker_options(cluster: Cluster) -> dict[str, Any]:
    """Return the options of Ray for an actor that is a worker.

    Each actor has a process of its own, whose environment is set before TensorFlow
    is imported there.
    """
    # What the user of this process has decided holds for the workers, too.
    kept = ("TF_ENABLE_ONEDNN_OPTS", "TFHUB_CACHE_DIR", "KERAS_BACKEND")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return {
        "num_cpus": cluster.cpus,
        "num_gpus": cluster.gpus,
        # A worker that died is replaced here, so that its work can go to another one.
        "max_restarts": 0,
        "runtime_env": {"env_vars": environment},
    }


def limit_tensorflow(cluster: Cluster) -> None:
    """Let TensorFlow take no more than a worker's resources; called in the worker."""
    import tensorflow as tf  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(cluster.cpus)
    tf.config.threading.set_inter_op_parallelism_threads(cluster.cpus)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def _room(resources: Mapping[str, float], cluster: Cluster) -> int:
    """Return how many workers fit on a node.

    >>> _room({"CPU": 8.0, "GPU": 1.0}, Cluster(cpus=2, gpus=0.5))
    2
    """
    room = resources.get("CPU", 0) // cluster.cpus
    if cluster.gpus:
        room = min(room, resources.get("GPU", 0) // cluster.gpus)
    return int(room)


def _check_answer(address: str) -> None:
    """Refuse an address at which nothing listens.

    Raises:
        RuntimeError: If nothing does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return  # `auto`, which Ray looks up on this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise RuntimeError(_no_answer(address, str(error))) from error


def _no_answer(address: str, reason: str) -> str:
    first = reason.strip().splitlines()[0] if reason.strip() else "no answer"
    return (
        f"No Ray cluster answers at {address!r} ({first.rstrip('.')}). Give the "
        "address that `ray start --head` printed, such as 10.0.0.5:6379, or leave it "
        "out to start Ray on this machine; units come before --ray."
    )
