"""A judge, put together of what looks at pictures of one size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfviz.measures._base import ROUNDING
from tfviz.models.inputs import scaled

# Pictures that are resized, and seen by a Keras model, at once.
BATCH = 16
# Outputs of ImageNet's networks of old, whose first is the background.
WITH_BACKGROUND = 1001

Vectors = Callable[[ArrayLike], NDArray[np.float32]]


@dataclass(frozen=True)
class Judge:
    """A network that looks at finished pictures.

    Both functions take `(n, height, width, channels)` in [0, 1], of any size; what is
    said of one picture does not depend on the others.

    Attributes:
        name: How results call it.
        scores: Images -> float32 `(n, classes)`, before any softmax; one for each
            class of the visualized model, in its order. None for what has no classes.
        features: Images -> float32 `(n, d)`, in which alike pictures are near each
            other. None for what has none.
        classes: How many classes `scores` tells, or None.
        spec: What it is, as JSON values: file and hash, size, preprocessing and which
            of its outputs are used.
    """

    name: str
    scores: Vectors | None
    features: Vectors | None
    classes: int | None
    spec: Mapping[str, Any]


def assembled(
    name: str,
    *,
    scores: Callable | None,
    features: Callable | None,
    outputs: int | None,
    labels: Sequence[int] | None,
    channels: int,
    spec: dict[str, Any],
) -> Judge:
    """Make a judge of functions of images that have its size already.

    Args:
        name: Its name.
        scores: Images -> `(n, outputs)`, or None.
        features: Images -> `(n, d)`, or None.
        outputs: How many outputs `scores` has, or None.
        labels: Which of those are the classes, or None for the usual ones.
        channels: Of the images.
        spec: What it is, but for the outputs that are used.
    """
    chosen = None if outputs is None else _chosen(labels, outputs, name)
    if chosen is None and labels is not None:
        raise ValueError(
            f"Judge {name!r} is used for features only, so `labels` have nothing to "
            "choose from."
        )

    def over(function: Callable | None, columns: Any = slice(None)) -> Vectors | None:
        if function is None:
            return None

        def run(images: ArrayLike) -> NDArray[np.float32]:
            pictures = _checked(images, channels, name)
            parts = []
            for start in range(0, len(pictures), BATCH):
                seen = scaled(pictures[start : start + BATCH], spec["size"])
                parts.append(np.asarray(function(seen))[:, columns])
            return np.concatenate(parts)

        return run

    told = None
    if chosen is not None:
        told = f"{chosen[0]} to {chosen[-1]}" if labels is None else chosen
    return Judge(
        name,
        over(scores, chosen),
        over(features),
        None if chosen is None else len(chosen),
        {**spec, "outputs": outputs, "labels": told},
    )


def _chosen(labels: Sequence[int] | None, outputs: int, name: str) -> list[int]:
    """Return which outputs are the classes of the visualized model, in its order."""
    if labels is None:
        return list(range(outputs == WITH_BACKGROUND, outputs))
    chosen = np.asarray(labels)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not chosen.size:
        raise ValueError(
            "`labels` must be a list of outputs of the judge, one for each class of "
            f"the model. Received: {labels!r}"
        )
    if chosen.min() < 0 or chosen.max() >= outputs:
        raise ValueError(
            f"Judge {name!r} has the outputs 0 to {outputs - 1}. Received: `labels` "
            f"from {chosen.min()} to {chosen.max()}"
        )
    if len(set(chosen.tolist())) < len(chosen):
        raise ValueError(
            "`labels` must not name an output twice: its classes could not be told "
            "apart."
        )
    return chosen.tolist()


def _checked(images: ArrayLike, channels: int, name: str) -> NDArray[np.float32]:
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape or images.shape[-1] != channels:
        raise ValueError(
            f"Judge {name!r} takes images of the shape (n, height, width, {channels}). "
            f"Received: {images.shape}"
        )
    low, high = images.min(), images.max()
    if images.dtype.kind != "f" or not -ROUNDING <= low <= high <= 1 + ROUNDING:
        raise ValueError(
            f"Judge {name!r} takes floats in [0, 1]; turn bytes into them with "
            f"tfviz.images.to_floats. Received: {images.dtype} from {low} to {high}"
        )
    return images.clip(0, 1).astype(np.float32, copy=False)
