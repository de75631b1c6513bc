"""Conventions for public names, docstrings and examples."""

import doctest
import inspect
import re
from importlib import import_module

import pytest
from support import ROOT

import tfviz

MODULES = [
    "callbacks",
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
    "views",
]
# Functions outside of `__all__` that other modules use: held to the same conventions.
ALSO_CHECKED = {"statistics": ["correlation", "root"]}


def public_names():
    """Return all public functions and classes by their names below `tfviz`."""
    values = {n: getattr(tfviz, n) for n in tfviz.__all__ if n not in MODULES}
    for name in MODULES:
        module = import_module(f"tfviz.{name}")
        exported = getattr(module, "__all__", None) or [
            n
            for n, value in vars(module).items()
            if not n.startswith("_")
            and getattr(value, "__module__", "") == module.__name__
        ]
        for n in [*exported, *ALSO_CHECKED.get(name, [])]:
            values[f"{name}.{n}"] = getattr(module, n)
    return {name: value for name, value in values.items() if callable(value)}


PUBLIC = public_names()


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
    else:  # a few arguments can be described in the text
        assert len(parameters) <= 3


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_are_named_by_the_conventions(name):
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
        *(f"statistics.{n}" for n in ALSO_CHECKED["statistics"]),
        "render",
        "adapt",
        "atlas",
        "build_atlas",
        "load_model",
        "dream",
        "diverse",
        "top_units",
        "dataset_examples",
        "load_examples",
        "compare",
    ],
)
def test_functions_for_users_have_an_example(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]))

    assert examples


def test_the_readme_compiles():
    """The examples in Python compile."""
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
