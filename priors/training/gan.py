"""Recipe of a GAN: a generator and a discriminator, trained against each other.

In each batch, half of the images are made from the conditions of photos and are
compared with these photos. The other half is made from conditions that belong to no
photo, as most of those are that an optimization passes through; of these the
discriminator asks only whether they look like photos.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.priors._gan_networks import WIDTHS, gan_discriminator, gan_generator
from tfviz.priors.training.adversarial import (
    discriminator_loss,
    generator_loss,
    verdicts_with_penalty,
)
from tfviz.priors.training.augmentation import DRAWS, diff_augment, stream
from tfviz.priors.training.conditions import CodeConditions, Conditions

# The weight of the penalties of gradients, at the start and at the end.
PENALTY_START, PENALTY_END = 1.0, 0.2
# The learning rate rises linearly over so many steps: at first the optimizers do not
# know the size of the gradients, also after a state without theirs was restored.
WARM_UP_STEPS = 100
# The average of the weights forgets half of the past after so many images.
HALF_LIFE = 20_000


class Gan:
    """Trains a generator against a discriminator; a `Recipe`.

    Args:
        conditions: What images are made from.
        widths: The channels of the generator, as `widths_for` returns them.
        batch: The number of photos in a step, at least 4.
        learning_rate: The learning rate at the start, of both networks.
        dtype: The precision policy of the convolutions.
        seed: Random seed of the initial weights.
    """

    zoom = 1.0  # Crops would have to be enlarged, and blurred photos be learned.

    def __init__(
        self,
        conditions: Conditions,
        *,
        widths: Sequence[int] = WIDTHS,
        batch: int,
        learning_rate: float,
        dtype: str | None = None,
        seed: int = 0,
    ) -> None:
        self.size, self.batch = 4 * 2 ** (len(widths) - 1), batch
        self.learning_rate = learning_rate
        self.conditions = conditions
        self._widths = list(widths)
        length, z = conditions.length, conditions.z
        self.generator = gan_generator(length, z, widths, dtype=dtype, seed=seed)
        self.discriminator = gan_discriminator(
            length, widths, dtype=dtype, seed=seed + 1
        )
        self._optimizers = [_optimizer(self.generator), _optimizer(self.discriminator)]
        self.exported: Mapping[str, Any] = {v.path: v for v in self.generator.variables}
        self.state: list[Any] = [
            *self.generator.variables,
            *self.discriminator.variables,
            *(v for optimizer in self._optimizers for v in optimizer.variables),
        ]
        self.settings: Mapping[str, Any] = {
            "kind": "gan",
            "variant": conditions.variant,
            "condition": length,
            "z": z,
            "widths": self._widths,
            "batch": batch,
            "learning_rate": learning_rate,
        }
        self._encode = tf.function(
            lambda photos: conditions.of(photos, None)[0],
            autograph=False,
            reduce_retracing=True,
        )
        self._decode = tf.function(
            lambda *inputs: self.generator(list(inputs), training=False) / 2 + 0.5,
            autograph=False,
            reduce_retracing=True,
        )

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Both networks by name, whose weights are carried to another training."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def step(
        self, photos: Any, labels: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch."""
        rise = (tf.cast(seed[1], tf.float32) + 1) / WARM_UP_STEPS
        for optimizer in self._optimizers:
            optimizer.learning_rate.assign(learning_rate * tf.minimum(rise, 1.0))
        n = photos.shape[0]
        draws = tf.random.stateless_uniform((n, DRAWS), stream(seed, 5))
        own, seen = self.conditions.of(photos[: n // 2], labels[: n // 2])
        others = self.conditions.others(own, seed)[: n - n // 2]
        conditions = tf.concat([own, others], axis=0)
        z = tf.random.stateless_normal((n, self.conditions.z), stream(seed, 4))

        def judge(images: Any) -> Any:
            """Judge photos, or images that are paired with them, or both."""
            times = images.shape[0] // n
            changed = diff_augment(images, tf.tile(draws, (times, 1)))
            inputs = [changed, tf.tile(conditions, (times, 1))]
            matched, alone = self.discriminator(inputs, training=True)
            # Only the first half of the photos belongs to the conditions.
            is_own = tf.tile(tf.range(n) < n // 2, (times,))
            return tf.where(is_own, matched[:, 0], alone[:, 0])

        weights = [v.value for v in self.generator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            made = self.generator([conditions, z], training=True)
            real = photos * 2 - 1
            fooled = generator_loss(judge(real), judge(made))
            comparisons = self.conditions.losses(
                photos[: n // 2], seen, made / 2 + 0.5, conditions
            )
            loss = tf.add_n([fooled, *comparisons.values()])
        gradients = tape.gradient(loss, weights)
        self._optimizers[0].apply(gradients, self.generator.trainable_variables)
        made = tf.stop_gradient(made)
        judged = self._train_discriminator(judge, real, made, progress)
        return {**comparisons, "fooled": fooled, **judged}

    def _train_discriminator(
        self, judge: Any, real: Any, made: Any, progress: Any
    ) -> dict[str, Any]:
        """Take a step of the discriminator, and return what to log.

        Args:
            judge: The function from images to verdicts.
            real: Photos `(n, size, size, 3)` in [-1, 1].
            made: The images that are paired with them.
            progress: How much of the training is done, from 0 to 1.
        """
        n = real.shape[0]
        strength = PENALTY_START + (PENALTY_END - PENALTY_START) * progress
        weights = [v.value for v in self.discriminator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            images = tf.concat([real, made], axis=0)
            verdicts, squared_norms = verdicts_with_penalty(judge, images)
            told = discriminator_loss(verdicts[:n], verdicts[n:])
            # R1 and R2, each of them half of the mean over its images.
            penalties = tf.reduce_sum(squared_norms) / (2 * n)
            loss = told + strength * penalties
        gradients = tape.gradient(loss, weights)
        self._optimizers[1].apply(gradients, self.discriminator.trainable_variables)
        right = tf.cast(verdicts[:n] > verdicts[n:], tf.float32)
        return {
            "judge": told,
            "penalty": penalties,
            "right": tf.reduce_mean(right),
        }

    def reconstruct(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return images made from the codes of photos.

        Raises:
            TypeError: If images are made from classes.
        """
        if not isinstance(self.conditions, CodeConditions):
            raise TypeError("Images that are made from classes reconstruct no photo.")
        code = self._encode(tf.constant(photos))
        return self._decode(code, tf.constant(self._random_z(len(photos)))).numpy()

    def sample_rows(self, photos: NDArray[Any]) -> list[NDArray[Any]]:
        """Return reconstructions of photos if there are any, and random images."""
        n, length = len(photos), self.conditions.length
        z = tf.constant(self._random_z(n))
        if isinstance(self.conditions, CodeConditions):
            random = np.random.default_rng(1).standard_normal((n, length), np.float32)
            rows = [self.reconstruct(photos)]
        else:
            labels = tf.range(n) * length // n  # spread over all classes
            random, _ = self.conditions.of(None, labels)
            rows = []
        return [*rows, self._decode(tf.constant(random), z).numpy()]

    def file_contents(
        self, weights: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the settings and the arrays of the prior's file.

        Args:
            weights: The weights of the generator, by the names in `exported`.
        """
        names = ("kind", "variant", "condition", "z", "widths")
        settings = {name: self.settings[name] for name in names} | {"size": self.size}
        arrays = {
            f"generator/{k}": weights[v.path]
            for k, v in enumerate(self.generator.weights)
        }
        if isinstance(self.conditions, CodeConditions):
            statistics = self.conditions.statistics
            arrays |= {
                f"code/{name}": getattr(statistics, name)
                for name in ("mean", "stddev", "low", "high")
            }
        return settings, arrays

    def _random_z(self, count: int) -> NDArray[np.float32]:
        shape = (count, self.conditions.z)
        return np.random.default_rng(0).standard_normal(shape, np.float32)


def widths_for(size: int) -> tuple[int, ...]:
    """Return the channels of each stage of a generator of images of a size.

    Raises:
        ValueError: If a GAN cannot be trained at this size.

    >>> widths_for(32)
    (384, 384, 192, 96)
    """
    sizes = [4 * 2**k for k in range(2, len(WIDTHS))]
    if size not in sizes:
        raise ValueError(
            f"The `size` of a GAN must be one of {', '.join(map(str, sizes))} pixels. "
            f"Received: size={size}"
        )
    return WIDTHS[: sizes.index(size) + 3]


def _optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    # Momentum would follow an opponent that has moved on.
    optimizer = keras.optimizers.Adam(beta_1=0.0, beta_2=0.99)
    optimizer.build(model.trainable_variables)
    return optimizer
