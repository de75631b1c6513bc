"""Train a prior from beginning to end: check, measure, train, and write its file."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._errors import argument
from tfviz._files import check_settings, write_settings
from tfviz.comparison.kinship import dataset_of
from tfviz.models.adapter import Adapter, provenance
from tfviz.priors._codes import COLOURS, GRID, Code
from tfviz.priors._trained import to_float16
from tfviz.priors.training import autoencoder, checkpoint, inverter
from tfviz.priors.training.checkpoint import FINAL_BATCHES, SETTINGS, export
from tfviz.priors.training.device_photos import crops, load_photos
from tfviz.priors.training.layers import select_code_layers, select_compared_layers
from tfviz.priors.training.loop import TrainingProgress, train
from tfviz.priors.training.losses import channel_variances
from tfviz.priors.training.photos import (
    PHOTO_LIST,
    Images,
    Photos,
    centre_squares,
    find_photos,
    unpacked,
)
from tfviz.priors.training.precision import half_precision, select_bfloat16

# The file of measurements on photos, which a resumed training reads.
MEASUREMENTS = "prepared.npz"
# The numbers of photos of 64 pixels on which codes and variances are measured. Of
# larger photos there are fewer, which take the same memory.
CODE_PHOTOS, VARIANCE_PHOTOS = 16_000, 1000
# The network sees an inverter's images enlarged by this factor, so that its last layers
# still have a map. It sees an autoencoder's images as they are: details matter there,
# and the same time allows for many more images.
ENLARGEMENT = 2


def train_inverter(
    adapter: Adapter,
    images: Images,
    output: str | os.PathLike[str],
    *,
    without: Collection[str] = (),
    layers: Sequence[str] = (),
    code: int = 320,
    size: int = 64,
    steps: int = 16_000,
    batch: int = 32,
    learning_rate: float = 6e-4,
    held_out: int = 200,
    seed: int = 0,
    bfloat16: bool | None = None,
    xla: bool | None = None,
    tell: Callable[[str], Any] = print,
    callbacks: Sequence[Callable[[TrainingProgress], Any]] = (),
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train a generator that reconstructs photos from what a network sees in them.

    The prior is written to `inverter.npz` in `output`. The same call resumes a training
    that was interrupted.

    Args:
        adapter: The network, from `tfviz.adapt`.
        images: A folder of photos, whose subfolders count as well, a zip file of
            photos, or several of these.
        output: The folder for the prior, the checkpoint, the log and the samples. It is
            created if it does not exist.
        without: The names of photos that are neither learned from nor held out, as they
            are in the folder or zip file, such as `dogs/1.jpg`: those on which the
            prior will be evaluated.
        layers: The layers that the code is computed from; `:logits` is the output
            before its softmax. By default the last layer with a map, and the logits.
        code: The number of components of a code.
        size: The height and width of images in pixels: 16, 32, 64 or 128.
        steps: The number of training steps in all.
        batch: The number of photos in a step.
        learning_rate: The learning rate at the start.
        held_out: The number of photos that are not learned from, but used to measure
            and draw reconstructions.
        seed: Random seed; another seed gives another prior.
        bfloat16: Whether convolutions multiply numbers of 16 bits. A step takes about
            half as long on processors with instructions for it. By default they do on
            graphics cards that have such numbers.
        xla: Whether the steps are compiled by XLA. This takes a minute or more, and
            then is faster on graphics cards. By default a trial decides there, and
            processors do without.
        tell: Function that receives each line of progress.
        callbacks: Functions called with a `TrainingProgress` before the first step and
            after each half of a second, or each longer step. If there are any, `tell`
            does not receive the lines of the steps.
        seconds: Time after which to stop; the same call resumes.
        stop: Function called after each half of a second, or each longer step; if it
            returns true the training stops, and the same call resumes it.

    Returns:
        The settings in the prior's file, with the mean peak signal-to-noise ratio of
        held-out photos as `psnr`, or None if the training stopped early.

    Raises:
        ValueError: If a layer, the size, the photos or the folder is unsuitable.
        CollapsedError: If the training failed.
    """
    inverter.widths_for(size)  # refuses other sizes
    _check_colours(adapter)
    seen_size = ENLARGEMENT * size
    settings = {
        "kind": "inverter",
        "code_layers": select_code_layers(
            adapter, layers, inverter.DEFAULT_CODE, seen_size
        ),
        "code": code,
        "layers": select_compared_layers(adapter, inverter.DEFAULT_LAYERS, seen_size),
        "size": size,
        "batch": batch,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "steps": steps,
        "seed": seed,
        "bfloat16": select_bfloat16(bfloat16, Path(output) / SETTINGS),
        "without": sorted(without),
    }
    return _train_and_export(
        _build_inverter,
        adapter,
        images,
        Path(output),
        settings,
        xla=xla,
        tell=tell,
        callbacks=callbacks,
        seconds=seconds,
        stop=stop,
    )


