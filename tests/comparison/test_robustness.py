"""The transforms of the robustness test lie outside of those of the methods."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from support import seeds_for
from tfviz import params, priors, transforms
from tfviz.comparison.robustness import ANGLES, NOISE, overlap, unseen_transforms
from tfviz.transforms import Transform, chain, noise, pad, rotate


@pytest.mark.parametrize("name", transforms.PRESETS)
def test_no_preset_reaches_the_test(name):
    assert overlap(transforms.PRESETS[name]()) == "none"


def test_no_param_brings_transforms_that_reach_the_test():
    everything = [getattr(params, n)(32, 32) for n in ("pixels", "maco", "fourier")]
    everything += [priors.load(name) for name in ("inverter", "autoencoder")]
    for param in everything:
        own = param.defaults.get("transforms", transforms.distill())
        assert overlap(own) == "none"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (rotate([0, 11.9]), "none"),
        (rotate([0, -12]), "some"),
        (chain(rotate([0, 5]), pad(4), rotate([-7])), "some"),
        (noise(0.029), "none"),
        (noise(0.03), "some"),
        (chain(noise(0.02), noise(0.023)), "some"),
        (Transform(lambda images, seeds: images), "unknown"),
        (chain(pad(2), Transform(lambda images, seeds: images)), "unknown"),
        (chain(rotate([30]), Transform(lambda images, seeds: images)), "some"),
        (unseen_transforms(), "some"),
    ],
)
def test_ranges_are_compared(own, expected):
    assert overlap(own) == expected


def test_the_test_rotates_and_adds_noise_by_what_it_states():
    size = 61
    across, down = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    picture = 0.5 + 0.4 * np.sin(5 * across + 2) * np.cos(3 * down + across)
    picture *= np.hypot(across, down) < 0.7  # nothing enters from outside
    images = tf.constant(np.stack([picture] * 40)[..., None], tf.float32)
    changed = unseen_transforms()(images, seeds_for(40)).numpy()[..., 0]

    inside = np.hypot(across, down) < 0.6
    angles = [sign * angle for angle in ANGLES for sign in (1, -1)]
    turned = np.stack(
        [ndimage.rotate(picture, angle, reshape=False, order=1) for angle in angles]
    )
    errors = (changed[:, None] - turned)[..., inside]
    nearest = errors.std(axis=-1).argmin(axis=1)
    assert set(nearest) == set(range(len(angles)))
    rests = errors[np.arange(40), nearest]
    np.testing.assert_allclose(rests.std(axis=1), NOISE, rtol=0.1)
    np.testing.assert_allclose(rests.mean(axis=1), 0, atol=0.005)
