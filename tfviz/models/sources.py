"""What `load_model` takes, checked without importing TensorFlow."""

import re
from pathlib import Path

from tfviz._errors import did_you_mean

BUNDLED = ("squeezenet",)
SUFFIXES = (".keras", ".h5", ".hdf5")
KERAS = "keras:"
HUB = "hub:"
TFLITE = ".tflite"
# What can be chosen of a SavedModel or a module, as in `FOLDER?signature=NAME`.
CHOICES = ("signature", "output")
# What a folder needs to be a SavedModel.
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")

_URL = re.compile(r"(https?|gs)://.")


def check_source(source: str) -> None:
    """Refuse what is certainly no model, before anything is loaded.

    Args:
        source: As for `load_model`.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is no model.

    >>> check_source("squeezenet")
    """
    if source in BUNDLED or source.startswith(KERAS):
        return
    handle, _ = without_signature(source.removeprefix(HUB))
    if source.startswith(HUB) and is_url(handle):
        return
    if not handle:
        raise ValueError(f"{source!r} names nothing. Give {_choices()}.")
    path = Path(handle)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model {source!r}.{_near(path)} Give {_choices()}."
        )
    if path.is_dir() and (is_saved_model(path) or path.suffix in SUFFIXES):
        return
    if path.is_dir():
        within = sorted(p for p in path.iterdir() if is_saved_model(p))
        hint = f"Did you mean {str(within[0])!r}? " if within else ""
        raise ValueError(
            f"{source!r} is no model file; the folder has no {GRAPH_FILES[0]}. {hint}"
            f"Give {_choices()}."
        )
    if path.name in GRAPH_FILES:
        raise ValueError(
            f"{source!r} is a part of a SavedModel. Give its folder: "
            f"{str(path.parent)!r}"
        )
    if source.startswith(HUB) or path.suffix not in SUFFIXES:
        raise ValueError(
            f"{source!r} is no model file; expected one that ends in "
            f"{', '.join(SUFFIXES)}, or a SavedModel's folder. Save the model with "
            "model.save('name.keras')."
        )


def check_judge(source: str) -> None:
    """Refuse what is certainly no judge, before anything is loaded.

    Args:
        source: As for `judges.load`.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is no model.
    """
    if source.endswith(TFLITE):
        check_tflite(Path(source))
    else:
        check_source(source)


def check_tflite(path: Path) -> None:
    """Refuse a file that is not there.

    Raises:
        FileNotFoundError: If there is none.
    """
    if not path.is_file():
        hint = _near(path, (TFLITE,))
        raise FileNotFoundError(f"There is no file {str(path)!r}.{hint}")


def is_url(handle: str) -> bool:
    """Tell whether a handle is to be fetched, and not a path."""
    return bool(_URL.match(handle))


def is_saved_model(path: Path) -> bool:
    """Tell whether a path is a SavedModel's folder."""
    return any((path / name).is_file() for name in GRAPH_FILES)


def without_signature(source: str) -> tuple[str, str | None]:
    """Split off the signature that a source names.

    >>> without_signature("folder?signature=embed")
    ('folder', 'embed')
    """
    source, chosen = without_choices(source, "signature")
    return source, chosen.get("signature")


def without_choices(source: str, *names: str) -> tuple[str, dict[str, str]]:
    """Split off what a source chooses at its end, by the names that there are.

    >>> without_choices("folder?signature=make&output=image", "signature", "output")
    ('folder', {'signature': 'make', 'output': 'image'})
    """
    ending = re.compile(rf"[?&]({'|'.join(names)})=([^?&]+)$")
    chosen: dict[str, str] = {}
    while found := ending.search(source):
        source = source[: found.start()]
        chosen = {found[1]: found[2]} | chosen
    return source, chosen


def _near(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return a hint at a model beside a path that does not exist."""
    folder = path.parent if path.parent.is_dir() else Path()
    names = [
        other.name
        for other in folder.iterdir()
        if other.suffix in suffixes or is_saved_model(other)
    ]
    return did_you_mean(path.name, names)


def _choices() -> str:
    return (
        f"{', '.join(BUNDLED)}, {KERAS}NAME, a file that ends in "
        f"{', '.join(SUFFIXES)}, a SavedModel's folder, or {HUB}URL"
    )
