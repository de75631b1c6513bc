"""The part of a training that tells photos from what a network makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

# Of Dosovitskiy and Brox, https://arxiv.org/abs/1602.02644: the discriminator rests
# while its loss is less than the first part of its opponent's, until the second.
REST_BELOW, GO_ON_ABOVE = 0.1, 0.5
# How far a picture is moved before it is judged, as a part of its size.
SHIFT = 0.125


@dataclass(frozen=True)
class Plan:
    """When a discriminator takes part, in parts of the training.

    Attributes:
        share: How long its slope is in the end, in parts of that of all others.
        begins: When it is heeded; from half of that time on it learns.
        whole: When its slope is whole.
    """

    share: float = 0.5
    begins: float = 0.05
    whole: float = 0.1

    def share_at(self, progress: Any) -> Any:
        """Return how long its slope is."""
        part = (progress - self.begins) / (self.whole - self.begins)
        return self.share * tf.clip_by_value(part, 0.0, 1.0)


class Adversary:
    """A discriminator with its optimizer, which rests where it is far ahead.

    Attributes:
        model: The discriminator.
        plan: When it takes part.
        optimizer: Of its weights.
        resting: Whether it learns nothing at the moment.
    """

    def __init__(
        self, model: keras.Model, learning_rate: float, plan: "Plan | None" = None
    ) -> None:
        self.model, self.plan = model, plan or Plan()
        self.optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self.optimizer.build(model.trainable_variables)
        self.resting = tf.Variable(False)
        self._ratio = tf.Variable(1.0)

    @property
    def state(self) -> list[Any]:
        """All variables that a checkpoint must hold."""
        return [
            *self.model.variables,
            *self.optimizer.variables,
            self.resting,
            self._ratio,
        ]

    def judged(self, images: Any, code: Any, seed: Any, *, training: bool) -> Any:
        """Return verdicts on images in [-1, 1], each moved and tinted by chance.

        The same for photos and made images (Zhao et al., "Differentiable
        augmentation", https://arxiv.org/abs/2006.10738), so that a network that has
        seen few photos cannot learn them by heart.
        """
        inputs = _augmented(images, seed)
        given = inputs if code is None else [inputs, code]
        return self.model(given, training=training)

    def taught(
        self, photos: Any, made: Any, code: Any, seed: Any, progress: Any
    ) -> dict[str, Any]:
        """Learn, once it is time, from photos in [0, 1]; return what to log."""
        judged = tf.cond(
            progress > self.plan.begins / 2,
            lambda: self.learn(photos * 2 - 1, tf.stop_gradient(made), code, seed),
            lambda: tf.constant(2.0),
        )
        return {"judge": judged, "resting": tf.cast(self.resting, tf.float32)}

    def learn(self, photos: Any, made: Any, code: Any, seed: Any) -> Any:
        """Take a step, unless it rests; return the hinge loss.

        Hinge: Lim and Ye, https://arxiv.org/abs/1705.02894.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in self.model.trainable_variables])
            real = self.judged(photos, code, seed, training=True)
            fake = self.judged(made, code, seed + tf.constant([0, 1]), training=True)
            loss = tf.reduce_mean(tf.nn.relu(1 - real))
            loss += tf.reduce_mean(tf.nn.relu(1 + fake))
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        opposed = tf.reduce_mean(tf.nn.relu(1 - fake))
        self._ratio.assign(0.9 * self._ratio + 0.1 * loss / (opposed + 1e-6))
        self.resting.assign(
            (self._ratio < REST_BELOW) | (self.resting & (self._ratio < GO_ON_ABOVE))
        )
        tf.cond(
            self.resting,
            lambda: tf.constant(False),
            lambda: self._apply(gradients, variables),
        )
        return loss

    def _apply(self, gradients: Sequence[Any], variables: Sequence[Any]) -> Any:
        self.optimizer.apply(gradients, variables)
        return tf.constant(True)

    def joined(
        self, made: Any, code: Any, seed: Any, slope: Any, share: Any
    ) -> tuple[Any, Any]:
        """Add to a slope in made images that of being taken for photos.

        A fixed weight would be lost beside a loss of larger slopes, such as those of
        late layers. Esser et al. weigh it so as well (https://arxiv.org/abs/2012.09841).

        Args:
            made: Images in [-1, 1].
            code: As for `judged`.
            seed: The same.
            slope: Of the other losses in `made`.
            share: How long the slope that is added is, in parts of the other's length;
                at 0 nothing is judged.

        Returns:
            What a generator minimizes to be taken for photos, and the sum of slopes.
        """

        def added() -> tuple[Any, Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(made)
                fooled = self.fooled(made, code, seed)
            against = tape.gradient(fooled, made)
            ratio = tf.norm(slope) / (tf.norm(against) + 1e-12)
            return fooled, slope + share * ratio * against

        return tf.cond(share > 0, added, lambda: (tf.constant(0.0), slope))

    def fooled(self, made: Any, code: Any, seed: Any) -> Any:
        """Return what a generator minimizes to be taken for photos."""
        return -tf.reduce_mean(self.judged(made, code, seed, training=False))


def _augmented(images: Any, seed: Any) -> Any:
    n, height, width = images.shape[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform((4, n, 1, 1, 1), seed, -1.0, 1.0)
    images += 0.4 * draws[0]
    grey = tf.reduce_mean(images, axis=-1, keepdims=True)
    images = grey + (images - grey) * (1 + 0.5 * draws[1])
    middle = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = middle + (images - middle) * (1 + 0.3 * draws[2])
    # One move for the batch: a slice costs nothing.
    reach = [round(SHIFT * height), round(SHIFT * width)]
    moved = tf.random.stateless_uniform((2,), seed + tf.constant([7, 0]))
    moved = tf.cast(moved * (2 * tf.constant(reach, tf.float32) + 1), tf.int32)
    margins = [[0, 0], [reach[0]] * 2, [reach[1]] * 2, [0, 0]]
    padded = tf.pad(images, margins, "REFLECT")
    return tf.slice(padded, [0, moved[0], moved[1], 0], [n, height, width, 3])
