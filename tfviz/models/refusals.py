"""Why a model file cannot be loaded, in words that say what to do about it.

Keras prints the configuration of the layer that it refuses, or of the whole model. The
messages here name the layer, its class, and the version of Keras that wrote the file.
"""

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from tfviz._errors import argument, reason_of
from tfviz._foreign_files import explain_file

# The first bytes of files, by suffix: zip archives and HDF5.
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_FIRST_BYTES = {".keras": _ZIP, ".h5": _HDF5, ".hdf5": _HDF5}
_LFS = b"version https://git-lfs"

# How Keras 3 and tf_keras say that they do not know a class or a function.
_UNKNOWN = (
    re.compile(r"Could not locate (?P<kind>class|function) '(?P<name>\w+)'"),
    re.compile(r"Could not deserialize '(?:[\w.]+\.)?(?P<name>\w+)' because it is not"),
    re.compile(r"Could not deserialize (?P<kind>class|function) '(?P<name>\w+)'"),
    re.compile(r"Unknown (?:layer|object): '?(?P<name>\w+)"),
    re.compile(r"Unknown (?P<kind>activation )?function: '?(?P<name>\w+)"),
    re.compile(r"Could not interpret activation function identifier: (?P<name>\w+)"),
)
_ARGUMENTS = (
    re.compile(r"Unrecognized keyword arguments passed to (\w+): (\{.*\})"),
    re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument ('\w+')"),
)
# Packages of Keras' own that may be missing, and how they are installed.
_PACKAGES = {"keras_hub": "keras-hub", "keras_cv": "keras-cv"}


@dataclass(frozen=True)
class Description:
    """The metadata of a file: the model as JSON, and the version of Keras."""

    config: Any
    keras_version: str

    @property
    def is_old(self) -> bool:
        """Whether Keras 1 or 2 wrote the file. The first versions left no number."""
        return not self.keras_version or self.keras_version.startswith(("1.", "2."))


def read_description(path: Path) -> Description | None:
    """Return the metadata of a file, or None if it has none."""
    try:
        if path.is_dir():
            config, metadata = (
                json.loads((path / name).read_text(encoding="utf-8"))
                for name in ("config.json", "metadata.json")
            )
            return Description(config, metadata.get("keras_version", ""))
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                metadata = json.loads(archive.read("metadata.json"))
            return Description(config, metadata.get("keras_version", ""))
        with h5py.File(path) as file:
            text = file.attrs["model_config"]
            version = file.attrs.get("keras_version", "")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    version = version.decode() if isinstance(version, bytes) else version
    return Description(json.loads(text), version)


def check_contents(path: Path) -> None:
    """Refuse a file whose contents are not what its name promises.

    Raises:
        ValueError: If it is empty, damaged, of another format, or holds only weights.
    """
    if explained := explain_file(path):
        raise ValueError(explained)
    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start.startswith(_FIRST_BYTES[path.suffix]):
        if path.suffix != ".keras" or _is_written_by_keras(path):
            return
        problem = (
            "it is incomplete, or a zip archive that Keras did not write. Download or "
            "copy it once more."
        )
    elif not start:
        problem = "it is empty. Download or copy it once more."
    elif start == _LFS:
        problem = (
            "it is only the pointer that Git LFS leaves in place of a large file. "
            "Fetch the file itself: git lfs pull"
        )
    elif start.startswith(_HDF5):
        problem = "it is an HDF5 file. Rename it, so that it ends in .h5."
    elif start.startswith(_ZIP):
        problem = "it is a zip archive. If Keras wrote it, let its name end in .keras."
    else:
        problem = (
            "its first bytes are not those of such a file. Save it again with "
            "model.save('name.keras')."
        )
    raise ValueError(_refused(path) + problem)


