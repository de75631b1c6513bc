"""The losses of the trainings: perceptual distance, discriminators, mean image.

`PerceptualFeatures` and `kl_divergence` compare an image with the photo that it was
made from. `Adversary` asks of every single image that it cannot be told from photos,
and `MeanImage` asks of all images together that they share no pattern.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import map_batches, resize
from tfviz.params._fourier import half_spectra

# The least variance of a channel, relative to the mean variance of its layer: without
# it, channels that are almost always zero would dominate the distance.
VARIANCE_FLOOR = 0.1
# Images are shifted by up to this many pixels before they are compared. Strides and
# pools favour some positions, which would become visible as a grid; random shifts
# spread that over all positions.
MAX_SHIFT = 8
# The number of images whose activations are measured at once.
_VARIANCE_BATCH = 50

# From Dosovitskiy and Brox, https://arxiv.org/abs/1602.02644: the discriminator pauses
# when its loss falls below the first fraction of the generator's, and goes on when it
# exceeds the second.
REST_BELOW, RESUME_ABOVE = 0.1, 0.5
# The hinge loss of a discriminator that cannot tell photos from made images.
CHANCE_LOSS = 2.0
# Steps between two measurements of gradient norms, each of which costs as much as a
# step.
WEIGHT_INTERVAL = 16

# The decay of the running mean in `MeanImage`: an average over about 20 batches.
MEAN_DECAY = 0.95
# Added to the power of each frequency, so that none is divided by zero.
LEAST_POWER = 1e-2


class PerceptualFeatures:
    """Activations of some layers, and a perceptual distance between them.

    Images are compared by what a network computes from them, each channel in units of
    its own standard deviation (Johnson et al., https://arxiv.org/abs/1603.08155;
    Dosovitskiy and Brox, https://arxiv.org/abs/1602.02644).

    Squared differences are smallest for the mean of everything that is compatible with
    what the decoder knows. Where the positions of edges are lost, as in codes of late
    layers, this mean is a faint edge everywhere, which looks like a mesh. Absolute
    differences are smallest for the median, which is no edge at all, and leave such
    places to the discriminators.

    Attributes:
        layers: The paths of the layers.
        size: The height and width, in pixels, to which images are resized before the
            network sees them.
        squared: Whether differences are squared rather than absolute.
    """

    def __init__(
        self,
        adapter: Adapter,
        weights: Mapping[str, float],
        size: int,
        variances: Mapping[str, NDArray[np.float32]],
        *,
        squared: bool = True,
    ) -> None:
        self.layers = tuple(weights)
        self.size, self.squared = size, squared
        self._adapter = adapter
        floored = {
            path: np.maximum(variances[path], VARIANCE_FLOOR * variances[path].mean())
            for path in weights
        }
        self._weights = dict(weights)
        self._deviations = {path: np.sqrt(floored[path]) for path in weights}

    def extract(
        self, images: Any, extra_layers: Sequence[str] = (), *, shift: Any = None
    ) -> dict[str, Any]:
        """Return the activations for images, inside a graph.

        Args:
            images: `(n, h, w, c)` in [0, 1].
            extra_layers: The paths of layers to return besides those in `layers`.
            shift: `(2,)` integers from 0 to `2 * MAX_SHIFT`, as `random_shift` returns
                them: all images are moved down and right by this minus `MAX_SHIFT`.
        """
        images = resize(images, (self.size, self.size))
        if shift is not None:
            margins = [[0, 0], [MAX_SHIFT, MAX_SHIFT], [MAX_SHIFT, MAX_SHIFT], [0, 0]]
            padded = tf.pad(images, margins, "REFLECT")
            begin = tf.concat([[0], 2 * MAX_SHIFT - shift, [0]], axis=0)
            size = (images.shape[0], self.size, self.size, images.shape[3])
            images = tf.ensure_shape(tf.slice(padded, begin, size), size)
        paths = tuple(dict.fromkeys((*self.layers, *extra_layers)))
        return self._adapter.forward(images, paths)

    def distance(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Any:
        """Return the perceptual distance of activations, `()`, in standard deviations.

        It is a weighted sum over layers of means over images, positions and channels.
        For unrelated images a layer of weight 1 contributes about 2 if differences are
        squared, and about 1 if not.
        """
        measure = tf.square if self.squared else tf.abs
        total = tf.constant(0.0)
        for path, weight in self._weights.items():
            change = (first[path] - second[path]) / self._deviations[path]
            total += weight * tf.reduce_mean(measure(change))
        return total

    def channel_count(self, path: str) -> int:
        """Return the number of channels of a layer."""
        return len(self._deviations[path])

    def normalized_maps(
        self, activations: Mapping[str, Any], paths: Sequence[str]
    ) -> list[Any]:
        """Return maps `(n, h, w, c)` of some layers, in standard deviations.

        A sequence of tokens becomes a map of one column.
        """
        maps = [activations[path] / self._deviations[path] for path in paths]
        return [
            values if values.shape.rank == 4 else _column_map(values) for values in maps
        ]


def random_shift(seed: Any) -> Any:
    """Return a random `shift` for `PerceptualFeatures.extract`."""
    drawn = tf.random.stateless_uniform((2,), seed + tf.constant([11, 0]))
    return tf.cast(drawn * (2 * MAX_SHIFT + 1), tf.int32)


def channel_variances(
    adapter: Adapter, layers: Sequence[str], images: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the variance of each channel of some layers over images and positions."""
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)
    squares: dict[str, Any] = dict.fromkeys(layers, 0.0)
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    compiled = tf.function(
        lambda part: adapter.forward(part, layers), autograph=False
    ).get_concrete_function(spec)
    for batch in map_batches(compiled, _VARIANCE_BATCH, images):
        for path, activations in batch.items():
            values = np.asarray(activations, np.float64)
            axes = tuple(range(values.ndim - 1))
            share = len(values) / len(images)
            sums[path] = sums[path] + share * values.mean(axes)
            squares[path] = squares[path] + share * (values**2).mean(axes)
    return {
        path: (squares[path] - sums[path] ** 2).astype(np.float32) for path in layers
    }


