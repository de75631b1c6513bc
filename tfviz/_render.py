"""Optimize images: the function that users call."""

from collections.abc import Sequence
from typing import Any
from warnings import warn

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfviz._job import Batch, Callback, Job
from tfviz._result import Result
from tfviz.images import to_floats
from tfviz.params import Param
from tfviz.transforms import Transform


def render(
    model: Any,
    objective: Any,
    param: Param | None = None,
    transforms: Transform | None = None,
    *,
    steps: int = 256,
    learning_rate: float = 0.05,
    optimizer: keras.optimizers.Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    start: ArrayLike | None = None,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Optimize images until the units of a model respond most.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        objective: What to maximize: an `Objective`, a text that `objectives.parse`
            reads, or a list of those. One picture for each unit.
        param: How the images are held; `params.fourier` at the model's size, or 224
            where it takes any, by default.
        transforms: What they must survive; `transforms.distill()` by default,
            `transforms.none()` for nothing.
        steps: Gradient steps.
        learning_rate: Of Adam, the optimizer by default.
        optimizer: A Keras optimizer to use instead, with its own learning rate. It is
            made anew from its settings, so yours keeps its state.
        batch_size: Pictures that are made at once; those of one layer and kind, at
            most 8, by default. It is part of what makes a picture repeatable: the
            same slot of the same batch size gives the same bytes whatever stands
            beside it, while another slot or size agrees in its start and its first
            step (1e-3) and drifts apart from there, as Adam turns rounding into full
            steps.
        seed: Makes other pictures of the same units.
        start: An image `(height, width, channels)` in [0, 1] to start from, or one
            for each picture, by default a nearly flat grey.
        callbacks: Called as `callback(progress)` after every 16 steps; see
            `Progress`. One that returns True ends the steps of its batch.

    Returns:
        The pictures with their scores.

    Raises:
        ValueError: If something does not fit: a layer, channel, class, size.
        FloatingPointError: If a score is not finite.

    Warns:
        UserWarning: If a unit never fired, so that its picture means nothing.

    >>> import tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> small = tfviz.params.fourier(64, 64)
    >>> result = tfviz.render(model, "fire5:3-4", small, steps=4)
    >>> result.images.shape, result.names
    ((2, 64, 64, 3), ('fire5:3', 'fire5:4'))
    """
    job = Job(
        model,
        objective,
        param,
        transforms,
        steps=steps,
        learning_rate=learning_rate,
        optimizer=optimizer,
        batch_size=batch_size,
        seed=seed,
        start=start,
    )
    result = _collected(job, list(job.run(callbacks=callbacks)))
    warn_stuck([n for n, s in zip(result.names, result.stuck, strict=True) if s], steps)
    return result


def warn_stuck(names: Sequence[str], steps: int) -> None:
    """Warn of pictures whose unit never had a gradient."""
    if names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warn(
            f"{len(names)} unit(s) never fired in {steps} steps, so their pictures "
            f"show nothing: {shown}. Try another seed, more steps, or a photo as the "
            "start.",
            stacklevel=3,
        )


def _collected(job: Job, batches: list[Batch]) -> Result:
    places = [place for batch in batches for place in batch.places]
    order = np.argsort(places)
    longest = max(len(batch.history) for batch in batches)
    # A batch that was stopped has no scores for the steps it did not take.
    histories = [
        np.pad(
            b.history, ((0, longest - len(b.history)), (0, 0)), constant_values=np.nan
        )
        for b in batches
    ]
    images = np.concatenate([batch.images for batch in batches])[order]
    return Result(
        images=to_floats(images),
        scores=np.concatenate([batch.scores for batch in batches])[order],
        history=np.concatenate(histories, axis=1)[:, order],
        stuck=np.concatenate([batch.stuck for batch in batches])[order],
        names=tuple(picture.name for picture in job.pictures),
        spec=job.settings | {"pictures": [picture.spec for picture in job.pictures]},
    )
