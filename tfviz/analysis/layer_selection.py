"""Select layers by paths and patterns."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tfviz.models.adapter import LOGITS, Adapter

WILDCARDS = "*?["


def select_layers(adapter: Adapter, layers: str | Sequence[str]) -> list[str]:
    """Return the paths of the layers that paths and patterns stand for, each once.

    Args:
        adapter: An adapter of the model.
        layers: Paths, patterns such as `fire*`, or `logit` for the logits of the
            classes.

    Raises:
        ValueError: If there is no such layer, or it has no channels.
    """
    available = {layer.path: layer for layer in adapter.layers()}
    selected: list[str] = []
    for text in (layers,) if isinstance(layers, str) else layers:
        if text in available:
            if not available[text].units:
                raise ValueError(f"Layer {text!r} has no channels.")
            selected.append(text)
        elif text == "logit":
            adapter.require_logits()
            selected.append(LOGITS)
        elif any(sign in text for sign in WILDCARDS):
            matching = [
                path
                for path, layer in available.items()
                if fnmatchcase(path, text) and layer.units
            ]
            if not matching:
                raise ValueError(
                    f"No layer matches {text!r}. `tfviz layers` lists all layers; "
                    "quote patterns in the shell."
                )
            selected += matching
        else:
            adapter.layer(text)  # raises an error that names similar layers
    return list(dict.fromkeys(selected))


def last_features(adapter: Adapter) -> str | None:
    """Return the path of the last layer that has a map of features, not classes.

    If no layer has a map, it is the last layer of features; if there is none, None.
    """
    layers = adapter.layers()
    features = [x for x in layers if x.units and x.units != adapter.classes]
    maps = [x for x in features if any(length != 1 for length in x.shape[1:-1])]
    return next((layer.path for layer in reversed(maps or features)), None)


def unit_prefix(path: str) -> str:
    """Return what stands for a layer in the names of its units: `logit` for classes.

    >>> unit_prefix("fire8"), unit_prefix(LOGITS)
    ('fire8', 'logit')
    """
    return "logit" if path == LOGITS else path
