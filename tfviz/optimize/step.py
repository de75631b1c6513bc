"""The way back: from scores to what the model sees, the images and the latents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfviz.params._base import Latents

# Before the names of latents among the other things that scores depend on.
LATENT = "latent/"


@dataclass(frozen=True)
class Judged:
    """What the network and the objective make of images.

    Attributes:
        given: What they were given: what the model sees (`seen`), the `images`, and the
            latents. A slope in one of them does not go through another.
        scores: `(n,)`.
        of_units: `(n,)`, without penalties and diversity.
    """

    given: dict[str, Any]
    scores: Any
    of_units: Any

    def slopes(self) -> dict[str, Any]:
        """Return the slopes of the scores in what was given, where there are any."""
        # Not a GradientTape: only this heeds the redirected gradients.
        found = tf.gradients(self.scores, list(self.given.values()))
        named = zip(self.given, found, strict=True)
        return {name: slope for name, slope in named if slope is not None}


def led_back(
    latents: Latents, images: Any, seen: Any, slopes: Mapping[str, Any]
) -> tuple[Latents, Any]:
    """Return the slopes in the latents and in the images, through all that is between.

    Latents without any are left out: what is held is not to be moved by an optimizer
    that lets weights decay.

    Args:
        latents: What the images are made of.
        images: What the model sees is made of them.
        seen: By the model.
        slopes: As of `Judged`.
    """
    of_images = slopes.get("images")
    if "seen" in slopes:
        (through,) = tf.gradients(seen, images, slopes["seen"])
        of_images = through if of_images is None else of_images + through
    led = [None] * len(latents)
    if of_images is not None:
        led = tf.gradients(images, list(latents.values()), of_images)
    gradients = {}
    for name, slope in zip(latents, led, strict=True):
        parts = [slope, slopes.get(LATENT + name)]
        found = [part for part in parts if part is not None]
        if found:
            gradients[name] = tf.add_n(found)
    return gradients, of_images


def largest(slopes: Any, images: Any) -> Any:
    """Return the largest slope of each image `(n,)`, 0 where there are none."""
    if slopes is None:
        return tf.zeros(images.shape[0])
    return tf.reduce_max(tf.abs(slopes), axis=(1, 2, 3))


# Where no start differs from the others, this many times as many are drawn.
MORE = 4


def best_start(
    draw: Callable[[Any], tuple[Latents, Any]], count: Any
) -> tuple[Latents, Any, Any]:
    """Draw starts and keep the best of each image, in a graph.

    Where all of them score the same, the unit is off in all: more are drawn then.

    Args:
        draw: `draw(number) -> (latents, scores)`, the starts of all images with that
            number, and their scores `(n,)`.
        count: How many to draw, a tensor.

    Returns:
        The latents, their scores `(n,)`, and how many were drawn `(n,)`.
    """

    def drawn_and_scored(number: Any) -> tuple[Latents, Any]:
        latents, scores = draw(number)
        latents = {k: tf.convert_to_tensor(v) for k, v in latents.items()}
        return latents, tf.where(tf.math.is_finite(scores), scores, scores.dtype.min)

    def unfinished(number: Any, latents: Any, best: Any, worst: Any, drawn: Any) -> Any:
        dead = tf.reduce_any(best <= worst)
        return (number < count) | (dead & (number < MORE * count))

    def body(number: Any, latents: Any, best: Any, worst: Any, drawn: Any) -> Any:
        more, scores = drawn_and_scored(number)
        # Images that have found a start do not heed what others go on to draw.
        looking = (number < count) | (best <= worst)
        better = looking & (scores > best)
        return (
            number + 1,
            chosen(better, more, latents),
            tf.where(better, scores, best),
            tf.where(looking, tf.minimum(scores, worst), worst),
            drawn + tf.cast(looking, tf.int32),
        )

    latents, scores = drawn_and_scored(tf.constant(0))
    first = (tf.constant(1), latents, scores, scores, tf.ones_like(scores, tf.int32))
    _, latents, best, _, drawn = tf.while_loop(
        unfinished, body, first, parallel_iterations=1
    )
    return latents, best, drawn


def chosen(which: Any, first: Latents, second: Latents) -> Latents:
    """Return the first latents of the images `which` `(n,)`, else the second."""
    return {
        name: tf.where(
            tf.reshape(which, (-1, *[1] * (value.shape.rank - 1))),
            value,
            second[name],
        )
        for name, value in first.items()
    }
