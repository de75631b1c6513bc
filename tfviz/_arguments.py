"""Checks of what `render` is given."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from tfviz import objectives, params
from tfviz._adapter import Adapter
from tfviz._param import check_from_one
from tfviz.objectives import Objective
from tfviz.params import Param
from tfviz.transforms import Transform, distill


def listed(objective: Any, adapter: Adapter) -> list[Objective]:
    """Turn what a user asks for into a list of objectives."""
    if isinstance(objective, Objective):
        return [objective]
    if isinstance(objective, str):
        return objectives.parse(objective, adapter)
    if isinstance(objective, Sequence) and objective:
        return [unit for item in objective for unit in listed(item, adapter)]
    raise TypeError(
        "`objective` must be an Objective, a text such as 'fire8:20', or a list of "
        f"those that is not empty. Received: {objective!r}"
    )


def check_numbers(
    steps: int, learning_rate: float, batch_size: int | None = None, **counts: int
) -> None:
    check_from_one(steps=steps, **counts)
    if not 0 < learning_rate < math.inf:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate}"
        )
    if batch_size is not None:
        check_from_one(batch_size=batch_size)


def checked_param(param: Param | None, adapter: Adapter) -> Param:
    if param is None:
        return _usual_param(*adapter.size, adapter.channels)
    if not isinstance(param, Param):
        raise TypeError(
            "`param` must be a Param such as params.fourier(224, 224). "
            f"Received: {param!r}"
        )
    if param.view is None and param.shape[2] != adapter.channels:
        raise ValueError(
            f"Model {adapter.name!r} takes {adapter.channels} channels, but `param` "
            f"makes {param.shape[2]}."
        )
    return param


def checked_transform(transforms: Any) -> Transform:
    if transforms is None:
        return distill()
    if not isinstance(transforms, Transform):
        raise TypeError(
            "`transforms` must be a Transform: transforms.distill(), transforms.none() "
            f"or a transforms.chain(...). Received: {transforms!r}"
        )
    return transforms


# The same object in each call, so that a loop that was compiled for it fits again.
_usual_param = cache(params.fourier)
