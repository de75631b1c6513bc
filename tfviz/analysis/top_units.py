"""Which units respond most to a photo."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz import levels as levels_
from tfviz.levels import Level, Levels
from tfviz.models.adapter import LOGITS, Adapter, adapt
from tfviz.models.inputs import fitted
from tfviz.models.introspection import Layer

WILDCARDS = "*?["
# Against what a response is high.
PHOTOS, LAYER = "photos", "layer"
# A channel that hardly ever varied would be far above its usual level by any noise:
# its deviation counts as at least this part of the middle one of its layer.
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
        peak_value: Its activation there.
        above: How many deviations `value` is above the usual.
        usual: What that is. `photos`: the mean and deviation of this channel over the
            real photos of the levels. `layer`: those of the layer's channels for this
            photo, where no levels are known.
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
    levels: Levels | str | os.PathLike | None = None,
) -> list[TopUnit]:
    """Find the units that respond most to a photo.

    Args:
        model: What `adapt` takes.
        image: A file, or a picture `(height, width, channels)` as bytes or floats in
            [0, 1], of any size. The model sees its middle.
        layers: Paths, patterns such as `fire*`, or `logit` for the classes before the
            softmax. By default the classes, and the last layer with a map that is no
            map of classes.
        n: How many units of each layer.
        levels: How active the channels usually are, or a file of that. The bundled
            network has its own.

    Returns:
        Up to n units of each layer, the one that is furthest above the usual first.

    Raises:
        ValueError: If there is no such layer, the image does not fit, or the levels
            are those of another model.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    >>> [unit.layer for unit in top_units(model, red, n=1)]
    ['logit', 'fire9']
    """
    adapter = adapt(model)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    paths = _chosen(adapter, layers)
    known = _known(adapter, levels)
    if not paths:
        raise ValueError(f"Model {adapter.name!r} has no units to rank.")
    photo = fitted(adapter, image)
    forward = tf.function(lambda x: adapter.forward(x, paths), autograph=False)
    found = forward(photo[np.newaxis])
    return [
        unit
        for path in paths
        for unit in _best(adapter, path, found[path].numpy()[0], known, n)
    ]


def _best(
    adapter: Adapter, path: str, values: NDArray[np.float32], known: Any, n: int
) -> Iterator[TopUnit]:
    name = "logit" if path == LOGITS else path
    if not np.isfinite(values).all():
        raise ValueError(
            f"Layer {name!r} has activations that are not finite for this photo. Does "
            "the model get the right range? `tfviz check`"
        )
    places = values.shape[:-1]
    values = values.reshape(-1, values.shape[-1])
    means = values.mean(axis=0, dtype=np.float64)
    level = known.layers.get(path) if known else None
    above = _above(means, level)
    # Of equal channels the first.
    for channel in np.argsort(-above, kind="stable")[:n]:
        place = int(values[:, channel].argmax())
        position = ",".join(map(str, np.unravel_index(place, places)))
        target = str(channel)
        if path == LOGITS and not places:
            target = _class_name(adapter, int(channel))
        yield TopUnit(
            f"{name}:{target}",
            name,
            float(means[channel]),
            f"{name}:{target}@{position}" if places else None,
            float(values[place, channel]),
            float(above[channel]),
            PHOTOS if level else LAYER,
        )


def _above(means: NDArray[np.float64], level: Level | None) -> NDArray[np.float64]:
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
    """Return how a class is written in a unit: its name, where that will do."""
    name = (adapter.class_name(index) or "").strip().replace(" ", "_")
    # Digits would be read as an index or a range, the signs as another unit.
    if not any(map(str.isalpha, name)) or not set(name).isdisjoint("+():@,"):
        return str(index)
    try:
        return name if adapter.class_index(name) == index else str(index)
    except ValueError:  # several classes of that name
        return str(index)


def _known(adapter: Adapter, levels: Any) -> Levels | None:
    if levels is None:
        source = getattr(adapter.model, "tfviz_source", None)
        if source not in levels_.BUNDLED:
            return None
        own = levels_.bundled(source)
        try:
            own.check(adapter)
        except ValueError:  # trained further, or given another range
            return None
        return own
    if not isinstance(levels, Levels):
        levels = levels_.load(levels)
    levels.check(adapter)
    return levels


def _chosen(adapter: Adapter, layers: str | Sequence[str] | None) -> list[str]:
    known = {layer.path: layer for layer in adapter.layers()}
    if layers is None:
        classes = [LOGITS] if adapter.classes else []
        return classes + _late(adapter, list(known.values()))
    chosen: list[str] = []
    for text in (layers,) if isinstance(layers, str) else layers:
        if text in known:
            if not known[text].units:
                raise ValueError(f"Layer {text!r} has no channels.")
            chosen.append(text)
        elif text == "logit":
            adapter.require_logits()
            chosen.append(LOGITS)
        elif any(sign in text for sign in WILDCARDS):
            matching = [p for p, x in known.items() if fnmatchcase(p, text) and x.units]
            if not matching:
                raise ValueError(
                    f"No layer matches {text!r}. `tfviz layers` lists all; quote "
                    "patterns from the shell."
                )
            chosen += matching
        else:
            adapter.layer(text)  # says which layers are called nearly so
    return list(dict.fromkeys(chosen))


def _late(adapter: Adapter, layers: list[Layer]) -> list[str]:
    """Return the last layer whose channels are features at places, not classes."""
    found = [x for x in layers if x.units and x.units != adapter.classes]
    maps = [x for x in found if any(length != 1 for length in x.shape[1:-1])]
    return [layer.path for layer in (maps or found)[-1:]]
