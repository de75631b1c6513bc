"""Priors that `tfviz priors train` trained, and the format of their files.

Such a prior is an `.npz` file that holds weights with 16 bits a number, and settings as
JSON: its kind (`inverter`, `autoencoder` or `gan`), its sizes, and facts about its
training. Two of them come with the package. `load` makes a `Prior` of a file; `write`,
`read` and `read_facts` implement the file format, which the training uses as well.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import argument
from tfviz._files import DAMAGED, write_safely
from tfviz._foreign_files import explain_file
from tfviz.comparison.kinship import dataset_of_source
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import resize
from tfviz.models.load import load_model
from tfviz.params._base import Latents
from tfviz.priors._codes import Code
from tfviz.priors._constraints import box, usual_length
from tfviz.priors._gan import gan_prior
from tfviz.priors._latents import gaussian, latent_map_size, waves_of_usual_length
from tfviz.priors._networks import (
    autoencoder_decoder,
    autoencoder_encoder,
    inverter_generator,
    set_weights,
)
from tfviz.priors._precision import check_precision, in_precision
from tfviz.priors._prior import Prior, assembled

# The priors that come with the package, and all kinds of trained priors.
BUNDLED = ("inverter", "autoencoder")
KINDS = (*BUNDLED, "gan")
# Added to the name of a GAN's file without its ending, this names the file of the
# encoder, which only `encode` needs.
ENCODER_SUFFIX = ".encoder.npz"
# How far the numbers of an inverter's code may go, in standard deviations of those of
# photos. Without this limit, single numbers go far beyond those of photos, and networks
# that took no part recognize less in the pictures.
CODE_REACH = 2.0
# The size of an autoencoder's images, in pixels, if none is asked for.
DEFAULT_SIZE = 224
# The version of the file format; a new one is needed if older files would be misread.
VERSION = 3
# The name under which a file holds its settings, beside the weights.
_SETTINGS = "settings"


def load(
    name: str | os.PathLike,
    size: int | tuple[int, int] | None = None,
    *,
    network: Adapter | None = None,
    precision: str | None = None,
) -> Prior:
    """Load a prior that was trained with `tfviz priors train`.

    Args:
        name: The name of a bundled prior, `inverter` or `autoencoder`, or a file.
        size: The size of an autoencoder's images in pixels: one number, or height and
            width, which are multiples of 8; 224 by default. The images of an inverter
            or a GAN have the size at which it was trained.
        network: The network on which an inverter was trained, which its `encode` needs.
            By default it is loaded by its name; give it if it is a model of your own.
        precision: `bfloat16` or `float16` for a decoder that computes with 16 bits.

    Returns:
        A param whose `decode` makes images `(n, height, width, 3)` in [0, 1]. Its
        `encode` takes images of any size and returns the latents of similar images;
        that of a GAN is None if the file of its encoder is missing, or if its images
        are made from classes.

    Raises:
        ValueError: If the file is not a prior, the prior does not have this size, or
            the precision is unknown.
        FileNotFoundError: If there is no such file.
    """
    path = Path(name)
    if str(name) in BUNDLED:
        path = bundled_file(name)
        if not path.is_file():
            raise FileNotFoundError(
                f"This copy of tfviz comes without the weights of {str(name)!r}. "
                f"Install it again, or train a prior with `tfviz priors train {name}` "
                "and give its file."
            )
    settings, arrays = read(path)
    if settings.get("kind") not in KINDS:
        raise ValueError(
            f"{str(path)!r} holds a prior of the kind {settings.get('kind')!r}. The "
            f"known kinds are {', '.join(KINDS)}."
        )
    if settings["kind"] == "gan":
        _check_native("GAN", settings["size"], size)
        beside = encoder_file(path)
        read_encoder = partial(read, beside) if beside.is_file() else None
        prior = gan_prior(settings, arrays, read_encoder, precision)
    elif settings["kind"] == "inverter":
        prior = _inverter(settings, arrays, size, network, precision)
    else:
        prior = _autoencoder(settings, arrays, size, precision)
    return replace(prior, trained=_training(settings))


def _training(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file of a prior says of its training, as `Param.trained`."""
    photos = f"{settings['photos']:,} photos"
    if sources := settings.get("sources"):
        photos += f" ({', '.join(sources)})"
    if without := settings.get("without"):
        photos += f", without {len(without):,} that were left out"
    data = set(settings.get("data", ()))
    network = settings.get("network")
    networks: dict[str, str | None] = {}
    if network is None:
        learned_from = "The photos"
        about = f"Trained on {photos}, without the features of any network."
        if settings.get("variant") == "instance":
            networks = {"its own encoder": None}
            about = (
                f"Trained on {photos}, with the features of an encoder of its own, "
                "which learned their classes."
            )
    else:
        name = network["name"]
        networks = {name: network["hash"]}
        learned_from = f"The photos, or those that {name} learned from,"
        about = f"Trained on {photos}, to match them in the features of {name}."
        data |= {dataset_of_source(network["source"])} - {None}
    if data:
        about += f" {learned_from} are of {' and '.join(sorted(data))}."
    return {"networks": networks, "data": sorted(data), "about": about}


