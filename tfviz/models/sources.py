"""The sources that `load_model` takes, checked without importing TensorFlow."""

import re
from pathlib import Path

from tfviz._errors import did_you_mean

BUNDLED = ("squeezenet", "efficientnet-lite0")
SUFFIXES = (".keras", ".h5", ".hdf5")
KERAS = "keras:"
HUB = "hub:"
TFLITE = ".tflite"
# The options at the end of the source of a module, as in `FOLDER?signature=NAME`.
CHOICES = ("signature", "output")
# A folder with one of these files is a SavedModel.
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")

_URL = re.compile(r"(https?|gs)://.")


def check_source(source: str) -> None:
    """Refuse a source that cannot be a model, before anything is loaded.

    Args:
        source: The source, as for `load_model`.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the source is not a model.

    >>> check_source("squeezenet")
    """
    if source in BUNDLED or source.startswith(KERAS):
        return
    handle, _ = split_signature(source.removeprefix(HUB))
    if source.startswith(HUB) and is_url(handle):
        return
    if not handle:
        raise ValueError(f"{source!r} does not name a model. Give {_expected()}.")
    path = Path(handle)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model {source!r}.{_suggest(path)} Give {_expected()}."
        )
    if path.is_dir() and (is_saved_model(path) or path.suffix in SUFFIXES):
        return
    if path.is_dir():
        inner = sorted(p for p in path.iterdir() if is_saved_model(p))
        hint = f"Did you mean {str(inner[0])!r}? " if inner else ""
        raise ValueError(
            f"{source!r} is not a model: the folder has no {GRAPH_FILES[0]}. {hint}"
            f"Give {_expected()}."
        )
    if path.name in GRAPH_FILES:
        raise ValueError(
            f"{source!r} is a part of a SavedModel. Give its folder: "
            f"{str(path.parent)!r}"
        )
    if source.startswith(HUB) or path.suffix not in SUFFIXES:
        raise ValueError(
            f"{source!r} is not a model; expected a file that ends in "
            f"{', '.join(SUFFIXES)}, or the folder of a SavedModel. Save the model "
            "with model.save('name.keras')."
        )


def check_judge(source: str) -> None:
    """Refuse a source that cannot be a judge, before anything is loaded.

    Args:
        source: The source, as for `judges.load`.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the source is not a model.
    """
    if source.endswith(TFLITE):
        check_tflite(Path(source))
    else:
        check_source(source)


def check_tflite(path: Path) -> None:
    """Check that a `.tflite` file exists.

    Raises:
        FileNotFoundError: If it does not.
    """
    if not path.is_file():
        hint = _suggest(path, (TFLITE,))
        raise FileNotFoundError(f"There is no file {str(path)!r}.{hint}")


def is_url(handle: str) -> bool:
    """Tell whether the handle of a module is a URL, and not a path."""
    return bool(_URL.match(handle))


def is_saved_model(path: Path) -> bool:
    """Tell whether a path is the folder of a SavedModel."""
    return any((path / name).is_file() for name in GRAPH_FILES)


def split_signature(source: str) -> tuple[str, str | None]:
    """Split the name of a signature from a source, or None if it names none.

    >>> split_signature("folder?signature=embed")
    ('folder', 'embed')
    """
    source, choices = split_choices(source, "signature")
    return source, choices.get("signature")


def split_choices(source: str, *names: str) -> tuple[str, dict[str, str]]:
    """Split the options of these names from the end of a source.

    >>> split_choices("folder?signature=make&output=image", "signature", "output")
    ('folder', {'signature': 'make', 'output': 'image'})
    """
    ending = re.compile(rf"[?&]({'|'.join(names)})=([^?&]+)$")
    choices: dict[str, str] = {}
    while match := ending.search(source):
        source = source[: match.start()]
        choices = {match[1]: match[2]} | choices
    return source, choices


def _suggest(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return a hint at a model of a similar name beside a path that does not exist."""
    folder = path.parent if path.parent.is_dir() else Path()
    names = [
        other.name
        for other in folder.iterdir()
        if other.suffix in suffixes or is_saved_model(other)
    ]
    return did_you_mean(path.name, names)


def _expected() -> str:
    return (
        f"{', '.join(BUNDLED)}, {KERAS}NAME, a file that ends in "
        f"{', '.join(SUFFIXES)}, the folder of a SavedModel, or {HUB}URL"
    )
