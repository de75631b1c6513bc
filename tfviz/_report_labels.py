"""Names in plots, where they hide neither what is drawn nor one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

_LONGEST = 20
# About the width of a letter in points, and where a name may stand around its point:
# which of its ends is there, how far right and up of it, and the share left of it.
_LETTER = 5.6
_SIDES: tuple[tuple[Literal["left", "right", "center"], float, float, float], ...] = (
    ("left", 7, -4, 0),
    ("right", -7, -4, 1),
    ("left", 5, 5, 0),
    ("right", -5, 5, 1),
    ("left", 5, -13, 0),
    ("right", -5, -13, 1),
    *(("center", 0, rise, 0.5) for rise in (8, -17, 16, -25, 24, -33)),
)


@dataclass(frozen=True)
class Point:
    """The median of a method, and the ends of its interval where they are known."""

    median: float
    ends: tuple[float, float] | None = None


def name_points(axes: Axes, places: Mapping[str, tuple[Point, Point]]) -> None:
    """Write names beside points, where they hide neither points nor one another."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [box for place in places.values() for box in _covered(axes, *place)]
    for name, (across, up) in places.items():
        place = across.median, up.median
        x, y = axes.transData.transform(place)
        width = _LETTER * len(shortened(name))
        boxes = [
            Bbox.from_bounds(x + right - share * width, y + rise, width, 10)
            for _, right, rise, share in _SIDES
        ]
        best = int(np.argmin([_lack(axes, box, taken) for box in boxes]))
        taken.append(boxes[best])
        align, right, rise, _ = _SIDES[best]
        note = axes.annotate(
            shortened(name),
            place,
            xytext=(right, rise),
            textcoords="offset points",
            ha=align,
        )
        note.set_in_layout(False)


def _covered(axes: Axes, across: Point, up: Point) -> list[Bbox]:
    """Return where a point and its whiskers are, in pixels."""
    middle = across.median, up.median
    x, y = axes.transData.transform(middle)
    found = [Bbox.from_bounds(x - 4, y - 4, 8, 8)]
    lines = [[(end, middle[1]) for end in across.ends or ()]]
    lines += [[(middle[0], end) for end in up.ends or ()]]
    for first, last in (axes.transData.transform(line) for line in lines if line):
        found.append(Bbox([first - 1, last + 1]))
    return found


def _lack(axes: Axes, box: Bbox, taken: Sequence[Bbox]) -> float:
    """Return how badly a name would stand in a box: outside, or over something."""
    outside = max(axes.bbox.x0 - box.x0, box.x1 - axes.bbox.x1 - 4, 0)
    return float(5 * outside + sum(box.overlaps(other) for other in taken))


def name_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    """Write names right of the last values, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    line = 12 * (high - low) / 190  # a line of text, in a plot of 190 points
    at = -np.inf
    for name, value in sorted(ends.items(), key=lambda end: end[1]):
        at = max(value, at + line)
        axes.annotate(
            shortened(name),
            (1, at),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )


def shortened(name: str) -> str:
    """Return a name that fits beside a plot.

    >>> shortened("a_method_with_a_long_name")
    'a_method_with_a_lon…'
    """
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
