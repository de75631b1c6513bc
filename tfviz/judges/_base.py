"""The judge, made from functions of pictures of one size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import ROUNDING
from tfviz.models.inputs import resize

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
            "Give `labels`, the judge's output for each class of the model, or use "
            "the judge with `features_only`."
        )


def make_judge(
    name: str,
    *,
    scores: Callable | None,
    features: Callable | None,
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
            "`labels` could select."
        )

    def batched(
        function: Callable | None, columns: Any = slice(None)
    ) -> Vectors | None:
        if function is None:
            return None

        def run(images: ArrayLike) -> NDArray[np.float32]:
            pictures = _check_images(images, channels, name)
            parts = []
            for start in range(0, len(pictures), BATCH):
                resized = resize(pictures[start : start + BATCH], spec["size"])
                parts.append(np.asarray(function(resized))[:, columns])
            return np.concatenate(parts)

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
