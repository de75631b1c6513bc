"""Names of layers, classes and models that would do harm if they were not text."""

from urllib.parse import unquote

import numpy as np
import pytest
import tfviz
from atlas_parts import (
    FINGERPRINT,
    OUTSIDE,
    SCRIPT,
    dataset_examples,
    network_facts,
    write_picture,
    write_pictures,
)
from browsing import heading, until

CLOSING = "</script><script>alert(1)</script>"
QUOTED = '"onerror="alert(1)" \'x\' `y`'
# It means something else in an address.
ADDRESS = "a#b&with=c?d%41/e"
LAYERS = (SCRIPT, OUTSIDE, CLOSING, QUOTED, ADDRESS)
NAMES = (CLOSING, QUOTED, "<img src=x onerror=alert(1)>")
MODEL = {"name": CLOSING, "source": QUOTED, "hash": FINGERPRINT}
# A script that ran would call this, and a picture of another host would be asked for.
HARMLESS = """[...document.scripts].every((s) => s.src.startsWith("file:"))
  && ![...document.querySelectorAll("*")].some((e) => [...e.attributes].some(
    (a) => a.name.startsWith("on")))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    layers = dict.fromkeys(LAYERS, 3)
    write_pictures(folder / "pictures", layers, model=MODEL)
    write_pictures(folder / "pictures", {"logit": 3}, model=MODEL)
    for path in LAYERS:
        prior = {"name": "prior", "source": "<img src=x onerror=alert(1)>"}
        write_picture(folder / "pictures", f"{path}:1", param=prior, model=MODEL)
    page = tfviz.build_atlas(
        *(folder / "site", [folder / "pictures"]),
        network=network_facts(layers, NAMES),
        examples=dataset_examples(folder / "../x", np.random.default_rng(0), layers),
        judged={f"{SCRIPT}:1": 0.5},
        title=f"{QUOTED}{CLOSING}",
    )
    return page.parent


@pytest.mark.parametrize("path", LAYERS)
def test_links_lead_to_layers_and_units(open_site, site, path):
    """From the first page to the unit and back, by clicks."""
    view = open_site(site, "index.html")
    assert heading(view) == f"{QUOTED}{CLOSING}"
    view.get_by_role("link", name=path, exact=True).click()
    until(view, "document.querySelectorAll('a.cell').length === 3")
    assert heading(view) == path
    view.locator("a.cell").nth(1).click()
    until(view, "document.querySelector('h1.name') !== null")
    assert heading(view) == f"{path}:1"
    assert unquote(view.url.partition("#")[2]) == f"{path}:1"
    text = view.locator("main").inner_text()
    assert "learned prior <img src=x onerror=alert(1)>" in text
    assert view.evaluate(HARMLESS)
    view.get_by_role("link", name="Compare").click()
    until(view, "document.querySelector('#left h2') !== null")
    view.get_by_label("Second unit").fill(f"{CLOSING}:2")
    view.keyboard.press("Enter")
    until(view, "document.querySelector('#right h2') !== null")
    titles = view.locator("h2.name").all_inner_texts()
    assert titles == [f"{path}:1", f"{CLOSING}:2"]
    assert view.evaluate(HARMLESS)
    view.locator("#find").fill(path)
    view.keyboard.press("Enter")
    view.wait_for_url("**/layer.html#**")
    until(view, "document.querySelectorAll('a.cell').length === 3")
    assert heading(view) == path
    assert view.messages == []
    assert all(url.startswith((site.as_uri(), "data:")) for url in view.requests)


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_classes_have_their_names(open_site, site, place):
    name = NAMES[place]
    view = open_site(site, "classes.html")
    assert view.locator("#classes h2").all_inner_texts() == list(NAMES)
    view.get_by_label("Class", exact=True).fill(name)
    view.get_by_role("link", name=name, exact=True).click()
    until(view, "document.querySelector('h1.name') !== null")
    assert heading(view).startswith(name)
    assert view.title().startswith(f"{name} (logit:{place})")
    assert view.evaluate(HARMLESS)
    view = open_site(site, "search.html")
    view.get_by_label("Unit, layer or class", exact=True).fill(name)
    found = 1 + (3 if name in LAYERS else 0)  # the units of a layer of this name, too
    count = "document.querySelector('#count').textContent"
    until(view, f"{count}.startsWith('{found} of ')")
    assert view.evaluate(HARMLESS)
    assert view.messages == []


def test_all_pages_are_harmless(open_site, site):
    for page in ("index", "whole", "classes", "search", "layer", "unit", "compare"):
        for name in ("", "#%3Cscript%3Ealert(1)%3C/script%3E", "#%22%3E%3Cimg%20src=x"):
            view = open_site(site, f"{page}.html{name}")
            assert view.evaluate(HARMLESS)
            assert view.messages == []
