"""Priors from generators in memory: GANs, autoencoders, TAESD and KerasHub's VAE."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._errors import did_you_mean, reason_of
from tfviz.models.load import load_model
from tfviz.params._base import Latents
from tfviz.priors import _taesd
from tfviz.priors._constraints import usual_length
from tfviz.priors._from_graph import read_and_assembled, select_class
from tfviz.priors._latents import (
    Latent,
    cast_to_input,
    constant_latent,
    default_latent,
    gaussian,
    held,
    latent_map_size,
    waves_of_usual_length,
)
from tfviz.priors._precision import check_precision, in_precision
from tfviz.priors._prior import Prior, assembled
from tfviz.priors._reading import read

# The mean and the standard deviation of each channel of the latents that the encoder of
# TAESD makes of photos, measured by `scripts/measure_taesd.py` on 7,222 photos of
# Imagenette and Caltech-101 at 128 pixels.
TAESD_MEAN = (0.185, -0.055, 0.109, 0.047)
TAESD_STDDEV = (0.825, 0.918, 0.734, 0.672)


def gan(
    generator: Any,
    *,
    value_range: tuple[float, float] | None = None,
    latents: Mapping[str, Latent | float] | None = None,
    pack: Callable[[Latents], Any] | None = None,
    precision: str | None = None,
) -> Prior:
    """Make a prior of a Keras generator, whose inputs are optimized.

    Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks
    via deep generator networks" (2016), https://arxiv.org/abs/1605.09304.

    Args:
        generator: A Keras model, or the name of a file that holds one.
        value_range: The values of black and white in the generator's images. By default
            it is read from the last activation: (-1, 1) for tanh, (0, 1) for a sigmoid.
        latents: The latent of each input, by the input's name. By default each input
            gets a `gaussian` whose length stays usual for normal numbers: on a shell if
            it is long, in a ball if it is short; maps are stored as `waves`, and an
            unknown height or width is taken to be 1. A number makes a constant latent:
            a class, for an input of integers or a one-hot vector.
        pack: `pack(values) -> inputs`, for a generator that takes several latents in
            one input, or integers. By default the latents are passed in the order of
            the inputs.
        precision: `bfloat16` or `float16` for layers that compute with 16 bits, which
            is faster on a GPU; latents and images keep 32 bits. None for the model's
            own.

    Returns:
        A param whose images have the generator's size. Its `spec` is empty, because a
        description cannot hold the generator.

    Raises:
        ValueError: If the range is not given, and no activation limits the images; if
            the generator has several outputs, has an input of integers or classes
            without a constant latent, or is refused by `assembled`; or if the
            precision is unknown, or the generator is not one of Keras 3 and cannot
            have one.

    Warns:
        UserWarning: If `value_range` contradicts the last activation.

    >>> import keras
    >>> inputs = keras.Input((8,))
    >>> x = keras.layers.Dense(12, activation="sigmoid")(inputs)
    >>> model = keras.Model(inputs, keras.layers.Reshape((2, 2, 3))(x))
    >>> gan(model).shape, gan(model).value_range
    ((2, 2, 3), (0.0, 1.0))
    """
    model = _load_model(generator)
    check_precision(model, precision)
    inputs = {
        _input_name(tensor, index): tensor
        for index, tensor in enumerate(getattr(model, "inputs", None) or [])
    }
    if not inputs and not latents:
        raise ValueError(
            "The generator does not list its inputs. Describe them in Python: "
            'tfviz.priors.gan(generator, latents={"z": tfviz.priors.gaussian(128)}).'
        )
    if pack is None and inputs:
        all_latents: dict[str, Any] = _latents_for_inputs(model, inputs, latents or {})
    else:
        all_latents = {
            name: held(value) if isinstance(value, (int, float)) else value
            for name, value in (
                latents or _latents_for_inputs(model, inputs, {})
            ).items()
        }

    def generate(values: Latents) -> Any:
        if pack is not None:
            packed = pack(values)
        else:
            types = {name: tensor.dtype for name, tensor in inputs.items()}
            packed = _in_order(values, types or dict.fromkeys(values))
        return _generate(model, packed, values, precision)

    return read_and_assembled(all_latents, generate, value_range)


def autoencoder(
    decoder: Any,
    encoder: Any = None,
    *,
    value_range: tuple[float, float] | None = None,
    height: int | None = None,
    width: int | None = None,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    decay: float = 1.0,
    precision: str | None = None,
) -> Prior:
    """Make a prior of the decoder of an autoencoder, variational or not.

    Args:
        decoder: A Keras model with one input, a vector or a map, or the name of a file
            that holds one.
        encoder: A Keras model from images in `value_range` to latents, or the name of a
            file that holds one. It is needed to start from images and to calibrate. Of
            several outputs, the first is used.
        value_range: The values of black and white in the images of both models. By
            default it is read from the last activation of the decoder: (-1, 1) for
            tanh, (0, 1) for a sigmoid.
        height: The height of the latent map, if the decoder takes maps of any size.
        width: The width of the latent map; by default the same as `height`.
        mean: The mean of the latents of photos: one number, or one for each channel.
        stddev: Their standard deviation, in the same form.
        decay: The exponent with which the amplitude of the waves of a latent map falls,
            as in `waves`.
        precision: As in `gan`, for the decoder.

    Returns:
        A param whose images have the decoder's size. With an encoder, its `calibrate`
        measures the mean, standard deviation and spectrum of the latents of photos. Its
        `spec` is empty, because a description cannot hold the models.

    Raises:
        ValueError: If the range is not given, and no activation limits the images; if
            the decoder has other inputs, or is refused by `assembled`; or if the
            precision is unknown, or the decoder is not one of Keras 3 and cannot have
            one.

    Warns:
        UserWarning: If `value_range` contradicts the last activation of the decoder.

    >>> import keras
    >>> inputs = keras.Input((None, None, 4))
    >>> x = keras.layers.Conv2DTranspose(3, 4, 2, "same")(inputs)
    >>> autoencoder(keras.Model(inputs, x), value_range=(0, 1), height=6).shape
    (12, 12, 3)
    """
    decode, encode = (_load_model(model) for model in (decoder, encoder))
    check_precision(decode, precision)
    inputs = list(getattr(decode, "inputs", None) or [])
    shape = tuple(inputs[0].shape[1:]) if len(inputs) == 1 else ()
    if len(shape) not in (1, 3) or shape[-1] is None:
        raise ValueError(
            "A decoder must have one input, a vector (n, d) or a map (n, height, "
            f"width, c). Received: {[tuple(tensor.shape) for tensor in inputs]}"
        )
    statistics: dict[str, Any] = {"mean": mean, "stddev": stddev}
    if len(shape) == 1:
        latent = gaussian(*shape, **statistics, length=usual_length(*shape))
    else:
        rows = shape[0] or height
        columns = shape[1] or width or height
        if rows is None or columns is None:
            raise ValueError(
                f"The decoder takes maps of any size: {inputs[0].shape}. Give the size "
                "of the latent map with `height` and `width`."
            )
        latent = waves_of_usual_length(
            rows, columns, shape[2], **statistics, decay=decay
        )

    def generate(values: Latents) -> Any:
        return _generate(decode, values["latent"], values, precision)

    def encode_images(images: Any) -> Latents:
        outputs = encode(images, training=False)
        if isinstance(outputs, Mapping):
            outputs = list(outputs.values())
        return {"latent": outputs[0] if isinstance(outputs, Sequence) else outputs}

    return read_and_assembled(
        {"latent": latent},
        generate,
        value_range,
        encode=None if encode is None else encode_images,
    )


def taesd(
    decoder: str | os.PathLike[str],
    encoder: str | os.PathLike[str] | None = None,
    *,
    height: int = 112,
    width: int | None = None,
    mean: ArrayLike = TAESD_MEAN,
    stddev: ArrayLike = TAESD_STDDEV,
) -> Prior:
    """Make a prior of TAESD, the tiny autoencoder for Stable Diffusion.

    Its images consist of the same local structures as photographs, in any arrangement.
    The latent map is stored as waves, of which slow ones are strong, as in the latents
    of photos. https://github.com/madebyollin/taesd

    Args:
        decoder: The path of `taesd_decoder.safetensors`.
        encoder: The path of `taesd_encoder.safetensors`, which is needed to start from
            an image and to calibrate.
        height: The height of the images in pixels, a multiple of 8.
        width: The width of the images; by default the same as `height`.
        mean: The mean of each channel of the latents of photos.
        stddev: The standard deviation of each channel.

    Raises:
        ValueError: If a size is not a multiple of 8, or a file cannot be read or holds
            another network.
    """
    rows, columns = latent_map_size(height, width)
    channels = len(np.atleast_1d(mean))
    decode = _taesd.decoder(_taesd.read_weights(decoder, _taesd.DECODER, channels))
    encode = None
    if encoder is not None:
        encode = _taesd.encoder(_taesd.read_weights(encoder, _taesd.ENCODER, 3))
    latent = waves_of_usual_length(rows, columns, channels, mean=mean, stddev=stddev)
    prior = assembled(
        {"latent": latent},
        lambda values: decode(values["latent"]),
        value_range=(0, 1),
        encode=encode and (lambda images: {"latent": encode(images)}),
    )
    return replace(prior, trained=_taesd.TRAINED)


def keras_hub_vae(
    backbone: Any,
    *,
    height: int = 128,
    width: int | None = None,
) -> Prior:
    """Make a prior of a `keras_hub.models.VAEBackbone`.

    Args:
        backbone: The model; `pip install keras-hub` installs KerasHub.
        height: The height of the images in pixels, a multiple of 8.
        width: The width of the images; by default the same as `height`.

    Returns:
        A param whose latents are scaled as in diffusion models, to a standard deviation
        of about 1.

    Raises:
        ValueError: If `backbone` is another model, or a size is not a multiple of 8.
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
    rows, columns = latent_map_size(height, width)
    scale, shift = float(backbone.scale), float(backbone.shift)
    # Encoding an image is the only public way to learn the number of channels.
    blank = np.zeros((1, 8 * rows, 8 * columns, 3), np.float32)
    channels = int(backbone.encode(blank).shape[-1])
    latent = waves_of_usual_length(rows, columns, channels)
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


