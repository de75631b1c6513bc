"""Dataset examples as records, and the file that holds them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from tfviz._errors import argument, did_you_mean
from tfviz._files import DAMAGED, write_safely
from tfviz.analysis.layer_selection import unit_prefix
from tfviz.analysis.photo_stream import digest_of
from tfviz.levels import Level, Levels
from tfviz.models.adapter import adapt
from tfviz.models.inputs import fit_picture
from tfviz.models.introspection import LOGITS

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

# The lists of images of each unit.
KINDS = ("top", "bottom", "spread")

# The array of a file that describes the others, as JSON.
_FACTS = "examples"
_REMEDY = "Make them again: `tfviz examples`, or tfviz.dataset_examples."


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """An image of the data set.

    Attributes:
        path: The path of the file in the folder, with `/`. If the images were given
            one by one, the path as it was given; empty for an array.
        height: The height of the image, upright, in pixels.
        width: Its width.
        digest: The BLAKE2b hash, of 8 bytes, of the file or of the array, in hex.
    """

    path: str
    height: int
    width: int
    digest: str


@dataclass(frozen=True)
class Examples:
    """Some images of each unit of a layer.

    Attributes:
        images: The indices of the images in `DatasetExamples.images`, `(units, k)`.
        values: The units' responses to them, `(units, k)`.
        positions: The positions where the activation is highest, `(units, k)`, as
            indices into the flattened map: row * width + column. The first one of
            equally high ones; 0 for a layer without a map.
    """

    images: Integers
    values: Floats
    positions: Integers


@dataclass(frozen=True)
class LayerExamples:
    """The examples and statistics of the units of a layer.

    Attributes:
        top: The images with the highest responses, highest first. Of equal responses,
            here and below, that to the earlier image comes first.
        bottom: The images with the lowest responses, lowest first.
        spread: The images at evenly spaced quantiles of the responses, ascending.
        spread_quantiles: These quantiles, `(s,)`.
        histogram: The number of images whose response falls into each bin,
            `(units, bins)`. A bin contains its lower edge.
        histogram_low: The lower edge of the first bin, `(units,)`.
        histogram_width: The width of the bins, a power of 2, `(units,)`.
        fires: The share of images in which the activation is above 0 somewhere,
            `(units,)`.
        mean: The mean over the images of the activation's mean over the map,
            `(units,)`.
        deviation: Its standard deviation, `(units,)`.
        highest: Its highest value, `(units,)`.
        map_shape: The shape of the map: `(height, width)`, the number of tokens
            `(tokens,)`, or `()` for a layer without one.
        rows: The receptive fields: the first row that the positions in each row of the
            map depend on, and the row after the last one, `(height, 2)`, in pixels of
            the image as the model sees it. Those of each token for tokens; the whole
            image, `(1, 2)`, for layers with other maps or none.
        columns: The same for columns, `(width, 2)`.
        neighbours: The units of this layer whose responses correlate most with the
            unit's, `(units, 8)`, or all others if there are fewer.
        correlations: Their correlations, in descending order.
        agreement: The mean cosine similarity between the top images, `(units,)`: that
            of their channel means in the model's last layer of features, minus the
            mean over the images. It is low for units that respond to several
            different things; nan if there is only one top image, or the features are
            not finite.
    """

    top: Examples
    bottom: Examples
    spread: Examples
    spread_quantiles: Floats
    histogram: Integers
    histogram_low: Floats
    histogram_width: Floats
    fires: Floats
    mean: Floats
    deviation: Floats
    highest: Floats
    map_shape: tuple[int, ...]
    rows: Integers
    columns: Integers
    neighbours: Integers
    correlations: Floats
    agreement: Floats

    def box(self, position: int) -> tuple[slice, slice]:
        """Return the rows and columns of the image that a position depends on.

        Args:
            position: The index of the position in the flattened map.
        """
        row = column = position
        if len(self.map_shape) == 2:
            row, column = divmod(position, self.map_shape[1])
        elif len(self.map_shape) != 1:
            row = column = 0
        return slice(*self.rows[row].tolist()), slice(*self.columns[column].tolist())


@dataclass(frozen=True)
class DatasetExamples:
    """The images that each unit of some layers responds to most, least and in between.

    Attributes:
        images: The images that were read, in their order.
        layers: The examples of each layer by its path; those of the classes before the
            softmax are under `:logits`.
        folder: The folder of the images, or None if they were given one by one.
        size: The height and width of the images as the model sees them.
        channels: Their number of channels.
        by: What the response of a unit to an image is: `peak`, its highest activation
            in the map, or `mean`, the mean over the map.
        k: The number of images in the top and bottom lists.
        count: The number of images.
        unreadable: The files that could not be read, and the reasons.
        fingerprint: The fingerprint of the model's weights, from `Adapter.fingerprint`.
        preprocess: The name of the input range that the model was used with.
        model: The name of the model.
    """

    images: tuple[ExampleImage, ...]
    layers: Mapping[str, LayerExamples]
    folder: str | None
    size: tuple[int, int]
    channels: int
    by: str
    k: int
    count: int
    unreadable: tuple[tuple[str, str], ...]
    fingerprint: str
    preprocess: str
    model: str

    def check(self, model: Any) -> None:
        """Make sure that these are the examples of a model.

        Args:
            model: A Keras model, or an adapter returned by `adapt`.

        Raises:
            ValueError: If they were made with other weights or another range.
        """
        adapter = adapt(model)
        fingerprint = adapter.fingerprint()
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"The examples are not those of model {adapter.name!r}: they were made "
                f"with {self.model!r}, whose weights have the fingerprint "
                f"{self.fingerprint[:8]}, but these weights have {fingerprint[:8]}. "
                f"{_REMEDY}"
            )
        if adapter.preprocess.name != self.preprocess:
            raise ValueError(
                f"The examples were made with the range {self.preprocess}, but the "
                f"model now uses {adapter.preprocess.name}. {_REMEDY}"
            )

    def layer(self, path: str) -> LayerExamples:
        """Return the examples of a layer.

        Args:
            path: The path of the layer; `logit` for the classes before the softmax.

        Raises:
            ValueError: If the layer is not among these examples.
        """
        found = self.layers.get(LOGITS if path == "logit" else path)
        if found is None:
            raise ValueError(
                f"These examples have no layer {path!r}."
                f"{did_you_mean(path, self.layers)} They have "
                f"{', '.join(map(unit_prefix, self.layers))}."
            )
        return found

    def levels(self) -> Levels:
        """Return the usual levels of the channels, as `tfviz.levels.measure` does.

        Raises:
            ValueError: If there is only one image.
        """
        if self.count < 2:
            raise ValueError(f"Levels need at least 2 images. Received: {self.count}")
        return Levels(
            {
                path: Level(layer.mean, layer.deviation, layer.highest)
                for path, layer in self.layers.items()
            },
            self.count,
            self.fingerprint,
            self.preprocess,
        )

    def picture(
        self, index: int, folder: str | os.PathLike[str] | None = None
    ) -> NDArray[np.float32]:
        """Read an image, and return it as the model sees it.

        Args:
            index: The index of the image in `images`.
            folder: Where the images are now; by default where they were.

        Returns:
            The image `(height, width, channels)` in [0, 1].

        Raises:
            FileNotFoundError: If the file is not there.
            ValueError: If the file has changed, or the image was an array.
        """
        image = self.images[index]
        if not image.path:
            raise ValueError(
                f"Image {index} was an array, not a file, so it cannot be read again."
            )
        place = folder if folder is not None else self.folder
        path = Path(place or "") / image.path
        if not path.exists():
            raise FileNotFoundError(
                f"There is no image {str(path)!r}. If the images were moved, give "
                f"their folder with {argument('folder')}."
            )
        if digest_of(path.read_bytes()) != image.digest:
            raise ValueError(f"{str(path)!r} has changed since then. {_REMEDY}")
        return fit_picture(path, self.size, self.channels, self.model)

    def crop(
        self,
        path: str,
        unit: int,
        rank: int,
        kind: str = "top",
        folder: str | os.PathLike[str] | None = None,
    ) -> NDArray[np.float32]:
        """Return the part of an image that a unit responds to: its receptive field.

        Args:
            path: The path of the layer; `logit` for the classes before the softmax.
            unit: The unit of the layer.
            rank: The place of the image in the list, from 0.
            kind: The list: `top`, `bottom` or `spread`.
            folder: Where the images are now; by default where they were.

        Returns:
            The crop of the image as the model sees it, `(h, w, channels)` in [0, 1], at
            the position where the unit's activation is highest.

        Raises:
            FileNotFoundError: If the file is not there.
            ValueError: If there is no such layer or list, the file has changed, or the
                image was an array.
            IndexError: If there is no such unit, or rank.
        """
        layer = self.layer(path)
        if kind not in KINDS:
            raise ValueError(
                f"`kind` must be {', '.join(KINDS[:-1])} or {KINDS[-1]}. Received: "
                f"{kind!r}"
            )
        examples: Examples = getattr(layer, kind)
        picture = self.picture(int(examples.images[unit, rank]), folder)
        return picture[layer.box(int(examples.positions[unit, rank]))]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the examples to a file, which is complete or not written.

        Args:
            path: The file; its name must end in `.npz`.

        Raises:
            ValueError: If the file's name has another ending.
        """
        path = Path(path)
        check_suffix(path)
        facts = {
            name: getattr(self, name)
            for name in (
                *("folder", "size", "channels", "by", "k", "count", "unreadable"),
                *("fingerprint", "preprocess", "model"),
            )
        }
        facts["layers"] = {
            name: list(layer.map_shape) for name, layer in self.layers.items()
        }
        arrays: dict[str, Any] = {_FACTS: np.asarray(json.dumps(facts))}
        for name in ("path", "height", "width", "digest"):
            column = [getattr(image, name) for image in self.images]
            arrays[f"image:{name}"] = np.asarray(column)
        for name, layer in self.layers.items():
            for field in fields(layer):
                value = getattr(layer, field.name)
                if isinstance(value, Examples):
                    for part in fields(value):
                        key = f"layer:{name}:{field.name}.{part.name}"
                        arrays[key] = getattr(value, part.name)
                elif field.name != "map_shape":
                    arrays[f"layer:{name}:{field.name}"] = value
        write_safely(path, lambda file: np.savez_compressed(file, **arrays))


