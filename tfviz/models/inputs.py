"""What a model takes: an image, and perhaps more that is held at given values."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import images

if TYPE_CHECKING:
    from tfviz.models.adapter import Adapter


Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Inputs:
    """How images become what a model is called with.

    Attributes:
        shape: `(None, height, width, channels)` of the image that the model takes.
        pack: `pack(images) -> inputs` puts it where the model wants it, beside the
            values that are held.
        held: The values of the other inputs by name, as JSON values.
    """

    shape: Shape
    pack: Callable[[Any], Any]
    held: Mapping[str, Any]


def inputs_of(
    model: Any, held: Mapping[str, Any] | None = None, image_input: str | None = None
) -> Inputs:
    """Find the image among a model's inputs, and check the values of the others.

    Raises:
        ValueError: If there is no image, or more than one that none is chosen of, or
            an input without a value.
    """
    structure = _structure(model)
    entries = [_Entry(*found) for found in _named(structure)]
    values = dict(held or {})
    image = _image_among(model, entries, values, image_input)
    others = [entry for entry in entries if entry is not image]
    unknown = values.keys() - {entry.name for entry in others}
    if unknown:
        raise ValueError(
            f"`held` names {sorted(unknown)}, but the inputs of model {model.name!r} "
            f"beside the image are {[entry.name for entry in others]}."
        )
    for entry in others:
        if entry.name not in values:
            raise ValueError(
                f"Model {model.name!r} has the inputs {_described(entries)}. All but "
                f"the image need a value to be held at: held={{{entry.name!r}: ...}}, "
                f"or --hold {entry.name}=VALUE."
            )
    constants = [
        None if entry is image else entry.checked(values[entry.name])
        for entry in entries
    ]
    # A list, a dict or a tuple of one, as Keras wants it.
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


@dataclass(frozen=True, eq=False)
class _Entry:
    name: str
    shape: Shape
    dtype: Any

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4

    def checked(self, value: Any) -> Any:
        """Return a value with a batch axis of 1, as this input takes it."""
        wanted = tuple(self.shape[1:])
        try:
            array = np.asarray(value, float)
            if array.ndim < len(wanted):  # a number stands for all of the input
                array = np.broadcast_to(array, [n or 1 for n in wanted])
            array = array if array.ndim > len(wanted) else array[None]
            tf.TensorShape((1, *wanted)).assert_is_compatible_with(array.shape)
            return tf.cast(tf.convert_to_tensor(array), self.dtype)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ValueError(
                f"Input {self.name!r} has the shape {wanted}. "
                f"Received: {value!r} for it"
            ) from error


def _image_among(
    model: Any, entries: list[_Entry], held: Mapping[str, Any], chosen: str | None
) -> _Entry:
    if chosen is not None:
        for entry in entries:
            if entry.name == chosen and entry.is_image:
                return entry
        raise ValueError(
            f"Model {model.name!r} has no image input {chosen!r}. It has the inputs "
            f"{_described(entries)}."
        )
    images = [entry for entry in entries if entry.is_image and entry.name not in held]
    if len(images) == 1:
        return images[0]
    if images:
        raise ValueError(
            f"Model {model.name!r} has {len(images)} inputs that could be the image: "
            f"{_described(images)}. Say which with `image_input`, or hold the others."
        )
    if len(entries) == 1:
        raise ValueError(
            f"Model {model.name!r} takes no images: its input has the shape "
            f"{tuple(entries[0].shape)}, not (n, height, width, channels)."
        )
    raise ValueError(
        f"Model {model.name!r} takes no images: its inputs are {_described(entries)}."
    )


def _described(entries: list[_Entry]) -> str:
    return ", ".join(f"{entry.name!r} {tuple(entry.shape)}" for entry in entries)


def _structure(model: Any) -> Any:
    """Return a model's inputs, as tensors or shapes, nested as it takes them."""
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
    if shape is None:  # subclassed: what it was built with
        shape = getattr(model, "_build_input_shape", None)
        built = getattr(model, "_build_shapes_dict", None) or {}
        if shape is None and built:
            shape = next(iter(built.values()))
    if shape is None:
        raise ValueError(
            f"Model {model.name!r} does not know its input yet. Call it once on a "
            "batch of images, then adapt it."
        )
    return shape


