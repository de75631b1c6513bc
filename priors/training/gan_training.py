"""Train a GAN from beginning to end: encoder, codes, generator, and its files."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz._files import check_settings, write_settings
from tfviz.models.adapter import Adapter
from tfviz.models.introspection import LOGITS
from tfviz.priors._calibration import Statistics
from tfviz.priors._codes import COLOURS, GRID, Code
from tfviz.priors._gan_networks import LAST_MAP
from tfviz.priors._networks import set_weights
from tfviz.priors._trained import encoder_file, read, to_float16, write
from tfviz.priors.training import checkpoint, gan
from tfviz.priors.training.adversarial import decay_for
from tfviz.priors.training.conditions import (
    COMPARED,
    ClassConditions,
    CodeConditions,
    Conditions,
    code_conditions,
    measure_codes,
)
from tfviz.priors.training.device_photos import (
    PhotoSource,
    load_photos,
    read_classes,
)
from tfviz.priors.training.encoder import Classifier, accuracy, load_encoder
from tfviz.priors.training.loop import TrainingProgress, train
from tfviz.priors.training.photos import (
    PHOTO_LIST,
    Images,
    find_photos,
    read_squares,
    unpacked,
)
from tfviz.priors.training.precision import select_bfloat16

VARIANTS = ("instance", "classes")
# The folder and the file of the encoder, and the file of the measured codes.
ENCODER_FOLDER, ENCODER, MEASUREMENTS = "encoder", "encoder.npz", "prepared.npz"
# The number of photos on which codes are measured.
CODE_PHOTOS = 16_000
# Seconds between two checkpoints: a machine may be lent for minutes only.
SAVE_SECONDS = 120.0
# The settings of the training of the encoder.
ENCODER_BATCH, ENCODER_LEARNING_RATE = 256, 0.2


def train_gan(
    images: Images,
    output: str | os.PathLike[str],
    *,
    without: Collection[str] = (),
    variant: str = "instance",
    encoder: str | os.PathLike[str] | None = None,
    encoder_steps: int = 8000,
    initial: str | os.PathLike[str] | None = None,
    code: int = 256,
    size: int = 64,
    steps: int = 16_000,
    batch: int = 64,
    learning_rate: float = 3e-4,
    held_out: int = 200,
    seed: int = 0,
    bfloat16: bool | None = None,
    xla: bool | None = None,
    by_clock: bool = False,
    tell: Callable[[str], Any] = print,
    callbacks: Sequence[Callable[[TrainingProgress], Any]] = (),
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train a GAN whose images are made from the codes of photos, or from classes.

    No network that others trained takes part. The codes come from an encoder, which is
    trained first, to name the classes of the photos: the folders that they lie in. The
    generator learns to make images that look like photos, and, in the variant
    `instance`, like the photo whose code it got (an instance-conditioned GAN,
    https://arxiv.org/abs/2109.05070). The variant `classes` gets a class instead and
    learns from pixels alone, without an encoder.

    The prior is written to `gan.npz` in `output`, and its encoder to
    `gan.encoder.npz`. Every two minutes both are written with the weights so far, and
    so are `generator.npz` and `discriminator.npz`, with which another training can go
    on (`initial`). The same call resumes a training that was interrupted.

    Args:
        images: A folder or a zip file of photos, in a subfolder for each class, or
            several of these.
        output: The folder for the prior, the checkpoint, the log and the samples. It is
            created if it does not exist.
        without: The names of photos that are neither learned from nor held out, as they
            are in the folder or zip file, such as `dogs/1.jpg`: those on which the
            prior will be evaluated.
        variant: `instance` or `classes`: what images are made from.
        encoder: The file of an encoder that an earlier training wrote. By default one
            is trained, in the folder `encoder` of `output`.
        encoder_steps: The number of steps of that training, of 256 photos each.
        initial: The output folder of an earlier training, from whose `generator.npz`
            and `discriminator.npz` this one goes on, or None.
        code: The number of components of a code.
        size: The height and width of images in pixels: 16, 32 or 64.
        steps: The number of training steps in all.
        batch: The number of photos in a step.
        learning_rate: The learning rate at the start.
        held_out: The number of photos that are not learned from, but used to measure
            the encoder, and to measure and draw reconstructions.
        seed: Random seed; another seed gives another prior.
        bfloat16: Whether convolutions multiply numbers of 16 bits. By default they do
            on graphics cards that have such numbers.
        xla: Whether the steps are compiled by XLA. This takes minutes, and then is
            faster on graphics cards. By default a trial decides there, and processors
            do without.
        by_clock: Whether the training is complete after `seconds`, however many steps
            were taken by then.
        tell: Function that receives each line of progress.
        callbacks: Functions called with a `TrainingProgress` before the first step and
            after each half of a second, or each longer step, of the encoder's training
            and then of the GAN's. If there are any, `tell` does not receive the lines
            of the steps.
        seconds: Time after which to stop; the same call resumes.
        stop: Function called after each half of a second, or each longer step; if it
            returns true the training stops, and the same call resumes it.

    Returns:
        The settings in the prior's file, or None if the training stopped early. With
        codes, `psnr` is the mean peak signal-to-noise ratio of held-out photos, and
        `top1` the fraction of them whose class the encoder ranks first.

    Raises:
        ValueError: If an argument, the photos or the folder is unsuitable.
        CollapsedError: If the training failed.
    """
    began = time.monotonic()
    output = Path(output)
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {', '.join(VARIANTS)}. Received: {variant!r}"
        )
    if variant == "classes" and encoder is not None:
        raise ValueError(
            "A GAN of the variant 'classes' has no encoder. Leave out `encoder`, or "
            "train the variant 'instance'."
        )
    if by_clock and seconds is None:
        raise ValueError("`by_clock` needs a time: give `seconds`.")
    settings: dict[str, Any] = {
        "kind": "gan",
        "variant": variant,
        "encoder": None if encoder is None else os.fspath(encoder),
        "encoder_steps": encoder_steps,
        "initial": None if initial is None else os.fspath(initial),
        "code": code,
        "size": size,
        "widths": list(gan.widths_for(size)),
        "batch": batch,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "steps": steps,
        "seed": seed,
        "bfloat16": select_bfloat16(bfloat16, output / checkpoint.SETTINGS),
        "without": sorted(without),
    }
    check_settings(output / checkpoint.SETTINGS, settings, "training")
    output.mkdir(parents=True, exist_ok=True)
    with unpacked(images) as folders:
        tell(f"looking at the images in {', '.join(folders)}")
        photos = _read_photos(folders, output, settings, tell)
        write_settings(output / checkpoint.SETTINGS, settings)
        return _train(
            photos,
            output,
            settings,
            began=began,
            by_clock=by_clock,
            seconds=seconds,
            shared={
                "seed": seed,
                "held_out": photos.held_out_floats(),
                "report": tell,
                "callbacks": callbacks,
                "stop": stop,
                "save_seconds": SAVE_SECONDS,
                "xla": xla,
            },
        )


