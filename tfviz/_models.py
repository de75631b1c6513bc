"""Load models: the bundled one, those of `keras.applications`, and files."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import keras
import tensorflow as tf

from tfviz._errors import reason_of
from tfviz._squeezenet import squeezenet

BUNDLED = {"squeezenet": squeezenet}
# Model files by their suffix, and how they start: zip archives and HDF5.
_HDF5 = b"\x89HDF\r\n\x1a\n"
_STARTS = {".keras": b"PK\x03\x04", ".h5": _HDF5, ".hdf5": _HDF5}
SUFFIXES = tuple(_STARTS)


def load_model(source: str | os.PathLike, *, allow_unsafe: bool = False) -> Any:
    """Load a Keras model.

    Args:
        source: `squeezenet`, the bundled ImageNet classifier; `keras:NAME` for a
            network of `keras.applications`, with its ImageNet weights or, as
            `keras:NAME?weights=none`, with random ones that are the same each time;
            or the path of a `.keras` or `.h5` file.
        allow_unsafe: Whether a file may bring Python code in a `Lambda` layer. Only
            for files that you trust as much as a program.

    Returns:
        The model.

    Raises:
        ValueError: If there is no such model, or the file holds none.
        FileNotFoundError: If there is no such file.

    >>> load_model("squeezenet").output_shape
    (None, 1000)
    """
    source = os.fspath(source)
    if source in BUNDLED:
        model = BUNDLED[source]()
    elif source.startswith("keras:"):
        model = _from_applications(source.removeprefix("keras:"))
    else:
        return _from_file(Path(source), allow_unsafe)
    # So that a saved picture can tell by which name its model is to be had again.
    model.tfviz_source = source
    return model


def _from_applications(text: str) -> Any:
    name, _, query = text.partition("?")
    options = dict(parse_qsl(query))
    weights = options.pop("weights", "imagenet")
    # Networks are the only functions there with a capital letter.
    known = [n for n in dir(keras.applications) if n[:1].isupper()]
    if name not in known:
        close = get_close_matches(name, known, n=2)
        hint = f"Did you mean {', '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"keras.applications has no network {name!r}. {hint}It has "
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


def _from_file(path: Path, allow_unsafe: bool) -> Any:
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model {str(path)!r}. Give {', '.join(BUNDLED)}, keras:NAME, "
            f"or a file that ends in {', '.join(SUFFIXES)}."
        )
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{str(path)!r} is no model file: expected a name that ends in "
            f"{', '.join(SUFFIXES)}. Save the model with model.save('name.keras')."
        )
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(_STARTS[path.suffix]))
        if start != _STARTS[path.suffix]:
            raise ValueError(
                f"{str(path)!r} cannot be loaded as a Keras model: its first bytes are "
                "not those of such a file. Save it again with model.save."
            )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_unsafe)
    except Exception as error:
        reason = reason_of(error)
        if "Lambda" in str(error) and not allow_unsafe:
            raise ValueError(
                f"{str(path)!r} holds a Lambda layer, which is Python code that would "
                "run here. If you trust the file, allow it: --allow-unsafe, or "
                "allow_unsafe=True."
            ) from error
        raise ValueError(
            f"{str(path)!r} cannot be loaded as a Keras model: {reason} "
            "If it has layers of your own, import them first: --custom MODULE:NAME, "
            "or keras.saving.register_keras_serializable."
        ) from error
