"""Write names beside what a plot shows: points, ends of curves, and lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

# The longest label, in characters, and about the width of a character in points.
_LONGEST = 20
_LETTER = 5.6
# The distance between slanted labels, in points.
_SLANTED = 15
# Where a label may be placed around its point: its horizontal alignment, its offset to
# the right and upwards in points, and the share of its width left of that place.
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
    """The median of a method, and the ends of its interval if it has one."""

    median: float
    ends: tuple[float, float] | None = None


def label_points(axes: Axes, places: Mapping[str, tuple[Point, Point]]) -> None:
    """Write names beside points, where they cover neither points nor each other."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    occupied = [box for place in places.values() for box in _covered(axes, *place)]
    for name, (across, up) in places.items():
        place = across.median, up.median
        x, y = axes.transData.transform(place)
        width = _LETTER * len(shorten(name))
        boxes = [
            Bbox.from_bounds(x + right - share * width, y + rise, width, 10)
            for _, right, rise, share in _SIDES
        ]
        best = int(np.argmin([_penalty(axes, box, occupied) for box in boxes]))
        occupied.append(boxes[best])
        align, right, rise, _ = _SIDES[best]
        note = axes.annotate(
            shorten(name),
            place,
            xytext=(right, rise),
            textcoords="offset points",
            ha=align,
        )
        note.set_in_layout(False)


def _covered(axes: Axes, across: Point, up: Point) -> list[Bbox]:
    """Return the boxes that a point and its whiskers cover, in pixels."""
    centre = across.median, up.median
    x, y = axes.transData.transform(centre)
    boxes = [Bbox.from_bounds(x - 4, y - 4, 8, 8)]
    whiskers = [[(end, centre[1]) for end in across.ends or ()]]
    whiskers += [[(centre[0], end) for end in up.ends or ()]]
    for ends in whiskers:
        if ends:
            first, last = axes.transData.transform(ends)
            boxes.append(Bbox([first - 1, last + 1]))
    return boxes


def _penalty(axes: Axes, box: Bbox, occupied: Sequence[Bbox]) -> float:
    """Rate a box for a label: higher if it is outside the plot or covers something."""
    outside = max(axes.bbox.x0 - box.x0, box.x1 - axes.bbox.x1 - 4, 0)
    return float(5 * outside + sum(box.overlaps(other) for other in occupied))


def label_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    """Write names to the right of the last values, far enough apart to be read."""
    low, high = axes.get_ylim()
    line = 12 * (high - low) / 190  # the height of a line in a plot of 190 points
    height = -np.inf
    for name, value in sorted(ends.items(), key=lambda end: end[1]):
        height = max(value, height + line)
        axes.annotate(
            shorten(name),
            (1, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )


def shorten(name: str) -> str:
    """Shorten a name so that it fits beside a plot.

    >>> shorten("a_method_with_a_long_name")
    'a_method_with_a_lon…'
    """
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def label_lines(axes: Axes, lines: Mapping[str, float]) -> None:
    """Write names above vertical lines, slanted and far enough apart to be read.

    Args:
        axes: The axes, whose limits are final.
        lines: The horizontal position of each line.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    place = -np.inf
    for name, value in sorted(lines.items(), key=lambda line: line[1]):
        x, _ = axes.transData.transform((value, 0))
        place = max(x, place + _SLANTED)
        axes.annotate(
            shorten(name),
            (value, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(place - x, 3),
            textcoords="offset points",
            rotation=35,
            rotation_mode="anchor",
            fontsize=9,
        )
