"""A check of whether the random images of a prior look as they should."""

import numpy as np
import tensorflow as tf

from tfviz.models.inputs import resize
from tfviz.priors._prior import Prior
from tfviz.priors.training.checkpoint import variety

# A generator of which a larger share of values is clipped probably has another range.
OUT_OF_RANGE = 0.1
# The darkest hundredth of the pixels of random images is below the first of these, and
# the brightest hundredth is above the second.
DARK, BRIGHT = 0.35, 0.65
# Random images whose coarse colours differ by less than this, as root mean square, are
# practically the same image.
ALIKE = 0.02
# The size, in pixels, at which coarse colours are compared.
COARSE = 8


def checked(prior: Prior, count: int = 32) -> tuple[dict[str, float], list[str]]:
    """Check the random images of a prior, and the gradients of its latents.

    Args:
        prior: The prior to check.
        count: The number of random images, at least 2.

    Returns:
        A pair of measurements and warnings. The measurements are numbers by name:
        `not_finite`, the share of pixel values that are NaN or infinite;
        `out_of_range`, the share of values that are clipped; `dark` and `bright`, the
        1st and the 99th percentile of all pixels; `variety`, the root mean square
        difference between the coarse colours of two images, averaged over pairs; and
        for each latent that is optimized, `slope_in_NAME`, the largest absolute
        gradient of the mean brightness. The warnings say in words what looks wrong.
    """
    seeds = [[0, number] for number in range(count)]
    stored = {k: tf.convert_to_tensor(v) for k, v in prior.init(seeds).items()}
    optimized = [name for name, latent in prior.latents.items() if latent.optimized]
    with tf.GradientTape() as tape:
        tape.watch(stored)
        decoded = prior.decode(stored)
        brightness = tf.reduce_mean(decoded)
    gradients = tape.gradient(brightness, {name: stored[name] for name in optimized})
    images = decoded.numpy()
    finite = np.isfinite(images)
    dark, bright = np.percentile(images[finite], [1, 99]) if finite.any() else (0, 0)
    measurements = {
        "not_finite": float(1 - finite.mean()),
        "out_of_range": float(
            np.mean(np.asarray(prior.diagnostics["out_of_range"](stored)))
        ),
        "dark": float(dark),
        "bright": float(bright),
        "variety": variety(
            resize(np.where(finite, images, 0), (COARSE, COARSE)).numpy()
        ),
    }
    for name, gradient in gradients.items():
        measurements[f"slope_in_{name}"] = float(np.abs(gradient).max())
    return measurements, _warnings(measurements)


def _warnings(measurements: dict[str, float]) -> list[str]:
    warnings = []
    if measurements["not_finite"]:
        warnings.append(
            f"{measurements['not_finite']:.0%} of the pixels of random images are not "
            "finite."
        )
    if measurements["out_of_range"] > OUT_OF_RANGE:
        warnings.append(
            f"{measurements['out_of_range']:.0%} of the pixels lie outside of the "
            "value range; is it wider?"
        )
    if measurements["dark"] > DARK or measurements["bright"] < BRIGHT:
        warnings.append(
            f"random images go from {measurements['dark']:.2f} to "
            f"{measurements['bright']:.2f} of the value range, where 0 is black and 1 "
            "is white; is it narrower?"
        )
    if measurements["variety"] < ALIKE:
        warnings.append(
            "random images are all alike: the generator has collapsed, or does not "
            "use its latents."
        )
    return warnings
