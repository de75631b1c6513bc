"""Render the units of a model: the function that users call first."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.images import to_floats
from tfviz.optimize.batch import Batch
from tfviz.optimize.dead_units import warn_of_dead_units
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.options import STEPS, Options
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
    steps: int = STEPS,
    learning_rate: float | None = None,
    momentum: float | None = None,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    gradient_blur: float = 0.0,
    normalize_gradient: bool = False,
    smooth_pools: bool = False,
    batch_size: int | str | None = None,
    xla: bool | None = None,
    seed: int = 0,
    start: ArrayLike | Result | None = None,
    candidates: int | None = None,
    restarts: int = 1,
    stop: Stop | Sequence[Stop] = (),
    alpha: bool = False,
    deterministic: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Optimize images until the units of a model respond most.

    Feature visualization (Olah, Mordvintsev, Schubert 2017,
    https://distill.pub/2017/feature-visualization).

    Args:
        model: A Keras model, or an adapter made by `adapt`, which keeps what was
            compiled for the next call with the same `param` and `transforms`.
        objective: What to maximize: an `Objective`, a text that `objectives.parse`
            reads, or a list of those. One picture is made for each unit.
        param: The parameterization of the images; by default `params.fourier` at the
            model's size, or at 224 pixels where the model takes any size.
        transforms: The random changes that images must survive; by default those that
            the param prefers, or `transforms.distill()`. `transforms.none()` for none.
        steps: The number of gradient steps.
        learning_rate: The learning rate of Adam, the default optimizer; by default
            the rate that the param prefers, or 0.1.
        momentum: The share of its mean gradient that Adam keeps at each step (its
            beta_1), from 0 to below 1; by default that which the param prefers, or
            0.5. More of it, such as 0.9, can wake a dead unit that stays dead.
        optimizer: `normalized` for steps of the same size whatever the size of the
            gradient, with a learning rate that falls to 0 (DGN-AM,
            https://arxiv.org/abs/1605.09304), or a Keras optimizer to use instead of
            Adam, with its own learning rate. A Keras optimizer is built anew from its
            settings, so yours keeps its state.
        gradient_blur: The standard deviation, in pixels, of a Gaussian blur of the
            gradient in the image; 0 for none. It favours low frequencies, as `fourier`
            does by itself.
        normalize_gradient: Whether to scale the gradient in each image to a root mean
            square of 1, for optimizers that, unlike Adam, do not scale it themselves.
        smooth_pools: Whether max-pools share their gradient among the inputs of a
            window, in proportion to their squares, instead of passing all of it to the
            largest, which leaves a grid in some pictures.
        batch_size: The number of pictures that are optimized at once; by default all
            of one layer and kind, at most 8. It is part of what makes a picture
            repeatable: the same slot of the same batch size gives the same bytes,
            whatever stands beside it. Another slot or size agrees in the start and in
            the first step (to 1e-3) and drifts apart from there, as Adam turns
            rounding into full steps. `auto` for as many as the memory of the device
            allows: on a GPU up to 256, on a CPU up to 8.
        xla: Whether XLA, which fuses operations, compiles the step. By default it does
            not on a CPU, where it is slower; on a GPU, the faster way is measured if at
            least 4096 steps of one kind are to be taken, as the compilation takes long.
            The description of a picture holds which way it was made.
        seed: The random seed; another seed gives other pictures of the same units.
        start: An image `(height, width, channels)` in [0, 1] to start from, one such
            image for each picture, or an earlier result to go on with, also of another
            param. By default the param draws the start, such as a nearly flat grey.
        candidates: The number of starts to draw for each picture, which is made from
            the one to which its unit responds most, without transforms. More are drawn
            where a unit is dead in all of them. By default the number that the param
            prefers, or 1.
        restarts: The number of attempts at each picture, each from another start; the
            one with the highest final score is kept.
        stop: Rules that end the work on a picture before all steps are taken; see
            `tfviz.stops`.
        alpha: Whether to record how much each pixel counted: `Result.alpha`, the
            transparency map that belongs to `params.maco`.
        deterministic: Whether TensorFlow uses only operations that give the same bytes
            each time. Processors do so anyway. On a graphics card, the same seed gives
            the same bytes only with this option, and steps take longer. Meanwhile it
            turns on `tf.config.experimental.enable_op_determinism` for the process.
        callbacks: Functions called as `callback(progress)` after every 16 steps; see
            `Progress`. One that returns True ends the steps of its batch.

    Returns:
        The pictures with their scores.

    Raises:
        ValueError: If something does not fit: a layer, channel, class, size; or, with
            `deterministic`, if an operation has no deterministic implementation.
        FloatingPointError: If a score is not finite.

    Warns:
        UserWarning: If a unit is dead, so that its picture means nothing.

    >>> import tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> small = tfviz.params.fourier(64, 64)
    >>> result = tfviz.render(model, "fire5:3-4", small, steps=4)
    >>> result.images.shape, result.names
    ((2, 64, 64, 3), ('fire5:3', 'fire5:4'))
    """
    options = Options(
        steps=steps,
        learning_rate=learning_rate,
        momentum=momentum,
        optimizer=optimizer,
        gradient_blur=gradient_blur,
        normalize_gradient=normalize_gradient,
        smooth_pools=smooth_pools,
        alpha=alpha,
        deterministic=deterministic,
        batch_size=batch_size,
        xla=xla,
        seed=seed,
        candidates=candidates,
        restarts=restarts,
        stop=(stop,) if isinstance(stop, Stop) else stop,
    )
    job = Job(model, objective, param, transforms, options, start=start)
    return render_job(job, callbacks)


