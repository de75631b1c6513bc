"""Packages that tfviz can use and does not install by itself."""

from importlib import import_module
from typing import Any


def import_optional(name: str, use: str) -> Any:
    """Import a package that only some functions need.

    Args:
        name: The package, such as `matplotlib`.
        use: What needs it, as the beginning of a sentence: `result.plot()`.

    Raises:
        RuntimeError: If the package is not installed.

    >>> import_optional("no_such", "result.plot()")
    Traceback (most recent call last):
    RuntimeError: result.plot() needs no_such, which is not installed. Install it: \
pip install no_such
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # it is there, and lacks something itself
            raise
        raise RuntimeError(
            f"{use} needs {name}, which is not installed. Install it: "
            f"pip install {name}"
        ) from None
