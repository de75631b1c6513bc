"""Photos of a folder, as batches that can be had again from any step."""

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
from tfviz.priors.training.samples import SAMPLES

# What TensorFlow decodes. Others are not looked at.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Of fewer photos, a network of a million weights learns these photos, not their kind.
FEWEST = 1000
# Files are named up to this number.
NAMED = 5
LIST = "photos.json"
# Photos that are decoded at a time.
_PARALLEL = 2


@dataclass(frozen=True)
class Photos:
    """The files of a folder, in two parts.

    Attributes:
        train: To learn from.
        held_out: Never learned from; spread evenly over the sorted files.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def find_photos(
    folder: Path, held_out: int, *, fewest: int = 0, known: Path | None = None
) -> Photos:
    """Return the photos in a folder and the folders inside of it.

    Args:
        folder: Where to look.
        held_out: How many to hold out.
        fewest: How many there must be beside those, if more than `FEWEST`.
        known: A file that keeps the list, so that a later call need not read the
            photos, and refuses a folder that is no longer the same. `SAMPLES` beside
            it is no photo. Or None.

    Raises:
        ValueError: If some cannot be read, there are too few, or others than before.
    """
    fewest = max(FEWEST, fewest)
    samples = known and (known.parent / SAMPLES).resolve()
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
    if known is not None and known.exists():
        _check_same(folder, json.loads(known.read_text("utf-8")), sizes)
    else:
        _check_readable(folder, list(sizes))
        if known is not None:
            text = json.dumps(sizes)
            write_safely(known, lambda file: file.write(text.encode()))
    places = np.linspace(0, len(files) - 1, held_out).round().astype(int)
    chosen = set(places.tolist())
    return Photos(
        tuple(str(f) for i, f in enumerate(files) if i not in chosen),
        tuple(str(files[i]) for i in places),
    )


def _check_readable(folder: Path, names: Sequence[str]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as executor:
        good = executor.map(lambda name: _readable(folder / name), names)
        broken = [name for name, fine in zip(names, good, strict=True) if not fine]
    if broken:
        raise ValueError(
            f"{len(broken)} of the {len(names)} images in {folder} cannot be read: "
            f"{_named(broken)}. Mend them or take them out."
        )


def _check_same(folder: Path, before: dict[str, int], now: dict[str, int]) -> None:
    changes = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [n for n in now if n in before and now[n] != before[n]],
    }
    told = [f"{len(v)} are {k} ({_named(v)})" for k, v in changes.items() if v]
    if told:
        raise ValueError(
            f"The images in {folder} are not those that this training began with: "
            f"{', '.join(told)}. Restore them to go on, or choose another folder for "
            "the output."
        )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
    return ", ".join(names[:NAMED]) + more


def batches(
    files: Sequence[str], size: int, batch: int, *, first: int, seed: int, zoom: float
) -> tf.data.Dataset:
    """Yield batches without end: shuffled, cut, mirrored; the same from each step on.

    Args:
        files: The photos.
        size: Height and width of what is cut, in pixels.
        batch: Photos in a batch.
        first: The number of the first batch: where an earlier run stopped.
        seed: Of order and cuts.
        zoom: The smallest side of a cut, as a part of the photo's shorter side.

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

    @tf.autograph.experimental.do_not_convert  # which takes seconds, for nothing
    def cut(number: Any) -> Any:
        image = _decoded(tf.gather(names, place(number)))
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
    cuts = numbers.map(cut, num_parallel_calls=_PARALLEL)
    return cuts.batch(batch, drop_remainder=True).prefetch(4)


def squares(files: Sequence[str], size: int) -> NDArray[np.float32]:
    """Return the middle squares of photos, `(n, size, size, 3)` in [0, 1]."""

    @tf.autograph.experimental.do_not_convert
    def square(name: Any) -> Any:
        image = _decoded(name)
        shape = tf.shape(image)
        side = tf.minimum(shape[0], shape[1])
        image = tf.image.resize_with_crop_or_pad(image, side, side)
        image = tf.image.resize(image, (size, size), antialias=True)
        return tf.clip_by_value(image, 0, 1)

    found = tf.data.Dataset.from_tensor_slices(list(files))
    found = found.map(square, num_parallel_calls=_PARALLEL)
    return np.stack(list(found.as_numpy_iterator()))


def _decoded(name: Any) -> Any:
    image = tf.io.decode_image(
        tf.io.read_file(name), channels=3, expand_animations=False
    )
    return tf.cast(image, tf.float32) / 255


def _readable(file: Path) -> bool:
    # As the training will: TensorFlow and Pillow do not read the same files.
    try:
        return 0 not in _decoded(str(file)).shape
    except (tf.errors.OpError, ValueError):
        return False
