"""What the parts of a report need of the rows and methods of a comparison."""

import math
from collections.abc import Iterable, Mapping
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