def _is_written_by_keras(path: Path) -> bool:
    """Tell whether a zip archive has the description of a model."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def explain(
    path: Path, description: Description | None, *refusals: Exception
) -> ValueError:
    """Return the error for a file that cannot be loaded.

    Args:
        path: The path of the file.
        description: The metadata of the file, or None.
        refusals: The error of Keras 3, and that of tf_keras if it was tried.
    """
    reasons = [reason(refusal) for refusal in refusals]
    version = description.keras_version if description else ""
    entries = list(_find_entries(description.config)) if description else []
    text = None
    for each in reversed(reasons):
        text = text or _explain_unknown(each, entries, version)
        text = text or _explain_arguments(each, entries, version)
    if text is None and len(reasons) == 2:
        text = f"Keras 3: {reasons[0]}; tf_keras, for older files: {reasons[1]}."
    if text is None:
        text = f"{reasons[0]}.{_remedy(version)}"
    return ValueError(_refused(path) + text)


def unsafe(path: Path, code: str) -> ValueError:
    """Return the error for a file with Python code, which would run when it is loaded.

    Args:
        path: The path of the file.
        code: A description of the code.
    """
    return ValueError(
        f"{str(path)!r} contains {code}, which is Python code that would run here. If "
        f"you trust the file, allow it: {argument('allow_unsafe', True)}"
    )


def reason(error: Exception) -> str:
    """Return why Keras refuses a file, without the configuration of the layer."""
    text = str(error).partition("Full object config:")[0]
    _, marker, cause = text.rpartition("Exception encountered: ")
    if marker and cause.strip():
        line = cause.strip().splitlines()[0]
    else:
        line = reason_of(Exception(text) if text.strip() else error)
    return line.rstrip(". ")


def _refused(path: Path) -> str:
    return f"{str(path)!r} cannot be loaded as a Keras model: "


def _explain_unknown(reason: str, entries: list[Any], version: str) -> str | None:
    """Explain that a class or function is not known, or return None."""
    found = next(filter(None, (known.search(reason) for known in _UNKNOWN)), None)
    if found is None:
        return None
    name = found["name"]
    kind = "function" if found.groupdict().get("kind") == "function" else "class"
    kind = "function" if "function" in found[0] else kind
    entry: Any = next(
        (e for e in entries if name in (e["class_name"], e.get("config"))), {}
    )
    module = entry.get("module") or ""
    package = module.partition(".")[0]
    place = _place(entry)
    if package == "keras" and kind == "class":
        return (
            f"it was written by Keras {version}, and Keras {keras.__version__} does "
            f"not have the class {name}{place}.{_remedy(version)}"
        )
    if package in _PACKAGES:
        return (
            f"it needs the class {name} of {package}{place}. Install that: "
            f"pip install {_PACKAGES[package]}"
        )
    source = "MODULE" if package in ("", "builtins") else module
    if ">" in (entry.get("registered_name") or ""):
        register = "Import the Python module that defines it"
    else:
        register = f"Register it: keras.saving.get_custom_objects()[{name!r}] = {name}"
    remedy = argument("custom", f"{source}:{name}", python=register)
    if remedy != register:
        remedy = f"Import it with {remedy}"
        if source == "MODULE":
            remedy += ", where MODULE is the Python module that defines it"
    of_module = f" of the module {module}" if source != "MODULE" else ""
    return (
        f"it needs the {kind} {name}{of_module}{place}, which is not part of Keras. "
        f"{remedy}."
    )


def _explain_arguments(reason: str, entries: list[Any], version: str) -> str | None:
    """Explain that a class does not take an argument, or return None."""
    found = next(filter(None, (known.search(reason) for known in _ARGUMENTS)), None)
    if found is None:
        return None
    name = found[1]
    try:
        names = [str(key) for key in _as_tuple(ast.literal_eval(found[2]))]
    except (ValueError, SyntaxError):
        names = []
    own = [e for e in entries if e["class_name"] == name]
    entry: Any = next((e for e in own if set(names) & set(_settings(e))), {})
    arguments = "argument" if len(names) == 1 else "arguments"
    listed = " and ".join(names) or "in the file"
    if entry and not (entry.get("module") or "keras").startswith(("keras", "tf_keras")):
        return (
            f"the class {name}{_place(entry)} does not take the {arguments} {listed} "
            "that the file has for it. Is it the version that the model was saved with?"
        )
    return (
        f"it was written by Keras {version or 1}, and Keras {keras.__version__} does "
        f"not know the {arguments} {listed} of {name}{_place(entry)}."
        f"{_remedy(version)}"
    )


def _remedy(version: str) -> str:
    """Return what to do about a file of another version of Keras 3, if it is one."""
    own, other = (_numbers(v) for v in (keras.__version__, version))
    if not version.startswith("3.") or own == other:
        return ""
    if other > own:
        return f" Update Keras: pip install 'keras>={version}'"
    return (
        f" Load it with that version (pip install keras=={version}), and save it in "
        "another format with model.export."
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def _place(entry: Any) -> str:
    """Return in which layer a class is used, such as ` (layer 'conv')`, or nothing."""
    name = _settings(entry).get("name")
    return f" (layer {name!r})" if name else ""


def _settings(entry: Any) -> dict[str, Any]:
    settings = entry.get("config")
    return settings if isinstance(settings, dict) else {}


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, dict) else (value,)


def _find_entries(config: Any) -> Iterator[Any]:
    """Yield the descriptions of all objects in a JSON model."""
    if isinstance(config, list):
        for item in config:
            yield from _find_entries(item)
    if not isinstance(config, dict):
        return
    if "class_name" in config:
        yield config
    for value in config.values():
        yield from _find_entries(value)
