"""The plots of a report: what of, how drawn, and how they are to be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tfviz._report_labels import Point, name_ends, name_points, shortened
from tfviz._report_rows import is_number
from tfviz._report_svg import PAPER, drawing, drawn_with, svg
from tfviz._report_text import direction, titled

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
    axes.set_xlabel("seconds a picture" if measure is None else titled(measure))
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
