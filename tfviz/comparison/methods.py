"""What takes part in a comparison."""

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
# What the rows of real photos are called.
PHOTOS = "photos"


@dataclass(frozen=True)
class Contender:
    """A method of a comparison: a param, and how its pictures are made.

    Attributes:
        param: How the images are held; see `tfviz.params`. A learned prior is one.
        transforms: As for `tfviz.render`.
        learning_rate: As for `tfviz.render`.
        optimizer: As for `tfviz.render`.
        candidates: As for `tfviz.render`.
        kind: `method`; or `control`, which should fail; or `ablation`, a method without
            one of its parts. No verdict is given on the latter two.
        of: The method that a control or an ablation belongs to.
        model: The network whose units are rendered, if it is not the one that all are
            judged by: one with random weights, as a control.
        description: One sentence for readers.
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
    """Return contenders by name, or refuse what are none."""
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(
            "`methods` must map names to params or contenders, such as "
            f'{{"fourier": params.fourier(224, 224)}}. Received: {methods!r}'
        )
    found = {}
    for name, value in methods.items():
        contender = Contender(value) if isinstance(value, Param) else value
        if not isinstance(contender, Contender):
            raise TypeError(
                f"Method {name!r} must be a Param or a Contender. Received: {value!r}"
            )
        if contender.kind not in KINDS:
            raise ValueError(
                f"The `kind` of a contender is one of {', '.join(KINDS)}. Method "
                f"{name!r} has: {contender.kind!r}"
            )
        if contender.of is not None and (
            contender.of == name or contender.of not in methods
        ):
            raise ValueError(
                f"Method {name!r} is `of` {contender.of!r}, which does not take part. "
                f"Others are: {', '.join(repr(m) for m in methods if m != name)}"
            )
        found[name] = contender
    _check_names(found)
    return found


def random_of(method: str) -> str:
    """Return the name of the random pictures of a method."""
    return f"{method}: random"


def best_of(method: str) -> str:
    """Return the name of the best random pictures of a method."""
    return f"{method}: best random"


def reconstructed_by(method: str) -> str:
    """Return the name of the photos that a method reconstructs."""
    return f"{method}: photos"


def beside(method: str) -> list[str]:
    """Return the names of everything that may stand beside a method."""
    return [random_of(method), best_of(method), reconstructed_by(method)]


def _check_names(names: Iterable[str]) -> None:
    """Refuse names that rows of other pictures have."""
    names = list(names)
    taken = {PHOTOS, *(other for name in names for other in beside(name))}
    for name in names:
        if not isinstance(name, str) or not name.strip() or name in taken:
            raise ValueError(
                f"A method cannot be called {name!r}: give it a name of its own, such "
                "as 'fourier'."
            )


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
    return adapter.with_model(clone)


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
