"""The sources that `load_model` takes, checked without importing TensorFlow."""

import re
from pathlib import Path

from tfviz._errors import did_you_mean

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
# A folder with one of these files is a SavedModel.
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")

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

_SAVE = "save it with model.save('name.keras')"
_ARCHIVE = "an archive. Unpack it, and give the model in it"
_WEIGHTS = (
    "checkpoint, which holds only weights. Build the model in Python, restore the "
    f"checkpoint, and {_SAVE}"
)
_PICKLE = (
    "a pickle, which tfviz never opens, because a pickle can run any code. Load the "
    f"model where you trust the file, and {_SAVE}"
)
_PYTORCH = (
    "PyTorch weights. Build the same network in Keras, copy the weights "
    f"into it, and {_SAVE}"
)
_TEXT = (
    "the description of a network without its weights. Build the model from it in "
    f"Python, load the weights, and {_SAVE}"
)
# What files with other suffixes are, and what can be done with them.
_OTHER_FILES = {
    TFLITE: "a TensorFlow Lite model, which has no gradients. Give the Keras model "
    "that it was converted from; a .tflite file can only be a judge",
    ".onnx": "an ONNX model. Give the Keras model that it was converted from, or "
    f"convert it to Keras and {_SAVE}",
    ".pb": "a graph without a SavedModel around it. Import it in Python with "
    "tf.compat.v1.import_graph_def, inside of a tf.function, and write that with "
    "tf.saved_model.save",
    **dict.fromkeys((".pt", ".pth", ".bin", ".safetensors"), f"a file of {_PYTORCH}"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys(
        (".index", ".ckpt", ".data-00000-of-00001"), f"part of a {_WEIGHTS}"
    ),
    **dict.fromkeys((".json", ".yaml", ".yml"), _TEXT),
    **dict.fromkeys((".zip", ".gz", ".tar", ".tgz", ".7z", ".rar"), _ARCHIVE),
}
# What a folder is that holds a file of such a name.
_OTHER_FOLDERS = (
    ("*.index", f"a {_WEIGHTS}"),
    (
        "tf_model.h5",
        f"a model of the package transformers. Load it in Python, and {_SAVE}",
    ),
    ("pytorch_model.bin", f"a folder of {_PYTORCH}"),
    ("*.safetensors", f"a folder of {_PYTORCH}"),
    ("model.json", "a TensorFlow.js model. Give the Keras model that it was made from"),
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
        raise FileNotFoundError(
            f"There is no model {source!r}. {_suggest(source, path)}"
        )
    if path.is_dir():
        _check_folder(source, path)
    elif path.name in GRAPH_FILES:
        raise ValueError(
            f"{source!r} is a part of a SavedModel. Give its folder: "
            f"{str(path.parent)!r}"
        )
    elif source.startswith(HUB) or path.suffix not in SUFFIXES:
        other = _OTHER_FILES.get(
            path.suffix.lower(), f"not a model. Give {_expected()}"
        )
        raise ValueError(f"{source!r} is {other}.")


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
    others = [o for pattern, o in _OTHER_FOLDERS if any(path.glob(pattern))]
    if others and not any(map(is_saved_model, inner)):
        raise ValueError(f"{source!r} is {others[0]}.")
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
        hint = did_you_mean(f"{KERAS}{source}", [f"{KERAS}{source}"])
    if hint:
        return hint.strip()
    if is_url(source):
        return (
            f"Download the file and give its path; for a TF-Hub module write {HUB}URL."
        )
    return f"Give {_expected()}."


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
