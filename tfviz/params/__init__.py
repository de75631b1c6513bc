"""Image parameterizations: what the optimizer changes, and how it becomes an image.

The optimizer need not change pixels directly. It changes *latents*, and a `Param`
decodes them to images. The choice matters: it decides which images gradient ascent
reaches easily, and so what the pictures look like.

* `fourier` holds an image as a sum of waves; this is the default of `render`.
* `pixels` holds each pixel by itself.
* `laplacian` holds a sum of images at several resolutions.
* `cppn` holds the weights of a small network that draws the image.
* `maco` holds the phases of waves whose amplitudes are those of photographs.
* `aligned` is `fourier` for groups of images that share their layout.
* `masked` and `bounded` restrict another param to a region of a given image, or to
  the neighbourhood of the image that it starts from.

A `Param` is a record of functions. Its latents are a dict of float32 tensors whose
axis 0 is the image; `decode` turns them into images `(n, height, width, channels)` in
[0, 1]. Seeds are int32 `(n, 2)`, one pair for each image, so that the start of an
image does not depend on its neighbours. The latents of all params are scaled to suit
the same learning rate.

>>> param = fourier(5, 7)
>>> latents = param.init([[0, 1], [0, 2]])
>>> param.decode(latents).shape
TensorShape([2, 5, 7, 3])
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
    """Restore a param from its description, `Param.spec`, which saved pictures contain.

    Raises:
        ValueError: If the description names no known param, or if the param needs a
            file that is missing or has changed.

    >>> from_spec(fourier(5, 7, decay=1.5).spec).spec["decay"]
    1.5
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    factories: dict[Any, Callable[..., Param]] = {
        f.__name__: f for f in (pixels, fourier, aligned, laplacian, cppn)
    }
    factories["maco"] = lambda **settings: maco_from_settings(settings)
    if name not in factories:
        raise ValueError(
            f"There is no param {name!r} that can be restored from a description. "
            f"There are {', '.join(factories)}."
        )
    return factories[name](**settings)
