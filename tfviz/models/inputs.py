"""The inputs of a model: its image, its constant inputs, and photos to fit them."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import images
from tfviz._errors import argument
from tfviz._precision import matmul
from tfviz._xla import is_compiling

if TYPE_CHECKING:
    from tfviz.models.adapter import Adapter

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Inputs:
    """A model's image input, and the means to call the model on images alone.

    Attributes:
        shape: The shape `(None, height, width, channels)` of the image input.
        pack: `pack(images) -> inputs` returns the model's inputs in the model's own
            structure: the images, and the constant values of the other inputs.
        held: The constant values of the other inputs by name, as JSON values.
    """

    shape: Shape
    pack: Callable[[Any], Any]
    held: Mapping[str, Any]


def find_inputs(
    model: Any, held: Mapping[str, Any] | None = None, image_input: str | None = None
) -> Inputs:
    """Find the image among a model's inputs, and check the values of the others.

    Args:
        model: The model.
        held: The constant values of the inputs other than the image, by name.
        image_input: The name of the image input; needed if there are several.

    Raises:
        ValueError: If there is no image input, there are several and none is
            selected, or another input has no value.
    """
    structure = _structure(model)
    entries = [_Entry(*entry) for entry in _list_inputs(structure)]
    values = dict(held or {})
    image = _select_image(model, entries, values, image_input)
    others = [entry for entry in entries if entry is not image]
    unknown = values.keys() - {entry.name for entry in others}
    if unknown:
        names = ", ".join(repr(entry.name) for entry in others) or "none"
        raise ValueError(
            f"{argument('held')} gives values to {sorted(unknown)}. The inputs of "
            f"model {model.name!r} besides the image: {names}"
        )
    missing = [entry.name for entry in others if entry.name not in values]
    if missing:
        raise ValueError(
            f"Model {model.name!r} has the inputs {_describe(entries)}. All but the "
            f"image need a constant value, for example "
            f"{argument('held', dict.fromkeys(missing, 0))}"
        )
    if channels_come_first(image.shape):
        _, channels, height, width = image.shape
        raise ValueError(
            f"Model {model.name!r} takes images with the channels first: "
            f"{tuple(image.shape)}. Move them by a layer in front, and use the new "
            f"model: keras.Sequential([keras.Input(({height}, {width}, {channels})), "
            "keras.layers.Permute((3, 1, 2)), model])"
        )
    constants = [
        None if entry is image else entry.constant(values[entry.name])
        for entry in entries
    ]
    # Keras insists on the structure: a list or dict, even of a single input.
    nested = isinstance(structure, (list, tuple, dict)) and not _is_shape(structure)

    def pack(images: Any) -> Any:
        n = images.shape[0] or tf.shape(images)[0]
        flat = [
            images if constant is None else tf.repeat(constant, n, axis=0)
            for constant in constants
        ]
        return tf.nest.pack_sequence_as(structure, flat) if nested else flat[0]

    return Inputs(
        tuple(image.shape), pack, {k: np.asarray(v).tolist() for k, v in values.items()}
    )


def channels_come_first(shape: Shape) -> bool:
    """Tell whether an image input has its channels first, as in PyTorch.

    Args:
        shape: The shape of the input, with the batch first.

    >>> channels_come_first((None, 3, 224, 224)), channels_come_first((None, 3, 5, 1))
    (True, False)
    """
    _, first, second, last = shape
    few = (None, 1, 2, 3, 4)
    return first in (1, 3) and second not in (1, 3) and last not in few


def check_weights(model: Any) -> None:
    """Refuse a model whose weights cannot give finite activations.

    Raises:
        ValueError: If a weight holds NaN or infinite values.
    """
    for weight in model.weights:
        value = tf.convert_to_tensor(weight)
        finite = not value.dtype.is_floating or tf.reduce_all(tf.math.is_finite(value))
        if not finite:
            raise ValueError(
                f"Weight {getattr(weight, 'path', weight.name)!r} of model "
                f"{model.name!r} holds NaN or infinite values, so no unit that depends "
                "on it can be visualized. Use weights from before the training "
                "diverged, or copy the file once more if it is damaged."
            )


def resize(images: Any, size: tuple[int, int]) -> Any:
    """Resize images bilinearly, with an antialiasing filter where they shrink.

    Args:
        images: `(n, height, width, channels)`.
        size: The new height and width.

    >>> resize(tf.ones((2, 3, 4, 1)), (6, 8)).shape
    TensorShape([2, 6, 8, 1])
    """
    before = (images.shape[1], images.shape[2])
    if before == tuple(size):
        return images
    # Enlarging needs no filter, and is faster without.
    shrinks = any(a > b for a, b in zip(before, size, strict=True))
    if shrinks and is_compiling():  # XLA has no operation with a filter
        return _resize_by_products(images, size)
    return tf.image.resize(images, size, antialias=shrinks)


def _resize_by_products(images: Any, size: tuple[int, int]) -> Any:
    """Return what `tf.image.resize` with `antialias` does, by two matrix products."""
    _, height, width, channels = images.shape
    down, right = _resampling(height, size[0]), _resampling(width, size[1])
    images = matmul(down, tf.reshape(images, (-1, height, width * channels)))
    images = tf.reshape(images, (-1, width, channels))
    return tf.reshape(matmul(right, images), (-1, *size, channels))


def _resampling(before: int, after: int) -> NDArray[np.float32]:
    """Return the matrix `(after, before)` of a triangular filter along one axis."""
    width = max(before / after, 1)  # of half the triangle, in pixels
    centres = (np.arange(after)[:, None] + 0.5) * before / after
    distances = np.abs(np.arange(before) + 0.5 - centres)
    weights = np.maximum(1 - distances / width, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_photo(
    adapter: "Adapter", photo: Any, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return a photo with the channels and the size of a model's input.

    Args:
        adapter: An adapter of the model.
        photo: A file, or a picture `(height, width, channels)` as bytes or as floats
            in [0, 1], of any size. A colour picture is converted for a greyscale
            model, and the other way round.
        size: The height and width to return; by default those of the model's input.

    Returns:
        The middle of the photo, resized: `(height, width, channels)` in [0, 1].

    Raises:
        ValueError: If the photo is not such a picture, or has other channels.
    """
    return fit_picture(photo, size or adapter.size, adapter.channels, adapter.name)


