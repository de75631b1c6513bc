"""What natural images have in common: measured, saved, and loaded.

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

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz import _spectrum
from tfviz._files import DAMAGED, write_safely
from tfviz.images import centre_crop, to_floats

__all__ = ["Statistics", "bundled", "load", "measure"]

# What `Statistics.source` says of those that come with the package.
BUNDLED = "bundled"


@dataclass(frozen=True, eq=False)
class Statistics:
    """The colours and the spectrum of a set of images.

    A pixel of such images is `mean + contrast * color @ z`, where the channels of `z`
    are independent and have unit variance, over all images and places.

    Attributes:
        mean: `(channels,)`, in [0, 1].
        color: A square root of the covariance of a pixel's channels, `(channels,
            channels)`, along the principal axes (`tfviz.color.root`), scaled so that
            its longest column is 1. What `params.fourier` and others take as `color`.
        contrast: The standard deviation along the first axis, in which images vary
            most: about 0.45 for photographs, whose three channels vary together.
        spectrum: `(channels, size, size // 2 + 1)`: for each channel of `z` the
            amplitude of each wave, as the root of its mean square over the images. Of
            the unitary transform: white noise would have 1 everywhere.
        count: How many images were measured.
        source: The file that holds them, `"bundled"`, or None.
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
        """Height and width of the images as they were measured."""
        return self.spectrum.shape[1]

    @property
    def digest(self) -> str:
        """A hash of the numbers, whatever file they are in."""
        total = hashlib.sha256()
        for values in (self.mean, self.color, self.contrast, self.spectrum):
            total.update(np.asarray(values, "<f4").tobytes())
        return total.hexdigest()[:16]

    def amplitude(self, height: int, width: int) -> NDArray[np.float64]:
        """Return the spectrum of images of another size, of the same contrast.

        Args:
            height: In pixels.
            width: In pixels.

        Returns:
            `(channels, height, width // 2 + 1)`, of the unitary transform.
        """
        same = _spectrum.resample(self.spectrum.astype(np.float64), height, width)
        return same * np.sqrt(height * width) / self.size

    def slope(self) -> NDArray[np.float64]:
        """Return the power of the frequency with which amplitudes fall, `(channels,)`.

        A little above 1 for photographs. Fitted to the lower frequencies, up to an
        eighth of a cycle per pixel.
        """
        return _spectrum.slope(self.spectrum.astype(np.float64), self.size)

    def save(self, path: str | os.PathLike) -> "Statistics":
        """Write a file, whole or not at all.

        Args:
            path: Ends in `.npz`.

        Returns:
            The same statistics, with the file as their source.

        Raises:
            ValueError: If the name ends in something else.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(f"A file of statistics ends in .npz. Received: {path}")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_safely(path, lambda file: np.savez_compressed(file, **arrays))
        return replace(self, source=str(path))


_ARRAYS = ("mean", "color", "contrast", "spectrum", "count")


def measure(images: Iterable[ArrayLike], *, size: int = 224) -> Statistics:
    """Measure the colours and the spectrum of images, in one pass.

    Memory does not depend on their number. Each image is scaled until it covers a
    square of `size`, of which the middle is used.

    Args:
        images: An array `(n, height, width, channels)`, or anything that yields
            `(height, width, channels)`, of any sizes from `size` on: bytes, or floats
            in [0, 1].
        size: In pixels. The spectrum is known in cycles per pixel, so this is best
            about the size of the pictures that are to be made.

    Returns:
        The statistics; all of them are of the values in [0, 1].

    Raises:
        ValueError: If there are no images, they differ in their channels, are smaller
            than `size`, leave [0, 1], or are all of one colour.

    >>> images = np.random.default_rng(0).uniform(size=(20, 16, 16, 2))
    >>> measure(images, size=16).mean.round(1).tolist()
    [0.5, 0.5]
    """
    if int(size) != size or size < 16:
        raise ValueError(
            f"`size` must be a whole number from 16. Received: size={size}"
        )
    # The product of each pair of channels, wave by wave: unlike the amplitudes, it
    # gives those of any mixture of the channels, also of the one known at the end.
    products: NDArray | float = 0.0
    total: NDArray | float = 0.0
    count = channels = 0
    for image in images:
        square = prepared(image, size)
        if count and square.shape[-1] != channels:
            raise ValueError(
                f"All images must have the same channels. Received: {channels} and "
                f"{square.shape[-1]}"
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
    # Only the constant wave knows the mean.
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
        # Exact to a part in 2,000, and half of the file.
        spectrum=np.sqrt(np.maximum(power, 0)).astype(np.float16),
        count=count,
    )


def load(path: str | os.PathLike) -> Statistics:
    """Read a file that `Statistics.save` or `tfviz calibrate` wrote.

    Args:
        path: Of the file.

    Raises:
        ValueError: If it is no such file.
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
    "{} holds no statistics of images. Expected a file that `tfviz calibrate` or "
    "`Statistics.save` wrote."
)


