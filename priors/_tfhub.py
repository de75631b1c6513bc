"""Priors from generators in SavedModels and modules of TF-Hub."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfviz._errors import argument, did_you_mean, either, reason_of
from tfviz._foreign_files import GRAPH_FILES
from tfviz.models.graph import DEFAULT_SIGNATURES, tag_sets
from tfviz.models.load import fetch_module
from tfviz.models.sources import is_saved_model
from tfviz.params._base import Latents
from tfviz.priors._constraints import box
from tfviz.priors._from_graph import read_and_assembled, select_class
from tfviz.priors._latents import (
    Latent,
    cast_to_input,
    constant_latent,
    default_latent,
    gaussian,
    held,
)
from tfviz.priors._prior import Prior, assembled
from tfviz.priors._reading import read

# The tags of the graph to use if a module has several, in order of preference: first
# that for any number of images, last that for 64 images, and never one for training.
USUAL_TAGS: tuple[list[str], ...] = (["bsNone", "gen"], ["serve"], [])
# The sizes of `z` in the modules of BigGAN and BigGAN-deep for 128, 256 and 512 pixels.
BIGGAN_SIZES = (120, 128, 140)
# The bound of the truncated normal distribution of BigGAN's `z`, before `z` is
# multiplied by the truncation.
BIGGAN_EDGE = 2.0


def saved_model(
    path: str | os.PathLike[str],
    *,
    value_range: tuple[float, float] | None = None,
    signature: str | None = None,
    output: str | None = None,
    latents: Mapping[str, Latent | float] | None = None,
    tags: Sequence[str] | None = None,
) -> Prior:
    """Make a prior of a generator in a SavedModel, whose inputs are optimized.

    BigGAN, ProGAN and S3GAN are recognized by their inputs, which tells their range.
    BigGAN and S3GAN need the number of a class:

        priors.saved_model("biggan", latents={"y": 207})
        priors.saved_model("s3gan", latents={"labels": 207})

    Args:
        path: The folder of a SavedModel or of a module of TF-Hub.
        value_range: The values of black and white in the generator's images. By default
            it is read from the last activation: (-1, 1) for tanh, (0, 1) for a sigmoid.
        signature: The name of the function that makes images; by default the usual one.
        output: The name of the function's output that holds the images; by default
            `default`, or the only one.
        latents: The latent of each input, by the input's name. By default each input
            starts from normal numbers; those of BigGAN are truncated at its
            `truncation`, which is 0.5 by default. An input of integers, or of one
            number for all images, must be constant (`held`, or just a number). For an
            input that is a vector, a number means a class, as a one-hot vector.
        tags: The tags of the graph to use, if there are several; by default those of a
            graph that is not for training.

    Returns:
        A param whose images have the generator's size. Its `spec` is empty, because a
        description cannot hold the generator.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the module has no such function, an argument is missing, or the
            generator is refused by `assembled`.
        TypeError: If `latents` holds something that is not a `Latent` or a number.

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
    module = _load_module(folder, str(folder), signature, output, tags)
    return _prior_of(module, value_range, latents or {})


def hub(
    handle: str,
    *,
    value_range: tuple[float, float] | None = None,
    signature: str | None = None,
    output: str | None = None,
    latents: Mapping[str, Latent | float] | None = None,
    tags: Sequence[str] | None = None,
) -> Prior:
    """Make a prior of a generator of TF-Hub, whose inputs are optimized.

        priors.hub("https://tfhub.dev/google/progan-128/1")

    Args:
        handle: The URL of a module, which `tensorflow_hub` fetches or has in its cache.
        value_range: As in `saved_model`.
        signature: As in `saved_model`.
        output: As in `saved_model`.
        latents: As in `saved_model`.
        tags: As in `saved_model`.

    Raises:
        ValueError: If the module cannot be fetched, or is refused by `saved_model`.
        TypeError: If `latents` holds something that is not a `Latent` or a number.
    """
    module = _load_module(fetch_module(handle), handle, signature, output, tags)
    return _prior_of(module, value_range, latents or {})


