"""The commands and the code in pages fit the command line and the library."""

import ast
import importlib
import inspect
import re

import click
import numpy as np
import pytest
from pages import commands, markdown_files, read_blocks, read_text, split_command
from PIL import Image
from support import ROOT, build_toy

import tfviz
from tfviz.cli import param_types
from tfviz.cli.main import main

MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = {
    str(file.relative_to(ROOT)): read_blocks(read_text(file))
    for file in markdown_files()
    if file.name != "CHANGELOG.md"
}
COMMANDS = [
    pytest.param(line, not block.language or bool(block.reason), id=f"{page}:{number}")
    for page, blocks in PAGES.items()
    for block in blocks
    if block.language in ("sh", "")
    for number, line in commands(block)
    if line.startswith("tfviz ")
]
# Files that a command may read while its arguments are parsed.
READ = re.compile(r"[\w./+-]+\.(keras|h5|hdf5|npz|safetensors|tflite|jpg|png)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what every page finds there."""
    folder = tmp_path_factory.mktemp("page")
    build_toy().save(folder / "mine.keras")
    Image.new("RGB", (8, 8)).save(folder / "holiday.jpg")
    (folder / "photos").mkdir()
    return folder


@pytest.fixture
def parsed(folder, monkeypatch):
    """Parse commands, where all files are there that they read."""
    monkeypatch.chdir(folder)
    # Whether a file is there says nothing about a command in a page.
    for kind in (click.Path, param_types.LabelsFile, param_types.NamesFile):
        monkeypatch.setattr(kind, "convert", lambda self, value, *_: value)

    def parse(line, *, any_folder):
        arguments = split_command(line)[1:]
        for argument in arguments:
            for name in READ.finditer(argument):
                stand_in(folder, name[0])
            if any_folder and re.fullmatch(r"[A-Za-z][\w/-]*", argument):
                (folder / argument).mkdir(parents=True, exist_ok=True)
                (folder / argument / "saved_model.pb").touch()
        return context_of(main, "tfviz", arguments)

    return parse


def stand_in(folder, name):
    """Write a file of the kind that its name says, if there is none."""
    file = folder / name.lstrip("/")
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".keras":
        file.write_bytes((folder / "mine.keras").read_bytes())
    elif file.suffix == ".npz":
        np.savez(file, nothing=0)
    else:
        file.touch()


def context_of(command, name, arguments, parent=None):
    """Return the context of the innermost command, without running it."""
    context = command.make_context(name, list(arguments), parent=parent)
    if not isinstance(command, click.Group):
        return context
    rest = [*context._protected_args, *context.args]
    name, inner, rest = command.resolve_command(context, rest)
    return context_of(inner, name, rest, context)


@pytest.mark.parametrize(("line", "is_not_run"), COMMANDS)
def test_options_exist_and_their_values_fit(parsed, line, is_not_run):
    try:
        context = parsed(line, any_folder=is_not_run)
    except click.exceptions.Exit:  # `--help` and `--version`
        return
    except click.UsageError as error:
        pytest.fail(f"{line}\n{error.format_message()}")
    for unit in context.params.get("units") or [context.params.get("unit")]:
        if unit:
            # Patterns are looked up in a model; here any layer and unit will do.
            text = re.sub(r"\[[^]]*\]|\*", "x", unit.replace(":*", ":0"))
            assert tfviz.objectives.parse(text)


def test_mistakes_in_commands_are_found(parsed):
    for line in (
        "tfviz render fire8:20 -o out --stepz 3",
        "tfviz render fire8:20 -o out --steps many",
        "tfviz rendr fire8:20",
        "tfviz render fire8:20 -m squeezenett -o out",
    ):
        with pytest.raises(click.UsageError):
            parsed(line, any_folder=False)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_follow_the_conventions(page):
    for block in PAGES[page]:
        place = f"{page}:{block.line}"
        assert block.reason != "", f"{place}: says not why it is not run"
        if block.language == "sh" and block.reason is None:
            for _, line in commands(block):
                assert line.startswith(("tfviz ", "pip ", "make ")), f"{place}: {line}"
        for _, line in commands(block) if block.language == "sh" else ():
            if line.startswith("make "):
                target = line.split()[1]
                assert f"\n{target}:" in MAKEFILE, f"{place}: no target {target}"
            for script in re.findall(r"^python ([\w/]+\.py)", line):
                assert (ROOT / script).exists(), f"{place}: no {script}"


CODE = [
    pytest.param(block, id=f"{page}:{block.line}")
    for page, blocks in PAGES.items()
    for block in blocks
    if block.language == "python"
]


@pytest.mark.parametrize("block", CODE)
def test_code_uses_names_and_arguments_that_exist(block):
    code = ast.parse(block.code)
    names = {"tfviz": tfviz}
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tfviz"):
            for alias in node.names:
                names[alias.asname or alias.name] = imported(node.module, alias.name)
    for node in ast.walk(code):
        value = resolve(node, names) if isinstance(node, ast.Attribute) else None
        assert value is not MISSING, ast.unparse(node)
        if isinstance(node, ast.Call):
            function = resolve(node.func, names)
            if function is not None:
                check_arguments(function, node)


MISSING = object()


def imported(module, name):
    """Return what `from module import name` gives."""
    scope = {}
    exec(f"from {module} import {name} as value", scope)
    return scope["value"]


def member(module, name):
    """Return an attribute, which can be a module that is not imported yet."""
    if not hasattr(module, name) and inspect.ismodule(module):
        importlib.import_module(f"{module.__name__}.{name}")
    return getattr(module, name)


def resolve(node, names):
    """Return what an expression such as `tfviz.params.fourier` is.

    None if it does not begin with a name of tfviz, and `MISSING` if there is no such
    name.
    """
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    value = resolve(node.value, names)
    if value is None or value is MISSING:
        return value
    try:
        return member(value, node.attr)
    except (AttributeError, ImportError):
        return MISSING


def check_arguments(function, call):
    """Check that a function takes the arguments by these names."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return
    named = {k.arg: None for k in call.keywords if k.arg}
    inspect.signature(function).bind_partial(*call.args, **named)


def test_mistakes_in_code_are_found():
    names = {"tfviz": tfviz}
    assert resolve(ast.parse("tfviz.params.furier", mode="eval").body, names) is MISSING
    call = ast.parse("tfviz.render(model, 'fire8:20', stepz=3)", mode="eval").body
    with pytest.raises(TypeError, match="stepz"):
        check_arguments(tfviz.render, call)
