"""The photos of some folders: which they are, and their central squares."""

import json
import os
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._errors import count_of
from tfviz._files import write_safely
from tfviz.comparison.kinship import IMAGENET
from tfviz.models.labels import imagenet_labels
from tfviz.priors.training.checkpoint import SAMPLES

# A folder or a zip file of photos, or several of these.
Images = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# The formats that TensorFlow decodes. Files of other formats are ignored.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
ZIP = ".zip"
# With fewer photos, a network of a million weights learns to repeat these photos.
FEWEST = 1000
# The largest number of files that a message names.
NAMED_FILES = 5
PHOTO_LIST = "photos.json"
# The identifier of a class of WordNet in the name of a photo, such as n01443537_8.JPEG.
_WNID = re.compile(r"n\d{8}")
# The number of photos that are decoded in parallel.
_PARALLEL = 2


@dataclass(frozen=True)
class Photos:
    """The photos of a training, split in two.

    Attributes:
        train: The files to learn from.
        held_out: The files that are never learned from, spread evenly over all files.
        counts: The number of photos in each source, by its name, without those that
            were left out.
        data: The datasets that the photos are known to come from, by their names.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    counts: Mapping[str, int]
    data: tuple[str, ...]


@contextmanager
def unpacked(images: Images) -> Iterator[dict[str, Path]]:
    """Yield the folder of each source of photos, by the source's name.

    A zip file is unpacked into a temporary folder, because TensorFlow reads files. The
    folder is deleted at the end.

    Args:
        images: Folders and zip files with different names.

    Raises:
        ValueError: If a source is neither, or two of them have the same name.
    """
    several = [images] if isinstance(images, (str, os.PathLike)) else images
    sources = [Path(source) for source in several]
    names = [source.resolve().name for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(
            "Two sources of photos must not have the same name, by which their photos "
            f"are listed. Rename one of: {', '.join(map(str, sources))}"
        )
    with tempfile.TemporaryDirectory(prefix="tfviz-") as temporary:
        folders = {}
        for name, source in zip(names, sources, strict=True):
            folders[name] = source
            if source.is_dir():
                continue
            folders[name] = Path(temporary) / name
            _unpack(source, folders[name])
        yield folders


def find_photos(
    folders: Mapping[str, Path],
    held_out: int,
    *,
    without: Collection[str] = (),
    fewest: int = 0,
    list_file: Path | None = None,
) -> Photos:
    """Return the photos in folders and their subfolders.

    Args:
        folders: The folders to search, by the names of the sources.
        held_out: The number of photos to hold out.
        without: The names of photos to leave out, relative to the folders.
        fewest: The least number of photos to learn from, if more than `FEWEST`.
        list_file: A file that keeps the list of photos, or None. With it, a later call
            need not read the photos, and refuses photos that have changed. The
            `SAMPLES` beside it do not count as photos.

    Raises:
        ValueError: If some photos cannot be read, there are too few, they are not
            those of the list, or one to be left out does not exist.
    """
    fewest = max(FEWEST, fewest)
    samples = list_file and (list_file.parent / SAMPLES).resolve()
    places = [
        (source, file.relative_to(folder).as_posix(), file)
        for source, folder in folders.items()
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and file.resolve() != samples
    ]
    where = ", ".join(folders)
    _check_names(without, {name for _, name, _ in places}, where)
    places = [place for place in places if place[1] not in set(without)]
    if len(places) < fewest + held_out:
        raise ValueError(
            f"Found {count_of(len(places), 'image')} in {where}, but {fewest} to learn "
            f"from and {held_out} to hold out are needed. Expected files that end in "
            f"{', '.join(SUFFIXES)}."
        )
    # With a single source, the list stays valid if its folder is renamed.
    files = {
        name if len(folders) == 1 else f"{source}/{name}": file
        for source, name, file in places
    }
    sizes = {name: file.stat().st_size for name, file in files.items()}
    if list_file is not None and list_file.exists():
        _check_unchanged(where, json.loads(list_file.read_text("utf-8")), sizes)
    else:
        _check_readable(where, files)
        if list_file is not None:
            text = json.dumps(sizes)
            write_safely(list_file, lambda file: file.write(text.encode()))
    spread = np.linspace(0, len(places) - 1, held_out).round().astype(int)
    held_out_places = set(spread.tolist())
    paths = [str(file) for file in files.values()]
    return Photos(
        tuple(path for k, path in enumerate(paths) if k not in held_out_places),
        tuple(paths[k] for k in spread),
        Counter(source for source, _, _ in places),
        _datasets(name for _, name, _ in places),
    )


def squares(names: tf.data.Dataset, side: int) -> tf.data.Dataset:
    """Decode photos, and return their central squares in the same order.

    Args:
        names: The names of the files.
        side: The height and width to which the squares are resized, in pixels.

    Returns:
        `(side, side, 3)` integers of 8 bits.
    """

    @tf.autograph.experimental.do_not_convert  # conversion takes seconds for nothing
    def decode(name: Any) -> Any:
        return tf.cast(tf.round(_square(name, side) * 255), tf.uint8)

    return names.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def read_squares(files: Sequence[str], side: int) -> NDArray[np.uint8]:
    """Return the central squares of photos, `(n, side, side, 3)`.

    Args:
        files: The files of the photos.
        side: The height and width to which the squares are resized, in pixels.
    """
    pixels = np.empty((len(files), side, side, 3), np.uint8)
    decoded = squares(tf.data.Dataset.from_tensor_slices(list(files)), side)
    for place, square in enumerate(decoded.as_numpy_iterator()):
        pixels[place] = square
    return pixels


def centre_squares(files: Sequence[str], size: int) -> NDArray[np.float32]:
    """Return the central squares of photos, `(n, size, size, 3)` in [0, 1]."""
    dataset = tf.data.Dataset.from_tensor_slices(list(files)).map(
        tf.autograph.experimental.do_not_convert(lambda name: _square(name, size)),
        num_parallel_calls=_PARALLEL,
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def _unpack(source: Path, folder: Path) -> None:
    """Write the images in a zip file to a folder."""
    folder.mkdir()
    if not zipfile.is_zipfile(source):
        raise ValueError(
            f"{str(source)!r} is neither a folder nor a zip file. Give one of these."
        )
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if Path(name).suffix.lower() in SUFFIXES:
                archive.extract(name, folder)


def _datasets(names: Iterable[str]) -> tuple[str, ...]:
    """Return the datasets of photos: ImageNet names its photos by their class."""
    classes = set(imagenet_labels().wnids)
    found = any(not classes.isdisjoint(_WNID.findall(name)) for name in names)
    return (IMAGENET,) if found else ()


def _check_names(without: Collection[str], names: Collection[str], where: str) -> None:
    unknown = sorted(set(without) - set(names))
    if unknown:
        wanted = len(set(without))
        raise ValueError(
            f"{wanted - len(unknown)} of the {wanted} images to leave out are in "
            f"{where}, and {len(unknown)} are not: {_enumerate(unknown)}. Write their "
            "names as they are there, with their folders, such as dogs/1.jpg."
        )


def _check_readable(where: str, files: Mapping[str, Path]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as executor:
        readable = executor.map(_is_readable, files.values())
        broken = [name for name, good in zip(files, readable, strict=True) if not good]
    if broken:
        raise ValueError(
            f"{len(broken)} of the {len(files)} images in {where} cannot be read: "
            f"{_enumerate(broken)}. Repair or remove them."
        )


def _check_unchanged(where: str, before: dict[str, int], now: dict[str, int]) -> None:
    changes = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [n for n in now if n in before and now[n] != before[n]],
    }
    parts = [f"{len(v)} are {k} ({_enumerate(v)})" for k, v in changes.items() if v]
    if parts:
        raise ValueError(
            f"The images in {where} are not those that this training began with: "
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


def _square(name: Any, size: int) -> Any:
    """Return the central square of a photo, `(size, size, 3)` in [0, 1]."""
    image = _decode(name)
    shape = tf.shape(image)
    side = tf.minimum(shape[0], shape[1])
    image = tf.image.resize_with_crop_or_pad(image, side, side)
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.clip_by_value(image, 0, 1)


def _is_readable(file: Path) -> bool:
    # With TensorFlow, as in the training: Pillow does not read the same files.
    try:
        return 0 not in _decode(str(file)).shape
    except (tf.errors.OpError, ValueError):
        return False
