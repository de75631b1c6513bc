"""Kinds of generators as params."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz import load_model
from tfviz._errors import reason_of
from tfviz.params import Latents, Param

from . import _taesd
from ._domains import shell
from ._latents import Latent, gaussian, near_mean, near_shell, waves
from ._prior import assembled

# From here on a normal latent is about as long as the root of its size, so that a
# shell holds nearly all of them.
LONG = 64
# What the latents of photos that the TAESD encoder gives are, channel by channel.
# Measured on 1,000 photos of ImageNet at 128 pixels.
TAESD_MEAN = (0.200, -0.022, 0.043, 0.078)
TAESD_STDDEV = (0.834, 0.914, 0.693, 0.681)


def gan(
    generator: Any,
    *,
    value_range: tuple[float, float],
    latents: Mapping[str, Latent] | None = None,
    pack: Callable[[Latents], Any] | None = None,
) -> Param:
    """Optimize what a generator is given, so that only its images can be reached.

    Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks
    via deep generator networks" (2016), https://arxiv.org/abs/1605.09304.

    Args:
        generator: A Keras model, or a file that holds one.
        value_range: What black and white are in its images: (-1, 1) after tanh,
            (0, 1) after a sigmoid.
        latents: What it takes, by the names of its inputs. By default a `gaussian`
            for each, held on the shell where normal latents are.
        pack: `pack(values) -> inputs`, for a generator that takes several things in
            one input, or whole numbers. By default inputs are given by their order.

    Returns:
        A param of the generator's size. Its spec is empty: a description cannot hold
        the generator.

    Raises:
        ValueError: If the generator has several outputs, an input of whole numbers
            without `pack`, or cannot be used as `assembled` says.

    >>> import keras
    >>> inputs = keras.Input((8,))
    >>> x = keras.layers.Dense(12, activation="sigmoid")(inputs)
    >>> model = keras.Model(inputs, keras.layers.Reshape((2, 2, 3))(x))
    >>> gan(model, value_range=(0, 1)).shape
    (2, 2, 3)
    """
    model = generator
    if isinstance(generator, (str, os.PathLike)):
        model = load_model(generator)
    if latents is None:
        inputs = list(getattr(model, "inputs", None) or [])
        if not inputs:
            raise ValueError(
                "The generator does not tell what it takes. Say it with `latents`, "
                'such as {"z": priors.gaussian(128)}.'
            )
        latents = {
            _input_name(given, place): _default(given)
            for place, given in enumerate(inputs)
        }
    names = list(latents)

    def decode(values: Latents) -> Any:
        if pack is not None:
            given = pack(values)
        else:
            given = [values[name] for name in names]
            given = given[0] if len(given) == 1 else given
        try:
            made = model(given, training=False)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            shapes = ", ".join(f"{n} {tuple(v.shape)}" for n, v in values.items())
            raise ValueError(
                f"The generator cannot take {shapes}: {reason_of(error)}"
            ) from error
        return _single(made)

    return assembled(latents, decode, value_range=value_range)


def taesd(
    decoder: str | os.PathLike,
    encoder: str | os.PathLike | None = None,
    *,
    height: int = 112,
    width: int | None = None,
    mean: ArrayLike = TAESD_MEAN,
    stddev: ArrayLike = TAESD_STDDEV,
    weight: float = 5.0,
) -> Param:
    """Optimize the latents of a tiny autoencoder for Stable Diffusion.

    Its images are made of what photographs are made of, in any arrangement: the map
    of latents is held as waves, the slow ones strong, as that of a photo.
    https://github.com/madebyollin/taesd

    Args:
        decoder: `taesd_decoder.safetensors`.
        encoder: `taesd_encoder.safetensors`, to start from an image.
        height: Of the images, a multiple of 8 pixels.
        width: The same; by default as high.
        mean: Of each channel of the latents of photos.
        stddev: Of each channel.
        weight: Of the penalty for latents far from the mean, as in `near_mean`.

    Raises:
        ValueError: If a size is no multiple of 8, or a file cannot be read.
    """
    width = height if width is None else width
    if height % 8 or width % 8 or min(height, width) < 8:
        raise ValueError(
            "`height` and `width` must be multiples of 8. Received: "
            f"height={height}, width={width}"
        )
    decode = _taesd.decoder(_taesd.read_safetensors(decoder))
    encode = None
    if encoder is not None:
        encode = _taesd.encoder(_taesd.read_safetensors(encoder))
    channels = len(np.atleast_1d(mean))
    latent = waves(
        height // 8,
        width // 8,
        channels,
        mean=mean,
        stddev=stddev,
        penalty=near_mean(weight, mean, stddev) if weight else None,
    )
    return assembled(
        {"latent": latent},
        lambda values: decode(values["latent"]),
        value_range=(0, 1),
        encode=encode and (lambda images: {"latent": encode(images)}),
    )


def _default(given: Any) -> Latent:
    shape = tuple(given.shape[1:])
    if None in shape or not shape:
        raise ValueError(
            f"Input {given.name!r} of the generator has the shape {given.shape}; say "
            "with `latents` what to give it."
        )
    if not tf.as_dtype(given.dtype).is_floating:
        raise ValueError(
            f"Input {given.name!r} of the generator takes whole numbers, which have no "
            "gradient. Hold it: give `latents` without it, and a `pack` that adds it."
        )
    size = int(np.prod(shape))
    if size >= LONG:
        return gaussian(*shape, domain=shell(np.sqrt(size)))
    return gaussian(*shape, penalty=near_shell(1.0))


def _input_name(given: Any, place: int) -> str:
    return str(getattr(given, "name", None) or f"input_{place}").split(":")[0]


def _single(made: Any) -> Any:
    if isinstance(made, Mapping):
        made = list(made.values())
    if isinstance(made, Sequence):
        if len(made) != 1:
            raise ValueError(
                f"The generator has {len(made)} outputs. Wrap it in a model of the one "
                "that is the image."
            )
        made = made[0]
    if not made.dtype.is_floating:
        raise ValueError(
            f"The generator gives {made.dtype.name}, which has no gradient. Take the "
            "output before it is rounded."
        )
    return made
