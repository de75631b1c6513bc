"""Priors of generators whose graphs tell the range and the classes of their images."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import argument
from tfviz.params._base import Latents
from tfviz.priors._latents import Latent
from tfviz.priors._prior import Prior, assembled
from tfviz.priors._reading import read
from tfviz.priors._value_range import settle_range


def read_and_assembled(
    latents: Mapping[str, Latent],
    generate: Callable[[Latents], Any],
    value_range: tuple[float, float] | None,
    encode: Callable[[Any], Latents] | None = None,
) -> Prior:
    """Make a prior of a generator whose graph tells its range and its classes.

    Args:
        latents: As in `assembled`.
        generate: The generator, as `decode` in `assembled`.
        value_range: The range that the user gave, or None.
        encode: The encoder, for images in the value range, or None.
    """
    specs = {name: tf.TensorSpec((1, *v.shape)) for name, v in latents.items()}
    reading = read(generate, specs)
    _check_classes(latents, reading.classes)
    ends, source = settle_range(value_range, reading, generate, latents)

    low, high = ends
    prior = assembled(
        latents,
        generate,
        value_range=ends,
        encode=encode and (lambda images: encode(images * (high - low) + low)),
    )
    return replace(prior, reading=reading, range_source=source)


def _check_classes(latents: Mapping[str, Latent], classes: Mapping[str, int]) -> None:
    """Refuse to optimize an input that selects a class, and classes that do not exist.

    Args:
        latents: The latent of each input, by name.
        classes: The number of classes of the inputs that select one, by name.
    """
    for name, count in classes.items():
        latent = latents[name]
        if latent.optimized:
            raise ValueError(select_class(name, count))
        chosen = np.asarray(latent.values(latent.start([[0, 0]])))
        if not ((chosen > -0.5) & (chosen < count - 0.5)).all():
            raise ValueError(
                f"Input {name!r} of the generator selects one of {count} classes, from "
                f"0 to {count - 1}. Received: {chosen.ravel()[0]:g}"
            )


def select_class(name: str, count: int | None) -> str:
    """Return the message that an input takes the number of a class, or other integers.

    Args:
        name: The name of the input.
        count: The number of classes, or None if it is not known.
    """
    what = "takes integers" if count is None else f"selects one of {count} classes"
    return (
        f"Input {name!r} of the generator {what}, which cannot be optimized, as there "
        f"is no gradient. Hold it constant: {argument('latents', {name: 0})}"
        + ("." if count is None else f", or another number up to {count - 1}.")
    )
