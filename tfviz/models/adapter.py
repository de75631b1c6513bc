"""A Keras model seen as images in [0, 1] -> activations by path."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfviz import _environment, preprocessing
from tfviz._errors import reason_of
from tfviz._version import __version__
from tfviz.models.gradient_overrides import overridden
from tfviz.models.inputs import check_weights, inputs_of, scaled
from tfviz.models.introspection import (
    LOGITS,
    PRE,
    PROBABILITIES,
    Layer,
    OutputError,
    Survey,
    chosen_output,
    described,
    fetched,
)
from tfviz.models.labels import Labels, as_labels, imagenet_labels
from tfviz.models.recording import Recording, call_recorded

# For models that take any size.
USUAL_SIZE = 224

Size = tuple[int, int]


class Adapter:
    """A model whose activations can be asked for by path.

    Made by `adapt`. The model is neither changed nor copied.

    Attributes:
        model: The model.
        preprocess: The map from images in [0, 1] to the model's input.
        input_size: Height and width of the model's input; None where it takes any.
        channels: Channels of the model's input.
        labels: The names of the model's outputs, or None.
        held: The values of the model's other inputs, by name.
        image_input: Which of several images is the one to be made, or None.
        output: Which of several outputs has the classes, or None.
        compiled: What others compiled for this model, by the class that keeps it; it
            is freed together with the adapter.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Any,
        labels: Labels | None,
        *,
        held: Mapping[str, Any] | None = None,
        image_input: str | None = None,
        output: str | int | None = None,
    ) -> None:
        self._inputs = inputs_of(model, held, image_input)
        _, height, width, channels = self._inputs.shape
        check_weights(model)
        self.model = model
        self.held = dict(self._inputs.held)
        self.image_input = image_input
        self.output = output
        self.channels = channels or 3
        self.input_size: Size | None = None
        if height or width:
            self.input_size = (height or USUAL_SIZE, width or USUAL_SIZE)
        self._surveys: dict[Size, Survey] = {}
        self._compiled: dict[Any, Callable] = {}
        self.compiled: dict[type, Any] = {}
        self.preprocess = preprocessing.assumed()  # to trace before it is known
        if preprocess is None:
            operations = self._survey(self.size).operations
            found = preprocessing.detect(model, operations.items())
            found = getattr(model, "detected_preprocess", found)
            if found is None:
                warnings.warn(
                    f"Nothing in model {self.name!r} tells what range its input has; "
                    "feeding [0, 1]. If it was trained on another, say so with "
                    "`preprocess`, for example (0, 255).",
                    stacklevel=3,
                )
            self.preprocess = found or self.preprocess
        else:
            self.preprocess = preprocessing.resolve(preprocess)
            self._surveys.clear()
        self.labels = labels
        if labels is None and self.classes == 1000:
            self.labels = imagenet_labels()
        elif labels is not None and len(labels.names) != self.classes:
            raise ValueError(
                f"There are {len(labels.names)} class names, but model {self.name!r} "
                f"has {self.classes or 'no'} classes."
            )

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name

    @property
    def size(self) -> Size:
        """Height and width of the model's input, or 224 where it takes any."""
        return self.input_size or (USUAL_SIZE, USUAL_SIZE)

    @property
    def classes(self) -> int | None:
        """The number of the model's outputs, or None if it has no single output."""
        shape = self._survey(self.size).logits_shape
        return shape[-1] if shape else None

    def output_shape(self, size: Size) -> tuple[int | None, ...]:
        """Return the shape of the logits for images of a size."""
        self.require_logits()
        return self._survey(size).logits_shape or ()

    @property
    def logits_source(self) -> str:
        """In words, where the logits were found."""
        return self._survey(self.size).logits_source

    def __call__(self, images: Any, paths: str | Sequence[str]) -> dict[str, Any]:
        """Return the activations of some layers.

        Works eagerly, under `tf.GradientTape` and inside `tf.function`.

        Args:
            images: `(n, height, width, channels)` in [0, 1], of any size.
            paths: One or several of `layers()`.

        Returns:
            Float32 activations `(n, ..., channels)` by path.

        Raises:
            ValueError: If there is no such layer, or the images do not fit.

        >>> import numpy as np, tfviz
        >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
        >>> adapter(np.zeros((2, 64, 64, 3)), "fire3")["fire3"].shape
        TensorShape([2, 15, 15, 128])
        """
        paths = (paths,) if isinstance(paths, str) else tuple(paths)
        images = self._checked_images(images)
        for path in paths:
            self.layer(path, (images.shape[1], images.shape[2]))
        return self._evaluate(images, paths)

    def logits(self, images: Any) -> Any:
        """Return the model's output before its softmax or sigmoid, if it has one.

        Args:
            images: `(n, height, width, channels)` in [0, 1], of any size.

        Returns:
            Float32 `(n, classes)`.

        Raises:
            ValueError: If the model has several outputs.
        """
        self.require_logits()
        return self._evaluate(self._checked_images(images), (LOGITS,))[LOGITS]

    def probabilities(self, images: Any) -> Any:
        """Return the model's output after its softmax or sigmoid.

        A model that has none gets a softmax, or a sigmoid for a single class.
        """
        self.require_logits()
        images = self._checked_images(images)
        return self._evaluate(images, (PROBABILITIES,))[PROBABILITIES]

    def layers(self, size: Size | None = None) -> list[Layer]:
        """Return the layers of the model in the order of their calls.

        Args:
            size: Height and width of the images; by default the model's own or 224.
        """
        return list(self._survey(size or self.size).layers.values())

    def layer(self, path: str, size: Size | None = None) -> Layer:
        """Return one layer, or say which are called nearly so.

        Args:
            path: Of the layer; with `:pre` at its end, what is before its ReLU.
            size: As for `layers`.

        Raises:
            ValueError: If there is none at `path`.
        """
        survey = self._survey(size or self.size)
        layers = survey.layers | survey.unlisted
        if path in layers:
            return layers[path]
        if path.endswith(PRE):
            rectified = self.layer(path.removesuffix(PRE), size)
            if not rectified.rectified:
                raise ValueError(
                    f"Layer {rectified.path!r} does not end in a ReLU, so there is no "
                    f"{path!r}. Its own values have a sign: take {rectified.path!r}."
                )
            return replace(rectified, path=path, rectified=False)
        # The name of a layer in a nested model is not yet its path.
        ends = [known for known in layers if known.endswith(f"/{path}")]
        close = ends[:3] or get_close_matches(path, layers, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"{self.name!r} has no layer {path!r}. {hint}"
            "`tfviz layers` or adapter.layers() lists all."
        )

    def before_relu(self, path: str) -> str:
        """Return the path of what is before a layer's ReLU, or `path` if it has none.

        What is no layer comes back as it is.
        """
        found = self._survey(self.size).layers.get(path)
        return path + PRE if found and found.rectified else path

    def require_logits(self) -> None:
        """Check that the model has one output.

        Raises:
            ValueError: If it has several.
        """
        if self.classes is None:
            raise ValueError(
                f"Model {self.name!r} has {self._survey(self.size).logits_source}. Say "
                "which has the classes with `output` (--output-name), or name a layer."
            )

    def class_index(self, target: int | str) -> int:
        """Return the index of a class given by index, identifier or name.

        Raises:
            ValueError: If there is no such class, or more than one.
        """
        self.require_logits()
        if isinstance(target, str) and not target.isdigit():
            if self.labels is None:
                raise ValueError(
                    f"Model {self.name!r} has no class names to find {target!r} in. "
                    f"Give an index from 0 to {self.classes - 1}, or the names with "  # type: ignore[operator]
                    "`labels` (a list, or a file with one name a line)."
                )
            return self.labels.index(target)
        index = int(target)
        if not 0 <= index < self.classes:  # type: ignore[operator]
            raise ValueError(
                f"Model {self.name!r} has the classes 0 to {self.classes - 1}. "  # type: ignore[operator]
                f"Received: {index}"
            )
        return index

    def class_name(self, index: int) -> str | None:
        """Return the name of a class, or None if it is unknown."""
        return self.labels.names[index] if self.labels else None

    def fingerprint(self) -> str:
        """Return a hash of the weights, the same wherever the model is loaded."""
        digest = hashlib.blake2b(digest_size=16)
        for weight in self.model.weights:
            value = tf.convert_to_tensor(weight).numpy()
            digest.update(f"{value.shape} {value.dtype}".encode())
            digest.update(value.tobytes())
        return digest.hexdigest()

    def forward(
        self,
        images: Any,
        paths: Sequence[str],
        *,
        redirect: bool = False,
        smooth_pools: bool = False,
    ) -> dict[str, Any]:
        """Trace the model on images in [0, 1] inside a graph.

        Args:
            images: `(n, height, width, channels)`; resized where the model has a size.
            paths: Layers' paths, `LOGITS` or `PROBABILITIES`; taken to exist.
            redirect: Whether units that are off get a gradient; see `_gradients`.
            smooth_pools: Whether max-pools share their gradient within a window.

        Returns:
            Float32 activations by path.
        """
        with overridden(redirect=redirect, smooth_pools=smooth_pools):
            output, recording = self._traced(images)
            return {
                path: tf.cast(fetched(path, output, recording), tf.float32)
                for path in paths
            }

    def _traced(self, images: Any) -> tuple[Any, Recording]:
        if self.input_size:
            images = scaled(images, self.input_size)
        inputs = self._inputs.pack(self.preprocess.apply(images))
        output, recording = call_recorded(self.model, inputs)
        return chosen_output(self.model, output, self.output), recording

    def _evaluate(self, images: Any, paths: tuple[str, ...]) -> dict[str, Any]:
        key = (paths, tuple(images.shape[1:]))
        if key not in self._compiled:
            # Compiled, so that a shallow layer costs only its own depth.
            compiled = tf.function(
                lambda images: self.forward(images, paths), autograph=False
            )
            spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
            self._compiled[key] = compiled.get_concrete_function(spec)
        return self._compiled[key](images)

    def _checked_images(self, images: Any) -> Any:
        images = tf.convert_to_tensor(images, tf.float32)
        sizes = images.shape[1:3] if images.shape.rank == 4 else [None]
        if None in sizes or images.shape[-1] != self.channels:
            raise ValueError(
                f"`images` must have the shape (n, height, width, {self.channels}), "
                f"with a known height and width. Received: {images.shape}"
            )
        self._survey((images.shape[1], images.shape[2]))
        return images

    def _survey(self, size: Size) -> Survey:
        size = self.input_size or size
        if size not in self._surveys:
            self._surveys[size] = self._surveyed(size)
        return self._surveys[size]

    def _surveyed(self, size: Size) -> Survey:
        found: list[Survey] = []

        def trace(images: Any) -> Any:
            output, recording = self._traced(images)
            found.append(described(output, recording, self.model))
            return images

        spec = tf.TensorSpec((1, *size, self.channels), tf.float32)
        try:
            tf.function(trace, autograph=False).get_concrete_function(spec)
        except OutputError:
            raise
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(self._misfit(size, reason_of(error))) from error
        for layer in found[0].layers.values():
            if 0 in layer.shape[1:]:
                reason = f"nothing is left of them at layer {layer.path!r}"
                raise ValueError(self._misfit(size, reason))
        return found[0]

    def _misfit(self, size: Size, reason: str) -> str:
        if self.size in self._surveys:
            remedy = f"Take another size; {self.size[0]}x{self.size[1]} works."
        else:
            remedy = "Does the model run on such images by itself?"
        return (
            f"Images of {size[0]}x{size[1]} do not fit model {self.name!r}: "
            f"{reason.rstrip('.')}. {remedy}"
        )


