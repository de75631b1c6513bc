"""Help texts, completion, colours, and outputs whose reader ends early."""

import os
import subprocess
import sys

import click
import keras
import pytest
from click.testing import CliRunner

from tfviz.cli import completion
from tfviz.cli.console import allows_colors
from tfviz.cli.help import Command, _first_sentence
from tfviz.cli.main import main

# A screen of a terminal that is not tall.
SCREEN = 40
RUN = "from tfviz.cli.main import main; main(prog_name='tfviz')"


def all_commands():
    group = main.commands["priors"].commands
    return main.commands | {f"priors {name}": group[name] for name in group}


def help_of(*arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    return result.stdout


def test_each_command_is_under_one_heading():
    listed = [name for names in main.headings.values() for name in names]
    assert sorted(listed) == sorted(main.commands)
    text = help_of("--help")
    assert "Others" not in text
    places = [text.index(f"\n{heading}:\n") for heading in main.headings]
    assert places == sorted(places)
    for heading, names in main.headings.items():
        for name in names:
            # No summary is cut off.
            assert f"  {main.commands[name].help.split('.')[0]}.\n" in text, heading


def test_each_option_is_in_one_section():
    for name, command in all_commands().items():
        if not isinstance(command, Command) or not command.sections:
            continue
        listed = [option for names in command.sections.values() for option in names]
        assert len(listed) == len(set(listed)), name
        options = [p for p in command.params if isinstance(p, click.Option)]
        given = {max(option.opts, key=len) for option in options} | {"--help"}
        # Sections say where a new option of the command belongs.
        assert set(listed) == given, name


def test_commands_with_many_options_have_sections():
    for name, command in all_commands().items():
        options = [p for p in command.params if isinstance(p, click.Option)]
        if len(options) > 13:
            assert getattr(command, "sections", None), name


@pytest.mark.parametrize(
    "name", ["render", "compare", "atlas", "examples", "dream", "priors train", "top"]
)
def test_the_most_used_options_are_seen_without_scrolling(name):
    words = name.split()
    first = all_commands()[name].sections["Most used options"]
    lines = help_of(*words, "--help").splitlines()
    starts = [line.split()[0] for line in lines[:SCREEN] if line.startswith("  -")]
    text = "\n".join(lines[:SCREEN])
    assert len(starts) >= len(first)
    assert all(f"{option} " in text for option in first)

    short = help_of(*words, "-h")
    assert len(short.splitlines()) <= SCREEN
    assert all(f"{option} " in short for option in first)
    assert f"\n  tfviz {name} " in short  # an example
    assert f"main {name} --help explains all" in short


def test_the_first_sentence_keeps_what_is_in_brackets():
    text = "The steps, e.g. 7. More take longer.  [default: 128; x>=1]"
    assert _first_sentence("One. Two. Three.") == "One."
    assert _first_sentence("One.  [required]") == "One.  [required]"
    assert _first_sentence("One. Two.\nThree.  [default: 3]") == "One.  [default: 3]"
    assert _first_sentence("No sentence") == "No sentence"
    assert _first_sentence(text).endswith("  [default: 128; x>=1]")


def test_numbers_have_the_names_of_numbers():
    text = help_of("render", "--help")
    assert "INTEGER" not in text
    assert "FLOAT" not in text
    assert "--size N|HxW " in text
    result = CliRunner().invoke(main, ["render", "fire8:1", "--steps", "ten"])
    assert "'ten' is not a valid whole number." in result.stderr


def test_colours_depend_on_the_terminal_and_the_environment(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    colored = CliRunner().invoke(main, ["render", "-h"], color=True).stdout
    plain = help_of("render", "-h")
    assert "\x1b[" in colored
    assert "\x1b[" not in plain
    assert click.unstyle(colored) == plain
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not allows_colors()
            again = CliRunner().invoke(main, ["render", "-h"], color=True).stdout
            assert again == plain


def complete(text):
    """Return what Bash gets for the last word of a text."""
    words = text.split(" ")
    setting = {"_TFVIZ_COMPLETE": "bash_complete", "COMP_WORDS": text}
    setting["COMP_CWORD"] = str(len(words) - 1)
    child = subprocess.run(
        [sys.executable, "-c", RUN],
        env=os.environ | setting, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return child.stdout.split()


def test_a_shell_gets_suggestions():
    assert complete("tfviz re") == ["plain,render"]
    assert complete("tfviz render --optimi") == ["plain,--optimizer"]


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("tfviz render --transforms g", ["gentle"]),
        ("tfviz render -m squ", ["squeezenet", "squ"]),
        ("tfviz layers --model keras:ResNet5", ["keras:ResNet50", "keras:ResNet50V2"]),
        ("tfviz render --param cp", ["cppn", "cp"]),
        ("tfviz render --preprocess t", ["tf", "torch"]),
        ("tfviz render --penalty l", ["l1=", "l2="]),
        ("tfviz compare --methods maco,cp", ["maco,cppn"]),
        ("tfviz priors train g", ["gan"]),
        ("tfviz atlas -o si", ["si"]),
    ],
)
def test_values_are_suggested(text, suggested):
    from click.shell_completion import BashComplete

    *words, last = text.split()[1:]
    shell = BashComplete(main, {}, "tfviz", "_TFVIZ_COMPLETE")
    assert [item.value for item in shell.get_completions(words, last)] == suggested


def test_the_networks_of_keras_are_listed_without_importing_it():
    networks = [name for name in dir(keras.applications) if name[0].isupper()]
    assert completion.keras_networks() == sorted(networks)


@pytest.mark.parametrize("arguments", [["render", "--help"], ["priors", "list"]])
def test_a_reader_that_ends_early_causes_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    child = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    errors = [x for x in child.stderr.splitlines() if "Error" in x or "Trace" in x]
    assert errors == []
    assert child.returncode == 1
