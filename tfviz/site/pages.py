"""Render the pages of the site, which are few: what they show depends on the address.

`layer.html#fire8` and `unit.html#fire8:20` are one page each, whose script loads the
data of the layer or unit. A page for each unit would mean thousands of files that are
all written again when a number changes, and sorting and filters need scripts anyway.
Only the first page has its contents in the HTML, and can be read without scripts.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from tfviz._optional import require
from tfviz.site.facts import LayerFacts, NetworkFacts
from tfviz.site.layers import ShownLayer
from tfviz.site.sprites import CELL

# The files that pages refer to. Each page has a script of its own beside `atlas.js`.
ASSETS = (
    "palette.css",
    "atlas.css",
    "atlas.js",
    "units.js",
    "network.js",
    "list.js",
    "unit.js",
    "classes.js",
)
# The pages, with the scripts that they load after `atlas.js`.
_PAGES = {
    "index.html": ("network.js",),
    "whole.html": ("units.js", "network.js"),
    "layer.html": ("units.js", "list.js"),
    "search.html": ("units.js", "list.js"),
    "unit.html": ("units.js", "unit.js"),
    "compare.html": ("units.js", "unit.js"),
    "classes.html": ("units.js", "classes.js"),
}


def check_installed() -> None:
    """Check that the package that writes pages is installed.

    Raises:
        RuntimeError: If Jinja is not installed.
    """
    require("jinja2", "An atlas")


def read_asset(name: str) -> str:
    """Return the text of a script or of styles."""
    package = "tfviz.report" if name == "palette.css" else "tfviz.site"
    return files(package).joinpath(name).read_text("utf-8")


def render_pages(
    site: Mapping[str, Any], layers: Sequence[ShownLayer], network: NetworkFacts | None
) -> dict[str, str]:
    """Render all pages as HTML.

    Args:
        site: What all pages know.
        layers: The layers to show.
        network: The facts about the network, or None.

    Returns:
        The text of each page by the name of its file.
    """
    import jinja2  # noqa: PLC0415 (the extra may be missing)

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(read_asset),
    )
    environment.filters["fragment"] = fragment
    values = {
        "site": site,
        "rows": _rows(layers, network),
        "units": sum(layer.units for layer in layers if not layer.is_classes),
        "has_classes": any(layer.is_classes for layer in layers),
        "cell": CELL,
    }
    return {
        name: environment.get_template(f"{name}.jinja").render(
            page=name, scripts=scripts, **values
        )
        for name, scripts in _PAGES.items()
    }


def fragment(name: str) -> str:
    """Return the name of a layer or unit for the part of an address behind the `#`.

    >>> fragment("block/conv 1:20")
    'block/conv%201:20'
    """
    return quote(name, safe="/:")


def _rows(
    layers: Sequence[ShownLayer], network: NetworkFacts | None
) -> list[dict[str, Any]]:
    """Return the lines of the first page: layers to browse, and others in between.

    A line is a layer to browse, or holds the layers before the next of these as its
    `others`. Each layer has its facts, the layer as it is shown or None, and the layers
    that it takes where these are not just the one before it.
    """
    shown = {layer.path: layer for layer in layers}
    rows: list[dict[str, Any]] = []
    before: str | None = None
    for facts in network.layers if network else ():
        takes = [] if facts.inputs in ((), (before,)) else list(facts.inputs)
        row = _row(shown.pop(facts.path, None), facts, takes)
        before = facts.path
        if row["layer"]:
            rows.append(row)
        elif rows and rows[-1]["layer"] is None:
            rows[-1]["others"].append(row)
        else:
            rows.append({"layer": None, "others": [row]})
    return rows + [_row(layer, None, []) for layer in shown.values()]


def _row(
    layer: ShownLayer | None, facts: LayerFacts | None, takes: list[str]
) -> dict[str, Any]:
    path = facts.path if facts else layer.path if layer else ""
    shape = facts.shape if facts else ()
    return {
        "path": path,
        "kind": facts.kind if facts else "",
        "shape": "\N{MULTIPLICATION SIGN}".join(
            "?" if length is None else str(length) for length in shape
        ),
        "takes": takes,
        "layer": layer,
        "pictured": len(layer.main) if layer else 0,
    }
