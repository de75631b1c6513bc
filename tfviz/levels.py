"""The usual activity of a model's channels, measured over real photos.

A response of 12 to a photo says little about a channel; a response of five standard
deviations above its mean says much. The usual levels are measured once, over many
photos, and saved in a file.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._files import DAMAGED, write_safely
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import fit_photo
from tfviz.models.introspection import LOGITS

__all__ = ["Level", "Levels", "bundled", "load", "measure"]

BATCH = 16
BUNDLED = ("squeezenet",)
_STATISTICS = ("mean", "deviation", "highest")
# The number of bits of a float's fraction that are set to zero in files: levels are
# accurate to three digits at best, and zeros compress well.
_DROPPED_BITS = 12


@dataclass(frozen=True)
class Level:
    """The usual level of each channel of a layer.

    The value of a channel in an image is the mean over the channel's map.

    Attributes:
        mean: The mean over the images, `(channels,)`.
        deviation: The standard deviation over the images, `(channels,)`.
        highest: The highest value in any image, `(channels,)`.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    highest: NDArray[np.float32]


class Moments:
    """The running mean, deviation and highest value of each channel.

    Batches are merged by the update of Chan, Golub and LeVeque (1979). A sum of squares
    about zero would lose a small deviation around a large mean.

    Attributes:
        count: The number of images so far.
        mean: The mean over the images, `(channels,)`.
        squares: The sum of squares about the mean, `(channels,)`.
        highest: The highest value, `(channels,)`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean, self.squares = np.zeros((2, 1))
        self.highest = np.full(1, -np.inf)

    def add(self, values: NDArray[Any]) -> None:
        """Add the values of a batch of at least one image, `(n, channels)`."""
        values = values.astype(np.float64)
        n, total = len(values), self.count + len(values)
        mean = values.mean(axis=0)
        difference = mean - self.mean
        self.mean = self.mean + difference * (n / total)
        self.squares = (
            self.squares
            + ((values - mean) ** 2).sum(axis=0)
            + difference**2 * (self.count * n / total)
        )
        self.highest = np.maximum(self.highest, values.max(axis=0))
        self.count = total

    def level(self) -> Level:
        """Return the level of the channels over all images so far."""
        deviation = np.sqrt(self.squares / self.count)
        return Level(
            *(x.astype(np.float32) for x in (self.mean, deviation, self.highest))
        )


@dataclass(frozen=True)
class Levels:
    """The usual levels of a model's channels.

    Attributes:
        layers: The levels of each layer by its path; those of the classes before the
            softmax are under `:logits`.
        count: The number of images.
        fingerprint: The fingerprint of the model's weights, from `Adapter.fingerprint`.
        preprocess: The name of the input range that the model was used with.
    """

    layers: Mapping[str, Level]
    count: int
    fingerprint: str
    preprocess: str

    def check(self, model: Any) -> None:
        """Make sure that these levels were measured on a model.

        Args:
            model: A Keras model, or an adapter returned by `adapt`.

        Raises:
            ValueError: If they were measured on other weights or with another range.
        """
        adapter = adapt(model)
        remedy = "Measure them again: `tfviz levels`, or levels.measure."
        fingerprint = adapter.fingerprint()
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"The levels are not those of model {adapter.name!r}: they were "
                f"measured on weights with the fingerprint {self.fingerprint[:8]}, but "
                f"the model's weights have {fingerprint[:8]}. {remedy}"
            )
        if adapter.preprocess.name != self.preprocess:
            raise ValueError(
                f"The levels were measured with the range {self.preprocess}, but the "
                f"model now uses {adapter.preprocess.name}. {remedy}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the levels, to three digits, to a file that is complete or not written.

        Args:
            path: The file; its name must end in `.npz`.

        Raises:
            ValueError: If the file's name has another ending.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(
                f"A file of levels must end in .npz. Received: {str(path)!r}"
            )
        arrays: dict[str, Any] = {
            f"layer:{name}": _round_fractions(
                np.stack([getattr(level, s) for s in _STATISTICS])
            )
            for name, level in self.layers.items()
        }
        arrays["count"] = np.asarray(self.count)
        arrays["fingerprint"] = np.asarray(self.fingerprint)
        arrays["preprocess"] = np.asarray(self.preprocess)
        write_safely(path, lambda file: np.savez_compressed(file, **arrays))


def measure(
    model: Any, images: Iterable[Any], layers: Sequence[str] | None = None
) -> Levels:
    """Measure the usual activity of a model's channels on real photos.

    Args:
        model: A Keras model, or an adapter returned by `adapt`.
        images: Files, or pictures `(height, width, channels)` as bytes or floats in
            [0, 1], of any sizes. An iterable is consumed batch by batch, so it may be
            larger than memory. The model sees the middle of each image.
        layers: The paths of the layers; by default all layers. The classes of a model
            that has some are always measured.

    Returns:
        The levels.

    Raises:
        ValueError: If a layer does not exist, an image does not fit, an activation is
            not finite, or there are fewer than two images.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> photos = np.random.default_rng(0).random((4, 64, 64, 3))
    >>> measure(model, photos, ["fire2"]).layers["fire2"].mean.shape
    (128,)
    """
    adapter = adapt(model)
    paths = _select_paths(adapter, layers)
    channel_means = _compile_channel_means(adapter, paths)
    moments = {path: Moments() for path in paths}
    for batch in _batches(adapter, images):
        for path, tensor in zip(paths, channel_means(batch), strict=True):
            values = tensor.numpy()
            if not np.isfinite(values).all():
                raise ValueError(
                    f"Layer {path!r} of model {adapter.name!r} has activations that "
                    "are not finite. Check the input range with `tfviz check`."
                )
            moments[path].add(values)
    count = next((m.count for m in moments.values()), 0)
    if count < 2:
        raise ValueError(f"Levels need at least 2 images. Received: {count}")
    return Levels(
        {path: of_layer.level() for path, of_layer in moments.items()},
        count,
        adapter.fingerprint(),
        adapter.preprocess.name,
    )


def load(path: str | os.PathLike[str]) -> Levels:
    """Read levels from a file that `Levels.save` wrote.

    Args:
        path: The file.

    Returns:
        The levels.

    Raises:
        ValueError: If the file does not hold levels.
        FileNotFoundError: If there is no such file.
    """
    with Path(path).open("rb") as file:
        return _read(file, os.fspath(path))


@cache
def bundled(name: str = "squeezenet") -> Levels:
    """Return the levels of a bundled model, measured on 1000 photos of ImageNet.

    Args:
        name: The name of the bundled model, as in `load_model`.

    Raises:
        ValueError: If no levels are bundled for this model.

    >>> bundled("squeezenet").count
    1000
    """
    if name not in BUNDLED:
        raise ValueError(
            f"Levels are bundled only for {', '.join(BUNDLED)}. Measure those of other "
            f"models with `tfviz levels` or levels.measure. Received: {name!r}"
        )
    file_name = f"{name}_levels.npz"
    with files("tfviz.models").joinpath(file_name).open("rb") as file:
        return _read(file, file_name)


def _select_paths(adapter: Adapter, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        paths = [layer.path for layer in adapter.layers() if layer.units]
    else:
        paths = list(dict.fromkeys(layers))
        for path in paths:
            if not adapter.layer(path).units:
                raise ValueError(f"Layer {path!r} has no channels to measure.")
    return paths + [LOGITS] * (adapter.classes is not None)


def _compile_channel_means(adapter: Adapter, paths: list[str]) -> Any:
    """Return a function from images to the means `(n, channels)` of each layer."""

    def channel_means(images: Any) -> list[Any]:
        values = adapter.forward(images, paths)
        return [
            tf.reduce_mean(values[p], axis=range(1, values[p].shape.rank - 1))
            for p in paths
        ]

    spec = tf.TensorSpec((None, *adapter.size, adapter.channels), tf.float32)
    return tf.function(channel_means, [spec], autograph=False)


def _batches(adapter: Adapter, images: Iterable[Any]) -> Iterator[NDArray[np.float32]]:
    fitting = (fit_photo(adapter, image) for image in images)
    while batch := list(islice(fitting, BATCH)):
        yield np.stack(batch)


def _round_fractions(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round floats to the nearest ones whose dropped bits are zero."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    kept = np.uint32(0xFFFFFFFF ^ ((1 << _DROPPED_BITS) - 1))
    return ((bits + half) & kept).view(np.float32)


def _read(file: IO[bytes], name: str) -> Levels:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            layers = {}
            for key in arrays.files:
                if key.startswith("layer:"):
                    mean, deviation, highest = arrays[key]
                    path = key.removeprefix("layer:")
                    layers[path] = Level(mean, deviation, highest)
            attributes = [
                arrays[key].item() for key in ("count", "fingerprint", "preprocess")
            ]
    except DAMAGED as error:
        raise ValueError(
            f"{name!r} holds no levels. Write such a file with `tfviz levels`, or "
            "levels.measure(...).save(path)."
        ) from error
    return Levels(layers, *attributes)
