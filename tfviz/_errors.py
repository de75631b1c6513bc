"""What errors say: those of Keras and TensorFlow in one line, ours with a hint."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

# Keras wraps the reason in where it happened, and names a missing class far below.
_TELLING = ("Could not locate", "Unknown layer", "Negative dimension")
_WRAPPING = (
    *("Exception encountered when calling", "Could not deserialize"),
    # TensorFlow puts where an operation comes from before what it says.
    *("Graph execution error", "Detected at node", "<stack traces unavailable>"),
    'File "',
)


def reason_of(error: BaseException) -> str:
    """Return the line of an error that tells most."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    text = re.sub(r" for '\{\{node (.*?)\}\}.*", r" at \1", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in lines:
        if line.startswith(_TELLING):
            return line
    others = [line for line in lines if not line.startswith(_WRAPPING)]
    return (others or lines)[0]


def did_you_mean(
    given: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return a hint at the nearest names, to stand after a sentence, or nothing.

    Args:
        given: What there is not.
        known: What there is.
        most: Names in the hint.
        cutoff: How alike they are at least, as for `difflib.get_close_matches`.

    >>> did_you_mean("fier8", ["conv1", "fire8"]), did_you_mean("x", ["conv1"])
    (" Did you mean 'fire8'?", '')
    """
    close = get_close_matches(given, list(known), most, cutoff)
    return f" Did you mean {', '.join(map(repr, close))}?" if close else ""
