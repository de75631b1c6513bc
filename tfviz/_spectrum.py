"""Half spectra of real images: frequencies, energy, slope and other sizes.

A half spectrum has the shape `(height, width // 2 + 1)` of `numpy.fft.rfft2`. Its
frequencies are in cycles per pixel, so that they have the same meaning at every size.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Keeps logarithms finite; below every amplitude that matters.
_TINY = 1e-12
# Up to this frequency, in cycles per pixel, a photograph's spectrum is that of the
# scene; in the two octaves above, the lens, the scaling and the compression shape it.
_HIGHEST_OF_SCENE = 1 / 8


def frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Return the frequency of each wave of a half spectrum.

    >>> frequencies(4, 3).round(3).tolist()[1]
    [0.25, 0.417]
    """
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])


def nonzero_frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Return `frequencies`, with the lowest other frequency for the constant wave.

    >>> nonzero_frequencies(1, 4).tolist()
    [[0.25, 0.25, 0.5]]
    """
    return np.maximum(frequencies(height, width), 1 / max(height, width))


def column_counts(width: int) -> NDArray[np.float64]:
    """Return the number of waves of the full spectrum that each column stands for.

    >>> column_counts(6).tolist(), column_counts(5).tolist()
    ([1.0, 2.0, 2.0, 1.0], [1.0, 2.0, 2.0])
    """
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


def energy(amplitude: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the sum of squares over the full spectrum, for each channel.

    Args:
        amplitude: Amplitudes `(channels, height, width // 2 + 1)`.
        width: The width of the images in pixels.

    Returns:
        The energy of each channel, `(channels,)`.
    """
    return np.sum(np.square(amplitude) * column_counts(width), axis=(-2, -1))


def slope(amplitude: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Fit `1 / frequency ** slope` to each channel, with the same weight per octave.

    Only frequencies up to an eighth of a cycle per pixel are used.

    Args:
        amplitude: Amplitudes `(channels, height, width // 2 + 1)`.
        width: The width of the images in pixels.

    Returns:
        The slope of each channel, `(channels,)`: a little above 1 for photographs.
    """
    frequency = frequencies(amplitude.shape[1], width)
    used = (frequency > 0) & (frequency <= _HIGHEST_OF_SCENE)
    position = np.log(frequency[used])
    # Each octave has four times as many waves as the one below.
    counts = np.broadcast_to(column_counts(width), frequency.shape)
    weight = counts[used] / frequency[used] ** 2
    weight /= weight.sum()
    position = position - np.sum(weight * position)
    values = np.log(np.maximum(amplitude[:, used], _TINY))
    return -np.sum(weight * position * values, axis=1) / np.sum(weight * position**2)


def resample(amplitude: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Return the amplitudes of images of another size, with the same energy.

    Amplitudes are divided by the power law before they are interpolated, and multiplied
    by it afterwards, so that a nearly flat function is interpolated. Below the lowest
    measured frequency this function is taken to be constant.

    Args:
        amplitude: Amplitudes of square images, `(channels, size, size // 2 + 1)`.
        height: The height of the other images in pixels.
        width: The width of the other images in pixels.

    Returns:
        Amplitudes `(channels, height, width // 2 + 1)`.
    """
    size = amplitude.shape[1]
    exponent = slope(amplitude, size)[:, None, None]
    flat = np.log(np.maximum(amplitude, _TINY))
    flat += exponent * np.log(np.maximum(frequencies(size, size), 1 / size))
    # The constant wave, the variance of the images' means, says little about the waves
    # next to it, so it is not interpolated.
    mean = flat[:, 0, 0].copy()
    flat[:, 0, 0] = (flat[:, 0, 1] + flat[:, 1, 0]) / 2
    # Sort the rows by frequency, and repeat the first and the last one at the other
    # end, as the spectrum is periodic.
    rows = np.fft.fftfreq(size)
    order = np.argsort(rows)
    rows, flat = rows[order], flat[:, order]
    rows = np.concatenate([rows[-1:] - 1, rows, rows[:1] + 1])
    flat = np.concatenate([flat[:, -1:], flat, flat[:, :1]], axis=1)
    down = _interpolation(rows, np.fft.fftfreq(height))
    right = _interpolation(np.fft.rfftfreq(size), np.fft.rfftfreq(width))
    flat = down @ flat @ right.T
    flat[:, 0, 0] = mean
    lowest = 1 / max(height, width)
    frequency = np.maximum(frequencies(height, width), lowest)
    resampled = np.exp(flat - exponent * np.log(frequency))
    scale = np.sqrt(energy(amplitude, size) / energy(resampled, width))
    return resampled * scale[:, None, None]


def _interpolation(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.float64]:
    """Return the matrix that interpolates values at `old` positions to `new` ones."""
    basis = np.eye(len(old))
    return np.stack([np.interp(new, old, values) for values in basis], axis=1)
