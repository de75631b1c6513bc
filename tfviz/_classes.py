"""Objectives of a model's classes, before and after the softmax."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._adapter import LOGITS, PROBABILITIES, Adapter
from tfviz._objective import Objective, Size, Units
from tfviz._units import check_place, means, repeated


def logit(
    target: int | str | Sequence[int | str],
    row: int | None = None,
    column: int | None = None,
) -> Objective:
    """Maximize a class before the softmax.

    The article prefers this to the probability, which can also be raised by making
    all other classes unlikely. Where the model has a number for each class at each
    position, as for segmentation, the score is the mean over all positions, or the
    number at one.

    Args:
        target: Index, WordNet identifier or name of the class; several for one image
            each.
        row: Of the position in the model's output, from 0 at the top.
        column: Of the position, from 0 at the left.

    >>> logit(["goldfish", 291]).names
    ('logit:goldfish', 'logit:291')
    >>> logit(0, 40, 80).names
    ('logit:0@40,80',)
    """
    return _of_class("logit", LOGITS, target, row, column)


def probability(
    target: int | str | Sequence[int | str],
    row: int | None = None,
    column: int | None = None,
) -> Objective:
    """Maximize a class after the softmax or sigmoid.

    Args:
        target: As for `logit`.
        row: As for `logit`.
        column: As for `logit`.

    >>> probability("goldfish").names
    ('prob:goldfish',)
    """
    return _of_class("prob", PROBABILITIES, target, row, column)


def _of_class(
    prefix: str, source: str, target: Any, row: int | None, column: int | None
) -> Objective:
    single = isinstance(target, (int, str, np.integer))
    targets = [target] if single else list(target)
    if not targets:
        raise ValueError("`target` must name at least one class. Received: []")
    if (row is None) != (column is None):
        raise ValueError(
            "A position needs both `row` and `column`. "
            f"Received: row={row}, column={column}"
        )
    place = None
    if row is not None and column is not None:
        place = (repeated("row", row, 1)[0], repeated("column", column, 1)[0])
    at = "" if place is None else f"@{place[0]},{place[1]}"

    def score(activations: Any, images: Any, latents: Any, units: Units) -> Any:
        values = activations[source]
        if place is None:
            return means(values, units["class"])
        places = [units["row"], units["column"], units["class"]]
        return tf.gather_nd(values, tf.stack(places, axis=1), batch_dims=1)

    def bind(adapter: Adapter, size: Size) -> Objective:
        indices = [adapter.class_index(target) for target in targets]
        if place is not None:
            shape = adapter.output_shape(size)
            if len(shape) != 4:
                raise ValueError(
                    f"The output of model {adapter.name!r} has the shape {shape}, so "
                    f"it has no row and column. Leave the position out: {prefix}:"
                    f"{targets[0]}."
                )
            for axis, index in enumerate(place):
                check_place("The output", size, shape[1:3], axis, index)
        return build(indices, [adapter.class_name(i) or str(i) for i in indices])

    def build(indices: Any, names: Sequence[Any]) -> Objective:
        # Names, until a model says which numbers they are.
        known = np.asarray(indices)
        units = {"class": known.astype(np.int32) if known.dtype.kind in "iu" else known}
        if place is not None:
            units["row"] = np.full(len(indices), place[0], np.int32)
            units["column"] = np.full(len(indices), place[1], np.int32)
        return Objective(
            (source,),
            units,
            score,
            tuple(f"{prefix}:{name}{at}" for name in names),
            tuple(f"{prefix}:{index}{at}" for index in indices),
            bind,
            (prefix, place is None),
        )

    return build(targets, targets)
