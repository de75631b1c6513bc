"""The transforms of the robustness test, and whether a method was optimized under them.

A method that was optimized under the transforms of the test would be robust to them by
construction. The test therefore states its transforms by range, and the transforms of a
method are compared with these ranges.
"""

import math
from typing import Literal

from tfviz.transforms import Transform, chain, noise, rotate

# The angles of the test in degrees, to either side. The presets rotate by up to 10
# (`lucid`). The test does not scale: the presets magnify up to 1.75 (`maco`) and reduce
# down to 0.9 (`lucid`), and a smaller image has so wide a border that even photos lose
# their lead.
ANGLES = (12.0, 15.0, 18.0)
# The standard deviation of the noise of the test. No preset adds noise.
NOISE = 0.03

# The transforms that neither rotate nor add noise.
_NEITHER = ("pad", "crop", "jitter", "scale", "flip", "box", "blur")


def unseen_transforms() -> Transform:
    """Return the transforms of the test, under which no preset optimizes: both at once.

    The angle is drawn from `ANGLES` to either side, and the noise has the standard
    deviation `NOISE`.
    """
    degrees = [sign * angle for angle in ANGLES for sign in (-1, 1)]
    return chain(rotate(degrees), noise(NOISE))


def overlap(transform: Transform) -> Literal["none", "some", "unknown"]:
    """Return whether a method's transforms reach those of the robustness test.

    They do if they can rotate as far as the least angle of the test, or add as much
    noise. Several rotations add up, and so do the variances of noise.

    Args:
        transform: The transforms that the method is optimized under.

    Returns:
        `"none"` if the test lies outside of them; `"some"` if they reach it;
        `"unknown"` if they contain a transform that is not one of `tfviz.transforms`.

    >>> from tfviz import transforms
    >>> overlap(transforms.lucid()), overlap(transforms.rotate([0, 20]))
    ('none', 'some')
    """
    angle = variance = 0.0
    known = True
    for entry in transform.spec:
        if entry["name"] == "rotate":
            angle += max(abs(degrees) for degrees in entry["degrees"])
        elif entry["name"] == "noise":
            variance += entry["stddev"] ** 2
        else:
            known = known and entry["name"] in _NEITHER
    if angle >= min(ANGLES) or math.sqrt(variance) >= NOISE:
        return "some"
    return "none" if known else "unknown"
