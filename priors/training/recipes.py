"""A training from beginning to end: for anyone's photos, and any network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfviz._files import check, claim
from tfviz.models.adapter import Adapter, origin
from tfviz.priors._codes import COLOURS, GRID, Code
from tfviz.priors._trained import to_float16
from tfviz.priors.training import autoencoder as _train_autoencoder
from tfviz.priors.training import checkpoint
from tfviz.priors.training import inverter as _train_inverter
from tfviz.priors.training.checkpoint import SETTINGS, SETTLED, export
from tfviz.priors.training.layers import chosen, compared
from tfviz.priors.training.loop import train
from tfviz.priors.training.losses import variances
from tfviz.priors.training.photos import LIST, Photos, batches, find_photos, squares

PREPARED = "prepared.npz"
# Photos of 64 pixels on which codes are measured, and variances; of larger ones fewer,
# which fill the same memory.
FOR_CODE, FOR_VARIANCES = 16_000, 1000
# What the network sees of an inverter's images is this many times as large as they are,
# so that its last layers have a map. An autoencoder's it sees as they are: details are
# what counts there, and in the same time it learns from many more of them.
ENLARGED = 2


def inverter_recipe(
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
        to_float16(arrays)  # refuses what the prior's file could not hold
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


def autoencoder_recipe(
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


_MAKE: Mapping[str, Callable[..., Any]] = {
    "inverter": inverter_recipe,
    "autoencoder": autoencoder_recipe,
}


def train_inverter(
    adapter: Adapter,
    folder: Path,
    output: Path,
    *,
    layers: Sequence[str] = (),
    code: int = 320,
    size: int = 64,
    steps: int = 16_000,
    batch: int = 32,
    learning_rate: float = 6e-4,
    held_out: int = 200,
    seed: int = 0,
    bfloat16: bool = False,
    **running: Any,
) -> dict[str, Any] | None:
    """Train a generator that makes images from what a network sees in photos.

    The same call goes on with a training that was interrupted.

    Args:
        adapter: Of the network.
        folder: Of the photos.
        output: A folder that can be written to.
        layers: What the code is made of, as in `_layers.chosen`.
        code: How many numbers a code has.
        size: Of the images, 16 pixels or twice that, four times ...
        steps: In all.
        batch: Photos in a step.
        learning_rate: At the start.
        held_out: Photos that are not learned from.
        seed: Of everything that is left to chance.
        bfloat16: Whether convolutions multiply numbers of 16 bits. On processors with
            instructions for it a step takes about half of the time.
        **running: `tell`, `seconds` and `stop`, as for `train`.

    Returns:
        The settings of the file that was written, or None if steps are left.

    Raises:
        ValueError: If a layer, the photos or the folder will not do.
        CollapsedError: If the training has failed.
    """
    _train_inverter.widths_for(size)  # which refuses other sizes
    _check_colours(adapter)
    seen = ENLARGED * size
    settings = {
        "kind": "inverter",
        "code_layers": chosen(adapter, layers, _train_inverter.DEFAULT_CODE, seen),
        "code": code,
        "layers": compared(adapter, _train_inverter.DEFAULT_LAYERS, seen),
        "size": size,
        "batch": batch,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "steps": steps,
        "seed": seed,
        "bfloat16": bfloat16,
    }
    return _trained(adapter, folder, output, settings, **running)


def train_autoencoder(
    adapter: Adapter,
    folder: Path,
    output: Path,
    *,
    channels: int = 8,
    size: int = 64,
    steps: int = 16_000,
    batch: int = 16,
    learning_rate: float = 5e-4,
    held_out: int = 200,
    seed: int = 0,
    bfloat16: bool = False,
    **running: Any,
) -> dict[str, Any] | None:
    """Train an encoder of images to a small map, and a decoder of it.

    Args:
        adapter: Of the network in which images are compared.
        folder: Of the photos.
        output: A folder that can be written to.
        channels: Of the map.
        size: Of the photos' cuts, in pixels: a multiple of 8, from 32.
        steps: In all.
        batch: Photos in a step.
        learning_rate: At the start.
        held_out: Photos that are not learned from.
        seed: Of everything that is left to chance.
        bfloat16: As for an inverter.
        **running: `tell`, `seconds` and `stop`, as for `train`.

    Returns:
        As `train_inverter`.

    Raises:
        ValueError: If the network, the photos or the folder will not do.
        CollapsedError: If the training has failed.
    """
    if size < 32 or size % 8:
        raise ValueError(
            "An autoencoder's `size` is a multiple of 8 pixels, from 32. Received: "
            f"size={size}"
        )
    _check_colours(adapter)
    usual = _train_autoencoder.DEFAULT_LAYERS
    settings = {
        "kind": "autoencoder",
        "channels": channels,
        "layers": compared(adapter, usual, size),
        "size": size,
        "batch": batch,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "steps": steps,
        "seed": seed,
        "bfloat16": bfloat16,
    }
    return _trained(adapter, folder, output, settings, **running)


def _trained(
    adapter: Adapter,
    folder: Path,
    output: Path,
    settings: dict[str, Any],
    *,
    tell: Callable[[str], Any] = print,
    **running: Any,
) -> dict[str, Any] | None:
    known = origin(adapter)
    network = known.pop("model")
    for name in ("preprocess", "held", "image_input", "output"):
        network[name] = known[name]
    settings = settings | {"network": network}
    check(output / SETTINGS, settings, "training")
    tell(f"looking at the images in {folder}")
    photos = find_photos(
        folder,
        settings["held_out"],
        fewest=settings.get("code", 0),  # as many as a code has numbers
        known=output / LIST,
    )
    claim(output / SETTINGS, settings)
    size, steps, seed = (settings[name] for name in ("size", "steps", "seed"))
    tell(f"{len(photos.train)} to learn from, {len(photos.held_out)} held out")
    recipe = _MAKE[settings["kind"]](adapter, photos, output, settings)
    held_out = squares(photos.held_out, size)
    choices = {"steps": steps, "seed": seed, "held_out": held_out, "tell": tell}
    with _precision(settings["bfloat16"]):
        complete = train(recipe, photos, output, **choices, **running)
    if not complete:
        return None
    tell("measuring what was trained")
    some = batches(
        photos.train, size, recipe.batch, first=0, seed=seed, zoom=recipe.zoom
    )
    told = ("network", "layers", "steps", "seed", "bfloat16")
    facts = {name: settings[name] for name in told}
    facts |= {"photos": len(photos.train), "held_out": len(photos.held_out)}
    path = output / f"{settings['kind']}.npz"
    return export(recipe, some.take(SETTLED), held_out, path, facts)


@contextmanager
def _precision(bfloat16: bool) -> Iterator[None]:
    """Let TensorFlow choose 16 bits where they are enough, in what is compiled inside.

    Weights, sums and losses keep their 32 bits. Where oneDNN is off, nothing changes.
    """
    name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: bfloat16 or before})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})


def _check_colours(adapter: Adapter) -> None:
    if adapter.channels != 3:
        raise ValueError(
            f"Priors are trained on images of three colours; model {adapter.name!r} "
            f"takes {adapter.channels} channels."
        )
