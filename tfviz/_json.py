"""Numbers and settings as JSON has them."""

import json
import math
from typing import Any

# Letters of a value in a message.
_LONGEST = 60


def finite(value: float) -> float | None:
    """Return a number, or None for nan and infinity, which JSON does not have.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None


def shortened(value: Any) -> str:
    """Return a setting as a message has it.

    >>> shortened([0.5, None]), len(shortened("x" * 100))
    ('[0.5, null]', 60)
    """
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def changes(known: Any, wanted: Any, name: str = "") -> list[str]:
    """Name the settings in which two trees of JSON values differ.

    >>> changes({"steps": 4, "size": {"h": 1}}, {"steps": 5, "size": {"h": 1, "w": 2}})
    ['size.w null, not 2', 'steps 4, not 5']
    """
    if isinstance(known, dict) and isinstance(wanted, dict):
        return [
            change
            for key in sorted(known.keys() | wanted.keys())
            for change in changes(
                known.get(key), wanted.get(key), f"{name}.{key}".strip(".")
            )
        ]
    if known == wanted:
        return []
    return [f"{name} {shortened(known)}, not {shortened(wanted)}"]
