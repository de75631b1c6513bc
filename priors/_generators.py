"""Kinds of generators as params."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz import load_model
from tfviz._errors import did_you_mean, reason_of
from tfviz.params._base import Latents
from tfviz.priors import _taesd
from tfviz.priors._constraints import usual_length
from tfviz.priors._latents import (
    Latent,
    eighths,
    fixed,
    gaussian,
    held,
    proposed,
    typed,
    usual_waves,
)
from tfviz.priors._prior import Prior, assembled

# What the latents of photos that the TAESD encoder gives are, channel by channel.
# Measured on 1,000 photos of ImageNet at 128 pixels.
TAESD_MEAN = (0.200, -0.022, 0.043, 0.078)
TAESD_STDDEV = (0.834, 0.914, 0.693, 0.681)


def gan(
    generator: Any,
    *,
    value_range: tuple[float, float],
    latents: Mapping[str, Latent | float] | None = None,
    pack: Callable[[Latents], Any] | None = None,
) -> Prior:
    """Optimize what a generator is given, so that only its images can be reached.

    Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks
    via deep generator networks" (2016), https://arxiv.org/abs/1605.09304.

    Args:
        generator: A Keras model, or a file that holds one.
        value_range: What black and white are in its images: (-1, 1) after tanh,
            (0, 1) after a sigmoid.
        latents: What it takes, by the names of its inputs. By default a `gaussian`
            for each, kept where normal latents are: on a shell if it is long, in a
            ball if it is short. A number is held: a class, for an input of whole
            numbers or of one number for each class.
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
    model = _loaded(generator)
    inputs = {
        _input_name(given, place): given
        for place, given in enumerate(getattr(model, "inputs", None) or [])
    }
    if not inputs and not latents:
        raise ValueError(
            "The generator does not tell what it takes. Say it with `latents`, such as "
            '{"z": priors.gaussian(128)}.'
        )
    if pack is None and inputs:
        given: dict[str, Any] = _for_inputs(inputs, latents or {})
    else:
        given = {
            name: held(value) if isinstance(value, (int, float)) else value
            for name, value in (latents or _for_inputs(inputs, {})).items()
        }

    def packed(values: Latents) -> Any:
        if pack is not None:
            return pack(values)
        if not inputs:
            ordered = list(values.values())
        else:
            ordered = [typed(values[k], v.dtype) for k, v in inputs.items()]
        return ordered[0] if len(ordered) == 1 else ordered

    return assembled(
        given,
        lambda values: _called(model, packed(values), values),
        value_range=value_range,
    )


def autoencoder(
    decoder: Any,
    encoder: Any = None,
    *,
    value_range: tuple[float, float],
    height: int | None = None,
    width: int | None = None,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    decay: float = 1.0,
) -> Prior:
    """Optimize the latents of an autoencoder, or of a variational one.

    Args:
        decoder: A Keras model of one input, a vector or a map, or a file that holds
            one.
        encoder: The same from images to latents, in the decoder's `value_range`, to
            start from images and to calibrate; of several outputs, the first.
        value_range: What black and white are in the images of both: (-1, 1) after
            tanh, (0, 1) after a sigmoid.
        height: Of a map of latents that has no size of its own.
        width: The same; by default as high.
        mean: Of the latents of photos, one number or one for each channel.
        stddev: The same.
        decay: How the waves of a map of latents fall, as in `waves`.

    Returns:
        A param of the decoder's size. `calibrate` measures mean, deviation and
        spectrum of the latents, where there is an encoder. Its spec is empty.

    Raises:
        ValueError: If the decoder takes something else, or cannot be used as
            `assembled` says.

    >>> import keras
    >>> inputs = keras.Input((None, None, 4))
    >>> x = keras.layers.Conv2DTranspose(3, 4, 2, "same")(inputs)
    >>> autoencoder(keras.Model(inputs, x), value_range=(0, 1), height=6).shape
    (12, 12, 3)
    """
    decode, encode = (_loaded(model) for model in (decoder, encoder))
    inputs = list(getattr(decode, "inputs", None) or [])
    shape = tuple(inputs[0].shape[1:]) if len(inputs) == 1 else ()
    if len(shape) not in (1, 3) or shape[-1] is None:
        raise ValueError(
            "A decoder takes one input, a vector (n, d) or a map (n, height, width, c)."
            f" Received: {[tuple(given.shape) for given in inputs]}"
        )
    statistics: dict[str, Any] = {"mean": mean, "stddev": stddev}
    if len(shape) == 1:
        latent = gaussian(*shape, **statistics, length=usual_length(*shape))
    else:
        rows = shape[0] or height
        columns = shape[1] or width or height
        if rows is None or columns is None:
            raise ValueError(
                f"The decoder takes maps of any size: {inputs[0].shape}. Say with "
                "`height` and `width` how large the map of latents is."
            )
        latent = usual_waves(rows, columns, shape[2], **statistics, decay=decay)
    # `assembled` tells what is wrong with another.
    low, high = value_range if np.shape(value_range) == (2,) else (0, 0)

    def inverse(images: Any) -> Latents:
        found = encode(images * (high - low) + low, training=False)
        if isinstance(found, Mapping):
            found = list(found.values())
        return {"latent": found[0] if isinstance(found, Sequence) else found}

    return assembled(
        {"latent": latent},
        lambda values: _called(decode, values["latent"], values),
        value_range=value_range,
        encode=None if encode is None else inverse,
    )


