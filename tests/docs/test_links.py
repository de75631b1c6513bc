"""Links between pages lead somewhere, in the site and on GitHub."""

import re
import tomllib
from urllib.parse import unquote, urlparse

import pytest
from pages import DOCS, anchors, links, markdown_files, notebooks, read_text
from support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
FILES = [str(f.relative_to(ROOT)) for f in [*markdown_files(), *notebooks()]]


@pytest.mark.parametrize("name", FILES)
def test_relative_links_lead_to_files_and_headings(name):
    page = ROOT / name
    for target in links(read_text(page)):
        if urlparse(target).scheme:
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT.resolve()), f"{target} leaves the repository"
        assert file.exists(), f"{target} does not exist"
        if anchor and file.suffix in (".md", ".ipynb"):
            assert anchor in anchors(read_text(file)), f"{target} names no heading"


@pytest.mark.parametrize("name", FILES)
def test_links_to_other_sites_are_well_formed(name):
    for target in links(read_text(ROOT / name)):
        address = urlparse(target)
        if not address.scheme:
            continue
        assert address.scheme == "https", target
        assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", address.netloc), target


@pytest.mark.parametrize("name", FILES)
def test_links_to_the_repository_lead_to_files_of_it(name):
    for target in links(read_text(ROOT / name)):
        if target.startswith(REPOSITORY):
            path = target.removeprefix(REPOSITORY).partition("#")[0].strip("/")
            branch = re.match(r"(blob|tree)/main/?", path)
            if branch:
                assert (ROOT / path[branch.end() :]).exists(), target
        else:
            assert "github.com/tfviz" not in target


def test_all_pictures_are_used_and_are_not_too_large():
    """Those of 300 kB and more are as old as the pages that show them."""
    used = {
        (file.parent / target).resolve()
        for file in [*markdown_files(), *notebooks()]
        for target in [*links(read_text(file)), *card_pictures(read_text(file))]
        if not urlparse(target).scheme
    }
    large = set()
    for picture in (DOCS / "pictures").iterdir():
        assert picture.resolve() in used, f"no page shows {picture.name}"
        if picture.stat().st_size > 300_000:
            large.add(picture.stem)

    assert large <= {
        "priors-efficientnet",
        "study-controls",
        "study-efficientnet",
        "study-squeezenet",
        "training-film",  # twelve frames
    }


def card_pictures(text):
    return re.findall(r"^:img-\w+: (\S+)$", text, re.M)
