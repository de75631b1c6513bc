"""The report of a comparison: a page, a table and sheets, of `results.json` alone.

Nothing is measured here. Whoever has the folder of a comparison can make its report
again, byte by byte.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tfviz import images
from tfviz._report_rows import KINDS
from tfviz._report_sheets import write_sheets

RESULTS, PAGE, TABLE, SHEETS = "results.json", "report.html", "results.csv", "sheets"

_PARTS = {
    "title": str,
    "settings": dict,
    "provenance": dict,
    "units": list,
    "methods": list,
    "judges": list,
    "measures": dict,
    "rows": list,
    "photos": dict,
    "summary": list,
    "differences": list,
    "curves": dict,
    "verdicts": list,
}
_FIRST = ("unit", "method", "seed", "score")


def read(folder: str | os.PathLike) -> dict[str, Any]:
    """Return the results of a comparison.

    Args:
        folder: Where the comparison wrote its `results.json`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut off, or is no comparison's.

    >>> read("no/such")
    Traceback (most recent call last):
    FileNotFoundError: There is no 'no/such/results.json'. ...
    """
    path = Path(folder) / RESULTS
    try:
        results = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"There is no {str(path)!r}. Give the folder that a comparison was written "
            "to."
        ) from None
    except ValueError as error:  # of JSON, or of UTF-8
        raise ValueError(
            f"{str(path)!r} is cut off or no JSON ({error}). Run the comparison again: "
            "it makes only what is missing."
        ) from error
    check(results, repr(str(path)))
    return results


def write(results: Mapping[str, Any], folder: str | os.PathLike) -> Path:
    """Write the report of a comparison.

    Args:
        results: As `read` returns them.
        folder: Where the pictures are that the results name. It gets `report.html`,
            one file that needs no other; `results.csv`, one line for each picture; and
            a PNG for each unit in `sheets/`.

    Returns:
        The page.

    Raises:
        RuntimeError: If the extra `report` is not installed.
        FileNotFoundError: If a picture that the results name is not there.
        ValueError: If the results contradict themselves, or name a picture outside of
            the folder.
    """
    check_installed()
    from tfviz._report_page import page  # noqa: PLC0415 (needs the extra)

    check(results, "`results`")
    folder = Path(folder)
    text = page(results, folder).encode()
    images.write_safely(folder / TABLE, lambda file: file.write(_table(results)))
    write_sheets(results, folder, folder / SHEETS)
    images.write_safely(folder / PAGE, lambda file: file.write(text))
    return folder / PAGE


def check_installed() -> None:
    """Refuse to go on without what reports are made with.

    Raises:
        RuntimeError: If the extra `report` is not installed.
    """
    for module in ("jinja2", "matplotlib"):
        if find_spec(module) is None:
            raise RuntimeError(
                f"The report of a comparison needs {module}, which is not installed. "
                "Install it: pip install 'tfviz[report]'"
            )


def check(results: Any, where: str) -> None:
    """Refuse results that lack a part, or name what they do not describe.

    Args:
        results: As `read` returns them.
        where: What to call them in an error.

    Raises:
        ValueError: If they do.
    """
    for part, kind in _PARTS.items():
        given = results.get(part) if isinstance(results, Mapping) else results
        if not isinstance(given, kind):
            raise ValueError(  # noqa: TRY004 (it is a file that is wrong)
                f"{where} is no comparison: expected {part!r}, of type "
                f"{kind.__name__}. Received: {given!r:.40}"
            )
    for method in results["methods"]:
        if method["kind"] not in KINDS:
            raise ValueError(
                f"{where} calls {method['name']!r} a {method['kind']!r}; expected one "
                f"of {', '.join(KINDS)}."
            )
    methods = {method["name"] for method in results["methods"]}
    known = {
        "unit": {unit["name"] for unit in results["units"]},
        "method": methods,
        "first": methods,
        "second": methods,
        "measure": set(results["measures"]),
    }
    for part in ("rows", "summary", "differences", "verdicts"):
        for key, names in known.items():
            for entry in results[part]:
                if key in entry and entry[key] not in names:
                    raise ValueError(
                        f"{where} names {entry[key]!r} as {key} in {part!r}, but does "
                        "not describe it."
                    )


def _table(results: Mapping[str, Any]) -> bytes:
    """Return the rows as CSV; what is not known is empty."""
    rows = results["rows"]
    found = dict.fromkeys(key for row in rows for key in row if key not in _FIRST)
    measures = [key for key in results["measures"] if key in found]
    columns = [*_FIRST, *measures, *(key for key in found if key not in measures)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value)
