"""Refined priors: a generator's image, and a little detail that it cannot make.

A generator of small images knows where objects are and what they look like as a whole.
Detail that is optimized together with its latents adds the rest at a larger size, but
only within a distance, so that it cannot become the noise that networks respond to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.inputs import resize
from tfviz.params._base import Latents, check_positive_integers
from tfviz.priors._constraints import Domain
from tfviz.priors._latents import Latent, waves
from tfviz.priors._prior import Prior, assembled

# The size of images that are refined in pixels, if none is asked for.
SIZE = 224
# The name of the latent that holds the detail.
DETAIL = "detail"
# How far pixels may move, as a root mean square where black is 0 and white is 1, and
# how far the latents of an autoencoder may, in their standard deviations.
PIXEL_DISTANCE, LATENT_DISTANCE = 0.05, 0.5
# The standard deviation of pixels if the waves of the detail have their usual size, the
# exponent with which waves of pixels and of latents get weaker with their frequency,
# and the size of the optimizer's steps, as a multiple of the learning rate.
_PIXEL_STDDEV, _PIXEL_DECAY, _PIXEL_RATE = 0.1, 1.0, 0.1
_LATENT_DECAY, _LATENT_RATE = 0.5, 0.25
# The number of random latents whose standard deviation is measured.
_DRAWS = 32


def refined(
    prior: Prior,
    autoencoder: Prior | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    distance: float | None = None,
) -> Prior:
    """Add detail to the images of a prior, in pixels or through an autoencoder.

    The images are those of the prior, resized, plus detail that is optimized together
    with its latents and stays within a distance. The detail starts from nothing and is
    stored as waves, of which slow ones are strong. With an autoencoder it is added to
    the latents of the resized images, and the autoencoder decodes the sum.

    Args:
        prior: The prior that makes the images, such as a generator of small ones.
        autoencoder: A prior with an encoder and a single latent map, which makes the
            detail; None for detail in pixels.
        size: The size of the images in pixels, without an autoencoder: one number, or
            height and width; 224 by default. The images of an autoencoder have its own
            size.
        distance: How far the detail can go: the root mean square of its values. In
            pixels, where black is 0 and white is 1, it is 0.05 by default. For an
            autoencoder, in standard deviations of its latents, it is 0.5 by default.

    Returns:
        A prior whose latents are those of `prior`, and `detail`.

    Raises:
        ValueError: If a size is not a positive integer, or is given beside an
            autoencoder, `distance` is not above 0, the autoencoder does not fit, or
            `prior` has a latent called `detail`.

    >>> from tfviz import priors
    >>> sharp = refined(priors.load("inverter"), size=(96, 128))
    >>> sharp.shape, list(sharp.latents)
    ((96, 128, 3), ['code', 'detail'])
    """
    if DETAIL in prior.latents:
        raise ValueError(
            f"The prior has a latent {DETAIL!r} already. Refine each prior only once."
        )
    if distance is not None and not distance > 0:
        raise ValueError(f"`distance` must be above 0. Received: distance={distance}")
    if autoencoder is None:
        height, width = (size, size) if isinstance(size, int) else size or (SIZE, SIZE)
        check_positive_integers(height=height, width=width)
        space = _pixels(height, width, prior.shape[2])
    elif size is None:
        space = _latents_of(autoencoder)
    else:
        raise ValueError(
            "The size of the images is that of the autoencoder: give `size` to it. "
            f"Received: size={size}"
        )
    if distance is None:
        distance = LATENT_DISTANCE if autoencoder else PIXEL_DISTANCE
    limit = _limit(space.unit, distance)

    def base(values: Latents) -> Any:
        low, high = prior.value_range
        images = prior.generate({name: values[name] for name in prior.latents})
        return space.encode((tf.cast(images, tf.float32) - low) / (high - low))

    def invert(images: Any, invert_base: Callable[[Any], Latents]) -> Latents:
        values = invert_base(images)
        return {**values, DETAIL: limit(space.encode(images) - base(values))}

    result = assembled(
        {**prior.latents, DETAIL: _detail(space.waves, limit)},
        lambda values: space.decode(base(values) + values[DETAIL]),
        value_range=autoencoder.value_range if autoencoder else (0, 1),
        encode=partial(invert, invert_base=prior.invert) if prior.invert else None,
        pull=prior.pull,
        view=prior.view,
        defaults=prior.defaults,
    )
    trained = [p.trained for p in (prior, autoencoder) if p is not None]
    return replace(result, trained=_merge(trained), measured=prior.measured)


@dataclass(frozen=True)
class _Space:
    """Where detail is added to images.

    Attributes:
        encode: The function from images to what detail is added to.
        decode: The function from the sum to images.
        waves: The waves of which detail is made.
        unit: The unit of distances: one number, or one for each channel.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    waves: Latent
    unit: NDArray[np.float32]