def keras_hub_vae(
    backbone: Any,
    *,
    height: int = 128,
    width: int | None = None,
) -> Prior:
    """Optimize the latents of a `keras_hub.models.VAEBackbone`.

    Args:
        backbone: The model; `tfviz[kerashub]` installs KerasHub.
        height: Of the images, in pixels: a multiple of 8.
        width: The same; by default as high.

    Returns:
        A param whose latents are scaled as those of diffusion models are, to a
        deviation of about 1.

    Raises:
        ValueError: If it is no such model, or a size is no multiple of 8.
    """
    lacking = [
        name
        for name in ("encode", "decode", "scale", "shift")
        if not hasattr(backbone, name)
    ]
    if lacking:
        raise ValueError(
            f"{type(backbone).__name__} has no {', '.join(lacking)}: expected a "
            "keras_hub.models.VAEBackbone."
        )
    rows, columns = eighths(height, width)
    scale, shift = float(backbone.scale), float(backbone.shift)
    # Found by the encoder, as its number of channels has no public name.
    blank = np.zeros((1, 8 * rows, 8 * columns, 3), np.float32)
    channels = int(backbone.encode(blank).shape[-1])
    latent = usual_waves(rows, columns, channels)
    return assembled(
        {"latent": latent},
        lambda values: backbone.decode(
            values["latent"] / scale + shift, training=False
        ),
        value_range=(-1, 1),
        encode=lambda images: {
            "latent": (backbone.encode(2 * images - 1, training=False) - shift) * scale
        },
    )


def taesd(
    decoder: str | os.PathLike,
    encoder: str | os.PathLike | None = None,
    *,
    height: int = 112,
    width: int | None = None,
    mean: ArrayLike = TAESD_MEAN,
    stddev: ArrayLike = TAESD_STDDEV,
) -> Prior:
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

    Raises:
        ValueError: If a size is no multiple of 8, or a file cannot be read or holds
            another network.
    """
    rows, columns = eighths(height, width)
    channels = len(np.atleast_1d(mean))
    decode = _taesd.decoder(_taesd.weights(decoder, _taesd.DECODER, channels))
    encode = None
    if encoder is not None:
        encode = _taesd.encoder(_taesd.weights(encoder, _taesd.ENCODER, 3))
    latent = usual_waves(rows, columns, channels, mean=mean, stddev=stddev)
    return assembled(
        {"latent": latent},
        lambda values: decode(values["latent"]),
        value_range=(0, 1),
        encode=encode and (lambda images: {"latent": encode(images)}),
    )


def _for_inputs(
    inputs: Mapping[str, Any], latents: Mapping[str, Any]
) -> dict[str, Latent]:
    """Return a latent for each input of a model: the given or the usual one."""
    for name in latents:
        if name not in inputs:
            hint = did_you_mean(name, inputs)
            raise ValueError(
                f"The generator has no input {name!r}.{hint} It takes "
                f"{', '.join(f'{k} {tuple(v.shape)}' for k, v in inputs.items())}."
            )
    found = {}
    for name, given in inputs.items():
        shape = tuple(given.shape[1:])
        floating = tf.as_dtype(given.dtype).is_floating
        latent = latents.get(name)
        if isinstance(latent, (int, float)):
            latent = fixed(latent, shape, floating=floating)
        if latent is None and (None in shape or not shape):
            raise ValueError(
                f"Input {name!r} of the generator has the shape {tuple(given.shape)}; "
                "say with `latents` what to give it."
            )
        if not floating and (latent is None or latent.optimized):
            raise ValueError(
                f"Input {name!r} of the generator takes whole numbers, which have no "
                f'gradient. Hold it: latents={{"{name}": 0}}.'
            )
        found[name] = latent or proposed(*shape)
    return found


def _loaded(model: Any) -> Any:
    """Load a model if it is the name of a file."""
    return load_model(model) if isinstance(model, (str, os.PathLike)) else model


def _called(model: Any, given: Any, values: Latents) -> Any:
    """Return the images that a model makes."""
    try:
        made = model(given, training=False)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        shapes = ", ".join(f"{n} {tuple(v.shape)}" for n, v in values.items())
        raise ValueError(
            f"The generator cannot take {shapes}: {reason_of(error)}"
        ) from error
    return _single(made)


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
