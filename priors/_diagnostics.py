"""A check of whether the random images of a prior look as they should."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import argument, either
from tfviz.models.inputs import resize
from tfviz.priors._prior import Prior
from tfviz.priors._value_range import contradiction
from tfviz.priors.training.checkpoint import variety

# A generator of which a larger share of values is clipped probably has another range.
OUT_OF_RANGE = 0.1
# The darkest hundredth of the pixels of random images is below the first of these, and
# the brightest hundredth is above the second.
DARK, BRIGHT = 0.35, 0.65
# Images of which 99 % of the pixels are below the first or above the second of these
# are nearly black or nearly white.
BLACK, WHITE = 0.1, 0.9
# The standard deviation of the pixels of an image that is nearly of one brightness.
FLAT = 0.02
# A larger share of images that show nothing is reported.
EMPTY = 0.5
# Random images whose coarse colours differ by less than this, as root mean square, are
# practically the same image.
ALIKE = 0.02
# The size, in pixels, at which coarse colours are compared.
COARSE = 8
# Neighbouring pixels are correlated by more than 0.8 in photos, and by 0 in noise.
NOISE = 0.3
# How many times larger and smaller latents are tried, and how many times more varied
# the images must get for their scale to be suspected.
SCALE, MORE_VARIED = 4.0, 3.0
# An input of such a number of channels and of at least this side may be an image.
IMAGE_CHANNELS, IMAGE_SIDE = (1, 3, 4), 24
# Parts of the names of inputs that select a class.
CLASS_NAMES = ("class", "label", "cond")


def checked(prior: Prior, count: int = 32) -> tuple[dict[str, float], list[str]]:
    """Check the random images of a prior, and the gradients of its latents.

    Args:
        prior: The prior to check.
        count: The number of random images, at least 2.

    Returns:
        A pair of measurements and warnings. The measurements are numbers by name:

        * `not_finite`, the share of pixel values that are NaN or infinite;
        * `out_of_range`, the share of values that are clipped;
        * `dark` and `bright`, the 1st and the 99th percentile of all pixels;
        * `nearly_black`, `nearly_white` and `nearly_grey`, the share of images that
          show nothing else, the last of one brightness in between;
        * `neighbours`, the correlation of pixels with their right neighbours: about 0.9
          in photos, 0 in noise;
        * `variety`, the root mean square difference between the coarse colours of two
          images, averaged over pairs;
        * `classes_of_NAME`, the number of classes that an input selects from;
        * `gradient_of_NAME`, the largest absolute gradient of the mean brightness, for
          each latent that is optimized.

        The warnings say in words what looks wrong, and what to do about it.

    >>> import keras
    >>> inputs = keras.Input((16,))
    >>> x = keras.layers.Dense(192, activation="sigmoid")(inputs)
    >>> x = keras.layers.UpSampling2D(4)(keras.layers.Reshape((8, 8, 3))(x))
    >>> from tfviz import priors
    >>> facts, warnings = checked(priors.gan(keras.Model(inputs, x)))
    >>> facts["nearly_black"], facts["variety"] > ALIKE, warnings
    (0.0, True, [])
    """
    seeds = [[0, number] for number in range(count)]
    stored = {k: tf.convert_to_tensor(v) for k, v in prior.init(seeds).items()}
    optimized = [name for name, latent in prior.latents.items() if latent.optimized]
    with tf.GradientTape() as tape:
        tape.watch(stored)
        decoded = prior.decode(stored)
        brightness = tf.reduce_mean(decoded)
    gradients = tape.gradient(brightness, {name: stored[name] for name in optimized})
    measurements = _measure(decoded.numpy())
    outside = prior.diagnostics["out_of_range"](stored)
    measurements["out_of_range"] = float(np.mean(np.asarray(outside)))
    for name, number in prior.reading.classes.items():
        measurements[f"classes_of_{name}"] = float(number)
    for name, gradient in gradients.items():
        measurements[f"gradient_of_{name}"] = float(np.abs(gradient).max())
    warnings = [
        *_range_warnings(prior, measurements),
        *_image_warnings(prior, measurements, count),
        *_input_warnings(prior),
    ]
    if _shows_little(measurements):
        warnings += _scale_warnings(prior, stored, measurements["variety"])
    return measurements, warnings


def _measure(images: NDArray) -> dict[str, float]:
    """Return the measurements of images `(n, height, width, channels)`."""
    finite = np.isfinite(images)
    dark, bright = np.percentile(images[finite], [1, 99]) if finite.any() else (0, 0)
    pixels = np.where(finite, images, 0).astype(np.float64)
    low, high = np.percentile(pixels, [1, 99], axis=(1, 2, 3))
    black, white = high < BLACK, low > WHITE
    flat = (pixels.std(axis=(1, 2, 3)) < FLAT) & ~black & ~white
    return {
        "not_finite": float(1 - finite.mean()),
        "out_of_range": 0.0,
        "dark": float(dark),
        "bright": float(bright),
        "nearly_black": float(black.mean()),
        "nearly_white": float(white.mean()),
        "nearly_grey": float(flat.mean()),
        "neighbours": _neighbour_correlation(pixels),
        "variety": variety(np.asarray(resize(pixels, (COARSE, COARSE)))),
    }


def _neighbour_correlation(pixels: NDArray) -> float:
    """Return the correlation of pixels with their right neighbours, over all images."""
    centred = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    energy = np.mean(centred**2)
    if not energy or pixels.shape[2] < 2:
        return 1.0
    return float(np.mean(centred[:, :, 1:] * centred[:, :, :-1]) / energy)


def _shows_little(measurements: Mapping[str, float]) -> bool:
    """Tell whether the images are empty, or all the same, or far from both ends."""
    names = ("nearly_black", "nearly_white", "nearly_grey")
    return (
        sum(measurements[name] for name in names) > EMPTY
        or measurements["variety"] < ALIKE
        or measurements["dark"] > DARK
        or measurements["bright"] < BRIGHT
    )


def _range_warnings(prior: Prior, measurements: Mapping[str, float]) -> list[str]:
    contradicted = contradiction(prior.value_range, prior.reading)
    if contradicted:
        return [contradicted]
    warnings = []
    if measurements["out_of_range"] > OUT_OF_RANGE:
        warnings.append(
            f"{measurements['out_of_range']:.0%} of the values of random images lie "
            f"outside of the value range. Is it wider than {_ends(prior)}? Set it with "
            f"{argument('value_range')}."
        )
    # Where the range was read, it is not the reason of dark images.
    narrow = measurements["dark"] > DARK or measurements["bright"] < BRIGHT
    if narrow and prior.reading.value_range is None:
        warnings.append(
            f"random images go from {measurements['dark']:.2f} to "
            f"{measurements['bright']:.2f} of the value range, where 0 is black and 1 "
            f"is white. Is the range narrower than {_ends(prior)}? Set it with "
            f"{argument('value_range')}."
        )
    return warnings


def _image_warnings(
    prior: Prior, measurements: Mapping[str, float], count: int
) -> list[str]:
    warnings = []
    if measurements["not_finite"]:
        warnings.append(
            f"{measurements['not_finite']:.0%} of the pixels of random images are not "
            "finite. Are the weights complete?"
        )
    for name in ("black", "white", "grey"):
        share = measurements[f"nearly_{name}"]
        if share > EMPTY:
            warnings.append(
                f"{round(share * count)} of {count} random images are nearly {name} "
                "all over. Are the weights trained, and do the latents have the scale "
                "that they were trained with?"
            )
    if measurements["variety"] < ALIKE:
        warnings.append(
            "random images are all alike: the generator has collapsed, does not use "
            "its latents, or expects larger ones."
        )
    if measurements["neighbours"] < NOISE:
        warnings.append(
            "random images look like noise: neighbouring pixels have a correlation of "
            f"{measurements['neighbours']:.2f}, where photos have about 0.9. Are the "
            "weights trained?"
        )
    return warnings


def _input_warnings(prior: Prior) -> list[str]:
    """Return warnings about inputs that are images, or one-hot vectors of classes."""
    warnings = []
    for name, latent in prior.latents.items():
        if not latent.optimized:
            continue
        shape = latent.shape
        if len(shape) == 3 and _may_be_image(shape, prior.shape):
            warnings.append(
                f"the input {name!r} has the form of an image, "
                f"{' x '.join(map(str, shape))}: is this an image-to-image network? "
                "A prior needs a generator that makes images of random numbers."
            )
        named = any(part in name.lower() for part in CLASS_NAMES)
        if len(shape) == 1 and named and len(prior.latents) > 1:
            warnings.append(
                f"the input {name!r} is optimized like noise, and its name says that "
                f"it stands for a class. If it takes one of {shape[0]} classes, as a "
                f"one-hot vector, hold it: {argument('latents', {name: 0})}."
            )
    return warnings


def _may_be_image(shape: tuple[int, ...], output: tuple[int, ...]) -> bool:
    same_size = shape[:2] == output[:2]
    same_channels = shape[2] == output[2]
    return (
        shape[2] in IMAGE_CHANNELS
        and min(shape[:2]) >= IMAGE_SIDE
        and (same_size or same_channels)
    )


def _scale_warnings(prior: Prior, stored: Any, before: float) -> list[str]:
    """Return a warning if images vary more with larger or with smaller latents."""
    if prior.measured or prior.values is None:
        return []
    low, high = prior.value_range
    values = prior.values(stored)
    for word, factor in (("larger", SCALE), ("smaller", 1 / SCALE)):
        scaled = {
            name: value * factor if prior.latents[name].optimized else value
            for name, value in values.items()
        }
        images = np.asarray((prior.generate(scaled) - low) / (high - low), np.float64)
        images = np.clip(np.nan_to_num(images), 0, 1)
        after = variety(np.asarray(resize(images, (COARSE, COARSE))))
        if after > max(ALIKE, MORE_VARIED * before):
            return [_suspect_scale(prior, word, factor, after / max(before, 1e-6))]
    return []


def _suspect_scale(prior: Prior, word: str, factor: float, gain: float) -> str:
    measure = either(
        python="its `calibrate` measures it on photos",
        command_line="`tfviz priors calibrate` with --encoder and --images measures it "
        "on photos",
    )
    name, latent = next((n, v) for n, v in prior.latents.items() if v.optimized)
    size = ", ".join(map(str, latent.shape))
    return (
        f"with latents {SCALE:g} times {word}, random images are {gain:.0f} times as "
        "varied: the generator was probably trained with latents that are not standard "
        f"normal numbers. If there is an encoder, {measure}. Otherwise set the scale "
        f"in Python: tfviz.priors.gan(model, latents={{{name!r}: "
        f"tfviz.priors.gaussian({size}, stddev={factor:g})}})."
    )


def _ends(prior: Prior) -> str:
    return f"{prior.value_range[0]:g} to {prior.value_range[1]:g}"
