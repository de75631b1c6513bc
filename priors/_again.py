"""Make a saved picture again, from the description in its file.

This lives beside the priors because a picture may have been made with one.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tfviz import images, params
from tfviz.models.adapter import adapt
from tfviz.models.load import load_model
from tfviz.optimize.job import Callback, Job
from tfviz.optimize.render import render_job
from tfviz.optimize.result import Result
from tfviz.params import Param

from ._sources import from_spec as prior_from_spec


def render_again(
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    callbacks: Sequence[Callback] = (),
    allow_unsafe: bool = False,
) -> Result:
    """Render the picture in a file again, from its own description.

    On the same machine, with the same versions and weights, the bytes are the same.

    Args:
        path: A `.png` or `.webp` file that tfviz wrote, with a single picture.
        model: The model that the picture was made with, as for `render`; needed where
            it came from a file of yours or from memory. By default the description
            tells which model to load.
        callbacks: As for `render`.
        allow_unsafe: Whether the file of a generator may contain Python code in a
            `Lambda` layer; see `priors.load`. A picture never allows it by itself.

    Returns:
        The picture, or all pictures of its group.

    Raises:
        ValueError: If the file has no description of a single picture, or one that
            does not say enough, such as that of a picture made from a start image.

    Warns:
        UserWarning: If the model, the prior or the versions differ from those that the
            picture was made with.

    >>> import tempfile, tfviz
    >>> model, small = tfviz.load_model("squeezenet"), tfviz.params.fourier(64, 64)
    >>> result = tfviz.render(model, "fire5:3", small, steps=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (file,) = result.save(f"{folder}/picture.png")
    ...     again = tfviz.render_again(file)
    >>> bool((again.images == result.images).all())
    True
    """
    spec = read_description(path)
    if model is None:
        source = spec["model"].get("source")
        if source is None:
            raise ValueError(
                f"The picture was made with the model {spec['model']['name']!r}, which "
                "the description cannot load. Give it as `model`."
            )
        settings = adapter_settings(spec)
        model = adapt(load_model(source), settings.pop("preprocess"), **settings)
    job = job_from_spec(model, spec, allow_unsafe=allow_unsafe)
    return render_job(job, callbacks)


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the description of the single picture in a file.

    Raises:
        ValueError: If it has none, or if the picture is a dream.
    """
    spec = images.read_spec(path)
    if spec and "dream" in spec:
        raise ValueError(
            f"{os.fspath(path)} is a dream of {spec['dream']}, and its file does not "
            "hold the photo that it was made from. Make it anew from the photo, with "
            "`tfviz dream` or `tfviz.dream`."
        )
    if not spec or "unit" not in spec:
        raise ValueError(
            f"{os.fspath(path)} holds no description of a single picture. Give a file "
            "that tfviz wrote, not a sheet."
        )
    return spec


def adapter_settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a picture's model saw its images, as arguments of `adapt`.

    Raises:
        ValueError: If it had a preprocessing function.
    """
    if spec["preprocess"] == "custom":
        raise ValueError(
            "The picture was made with a preprocessing function, which a file cannot "
            "hold. Make it again from Python."
        )
    return {
        "preprocess": spec["preprocess"],
        "held": spec["held"] or None,
        "image_input": spec["image_input"],
        "output": spec["output"],
    }


def job_from_spec(
    model: Any, spec: Mapping[str, Any], *, allow_unsafe: bool = False
) -> Job:
    """Return the job that makes a picture again, and warn of what differs.

    Args:
        model: A model, or an adapter.
        spec: The picture's description.
        allow_unsafe: Whether the file of a generator may contain Python code.

    Raises:
        ValueError: If the description does not say enough.
    """
    if spec["start"] is not None or not spec["param"]:
        raise ValueError(
            "The picture was made from a start image or with a param of your own, "
            "which a file cannot hold. Make it again from Python."
        )
    param = _param_from_spec(spec["param"], allow_unsafe=allow_unsafe)
    job = Job.from_spec(model, spec, param)
    for difference in _differences(spec, job.settings):
        warnings.warn(difference, stacklevel=3)
    return job


def _param_from_spec(spec: Mapping[str, Any], *, allow_unsafe: bool) -> Param:
    """Return the param of a description: one of the core, or a learned prior."""
    if spec["name"] != "prior":
        return params.from_spec(spec)
    try:
        prior = prior_from_spec(spec, allow_unsafe=allow_unsafe)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    if prior.spec["digest"] != spec["digest"]:
        warnings.warn(
            f"{spec['source']!r} is not what the picture was made with; another "
            "picture will come out.",
            stacklevel=4,
        )
    return prior


def _differences(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return sentences about what differs from when the picture was made."""
    differences = []
    if spec["model"]["hash"] != settings["model"]["hash"]:
        differences.append(
            "the model's weights are not those that the picture was made with; another "
            "picture will come out."
        )
    before = {"tfviz": spec["tfviz"]} | spec["versions"]
    now = {"tfviz": settings["tfviz"]} | settings["versions"]
    changed = [f"{k} {v}, now {now[k]}" for k, v in before.items() if now[k] != v]
    if changed:
        differences.append(
            f"the picture was made with {'; '.join(changed)}. Bytes may differ."
        )
    return differences
