"""What is optimized: ways to hold images as tensors that a gradient can move.

A `Param` is a record of functions. Latents are a dict of float32 tensors whose axis
0 is the image; `decode` turns them into images `(n, height, width, channels)` in
[0, 1]. Seeds are int32 `(n, 2)`, one pair an image, so that an image's start does
not depend on its neighbours. The latents of all params are scaled for the same
learning rate.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tfviz.params._base import Param
from tfviz.params._cppn import cppn
from tfviz.params._fourier import fourier
from tfviz.params._maco import from_settings as maco_from_settings
from tfviz.params._maco import maco
from tfviz.params._pixels import laplacian, pixels
from tfviz.params._wrappers import aligned, bounded, masked

__all__ = [
    "Param",
    "aligned",
    "bounded",
    "cppn",
    "fourier",
    "from_spec",
    "laplacian",
    "maco",
    "masked",
    "pixels",
]


def from_spec(spec: Mapping[str, Any]) -> Param:
    """Make a param again from its description, as a saved picture holds it.

    Raises:
        ValueError: If no such param is known here, or if it needs a file that is not
            there or holds something else by now.

    >>> from_spec(fourier(5, 7, decay=1.5).spec).spec["decay"]
    1.5
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    known = (pixels, fourier, aligned, laplacian, cppn)
    makers: dict[Any, Callable[..., Param]] = {f.__name__: f for f in known}
    makers["maco"] = lambda **settings: maco_from_settings(settings)
    if name not in makers:
        raise ValueError(
            f"There is no param {name!r} to make again; there are {', '.join(makers)}."
        )
    return makers[name](**settings)
