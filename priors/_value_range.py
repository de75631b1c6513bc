"""The values of black and white in a generator's images: read, measured or given."""

import warnings
from collections.abc import Callable, Mapping
from math import floor, log10
from typing import Any

import numpy as np

from tfviz._errors import argument
from tfviz.params._base import Latents
from tfviz.priors._latents import Latent
from tfviz.priors._reading import Reading

# The number of random images that are measured where the range cannot be read.
MEASURED = 16
# The ranges that generators are usually trained with, and the values at which the
# darkest and the brightest hundredth of an unlimited output can be expected.
_USUAL = {
    (0, 1): (-0.25, 1.5),
    (-1, 1): (-1.5, 1.5),
    (0, 255): (-64, 320),
}
# The brightest hundredth of images up to 255 is above this.
_BRIGHT = 32


class RangeWarning(UserWarning):
    """A value range that contradicts the generator."""


def settle_range(
    given: tuple[float, float] | None,
    reading: Reading,
    generate: Callable[[Latents], Any],
    latents: Mapping[str, Latent],
) -> tuple[tuple[float, float], str]:
    """Return the value range of a generator, and how it was found out.

    Args:
        given: The range that the user gave, or None.
        reading: What was read off the generator's graph.
        generate: The generator, which is only called if its range is unknown.
        latents: The latents of its inputs, by name.

    Raises:
        ValueError: If the range is neither given nor read; it says what was measured.

    Warns:
        RangeWarning: If the range that was given is not the one that was read.
    """
    if given is None:
        if reading.value_range is None:
            raise ValueError(_describe_measured(generate, latents))
        source = f"read from its last activation, {reading.activation}"
        return reading.value_range, source
    ends = ends_of(given)
    message = contradiction(ends, reading)
    if message:
        warnings.warn(message, RangeWarning, stacklevel=4)
    return ends, "as given"


def ends_of(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of a value range as numbers, or refuse what is none."""
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not low < high:
        raise ValueError(
            "`value_range` must be the values of black and white in the generator's "
            "images, the lower one first: (-1, 1) after tanh, (0, 1) after a sigmoid. "
            f"Received: value_range={value_range}"
        )
    return low, high


def contradiction(given: tuple[float, float], reading: Reading) -> str | None:
    """Say that a range is not the one that a generator has, or return None.

    >>> contradiction((-1, 1), Reading((-1, 1), "tanh")) is None
    True
    """
    known = reading.value_range
    if known is None or np.allclose(given, known, 1e-3):
        return None
    return (
        f"{argument('value_range', _plain(given))} contradicts the generator, whose "
        f"last activation, {reading.activation}, gives values from {known[0]:g} to "
        f"{known[1]:g}. Its images come out too pale, too dark or clipped. Leave it "
        f"out, or give {argument('value_range', _plain(known))}."
    )


def likely_range(low: float, high: float) -> tuple[float, float] | None:
    """Return the usual range that fits measured values, or None if none does.

    Args:
        low: The value below which the darkest hundredth lies.
        high: The value above which the brightest hundredth lies.

    >>> likely_range(0.02, 1.1), likely_range(-0.97, 0.99), likely_range(3, 250)
    ((0, 1), (-1, 1), (0, 255))
    >>> likely_range(-2.1, 2.6) is None
    True
    """
    for usual, (lowest, highest) in _USUAL.items():
        if lowest <= low and high <= highest and (usual[1] < 255 or high > _BRIGHT):
            return usual
    return None


def _describe_measured(
    generate: Callable[[Latents], Any], latents: Mapping[str, Latent]
) -> str:
    seeds = [[0, number] for number in range(MEASURED)]
    values = {name: v.values(v.start(seeds)) for name, v in latents.items()}
    outputs = np.asarray(generate(values), np.float32)
    outputs = outputs[np.isfinite(outputs)]
    if not outputs.size:
        return "The generator returns images that are not finite. Check its weights."
    low, high = np.percentile(outputs, [1, 99])
    usual = likely_range(low, high)
    wanted = usual or (_rounded(low), _rounded(high))
    advice = (
        "if that fits the images that it was trained on."
        if usual
        else "or the range of the images that it was trained on."
    )
    return (
        "The generator does not say which values are black and white in its images: it "
        f"does not end in an activation that limits them. In {MEASURED} random images, "
        f"the values lie between {outputs.min():.2f} and {outputs.max():.2f}, 98 % of "
        f"them between {low:.2f} and {high:.2f}. Give "
        f"{argument('value_range', wanted)}{'' if usual else ','} {advice}"
    )


def _plain(ends: tuple[float, float]) -> tuple[float, ...]:
    """Return the ends of a range as they are best read, whole numbers without a dot."""
    return tuple(int(end) if end == int(end) else float(end) for end in ends)


def _rounded(number: float) -> float:
    """Return a number with two digits."""
    if number == 0:
        return 0.0
    return round(float(number), 1 - floor(log10(abs(number))))
