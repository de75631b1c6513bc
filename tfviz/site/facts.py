"""What the site of an atlas says about the network itself, as a file.

`tfviz.analysis.network` gathers these facts from a model. They are saved beside the
pictures, so that a site can be built again without the model.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfviz._files import write_safely

# The usual name of the file.
FILE = "network.json"

# Pairs of an index and a number, the most important first: units and their weights,
# or units and their similarities.
Ranked = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class LayerFacts:
    """A layer of a network.

    Attributes:
        path: The path of the layer, as `tfviz layers` prints it.
        kind: The name of the layer's class.
        units: The number of channels, or None if the output has no channel axis.
        shape: The shape of the output without the axis of the images; None where a
            length is not fixed.
        inputs: The paths of the layers whose outputs it takes.
        neighbours: For each unit, the other units of the layer with the most similar
            weights, and the cosine similarities, which are above 0. Empty for layers
            without weights.
    """

    path: str
    kind: str
    units: int | None
    shape: tuple[int | None, ...]
    inputs: tuple[str, ...] = ()
    neighbours: tuple[Ranked, ...] = ()


@dataclass(frozen=True)
class Readout:
    """The last layer's weights, which lead from units to classes.

    Attributes:
        layer: The path of the layer whose units the weights read.
        speak_for: For each class, the units with the largest weights above 0, which
            raise its logit.
        speak_against: For each class, the units with the lowest weights below 0.
        classes: For each unit of the layer, the classes with the largest weights above
            0.
    """

    layer: str
    speak_for: tuple[Ranked, ...]
    speak_against: tuple[Ranked, ...]
    classes: tuple[Ranked, ...]


@dataclass(frozen=True)
class NetworkFacts:
    """A network: its layers in order, its classes, and how units speak for classes.

    Attributes:
        name: The name of the network.
        source: What `tfviz.load_model` takes to load it, or None.
        fingerprint: The hash of its weights, as in the descriptions of pictures.
        layers: The layers in the order in which they are called.
        classes: The names of the classes; empty if they have none.
        readout: The weights of the last layer, or None if the network has none that
            read the units of a single layer.
    """

    name: str
    source: str | None
    fingerprint: str
    layers: tuple[LayerFacts, ...]
    classes: tuple[str, ...] = ()
    readout: Readout | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the facts to a JSON file, which is complete or not written."""
        text = json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)
        write_safely(Path(path), lambda file: file.write(text.encode()))


def load(path: str | os.PathLike[str]) -> NetworkFacts:
    """Read the facts that `NetworkFacts.save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds something else.

    >>> load("no/network.json")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'no/network.json'. ...
    """
    path = Path(path)
    try:
        data = json.loads(path.read_bytes())
        readout = data["readout"]
        return NetworkFacts(
            name=str(data["name"]),
            source=data["source"],
            fingerprint=str(data["fingerprint"]),
            layers=tuple(_layer(entry) for entry in data["layers"]),
            classes=tuple(map(str, data["classes"])),
            readout=None if readout is None else _readout(readout),
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file {str(path)!r}. Write it with `tfviz atlas -m MODEL`, or "
            "with tfviz.analysis.network.network_facts(model).save(...)."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} is cut off, or does not describe a network ({error!r}). "
            "Write it again with `tfviz atlas -m MODEL`."
        ) from error


def _layer(entry: Mapping[str, Any]) -> LayerFacts:
    return LayerFacts(
        path=str(entry["path"]),
        kind=str(entry["kind"]),
        units=entry["units"],
        shape=tuple(entry["shape"]),
        inputs=tuple(map(str, entry["inputs"])),
        neighbours=tuple(map(_ranked, entry["neighbours"])),
    )


def _readout(entry: Mapping[str, Any]) -> Readout:
    return Readout(
        layer=str(entry["layer"]),
        speak_for=tuple(map(_ranked, entry["speak_for"])),
        speak_against=tuple(map(_ranked, entry["speak_against"])),
        classes=tuple(map(_ranked, entry["classes"])),
    )


def _ranked(pairs: Any) -> Ranked:
    return tuple((int(index), float(value)) for index, value in pairs)
