"""The statistics of natural images: measure, save and load colours and spectra.

    stats = tfviz.statistics.measure(images)
    stats = stats.save("mine.npz")
    tfviz.params.maco(224, 224, statistics=stats)
    tfviz.params.fourier(224, 224, color=stats.color)

`tfviz calibrate` does the same for a folder of pictures.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz import _spectrum
from tfviz._files import DAMAGED, write_safely
from tfviz.images import centre_crop, to_floats

__all__ = ["Statistics", "bundled", "load", "measure"]

# `Statistics.source` of the statistics that come with the package.
BUNDLED = "bundled"

# The arrays in a file of statistics, named like the attributes.
_ARRAYS = ("mean", "color", "contrast", "spectrum", "count")

# A square root of the covariance of red, green and blue in ImageNet's images, from
# Lucid (https://github.com/tensorflow/lucid, optvis/param/color.py).
_IMAGENET_ROOT = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32
)
# The least variance along a principal axis, as a share of the largest. Channels that
# are nearly the same would otherwise give a matrix without an inverse.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Statistics:
    """The colours and the spectrum of a set of images.

    A pixel of these images is `mean + contrast * color @ z`, where the channels of `z`
    are uncorrelated and have unit variance, over all images and positions.

    Attributes:
        mean: The mean of each channel, in [0, 1], `(channels,)`.
        color: The square root of the covariance of a pixel's channels along its
            principal axes, scaled so that the longest column has length 1, `(channels,
            channels)`. Pass it as `color` to `params.fourier` and other params.
        contrast: The standard deviation along the first principal axis, in which images
            vary most: about 0.45 for photographs, whose three channels vary together.
        spectrum: The amplitude of each wave in each channel of `z`, the root mean
            square over all images, `(channels, size, size // 2 + 1)`. It belongs to the
            unitary Fourier transform: white noise has 1 everywhere.
        count: The number of images.
        source: The file that the statistics are saved in, `"bundled"`, or None.
    """

    mean: NDArray[np.float32]
    color: NDArray[np.float32]
    contrast: float
    spectrum: NDArray[np.floating]
    count: int
    source: str | None = None

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return len(self.mean)

    @property
    def size(self) -> int:
        """The height and width at which the images were measured, in pixels."""
        return self.spectrum.shape[1]

    @property
    def digest(self) -> str:
        """A hash of the numbers, which does not depend on the file they are in."""
        total = hashlib.sha256()
        for values in (self.mean, self.color, self.contrast, self.spectrum):
            total.update(np.asarray(values, "<f4").tobytes())
        return total.hexdigest()[:16]

    def amplitude(self, height: int, width: int) -> NDArray[np.float64]:
        """Return the spectrum of images of another size with the same contrast.

        Args:
            height: The height of the images in pixels.
            width: The width of the images in pixels.

        Returns:
            The amplitudes of the unitary transform, `(channels, height, width // 2 +
            1)`.
        """
        amplitude = _spectrum.resample(self.spectrum.astype(np.float64), height, width)
        return amplitude * np.sqrt(height * width) / self.size

    def slope(self) -> NDArray[np.float64]:
        """Return the exponent with which amplitudes fall with frequency, `(channels,)`.

        It is a little above 1 for photographs, and fitted to the lower frequencies, up
        to an eighth of a cycle per pixel.
        """
        return _spectrum.slope(self.spectrum.astype(np.float64), self.size)

    def save(self, path: str | os.PathLike[str]) -> "Statistics":
        """Write the statistics to a file, which is either complete or not written.

        Args:
            path: The file; its name must end in `.npz`.

        Returns:
            The same statistics, with the file as their source.

        Raises:
            ValueError: If the file's name has another ending.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(f"A file of statistics must end in .npz. Received: {path}")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_safely(path, lambda file: np.savez_compressed(file, **arrays))
        return replace(self, source=str(path))


def measure(images: Iterable[ArrayLike], *, size: int = 224) -> Statistics:
    """Measure the colours and the spectrum of images in one pass.

    The memory used does not depend on the number of images. Each image is scaled until
    it covers a square of `size` pixels, and cropped to the square in its middle.

    Args:
        images: An array `(n, height, width, channels)`, or any iterable of images
            `(height, width, channels)` of any sizes of at least `size`: bytes, or
            floats in [0, 1].
        size: The height and width at which images are measured, in pixels. Frequencies
            are in cycles per pixel, so this is best about the size of the pictures that
            will be made with the statistics.

    Returns:
        The statistics of the values in [0, 1].

    Raises:
        ValueError: If there are no images, their numbers of channels differ, an image
            is smaller than `size` or has values outside [0, 1], or all of them have the
            same single colour.

    >>> images = np.random.default_rng(0).uniform(size=(20, 16, 16, 2))
    >>> measure(images, size=16).mean.round(1).tolist()
    [0.5, 0.5]
    """
    if int(size) != size or size < 16:
        raise ValueError(
            f"`size` must be a whole number of at least 16. Received: size={size}"
        )
    # The product of each pair of channels, wave by wave. Unlike amplitudes, products
    # give the amplitudes of any mixture of the channels, and the mixture that
    # decorrelates them is known only after the last image.
    products: NDArray[Any] | float = 0.0
    total: NDArray[Any] | float = 0.0
    count = channels = 0
    for image in images:
        square = crop_to_square(image, size)
        if count and square.shape[-1] != channels:
            raise ValueError(
                "All images must have the same number of channels. Received: "
                f"{channels} and {square.shape[-1]}"
            )
        channels = square.shape[-1]
        planes = np.moveaxis(square.astype(np.float64), -1, 0)
        waves = np.fft.rfft2(planes, norm="ortho")
        products = products + waves[:, None] * waves.conj()[None]
        total = total + square.mean(axis=(0, 1), dtype=np.float64)
        count += 1
    if not count:
        raise ValueError("There are no images to measure.")
    products, mean = np.asarray(products) / count, np.asarray(total) / count
    # Subtract the mean, which is in the constant wave alone.
    products[:, :, 0, 0] -= size**2 * np.outer(mean, mean)
    real = np.real(products)
    covariance = np.sum(real * _spectrum.column_counts(size), axis=(2, 3)) / size**2
    matrix = root(covariance)
    inverse = np.linalg.inv(matrix)
    power = np.real(np.einsum("ij,jkhw,ik->ihw", inverse, products, inverse))
    contrast = np.linalg.norm(matrix[:, 0])
    return Statistics(
        mean=mean.astype(np.float32),
        color=(matrix / contrast).astype(np.float32),
        contrast=float(np.float32(contrast)),
        # Exact to a part in 2,000, at half the file size.
        spectrum=np.sqrt(np.maximum(power, 0)).astype(np.float16),
        count=count,
    )


