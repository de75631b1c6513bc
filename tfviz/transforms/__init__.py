"""Random transforms of the image at each step, which make visualizations robust.

Noise and adversarial patterns do not survive random shifts, rotations and changes of
scale; the features that a unit responds to do.

A `Transform` takes images `(n, height, width, channels)` in [0, 1] and int32 seeds
`(n, 2)`, one pair per image, and returns images. The change of each image is drawn
from its own seed. Results are not clipped. A transform may change the size, but only
by a fixed number of pixels.

All transforms that move pixels (`pad`, `crop`, `jitter`, `rotate`, `scale`, `flip`) are
maps of coordinates. `chain` multiplies adjacent maps and resamples once, so that a
long chain blurs no more than a single transform. The area outside of the image is
filled with a constant, grey by default. Only `box` always resamples separately.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from tfviz.transforms._base import Motion, Transform, chain, uniform
from tfviz.transforms._filters import blur, noise
from tfviz.transforms._geometry import box, crop, flip, jitter, pad, rotate, scale

__all__ = [
    "PRESETS",
    "Motion",
    "Transform",
    "blur",
    "box",
    "chain",
    "crop",
    "distill",
    "flip",
    "from_spec",
    "jitter",
    "lucid",
    "maco",
    "noise",
    "none",
    "pad",
    "rotate",
    "scale",
    "uniform",
]


# Presets are cached, so that the steps that are compiled for them are used again.
@cache
def none() -> Transform:
    """Leave images as they are."""
    return chain()


@cache
def distill() -> Transform:
    """Return the transforms of Olah et al.'s article, with the ranges of its footnote.

    Padding by 16 pixels, a shift by up to 16, a scale from 0.95 to 1.05, a rotation
    by up to 5 degrees, a shift by up to 8, and cropping of the padding (Olah et al.,
    https://distill.pub/2017/feature-visualization/#regularizer-playground).
    """
    return chain(*_distilled())


@cache
def gentle() -> Transform:
    """Return mild transforms, for params that can only represent natural images.

    Padding by 8 pixels, a shift by up to 8, a scale from 0.95 to 1.05, a rotation by
    up to 4 degrees, and cropping of the padding. The images of a generator need no
    stronger transforms to be free of noise, and strong rotation moves them away from
    the images that it was trained on.
    """
    return chain(
        pad(8),
        jitter(8),
        scale([1 + (i - 5) / 100 for i in range(11)]),
        rotate(range(-4, 5)),
        crop(8),
    )


@cache
def lucid() -> Transform:
    """Return the default transforms of Lucid.

    Padding by 12 pixels, a crop that shifts by up to 4, a scale from 0.9 to 1.1, a
    rotation by up to 10 degrees, most often by 0, and a crop that shifts by up to 2.
    The image grows by 12 pixels on each axis (https://github.com/tensorflow/lucid,
    optvis/transform.py). Lucid's scale changes the size of the image; here the size
    stays the same, and a smaller scale shows some of the padding.
    """
    return chain(
        pad(12),
        jitter(4),
        scale([1 + (i - 5) / 50 for i in range(11)]),
        rotate([*range(-10, 11), 0, 0, 0, 0, 0]),
        jitter(2),
        crop(6),
    )


@cache
def maco() -> Transform:
    """Return the transforms for `params.maco`: a random box, then those of `distill`.

    Boxes of 0.6 to 1 of the image concentrate the visualization in its middle; with
    `distill` alone it is repeated all over. The published boxes are smaller, but taken
    from images several times as large as the model's input, and there are 32 of them
    at each step. The publication adds noise in place of rotation and scaling (Fel et
    al., https://arxiv.org/abs/2306.06805).
    """
    return chain(box(0.6, 1.0), *_distilled())


PRESETS = {
    "distill": distill,
    "gentle": gentle,
    "lucid": lucid,
    "maco": maco,
    "none": none,
}


def from_spec(spec: Sequence[Mapping[str, Any]]) -> Transform:
    """Recreate a chain from its description, such as that in a saved picture.

    Args:
        spec: The description, as in `Transform.spec`.

    Raises:
        ValueError: If a transform in it cannot be recreated.

    >>> from_spec(lucid().spec).spec == lucid().spec
    True
    """
    functions = (pad, crop, jitter, scale, rotate, flip, box, blur, noise)
    by_name: dict[str, Callable[..., Transform]] = {f.__name__: f for f in functions}
    steps = []
    for entry in spec:
        options = dict(entry)
        name = options.pop("name")
        if name not in by_name:
            raise ValueError(
                f"There is no transform {name!r} that could be recreated. There are "
                f"{', '.join(by_name)}."
            )
        steps.append(by_name[name](**options))
    return chain(*steps)


def _distilled() -> list[Transform]:
    return [
        pad(16),
        jitter(16),
        scale((1, 0.975, 1.025, 0.95, 1.05)),
        rotate(range(-5, 6)),
        jitter(8),
        crop(16),
    ]
