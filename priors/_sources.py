"""Priors by name: bundled ones, files, folders and handles."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfviz import load_model
from tfviz.models.adapter import Adapter
from tfviz.models.sources import (
    CHOICES,
    HUB,
    SUFFIXES,
    is_saved_model,
    is_url,
    split_choices,
)
from tfviz.priors import _generators as families
from tfviz.priors import _trained
from tfviz.priors._calibration import SUFFIX
from tfviz.priors._prior import Prior
from tfviz.priors._tfhub import hub, saved_model
from tfviz.priors._trained import BUNDLED

NAME = "prior"


def load(
    source: str | os.PathLike,
    size: int | tuple[int, int] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    given: Mapping[str, float] | None = None,
    encoder: str | os.PathLike | None = None,
    calibrated: bool = True,
    network: Adapter | None = None,
) -> Prior:
    """Load a prior from what its name tells.

    Args:
        source: `inverter` or `autoencoder`, which come with the package; a file that
            `tfviz priors train` wrote (.npz); a decoder of TAESD (.safetensors); a
            Keras model (.keras, .h5) that takes vectors or a map; the folder of a
            SavedModel; or the URL of a module of TF-Hub. Of several functions or
            outputs of the latter two, `SOURCE?signature=NAME&output=NAME` takes one.
        size: Of the images, in pixels, where it can be chosen: one number, or height
            and width.
        value_range: What black and white are in its images. Needed for Keras models
            and SavedModels: (-1, 1) after tanh, (0, 1) after a sigmoid.
        given: Numbers that the generator takes and that do not change: a class, a
            truncation; by the names of its inputs.
        encoder: A file, to start from images: for TAESD and Keras models.
        calibrated: Whether to use `SOURCE.calibration.npz`, where it is there.
        network: What an inverter's `encode` sees images with: the one that it was
            trained on, if that is in a file of your own. Others are loaded.

    Returns:
        A param that can be made again from its `spec`, while its file is there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no generator, or something else must be said.

    >>> load("no/such.keras", value_range=(0, 1))
    Traceback (most recent call last):
    FileNotFoundError: There is no prior 'no/such.keras'. ...
    """
    name, chosen = split_choices(os.fspath(source), *CHOICES)
    spec: dict[str, Any] = {
        "name": NAME,
        "source": os.fspath(source),
        "size": _pair(size),
        "value_range": None if value_range is None else [float(v) for v in value_range],
        "given": dict(given or {}),
        "encoder": None if encoder is None else os.fspath(encoder),
        "calibrated": calibrated,
    }
    options = {"value_range": value_range, "latents": given or None}
    if name in BUNDLED or Path(name).suffix.lower() == ".npz":
        _check_unused(name, encoder=encoder, **options, **chosen)
        prior = _trained.load(name, size, network=network)
    else:
        _check_unused(name, network=network)
        prior = _found(name, size, encoder, options, chosen)
    files = [str(_trained.bundled_file(name)) if name in BUNDLED else name]
    files += [spec["encoder"]] * (encoder is not None)
    beside = f"{Path(name)}{SUFFIX}"
    if calibrated and name not in BUNDLED and Path(beside).is_file():
        files.append(beside)
        prior = prior.calibrate(files[-1])
    spec["digest"] = _digest(files)
    return replace(prior, spec=spec)


def from_spec(spec: Mapping[str, Any]) -> Prior:
    """Make a prior again from its description, as a saved picture holds it.

    Raises:
        FileNotFoundError: If its file is not there any more.
        ValueError: If the description is of something else.
    """
    settings = dict(spec)
    if settings.pop("name", None) != NAME:
        raise ValueError(f"This is no description of a prior: {dict(spec)}")
    settings.pop("digest", None)
    size = settings.pop("size")
    return load(settings.pop("source"), size and tuple(size), **settings)


def _found(
    name: str,
    size: Any,
    encoder: str | os.PathLike | None,
    options: dict[str, Any],
    chosen: Mapping[str, Any],
) -> Prior:
    path = Path(name)
    suffix = path.suffix.lower()
    if is_url(handle := name.removeprefix(HUB)):
        _check_unused(name, size=size, encoder=encoder)
        return hub(handle, **options, **chosen)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no prior {name!r}. Bundled are {', '.join(BUNDLED)}; else give "
            "a file, a SavedModel's folder or hub:URL."
        )
    if is_saved_model(path):
        _check_unused(name, size=size, encoder=encoder)
        return saved_model(name, **options, **chosen)
    _check_unused(name, **chosen)
    if suffix == ".safetensors":
        _check_unused(name, **options)
        height, width = _pair(size) or (112, 112)
        return families.taesd(name, encoder, height=height, width=width)
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{name!r} is no prior. Expected a file that ends in .npz, .safetensors, "
            f"{', '.join(SUFFIXES)}, or a SavedModel's folder."
        )
    if options["value_range"] is None:
        raise ValueError(
            f"{name!r} does not tell what black and white are in its images. Give its "
            "range: -1,1 if its last layer is a tanh, 0,1 after a sigmoid."
        )
    return _of_keras(name, size, encoder, options)


def _of_keras(
    name: str, size: Any, encoder: str | os.PathLike | None, options: dict[str, Any]
) -> Prior:
    model = load_model(name)
    inputs = list(getattr(model, "inputs", None) or [])
    a_map = len(inputs) == 1 and len(inputs[0].shape) == 4
    if encoder is None and not a_map:
        _check_unused(name, size=size)
        return families.gan(model, **options)
    _check_unused(name, latents=options["latents"])
    value_range = options["value_range"]
    height, width = _map_size(model, name, size) if a_map else (None, None)
    if not a_map:
        _check_unused(name, size=size)
    return families.autoencoder(
        model, encoder, value_range=value_range, height=height, width=width
    )


def _map_size(
    decoder: Any, name: str, size: int | tuple[int, int] | None
) -> tuple[int | None, int | None]:
    """Return the size of the latents of which a decoder makes images of a size."""
    taken = decoder.inputs[0].shape
    pixels = _pair(size)
    if pixels is None or None not in taken[1:3]:
        _check_unused(name, size=size)
        return None, None
    # How much larger an image is, of a map of 4 by 4.
    made = decoder.compute_output_shape((1, 4, 4, taken[3]))[1:3]
    if any(n * 4 % m or n < m // 4 for n, m in zip(pixels, made, strict=True)):
        raise ValueError(
            f"{name!r} makes images whose height and width are multiples of "
            f"{made[0] // 4} and {made[1] // 4} pixels. Received: size={size}"
        )
    return 4 * pixels[0] // made[0], 4 * pixels[1] // made[1]


def _check_unused(name: str, **options: Any) -> None:
    for argument, value in options.items():
        option = "given" if argument == "latents" else argument
        if value is not None:
            raise ValueError(
                f"{name!r} takes no `{option}`: it is fixed there. Leave it out."
            )


def _pair(size: int | tuple[int, int] | None) -> list[int] | None:
    if size is None:
        return None
    return [size, size] if isinstance(size, int) else [int(n) for n in size]


def _digest(names: list[str]) -> str:
    """Return a hash of the files that make up a prior."""
    digest = hashlib.blake2b(digest_size=16)
    for path in map(Path, names):
        found = [path] if path.is_file() else []
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file())
        for file in found:
            digest.update(file.read_bytes())
    return digest.hexdigest()