def _load_model(model: Any) -> Any:
    """Load a model if it is the name of a file."""
    return load_model(model) if isinstance(model, (str, os.PathLike)) else model


def _input_name(tensor: Any, index: int) -> str:
    return str(getattr(tensor, "name", None) or f"input_{index}").split(":")[0]


def _latents_for_inputs(
    model: Any, inputs: Mapping[str, Any], latents: Mapping[str, Any]
) -> dict[str, Latent]:
    """Return a latent for each input: that of the user, or the default one."""
    for name in latents:
        if name not in inputs:
            hint = did_you_mean(name, inputs)
            raise ValueError(
                f"The generator has no input {name!r}.{hint} Its inputs are "
                f"{', '.join(f'{k} {tuple(v.shape)}' for k, v in inputs.items())}."
            )
    all_latents = {}
    for name, tensor in inputs.items():
        shape = tuple(tensor.shape[1:])
        floating = tf.as_dtype(tensor.dtype).is_floating
        latent = latents.get(name)
        if isinstance(latent, (int, float)):
            latent = constant_latent(latent, shape, floating=floating)
        if not floating and (latent is None or latent.optimized):
            raise ValueError(select_class(name, _classes(model, inputs).get(name)))
        if latent is None and (not shape or shape[-1] is None):
            raise ValueError(
                f"Input {name!r} of the generator has the shape {tuple(tensor.shape)}, "
                f"which does not say how many numbers it takes. Give them in Python: "
                f"tfviz.priors.gan(model, latents={{{name!r}: "
                "tfviz.priors.gaussian(100)})."
            )
        # A generator that takes a map of any size makes one image of one position.
        sizes = (1 if size is None else size for size in shape)
        all_latents[name] = latent or default_latent(*sizes)
    return all_latents