def train_autoencoder(
    adapter: Adapter,
    images: Images,
    output: str | os.PathLike[str],
    *,
    without: Collection[str] = (),
    channels: int = 8,
    size: int = 64,
    steps: int = 16_000,
    batch: int = 16,
    learning_rate: float = 5e-4,
    held_out: int = 200,
    seed: int = 0,
    bfloat16: bool | None = None,
    xla: bool | None = None,
    tell: Callable[[str], Any] = print,
    callbacks: Sequence[Callable[[TrainingProgress], Any]] = (),
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train an encoder from images to small latent maps, and a decoder.

    The prior is written to `autoencoder.npz` in `output`. The same call resumes a
    training that was interrupted.

    Args:
        adapter: The network in which images are compared, from `tfviz.adapt`.
        images: A folder of photos, whose subfolders count as well, a zip file of
            photos, or several of these.
        output: The folder for the prior, the checkpoint, the log and the samples. It is
            created if it does not exist.
        without: The names of photos that are neither learned from nor held out, as they
            are in the folder or zip file, such as `dogs/1.jpg`: those on which the
            prior will be evaluated.
        channels: The number of channels of a latent map. Fewer are a stronger prior.
        size: The height and width of the crops to learn from, in pixels: a multiple of
            8, at least 32. The prior decodes images of other sizes too.
        steps: The number of training steps in all.
        batch: The number of photos in a step.
        learning_rate: The learning rate at the start.
        held_out: The number of photos that are not learned from, but used to measure
            and draw reconstructions.
        seed: Random seed; another seed gives another prior.
        bfloat16: Whether convolutions multiply numbers of 16 bits. A step takes about
            half as long on processors with instructions for it. By default they do on
            graphics cards that have such numbers.
        xla: Whether the steps are compiled by XLA. This takes a minute or more, and
            then is faster on graphics cards. By default a trial decides there, and
            processors do without.
        tell: Function that receives each line of progress.
        callbacks: Functions called with a `TrainingProgress` before the first step and
            after each half of a second, or each longer step. If there are any, `tell`
            does not receive the lines of the steps.
        seconds: Time after which to stop; the same call resumes.
        stop: Function called after each half of a second, or each longer step; if it
            returns true the training stops, and the same call resumes it.

    Returns:
        The settings in the prior's file, with the mean peak signal-to-noise ratio of
        held-out photos as `psnr`, or None if the training stopped early.

    Raises:
        ValueError: If the network, the size, the photos or the folder is unsuitable.
        CollapsedError: If the training failed.
    """
    autoencoder.check_size(size)
    _check_colours(adapter)
    settings = {
        "kind": "autoencoder",
        "channels": channels,
        "layers": select_compared_layers(adapter, autoencoder.DEFAULT_LAYERS, size),
        "size": size,
        "batch": batch,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "steps": steps,
        "seed": seed,
        "bfloat16": select_bfloat16(bfloat16, Path(output) / SETTINGS),
        "without": sorted(without),
    }
    return _train_and_export(
        _build_autoencoder,
        adapter,
        images,
        Path(output),
        settings,
        xla=xla,
        tell=tell,
        callbacks=callbacks,
        seconds=seconds,
        stop=stop,
    )


def _train_and_export(
    build: Callable[..., inverter.Inverter | autoencoder.Autoencoder],
    adapter: Adapter,
    images: Images,
    output: Path,
    settings: dict[str, Any],
    *,
    xla: bool | None,
    tell: Callable[[str], Any],
    callbacks: Sequence[Callable[[TrainingProgress], Any]],
    seconds: float | None,
    stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Run a training whose arguments are checked.

    Args:
        build: Function that measures on photos and returns a recipe.
        adapter: The network.
        images: As in `train_inverter`.
        output: The folder for the prior and the files of the training.
        settings: The settings of the training, as JSON values.
        xla: As in `train_inverter`.
        tell: As in `train_inverter`.
        callbacks: As in `train_inverter`.
        seconds: As in `train_inverter`.
        stop: As in `train_inverter`.
    """
    settings = settings | {"network": _describe_network(adapter)}
    check_settings(output / SETTINGS, settings, "training")
    output.mkdir(parents=True, exist_ok=True)
    with unpacked(images) as folders:
        tell(f"looking at the images in {', '.join(folders)}")
        photos = find_photos(
            folders,
            settings["held_out"],
            without=settings["without"],
            fewest=settings.get("code", 0),  # as many photos as a code has components
            list_file=output / PHOTO_LIST,
        )
        write_settings(output / SETTINGS, settings)
        size, steps, seed = (settings[name] for name in ("size", "steps", "seed"))
        tell(f"{len(photos.train)} to learn from, {len(photos.held_out)} held out")
        recipe = build(adapter, photos, output, settings)
        held_out = centre_squares(photos.held_out, size)
        source = load_photos(photos.train, size, recipe.zoom, tell=tell)
        with half_precision(recipe.models, enabled=settings["bfloat16"]):
            complete = train(
                recipe,
                source,
                output,
                steps=steps,
                seed=seed,
                held_out=held_out,
                report=tell,
                callbacks=callbacks,
                seconds=seconds,
                stop=stop,
                xla=xla,
            )
        if not complete:
            return None
        tell("measuring the trained prior")
        photo_batches = crops(
            source,
            recipe.batch,
            FINAL_BATCHES,
            seed=seed,
            size=size,
            zoom=recipe.zoom,
        )
        names = ("network", "layers", "steps", "seed", "bfloat16", "without")
        facts = {name: settings[name] for name in names}
        facts |= {
            "photos": len(photos.train),
            "held_out": len(photos.held_out),
            "sources": dict(photos.counts),
            "data": sorted({*photos.data, *filter(None, [dataset_of(adapter)])}),
        }
        path = output / f"{settings['kind']}.npz"
        return export(recipe, photo_batches, held_out, path, facts)


def _build_inverter(
    adapter: Adapter, photos: Photos, output: Path, settings: Mapping[str, Any]
) -> inverter.Inverter:
    size, layers = settings["size"], tuple(settings["code_layers"])
    seen_size = ENLARGEMENT * size

    def measure() -> dict[str, NDArray[Any]]:
        code, variances = inverter.measure_code(
            adapter,
            layers,
            settings["layers"],
            _random_photos(photos, CODE_PHOTOS, size, settings),
            settings["code"],
            size=seen_size,
        )
        arrays = {"code/mean": code.mean, "code/basis": code.basis}
        to_float16(arrays)  # refuses values that the prior's file could not hold
        return arrays | _variance_arrays(variances)

    arrays = _measured_once(output, settings, measure)
    weights, variances = _active_layers(adapter, settings["layers"], arrays)
    mean, basis = arrays["code/mean"], arrays["code/basis"]
    return inverter.Inverter(
        adapter,
        weights,
        Code(layers, seen_size, GRID, COLOURS, mean, basis),
        variances,
        widths=inverter.widths_for(size),
        batch=settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )


def _build_autoencoder(
    adapter: Adapter, photos: Photos, output: Path, settings: Mapping[str, Any]
) -> autoencoder.Autoencoder:
    size = settings["size"]

    def measure() -> dict[str, NDArray[Any]]:
        images = _random_photos(photos, VARIANCE_PHOTOS, size, settings)
        layers = tuple(settings["layers"])
        return _variance_arrays(channel_variances(adapter, layers, images))

    arrays = _measured_once(output, settings, measure)
    weights, variances = _active_layers(adapter, settings["layers"], arrays)
    return autoencoder.Autoencoder(
        adapter,
        weights,
        variances,
        channels=settings["channels"],
        size=size,
        batch=settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )


def _measured_once(
    output: Path,
    settings: Mapping[str, Any],
    measure: Callable[[], dict[str, NDArray[Any]]],
) -> dict[str, NDArray[Any]]:
    """Return the measurements of a training: stored ones, or new ones to be stored."""
    arrays = checkpoint.load_arrays(output / MEASUREMENTS, settings)
    if not arrays:
        arrays = measure()
        checkpoint.save_arrays(output / MEASUREMENTS, settings, arrays)
    return arrays


def _random_photos(
    photos: Photos, most: int, size: int, settings: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return the central squares of some photos to learn from."""
    count = min(most, round(most * (64 / size) ** 2), len(photos.train))
    random = np.random.default_rng(settings["seed"])
    places = random.choice(len(photos.train), count, replace=False)
    return centre_squares([photos.train[place] for place in places], size)


def _variance_arrays(variances: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"variance/{path}": values for path, values in variances.items()}


def _active_layers(
    adapter: Adapter, layers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Return the weights and variances of the layers that differ between photos."""
    variances = {path: arrays[f"variance/{path}"] for path in layers}
    if not all(np.isfinite(values).all() for values in variances.values()):
        raise ValueError(
            f"Model {adapter.name!r} gives numbers that are not finite for these "
            "images. Does it get the range that it was trained on? Set it with "
            f"{argument('preprocess')}."
        )
    weights = {path: layers[path] for path in variances if variances[path].mean() > 0}
    if not weights:
        raise ValueError(
            f"Model {adapter.name!r} gives the same activations for all these images "
            f"in {', '.join(layers)}, so that they cannot be compared."
        )
    return weights, {path: variances[path] for path in weights}


def _describe_network(adapter: Adapter) -> dict[str, Any]:
    facts = provenance(adapter)
    names = ("preprocess", "held", "image_input", "output")
    return facts["model"] | {name: facts[name] for name in names}


def _check_colours(adapter: Adapter) -> None:
    if adapter.channels != 3:
        raise ValueError(
            "Priors are trained on images of three colours, and the images of model "
            f"{adapter.name!r} have {adapter.channels}. Give another model."
        )
