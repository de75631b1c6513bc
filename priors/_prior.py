"""The class of learned priors, and the function that makes one of any generator."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import transforms, views
from tfviz._errors import argument, either
from tfviz.params import Param
from tfviz.params._base import Latents, check_positive_integers, check_unit_range
from tfviz.priors import _calibration
from tfviz.priors._calibration import Statistics
from tfviz.priors._latents import Latent
from tfviz.priors._reading import Reading
from tfviz.priors._value_range import ends_of
from tfviz.views import View

# The weight of the mean squared distance of the pixels from the value range.
PULL = 1.0
# Arguments of `render` that suit generators.
DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "momentum": 0.9,
    "transforms": transforms.gentle(),
    "candidates": 32,
}
# The number of images that are decoded or encoded together.
BATCH = 32
# Multiplied by the index of a latent, this separates the random numbers of latents.
_SEED_STEP = 7919


@dataclass(frozen=True)
class Prior(Param):
    """A param whose images are made by a trained generator.

    The attributes of `Param` use latents in the form that is stored and optimized;
    `generate` and `invert` use the values that the generator takes.

    Attributes:
        latents: The latents of the generator's inputs, by name.
        generate: `generate(values) -> images`, the generator; its images lie in
            `value_range`.
        value_range: The values of black and white in the generator's images.
        invert: `invert(images) -> values`, the encoder, for images in [0, 1], or None.
        pull: The strength with which pixels outside of the value range are pulled back;
            see `within`.
        measured: Statistics of the latents, by name; empty before `calibrate`.
        reading: What was read off the generator's graph: the range of its last
            activation, and the number of classes of an input.
        range_source: Where `value_range` comes from, in words.
    """

    latents: Mapping[str, Latent] = field(default_factory=dict)
    generate: Callable[[Latents], Any] = lambda values: values
    value_range: tuple[float, float] = (0.0, 1.0)
    invert: Callable[[Any], Latents] | None = None
    pull: float = PULL
    measured: Mapping[str, Statistics] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    range_source: str = "as given"

    def calibrate(
        self, of: ArrayLike | int | str | os.PathLike[str], *, seed: int = 0
    ) -> "Prior":
        """Return this prior with its latents limited to the usual ones of images.

        Each unit of a latent vector, or each channel of a latent map, starts with the
        measured mean and standard deviation and stays between the measured 0.1st and
        99.9th percentiles, similar to the bounds of units in DGN-AM
        (https://arxiv.org/abs/1605.09304). Maps also get the measured spectrum.

        The returned prior has an empty `spec`, because a description cannot hold the
        measurements.

        Args:
            of: Images `(n, height, width, channels)` in [0, 1], which are encoded; or a
                number of random starts, for a prior without an encoder; or a file that
                `save_calibration` wrote.
            seed: The random seed of the random starts.

        Raises:
            ValueError: If the prior has no encoder for images, there are fewer than two
                images, or the file belongs to other latents.
        """
        if isinstance(of, (str, os.PathLike)):
            measured = _calibration.load(of)
        else:
            measured = self._measure_latents(of, seed)
        latents = dict(self.latents)
        for name, statistics in measured.items():
            latent = latents.get(name)
            shape = latent.shape if latent else None
            # The statistics of maps are those of their channels.
            expected = shape[-1:] if shape and len(shape) == 3 else shape
            if latent is None or statistics.mean.shape != expected:
                raise ValueError(
                    f"The calibration is of a latent {name!r} of the shape "
                    f"{statistics.mean.shape}; this prior has "
                    + ", ".join(f"{n!r} {v.shape}" for n, v in self.latents.items())
                )
            if latent.calibrated:
                latents[name] = latent.calibrated(statistics)
        return replace(self._with_latents(latents), measured=measured)

    def save_calibration(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics that `calibrate` measured to a file that it can read.

        Args:
            path: The name of the file, which ends in `.npz`.

        Raises:
            ValueError: If nothing was measured, or the name does not end in `.npz`.
        """
        if not self.measured:
            raise ValueError("Nothing was measured yet: call `calibrate` first.")
        _calibration.save(path, self.measured)

    def white(self) -> "Prior | None":
        """Return this prior with latent maps whose positions are independent.

        Decoders turn such maps into texture without objects, which shows the effect of
        storing maps as waves. None if no latent of the prior is such a map.
        """
        changed = {
            name: replace(latent.white(), usual=latent.usual)
            for name, latent in self.latents.items()
            if latent.white
        }
        return self._with_latents({**self.latents, **changed}) if changed else None

    def sample(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Return random images `(count, height, width, channels)` in [0, 1].

        Args:
            count: The number of images.
            seed: Random seed; another seed gives other images. With the same seed, a
                smaller `count` gives the first of the same images.
        """
        check_positive_integers(count=count)
        seeds = np.array([[seed, number] for number in range(count)], np.int32)
        parts = [
            np.asarray(self.decode(self.init(seeds[first : first + BATCH])))
            for first in range(0, count, BATCH)
        ]
        return np.clip(np.concatenate(parts), 0, 1)

    def _with_latents(self, latents: Mapping[str, Latent]) -> "Prior":
        prior = assembled(
            latents,
            self.generate,
            value_range=self.value_range,
            encode=self.invert,
            pull=self.pull,
            view=self.view,
            defaults=self.defaults,
        )
        return replace(
            prior,
            trained=self.trained,
            measured=self.measured,
            reading=self.reading,
            range_source=self.range_source,
        )

    def _measure_latents(self, of: Any, seed: int) -> dict[str, Statistics]:
        parts: list[Latents] = []
        if isinstance(of, int):
            check_positive_integers(n=of - 1)
            seeds = [[seed, number] for number in range(of)]
            stored = self.init(seeds)
            parts.append({n: v.values(stored[n]) for n, v in self.latents.items()})
        else:
            if self.invert is None:
                raise ValueError(
                    "This prior has no encoder to measure images with. Give one "
                    f"({argument('encoder')}), or "
                    + either(
                        python="a number of random starts instead of images.",
                        command_line="-n without --images, to measure random latents.",
                    )
                )
            images = np.asarray(of, np.float32)
            if images.ndim != 4 or len(images) < 2:
                raise ValueError(
                    "Images to measure must have the shape (n, height, width, "
                    f"channels), with at least 2 images. Received: {images.shape}"
                )
            check_unit_range(images, "images")
            for first in range(0, len(images), BATCH):
                parts.append(self.invert(images[first : first + BATCH]))
        return {
            name: _calibration.measure(
                np.concatenate([np.asarray(part[name]) for part in parts])
            )
            for name, latent in self.latents.items()
            if latent.optimized and name in parts[0]
        }


def assembled(
    latents: Mapping[str, Latent],
    decode: Callable[[Latents], Any],
    *,
    value_range: tuple[float, float],
    encode: Callable[[Any], Latents] | None = None,
    spec: Mapping[str, Any] | None = None,
    pull: float = PULL,
    view: View | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Prior:
    """Make a prior of any function from latents to images.

    Args:
        latents: The latents of the function's inputs, by name.
        decode: `decode(values) -> images` `(n, height, width, channels)`, from a dict
            with a tensor `(n, ...)` for each latent.
        value_range: The values of black and white in those images.
        encode: `encode(images) -> values`, for images in [0, 1], or None.
        spec: A description of the prior, as JSON values. It is stored with pictures;
            `from_spec` can read only those of `load`.
        pull: The strength with which pixels outside of the value range are pulled back;
            see `within`.
        view: The function from the prior's images to the images that the model sees;
            `views.resized()` by default.
        defaults: Arguments of `render` that suit this prior. They take precedence over
            those for all priors: a learning rate of 0.05, gentle transforms and 32
            candidates.

    Raises:
        ValueError: If `value_range` is not a range, no latent is optimized, an
            optimized latent gets no gradient, or the images are not finite.
    """
    low, high = ends_of(value_range)

    def init(seeds: Any) -> Latents:
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        # Otherwise two latents of the same shape would start from the same numbers.
        return {
            name: latent.start(_shift_seeds(seeds, index))
            for index, (name, latent) in enumerate(latents.items())
        }

    def values(stored: Latents) -> Latents:
        by_name = {
            name: latent.values(stored[name]) for name, latent in latents.items()
        }
        return {
            name: value if latents[name].optimized else tf.stop_gradient(value)
            for name, value in by_name.items()
        }

    def unclipped(stored: Latents) -> Any:
        return (tf.cast(decode(values(stored)), tf.float32) - low) / (high - low)

    def images(stored: Latents) -> Any:
        return within(unclipped(stored), pull)

    def project(stored: Latents) -> Latents:
        return {
            name: latents[name].stored(domain(latents[name].values(value)))
            if (domain := latents[name].domain)
            else value
            for name, value in stored.items()
        }

    penalties = {n: v.penalty for n, v in latents.items() if v.penalty is not None}

    def penalty(stored: Latents) -> Any:
        by_name = values(stored)
        return tf.add_n([term(by_name[name]) for name, term in penalties.items()])

    def inverse(pictures: Any, encode: Callable[[Any], Latents]) -> Latents:
        encoded = encode(tf.convert_to_tensor(pictures, tf.float32))
        return {n: latents[n].stored(value) for n, value in encoded.items()}

    optimized = [name for name, latent in latents.items() if latent.optimized]
    if not optimized:
        raise ValueError(
            f"No latent would be optimized: {', '.join(latents) or 'there are none'}. "
            "At least one must not be constant."
        )
    shape = _check_decoding(init, images, optimized)
    return Prior(
        init,
        images,
        shape,
        dict(spec or {}),
        project=project if any(v.domain for v in latents.values()) else None,
        penalty=penalty if penalties else None,
        encode=partial(inverse, encode=encode) if encode else None,
        view=view or views.resized(),
        defaults={**DEFAULTS, **(defaults or {})},
        values=values,
        diagnostics=_diagnostics(latents, unclipped),
        latents=dict(latents),
        generate=decode,
        value_range=(low, high),
        invert=encode,
        pull=pull,
        trained={},
    )


def within(images: Any, pull: float = PULL) -> Any:
    """Clip images to [0, 1] in a way that lets pixels return from outside.

    The gradient of the score passes through the clipping where a step along it leads
    back towards the range, as in VQGAN-CLIP (https://arxiv.org/abs/2204.08583). In
    addition, pixels are pulled back by the gradient of `-pull` times their mean squared
    distance from the range.

    Args:
        images: Images `(n, height, width, channels)`, not limited to [0, 1].
        pull: The weight of the squared distance, in units of the score.
    """

    @tf.custom_gradient
    def clip(images: Any) -> Any:
        inside = tf.clip_by_value(images, 0, 1)

        def gradient(upstream: Any) -> Any:
            excess = images - inside
            # With a plain clip, pixels that are once outside would never return.
            leads_back = excess * upstream <= 0
            size = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
            # Not a plain 0: TensorFlow's layout optimizer for graphics cards gives up
            # on graphs with a scalar in the place of a map.
            through = tf.where(leads_back, upstream, tf.zeros_like(upstream))
            return through - 2 * pull * excess / size

        return inside, gradient

    return clip(images)


def _diagnostics(
    latents: Mapping[str, Latent], unclipped: Callable[[Latents], Any]
) -> dict[str, Callable[[Latents], Any]]:
    """Return the functions that describe the latents at the end of a search."""

    def out_of_range(stored: Latents) -> Any:
        images = unclipped(stored)
        outside = tf.cast((images < 0) | (images > 1), tf.float32)
        return tf.reduce_mean(outside, axis=(1, 2, 3))

    def norm_percentile(stored: Latents, name: str, standard: Any) -> Any:
        z = standard(latents[name].values(stored[name]))
        squares = tf.reduce_sum(z**2, axis=tuple(range(1, z.shape.rank)))
        size = float(np.prod(latents[name].shape))
        # The squared length of d normal numbers has the chi-squared distribution.
        return 100 * tf.math.igamma(size / 2, squares / 2)

    def unusual(stored: Latents, name: str, usual: Any) -> Any:
        values = latents[name].values(stored[name])
        outside = tf.cast((values < usual[0]) | (values > usual[1]), tf.float32)
        return tf.reduce_mean(outside, axis=tuple(range(1, values.shape.rank)))

    functions: dict[str, Callable[[Latents], Any]] = {"out_of_range": out_of_range}
    for name, latent in latents.items():
        if latent.optimized and latent.standard:
            functions[f"{name}/norm_percentile"] = partial(
                norm_percentile, name=name, standard=latent.standard
            )
        if latent.optimized and latent.usual:
            functions[f"{name}/unusual"] = partial(
                unusual, name=name, usual=latent.usual
            )
    return functions


def _check_decoding(
    init: Callable[[Any], Latents],
    images_of: Callable[[Latents], Any],
    optimized: list[str],
) -> tuple[int, int, int]:
    """Return the shape of the images, after checking the gradient of each latent."""
    stored = {k: tf.convert_to_tensor(v) for k, v in init([[0, 1]]).items()}
    with tf.GradientTape() as tape:
        for name in optimized:
            tape.watch(stored[name])
        images = images_of(stored)
        # Random weights, so that any change of an image changes the sum.
        total = tf.reduce_sum(images * tf.random.stateless_normal(images.shape, [0, 1]))
    if images.shape.rank != 4 or None in images.shape:
        raise ValueError(
            "The generator must return images (n, height, width, channels). Received: "
            f"shape {images.shape}"
        )
    if not np.isfinite(images.numpy()).all():
        raise ValueError(
            "The generator returns images that are not finite. Check its weights."
        )
    gradients = tape.gradient(total, {name: stored[name] for name in optimized})
    for name, gradient in gradients.items():
        if gradient is None:
            raise ValueError(
                f"No gradient reaches the latent {name!r}. Does it select a class, or "
                f"does the generator round? Hold it constant {_hold(name)}."
            )
        size = np.abs(tf.convert_to_tensor(gradient).numpy()).max()
        if not (np.isfinite(size) and size > 0):
            raise ValueError(
                f"The gradient of the latent {name!r} is {size:g} at the start. Does "
                f"the generator use it? Hold it constant {_hold(name)}."
            )
    return tuple(images.shape[1:])


def _hold(name: str) -> str:
    """Return how a latent is held constant, to end a sentence."""
    return either(
        python="with priors.held or `optimized=False`",
        command_line=f"with {argument('latents', {name: 0})}",
    )


def _shift_seeds(seeds: Any, index: int) -> Any:
    return tf.stack([seeds[:, 0], seeds[:, 1] + _SEED_STEP * index], axis=1)
