"""Pictures that are made by workers on a Ray cluster."""

import hashlib
import json
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfviz import transforms
from tfviz._files import list_differences
from tfviz._storage import AnyPath
from tfviz.optimize.attempts import Attempts, expect_success
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.options import Options
from tfviz.optimize.plan import LayerPlan
from tfviz.runs.cluster import Cluster, limit_tensorflow
from tfviz.runs.run import FinishedBatch, never, save_attempt
from tfviz.runs.shipping import ShippedModel, ShippedParam, ship_model, ship_param
from tfviz.runs.work import Work
from tfviz.runs.workers import GivenUp, work_through

# Network file systems may show a new file only after a moment, in seconds.
_PATIENCE = 5.0
# Settings that may differ between machines; the bytes may differ then, too.
_VERSIONS = ("tfviz", "versions")


def make_batches_on(
    cluster: Cluster, *, allow_unsafe: bool = False
) -> Callable[..., Iterator[FinishedBatch]]:
    """Return a function like `make_batches` whose batches are made on a cluster.

    The pictures are those that `make_batches` makes: the plan, the slots and the seeds
    are the same. The batches come in the order in which they are finished, and take the
    time since the last one, so that speeds are those of all workers together. The
    callbacks are not called.

    Args:
        cluster: The cluster, which is connected.
        allow_unsafe: Whether the files of the model and of a prior may contain Python
            code.
    """

    def make(
        work: Work,
        model: str,
        callbacks: Sequence[Callback] = (),
        stopping: Callable[[], bool] = never,
    ) -> Iterator[FinishedBatch]:
        recipe = describe_job(work.job, model, allow_unsafe=allow_unsafe)
        with closing(_make(cluster, work, recipe, stopping)) as batches:
            known = bool(work.finished)
            yield from expect_success(batches, _reason, succeeded=known)

    return make


@dataclass(frozen=True)
class ShippedJob:
    """A job as plain data, from which each worker makes the same job again.

    Attributes:
        model: The model.
        param: The param.
        units: The units as they were given: texts.
        start: The latents of the starts, or None.
        settings: The settings of the job.
        plan: A digest of its pictures and their places in batches.
        model_name: The name or path of the model, for the manifest.
    """

    model: ShippedModel
    param: ShippedParam
    units: tuple[str, ...]
    start: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    plan: str
    model_name: str

    def make_job(self) -> Job:
        """Make the job again."""
        return Job(
            self.model.load(),
            list(self.units),
            self.param.load(),
            transforms.from_spec(self.settings["transforms"]),
            Options.from_spec(self.settings),
            start=self.start,
        )


def describe_job(job: Job, model: str, *, allow_unsafe: bool = False) -> ShippedJob:
    """Return a job as plain data, if all of it can be sent to another machine.

    Args:
        job: The job.
        model: The name or path of its model.
        allow_unsafe: Whether the files of the model and of a prior may contain Python
            code.

    Raises:
        ValueError: If something cannot be sent, such as a param of your own.
    """
    asked = job.asked if isinstance(job.asked, (list, tuple)) else [job.asked]
    if not all(isinstance(unit, str) for unit in asked):
        raise ValueError(
            "Only units that are given as texts can be sent to the workers on a "
            "cluster, such as fire8:20. Write them as texts, or render without Ray."
        )
    try:
        transforms.from_spec(job.settings["transforms"])
        Options.from_spec(job.settings)
    except ValueError as error:
        raise ValueError(
            "A transform, stop rule or optimizer of your own cannot be sent to the "
            f"workers on a cluster. {error}"
        ) from error
    return ShippedJob(
        ship_model(job.adapter, model, allow_unsafe=allow_unsafe),
        ship_param(job.param, allow_unsafe=allow_unsafe),
        tuple(asked),
        job.start,
        job.settings,
        plan_digest(job),
        model,
    )


