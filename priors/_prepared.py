"""What is measured on photos before a training; kept in its folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._adapter import Adapter

from . import _checkpoint as checkpoint
from . import _store, _train_autoencoder, _train_inverter
from ._code import COLOURS, GRID, Code
from ._perceptual import variances
from ._photos import Photos, squares

PREPARED = "prepared.npz"
# Photos of 64 pixels on which codes are measured, and variances; of larger ones fewer,
# which fill the same memory.
FOR_CODE, FOR_VARIANCES = 16_000, 1000
# What the network sees of an inverter's images is this many times as large as they are,
# so that its last layers have a map. An autoencoder's it sees as they are: details are
# what counts there, and in the same time it learns from many more of them.
ENLARGED = 2


def inverter(
    adapter: Adapter, photos: Photos, output: Path, settings: Mapping[str, Any]
) -> _train_inverter.Inverter:
    """Return the recipe of an inverter.

    Args:
        adapter: Of the network.
        photos: To measure on.
        output: The folder where what is measured is kept.
        settings: As `train_inverter` gives them.
    """
    size, layers = settings["size"], tuple(settings["code_layers"])
    seen = ENLARGED * size

    def measured() -> dict[str, NDArray]:
        code, found = _train_inverter.prepared(
            adapter,
            layers,
            settings["layers"],
            _some(photos, FOR_CODE, size, settings),
            settings["code"],
            size=seen,
        )
        arrays = {"code/mean": code.mean, "code/basis": code.basis}
        _store.halved(arrays)  # refuses what the prior's file could not hold
        return arrays | _named(found)

    arrays = _kept(output, settings, measured)
    mean, basis = arrays["code/mean"], arrays["code/basis"]
    weights, found = _alive(adapter, settings["layers"], arrays)
    return _train_inverter.Inverter(
        adapter,
        weights,
        Code(layers, seen, GRID, COLOURS, mean, basis),
        found,
        widths=_train_inverter.widths_for(size),
        batch=settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )


def autoencoder(
    adapter: Adapter, photos: Photos, output: Path, settings: Mapping[str, Any]
) -> _train_autoencoder.Autoencoder:
    """Return the recipe of an autoencoder.

    Args:
        adapter: Of the network in which images are compared.
        photos: To measure on.
        output: The folder where what is measured is kept.
        settings: As `train_autoencoder` gives them.
    """
    size = settings["size"]

    def measured() -> dict[str, NDArray]:
        images = _some(photos, FOR_VARIANCES, size, settings)
        return _named(variances(adapter, tuple(settings["layers"]), images))

    arrays = _kept(output, settings, measured)
    weights, found = _alive(adapter, settings["layers"], arrays)
    return _train_autoencoder.Autoencoder(
        adapter,
        weights,
        found,
        channels=settings["channels"],
        size=size,
        batch=settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )


def _kept(
    output: Path,
    settings: Mapping[str, Any],
    measured: Callable[[], dict[str, NDArray]],
) -> dict[str, NDArray]:
    """Return what was measured for a training, now or when it began."""
    arrays = checkpoint.load_arrays(output / PREPARED, settings)
    if not arrays:
        arrays = measured()
        checkpoint.save_arrays(output / PREPARED, settings, arrays)
    return arrays


def _some(
    photos: Photos, most: int, size: int, settings: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return the middles of some photos to learn from."""
    count = min(most, round(most * (64 / size) ** 2), len(photos.train))
    random = np.random.default_rng(settings["seed"])
    picked = random.choice(len(photos.train), count, replace=False)
    return squares([photos.train[place] for place in picked], size)


def _named(found: Mapping[str, NDArray]) -> dict[str, NDArray]:
    return {f"variance/{path}": values for path, values in found.items()}


def _alive(
    adapter: Adapter, layers: Mapping[str, float], arrays: Mapping[str, NDArray]
) -> tuple[dict[str, float], dict[str, NDArray]]:
    """Return the layers that show anything of photos, with their variances."""
    found = {path: arrays[f"variance/{path}"] for path in layers}
    if not all(np.isfinite(values).all() for values in found.values()):
        raise ValueError(
            f"Model {adapter.name!r} gives numbers that are not finite for these "
            "images. Does it get the range that it was trained on (`preprocess`)?"
        )
    weights = {path: layers[path] for path in found if found[path].mean() > 0}
    if not weights:
        raise ValueError(
            f"Model {adapter.name!r} shows the same of all these images in "
            f"{', '.join(layers)}, so they cannot be compared."
        )
    return weights, {path: found[path] for path in weights}
