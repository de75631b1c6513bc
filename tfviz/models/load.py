"""Load models: bundled, from `keras.applications`, from files, and from modules.

`load_model` finds out which of these a source names. Files are loaded with Keras 3 or,
if they are older, with `tf_keras`.
"""

import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h5py
import keras
import tensorflow as tf

from tfviz._errors import did_you_mean, reason_of
from tfviz.models.bundled import BUILDERS
from tfviz.models.saved_model import load_saved_model
from tfviz.models.sources import (
    HUB,
    KERAS,
    check_source,
    is_saved_model,
    is_url,
    split_signature,
)

# The first bytes of files, by suffix: zip archives and HDF5.
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIRST_BYTES = {".keras": b"PK\x03\x04", ".h5": _HDF5, ".hdf5": _HDF5}
# Warnings of Keras to the author of a model, which its users cannot act on.
_ADVICE = (r"Do not pass an `input_shape`", r"Argument `\w+` is deprecated")


def load_model(source: str | os.PathLike, *, allow_unsafe: bool = False) -> Any:
    """Load a model by its name, file or URL.

    Args:
        source: One of

            * `squeezenet` or `efficientnet-lite0`, the bundled ImageNet classifiers;
            * `keras:NAME` for a network of `keras.applications` with its ImageNet
              weights, or `keras:NAME?weights=none` with random weights, which are the
              same each time;
            * the path of a `.keras` or `.h5` file, from any version of Keras;
            * the folder of a SavedModel;
            * `hub:URL` for a module that `tensorflow_hub` downloads or finds in its
              cache.

            To select one of several signatures of a SavedModel or module, append
            `?signature=NAME`.
        allow_unsafe: Whether a file may contain Python code in a `Lambda` layer. Set
            this only for files that you trust as much as a program.

    Returns:
        A Keras model, or a `GraphModule` for a SavedModel, whose layers are the
        operations of its graph. `adapt` and `render` take both.

    Raises:
        ValueError: If there is no such model, or the file does not hold a model.
        FileNotFoundError: If there is no such file.

    Warns:
        UserWarning: If Keras 3 cannot load a file and `tf_keras` is used instead.

    >>> load_model("squeezenet").output_shape
    (None, 1000)
    """
    source = os.fspath(source)
    check_source(source)
    if source in BUILDERS:
        model = BUILDERS[source]()
    elif source.startswith(KERAS):
        model = _from_applications(source.removeprefix(KERAS))
    elif source.startswith(HUB):
        model = _from_hub(source)
    else:
        path, signature = split_signature(source)
        if is_saved_model(Path(path)):
            return load_saved_model(Path(path), signature)
        return load_file(Path(path), allow_unsafe=allow_unsafe)
    # Saved pictures record this name, so that the model can be loaded again. The path
    # of a file is not recorded: it means nothing on another machine.
    if not source.startswith(HUB) or is_url(source.removeprefix(HUB)):
        model.tfviz_source = source
    return model


def load_file(path: Path, *, allow_unsafe: bool = False) -> Any:
    """Load the model in a `.keras`, `.h5` or `.hdf5` file.

    Files of older versions that Keras 3 refuses are loaded with `tf_keras`. As that
    would run Python code in the file, the file is searched for code first.

    Args:
        path: The path of the file.
        allow_unsafe: Whether the file may contain Python code.

    Returns:
        The model.

    Raises:
        ValueError: If the file cannot be loaded, or contains Python code.

    Warns:
        UserWarning: If the file is loaded with `tf_keras`.
    """
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(_FIRST_BYTES[path.suffix]))
        if start != _FIRST_BYTES[path.suffix]:
            raise ValueError(
                f"{str(path)!r} cannot be loaded as a Keras model: its first bytes are "
                "not those of such a file. Save it again with model.save."
            )
    try:
        return _load_with_keras(path, allow_unsafe)
    except Exception as error:
        refusal = error
    if "Lambda" in str(refusal) and not allow_unsafe:
        raise ValueError(_unsafe(path, "a Lambda layer")) from refusal
    reason = _reason(refusal)
    description = _read_description(path)
    if description and description.is_old:
        code = next(_find_code(description.config), None)
        if code and not allow_unsafe:
            raise ValueError(_unsafe(path, code)) from refusal
        try:
            model = _load_with_tf_keras(path, allow_unsafe)
        except Exception as error:
            reason = f"Keras 3: {reason}; tf_keras, for older files: {_reason(error)}"
        else:
            warnings.warn(
                f"{path.name!r} was written by Keras {description.keras_version or 1} "
                f"and is loaded with tf_keras, because Keras {keras.__version__} "
                f"refuses it: {reason}",
                stacklevel=3,
            )
            return model
    if "No model config" in reason:
        remedy = (
            "The file holds only weights: build the model in Python, load them with "
            "model.load_weights, and pass the model to tfviz.adapt."
        )
    else:
        remedy = (
            "If the model has custom layers, import them first: --custom MODULE:NAME, "
            "or keras.saving.register_keras_serializable."
        )
    raise ValueError(
        f"{str(path)!r} cannot be loaded as a Keras model: {reason}. {remedy}"
    ) from refusal


