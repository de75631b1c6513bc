"""Recipe of an autoencoder, whose latent maps have an eighth of an image's size."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter
from tfviz.priors._calibration import measure
from tfviz.priors._networks import (
    autoencoder_decoder,
    autoencoder_encoder,
    discriminator,
)
from tfviz.priors.training.layers import select_discriminator_layers
from tfviz.priors.training.losses import (
    Adversary,
    AdversarySchedule,
    PerceptualFeatures,
    random_shift,
)

# The least side of a crop, as a fraction of the photo's.
ZOOM = 0.75
# The weights of the losses.
PIXELS, FEATURES = 20.0, 1.0
# A penalty keeps latents small, and they are decoded with Gaussian noise of this
# standard deviation, so that similar latents give similar images.
LATENT_PENALTY, NOISE = 1e-3, 0.05
# The least standard deviation that is written for a latent channel.
LEAST_STDDEV = 1e-3
ADVERSARY = AdversarySchedule(share=0.3, start=0.05, full=0.1)
# The layers of the bundled network in which images are compared, with their weights.
DEFAULT_LAYERS = {"conv1": 2.0, "fire3": 1.5, "fire5": 1.0, "fire7": 0.5, "fire9": 0.3}


class Autoencoder:
    """Trains an encoder and a decoder; a `Recipe`.

    Args:
        adapter: The network in which images are compared.
        layers: The layers in which they are compared, with their weights.
        variances: The variance of each channel of these layers over photos.
        channels: The number of channels of a latent map.
        size: The height and width of the crops to learn from, in pixels.
        batch: The number of photos in a step.
        learning_rate: The learning rate at the start.
        zoom: The least side of a crop, as a fraction of the photo's.
        seed: Random seed of the initial weights.
    """

    def __init__(
        self,
        adapter: Adapter,
        layers: Mapping[str, float],
        variances: Mapping[str, NDArray[np.float32]],
        *,
        channels: int,
        size: int,
        batch: int,
        learning_rate: float,
        zoom: float = ZOOM,
        seed: int = 0,
    ) -> None:
        self.size, self.batch, self.zoom = size, batch, zoom
        self.learning_rate = learning_rate
        self._channels = channels
        self._features = PerceptualFeatures(adapter, layers, size, variances)
        self.encoder = autoencoder_encoder(channels, seed=seed)
        self.decoder = autoencoder_decoder(channels, seed=seed + 1)
        self._variables = [
            *self.encoder.trainable_variables,
            *self.decoder.trainable_variables,
        ]
        self._optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self._optimizer.build(self._variables)
        self._discriminator_layers = select_discriminator_layers(adapter, layers, size)
        widths = [
            self._features.channel_count(path) for path in self._discriminator_layers
        ]
        discriminators = discriminator(widths, None, seed=seed + 2)
        self._adversary = Adversary(discriminators, learning_rate, ADVERSARY)
        self.models = (adapter.model, self.encoder, self.decoder, discriminators)
        self.exported: Mapping[str, Any] = {
            f"{model.name}/{v.path}": v
            for model in (self.encoder, self.decoder)
            for v in model.variables
        }
        self.state: list[Any] = [
            *self.exported.values(),
            *self._optimizer.variables,
            *self._adversary.state,
        ]
        self.settings: Mapping[str, Any] = {
            "kind": "autoencoder",
            "channels": channels,
            "size": size,
            "layers": dict(layers),
            "batch": batch,
            "learning_rate": learning_rate,
            "zoom": zoom,
        }
        self._encode = tf.function(
            lambda photos: self.encoder(photos * 2 - 1, training=False),
            autograph=False,
            reduce_retracing=True,
        )
        self._decode = tf.function(
            lambda latents: self.decoder(latents, training=False) / 2 + 0.5,
            autograph=False,
            reduce_retracing=True,
        )

    def step(
        self, photos: Any, labels: Any, seed: Any, progress: Any, learning_rate: Any
    ) -> dict[str, Any]:
        """Learn from a batch; the classes of its photos do not count."""
        self._optimizer.learning_rate.assign(learning_rate)
        self._adversary.optimizer.learning_rate.assign(learning_rate)
        shift = random_shift(seed)
        true = self._features.extract(photos, shift=shift)
        share = self._adversary.schedule.share_at(progress)
        values = [v.value for v in self._variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(values)
            latents = self.encoder(photos * 2 - 1, training=True)
            noise = tf.random.stateless_normal(
                latents.shape, seed + tf.constant([0, 3])
            )
            made = self.decoder(latents + NOISE * noise, training=True)
            pictures = made / 2 + 0.5
            seen = self._features.extract(pictures, shift=shift)
            features = self._features.distance(true, seen)
            pixels = tf.reduce_mean(tf.abs(pictures - photos))
            loss = PIXELS * pixels + FEATURES * features
            spread = LATENT_PENALTY * tf.reduce_mean(latents**2)
            made_maps = self._features.normalized_maps(seen, self._discriminator_layers)
            adversarial = self._adversary.generator_losses(made_maps, None)
            total = loss + spread + tf.reduce_sum(self._adversary.weights * adversarial)
        self._adversary.update_weights(
            tape, loss, adversarial, made, share=share, step=seed[1]
        )
        self._optimizer.apply(tape.gradient(total, values), self._variables)
        photo_maps = self._features.normalized_maps(true, self._discriminator_layers)
        adversary_metrics = self._adversary.train(photo_maps, made_maps, None, progress)
        return {
            "features": features,
            "pixels": pixels,
            "spread": spread,
            "fooled": tf.reduce_mean(adversarial),
            **adversary_metrics,
        }

    def encode(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return the latents of photos."""
        return self._encode(tf.constant(photos)).numpy()

    def reconstruct(self, photos: NDArray[Any]) -> NDArray[Any]:
        """Return reconstructions of photos."""
        return self._decode(tf.constant(self.encode(photos))).numpy()

    def sample_rows(self, photos: NDArray[Any]) -> list[NDArray[Any]]:
        """Return reconstructions of photos, as the only row."""
        return [self.reconstruct(photos)]

    def finalize(self, photos: Iterable[Any]) -> None:
        """Rotate the latents so that channels are uncorrelated, the largest first.

        The encoder's last and the decoder's first convolution are multiplied by
        principal axes, so reconstructions stay the same. This is needed because random
        latents are drawn independently for each channel: correlations of channels, such
        as those that make places light or dark, would be lost.

        Args:
            photos: Batches in [0, 1].
        """
        latents = np.concatenate([self.encode(batch) for batch in photos])
        covariance = np.cov(latents.reshape(-1, self._channels), rowvar=False)
        # With one channel the covariance is a single number.
        _, vectors = np.linalg.eigh(np.atleast_2d(covariance))
        rotation = vectors[:, ::-1].astype(np.float32)
        last, first = self.encoder.layers[-1], self.decoder.layers[1]
        last.kernel.assign(np.asarray(last.kernel) @ rotation)
        last.bias.assign(np.asarray(last.bias) @ rotation)
        kernel = np.einsum("hwio,ij->hwjo", np.asarray(first.kernel), rotation)
        first.kernel.assign(kernel)

    def file_contents(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the settings and the arrays of the prior's file."""
        parts = [
            held_out[i : i + self.batch] for i in range(0, len(held_out), self.batch)
        ]
        latents = np.concatenate([self.encode(part) for part in parts])
        statistics = measure(latents)
        settings = {
            "kind": "autoencoder",
            "size": self.size,
            "channels": self._channels,
        }
        arrays = {
            f"{model.name}/{k}": value
            for model in (self.encoder, self.decoder)
            for k, value in enumerate(model.get_weights())
        }
        arrays |= {
            "latent/mean": statistics.mean,
            "latent/stddev": np.maximum(statistics.stddev, LEAST_STDDEV),
            "latent/decay": np.asarray(statistics.decay),
            "latent/low": statistics.low,
            "latent/high": statistics.high,
        }
        return settings, arrays


def check_size(size: int) -> None:
    """Refuse sizes that an autoencoder cannot be trained at.

    Raises:
        ValueError: If the size is not a multiple of 8 pixels, from 32.
    """
    if size < 32 or size % 8:
        raise ValueError(
            "The `size` of an autoencoder must be a multiple of 8 pixels, at least 32. "
            f"Received: size={size}"
        )