@dataclass(frozen=True)
class _Module:
    """A function of a SavedModel that makes images.

    Attributes:
        name: The folder or URL that the user gave, for messages.
        loaded: The loaded SavedModel, kept because the function does not keep its
            variables alive.
        call: The function.
        inputs: The shape and type of each input, by name.
        output: The name of the output that holds the images.
        batch: The number of images that the function makes at a time, or None if it
            takes any number.
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
            return self._generate(values)
        (n,) = {value.shape[0] for value in values.values()}
        starts = range(0, n, self.batch)
        padded = {k: _pad_batch(v, len(starts) * self.batch) for k, v in values.items()}
        parts = [
            self._generate(
                {k: v[start : start + self.batch] for k, v in padded.items()}
            )
            for start in starts
        ]
        return tf.concat(parts, axis=0)[:n]

    def _generate(self, values: Latents) -> Any:
        arguments = {
            name: _input_value(values[name], spec) for name, spec in self.inputs.items()
        }
        # Positional arguments would be taken in the order of the names.
        return self.call(**arguments)[self.output]


def _prior_of(
    module: _Module,
    value_range: tuple[float, float] | None,
    latents: Mapping[str, Latent | float],
) -> Prior:
    """Make a prior of a module, with the latents that the user gave."""
    default_range, all_latents = _latents_for_inputs(module, latents)
    try:
        if value_range is None and default_range is not None:
            prior = assembled(all_latents, module, value_range=default_range)
            prior = replace(prior, range_source="that of its kind of generator")
        else:
            prior = read_and_assembled(all_latents, module, value_range)
        _check_independence(prior, module.name)
    except tf.errors.OpError as error:
        raise ValueError(f"Module {module.name!r} fails: {reason_of(error)}") from error
    return prior


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a path that is not the folder of a SavedModel, with a hint."""
    if is_saved_model(folder):
        return
    if not folder.exists():
        raise FileNotFoundError(f"There is no SavedModel {name!r}.")
    if folder.name in GRAPH_FILES:
        hint = f"Give its folder: {str(folder.parent)!r}"
    elif not folder.is_dir():
        hint = "Give a folder; for the file of a Keras model, use `gan`."
    else:
        inside = sorted(p for p in folder.iterdir() if is_saved_model(p))
        hint = f"Did you mean {str(inside[0])!r}?" if inside else ""
    reason = f"it is not a folder with a {GRAPH_FILES[0]}. {hint}".rstrip()
    raise ValueError(f"{name!r} is not a SavedModel: {reason}")


