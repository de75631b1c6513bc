"""The plots of a report: what of, how drawn, and how they are to be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from tfviz._report_rows import is_number
from tfviz._report_svg import PAPER, drawing, drawn_with, svg

_MARKERS = {
    "baseline": "s",
    "method": "o",
    "ablation": "D",
    "control": "^",
    "ceiling": "*",
}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
# Costs so far apart are drawn on a logarithmic axis.
_FAR = 20
_LONGEST = 20
# About the width of a letter in points, and where a name may stand around its point:
# which of its ends is there, how far right and up of it, and the share left of it.
_LETTER = 5.6
_SIDES = (
    ("left", 7, -4, 0),
    ("right", -7, -4, 1),
    ("left", 5, 5, 0),
    ("right", -5, 5, 1),
    ("left", 5, -13, 0),
    ("right", -5, -13, 1),
)


@dataclass(frozen=True)
class Plot:
    """A plot in the page.

    Attributes:
        title: What it shows, as plain text.
        svg: To be placed in HTML as it is.
        note: How to read it.
    """

    title: str
    svg: str
    note: str


# The median of a method and its interval, whose ends may not be known.
Point = tuple[float, float | None, float | None]


def plots(
    results: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]
) -> list[Plot]:
    """Return the plots that the results have numbers for.

    Args:
        results: Of a comparison.
        methods: Its methods in order, with the CSS `colour` of each.
    """
    numbers = count(1)
    with drawing():
        return [
            Plot(title, svg(figure, title, next(numbers)), note)
            for title, figure, note in _drawn(results, methods)
        ]


def _drawn(
    results: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Figure, str]]:
    measures = results["measures"]
    points = {key: _points(results, key) for key in measures}
    whiskers = "Points are medians over units, lines their bootstrap intervals."
    if points.get("relative"):
        label = titled(measures["relative"])
        for key, measure in measures.items():
            if key.startswith("nearest") and points[key]:
                yield (
                    f"score against naturalness: {titled(measure)}",
                    _scatter(methods, points[key], points["relative"], measure, label),
                    f"{whiskers} {direction(measure).capitalize()} (across).",
                )
        seconds = _seconds(results["rows"])
        if seconds:
            yield (
                "score against cost",
                _scatter(methods, seconds, points["relative"], None, label),
                f"{whiskers} Seconds are the median of one picture's.",
            )
    for key, curve in results["curves"].items():
        title = titled(measures[key]) if key in measures else key.replace("_", " ")
        note = (
            "1 is what photos of the same unit have among themselves, 0 what photos of "
            "other units have."
        )
        yield title, _curves(methods, curve, title), note * (key == "path_similarity")
    for key, measure in measures.items():
        if measure["better"] != "neither" and points[key]:
            yield (
                titled(measure),
                _intervals(methods, points[key]),
                f"{whiskers} {direction(measure).capitalize()}.",
            )


def titled(measure: Mapping[str, Any]) -> str:
    """Return the label of a measure with the judge that takes part in it."""
    label, judge = measure["label"], measure.get("judge")
    return f"{label} ({judge})" if judge and judge not in label else label


def direction(measure: Mapping[str, Any]) -> str:
    """Return which values of a measure are better, in words."""
    better = measure["better"]
    return "no direction is better" if better == "neither" else f"{better} is better"


def _points(results: Mapping[str, Any], measure: str) -> dict[str, Point]:
    return {
        entry["method"]: (entry["median"], *_ends(entry))
        for entry in results["summary"]
        if entry["measure"] == measure and is_number(entry["median"])
    }


def _ends(entry: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if is_number(entry["low"]) and is_number(entry["high"]):
        return entry["low"], entry["high"]
    return None, None


def _seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Point]:
    taken: dict[str, list[float]] = {}
    for row in rows:
        if is_number(row.get("seconds")):
            taken.setdefault(row["method"], []).append(row["seconds"])
    return {name: (float(np.median(all_)), None, None) for name, all_ in taken.items()}


def _scatter(
    methods: Sequence[Mapping[str, Any]],
    across: Mapping[str, Point],
    up: Mapping[str, Point],
    measure: Mapping[str, Any] | None,
    label: str,
) -> Figure:
    """Draw methods by two medians; without a measure, the first is in seconds."""
    figure = Figure(figsize=(4.7, 3.5), layout="constrained")
    axes = figure.subplots()
    shown = [m for m in methods if m["name"] in across and m["name"] in up]
    for method in shown:
        x, left, right = across[method["name"]]
        y, low, high = up[method["name"]]
        colour = drawn_with(method["colour"])
        if left is not None:
            axes.plot([left, right], [y, y], color=colour, linewidth=1)
        if low is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1)
        axes.plot(x, y, _MARKERS[method["kind"]], color=colour, markersize=7)
    axes.set_ylabel(label)
    axes.set_xlabel("seconds a picture" if measure is None else titled(measure))
    taken = [across[method["name"]][0] for method in shown]
    if measure is None and taken and 0 < _FAR * min(taken) < max(taken):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15, 0.12)
    names = [method["name"] for method in shown]
    _name_points(axes, {name: (across[name], up[name]) for name in names})
    return figure


def _name_points(axes: Axes, places: Mapping[str, tuple[Point, Point]]) -> None:
    """Write names beside points, where they hide neither points nor one another."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [box for place in places.values() for box in _covered(axes, *place)]
    for name, (across, up) in places.items():
        x, y = axes.transData.transform((across[0], up[0]))
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
            (across[0], up[0]),
            xytext=(right, rise),
            textcoords="offset points",
            ha=align,
        )
        note.set_in_layout(False)


