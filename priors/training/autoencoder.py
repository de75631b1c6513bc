"""How an autoencoder is trained: latents at an eighth of an image's size."""

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
from tfviz.priors.training.layers import judged
from tfviz.priors.training.losses import Adversary, Features, Plan, random_shift

# What each part of the loss counts.
PIXELS, FEATURES = 20.0, 1.0
# Latents are drawn towards a variance of 1, and decoded with noise, so that near
# latents mean near images.
SPREAD, NOISE = 1e-3, 0.05
# A channel that varies less is taken to vary so much.
LEAST = 1e-3
ADVERSARY = Plan(share=0.3, begins=0.05, whole=0.1)
# What is compared, and how much it counts.
DEFAULT_LAYERS = {"conv1": 2.0, "fire3": 1.5, "fire5": 1.0, "fire7": 0.5, "fire9": 0.3}


class Autoencoder:
    """Trains an encoder and a decoder; a `Recipe`."""

    def __init__(
        self,
        adapter: Adapter,
        layers: Mapping[str, float],
        measured_variances: Mapping[str, NDArray[np.float32]],
        *,
        channels: int = 8,
        size: int = 64,
        batch: int = 16,
        learning_rate: float = 5e-4,
        zoom: float = 0.75,
        seed: int = 0,
    ) -> None:
        self.size, self.batch, self.zoom = size, batch, zoom
        self.learning_rate = learning_rate
        self._channels = channels
        self._features = Features(adapter, layers, size, measured_variances)
        self.encoder = autoencoder_encoder(channels, seed=seed)
        self.decoder = autoencoder_decoder(channels, seed=seed + 1)
        self._variables = [
            *self.encoder.trainable_variables,
            *self.decoder.trainable_variables,
        ]
        self._optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.99)
        self._optimizer.build(self._variables)
        self._judged = judged(adapter, layers, size)
        channels_seen = [self._features.channels(path) for path in self._judged]
        judges = discriminator(channels_seen, None, seed=seed + 2)
        self._adversary = Adversary(judges, learning_rate, ADVERSARY)
        self.exported = {
            f"{model.name}/{v.path}": v
            for model in (self.encoder, self.decoder)
            for v in model.variables
        }
        self.state = [
            *self.exported.values(),
            *self._optimizer.variables,
            *self._adversary.state,
        ]
        self.settings = {
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

    def step(self, photos: Any, seed: Any, progress: Any, rate: Any) -> dict[str, Any]:
        """Learn from a batch."""
        self._optimizer.learning_rate.assign(rate)
        self._adversary.optimizer.learning_rate.assign(rate)
        shift = random_shift(seed)
        true = self._features.of(photos, shift=shift)
        share = self._adversary.plan.share_at(progress)
        values = [v.value for v in self._variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(values)
            latents = self.encoder(photos * 2 - 1, training=True)
            noise = tf.random.stateless_normal(
                latents.shape, seed + tf.constant([0, 3])
            )
            made = self.decoder(latents + NOISE * noise, training=True)
            pictures = made / 2 + 0.5
            seen = self._features.of(pictures, shift=shift)
            features = self._features.distance(true, seen)
            pixels = tf.reduce_mean(tf.abs(pictures - photos))
            loss = PIXELS * pixels + FEATURES * features
            spread = SPREAD * tf.reduce_mean(latents**2)
            known = self._features.measured(seen, self._judged)
            fooled = self._adversary.fooled(known, None)
            total = loss + spread + tf.reduce_sum(self._adversary.weights * fooled)
        self._adversary.weigh(tape, loss, fooled, made, share=share, number=seed[1])
        self._optimizer.apply(tape.gradient(total, values), self._variables)
        photographed = self._features.measured(true, self._judged)
        taught = self._adversary.taught(photographed, known, None, progress)
        return {
            "features": features,
            "pixels": pixels,
            "spread": spread,
            "fooled": tf.reduce_mean(fooled),
            **taught,
        }

    def encode(self, photos: NDArray) -> NDArray:
        """Return the latents of photos."""
        return self._encode(tf.constant(photos)).numpy()

    def remade(self, photos: NDArray) -> NDArray:
        """Return reconstructions of photos."""
        return self._decode(tf.constant(self.encode(photos))).numpy()

    def shown(self, photos: NDArray) -> list[NDArray]:
        """Return reconstructions."""
        return [self.remade(photos)]

    def settle(self, photos: Iterable[Any]) -> None:
        """Turn the latents so that their channels are uncorrelated, the largest first.

        The same images come of it. But random latents are drawn channel by channel:
        what channels do together would be lost, such as light and dark.

        Args:
            photos: Batches, in [0, 1].
        """
        found = np.concatenate([self.encode(batch) for batch in photos])
        covariance = np.cov(found.reshape(-1, self._channels), rowvar=False)
        # Of one channel it is a number.
        _, vectors = np.linalg.eigh(np.atleast_2d(covariance))
        turn = vectors[:, ::-1].astype(np.float32)
        last, first = self.encoder.layers[-1], self.decoder.layers[1]
        last.kernel.assign(np.asarray(last.kernel) @ turn)
        last.bias.assign(np.asarray(last.bias) @ turn)
        kernel = np.einsum("hwio,ij->hwjo", np.asarray(first.kernel), turn)
        first.kernel.assign(kernel)

    def product(
        self, held_out: NDArray[np.float32]
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return the settings and the arrays of the prior's file."""
        parts = [
            held_out[i : i + self.batch] for i in range(0, len(held_out), self.batch)
        ]
        latents = np.concatenate([self.encode(part) for part in parts])
        found = measure(latents)
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
            "latent/mean": found.mean,
            "latent/stddev": np.maximum(found.stddev, LEAST),
            "latent/decay": np.asarray(found.decay),
            "latent/low": found.low,
            "latent/high": found.high,
        }
        return settings, arrays
