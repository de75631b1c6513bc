"""A GAN that was trained here, as a param: its latents, domains and encoder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import adapt
from tfviz.models.inputs import resize
from tfviz.params._base import Latents
from tfviz.priors._codes import Code
from tfviz.priors._constraints import box
from tfviz.priors._gan_networks import gan_encoder, gan_generator
from tfviz.priors._latents import Latent, default_latent, gaussian, mixture
from tfviz.priors._networks import set_weights
from tfviz.priors._precision import check_precision, in_precision
from tfviz.priors._prior import Prior, assembled

# The settings and the weights that a file holds.
Contents = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def gan_prior(
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    read_encoder: Callable[[], Contents] | None = None,
    precision: str | None = None,
) -> Prior:
    """Make a prior of a GAN that `tfviz priors train gan` trained.

    Args:
        settings: The settings in its file.
        arrays: The weights in its file.
        read_encoder: Function that reads the settings and weights of its encoder, or
            None if there is none.
        precision: As for `load`.

    Raises:
        ValueError: If a weight is missing, or the precision is unknown.
    """
    length, z = settings["condition"], settings["z"]
    generator = gan_generator(length, z, settings["widths"])
    set_weights(generator, arrays, "generator")
    check_precision(generator, precision)
    encode = None
    if settings["variant"] == "classes":
        name, factor = "class", length**0.5  # with which it was trained
        latent = mixture(length)
    else:
        name, factor = "code", 1.0
        latent = _photo_codes(arrays)
        if read_encoder is not None:
            encode = _code_encoder(read_encoder, settings["size"], z)

    def decode(values: Latents) -> Any:
        with in_precision(generator, precision):
            return generator([values[name] * factor, values["z"]], training=False)

    return assembled(
        {name: latent, "z": default_latent(z)},
        decode,
        value_range=(-1, 1),
        encode=encode,
        # As for the inverter, whose codes have the same scale.
        defaults={"learning_rate": 0.2},
    )


def _photo_codes(arrays: Mapping[str, NDArray[Any]]) -> Latent:
    """Return the latent for codes of photos, which stay in the range of photos."""
    mean, stddev, low, high = (
        arrays[f"code/{name}"] for name in ("mean", "stddev", "low", "high")
    )
    latent = gaussian(len(mean), mean=mean, stddev=stddev, domain=box(low, high))
    return replace(latent, usual=(low, high))


def _code_encoder(
    read_encoder: Callable[[], Contents], size: int, z: int
) -> Callable[[Any], Latents]:
    """Return the encoder of a GAN, from images to a code and a vector beside it.

    Args:
        read_encoder: Function that reads the settings and weights of the encoder.
        size: The height and width of images in pixels.
        z: The number of random numbers.
    """

    @cache
    def load_network() -> Any:
        # Only starting from an image needs the encoder, so it is loaded at that time.
        settings, arrays = read_encoder()
        model = gan_encoder(settings["classes"], settings["widths"], settings["blocks"])
        set_weights(model, arrays, "encoder")
        adapter = adapt(model, (-1, 1))
        return Code.from_file(settings, arrays, settings["size"]).compiled(adapter)

    def encode(images: Any) -> Latents:
        # Resized outside of the compiled function, in which sizes are unknown.
        images = resize(tf.convert_to_tensor(images, tf.float32), (size, size))
        codes = load_network()(images)
        # Photos do not say this vector: any direction of the usual length will do.
        numbers = tf.fill((images.shape[0], z), 1.0)
        return {"code": codes, "z": numbers}

    return encode
