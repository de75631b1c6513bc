"""Load models: bundled, from `keras.applications`, files, modules, and hubs of models.

`load_model` finds out which of these a source names. Files are loaded with Keras 3 or,
if they are older, with `tf_keras`.
"""

import os
import random
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import keras
import numpy as np
import tensorflow as tf

from tfviz._errors import did_you_mean, reason_of
from tfviz.models.bundled import BUILDERS
from tfviz.models.refusals import (
    check_contents,
    explain,
    read_description,
    reason,
    unsafe,
)
from tfviz.models.saved_model import load_saved_model
from tfviz.models.sources import (
    DOWNLOADS,
    HUB,
    HUGGING_FACE,
    KERAS,
    check_source,
    is_saved_model,
    is_url,
    split_signature,
)

# Warnings of Keras to the author of a model, which its users cannot act on.
_ADVICE = (r"Do not pass an `input_shape`", r"Argument `\w+` is deprecated")


def load_model(source: str | os.PathLike[str], *, allow_unsafe: bool = False) -> Any:
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
              cache, or `hub:FOLDER`;
            * `hf://OWNER/NAME` for a Keras model or a preset of KerasHub on Hugging
              Face, which needs the package `huggingface_hub`;
            * `kaggle://OWNER/MODEL/keras/VARIATION` for a preset of KerasHub on
              Kaggle, which needs KerasHub: `pip install keras-hub`.

            The command line takes the same sources. Nothing is ever loaded from a
            pickle.

            To select one of several signatures of a SavedModel or module, append
            `?signature=NAME`.
        allow_unsafe: Whether a file may contain Python code in a `Lambda` layer. Set
            this only for files that you trust as much as a program.

    Returns:
        A Keras model, or a `GraphModule` for a SavedModel, whose layers are the
        operations of its graph. `adapt` and `render` take both.

    Raises:
        ValueError: If there is no such model, it cannot be downloaded, or the file
            does not hold a model that Keras can load.
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
    elif source.startswith(DOWNLOADS):
        model = _from_download(source, allow_unsafe)
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
        check_contents(path)
    try:
        return _load_with_keras(path, allow_unsafe)
    except Exception as error:
        refusal = error
    if "Lambda" in str(refusal) and not allow_unsafe:
        raise unsafe(path, "a Lambda layer") from refusal
    description = read_description(path)
    if not description or not description.is_old:
        raise explain(path, description, refusal) from refusal
    code = next(_find_code(description.config), None)
    if code and not allow_unsafe:
        raise unsafe(path, code) from refusal
    try:
        model = _load_with_tf_keras(path, allow_unsafe)
    except Exception as error:
        raise explain(path, description, refusal, error) from refusal
    warnings.warn(
        f"{path.name!r} was written by Keras {description.keras_version or 1} and is "
        f"loaded with tf_keras, because Keras {keras.__version__} refuses it: "
        f"{reason(refusal)}",
        stacklevel=3,
    )
    return model


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
        why = reason_of(getattr(error, "reason", error))
        raise ValueError(
            f"{handle!r} could not be fetched ({why}). Download and unpack "
            "it by hand and give its folder, or set TFHUB_CACHE_DIR to a "
            "folder in which tensorflow_hub has cached it."
        ) from error


def _from_applications(text: str) -> Any:
    name, _, query = text.partition("?")
    options = dict(parse_qsl(query))
    weights = options.pop("weights", "imagenet")
    # The names of other functions there do not start with a capital letter.
    networks = [n for n in dir(keras.applications) if n[:1].isupper()]
    if name not in networks:
        handles = [f"{KERAS}{network}" for network in networks]
        hint = did_you_mean(f"{KERAS}{name}", handles, most=2, cutoff=0.8)
        hint = hint or f" Its networks: {', '.join(networks)}."
        raise ValueError(f"keras.applications has no network {name!r}.{hint}")
    if options or weights not in ("imagenet", "none"):
        raise ValueError(
            f"{text!r} has an unknown option. Write keras:{name} or "
            f"keras:{name}?weights=none."
        )
    build = getattr(keras.applications, name)
    if weights == "none":
        # Equal weights each time, without a change to the random numbers of the caller.
        states = random.getstate(), np.random.get_state()  # noqa: NPY002
        generator = tf.random.get_global_generator()
        keras.utils.set_random_seed(0)
        try:
            return build(weights=None)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            tf.random.set_global_generator(generator)
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


def _from_download(source: str, allow_unsafe: bool) -> Any:
    """Load a model of Keras, or a preset of KerasHub, from Hugging Face or Kaggle."""
    on_hugging_face = source.startswith(HUGGING_FACE)
    package = "huggingface_hub" if on_hugging_face else "kagglehub"
    has_keras_hub = find_spec("keras_hub") is not None
    if not on_hugging_face and not has_keras_hub:
        raise ValueError(
            f"{source!r} needs KerasHub: pip install keras-hub. A model that "
            "is not a preset of KerasHub must be downloaded by hand: give its file."
        )
    if find_spec(package) is None:
        raise ValueError(f"{source!r} needs another package: pip install {package}")
    reasons = []
    if on_hugging_face:
        try:
            return _load_with_keras(source, allow_unsafe)
        except Exception as error:
            reasons.append(reason(error))
    if has_keras_hub:
        try:
            return _from_preset(source)
        except Exception as error:
            reasons.append(reason(error))
    else:
        reasons.append("a preset of KerasHub needs pip install keras-hub")
    raise ValueError(
        f"{source!r} could not be loaded ({'; '.join(dict.fromkeys(reasons))}). Check "
        "the name and the connection, or download the model by hand and give its file "
        "or folder."
    )


def _from_preset(preset: str) -> Any:
    """Load a preset of KerasHub: an image classifier, or else the network alone."""
    import keras_hub  # noqa: PLC0415 (optional, and slow to import)

    try:
        return keras_hub.models.ImageClassifier.from_preset(preset)
    except ValueError:  # it has no classes
        return keras_hub.models.Backbone.from_preset(preset)


def _load_with_keras(source: Path | str, allow_unsafe: bool) -> Any:
    # Keras 2 wrote `tf.nn.softmax` as the name of its Python function.
    names = {"softmax_v2": keras.activations.softmax}
    with warnings.catch_warnings():
        for advice in _ADVICE:
            warnings.filterwarnings("ignore", advice)
        return keras.saving.load_model(
            source, custom_objects=names, compile=False, safe_mode=not allow_unsafe
        )


def _load_with_tf_keras(path: Path, allow_unsafe: bool) -> Any:
    import tf_keras  # noqa: PLC0415 (rarely needed, and slow to import)

    return tf_keras.saving.load_model(
        str(path),
        custom_objects=keras.saving.get_custom_objects(),
        compile=False,
        safe_mode=not allow_unsafe,
    )


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