def _named(structure: Any) -> list[tuple[str, Shape, Any]]:
    """Return the name, shape and type of each input in the order of `tf.nest`."""
    if _is_shape(structure):
        return [("input", tuple(structure), tf.float32)]
    if isinstance(structure, dict):
        rows = [(key, structure[key]) for key in sorted(structure)]
    elif isinstance(structure, (list, tuple)):
        rows = [(None, item) for item in structure]
    else:
        rows = [(None, structure)]
    found = []
    for place, (key, item) in enumerate(rows):
        if _is_shape(item):
            found.append((key or f"input_{place}", tuple(item), tf.float32))
            continue
        name = key or getattr(item, "name", f"input_{place}")
        found.append((name, tuple(item.shape), tf.as_dtype(item.dtype)))
    return found


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list, tf.TensorShape)) and all(
        item is None or isinstance(item, int) for item in value
    )


def check_weights(model: Any) -> None:
    """Refuse a model whose weights cannot give finite activations."""
    for weight in model.weights:
        value = tf.convert_to_tensor(weight)
        finite = not value.dtype.is_floating or tf.reduce_all(tf.math.is_finite(value))
        if not finite:
            raise ValueError(
                f"Weight {getattr(weight, 'path', weight.name)!r} of model "
                f"{model.name!r} holds NaN or infinite values, so no unit that uses "
                "it can be rendered. Was its training diverging, or the file cut?"
            )


def scaled(images: Any, size: tuple[int, int]) -> Any:
    """Return images `(n, height, width, c)` at another size; smaller ones are filtered.

    Enlarging needs no filter, and is faster without.

    >>> scaled(tf.ones((2, 3, 4, 1)), (6, 8)).shape
    TensorShape([2, 6, 8, 1])
    """
    before = (images.shape[1], images.shape[2])
    if before == tuple(size):
        return images
    shrinks = any(a > b for a, b in zip(before, size, strict=True))
    return tf.image.resize(images, size, antialias=shrinks)


def fitted(
    adapter: "Adapter", photo: Any, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return a photo with the channels and the size of a model's input.

    Args:
        adapter: Of the model.
        photo: A file, or a picture `(height, width, channels)` as bytes or as floats
            in [0, 1], of any size. One of three channels also fits a grey model, and
            the other way round.
        size: Height and width, by default the model's.

    Returns:
        The middle of the photo, scaled: `(height, width, channels)` in [0, 1].

    Raises:
        ValueError: If it is no such picture.
    """
    if isinstance(photo, (str, os.PathLike)):
        picture = images.read(photo)
    else:
        picture = _checked(np.asarray(photo))
    channels = adapter.channels
    if channels == 1 and picture.shape[-1] == 3:
        picture = picture.mean(axis=-1, keepdims=True)
    elif channels == 3 and picture.shape[-1] == 1:
        picture = np.repeat(picture, 3, axis=-1)
    if picture.shape[-1] != channels:
        raise ValueError(
            f"Model {adapter.name!r} takes pictures of {channels} channels. "
            f"Received: {picture.shape[-1]} channels"
        )
    return images.centre_crop(picture, size or adapter.size)


def _checked(picture: NDArray[Any]) -> NDArray[np.float32]:
    if picture.ndim != 3 or 0 in picture.shape:
        raise ValueError(
            "A picture must have the shape (height, width, channels). "
            f"Received: {picture.shape}"
        )
    if picture.dtype == np.uint8:
        return images.to_floats(picture)
    picture = np.asarray(picture, np.float32)
    low, high = picture.min(), picture.max()
    if not 0 <= low <= high <= 1:  # also where it holds NaN
        raise ValueError(
            "A picture must hold bytes, or floats in [0, 1]. Received: values from "
            f"{low:g} to {high:g}"
        )
    return picture