def load_examples(path: str | os.PathLike[str]) -> DatasetExamples:
    """Read dataset examples from a file that `DatasetExamples.save` wrote.

    Args:
        path: The file.

    Raises:
        ValueError: If the file does not hold dataset examples.
        FileNotFoundError: If there is no such file.

    >>> import tempfile, numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> photos = np.random.default_rng(0).random((4, 64, 64, 3))
    >>> examples = tfviz.dataset_examples(model, photos, "fire2", k=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     examples.save(f"{folder}/examples.npz")
    ...     load_examples(f"{folder}/examples.npz").layers["fire2"].top.images.shape
    (128, 2)
    """
    with Path(path).open("rb") as file:
        return _read(file, os.fspath(path))


def holds_examples(path: str | os.PathLike[str]) -> bool:
    """Return whether a file holds dataset examples, without reading them.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    try:
        with ZipFile(path) as archive:
            return f"{_FACTS}.npy" in archive.namelist()
    except (BadZipFile, NotImplementedError):
        return False


def check_suffix(path: Path) -> None:
    """Refuse a file name that does not end in `.npz`.

    Raises:
        ValueError: If it has another ending.
    """
    if path.suffix.lower() != ".npz":
        raise ValueError(
            f"A file of examples must end in .npz. Received: {str(path)!r}"
        )


def _read(file: IO[bytes], name: str) -> DatasetExamples:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            facts = json.loads(arrays[_FACTS].item())
            shapes = facts.pop("layers")
            layers = {
                path: _read_layer(arrays, path, tuple(shape))
                for path, shape in shapes.items()
            }
            columns = (
                arrays[f"image:{column}"].tolist()
                for column in ("path", "height", "width", "digest")
            )
            images = tuple(map(ExampleImage, *columns))
        facts["size"] = tuple(facts["size"])
        facts["unreadable"] = tuple(map(tuple, facts["unreadable"]))
        return DatasetExamples(images, layers, **facts)
    except DAMAGED as error:
        raise ValueError(
            f"{name!r} holds no dataset examples, or is damaged. Write such a file "
            "with `tfviz examples`, or tfviz.dataset_examples(...).save(path)."
        ) from error


def _read_layer(arrays: Any, path: str, map_shape: tuple[int, ...]) -> LayerExamples:
    values: dict[str, Any] = {"map_shape": map_shape}
    for field in fields(LayerExamples):
        key = f"layer:{path}:{field.name}"
        if field.name in KINDS:
            parts = (arrays[f"{key}.{part.name}"] for part in fields(Examples))
            values[field.name] = Examples(*parts)
        elif field.name != "map_shape":
            values[field.name] = arrays[key]
    return LayerExamples(**values)
