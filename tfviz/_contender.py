"""What takes part in a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from tfviz.params import Param
from tfviz.transforms import Transform

KINDS = ("method", "control", "ablation")


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
        if contender.of is not None and contender.of not in methods:
            raise ValueError(
                f"Method {name!r} is `of` {contender.of!r}, which does not take part."
            )
        if not name or name == PHOTOS:
            raise ValueError(f"A method cannot be called {name!r}.")
        found[name] = contender
    return found


# What the rows of real photos are called.
PHOTOS = "photos"