def _classes(model: Any, inputs: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the number of classes of the inputs of a model that select one."""
    types = {name: tensor.dtype for name, tensor in inputs.items()}
    specs = {
        name: tf.TensorSpec([size or 1 for size in tensor.shape], tensor.dtype)
        for name, tensor in inputs.items()
    }
    return read(
        lambda values: _generate(model, _in_order(values, types), values, None), specs
    ).classes


def _in_order(values: Latents, types: Mapping[str, Any]) -> Any:
    """Return values as a model takes them: one alone, or a list.

    Args:
        values: The values, by the names of inputs.
        types: The type of each input by its name, in their order, or None for any.
    """
    ordered = [
        values[name] if dtype is None else cast_to_input(values[name], dtype)
        for name, dtype in types.items()
    ]
    return ordered[0] if len(ordered) == 1 else ordered


def _generate(model: Any, inputs: Any, values: Latents, precision: str | None) -> Any:
    """Return the images that a model makes of its packed inputs."""
    try:
        with in_precision(model, precision):
            outputs = model(inputs, training=False)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        shapes = ", ".join(f"{n} {tuple(v.shape)}" for n, v in values.items())
        raise ValueError(
            f"The generator cannot take {shapes}: {reason_of(error)}"
        ) from error
    return _single_output(outputs)


def _single_output(outputs: Any) -> Any:
    """Return the only output of a model, or refuse others."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, Sequence):
        if len(outputs) != 1:
            raise ValueError(
                f"The generator has {len(outputs)} outputs. Wrap it in a model whose "
                "only output is the image."
            )
        outputs = outputs[0]
    if not outputs.dtype.is_floating:
        raise ValueError(
            f"The generator's output has the type {outputs.dtype.name}, which has no "
            "gradient. Use the images before they are rounded."
        )
    return outputs
