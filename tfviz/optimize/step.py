"""The computation of one gradient step: from latents to scores, and back.

Everything here is a function of tensors. The variables that a step changes, and the
loop around it, belong to `tfviz.optimize.runner`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfviz.models.adapter import Adapter
from tfviz.models.gradient_overrides import (
    VANISHING,
    drop_redirected_gradients,
    drops_gradients,
)
from tfviz.objectives._base import Objective
from tfviz.optimize.optimizers import gradient_shaper
from tfviz.optimize.options import Options
from tfviz.params import Param
from tfviz.params._base import Latents
from tfviz.transforms import Transform
from tfviz.views import apply_view

# For so many steps a dead unit may use the redirected gradient, as in Lucid.
REDIRECTED_STEPS = 16
# Where all candidates of a picture score the same, this many times as many are drawn.
MORE_CANDIDATES = 4
# Prefixes the names of latents among the inputs of an evaluation.
_LATENT = "latent/"


@dataclass(frozen=True)
class Problem:
    """Everything that a step is compiled for: model, units, param, and options.

    Attributes:
        adapter: The model.
        objective: The units; a step takes others of the same kind as its argument.
        param: Makes images of latents.
        transforms: Change the images at random before the model sees them.
        options: The options, of which those about the gradient matter here.
    """

    adapter: Adapter
    objective: Objective
    param: Param
    transforms: Transform
    options: Options


@dataclass(frozen=True)
class Evaluation:
    """Scores of images, with the tensors that they were computed from.

    Attributes:
        inputs: What the model sees (`seen`), the `images`, and the latents. A gradient
            with respect to one of them does not pass through another.
        scores: `(n,)`.
        unit_scores: `(n,)`, without penalties and diversity.
    """

    inputs: dict[str, Any]
    scores: Any
    unit_scores: Any

    def gradients(self) -> dict[str, Any]:
        """Return the gradients of the scores with respect to the inputs, by name.

        Inputs on which the scores do not depend are left out.
        """
        # Not a GradientTape: only tf.gradients heeds the redirected gradients.
        gradients = tf.gradients(self.scores, list(self.inputs.values()))
        named = zip(self.inputs, gradients, strict=True)
        return {name: gradient for name, gradient in named if gradient is not None}


@dataclass(frozen=True)
class Step:
    """What one step computes.

    Attributes:
        scores: `(n,)`, the scores before the step.
        gradients: The gradients with respect to the latents. Latents that do not count
            are left out: an optimizer that lets weights decay must not move them.
        fired: `(n,)`, whether the unit ever had a gradient of its own.
        threshold: `(n,)`, the size that the gradient of a live unit exceeds.
        importance: `(n, height, width)`, how much each pixel counted, or None.
    """

    scores: Any
    gradients: Latents
    fired: Any
    threshold: Any
    importance: Any


def compute_step(
    problem: Problem,
    latents: Latents,
    units: Mapping[str, Any],
    seeds: Any,
    number: Any,
    *,
    fired: Any,
    threshold: Any,
) -> Step:
    """Compute the scores of a batch of images, and the gradients that raise them.

    Args:
        problem: What is optimized.
        latents: What the images are made of.
        units: The units of the objective, one for each image.
        seeds: `(n, 2)`, the seeds of the transforms in this step.
        number: The number of the step, from 0.
        fired: As in the step before.
        threshold: As in the step before.
    """
    param, options = problem.param, problem.options
    images = gradient_shaper(options)(param.decode(latents))
    seen = apply_view(images, param, problem.adapter)
    seen = tf.identity(problem.transforms(seen, seeds))
    evaluation = evaluate(problem, latents, images, seen, units)
    gradients = evaluation.gradients()
    early = number < REDIRECTED_STEPS
    strength = gradient_strength(problem, evaluation, gradients, fired, needed=early)
    # At first all pictures, later those whose unit is dead or gets no gradient.
    doubtful = strength <= threshold

    def rescue() -> tuple[dict[str, Any], Any, Any]:
        redirected = evaluate(problem, latents, images, seen, units, redirect=True)
        return rescue_dead_units(
            problem,
            redirected,
            gradients,
            strength=strength,
            fired=fired,
            threshold=threshold,
        )

    # The second evaluation costs nothing while no picture needs it.
    gradients, dead, new_threshold = tf.cond(
        early & tf.reduce_any(doubtful),
        rescue,
        lambda: (gradients, tf.zeros_like(doubtful), tf.identity(threshold)),
    )
    of_latents, of_images = backpropagate(latents, images, seen, gradients)
    importance = None
    if options.alpha and of_images is not None:
        importance = tf.reduce_mean(tf.abs(of_images), axis=-1)
        importance = tf.where(
            dead[:, None, None], tf.zeros_like(importance), importance
        )
    if param.penalty:
        of_penalty = tf.gradients(param.penalty(latents), list(latents.values()))
        for name, gradient in zip(latents, of_penalty, strict=True):
            if gradient is not None:
                of_latents[name] = of_latents.get(name, 0.0) - gradient
    return Step(
        evaluation.scores,
        of_latents,
        fired | (strength > new_threshold),
        new_threshold,
        importance,
    )


def evaluate(
    problem: Problem,
    latents: Latents,
    images: Any,
    seen: Any,
    units: Mapping[str, Any],
    *,
    redirect: bool = False,
) -> Evaluation:
    """Trace the network and the objective on what the model sees.

    Args:
        problem: What is optimized.
        latents: What the images are made of.
        images: The images, before the transforms.
        seen: What the model sees of them.
        units: The units of the objective.
        redirect: Whether rectifiers pass a gradient where they are off.
    """
    objective = problem.objective
    inputs = {"seen": tf.identity(seen), "images": tf.identity(images)}
    inputs |= {_LATENT + name: tf.identity(v) for name, v in latents.items()}
    activations = problem.adapter.forward(
        inputs["seen"],
        objective.layers,
        redirect=redirect,
        smooth_pools=problem.options.smooth_pools,
    )
    latents = {name: inputs[_LATENT + name] for name in latents}
    scores = _scores(objective, activations, inputs["images"], latents, units)
    return Evaluation(inputs, *scores)


def gradient_strength(
    problem: Problem,
    evaluation: Evaluation,
    gradients: Mapping[str, Any],
    fired: Any,
    *,
    needed: Any = True,
) -> Any:
    """Return the largest gradient of the units in what the model sees, `(n,)`.

    It is infinite where it is not `needed` and all units have fired: it could change
    nothing then, and takes a pass over all pixels. Terms of the objective that do
    without the model must not hide a dead unit; where there are such terms, the
    strength takes a second backward pass.
    """
    if not problem.objective.layers:  # no part of the network that could be dead
        return tf.ones(fired.shape)
    seen = evaluation.inputs["seen"]

    def measured() -> Any:
        own = gradients.get("seen")
        if problem.objective.signal is not None:
            own = tf.gradients(evaluation.unit_scores, seen)[0]
        return _largest(own, seen)

    return tf.cond(
        tf.reduce_all(fired) & ~tf.convert_to_tensor(needed),
        lambda: tf.fill(fired.shape, float("inf")),
        measured,
    )


def rescue_dead_units(
    problem: Problem,
    redirected: Evaluation,
    gradients: Mapping[str, Any],
    *,
    strength: Any,
    fired: Any,
    threshold: Any,
) -> tuple[dict[str, Any], Any, Any]:
    """Give dead units the redirected gradient, and all others their own.

    A unit behind a rectifier that is off over the whole map has no gradient, so its
    picture would stay as it started. The redirected gradient passes such rectifiers.

    Args:
        problem: What is optimized.
        redirected: The evaluation with redirected gradients.
        gradients: The true gradients.
        strength: `(n,)`, the size of the true gradients.
        fired: `(n,)`, whether the unit ever had a gradient of its own.
        threshold: `(n,)`, the size below which a unit was called dead so far.

    Returns:
        The gradients, which units are dead `(n,)`, and the new threshold `(n,)`.
    """
    doubtful = strength <= threshold
    around = redirected.gradients()
    vanishing = VANISHING * gradient_strength(problem, redirected, around, fired)
    true = strength
    if drops_gradients():
        with drop_redirected_gradients():
            true = gradient_strength(problem, redirected, redirected.gradients(), fired)
    dead = doubtful & (true <= vanishing)
    # A gradient above the threshold, of a unit that is dead, leads further away.
    vanishing = tf.where(strength > vanishing, float("inf"), vanishing)
    new = tf.where(dead, vanishing, tf.where(doubtful, 0.0, threshold))
    return select(dead, around, gradients), dead, new


def backpropagate(
    latents: Latents, images: Any, seen: Any, gradients: Mapping[str, Any]
) -> tuple[Latents, Any]:
    """Return the gradients with respect to the latents and to the images.

    Latents without a gradient are left out.

    Args:
        latents: What the images are made of.
        images: What the model sees is made of them.
        seen: What the model sees.
        gradients: The gradients of an `Evaluation`.
    """
    of_images = gradients.get("images")
    if "seen" in gradients:
        (through,) = tf.gradients(seen, images, gradients["seen"])
        of_images = through if of_images is None else of_images + through
    through_images = [None] * len(latents)
    if of_images is not None:
        through_images = tf.gradients(images, list(latents.values()), of_images)
    of_latents = {}
    for name, gradient in zip(latents, through_images, strict=True):
        parts = [gradient, gradients.get(_LATENT + name)]
        parts = [part for part in parts if part is not None]
        if parts:
            of_latents[name] = tf.add_n(parts)
    return of_latents, of_images


def score_untransformed(
    problem: Problem, images: Any, units: Mapping[str, Any], latents: Latents
) -> tuple[Any, Any, Any]:
    """Return activations, scores, and unit scores of images without transforms."""
    objective = problem.objective
    seen = apply_view(images, problem.param, problem.adapter)
    activations = problem.adapter.forward(seen, objective.layers)
    return activations, *_scores(objective, activations, images, latents, units)


def best_start(
    draw: Callable[[Any], tuple[Latents, Any]], count: Any
) -> tuple[Latents, Any, Any]:
    """Draw several starts for each image and keep the best, in a graph.

    Where all candidates of an image score the same, its unit is dead in all of them:
    more are drawn then.

    Args:
        draw: `draw(number) -> (latents, scores)`, the candidates with that number for
            all images, and their scores `(n,)`.
        count: The number of candidates, a tensor.

    Returns:
        The latents, their scores `(n,)`, and how many were drawn `(n,)`.
    """

    def draw_and_score(number: Any) -> tuple[Latents, Any]:
        latents, scores = draw(number)
        latents = {k: tf.convert_to_tensor(v) for k, v in latents.items()}
        return latents, tf.where(tf.math.is_finite(scores), scores, scores.dtype.min)

    def unfinished(number: Any, latents: Any, best: Any, worst: Any, drawn: Any) -> Any:
        dead = tf.reduce_any(best <= worst)
        return (number < count) | (dead & (number < MORE_CANDIDATES * count))

    def body(number: Any, latents: Any, best: Any, worst: Any, drawn: Any) -> Any:
        candidates, scores = draw_and_score(number)
        # Images that have a start do not take what others go on to draw.
        looking = (number < count) | (best <= worst)
        better = looking & (scores > best)
        return (
            number + 1,
            select(better, candidates, latents),
            tf.where(better, scores, best),
            tf.where(looking, tf.minimum(scores, worst), worst),
            drawn + tf.cast(looking, tf.int32),
        )

    latents, scores = draw_and_score(tf.constant(0))
    first = (tf.constant(1), latents, scores, scores, tf.ones_like(scores, tf.int32))
    _, latents, best, _, drawn = tf.while_loop(
        unfinished, body, first, parallel_iterations=1
    )
    return latents, best, drawn


def select(which: Any, first: Mapping[str, Any], second: Mapping[str, Any]) -> Latents:
    """Return the first tensors for the images `which` `(n,)`, and else the second."""
    return {
        name: tf.where(
            tf.reshape(which, (-1, *[1] * (value.shape.rank - 1))),
            value,
            second[name],
        )
        for name, value in first.items()
    }


def _scores(objective: Objective, *inputs: Any) -> tuple[Any, Any]:
    """Return the scores, and those of the units alone."""
    scores = objective.score(*inputs)
    return scores, objective.signal(*inputs) if objective.signal else scores


def _largest(gradients: Any, images: Any) -> Any:
    """Return the largest gradient of each image `(n,)`, 0 where there is none."""
    if gradients is None:
        return tf.zeros(images.shape[0])
    return tf.reduce_max(tf.abs(gradients), axis=(1, 2, 3))
