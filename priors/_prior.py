"""A generator with its latents as a param."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz.params import Latents, Param

from ._latents import Latent

# How strongly pixels are pulled back that leave the range: what the mean squared
# distance counts.
PULL = 1.0


def assembled(
    latents: Mapping[str, Latent],
    decode: Callable[[Latents], Any],
    *,
    value_range: tuple[float, float],
    encode: Callable[[Any], Latents] | None = None,
    spec: Mapping[str, Any] | None = None,
    pull: float = PULL,
) -> Param:
    """Return a param whose images a generator makes.

    Args:
        latents: What the generator takes, by name.
        decode: `decode(values) -> images` `(n, height, width, channels)`, from a dict
            with a tensor `(n, ...)` for each latent.
        value_range: What black and white are in those images.
        encode: `encode(images) -> values`, for images in [0, 1], or None.
        spec: What makes the param up, as JSON values.
        pull: As in `within`.

    Raises:
        ValueError: If the range is none, a latent that shall be optimized gets no
            gradient, or the generator gives no finite images.
    """
    low, high = _checked_range(value_range)

    def init(seeds: Any) -> Latents:
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        # Two latents of one shape shall not be the same numbers.
        return {
            name: latent.start(_apart(seeds, place))
            for place, (name, latent) in enumerate(latents.items())
        }

    def values(stored: Latents) -> Latents:
        found = {name: latent.values(stored[name]) for name, latent in latents.items()}
        return {
            name: value if latents[name].optimized else tf.stop_gradient(value)
            for name, value in found.items()
        }

    def images(stored: Latents) -> Any:
        made = tf.cast(decode(values(stored)), tf.float32)
        return within((made - low) / (high - low), pull)

    def project(stored: Latents) -> Latents:
        return {
            name: latents[name].stored(domain(latents[name].values(value)))
            if (domain := latents[name].domain)
            else value
            for name, value in stored.items()
        }

    penalties = {n: v.penalty for n, v in latents.items() if v.penalty is not None}

    def penalty(stored: Latents) -> Any:
        found = values(stored)
        return tf.add_n([term(found[name]) for name, term in penalties.items()])

    def inverse(pictures: Any, encode: Callable[[Any], Latents]) -> Latents:
        return {n: latents[n].stored(value) for n, value in encode(pictures).items()}

    moving = [name for name, latent in latents.items() if latent.optimized]
    shape = _tested(init, images, moving)
    return Param(
        init,
        images,
        shape,
        dict(spec or {}),
        project=project if any(v.domain for v in latents.values()) else None,
        penalty=penalty if penalties else None,
        encode=partial(inverse, encode=encode) if encode else None,
    )


def within(images: Any, pull: float = PULL) -> Any:
    """Clip images to [0, 1] so that what is outside can come back.

    The gradient passes where a step along it leads into the range (as in VQGAN-CLIP,
    https://arxiv.org/abs/2204.08583), and that of `-pull` times the mean squared
    distance from the range is added.

    Args:
        images: `(n, height, width, channels)`.
        pull: In units of the score.
    """

    @tf.custom_gradient
    def clipped(images: Any) -> Any:
        inside = tf.clip_by_value(images, 0, 1)

        def gradient(upstream: Any) -> Any:
            over = images - inside
            # The scores' gradient passes only where it leads back; a plain clip would
            # hold for ever what is outside.
            leads_back = over * upstream <= 0
            size = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
            return tf.where(leads_back, upstream, 0) - 2 * pull * over / size

        return inside, gradient

    return clipped(images)


def _tested(
    init: Callable[[Any], Latents], images: Callable[[Latents], Any], moving: list[str]
) -> tuple[int, int, int]:
    """Return the shape of the images, once each latent is known to reach them."""
    stored = {k: tf.convert_to_tensor(v) for k, v in init([[0, 1]]).items()}
    with tf.GradientTape() as tape:
        for name in moving:
            tape.watch(stored[name])
        made = images(stored)
        # Any picture but a flat one has a variance.
        spread = tf.reduce_sum(made * tf.random.stateless_normal(made.shape, [0, 1]))
    if made.shape.rank != 4 or None in made.shape:
        raise ValueError(
            "The generator must give images (n, height, width, channels). Received: "
            f"shape {made.shape}"
        )
    if not np.isfinite(made.numpy()).all():
        raise ValueError(
            "The generator gives images that are not finite; are its weights?"
        )
    for name, slope in tape.gradient(spread, {n: stored[n] for n in moving}).items():
        if slope is None:
            raise ValueError(
                f"No gradient reaches the latent {name!r}. Is it a whole number, or "
                "does the generator round? Hold it instead, with `optimized=False`."
            )
        size = np.abs(tf.convert_to_tensor(slope).numpy()).max()
        if not (np.isfinite(size) and size > 0):
            raise ValueError(
                f"The gradient in the latent {name!r} is {size:g} at the start. "
                "Does the generator use it? Hold it with `optimized=False`, or start "
                "elsewhere."
            )
    return tuple(made.shape[1:])


def _apart(seeds: Any, place: int) -> Any:
    return tf.stack([seeds[:, 0], seeds[:, 1] + 7919 * place], axis=1)


def _checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not low < high:
        raise ValueError(
            "`value_range` must say what black and white are in the generator's "
            "images: (-1, 1) after tanh, (0, 1) after a sigmoid. Received: "
            f"value_range={value_range}"
        )
    return low, high
