"""What a shell suggests for the values of arguments, without importing TensorFlow."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from click.shell_completion import CompletionItem

from tfviz.models.sources import BUNDLED, KERAS


def complete_names(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Return the names that begin with a text.

    Args:
        names: All names.
        incomplete: The text that has been typed.
    """
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_files(incomplete: str) -> list[CompletionItem]:
    """Let the shell suggest files and folders that begin with a text."""
    return [CompletionItem(incomplete, type="file")]


def complete_model(incomplete: str) -> list[CompletionItem]:
    """Return the models that begin with a text: bundled, of Keras, or in files."""
    if incomplete.startswith(KERAS):
        names = (f"{KERAS}{name}" for name in keras_networks())
        return complete_names(names, incomplete)
    items = complete_names([*BUNDLED, KERAS], incomplete)
    return [*items, *complete_files(incomplete)]


def keras_networks() -> list[str]:
    """Return the names of the networks in `keras.applications`.

    They are read from the file that imports them, as importing it takes seconds.

    >>> "MobileNetV2" in keras_networks()
    True
    """
    keras = find_spec("keras")
    if keras is None or keras.origin is None:
        return []
    file = Path(keras.origin).parent / "applications" / "__init__.py"
    if not file.is_file():
        return []
    return sorted(set(re.findall(r"\bas ([A-Z]\w+)", file.read_text("utf-8"))))
