"""Generators in SavedModels and modules of TF-Hub as params."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import did_you_mean, reason_of
from tfviz.models.graph import DEFAULT_SIGNATURES, tag_sets
from tfviz.models.load import fetch_module
from tfviz.models.sources import GRAPH_FILES, is_saved_model
from tfviz.params._base import Latents
from tfviz.priors._constraints import box
from tfviz.priors._latents import Latent, fixed, gaussian, held, proposed, typed
from tfviz.priors._prior import Prior, assembled

# Which graph to take of several: one that takes any number of images before one that
# takes 64, and none that is for training.
USUAL_TAGS: tuple[list[str], ...] = (["bsNone", "gen"], ["serve"], [])
# Of `z` in the modules of BigGAN and BigGAN-deep for 128, 256 and 512 pixels.
BIGGAN_SIZES = (120, 128, 140)
# BigGAN's numbers are drawn anew that are further than this from zero, before they are
# multiplied by the truncation.
BIGGAN_EDGE = 2.0


def saved_model(
    path: str | os.PathLike,
    *,
    value_range: tuple[float, float] | None = None,
    signature: str | None = None,
    output: str | None = None,
    latents: Mapping[str, Latent | float] | None = None,
    tags: Sequence[str] | None = None,
) -> Prior:
    """Optimize what a generator in a SavedModel is given.

    BigGAN, ProGAN and S3GAN are known by what they take, and need no `value_range`.
    BigGAN and S3GAN want to know the class, as a row of numbers or as one number:

        priors.saved_model("biggan", latents={"y": 207})
        priors.saved_model("s3gan", latents={"labels": 207})

    Args:
        path: The folder of a SavedModel, or of a module of TF-Hub.
        value_range: What black and white are in its images: (-1, 1) after tanh,
            (0, 1) after a sigmoid.
        signature: Which of its functions; by default the usual one.
        output: Which of the function's outputs; by default `default` or the only one.
        latents: What the function takes, by the names of its inputs. By default
            normal numbers for each; BigGAN's are truncated at its `truncation`, 0.5.
            An input of whole numbers, or of one number for all images, must be `held`:
            a number alone is, and stands for a class in an input of a row.
        tags: Of one of several graphs; by default of the one that is not for training.

    Returns:
        A param of the generator's size. Its spec is empty: a description cannot hold
        the generator.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no such function, something must be said about it that
            is not, or it cannot be used as `assembled` says.
        TypeError: If `latents` holds anything else.

    >>> from tempfile import TemporaryDirectory
    >>> net = tf.Module()
    >>> net.weights = tf.Variable(tf.eye(12))
    >>> net.make = tf.function(
    ...     lambda z: {"images": tf.reshape(z @ net.weights, (-1, 2, 2, 3))},
    ...     input_signature=[tf.TensorSpec((None, 12), name="z")],
    ... )
    >>> with TemporaryDirectory() as folder:
    ...     tf.saved_model.save(net, folder, signatures=net.make)
    ...     param = saved_model(folder, value_range=(-3, 3))
    >>> param.shape
    (2, 2, 3)
    """
    folder = Path(path)
    module = _loaded(folder, str(folder), signature, output, tags)
    return _param(module, value_range, latents or {})


def hub(
    handle: str,
    *,
    value_range: tuple[float, float] | None = None,
    signature: str | None = None,
    output: str | None = None,
    latents: Mapping[str, Latent | float] | None = None,
    tags: Sequence[str] | None = None,
) -> Prior:
    """Optimize what a generator of TF-Hub is given.

        priors.hub("https://tfhub.dev/google/progan-128/1")

    Args:
        handle: The URL of a module that `tensorflow_hub` fetches or has in its cache.
        value_range: As in `saved_model`.
        signature: The same.
        output: The same.
        latents: The same.
        tags: The same.

    Raises:
        ValueError: If it cannot be fetched, or used as `saved_model` says.
        TypeError: If `latents` holds anything else.
    """
    module = _loaded(fetch_module(handle), handle, signature, output, tags)
    return _param(module, value_range, latents or {})


@dataclass(frozen=True)
class _Module:
    """A function of a SavedModel that makes images.

    Attributes:
        name: What the user calls it.
        loaded: What holds its variables, to which the function only refers.
        call: The function.
        inputs: Shape and type of each of its inputs, by name.
        output: The name of the output that is the images.
        batch: How many images it makes at a time; None for any number.
    """

    name: str
    loaded: Any
    call: Any
    inputs: Mapping[str, tf.TensorSpec]
    output: str
    batch: int | None

    def __call__(self, values: Latents) -> Any:
        """Return the images of any number of latents."""
        if self.batch is None:
            return self._made(values)
        (n,) = {value.shape[0] for value in values.values()}
        starts = range(0, n, self.batch)
        filled = {k: _filled(v, len(starts) * self.batch) for k, v in values.items()}
        parts = [
            self._made({k: v[start : start + self.batch] for k, v in filled.items()})
            for start in starts
        ]
        return tf.concat(parts, axis=0)[:n]

    def _made(self, values: Latents) -> Any:
        given = {name: _given(values[name], spec) for name, spec in self.inputs.items()}
        # By their names: by their order, they would be taken as sorted by name.
        return self.call(**given)[self.output]


def _param(
    module: _Module,
    value_range: tuple[float, float] | None,
    given: Mapping[str, Latent | float],
) -> Prior:
    known_range, latents = _found_latents(module, given)
    value_range = known_range if value_range is None else value_range
    if value_range is None:
        raise ValueError(
            f"Module {module.name!r} does not tell what black and white are in its "
            "images. Write value_range=(-1, 1) if its last layer is a tanh, "
            "value_range=(0, 1) after a sigmoid."
        )
    try:
        param = assembled(latents, module, value_range=value_range)
        _check_alone(param, module.name)
    except tf.errors.OpError as error:
        raise ValueError(f"Module {module.name!r} fails: {reason_of(error)}") from error
    return param


def _check_folder(folder: Path, name: str) -> None:
    if is_saved_model(folder):
        return
    if not folder.exists():
        raise FileNotFoundError(f"There is no SavedModel {name!r}.")
    if folder.name in GRAPH_FILES:
        hint = f"Give its folder: {str(folder.parent)!r}"
    elif not folder.is_dir():
        hint = "Give a folder; a file of a Keras model is for `gan`."
    else:
        within = sorted(p for p in folder.iterdir() if is_saved_model(p))
        hint = f"Did you mean {str(within[0])!r}?" if within else ""
    reason = f"it is no folder with a {GRAPH_FILES[0]}. {hint}".rstrip()
    raise ValueError(f"{name!r} is no SavedModel: {reason}")


def _loaded(
    folder: Path,
    name: str,
    signature: str | None,
    output: str | None,
    tags: Sequence[str] | None,
) -> _Module:
    _check_folder(folder, name)
    try:
        graphs = tag_sets(folder)
    except Exception as error:
        raise _unreadable(name, error) from error
    tags = _chosen_tags(graphs, name, tags)
    try:
        loaded = tf.saved_model.load(str(folder), tags=tags)
    except Exception as error:
        raise _unreadable(name, error) from error
    functions = {
        key: function
        for key, function in sorted(getattr(loaded, "signatures", {}).items())
        if not key.startswith("__")
    }
    if not functions:
        raise ValueError(
            f"Module {name!r} has no signature. Export it with "
            "tf.saved_model.save(..., signatures=function)."
        )
    chosen = _choice("signature", signature, functions, DEFAULT_SIGNATURES, name)
    function = functions[chosen]
    outputs = {
        key: f"{key} {tensor.dtype.name} {tensor.shape}"
        for key, tensor in sorted(function.structured_outputs.items())
    }
    output = _choice("output", output, outputs, ("default",), name)
    dtype = function.structured_outputs[output].dtype
    if not dtype.is_floating:
        raise ValueError(
            f"Output {output!r} of module {name!r} is {dtype.name}, which has no "
            "gradient. Choose another with `output`, or export the images before they "
            "are rounded."
        )
    # Their order differs from one process to the next, and what a latent starts from
    # depends on its place.
    inputs = dict(sorted(function.structured_input_signature[1].items()))
    batches = {spec.shape[0] for spec in inputs.values() if spec.shape.rank} - {None}
    if len(batches) > 1:
        raise ValueError(
            f"Module {name!r} takes {_described(inputs)}: no number of images fits all."
        )
    return _Module(name, loaded, function, inputs, output, next(iter(batches), None))


def _unreadable(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name!r} cannot be loaded as a SavedModel: {reason_of(error)}")


def _chosen_tags(
    there: list[list[str]], name: str, tags: Sequence[str] | None
) -> list[str] | None:
    if tags is not None:
        tags = sorted([tags] if isinstance(tags, str) else tags)
        if there and tags not in there:
            raise ValueError(
                f"Module {name!r} has no graph with the tags {tags}. It has "
                f"{', '.join(map(str, there))}."
            )
        return tags
    if len(there) < 2:
        return None
    usual = next((choice for choice in USUAL_TAGS if choice in there), None)
    if usual is None:
        raise ValueError(
            f"Module {name!r} has several graphs, with the tags "
            f"{', '.join(map(str, there))}. Choose one with `tags`."
        )
    return usual


def _choice(
    argument: str,
    wanted: str | None,
    there: Mapping[str, Any],
    usual: Sequence[str],
    name: str,
) -> str:
    """Return which of the things that are there is wanted, or the usual one."""
    if wanted is None:
        likely = [key for key in usual if key in there] or list(there)
        if len(likely) == 1 or likely[0] in usual:
            return likely[0]
    elif wanted in there:
        return wanted
    listed = ", ".join(v if isinstance(v, str) else k for k, v in there.items())
    if wanted is None:
        raise ValueError(
            f"Module {name!r} has several {argument}s: {listed}. Choose one, such as "
            f"{argument}={next(iter(there))!r}, or {name}?{argument}=NAME."
        )
    raise ValueError(
        f"Module {name!r} has no {argument} {wanted!r}."
        f"{did_you_mean(wanted, there, most=2)} It has {listed}."
    )


def _found_latents(
    module: _Module, given: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, dict[str, Latent]]:
    """Return the range of the images, if it is known, and what each input is given."""
    inputs = module.inputs
    latents: dict[str, Any] = dict(given)
    for name, latent in given.items():
        if name not in inputs:
            raise ValueError(
                f"Module {module.name!r} has no input {name!r}."
                f"{did_you_mean(name, inputs, most=2)} It takes {_described(inputs)}."
            )
        if isinstance(latent, (int, float)):
            spec = inputs[name]
            shape = tuple(spec.shape[1:]) if spec.shape.rank else ()
            floating = spec.dtype.is_floating
            latents[name] = fixed(latent, shape, floating=floating)
        _check_latent(name, latents[name], module)
    given = latents
    value_range, known = _recognized(module, given)
    known = {**known, **given}
    return value_range, {
        name: known[name] if name in known else _proposal(name, module)
        for name in inputs
    }


def _recognized(
    module: _Module, given: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, dict[str, Latent]]:
    """Return range and latents of a generator that is known by what it takes."""
    inputs, names = module.inputs, set(module.inputs)
    sizes = {k: tuple(v.shape[1:]) for k, v in inputs.items() if v.shape.rank}
    if (
        names == {"y", "z", "truncation"}
        and sizes.get("y") == (1000,)
        and sizes.get("z") in [(size,) for size in BIGGAN_SIZES]
        and inputs["truncation"].shape.rank == 0
    ):
        return (-1, 1), _of_biggan(module, given)
    if names == {"latent"} and sizes.get("latent") == (512,):  # ProGAN
        return (0, 1), {}
    if module.output == "generated" and "z" in names <= {"z", "labels"}:
        return (0, 1), {}  # S3GAN, SSGAN and others of compare_gan
    return None, {}


def _of_biggan(module: _Module, given: Mapping[str, Latent]) -> dict[str, Latent]:
    if "y" not in given:
        raise ValueError(
            f"Module {module.name!r} is a BigGAN, whose `y` says which of 1000 classes "
            'to make. Choose one: latents={"y": 207}.'
        )
    truncation = given.get("truncation", held(0.5))
    amount = float(truncation.values(truncation.start([[0, 1]]))[0])
    if not 0 < amount <= 1:
        raise ValueError(
            "BigGAN's `truncation` must be above 0 and not above 1. Received: "
            f"truncation={amount:g}"
        )
    edge = BIGGAN_EDGE * amount
    z = gaussian(
        *module.inputs["z"].shape[1:],
        stddev=amount,
        truncation=BIGGAN_EDGE,
        domain=box(-edge, edge),
    )
    return {"z": z, "truncation": truncation}


def _proposal(name: str, module: _Module) -> Latent:
    spec = module.inputs[name]
    if spec.shape.rank == 0 and spec.dtype == tf.bool:
        return held(False)  # whether it is to be trained
    if spec.shape.rank == 0:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} is one number for all images. "
            f'Hold it: latents={{"{name}": 0.5}}.'
        )
    if not spec.dtype.is_floating:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} takes {spec.dtype.name}, which "
            f'has no gradient. Hold it: latents={{"{name}": 0}}.'
        )
    if spec.shape.rank is None or None in spec.shape[1:]:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} has the shape {spec.shape}; say "
            "with `latents` what to give it."
        )
    return proposed(*spec.shape[1:])


def _check_latent(name: str, latent: Any, module: _Module) -> None:
    spec = module.inputs[name]
    wanted = spec.shape if spec.shape.rank == 0 else spec.shape[1:]
    if not isinstance(latent, Latent):
        example = f"chosen(0, {wanted[0]})" if wanted.rank == 1 else "held(0)"
        raise TypeError(
            f"`latents` must hold a Latent for {name!r}, such as priors.{example}. "
            f"Received: {latent!r}"
        )
    if not wanted.is_compatible_with(latent.shape):
        raise ValueError(
            f"Input {name!r} of module {module.name!r} takes {wanted} for each image, "
            f"but its latent has the shape {latent.shape}."
        )
    if latent.optimized and not spec.dtype.is_floating:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} takes {spec.dtype.name}, which "
            "has no gradient, so it cannot be optimized. Hold it, with priors.held or "
            "optimized=False."
        )
    if spec.shape.rank == 0:
        first, second = latent.values(latent.start([[0, 1], [2, 3]])).numpy()
        if latent.optimized or first != second:
            raise ValueError(
                f"Input {name!r} of module {module.name!r} is one number for all "
                "images, so no image can have its own. Give it with priors.held."
            )


def _check_alone(param: Prior, name: str) -> None:
    """Refuse a module that mixes the images of a batch, or draws random numbers."""
    stored = param.init([[0, 1], [0, 2]])
    alone = param.decode({k: v[1:] for k, v in stored.items()})
    if not np.allclose(param.decode(stored)[1:], alone, 1e-3, 1e-3):
        raise ValueError(
            f"Module {name!r} makes another image of a latent beside others than "
            "alone: it is in training mode, or draws random numbers. Choose another "
            "graph with `tags` or `signature`, or export it for inference."
        )


def _given(values: Any, spec: tf.TensorSpec) -> Any:
    """Return values as an input of a module takes them."""
    return typed(values[0] if spec.shape.rank == 0 else values, spec.dtype)


def _filled(values: Any, size: int) -> Any:
    """Repeat values until there are `size`; other values might have no image at all."""
    repeats = -(-size // values.shape[0])
    return tf.tile(values, [repeats] + [1] * (values.shape.rank - 1))[:size]


def _described(inputs: Mapping[str, tf.TensorSpec]) -> str:
    return ", ".join(f"{k} {v.dtype.name} {v.shape}" for k, v in inputs.items())
