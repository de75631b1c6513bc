"""Find out from TensorFlow's profiler in which operations the time of a step goes.

The profiler writes a file in which each thread has a line of events. An operation is an
event that is named `name:Type`; a part that XLA has compiled is one of its executable.
Several operations run at once, so their durations add up to more than the time that
passed. So that the numbers of a table add up, each moment is divided equally between
the operations that run in it.
"""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

# Events of a part that XLA has compiled: the call, and its work on other threads.
XLA_EVENTS = {"CpuExecutable::ExecuteAsyncOnStream", "ThunkExecutor::Execute"}
XLA = "XLA"
# They only start other operations, or wait for them.
_CONTAINERS = {"PartitionedCall", "StatefulPartitionedCall", "While", "If", "Cond"}
_OPERATION = re.compile(r"[\w./\-]+:\w+")
_MILLISECOND = 1e9  # in picoseconds
# What operations are for, by patterns of `type name`, of which the first that fits
# counts. NETWORK stands for the name of the network, which their names contain.
CATEGORIES = (
    # That of the convolution that sees the image is a product and a sum by XLA.
    (
        "gradients of convolutions",
        r"^\S*BackpropInput \S*NETWORK|NETWORK\S*/convolution_grad/",
    ),
    ("convolutions", r"^\S*Conv2\S* \S*NETWORK"),
    ("rectifiers, pools, and their gradients", r"^\S*(Relu|Pool)\S* "),
    ("joining and slicing branches", r"^\S*(Concat|Slice|AddN)\S* "),
    ("preprocessing", r" \S*NETWORK\S*/mean"),
    (
        "decoding: Fourier transforms, a prior",
        r"^\S*(FFT|MatMul|Sigmoid|Conv)",
    ),
    ("colours, and resampling by transforms", f"^{XLA} "),
    ("Adam", r"^ResourceApplyAdam "),
)
OTHER = "other operations"


@dataclass(frozen=True)
class Operation:
    """What an operation of the graph cost in each step.

    Attributes:
        name: Its name in the graph.
        type: The kernel that ran, such as `_MklNativeConv2DBackpropInput`.
        calls: How often it ran in a step.
        share: Its share of the time that passed, in milliseconds a step.
        duration: From its start to its end, in milliseconds a step.
    """

    name: str
    type: str
    calls: float
    share: float
    duration: float


@dataclass(frozen=True)
class Event:
    """An operation that ran once: when, in picoseconds, on one thread."""

    name: str
    type: str
    start: int
    end: int


def profile(
    run: Callable[[int], Any], steps: int
) -> tuple[list[Operation], float, float]:
    """Run some steps under the profiler.

    Args:
        run: Runs as many steps as it is told.
        steps: How many.

    Returns:
        The operations, the longest first, the milliseconds of a step while it was
        profiled, and those in which no operation ran.
    """
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=0
    )
    run(steps)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options=options)
        run(steps)
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    events = list(read_events(space))
    if not events:
        raise SystemExit(
            "The profiler recorded no operation. It needs TensorFlow on a CPU whose "
            "events are named `name:Type`, as version 2.21 names them."
        )
    first, last = min(e.start for e in events), max(e.end for e in events)
    whole = (last - first) / _MILLISECOND / steps
    operations = add_up(events, steps)
    return operations, whole, whole - sum(o.share for o in operations)


def read_events(space: Any) -> Iterator[Event]:
    """Yield the operations of a profile: of nested events only the outermost."""
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        labels = {key: value.name for key, value in plane.stat_metadata.items()}
        for line in plane.lines:
            end, caller = 0, ""
            order = sorted(line.events, key=lambda e: (e.offset_ps, -e.duration_ps))
            for event in order:
                name = names[event.metadata_id]
                if name == "ExecutorState::ProcessAsync::Start":
                    caller = _text(plane, labels, event, "name")
                kind = _kind(name)
                if kind is None or event.offset_ps < end:
                    continue
                start = line.timestamp_ns * 1000 + event.offset_ps
                end = event.offset_ps + event.duration_ps
                title = caller if kind == XLA else name.rsplit(":", 1)[0]
                yield Event(title, kind, start, start + event.duration_ps)


def add_up(events: Iterable[Event], steps: int) -> list[Operation]:
    """Add up the events of each operation, the one with the largest share first.

    >>> both = [Event("a", "Add", 0, 2 * 10**9), Event("b", "Mul", 10**9, 4 * 10**9)]
    >>> [(o.name, o.share, o.duration) for o in add_up(both, 1)]
    [('b', 2.5, 3.0), ('a', 1.5, 2.0)]
    """
    events = list(events)
    shares: dict[tuple[str, str], float] = defaultdict(float)
    durations: dict[tuple[str, str], float] = defaultdict(float)
    calls: Counter[tuple[str, str]] = Counter()
    for event in events:
        key = event.name, event.type
        durations[key] += event.end - event.start
        calls[key] += 1
    # Ends come before starts at the same moment.
    changes = sorted(
        [(e.start, 1, i) for i, e in enumerate(events)]
        + [(e.end, 0, i) for i, e in enumerate(events)]
    )
    running: dict[int, Event] = {}
    before = 0
    for moment, begins, index in changes:
        for event in running.values():
            shares[event.name, event.type] += (moment - before) / len(running)
        before = moment
        if begins:
            running[index] = events[index]
        else:
            running.pop(index, None)
    unit = _MILLISECOND * steps
    found = [
        Operation(*key, calls[key] / steps, shares[key] / unit, durations[key] / unit)
        for key in calls
    ]
    return sorted(found, key=lambda operation: -operation.share)


def by_type(operations: Iterable[Operation]) -> list[Operation]:
    """Add up the operations of each type; the name counts them."""
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        groups[operation.type].append(operation)
    found = [
        Operation(
            f"{len(group)} operations",
            kind,
            sum(o.calls for o in group),
            sum(o.share for o in group),
            sum(o.duration for o in group),
        )
        for kind, group in groups.items()
    ]
    return sorted(found, key=lambda operation: -operation.share)


def by_category(operations: Iterable[Operation], network: str) -> dict[str, float]:
    """Add up what the operations are for, in milliseconds a step.

    Args:
        operations: The operations.
        network: The name of the network.
    """
    patterns = {
        label: re.compile(pattern.replace("NETWORK", re.escape(network)))
        for label, pattern in CATEGORIES
    }
    sums = dict.fromkeys([*patterns, OTHER], 0.0)
    for operation in operations:
        text = f"{operation.type} {operation.name}"
        fits = (label for label, pattern in patterns.items() if pattern.search(text))
        sums[next(fits, OTHER)] += operation.share
    return sums


def _kind(name: str) -> str | None:
    """Return the type of the operation that an event is, or None if it is none."""
    if name in XLA_EVENTS:
        return XLA
    if not _OPERATION.fullmatch(name) or "::" in name:
        return None
    kind = name.rsplit(":", 1)[1]
    return None if kind in _CONTAINERS else kind


def _text(plane: Any, labels: dict[int, str], event: Any, wanted: str) -> str:
    """Return what an event notes under a name."""
    for stat in event.stats:
        if labels[stat.metadata_id] == wanted:
            return stat.str_value or labels.get(stat.ref_value, "")
    return ""