def bundled_file(name: str | os.PathLike) -> Path:
    """Return the path of a prior that comes with the package."""
    return Path(__file__).with_name(f"{name}.npz")


def encoder_file(path: str | os.PathLike) -> Path:
    """Return the path of the encoder that belongs to the file of a GAN.

    >>> encoder_file("mine/gan.npz").name
    'gan.encoder.npz'
    """
    return Path(path).with_suffix(ENCODER_SUFFIX)


def write(
    path: str | os.PathLike,
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.floating]],
) -> None:
    """Write a prior to a file, either completely or not at all.

    Args:
        path: The name of the file, which ends in `.npz`.
        settings: The `kind` of the prior and its other settings, as JSON values.
        arrays: The weights by name, which are stored with 16 bits a number.

    Raises:
        ValueError: If the name does not end in `.npz`, or a weight is too large for 16
            bits.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(
            f"The name of a prior's file must end in .npz. Received: {path}"
        )
    contents: dict[str, Any] = {**to_float16(arrays)}
    contents[_SETTINGS] = json.dumps(
        dict(settings) | {"version": VERSION}, sort_keys=True
    )
    write_safely(path, lambda file: np.savez_compressed(file, **contents))


def read(
    path: str | os.PathLike,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Read the settings and the weights from a file that `write` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format or version, is truncated, or holds
            NaN.
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
    except KeyError as error:
        # A readable file, but without settings.
        raise ValueError(
            f"{explain_file(Path(path))} Only files that `tfviz priors train` wrote "
            "hold both."
        ) from error
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not the file of a prior, or it is incomplete. "
            "Expected a file that `tfviz priors train` wrote."
        ) from error
    if settings.get("version") != VERSION:
        raise ValueError(
            f"{os.fspath(path)!r} has version {settings.get('version')} of the file "
            f"format of priors. This tfviz reads version {VERSION}."
        )
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{os.fspath(path)!r} holds NaN in {name!r}. Download or train the "
                "prior again."
            )
    return settings, arrays


def read_facts(path: str | os.PathLike) -> dict[str, Any] | None:
    """Read only the settings of a prior's file, or return None if there is none."""
    if not Path(path).is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file[_SETTINGS]))