def _load_module(
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
    tags = _select_tags(graphs, name, tags)
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
    function = functions[
        _select("signature", signature, functions, DEFAULT_SIGNATURES, name)
    ]
    outputs = {
        key: f"{key} {tensor.dtype.name} {tensor.shape}"
        for key, tensor in sorted(function.structured_outputs.items())
    }
    output = _select("output", output, outputs, ("default",), name)
    dtype = function.structured_outputs[output].dtype
    if not dtype.is_floating:
        raise ValueError(
            f"Output {output!r} of module {name!r} is {dtype.name}, which has no "
            f"gradient. Choose another one ({_choice('output', 'NAME', name)}), or "
            "export the images before they are rounded."
        )
    # Sorted, because their order differs between processes, and the start of a latent
    # depends on its index.
    inputs = dict(sorted(function.structured_input_signature[1].items()))
    batches = {spec.shape[0] for spec in inputs.values() if spec.shape.rank} - {None}
    if len(batches) > 1:
        raise ValueError(
            f"Module {name!r} takes {_describe(inputs)}: no number of images fits all."
        )
    return _Module(name, loaded, function, inputs, output, next(iter(batches), None))


def _unreadable(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name!r} cannot be loaded as a SavedModel: {reason_of(error)}")


def _select_tags(
    available: list[list[str]], name: str, tags: Sequence[str] | None
) -> list[str] | None:
    """Return the tags of the graph to load, or None if there is only one graph."""
    if tags is not None:
        tags = sorted([tags] if isinstance(tags, str) else tags)
        if available and tags not in available:
            raise ValueError(
                f"Module {name!r} has no graph with the tags {tags}. It has "
                f"{', '.join(map(str, available))}."
            )
        return tags
    if len(available) < 2:
        return None
    usual = next((choice for choice in USUAL_TAGS if choice in available), None)
    if usual is None:
        raise ValueError(
            f"Module {name!r} has several graphs, with the tags "
            f"{', '.join(map(str, available))}. Choose one in Python: "
            f"tfviz.priors.saved_model(folder, tags={available[0]})."
        )
    return usual


def _select(
    kind: str,
    wanted: str | None,
    options: Mapping[str, Any],
    usual: Sequence[str],
    name: str,
) -> str:
    """Return the name of the wanted signature or output, or the usual one.

    Args:
        kind: What is selected, `signature` or `output`.
        wanted: The name that the user gave, or None.
        options: The available ones by name, with descriptions as values if they are
            strings.
        usual: The names to use by default, in order of preference.
        name: The name of the module, for messages.
    """
    if wanted is None:
        likely = [key for key in usual if key in options] or list(options)
        if len(likely) == 1 or likely[0] in usual:
            return likely[0]
    elif wanted in options:
        return wanted
    listed = ", ".join(v if isinstance(v, str) else k for k, v in options.items())
    if wanted is None:
        raise ValueError(
            f"Module {name!r} has several {kind}s: {listed}. Choose one, such as "
            f"{_choice(kind, next(iter(options)), name)}."
        )
    raise ValueError(
        f"Module {name!r} has no {kind} {wanted!r}."
        f"{did_you_mean(wanted, options, most=2)} It has {listed}."
    )


def _choice(kind: str, wanted: str, name: str) -> str:
    """Return how a signature or an output is selected, for messages."""
    source = repr(f"{name}?{kind}={wanted}")
    return either(
        python=f"{kind}={wanted!r}, or {source} for `load`", command_line=source
    )


def _latents_for_inputs(
    module: _Module, latents: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, dict[str, Latent]]:
    """Return the value range, or None if it is unknown, and a latent for each input."""
    inputs = module.inputs
    user_latents: dict[str, Any] = dict(latents)
    for name, latent in latents.items():
        if name not in inputs:
            raise ValueError(
                f"Module {module.name!r} has no input {name!r}."
                f"{did_you_mean(name, inputs, most=2)} It takes {_describe(inputs)}."
            )
        if isinstance(latent, (int, float)):
            spec = inputs[name]
            shape = tuple(spec.shape[1:]) if spec.shape.rank else ()
            floating = spec.dtype.is_floating
            user_latents[name] = constant_latent(latent, shape, floating=floating)
        _check_latent(name, user_latents[name], module)
    value_range, special_latents = _recognize(module, user_latents)
    all_latents = {**special_latents, **user_latents}
    return value_range, {
        name: all_latents[name] if name in all_latents else _default(name, module)
        for name in inputs
    }


def _recognize(
    module: _Module, latents: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, dict[str, Latent]]:
    """Return the value range and special latents of a well-known kind of generator.

    The kind is recognized by the names and shapes of the inputs. For others, the range
    is None and there are no special latents.
    """
    inputs, names = module.inputs, set(module.inputs)
    sizes = {k: tuple(v.shape[1:]) for k, v in inputs.items() if v.shape.rank}
    if (
        names == {"y", "z", "truncation"}
        and sizes.get("y") == (1000,)
        and sizes.get("z") in [(size,) for size in BIGGAN_SIZES]
        and inputs["truncation"].shape.rank == 0
    ):
        return (-1, 1), _biggan_latents(module, latents)
    if names == {"latent"} and sizes.get("latent") == (512,):  # ProGAN
        return (0, 1), {}
    if module.output == "generated" and "z" in names <= {"z", "labels"}:
        return (0, 1), {}  # S3GAN, SSGAN and other models of compare_gan
    return None, {}


def _biggan_latents(
    module: _Module, latents: Mapping[str, Latent]
) -> dict[str, Latent]:
    if "y" not in latents:
        raise ValueError(
            f"Module {module.name!r} is a BigGAN, whose input `y` selects one of 1000 "
            f"classes. Choose one: {argument('latents', {'y': 207})}."
        )
    truncation = latents.get("truncation", held(0.5))
    amount = float(truncation.values(truncation.start([[0, 1]]))[0])
    if not 0 < amount <= 1:
        raise ValueError(
            "BigGAN's `truncation` must be above 0 and at most 1. Received: "
            f"{amount:g}. A usual one is {argument('latents', {'truncation': 0.5})}."
        )
    edge = BIGGAN_EDGE * amount
    z = gaussian(
        *module.inputs["z"].shape[1:],
        stddev=amount,
        truncation=BIGGAN_EDGE,
        domain=box(-edge, edge),
    )
    return {"z": z, "truncation": truncation}


def _default(name: str, module: _Module) -> Latent:
    """Return the default latent of an input, or refuse an input that has none."""
    spec = module.inputs[name]
    if spec.shape.rank == 0 and spec.dtype == tf.bool:
        return held(False)  # The switch between training and inference.
    if spec.shape.rank == 0:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} is one number for all images. "
            f"Hold it constant: {argument('latents', {name: 0.5})}."
        )
    if not spec.dtype.is_floating:
        raise ValueError(select_class(name, _classes(module).get(name)))
    if spec.shape.rank is None or None in spec.shape[1:][-1:]:
        raise ValueError(
            f"Input {name!r} of module {module.name!r} has the shape {spec.shape}, "
            "which does not say how many numbers it takes. Give them in Python: "
            f"tfviz.priors.saved_model(folder, latents={{{name!r}: "
            "tfviz.priors.gaussian(100)})."
        )
    return default_latent(*(size or 1 for size in spec.shape[1:]))


