"""The sources that `load_model` takes, checked without importing TensorFlow."""

import re
from pathlib import Path

from tfviz._errors import did_you_mean
from tfviz._foreign_files import GRAPH_FILES, explain_file

BUNDLED = ("squeezenet", "efficientnet-lite0")
SUFFIXES = (".keras", ".h5", ".hdf5")
KERAS = "keras:"
HUB = "hub:"
# Models that Keras and KerasHub download.
HUGGING_FACE = "hf://"
KAGGLE = "kaggle://"
DOWNLOADS = (HUGGING_FACE, KAGGLE)
TFLITE = ".tflite"
# The options at the end of the source of a module, as in `FOLDER?signature=NAME`.
CHOICES = ("signature", "output")

_URL = re.compile(r"(https?|gs)://.")
_HANDLES = {
    HUGGING_FACE: (re.compile(r"[\w.-]+/[\w.-]+"), "hf://OWNER/NAME"),
    KAGGLE: (
        re.compile(r"[\w.-]+(/[\w.-]+){3,4}"),
        "kaggle://OWNER/MODEL/keras/VARIATION",
    ),
}
# Beginnings of the names of networks in keras.applications, which cannot be listed
# without Keras.
_NETWORKS = re.compile(
    "(convnext|densenet|efficientnet|inception|mobilenet|nasnet|resnet|vgg|xception)"
    r"\w*",
    re.IGNORECASE,
)


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
    if source.startswith(DOWNLOADS):
        _check_download(source)
        return
    handle, _ = split_signature(source.removeprefix(HUB))
    if source.startswith(HUB) and is_url(handle):
        return
    if not handle:
        raise ValueError(f"{source!r} does not name a model. Give {_expected()}.")
    path = Path(handle)
    if not path.exists():
        if explained := explain_file(path):  # the prefix of a checkpoint
            raise ValueError(explained)
        raise FileNotFoundError(
            f"There is no model {source!r}. {_suggest(source, path)}"
        )
    if path.is_dir():
        _check_folder(source, path)
    elif source.startswith(HUB) or path.suffix not in SUFFIXES:
        raise ValueError(
            explain_file(path) or f"{source!r} is not a model. Give {_expected()}."
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
        hint = did_you_mean(path.name, _siblings(path, (TFLITE,)))
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


def is_unpacked(path: Path) -> bool:
    """Tell whether a path is a folder with the contents of a `.keras` file."""
    return all((path / name).is_file() for name in ("config.json", "metadata.json"))


def _check_download(source: str) -> None:
    """Refuse a handle of Hugging Face or Kaggle that is not written like one."""
    (start,) = (start for start in DOWNLOADS if source.startswith(start))
    pattern, form = _HANDLES[start]
    if not pattern.fullmatch(source.removeprefix(start)):
        raise ValueError(f"{source!r} is not of the form {form}.")


def _check_folder(source: str, path: Path) -> None:
    """Refuse a folder that is not a model."""
    if is_saved_model(path) or path.suffix in SUFFIXES or is_unpacked(path):
        return
    inner = sorted(p for p in path.iterdir() if _is_model(p, SUFFIXES))
    explained = explain_file(path)
    if explained and not any(map(is_saved_model, inner)):
        raise ValueError(explained)
    remedy = f"Did you mean {str(inner[0])!r}?" if inner else f"Give {_expected()}."
    raise ValueError(
        f"{source!r} is not a model: the folder has no {GRAPH_FILES[0]}. {remedy}"
    )


def _suggest(source: str, path: Path) -> str:
    """Return what may have been meant by a source that does not exist."""
    if is_url(source):
        return (
            f"Download the file and give its path; for a TF-Hub module write {HUB}URL."
        )
    hint = did_you_mean(path.name, [*BUNDLED, *_siblings(path, SUFFIXES)])
    if not hint and _NETWORKS.fullmatch(source):
        hint = f"Did you mean {KERAS + source!r}?"
    return hint.strip() or f"Give {_expected()}."


def _siblings(path: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Return the names of models beside a path that does not exist."""
    folder = path.parent if path.parent.is_dir() else Path()
    return [other.name for other in folder.iterdir() if _is_model(other, suffixes)]


def _is_model(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix in suffixes or is_saved_model(path)


def _expected() -> str:
    return (
        f"{', '.join(BUNDLED)}, {KERAS}NAME, a file that ends in "
        f"{', '.join(SUFFIXES)}, the folder of a SavedModel, {HUB}URL, "
        f"{HUGGING_FACE}OWNER/NAME or {KAGGLE}HANDLE"
    )
