"""Which of a model's outputs has the classes."""

from typing import Any

from tfviz._errors import did_you_mean


class OutputError(ValueError):
    """A model has no output of that name."""


def output_names(model: Any, output: Any) -> list[str]:
    """Return the names of a model's outputs: keys, Keras' names, or numbers."""
    if isinstance(output, dict):
        return list(output)
    if not isinstance(output, (list, tuple)):
        return []
    names = getattr(model, "output_names", None) or []
    if len(names) != len(output) or len(set(names)) != len(output):
        names = [str(place) for place in range(len(output))]
    return list(names)


def chosen_output(model: Any, output: Any, chosen: str | int | None) -> Any:
    """Return one of several outputs, or all of them if none is chosen.

    Raises:
        OutputError: If there is no such output.
    """
    if chosen is None:
        return output
    names = output_names(model, output)
    values = list(output.values()) if isinstance(output, dict) else output
    if isinstance(chosen, str) and chosen in names:
        return values[names.index(chosen)]
    if str(chosen).isdecimal() and int(chosen) < len(names):
        return values[int(chosen)]
    hint = did_you_mean(str(chosen), names)
    known = f"the outputs {', '.join(map(repr, names))}" if names else "a single output"
    raise OutputError(
        f"Model {model.name!r} has no output {chosen!r}.{hint} It has {known}."
    )
