"""The site in a browser: what it loads, and how it reacts to the keyboard and links."""

import functools
import http.server
import io
import shutil
import threading
from urllib.parse import quote

import numpy as np
import pytest
import tfviz
from atlas_parts import (
    CLASSES,
    OUTSIDE,
    PRIOR,
    SCRIPT,
    colour_of,
    dataset_examples,
    network_facts,
    write_picture,
    write_pictures,
)
from browsing import heading, until, visible
from PIL import Image

from tfviz.site.layers import slug

LAYERS = {"conv1": 6, SCRIPT: 5, "fire8": 40, OUTSIDE: 70}
# An address of each kind of page.
ADDRESSES = (
    "index.html",
    "whole.html",
    "layer.html#fire8",
    f"layer.html#{quote(SCRIPT)}",
    "unit.html#fire8:20",
    f"unit.html#{quote(SCRIPT)}:3",
    "unit.html#logit:2",
    "unit.html#fire8:999",
    "compare.html#fire8:20&with=conv1:3",
    "classes.html",
    "search.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a small network, with pictures of all kinds and examples."""
    folder = tmp_path_factory.mktemp("parts")
    write_pictures(folder / "positive", LAYERS)
    write_picture(folder / "others", "-fire8:20", (9, 9, 9), unit_score=0.75)
    write_picture(folder / "others", "fire8:20", (0, 99, 0), param=PRIOR)
    write_picture(folder / "others", "logit:2", (0, 250, 250))
    for repeat in range(4):
        diverse = {"n": 4, "weight": 2.0, "layer": None}
        write_picture(
            *(folder / "others", "fire8:20", colour_of(repeat)),
            diversity=diverse,
            repeat=repeat,
        )
    examples = dataset_examples(folder / "photos", np.random.default_rng(0), LAYERS)
    page = tfviz.build_atlas(
        *(folder / "site", [folder / "positive", folder / "others"]),
        network=network_facts(LAYERS),
        examples=examples,
        judged={"fire8:20": 0.8125},
    )
    return page.parent


@pytest.fixture
def open_page(open_site, site):
    """Open an address of the site."""
    return functools.partial(open_site, site)


def focused(view):
    return view.evaluate("document.activeElement.getAttribute('aria-label')")


class TestEveryPage:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_it_opens_from_disk_without_messages(self, open_page, site, address):
        view = open_page(address)

        assert view.messages == []
        assert all(u.startswith((site.as_uri(), "data:")) for u in view.requests)
        assert view.locator("h1").count() == 1

    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_is_accessible(self, open_page, address, scheme):
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="no axe-core"
        )
        view = open_page(
            address, 360 if scheme == "dark" else 1280, color_scheme=scheme
        )
        found = axe.Axe().run(view).response["violations"]

        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []

    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("width", [360, 768, 1280])
    def test_nothing_exceeds_its_width(self, open_page, address, width):
        view = open_page(address, width)

        assert view.evaluate("document.documentElement.scrollWidth") <= width

    def test_it_works_from_a_web_server(self, open_page, site):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *values):
                pass

        handler = functools.partial(Quiet, directory=site)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            view = open_page("unit.html#fire8:20", base=base)
            assert heading(view).startswith("fire8:20")
            assert view.messages == []
            assert all(u.startswith((base, "data:")) for u in view.requests)
        finally:
            server.shutdown()
            server.server_close()

    def test_the_first_page_is_small(self, open_page, site):
        view = open_page("index.html")
        files = {u.removeprefix(f"{site.as_uri()}/") for u in view.requests}

        assert "sprites" in {name.partition("/")[0] for name in files}
        sizes = [(site / f).stat().st_size for f in files if not f.startswith("data:")]
        assert sum(sizes) < 300_000

    def test_the_first_page_is_readable_without_scripts(self, open_page):
        view = open_page("index.html", java_script_enabled=False)

        assert visible(view, ".layer h2") == 5
        assert "fire8" in view.locator("ol.layers").inner_text()

    def test_the_first_tab_skips_to_the_contents(self, open_page):
        view = open_page("index.html")
        view.keyboard.press("Tab")
        link = view.locator(":focus")

        assert link.inner_text() == "Skip to the contents"
        assert link.bounding_box()["x"] >= 0

    def test_it_follows_the_colour_scheme(self, open_page):
        colours = []
        for scheme in ("light", "dark"):
            view = open_page("index.html", color_scheme=scheme)
            style = "getComputedStyle(document.body).backgroundColor"
            colours.append(view.evaluate(style))
        assert colours == ["rgb(252, 251, 248)", "rgb(22, 22, 20)"]


