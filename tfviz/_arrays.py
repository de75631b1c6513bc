"""Files of arrays that cannot be read."""

import zlib
from zipfile import BadZipFile

# What NumPy raises for files of other kinds, cut off or corrupt.
DAMAGED = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    EOFError,
    OSError,
    BadZipFile,
    zlib.error,
)
