"""Find the units that respond most to a photo."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import levels as levels_
from tfviz.analysis.examples_file import (
    DatasetExamples,
    holds_examples,
    load_examples,
)
from tfviz.analysis.layer_selection import last_features, select_layers, unit_prefix
from tfviz.levels import Level, Levels
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.inputs import fit_photo
from tfviz.models.introspection import LOGITS

# The responses that a response is compared with.
PHOTOS, LAYER = "photos", "layer"
# Noise alone would lift a channel that hardly ever varies far above its usual level,
# so its deviation counts as at least this share of the median deviation of its layer.
LEAST_DEVIATION = 0.05


@dataclass(frozen=True)
class TopUnit:
    """A unit that responds strongly to a photo.

    Attributes:
        unit: The channel or class, as `render` takes it: `fire8:20`.
        layer: The path of its layer; `logit` for a class.
        value: The mean of its activation over its map.
        peak: The unit at the position where it responds most, `fire8:20@3,4`, or None
            for a layer without positions.
        peak_value: Its activation at that position.
        above: The number of standard deviations by which `value` is above the usual
            level.
        usual: The responses that define the usual level. `photos`: those of this
            channel to the real photos of the levels. `layer`: those of all channels
            of the layer to this photo, if there are no levels.
    """

    unit: str
    layer: str
    value: float
    peak: str | None
    peak_value: float
    above: float
    usual: str


def top_units(
    model: Any,
    image: Any,
    layers: str | Sequence[str] | None = None,
    *,
    n: int = 10,
    levels: Levels | DatasetExamples | str | os.PathLike[str] | None = None,
) -> list[TopUnit]:
    """Find the units that respond most to a photo.

    Args:
        model: A model or an adapter, as `adapt` takes it.
        image: A file, or a picture `(height, width, channels)` as bytes or floats in
            [0, 1], of any size. The model gets its middle.
        layers: Paths, patterns such as `fire*`, or `logit` for the logits of the
            classes. By default the logits, and the last layer that has a map of other
            channels than the classes.
        n: The number of units of each layer.
        levels: The usual activation levels of the channels, dataset examples, which
            contain them, or the path of a file of either. By default those of the
            bundled network, if it is the model.

    Returns:
        Up to n units of each layer, sorted by how far they are above the usual level.
        `pandas.DataFrame` makes a table of the list.

    Raises:
        ValueError: If there is no such layer, the image does not fit the model, or
            the levels are those of another model.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    >>> [unit.layer for unit in top_units(model, red, n=1)]
    ['logit', 'fire9']
    """
    adapter = adapt(model)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    if layers is None:
        classes = LOGITS if adapter.classes else None
        paths = [path for path in (classes, last_features(adapter)) if path]
    else:
        paths = select_layers(adapter, layers)
    usual_levels = _load_levels(adapter, levels)
    if not paths:
        raise ValueError(f"Model {adapter.name!r} has no units to rank.")
    photo = fit_photo(adapter, image)
    forward = tf.function(lambda x: adapter.forward(x, paths), autograph=False)
    activations = forward(photo[np.newaxis])
    return [
        unit
        for path in paths
        for unit in _rank(adapter, path, activations[path].numpy()[0], usual_levels, n)
    ]


def _rank(
    adapter: Adapter,
    path: str,
    values: NDArray[np.float32],
    levels: Levels | None,
    n: int,
) -> Iterator[TopUnit]:
    """Yield the n units of a layer that are furthest above their usual level.

    Args:
        adapter: An adapter of the model.
        path: The path of the layer.
        values: The activations of the layer for the photo, without a batch axis.
        levels: The usual levels, or None.
        n: The number of units.
    """
    name = unit_prefix(path)
    if not np.isfinite(values).all():
        raise ValueError(
            f"Layer {name!r} has activations that are not finite for this photo. Check "
            "with `tfviz check` whether the model gets the right range."
        )
    positions = values.shape[:-1]
    values = values.reshape(-1, values.shape[-1])
    means = values.mean(axis=0, dtype=np.float64)
    level = levels.layers.get(path) if levels else None
    above = _deviations(means, level)
    # A stable sort keeps equal channels in their order.
    for channel in np.argsort(-above, kind="stable")[:n]:
        place = int(values[:, channel].argmax())
        position = ",".join(map(str, np.unravel_index(place, positions)))
        channel_name = str(channel)
        if path == LOGITS and not positions:
            channel_name = _class_name(adapter, int(channel))
        yield TopUnit(
            f"{name}:{channel_name}",
            name,
            float(means[channel]),
            f"{name}:{channel_name}@{position}" if positions else None,
            float(values[place, channel]),
            float(above[channel]),
            PHOTOS if level else LAYER,
        )


def _deviations(means: NDArray[np.float64], level: Level | None) -> NDArray[np.float64]:
    """Return by how many standard deviations channels are above their usual level."""
    if level is None:
        spread = means.std()
        return (means - means.mean()) / spread if spread else np.zeros_like(means)
    least = LEAST_DEVIATION * np.median(level.deviation)
    deviation = np.maximum(level.deviation.astype(np.float64), least)
    difference = means - level.mean
    return np.divide(
        difference, deviation, out=np.zeros_like(means), where=deviation > 0
    )


def _class_name(adapter: Adapter, index: int) -> str:
    """Return the name of a class in the syntax of units, or its index.

    The index is returned if the name is ambiguous, or would be parsed as something
    else.
    """
    name = (adapter.class_name(index) or "").strip().replace(" ", "_")
    # Digits would be parsed as an index or a range, and the signs as operators.
    if not any(map(str.isalpha, name)) or not set(name).isdisjoint("+():@,"):
        return str(index)
    try:
        return name if adapter.class_index(name) == index else str(index)
    except ValueError:  # several classes of that name
        return str(index)


def _load_levels(adapter: Adapter, levels: Any) -> Levels | None:
    """Return the given levels, or by default the bundled ones of the model, if any."""
    if levels is None:
        source = getattr(adapter.model, "tfviz_source", None)
        if source not in levels_.BUNDLED:
            return None
        bundled = levels_.bundled(source)
        try:
            bundled.check(adapter)
        except ValueError:  # the model was trained further, or has another range
            return None
        return bundled
    if not isinstance(levels, (Levels, DatasetExamples)):
        read = load_examples if holds_examples(levels) else levels_.load
        levels = read(levels)
    if isinstance(levels, DatasetExamples):
        levels = levels.levels()
    levels.check(adapter)
    return levels
