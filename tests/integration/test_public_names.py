"""House rules, checked on everything that is public."""

import doctest
import inspect
import re
from importlib import import_module

import pytest
from support import ROOT

import tfviz

MODULES = [
    "directions",
    "images",
    "judges",
    "levels",
    "measures",
    "objectives",
    "params",
    "preprocessing",
    "statistics",
    "stops",
    "transforms",
]
# Functions that only someone with a file at hand can try.
WITHOUT_EXAMPLE = {
    "Objective.bound",
    "check_format",
    "correlation",
    "detect",
    "read",
    "read_spec",
    "save",
    "sheet",
    "write_safely",
}


def public():
    names = [n for n in tfviz.__all__ if n not in MODULES]
    found = {name: getattr(tfviz, name) for name in names}
    for name in MODULES:
        module = import_module(f"tfviz.{name}")
        chosen = getattr(module, "__all__", None) or [
            n
            for n, value in vars(module).items()
            if not n.startswith("_")
            and getattr(value, "__module__", "") == module.__name__
        ]
        found |= {f"{name}.{n}": getattr(module, n) for n in chosen}
    return {k: v for k, v in found.items() if callable(v)}


PUBLIC = public()


def test_all_names_exist():
    assert all(getattr(tfviz, name) for name in tfviz.__all__)
    assert set(tfviz.__all__) <= set(dir(tfviz))
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        _ = tfviz.rendr


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_described(name):
    text = inspect.getdoc(PUBLIC[name])

    assert text
    assert re.match(r"[A-Z`].*[.:]$", text.splitlines()[0])


@pytest.mark.parametrize("name", PUBLIC)
def test_arguments_are_described_by_their_names(name):
    value = PUBLIC[name]
    if inspect.isclass(value):
        return
    text = inspect.getdoc(value)
    parameters = [
        p for p in inspect.signature(value).parameters if not p.startswith("_")
    ]
    if "Args:" in text:
        described = set(re.findall(r"^    \*{0,2}(\w+): ", text, re.MULTILINE))
        assert set(parameters) <= described
    else:  # one line says it all
        assert len(parameters) <= 3


@pytest.mark.parametrize("name", PUBLIC)
def test_names_are_those_of_the_house(name):
    value = PUBLIC[name]
    parameters = list(inspect.signature(value).parameters)

    assert not {"rng", "key", "img", "sd", "std", "lr", "nb_steps"} & set(parameters)
    if "height" in parameters:
        assert parameters.index("height") + 1 == parameters.index("width")


FACTORIES = [
    n
    for n in PUBLIC
    if n.split(".")[0] in ("objectives", "params") and n.split(".")[1][0].islower()
]


@pytest.mark.parametrize(
    "name",
    [
        *FACTORIES,
        "render",
        "adapt",
        "load_model",
        "dream",
        "diverse",
        "top_units",
        "compare",
    ],
)
def test_what_users_call_has_an_example(name):
    if name.split(".")[-1] in WITHOUT_EXAMPLE:
        return
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]))

    assert examples


def test_the_readme_and_the_help_know_the_same_commands():
    from tfviz.cli.main import main

    readme = (ROOT / "README.md").read_text()
    for command in main.commands:
        assert f"tfviz {command}" in readme


def test_the_readme_runs():
    """The examples in Python are whole and right."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)

    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


def test_no_machine_s_path_is_in_the_package():
    pattern = re.compile(r"(?<![\w.])/(home|root|work|tmp)/")
    for folder in ("tfviz", "cli", "priors"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not pattern.search(file.read_text()), file
