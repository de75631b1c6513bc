"""A generator with its latents as a param."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfviz import transforms, views
from tfviz.params import Param
from tfviz.params._base import Latents, check_positive_integers, check_unit_range
from tfviz.priors import _calibration
from tfviz.priors._calibration import Measured
from tfviz.priors._latents import Latent
from tfviz.views import View

# How strongly pixels are pulled back that leave the range: what the mean squared
# distance counts.
PULL = 1.0
# What suits generators; see `render`.
DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "transforms": transforms.gentle(),
    "candidates": 32,
}
# Images that are decoded or encoded together.
AT_ONCE = 32


@dataclass(frozen=True)
class Prior(Param):
    """A param whose images a generator makes.

    Attributes:
        latents: What the generator takes, by name.
        generate: `generate(values) -> images` in `value_range`, from what it takes.
        value_range: What black and white are in those images.
        invert: `invert(images) -> values`, for images in [0, 1], or None.
        pull: How strongly pixels are pulled back that leave the range; see `within`.
        measured: Statistics of the latents, by name, once `calibrate` has found them.
    """

    latents: Mapping[str, Latent] = field(default_factory=dict)
    generate: Callable[[Latents], Any] = lambda values: values
    value_range: tuple[float, float] = (0.0, 1.0)
    invert: Callable[[Any], Latents] | None = None
    pull: float = PULL
    measured: Mapping[str, Measured] = field(default_factory=dict)

    def calibrate(
        self, of: ArrayLike | int | str | os.PathLike, *, seed: int = 0
    ) -> "Prior":
        """Return this prior with its latents where those of images are.

        Each unit of a latent, or each channel of a map, starts from the mean and the
        deviation that were measured, and stays between the 0.1st and the 99.9th
        percentile (DGN-AM, https://arxiv.org/abs/1605.09304, bounds units so). Maps
        also get the spectrum that was measured.

        A description does not tell where latents were measured, so its `spec` is empty.

        Args:
            of: Images `(n, height, width, channels)` in [0, 1], which are encoded; or
                a number of random draws, for latents that are made of other random
                numbers; or a file that `save_calibration` wrote.
            seed: Of random draws.

        Raises:
            ValueError: If there is no encoder for images, fewer than two are given, or
                a file is of other latents.
        """
        if isinstance(of, (str, os.PathLike)):
            measures = _calibration.load(of)
        else:
            measures = self._measures(of, seed)
        latents = dict(self.latents)
        for name, statistics in measures.items():
            known = latents.get(name)
            shape = known.shape if known else None
            # Of maps, channels are measured.
            wanted = shape[-1:] if shape and len(shape) == 3 else shape
            if known is None or statistics.mean.shape != wanted:
                raise ValueError(
                    f"The calibration is of a latent {name!r} of the shape "
                    f"{statistics.mean.shape}; this prior has "
                    + ", ".join(f"{n!r} {v.shape}" for n, v in self.latents.items())
                )
            if known.calibrated:
                latents[name] = known.calibrated(statistics)
        return replace(self._with(latents), measured=measures)

    def white(self) -> "Prior | None":
        """Return this prior with maps of latents whose places are independent.

        Decoders make texture without objects of those, which shows what the waves are
        for. None without such maps.
        """
        changed = {
            name: replace(latent.white(), usual=latent.usual)
            for name, latent in self.latents.items()
            if latent.white
        }
        return self._with({**self.latents, **changed}) if changed else None

    def _with(self, latents: Mapping[str, Latent]) -> "Prior":
        made = assembled(
            latents,
            self.generate,
            value_range=self.value_range,
            encode=self.invert,
            pull=self.pull,
            view=self.view,
            defaults=self.defaults,
        )
        return replace(made, trained=self.trained, measured=self.measured)

    def sample(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Return random images `(count, height, width, channels)` in [0, 1].

        Args:
            count: How many.
            seed: Of them all; the first ones do not depend on `count`.
        """
        check_positive_integers(count=count)
        seeds = np.array([[seed, number] for number in range(count)], np.int32)
        parts = [
            np.asarray(self.decode(self.init(seeds[first : first + AT_ONCE])))
            for first in range(0, count, AT_ONCE)
        ]
        return np.clip(np.concatenate(parts), 0, 1)

    def _measures(self, of: Any, seed: int) -> dict[str, Measured]:
        parts: list[Latents] = []
        if isinstance(of, int):
            check_positive_integers(n=of - 1)
            seeds = [[seed, number] for number in range(of)]
            stored = self.init(seeds)
            parts.append({n: v.values(stored[n]) for n, v in self.latents.items()})
        else:
            if self.invert is None:
                raise ValueError(
                    "This prior has no encoder to measure images with. Give a number "
                    "of random draws instead."
                )
            images = np.asarray(of, np.float32)
            if images.ndim != 4 or len(images) < 2:
                raise ValueError(
                    "Images to measure have the shape (n, height, width, channels), "
                    f"with n from 2. Received: {images.shape}"
                )
            check_unit_range(images, "images")
            for first in range(0, len(images), AT_ONCE):
                parts.append(self.invert(images[first : first + AT_ONCE]))
        return {
            name: _calibration.measured(
                np.concatenate([np.asarray(part[name]) for part in parts])
            )
            for name, latent in self.latents.items()
            if latent.optimized and name in parts[0]
        }

    def save_calibration(self, path: str | os.PathLike) -> None:
        """Write what `calibrate` measured to a file that it reads.

        Args:
            path: Ends in `.npz`.

        Raises:
            ValueError: If nothing was measured, or the name ends in something else.
        """
        if not self.measured:
            raise ValueError("Nothing was measured yet: call `calibrate` first.")
        _calibration.save(path, self.measured)


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
    """Return a param whose images a generator makes.

    Args:
        latents: What the generator takes, by name.
        decode: `decode(values) -> images` `(n, height, width, channels)`, from a dict
            with a tensor `(n, ...)` for each latent.
        value_range: What black and white are in those images.
        encode: `encode(images) -> values`, for images in [0, 1], or None.
        spec: What makes the param up, as JSON values.
        pull: As in `within`.
        view: What a model is shown of the images; `views.resized()` by default.
        defaults: Arguments of `render` that suit it, beside or instead of
            `priors.DEFAULTS`.

    Raises:
        ValueError: If the range is none, no latent shall be optimized, one that shall
            be gets no gradient, or the generator gives no finite images.
    """
    low, high = _checked_range(value_range)

    def init(seeds: Any) -> Latents:
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        # Two latents of one shape shall not be the same numbers.
        return {
            name: latent.start(_apart(seeds, place))
            for place, (name, latent) in enumerate(latents.items())
        }

    def values(stored: Latents) -> Latents:
        found = {name: latent.values(stored[name]) for name, latent in latents.items()}
        return {
            name: value if latents[name].optimized else tf.stop_gradient(value)
            for name, value in found.items()
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
        found = values(stored)
        return tf.add_n([term(found[name]) for name, term in penalties.items()])

    def inverse(pictures: Any, encode: Callable[[Any], Latents]) -> Latents:
        found = encode(tf.convert_to_tensor(pictures, tf.float32))
        return {n: latents[n].stored(value) for n, value in found.items()}

    moving = [name for name, latent in latents.items() if latent.optimized]
    if not moving:
        raise ValueError(
            f"No latent would be optimized: {', '.join(latents) or 'there are none'}. "
            "At least one must move."
        )
    shape = _tested(init, images, moving)
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


def _diagnostics(
    latents: Mapping[str, Latent], unclipped: Callable[[Latents], Any]
) -> dict[str, Callable[[Latents], Any]]:
    """Return what is told of latents at the end of a search."""

    def outside(stored: Latents) -> Any:
        made = unclipped(stored)
        over = tf.cast((made < 0) | (made > 1), tf.float32)
        return tf.reduce_mean(over, axis=(1, 2, 3))

    def percentile(stored: Latents, name: str, standard: Any) -> Any:
        found = standard(latents[name].values(stored[name]))
        squares = tf.reduce_sum(found**2, axis=tuple(range(1, found.shape.rank)))
        size = float(np.prod(latents[name].shape))
        # The squared length of d normal numbers has the chi-squared distribution.
        return 100 * tf.math.igamma(size / 2, squares / 2)

    def unusual(stored: Latents, name: str, usual: Any) -> Any:
        found = latents[name].values(stored[name])
        over = tf.cast((found < usual[0]) | (found > usual[1]), tf.float32)
        return tf.reduce_mean(over, axis=tuple(range(1, found.shape.rank)))

    told: dict[str, Callable[[Latents], Any]] = {"out_of_range": outside}
    for name, latent in latents.items():
        if latent.optimized and latent.standard:
            told[f"{name}/norm_percentile"] = partial(
                percentile, name=name, standard=latent.standard
            )
        if latent.optimized and latent.usual:
            told[f"{name}/unusual"] = partial(unusual, name=name, usual=latent.usual)
    return told


def within(images: Any, pull: float = PULL) -> Any:
    """Clip images to [0, 1] so that what is outside can come back.

    The gradient passes where a step along it leads into the range (as in VQGAN-CLIP,
    https://arxiv.org/abs/2204.08583), and that of `-pull` times the mean squared
    distance from the range is added.

    Args:
        images: `(n, height, width, channels)`.
        pull: In units of the score.
    """

    @tf.custom_gradient
    def clipped(images: Any) -> Any:
        inside = tf.clip_by_value(images, 0, 1)

        def gradient(upstream: Any) -> Any:
            over = images - inside
            # The scores' gradient passes only where it leads back; a plain clip would
            # hold for ever what is outside.
            leads_back = over * upstream <= 0
            size = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
            return tf.where(leads_back, upstream, 0) - 2 * pull * over / size

        return inside, gradient

    return clipped(images)


def _tested(
    init: Callable[[Any], Latents], images: Callable[[Latents], Any], moving: list[str]
) -> tuple[int, int, int]:
    """Return the shape of the images, once each latent is known to reach them."""
    stored = {k: tf.convert_to_tensor(v) for k, v in init([[0, 1]]).items()}
    with tf.GradientTape() as tape:
        for name in moving:
            tape.watch(stored[name])
        made = images(stored)
        # Any picture but a flat one has a variance.
        spread = tf.reduce_sum(made * tf.random.stateless_normal(made.shape, [0, 1]))
    if made.shape.rank != 4 or None in made.shape:
        raise ValueError(
            "The generator must give images (n, height, width, channels). Received: "
            f"shape {made.shape}"
        )
    if not np.isfinite(made.numpy()).all():
        raise ValueError(
            "The generator gives images that are not finite; are its weights?"
        )
    for name, slope in tape.gradient(spread, {n: stored[n] for n in moving}).items():
        if slope is None:
            raise ValueError(
                f"No gradient reaches the latent {name!r}. Is it a whole number, or "
                "does the generator round? Hold it instead, with `optimized=False`."
            )
        size = np.abs(tf.convert_to_tensor(slope).numpy()).max()
        if not (np.isfinite(size) and size > 0):
            raise ValueError(
                f"The gradient in the latent {name!r} is {size:g} at the start. "
                "Does the generator use it? Hold it with `optimized=False`, or start "
                "elsewhere."
            )
    return tuple(made.shape[1:])


def _apart(seeds: Any, place: int) -> Any:
    return tf.stack([seeds[:, 0], seeds[:, 1] + 7919 * place], axis=1)


def _checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not low < high:
        raise ValueError(
            "`value_range` must say what black and white are in the generator's "
            "images: (-1, 1) after tanh, (0, 1) after a sigmoid. Received: "
            f"value_range={value_range}"
        )
    return low, high
