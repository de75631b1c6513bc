"""Which layers of a network a prior is trained with."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfviz.models.adapter import Adapter
from tfviz.models.introspection import LOGITS, Layer

# Layers of an unknown network that are compared, and how much its logits count.
HANDFUL, LOGITS_WEIGHT = 5, 2.0
# What only hands images on shows nothing that pixels do not.
_IDLE = ("InputLayer", "Rescaling", "Normalization", "ZeroPadding2D", "Dropout")


def compared(
    adapter: Adapter, usual: Mapping[str, float], size: int
) -> dict[str, float]:
    """Return the layers that are compared, and what each counts.

    Args:
        adapter: Of the network.
        usual: For the bundled network: taken if the network has them all. If the
            logits are among them, they are also among those of another network.
        size: Of the images that the network sees, in pixels.

    Raises:
        ValueError: If the network has no layer to compare, or takes no such images.
    """
    layers = adapter.layers((size, size))
    if {layer.path for layer in layers} >= set(usual) - {LOGITS}:
        return dict(usual)
    maps = [layer for layer in layers if _has_places(layer)]
    # What is before a ReLU says twice what is after it.
    rectified = [layer for layer in maps if layer.rectified]
    choice = rectified if len(rectified) >= HANDFUL else maps
    places = np.unique(np.linspace(0, len(choice) - 1, HANDFUL).round().astype(int))
    found = {choice[place].path: 1.0 for place in places} if choice else {}
    if LOGITS in usual and adapter.classes is not None:
        found[LOGITS] = LOGITS_WEIGHT
    if not found:
        raise ValueError(
            f"Model {adapter.name!r} has no layer with a map in which images could be "
            "compared."
        )
    return found


def judged(adapter: Adapter, layers: Mapping[str, float], size: int) -> list[str]:
    """Return the layers in which photos are told from made images: the earlier half.

    What late layers see is compared one by one; that images are sharp, and without a
    grid, is for the early ones to tell.

    Args:
        adapter: Of the network.
        layers: Those that are compared.
        size: Of the images that the network sees, in pixels.
    """
    known = {layer.path: layer for layer in adapter.layers((size, size))}
    maps = [path for path in layers if path in known and _has_places(known[path])]
    return maps[: -(-len(maps) // 2)]


def chosen(
    adapter: Adapter, names: Sequence[str], usual: Sequence[str], size: int
) -> tuple[str, ...]:
    """Return the layers that a code is made of.

    Args:
        adapter: Of the network.
        names: What was asked for; `:logits`, or `logits` where no layer is called so,
            is the output before its softmax. If empty, `usual` for a network that
            has them, else the last map and the logits.
        usual: For the bundled network.
        size: Of the images that the network sees, in pixels.

    Raises:
        ValueError: If there is no such layer, or it has neither a map nor a vector.
    """
    layers = {layer.path: layer for layer in adapter.layers((size, size))}
    if not names and layers.keys() >= set(usual) - {LOGITS}:
        names = usual
    elif not names:
        maps = [path for path, layer in layers.items() if _has_places(layer)]
        flat = [path for path in maps if len(layers[path].shape) == 4]
        names = [*flat[-1:], *[LOGITS] * (adapter.classes is not None)]
    if not names:
        raise ValueError(
            f"Model {adapter.name!r} has no layer with a map and no single output. "
            "Name the layers that the code is made of."
        )
    found = []
    for name in dict.fromkeys(names):
        if name == LOGITS or (name == LOGITS[1:] and name not in layers):
            found.append(LOGITS)
            shape: Sequence[int | None] = adapter.output_shape((size, size))
        else:
            found.append(name)
            shape = adapter.layer(name, (size, size)).shape
        if len(shape) not in (2, 4) or None in shape[1:]:
            told = "x".join("?" if n is None else str(n) for n in shape[1:])
            raise ValueError(
                f"Layer {name!r} gives {told or 'one number'} for an image. A code is "
                "made of maps (height x width x channels) and of vectors."
            )
    return tuple(found)


def _has_places(layer: Layer) -> bool:
    """Tell whether a layer has channels at several places, all known."""
    places = layer.shape[1:-1]
    if layer.kind in _IDLE or not places or None in layer.shape[1:]:
        return False
    return int(np.prod(np.array(places, int))) > 1
