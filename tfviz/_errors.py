"""What an error of Keras or TensorFlow says, in one line."""

import re

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
