"""The photos of a folder, as random batches that are reproducible from any step."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._files import write_safely
from tfviz.priors.training.checkpoint import SAMPLES

# The formats that TensorFlow decodes. Files of other formats are ignored.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# With fewer photos, a network of a million weights learns to repeat these photos.
FEWEST = 1000
# The largest number of files that a message names.
NAMED_FILES = 5
PHOTO_LIST = "photos.json"
# The number of photos that are decoded in parallel.
_PARALLEL = 2


@dataclass(frozen=True)
class Photos:
    """The files of a folder, split in two.

    Attributes:
        train: The files to learn from.
        held_out: The files that are never learned from, spread evenly over the sorted
            files.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def find_photos(
    folder: Path, held_out: int, *, fewest: int = 0, list_file: Path | None = None
) -> Photos:
    """Return the photos in a folder and its subfolders.

    Args:
        folder: The folder to search.
        held_out: The number of photos to hold out.
        fewest: The least number of photos to learn from, if more than `FEWEST`.
        list_file: A file that keeps the list of photos, or None. With it, a later call
            need not read the photos, and refuses a folder that has changed. The
            `SAMPLES` beside it do not count as photos.

    Raises:
        ValueError: If some photos cannot be read, there are too few, or they are not
            those of the list.
    """
    fewest = max(FEWEST, fewest)
    samples = list_file and (list_file.parent / SAMPLES).resolve()
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and file.resolve() != samples
    )
    if len(files) < fewest + held_out:
        raise ValueError(
            f"There are {len(files)} images in {folder}, and {fewest} to learn from "
            f"and {held_out} to hold out are needed. Expected files that end in "
            f"{', '.join(SUFFIXES)}."
        )
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    if list_file is not None and list_file.exists():
        _check_unchanged(folder, json.loads(list_file.read_text("utf-8")), sizes)
    else:
        _check_readable(folder, list(sizes))
        if list_file is not None:
            text = json.dumps(sizes)
            write_safely(list_file, lambda file: file.write(text.encode()))
    places = np.linspace(0, len(files) - 1, held_out).round().astype(int)
    held_out_places = set(places.tolist())
    return Photos(
        tuple(str(f) for i, f in enumerate(files) if i not in held_out_places),
        tuple(str(files[i]) for i in places),
    )


def batches(
    files: Sequence[str], size: int, batch: int, *, first: int, seed: int, zoom: float
) -> tf.data.Dataset:
    """Yield batches without end: shuffled, cropped and mirrored at random.

    Batch number n is the same whichever batch a run begins with.

    Args:
        files: The photos.
        size: The height and width of a crop after resizing, in pixels.
        batch: The number of photos in a batch.
        first: The number of the first batch: where an earlier run stopped.
        seed: Random seed of order, crops and mirroring.
        zoom: The least side of a crop, as a fraction of the photo's shorter side.

    Returns:
        Batches `(batch, size, size, 3)` in [0, 1].
    """
    names = tf.constant(files)
    count = len(files)

    def place(number: Any) -> Any:
        epoch = number // count
        key = tf.stack([tf.cast(seed, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(
            number % count, tf.cast(key, tf.int32), tf.constant(count - 1, tf.int64)
        )

    @tf.autograph.experimental.do_not_convert  # conversion takes seconds for nothing
    def crop(number: Any) -> Any:
        image = _decode(tf.gather(names, place(number)))
        draws = tf.random.stateless_uniform(
            (4,), tf.stack([tf.cast(seed, tf.int64), number])
        )
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        shorter = tf.cast(tf.minimum(height, width), tf.float32)
        side = tf.cast(tf.round((zoom + (1 - zoom) * draws[0]) * shorter), tf.int32)
        side = tf.maximum(side, 1)
        top = tf.cast(draws[1] * tf.cast(height - side + 1, tf.float32), tf.int32)
        left = tf.cast(draws[2] * tf.cast(width - side + 1, tf.float32), tf.int32)
        image = image[top : top + side, left : left + side]
        image = tf.image.resize(image, (size, size), antialias=True)
        image = tf.where(draws[3] < 0.5, image[:, ::-1], image)
        return tf.clip_by_value(image, 0, 1)

    numbers = tf.data.Dataset.counter(first * batch, dtype=tf.int64)
    crops = numbers.map(crop, num_parallel_calls=_PARALLEL)
    return crops.batch(batch, drop_remainder=True).prefetch(4)


def centre_squares(files: Sequence[str], size: int) -> NDArray[np.float32]:
    """Return the central squares of photos, `(n, size, size, 3)` in [0, 1]."""

    @tf.autograph.experimental.do_not_convert
    def square(name: Any) -> Any:
        image = _decode(name)
        shape = tf.shape(image)
        side = tf.minimum(shape[0], shape[1])
        image = tf.image.resize_with_crop_or_pad(image, side, side)
        image = tf.image.resize(image, (size, size), antialias=True)
        return tf.clip_by_value(image, 0, 1)

    dataset = tf.data.Dataset.from_tensor_slices(list(files))
    dataset = dataset.map(square, num_parallel_calls=_PARALLEL)
    return np.stack(list(dataset.as_numpy_iterator()))


def _check_readable(folder: Path, names: Sequence[str]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as executor:
        readable = executor.map(lambda name: _is_readable(folder / name), names)
        broken = [name for name, good in zip(names, readable, strict=True) if not good]
    if broken:
        raise ValueError(
            f"{len(broken)} of the {len(names)} images in {folder} cannot be read: "
            f"{_enumerate(broken)}. Repair or remove them."
        )


def _check_unchanged(folder: Path, before: dict[str, int], now: dict[str, int]) -> None:
    changes = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [n for n in now if n in before and now[n] != before[n]],
    }
    parts = [f"{len(v)} are {k} ({_enumerate(v)})" for k, v in changes.items() if v]
    if parts:
        raise ValueError(
            f"The images in {folder} are not those that this training began with: "
            f"{', '.join(parts)}. Restore them to resume it, or choose another folder "
            "for the output."
        )


def _enumerate(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_FILES} more" * (len(names) > NAMED_FILES)
    return ", ".join(names[:NAMED_FILES]) + more


def _decode(name: Any) -> Any:
    image = tf.io.decode_image(
        tf.io.read_file(name), channels=3, expand_animations=False
    )
    return tf.cast(image, tf.float32) / 255


def _is_readable(file: Path) -> bool:
    # With TensorFlow, as in the training: Pillow does not read the same files.
    try:
        return 0 not in _decode(str(file)).shape
    except (tf.errors.OpError, ValueError):
        return False