def plan_digest(job: Job) -> str:
    """Return a digest of the pictures of a job, and of their places in batches."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in job.batches:
        digest.update(f"{batch.places} {batch.slots} {batch.size}\n".encode())
    for picture in job.pictures:
        facts = [picture.text, picture.name, picture.repeat, picture.seed]
        digest.update(f"{json.dumps(facts)}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class BatchTask:
    """A batch that a worker is to make.

    Attributes:
        number: The number of the batch in the job.
        layer: The place of its layer in the plan.
        wanted: The pictures to make, as `Job.wanted` returns them.
        files: The file of each of these pictures, by its place in the job.
    """

    number: int
    layer: int
    wanted: tuple[int, ...]
    files: tuple[tuple[int, AnyPath], ...]


class LayerQueue:
    """The batches that are left, by layer.

    A worker keeps the compiled step of its layer, so it goes on with this layer, and
    then with the one that has the most batches left.

    Args:
        plans: The plan of each layer.
        make_task: Returns the task of a batch, by the layer and the number.

    >>> plans = [LayerPlan("fire2", 8, 1, numbers=(0,)),
    ...          LayerPlan("fire3", 16, 2, numbers=(1, 2))]
    >>> def make_task(layer, number):
    ...     return BatchTask(number, layer, wanted=(), files=())
    >>> queue = LayerQueue(plans, make_task)
    >>> first, second = queue.take(None), queue.take(None)
    >>> first.number, second.number, queue.take(first).number, len(queue)
    (1, 0, 2, 0)
    """

    def __init__(
        self, plans: Sequence[LayerPlan], make_task: Callable[[int, int], BatchTask]
    ) -> None:
        self._left = [deque(plan.numbers) for plan in plans]
        self._make_task = make_task

    def __len__(self) -> int:
        """Return the number of batches that are left."""
        return sum(map(len, self._left))

    def take(self, last: BatchTask | None) -> BatchTask:
        """Remove a batch and return it; `last` is what its worker has made last."""
        if last is not None and self._left[last.layer]:
            layer = last.layer
        else:
            layer = max(range(len(self._left)), key=lambda i: len(self._left[i]))
        return self._make_task(layer, self._left[layer].popleft())

    def put_back(self, task: BatchTask) -> None:
        """Add a batch again whose worker died."""
        self._left[task.layer].appendleft(task.number)


class PictureWorker:
    """Makes batches of a job in a process of its own; an actor of Ray.

    Args:
        recipe: The job.
        cluster: What the worker may use.
        token: A file in the folder of the pictures.
    """

    def __init__(self, recipe: ShippedJob, cluster: Cluster, token: AnyPath) -> None:
        self._recipe, self._cluster, self._token = recipe, cluster, token

    def start(self) -> str | None:
        """Make the job, and check that it is the job of the run.

        Returns:
            A warning if the versions differ.

        Raises:
            RuntimeError: If it is another job, or the folder is another one.
        """
        self._check_folder()
        limit_tensorflow(self._cluster)
        self._job = self._recipe.make_job()
        self._attempts = Attempts(self._job)
        return self._compare()

    def do(self, task: BatchTask) -> FinishedBatch:
        """Make the pictures of a batch, and write their files."""
        began = time.monotonic()
        attempt = self._attempts.make(task.number, list(task.wanted))
        seconds = time.monotonic() - began
        name = self._recipe.model_name
        return save_attempt(self._job, dict(task.files), attempt, name, seconds)

    def _check_folder(self) -> None:
        until = time.monotonic() + _PATIENCE
        while not self._token.exists():
            if time.monotonic() > until:
                raise RuntimeError(
                    f"The folder {str(self._token.parent)!r} is not the same one on "
                    f"{socket.gethostname()}: what this process writes there is not "
                    "seen by the worker. Choose a folder that all nodes of the cluster "
                    "share, at the same path, or one with a scheme such as gs://."
                )
            time.sleep(0.2)

    def _compare(self) -> str | None:
        own, wanted = map(_as_json, (self._job.settings, self._recipe.settings))
        versions = list_differences(
            {name: own.pop(name) for name in _VERSIONS},
            {name: wanted.pop(name) for name in _VERSIONS},
        )
        differences = list_differences(own, wanted)
        if not differences and plan_digest(self._job) != self._recipe.plan:
            differences = ["the plan of the batches"]
        host = socket.gethostname()
        if differences:
            raise RuntimeError(
                f"The worker on {host} has another job than this process: "
                f"{'; '.join([*differences, *versions])}. Install the same versions, "
                "and use the same files, on all nodes."
            )
        if versions:
            return (
                f"the worker on {host} has other versions than this process: "
                f"{'; '.join(versions)}. Its pictures may differ from those of others."
            )
        return None


def _make(
    cluster: Cluster, work: Work, recipe: ShippedJob, stopping: Callable[[], bool]
) -> Generator[FinishedBatch, None, None]:
    """Yield each batch as it is finished."""
    skip = work.skip

    def make_task(layer: int, number: int) -> BatchTask:
        wanted = work.job.wanted(number, skip)
        places = [work.job.batches[number].places[i] for i in wanted]
        files = tuple((place, _absolute(work.files[place])) for place in places)
        return BatchTask(number, layer, tuple(wanted), files)

    # Its name is that of a partial file, so that none is left for good.
    token = _absolute(work.pictures.path) / f".tfviz-{uuid.uuid4().hex}.part"
    token.write_bytes(b"tfviz")
    try:
        queue = LayerQueue(work.plans, make_task)
        last = time.monotonic()
        for task, result in work_through(
            cluster, PictureWorker, (recipe, cluster, token), queue, stopping
        ):
            seconds, last = time.monotonic() - last, time.monotonic()
            if isinstance(result, GivenUp):
                failures = {place: result.reason for place, _ in task.files}
                yield FinishedBatch(task.number, seconds, 0.0, failures=failures)
            else:
                compilation = min(result.compilation, seconds)
                yield replace(result, seconds=seconds, compilation=compilation)
    finally:
        token.unlink(missing_ok=True)


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a file has them, with lists in place of tuples."""
    return json.loads(json.dumps(settings))


def _absolute(path: AnyPath) -> AnyPath:
    """Return a path that means the same in another working folder."""
    return path.absolute() if isinstance(path, Path) else path


def _reason(batch: FinishedBatch) -> str | None:
    """Return why nothing of a batch was made, or None if something was."""
    return None if batch.entries else next(iter(batch.failures.values()))
