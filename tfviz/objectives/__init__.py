"""Objectives: what the pictures maximize, such as a channel or a class.

An `Objective` scores images with one number each; higher is better. These functions
make objectives:

* `channel`, `neuron`, `token` and `layer` for the units of a layer, `logit` and
  `probability` for the classes of a model.
* `direction` and `random_direction` for vectors in the space of a layer's channels.
* `inversion` and `caricature` for the activations of a given image.
* `interpolate` for steps between several objectives, and `join` to concatenate them.
* `total_variation`, `l1`, `l2`, `high_frequency` and `blur_difference` for penalties.
* `diversity` for pictures of the same unit that differ from each other.
* `parse` reads units from text such as `fire8:20`; `render` does so by itself.

Objectives can be added, subtracted, multiplied and negated like numbers:

>>> both = channel("fire8", 20) - 0.5 * channel("fire9", [3, 4])
>>> both.names
('fire8:20-0.5*fire9:3', 'fire8:20-0.5*fire9:4')

Penalties are subtracted, while diversity is added. The score of an image does not
depend on other images, except with diversity, which compares the images of a group:

>>> calm = channel("fire8", 20) - 20 * total_variation()
>>> four = channel("fire8", 20) + 2 * diversity("fire8", 4)
>>> len(calm), len(four)
(1, 4)

Layers and classes are looked up only when an objective is bound to a model, which
`render` does (`Objective.bound`).
"""

from tfviz.objectives._base import Objective, join
from tfviz.objectives._directions import (
    caricature,
    direction,
    inversion,
    random_direction,
)
from tfviz.objectives._grammar import parse
from tfviz.objectives._groups import diversity, interpolate
from tfviz.objectives._penalties import (
    blur_difference,
    high_frequency,
    l1,
    l2,
    total_variation,
)
from tfviz.objectives._units import channel, layer, logit, neuron, probability, token

__all__ = [
    "Objective",
    "blur_difference",
    "caricature",
    "channel",
    "direction",
    "diversity",
    "high_frequency",
    "interpolate",
    "inversion",
    "join",
    "l1",
    "l2",
    "layer",
    "logit",
    "neuron",
    "parse",
    "probability",
    "random_direction",
    "token",
    "total_variation",
]
