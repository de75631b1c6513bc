"""Tasks that are done by actors of a Ray cluster, some of which may die."""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tfviz._errors import reason_of
from tfviz.runs.cluster import Cluster, count_workers, import_ray, worker_options

# A task whose workers died so often is given up.
MOST_DEATHS = 3
# The time between two looks at signals, in seconds.
_POLL = 0.5
# After this time without any worker, in seconds, we say what we wait for. A worker
# that starts imports TensorFlow and traces the model.
_SILENT = 120.0


class Queue(Protocol):
    """The tasks that no worker has."""

    def __len__(self) -> int:
        """Return their number."""

    def take(self, last: Any) -> Any:
        """Remove a task and return it.

        Args:
            last: The task that the worker has done last, or None.
        """

    def put_back(self, task: Any) -> None:
        """Add a task again whose worker died."""


@dataclass(frozen=True)
class GivenUp:
    """In place of the result of a task whose workers died again and again.

    Attributes:
        reason: The reason, in one line.
    """

    reason: str


def work_through(
    cluster: Cluster,
    worker: type,
    arguments: tuple[Any, ...],
    queue: Queue,
    stopping: Callable[[], bool],
) -> Iterator[tuple[Any, Any]]:
    """Let workers do tasks, and replace those that die.

    A worker that has done a task gets another one at once; Ray decides on which node a
    worker runs. An exception that a worker raises ends the work.

    Args:
        cluster: The cluster, which is connected.
        worker: The class of the workers. Its method `start()` is called once, and
            returns a warning or None; `do(task)` returns the result of a task.
        arguments: The arguments of the class; they are put into the object store once.
        queue: The tasks.
        stopping: A function that says whether no further task is to be begun.

    Yields:
        Each task with its result, as they are finished. If its workers died three
        times, the result is a `GivenUp`.

    Raises:
        RuntimeError: If there is no room for a worker, or workers die as they start.
    """
    if len(queue):
        pool = _Pool(cluster, worker, arguments, queue)
        try:
            yield from pool.run(stopping)
        finally:
            pool.end()


class _Pool:
    """The workers of a run, and what each of them is doing."""

    def __init__(
        self, cluster: Cluster, worker: type, arguments: tuple[Any, ...], queue: Queue
    ) -> None:
        self._ray = import_ray()
        self._cluster, self._queue = cluster, queue
        self._class = self._ray.remote(worker).options(**worker_options(cluster))
        self._arguments = [self._ray.put(argument) for argument in arguments]
        self._actors: list[Any] = []  # also those that died
        # The actor and its task of each call; no task while the actor starts.
        self._calls: dict[Any, tuple[Any, Any]] = {}
        self._idle: list[tuple[Any, Any]] = []  # with their last tasks
        self._deaths: Counter[Any] = Counter()  # by task
        self._failed_starts = 0  # in a row
        self._heard = time.monotonic()
        self._warnings: set[str] = set()
        for _ in range(count_workers(cluster, len(queue))):
            self._start_worker()

    def run(self, stopping: Callable[[], bool]) -> Iterator[tuple[Any, Any]]:
        """Yield each task with its result, until all are done or the run stops."""
        finished: tuple[Any, Any] | None = None
        while True:
            stops = stopping()
            if not stops:
                self._hand_out()
            # Only now, so that no worker waits while the caller writes.
            if finished is not None:
                yield finished
                finished = None
            busy = any(task is not None for _, task in self._calls.values())
            if not busy and (stops or not len(self._queue)):
                return
            call = self._wait()
            if call is None:
                continue
            actor, task = self._calls.pop(call)
            try:
                result = self._ray.get(call)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except self._ray.exceptions.RayError as error:
                finished = self._replace(task, reason_of(error))
                continue
            self._idle.append((actor, task))
            if task is not None:
                finished = task, result
                continue
            self._failed_starts = 0
            self._warn(result)

    def end(self) -> None:
        """End all workers, whatever they do."""
        if not self._ray.is_initialized():
            return  # They have ended, and Ray would start anew to tell them.
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)

    def _start_worker(self) -> None:
        actor = self._class.remote(*self._arguments)
        self._actors.append(actor)
        self._calls[actor.start.remote()] = (actor, None)

    def _hand_out(self) -> None:
        """Give the tasks that are left to the workers that have none."""
        while self._idle and len(self._queue):
            actor, last = self._idle.pop()
            task = self._queue.take(last)
            self._calls[actor.do.remote(task)] = (actor, task)

    def _wait(self) -> Any:
        """Return a call that has ended, or None if none has for a moment."""
        done, _ = self._ray.wait(list(self._calls), timeout=_POLL)
        working = any(task is not None for _, task in self._calls.values())
        if done or working:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > _SILENT:
            self._warn(
                f"no worker of {self._cluster.resources} has started on the Ray "
                f"cluster for {_SILENT:.0f} s; `ray status` shows what it waits for."
            )
        return done[0] if done else None

    def _replace(self, task: Any, reason: str) -> tuple[Any, Any] | None:
        """Replace a worker that died, and let another one do its task.

        Returns:
            The task as one that is given up, if that has happened too often.
        """
        self._failed_starts += task is None
        if self._failed_starts < MOST_DEATHS:
            self._start_worker()
        elif not self._calls and not self._idle:
            raise RuntimeError(f"The workers on the Ray cluster die at once: {reason}")
        if task is None:
            return None
        self._deaths[task] += 1
        if self._deaths[task] < MOST_DEATHS:
            self._queue.put_back(task)
            return None
        return task, GivenUp(f"its worker died {MOST_DEATHS} times: {reason}")

    def _warn(self, message: str | None) -> None:
        """Say something once."""
        if message and message not in self._warnings:
            self._warnings.add(message)
            warnings.warn(message, stacklevel=2)
