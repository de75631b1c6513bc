"""Dataset examples whose images are read by workers on a Ray cluster.

The workers decode the images and run the network; what is kept of each unit is kept in
this process, which takes the responses in the order of the images. So the file is the
same as without a cluster.
"""

import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.analysis.dataset_examples import RespondTo
from tfviz.analysis.example_pass import Pass
from tfviz.analysis.example_statistics import sampling_keys
from tfviz.analysis.photo_stream import Batch, Folder
from tfviz.analysis.responses import Responder, Responses
from tfviz.runs.cluster import Cluster, limit_tensorflow
from tfviz.runs.run import never
from tfviz.runs.shipping import ShippedModel, ship_model
from tfviz.runs.workers import GivenUp, work_through

# The number of batches in a task.
BATCHES = 4
# How many tasks may be done before an earlier one, whose results then wait in memory.
AHEAD = 256


def respond_on(
    cluster: Cluster, model: str, *, allow_unsafe: bool = False
) -> RespondTo:
    """Return a function like `respond_here` whose images are read on a cluster.

    Args:
        cluster: The cluster, which is connected. Its nodes share the folder of images.
        model: The name or path of the model.
        allow_unsafe: Whether the model's file may contain Python code.
    """

    def respond_to(
        respond: Responder, folder: Folder, state: Pass
    ) -> Iterator[tuple[Batch, Responses]]:
        recipe = Reading(
            ship_model(respond.adapter, model, allow_unsafe=allow_unsafe),
            respond.adapter.fingerprint(),
            dict(respond.shapes),
            respond.by,
            respond.batch,
            str(folder.path.resolve()),
            _sizes(folder),
            state.seed,
        )
        queue = ShardQueue(state, len(folder.files), BATCHES * respond.batch)
        done: dict[int, list[tuple[Batch, Responses]]] = {}
        for task, result in work_through(
            cluster, ExampleWorker, (recipe, cluster), queue, never
        ):
            if isinstance(result, GivenUp):
                raise RuntimeError(  # noqa: TRY004 (the type is a right one)
                    f"The images from {folder.files[task.first]!r} on cannot be read: "
                    f"{result.reason}"
                )
            done[task.first] = result
            while state.seen in done:
                yield from done.pop(state.seen)

    return respond_to


def _sizes(folder: Folder) -> dict[str, int]:
    """Return the size of each file, which tells whether a folder is the same one."""
    return {name: size for name, (size, _) in folder.describe().items()}


@dataclass(frozen=True)
class Reading:
    """What a worker needs to compute responses, as plain data.

    Attributes:
        model: The model.
        fingerprint: The hash of its weights.
        shapes: The shapes of the maps of the layers, by their paths.
        by: What the response of a unit is.
        batch: The number of images in a batch.
        folder: The folder of the images.
        sizes: The sizes of its files in bytes, by their paths.
        seed: The random seed of the sample.
    """

    model: ShippedModel
    fingerprint: str
    shapes: Mapping[str, tuple[int, ...]]
    by: str
    batch: int
    folder: str
    sizes: Mapping[str, int]
    seed: int


@dataclass(frozen=True, eq=False)
class Shard:
    """Images in a row that a worker is to read, and what is to be known of them.

    Attributes:
        first: The place of the first image among the files.
        end: The place after that of the last one.
        limits: The positions of responses above the first and below the second of two
            responses of each unit are needed; see `Responder`.
        sampled: The positions of all responses to images are needed whose hash is below
            this number.
    """

    first: int
    end: int
    limits: tuple[NDArray[np.float32], NDArray[np.float32]]
    sampled: np.uint64


class ShardQueue:
    """The images that no worker has read, in their order.

    Args:
        state: What is known of the images so far.
        count: The number of files.
        size: The number of images in a shard.
    """

    def __init__(self, state: Pass, count: int, size: int) -> None:
        self._state, self._count, self._size = state, count, size
        self._left = deque(range(state.seen, count, size))

    def __len__(self) -> int:
        """Return the number of shards that may be read now."""
        end = self._state.seen + AHEAD * self._size
        return sum(first < end for first in self._left)

    def take(self, last: Any) -> Shard:
        """Remove the first shard and return it."""
        first = self._left.popleft()
        limits = (self._state.top.threshold, self._state.bottom.threshold)
        end = min(first + self._size, self._count)
        return Shard(first, end, limits, self._state.sample.limit)

    def put_back(self, task: Shard) -> None:
        """Add a shard again whose worker died."""
        self._left.appendleft(task.first)


class ExampleWorker:
    """Computes the responses to images in a process of its own; an actor of Ray.

    Args:
        reading: What to compute.
        cluster: What the worker may use.
    """

    def __init__(self, reading: Reading, cluster: Cluster) -> None:
        self._reading, self._cluster = reading, cluster

    def start(self) -> str | None:
        """Load the model and find the images.

        Raises:
            RuntimeError: If they are not those of the process that started the work.
        """
        limit_tensorflow(self._cluster)
        reading, host = self._reading, socket.gethostname()
        if not Path(reading.folder).is_dir():
            raise RuntimeError(
                f"There is no folder {reading.folder!r} on {host}. Choose a folder of "
                "images that all nodes of the cluster share, at the same path."
            )
        adapter = reading.model.load()
        self._folder = Folder(adapter, Path(reading.folder))
        if _sizes(self._folder) != reading.sizes:
            raise RuntimeError(
                f"The folder {reading.folder!r} holds other images on {host}. Choose a "
                "folder that all nodes of the cluster share, at the same path."
            )
        if adapter.fingerprint() != reading.fingerprint:
            raise RuntimeError(f"The model has other weights on {host}.")
        self._respond = Responder(adapter, reading.shapes, reading.by, reading.batch)
        return None

    def do(self, shard: Shard) -> list[tuple[Batch, Responses]]:
        """Return the batches of a shard, without their pictures, with the responses."""
        found = []
        first, size = shard.first, self._reading.batch
        for batch in self._folder.stream(size, first, shard.end):
            places = first + np.arange(size)
            sampled = sampling_keys(self._reading.seed, places) < shard.sampled
            responses = self._respond(batch, shard.limits, sampled)
            found.append((replace(batch, pictures=batch.pictures[:0]), responses))
            first += size
        return found