def load(path: str | os.PathLike[str]) -> Statistics:
    """Read a file that `Statistics.save` or `tfviz calibrate` wrote.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no statistics.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(_NO_STATISTICS.format(path)) from error
    mean, color, spectrum = (arrays[n] for n in ("mean", "color", "spectrum"))
    numbers = [mean, color, spectrum, arrays["contrast"]]
    channels, size = mean.size, spectrum.shape[1] if spectrum.ndim == 3 else 0
    if (
        mean.shape != (channels,)
        or color.shape != (channels, channels)
        or spectrum.shape != (channels, size, size // 2 + 1)
        or not all(v.dtype.kind == "f" and np.isfinite(v).all() for v in numbers)
    ):
        raise ValueError(_NO_STATISTICS.format(path))
    return Statistics(
        mean=mean,
        color=color,
        contrast=float(arrays["contrast"]),
        spectrum=spectrum,
        count=int(arrays["count"]),
        source=str(path),
    )


_NO_STATISTICS = (
    "{} holds no statistics of images. Pass a file that `tfviz calibrate` or "
    "`Statistics.save` wrote."
)


def bundled() -> Statistics:
    """Return the statistics of photographs that come with the package.

    They were measured on 7,092 photographs of 160 pixels and three channels, none of
    which is among the photographs on which tfviz evaluates its methods. The docstring
    of `scripts/measure_photographs.py` says where they come from, and how well they
    suit pictures of other sizes.

    >>> bundled().channels
    3
    """
    return replace(load(Path(__file__).with_name("statistics.npz")), source=BUNDLED)


def correlation(channels: int) -> NDArray[np.float32]:
    """Return the matrix that turns uncorrelated channels into those of natural images.

    Red, green and blue differ little from each other in natural images. Optimizing
    uncorrelated channels instead is better conditioned
    (https://distill.pub/2017/feature-visualization/#preconditioning).

    Args:
        channels: The number of channels of the image.

    Returns:
        A matrix `m` `(channels, channels)`, to be applied to a pixel as `m @ pixel`.
        For three channels it is the one measured on ImageNet, with its longest column
        scaled to 1; for any other number the identity, as nothing is known about them.

    >>> correlation(3).round(2).tolist()[0]
    [0.5600000023841858, 0.1899999976158142, 0.03999999910593033]
    """
    if channels != 3:
        return np.eye(channels, dtype=np.float32)
    return _IMAGENET_ROOT / np.linalg.norm(_IMAGENET_ROOT, axis=0).max()


def root(covariance: ArrayLike) -> NDArray[np.float64]:
    """Return the square root of a covariance along its principal axes.

    Of all matrices `m` with `m @ m.T == covariance`, this is the kind that Lucid uses
    for ImageNet. Cholesky's root depends on the order of the channels, and in the
    symmetric root brightness and colours stay mixed. Here they are separate, and so are
    their spectra, which fall differently.

    Args:
        covariance: A covariance matrix `(channels, channels)`.

    Returns:
        A matrix `(channels, channels)`, whose columns are sorted by their variances,
        the largest first, and whose first row has no negative entry. It has an inverse
        even if channels depend on each other.

    Raises:
        ValueError: If all variances are zero.

    >>> root([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
    if not variances[-1] > 0:
        raise ValueError(
            "All images have the same single colour, so no variance can be measured."
        )
    variances = np.maximum(variances[::-1], _LEAST_VARIANCE * variances[-1])
    axes = axes[:, ::-1] * np.where(axes[0, ::-1] < 0, -1, 1)
    return axes * np.sqrt(variances)


def crop_to_square(image: ArrayLike, size: int) -> NDArray[np.float32]:
    """Return the middle of an image as the square that `measure` uses, as floats.

    Raises:
        ValueError: If the image cannot be measured.

    >>> crop_to_square(np.zeros((40, 30, 3), np.uint8), 20).shape
    (20, 20, 3)
    """
    values = np.asarray(image)
    if values.ndim != 3 or values.dtype.kind not in "uf":
        raise ValueError(
            "An image must be an array (height, width, channels) of bytes or floats. "
            f"Received: shape {values.shape}, {values.dtype}"
        )
    if values.dtype == np.uint8:
        values = to_floats(values)
    if not (values.min(initial=0) >= 0 and values.max(initial=0) <= 1):
        raise ValueError(
            "Images must lie in [0, 1], or be bytes. "
            f"Received: {values.min():g} to {values.max():g}"
        )
    if min(values.shape[:2]) < size:
        raise ValueError(
            f"An image of {values.shape[0]}x{values.shape[1]} pixels is smaller than "
            f"{size}; enlarged, it would lack the highest frequencies. Measure at a "
            "smaller size."
        )
    return centre_crop(values.astype(np.float32), (size, size))
