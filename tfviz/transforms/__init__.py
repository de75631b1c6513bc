"""What an image must survive: random changes that only real features outlast.

A `Transform` takes images `(n, height, width, channels)` in [0, 1] and int32 seeds
`(n, 2)`, one pair an image, and returns images; each image draws its own change from
its own seed. Results are not clipped. Sizes change by fixed numbers of pixels only.

Everything that moves pixels (`pad`, `crop`, `jitter`, `rotate`, `scale`, `flip`) is a
map of coordinates. `chain` multiplies neighbouring maps and resamples once, so that a
long chain blurs no more than one step. What lies outside of the image is filled with
a constant, grey by default. Only `box` resamples by itself.
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


# Presets are the same objects in each call, so that what is compiled for them is kept.
@cache
def none() -> Transform:
    """Leave images as they are."""
    return chain()


@cache
def distill() -> Transform:
    """Return the transforms of the article, with the ranges of its footnote.

    Padding by 16 pixels, a shift by up to 16, a scale from 0.95 to 1.05, a rotation
    by up to 5 degrees, a shift by up to 8, and cropping the padding (Olah et al.,
    https://distill.pub/2017/feature-visualization/#regularizer-playground).
    """
    return chain(*_distilled())


@cache
def gentle() -> Transform:
    """Return mild transforms, for params that can hold nothing but natural images.

    Padding by 8 pixels, a shift by up to 8, a scale from 0.95 to 1.05, a rotation by
    up to 4 degrees, and cropping the padding. What a generator makes needs no more to
    be free of noise, and strong rotation draws it away from what it was trained on.
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
    """Return the transforms that Lucid uses unless told otherwise.

    Padding by 12 pixels, a crop that shifts by up to 4, a scale from 0.9 to 1.1, a
    rotation by up to 10 degrees of which none is the most likely, and a crop that
    shifts by up to 2. The image grows by 12 pixels on each axis
    (https://github.com/tensorflow/lucid, optvis/transform.py). Lucid's scale changes
    the size of the image; here the size stays and the padding comes into view.
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

    Boxes of 0.6 to 1 of the image draw what is seen to its middle, where `distill`
    alone repeats it all over. The published boxes are smaller, but of images several
    times as large as what the model sees, and 32 at each step; noise does there what
    turning and scaling do here (Fel et al., https://arxiv.org/abs/2306.06805).
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
    """Make a chain again from its description, as a saved picture holds it.

    >>> from_spec(lucid().spec).spec == lucid().spec
    True
    """
    known = (pad, crop, jitter, scale, rotate, flip, box, blur, noise)
    makers: dict[str, Callable[..., Transform]] = {f.__name__: f for f in known}
    steps = []
    for entry in spec:
        settings = dict(entry)
        name = settings.pop("name")
        if name not in makers:
            raise ValueError(
                f"There is no transform {name!r} to make again; there are "
                f"{', '.join(makers)}."
            )
        steps.append(makers[name](**settings))
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
