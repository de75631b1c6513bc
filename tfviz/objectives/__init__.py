"""What is maximized.

An `Objective` gives one number for each image; higher is better. The numbers of
different images do not mix. Objectives add, subtract and scale like numbers:

>>> both = channel("fire8", 20) - 0.5 * channel("fire9", [3, 4])
>>> both.names
('fire8:20-0.5*fire9:3', 'fire8:20-0.5*fire9:4')

Penalties are objectives to be subtracted; diversity is one to be added, and the only
one that looks at other images, those of its group:

>>> calm = channel("fire8", 20) - 20 * total_variation()
>>> four = channel("fire8", 20) + 2 * diversity("fire8", 4)
>>> len(calm), len(four)
(1, 4)

Whatever names a layer or a class is looked up by `bind`, when a model is at hand.
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
