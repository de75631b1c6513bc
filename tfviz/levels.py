"""How active the channels of a model usually are.

That a channel responds with 12 to a photo says little; that this is five deviations
above what it usually does says much. The usual level is measured once over real
photos, and kept in a file.
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
from tfviz.models.adapter import LOGITS, Adapter, adapt
from tfviz.models.inputs import fit_photo

__all__ = ["Level", "Levels", "bundled", "load", "measure"]

BATCH = 16
BUNDLED = ("squeezenet",)
_STATISTICS = ("mean", "deviation", "highest")
# Bits of a float's fraction that are not written: levels are good to three digits at
# best, and zeros compress to nothing.
_DROPPED_BITS = 12


@dataclass(frozen=True)
class Level:
    """The usual level of each channel of a layer.

    An image's value of a channel is the mean over the channel's map.

    Attributes:
        mean: `(channels,)`, over the images.
        deviation: `(channels,)`, the standard deviation over the images.
        highest: `(channels,)`, over the images.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    highest: NDArray[np.float32]


@dataclass(frozen=True)
class Levels:
    """The usual levels of a model's channels.

    Attributes:
        layers: By the path of the layer; the classes before the softmax are `:logits`.
        count: Of the images.
        fingerprint: Of the model, as `Adapter.fingerprint` gives it.
        preprocess: The name of the range that the model was given.
    """

    layers: Mapping[str, Level]
    count: int
    fingerprint: str
    preprocess: str

    def check(self, model: Any) -> None:
        """Make sure that these levels are those of a model.

        Args:
            model: What `adapt` takes.

        Raises:
            ValueError: If they were measured on other weights or another range.
        """
        adapter = adapt(model)
        remedy = "Measure them again: `tfviz levels`, or levels.measure."
        fingerprint = adapter.fingerprint()
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"The levels are not those of model {adapter.name!r}: they were "
                f"measured on weights with the fingerprint {self.fingerprint[:8]}, not "
                f"{fingerprint[:8]}. {remedy}"
            )
        if adapter.preprocess.name != self.preprocess:
            raise ValueError(
                f"The levels were measured with the range {self.preprocess}, but the "
                f"model now gets {adapter.preprocess.name}. {remedy}"
            )

    def save(self, path: str | os.PathLike) -> None:
        """Write the levels to a file, whole or not at all, to three digits.

        Args:
            path: Ends in `.npz`.

        Raises:
            ValueError: If the name ends in something else.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(f"{str(path)!r} must end in .npz to hold levels.")
        arrays: dict[str, Any] = {
            f"layer:{name}": _rounded(
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
    """Measure how active a model's channels are on real photos.

    Args:
        model: What `adapt` takes.
        images: Files, or pictures `(height, width, channels)` as bytes or floats in
            [0, 1], of any sizes. Taken one after the other, so any number of them.
            The model sees their middles.
        layers: Paths; by default all layers. The classes are always measured where
            the model has some.

    Returns:
        The levels.

    Raises:
        ValueError: If there is no such layer, an image does not fit, an activation is
            not finite, or there are fewer than two images.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> photos = np.random.default_rng(0).random((4, 64, 64, 3))
    >>> measure(model, photos, ["fire2"]).layers["fire2"].mean.shape
    (128,)
    """
    adapter = adapt(model)
    paths = _paths(adapter, layers)
    channel_means = _compiled(adapter, paths)
    count = 0
    totals: list[tuple[Any, Any, Any]] = []  # mean, squares about it, highest
    for batch in _batches(adapter, images):
        n = len(batch)
        found = []
        for path, tensor in zip(paths, channel_means(batch), strict=True):
            values = tensor.numpy().astype(np.float64)
            if not np.isfinite(values).all():
                raise ValueError(
                    f"Layer {path!r} of model {adapter.name!r} has activations that "
                    "are not finite. Does it get the right range? `tfviz check`"
                )
            mean = values.mean(axis=0)
            squares = ((values - mean) ** 2).sum(axis=0)
            found.append((mean, squares, values.max(axis=0)))
        totals = _joined(totals, count, found, n) if count else found
        count += n
    if count < 2:
        raise ValueError(f"Levels need at least 2 images. Received: {count}")
    return Levels(
        {
            path: Level(
                mean.astype(np.float32),
                np.sqrt(squares / count).astype(np.float32),
                highest.astype(np.float32),
            )
            for path, (mean, squares, highest) in zip(paths, totals, strict=True)
        },
        count,
        adapter.fingerprint(),
        adapter.preprocess.name,
    )


def load(path: str | os.PathLike) -> Levels:
    """Read levels from a file that `Levels.save` wrote.

    Args:
        path: The file.

    Returns:
        The levels.

    Raises:
        ValueError: If the file holds none.
        FileNotFoundError: If there is no such file.
    """
    with Path(path).open("rb") as file:
        return _read(file, os.fspath(path))


@cache
def bundled(name: str = "squeezenet") -> Levels:
    """Return the levels of a bundled model, measured on 1000 photos of ImageNet.

    Args:
        name: As `load_model` takes it.

    Raises:
        ValueError: If there are none for that model.

    >>> bundled("squeezenet").count
    1000
    """
    if name not in BUNDLED:
        raise ValueError(
            f"Levels are bundled for {', '.join(BUNDLED)} alone. Measure others with "
            f"`tfviz levels` or levels.measure. Received: {name!r}"
        )
    with files("tfviz.models").joinpath("squeezenet_levels.npz").open("rb") as file:
        return _read(file, "levels.npz")


def _paths(adapter: Adapter, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        paths = [layer.path for layer in adapter.layers() if layer.units]
    else:
        paths = list(dict.fromkeys(layers))
        for path in paths:
            if not adapter.layer(path).units:
                raise ValueError(f"Layer {path!r} has no channels to measure.")
    return paths + [LOGITS] * (adapter.classes is not None)


def _compiled(adapter: Adapter, paths: list[str]) -> Any:
    """Return a function from images to `(n, channels)` for each path."""

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


def _joined(before: Any, count: int, found: Any, n: int) -> list[tuple[Any, Any, Any]]:
    """Add a batch of n images to the statistics of `count` images.

    By the update of Chan, Golub and LeVeque (1979), as a sum of squares about zero
    would lose a small deviation around a large mean.
    """
    return [
        (
            mean + (other - mean) * (n / (count + n)),
            squares + more + (other - mean) ** 2 * (count * n / (count + n)),
            np.maximum(highest, high),
        )
        for (mean, squares, highest), (other, more, high) in zip(
            before, found, strict=True
        )
    ]


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
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
            facts = [
                arrays[key].item() for key in ("count", "fingerprint", "preprocess")
            ]
    except DAMAGED as error:
        raise ValueError(
            f"{name!r} holds no levels. Make a file of them with `tfviz levels`, or "
            "levels.measure(...).save(path)."
        ) from error
    count, fingerprint, preprocess = facts
    return Levels(layers, count, fingerprint, preprocess)
