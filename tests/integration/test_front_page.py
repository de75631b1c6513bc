"""The README, the citation and the issue templates say what pyproject.toml says."""

import re
import tomllib
from urllib.parse import unquote

import pytest

import tfviz
from support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
CITATION = (ROOT / "CITATION.cff").read_text()
HOME = PROJECT["urls"]["Repository"]


def least(package):
    """Return the least version of a package that the project asks for."""
    (found,) = (d for d in PROJECT["dependencies"] if re.match(rf"{package}>", d))
    return found.split(">=")[1]


def test_the_readme_is_read_in_a_minute():
    assert len(README.splitlines()) <= 120


def test_badges_are_true():
    shown = re.findall(r"img\.shields\.io/badge/([^-]+)-(.+?)-\w+\)", README)
    badges = {name: unquote(text).replace("_", " ") for name, text in shown}
    low, high = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert badges == {
        "license": PROJECT["license"].replace("-", "--"),
        "python": f"3.{low} to 3.{int(high) - 1}",
        "TensorFlow": f"{least('tensorflow')} or newer",
        "Keras": f"{least('keras')} or newer",
    }


def test_the_citation_is_of_this_version():
    assert f"\nversion: {tfviz.__version__}\n" in CITATION
    assert f"\nlicense: {PROJECT['license']}\n" in CITATION
    assert f"\nrepository-code: {HOME}\n" in CITATION


@pytest.mark.parametrize(
    "path",
    ["CITATION.cff", *sorted(p.name for p in ROOT.glob(".github/ISSUE_TEMPLATE/*"))],
)
def test_forms_are_valid_yaml(path):
    yaml = pytest.importorskip("yaml")
    file = ROOT / path
    if not file.exists():
        file = ROOT / ".github" / "ISSUE_TEMPLATE" / path
    form = yaml.safe_load(file.read_text())
    if path not in ("CITATION.cff", "config.yml"):
        assert {"name", "description", "body"} <= form.keys()
        kinds = {"textarea", "input", "markdown"}
        assert {part["type"] for part in form["body"]} <= kinds


def test_one_address_is_the_project_s():
    files = [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md")]
    owners = {
        address
        for file in files
        for address in re.findall(r"https://github\.com/[\w-]+/tfviz", file.read_text())
    }
    assert owners == {HOME}


def test_nobody_is_sent_to_the_other_project_of_this_name():
    """The package `tfviz` on PyPI is another project."""
    folders = ("tfviz", "priors", "cli", "docs")
    files = [ROOT / "README.md", *(f for d in folders for f in ROOT.glob(f"{d}/**/*"))]
    wrong = re.compile(r"pip install (?!git)[^\n@]*\btfviz\b(?!\S* @)")
    found = [
        (file.name, line)
        for file in files
        if file.suffix in {".md", ".py", ".ipynb"}
        for line in file.read_text().splitlines()
        if wrong.search(line)
    ]
    assert found == []
