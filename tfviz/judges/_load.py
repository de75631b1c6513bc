"""Make judges from Keras models and `.tflite` files, or load them by name."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.judges._base import Judge, make_judge
from tfviz.judges._litert import Network
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.load import load_model
from tfviz.models.sources import HUB, KERAS, TFLITE, check_judge, check_tflite


def load(
    source: str | os.PathLike, *, allow_unsafe: bool = False, **options: Any
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
    adapter = adapt(model, preprocess)
    name = adapter.name if name is None else name
    outputs = adapter.classes
    if outputs is None or len(adapter.output_shape(adapter.size)) != 2:
        outputs = None
    if outputs is None and features is None:
        raise ValueError(
            f"Model {name!r} returns no vector of classes. To use it for features "
            "only, name a layer with `features`."
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
    path: str | os.PathLike,
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
    This needs `pip install 'tfviz[litert]'`.

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
