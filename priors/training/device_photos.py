"""Photos in the memory of the device that trains, and random batches of them.

A graphics card trains on thousands of photos a second, more than processors decode. So
all photos are decoded once and kept on the card with 8 bits a colour: 80,000 photos of
64 pixels take 1 GB. Photos that do not fit there are decoded anew for each batch, into
the same bytes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from tfviz._errors import reason_of
from tfviz.priors.training.augmentation import cut, stream
from tfviz.priors.training.photos import read_squares, squares

# The number of bytes in a word, as which photos are gathered.
_WORD = 8
# The number of photos by whose sizes the side of all squares is chosen.
_MEASURED = 200
# Photos must leave this much of the memory to everything else.
_LEAST_FREE = 0.5
# The seed of the cuts, beside others of the same step.
_CUTS = 3


class PhotoSource(Protocol):
    """Square photos, from which batches are drawn."""

    @property
    def count(self) -> int:
        """The number of photos."""

    @property
    def side(self) -> int:
        """The height and width of the squares, in pixels."""

    def batches(self, batch: int, *, first: int, seed: int) -> Iterator[Any]:
        """Yield arguments of `fetch` without end, one for each batch, shuffled.

        Batch number n is the same whichever batch a run begins with, and the same for
        every kind of source.

        Args:
            batch: The number of photos in a batch.
            first: The number of the first batch: where an earlier run stopped.
            seed: Random seed of the order.
        """

    def fetch(self, item: Any) -> tuple[Any, Any]:
        """Return the photos of a batch, inside of a compiled function.

        Returns:
            `(batch, side, side, 3)` integers of 8 bits, and the class of each photo.
        """


@dataclass(frozen=True)
class DevicePhotos:
    """Photos with their classes, on the device; a `PhotoSource`.

    Attributes:
        count: The number of photos.
        side: The height and width of the photos, in pixels, a multiple of 4.
        words: The colours, `(count, side * side * 3 / 8)` integers of 64 bits.
        labels: `(count,)` integers: the class of each photo.
    """

    count: int
    side: int
    words: Any
    labels: Any

    def batches(
        self, batch: int, *, first: int, seed: int
    ) -> Iterator[NDArray[np.int32]]:
        """Yield the numbers `(batch,)` of the photos of each batch."""
        return shuffled(self.count, batch, first=first, seed=seed)

    def fetch(self, item: Any) -> tuple[Any, Any]:
        """Return the photos with some numbers, and their classes."""
        # TensorFlow has no kernel that gathers bytes on a graphics card.
        words = tf.gather(self.words, item)
        shape = (item.shape[0], self.side, self.side, 3)
        pixels = tf.reshape(tf.bitcast(words, tf.uint8), shape)
        return pixels, tf.gather(self.labels, item)


@dataclass(frozen=True)
class FilePhotos:
    """Photos that are decoded whenever they are in a batch; a `PhotoSource`.

    Attributes:
        files: The files of the photos.
        side: The height and width to which their squares are resized, in pixels.
        labels: `(count,)` integers: the class of each photo.
    """

    files: tuple[str, ...]
    side: int
    labels: NDArray[np.integer]

    @property
    def count(self) -> int:
        """The number of photos."""
        return len(self.files)

    def batches(
        self, batch: int, *, first: int, seed: int
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Yield the photos of each batch, and their classes.

        Raises:
            ValueError: If a photo can no longer be read.
        """
        names = tf.constant(self.files)
        order = tf.data.Dataset.from_generator(
            lambda: shuffled(self.count, batch, first=first, seed=seed),
            output_signature=tf.TensorSpec((batch,), tf.int32),
        ).unbatch()
        decoded = squares(order.map(lambda number: tf.gather(names, number)), self.side)
        numbers = shuffled(self.count, batch, first=first, seed=seed)
        batched = decoded.batch(batch).prefetch(4).as_numpy_iterator()
        while True:
            try:
                pixels = next(batched)
            except tf.errors.OpError as error:
                raise _unreadable(error) from error
            yield pixels, self.labels[next(numbers)].astype(np.int64)

    def fetch(self, item: Any) -> tuple[Any, Any]:
        """Return the photos of a batch, and their classes."""
        return item


def load_photos(
    files: Sequence[str],
    size: int,
    zoom: float,
    *,
    labels: NDArray[np.integer] | None = None,
    tell: Callable[[str], Any] = print,
) -> DevicePhotos | FilePhotos:
    """Decode photos and keep them on the device, if they fit there.

    Args:
        files: The files of the photos.
        size: The height and width of the crops that are learned from, in pixels.
        zoom: The least side of a crop, as a fraction of the photo's.
        labels: `(count,)`, the class of each photo; by default 0.
        tell: Function that receives a line if they do not fit.

    Raises:
        ValueError: If a photo can no longer be read.
    """
    side = side_for(files, size, zoom)
    classes = np.zeros(len(files), int) if labels is None else labels
    needed = len(files) * side * side * 3
    if not fits(needed):
        tell(
            f"{len(files)} photos of {side} pixels take {needed / 1e9:.1f} GB, more "
            "than half of the free memory: they are decoded anew for each batch, which "
            "is slower"
        )
        return FilePhotos(tuple(files), side, classes)
    try:
        return on_device(read_squares(files, side), classes)
    except tf.errors.OpError as error:
        raise _unreadable(error) from error


