"""How alike two images are to a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize

# A channel that varies less than this part of its layer's mean counts as if it did,
# so that channels that are nearly always off do not rule the distance.
FLOOR = 0.1
# How far images are moved before they are compared, in pixels. What strides and pools
# favour at some places, and would be seen as a grid, is spread over all by that.
REACH = 8


def random_shift(seed: Any) -> Any:
    """Return a `shift` for `Features.of`."""
    drawn = tf.random.stateless_uniform((2,), seed + tf.constant([11, 0]))
    return tf.cast(drawn * (2 * REACH + 1), tf.int32)


class Features:
    """Some layers of a network, each channel measured in its own deviations.

    A distance in them is called perceptual (Johnson et al.,
    https://arxiv.org/abs/1603.08155; Dosovitskiy and Brox,
    https://arxiv.org/abs/1602.02644).

    Squares ask a decoder for the mean of what it cannot know. Where the places of edges
    are lost, as in codes of late layers, that is some of every edge everywhere, and
    images get a mesh for it. Absolute differences ask for the median, which is
    nothing, and leave such places to an adversary.

    Attributes:
        layers: Their paths.
        size: Images are resized to this before the network sees them, in pixels.
        squared: Whether differences are squared.
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
            path: np.maximum(variances[path], FLOOR * variances[path].mean())
            for path in weights
        }
        self._weights = dict(weights)
        self._deviations = {path: np.sqrt(floored[path]) for path in weights}

    def of(
        self, images: Any, more: Sequence[str] = (), *, shift: Any = None
    ) -> dict[str, Any]:
        """Return the activations in images, in a graph.

        Args:
            images: `(n, h, w, c)` in [0, 1].
            more: Layers beside those that are compared.
            shift: `(2,)` whole numbers from 0 to `2 * REACH`: how far all images are
                moved down and right, from `-REACH` on.
        """
        images = resize(images, (self.size, self.size))
        if shift is not None:
            margins = [[0, 0], [REACH, REACH], [REACH, REACH], [0, 0]]
            padded = tf.pad(images, margins, "REFLECT")
            begin = tf.concat([[0], 2 * REACH - shift, [0]], axis=0)
            size = (images.shape[0], self.size, self.size, images.shape[3])
            images = tf.ensure_shape(tf.slice(padded, begin, size), size)
        paths = tuple(dict.fromkeys((*self.layers, *more)))
        return self._adapter.forward(images, paths)

    def distance(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Any:
        """Return how far apart activations are, `()`, in deviations.

        Summed over layers and averaged over everything else; of unlike images about 2
        for a layer of weight 1 where differences are squared, and 1 where not.
        """
        measure = tf.square if self.squared else tf.abs
        total = tf.constant(0.0)
        for path, weight in self._weights.items():
            change = (first[path] - second[path]) / self._deviations[path]
            total += weight * tf.reduce_mean(measure(change))
        return total

    def channels(self, path: str) -> int:
        """Return how many channels a layer has."""
        return len(self._deviations[path])

    def measured(
        self, activations: Mapping[str, Any], paths: Sequence[str]
    ) -> list[Any]:
        """Return the maps `(n, h, w, c)` of some layers, in deviations of channels.

        What has its places in a row, as tokens, is a map of one column.
        """
        found = [activations[path] / self._deviations[path] for path in paths]
        return [
            values if values.shape.rank == 4 else _as_map(values) for values in found
        ]


def divergence(wanted: Any, given: Any) -> Any:
    """Return how far the softmax of logits is from that of others, `()`, in nats.

    It is the Kullback-Leibler divergence, averaged over images: 0 where both are alike.
    The logits that are wanted are taken as they are.

    Args:
        wanted: `(n, ..., classes)`.
        given: The same.
    """
    wanted = tf.nn.log_softmax(tf.stop_gradient(wanted))
    apart = tf.exp(wanted) * (wanted - tf.nn.log_softmax(given))
    return tf.reduce_mean(tf.reduce_sum(apart, axis=-1))


def _as_map(values: Any) -> Any:
    shape = (values.shape[0], values.shape[1], -1, values.shape[-1])
    return tf.reshape(values, shape)


def variances(
    adapter: Adapter, layers: Sequence[str], images: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the variance of each channel of some layers over images and places."""
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)
    squares: dict[str, Any] = dict.fromkeys(layers, 0.0)
    parts = [images[i : i + 50] for i in range(0, len(images), 50)]
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    compiled = tf.function(
        lambda part: adapter.forward(part, layers), autograph=False
    ).get_concrete_function(spec)
    for part in parts:
        for path, found in compiled(tf.constant(part)).items():
            values = np.asarray(found, np.float64)
            axes = tuple(range(values.ndim - 1))
            share = len(part) / len(images)
            sums[path] = sums[path] + share * values.mean(axes)
            squares[path] = squares[path] + share * (values**2).mean(axes)
    return {
        path: (squares[path] - sums[path] ** 2).astype(np.float32) for path in layers
    }


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


# How slowly the known mean follows that of a batch: as if of 20 batches.
MEMORY = 0.95
# Power that counts as none.
LEAST = 1e-2


class MeanImage:
    """Holds the mean of made images to that of photos.

    A generator puts texture whose place a code does not tell where it likes, at the
    same places in all images. As a lattice it costs nothing: pixels are compared
    coarsely, and to judges of single images it is a texture like others. But photos
    have nothing in common at the same places: the mean of many is smooth, and a lattice
    is left.

    Waves are compared, each measured in what single photos and images have of it; else
    the slow ones, of which they have most, would be all that counts.

    Attributes:
        apart: `(2, c, size, size // 2 + 1)`, the known mean of the differences between
            the waves of made images and of photos: real and imaginary parts.
    """

    def __init__(self, size: int, channels: int = 3) -> None:
        shape = (2, channels, size, size // 2 + 1)
        self.apart = tf.Variable(tf.zeros(shape), trainable=False)

    def distance(self, made: Any, photos: Any) -> Any:
        """Return a number with the slope of the distance of the means, and learn.

        Its expectation is the squared distance, in parts of the power of photos and
        images, so that it is 1 at most. The mean of batches before stands for one of
        both factors, as the mean of a batch alone has more of chance than of lattice.

        Args:
            made: `(n, size, size, c)`.
            photos: The same, those that the images are made of.
        """
        true, found = _waves(photos), _waves(made)
        power = sum(tf.reduce_mean(tf.abs(x) ** 2, axis=(0, 1)) for x in (true, found))
        power = tf.stop_gradient(power) + LEAST
        apart = tf.reduce_mean(found - true, axis=0)
        apart = tf.stack([tf.math.real(apart), tf.math.imag(apart)])
        known = tf.convert_to_tensor(self.apart)
        self.apart.assign(MEMORY * known + (1 - MEMORY) * apart)
        return tf.reduce_mean(tf.reduce_sum(known * apart, axis=0) / power)


def _waves(images: Any) -> Any:
    return tf.signal.rfft2d(tf.transpose(images, (0, 3, 1, 2)))
