"""Adapters: models as functions from images in [0, 1] to activations by path."""

import hashlib
import re
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
from tfviz._errors import argument, either, reason_of
from tfviz._version import __version__
from tfviz.models.gradient_overrides import override_gradients
from tfviz.models.inputs import check_weights, find_inputs, resize
from tfviz.models.introspection import (
    LOGITS,
    PRE,
    PROBABILITIES,
    Layer,
    OutputError,
    Survey,
    fetch,
    find_connections,
    make_survey,
    select_output,
)
from tfviz.models.labels import Labels, as_labels, imagenet_labels
from tfviz.models.recording import Recording, call_recorded

# The height and width that are assumed of a model that takes images of any size.
USUAL_SIZE = 224
# Names of outputs that have classes.
_CLASS_OUTPUT = re.compile(
    "class|cls|label|logit|score|prob|predict|mask|segment", re.IGNORECASE
)

Size = tuple[int, int]


class Adapter:
    """A model, seen as a function from images to the activations of its layers.

    Adapters are made by `adapt`. The model is neither changed nor copied.

    Attributes:
        model: The model.
        preprocess: The map from images in [0, 1] to the model's input.
        input_size: The height and width of the model's input, or None if the model
            takes images of any size.
        channels: The number of channels of the model's input.
        labels: The names of the model's classes, or None.
        held: The constant values of the model's other inputs, by name.
        image_input: The name of the input that takes the image, for a model of
            several image inputs, or None.
        output: The name or index of the output that has the classes, for a model of
            several outputs, or None.
        compiled: What other parts compiled for this model, by the class that keeps it.
            It is freed together with the adapter.
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
        self._inputs = find_inputs(model, held, image_input)
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
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self.compiled: dict[type, Any] = {}
        # Detection needs a traced model, and tracing needs some preprocessing.
        self.preprocess = preprocessing.assumed()
        if preprocess is None:
            detected = self.detect_preprocess()
            if detected is None:
                check = either(python="tfviz.check_range", command_line="`tfviz check`")
                warnings.warn(
                    f"Input range unknown; assuming {self.preprocess.name}. Set it "
                    f"with {argument('preprocess', (0, 255))}, or test it with "
                    f"{check}.",
                    stacklevel=3,
                )
            self.preprocess = detected or self.preprocess
        else:
            self.preprocess = preprocessing.resolve(preprocess)
            self._surveys.clear()
        self.labels = labels
        if labels is None and self.classes == 1000:
            self.labels = imagenet_labels()
        elif labels is not None and len(labels.names) != self.classes:
            raise ValueError(
                f"There are {len(labels.names)} class names, but model {self.name!r} "
                f"has {self.classes or 'no'} classes. Give one name for each class, in "
                "the order of the outputs."
            )

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name

    @property
    def size(self) -> Size:
        """The height and width of the model's input; 224 each if it takes any size."""
        return self.input_size or (USUAL_SIZE, USUAL_SIZE)

    @property
    def classes(self) -> int | None:
        """The number of classes, or None if the model has several outputs."""
        shape = self._survey(self.size).logits_shape
        return shape[-1] if shape else None

    def output_shape(self, size: Size) -> tuple[int | None, ...]:
        """Return the shape of the logits for images of a height and width."""
        self.require_logits()
        return self._survey(size).logits_shape or ()

    @property
    def outputs(self) -> dict[str, tuple[int | None, ...]]:
        """The shapes of several outputs by name; empty if one is used."""
        return self._survey(self.size).outputs

    @property
    def logits_source(self) -> str:
        """A description, in words, of where in the model the logits are."""
        return self._survey(self.size).logits_source

    def __call__(self, images: Any, paths: str | Sequence[str]) -> dict[str, Any]:
        """Return the activations of some layers.

        This works eagerly, under `tf.GradientTape` and inside `tf.function`.

        Args:
            images: `(n, height, width, channels)` in [0, 1], of any size.
            paths: The path of one layer, or several paths; `layers()` lists them.

        Returns:
            Float32 activations `(n, ..., channels)` by path.

        Raises:
            ValueError: If a layer does not exist, or the images do not fit the model.

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
        """Return the logits: the output before a final softmax or sigmoid, if any.

        Args:
            images: `(n, height, width, channels)` in [0, 1], of any size.

        Returns:
            Float32 logits `(n, classes)`.

        Raises:
            ValueError: If the model has several outputs.
        """
        self.require_logits()
        return self._evaluate(self._checked_images(images), (LOGITS,))[LOGITS]

    def probabilities(self, images: Any) -> Any:
        """Return the probabilities: the output after a final softmax or sigmoid.

        If the model ends in neither, a softmax is applied, or a sigmoid if there is
        only one class.
        """
        self.require_logits()
        images = self._checked_images(images)
        return self._evaluate(images, (PROBABILITIES,))[PROBABILITIES]

    def layers(self, size: Size | None = None) -> list[Layer]:
        """Return the layers of the model in the order in which they are called.

        Args:
            size: The height and width of the images; by default those of the model's
                input, or 224 each.
        """
        return list(self._survey(size or self.size).layers.values())

    def layer(self, path: str, size: Size | None = None) -> Layer:
        """Return one layer by its path.

        Args:
            path: The path of the layer, or that path and `:pre` for the activations
                before the layer's ReLU.
            size: The height and width of the images, as for `layers`.

        Raises:
            ValueError: If there is no such layer. The message names similar paths.
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
                    f"{path!r}. Its activations already can be negative: use "
                    f"{rectified.path!r}."
                )
            return replace(rectified, path=path, rectified=False)
        # Users often give the name of a layer in a nested model without its parents.
        nested = [other for other in layers if other.endswith(f"/{path}")]
        close = nested[:3] or get_close_matches(path, layers, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(map(repr, close))}? " if close else ""
        lists = either(python="adapter.layers()", command_line="`tfviz layers`")
        raise ValueError(
            f"Model {self.name!r} has no layer {path!r}. {hint}{lists} lists all "
            "layers."
        )

    def operation(self, path: str) -> Any:
        """Return the Keras layer at the path of a layer, or a graph's node."""
        self.layer(path)
        return self._survey(self.size).operations.get(path)

    def connections(self) -> dict[str, tuple[str, ...]]:
        """Return which layers each layer takes the outputs of, by paths.

        Layers that take the images have none. The model is traced once for it.

        >>> import tfviz
        >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
        >>> adapter.connections()["pool3"]
        ('fire3',)
        """
        found: list[dict[str, tuple[str, ...]]] = []

        def trace(images: Any) -> Any:
            found.append(find_connections(self._trace(images)[1]))
            return images

        spec = tf.TensorSpec((1, *self.size, self.channels), tf.float32)
        tf.function(trace, autograph=False).get_concrete_function(spec)
        return found[0]

    def before_relu(self, path: str) -> str:
        """Return the path of the activations before a layer's ReLU.

        A path whose layer does not end in a ReLU, or that is not the path of a layer,
        is returned unchanged.
        """
        layer = self._survey(self.size).layers.get(path)
        return path + PRE if layer and layer.rectified else path

    def require_logits(self) -> None:
        """Check that the model has a single output, whose logits can be computed.

        Raises:
            ValueError: If the model has several outputs and none was selected.
        """
        if self.classes is not None:
            return
        if not self.outputs:
            raise ValueError(
                f"Model {self.name!r} returns no tensor that could have classes. Use a "
                "layer instead of classes."
            )
        outputs = ", ".join(
            f"{name!r} ({'x'.join(map(str, shape[1:]))})"
            for name, shape in self.outputs.items()
        )
        raise ValueError(
            f"Model {self.name!r} has several outputs: {outputs}. Select the one that "
            f"has the classes: {self.suggest_output()}. Or use a layer instead of "
            "classes."
        )

    def suggest_output(self, names: Sequence[str] = ()) -> str:
        """Return how to select the output that probably has the classes.

        Args:
            names: The outputs to choose from, by default all.
        """

        def rank(name: str) -> tuple[bool, bool]:
            shape = self.outputs[name]
            is_vector = len(shape) == 2 and shape[-1] != 1
            return bool(_CLASS_OUTPUT.search(name)), is_vector

        return argument("output", max(names or self.outputs, key=rank))

    def detect_preprocess(self) -> preprocessing.Preprocess | None:
        """Return the input range that the model's layers or name reveal, or None."""
        if hasattr(self.model, "detected_preprocess"):  # of a graph
            return self.model.detected_preprocess
        operations = self._survey(self.size).operations
        return preprocessing.detect(self.model, operations.items())

    def class_index(self, target: int | str) -> int:
        """Return the index of a class.

        Args:
            target: The index, WordNet identifier or name of the class.

        Raises:
            ValueError: If there is no such class, or more than one.
        """
        self.require_logits()
        if isinstance(target, str) and not target.isdigit():
            if self.labels is None:
                raise ValueError(
                    f"Model {self.name!r} has no class names, so there is no class "
                    f"{target!r}. Give an index from 0 to {self.classes - 1}, or the "  # type: ignore[operator]
                    f"names, one per line of a file: {argument('labels', 'names.txt')}"
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
        """Return the name of a class, or None if the classes have no names."""
        return self.labels.names[index] if self.labels else None

    def with_model(self, model: Any) -> "Adapter":
        """Return an adapter of another model, with all the options of this one.

        Args:
            model: A model of the same architecture, such as a clone with other
                weights.

        Raises:
            ValueError: If the options do not fit the model.
            TypeError: If it is not a model.

        >>> import keras, tfviz
        >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
        >>> clone = keras.models.clone_model(adapter.model)
        >>> adapter.with_model(clone).preprocess.name
        '0,255'
        """
        return adapt(
            model,
            self.preprocess,
            labels=self.labels,
            held=self.held or None,
            image_input=self.image_input,
            output=self.output,
        )

    def fingerprint(self) -> str:
        """Return a hash of the weights, which is the same on every machine."""
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
        """Trace the model on images inside a graph, without checking the arguments.

        Args:
            images: `(n, height, width, channels)` in [0, 1]. They are resized if the
                model has a fixed input size.
            paths: Paths of existing layers, `LOGITS` or `PROBABILITIES`.
            redirect: Whether dead units get a redirected gradient; see
                `gradient_overrides`.
            smooth_pools: Whether max-pools share their gradient within a window.

        Returns:
            Float32 activations by path.
        """
        with override_gradients(redirect=redirect, smooth_pools=smooth_pools):
            output, recording = self._trace(images)
            return {
                path: tf.cast(fetch(path, output, recording), tf.float32)
                for path in paths
            }

    def _trace(self, images: Any) -> tuple[Any, Recording]:
        """Return the model's output, or the selected one, and the recording."""
        if self.input_size:
            images = resize(images, self.input_size)
        inputs = self._inputs.pack(self.preprocess.apply(images))
        output, recording = call_recorded(self.model, inputs)
        return select_output(self.model, output, self.output), recording

    def _evaluate(self, images: Any, paths: tuple[str, ...]) -> dict[str, Any]:
        key = (paths, tuple(images.shape[1:]))
        if key not in self._compiled:
            # Compiling prunes the layers that the paths do not depend on.
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
            self._surveys[size] = self._trace_survey(size)
        return self._surveys[size]

    def _trace_survey(self, size: Size) -> Survey:
        surveys: list[Survey] = []

        def trace(images: Any) -> Any:
            output, recording = self._trace(images)
            surveys.append(make_survey(output, recording, self.model))
            return images

        spec = tf.TensorSpec((1, *size, self.channels), tf.float32)
        try:
            tf.function(trace, autograph=False).get_concrete_function(spec)
        except OutputError:
            raise
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(self._misfit(size, reason_of(error))) from error
        for layer in surveys[0].layers.values():
            if 0 in layer.shape[1:]:
                reason = f"nothing is left of them at layer {layer.path!r}"
                raise ValueError(self._misfit(size, reason))
        return surveys[0]

    def _misfit(self, size: Size, reason: str) -> str:
        if self.size in self._surveys:
            remedy = f"Use another size; {self.size[0]}x{self.size[1]} works."
        else:
            remedy = "Try first whether the model runs on such images without tfviz."
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
    """Make a model usable by tfviz, as a function from images to activations.

    Args:
        model: A model of Keras 3 or `tf_keras`, which may be functional, sequential,
            nested or subclassed, or a SavedModel as `load_model` returns it. A
            subclassed model must have been called once. The model is not changed.
        preprocess: How images in [0, 1] become the model's input: a mode of
            `keras.applications` (`caffe`, `tf`, `torch`), a range `(low, high)`, or a
            function. By default it is detected from the model's own layers or its
            name, with a warning if they do not reveal it; `check_range` then tells
            on photos whether the assumed one is right.
        labels: The names of the classes, or the path of a file that holds them. By
            default the names of ImageNet's classes if the model has 1000 outputs.
        held: For a model of several inputs, the constant value of each input but the
            image, by name: a number, or an array of the input's shape without the
            batch axis.
        image_input: For a model of several image inputs, the name of the input that
            takes the image to be optimized.
        output: For a model of several outputs, the name or index of the one that has
            the classes. Layers can be used without it.

    Returns:
        The adapter. `adapter.preprocess` and `adapter.logits_source` describe the
        preprocessing and the logits that are used.

    Raises:
        ValueError: If the model takes no images, an input has no value, there is no
            such output, or the weights hold NaN.
        TypeError: If it is not a model.
        RuntimeError: If Keras is configured to put the channels first.

    >>> import tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> adapter.preprocess.name
    '0,255'
    """
    if isinstance(model, Adapter):
        options = (preprocess, labels, held, image_input, output)
        if any(option is not None for option in options):
            raise ValueError(
                "The model is an adapter already. Pass `preprocess`, `labels` and the "
                "other options when you make the adapter from the model."
            )
        return model
    _environment.require_channels_last()
    supported = hasattr(model, "_flatten_layers") or hasattr(model, "call_recorded")
    if isinstance(model, type) or not supported:
        received = type(model).__name__
        if isinstance(model, (str, Path)):
            received += f". Load it first: tfviz.load_model({str(model)!r})"
        raise TypeError(
            "tfviz needs a Keras model, or a module loaded with load_model. "
            f"Received: {received}"
        )
    return Adapter(
        model,
        preprocess,
        None if labels is None else as_labels(labels),
        held=held,
        image_input=image_input,
        output=output,
    )


def provenance(adapter: Adapter) -> dict[str, Any]:
    """Describe the model behind a result, so that the result can be reproduced.

    Returns:
        JSON values: the name, source and hash of the model, the options of its
        adapter, and the versions of tfviz, TensorFlow, Keras and NumPy.
    """
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
