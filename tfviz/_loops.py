"""Compiled loops, kept from one call to the next."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace

import keras
import numpy as np

from tfviz._adapter import Adapter
from tfviz._ascent import Ascent
from tfviz._objective import Objective
from tfviz._updates import Method
from tfviz.params import Param
from tfviz.transforms import Transform

# Of an adapter: enough to go back and forth between layers, and not all that there is.
KEPT = 4


@contextmanager
def compiled(  # noqa: PLR0917 (what a loop is made of)
    adapter: Adapter,
    objective: Objective,
    param: Param,
    transforms: Transform,
    method: Method,
    size: int,
) -> Iterator[Ascent]:
    """Lend a loop for batches of `size` pictures, compiled before if possible.

    Units of one kind share a loop, as they are its arguments. Params and transforms
    must be the same objects: functions cannot be compared. While a loop is lent,
    others that ask for the same one get another, and one that was interrupted is not
    kept.
    """
    key = _key(objective, param, transforms, method, size)
    ascent = adapter.loops.pop(key, None)
    if ascent is None:
        ascent = Ascent(adapter, objective, param, transforms, method)
    yield ascent
    adapter.loops[key] = ascent
    for oldest in list(adapter.loops)[:-KEPT]:
        adapter.loops.pop(oldest, None)


def _key(
    objective: Objective,
    param: Param,
    transforms: Transform,
    method: Method,
    size: int,
) -> Hashable:
    units = tuple(
        (name, np.shape(values)[1:], np.asarray(values).dtype.str)
        for name, values in objective.units.items()
    )
    of_objective = (objective.kind, objective.layers, objective.group, units)
    optimizer: Hashable = method.optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # Made anew from its settings, which may be changed from call to call.
        settings = str(optimizer.get_config() | {"name": None})
        optimizer = (type(optimizer), settings)
    of_method = (optimizer, *astuple(replace(method, optimizer=None)))
    # The loop holds both objects, so that no others can get their ids.
    return (*of_objective, id(param), id(transforms), of_method, size)
