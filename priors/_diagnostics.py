"""Whether a prior makes what it should."""

import numpy as np
import tensorflow as tf

from tfviz.models.inputs import resize
from tfviz.priors._prior import Prior
from tfviz.priors.training.samples import variety

# A generator that overshoots more often than this probably has another range.
OUT_OF_RANGE = 0.1
# The darkest hundredth of random images is darker, and the brightest is brighter.
DARK, BRIGHT = 0.35, 0.65
# Random images that are all nearer to each other than this, in root mean square of
# their coarse colours, are one image.
ALIKE = 0.02
COARSE = 8


def checked(prior: Prior, count: int = 32) -> tuple[dict[str, float], list[str]]:
    """Look at random images of a prior, and at the gradients of its latents.

    Args:
        prior: What to look at.
        count: How many images, from 2.

    Returns:
        What was found, by name: `out_of_range`, the share of numbers that are clipped;
        `dark` and `bright`, the 1st and the 99th percentile of all pixels; `variety`,
        the root mean square between the coarse colours of two images, averaged over
        pairs; and for each latent that is optimized, the largest slope of an image's
        brightness. And what looks wrong, in words.
    """
    seeds = [[0, number] for number in range(count)]
    stored = {k: tf.convert_to_tensor(v) for k, v in prior.init(seeds).items()}
    moving = [name for name, latent in prior.latents.items() if latent.optimized]
    with tf.GradientTape() as tape:
        tape.watch(stored)
        made = prior.decode(stored)
        brightness = tf.reduce_mean(made)
    slopes = tape.gradient(brightness, {name: stored[name] for name in moving})
    images = made.numpy()
    finite = np.isfinite(images)
    dark, bright = np.percentile(images[finite], [1, 99]) if finite.any() else (0, 0)
    facts = {
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
    for name, slope in slopes.items():
        facts[f"slope_in_{name}"] = float(np.abs(slope).max())
    return facts, _warnings(facts)


def _warnings(facts: dict[str, float]) -> list[str]:
    found = []
    if facts["not_finite"]:
        found.append(
            f"{facts['not_finite']:.0%} of the pixels of random images are not finite."
        )
    if facts["out_of_range"] > OUT_OF_RANGE:
        found.append(
            f"{facts['out_of_range']:.0%} of the pixels leave the range; is it wider?"
        )
    if facts["dark"] > DARK or facts["bright"] < BRIGHT:
        found.append(
            f"random images go from {facts['dark']:.2f} to {facts['bright']:.2f} of "
            "the range, where 0 is black and 1 is white; is it narrower?"
        )
    if facts["variety"] < ALIKE:
        found.append(
            "random images are all alike: the generator has collapsed, or does not "
            "use its latents."
        )
    return found
