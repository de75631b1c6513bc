"""How messages of the library name arguments: as options, while a command runs."""

import click
import pytest

from tfviz._errors import argument, either, renaming
from tfviz.cli.main import main


def running(arguments, message, monkeypatch):
    """Return the text of a message while `tfviz ARGUMENTS` is running."""
    command = main
    for name in arguments:
        if not isinstance(command, click.Group):
            break
        command = command.commands[name]
    texts = []
    monkeypatch.setattr(command, "callback", lambda **_: texts.append(message()))
    main(arguments, standalone_mode=False)
    return texts[0]


PRIOR = ["priors", "info", "inverter"]
LAYERS = ["layers"]
COMPARE = ["compare", "fire2:3", "--images", ".", "-o", "out"]


@pytest.mark.parametrize(
    ("arguments", "name", "value", "text"),
    [
        (PRIOR, "value_range", (-1, 1), "--range=-1,1"),
        (PRIOR, "value_range", None, "--range"),
        (PRIOR, "given", {"label": 0}, "--give label=0"),
        (PRIOR, "given", {"a b": 1, "y": 0.5}, "--give 'a b=1' --give y=0.5"),
        (PRIOR, "size", (64, 48), "--size=64x48"),
        (PRIOR, "encoder", "my file.h5", "--encoder 'my file.h5'"),
        (PRIOR, "preprocess", (0, 1), "preprocess=(0, 1)"),
        (COMPARE, "value_range", (-1, 1), "--range NAME=-1,1"),
        (COMPARE, "encoder", "my file.h5", "--encoder NAME='my file.h5'"),
        (LAYERS, "allow_unsafe", True, "--allow-unsafe"),
        (LAYERS, "held", {"age": [1, 2]}, "--hold age=1,2"),
        (LAYERS, "output", "head", "--output-name head"),
        (["priors", "sample", "inverter", "-o", "a.png"], "output", "image",
         "output='image'"),
    ],
)  # fmt: skip
def test_a_command_names_its_own_options(arguments, name, value, text, monkeypatch):
    said = running(arguments, lambda: argument(name, value), monkeypatch)

    assert said == text


def test_python_names_arguments_also_after_a_command(monkeypatch):
    def message():
        with renaming(latents="given"):
            return argument("latents", {"y": 1}), either(python="a", command_line="b")

    assert running(PRIOR, message, monkeypatch) == ("--give y=1", "b")
    assert message() == ("given={'y': 1}", "a")
    assert argument("value_range", (0, 1)) == "value_range=(0, 1)"
    assert argument("custom", "a:B", python="register it") == "register it"
