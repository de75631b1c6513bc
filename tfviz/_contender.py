"""What takes part in a comparison."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

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


def remade_by(method: str) -> str:
    """Return the name of the photos that a method reconstructs."""
    return f"{method}: photos"


def beside(method: str) -> list[str]:
    """Return the names of everything that may stand beside a method."""
    return [random_of(method), best_of(method), remade_by(method)]


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
