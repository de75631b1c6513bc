"""Networks that judge finished pictures, and took no part in making them.

Whether a picture shows a lion cannot be asked of the network that it was made with:
it was made to say so. A judge is another network, of which only outputs are used.

    judge = tfviz.judges.load("keras:MobileNetV2")
    judge.scores(result.images)  # (n, 1000)

What is not square is squeezed to the judge's input; cut photos with
`tfviz.images.centre_crop` before.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz.judges._base import Judge, assembled
from tfviz.judges._litert import Network
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.load import load_model
from tfviz.models.sources import HUB, KERAS, TFLITE, check_judge, check_tflite

__all__ = ["Judge", "check", "keras", "load", "tflite"]


def keras(
    model: Any,
    *,
    name: str | None = None,
    preprocess: Any = None,
    labels: Sequence[int] | None = None,
    features: str | None = None,
    features_only: bool = False,
) -> Judge:
    """Let a Keras model judge.

    Args:
        model: A model as `tfviz.adapt` takes it, or an `Adapter`.
        name: By default the model's.
        preprocess: How images in [0, 1] become the model's input, as for
            `tfviz.adapt`; by default what the model tells.
        labels: For each class of the visualized model, the output of this one. By
            default all outputs as they are; of 1001 all but the first, which is the
            background.
        features: The path of the layer whose output, averaged over its positions, are
            the features. By default the last one before those that are as wide as
            there are classes: what the classes are computed from.
        features_only: Whether its output is not to be taken for classes.

    Returns:
        The judge.

    Raises:
        ValueError: If the model has no vector of classes and no `features` are named,
            or `labels` or `features` name what it does not have.

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
            "only, name the layer that has them with `features`."
        )
    path = _penultimate(adapter) if features is None else adapter.layer(features).path
    if features_only:
        outputs = None

    return assembled(
        name,
        scores=None if outputs is None else adapter.logits,
        features=None
        if path is None
        else partial(_averaged, adapter=adapter, path=path),
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
    """Let a `.tflite` file judge: a classifier, an embedding, or both in one.

    Its classes are taken before their softmax, and its features from what goes into
    the layer of classes, unless the file returns features of its own. Pictures are
    shown one at a time, which any file can take. Needs `pip install 'tfviz[litert]'`.

    Args:
        path: Of the file.
        name: By default the file's, without its ending.
        preprocess: What numbers the network was trained on, as for `tfviz.adapt`. A
            quantized input tells by its scale and zero point, and needs none; of
            floats nothing tells.
        labels: For each class of the visualized model, the output of this one. By
            default all outputs as they are; of 1001 all but the first, which is the
            background. Without it, a vector is taken for classes if it comes from a
            softmax or sigmoid or is 1000 or 1001 long, and for features otherwise.
        features_only: Whether no output is to be taken for classes.

    Returns:
        The judge.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, returns no vector, takes floats and no
            `preprocess` is given, or has no output that `labels` name.
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
    has = {place: partial(network.run, place=place) for place in network.tensors}
    return assembled(
        path.stem if name is None else name,
        scores=has.get("scores"),
        features=has.get("features"),
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


def load(
    source: str | os.PathLike, *, allow_unsafe: bool = False, **options: Any
) -> Judge:
    """Load a judge by its name or file.

    Args:
        source: `keras:NAME` for a network of `keras.applications` with its ImageNet
            weights, a `.tflite` file, or anything else that `tfviz.load_model` takes.
        allow_unsafe: As for `tfviz.load_model`.
        **options: Of `tflite` or `keras`.

    Returns:
        The judge; what comes from a file is named as the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such network, or as `tflite` and `keras` say.

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
    known = judge.spec["source"] or Path(source).name  # where it lies is no name
    return replace(judge, spec={**judge.spec, "source": known})


def check(judge: Judge, classes: int | None) -> None:
    """Refuse a judge whose classes are not those of the visualized model.

    One that has features only suits any.

    Args:
        judge: The judge.
        classes: How many the visualized model has, or None where it has none.

    Raises:
        ValueError: If the judge has another number.

    >>> check(Judge("m", None, None, None, {}), 1000)
    """
    if None not in (judge.classes, classes) and judge.classes != classes:
        raise ValueError(
            f"Judge {judge.name!r} has {judge.classes} classes, the model {classes}. "
            "Give `labels`, the judge's output for each class of the model, or use it "
            "with `features_only`."
        )


def _penultimate(adapter: Adapter) -> str | None:
    """Return the last layer before those that are as wide as there are classes."""
    for layer in reversed(adapter.layers()):
        if layer.units not in (None, adapter.classes):
            return layer.path
    return None


def _averaged(images: Any, *, adapter: Adapter, path: str) -> NDArray[np.float32]:
    """Return the activations of a layer, averaged over their positions."""
    values = np.asarray(adapter(images, path)[path])
    return values.mean(axis=tuple(range(1, values.ndim - 1)))
