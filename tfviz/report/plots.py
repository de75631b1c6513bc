"""Draw the plots of a report as SVG, and say how each of them is to be read.

Matplotlib draws every plot with placeholder colours, which are replaced by the CSS
variables of the page, so that plots follow its light and dark colours. The names of
methods are written beside their points rather than in a legend.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tfviz.report.formatting import direction, measure_label
from tfviz.report.labels import Point, label_ends, label_lines, label_points, shorten
from tfviz.report.rows import is_number

# Width and height in inches.
_SIZE = (4.7, 3.5)
_MARKERS = {
    "baseline": "s",
    "method": "o",
    "ablation": "D",
    "control": "^",
    "ceiling": "*",
}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
# Costs are drawn on a logarithmic axis if the largest exceeds the smallest by this
# factor.
_LOGARITHMIC = 20

# The placeholder colours that plots are drawn with, and the colours of the page that
# replace them.
_TEXT, _MUTED, _LINE, _PAPER = "#010101", "#020202", "#030303", "#040404"
_PAGE_COLOURS = {
    _TEXT: "currentColor",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    _PAPER: "var(--paper)",
} | {f"#0000c{number}": f"var(--c{number})" for number in range(1, 9)}
_PLACEHOLDERS = {page: placeholder for placeholder, page in _PAGE_COLOURS.items()}
_STYLE = {
    "axes.edgecolor": _MUTED,
    "axes.grid": True,
    "axes.labelcolor": _TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,  # a pixel is a point
    "font.size": 10.5,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfviz",
    "text.color": _TEXT,
    "text.parse_math": False,  # names may contain dollar signs
    "xtick.color": _MUTED,
    "xtick.labelcolor": _TEXT,
    "ytick.color": _MUTED,
    "ytick.labelcolor": _TEXT,
}


@dataclass(frozen=True)
class Plot:
    """A plot of the page.

    Attributes:
        title: The title, as plain text.
        svg: The SVG element, to be inserted into HTML without escaping.
        note: Instructions for reading the plot, as plain text.
    """

    title: str
    svg: str
    note: str


def draw_plots(
    results: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]
) -> list[Plot]:
    """Draw every plot for which the results have numbers.

    Args:
        results: The results of a comparison.
        methods: The methods of the comparison in the order of the report, each with
            the `colour` that stands for it in the page.
    """
    numbers = count(1)
    with _plot_style():
        return [
            Plot(title, _svg(figure, title, next(numbers)), note)
            for title, figure, note in _figures(results, methods)
        ]


def _figures(
    results: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Figure, str]]:
    """Yield the title, the figure and the note of each plot."""
    measures = results["measures"]
    points = {key: _points(results, key) for key in measures}
    whiskers = "Points are medians over units; lines are their bootstrap intervals."
    if points.get("relative"):
        label = measure_label(measures["relative"])
        for key, measure in measures.items():
            if key.startswith("nearest") and points[key]:
                yield (
                    f"score against naturalness: {measure_label(measure)}",
                    _scatter(methods, points[key], points["relative"], measure, label),
                    f"{whiskers} On the horizontal axis, {direction(measure)}.",
                )
        seconds = _seconds(results["rows"])
        if seconds:
            yield (
                "score against cost",
                _scatter(methods, seconds, points["relative"], None, label),
                f"{whiskers} The cost is the median time for one picture.",
            )
    for key, curve in results["curves"].items():
        described = key in measures
        title = measure_label(measures[key]) if described else key.replace("_", " ")
        note = (
            "1 is the similarity of photos of the same unit to each other; 0 is their "
            "similarity to photos of other units."
        )
        yield title, _curves(methods, curve, title), note * (key == "path_similarity")
    references = {entry["measure"]: entry for entry in results["references"]}
    for key, measure in measures.items():
        if measure["better"] != "neither" and points[key]:
            figure = _intervals(methods, points[key])
            note = f"{whiskers} {direction(measure).capitalize()}."
            if key in references:
                _draw_references(figure.axes[0], references[key])
                note += (
                    " Vertical lines are means of photos and of pictures of nothing, "
                    "measured by the same judge, and its threshold, if it has one."
                )
            yield measure_label(measure), figure, note


def _points(results: Mapping[str, Any], measure: str) -> dict[str, Point]:
    """Return the points of all methods whose median of a measure is a number."""
    return {
        entry["method"]: Point(entry["median"], _interval_ends(entry))
        for entry in results["summary"]
        if entry["measure"] == measure and is_number(entry["median"])
    }


def _interval_ends(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = entry["low"], entry["high"]
    return ends if all(map(is_number, ends)) else None


def _seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Point]:
    """Return the median time for a picture of each method."""
    times: dict[str, list[float]] = {}
    for row in rows:
        if is_number(row.get("seconds")):
            times.setdefault(row["method"], []).append(row["seconds"])
    return {name: Point(float(np.median(values))) for name, values in times.items()}


def _scatter(
    methods: Sequence[Mapping[str, Any]],
    across: Mapping[str, Point],
    up: Mapping[str, Point],
    measure: Mapping[str, Any] | None,
    label: str,
) -> Figure:
    """Draw methods as points in two measures.

    Args:
        methods: The methods of the comparison.
        across: The horizontal position of each method.
        up: The vertical position of each method.
        measure: The measure on the horizontal axis, or None for seconds.
        label: The label of the vertical axis.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    drawn = [m for m in methods if m["name"] in across and m["name"] in up]
    for method in drawn:
        x, y = across[method["name"]], up[method["name"]]
        colour = _placeholder(method["colour"])
        if x.ends:
            axes.plot(x.ends, [y.median] * 2, color=colour, linewidth=1)
        if y.ends:
            axes.plot([x.median] * 2, y.ends, color=colour, linewidth=1)
        axes.plot(
            x.median, y.median, _MARKERS[method["kind"]], color=colour, markersize=7
        )
    axes.set_ylabel(label)
    axes.set_xlabel(
        "seconds per picture" if measure is None else measure_label(measure)
    )
    medians = [across[method["name"]].median for method in drawn]
    if measure is None and medians and 0 < _LOGARITHMIC * min(medians) < max(medians):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15, 0.12)
    names = [method["name"] for method in drawn]
    label_points(axes, {name: (across[name], up[name]) for name in names})
    return figure


