"""Priors by name: bundled priors, files, folders and modules of TF-Hub."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfviz._errors import argument, renaming
from tfviz._foreign_files import explain_file
from tfviz.models.adapter import Adapter
from tfviz.models.load import load_model
from tfviz.models.sources import (
    CHOICES,
    HUB,
    SUFFIXES,
    is_saved_model,
    is_url,
    split_choices,
)
from tfviz.priors import _generators, _trained
from tfviz.priors._calibration import SUFFIX
from tfviz.priors._prior import Prior
from tfviz.priors._refined import SIZE, refined
from tfviz.priors._tfhub import hub, saved_model
from tfviz.priors._trained import BUNDLED

# The name of learned priors in descriptions, in place of the name of a factory.
NAME = "prior"
# What can add detail to the images of a prior, at the end of its source after a plus.
REFINEMENTS = ("fourier", "autoencoder")
# A generator whose map of 1 by 1 becomes an image of at least this size takes vectors
# in the form of maps; decoders of maps enlarge less.
WHOLE = 28
# The size of images that messages propose, in pixels.
USUAL = 64


def load(
    source: str | os.PathLike,
    size: int | tuple[int, int] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    given: Mapping[str, float] | None = None,
    encoder: str | os.PathLike | None = None,
    calibrated: bool = True,
    network: Adapter | None = None,
    precision: str | None = None,
    allow_unsafe: bool = False,
) -> Prior:
    """Load a prior by its name, or from a file, a folder or a URL.

    Args:
        source: The name of a bundled prior, `inverter` or `autoencoder`; a file that
            `tfviz priors train` wrote (.npz); a decoder of TAESD (.safetensors); a
            Keras model (.keras, .h5) that takes vectors or a map; the folder of a
            SavedModel; or the URL of a module of TF-Hub. If one of the latter two has
            several functions or outputs, `SOURCE?signature=NAME&output=NAME` selects
            one. `SOURCE+autoencoder` and `SOURCE+fourier` add detail to the images of
            a prior; see `refined`.
        size: The size of the images in pixels, if it can be chosen: one number, or
            height and width.
        value_range: The values of black and white in the images of a Keras model or a
            SavedModel. By default they are read from its last activation: (-1, 1) for
            tanh, (0, 1) for a sigmoid; without such an activation they are needed.
        given: Constant numbers for inputs of the generator, such as a class or a
            truncation, by the names of the inputs.
        encoder: The file of an encoder, for TAESD and Keras models. It is needed to
            start from images and to calibrate.
        calibrated: Whether to use the file `SOURCE.calibration.npz`, if it exists.
        network: The network on which an inverter was trained, which its `encode` needs.
            By default it is loaded by its name; give it if it is a model of your own.
        precision: `bfloat16` or `float16` for a decoder that computes with 16 bits,
            which is faster on a GPU: a prior that tfviz trained, or a Keras model.
            Latents, images and scores keep 32 bits. None for the decoder's own.
        allow_unsafe: Whether the file of a Keras model may contain Python code in a
            `Lambda` layer. Set this only for files that you trust as much as a program.

    Returns:
        A param that can be made again from its `spec`, as long as its file exists.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the source is not a generator, or an argument is missing or not
            supported.

    Warns:
        UserWarning: If `value_range` contradicts the generator's last activation.

    >>> load("no/such.keras", value_range=(0, 1))
    Traceback (most recent call last):
    FileNotFoundError: There is no prior 'no/such.keras'. ...
    """
    whole, refinement = split_refinement(os.fspath(source))
    name, selection = split_choices(whole, *CHOICES)
    base_size = None if refinement else size
    spec: dict[str, Any] = {
        "name": NAME,
        "source": os.fspath(source),
        "size": _pair(size),
        "value_range": None if value_range is None else [float(v) for v in value_range],
        "given": dict(given or {}),
        "encoder": None if encoder is None else os.fspath(encoder),
        "calibrated": calibrated,
        "precision": precision,
    }
    options = {"value_range": value_range, "latents": given or None}
    # Messages of the functions that are called speak of `latents`.
    with renaming(latents="given"):
        if _is_trained_by_tfviz(name):
            _check_unused(name, encoder=encoder, **options, **selection)
            prior = _trained.load(name, base_size, network=network, precision=precision)
        else:
            _check_unused(name, network=network)
            prior = _load_generator(
                name,
                base_size,
                encoder,
                options,
                selection,
                precision=precision,
                allow_unsafe=allow_unsafe,
            )
            # A later version may read another range.
            spec["value_range"] = list(prior.value_range)
    files = own_files(spec)
    if name in BUNDLED:
        file = _trained.bundled_file(name)
        with_encoder = (file, _trained.encoder_file(file))
        files = [str(path) for path in with_encoder if path.is_file()]
    if calibrated and (calibration := _calibration(name)) in files:
        prior = prior.calibrate(calibration)
    if refinement == "autoencoder":
        files.append(str(_trained.bundled_file(refinement)))
        prior = refined(
            prior, _trained.load(refinement, size or SIZE, precision=precision)
        )
    elif refinement:
        prior = refined(prior, size=size)
    spec["digest"] = _digest(files)
    return replace(prior, spec=spec)


def _is_trained_by_tfviz(name: str) -> bool:
    return name in BUNDLED or Path(name).suffix.lower() == ".npz"


def own_files(spec: Mapping[str, Any]) -> list[str]:
    """Return the files and folders that `load` reads for a prior, without bundled ones.

    Args:
        spec: The description of the prior.

    Returns:
        The file or folder of the prior first; it does not exist if the prior comes from
        a URL. Nothing for a bundled prior.
    """
    name, _ = split_choices(split_refinement(spec["source"])[0], *CHOICES)
    if name in BUNDLED:
        return []
    files = [name]
    files += [spec["encoder"]] * (spec["encoder"] is not None)
    files += [str(file)] if (file := _trained.encoder_file(name)).is_file() else []
    if spec["calibrated"] and Path(_calibration(name)).is_file():
        files.append(_calibration(name))
    return files


def _calibration(name: str) -> str:
    """Return the path of the calibration file that belongs to a prior's file."""
    return f"{Path(name)}{SUFFIX}"


