"""Load models: the bundled one, those of `keras.applications`, files and modules."""

import os
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import keras
import tensorflow as tf

from tfviz._errors import did_you_mean, reason_of
from tfviz._files import load_file
from tfviz._saved_model import load_saved_model
from tfviz._sources import (
    HUB,
    KERAS,
    check_source,
    is_saved_model,
    is_url,
    without_signature,
)
from tfviz._squeezenet import squeezenet

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