def fit_picture(
    photo: Any, size: tuple[int, int], channels: int, model: str
) -> NDArray[np.float32]:
    """Do what `fit_photo` does, for a model of which only the input is known.

    Args:
        photo: A file or picture, as for `fit_photo`.
        size: The height and width to return.
        channels: The number of channels of the model's input.
        model: The name of the model, for messages.

    Raises:
        ValueError: As `fit_photo`.
    """
    if isinstance(photo, (str, os.PathLike)):
        picture = images.read(photo)
    else:
        picture = _as_floats(np.asarray(photo))
    if channels == 1 and picture.shape[-1] == 3:
        picture = picture.mean(axis=-1, keepdims=True)
    elif channels == 3 and picture.shape[-1] == 1:
        picture = np.repeat(picture, 3, axis=-1)
    if picture.shape[-1] != channels:
        raise ValueError(
            f"Model {model!r} takes pictures of {channels} channels, and only grey and "
            f"colour are converted. Received: {picture.shape[-1]} channels"
        )
    return images.centre_crop(picture, size)


@dataclass(frozen=True, eq=False)
class _Entry:
    """One input of a model."""

    name: str
    shape: Shape
    dtype: Any

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4

    def constant(self, value: Any) -> Any:
        """Return a value as a tensor of this input's shape, for a batch of 1."""
        shape = tuple(self.shape[1:])
        try:
            array = np.asarray(value, float)
            if array.ndim < len(shape):  # a single number fills the input
                array = np.broadcast_to(array, [n or 1 for n in shape])
            array = array if array.ndim > len(shape) else array[None]
            tf.TensorShape((1, *shape)).assert_is_compatible_with(array.shape)
            return tf.cast(tf.convert_to_tensor(array), self.dtype)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ValueError(
                f"The value of input {self.name!r} must be a number, or an array of "
                f"the shape {shape}. Received: {value!r}"
            ) from error


def _select_image(
    model: Any, entries: list[_Entry], held: Mapping[str, Any], name: str | None
) -> _Entry:
    """Return the image input: the named one, or the only one that has no value."""
    if name is not None:
        for entry in entries:
            if entry.name == name and entry.is_image:
                return entry
        raise ValueError(
            f"Model {model.name!r} has no image input {name!r}. It has the inputs "
            f"{_describe(entries)}."
        )
    images = [entry for entry in entries if entry.is_image and entry.name not in held]
    if len(images) == 1:
        return images[0]
    if images:
        first, *others = images
        rest = argument("held", dict.fromkeys([entry.name for entry in others], 0.5))
        raise ValueError(
            f"Model {model.name!r} has {len(images)} inputs that could take the image: "
            f"{_describe(images)}. Select one and give constant values to the others, "
            f"for example {argument('image_input', first.name)} and {rest}"
        )
    if len(entries) == 1:
        raise ValueError(
            f"Model {model.name!r} takes no images: its input has the shape "
            f"{tuple(entries[0].shape)}, not (n, height, width, channels)."
            f"{_suggest_layers(entries[0])}"
        )
    raise ValueError(
        f"Model {model.name!r} takes no images: its inputs are {_describe(entries)}."
    )


def _suggest_layers(entry: _Entry) -> str:
    """Return which layers in front of a model let it take images, or nothing."""
    sides = [n for n in entry.shape[1:] if n is not None]
    if len(sides) < len(entry.shape) - 1:  # the layers would need to know them
        return ""
    image: tuple[int, ...] | None = None
    first = f"keras.layers.Reshape({tuple(sides)})"
    if len(sides) == 2:
        why, image = "Add the missing axis of the channels", (*sides, 1)
    elif len(sides) == 1 and entry.dtype.is_floating:
        why, image = (
            "If these are the pixels of a picture, flatten it",
            _square(sides[0]),
        )
    elif len(sides) == 4:
        why, image = "Repeat one picture in all frames", tuple(sides[1:])
        first = (
            f"keras.layers.Reshape({(1, *image)}), "
            f"keras.layers.UpSampling3D(({sides[0]}, 1, 1))"
        )
    if image is None:
        return ""
    return (
        f" {why} by a layer in front, and use the new model: "
        f"keras.Sequential([keras.Input({image}), {first}, model])"
    )


