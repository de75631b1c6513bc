"""A training from beginning to end: for anyone's photos, and any network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfviz._adapter import Adapter
from tfviz._claim import check, claim
from tfviz._origin import origin

from . import _prepared as prepared
from . import _train_autoencoder, _train_inverter
from ._checkpoint import SETTINGS
from ._export import SETTLED, export
from ._layers import chosen, compared
from ._photos import LIST, batches, find_photos, squares
from ._prepared import ENLARGED
from ._train import train

_MAKE: Mapping[str, Callable[..., Any]] = {
    "inverter": prepared.inverter,
    "autoencoder": prepared.autoencoder,
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
