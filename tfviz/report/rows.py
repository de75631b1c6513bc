"""What the parts of a report need of the rows and methods of a comparison."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Kinds of methods in the order of the report: what needs no optimization comes first.
KINDS = ("baseline", "method", "ablation", "control", "ceiling")


def is_number(value: Any) -> bool:
    """Tell whether a value is a number that is known.

    >>> [is_number(value) for value in (1, 0.5, None, float("nan"), True, "1")]
    [True, True, False, False, False, False]
    """
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def lowest(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the row of the lowest score, or None where there is nothing to compare.

    >>> lowest([{"score": 2.0}, {"score": None}, {"score": 1.0}])
    {'score': 1.0}
    """
    scored = [row for row in rows if is_number(row.get("score"))]
    return min(scored, key=lambda row: row["score"]) if len(scored) > 1 else None


def ordered(methods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return methods by their kind, those of one kind as they were given."""
    return sorted(methods, key=lambda method: KINDS.index(method["kind"]))


def starts(
    rows: Iterable[Mapping[str, Any]], methods: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return of each method the first row that has a picture of its start."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("start"):
            first.setdefault(row["method"], row)
    return [first[m["name"]] for m in ordered(methods) if m["name"] in first]


def picture_path(folder: Path, name: str) -> Path:
    """Return the path of a picture that results name.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is outside of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"The results name {name!r}, which is not in their folder.")
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {str(path)!r}, which the results name. Run the comparison "
            "again: it makes only what is missing."
        )
    return path


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
