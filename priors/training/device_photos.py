"""Photos in the memory of the device that trains, and random batches of them.

A graphics card trains a GAN on thousands of photos a second, more than processors
decode. So all photos are decoded once and kept on the card with 8 bits a colour: 80,000
photos of 64 pixels take 1 GB.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import images
from tfviz.priors.training.augmentation import crop

# The number of bytes in a word, as which photos are gathered.
_WORD = 8


@dataclass(frozen=True)
class DevicePhotos:
    """Photos with their classes, on the device.

    Attributes:
        count: The number of photos.
        size: The height and width of the photos, in pixels, a multiple of 8.
        words: The colours, `(count, size * size * 3 / 8)` integers of 64 bits.
        labels: `(count,)` integers: the class of each photo.
    """

    count: int
    size: int
    words: Any
    labels: Any

    def batches(self, batch: int, *, first: int, seed: int) -> Iterator[Any]:
        """Yield the numbers of the photos of each batch without end, shuffled.

        Batch number n is the same whichever batch a run begins with.

        Args:
            batch: The number of photos in a batch.
            first: The number of the first batch: where an earlier run stopped.
            seed: Random seed of the order.
        """
        place = first * batch
        left: list[int] = []
        while True:
            while len(left) < batch:
                epoch, skipped = divmod(place + len(left), self.count)
                order = np.random.default_rng([seed, epoch]).permutation(self.count)
                left.extend(order[skipped:].tolist())
            yield tf.constant(left[:batch], tf.int32)
            left = left[batch:]
            place += batch

    def take(self, numbers: Any, draws: Any, zoom: float = 1.0) -> tuple[Any, Any]:
        """Return photos, cropped and mirrored at random, and their classes.

        Args:
            numbers: `(n,)` integers: the numbers of the photos.
            draws: `(n, 4)` random numbers from 0 to 1: the side, the top and the left
                of each crop, and whether it is mirrored.
            zoom: The least side of a crop, as a fraction of the photo's.

        Returns:
            Photos `(n, size, size, 3)` in [0, 1], and `(n,)` integers.
        """
        # TensorFlow has no kernel that gathers bytes on a graphics card.
        words = tf.gather(self.words, numbers)
        shape = (numbers.shape[0], self.size, self.size, 3)
        pixels = tf.reshape(tf.bitcast(words, tf.uint8), shape)
        photos = tf.cast(pixels, tf.float32) / 255
        if zoom < 1:
            photos = crop(photos, draws[:, :3], zoom)
        mirrored = draws[:, 3, None, None, None] < 0.5
        photos = tf.where(mirrored, photos[:, :, ::-1], photos)
        return photos, tf.gather(self.labels, numbers)


def on_device(
    pixels: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> DevicePhotos:
    """Copy photos to the device.

    Args:
        pixels: `(n, size, size, 3)`; the size is a multiple of 8.
        labels: `(n,)`, the class of each photo; by default 0.
    """
    count, size = pixels.shape[:2]
    words = np.ascontiguousarray(pixels).reshape(count, -1).view(np.int64)
    classes = np.zeros(count) if labels is None else labels
    return DevicePhotos(
        count, size, tf.constant(words), tf.constant(classes.astype(np.int64))
    )


def read_squares(files: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Return the central squares of photos, `(n, size, size, 3)`.

    Args:
        files: The files of the photos.
        size: The height and width to which the squares are resized, in pixels.
    """
    pixels = np.empty((len(files), size, size, 3), np.uint8)

    def read(place: int) -> None:
        photo = images.centre_crop(images.read(files[place]), (size, size))
        pixels[place] = np.round(np.clip(photo, 0, 1) * 255)

    with ThreadPoolExecutor(os.cpu_count()) as executor:
        # Consumed, so that an error is not lost.
        for _ in executor.map(read, range(len(files))):
            pass
    return pixels


def read_classes(files: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the folders that photos lie in, and that of each photo.

    Args:
        files: The files of the photos.

    Returns:
        The names, sorted, and the place of each photo's folder among them.

    >>> read_classes(["b/1.png", "a/1.png", "b/2.png"])
    (('a', 'b'), array([1, 0, 1]))
    """
    folders = [Path(file).parent.name for file in files]
    names = sorted(set(folders))
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places[name] for name in folders], np.int64)
