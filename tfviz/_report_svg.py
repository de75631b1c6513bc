"""Matplotlib's figures as SVG that takes the colours of the page around it."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from matplotlib import style
from matplotlib.figure import Figure

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
