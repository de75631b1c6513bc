"""Select layers by paths and patterns."""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from tfviz.models.adapter import Adapter
from tfviz.models.introspection import LOGITS

WILDCARDS = "*?["

# Layers whose units are those of the layer before, seen through a function of each.
_POINTWISE = {
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Rescaling", "Normalization"),
    *("BatchNormalization", "LayerNormalization", "GroupNormalization"),
}
# Layers that only pass on what the units of the layer before respond.
_PASSING = {
    *("MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Cropping2D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling1D"),
    *("UpSampling2D", "Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Permute"),
}


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
                    f"No layer matches {text!r}. `tfviz layers` lists all layers. In "
                    "a shell, put patterns in quotes."
                )
            selected += matching
        else:
            adapter.layer(text)  # raises an error that names similar layers
    return list(dict.fromkeys(selected))


def distinct_layers(adapter: Adapter) -> list[str]:
    """Return the paths of the layers whose units differ from those of all others.

    Of a convolution, its normalization and its ReLU, only the last is among them, and
    of a concatenation and its parts only the whole. Layers that pass on what others
    respond, such as pools, that prepare the image, or that compute the classes are
    left out.

    >>> import tfviz
    >>> adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> distinct_layers(adapter)[:4]
    ['conv1', 'fire2_squeeze1x1', 'fire2', 'fire3_squeeze1x1']
    """
    connections = adapter.connections()
    users = Counter(path for sources in connections.values() for path in sources)
    layers = [x for x in adapter.layers() if x.units and None not in x.shape[1:]]
    while layers and layers[-1].units == adapter.classes:
        layers.pop()
    distinct: list[str] = []
    prepared: set[str] = set()  # the image itself, before the first layer with units
    for layer in layers:
        sources = connections.get(layer.path, ())
        is_pointwise = layer.kind in _POINTWISE
        if (is_pointwise or layer.kind in _PASSING) and prepared.issuperset(sources):
            prepared.add(layer.path)
            continue
        if layer.kind in _PASSING:
            continue
        if is_pointwise or layer.kind == "Concatenate":
            replaced = {path for path in sources if users[path] == 1}
            distinct = [path for path in distinct if path not in replaced]
        distinct.append(layer.path)
    return distinct


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
