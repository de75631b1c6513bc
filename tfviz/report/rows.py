"""Read the results of a comparison, and select and order its rows and methods.

The other modules of the report build on this one. It needs neither TensorFlow nor the
extra `report`, so that results can be read where neither is installed.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfviz._optional import require

# The names of the files, and of the folder of sheets, that belong to a comparison.
RESULTS, PAGE, TABLE, SHEETS = "results.json", "report.html", "results.csv", "sheets"

# The kinds of methods in the order of the report. Baselines, which need no
# optimization, come first.
KINDS = ("baseline", "method", "ablation", "control", "ceiling")

# The parts that `results.json` must have, with their types.
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
    "references": list,
    "verdicts": list,
}


def read(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check the results of a comparison.

    Args:
        folder: The folder to which the comparison wrote its `results.json`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, or does not hold the results of a
            comparison.

    >>> read("no/such")
    Traceback (most recent call last):
    FileNotFoundError: There is no 'no/such/results.json'. ...
    """
    path = Path(folder) / RESULTS
    try:
        results = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"There is no {str(path)!r}. Give the folder to which a comparison was "
            "written."
        ) from None
    except ValueError as error:  # raised by JSON, or by UTF-8
        raise ValueError(
            f"{str(path)!r} is truncated or not valid JSON ({error}). Run the "
            "comparison again: it makes only what is missing."
        ) from error
    check(results, repr(str(path)))
    return results


def check(results: Any, where: str) -> None:
    """Check that results are complete and describe every name that they refer to.

    Args:
        results: The results, as `read` returns them.
        where: The name of the results in error messages.

    Raises:
        ValueError: If a part is missing, or a name is not described.
    """
    for part, kind in _PARTS.items():
        value = results.get(part) if isinstance(results, Mapping) else results
        if not isinstance(value, kind):
            raise ValueError(  # noqa: TRY004 (the file is wrong, not an argument)
                f"{where} does not hold the results of a comparison: expected "
                f"{part!r}, of type {kind.__name__}. Received: {value!r:.40}"
            )
    for method in results["methods"]:
        if method["kind"] not in KINDS:
            raise ValueError(
                f"{where} gives {method['name']!r} the kind {method['kind']!r}; "
                f"expected one of {', '.join(KINDS)}."
            )
    methods = {method["name"] for method in results["methods"]}
    described = {
        "unit": {unit["name"] for unit in results["units"]},
        "method": methods,
        "first": methods,
        "second": methods,
        "measure": set(results["measures"]),
    }
    for part in ("rows", "summary", "differences", "references", "verdicts"):
        for key, names in described.items():
            for entry in results[part]:
                if key in entry and entry[key] not in names:
                    raise ValueError(
                        f"{where} names {entry[key]!r} as {key} in {part!r}, but does "
                        "not describe it."
                    )


def check_installed() -> None:
    """Check that the packages that write reports are installed.

    Raises:
        RuntimeError: If Jinja or Matplotlib is not installed.
    """
    for module in ("jinja2", "matplotlib"):
        require(module, "The report of a comparison", "jinja2 matplotlib")


def picture_path(folder: Path, name: str) -> Path:
    """Return the path of a picture that the results refer to.

    Args:
        folder: The folder of the results.
        name: The path of the picture relative to the folder.

    Raises:
        FileNotFoundError: If the picture is missing.
        ValueError: If the path leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"The results refer to {name!r}, which is outside of their folder."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {str(path)!r}, to which the results refer. Run the "
            "comparison again: it makes only what is missing."
        )
    return path


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number.

    >>> [is_number(value) for value in (1, 0.5, None, float("nan"), True, "1")]
    [True, True, False, False, False, False]
    """
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def lowest_score(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the row with the lowest score, or None if fewer than two have a score.

    >>> lowest_score([{"score": 2.0}, {"score": None}, {"score": 1.0}])
    {'score': 1.0}
    """
    scored = [row for row in rows if is_number(row.get("score"))]
    return min(scored, key=lambda row: row["score"]) if len(scored) > 1 else None


def sort_methods(methods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort methods by kind; those of one kind keep their order."""
    return sorted(methods, key=lambda method: KINDS.index(method["kind"]))


def select_starts(
    rows: Iterable[Mapping[str, Any]], methods: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Select for each method the first row that has a picture of its start."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("start"):
            first.setdefault(row["method"], row)
    return [first[m["name"]] for m in sort_methods(methods) if m["name"] in first]