def on_device(
    pixels: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> DevicePhotos:
    """Copy photos to the device.

    Args:
        pixels: `(n, side, side, 3)`; the side is a multiple of 4.
        labels: `(n,)`, the class of each photo; by default 0.
    """
    count, side = pixels.shape[:2]
    words = np.ascontiguousarray(pixels).reshape(count, -1).view(np.int64)
    classes = np.zeros(count) if labels is None else labels
    return DevicePhotos(
        count, side, tf.constant(words), tf.constant(classes.astype(np.int64))
    )


def take(
    source: PhotoSource, item: Any, key: Any, size: int, zoom: float
) -> tuple[Any, Any]:
    """Return the crops of a batch, in [0, 1], and the classes of their photos.

    Args:
        source: The photos.
        item: What `source.batches` yielded for the batch.
        key: `(2,)` integers: the seed of the training and the number of the step, from
            which the crops are drawn.
        size: The height and width of the crops, in pixels.
        zoom: The least side of a crop, as a fraction of the photo's.
    """
    pixels, labels = source.fetch(item)
    draws = tf.random.stateless_uniform((pixels.shape[0], 4), stream(key, _CUTS))
    return cut(pixels, draws, size, zoom), labels


def crops(
    source: PhotoSource, batch: int, count: int, *, seed: int, size: int, zoom: float
) -> Iterator[Any]:
    """Yield the crops `(batch, size, size, 3)` of the first batches of a training."""
    compiled = tf.function(
        lambda item, key: take(source, item, key, size, zoom)[0], autograph=False
    )
    items = islice(source.batches(batch, first=0, seed=seed), count)
    for number, item in enumerate(items):
        arrays = tf.nest.map_structure(tf.constant, item)
        yield compiled(arrays, tf.constant([seed, number]))


def shuffled(
    count: int, batch: int, *, first: int, seed: int
) -> Iterator[NDArray[np.int32]]:
    """Yield the numbers of each batch without end: every epoch is a permutation.

    Args:
        count: The number of photos.
        batch: The number of photos in a batch.
        first: The number of the first batch.
        seed: Random seed of the order.

    >>> [numbers.tolist() for numbers in islice(shuffled(3, 2, first=0, seed=0), 3)]
    [[2, 0], [1, 2], [0, 1]]
    """
    place = first * batch
    left = np.zeros(0, np.int32)
    while True:
        while len(left) < batch:
            epoch, skipped = divmod(place + len(left), count)
            order = np.random.default_rng([seed, epoch]).permutation(count)
            left = np.concatenate([left, order[skipped:].astype(np.int32)])
        yield left[:batch]
        left = left[batch:]
        place += batch


def side_for(files: Sequence[str], size: int, zoom: float) -> int:
    """Return the side of the squares that are kept of photos, in pixels.

    It is that of the photos, but at least the size of the crops, and not more than is
    needed to enlarge no crop.

    Args:
        files: The files of the photos.
        size: The height and width of the crops, in pixels, a multiple of 4.
        zoom: The least side of a crop, as a fraction of the photo's.
    """
    most = -(-round(size / zoom) // 4) * 4
    if most == size:
        return size
    spread = np.linspace(0, len(files) - 1, min(len(files), _MEASURED)).astype(int)
    sides = []
    for place in spread:
        try:
            with Image.open(files[place]) as photo:  # reads the size alone
                sides.append(min(photo.size))
        except OSError:
            continue  # TensorFlow, which decodes the photos, may know this format
    return int(np.clip(np.median(sides or [size]) // 4 * 4, size, most))


def fits(needed: int) -> bool:
    """Return whether photos leave enough memory of the device to everything else.

    Args:
        needed: The number of bytes that they take.
    """
    whole = int(needed / _LEAST_FREE)
    if tf.config.list_physical_devices("GPU"):
        # TensorFlow does not say how much of a graphics card is free.
        try:
            tf.zeros(whole // _WORD, tf.int64)
        except tf.errors.ResourceExhaustedError:
            return False
        return True
    return whole <= available_memory()


def available_memory() -> int:
    """Return how many bytes of the main memory a program can still take."""
    try:  # What Linux has in use for files counts as free.
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = dict(line.split(":") for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


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


def _unreadable(error: Exception) -> ValueError:
    return ValueError(
        f"A photo could be read before and no longer can: {reason_of(error)}. Restore "
        "it; the same command resumes from the last checkpoint."
    )
