"""The speed of a run by layer, and the time left."""

from collections import deque
from collections.abc import Sequence

from tfviz.optimize.plan import LayerPlan

# The rate of a layer is that of so many of its last batches, as it may change: by the
# heat of a processor, or other programs.
RECENT = 8


class LayerPace:
    """The speed of one layer.

    Attributes:
        name: The layer.
        numbers: The numbers of the batches that are left.
        batches: The number of batches that were left at first.
        made: The number of pictures made.
        seconds: The time that they took, with compilation.
        compilation: The time of the first batch beyond that of its steps; None until it
            is finished.
        recent: The seconds of the last batches, without compilation.
    """

    def __init__(self, name: str, numbers: Sequence[int]) -> None:
        self.name, self.numbers = name, set(numbers)
        self.batches = len(numbers)
        self.made, self.seconds = 0, 0.0
        self.compilation: float | None = None
        self.recent: deque[float] = deque(maxlen=RECENT)

    @property
    def units_a_minute(self) -> float:
        """How many pictures are made in a minute."""
        return 60 * self.made / self.seconds if self.seconds else 0.0


class Pace:
    """The speed of a run by layer, from which the time left is estimated.

    A layer that has not begun is assumed to be as fast as the others on average.

    Args:
        plans: The plan of each layer.
    """

    def __init__(self, plans: Sequence[LayerPlan]) -> None:
        self.layers = [LayerPace(plan.layer, plan.numbers) for plan in plans]

    def add(
        self, number: int, made: int, seconds: float, compilation: float
    ) -> LayerPace:
        """Note that a batch is finished, and return its layer.

        Args:
            number: The number of the batch.
            made: How many pictures it gave.
            seconds: The time that it took.
            compilation: How much of that was not spent on its steps. Only that of the
                first batch counts as compilation.
        """
        layer = next(layer for layer in self.layers if number in layer.numbers)
        layer.numbers.discard(number)
        layer.made += made
        layer.seconds += seconds
        if layer.compilation is None:
            layer.compilation = compilation
            seconds -= compilation
        layer.recent.append(seconds)
        return layer

    @property
    def seconds_left(self) -> float:
        """An estimate of the time that the batches take that are left."""
        begun = [layer for layer in self.layers if layer.recent]
        if not begun:
            return 0.0
        means = {layer.name: sum(layer.recent) / len(layer.recent) for layer in begun}
        usual = sum(means.values()) / len(means)
        compilation = sum(layer.compilation or 0 for layer in begun) / len(begun)
        return sum(
            len(layer.numbers) * means.get(layer.name, usual)
            + compilation * (bool(layer.numbers) and not layer.recent)
            for layer in self.layers
        )

    @property
    def units_a_minute(self) -> float:
        """How many pictures were made in a minute, of all layers together."""
        seconds = sum(layer.seconds for layer in self.layers)
        return 60 * self.made / seconds if seconds else 0.0

    @property
    def made(self) -> int:
        """How many pictures were made."""
        return sum(layer.made for layer in self.layers)
