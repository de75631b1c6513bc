"""The reference of Python names all that is public, and nothing else."""

import importlib
import re

import pytest
from pages import DOCS
from support import load_script

import tfviz
from tfviz import priors
from tfviz.priors import training

listed_names = load_script("listed_names", "docs/_ext").listed_names
PUBLIC = load_script("test_public_names", "tests/integration").PUBLIC
PAGES = {file.stem: file.read_text() for file in (DOCS / "reference/api").glob("*.rst")}
LISTED = [
    (module, name)
    for text in PAGES.values()
    for module, names in listed_names(text).items()
    for name in names
]
# Of these pages, Sphinx lists the names by itself.
WHOLE = re.findall(r"automodule:: (\S+)\n   :members:", "\n".join(PAGES.values()))


def test_the_pages_are_read():
    text = ".. names:: tfviz.stops\n\n   plateau\n   target\n\nText.\n"

    assert listed_names(text) == {"tfviz.stops": ["plateau", "target"]}
    assert len(LISTED) > 100


@pytest.mark.parametrize("name", [f"{m}.{n}" for m, n in LISTED])
def test_a_listed_name_exists_and_is_described(name):
    module, _, last = name.rpartition(".")
    value = getattr(importlib.import_module(module), last)

    assert value.__doc__


def test_every_public_name_is_listed_once():
    public = {f"tfviz.{name}" for name in PUBLIC}
    public |= {f"tfviz.priors.{name}" for name in priors.__all__}
    public |= {f"tfviz.priors.training.{name}" for name in training.__all__}
    listed = [f"{module}.{name}" for module, name in LISTED]

    assert len(listed) == len(set(listed))
    assert {n for n in public if n.rpartition(".")[0] not in WHOLE} <= set(listed)


def test_every_public_module_has_a_page():
    described = re.findall(r"automodule:: (\S+)", "\n".join(PAGES.values()))
    modules = {n for n in tfviz.__all__ if not callable(getattr(tfviz, n))}

    assert {f"tfviz.{name}" for name in modules} <= set(described)
