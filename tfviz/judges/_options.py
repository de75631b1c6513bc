"""How messages name the options of judges, which only Python has."""

from typing import Any

from tfviz._errors import either


def write_for_python(name: str, value: Any) -> str:
    """Return how an option of a judge is given, for `tfviz._errors.speaking`.

    At the command line, `--preprocess` is that of the visualized model.

    >>> write_for_python("preprocess", (0, 255))
    'tfviz.judges.load(..., preprocess=(0, 255))'
    """
    given = name if value is None else f"{name}={value!r}"
    return f"tfviz.judges.load(..., {given})"


def in_python(options: str) -> str:
    """Return the advice to load a judge with some options.

    >>> in_python("features_only=True")
    'Load it with features_only=True'
    """
    return either(
        python=f"Load it with {options}",
        command_line=f"In Python, compare with tfviz.judges.load(..., {options})",
    )