def kl_divergence(target_logits: Any, logits: Any) -> Any:
    """Return the Kullback-Leibler divergence of softmax outputs, `()`, in nats.

    It is averaged over images, and 0 where both distributions are equal. No gradient
    reaches the target.

    Args:
        target_logits: `(n, ..., classes)`.
        logits: Logits of the same shape.
    """
    target = tf.nn.log_softmax(tf.stop_gradient(target_logits))
    terms = tf.exp(target) * (target - tf.nn.log_softmax(logits))
    return tf.reduce_mean(tf.reduce_sum(terms, axis=-1))


@dataclass(frozen=True)
class AdversarySchedule:
    """When discriminators take part, in fractions of the training.

    Attributes:
        share: The final norm of the gradient from the discriminators, relative to that
            of all other losses.
        start: When the discriminators begin to count. They begin to learn at half of
            that time.
        full: When their gradient reaches its final norm.
    """

    share: float = 0.5
    start: float = 0.02
    full: float = 0.05

    def share_at(self, progress: Any) -> Any:
        """Return the relative gradient norm at a point of the training in [0, 1]."""
        part = (progress - self.start) / (self.full - self.start)
        return self.share * tf.clip_by_value(part, 0.0, 1.0)


class Adversary:
    """Discriminators that tell photos from made images by a network's activations.

    Discriminators of features learn far faster than one of pixels, which a generator
    outruns (Sauer et al., "Projected GANs", https://arxiv.org/abs/2111.01007). There
    is one for each layer. They pause while they are far ahead of the generator, and
    each one counts only as far as it can tell photos from images: one that cannot has
    nothing to teach.

    Attributes:
        model: All discriminators as one model, with one map of verdicts for each layer.
        schedule: When the discriminators take part.
        optimizer: The optimizer of their weights.
        resting: Whether their training is paused at the moment.
        weights: `(discriminators,)`, the factor of each in the generator's loss.
    """

    def __init__(
        self,
        model: keras.Model,
        learning_rate: float,
        schedule: AdversarySchedule | None = None,
    ) -> None:
        self.model, self.schedule = model, schedule or AdversarySchedule()
        self.optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self.optimizer.build(model.trainable_variables)
        self.resting = tf.Variable(False)
        count = len(model.outputs)
        self.weights = tf.Variable(tf.zeros(count), trainable=False)
        self._mean_losses = tf.Variable(tf.fill((count,), CHANCE_LOSS), trainable=False)
        self._loss_ratio = tf.Variable(1.0)

    @property
    def state(self) -> list[Any]:
        """All variables that a checkpoint must hold."""
        return [
            *self.model.variables,
            *self.optimizer.variables,
            self.resting,
            self.weights,
            self._mean_losses,
            self._loss_ratio,
        ]

    def generator_losses(self, made_maps: Sequence[Any], code: Any) -> Any:
        """Return the generator's loss for each discriminator, `(discriminators,)`.

        Args:
            made_maps: Feature maps of made images, one array for each discriminator.
            code: The codes that the images were made from, or None.
        """
        verdicts = self._verdicts(made_maps, code, training=False)
        return -tf.stack([tf.reduce_mean(verdict) for verdict in verdicts])

    def update_weights(
        self,
        tape: Any,
        loss: Any,
        generator_losses: Any,
        made: Any,
        *,
        share: Any,
        step: Any,
    ) -> None:
        """Adjust `weights` now and then, so that gradients have the scheduled norm.

        With a fixed weight the discriminators would be lost beside losses with larger
        gradients, such as those of late layers. Esser et al. balance them the same way
        (https://arxiv.org/abs/2012.09841).

        Args:
            tape: A persistent tape that recorded how the losses follow from `made`.
            loss: The generator's loss without the discriminators.
            generator_losses: The losses that `generator_losses` returned.
            made: The images that the generator made.
            share: The norm of the gradient with respect to `made` that the
                discriminators should have, relative to that of `loss`.
            step: The number of the step.
        """
        count = self.weights.shape[0]

        def balanced() -> Any:
            loss_norm = tf.norm(tape.gradient(loss, made))
            # Each one by its own norm: that of the latest layer is by far the largest.
            norms = [
                tf.norm(tape.gradient(generator_losses, made, tf.one_hot(k, count)))
                for k in range(count)
            ]
            competence = tf.clip_by_value(CHANCE_LOSS - self._mean_losses, 0.0, 1.0)
            target = share * competence * loss_norm / (count * tf.stack(norms) + 1e-12)
            return (self.weights + target) / 2

        due = (step % WEIGHT_INTERVAL == 0) & (share > 0)
        self.weights.assign(tf.cond(due, balanced, lambda: tf.identity(self.weights)))

    def train(
        self,
        photo_maps: Sequence[Any],
        made_maps: Sequence[Any],
        code: Any,
        progress: Any,
    ) -> dict[str, Any]:
        """Train the discriminators once it is time; return what to log.

        Args:
            photo_maps: Feature maps of photos, one array for each discriminator.
            made_maps: Feature maps of made images.
            code: The codes that the images were made from, or None.
            progress: How much of the training is done, from 0 to 1.
        """
        loss = tf.cond(
            progress > self.schedule.start / 2,
            lambda: self.take_step(
                photo_maps, [tf.stop_gradient(maps) for maps in made_maps], code
            ),
            lambda: tf.constant(CHANCE_LOSS),
        )
        return {"judge": loss, "resting": tf.cast(self.resting, tf.float32)}

    def take_step(
        self, photo_maps: Sequence[Any], made_maps: Sequence[Any], code: Any
    ) -> Any:
        """Take one step, unless training is paused; return the mean hinge loss.

        Hinge loss: Lim and Ye, https://arxiv.org/abs/1705.02894.
        """
        maps = [
            tf.concat(pair, axis=0) for pair in zip(photo_maps, made_maps, strict=True)
        ]
        codes = None if code is None else tf.concat([code, code], axis=0)
        n = photo_maps[0].shape[0]
        variables = self.model.trainable_variables
        values = [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            verdicts = self._verdicts(maps, codes, training=True)
            losses = tf.stack([_hinge_loss(verdict, n) for verdict in verdicts])
            loss = tf.reduce_mean(losses)
        opponent_loss = tf.add_n(
            [tf.reduce_mean(tf.nn.relu(1 - verdict[n:])) for verdict in verdicts]
        ) / len(verdicts)
        self._mean_losses.assign(0.9 * self._mean_losses + 0.1 * losses)
        self._loss_ratio.assign(
            0.9 * self._loss_ratio + 0.1 * loss / (opponent_loss + 1e-6)
        )
        self.resting.assign(
            (self._loss_ratio < REST_BELOW)
            | (self.resting & (self._loss_ratio < RESUME_ABOVE))
        )

        def apply_gradients() -> Any:
            self.optimizer.apply(tape.gradient(loss, values), variables)
            return tf.constant(True)

        tf.cond(self.resting, lambda: tf.constant(False), apply_gradients)
        return loss

    def _verdicts(self, maps: Sequence[Any], code: Any, *, training: bool) -> list[Any]:
        inputs = [*maps] if code is None else [*maps, code]
        verdicts = self.model(inputs, training=training)
        return verdicts if isinstance(verdicts, list) else [verdicts]


class MeanImage:
    """Penalizes patterns that all made images share and photos do not.

    Where a code does not say at which position texture belongs, a generator puts it at
    the same positions in all images, as a lattice. The other losses do not notice:
    pixels are compared coarsely, and to discriminators of single images a lattice is a
    texture like any other. But photos have nothing in common at the same positions:
    the mean of many photos is smooth, while the lattice stays in the mean of many made
    images.

    The means are compared by frequency, each one relative to the power that single
    photos and images have there; otherwise only the low frequencies, which have most
    of the power, would count.

    Attributes:
        difference: `(c, size, size // 2 + 1, 2)`, the running mean of the difference
            between the spectra of made images and of photos: real and imaginary parts.
    """

    def __init__(self, size: int, channels: int = 3) -> None:
        shape = (channels, size, size // 2 + 1, 2)
        self.difference = tf.Variable(tf.zeros(shape), trainable=False)

    def distance(self, made: Any, photos: Any) -> Any:
        """Return a number with the gradient of the distance of the means.

        This also updates the running mean. The expectation of the number is the squared
        distance relative to the power of photos and images, so it is at most 1. One of
        the two factors of the square is the running mean over earlier batches, since
        the mean of a single batch shows more of chance than of a lattice.

        Args:
            made: `(n, size, size, c)`, images made by the generator.
            photos: `(n, size, size, c)`, the photos that they were made from.
        """
        photo_spectra, made_spectra = half_spectra(photos), half_spectra(made)
        power = sum(
            tf.reduce_mean(tf.reduce_sum(tf.square(x), axis=-1), axis=(0, 1))
            for x in (photo_spectra, made_spectra)
        )
        power = tf.stop_gradient(power) + LEAST_POWER
        current = tf.reduce_mean(made_spectra - photo_spectra, axis=0)
        earlier = tf.convert_to_tensor(self.difference)
        self.difference.assign(MEAN_DECAY * earlier + (1 - MEAN_DECAY) * current)
        return tf.reduce_mean(tf.reduce_sum(earlier * current, axis=-1) / power)


def _column_map(values: Any) -> Any:
    shape = (values.shape[0], values.shape[1], -1, values.shape[-1])
    return tf.reshape(values, shape)


def _hinge_loss(verdict: Any, photo_count: int) -> Any:
    """Return the loss of a discriminator whose batch begins with the photos."""
    real, fake = verdict[:photo_count], verdict[photo_count:]
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
