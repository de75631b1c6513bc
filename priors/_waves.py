"""Maps of latents, held as waves."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfviz._fourier import analyze
from tfviz._param import normal
from tfviz._spectrum import column_counts, nonzero_frequencies

from ._calibration import Measured
from ._domains import Domain, box, shell, usual_length
from ._latents import Latent, bounded, check_rate, gaussian, standardizer
from ._penalties import Penalty

# From here on a normal latent is about as long as the root of its size, so that a
# shell holds nearly all of them.
LONG = 64


def waves(
    height: int,
    width: int,
    channels: int,
    *,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    decay: ArrayLike = 1.0,
    rate: float = 1.0,
    length: float | None = None,
    domain: Domain | None = None,
    penalty: Penalty | None = None,
) -> Latent:
    """Hold a latent with a map as waves, the slow ones strong, as in photographs.

    Decoders of images give meaningless texture where their latents are independent
    from place to place. Those of photos are not.

    Args:
        height: Of the map.
        width: Of the map.
        channels: Of the map.
        mean: Of each channel.
        stddev: Of each channel, over places and images.
        decay: The amplitude of a wave falls with its frequency to this power; one
            number, or one for each channel.
        rate: How fast it moves, in parts of the learning rate.
        length: The greatest length of all waves together, in deviations of each, such
            as `usual_length(height * width * channels)`.
        domain: Where the values may go.
        penalty: What values pay, in deviations from their mean.

    Raises:
        ValueError: If `rate` is not above 0.

    >>> z = waves(5, 4, 2, mean=[0.0, 3.0])
    >>> z.values(z.start([[0, 1], [0, 2]])).shape
    TensorShape([2, 5, 4, 2])
    """
    check_rate(rate)
    shape = (height, width, channels)
    middle = np.asarray(mean, np.float32)
    spread = np.broadcast_to(np.asarray(stddev, np.float32), (channels,))
    falls = np.broadcast_to(np.asarray(decay, np.float64), (channels,))
    # Waves of a column that stands for itself alone keep half of what is drawn.
    amplitude = nonzero_frequencies(height, width) ** -falls[:, None, None]
    amplitude *= np.sqrt(2 / column_counts(width))
    # Of unit variance over places, with normal numbers for real and imaginary parts.
    # A wave that stands for two counts for both, with both parts; others have one.
    total = np.sum((column_counts(width) * amplitude) ** 2, axis=(1, 2), keepdims=True)
    amplitude *= height * width / np.sqrt(total)
    scale = (rate * spread[:, None, None] * amplitude)[..., None].astype(np.float32)

    def values(stored: Any) -> Any:
        scaled = stored * scale
        spectrum = tf.complex(scaled[..., 0], scaled[..., 1])
        planes = tf.signal.irfft2d(spectrum, fft_length=[height, width])
        found = tf.transpose(planes, (0, 2, 3, 1)) + middle
        return tf.ensure_shape(found, (stored.shape[0], *shape))

    def inverse(values: Any) -> Any:
        return analyze(values - middle) / np.maximum(scale, np.float32(1e-12))

    def start(seeds: Any) -> Any:
        return normal(seeds, (channels, height, width // 2 + 1, 2)) / rate

    def again(**changes: Any) -> Latent:
        same: dict[str, Any] = {
            "mean": mean,
            "stddev": stddev,
            "decay": decay,
            "rate": rate,
            "length": length,
            "domain": domain,
            "penalty": penalty,
        }
        return waves(height, width, channels, **(same | changes))

    def calibrated(found: Measured) -> Latent:
        made = again(
            mean=found.mean,
            stddev=found.stddev,
            decay=decay if found.decay is None else found.decay,
            domain=box(found.low, found.high),
        )
        return replace(made, usual=(found.low, found.high))

    standard = standardizer(middle, spread)

    def independent(found: Any) -> Any:
        # The waves of a map are; its places are not.
        return inverse(found) * rate

    return Latent(
        shape,
        start,
        values,
        inverse,
        bounded(length, independent, lambda found: values(found / rate), domain),
        penalty and (lambda values: penalty(standard(values))),
        standard=independent,
        calibrated=calibrated,
        white=(lambda: again(decay=0.0)) if falls.any() else None,
    )


def usual_waves(height: int, width: int, channels: int, **statistics: Any) -> Latent:
    """Return `waves` that are together no longer than they usually are."""
    length = usual_length(height * width * channels)
    return waves(height, width, channels, **statistics, length=length)


def proposed(*shape: int) -> Latent:
    """Return the latent for an input of which only the shape is known.

    A map is held as waves, a vector where normal ones are.
    """
    size = int(np.prod(shape))
    if len(shape) == 3 and min(shape[:2]) > 1:
        return usual_waves(*shape)
    if size >= LONG:
        return gaussian(*shape, domain=shell(np.sqrt(size)))
    return gaussian(*shape, length=usual_length(size))


def eighths(height: int, width: int | None) -> tuple[int, int]:
    """Return the size of latents, of which each stands for 8 by 8 pixels.

    Raises:
        ValueError: If a size is no multiple of 8.
    """
    width = height if width is None else width
    if height % 8 or width % 8 or min(height, width) < 8:
        raise ValueError(
            "`height` and `width` must be multiples of 8. Received: "
            f"height={height}, width={width}"
        )
    return height // 8, width // 8
