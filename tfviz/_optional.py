"""Packages that tfviz can use and does not install by itself."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def require(name: str, use: str, install: str = "") -> None:
    """Refuse to go on without a package that only some functions need.

    Args:
        name: The package, such as `jinja2`.
        use: What needs it, as the beginning of a sentence: `An atlas`.
        install: The packages to install, if these are others.

    Raises:
        RuntimeError: If the package is not installed.
    """
    if find_spec(name) is None:
        raise RuntimeError(
            f"{use} needs {name}, which is not installed. Install it: "
            f"pip install {install or name}"
        )


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
    require(name, use)
    return import_module(name)
