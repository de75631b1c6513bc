"""Load models: the bundled one, those of `keras.applications`, files and modules."""

import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h5py
import keras
import numpy as np
import tensorflow as tf

from tfviz._errors import did_you_mean, reason_of
from tfviz.models.saved_model import load_saved_model
from tfviz.models.sources import (
    HUB,
    KERAS,
    check_source,
    is_saved_model,
    is_url,
    without_signature,
)

# The training set's mean colour, red, green, blue, on a scale of 0 to 255.
MEAN_RGB = (123.68, 116.779, 103.939)
SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def squeezenet() -> Any:
    """Build SqueezeNet v1.1 with its trained weights.

    Returns:
        A `keras.Model` from RGB images `(n, height, width, 3)` in [0, 255] of any
        size from 31 pixels to logits `(n, 1000)`. `fire2` to `fire9` are its
        modules' outputs.
    """
    layers = keras.layers

    def convolution(x: Any, name: str, filters: int, size: int, **options: Any) -> Any:
        options = {"activation": "relu", "padding": "same"} | options
        return layers.Conv2D(filters, size, name=name, **options)(x)

    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Normalization(mean=MEAN_RGB, variance=(1.0,) * 3, name="mean")(inputs)
    x = convolution(x, "conv1", 64, 3, strides=2, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for module, filters in SQUEEZE.items():
        name = f"fire{module}"
        squeezed = convolution(x, f"{name}_squeeze1x1", filters, 1)
        x = layers.Concatenate(name=name)(
            [
                convolution(squeezed, f"{name}_expand1x1", 4 * filters, 1),
                convolution(squeezed, f"{name}_expand3x3", 4 * filters, 3),
            ]
        )
        if module in {3, 5}:
            x = layers.MaxPooling2D(3, 2, name=f"pool{module}")(x)
    x = convolution(x, "conv10", 1000, 1, activation=None)
    outputs = layers.GlobalAveragePooling2D(name="logits")(x)
    model = keras.Model(inputs, outputs, name="squeezenet")

    with files("tfviz.models").joinpath("squeezenet.npz").open("rb") as file:
        weights = np.load(file, allow_pickle=False)
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                kernel = weights[f"{layer.name}_kernel"].astype(np.float32)
                if layer.name == "conv1":
                    kernel = kernel[:, :, ::-1]  # trained on blue, green, red
                bias = weights[f"{layer.name}_bias"].astype(np.float32)
                layer.set_weights([kernel, bias])
    return model


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


_BUNDLED = {"squeezenet": squeezenet}


def load_model(source: str | os.PathLike, *, allow_unsafe: bool = False) -> Any:
    """Load a model.

    Args:
        source: `squeezenet`, the bundled ImageNet classifier; `keras:NAME` for a
            network of `keras.applications`, with its ImageNet weights or, as
            `keras:NAME?weights=none`, with random ones that are the same each time;
            the path of a `.keras` or `.h5` file, of Keras 3 or before; the folder of
            a SavedModel; or `hub:URL` for a module that `tensorflow_hub` fetches or
            has in its cache. Of a SavedModel's several signatures, choose one as
            `FOLDER?signature=NAME`.
        allow_unsafe: Whether a file may bring Python code in a `Lambda` layer. Only
            for files that you trust as much as a program.

    Returns:
        A Keras model; from a SavedModel a `GraphModule`, whose layers are the
        operations of its graph. `adapt` and `render` take both.

    Raises:
        ValueError: If there is no such model, or the file holds none.
        FileNotFoundError: If there is no such file.

    Warns:
        UserWarning: If Keras 3 refuses a file, and `tf_keras` loads it.

    >>> load_model("squeezenet").output_shape
    (None, 1000)
    """
    source = os.fspath(source)
    check_source(source)
    if source in _BUNDLED:
        model = _BUNDLED[source]()
    elif source.startswith(KERAS):
        model = _from_applications(source.removeprefix(KERAS))
    elif source.startswith(HUB):
        model = _from_hub(source)
    else:
        path, signature = without_signature(source)
        if is_saved_model(Path(path)):
            return load_saved_model(Path(path), signature)
        return load_file(Path(path), allow_unsafe=allow_unsafe)
    # So that a saved picture can tell by which name its model is to be had again;
    # where a file lies is no name.
    if not source.startswith(HUB) or is_url(source.removeprefix(HUB)):
        model.tfviz_source = source
    return model


def _from_applications(text: str) -> Any:
    name, _, query = text.partition("?")
    options = dict(parse_qsl(query))
    weights = options.pop("weights", "imagenet")
    # Networks are the only functions there with a capital letter.
    known = [n for n in dir(keras.applications) if n[:1].isupper()]
    if name not in known:
        hint = did_you_mean(name, known, most=2)
        raise ValueError(
            f"keras.applications has no network {name!r}.{hint} It has "
            f"{', '.join(known)}."
        )
    if options or weights not in ("imagenet", "none"):
        raise ValueError(
            f"{text!r} has an unknown setting. Write keras:{name} or "
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
            f"The weights of keras:{name} could not be fetched ({reason_of(error)}). "
            "Keras downloads them once, to ~/.keras/models; put the file there by "
            f"hand, or write keras:{name}?weights=none for random ones."
        ) from error


def _from_hub(source: str) -> Any:
    handle, signature = without_signature(source.removeprefix(HUB))
    # In a cache, folders have no names.
    name = urlsplit(handle).path.strip("/") if is_url(handle) else None
    return load_saved_model(fetch_module(handle), signature, name)


def fetch_module(handle: str) -> Path:
    """Return the folder of a module that `tensorflow_hub` fetches or has in its cache.

    Args:
        handle: A URL, or a folder.

    Raises:
        ValueError: If it cannot be fetched.
    """
    try:
        with warnings.catch_warnings():
            # tensorflow_hub imports pkg_resources, which warns of itself.
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            import tensorflow_hub  # noqa: PLC0415 (slow to import)
        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:
        reason = reason_of(getattr(error, "reason", error))
        raise ValueError(
            f"{handle!r} could not be fetched ({reason}). Download and unpack "
            "it by hand and give its folder, or let TFHUB_CACHE_DIR name a "
            "folder in which tensorflow_hub has it."
        ) from error
