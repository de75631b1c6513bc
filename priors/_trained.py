"""Priors that `tfviz priors train` made, as params."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import adapt, load_model
from tfviz._files import DAMAGED, write_safely
from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize
from tfviz.params._base import Latents
from tfviz.priors._codes import Code
from tfviz.priors._latents import eighths, proposed, usual_waves
from tfviz.priors._networks import (
    autoencoder_decoder,
    autoencoder_encoder,
    inverter_generator,
)
from tfviz.priors._prior import Prior, assembled

# Raised where an older file would be read wrongly.
VERSION = 3
_SETTINGS = "settings"


def write(
    path: str | os.PathLike,
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.floating]],
) -> None:
    """Write a prior, whole or not at all, with weights of 16 bits.

    Args:
        path: Ends in `.npz`.
        settings: `kind` and what else makes it up, as JSON values.
        arrays: Weights by name.

    Raises:
        ValueError: If the name ends in something else, or a weight cannot be held in
            16 bits.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"A file of a prior ends in .npz. Received: {path}")
    held: dict[str, Any] = {**halved(arrays)}
    held[_SETTINGS] = json.dumps(dict(settings) | {"version": VERSION}, sort_keys=True)
    write_safely(path, lambda file: np.savez_compressed(file, **held))


def halved(
    arrays: Mapping[str, NDArray[np.floating]],
) -> dict[str, NDArray[np.float16]]:
    """Return arrays with 16 bits a number.

    Raises:
        ValueError: If a number cannot be held in 16 bits.
    """
    with np.errstate(over="ignore"):
        small = {name: np.asarray(v).astype(np.float16) for name, v in arrays.items()}
    for name, values in small.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name!r} holds numbers that are not finite in 16 bits: up to "
                f"{np.abs(arrays[name]).max():g}"
            )
    return small


def told(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the settings alone of a prior, or None if there is no such file."""
    if not Path(path).is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file[_SETTINGS]))


def read(
    path: str | os.PathLike,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return the settings and the weights in a file that `save` wrote.

    Raises:
        ValueError: If it is no such file, is cut off, or holds NaN.
    """
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            settings = json.loads(str(file[_SETTINGS]))
            arrays = {
                name: file[name].astype(np.float32)
                for name in file.files
                if name != _SETTINGS
            }
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} holds no prior, or not all of it. Expected a file "
            "that `tfviz priors train` wrote."
        ) from error
    if settings.get("version") != VERSION:
        raise ValueError(
            f"{os.fspath(path)!r} is of version {settings.get('version')} of such "
            f"files; this tfviz reads version {VERSION}."
        )
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{os.fspath(path)!r} holds NaN in {name!r}; get or train it anew."
            )
    return settings, arrays


BUNDLED = ("inverter", "autoencoder")
DEFAULT_SIZE = 224


def load(
    name: str | os.PathLike,
    size: int | tuple[int, int] | None = None,
    *,
    network: Adapter | None = None,
) -> Prior:
    """Load a prior that was trained with `tfviz priors train`.

    Args:
        name: `inverter` or `autoencoder`, which come with the package, or a file.
        size: Of an autoencoder's images: one number, or height and width, multiples
            of 8 pixels; 224 by default. An inverter has the size it was trained at.
        network: What an inverter's `encode` sees images with: the one that it was
            trained on, if that is in a file of your own. Others are loaded.

    Returns:
        A param. `decode` makes images `(n, height, width, 3)` in [0, 1]; `encode`
        takes images of any size and gives the latents of the nearest that it knows.

    Raises:
        ValueError: If the file holds no prior, or has no such size.
        FileNotFoundError: If there is no such file.
    """
    path = Path(name)
    if str(name) in BUNDLED:
        path = bundled_file(name)
        if not path.is_file():
            raise FileNotFoundError(
                f"This copy of tfviz is without the weights of {str(name)!r}. Install "
                f"it anew, or train some with `tfviz priors train {name}` and give the "
                "file."
            )
    settings, arrays = read(path)
    if settings.get("kind") not in BUNDLED:
        raise ValueError(
            f"{str(path)!r} holds a prior of the kind {settings.get('kind')!r}; known "
            f"are {', '.join(BUNDLED)}."
        )
    if settings["kind"] == "inverter":
        prior = _inverter(settings, arrays, size, network)
    else:
        prior = _autoencoder(settings, arrays, size)
    return replace(prior, trained={"network": settings["network"]["hash"]})


