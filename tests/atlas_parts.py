"""The parts of an atlas that other commands make: pictures, examples and facts."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from tfviz import images
from tfviz.site.facts import LayerFacts, NetworkFacts, Readout

FINGERPRINT = "0123456789abcdef"
# The names of layers that must do no harm, and their numbers of units.
SCRIPT, OUTSIDE = "<script>alert(1)</script>", "../../x"
LAYERS = {"conv1": 6, SCRIPT: 5, OUTSIDE: 70, "Conv1": 4}
CLASSES = ("ant", "<b>bee", "cat & dog")


@dataclass(frozen=True)
class ExampleImage:
    path: str
    height: int
    width: int
    digest: str


@dataclass(frozen=True)
class Examples:
    images: np.ndarray
    values: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class LayerExamples:
    top: Examples
    bottom: Examples
    spread: Examples
    spread_quantiles: np.ndarray
    histogram: np.ndarray
    histogram_low: np.ndarray
    histogram_width: np.ndarray
    fires: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    highest: np.ndarray
    map_shape: tuple
    rows: np.ndarray
    columns: np.ndarray
    neighbours: np.ndarray
    correlations: np.ndarray
    agreement: np.ndarray


@dataclass(frozen=True)
class DatasetExamples:
    images: tuple
    layers: dict
    folder: str
    size: tuple
    by: str = "peak"
    k: int = 3
    channels: int = 3
    unreadable: tuple = ()
    fingerprint: str = FINGERPRINT
    preprocess: str = "0,255"
    model: str = "toy"

    @property
    def count(self):
        return len(self.images)

    def picture(self, index, folder=None):
        path = Path(folder or self.folder) / self.images[index].path
        if not path.is_file():
            raise FileNotFoundError(f"There is no image {str(path)!r}.")
        return images.read(path)


def description(unit, **changed):
    """The description that tfviz saves with a picture of a unit."""
    return {
        "tfviz": "0.1.0",
        "model": {"name": "toy", "source": "toy.keras", "hash": FINGERPRINT},
        "unit": unit,
        "name": unit,
        "repeat": 0,
        "slot": 0,
        "batch_size": 8,
        "score": 2.5,
        "unit_score": 2.5,
        "stuck": False,
        "steps": 256,
        "steps_taken": 256,
        "learning_rate": 0.05,
        "seed": 0,
        "optimizer": {"name": "adam"},
        "param": {"name": "fourier", "height": 32, "width": 32},
        "transforms": [{"name": "pad", "pixels": 8}, {"name": "jitter", "pixels": 8}],
        "penalties": {},
        "diversity": None,
        "start": None,
        "candidates": 1,
        "restarts": 1,
        "gradient_blur": 0.0,
    } | changed


PRIOR = {"name": "prior", "source": "models/inverter"}


def write_picture(
    folder, unit, colour=(200, 60, 30), size=(32, 32), image=None, **changed
):
    """Write a picture, as `tfviz render` does, and return its file.

    It is of one colour, or the `image`, an array `(height, width, 3)` of bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = description(unit, **changed)
    digest = hashlib.blake2b(repr(sorted(spec.items())).encode()).hexdigest()[:16]
    file = folder / f"{digest}.png"
    shown = Image.new("RGB", size, colour) if image is None else Image.fromarray(image)
    images.save(shown, file, spec)
    return file


def colour_of(place):
    """A colour for each place, no two of which are near."""
    return (place * 61 + 30) % 256, (place * 97 + 80) % 256, (place * 151 + 10) % 256


def write_pictures(folder, layers=None, **changed):
    """Write a picture of each unit of some layers."""
    for path, units in (layers or LAYERS).items():
        for unit in range(units):
            write_picture(folder, f"{path}:{unit}", colour_of(unit), **changed)


def layer_examples(rng, units, count, k=3):
    """Examples of a layer with a map of 2x3 positions, in images of 24x36 pixels."""

    def ranking(k):
        chosen = np.stack([rng.permutation(count)[:k] for _ in range(units)])
        values = -np.sort(-rng.normal(1, 1, (units, k)))
        positions = rng.integers(0, 6, (units, k))
        return Examples(
            *(chosen.astype(np.int32), values.astype(np.float32)),
            positions.astype(np.int32),
        )

    mean, highest = rng.random(units), 2 + rng.random(units)
    mean[0] = highest[0] = 0  # the first unit is dead
    others = np.array([[v for v in range(units) if v != u][:8] for u in range(units)])
    return LayerExamples(
        top=ranking(k),
        bottom=ranking(k),
        spread=ranking(4),
        spread_quantiles=np.linspace(0.1, 0.9, 4, dtype=np.float32),
        histogram=rng.integers(0, 50, (units, 16)).astype(np.int32),
        histogram_low=np.full(units, -0.5, np.float32),
        histogram_width=np.full(units, 0.25, np.float32),
        fires=np.linspace(0, 1, units, dtype=np.float32),
        mean=mean.astype(np.float32),
        deviation=rng.random(units).astype(np.float32),
        highest=highest.astype(np.float32),
        map_shape=(2, 3),
        rows=np.array([[0, 16], [8, 24]], np.int32),
        columns=np.array([[0, 14], [11, 25], [22, 36]], np.int32),
        neighbours=others.astype(np.int32),
        correlations=-np.sort(-rng.random(others.shape)).astype(np.float32),
        agreement=rng.permutation(np.linspace(-0.2, 0.9, units)).astype(np.float32),
    )


def dataset_examples(folder, rng, layers=None, count=12):
    """Examples whose images are in a folder, each of one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for place in range(count):
        name = f"photo {place}.png"
        Image.new("RGB", (36, 24), colour_of(place)).save(folder / name)
        shown.append(ExampleImage(name, 24, 36, f"{place:016x}"))
    return DatasetExamples(
        images=tuple(shown),
        layers={
            path: layer_examples(rng, units, count)
            for path, units in (layers or LAYERS).items()
        },
        folder=str(folder),
        size=(24, 36),
    )


def network_facts(layers=None, classes=CLASSES):
    """Facts about a network whose last layer reads the first of some layers."""
    layers = layers or LAYERS
    rows, before = [], ()
    for path, units in layers.items():
        near = tuple(((u + 1) % units, 0.5) for u in range(units))
        rows.append(
            LayerFacts(
                path, "Conv2D", units, (4, 4, units), before, tuple((n,) for n in near)
            )
        )
        before = (path,)
    first, units = next(iter(layers.items()))
    rows.append(LayerFacts("pool", "GlobalAveragePooling2D", units, (units,), (first,)))
    readout = Readout(
        layer=first,
        speak_for=tuple(((c % units, 1.5), (0, 0.5)) for c in range(len(classes))),
        speak_against=tuple(((1, -2.0),) for _ in classes),
        classes=tuple(((u % len(classes), 0.25),) for u in range(units)),
    )
    return NetworkFacts("toy", "toy.keras", FINGERPRINT, tuple(rows), classes, readout)


def without(examples, path):
    """Examples without a layer."""
    return replace(
        examples, layers={p: v for p, v in examples.layers.items() if p != path}
    )
