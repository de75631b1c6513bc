"""The texts of errors: one line from Keras and TensorFlow, hints at similar names."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

# Beginnings of lines with the reason of an error, which Keras may put far below.
_REASONS = ("Could not locate", "Unknown layer", "Negative dimension")
# Beginnings of lines that only say where an error occurred.
_LOCATIONS = (
    *("Exception encountered when calling", "Could not deserialize"),
    # TensorFlow prints the origin of an operation before the reason.
    *("Graph execution error", "Detected at node", "<stack traces unavailable>"),
    'File "',
)


def reason_of(error: BaseException) -> str:
    """Return the line of an error's message that states the reason."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    text = re.sub(r" for '\{\{node (.*?)\}\}.*", r" at \1", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in lines:
        if line.startswith(_REASONS):
            return line
    reasons = [line for line in lines if not line.startswith(_LOCATIONS)]
    return (reasons or lines)[0]


def did_you_mean(
    name: str, candidates: Iterable[str], *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return a hint at the most similar names, to append to a message, or nothing.

    Args:
        name: A name that does not exist.
        candidates: The names that exist.
        most: The largest number of names in the hint.
        cutoff: The least similarity, from 0 to 1, as in `difflib.get_close_matches`.

    >>> did_you_mean("fier8", ["conv1", "fire8"]), did_you_mean("x", ["conv1"])
    (" Did you mean 'fire8'?", '')
    """
    close = get_close_matches(name, list(candidates), most, cutoff)
    return f" Did you mean {', '.join(map(repr, close))}?" if close else ""
