"""What a GAN's images are made from: the codes of photos, or their classes.

Each kind says which condition a photo belongs to, which other conditions the generator
must know, since an optimization leaves those of photos, and what an image has in common
with the photo whose condition it was made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.models.inputs import apply_in_batches
from tfviz.models.introspection import LOGITS
from tfviz.priors._calibration import Statistics, measure
from tfviz.priors._codes import BATCH, Code, fit_code
from tfviz.priors._gan_networks import ENCODER_WIDTHS, LAST_MAP
from tfviz.priors.training.augmentation import stream
from tfviz.priors.training.losses import PerceptualFeatures, channel_variances

# The layers of the encoder in which images are compared with photos, and their weights.
COMPARED = {
    **{f"stage{k + 1}": 1.0 for k in range(len(ENCODER_WIDTHS))},
    LOGITS: 0.5,
}
# The weights of the losses beside the adversarial one. Pixels count only as means over
# 8 by 8 cells: finer ones would blur the image.
FEATURES, CODE, PIXELS = 0.5, 0.5, 2.0
CELLS = 8
# The number of photos on which the variances of activations are measured.
VARIANCE_PHOTOS = 1000


@dataclass(frozen=True)
class CodeConditions:
    """The codes of photos in an encoder of our own: an instance-conditioned GAN.

    Casanova et al., https://arxiv.org/abs/2109.05070.

    Attributes:
        adapter: The encoder.
        code: The function from its activations to codes.
        features: The activations in which images are compared.
        variances: The variance of each channel of these over photos.
        statistics: The statistics of the codes of photos.
        z: The number of random numbers beside a code.
    """

    adapter: Adapter
    code: Code
    features: PerceptualFeatures
    variances: Mapping[str, NDArray[np.float32]]
    statistics: Statistics
    z: int = 64
    variant: str = "instance"

    @property
    def length(self) -> int:
        """The number of components of a code."""
        return self.code.length

    def of(self, photos: Any, labels: Any) -> tuple[Any, Any]:
        """Return the codes `(n, length)` of photos, and their activations."""
        seen = self.features.extract(photos, self.code.layers)
        return self.code.encode_activations(seen, photos), seen

    def others(self, conditions: Any, seed: Any) -> Any:
        """Return as many codes, half of them random, half mixed from two photos."""
        n = conditions.shape[0]
        random = tf.random.stateless_normal(conditions.shape, stream(seed, 1))
        angle = np.pi / 2 * tf.random.stateless_uniform((n, 1), stream(seed, 2))
        # The squares of both weights sum to 1, so that mixed codes are as long.
        mixed = tf.cos(angle) * conditions + tf.sin(angle) * tf.roll(conditions, 1, 0)
        return tf.where(tf.range(n)[:, None] < n // 2, random, mixed)

    def losses(
        self, photos: Any, seen: Any, made: Any, conditions: Any
    ) -> dict[str, Any]:
        """Compare features, colours of cells, and codes, also those of no photo.

        Args:
            photos: `(n, size, size, 3)` in [0, 1].
            seen: What `of` returned for the photos.
            made: `(m, size, size, 3)` in [0, 1], of which the first n were made from
                the conditions of the photos.
            conditions: `(m, length)`, the conditions of all images.

        Returns:
            The losses by name, weighted.
        """
        n = photos.shape[0]
        activations = self.features.extract(made, self.code.layers)
        codes = self.code.encode_activations(activations, made)
        first = {path: values[:n] for path, values in activations.items()}
        change = _cells(made[:n]) - _cells(photos)
        return {
            "features": FEATURES * self.features.distance(seen, first),
            "code": CODE * tf.reduce_mean((codes - conditions) ** 2),
            "pixels": PIXELS * tf.reduce_mean(tf.abs(change)),
        }


@dataclass(frozen=True)
class ClassConditions:
    """The classes of photos: a GAN that learns from pixels and labels alone.

    A condition is the weights of the classes times the root of their number, so that
    the mean square of its components is 1, as it is for codes.

    Attributes:
        length: The number of classes.
        z: The number of random numbers beside a class.
    """

    length: int
    z: int = 128
    variant: str = "classes"

    def of(self, photos: Any, labels: Any) -> tuple[Any, Any]:
        """Return the classes of photos; nothing is seen in these."""
        return tf.one_hot(labels, self.length) * self.length**0.5, None

    def others(self, conditions: Any, seed: Any) -> Any:
        """Return as many mixtures, half of them of all classes, half of two."""
        n = conditions.shape[0]
        # Exponential numbers divided by their sum are uniform over all mixtures.
        draws = tf.random.stateless_uniform(conditions.shape, stream(seed, 1), 1e-6)
        random = -tf.math.log(draws)
        random *= self.length**0.5 / tf.reduce_sum(random, axis=1, keepdims=True)
        weight = tf.random.stateless_uniform((n, 1), stream(seed, 2))
        mixed = weight * conditions + (1 - weight) * tf.roll(conditions, 1, axis=0)
        return tf.where(tf.range(n)[:, None] < n // 2, random, mixed)

    def losses(
        self, photos: Any, seen: Any, made: Any, conditions: Any
    ) -> dict[str, Any]:
        """Return nothing: no image is made from a single photo."""
        return {}


# Both have the same attributes and methods.
Conditions = CodeConditions | ClassConditions


def measure_codes(
    adapter: Adapter, images: NDArray[np.float32], length: int
) -> CodeConditions:
    """Measure the codes of photos in an encoder, before a GAN is trained.

    Args:
        adapter: The encoder.
        images: `(n, size, size, 3)` in [0, 1].
        length: The number of components of a code.
    """
    size = images.shape[1]
    code = fit_code(adapter, (LAST_MAP, LOGITS), images, length=length, size=size)
    variances = channel_variances(adapter, tuple(COMPARED), images[:VARIANCE_PHOTOS])
    codes = encode_all(adapter, code, images)
    return code_conditions(adapter, code, variances, measure(codes))


def code_conditions(
    adapter: Adapter,
    code: Code,
    variances: Mapping[str, NDArray[np.float32]],
    statistics: Statistics,
) -> CodeConditions:
    """Make conditions of what was measured.

    Args:
        adapter: The encoder.
        code: The function from activations to codes.
        variances: The variance of each channel of the compared layers.
        statistics: The statistics of the codes of photos.
    """
    features = PerceptualFeatures(
        adapter, COMPARED, code.size, variances, squared=False
    )
    return CodeConditions(adapter, code, features, variances, statistics)


def encode_all(
    adapter: Adapter, code: Code, images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the codes of many photos `(n, size, size, 3)` in [0, 1]."""
    spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    encode = tf.function(lambda part: code.encode(adapter, part), autograph=False)
    return apply_in_batches(encode.get_concrete_function(spec), BATCH, images)


def _cells(images: Any) -> Any:
    side = images.shape[1] // CELLS
    return tf.nn.avg_pool2d(images, side, side, "VALID")
