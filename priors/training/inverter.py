"""Recipe of an inverter: a generator that decodes the codes of images.

A code holds, in a few hundred numbers, what layers of a network show of an image
(`tfviz.priors._codes`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import resize
from tfviz.models.introspection import LOGITS
from tfviz.priors._codes import Code, fit_code
from tfviz.priors._networks import discriminator, inverter_generator
from tfviz.priors.training.layers import select_discriminator_layers
from tfviz.priors.training.losses import (
    Adversary,
    AdversarySchedule,
    MeanImage,
    PerceptualFeatures,
    channel_variances,
    kl_divergence,
    random_shift,
)

# The weights of the losses; that of the features is summed over layers. The gradient of
# the divergence of classes is about 40 times as long as that of the features.
PIXELS, FEATURES, CODE, MEAN_IMAGE, CLASSES = 10.0, 1.0, 0.25, 70.0, 0.1
# The share grows slowly: discriminators that count fully from the start keep the
# generator from learning what to show.
ADVERSARY = AdversarySchedule(share=0.4, start=0.02, full=0.4)
# The least side of a crop, as a fraction of the photo's.
ZOOM = 0.8
# Channels at 4, 8, 16, ... pixels: as many of them as an image's size needs, beginning
# with maps of `FIRST` pixels.
WIDTHS, FIRST = (256, 192, 128, 80, 48), 4
# The channels of one more stage, for images of 128 pixels.
LAST_WIDTH = 24
# The layers of the bundled network in which images are compared, with their weights,
# and those that the code is computed from. At the same weight, the gradient of a late
# layer is many times as long as that of an early one (the logits 50 times that of
# conv1), so that with more weight nothing but their texture would remain.
DEFAULT_LAYERS = {
    "conv1": 2.0,
    "fire3": 1.5,
    "fire5": 1.5,
    "fire7": 1.0,
    "fire9": 1.0,
    LOGITS: 0.5,
}
DEFAULT_CODE = ("fire9", LOGITS)


class Inverter:
    """Trains a generator to decode the codes of images; a `Recipe`.

    Args:
        adapter: The network whose activations are inverted.
        layers: The layers in which images are compared, with their weights.
        code: The transformation from images to codes.
        variances: The variance of each channel of `layers` over photos.
        widths: The channels of the generator, as `widths_for` returns them.
        batch: The number of photos in a step.
        learning_rate: The learning rate at the start.
        zoom: The least side of a crop, as a fraction of the photo's.
        seed: Random seed of the initial weights.

    Raises:
        ValueError: If no layer is suitable for the discriminators.
    """

    def __init__(
        self,
        adapter: Adapter,
        layers: Mapping[str, float],
        code: Code,
        variances: Mapping[str, NDArray[np.float32]],
        *,
        widths: Sequence[int],
        batch: int,
        learning_rate: float,
        zoom: float = ZOOM,
        seed: int = 0,
    ) -> None:
        self.size, self.batch, self.zoom = FIRST * 2 ** (len(widths) - 1), batch, zoom
        self.learning_rate = learning_rate
        self._code, self._widths = code, list(widths)
        self._features = PerceptualFeatures(
            adapter, layers, code.size, variances, squared=False
        )
        self.generator = inverter_generator(code.length, widths, seed=seed)
        self._mean_image = MeanImage(self.size)
        self._optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self._optimizer.build(self.generator.trainable_variables)
        self._discriminator_layers = select_discriminator_layers(
            adapter, layers, code.size
        )
        if not self._discriminator_layers:
            raise ValueError(
                f"Model {adapter.name!r} has no layer with a feature map by which "
                "discriminators could tell images from photos. Give a convolutional "
                "network."
            )
        discriminators = discriminator(
            [self._features.channel_count(path) for path in self._discriminator_layers],
            code.length,
            seed=seed + 1,
        )
        self._adversary = Adversary(discriminators, learning_rate, ADVERSARY)
        self.models = (adapter.model, self.generator, discriminators)
        self.exported: Mapping[str, Any] = {v.path: v for v in self.generator.variables}
        self.state: list[Any] = [
            *self.generator.variables,
            *self._optimizer.variables,
            *self._adversary.state,
            self._mean_image.difference,
        ]
        self.settings: Mapping[str, Any] = {
            "kind": "inverter",
            "code_layers": list(code.layers),
            "code": code.length,
            "widths": self._widths,
            "layers": dict(layers),
            "batch": batch,
            "learning_rate": learning_rate,
            "zoom": zoom,
        }
        self._encode = tf.function(
            lambda photos: code.encode(adapter, photos),
            autograph=False,
            reduce_retracing=True,
        )
        self._decode = tf.function(
            lambda codes: self.generator(codes, training=False) / 2 + 0.5,
            autograph=False,
            reduce_retracing=True,
        )

    def step(
        self, photos: Any, labels: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch; the classes of its photos do not count."""
        self._optimizer.learning_rate.assign(learning_rate)
        self._adversary.optimizer.learning_rate.assign(learning_rate)
        # The generator decodes the code of the photo as it is. Images are compared
        # after a random shift, so that no position of the network's strides is
        # special. Shifted images have other codes, and the generator does not know
        # the shift.
        code = self._encode(photos)
        shift = random_shift(seed)
        true = self._features.extract(photos, self._code.layers, shift=shift)
        target_code = self._code.encode_activations(true, photos)
        share = self._adversary.schedule.share_at(progress)
        variables = self.generator.trainable_variables
        values = [v.value for v in variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(values)
            made = self.generator(code, training=True)
            pictures = made / 2 + 0.5
            seen = self._features.extract(pictures, self._code.layers, shift=shift)
            features = self._features.distance(true, seen)
            pixels = tf.reduce_mean(tf.abs(_shrink(pictures) - _shrink(photos)))
            made_code = self._code.encode_activations(seen, pictures)
            codes = tf.reduce_mean(tf.math.squared_difference(target_code, made_code))
            mean_image = self._mean_image.distance(pictures, photos)
            classes = self._class_divergence(true, seen)
            loss = (
                PIXELS * pixels
                + FEATURES * features
                + CODE * codes
                + MEAN_IMAGE * mean_image
                + CLASSES * classes
            )
            made_maps = self._features.normalized_maps(seen, self._discriminator_layers)
            adversarial = self._adversary.generator_losses(made_maps, code)
            total = loss + tf.reduce_sum(self._adversary.weights * adversarial)
        self._adversary.update_weights(
            tape, loss, adversarial, made, share=share, step=seed[1]
        )
        self._optimizer.apply(tape.gradient(total, values), variables)
        photo_maps = self._features.normalized_maps(true, self._discriminator_layers)
        adversary_metrics = self._adversary.train(photo_maps, made_maps, code, progress)
        return {
            "features": features,
            "pixels": pixels,
            "code": codes,
            "common": mean_image,
            "classes": classes,
            "fooled": tf.reduce_mean(adversarial),
            **adversary_metrics,
        }

    def _class_divergence(
        self, true: Mapping[str, Any], seen: Mapping[str, Any]
    ) -> Any:
        """Return the divergence of the predicted classes, 0 for a network without any.

        The distance of logits does not replace it: it counts all classes alike, and so
        mostly those that the network does not see in the image.
        """
        if LOGITS not in self._features.layers:
            return tf.constant(0.0)
        return kl_divergence(true[LOGITS], seen[LOGITS])

    def encode(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return the codes of photos."""
        return self._encode(tf.constant(photos)).numpy()

    def reconstruct(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return reconstructions of photos."""
        return self._decode(tf.constant(self.encode(photos))).numpy()

    def sample_rows(self, photos: NDArray[Any]) -> list[NDArray[Any]]:
        """Return reconstructions of photos, and images of random codes."""
        shape = (len(photos), self._code.length)
        random = np.random.default_rng(0).standard_normal(shape, np.float32)
        return [self.reconstruct(photos), self._decode(tf.constant(random)).numpy()]

    def finalize(self, photos: Iterable[Any]) -> None:
        """Measure the statistics of batch normalizations for the final weights.

        The exported weights are a moving average. The average of the statistics of all
        earlier weights only approximates the statistics of the averaged weights.

        Args:
            photos: Batches in [0, 1].
        """
        layers = [
            layer
            for layer in self.generator.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        variables = [v for x in layers for v in (x.moving_mean, x.moving_variance)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0  # each batch replaces the statistics
        compiled = tf.function(
            lambda codes: self.generator(codes, training=True), autograph=False
        )
        statistics = []
        for batch in photos:
            compiled(self._encode(batch))
            statistics.append([np.asarray(variable) for variable in variables])
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        by_variable = zip(*statistics, strict=True)
        for variable, values in zip(variables, by_variable, strict=True):
            variable.assign(np.mean(values, axis=0))

    def file_contents(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the settings and the arrays of the prior's file."""
        code = self._code
        settings = {
            "kind": "inverter",
            "size": self.size,
            "widths": self._widths,
            "code_layers": list(code.layers),
            "seen_size": code.size,
            "grid": code.grid,
            "colours": code.colours,
        }
        weights = self.generator.get_weights()
        arrays = {f"generator/{k}": value for k, value in enumerate(weights)}
        return settings, arrays | {"code/mean": code.mean, "code/basis": code.basis}


def widths_for(size: int) -> tuple[int, ...]:
    """Return the channels of each stage of a generator of images of a size.

    Raises:
        ValueError: If an inverter cannot be trained at this size.

    >>> widths_for(16)
    (256, 192, 128)
    """
    widths = (*WIDTHS, LAST_WIDTH)
    sizes = [FIRST * 2**k for k in range(2, len(widths))]
    if size not in sizes:
        raise ValueError(
            f"The `size` of an inverter must be one of {', '.join(map(str, sizes))} "
            f"pixels. Received: size={size}"
        )
    return widths[: sizes.index(size) + 3]


def measure_code(
    adapter: Adapter,
    code_layers: Sequence[str],
    layers: Mapping[str, float],
    images: NDArray[np.float32],
    length: int,
    *,
    size: int = 128,
) -> tuple[Code, dict[str, NDArray[np.float32]]]:
    """Measure codes and variances on photos, before an inverter is trained.

    Args:
        adapter: The network.
        code_layers: The layers that the code is computed from.
        layers: The layers in which images are compared.
        images: `(n, h, w, 3)` in [0, 1].
        length: The number of components of a code.
        size: The height and width, in pixels, of the images that the network sees.

    Returns:
        The transformation from images to codes, and the variance of each channel of
        `layers`.
    """
    code = fit_code(adapter, code_layers, images, length=length, size=size)
    larger = resize(images[:1000], (code.size, code.size))
    return code, channel_variances(adapter, tuple(layers), np.asarray(larger))


def _shrink(images: Any) -> Any:
    return tf.nn.avg_pool2d(images, 4, 4, "VALID")