def bundled_file(name: str | os.PathLike) -> Path:
    """Return where a prior is that comes with the package."""
    return Path(__file__).with_name(f"{name}.npz")


def _inverter(
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray],
    size: Any,
    network: Adapter | None,
) -> Prior:
    native = settings["size"]
    if size not in (None, native, (native, native)):
        raise ValueError(
            f"This inverter makes images of {native} pixels. Received: size={size}"
        )
    code = Code(
        tuple(settings["code_layers"]),
        settings["seen_size"],
        settings["grid"],
        settings["colours"],
        arrays["code/mean"],
        arrays["code/basis"],
    )
    generator = inverter_generator(code.length, settings["widths"])
    _fill(generator, arrays, "generator")

    @cache
    def coder() -> Any:
        # Only those who start from an image need the network.
        adapter = _network(settings["network"], network)
        return tf.function(
            lambda images: code.seen_in(adapter, images),
            autograph=False,
            reduce_retracing=True,
        )

    def encode(images: Any) -> Latents:
        # Before it is compiled, where sizes are known.
        images = resize(tf.convert_to_tensor(images, tf.float32), (native, native))
        return {"code": coder()(images)}

    return assembled(
        {"code": proposed(code.length)},
        lambda values: generator(values["code"], training=False),
        value_range=(-1, 1),
        encode=encode,
        # At half of that, one class in eight is not found within 256 steps.
        defaults={"learning_rate": 0.2},
    )


def _network(known: Mapping[str, Any], given: Adapter | None) -> Adapter:
    """Return the network whose codes an inverter decodes."""
    if given is None:
        if known["source"] is None or known["preprocess"] == "custom":
            raise ValueError(
                f"This inverter encodes images with the model {known['name']!r}, which "
                "its file cannot name. Give it: load(..., network=tfviz.adapt(model))."
            )
        given = adapt(
            load_model(known["source"]),
            known["preprocess"],
            held=known["held"] or None,
            image_input=known["image_input"],
            output=known["output"],
        )
    if given.fingerprint() != known["hash"]:
        raise ValueError(
            f"This inverter encodes images with the weights of {known['name']!r} that "
            f"it was trained on (hash {known['hash'][:8]}). Received: {given.name!r} "
            f"with others (hash {given.fingerprint()[:8]})."
        )
    if given.preprocess.name != known["preprocess"]:
        raise ValueError(
            f"This inverter was trained with the preprocessing {known['preprocess']!r} "
            f"of {known['name']!r}. Received: {given.preprocess.name!r}"
        )
    return given


def _autoencoder(
    settings: Mapping[str, Any], arrays: Mapping[str, NDArray], size: Any
) -> Prior:
    height, width = (
        (size, size) if isinstance(size, int) else size or (DEFAULT_SIZE,) * 2
    )
    rows, columns = eighths(height, width)
    channels = settings["channels"]
    encoder, decoder = autoencoder_encoder(channels), autoencoder_decoder(channels)
    _fill(encoder, arrays, "encoder")
    _fill(decoder, arrays, "decoder")
    statistics = {
        name: arrays[f"latent/{name}"] for name in ("mean", "stddev", "decay")
    }
    latent = replace(
        usual_waves(rows, columns, channels, **statistics),
        usual=(arrays["latent/low"], arrays["latent/high"]),
    )

    def encode(images: Any) -> Latents:
        images = resize(images, (height, width))
        return {"latent": encoder(images * 2 - 1, training=False)}

    return assembled(
        {"latent": latent},
        lambda values: decoder(values["latent"], training=False),
        value_range=(-1, 1),
        encode=encode,
    )


def _fill(model: keras.Model, arrays: Mapping[str, NDArray], name: str) -> None:
    """Give a network its weights."""
    wanted = [f"{name}/{k}" for k in range(len(model.weights))]
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise ValueError(
            f"The file lacks {len(missing)} of the {len(wanted)} weights of the {name}."
        )
    model.set_weights([arrays[key] for key in wanted])
    model.trainable = False
