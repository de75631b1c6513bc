"""Half spectra of real images: their frequencies, and the same at another size.

A half spectrum has the shape `(height, width // 2 + 1)` of `numpy.fft.rfft2`; its
frequencies are in cycles per pixel, so that they mean the same at every size.
"""

import numpy as np
from numpy.typing import NDArray

# Below every amplitude that matters: only keeps logarithms finite.
_TINY = 1e-12
# Up to here, in cycles per pixel, a spectrum is that of the scene; the two octaves
# above are as sharp as the lens, the scaling and the compression left them.
_HIGHEST_OF_SCENE = 1 / 8


def frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Return the frequency of each wave of a half spectrum.

    >>> frequencies(4, 3).round(3).tolist()[1]
    [0.25, 0.417]
    """
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])


def nonzero_frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Return `frequencies`, but count the constant wave as the slowest of the others.

    >>> nonzero_frequencies(1, 4).tolist()
    [[0.25, 0.25, 0.5]]
    """
    return np.maximum(frequencies(height, width), 1 / max(height, width))


def column_counts(width: int) -> NDArray[np.float64]:
    """Return how many waves of the full spectrum each column stands for.

    >>> column_counts(6).tolist(), column_counts(5).tolist()
    ([1.0, 2.0, 2.0, 1.0], [1.0, 2.0, 2.0])
    """
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


def energy(amplitude: NDArray, width: int) -> NDArray:
    """Return the sum of squares over the full spectrum, for each channel.

    Args:
        amplitude: `(channels, height, width // 2 + 1)`.
        width: Of the images.

    Returns:
        `(channels,)`.
    """
    return np.sum(np.square(amplitude) * column_counts(width), axis=(-2, -1))


def slope(amplitude: NDArray, width: int) -> NDArray[np.float64]:
    """Fit `1 / frequency ** slope` to each channel, all octaves counting the same.

    Only frequencies up to an eighth of a cycle per pixel are used.

    Args:
        amplitude: `(channels, height, width // 2 + 1)`.
        width: Of the images.

    Returns:
        `(channels,)`: a little above 1 for photographs.
    """
    frequency = frequencies(amplitude.shape[1], width)
    used = (frequency > 0) & (frequency <= _HIGHEST_OF_SCENE)
    position = np.log(frequency[used])
    # An octave further up has four times as many waves.
    counts = np.broadcast_to(column_counts(width), frequency.shape)
    weight = counts[used] / frequency[used] ** 2
    weight /= weight.sum()
    position = position - np.sum(weight * position)
    values = np.log(np.maximum(amplitude[:, used], _TINY))
    return -np.sum(weight * position * values, axis=1) / np.sum(weight * position**2)


def resample(amplitude: NDArray, height: int, width: int) -> NDArray[np.float64]:
    """Return the amplitudes of images of another size, with the same energy.

    The power law is taken out before amplitudes are interpolated and put back after,
    so that the interpolation sees a nearly flat function, which goes on as it ends
    below the lowest frequency that was measured.

    Args:
        amplitude: `(channels, size, size // 2 + 1)`, of square images.
        height: Of the images that are wanted.
        width: Of the images that are wanted.

    Returns:
        `(channels, height, width // 2 + 1)`.
    """
    size = amplitude.shape[1]
    fall = slope(amplitude, size)[:, None, None]
    flat = np.log(np.maximum(amplitude, _TINY))
    flat += fall * np.log(np.maximum(frequencies(size, size), 1 / size))
    # How much the means of images differ says little of the waves next to it.
    mean = flat[:, 0, 0].copy()
    flat[:, 0, 0] = (flat[:, 0, 1] + flat[:, 1, 0]) / 2
    # Rows are put in the order of their frequencies, and those that stand for both
    # ends of the band at each of them.
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
    wanted = np.exp(flat - fall * np.log(frequency))
    scale = np.sqrt(energy(amplitude, size) / energy(wanted, width))
    return wanted * scale[:, None, None]


def _interpolation(known: NDArray, wanted: NDArray) -> NDArray[np.float64]:
    """Return the matrix that interpolates values at `known` places to `wanted`."""
    units = np.eye(len(known))
    return np.stack([np.interp(wanted, known, unit) for unit in units], axis=1)