def _curves(
    methods: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], label: str
) -> Figure:
    """Draw a value of each method over the layers of the network."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    layers = curve["layers"]
    ends: dict[str, float] = {}
    for place, method in enumerate(m for m in methods if m["name"] in curve["methods"]):
        values = curve["methods"][method["name"]]
        colour = _placeholder(method["colour"])
        axes.plot(
            # The line has a gap where a value is missing.
            [value if is_number(value) else np.nan for value in values],
            color=colour,
            linestyle=_DASHES[place % len(_DASHES)],
            marker=_MARKERS[method["kind"]],
            markersize=4,
            linewidth=1,
        )
        numbers = [value for value in values if is_number(value)]
        if numbers:
            ends[method["name"]] = numbers[-1]
    axes.set_ylabel(label)
    slanted = sum(len(layer) for layer in layers) > 50
    axes.set_xticks(
        range(len(layers)),
        [shorten(layer) for layer in layers],
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else None,
    )
    label_ends(axes, ends)
    return figure


def _intervals(
    methods: Sequence[Mapping[str, Any]], points: Mapping[str, Point]
) -> Figure:
    """Draw the median and the interval of each method, one below the other."""
    drawn = [method for method in methods if method["name"] in points]
    figure = Figure(figsize=(_SIZE[0], 0.8 + 0.28 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    for place, method in enumerate(drawn):
        point = points[method["name"]]
        colour = _placeholder(method["colour"])
        if point.ends:
            axes.plot(point.ends, [place, place], color=colour, linewidth=2)
        axes.plot(
            point.median,
            place,
            _MARKERS[method["kind"]],
            color=colour,
            # A marker is hollow if there were too few units for an interval.
            markerfacecolor=colour if point.ends else _PAPER,
            markersize=6,
        )
    axes.set_yticks(range(len(drawn)), [shorten(m["name"]) for m in drawn])
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _draw_references(axes: Axes, reference: Mapping[str, Any]) -> None:
    """Draw a judge's references and its threshold as vertical lines."""
    lines = {
        kind["name"]: kind["mean"]
        for kind in reference["pictures"]
        if is_number(kind["mean"])
    }
    for value in lines.values():
        axes.axvline(value, color=_MUTED, linewidth=1, linestyle=(0, (1.5, 1.5)))
    threshold = reference["threshold"]
    if threshold is not None:
        axes.axvline(threshold, color=_MUTED, linewidth=1)
        lines["threshold"] = threshold
    label_lines(axes, lines)


@contextmanager
def _plot_style() -> Iterator[None]:
    """Draw with the style and the placeholder colours of the report."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser draws the text, and may have characters that this font lacks.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        yield


def _placeholder(colour: str) -> str:
    """Return the placeholder for a colour of the page, such as `c1` or `muted`."""
    return _PLACEHOLDERS[f"var(--{colour})"]


def _svg(figure: Figure, title: str, number: int) -> str:
    """Convert a figure to SVG that can be placed beside others in one page."""
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # The style sheet of the figure would apply to the whole page.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', text)
    label = f"{title}. The tables contain the numbers."
    start = f'<svg {view_box and view_box[0]} role="img" aria-label="{escape(label)}">'
    _, _, body = text.partition(">")
    body = re.sub(r"<[^>]+>", lambda tag: _adapt_tag(tag[0], number), body)
    return start + re.sub(r"\s*\n\s*", "\n", body)


def _adapt_tag(tag: str, number: int) -> str:
    """Give a tag the page's colours and font, and an id that no other plot uses."""
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda c: _PAGE_COLOURS.get(c[0], c[0]), tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r'\bid="(\w)', rf'id="plot{number}-\1', tag)
    return re.sub(r'(href="|url\()#', rf"\1#plot{number}-", tag)