def _pixels(height: int, width: int, channels: int) -> _Space:
    """Return the space of the pixels of images of a size."""
    return _Space(
        lambda images: resize(images, (height, width)),
        lambda values: values,
        waves(
            height,
            width,
            channels,
            stddev=_PIXEL_STDDEV,
            decay=_PIXEL_DECAY,
            rate=_PIXEL_RATE,
        ),
        np.ones(1, np.float32),
    )


def _latents_of(autoencoder: Prior) -> _Space:
    """Return the space of the latents of an autoencoder.

    Raises:
        ValueError: If the prior is not an autoencoder.
    """
    invert, names = autoencoder.invert, list(autoencoder.latents)
    maps = [n for n in names if len(autoencoder.latents[n].shape) == 3]
    if invert is None or not len(maps) == len(names) == 1:
        raise ValueError(
            "`autoencoder` must be a prior with an encoder and a single latent map. "
            f"Received one with the latents {', '.join(names)} and "
            f"{'no' if invert is None else 'an'} encoder."
        )
    (name,) = names
    latent = autoencoder.latents[name]
    seeds = np.array([[0, k] for k in range(_DRAWS)], np.int32)
    stddev = np.asarray(latent.values(latent.start(seeds))).std(axis=(0, 1, 2))
    height, width, channels = latent.shape

    def encode(images: Any) -> Any:
        resized = resize(images, autoencoder.shape[:2])
        # Resizing may leave [0, 1], which the encoder has never seen.
        return invert(tf.clip_by_value(resized, 0, 1))[name]

    return _Space(
        encode,
        lambda values: autoencoder.generate({name: values}),
        waves(
            height,
            width,
            channels,
            stddev=stddev,
            decay=_LATENT_DECAY,
            rate=_LATENT_RATE,
        ),
        stddev,
    )


def _limit(unit: NDArray[np.float32], distance: float) -> Domain:
    """Return the function that scales each image's detail to at most a distance."""

    def limit(values: Any) -> Any:
        square = tf.reduce_mean((values / unit) ** 2, axis=(1, 2, 3), keepdims=True)
        return values * tf.minimum(1.0, distance * tf.math.rsqrt(square + 1e-12))

    return limit


def _detail(latent: Latent, limit: Domain) -> Latent:
    """Return waves as the latent of the detail, which starts from nothing."""
    return replace(
        latent,
        start=lambda seeds: tf.zeros_like(latent.start(seeds)),
        domain=limit,
        # No length of the detail is usual, as it starts from zero; and only the latents
        # of the generator are calibrated.
        standard=None,
        calibrated=None,
        white=None,
    )


def _merge(trained: list[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return what several priors were trained with; empty if it is not known of one."""
    if not all(trained):
        return {}
    known = [facts for facts in trained if facts]
    return {
        "networks": {k: v for facts in known for k, v in facts["networks"].items()},
        "data": sorted({name for facts in known for name in facts["data"]}),
        "about": " ".join(facts["about"] for facts in known),
    }
