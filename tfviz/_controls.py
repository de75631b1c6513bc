"""Contenders that show what a method owes to its parts, and to the network."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tfviz import transforms
from tfviz._adapter import Adapter, adapt
from tfviz._contender import Contender

__all__ = ["ablations", "on_random_weights", "randomized"]


def randomized(model: Any, *, seed: int = 0) -> Adapter:
    """Return the same network with random weights.

    Each array of weights is drawn anew from a normal distribution of the mean and the
    deviation that it had, so that activations keep about their size: what is left is
    the architecture. What is measured of data and not trained, such as the statistics
    of normalizations, is kept. As the controls of Adebayo et al.,
    https://arxiv.org/abs/1810.03292.

    Args:
        model: A Keras model, or an adapter made by `adapt`; it stays as it is.
        seed: Of the weights.

    Raises:
        ValueError: If Keras cannot copy the model.

    >>> import tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> randomized(model).fingerprint() == tfviz.adapt(model).fingerprint()
    False
    """
    adapter = adapt(model)
    original = adapter.model
    try:
        clone = original.__class__.from_config(original.get_config())
        if not clone.built and original.built:
            clone.build(original.input_shape)
        clone.set_weights(original.get_weights())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Model {adapter.name!r} cannot be copied, so there is no control with "
            "random weights. Give one yourself: Contender(..., model=...)."
        ) from error
    random = np.random.default_rng(seed)
    for layer in clone._flatten_layers():  # also what its user froze
        layer.trainable = True
    for variable in clone.trainable_variables:
        values = np.asarray(variable)
        drawn = random.normal(values.mean(), values.std(), values.shape)
        variable.assign(drawn.astype(values.dtype))
    return adapt(
        clone,
        adapter.preprocess,
        labels=adapter.labels,
        held=adapter.held or None,
        image_input=adapter.image_input,
        output=adapter.output,
    )


def on_random_weights(
    name: str, contender: Contender, random: Adapter
) -> Mapping[str, Contender]:
    """Return a method on the network with random weights, as a control.

    Args:
        name: Of the method.
        contender: The method.
        random: As `randomized` returns it.
    """
    control = replace(
        contender,
        kind="control",
        of=name,
        model=random,
        description=f"{name} on the same network with random weights.",
    )
    return {f"{name}, random weights": control}


def ablations(name: str, contender: Contender) -> Mapping[str, Contender]:
    """Return a method without each of its parts.

    They are its penalty, its projection, the waves of its latents (which are white
    without them), and its transforms.

    Args:
        name: Of the method.
        contender: The method.

    >>> import tfviz
    >>> fourier = Contender(tfviz.params.fourier(64, 64))
    >>> list(ablations("fourier", fourier))
    ['fourier without transforms']
    """
    # What is without a part cannot be made again from what the whole is called.
    param = replace(contender.param, spec={})
    found = {}
    if param.penalty is not None:
        found["penalty"] = replace(contender, param=replace(param, penalty=None))
    if param.project is not None:
        found["projection"] = replace(contender, param=replace(param, project=None))
    if (white := contender.param.white()) is not None:
        found["waves"] = replace(contender, param=white)
    found["transforms"] = replace(contender, transforms=transforms.none())
    return {
        f"{name} without {part}": replace(
            other,
            kind="ablation",
            of=name,
            description=f"{name} without its {part}.",
        )
        for part, other in found.items()
    }
