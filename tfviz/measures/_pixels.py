"""Measures of the pixels of pictures, without any network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._spectrum import column_counts, frequencies
from tfviz.images import to_bytes
from tfviz.measures._base import as_pictures, measure

# The weights of red, green and blue (ITU-R BT.601).
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_BINS = 12
# Keeps logarithms finite; far below the rounding to bytes.
_TINY = 1e-12


@measure(
    "slope of the spectrum",
    level="picture",
    summary=(
        "Measure how fast the power of a picture's waves falls with their frequency."
    ),
    formula=(
        "The least-squares slope of log(power) over log(frequency), in twelve bins of "
        "equal width in the logarithm, from 2 / N cycles per pixel to the cutoff, N "
        "the shorter side; power is the mean of |FFT|^2 over all directions, of "
        "luminance without its mean under a Hann window."
    ),
    range=(
        "0 for white noise, -2 where amplitudes fall as 1 / frequency; -3.4 to -1.8 "
        "for 95 of 100 photographs at 224 pixels, on average -2.6. Missing for a "
        "picture of one colour."
    ),
    better="neither",
    source=(
        "Tolhurst, Tadmor & Chao 1992, Amplitude spectra of natural images, Ophthalmic "
        "and Physiological Optics 12, with amplitudes in place of power."
    ),
    bias=(
        "Near that of photographs is better, on either side. Params that fix the "
        "spectrum, as MaCo does, have the photographs' slope by construction, and "
        "decoders have their own. An enlarged picture has no waves above 0.5 * small "
        "size / large size: without that as the cutoff it seems too smooth. Chance "
        "moves the slope of one picture by 0.1 at 224 pixels, by 0.2 at 64 and by 0.3 "
        "at 32."
    ),
)
def spectrum_slope(images: ArrayLike, *, cutoff: float = 0.4) -> NDArray[np.float64]:
    """Measure how fast the power of a picture's waves falls with their frequency.

    Args:
        images: Pictures `(n, height, width, channels)`, bytes or floats in [0, 1].
            Three channels are taken as red, green and blue; any other number of
            channels is averaged.
        cutoff: The highest frequency that counts, in cycles per pixel: at most 0.5, and
            at least 4 / N, so that an octave is left.

    Returns:
        The slope of each picture, `(n,)`.

    Raises:
        ValueError: If the array does not hold images, or no octave is left.

    >>> noise = np.random.default_rng(0).uniform(size=(1, 200, 211, 1))
    >>> bool(abs(spectrum_slope(noise)[0]) < 0.3)
    True
    """
    pictures = as_pictures(images)
    _, height, width, channels = pictures.shape
    lowest = 2 / min(height, width)
    if not 2 * lowest <= cutoff <= 0.5:
        raise ValueError(
            "`cutoff` must leave an octave above two cycles per picture, so it must "
            f"lie from {2 * lowest:.3g} to 0.5 for {height}x{width} pixels. Received: "
            f"cutoff={cutoff}"
        )
    frequency = frequencies(height, width)
    edges = np.geomspace(lowest, cutoff, _BINS + 1)
    used = (frequency >= lowest) & (frequency < cutoff)
    bins = np.digitize(frequency[used], edges) - 1
    counts = np.broadcast_to(column_counts(width), frequency.shape)[used]
    total = np.bincount(bins, counts, _BINS)
    filled = total > 0  # in small pictures some bins are empty

    def bin_means(values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(bins, counts * values, _BINS)[filled] / total[filled]

    log_frequency = bin_means(np.log(frequency[used]))
    weights = _LUMINANCE if channels == 3 else np.full(channels, 1 / channels)
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    slopes = []
    for image in pictures:
        grey = image @ weights
        if np.ptp(grey) == 0:
            slopes.append(np.nan)
            continue
        power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
        log_power = np.log(bin_means(power[used]) + _TINY)
        slopes.append(np.polyfit(log_frequency, log_power, 1)[0])
    return np.array(slopes)


@measure(
    "saturated values",
    level="picture",
    summary="Measure how many values of a picture are at an end of their range.",
    formula="mean(bytes == 0 or bytes == 255), over all pixels and channels",
    range="0 to 1; 0.02 on average for photographs, 0.001 for the one in the middle.",
    better="neither",
    source="The usual count of clipped values, in the picture as it is saved.",
    bias=(
        "Photographs have black shadows and white skies, so theirs belong beside it. "
        "Values that come close to an end do not count."
    ),
)
def saturation(images: ArrayLike) -> NDArray[np.float64]:
    """Measure how many values of a picture are at an end of their range.

    Args:
        images: Pictures `(n, height, width, channels)`, bytes or floats in [0, 1].

    Returns:
        The share of saturated values of each picture, `(n,)`.

    Raises:
        ValueError: If the array does not hold images.

    >>> saturation([[[[0.0], [0.999]], [[0.5], [0.99]]]]).tolist()
    [0.5]
    """
    values = to_bytes(as_pictures(images))
    return np.mean((values == 0) | (values == 255), axis=(1, 2, 3))


@measure(
    "total variation",
    level="picture",
    summary="Measure how much neighbouring pixels of a picture differ.",
    formula=(
        "mean(abs(difference)), over all neighbours below and to the right and all "
        "channels"
    ),
    range="0 to 1; 0.03 on average for photographs at 224 pixels, 1/3 for white noise.",
    better="neither",
    source=(
        "Mahendran & Vedaldi 2015, https://arxiv.org/abs/1412.0035, with exponent 1 "
        "and as a mean."
    ),
    bias=(
        "Grows with contrast and sharpness alike, and falls where a picture is "
        "enlarged, so that only pictures of one size compare. Near that of photographs "
        "is better."
    ),
)
def total_variation(images: ArrayLike) -> NDArray[np.float64]:
    """Measure how much neighbouring pixels of a picture differ.

    Args:
        images: Pictures `(n, height, width, channels)` of at least two pixels, bytes or
            floats in [0, 1].

    Returns:
        The mean difference in each picture, `(n,)`: about half of the value of
        `tfviz.objectives.total_variation`, which divides by the number of pixels
        instead of the number of pairs of neighbours.

    Raises:
        ValueError: If the array does not hold images, or they have a single pixel.

    >>> total_variation([[[[0.0], [1.0]], [[0.0], [0.5]]]]).tolist()
    [0.5]
    """
    pictures = as_pictures(images)
    if pictures.shape[1:3] == (1, 1):
        raise ValueError(
            "The pixels of `images` must have neighbours. Received: images of a single "
            f"pixel, shape {pictures.shape}"
        )
    means = []
    for image in pictures:
        differences = [
            np.diff(image.astype(np.float64), axis=axis).ravel() for axis in (0, 1)
        ]
        means.append(np.abs(np.concatenate(differences)).mean())
    return np.array(means)
