"""The plots of a report: what of, how drawn, and how they are to be read."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from tfviz.report.formatting import direction, measure_label
from tfviz.report.rows import is_number

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


# What the plots are drawn with, and what stands for it in the page.
TEXT, MUTED, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
_COLOURS = {
    TEXT: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
} | {f"#0000c{number}": f"var(--c{number})" for number in range(1, 9)}
_DRAWN_WITH = {name: colour for colour, name in _COLOURS.items()}

_RULES = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,  # a pixel is a point
    "font.size": 10.5,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfviz",
    "text.color": TEXT,
    "text.parse_math": False,  # names may have dollars
    "xtick.color": MUTED,
    "xtick.labelcolor": TEXT,
    "ytick.color": MUTED,
    "ytick.labelcolor": TEXT,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the colours that `svg` replaces."""
    with style.context(["default", _RULES]), warnings.catch_warnings():
        # The browser draws the text, and may well have letters that this font lacks.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        yield


def drawn_with(colour: str) -> str:
    """Return what to draw with for a colour of the page, such as `c1` or `muted`."""
    return _DRAWN_WITH[f"var(--{colour})"]


def svg(figure: Figure, title: str, number: int) -> str:
    """Return a figure as SVG that can stand beside others in one page."""
    file = io.StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=empty)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Its rules would hold for the whole page.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', text)
    label = f"{title}. The numbers are in the tables."
    start = f'<svg {view and view[0]} role="img" aria-label="{escape(label)}">'
    _, _, body = text.partition(">")
    body = re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], number), body)
    return start + re.sub(r"\s*\n\s*", "\n", body)


def _tag(tag: str, number: int) -> str:
    """Give a tag the page's colours and font, and an id that no other plot has."""
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda c: _COLOURS.get(c[0], c[0]), tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r'\bid="(\w)', rf'id="plot{number}-\1', tag)
    return re.sub(r'(href="|url\()#', rf"\1#plot{number}-", tag)


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
        label = measure_label(measures["relative"])
        for key, measure in measures.items():
            if key.startswith("nearest") and points[key]:
                yield (
                    f"score against naturalness: {measure_label(measure)}",
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
        title = (
            measure_label(measures[key]) if key in measures else key.replace("_", " ")
        )
        note = (
            "1 is what photos of the same unit have among themselves, 0 what photos of "
            "other units have."
        )
        yield title, _curves(methods, curve, title), note * (key == "path_similarity")
    for key, measure in measures.items():
        if measure["better"] != "neither" and points[key]:
            yield (
                measure_label(measure),
                _intervals(methods, points[key]),
                f"{whiskers} {direction(measure).capitalize()}.",
            )


def _points(results: Mapping[str, Any], measure: str) -> dict[str, Point]:
    return {
        entry["method"]: Point(entry["median"], _ends(entry))
        for entry in results["summary"]
        if entry["measure"] == measure and is_number(entry["median"])
    }


def _ends(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = entry["low"], entry["high"]
    return ends if all(map(is_number, ends)) else None


def _seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Point]:
    taken: dict[str, list[float]] = {}
    for row in rows:
        if is_number(row.get("seconds")):
            taken.setdefault(row["method"], []).append(row["seconds"])
    return {name: Point(float(np.median(all_))) for name, all_ in taken.items()}


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
        x, y = across[method["name"]], up[method["name"]]
        colour = drawn_with(method["colour"])
        if x.ends:
            axes.plot(x.ends, [y.median] * 2, color=colour, linewidth=1)
        if y.ends:
            axes.plot([x.median] * 2, y.ends, color=colour, linewidth=1)
        axes.plot(
            x.median, y.median, _MARKERS[method["kind"]], color=colour, markersize=7
        )
    axes.set_ylabel(label)
    axes.set_xlabel("seconds a picture" if measure is None else measure_label(measure))
    taken = [across[method["name"]].median for method in shown]
    if measure is None and taken and 0 < _FAR * min(taken) < max(taken):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15, 0.12)
    names = [method["name"] for method in shown]
    name_points(axes, {name: (across[name], up[name]) for name in names})
    return figure


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
    name_ends(axes, ends)
    return figure


def _intervals(
    methods: Sequence[Mapping[str, Any]], points: Mapping[str, Point]
) -> Figure:
    shown = [method for method in methods if method["name"] in points]
    figure = Figure(figsize=(4.7, 0.8 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, method in enumerate(shown):
        point = points[method["name"]]
        colour = drawn_with(method["colour"])
        if point.ends:
            axes.plot(point.ends, [place, place], color=colour, linewidth=2)
        axes.plot(
            point.median,
            place,
            _MARKERS[method["kind"]],
            color=colour,
            # Hollow where too few units are known for an interval.
            markerfacecolor=colour if point.ends else PAPER,
            markersize=6,
        )
    axes.set_yticks(range(len(shown)), [shortened(m["name"]) for m in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure
