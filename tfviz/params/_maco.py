"""Images whose spectrum has the amplitudes of photographs: only phases are free."""

from collections.abc import Mapping
from dataclasses import replace
from math import pi, sin
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import statistics as statistics_module
from tfviz import transforms
from tfviz._spectrum import column_counts
from tfviz.params._base import Latents, Param, checked_shape, describe, mixing, uniform
from tfviz.params._fourier import analyze, synthesis
from tfviz.statistics import BUNDLED, Statistics

# Radians in one unit of the latent: a step of Adam at the default learning rate turns
# a phase by up to a quarter. The published one, four times as large, is for the mean
# over 32 crops at each step; over one, it leaves noise.
PHASE_GAIN = 5.0
# The logistic function is about the normal distribution's of 1.7 times the argument.
_LOGISTIC_OF_NORMAL = 1.702
# A sigmoid can give no image a variance of 1/4, and needs to be let go well before.
_MOST_VARIANCE = 0.2
# A cosine has no slope at its ends, so an encoded one stays this far inside.
_STEEPEST = 0.99


def maco(
    height: int,
    width: int,
    channels: int = 3,
    *,
    statistics: Statistics | None = None,
) -> Param:
    """Hold an image as the phases of its waves; the amplitudes are those of photos.

    MaCo, Fel et al., "Unlocking Feature Visualization for Deeper Networks with
    MAgnitude Constrained Optimization", 2023 (https://arxiv.org/abs/2306.06805). The
    contrast and colours of natural images are there from the first step and can
    neither fade nor run off. An image has structure everywhere, also where it is
    irrelevant to the unit. `transforms.maco()` are its transforms by default.

    The squares of the amplitudes are means over the photographs, as power is what
    adds up to their contrast; the paper's amplitudes are means themselves, which
    differ by a nearly constant factor.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        channels: Of the images.
        statistics: Of the images to resemble, as `tfviz.statistics.measure` and
            `load` return them. By default of photographs; unless there are three
            channels, each has the brightness of photographs by itself.

    Returns:
        A param with the latent `phase` `(n, channels, height, width // 2 + 1)`, in
        units of 5 radians. It can be made again from its `spec` if the statistics
        come from a file.

    Raises:
        ValueError: If a size is below 1, or the statistics have other channels.

    >>> param = maco(5, 7)
    >>> param.decode(param.init([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 7, 3])
    """
    shape = checked_shape(height, width, channels)
    of = _checked(statistics, channels)
    latent = (channels, height, width // 2 + 1)
    matrix, offset = _before_sigmoid(of)
    inverse = np.linalg.inv(matrix)
    use = _use(height, width)
    # Not zero where a channel depends on the others; and this transform is not unitary.
    amplitude = np.maximum(of.amplitude(height, width), 1e-6)
    amplitude = amplitude * np.sqrt(height * width) * use
    synthesize = synthesis(shape, amplitude, matrix)
    # The mean colour, as a constant wave in units of that wave's amplitude.
    constant = np.zeros((*latent, 2))
    constant[:, 0, 0, 0] = height * width * inverse @ offset / amplitude[:, 0, 0]
    mean = tf.constant(constant, tf.float32)
    _, separate = mixing(matrix)
    alone = use == np.sqrt(2)
    lone = tf.constant(np.where(alone, amplitude, 1), tf.float32)

    def init(seeds: Any) -> Latents:
        return {"phase": (2 * uniform(seeds, latent) - 1) * (pi / PHASE_GAIN)}

    def decode(latents: Latents) -> Any:
        phase = PHASE_GAIN * latents["phase"]
        return synthesize(tf.stack([tf.cos(phase), tf.sin(phase)], axis=-1) + mean)

    def encode(images: Any) -> Latents:
        waves = analyze(separate(images))
        phase = tf.atan2(waves[..., 1], waves[..., 0])
        parts = waves[..., 0] / lone - mean[..., 0]
        cosine = tf.acos(tf.clip_by_value(parts, -_STEEPEST, _STEEPEST))
        return {"phase": tf.where(alone, cosine, phase) / PHASE_GAIN}

    spec = {}
    if of.source is not None:
        known = {"source": of.source, "digest": of.digest}
        spec = describe("maco", shape, statistics=known)
    defaults = {"transforms": transforms.maco()}
    return Param(init, decode, shape, spec, encode=encode, defaults=defaults)


def from_settings(settings: Mapping[str, Any]) -> Param:
    """Make a param again from the settings of its spec.

    Raises:
        ValueError: If the statistics are not there or are others by now.
    """
    known = settings["statistics"]
    try:
        if known["source"] == BUNDLED:
            found = _photographs(settings["channels"])
        else:
            found = statistics_module.load(known["source"])
    except FileNotFoundError as error:
        raise ValueError(
            f"The picture was made with the statistics in {known['source']!r}, a file "
            "that is not there. Put it there, or measure the images again with "
            "`tfviz calibrate`."
        ) from error
    if found.digest != known["digest"]:
        raise ValueError(
            f"The statistics in {known['source']!r} are not those that the picture "
            f"was made with. Received: digest {found.digest}, not {known['digest']}"
        )
    return maco(**(dict(settings) | {"statistics": found}))


def _use(height: int, width: int) -> NDArray[np.float64]:
    """Return how often each entry of a half spectrum counts.

    The first and the middle column hold both of two opposite frequencies, of which
    the inverse transform takes the mean: here the first counts twice and the second
    not at all, or their phases would set an amplitude. Frequencies that are their
    own opposite keep the cosine of their phase; the factor gives them the same
    energy.
    """
    use = np.ones((height, width // 2 + 1))
    opposite = -np.arange(height) % height
    rows = np.arange(height)
    both = np.select([rows < opposite, rows == opposite], [2, np.sqrt(2)], 0)
    use[:, column_counts(width) == 1] = both[:, None]
    return use


def _before_sigmoid(of: Statistics) -> tuple[NDArray[np.float32], NDArray]:
    """Return the matrix and the offset whose sigmoid has the mean and the contrast.

    The sigmoid takes off contrast. Were it the distribution function of normal
    numbers, the variance of what comes out would be `arcsin(r) / (2 pi)`, where `r`
    is the share of the variance that goes in in itself plus 1; it nearly is.
    """
    root = of.contrast * of.color.astype(np.float64)
    variance = np.mean(np.sum(root**2, axis=1))
    share = sin(2 * pi * min(variance, _MOST_VARIANCE))
    inner = share / (1 - share)
    gain = _LOGISTIC_OF_NORMAL * np.sqrt(inner / variance)
    mean = of.mean.astype(np.float64).clip(0.01, 0.99)
    offset = np.log(mean / (1 - mean)) * np.sqrt(1 + inner)
    return (gain * root).astype(np.float32), offset


def _checked(statistics: Statistics | None, channels: int) -> Statistics:
    if statistics is None:
        return _photographs(channels)
    if statistics.channels != channels:
        raise ValueError(
            f"`statistics` must be of {channels} channels. "
            f"Received: {statistics.channels}"
        )
    return statistics


def _photographs(channels: int) -> Statistics:
    """Return those of photographs, or of their brightness for each channel."""
    found = statistics_module.bundled()
    if channels == found.channels:
        return found
    variance = found.contrast**2 * np.mean(np.sum(found.color**2, axis=1))
    return replace(
        found,
        mean=np.repeat(found.mean.mean(), channels),
        color=np.eye(channels, dtype=np.float32),
        contrast=float(np.sqrt(variance)),
        spectrum=np.repeat(found.spectrum[:1], channels, axis=0),
    )
