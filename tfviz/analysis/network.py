"""Gather the facts about a network that the site of an atlas shows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz.models.adapter import Adapter, adapt
from tfviz.site.facts import LayerFacts, NetworkFacts, Ranked, Readout

# The number of neighbours of a unit, of classes of a unit, and of units of a class.
_MOST = 8
# Layers between the units that the last layer reads and the last layer. None of them
# mixes the units or makes their order another.
_PASSING = {
    *("Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Permute"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling1D"),
}


def network_facts(model: Any) -> NetworkFacts:
    """Gather what the site of an atlas says about a network.

    Args:
        model: A Keras model, or an adapter made by `tfviz.adapt`.

    Returns:
        The layers with their connections; for layers with weights of their own, the
        units with similar weights, by the cosine similarity over all weights that lead
        to them; the classes; and which units the last layer's weights join to which
        classes.

    >>> import tfviz
    >>> facts = network_facts(tfviz.load_model("squeezenet"))
    >>> facts.readout.layer, facts.classes[1], len(facts.readout.speak_for[1])
    ('fire9', 'goldfish', 8)
    """
    adapter = adapt(model)
    connections = adapter.connections()
    layers = []
    for layer in adapter.layers():
        kernel = _kernel(adapter, layer.path)
        fits = kernel is not None and kernel.shape[-1] == layer.units
        layers.append(
            LayerFacts(
                path=layer.path,
                kind=layer.kind,
                units=layer.units,
                shape=tuple(layer.shape[1:]),
                inputs=connections.get(layer.path, ()),
                neighbours=similar_units(kernel) if fits else (),  # type: ignore[arg-type]
            )
        )
    return NetworkFacts(
        name=adapter.name,
        source=getattr(adapter.model, "tfviz_source", None),
        fingerprint=adapter.fingerprint(),
        layers=tuple(layers),
        classes=_class_names(adapter),
        readout=_find_readout(adapter, layers, connections),
    )


def similar_units(kernel: NDArray[np.float32]) -> tuple[Ranked, ...]:
    """Return for each unit the others with the most similar weights.

    Args:
        kernel: The weights, `(..., units)`.

    Returns:
        Up to eight units and the cosine similarities of their weights, the most
        similar first. Units whose similarity is not above 0 are left out.

    >>> similar_units(np.array([[1.0, 2.0, -1.0], [0.0, 0.0, 1.0]]))[0]
    ((1, 1.0),)
    """
    vectors = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=0)
    unit_vectors = vectors / np.where(lengths > 0, lengths, 1)
    similarity = unit_vectors.T @ unit_vectors
    np.fill_diagonal(similarity, -np.inf)
    return tuple(_largest(row) for row in similarity)


def _kernel(adapter: Adapter, path: str) -> NDArray[np.float32] | None:
    """Return the weights of a layer, or None if it has no kernel."""
    kernel = getattr(adapter.operation(path), "kernel", None)
    if kernel is None or len(kernel.shape) < 2:
        return None
    return tf.convert_to_tensor(kernel).numpy()


def _class_names(adapter: Adapter) -> tuple[str, ...]:
    """Return the names of the classes, or their indices if they have none."""
    if adapter.labels:
        return adapter.labels.names
    return tuple(map(str, range(adapter.classes or 0)))


def _find_readout(
    adapter: Adapter,
    layers: list[LayerFacts],
    connections: Mapping[str, tuple[str, ...]],
) -> Readout | None:
    """Return the weights from units to classes, if the last weights are such."""
    facts = {layer.path: layer for layer in layers}
    for path in reversed(facts):
        kernel = _kernel(adapter, path)
        if kernel is None:
            continue
        matrix = kernel.reshape(-1, kernel.shape[-1])
        if matrix.shape != (kernel.shape[-2], adapter.classes):
            return None  # the last weights cover several positions, or other outputs
        source = _units_before(path, facts, connections)
        if source is None or facts[source].units != len(matrix):
            return None
        return Readout(
            layer=source,
            speak_for=tuple(_largest(column) for column in matrix.T),
            speak_against=tuple(
                tuple((unit, -value) for unit, value in _largest(-column))
                for column in matrix.T
            ),
            classes=tuple(_largest(row) for row in matrix),
        )
    return None


def _units_before(
    path: str,
    facts: Mapping[str, LayerFacts],
    connections: Mapping[str, tuple[str, ...]],
) -> str | None:
    """Return the layer whose units a layer reads, before pooling and dropout."""
    while True:
        sources = connections.get(path, ())
        if len(sources) != 1 or sources[0] not in facts:
            return None
        (path,) = sources
        if facts[path].kind not in _PASSING:
            return path


def _largest(values: NDArray[Any]) -> Ranked:
    """Return the largest values above 0 with their indices, with four digits each."""
    order = np.argsort(-values, kind="stable")[:_MOST]
    return tuple((int(i), float(f"{values[i]:.4g}")) for i in order if values[i] > 0)