def _classes(module: _Module) -> Mapping[str, int]:
    """Return the number of classes of the inputs of a module that select one."""
    shapes = {
        name: [size or 1 for size in spec.shape] if spec.shape.rank else [1]
        for name, spec in module.inputs.items()
    }
    return read(
        module, {n: tf.TensorSpec(shape) for n, shape in shapes.items()}
    ).classes


def _check_latent(name: str, latent: Any, module: _Module) -> None:
    """Refuse a latent that an input cannot take, or that cannot be optimized."""
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
            "has no gradient, so it cannot be optimized. Hold it constant, with "
            "priors.held or optimized=False."
        )
    if spec.shape.rank == 0:
        first, second = latent.values(latent.start([[0, 1], [2, 3]])).numpy()
        if latent.optimized or first != second:
            raise ValueError(
                f"Input {name!r} of module {module.name!r} is one number for all "
                "images, so images cannot have different ones. Use priors.held."
            )


def _check_independence(prior: Prior, name: str) -> None:
    """Refuse a module that mixes the images of a batch, or draws random numbers."""
    stored = prior.init([[0, 1], [0, 2]])
    alone = prior.decode({k: v[1:] for k, v in stored.items()})
    if not np.allclose(prior.decode(stored)[1:], alone, 1e-3, 1e-3):
        raise ValueError(
            f"Module {name!r} makes different images of the same latent alone and in a "
            "batch: it is in training mode, or draws random numbers. Choose another "
            f"function ({_choice('signature', 'NAME', name)}), or export it for "
            "inference."
        )


def _input_value(values: Any, spec: tf.TensorSpec) -> Any:
    """Return values in the shape and type of an input of a module."""
    return cast_to_input(values[0] if spec.shape.rank == 0 else values, spec.dtype)


def _pad_batch(values: Any, size: int) -> Any:
    """Pad values to `size` by repeating them, as other values might be invalid."""
    repeats = -(-size // values.shape[0])
    return tf.tile(values, [repeats] + [1] * (values.shape.rank - 1))[:size]


def _describe(inputs: Mapping[str, tf.TensorSpec]) -> str:
    return ", ".join(f"{k} {v.dtype.name} {v.shape}" for k, v in inputs.items())