def _covered(axes: Axes, across: Point, up: Point) -> list[Bbox]:
    """Return where a point and its whiskers are, in pixels."""
    x, y = axes.transData.transform((across[0], up[0]))
    found = [Bbox.from_bounds(x - 4, y - 4, 8, 8)]
    if across[1] is not None:
        ends = axes.transData.transform([(across[1], up[0]), (across[2], up[0])])
        found.append(Bbox([ends[0] - 1, ends[1] + 1]))
    if up[1] is not None:
        ends = axes.transData.transform([(across[0], up[1]), (across[0], up[2])])
        found.append(Bbox([ends[0] - 1, ends[1] + 1]))
    return found


def _lack(axes: Axes, box: Bbox, taken: Sequence[Bbox]) -> float:
    """Return how badly a name would stand in a box: outside, or over something."""
    outside = max(axes.bbox.x0 - box.x0, box.x1 - axes.bbox.x1 - 4, 0)
    return float(5 * outside + sum(box.overlaps(other) for other in taken))


def _curves(
    methods: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], label: str
) -> Figure:
    figure = Figure(figsize=(4.7, 3.5), layout="constrained")
    axes = figure.subplots()
    layers = curve["layers"]
    ends: dict[str, float] = {}
    for place, method in enumerate(m for m in methods if m["name"] in curve["methods"]):
        given = curve["methods"][method["name"]]
        values = [value if is_number(value) else np.nan for value in given]
        colour = drawn_with(method["colour"])
        dash = _DASHES[place % len(_DASHES)]
        mark = _MARKERS[method["kind"]]
        axes.plot(
            values, color=colour, linestyle=dash, marker=mark, markersize=4, linewidth=1
        )
        known = [value for value in given if is_number(value)]
        if known:
            ends[method["name"]] = known[-1]
    axes.set_ylabel(label)
    slanted = sum(len(layer) for layer in layers) > 50
    axes.set_xticks(
        range(len(layers)),
        [shortened(layer) for layer in layers],
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else None,
    )
    _name_ends(axes, ends)
    return figure


def _name_ends(axes: Axes, ends: Mapping[str, float]) -> None:
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


def _intervals(
    methods: Sequence[Mapping[str, Any]], points: Mapping[str, Point]
) -> Figure:
    shown = [method for method in methods if method["name"] in points]
    figure = Figure(figsize=(4.7, 0.8 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, method in enumerate(shown):
        median, low, high = points[method["name"]]
        colour = drawn_with(method["colour"])
        if low is not None:
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot(
            median,
            place,
            _MARKERS[method["kind"]],
            color=colour,
            # Hollow where too few units are known for an interval.
            markerfacecolor=PAPER if low is None else colour,
            markersize=6,
        )
    axes.set_yticks(range(len(shown)), [shortened(m["name"]) for m in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def shortened(name: str) -> str:
    """Return a name that fits beside a plot.

    >>> shortened("a_method_with_a_long_name")
    'a_method_with_a_lon…'
    """
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