def fetch_module(handle: str) -> Path:
    """Return the folder of a module, which `tensorflow_hub` downloads if necessary.

    Args:
        handle: The URL of the module, or a folder.

    Raises:
        ValueError: If the module cannot be downloaded.
    """
    try:
        with warnings.catch_warnings():
            # tensorflow_hub imports pkg_resources, which is deprecated.
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            import tensorflow_hub  # noqa: PLC0415 (slow to import)
        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:
        reason = reason_of(getattr(error, "reason", error))
        raise ValueError(
            f"{handle!r} could not be fetched ({reason}). Download and unpack "
            "it by hand and give its folder, or set TFHUB_CACHE_DIR to a "
            "folder in which tensorflow_hub has cached it."
        ) from error


@dataclass(frozen=True)
class _Description:
    """The metadata of a file: the model as JSON, and the version of Keras."""

    config: Any
    keras_version: str

    @property
    def is_old(self) -> bool:
        """Whether Keras 1 or 2 wrote the file. The first versions left no number."""
        return not self.keras_version or self.keras_version.startswith(("1.", "2."))


def _from_applications(text: str) -> Any:
    name, _, query = text.partition("?")
    options = dict(parse_qsl(query))
    weights = options.pop("weights", "imagenet")
    # The names of other functions there do not start with a capital letter.
    networks = [n for n in dir(keras.applications) if n[:1].isupper()]
    if name not in networks:
        hint = did_you_mean(name, networks, most=2)
        raise ValueError(
            f"keras.applications has no network {name!r}.{hint} Its networks: "
            f"{', '.join(networks)}."
        )
    if options or weights not in ("imagenet", "none"):
        raise ValueError(
            f"{text!r} has an unknown option. Write keras:{name} or "
            f"keras:{name}?weights=none."
        )
    build = getattr(keras.applications, name)
    if weights == "none":
        state = tf.random.get_global_generator()
        keras.utils.set_random_seed(0)
        try:
            return build(weights=None)
        finally:
            tf.random.set_global_generator(state)
    try:
        return build(weights="imagenet")
    except Exception as error:
        raise ValueError(
            f"The weights of keras:{name} could not be fetched "
            f"({reason_of(error)}). Keras downloads them once, to ~/.keras/models; put "
            f"the file there by hand, or write keras:{name}?weights=none for random "
            "weights."
        ) from error


def _from_hub(source: str) -> Any:
    handle, signature = split_signature(source.removeprefix(HUB))
    # The folders in a cache are named by hashes, so the URL names the module.
    name = urlsplit(handle).path.strip("/") if is_url(handle) else None
    return load_saved_model(fetch_module(handle), signature, name)


def _load_with_keras(path: Path, allow_unsafe: bool) -> Any:
    with warnings.catch_warnings():
        for advice in _ADVICE:
            warnings.filterwarnings("ignore", advice)
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_unsafe)


def _load_with_tf_keras(path: Path, allow_unsafe: bool) -> Any:
    import tf_keras  # noqa: PLC0415 (rarely needed, and slow to import)

    return tf_keras.saving.load_model(
        str(path),
        custom_objects=keras.saving.get_custom_objects(),
        compile=False,
        safe_mode=not allow_unsafe,
    )


def _reason(error: Exception) -> str:
    """Return why Keras refuses a file, without the configuration of the layer."""
    _, marker, cause = str(error).rpartition("Exception encountered: ")
    reason = cause.strip().splitlines()[0] if marker else reason_of(error)
    return reason.rstrip(".")


def _unsafe(path: Path, code: str) -> str:
    return (
        f"{str(path)!r} contains {code}, which is Python code that would run here. If "
        "you trust the file, allow it: --allow-unsafe, or allow_unsafe=True."
    )


def _read_description(path: Path) -> _Description | None:
    """Return the metadata of a file, or None if it has none."""
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


def _find_code(config: Any) -> Iterator[str]:
    """Yield descriptions of the parts of a JSON model that would run or import code."""
    if isinstance(config, list):
        for item in config:
            yield from _find_code(item)
    if not isinstance(config, dict):
        return
    name = config.get("class_name")
    if name in ("Lambda", "__lambda__"):
        yield "a Lambda layer"
    for key, value in config.items():
        if key.endswith("_type") and value == "lambda":
            yield f"a lambda as {key.removesuffix('_type')}"
        yield from _find_code(value)
    module = config.get("module")
    if isinstance(module, str) and name is not None:
        trusted = module.partition(".")[0] in ("keras", "tf_keras", "builtins")
        if not trusted and not _is_registered(config.get("registered_name") or name):
            yield f"a layer of the Python module {module!r}"


def _is_registered(name: str) -> bool:
    """Tell whether the user has registered a custom layer of this name."""
    import tf_keras  # noqa: PLC0415 (rarely needed, and slow to import)

    return any(k.saving.get_registered_object(name) for k in (keras, tf_keras))
