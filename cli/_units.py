"""What the options of `render` make of units and params."""

from collections.abc import Mapping, Sequence
from typing import Any

import click


def extended(
    adapter: Any,
    units: Sequence[str],
    *,
    penalties: Sequence[tuple[str, float]] = (),
    diverse: int | None = None,
    diversity: float | None = None,
    diversity_layer: str | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the objectives of units with penalties and diversity, under their names.

    Returns:
        The objectives, and what was added as JSON values for a picture's description.
    """
    from tfviz import objectives  # noqa: PLC0415
    from tfviz._arguments import listed  # noqa: PLC0415
    from tfviz._diverse import compared_layer, with_diversity  # noqa: PLC0415
    from tfviz._objective import named_as  # noqa: PLC0415

    found = listed(list(units), adapter)
    notes: dict[str, Any] = {"penalties": dict(penalties), "diversity": None}
    if diverse is not None:
        if diversity is None:
            raise click.UsageError(
                "--diverse needs the weight of the difference: --diversity. In "
                "Python, tfviz.diverse searches for it."
            )
        found = [
            with_diversity(
                unit,
                diversity_layer or compared_layer(adapter, unit),
                diverse,
                diversity,
            )
            for unit in found
        ]
        notes["diversity"] = {
            "n": diverse,
            "weight": diversity,
            "layer": diversity_layer,
        }
    elif diversity is not None or diversity_layer is not None:
        raise click.UsageError("--diversity needs the number of pictures: --diverse.")
    for name, weight in penalties:
        penalty = getattr(objectives, name)()
        found = [named_as(unit - weight * penalty, unit) for unit in found]
    return found, notes


def extended_again(adapter: Any, spec: Mapping[str, Any]) -> list[Any]:
    """Return the objective of a saved picture, or of its group."""
    diversity = spec.get("diversity") or {}
    found, _ = extended(
        adapter,
        [spec["unit"]],
        penalties=list(spec.get("penalties", {}).items()),
        diverse=diversity.get("n"),
        diversity=diversity.get("weight"),
        diversity_layer=diversity.get("layer"),
    )
    return found


def param_of(
    name: str, height: int, width: int, adapter: Any, statistics: str | None
) -> Any:
    """Return the param of that name, with colours and waves as measured."""
    from tfviz import params  # noqa: PLC0415

    options: dict[str, Any] = {}
    if statistics is not None:
        from tfviz import statistics as measured  # noqa: PLC0415

        found = measured.load(statistics)
        if name == "maco":
            options["statistics"] = found
        else:
            options["color"] = found.color
    return getattr(params, name)(height, width, adapter.channels, **options)
