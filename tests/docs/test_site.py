"""The built site: complete, offline, and searchable."""

import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browsing import until
from pages import DOCS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    pytest.importorskip("furo", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    options = ["-E", "-n", "-W", "--keep-going", "--quiet", "-d", folder / "doctrees"]
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, DOCS, folder / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-5000:]
    return folder / "html"


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(site):
    """The address of the site on a web server of this machine."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=site)
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_every_page_is_built(site):
    for page in [*DOCS.rglob("*.md"), *DOCS.rglob("*.rst"), *DOCS.rglob("*.ipynb")]:
        built = (site / page.relative_to(DOCS)).with_suffix(".html")
        assert built.exists(), page


def test_nothing_is_loaded_from_other_sites(site):
    """Links lead to other sites; scripts, styles, fonts and pictures do not."""
    tags = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*>")
    for page in site.rglob("*.html"):
        for tag in tags.findall(page.read_text()):
            if 'rel="canonical"' not in tag:
                assert not re.search(r"""(src|href)=["']?(https?:)?//""", tag), tag
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text())


def test_the_atlas_is_there(site):
    guide = (site / "guides" / "atlas.html").read_text()

    assert 'href="../atlas-squeezenet/index.html"' in guide
    assert (site / "atlas-squeezenet" / "index.html").exists()


@pytest.mark.parametrize("by", ["file", "server"])
def test_search_finds_pages_names_and_options(site, server, browser, by):
    address = server if by == "server" else site.as_uri()
    view = browser.new_page()
    requests = []
    view.on("request", lambda request: requests.append(request.url))
    reference = "reference/api/objectives.html#tfviz.objectives"
    options = "reference/command-line.html#cmdoption-tfviz-render"
    for words, link in {
        "dead": "guides/",
        "caricature": f"{reference}.caricature",
        "smooth-pools": f"{options}-smooth-pools",
    }.items():
        view.goto(f"{address}/search.html?q={words}")
        until(view, f"document.querySelector('ul.search a[href*=\"{link}\"]') != null")
    view.close()

    assert requests
    assert all(url.startswith((address, "data:")) for url in requests)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "page",
    [
        *("index.html", "get-started.html", "study.html", "guides/priors.html"),
        *("reference/api/rendering.html", "reference/command-line.html"),
        *("reference/keras-applications.html", "reference/api/measures.html"),
    ],
)
def test_pages_are_no_wider_than_the_window(site, browser, page, width):
    view = browser.new_page(viewport={"width": width, "height": 800})
    view.goto(f"{site.as_uri()}/{page}")
    wide = view.evaluate("document.documentElement.scrollWidth")
    view.close()

    assert wide <= width