def _train(
    photos: "_GanPhotos",
    output: Path,
    settings: Mapping[str, Any],
    *,
    began: float,
    by_clock: bool,
    seconds: float | None,
    shared: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Run a training whose arguments are checked; see `train_gan`.

    Args:
        photos: The photos.
        output: The folder for the prior and the files of the training.
        settings: The settings of the training, as JSON values.
        began: When it began, by the monotonic clock.
        by_clock: As in `train_gan`.
        seconds: As in `train_gan`.
        shared: The arguments of the loop that the encoder and the GAN have in common.
    """
    tell, batch = shared["report"], settings["batch"]
    names = ("held_out", "steps", "seed", "bfloat16", "batch", "without")
    facts = {
        "photos": photos.train.count,
        **photos.facts,
        **{name: settings[name] for name in names},
    }
    conditions: Conditions = ClassConditions(len(photos.classes))
    if settings["variant"] == "instance":
        path = Path(settings["encoder"] or output / ENCODER_FOLDER / ENCODER)
        if not path.exists():
            tell("training the encoder")
            if not _train_encoder(photos, path, settings, seconds, shared):
                return None
        conditions, facts["top1"] = _conditions(photos, path, output, settings)
        tell(f"encoder: {facts['top1']:.1%} of held-out photos have their class first")
    recipe = gan.Gan(
        conditions,
        widths=settings["widths"],
        batch=batch,
        learning_rate=settings["learning_rate"],
        dtype=_policy(settings["bfloat16"]),
        seed=settings["seed"],
    )
    if settings["initial"] is not None:
        restore_networks(recipe, Path(settings["initial"]))
        tell(f"going on from the networks in {settings['initial']}")

    def save_more(step: int, averages: Mapping[str, NDArray[Any]]) -> None:
        facts["steps"] = step  # by the clock, fewer than were asked for
        save_networks(recipe, output)
        write(output / "gan.npz", *_file_contents(recipe, averages, facts))

    complete = train(
        recipe,
        photos.train,
        output,
        steps=settings["steps"],
        seconds=None if seconds is None else seconds - (time.monotonic() - began),
        by_clock=by_clock,
        average_decay=decay_for(batch, gan.HALF_LIFE),
        save_more=save_more,
        **shared,
    )
    if not complete:
        return None
    return _export(recipe, photos.held_out_floats(), output, facts)


def save_networks(recipe: gan.Gan, output: Path) -> None:
    """Write the weights of both networks, as they are, with 16 bits a number.

    The state of the optimizers is left out, which would be twice as large: a training
    that goes on from these files finds it again during its warm-up.
    """
    for name, network in recipe.networks.items():
        weights = {f"{name}/{k}": v for k, v in enumerate(network.get_weights())}
        write(output / f"{name}.npz", {"kind": name}, weights)


def restore_networks(recipe: gan.Gan, folder: Path) -> None:
    """Set the weights of both networks to those that `save_networks` wrote.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file holds other networks.
    """
    for name, network in recipe.networks.items():
        path = folder / f"{name}.npz"
        _, arrays = read(path)
        shapes = [tuple(weight.shape) for weight in network.weights]
        if shapes != [values.shape for values in arrays.values()]:
            raise ValueError(
                f"{str(path)!r} holds the {name} of another GAN. Give the output "
                "folder of a training with the same variant, code and size."
            )
        set_weights(network, arrays, name)
        network.trainable = True


class _GanPhotos:
    """The photos of a GAN's training.

    Attributes:
        facts: `sources`, the number of photos in each source, and `data`, the datasets
            that they are known to come from.
        files: The files of the photos to learn from.
        train: The same photos, on the device if they fit there.
        held_out: The photos held out, `(m, size, size, 3)`.
        labels: The classes of the photos held out, `(m,)`.
        classes: The names of the classes.
    """

    def __init__(  # noqa: PLR0917 (two parts of photos, and what is known of them)
        self,
        facts: Mapping[str, Any],
        files: tuple[str, ...],
        train: PhotoSource,
        held_out: NDArray[np.uint8],
        labels: NDArray[Any],
        classes: tuple[str, ...],
    ) -> None:
        self.facts, self.files, self.train = facts, files, train
        self.held_out, self.labels, self.classes = held_out, labels, classes

    def held_out_floats(self) -> NDArray[np.float32]:
        """Return the photos held out, in [0, 1]."""
        return np.divide(self.held_out, 255, dtype=np.float32)


def _read_photos(
    folders: Mapping[str, Path],
    output: Path,
    settings: Mapping[str, Any],
    tell: Callable[[str], Any],
) -> _GanPhotos:
    held_out = settings["held_out"]
    found = find_photos(
        folders,
        held_out,
        without=settings["without"],
        fewest=settings["code"],
        list_file=output / PHOTO_LIST,
    )
    files = (*found.train, *found.held_out)
    classes, labels = read_classes(files)
    if len(classes) < 2:
        raise ValueError(
            f"All images in {', '.join(folders)} lie in one folder. A GAN needs their "
            "classes: put those of each class into a folder of its own."
        )
    size, count = settings["size"], len(found.train)
    tell(f"{count} to learn from, {held_out} held out, {len(classes)} classes")
    return _GanPhotos(
        {"sources": dict(found.counts), "data": list(found.data)},
        found.train,
        load_photos(found.train, size, 1.0, labels=labels[:count], tell=tell),
        read_squares(found.held_out, size),
        labels[count:],
        classes,
    )


def _train_encoder(
    photos: _GanPhotos,
    path: Path,
    settings: Mapping[str, Any],
    seconds: float | None,
    shared: Mapping[str, Any],
) -> bool:
    """Train an encoder and write its file; return whether it is complete."""
    path.parent.mkdir(exist_ok=True)
    recipe = Classifier(
        settings["size"],
        len(photos.classes),
        batch=min(ENCODER_BATCH, photos.train.count),
        learning_rate=ENCODER_LEARNING_RATE,
        dtype=_policy(settings["bfloat16"]),
        seed=settings["seed"],
    )
    steps = settings["encoder_steps"]
    complete = train(
        recipe, photos.train, path.parent, steps=steps, seconds=seconds, **shared
    )
    if complete:
        contents, arrays = recipe.file_contents()
        write(path, contents | {"steps": steps}, arrays)
    return complete


def _conditions(
    photos: _GanPhotos, path: Path, output: Path, settings: Mapping[str, Any]
) -> tuple[CodeConditions, float]:
    """Return the codes in an encoder, and its accuracy on the photos held out.

    The encoder is written beside the prior's file, with what makes codes of photos.
    """
    adapter, facts = load_encoder(path, dtype=_policy(settings["bfloat16"]))
    top1 = accuracy(adapter, photos.held_out, photos.labels)
    size = settings["size"]
    stored = checkpoint.load_arrays(output / MEASUREMENTS, settings)
    if stored:
        conditions = _from_arrays(adapter, stored, size)
    else:
        random = np.random.default_rng(settings["seed"])
        count = min(CODE_PHOTOS, len(photos.files))
        places = random.choice(len(photos.files), count, replace=False)
        pixels = read_squares([photos.files[place] for place in places], size)
        images = np.divide(pixels, 255, dtype=np.float32)
        conditions = measure_codes(adapter, images, settings["code"])
        checkpoint.save_arrays(output / MEASUREMENTS, settings, _arrays_of(conditions))
    code = conditions.code
    _, weights = read(path)
    facts = facts | {
        "code_layers": list(code.layers),
        "size": size,
        "grid": code.grid,
        "colours": code.colours,
        "top1": round(top1, 4),
    }
    arrays = weights | {"code/mean": code.mean, "code/basis": code.basis}
    write(encoder_file(output / "gan.npz"), facts, arrays)
    return conditions, round(top1, 4)


def _arrays_of(conditions: CodeConditions) -> dict[str, NDArray[Any]]:
    """Return what was measured, for a resumed training."""
    code, statistics = conditions.code, conditions.statistics
    arrays = {"code/mean": code.mean, "code/basis": code.basis}
    arrays |= {f"variance/{k}": v for k, v in conditions.variances.items()}
    names = ("mean", "stddev", "low", "high")
    return arrays | {f"codes/{name}": getattr(statistics, name) for name in names}


def _from_arrays(
    adapter: Adapter, arrays: Mapping[str, NDArray[Any]], size: int
) -> CodeConditions:
    code = Code(
        (LAST_MAP, LOGITS),
        size,
        GRID,
        COLOURS,
        arrays["code/mean"],
        arrays["code/basis"],
    )
    mean, stddev, low, high = (
        arrays[f"codes/{name}"] for name in ("mean", "stddev", "low", "high")
    )
    variances = {path: arrays[f"variance/{path}"] for path in COMPARED}
    statistics = Statistics(mean, stddev, low, high, None, CODE_PHOTOS)
    return code_conditions(adapter, code, variances, statistics)


def _file_contents(
    recipe: gan.Gan, weights: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    settings, arrays = recipe.file_contents(weights)
    return settings | dict(facts), arrays


def _export(
    recipe: gan.Gan,
    held_out: NDArray[np.float32],
    output: Path,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Write the prior's file with the averaged weights, and return its settings."""
    weights = {name: np.asarray(v) for name, v in recipe.exported.items()}
    for name, value in to_float16(weights).items():
        recipe.exported[name].assign(value.astype(np.float32))
    if isinstance(recipe.conditions, CodeConditions):
        facts = facts | {"psnr": round(checkpoint.psnr(recipe, held_out), 3)}
    settings, arrays = _file_contents(recipe, weights, facts)
    write(output / "gan.npz", settings, arrays)
    return settings


def _policy(bfloat16: bool) -> str | None:
    return "mixed_bfloat16" if bfloat16 else None
