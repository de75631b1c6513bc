"""How much each of several units responds to any images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._adapter import Adapter
from tfviz._objective import Objective
from tfviz.transforms import Transform

# Images that are scored at once. Others are filled up, so that one compilation does.
BATCH = 16


class Scorer:
    """Scores units in images.

    Args:
        adapter: Of the model.
        units: Objectives of one image each; terms beside the units, such as penalties,
            are left out.
    """

    def __init__(self, adapter: Adapter, units: Sequence[Objective]) -> None:
        self._adapter, self._units = adapter, units
        self._compiled: dict[Any, Any] = {}

    def __call__(
        self,
        images: NDArray[np.float32],
        transform: Transform | None = None,
        seeds: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the scores `(n, units)`.

        Args:
            images: `(n, h, w, c)` in [0, 1], as the model is shown them.
            transform: What is done to them before.
            seeds: `(n, 2)`, of its draws.
        """
        given = np.zeros((len(images), 2), np.int32) if seeds is None else seeds
        key = (images.shape[1:], None if transform is None else repr(transform.spec))
        if key not in self._compiled:
            self._compiled[key] = self._traced(images.shape[1:], transform)
        rows = []
        for first in range(0, len(images), BATCH):
            part, draws = images[first : first + BATCH], given[first : first + BATCH]
            n = len(part)
            part, draws = (np.resize(x, (BATCH, *x.shape[1:])) for x in (part, draws))
            rows.append(self._compiled[key](part, draws).numpy()[:n])
        return np.concatenate(rows)

    def _traced(self, shape: tuple[int, ...], transform: Transform | None) -> Any:
        units = [
            unit.bound(self._adapter, (shape[0], shape[1])) for unit in self._units
        ]
        layers = tuple(dict.fromkeys(path for unit in units for path in unit.layers))

        def scores(images: Any, seeds: Any) -> Any:
            if transform is not None:
                images = transform(images, seeds)
            activations = self._adapter.forward(images, layers)
            return tf.stack(
                [self._scored(unit, activations, images) for unit in units], axis=1
            )

        return tf.function(scores, autograph=False).get_concrete_function(
            tf.TensorSpec((BATCH, *shape), tf.float32),
            tf.TensorSpec((BATCH, 2), tf.int32),
        )

    def _scored(self, unit: Objective, activations: Any, images: Any) -> Any:
        known = {k: np.repeat(v, BATCH, axis=0) for k, v in unit.units.items()}
        known = {name: tf.constant(values) for name, values in known.items()}
        return (unit.signal or unit.score)(activations, images, {}, known)
