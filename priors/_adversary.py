"""The part of a training that tells photos from what a network makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

# Of Dosovitskiy and Brox, https://arxiv.org/abs/1602.02644: the discriminator rests
# while its loss is less than the first part of its opponent's, until the second.
REST_BELOW, GO_ON_ABOVE = 0.1, 0.5
# The hinge loss of a judge that knows nothing.
CHANCE = 2.0
# Steps from one measurement of slopes to the next: it costs as much as a step.
EVERY = 16


@dataclass(frozen=True)
class Plan:
    """When a discriminator takes part, in parts of the training.

    Attributes:
        share: How long its slope is in the end, in parts of that of all others.
        begins: When it is heeded; from half of that time on it learns.
        whole: When its slope is whole.
    """

    share: float = 0.5
    begins: float = 0.02
    whole: float = 0.05

    def share_at(self, progress: Any) -> Any:
        """Return how long its slope is."""
        part = (progress - self.begins) / (self.whole - self.begins)
        return self.share * tf.clip_by_value(part, 0.0, 1.0)


class Adversary:
    """Judges of what some layers of a network see in photos and in made images.

    Judges of features learn far faster than one of pixels, which a generator outruns
    (Sauer et al., "Projected GANs", https://arxiv.org/abs/2111.01007). There is one for
    each layer. They rest where they are far ahead, and a judge is heeded only as far
    as it can tell photos from images: one that cannot has nothing to teach.

    Attributes:
        model: The discriminator: a map of verdicts for each layer.
        plan: When it takes part.
        optimizer: Of its weights.
        resting: Whether it learns nothing at the moment.
        weights: `(judges,)`, what each counts in the generator's loss.
    """

    def __init__(
        self, model: keras.Model, learning_rate: float, plan: Plan | None = None
    ) -> None:
        self.model, self.plan = model, plan or Plan()
        self.optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self.optimizer.build(model.trainable_variables)
        self.resting = tf.Variable(False)
        judges = len(model.outputs)
        self.weights = tf.Variable(tf.zeros(judges), trainable=False)
        self._losses = tf.Variable(tf.fill((judges,), CHANCE), trainable=False)
        self._ratio = tf.Variable(1.0)

    @property
    def state(self) -> list[Any]:
        """All variables that a checkpoint must hold."""
        return [
            *self.model.variables,
            *self.optimizer.variables,
            self.resting,
            self.weights,
            self._losses,
            self._ratio,
        ]

    def fooled(self, seen: Sequence[Any], code: Any) -> Any:
        """Return what a generator minimizes to be taken for photos, `(judges,)`.

        Args:
            seen: Features of made images, one array for each judge.
            code: What they were made from, or None.
        """
        verdicts = self._judged(seen, code, training=False)
        return -tf.stack([tf.reduce_mean(verdict) for verdict in verdicts])

    def weigh(
        self, tape: Any, loss: Any, fooled: Any, made: Any, *, share: Any, number: Any
    ) -> None:
        """Set the weights now and then, so that the judges' slopes have a given length.

        A fixed weight would be lost beside a loss of larger slopes, such as those of
        late layers. Esser et al. weigh it so as well (https://arxiv.org/abs/2012.09841).

        Args:
            tape: A persistent one that saw `made` become the rest.
            loss: Of the generator, without this part.
            fooled: From `fooled`.
            made: Images.
            share: How long the slope in `made` is, in parts of that of `loss`.
            number: Of the step.
        """
        judges = self.weights.shape[0]

        def measured() -> Any:
            whole = tf.norm(tape.gradient(loss, made))
            # Each by its own: the latest would outdo all others.
            lengths = [
                tf.norm(tape.gradient(fooled, made, tf.one_hot(judge, judges)))
                for judge in range(judges)
            ]
            heeded = tf.clip_by_value(CHANCE - self._losses, 0.0, 1.0)
            wanted = share * heeded * whole / (judges * tf.stack(lengths) + 1e-12)
            return (self.weights + wanted) / 2

        due = (number % EVERY == 0) & (share > 0)
        self.weights.assign(tf.cond(due, measured, lambda: tf.identity(self.weights)))

    def taught(
        self, real: Sequence[Any], fake: Sequence[Any], code: Any, progress: Any
    ) -> dict[str, Any]:
        """Learn, once it is time; return what to log.

        Args:
            real: Features of photos, one array for each judge.
            fake: Of made images.
            code: What they were made from, or None.
            progress: Of the training, from 0 to 1.
        """
        judged = tf.cond(
            progress > self.plan.begins / 2,
            lambda: self.learn(real, [tf.stop_gradient(seen) for seen in fake], code),
            lambda: tf.constant(CHANCE),
        )
        return {"judge": judged, "resting": tf.cast(self.resting, tf.float32)}

    def learn(self, real: Sequence[Any], fake: Sequence[Any], code: Any) -> Any:
        """Take a step, unless it rests; return the mean hinge loss.

        Hinge: Lim and Ye, https://arxiv.org/abs/1705.02894.
        """
        both = [tf.concat(pair, axis=0) for pair in zip(real, fake, strict=True)]
        codes = None if code is None else tf.concat([code, code], axis=0)
        n = real[0].shape[0]
        variables = self.model.trainable_variables
        values = [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            verdicts = self._judged(both, codes, training=True)
            losses = tf.stack([_hinge(verdict, n) for verdict in verdicts])
            loss = tf.reduce_mean(losses)
        opposed = tf.add_n(
            [tf.reduce_mean(tf.nn.relu(1 - verdict[n:])) for verdict in verdicts]
        ) / len(verdicts)
        self._losses.assign(0.9 * self._losses + 0.1 * losses)
        self._ratio.assign(0.9 * self._ratio + 0.1 * loss / (opposed + 1e-6))
        self.resting.assign(
            (self._ratio < REST_BELOW) | (self.resting & (self._ratio < GO_ON_ABOVE))
        )

        def improved() -> Any:
            self.optimizer.apply(tape.gradient(loss, values), variables)
            return tf.constant(True)

        tf.cond(self.resting, lambda: tf.constant(False), improved)
        return loss

    def _judged(self, seen: Sequence[Any], code: Any, *, training: bool) -> list[Any]:
        given = [*seen] if code is None else [*seen, code]
        verdicts = self.model(given, training=training)
        return verdicts if isinstance(verdicts, list) else [verdicts]


def _hinge(verdict: Any, photos: int) -> Any:
    """Return the loss of a judge; photos stand before made images."""
    real, fake = verdict[:photos], verdict[photos:]
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
