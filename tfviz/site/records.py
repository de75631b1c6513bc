"""The data of the pages: what each of them knows of layers, units and classes.

All values are JSON. A page loads only the data that it shows: every page the list of
layers, a layer's page the numbers of its units, and a unit's page the details of the
unit, which are in files of `CHUNK` units.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfviz.site import examples as of_examples
from tfviz.site.examples import DatasetExamples, Json, ShownImages, short
from tfviz.site.facts import NetworkFacts
from tfviz.site.layers import ShownLayer, is_dead
from tfviz.site.pictures import Picture
from tfviz.site.sprites import COLUMNS, PER_SHEET, output_size

# The number of units whose details are in one file.
CHUNK = 64
# The number of units that the page of classes shows for each class.
_SPEAKERS = 6
# The settings of a picture that the page of its unit lists, with their names there.
_SETTINGS = {
    "steps": "steps",
    "learning_rate": "learning rate",
    "momentum": "momentum",
    "seed": "seed",
    "candidates": "candidates",
    "restarts": "restarts",
    "penalties": "penalties",
    "gradient_blur": "gradient blur",
}


def site_record(
    title: str,
    model: str,
    layers: Sequence[ShownLayer],
    network: NetworkFacts | None,
    examples: DatasetExamples | None,
) -> Json:
    """Return what all pages know: the layers, and where their units' pictures are."""
    return {
        "title": title,
        "model": model,
        "source": network.source if network else None,
        "chunk": CHUNK,
        "perSheet": PER_SHEET,
        "columns": COLUMNS,
        "by": examples.by if examples else None,
        "images": examples.count if examples else 0,
        "imageSize": list(examples.size) if examples else None,
        "readout": network.readout.layer if network and network.readout else None,
        "layers": [
            {
                "path": layer.path,
                "slug": layer.slug,
                "units": layer.units,
                "kind": "classes" if layer.is_classes else _kind(layer),
                "classes": layer.is_classes,
                "pictured": ranges(list(layer.main)),
                "strip": layer.strip,
                "examples": layer.examples is not None,
            }
            for layer in layers
        ],
    }


def layer_record(
    layer: ShownLayer,
    methods: Sequence[Json],
    judged: Mapping[str, float],
) -> Json:
    """Return the numbers of all units of a layer, for sorting and filters.

    Args:
        layer: The layer.
        methods: How its pictures were made, as `methods_of` returns it.
        judged: The machine two-alternative values by units, such as `fire8:20`.
    """
    units = range(layer.units)
    own = layer.examples
    dead = {unit for unit, picture in layer.main.items() if is_dead(picture)}
    record: Json = {
        "activation": [
            short(layer.main[unit].activation) if unit in layer.main else None
            for unit in units
        ],
        "methods": list(methods),
    }
    values = [judged.get(f"{layer.path}:{unit}") for unit in units]
    if any(value is not None for value in values):
        record["judged"] = [None if v is None else short(v) for v in values]
    if own is not None:
        dead |= set(of_examples.dead_units(own))
        record |= of_examples.layer_columns(own)
        record["mixed"] = of_examples.mixed_units(own)
        record["ratio"] = [_ratio(layer, unit) for unit in units]
    record["dead"] = sorted(dead)
    return record


def unit_record(
    layer: ShownLayer,
    unit: int,
    methods: Sequence[Json],
    network: NetworkFacts | None,
    shown: ShownImages,
) -> Json:
    """Return the details of one unit."""
    pictures = list(layer.pictures.get(unit, ()))
    record: Json = {
        "pictures": [picture_record(layer, own, methods) for own in pictures],
        "main": pictures.index(layer.main[unit]) if unit in layer.main else None,
    }
    if layer.examples is not None and unit < len(layer.examples.fires):
        record |= of_examples.unit_examples(layer.examples, unit, shown)
    if layer.facts and unit < len(layer.facts.neighbours):
        record["similar"] = _ranked(layer.facts.neighbours[unit])
    readout = network.readout if network else None
    if readout and readout.layer == layer.path and unit < len(readout.classes):
        record["classes"] = _ranked(readout.classes[unit])
    if readout and layer.is_classes and unit < len(readout.speak_for):
        record["speakFor"] = _ranked(readout.speak_for[unit])
        record["speakAgainst"] = _ranked(readout.speak_against[unit])
    return record


def picture_record(
    layer: ShownLayer, picture: Picture, methods: Sequence[Json]
) -> Json:
    """Return what the page of a unit says about one of its pictures."""
    width, height = output_size(picture.size)
    record = {
        "file": picture_file(layer, picture),
        "width": width,
        "height": height,
        "group": picture.group,
        "method": methods.index(_method(picture)),
        "activation": short(picture.activation),
        "unit": picture.spec["name"],
    }
    return record | ({"dead": True} if is_dead(picture) else {})


def picture_file(layer: ShownLayer, picture: Picture) -> str:
    """Return the name of a picture's file on the site."""
    return f"pictures/{layer.slug}/{picture.index}-{picture.digest[:12]}.webp"


def classes_record(network: NetworkFacts | None, layer: ShownLayer | None) -> Json:
    """Return the names of the classes, and the units that speak most for each."""
    readout = network.readout if network else None
    return {
        "path": layer.path if layer else None,
        "names": list(network.classes) if network else [],
        "layer": readout.layer if readout else None,
        "speakFor": [_ranked(units[:_SPEAKERS]) for units in readout.speak_for]
        if readout
        else [],
    }


def methods_of(layer: ShownLayer) -> list[Json]:
    """Return the different methods and settings that made the pictures of a layer."""
    found: dict[str, Json] = {}
    for pictures in layer.pictures.values():
        for picture in pictures:
            method = _method(picture)
            found.setdefault(json.dumps(method, sort_keys=True), method)
    return list(found.values())


def ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Return ascending numbers as ranges.

    >>> ranges([0, 1, 2, 7])
    [[0, 2], [7, 7]]
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _method(picture: Picture) -> Json:
    """Return how a picture was made, as its page describes it."""
    spec = picture.spec
    width, height = picture.size
    settings = {"size": f"{height}\N{MULTIPLICATION SIGN}{width}"}
    for key, label in _SETTINGS.items():
        value = spec.get(key)
        if value not in (None, {}, 0.0) or key == "seed":
            settings[label] = _text(value)
    settings["optimizer"] = str(spec["optimizer"].get("name") or "Keras")
    names = [str(entry.get("name")) for entry in spec.get("transforms") or ()]
    settings["transforms"] = ", ".join(names) or "none"
    if spec.get("diversity"):
        settings["diversity"] = _text(spec["diversity"].get("weight"))
    return {
        "name": picture.method,
        "learned": picture.is_learned,
        "settings": settings,
        # Neither a start image nor a param from Python is in a picture's file.
        "again": spec.get("start") is None and bool(spec.get("param")),
        "source": spec["model"].get("source"),
    }


def _text(value: Any) -> str:
    """Return a setting as text: numbers short, and pairs as `name value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(number)}" for name, number in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(layer: ShownLayer) -> str:
    return layer.facts.kind if layer.facts else ""


def _ranked(pairs: Sequence[tuple[int, float]]) -> list[list[Any]]:
    return [[index, short(value)] for index, value in pairs]


def _ratio(layer: ShownLayer, unit: int) -> float | None:
    """Return a unit's response to its picture, relative to the best real image.

    Both are means over positions, so they can be compared.
    """
    if unit not in layer.main or unit >= len(layer.examples.highest):
        return None
    best = float(layer.examples.highest[unit])
    return short(layer.main[unit].activation / best) if best > 0 else None
