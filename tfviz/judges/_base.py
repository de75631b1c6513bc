"""The judge, and how judges are made of Keras models and `.tflite` files."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz._errors import speaking
from tfviz.judges._litert import Network
from tfviz.judges._options import in_python, write_for_python
from tfviz.measures._base import ROUNDING
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import apply_in_batches, resize
from tfviz.models.load import load_model
from tfviz.models.sources import HUB, KERAS, TFLITE, check_judge, check_tflite

# The number of pictures that are resized and evaluated at a time.
BATCH = 16
# The number of outputs of older ImageNet networks, whose first is the background class.
WITH_BACKGROUND = 1001

Vectors = Callable[[ArrayLike], NDArray[np.float32]]


@dataclass(frozen=True)
class Judge:
    """A network that evaluates finished pictures.

    Both functions take images `(n, height, width, channels)` in [0, 1], of any size.
    The values of one picture do not depend on the others in the batch.

    Attributes:
        name: The name of the judge in results.
        scores: A function from images to float32 logits `(n, classes)`, one for each
            class of the visualized model, in its order; or None for a judge without
            classes.
        features: A function from images to float32 features `(n, d)`, in which
            similar pictures are near each other; or None for a judge without features.
        classes: The number of classes of `scores`, or None.
        spec: A description as JSON values: the kind, source and hash of the network,
            its input size and preprocessing, and the outputs that are used.
    """

    name: str
    scores: Vectors | None
    features: Vectors | None
    classes: int | None
    spec: Mapping[str, Any]


def load(
    source: str | os.PathLike[str], *, allow_unsafe: bool = False, **options: Any
) -> Judge:
    """Load a judge by its name or file.

    Args:
        source: `keras:NAME` for a network of `keras.applications` with its ImageNet
            weights, a `.tflite` file, or any other source of `tfviz.load_model`.
        allow_unsafe: Whether a file may contain Python code, as for
            `tfviz.load_model`.
        **options: The options of `tflite` or `keras`.

    Returns:
        The judge. A judge from a file has the name of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such network, or for the reasons of `tflite` and
            `keras`.

    >>> load("squeezenet", features="fire5").spec["features"]
    'fire5'
    """
    source = os.fspath(source)
    check_judge(source)
    if source.endswith(TFLITE):
        return tflite(source, **options)
    model = load_model(source, allow_unsafe=allow_unsafe)
    if not source.startswith(HUB):
        options = {"name": Path(source.removeprefix(KERAS)).stem} | options
    judge = keras(model, **options)
    # Record the name of a file without its folder, which is different elsewhere.
    recorded = judge.spec["source"] or Path(source).name
    return replace(judge, spec={**judge.spec, "source": recorded})


def keras(
    model: Any,
    *,
    name: str | None = None,
    preprocess: Any = None,
    labels: Sequence[int] | None = None,
    features: str | None = None,
    features_only: bool = False,
) -> Judge:
    """Make a judge from a Keras model.

    Args:
        model: A model as `tfviz.adapt` takes it, or an `Adapter`.
        name: The name of the judge; by default the name of the model.
        preprocess: How images in [0, 1] become the model's input, as for
            `tfviz.adapt`; by default it is detected.
        labels: For each class of the visualized model, the index of the judge's
            output for it. By default all outputs, in their order; of 1001 outputs all
            but the first, which is the background class.
        features: The path of the layer whose output, averaged over its positions, is
            used as features. By default the last layer before those with one channel
            per class, which is the layer that the classes are computed from.
        features_only: Whether to use the model for features only, and ignore its
            classes.

    Returns:
        The judge.

    Raises:
        ValueError: If the model returns no vector of classes and `features` is not
            given, or it does not have the outputs in `labels` or the layer `features`.

    >>> import numpy as np, tfviz
    >>> judge = keras(tfviz.load_model("squeezenet"))
    >>> judge.scores(np.zeros((2, 50, 70, 3), np.float32)).shape
    (2, 1000)
    >>> judge.features(np.zeros((2, 50, 70, 3), np.float32)).shape
    (2, 512)
    """
    with speaking(write_for_python):
        adapter = adapt(model, preprocess)
    name = adapter.name if name is None else name
    outputs = adapter.classes
    if outputs is None or len(adapter.output_shape(adapter.size)) != 2:
        outputs = None
    if outputs is None and features is None:
        raise ValueError(
            f"Model {name!r} returns no vector of classes, so it can only judge by the "
            f"features of a layer. {in_python('features=LAYER')}"
        )
    path = _penultimate(adapter) if features is None else adapter.layer(features).path
    if features_only:
        outputs = None

    return make_judge(
        name,
        scores=None if outputs is None else adapter.logits,
        features=None
        if path is None
        else partial(_average, adapter=adapter, path=path),
        outputs=outputs,
        labels=labels,
        channels=adapter.channels,
        spec={
            "kind": "keras",
            "source": getattr(adapter.model, "tfviz_source", None),
            "hash": adapter.fingerprint(),
            "preprocess": adapter.preprocess.name,
            "size": list(adapter.size),
            "scores": None if outputs is None else adapter.logits_source,
            "features": path,
        },
    )


def tflite(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    preprocess: Any = None,
    labels: Sequence[int] | None = None,
    features_only: bool = False,
) -> Judge:
    """Make a judge from a `.tflite` file: a classifier, an embedding, or both in one.

    The scores are the logits before the softmax of the file. The features are the
    input of the layer that computes the logits, unless the file returns features
    itself. Pictures are evaluated one at a time, because not every file takes several.
    This needs `pip install ai-edge-litert`.

    Args:
        path: The path of the file.
        name: The name of the judge; by default the name of the file without its
            suffix.
        preprocess: How images in [0, 1] become the network's input, as for
            `tfviz.adapt`. A quantized input defines its range by its scale and zero
            point; for an input of floats this must be given.
        labels: For each class of the visualized model, the index of the judge's
            output for it. By default all outputs, in their order; of 1001 outputs all
            but the first, which is the background class. Without `labels`, an output
            vector counts as classes if it comes from a softmax or sigmoid or has a
            length of 1000 or 1001, and as features otherwise.
        features_only: Whether the judge has features only, so that no output vector
            counts as classes.

    Returns:
        The judge.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a `.tflite` file, returns no vector, takes floats and
            `preprocess` is not given, or does not have the outputs in `labels`.
        RuntimeError: If LiteRT is not installed.
    """
    path = Path(path)
    check_tflite(path)
    network = Network(
        path,
        preprocess,
        labelled=labels is not None,
        features_only=features_only,
    )
    functions = {place: partial(network.run, place=place) for place in network.tensors}
    return make_judge(
        path.stem if name is None else name,
        scores=functions.get("scores"),
        features=functions.get("features"),
        outputs=network.classes,
        labels=labels,
        channels=network.channels,
        spec={
            "kind": "tflite",
            "source": path.name,
            "hash": network.hash,
            "preprocess": network.preprocess.name,
            "size": list(network.size),
            "scores": network.tensors.get("scores"),
            "features": network.tensors.get("features"),
        },
    )


def check(judge: Judge, classes: int | None) -> None:
    """Refuse a judge whose classes are not those of the visualized model.

    A judge that only has features suits any model.

    Args:
        judge: The judge.
        classes: The number of classes of the visualized model, or None if it has
            none.

    Raises:
        ValueError: If the judge has another number of classes.

    >>> check(Judge("m", None, None, None, {}), 1000)
    """
    if None not in (judge.classes, classes) and judge.classes != classes:
        raise ValueError(
            f"Judge {judge.name!r} has {judge.classes} classes, the model {classes}. "
            f"{in_python('labels=[...]')}, the judge's output for each class of the "
            "model, or with features_only=True."
        )


def make_judge(
    name: str,
    *,
    scores: Callable[..., Any] | None,
    features: Callable[..., Any] | None,
    outputs: int | None,
    labels: Sequence[int] | None,
    channels: int,
    spec: dict[str, Any],
) -> Judge:
    """Make a judge from functions of images that already have its input size.

    Args:
        name: The name of the judge.
        scores: A function from images to all outputs `(n, outputs)`, or None.
        features: A function from images to features `(n, d)`, or None.
        outputs: The number of outputs of `scores`, or None.
        labels: The outputs that are the classes of the visualized model, in its
            order; None for the default ones.
        channels: The number of channels of the images.
        spec: The description of the judge, without the outputs that are used.
    """
    selected = None if outputs is None else _select_outputs(labels, outputs, name)
    if selected is None and labels is not None:
        raise ValueError(
            f"Judge {name!r} is used for features only, so it has no classes that "
            "`labels` could select. Leave out `labels`."
        )

    def batched(
        function: Callable[..., Any] | None, columns: Any = slice(None)
    ) -> Vectors | None:
        if function is None:
            return None

        def run(images: ArrayLike) -> NDArray[np.float32]:
            pictures = _check_images(images, channels, name)
            return apply_in_batches(
                lambda part: np.asarray(function(resize(part, spec["size"])))[
                    :, columns
                ],
                BATCH,
                pictures,
            )

        return run

    recorded = None
    if selected is not None:
        recorded = f"{selected[0]} to {selected[-1]}" if labels is None else selected
    return Judge(
        name,
        batched(scores, selected),
        batched(features),
        None if selected is None else len(selected),
        {**spec, "outputs": outputs, "labels": recorded},
    )


def _select_outputs(labels: Sequence[int] | None, outputs: int, name: str) -> list[int]:
    """Return the outputs for the classes of the visualized model, in its order."""
    if labels is None:
        return list(range(outputs == WITH_BACKGROUND, outputs))
    selected = np.asarray(labels)
    if selected.dtype.kind not in "iu" or selected.ndim != 1 or not selected.size:
        raise ValueError(
            "`labels` must be a list of outputs of the judge, one for each class of "
            f"the model. Received: {labels!r}"
        )
    if selected.min() < 0 or selected.max() >= outputs:
        raise ValueError(
            f"Judge {name!r} has the outputs 0 to {outputs - 1}. Received: `labels` "
            f"from {selected.min()} to {selected.max()}"
        )
    if len(set(selected.tolist())) < len(selected):
        raise ValueError(
            "`labels` must not name an output twice: the classes that share it could "
            "not be told apart."
        )
    return selected.tolist()


def _check_images(images: ArrayLike, channels: int, name: str) -> NDArray[np.float32]:
    """Return the images as float32 in [0, 1], or raise a ValueError."""
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape or images.shape[-1] != channels:
        raise ValueError(
            f"Judge {name!r} takes images of the shape (n, height, width, {channels}). "
            f"Received: {images.shape}"
        )
    low, high = images.min(), images.max()
    if images.dtype.kind != "f" or not -ROUNDING <= low <= high <= 1 + ROUNDING:
        raise ValueError(
            f"Judge {name!r} takes floats in [0, 1]; convert bytes with "
            f"tfviz.images.to_floats. Received: {images.dtype} from {low} to {high}"
        )
    return images.clip(0, 1).astype(np.float32, copy=False)


def _penultimate(adapter: Adapter) -> str | None:
    """Return the path of the last layer before those with one channel per class."""
    for layer in reversed(adapter.layers()):
        if layer.units not in (None, adapter.classes):
            return layer.path
    return None


def _average(images: Any, *, adapter: Adapter, path: str) -> NDArray[np.float32]:
    """Return the activations of a layer, averaged over their positions."""
    values = np.asarray(adapter(images, path)[path])
    return values.mean(axis=tuple(range(1, values.ndim - 1)))
