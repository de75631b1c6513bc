"""Load a Keras model from a file, of Keras 3 or before, without running its code."""

import json
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from tfviz._errors import reason_of

# How files start: zip archives and HDF5.
_HDF5 = b"\x89HDF\r\n\x1a\n"
_STARTS = {".keras": b"PK\x03\x04", ".h5": _HDF5, ".hdf5": _HDF5}
# Advice of Keras to whoever wrote the model, which no file can follow.
_ADVICE = (r"Do not pass an `input_shape`", r"Argument `\w+` is deprecated")


@dataclass(frozen=True)
class _Description:
    """What a file says of itself: the model as JSON, and which Keras wrote it."""

    config: Any
    keras_version: str

    @property
    def is_old(self) -> bool:
        """Whether the file is of a Keras before 3. The first ones did not say."""
        return not self.keras_version or self.keras_version.startswith(("1.", "2."))


def load_file(path: Path, *, allow_unsafe: bool = False) -> Any:
    """Load the model in a `.keras`, `.h5` or `.hdf5` file.

    What Keras 3 refuses of an older Keras is loaded with `tf_keras`. That would run
    Python code in the file, so the file is searched for it before.

    Args:
        path: Of the file.
        allow_unsafe: Whether the file may bring Python code.

    Returns:
        The model.

    Raises:
        ValueError: If it cannot be loaded, or brings Python code.

    Warns:
        UserWarning: If it was loaded with `tf_keras`.
    """
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(_STARTS[path.suffix]))
        if start != _STARTS[path.suffix]:
            raise ValueError(
                f"{str(path)!r} cannot be loaded as a Keras model: its first bytes are "
                "not those of such a file. Save it again with model.save."
            )
    try:
        return _by_keras(path, allow_unsafe)
    except Exception as error:
        refusal = error
    if "Lambda" in str(refusal) and not allow_unsafe:
        raise ValueError(_unsafe(path, "a Lambda layer")) from refusal
    reason = _reason(refusal)
    written = _described(path)
    if written and written.is_old:
        code = next(_code_in(written.config), None)
        if code and not allow_unsafe:
            raise ValueError(_unsafe(path, code)) from refusal
        try:
            model = _by_tf_keras(path, allow_unsafe)
        except Exception as error:
            reason = f"Keras 3: {reason}; tf_keras, for older files: {_reason(error)}"
        else:
            warnings.warn(
                f"{path.name!r} was written by Keras {written.keras_version or 1} and "
                f"is loaded with tf_keras, as Keras {keras.__version__} refuses it: "
                f"{reason}",
                stacklevel=3,
            )
            return model
    if "No model config" in reason:
        remedy = (
            "It holds weights alone: build the model in Python, load them with "
            "model.load_weights, and pass the model to tfviz.adapt."
        )
    else:
        remedy = (
            "If it has layers of your own, import them first: --custom MODULE:NAME, "
            "or keras.saving.register_keras_serializable."
        )
    raise ValueError(
        f"{str(path)!r} cannot be loaded as a Keras model: {reason}. {remedy}"
    ) from refusal


def _by_keras(path: Path, allow_unsafe: bool) -> Any:
    with warnings.catch_warnings():
        for advice in _ADVICE:
            warnings.filterwarnings("ignore", advice)
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_unsafe)


def _by_tf_keras(path: Path, allow_unsafe: bool) -> Any:
    import tf_keras  # noqa: PLC0415 (seldom needed, and slow to import)

    return tf_keras.saving.load_model(
        str(path),
        custom_objects=keras.saving.get_custom_objects(),
        compile=False,
        safe_mode=not allow_unsafe,
    )


def _reason(error: Exception) -> str:
    """Return why Keras refuses a file, without the settings of the layer."""
    _, found, cause = str(error).rpartition("Exception encountered: ")
    reason = cause.strip().splitlines()[0] if found else reason_of(error)
    return reason.rstrip(".")


def _unsafe(path: Path, code: str) -> str:
    return (
        f"{str(path)!r} holds {code}, which is Python code that would run here. If you "
        "trust the file, allow it: --allow-unsafe, or allow_unsafe=True."
    )


def _described(path: Path) -> _Description | None:
    """Return what a file says of itself, or None where it says nothing."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                metadata = json.loads(archive.read("metadata.json"))
            return _Description(config, metadata.get("keras_version", ""))
        with h5py.File(path) as file:
            text = file.attrs["model_config"]
            version = file.attrs.get("keras_version", "")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    version = version.decode() if isinstance(version, bytes) else version
    return _Description(json.loads(text), version)


def _code_in(config: Any) -> Iterator[str]:
    """Yield what in a model's JSON would make `tf_keras` run or import code."""
    if isinstance(config, list):
        for item in config:
            yield from _code_in(item)
    if not isinstance(config, dict):
        return
    name = config.get("class_name")
    if name in ("Lambda", "__lambda__"):
        yield "a Lambda layer"
    for key, value in config.items():
        if key.endswith("_type") and value == "lambda":
            yield f"a lambda as {key.removesuffix('_type')}"
        yield from _code_in(value)
    module = config.get("module")
    if isinstance(module, str) and name is not None:
        own = module.partition(".")[0] in ("keras", "tf_keras", "builtins")
        if not own and not _is_registered(config.get("registered_name") or name):
            yield f"a layer of the Python module {module!r}"


def _is_registered(name: str) -> bool:
    """Tell whether the user has named a layer of their own."""
    import tf_keras  # noqa: PLC0415 (seldom needed, and slow to import)

    return any(k.saving.get_registered_object(name) for k in (keras, tf_keras))
