"""Images whose waves have the amplitudes of photographs; only their phases change."""

from collections.abc import Mapping
from dataclasses import replace
from math import pi, sin
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import statistics as statistics_module
from tfviz import transforms
from tfviz._errors import argument, count_of
from tfviz._spectrum import column_counts
from tfviz.params._base import (
    Latents,
    Param,
    channel_mixing,
    image_shape,
    make_spec,
    uniform,
)
from tfviz.params._fourier import half_spectra, synthesizer
from tfviz.statistics import BUNDLED, Statistics

# Radians per unit of the latent: at the default learning rate, a step of Adam changes
# a phase by up to a quarter of a radian. The published step is four times as large, for
# a mean over 32 crops at each step; with a single crop, that leaves noise.
PHASE_GAIN = 5.0
# `sigmoid(1.702 * x)` is close to the normal distribution function of `x`.
_LOGISTIC_SCALE = 1.702
# Larger variances of images are reduced to this one: the variance that the sigmoid's
# input needs grows without bound as that of its output approaches 1/4.
_MAX_VARIANCE = 0.2
# Encoded cosines are clipped to this: at -1 and 1, the gradient of a cosine with
# respect to its phase is zero.
_MAX_COSINE = 0.99


def maco(
    height: int,
    width: int,
    channels: int = 3,
    *,
    statistics: Statistics | None = None,
) -> Param:
    """Hold an image as the phases of waves with the amplitudes of photographs.

    This is MaCo, by Fel et al., "Unlocking Feature Visualization for Deeper Networks
    with MAgnitude Constrained Optimization", 2023 (https://arxiv.org/abs/2306.06805).
    Images have the contrast and the colours of photographs from the first step on, and
    can neither lose nor exaggerate them. They have structure everywhere, even where it
    is irrelevant to the unit. Its default transforms are `transforms.maco()`.

    The amplitudes are root mean squares over the photographs, because the contrast is
    a sum of squares; those of the paper are plain means, which differ by a nearly
    constant factor.

    Args:
        height: The height of the images, in pixels.
        width: The width of the images, in pixels.
        channels: The number of channels of the images.
        statistics: The statistics of the images to resemble, as returned by
            `tfviz.statistics.measure` and `load`. By default those of photographs;
            unless there are three channels, each channel independently follows the
            brightness of photographs.

    Returns:
        A param with the latent `phase` `(n, channels, height, width // 2 + 1)`, in
        units of 5 radians. It can be restored from its `spec` if the statistics come
        from a file.

    Raises:
        ValueError: If a size is below 1, or the statistics have another number of
            channels.

    >>> param = maco(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = image_shape(height, width, channels)
    measured = _select_statistics(statistics, channels)
    latent = (channels, height, width // 2 + 1)
    matrix, offset = _color_before_sigmoid(measured)
    inverse = np.linalg.inv(matrix)
    factors = _wave_factors(height, width)
    # Without the minimum, a channel that depends on the others would have an amplitude
    # of 0, by which the mean is divided. The square root accounts for the inverse
    # transform, which is not unitary.
    amplitude = np.maximum(measured.amplitude(height, width), 1e-6)
    amplitude = amplitude * np.sqrt(height * width) * factors
    synthesize = synthesizer(shape, amplitude, matrix)
    # The mean colour, as a constant wave in units of the amplitude of that wave.
    constant = np.zeros((*latent, 2))
    constant[:, 0, 0, 0] = height * width * inverse @ offset / amplitude[:, 0, 0]
    mean = tf.constant(constant, tf.float32)
    _, separate = channel_mixing(matrix)
    is_real = factors == np.sqrt(2)
    real_amplitude = tf.constant(np.where(is_real, amplitude, 1), tf.float32)

    def init(seeds: Any) -> Latents:
        return {"phase": (2 * uniform(seeds, latent) - 1) * (pi / PHASE_GAIN)}

    def decode(latents: Latents) -> Any:
        phase = PHASE_GAIN * latents["phase"]
        return synthesize(tf.stack([tf.cos(phase), tf.sin(phase)], axis=-1) + mean)

    def encode(images: Any) -> Latents:
        waves = half_spectra(separate(images))
        phase = tf.atan2(waves[..., 1], waves[..., 0])
        cosine = waves[..., 0] / real_amplitude - mean[..., 0]
        real_phase = tf.acos(tf.clip_by_value(cosine, -_MAX_COSINE, _MAX_COSINE))
        return {"phase": tf.where(is_real, real_phase, phase) / PHASE_GAIN}

    spec = {}
    if measured.source is not None:
        identity = {"source": measured.source, "digest": measured.digest}
        spec = make_spec("maco", shape, statistics=identity)
    # Larger steps, or less momentum, let phases run in circles.
    own = {"learning_rate": 0.05, "momentum": 0.9}
    defaults = {"transforms": transforms.maco(), **own}
    return Param(init, decode, shape, spec, encode=encode, defaults=defaults)


def from_settings(settings: Mapping[str, Any]) -> Param:
    """Restore a param from the settings in its spec.

    Raises:
        ValueError: If the file of the statistics is missing or has changed.
    """
    source, digest = (settings["statistics"][key] for key in ("source", "digest"))
    try:
        if source == BUNDLED:
            statistics = _photo_statistics(settings["channels"])
        else:
            statistics = statistics_module.load(source)
    except FileNotFoundError as error:
        raise ValueError(
            f"The picture was made with the statistics in {source!r}, a file that does "
            "not exist. Restore the file, or measure the images again with "
            "`tfviz calibrate`."
        ) from error
    if statistics.digest != digest:
        raise ValueError(
            f"The statistics in {source!r} are not those that the picture was made "
            f"with. Received: digest {statistics.digest}, not {digest}"
        )
    return maco(**(dict(settings) | {"statistics": statistics}))


def _wave_factors(height: int, width: int) -> NDArray[np.float64]:
    """Return the factor of the amplitude of each wave, `(height, width // 2 + 1)`.

    The first and the middle column of a half spectrum contain both of two opposite
    frequencies, and the inverse transform takes their mean, whose amplitude depends on
    their phases. Therefore one of the two counts twice and the other not at all. Of a
    frequency that is its own opposite, the transform uses the cosine of the phase
    alone; a factor of sqrt(2) gives it the same energy as the others.
    """
    factors = np.ones((height, width // 2 + 1))
    opposite = -np.arange(height) % height
    rows = np.arange(height)
    both = np.select([rows < opposite, rows == opposite], [2, np.sqrt(2)], 0)
    factors[:, column_counts(width) == 1] = both[:, None]
    return factors


def _color_before_sigmoid(
    measured: Statistics,
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return the colour matrix and the offset that give the measured mean and contrast.

    The sigmoid reduces contrast. If it were the normal distribution function, an input
    of variance `v` would give an output of variance `arcsin(v / (v + 1)) / (2 pi)`,
    which is close enough here and is solved for `v`.
    """
    root = measured.contrast * measured.color.astype(np.float64)
    variance = np.mean(np.sum(root**2, axis=1))
    ratio = sin(2 * pi * min(variance, _MAX_VARIANCE))
    input_variance = ratio / (1 - ratio)
    gain = _LOGISTIC_SCALE * np.sqrt(input_variance / variance)
    mean = measured.mean.astype(np.float64).clip(0.01, 0.99)
    offset = np.log(mean / (1 - mean)) * np.sqrt(1 + input_variance)
    return (gain * root).astype(np.float32), offset


def _select_statistics(statistics: Statistics | None, channels: int) -> Statistics:
    """Return the user's statistics, or by default those of photographs."""
    if statistics is None:
        return _photo_statistics(channels)
    if statistics.channels != channels:
        raise ValueError(
            f"{argument('statistics')} must have {count_of(channels, 'channel')}. "
            f"Received: {statistics.channels}"
        )
    return statistics


def _photo_statistics(channels: int) -> Statistics:
    """Return the statistics of photographs.

    Unless there are three channels, each has the brightness of photographs.
    """
    photos = statistics_module.bundled()
    if channels == photos.channels:
        return photos
    variance = photos.contrast**2 * np.mean(np.sum(photos.color**2, axis=1))
    return replace(
        photos,
        mean=np.repeat(photos.mean.mean(), channels),
        color=np.eye(channels, dtype=np.float32),
        contrast=float(np.sqrt(variance)),
        spectrum=np.repeat(photos.spectrum[:1], channels, axis=0),
    )
