"""The methods of a comparison, with their controls and ablations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tfviz import transforms
from tfviz.models.adapter import Adapter, adapt
from tfviz.params import Param
from tfviz.transforms import Transform

KINDS = ("method", "control", "ablation")
# The number of networks with random weights. One draw of the weights says little of
# others; three show how much they differ.
RANDOM_NETWORKS = 3
# The name of the photos to which units respond most, in the place of a method.
PHOTOS = "photos"


@dataclass(frozen=True)
class Contender:
    """A method that takes part in a comparison: a param, and how to optimize it.

    Attributes:
        param: The parameterization of the images, such as a learned prior; see
            `tfviz.params`.
        transforms: The random changes that images must survive, as for `tfviz.render`.
        learning_rate: The learning rate of Adam, as for `tfviz.render`.
        optimizer: The optimizer to use instead of Adam, as for `tfviz.render`.
        candidates: The number of starts to draw for each picture, as for
            `tfviz.render`.
        kind: `method`; `control`, a method that is expected to fail; or `ablation`, a
            method without one of its parts. Only methods get a verdict.
        of: The name of the method to which a control or an ablation belongs.
        model: The network whose units are rendered, if it is not the network of the
            comparison, such as one with random weights for a control. It also scores
            the pictures, and the photos that these are compared with.
        description: One sentence that describes the method in the report.
    """

    param: Param
    transforms: Transform | None = None
    learning_rate: float | None = None
    optimizer: keras.optimizers.Optimizer | str | None = None
    candidates: int | None = None
    kind: str = "method"
    of: str | None = None
    model: Any = None
    description: str = ""


def checked(methods: Mapping[str, Any]) -> dict[str, Contender]:
    """Check the methods of a comparison, and return each as a `Contender`.

    Args:
        methods: Params or contenders by name.

    Raises:
        TypeError: If `methods` is no mapping, is empty, or holds something else.
        ValueError: If a kind, the method of a control or ablation, or a name is wrong.
    """
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(
            "`methods` must map the names of methods to params or Contenders, such as "
            f'{{"fourier": params.fourier(224, 224)}}. Received: {methods!r}'
        )
    contenders = {}
    for name, value in methods.items():
        contender = Contender(value) if isinstance(value, Param) else value
        if not isinstance(contender, Contender):
            raise TypeError(
                f"Method {name!r} must be a Param or a Contender. Received: {value!r}"
            )
        if contender.kind not in KINDS:
            raise ValueError(
                f"The `kind` of a Contender must be one of {', '.join(KINDS)}. "
                f"Received for method {name!r}: {contender.kind!r}"
            )
        if contender.of is not None and (
            contender.of == name or contender.of not in methods
        ):
            raise ValueError(
                f"Method {name!r} belongs to {contender.of!r}, which does not name "
                "another method of the comparison. Set `of` to one of: "
                f"{', '.join(repr(m) for m in methods if m != name) or 'none'}"
            )
        contenders[name] = contender
    _check_names(contenders)
    return contenders


def random_of(method: str) -> str:
    """Return the name of the random pictures of a method."""
    return f"{method}: random"


def best_of(method: str) -> str:
    """Return the name of the best random pictures of a method."""
    return f"{method}: best random"


def other_units_of(method: str) -> str:
    """Return the name of a method's pictures of other units."""
    return f"{method}: other units"


def reconstructed_by(method: str) -> str:
    """Return the name of the photos as a method reconstructs them."""
    return f"{method}: photos"


def beside(method: str) -> list[str]:
    """Return the names of the baselines and the ceiling of a method."""
    return [
        other_units_of(method),
        random_of(method),
        best_of(method),
        reconstructed_by(method),
    ]


def _check_names(names: Iterable[str]) -> None:
    """Refuse empty names, and those of the photos or of a method's baselines."""
    names = list(names)
    taken = {PHOTOS, *(other for name in names for other in beside(name))}
    for name in names:
        if not isinstance(name, str) or not name.strip() or name in taken:
            raise ValueError(
                f"A method cannot be called {name!r}, which is empty or names the "
                "pictures that methods are compared with. Choose another name, such as "
                "'fourier'."
            )


def randomized(model: Any, *, seed: int = 0) -> Adapter:
    """Return a copy of a network with random weights, as a control.

    Each array of weights is drawn anew from a normal distribution with the mean and the
    standard deviation that the array had, so that activations keep about their size:
    only the architecture is left. Values that are measured on data instead of trained,
    such as the statistics of batch normalization, are kept. Such controls were proposed
    by Adebayo et al. 2018, https://arxiv.org/abs/1810.03292.

    Args:
        model: A Keras model, or an adapter made by `adapt`; it is not changed.
        seed: The random seed of the weights. It is part of the name of the copy.

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
        config = original.get_config()
        if "name" in config:
            config["name"] = f"{adapter.name}-random-weights-{seed}"
        clone = original.__class__.from_config(config)
        if not clone.built and original.built:
            clone.build(original.input_shape)
        clone.set_weights(original.get_weights())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Model {adapter.name!r} cannot be copied by Keras, so its weights cannot "
            "be randomized. Build a network with random weights yourself, and pass it "
            "as Contender(..., model=...)."
        ) from error
    random = np.random.default_rng(seed)
    for layer in clone._flatten_layers():  # randomize frozen layers too
        layer.trainable = True
    for variable in clone.trainable_variables:
        values = np.asarray(variable)
        drawn = random.normal(values.mean(), values.std(), values.shape)
        variable.assign(drawn.astype(values.dtype))
    return adapter.with_model(clone)


def random_networks(model: Any) -> list[Adapter]:
    """Return copies of a network with different random weights; see `randomized`."""
    return [randomized(model, seed=draw) for draw in range(1, RANDOM_NETWORKS + 1)]


def on_random_weights(
    name: str, contender: Contender, networks: Iterable[Adapter]
) -> Mapping[str, Contender]:
    """Return the controls of a method on networks with random weights, by their names.

    Each network makes a control of its own. An interval over units does not tell how
    much the draws of the weights matter; several controls beside each other do.

    Args:
        name: The name of the method.
        contender: The method.
        networks: The networks, from `random_networks`.
    """
    return {
        f"{name}, random weights {draw}": replace(
            contender,
            kind="control",
            of=name,
            model=network,
            description=f"{name} on a copy of the network with random weights, which "
            "also scores the pictures and the photos that they are compared with.",
        )
        for draw, network in enumerate(networks, 1)
    }


def ablations(name: str, contender: Contender) -> Mapping[str, Contender]:
    """Return the ablations of a method by name, each without one of its parts.

    The parts are the param's penalty, its projection, the waves in its latents (which
    are white noise without them), and the transforms. A part that the method lacks has
    no ablation; the transforms always have one.

    Args:
        name: The name of the method.
        contender: The method.

    >>> import tfviz
    >>> fourier = Contender(tfviz.params.fourier(64, 64))
    >>> list(ablations("fourier", fourier))
    ['fourier without transforms']
    """
    # The spec rebuilds the whole param, so it does not describe one without a part.
    param = replace(contender.param, spec={})
    without = {}
    if param.penalty is not None:
        without["penalty"] = replace(contender, param=replace(param, penalty=None))
    if param.project is not None:
        without["projection"] = replace(contender, param=replace(param, project=None))
    if (white := contender.param.white()) is not None:
        without["waves"] = replace(contender, param=white)
    without["transforms"] = replace(contender, transforms=transforms.none())
    return {
        f"{name} without {part}": replace(
            ablation,
            kind="ablation",
            of=name,
            description=f"{name} without its {part}.",
        )
        for part, ablation in without.items()
    }
