"""Bring together what is known of each layer's units: pictures, examples and facts."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfviz.site.examples import DatasetExamples
from tfviz.site.facts import LayerFacts, NetworkFacts
from tfviz.site.pictures import CLASSES, DIVERSE, NEGATIVE, POSITIVE, Picture

# The path of the logits among the layers of a network, for which examples may exist.
_LOGITS = ":logits"
# The most units in the strip of a layer on the first page.
_STRIP = 12
# The kinds of pictures in the order in which the page of a unit shows them.
_GROUPS = (POSITIVE, NEGATIVE, DIVERSE)


@dataclass(frozen=True)
class ShownLayer:
    """A layer with units to browse, or the classes.

    Attributes:
        path: The path of the layer, or `CLASSES`.
        units: The number of units.
        pictures: The pictures of each unit that has some, in the order to show.
        examples: The dataset examples of the units, or None.
        facts: The network's facts about the layer, or None.
    """

    path: str
    units: int
    pictures: Mapping[int, Sequence[Picture]]
    examples: Any = None
    facts: LayerFacts | None = None

    @property
    def is_classes(self) -> bool:
        """Whether the units are the classes, before or after the softmax."""
        return self.path == CLASSES and self.facts is None

    @cached_property
    def slug(self) -> str:
        """The name of the layer in names of files."""
        return slug(self.path)

    @cached_property
    def main(self) -> dict[int, Picture]:
        """The picture that stands for each unit in grids, in the order of the units."""
        chosen = {
            unit: _main_picture(pictures) for unit, pictures in self.pictures.items()
        }
        return {unit: picture for unit, picture in sorted(chosen.items()) if picture}

    @property
    def strip(self) -> list[int]:
        """Some units from the whole layer, which represent it on the first page."""
        lively = [unit for unit, picture in self.main.items() if not is_dead(picture)]
        step = max(1, len(lively) / _STRIP)
        return [lively[int(place * step)] for place in range(min(_STRIP, len(lively)))]


def slug(name: str) -> str:
    """Return a name that every file system and web server allows, with a hash.

    >>> slug("../../<script>"), slug("fire8"), slug("Fire8")
    ('script-48f596ca', 'fire8-af690564', 'Fire8-cfecea74')
    """
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[:40] or 'x'}-{digest}"


def is_dead(picture: Picture) -> bool:
    """Tell whether a unit never had a gradient, so that the picture means nothing."""
    return bool(picture.spec.get("stuck"))


def gather_layers(
    pictures: Iterable[Picture],
    network: NetworkFacts | None,
    examples: DatasetExamples | None,
) -> list[ShownLayer]:
    """Return the layers of which there are pictures or examples, in their order.

    The order is that of the network, or of the examples, or of the layers' names. The
    classes come last.

    Args:
        pictures: The pictures.
        network: The facts about the network, or None.
        examples: The dataset examples, or None.

    Raises:
        ValueError: If the pictures or the examples do not belong to the network.
    """
    if network and examples and network.fingerprint != examples.fingerprint:
        raise ValueError(
            f"The facts are of the network {network.name!r}, but the examples of "
            f"{examples.model!r}, or of other weights. Gather both from one model."
        )
    by_layer: dict[str, dict[int, list[Picture]]] = defaultdict(dict)
    for picture in pictures:
        _check_network(picture, network, examples)
        by_layer[picture.layer].setdefault(picture.index, []).append(picture)
    known = {layer.path: layer for layer in network.layers} if network else {}
    of_layers = dict(examples.layers) if examples else {}
    if CLASSES not in known:
        if _LOGITS in of_layers:
            of_layers[CLASSES] = of_layers.pop(_LOGITS)
        if network and network.classes:
            by_layer.setdefault(CLASSES, {})
    paths = list(dict.fromkeys([*of_layers, *sorted(by_layer, key=natural_key)]))
    if known:
        order = {path: place for place, path in enumerate(known)}
        paths.sort(key=lambda path: order.get(path, len(order)))
    elif CLASSES in paths:
        paths.append(paths.pop(paths.index(CLASSES)))
    return [
        _layer(path, by_layer.get(path, {}), of_layers.get(path), known, network)
        for path in paths
    ]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which fire8 comes before fire10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _layer(
    path: str,
    pictures: Mapping[int, Sequence[Picture]],
    examples: Any,
    known: Mapping[str, LayerFacts],
    network: NetworkFacts | None,
) -> ShownLayer:
    facts = known.get(path)
    counts = [max(pictures, default=-1) + 1]
    counts.append(len(examples.fires) if examples else 0)
    counts.append((facts.units or 0) if facts else 0)
    if path == CLASSES and facts is None and network:
        counts.append(len(network.classes))
    own = {unit: sorted(pictures[unit], key=_order) for unit in sorted(pictures)}
    return ShownLayer(path, max(counts), own, examples, facts)


def _order(picture: Picture) -> tuple[bool, int, int]:
    """Return a sort key of a unit's pictures: learned priors come last."""
    group = _GROUPS.index(picture.group)
    return picture.is_learned, group, picture.spec.get("repeat", 0)


def _main_picture(pictures: Sequence[Picture]) -> Picture | None:
    """Return the first picture that maximizes its unit."""
    return next((p for p in pictures if p.group != NEGATIVE), None)


def _check_network(
    picture: Picture, network: NetworkFacts | None, examples: DatasetExamples | None
) -> None:
    model = picture.spec["model"]
    for part, other in (("facts", network), ("examples", examples)):
        if other is not None and model["hash"] != other.fingerprint:
            raise ValueError(
                f"{str(picture.file)!r} was made with the network {model['name']!r}, "
                f"but the {part} are of a network with other weights. Gather the "
                f"{part} again, with the model of the pictures."
            )