def bundled() -> Statistics:
    """Return the statistics of photographs that come with the package.

    They are of 224 pixels and three channels; `scripts/measure_photographs.py` made
    them and says of which.

    >>> bundled().channels
    3
    """
    return replace(load(Path(__file__).with_name("statistics.npz")), source=BUNDLED)


def prepared(image: ArrayLike, size: int) -> NDArray[np.float32]:
    """Return the square of an image that is measured, as floats.

    Raises:
        ValueError: If the image cannot be measured.
    """
    values = np.asarray(image)
    if values.ndim != 3 or values.dtype.kind not in "uf":
        raise ValueError(
            "An image is an array (height, width, channels) of bytes or floats. "
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
            f"An image of {values.shape[0]}x{values.shape[1]} is smaller than "
            f"{size}; enlarged, it would lack the highest frequencies. Measure at a "
            "smaller size."
        )
    return centre_crop(values.astype(np.float32), (size, size))


# A square root of the covariance of red, green and blue in ImageNet's images, from
# Lucid (https://github.com/tensorflow/lucid, optvis/param/color.py).
_IMAGENET_ROOT = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32
)
# Channels that hardly differ would make a matrix without inverse; none counts as
# varying less than this share of the most.
_LEAST_VARIANCE = 1e-6


def correlation(channels: int) -> NDArray[np.float32]:
    """Return the matrix that turns independent channels into a natural image's.

    Optimizing independent channels is better conditioned than red, green and blue,
    which differ little from each other in natural images
    (https://distill.pub/2017/feature-visualization/#preconditioning).

    Args:
        channels: The number of channels of the image.

    Returns:
        A matrix `(channels, channels)` `m`, applied to a pixel as `m @ pixel`: for
        three channels the one measured on ImageNet, with its longest column scaled
        to 1; for any other number the identity, as nothing is known about them.

    >>> correlation(3).round(2).tolist()[0]
    [0.5600000023841858, 0.1899999976158142, 0.03999999910593033]
    """
    if channels != 3:
        return np.eye(channels, dtype=np.float32)
    return _IMAGENET_ROOT / np.linalg.norm(_IMAGENET_ROOT, axis=0).max()


def root(covariance: ArrayLike) -> NDArray[np.float64]:
    """Return the square root of a covariance along its principal axes.

    Of the roots `m` with `m @ m.T == covariance`, this is the kind that Lucid has for
    ImageNet: neither Cholesky's, which depends on the order of the channels, nor the
    symmetric one, in which brightness and colours stay mixed. Here they are apart,
    and so are their spectra, which fall differently.

    Args:
        covariance: `(channels, channels)`.

    Returns:
        A matrix `(channels, channels)`, the column of the largest variance first, and
        no entry of the first row negative. It can be inverted even if channels depend
        on each other.

    Raises:
        ValueError: If nothing varies.

    >>> root([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
    if not variances[-1] > 0:
        raise ValueError("The images are all of one colour, so nothing is measured.")
    variances = np.maximum(variances[::-1], _LEAST_VARIANCE * variances[-1])
    axes = axes[:, ::-1] * np.where(axes[0, ::-1] < 0, -1, 1)
    return axes * np.sqrt(variances)
