"""Optimize images: the function that users call."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.images import to_floats
from tfviz.optimize.batch import Batch, warn_stuck
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.optimizers import Method
from tfviz.optimize.result import Result
from tfviz.params import Param
from tfviz.stops import Stop
from tfviz.transforms import Transform


def render(
    model: Any,
    objective: Any,
    param: Param | None = None,
    transforms: Transform | None = None,
    *,
    steps: int = 256,
    learning_rate: float | None = None,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    gradient_blur: float = 0.0,
    normalize_gradient: bool = False,
    smooth_pools: bool = False,
    batch_size: int | None = None,
    seed: int = 0,
    start: ArrayLike | Result | None = None,
    candidates: int | None = None,
    restarts: int = 1,
    stop: Stop | Sequence[Stop] = (),
    alpha: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Optimize images until the units of a model respond most.

    Args:
        model: A Keras model, or an adapter made by `adapt`, which keeps what it
            compiled for the next call with the same `param` and `transforms`.
        objective: What to maximize: an `Objective`, a text that `objectives.parse`
            reads, or a list of those. One picture for each unit.
        param: How the images are held; `params.fourier` at the model's size, or 224
            where it takes any, by default.
        transforms: What they must survive; by default what suits the param, or
            `transforms.distill()`; `transforms.none()` for nothing.
        steps: Gradient steps.
        learning_rate: Of Adam, the optimizer by default; what suits the param, or
            0.05, by default.
        optimizer: `normalized` for steps of the same size whatever the gradient's,
            with a rate that falls to 0 (DGN-AM,
            https://arxiv.org/abs/1605.09304), or a Keras optimizer to use instead,
            with its own learning rate. It is made anew from its settings, so yours
            keeps its state.
        gradient_blur: Standard deviation, in pixels, of a Gaussian blur of the
            gradient in the image; 0 for none. Favours low frequencies, as `fourier`
            does by itself.
        normalize_gradient: Whether to scale the gradient in each image to a root mean
            square of 1, for optimizers that, unlike Adam, do not scale it themselves.
        smooth_pools: Whether max-pools share their gradient among the inputs of a
            window, in proportion to their squares, instead of giving it all to the
            largest, which leaves a grid in some pictures.
        batch_size: Pictures that are made at once; those of one layer and kind, at
            most 8, by default. It is part of what makes a picture repeatable: the
            same slot of the same batch size gives the same bytes whatever stands
            beside it, while another slot or size agrees in its start and its first
            step (1e-3) and drifts apart from there, as Adam turns rounding into full
            steps.
        seed: Makes other pictures of the same units.
        start: An image `(height, width, channels)` in [0, 1] to start from, one for
            each picture, or an earlier result to go on with, also of another param;
            by default what the param draws, such as a nearly flat grey.
        candidates: How many starts to draw for each picture; it is made from the one
            where its unit responds most, without transforms. More are drawn where a
            unit is off in all. By default what suits the param, or 1.
        restarts: How often to make each picture, each time from another start; the
            one with the highest score at the end is kept.
        stop: Rules that end the work on a picture before all steps are taken; see
            `tfviz.stops`.
        alpha: Whether to note how much each pixel mattered: `Result.alpha`, the
            transparency map that belongs to `params.maco`.
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
        method=Method(
            optimizer, gradient_blur, normalize_gradient, alpha, smooth_pools
        ),
        batch_size=batch_size,
        seed=seed,
        start=start,
        candidates=candidates,
        restarts=restarts,
        stop=stop,
    )
    batches = list(job.run(callbacks=callbacks))
    warn_stuck([stuck for batch in batches for stuck in batch.tried])
    return as_result(job, batches)


def as_result(job: Job, batches: Sequence[Batch]) -> Result:
    """Put the pictures of some batches of a job into the order asked for."""
    places = [place for batch in batches for place in batch.places]
    order = np.argsort(places)
    pictures = [job.pictures[places[i]] for i in order]
    longest = max(len(batch.history) for batch in batches)
    histories = [_padded(b.history, longest, axis=0) for b in batches]

    def collected(name: str) -> Any:
        return np.concatenate([getattr(b.outcome, name) for b in batches])[order]

    stopped = [reason for batch in batches for reason in batch.stopped]
    drawn = collected("drawn") if job.candidates > 1 else None
    return Result(
        images=to_floats(collected("pictures")),
        scores=collected("scores"),
        unit_scores=collected("unit_scores"),
        history=np.concatenate(histories, axis=1)[:, order],
        steps=np.concatenate([batch.steps for batch in batches])[order],
        stopped=tuple(stopped[i] for i in order),
        stuck=~collected("fired"),
        names=tuple(picture.name for picture in pictures),
        spec=job.settings | {"pictures": [picture.spec for picture in pictures]},
        distances=_distances(batches, order),
        alpha=collected("alpha") if job.method.alpha else None,
        restart=np.concatenate([batch.restart for batch in batches])[order],
        start_scores=None if drawn is None else collected("start_scores"),
        drawn=drawn,
        diagnostics={
            name: np.concatenate([b.outcome.diagnostics[name] for b in batches])[order]
            for name in batches[0].outcome.diagnostics
        },
        view=job.shown,
    )


def _distances(batches: Sequence[Batch], order: Any) -> NDArray[np.float32] | None:
    """Return the distances in groups; NaN fills the rows of smaller ones."""
    found = [batch.outcome.distances for batch in batches]
    largest = max((d.shape[1] for d in found if d is not None), default=0)
    if not largest:
        return None
    rows = [
        _padded(np.zeros((len(b.places), 0)) if d is None else d, largest, axis=1)
        for b, d in zip(batches, found, strict=True)
    ]
    return np.concatenate(rows)[order].astype(np.float32)


def _padded(values: NDArray, length: int, axis: int) -> NDArray:
    """Lengthen an array `(rows, columns)` along an axis with NaN."""
    missing = [(0, 0), (0, 0)]
    missing[axis] = (0, length - values.shape[axis])
    return np.pad(values, missing, constant_values=np.nan)