def _square(numbers: int) -> tuple[int, int, int] | None:
    """Return the shape of a square picture of so many numbers, or None."""
    for channels in (1, 3):
        side = math.isqrt(numbers // channels)
        if side > 4 and side * side * channels == numbers:
            return side, side, channels
    return None


def _describe(entries: list[_Entry]) -> str:
    return ", ".join(f"{entry.name!r} {tuple(entry.shape)}" for entry in entries)


def map_batches(
    function: Callable[..., Any], size: int, *arrays: NDArray[Any], fill: bool = False
) -> Iterator[Any]:
    """Apply a function to arrays, batch by batch, so that memory stays bounded.

    Args:
        function: A function of tensors, which returns tensors or structures of them
            whose axis 0 is that of its arguments.
        size: The number of rows in a batch.
        arrays: Arrays of equal length, cut into batches along axis 0.
        fill: Whether rows are repeated to fill the last batch, so that a function that
            is compiled for one size serves all batches. Repeated rows are left out of
            the results.

    Yields:
        The results for each batch, as NumPy arrays.
    """
    for first in range(0, len(arrays[0]), size):
        parts = [array[first : first + size] for array in arrays]
        n = len(parts[0])
        if fill:
            parts = [np.resize(part, (size, *part.shape[1:])) for part in parts]
        results = function(*map(tf.constant, parts))
        flat = [np.asarray(tensor)[:n] for tensor in tf.nest.flatten(results)]
        yield tf.nest.pack_sequence_as(results, flat)


def apply_in_batches(
    function: Callable[..., Any], size: int, *arrays: NDArray[Any], fill: bool = False
) -> Any:
    """Apply a function to arrays, batch by batch, and concatenate the results.

    Args:
        function: As for `map_batches`.
        size: As for `map_batches`.
        arrays: As for `map_batches`.
        fill: As for `map_batches`.

    >>> apply_in_batches(lambda x: {"twice": 2 * x}, 2, np.arange(5), fill=True)
    {'twice': array([0, 2, 4, 6, 8])}
    """
    batches = list(map_batches(function, size, *arrays, fill=fill))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def _structure(model: Any) -> Any:
    """Return a model's inputs, as tensors or shapes, in the model's own structure."""
    for private in ("_inputs_struct", "_nested_inputs"):  # of Keras 3, of tf_keras
        structure = getattr(model, private, None)
        if structure is not None:
            return structure
    inputs = getattr(model, "inputs", None)
    if inputs:
        return inputs[0] if len(inputs) == 1 else inputs
    try:
        shape = model.input_shape
    except (AttributeError, ValueError, RuntimeError):
        shape = None
    if shape is None:  # a subclassed model: the shapes that it was built with
        shape = getattr(model, "_build_input_shape", None)
        built = getattr(model, "_build_shapes_dict", None) or {}
        if shape is None and built:
            shape = next(iter(built.values()))
    if shape is None:
        raise ValueError(
            f"The input shape of model {model.name!r} is not defined yet. Call the "
            "model once on a batch of images, then adapt it."
        )
    return shape


def _list_inputs(structure: Any) -> list[tuple[str, Shape, Any]]:
    """Return the name, shape and type of each input, in the order of `tf.nest`."""
    if _is_shape(structure):
        return [("input", tuple(structure), tf.float32)]
    if isinstance(structure, dict):
        rows = [(key, structure[key]) for key in sorted(structure)]
    elif isinstance(structure, (list, tuple)):
        rows = [(None, item) for item in structure]
    else:
        rows = [(None, structure)]
    inputs = []
    for place, (key, item) in enumerate(rows):
        if _is_shape(item):
            inputs.append((key or f"input_{place}", tuple(item), tf.float32))
            continue
        name = key or getattr(item, "name", f"input_{place}")
        inputs.append((name, tuple(item.shape), tf.as_dtype(item.dtype)))
    return inputs


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list, tf.TensorShape)) and all(
        item is None or isinstance(item, int) for item in value
    )


def _as_floats(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Return a picture as floats in [0, 1], or raise a ValueError."""
    if picture.ndim != 3 or 0 in picture.shape:
        raise ValueError(
            "A picture must be an array of the shape (height, width, channels). "
            f"Received: {picture.shape}"
        )
    if picture.dtype == np.uint8:
        return images.to_floats(picture)
    picture = np.asarray(picture, np.float32)
    low, high = picture.min(), picture.max()
    if not 0 <= low <= high <= 1:  # not true of NaN either
        raise ValueError(
            "A picture must hold bytes, or floats in [0, 1]. Received: values from "
            f"{low:g} to {high:g}"
        )
    return picture
