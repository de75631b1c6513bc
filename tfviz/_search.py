"""The best of several starts."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfviz.params import Latents

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