def split_refinement(source: str) -> tuple[str, str | None]:
    """Split what adds detail from the end of a source, or None if nothing does.

    >>> split_refinement("inverter+fourier")
    ('inverter', 'fourier')
    >>> split_refinement("a+b.keras")
    ('a+b.keras', None)
    """
    base, plus, last = source.rpartition("+")
    return (base, last) if plus and last in REFINEMENTS else (source, None)


def from_spec(spec: Mapping[str, Any], *, allow_unsafe: bool = False) -> Prior:
    """Make a prior again from its description, as saved pictures hold it.

    Args:
        spec: The `spec` of a prior that `load` returned.
        allow_unsafe: As in `load`; a description never allows it by itself.

    Raises:
        FileNotFoundError: If the prior's file does not exist any more.
        ValueError: If the description is not of a prior.
    """
    settings = dict(spec)
    if settings.pop("name", None) != NAME:
        raise ValueError(f"This is not the description of a prior: {dict(spec)}")
    settings.pop("digest", None)
    size = settings.pop("size")
    return load(
        settings.pop("source"),
        size and tuple(size),
        **settings,
        allow_unsafe=allow_unsafe,
    )


def _load_generator(
    name: str,
    size: Any,
    encoder: str | os.PathLike | None,
    options: dict[str, Any],
    selection: Mapping[str, Any],
    *,
    precision: str | None,
    allow_unsafe: bool,
) -> Prior:
    """Load a generator that was not trained with `tfviz priors train`.

    Args:
        name: A file, a folder or a URL.
        size: As in `load`.
        encoder: As in `load`.
        options: The arguments `value_range` and `latents` of the factories.
        selection: The selected `signature` and `output` of a SavedModel.
        precision: As in `load`.
        allow_unsafe: As in `load`.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    if is_url(handle := name.removeprefix(HUB)):
        _check_unused(name, size=size, encoder=encoder, precision=precision)
        return hub(handle, **options, **selection)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no prior {name!r}. The bundled priors are {', '.join(BUNDLED)}. "
            "Give one of these, a file such as `tfviz priors train` writes, the folder "
            "of a SavedModel, or hub:URL."
        )
    if is_saved_model(path):
        _check_unused(name, size=size, encoder=encoder, precision=precision)
        return saved_model(name, **options, **selection)
    _check_unused(name, **selection)
    if suffix == ".safetensors":
        _check_unused(name, precision=precision, **options)
        height, width = _pair(size) or (112, 112)
        return _generators.taesd(name, encoder, height=height, width=width)
    if explained := explain_file(path):
        raise ValueError(explained)
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{name!r} is not a prior. Expected a file that ends in .npz, "
            f".safetensors, {', '.join(SUFFIXES)}, or the folder of a SavedModel."
        )
    return _load_keras_generator(
        load_model(name, allow_unsafe=allow_unsafe),
        name,
        size,
        encoder,
        options,
        precision=precision,
    )


def _load_keras_generator(
    model: Any,
    name: str,
    size: Any,
    encoder: str | os.PathLike | None,
    options: dict[str, Any],
    *,
    precision: str | None,
) -> Prior:
    inputs = list(getattr(model, "inputs", None) or [])
    takes_map = len(inputs) == 1 and len(inputs[0].shape) == 4
    if takes_map and encoder is None and size is None:
        takes_map = not _makes_images_of_one_position(model)
    if encoder is None and not takes_map:
        _check_unused(name, size=size)
        return _generators.gan(model, precision=precision, **options)
    _check_unused(name, latents=options["latents"])
    if not takes_map:
        _check_unused(name, size=size)
    height, width = _map_size(model, name, size) if takes_map else (None, None)
    return _generators.autoencoder(
        model,
        encoder,
        value_range=options["value_range"],
        height=height,
        width=width,
        precision=precision,
    )


def _makes_images_of_one_position(model: Any) -> bool:
    """Tell whether a generator makes a whole image of a map of 1 by 1, like a vector.

    Args:
        model: A Keras model that takes one map.
    """
    rows, columns, channels = model.inputs[0].shape[1:]
    if rows is not None and columns is not None:
        return rows == columns == 1
    try:
        shape = model.compute_output_shape((1, rows or 1, columns or 1, channels))
    except ValueError:  # a convolution does not fit
        return False
    return min(shape[1:3]) >= WHOLE


def _map_size(
    decoder: Any, name: str, size: int | tuple[int, int] | None
) -> tuple[int | None, int | None]:
    """Return the size of the latent map from which a decoder makes images of a size."""
    input_shape = decoder.inputs[0].shape
    if None not in input_shape[1:3]:
        _check_unused(name, size=size)
        return None, None
    # The size of the images of a map of 4 by 4 shows how much the decoder enlarges.
    of_four = decoder.compute_output_shape((1, 4, 4, input_shape[3]))[1:3]
    factors = [max(1, n // 4) for n in of_four]
    pixels = _pair(size)
    if pixels is None:
        usual = tuple(max(1, USUAL // factor) * factor for factor in factors)
        raise ValueError(
            f"{name!r} makes images of any size. Give one in pixels, such as "
            f"{argument('size', usual)}."
        )
    if any(n * 4 % m or n < m // 4 for n, m in zip(pixels, of_four, strict=True)):
        usual = tuple(
            max(1, round(n / m)) * m for n, m in zip(pixels, factors, strict=True)
        )
        raise ValueError(
            f"{name!r} makes images whose height and width are multiples of "
            f"{factors[0]} and {factors[1]} pixels, not {pixels[0]} and {pixels[1]}. "
            f"Give {argument('size', usual)}, for example."
        )
    return 4 * pixels[0] // of_four[0], 4 * pixels[1] // of_four[1]


def _check_unused(name: str, **options: Any) -> None:
    """Refuse options that a kind of prior does not support."""
    for option, value in options.items():
        if value is not None:
            raise ValueError(
                f"{name!r} takes no {argument(option)}, because that is fixed for this "
                "kind of prior. Leave it out."
            )


def _pair(size: int | tuple[int, int] | None) -> list[int] | None:
    if size is None:
        return None
    return [size, size] if isinstance(size, int) else [int(n) for n in size]


def _digest(names: list[str]) -> str:
    """Return a hash of the contents of the files and folders of a prior."""
    digest = hashlib.blake2b(digest_size=16)
    for path in map(Path, names):
        files = [path] if path.is_file() else []
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()