def adapt(
    model: Any,
    preprocess: Any = None,
    *,
    labels: Labels | Sequence[str] | str | Path | None = None,
    held: Mapping[str, Any] | None = None,
    image_input: str | None = None,
    output: str | int | None = None,
) -> Adapter:
    """See a Keras model as a function from images to activations.

    Args:
        model: A model of Keras 3 or `tf_keras`: functional, sequential, nested or
            subclassed; the last must have been called once. Comes back unchanged.
            Or what `load_model` made of a SavedModel.
        preprocess: How images in [0, 1] become the model's input: a mode of
            `keras.applications` (`caffe`, `tf`, `torch`), a range `(low, high)`, or a
            function. By default what the model's own layers or its name tell; a
            warning where they do not.
        labels: Names of the outputs, or a file of them. By default ImageNet's for a
            model of 1000 outputs.
        held: For a model of several inputs, the value of each but the image by its
            name: a number, or an array of the input's shape without the batch axis.
        image_input: For a model that takes several images, the name of the one to be
            made.
        output: For a model of several outputs, the name or index of the one that has
            the classes. Layers can be asked for without it.

    Returns:
        The adapter. `adapter.preprocess` and `adapter.logits_source` say what was
        found.

    Raises:
        ValueError: If the model takes no images, an input has no value, there is no
            such output, or the weights hold NaN.
        TypeError: If it is not a Keras model.
        RuntimeError: If Keras puts channels first.

    >>> import tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> adapter.preprocess.name
    '0,255'
    """
    if isinstance(model, Adapter):
        settings = (preprocess, labels, held, image_input, output)
        if any(setting is not None for setting in settings):
            raise ValueError(
                "This is an adapter already. Give `preprocess`, `labels` and the other "
                "settings where it is made from the model."
            )
        return model
    _environment.require_channels_last()
    seen = hasattr(model, "_flatten_layers") or hasattr(model, "call_recorded")
    if isinstance(model, type) or not seen:
        raise TypeError(
            "tfviz needs a Keras model, or a module that load_model loaded. "
            f"Received: {type(model).__name__}"
        )
    return Adapter(
        model,
        preprocess,
        None if labels is None else as_labels(labels),
        held=held,
        image_input=image_input,
        output=output,
    )


def origin(adapter: Adapter) -> dict[str, Any]:
    """Return the model, how it is seen, and the versions, as JSON values."""
    return {
        "tfviz": __version__,
        "model": {
            "name": adapter.name,
            "source": getattr(adapter.model, "tfviz_source", None),
            "hash": adapter.fingerprint(),
        },
        "preprocess": adapter.preprocess.name,
        "logits": adapter.logits_source,
        "held": adapter.held,
        "image_input": adapter.image_input,
        "output": adapter.output,
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
