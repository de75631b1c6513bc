"""How an inverter is trained: images from what a layer of a network sees in them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import scaled
from tfviz.models.introspection import LOGITS
from tfviz.priors._codes import Code, fit_code
from tfviz.priors._networks import discriminator, inverter_generator
from tfviz.priors.training.layers import judged
from tfviz.priors.training.losses import (
    Adversary,
    Features,
    MeanImage,
    Plan,
    divergence,
    random_shift,
    variances,
)

# What each part of the loss counts. Features are summed over layers. The classes have
# slopes about 40 times as long as theirs.
PIXELS, FEATURES, CODE, COMMON, CLASSES = 10.0, 1.0, 0.25, 70.0, 0.1
# Slowly: judges that count as much from the start keep it from learning what to show.
ADVERSARY = Plan(share=0.4, begins=0.02, whole=0.4)
# Channels at 4, 8, 16, ... pixels; as many as it takes to reach an image's size.
WIDTHS, FIRST = (256, 192, 128, 80, 48), 4
# For images of 128 pixels.
LAST_WIDTH = 24
# What is compared, and how much it counts, and what the code is made of. A late layer
# has slopes many times as large as an early one for the same weight (the logits 50
# times those of conv1), so that more weight for them leaves nothing but their texture.
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
    """Trains a generator to decode the codes of a layer; a `Recipe`."""

    def __init__(
        self,
        adapter: Adapter,
        layers: Mapping[str, float],
        code: Code,
        measured_variances: Mapping[str, NDArray[np.float32]],
        *,
        widths: Sequence[int] = WIDTHS,
        batch: int = 32,
        learning_rate: float = 6e-4,
        zoom: float = 0.8,
        seed: int = 0,
    ) -> None:
        self.size, self.batch, self.zoom = FIRST * 2 ** (len(widths) - 1), batch, zoom
        self.learning_rate = learning_rate
        self._code, self._widths = code, list(widths)
        self._features = Features(
            adapter, layers, code.size, measured_variances, squared=False
        )
        self.generator = inverter_generator(code.length, widths, seed=seed)
        self._mean_image = MeanImage(self.size)
        self._optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self._optimizer.build(self.generator.trainable_variables)
        self._judged = judged(adapter, layers, code.size)
        if not self._judged:
            raise ValueError(
                f"Model {adapter.name!r} has no layer with a map of channels, by which "
                "images could be told from photos. Give a convolutional network."
            )
        judges = discriminator(
            [self._features.channels(path) for path in self._judged],
            code.length,
            seed=seed + 1,
        )
        self._adversary = Adversary(judges, learning_rate, ADVERSARY)
        self.exported = {v.path: v for v in self.generator.variables}
        self.state = [
            *self.generator.variables,
            *self._optimizer.variables,
            *self._adversary.state,
            self._mean_image.apart,
        ]
        self.settings = {
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

    def step(self, photos: Any, seed: Any, progress: Any, rate: Any) -> dict[str, Any]:
        """Learn from a batch."""
        self._optimizer.learning_rate.assign(rate)
        self._adversary.optimizer.learning_rate.assign(rate)
        # The code is of the photo as it is: images that are shifted, so that no place
        # of the network's grid is special, have others, and do not tell by how much.
        code = self._encode(photos)
        shift = random_shift(seed)
        true = self._features.of(photos, self._code.layers, shift=shift)
        wanted = self._code.encode_activations(true, photos)
        share = self._adversary.plan.share_at(progress)
        variables = self.generator.trainable_variables
        values = [v.value for v in variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(values)
            made = self.generator(code, training=True)
            pictures = made / 2 + 0.5
            seen = self._features.of(pictures, self._code.layers, shift=shift)
            features = self._features.distance(true, seen)
            pixels = tf.reduce_mean(tf.abs(_small(pictures) - _small(photos)))
            again = self._code.encode_activations(seen, pictures)
            codes = tf.reduce_mean(tf.math.squared_difference(wanted, again))
            common = self._mean_image.distance(pictures, photos)
            classes = self._classes_apart(true, seen)
            loss = (
                PIXELS * pixels
                + FEATURES * features
                + CODE * codes
                + COMMON * common
                + CLASSES * classes
            )
            known = self._features.measured(seen, self._judged)
            fooled = self._adversary.fooled(known, code)
            total = loss + tf.reduce_sum(self._adversary.weights * fooled)
        self._adversary.weigh(tape, loss, fooled, made, share=share, number=seed[1])
        self._optimizer.apply(tape.gradient(total, values), variables)
        photographed = self._features.measured(true, self._judged)
        taught = self._adversary.taught(photographed, known, code, progress)
        return {
            "features": features,
            "pixels": pixels,
            "code": codes,
            "common": common,
            "classes": classes,
            "fooled": tf.reduce_mean(fooled),
            **taught,
        }

    def _classes_apart(self, true: Mapping[str, Any], seen: Mapping[str, Any]) -> Any:
        """Return how far apart the classes are, where the network has any.

        Differences of all logits alike are mostly of those that are small, and so of no
        class that the network sees.
        """
        if LOGITS not in self._features.layers:
            return tf.constant(0.0)
        return divergence(true[LOGITS], seen[LOGITS])

    def encode(self, photos: NDArray) -> NDArray:
        """Return the codes of photos."""
        return self._encode(tf.constant(photos)).numpy()

    def remade(self, photos: NDArray) -> NDArray:
        """Return reconstructions of photos."""
        return self._decode(tf.constant(self.encode(photos))).numpy()

    def shown(self, photos: NDArray) -> list[NDArray]:
        """Return reconstructions, and images of random codes."""
        shape = (len(photos), self._code.length)
        random = np.random.default_rng(0).standard_normal(shape, np.float32)
        return [self.remade(photos), self._decode(tf.constant(random)).numpy()]

    def settle(self, photos: Iterable[Any]) -> None:
        """Measure the statistics of the normalizations for the weights as they are.

        Averaged weights need their own: the average of what others had is only near.

        Args:
            photos: Batches, in [0, 1].
        """
        layers = [
            layer
            for layer in self.generator.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        variables = [v for x in layers for v in (x.moving_mean, x.moving_variance)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0  # so that they hold one batch's
        compiled = tf.function(
            lambda codes: self.generator(codes, training=True), autograph=False
        )
        found = []
        for batch in photos:
            compiled(self._encode(batch))
            found.append([np.asarray(variable) for variable in variables])
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for variable, values in zip(variables, zip(*found, strict=True), strict=True):
            variable.assign(np.mean(values, axis=0))

    def product(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
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


def _small(images: Any) -> Any:
    return tf.nn.avg_pool2d(images, 4, 4, "VALID")


def widths_for(size: int) -> tuple[int, ...]:
    """Return the widths of a generator of images of a size.

    Raises:
        ValueError: If there is none.

    >>> widths_for(16)
    (256, 192, 128)
    """
    widths = (*WIDTHS, LAST_WIDTH)
    sizes = [FIRST * 2**k for k in range(2, len(widths))]
    if size not in sizes:
        raise ValueError(
            f"An inverter's `size` is one of {', '.join(map(str, sizes))} pixels. "
            f"Received: size={size}"
        )
    return widths[: sizes.index(size) + 3]


def prepared(
    adapter: Adapter,
    code_layers: Sequence[str],
    layers: Mapping[str, float],
    images: NDArray[np.float32],
    length: int,
    *,
    size: int = 128,
) -> tuple[Code, dict[str, NDArray[np.float32]]]:
    """Measure the code of some layers and the variances of the layers compared."""
    code = fit_code(adapter, code_layers, images, length=length, size=size)
    larger = scaled(images[:1000], (code.size, code.size))
    return code, variances(adapter, tuple(layers), np.asarray(larger))