def to_float16(
    arrays: Mapping[str, NDArray[np.floating]],
) -> dict[str, NDArray[np.float16]]:
    """Return arrays with 16 bits a number.

    Raises:
        ValueError: If a number is too large for 16 bits, or was not finite before.
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


def _inverter(
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray],
    size: Any,
    network: Adapter | None,
    precision: str | None,
) -> Prior:
    native = _check_native("inverter", settings["size"], size)
    code = Code.from_file(settings, arrays, settings["seen_size"])
    generator = inverter_generator(code.length, settings["widths"])
    set_weights(generator, arrays, "generator")
    check_precision(generator, precision)

    def decode(values: Latents) -> Any:
        with in_precision(generator, precision):
            return generator(values["code"], training=False)

    @cache
    def load_encoder() -> Any:
        # Only starting from an image needs the network, so it is loaded at that time.
        return code.compiled(_encoding_network(settings["network"], network))

    def encode(images: Any) -> Latents:
        # Resized outside of the compiled function, in which sizes are unknown.
        images = resize(tf.convert_to_tensor(images, tf.float32), (native, native))
        return {"code": load_encoder()(images)}

    return assembled(
        {
            "code": gaussian(
                code.length,
                length=usual_length(code.length),
                domain=box(-CODE_REACH, CODE_REACH),
            )
        },
        decode,
        value_range=(-1, 1),
        encode=encode,
        # With half this rate, one class in eight is not reached within 256 steps.
        defaults={"learning_rate": 0.2},
    )


def _encoding_network(facts: Mapping[str, Any], network: Adapter | None) -> Adapter:
    """Return the network with which an inverter encodes images.

    Args:
        facts: The network on which the inverter was trained, from its settings.
        network: The network that the user gave, or None to load it.

    Raises:
        ValueError: If the network cannot be loaded, or another one was given.
    """
    if network is None:
        if facts["source"] is None or facts["preprocess"] == "custom":
            raise ValueError(
                f"This inverter encodes images with the model {facts['name']!r}, which "
                "cannot be loaded by its name. Give it in Python: "
                "tfviz.priors.load(..., network=tfviz.adapt(model))."
            )
        network = adapt(
            load_model(facts["source"]),
            facts["preprocess"],
            held=facts["held"] or None,
            image_input=facts["image_input"],
            output=facts["output"],
        )
    if network.fingerprint() != facts["hash"]:
        raise ValueError(
            f"This inverter encodes images with the weights of {facts['name']!r} that "
            f"it was trained on (hash {facts['hash'][:8]}). Received: {network.name!r} "
            f"with other weights (hash {network.fingerprint()[:8]})."
        )
    if network.preprocess.name != facts["preprocess"]:
        raise ValueError(
            f"This inverter was trained with the preprocessing {facts['preprocess']!r} "
            f"of {facts['name']!r}. Received: {network.preprocess.name!r}"
        )
    return network


def _autoencoder(
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray],
    size: Any,
    precision: str | None,
) -> Prior:
    height, width = (
        (size, size) if isinstance(size, int) else size or (DEFAULT_SIZE,) * 2
    )
    rows, columns = latent_map_size(height, width)
    channels = settings["channels"]
    encoder, decoder = autoencoder_encoder(channels), autoencoder_decoder(channels)
    set_weights(encoder, arrays, "encoder")
    set_weights(decoder, arrays, "decoder")
    check_precision(decoder, precision)
    statistics = {
        name: arrays[f"latent/{name}"] for name in ("mean", "stddev", "decay")
    }
    latent = replace(
        waves_of_usual_length(rows, columns, channels, **statistics),
        usual=(arrays["latent/low"], arrays["latent/high"]),
    )

    def decode(values: Latents) -> Any:
        with in_precision(decoder, precision):
            return decoder(values["latent"], training=False)

    def encode(images: Any) -> Latents:
        images = resize(images, (height, width))
        return {"latent": encoder(images * 2 - 1, training=False)}

    return assembled(
        {"latent": latent},
        decode,
        value_range=(-1, 1),
        encode=encode,
    )


def _check_native(kind: str, native: int, size: Any) -> int:
    """Return the size of a prior's images, or refuse another size."""
    if size not in (None, native, (native, native)):
        raise ValueError(
            f"This {kind} makes images of {native} pixels only. Leave out "
            f"{argument('size', size)}."
        )
    return native