class TestUnits:
    def test_a_unit_has_its_picture_and_numbers(self, open_page):
        view = open_page("unit.html#fire8:20")

        assert heading(view).startswith("fire8:20")
        assert view.title() == "fire8:20 \N{MIDDLE DOT} toy"
        picture = view.get_by_alt_text("Visualization of fire8:20").first
        assert picture.evaluate("(i) => i.naturalWidth") == 32
        text = view.locator(".top .facts").inner_text()
        assert "machine two-alternative value\n0.813" in text
        titles = view.locator(".gallery h3").all_inner_texts()
        assert titles == ["Diverse set, fourier", "Maximized, learned prior inverter"]
        assert view.locator(".leading figcaption").all_inner_texts() == [
            "Maximized, fourier\nresponse 2.5",
            "Minimized, fourier\nresponse \N{MINUS SIGN}0.75",
        ]
        code = view.locator("pre").all_inner_texts()
        assert code[0].startswith(f"tfviz render --from pictures/{slug('fire8')}/20-")
        assert "tfviz.render_again(" in code[1]

    def test_crops_show_the_receptive_field(self, open_page):
        """Position 4 is row 1, column 1: rows 8 to 24, columns 11 to 25 of 24x36."""
        view = open_page("unit.html#fire8:20")
        boxes = view.evaluate(
            """async () => {
              const { layer, unit } = atlas.parse("fire8:20");
              const record = await atlas.details(layer, unit);
              const crops = [...document.querySelectorAll(".group .crop")];
              const ranks = ["top", "spread", "bottom"].flatMap((k) => record[k]);
              return crops.map((crop, place) => {
                const c = crop.getBoundingClientRect();
                const i = crop.querySelector("img").getBoundingClientRect();
                return [ranks[place][2], c.width / i.width, c.height / i.height,
                  (c.left - i.left) / i.width, (c.top - i.top) / i.height];
              });
            }"""
        )
        rows, columns = [(0, 16), (8, 24)], [(0, 14), (11, 25), (22, 36)]
        assert len(boxes) == 3 + 4 + 3
        for position, *shares in boxes:
            top, bottom = rows[position // 3]
            left, right = columns[position % 3]
            expected = [(right - left) / 36, (bottom - top) / 24, left / 36, top / 24]
            assert shares == pytest.approx(expected, abs=0.02)
        button = view.get_by_role("button", name="Whole images")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        crop = view.locator(".crop").first.bounding_box()
        assert crop["width"] / crop["height"] == pytest.approx(1.5, abs=0.02)

    def test_keys_lead_to_the_neighbours_and_the_layer(self, open_page):
        view = open_page("unit.html#fire8:20")
        view.keyboard.press("n")
        until(view, "document.title.startsWith('fire8:21')")
        assert heading(view).startswith("fire8:21")
        assert view.evaluate("document.activeElement.tagName") == "H1"
        view.keyboard.press("p")
        until(view, "document.title.startsWith('fire8:20')")
        view.go_back()
        until(view, "document.title.startsWith('fire8:21')")
        view.keyboard.press("u")
        view.wait_for_url("**/layer.html#fire8")

    def test_keys_can_be_turned_off(self, open_page):
        view = open_page("unit.html#fire8:20")
        switch = view.get_by_label("use /, n, p and u")
        view.locator("footer summary").click()
        switch.uncheck()
        view.reload()
        view.wait_for_load_state("networkidle")
        view.keyboard.press("n")
        assert heading(view).startswith("fire8:20")
        view.locator("footer summary").click()
        switch.check()
        view.locator("h1").click()
        view.keyboard.press("n")
        until(view, "document.title.startsWith('fire8:21')")

    def test_missing_data_are_explained(self, open_site, site, tmp_path):
        shutil.copytree(site, tmp_path / "site")
        (tmp_path / f"site/data/{slug('fire8')}.js").unlink()
        view = open_site(tmp_path / "site", "unit.html#fire8:20")
        note = view.get_by_role("alert").inner_text()
        assert note == (
            f"This page cannot be shown: data/{slug('fire8')}.js is missing. Build the "
            "atlas again."
        )

    def test_a_picture_opens_and_closes(self, open_page):
        view = open_page("unit.html#fire8:20")
        button = view.locator(".zoom").first
        button.press("Enter")
        dialog = view.get_by_role("dialog")
        assert "fire8:20, response 2.5" in dialog.inner_text()
        view.keyboard.press("n")  # keys of the page do nothing meanwhile
        view.keyboard.press("Escape")
        assert view.get_by_role("dialog").count() == 0
        assert heading(view).startswith("fire8:20")
        assert button.evaluate("(b) => b === document.activeElement")

    def test_names_are_harmless(self, open_page):
        view = open_page(f"unit.html#{quote(SCRIPT)}:3")

        assert heading(view) == f"{SCRIPT}:3"
        assert view.messages == []
        assert view.locator("main script").count() == 0

    def test_an_address_without_a_unit_is_explained(self, open_page):
        view = open_page("unit.html#fire8:999")
        assert heading(view) == "There is no such unit"
        assert "fire8 has the units 0 to 39." in view.locator("main").inner_text()
        view = open_page(f"unit.html#{quote('<img src=x onerror=alert(1)>')}")
        assert "<img src=x onerror=alert(1)>" in view.locator("main").inner_text()
        assert view.messages == []

    def test_a_class_has_the_units_that_speak_for_it(self, open_page):
        view = open_page("unit.html#logit:2")

        assert heading(view).startswith(CLASSES[2])
        links = view.get_by_label("Units that speak for it").locator("a")
        names = [link.get_attribute("aria-label") for link in links.all()]
        assert names == ["conv1:2, 1.5", "conv1:0, 0.5"]


class TestLayers:
    def test_cells_show_the_pictures_of_the_units(self, open_page):
        view = open_page("layer.html#fire8")

        assert view.locator("a.cell").count() == 40
        for unit in (0, 17, 39):
            cell = view.locator("a.cell .small").nth(unit)
            with Image.open(io.BytesIO(cell.screenshot())) as image:
                shown = image.convert("RGB")
            middle = shown.getpixel((shown.width // 2, shown.height // 2))
            assert np.abs(np.subtract(middle, colour_of(unit))).max() <= 8

    def test_units_without_a_picture_show_their_strongest_image(
        self, open_site, tmp_path, rng
    ):
        write_pictures(tmp_path / "pictures", {"a": 2})
        examples = dataset_examples(tmp_path / "photos", rng, {"a": 5})
        page = tfviz.build_atlas(
            tmp_path / "site", [tmp_path / "pictures"], examples=examples
        )
        view = open_site(page.parent, "layer.html#a")
        until(view, "document.querySelectorAll('.small.photo').length === 3")
        for unit in (2, 3, 4):
            cell = view.locator("a.cell .small").nth(unit)
            with Image.open(io.BytesIO(cell.screenshot())) as image:
                shown = image.convert("RGB")
            middle = shown.getpixel((shown.width // 2, shown.height // 2))
            photo = int(examples.layers["a"].top.images[unit, 0])
            assert np.abs(np.subtract(middle, colour_of(photo))).max() <= 8

    def test_units_with_pictures_come_alone_where_others_have_nothing(
        self, open_site, tmp_path
    ):
        write_pictures(tmp_path / "pictures", {"a": 2})
        page = tfviz.build_atlas(
            *(tmp_path / "site", [tmp_path / "pictures"]),
            network=network_facts({"a": 9}),
        )
        view = open_site(page.parent, "layer.html#a")
        assert view.locator("a.cell").count() == 2
        view.get_by_label("units with pictures").uncheck()
        until(view, "document.querySelectorAll('a.cell').length === 9")
        assert view.evaluate("location.hash") == "#a&pictured=0"

    def test_arrow_keys_move_and_enter_opens(self, open_page):
        view = open_page("layer.html#fire8")
        view.locator("a.cell").first.focus()
        view.keyboard.press("ArrowRight")
        assert focused(view) == "fire8:1"
        columns = view.evaluate(
            "getComputedStyle(document.getElementById('units'))"
            ".gridTemplateColumns.split(' ').length"
        )
        view.keyboard.press("ArrowDown")
        assert focused(view) == f"fire8:{1 + columns}"
        view.keyboard.press("ArrowLeft")
        view.keyboard.press("ArrowUp")
        assert focused(view) == "fire8:0"
        view.keyboard.press("ArrowUp")  # there is none above
        assert focused(view) == "fire8:0"
        view.keyboard.press("End")
        assert focused(view) == "fire8:39"
        # The grid is one stop of the Tab key, at the unit that had the focus last.
        assert view.locator("a.cell[tabindex='0']").count() == 1
        view.wait_for_selector("#preview img")
        assert "fire8:39" in view.locator("#preview").inner_text()
        view.keyboard.press("Enter")
        view.wait_for_url("**/unit.html#fire8:39")

    def test_sorting_and_filters_are_in_the_address(self, open_page):
        view = open_page("layer.html#fire8")
        view.get_by_label("Sort by").select_option("fires")
        until(view, "location.hash === '#fire8&sort=fires'")
        first = view.locator("a.cell").first
        assert first.get_attribute("aria-label") == "fire8:39, 100 %"
        view.get_by_label("dead units").check()
        until(view, "document.querySelectorAll('a.cell').length === 1")
        assert first.get_attribute("aria-label") == "fire8:0, 0 %"
        again = open_page("layer.html" + view.evaluate("location.hash"))
        assert again.locator("a.cell").count() == 1
        assert again.get_by_label("dead units").is_checked()

    def test_links_lead_to_the_layers_beside(self, open_page):
        view = open_page("layer.html#fire8")
        view.locator("a[rel=next]").click()
        until(view, "document.title.startsWith('../../x')")
        assert heading(view) == OUTSIDE
        assert view.locator("a.cell").count() == 70
        view.go_back()
        until(view, "document.title.startsWith('fire8')")
        assert view.locator("a.cell").count() == 40

    def test_all_units_are_on_one_page(self, open_page):
        view = open_page("whole.html")

        assert view.locator("a.cell").count() == sum(LAYERS.values()) + 1
        assert view.locator("section").count() == 5
        classes = view.get_by_role("region", name="Classes")
        assert classes.locator("h2").inner_text() == "Classes 1 of 3"

    def test_a_strip_leads_to_the_unit_under_the_mouse(self, open_page):
        view = open_page("index.html")
        strip = view.locator("img.strip[data-layer=conv1]")
        box = strip.bounding_box()
        strip.click(position={"x": box["width"] * 0.75, "y": box["height"] / 2})
        view.wait_for_url("**/unit.html#conv1:4")


class TestSearch:
    def count(self, view):
        return view.locator("#count").inner_text().partition(" of ")[0]

    def test_units_layers_and_classes_are_found(self, open_page):
        view = open_page("search.html")
        text = view.get_by_label("Unit, layer or class", exact=True)
        for words, count in (
            *(("FIRE8", "40"), ("fire8 20", "1"), ("2", "5"), ("cat", "1")),
            *(("<b>bee", "1"), ("no such", "0")),
        ):
            text.fill(words)
            counted = "document.getElementById('count').textContent.startsWith"
            until(view, f"{counted}('{count} of ')")
        assert view.messages == []

    def test_filters_apply_to_all_layers(self, open_page):
        view = open_page("search.html#&dead=1&layer=fire8")
        assert self.count(view) == "1"
        view.get_by_label("Layer", exact=True).select_option("")
        until(view, "document.getElementById('count').textContent.startsWith('4 of')")
        view.get_by_label("dead units").uncheck()
        view.get_by_label("units whose strongest images differ most").check()
        # A tenth of the live units of the layers with ten or more: 4 of 39, 7 of 69.
        until(view, "document.getElementById('count').textContent.startsWith('11 of')")

    def test_the_field_of_the_header_leads_to_what_it_names(self, open_page):
        view = open_page("index.html")
        view.keyboard.press("/")
        assert view.evaluate("document.activeElement.id") == "find"
        view.keyboard.press("Escape")
        assert view.evaluate("document.activeElement.id") != "find"
        view.keyboard.press("/")
        view.keyboard.type("fire8:7")
        view.keyboard.press("Enter")
        view.wait_for_url("**/unit.html#fire8:7")
        view.locator("#find").fill("fire8")
        view.keyboard.press("Enter")
        view.wait_for_url("**/layer.html#fire8")
        view.locator("#find").fill("cat & dog")
        view.keyboard.press("Enter")
        view.wait_for_url("**/search.html#&q=cat%20%26%20dog")
        assert self.count(view) == "1"

    def test_classes_are_filtered_by_name(self, open_page):
        view = open_page("classes.html")
        assert visible(view, "#classes > li") == 3
        view.get_by_label("Class", exact=True).fill("bee")
        assert view.locator("#classes h2").filter(visible=True).inner_text() == "<b>bee"


class TestComparison:
    def test_two_units_are_side_by_side(self, open_page):
        view = open_page("compare.html#fire8:20&with=conv1:3")

        titles = view.locator("h2.name").all_inner_texts()
        assert [title.split()[0] for title in titles] == ["fire8:20", "conv1:3"]
        left, right = (view.locator(s).bounding_box() for s in ("#left", "#right"))
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] < right["x"]

    def test_units_are_chosen_by_name(self, open_page):
        view = open_page("unit.html#fire8:20")
        view.get_by_role("link", name="Compare").click()
        view.wait_for_url("**/compare.html#fire8:20")
        second = view.get_by_label("Second unit")
        assert second.evaluate("(field) => field === document.activeElement")
        second.fill("nothing:1")
        view.keyboard.press("Enter")
        right = "document.getElementById('right')"
        until(view, f"{right}.textContent.includes('no unit nothing:1')")
        second.fill(f"{SCRIPT}:2")
        view.keyboard.press("Enter")
        until(
            view,
            "document.querySelector('#right h2')?.textContent.startsWith('<script>')",
        )
        assert view.messages == []
