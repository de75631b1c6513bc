"""What takes part in `tfviz compare`, as its options say."""

from typing import Any

import click

from tfviz._errors import did_you_mean
from tfviz.cli import _types as types
from tfviz.cli.generators import load_prior


def named(
    option: str,
    given: tuple[tuple[str, Any], ...],
    *contenders: tuple[tuple[str, str], ...],
) -> dict[str, Any]:
    """Return what an option says of priors, by their names."""
    names = [
        name for group in contenders for name, of in group if of not in types.PARAMS
    ]
    for name, _ in given:
        if name not in names:
            raise click.UsageError(
                f"{option} is of {name!r}, which is no prior that takes part."
                f"{did_you_mean(name, names)} There are: {', '.join(names) or 'none'}."
            )
    return dict(given)


def loaded(
    adapter: Any,
    methods: tuple[tuple[str, str], ...],
    wrong: tuple[tuple[str, str], ...],
    **told: dict[str, Any],
) -> dict[str, Any]:
    """Return the methods, and the priors of other domains.

    Args:
        adapter: Of the network.
        methods: Names and what they are.
        wrong: Names and priors.
        **told: Options of `load_prior`, by the names of priors.
    """
    from tfviz import Contender  # noqa: PLC0415
    from tfviz.cli._units import param_of  # noqa: PLC0415

    twice = {name for name, _ in methods} & {name for name, _ in wrong}
    if twice:
        raise click.UsageError(
            f"--control {min(twice)} has the name of a method. Give it another."
        )

    def prior(name: str, source: str) -> Any:
        options: dict[str, Any] = {option: of.get(name) for option, of in told.items()}
        found = load_prior(source, **options)
        network = (found.trained or {}).get("network")
        if source.endswith(".npz") and network == adapter.fingerprint():
            # An inverter looks at photos with it, and its file may not name it.
            found = load_prior(source, network=adapter, **options)
        return found

    height, width = adapter.size
    found = {}
    for name, source in methods:
        if source in types.PARAMS:
            param = param_of(source, height, width, adapter, None)
            found[name] = Contender(param)
        else:
            found[name] = Contender(prior(name, source))
    for name, source in wrong:
        found[name] = Contender(
            prior(name, source),
            kind="control",
            description="A prior of another domain.",
        )
    return found


def with_controls(
    adapter: Any, contenders: dict[str, Any], *, controls: bool, ablations: bool
) -> dict[str, Any]:
    """Return contenders with each method on random weights, and without its parts."""
    from tfviz._controls import ablations as without  # noqa: PLC0415
    from tfviz._controls import on_random_weights, randomized  # noqa: PLC0415

    found = dict(contenders)
    methods = {n: c for n, c in contenders.items() if c.kind == "method"}
    if controls:
        random = randomized(adapter)
        for name, contender in methods.items():
            found |= on_random_weights(name, contender, random)
    if ablations:
        for name, contender in methods.items():
            found |= without(name, contender)
    return found