def render_job(job: Job, callbacks: Sequence[Callback] = ()) -> Result:
    """Render all pictures of a job, and warn of dead units.

    Args:
        job: The job.
        callbacks: As for `render`.
    """
    batches = list(job.run(callbacks=callbacks))
    warn_of_dead_units([dead for batch in batches for dead in batch.dead_units])
    return as_result(job, batches)


def as_result(job: Job, batches: Sequence[Batch]) -> Result:
    """Return the pictures of some batches of a job in the order asked for."""
    places = [place for batch in batches for place in batch.places]
    order = np.argsort(places)
    pictures = [job.pictures[places[i]] for i in order]
    longest = max(len(batch.history) for batch in batches)
    histories = [_padded(b.history, longest, axis=0) for b in batches]

    def collected(name: str) -> Any:
        return np.concatenate([getattr(b.outcome, name) for b in batches])[order]

    stopped = [reason for batch in batches for reason in batch.stopped]
    by_xla = [batch.xla for batch in batches for _ in batch.places]
    drawn = collected("drawn") if (job.options.candidates or 1) > 1 else None
    return Result(
        images=to_floats(collected("pictures")),
        scores=collected("scores"),
        unit_scores=collected("unit_scores"),
        history=np.concatenate(histories, axis=1)[:, order],
        steps=np.concatenate([batch.steps for batch in batches])[order],
        stopped=tuple(stopped[i] for i in order),
        stuck=~collected("fired"),
        names=tuple(picture.name for picture in pictures),
        spec=job.settings
        | {
            "pictures": [
                picture.spec | {"xla": by_xla[i]}
                for i, picture in zip(order, pictures, strict=True)
            ]
        },
        distances=_distances(batches, order),
        alpha=collected("alpha") if job.options.alpha else None,
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
    """Return the distances within groups; NaN fills the rows of smaller groups."""
    distances = [batch.outcome.distances for batch in batches]
    largest = max((d.shape[1] for d in distances if d is not None), default=0)
    if not largest:
        return None
    rows = [
        _padded(np.zeros((len(b.places), 0)) if d is None else d, largest, axis=1)
        for b, d in zip(batches, distances, strict=True)
    ]
    return np.concatenate(rows)[order].astype(np.float32)


def _padded(values: NDArray[Any], length: int, axis: int) -> NDArray[Any]:
    """Lengthen an array `(rows, columns)` along an axis with NaN."""
    missing = [(0, 0), (0, 0)]
    missing[axis] = (0, length - values.shape[axis])
    return np.pad(values, missing, constant_values=np.nan)
