"""Choose the layers of a network with which a prior is trained."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfviz.models.adapter import Adapter
from tfviz.models.introspection import LOGITS, Layer

# The number of compared layers of a network other than the bundled one, and the weight
# of its logits beside them.
LAYER_COUNT, LOGITS_WEIGHT = 5, 2.0
# Layers that pass the image on and show nothing that its pixels do not.
_PASSIVE_KINDS = (
    "InputLayer",
    "Rescaling",
    "Normalization",
    "ZeroPadding2D",
    "Dropout",
)


def select_compared_layers(
    adapter: Adapter, defaults: Mapping[str, float], size: int
) -> dict[str, float]:
    """Return the layers in which images are compared, with their weights.

    Args:
        adapter: The network.
        defaults: The layers of the bundled network with their weights. They are taken
            if the network has them all. If the logits are among them, those of another
            network are compared as well.
        size: The height and width, in pixels, of the images that the network sees.

    Raises:
        ValueError: If the network has no layer to compare images in, or does not take
            images of this size.
    """
    layers = adapter.layers((size, size))
    if {layer.path for layer in layers} >= set(defaults) - {LOGITS}:
        return dict(defaults)
    maps = [layer for layer in layers if _has_positions(layer)]
    # A layer in front of a ReLU repeats what the ReLU shows.
    rectified = [layer for layer in maps if layer.rectified]
    candidates = rectified if len(rectified) >= LAYER_COUNT else maps
    spread = np.linspace(0, len(candidates) - 1, LAYER_COUNT).round().astype(int)
    weights = {candidates[i].path: 1.0 for i in np.unique(spread)} if candidates else {}
    if LOGITS in defaults and adapter.classes is not None:
        weights[LOGITS] = LOGITS_WEIGHT
    if not weights:
        raise ValueError(
            f"Model {adapter.name!r} has no layer with a feature map in which images "
            "could be compared. Give a convolutional network."
        )
    return weights


def select_discriminator_layers(
    adapter: Adapter, layers: Mapping[str, float], size: int
) -> list[str]:
    """Return the layers that discriminators look at: the earlier half of the maps.

    Late layers say which objects an image shows, and are compared image by image.
    Whether it is sharp and free of grids shows in the early ones.

    Args:
        adapter: The network.
        layers: The layers that are compared.
        size: The height and width, in pixels, of the images that the network sees.
    """
    by_path = {layer.path: layer for layer in adapter.layers((size, size))}
    maps = [
        path for path in layers if path in by_path and _has_positions(by_path[path])
    ]
    return maps[: -(-len(maps) // 2)]


def select_code_layers(
    adapter: Adapter, names: Sequence[str], defaults: Sequence[str], size: int
) -> tuple[str, ...]:
    """Return the layers that an inverter's code is computed from.

    Args:
        adapter: The network.
        names: The layers that the user asked for. `:logits`, or `logits` where no layer
            has that name, is the output before its softmax. If empty, `defaults` for a
            network that has them, otherwise the last map and the logits.
        defaults: The layers of the bundled network.
        size: The height and width, in pixels, of the images that the network sees.

    Raises:
        ValueError: If there is no such layer, or its output is neither a map nor a
            vector.
    """
    layers = {layer.path: layer for layer in adapter.layers((size, size))}
    if not names and layers.keys() >= set(defaults) - {LOGITS}:
        names = defaults
    elif not names:
        maps = [
            path
            for path, layer in layers.items()
            if _has_positions(layer) and len(layer.shape) == 4
        ]
        names = [*maps[-1:], *[LOGITS] * (adapter.classes is not None)]
    if not names:
        raise ValueError(
            f"Model {adapter.name!r} has neither a layer with a feature map nor a "
            "single output. Name the layers that the code is to be computed from."
        )
    selected = []
    for name in dict.fromkeys(names):
        if name == LOGITS or (name == LOGITS[1:] and name not in layers):
            selected.append(LOGITS)
            shape: Sequence[int | None] = adapter.output_shape((size, size))
        else:
            selected.append(name)
            shape = adapter.layer(name, (size, size)).shape
        if len(shape) not in (2, 4) or None in shape[1:]:
            lengths = "x".join("?" if n is None else str(n) for n in shape[1:])
            raise ValueError(
                f"Layer {name!r} gives {lengths or 'one number'} for an image. A code "
                "is computed from maps (height x width x channels) and vectors."
            )
    return tuple(selected)


def _has_positions(layer: Layer) -> bool:
    """Return whether a layer has channels at several positions, their number known."""
    positions = layer.shape[1:-1]
    if layer.kind in _PASSIVE_KINDS or not positions or None in layer.shape[1:]:
        return False
    return int(np.prod(np.array(positions, int))) > 1
