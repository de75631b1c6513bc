"""Make a saved picture again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from tfviz.cli import _options as options
from tfviz.cli._units import extended_again


def job_from(spec: Mapping[str, Any], chosen: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the job that makes a picture again, and the name of its model.

    Args:
        spec: The picture's description.
        chosen: Options about the model that the user gave.

    Raises:
        click.ClickException: If the description does not tell enough.
    """
    model = chosen.get("model") or spec["model"].get("source")
    if model is None:
        raise click.ClickException(
            f"The picture was made with the model {spec['model']['name']!r} from a "
            "file. Give that file with -m."
        )
    preprocess = chosen.get("preprocess") or spec["preprocess"]
    if preprocess == "custom":
        raise click.ClickException(
            "The picture was made with a preprocessing function, which a file cannot "
            "hold. Make it again from Python."
        )
    given = {k: v for k, v in chosen.items() if k not in ("model", "preprocess")}
    given.setdefault("hold", tuple(spec["held"].items()))
    given.setdefault("image_input", spec["image_input"])
    given.setdefault("output_name", spec["output"])
    adapter = options.load_adapter(
        model,
        preprocess,
        **given,
    )
    import keras  # noqa: PLC0415

    from tfviz import stops, transforms  # noqa: PLC0415
    from tfviz._job import Job  # noqa: PLC0415
    from tfviz._updates import NORMALIZED, Method  # noqa: PLC0415

    optimizer = None
    if spec["optimizer"] == {"name": NORMALIZED}:
        optimizer = NORMALIZED
    elif spec["optimizer"] != {"name": "adam"}:
        optimizer = keras.optimizers.deserialize(spec["optimizer"])
    if spec["start"] is not None or not spec["param"]:
        raise click.ClickException(
            "The picture was made from a start image or with a param of your own, "
            "which a file cannot hold. Make it again from Python."
        )
    shaping = ("gradient_blur", "normalize_gradient", "alpha", "smooth_pools")
    method = Method(optimizer, **{name: spec[name] for name in shaping})
    job = Job(
        adapter,
        extended_again(adapter, spec),
        _param_from(spec["param"]),
        transforms.from_spec(spec["transforms"]),
        steps=spec["steps"],
        learning_rate=spec["learning_rate"],
        method=method,
        stop=[stops.from_spec(rule) for rule in spec["stop"]],
        batch_size=spec["batch"],
        seed=spec["seed"],
        candidates=spec.get("candidates", 1),
        restarts=spec.get("restarts", 1),
        notes={name: spec.get(name) for name in ("penalties", "diversity")},
        at=(spec["repeat"], spec["slot"], spec["batch_size"]),
    )
    # Names given to the classes by hand are not in the model.
    job.pictures = [replace(picture, name=spec["name"]) for picture in job.pictures]
    _warn_of_differences(spec, job.settings)
    return job, model


def _param_from(spec: Mapping[str, Any]) -> Any:
    """Return the param of a description: one of the core, or a learned prior."""
    from tfviz import params  # noqa: PLC0415

    if spec["name"] != "prior":
        return params.from_spec(spec)
    from tfviz import priors  # noqa: PLC0415

    try:
        prior = priors.from_spec(spec)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    if prior.spec["digest"] != spec["digest"]:
        click.echo(
            f"Warning: {spec['source']!r} is not what the picture was made with; "
            "another picture will come out.",
            err=True,
        )
    return prior


def _warn_of_differences(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if spec["model"]["hash"] != settings["model"]["hash"]:
        click.echo(
            "Warning: the model's weights are not those that the picture was made "
            "with; another picture will come out.",
            err=True,
        )
    before = {"tfviz": spec["tfviz"]} | spec["versions"]
    now = {"tfviz": settings["tfviz"]} | settings["versions"]
    changed = [f"{k} {v}, now {now[k]}" for k, v in before.items() if now[k] != v]
    if changed:
        click.echo(
            f"Warning: the picture was made with {'; '.join(changed)}. Bytes may "
            "differ.",
            err=True,
        )
