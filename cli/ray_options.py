"""The options `--ray`, which let a command work on a Ray cluster."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from tfviz.cli import param_types as types
from tfviz.runs.cluster import LOCAL, Cluster, connect

_ADDRESS = re.compile(r"auto|local|(ray://)?(\[[\da-fA-F:]+\]|[^:/\s]+):\d+")
# The options beside `--ray`, by the attributes of a cluster.
_RESOURCES = {"cpus": "ray_cpus", "gpus": "ray_gpus", "workers": "ray_workers"}


class _Address(click.ParamType):
    """The address of a Ray cluster."""

    name = "ADDRESS"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        # The option without an address is an empty text.
        if value and not _ADDRESS.fullmatch(value):
            self.fail(
                f"{value!r} is not the address of a Ray cluster. Give HOST:PORT, such "
                "as 10.0.0.5:6379, ray://HOST:PORT or auto; write --ray last, or "
                "--ray=local, to start Ray on this machine.",
                param,
                ctx,
            )
        return value


def ray_options(command: Callable) -> Callable:
    """Add the options that let a command work on a Ray cluster."""
    decorators = [
        click.option(
            "--ray",
            "ray_address",
            is_flag=False,
            flag_value="",
            type=_Address(),
            metavar="[ADDRESS]",
            help="Work on a Ray cluster: HOST:PORT of its head, ray://HOST:PORT, or "
            "auto for the cluster of this machine. Without an address, the one "
            "in RAY_ADDRESS is used; if there is none, Ray is started on this machine. "
            "Write units before this option. It needs Ray: pip install ray.",
        ),
        click.option(
            "--ray-cpus",
            type=click.IntRange(min=1),
            metavar="N",
            show_default="1",
            help="The number of processors of each worker, which uses as many threads.",
        ),
        click.option(
            "--ray-gpus",
            type=types.Positive(),
            metavar="N",
            show_default="0",
            help="The number of graphics cards of each worker; 0.5 lets two workers "
            "share one.",
        ),
        click.option(
            "--ray-workers",
            type=click.IntRange(min=1),
            metavar="N",
            show_default="as many as the cluster has room for",
            help="The number of workers. If there is no room for them, the command "
            "waits for the cluster to grow.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


# The options of `ray_options`, for the sections of a help text.
RAY_SECTION = ("--ray", *(f"--ray-{name}" for name in _RESOURCES))
# The parameters of `ray_options`, which `open_cluster` takes.
RAY_OPTIONS = ("ray_address", *_RESOURCES.values())


@contextmanager
def open_cluster(
    settings: Mapping[str, Any], **refused: Any
) -> Iterator[Cluster | None]:
    """Connect to the cluster that the options describe, before anything is loaded.

    Args:
        settings: The parameters of the command, with those of `ray_options`.
        **refused: Options that do not work on a cluster, by their names, and whether
            they are given.

    Yields:
        The cluster, or None without `--ray`.

    Raises:
        click.UsageError: If an option lacks `--ray`, or does not work with it.
        RuntimeError: If Ray is not installed, or the cluster does not answer.
    """
    address = settings["ray_address"]
    resources = {
        name: settings[option]
        for name, option in _RESOURCES.items()
        if settings[option] is not None
    }
    if address is None:
        if resources:
            given = ", ".join(f"--ray-{name}" for name in resources)
            raise click.UsageError(
                f"{given} is for workers on a Ray cluster. Add --ray, or leave it out."
            )
        yield None
        return
    for name, value in refused.items():
        if value:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{option} does not work with --ray. Leave out one of them."
            )
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    cluster = Cluster(address, **resources)
    with connect(cluster):
        yield cluster


def unsent(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of the model that workers cannot get."""
    return {name: settings[name] for name in ("custom", "threads")}


def respond_to_of(cluster: Cluster | None, settings: Mapping[str, Any]) -> Any:
    """Return what computes the responses to images: workers, or None without them.

    Args:
        cluster: The cluster, which is connected, or None.
        settings: The options of the model.
    """
    if cluster is None:
        return None
    from tfviz.runs.remote_examples import respond_on  # noqa: PLC0415

    source, unsafe = settings["model"], settings["allow_unsafe"]
    return respond_on(cluster, source, allow_unsafe=unsafe)


def make_batches_of(cluster: Cluster | None, settings: Mapping[str, Any]) -> Callable:
    """Return the function that makes batches: on a cluster, or in this process.

    Args:
        cluster: The cluster, which is connected, or None.
        settings: The options of the model.
    """
    if cluster is None:
        from tfviz.runs.run import make_batches  # noqa: PLC0415

        return make_batches
    from tfviz.runs.remote_pictures import make_batches_on  # noqa: PLC0415

    return make_batches_on(cluster, allow_unsafe=settings["allow_unsafe"])
