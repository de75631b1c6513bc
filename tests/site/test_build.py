"""The files of an atlas: their data, pictures and pages."""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import tfviz
from atlas_parts import (
    CLASSES,
    LAYERS,
    OUTSIDE,
    PRIOR,
    SCRIPT,
    colour_of,
    dataset_examples,
    layer_examples,
    network_facts,
    without,
    write_picture,
    write_pictures,
)
from PIL import Image
from support import names

from tfviz import images
from tfviz.site import sprites
from tfviz.site.examples import dead_units
from tfviz.site.folder import RECORD
from tfviz.site.layers import gather_layers, natural_key, slug
from tfviz.site.pages import ASSETS
from tfviz.site.pictures import read_pictures
from tfviz.site.sprites import CELL, COLUMNS

PAGES = ("index", "whole", "layer", "search", "unit", "compare", "classes")
VOID = {"meta", "link", "input", "img", "br"}


def data_of(site, name):
    """Return the data in a script of the site."""
    text = (site / f"data/{name}.js").read_text()
    match = re.fullmatch(r'atlas\.put\("([^"]+)",(.*)\);\n', text, re.DOTALL)
    assert match[1] == name
    return json.loads(match[2])


def opened(path):
    with Image.open(path) as image:
        return image.convert("RGB")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The folder of the pictures, the examples and the facts of a small network."""
    folder = tmp_path_factory.mktemp("parts")
    write_pictures(folder / "positive")
    for path in LAYERS:
        write_picture(folder / "negative", f"-{path}:2", (9, 9, 9), unit_score=0.75)
        write_picture(folder / "prior", f"{path}:3", (0, 99, 0), param=PRIOR)
    for repeat in range(4):
        diverse = {"n": 4, "weight": 2.0, "layer": None}
        write_picture(folder / "diverse", "conv1:1", diversity=diverse, repeat=repeat)
    write_picture(folder / "classes", "logit:1", (250, 250, 0), stuck=True)
    write_picture(folder / "classes", "logit:2", (0, 250, 250))
    examples = dataset_examples(folder / "photos", np.random.default_rng(0))
    examples = without(examples, "Conv1")
    return folder, examples, network_facts()


def folders(folder):
    kinds = ("positive", "negative", "prior", "diverse", "classes")
    return [folder / kind for kind in kinds]


@pytest.fixture(scope="module")
def site(parts, tmp_path_factory):
    """The site of all parts."""
    folder, examples, network = parts
    path = tmp_path_factory.mktemp("site") / "site"
    tfviz.build_atlas(
        *(path, folders(folder)),
        network=network,
        examples=examples,
        judged={"conv1:2": 0.8125},
        title="Toys & <i>",
    )
    return path


class TestData:
    def test_layers_are_in_the_order_of_the_network(self, site):
        layers = data_of(site, "site")["layers"]

        assert [layer["path"] for layer in layers] == [*LAYERS, "logit"]
        assert [layer["units"] for layer in layers] == [*LAYERS.values(), 3]
        assert [layer["classes"] for layer in layers] == [False] * 4 + [True]
        assert [layer["examples"] for layer in layers] == [
            True,
            True,
            True,
            False,
            False,
        ]
        assert layers[0]["pictured"] == [[0, 5]]
        assert layers[4]["pictured"] == [[1, 2]]
        assert layers[4]["strip"] == [2]  # dead units represent no layer

    def test_numbers_are_those_of_the_examples(self, site, parts):
        own = parts[1].layers[OUTSIDE]
        numbers = data_of(site, slug(OUTSIDE))

        for key in ("fires", "mean", "deviation", "highest", "agreement"):
            expected = [float(f"{value:.4g}") for value in getattr(own, key)]
            assert numbers[key] == expected
        assert numbers["activation"] == [2.5] * 70
        assert numbers["ratio"][0] is None
        ratios = 2.5 / own.highest[1:]
        np.testing.assert_allclose(numbers["ratio"][1:], ratios, rtol=1e-3)
        assert numbers["rows"] == own.rows.tolist()
        assert numbers["mapShape"] == [2, 3]
        assert numbers["dead"] == [0]
        lowest = np.sort(own.agreement[1:])[:7]
        assert sorted(own.agreement[numbers["mixed"]]) == pytest.approx(lowest)

    def test_units_below_zero_are_not_dead(self, rng):
        """Classes may have no image with a logit above 0."""
        values = {"fires": [0, 0, 0.5], "mean": [0, -1, 0.2], "highest": [0, -0.5, 1]}
        own = {key: np.array(numbers, np.float32) for key, numbers in values.items()}

        assert dead_units(replace(layer_examples(rng, 3, 5), **own)) == [0]

    def test_units_have_their_examples(self, site, parts):
        _, examples, _ = parts
        own = examples.layers[OUTSIDE]
        record = data_of(site, f"{slug(OUTSIDE)}-1")[69 - 64]

        for kind in ("top", "bottom", "spread"):
            ranking = getattr(own, kind)
            for rank, (file, value, position) in enumerate(record[kind]):
                assert value == pytest.approx(ranking.values[69, rank], rel=1e-3)
                assert position == ranking.positions[69, rank]
                shown = opened(site / f"images/{file}.webp")
                place = ranking.images[69, rank]
                assert shown.size == (36, 24)
                middle = shown.getpixel((18, 12))
                assert np.abs(np.subtract(middle, colour_of(int(place)))).max() <= 4
        low, width, counts = record["histogram"]
        assert (low, width) == (-0.5, 0.25)
        assert counts == own.histogram[69].tolist()
        assert [unit for unit, _ in record["correlated"]] == own.neighbours[69].tolist()
        assert record["similar"] == [[0, 0.5]]

    def test_units_have_their_pictures(self, site):
        chunk = data_of(site, f"{slug('conv1')}-0")
        numbers = data_of(site, slug("conv1"))

        kinds = [[picture["group"] for picture in unit["pictures"]] for unit in chunk]
        assert kinds[0] == ["positive"]
        assert kinds[1] == ["positive"] + ["diverse"] * 4
        assert kinds[2] == ["positive", "negative"]
        assert chunk[2]["pictures"][1]["activation"] == -0.75
        methods = [numbers["methods"][p["method"]] for p in chunk[3]["pictures"]]
        assert [m["name"] for m in methods] == ["fourier", "inverter"]
        assert [m["learned"] for m in methods] == [False, True]
        assert methods[0]["settings"]["size"] == "32\N{MULTIPLICATION SIGN}32"
        assert methods[0]["settings"]["transforms"] == "pad, jitter"
        assert methods[0]["source"] == "toy.keras"
        assert numbers["judged"] == [None, None, 0.8125, None, None, None]
        assert all(unit["main"] == 0 for unit in chunk)

    def test_classes_have_the_units_that_speak_for_them(self, site):
        classes = data_of(site, "classes")

        assert classes["names"] == list(CLASSES)
        assert classes["layer"] == "conv1"
        assert classes["speakFor"][2] == [[2, 1.5], [0, 0.5]]
        record = data_of(site, f"{slug('logit')}-0")[2]
        assert record["speakAgainst"] == [[1, -2]]
        assert data_of(site, f"{slug('conv1')}-0")[4]["classes"] == [[1, 0.25]]
        assert data_of(site, slug("logit"))["dead"] == [1]

    def test_names_of_files_are_harmless(self, site):
        files = [file.relative_to(site).as_posix() for file in site.rglob("*")]

        assert all(re.fullmatch(r"[A-Za-z0-9_./-]+", file) for file in files)
        assert not [file for file in files if ".." in file]
        assert names(site.parent) == ["site"]
        # Names that differ only in case or in signs have different files.
        assert len({slug(name).lower() for name in ("a/b", "A/b", "a b", "a:b")}) == 4

    def test_data_are_scripts_that_run(self, site):
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node is installed")
        for file in [*site.glob("*.js"), *site.glob("data/*.js")]:
            subprocess.run([node, "--check", file], check=True)


class TestPictures:
    def test_sheets_hold_the_pictures_in_their_order(self, site):
        sheet = opened(site / f"sprites/{slug(OUTSIDE)}-0.webp")

        assert sheet.size == (COLUMNS * CELL, 5 * CELL)
        for unit in range(70):
            row, column = divmod(unit, COLUMNS)
            place = (column * CELL + CELL // 2, row * CELL + CELL // 2)
            middle = sheet.getpixel(place)
            assert np.abs(np.subtract(middle, colour_of(unit))).max() <= 8

    def test_strips_hold_units_from_the_whole_layer(self, site):
        layer = data_of(site, "site")["layers"][2]
        strip = opened(site / f"sprites/{slug(OUTSIDE)}-strip.webp")

        assert layer["strip"] == [int(place * 70 / 12) for place in range(12)]
        assert strip.size == (12 * CELL, CELL)
        for place, unit in enumerate(layer["strip"]):
            middle = strip.getpixel((place * CELL + CELL // 2, CELL // 2))
            assert np.abs(np.subtract(middle, colour_of(unit))).max() <= 8

    def test_pictures_hold_their_descriptions(self, site, parts):
        record = data_of(site, f"{slug(SCRIPT)}-0")[3]["pictures"][0]
        spec = images.read_spec(site / record["file"])

        assert spec["unit"] == f"{SCRIPT}:3"
        assert spec["param"]["name"] == "fourier"
        assert (record["width"], record["height"]) == (32, 32)

    def test_large_pictures_are_made_smaller(self, tmp_path):
        write_picture(tmp_path / "pictures", "a:0", size=(1024, 768))
        tfviz.build_atlas(tmp_path / "site", [tmp_path / "pictures"])

        (file,) = (tmp_path / "site/pictures").rglob("*.webp")
        assert opened(file).size == (512, 384)

    def test_a_lower_quality_makes_smaller_files(self, tmp_path, rng):
        noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
        write_picture(tmp_path / "p", "conv:0", image=noise)
        sizes = []
        for quality in (90, 40):
            tfviz.build_atlas(tmp_path / "site", [tmp_path / "p"], quality=quality)
            (file,) = (tmp_path / "site/pictures").rglob("*.webp")
            with Image.open(file) as image:
                seen = np.asarray(image.convert("RGB"), np.float32)
            sizes.append((file.stat().st_size, float(np.abs(seen - noise).mean())))
        assert sizes[1][0] < 0.7 * sizes[0][0]
        assert sizes[1][1] > sizes[0][1]
        for quality in (0, 101):
            with pytest.raises(ValueError, match=f"from 1 to 100. Received: {quality}"):
                tfviz.build_atlas(tmp_path / "n", [tmp_path / "p"], quality=quality)
        assert not (tmp_path / "n").exists()

    def test_many_pictures_are_on_several_sheets(self, tmp_path):
        place = write_picture(tmp_path, "a:0", (255, 0, 0))
        for count, size in ((COLUMNS + 1, (COLUMNS, 2)), (1, (1, 1))):
            sheet = io.BytesIO(sprites.encode_sheet([place] * count))
            assert opened(sheet).size == (size[0] * CELL, size[1] * CELL)

    def test_direct_pictures_stand_for_units(self, tmp_path):
        """Where there are several, the first of a param of the core does."""
        write_picture(tmp_path / "a", "a:0", param=PRIOR)
        write_picture(tmp_path / "b", "a:0")
        write_picture(tmp_path / "b", "-a:1")
        pictures, _ = read_pictures([tmp_path / "a", tmp_path / "b"])
        (layer,) = gather_layers(pictures, None, None)

        assert {u: p.method for u, p in layer.main.items()} == {0: "fourier"}
        assert layer.units == 2


class Page(HTMLParser):
    """A page: its elements with their attributes, and whether all are closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, attribute):
        return [a[attribute] for _, a in self.elements if attribute in a]


@pytest.fixture(scope="module", params=PAGES)
def page(request, site):
    return Page((site / f"{request.param}.html").read_text())


class TestPages:
    def test_they_are_well_formed(self, page):
        assert page.open == []
        identifiers = page.values("id")
        assert len(set(identifiers)) == len(identifiers)
        tags = [tag for tag, _ in page.elements]
        assert tags.count("main") == 1
        assert tags.count("h1") <= 1

    def test_scripts_and_styles_are_files_of_the_site(self, page, site):
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")]
            assert "style" not in attributes
            assert tag != "style"
            assert tag != "script" or attributes["src"]
        used = [
            value.partition("#")[0]
            for name in ("src", "href", "data-src")
            for value in page.values(name)
        ]
        for name in set(used) - {"", "data:,"}:
            assert (site / name).is_file(), name

    def test_the_policy_allows_only_the_site(self, page):
        (policy,) = [
            a["content"]
            for tag, a in page.elements
            if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "http" not in policy

    def test_names_are_text(self, page):
        assert "alert(1)" not in [tag for tag, _ in page.elements]
        assert not [tag for tag, _ in page.elements if tag in ("i", "b")]
        assert "Toys & <i>" in page.text

    def test_fields_have_labels(self, page):
        labelled = set(page.values("for"))
        for tag, attributes in page.elements:
            if tag in ("input", "select") and attributes.get("type") != "checkbox":
                assert attributes["id"] in labelled

    def test_the_first_page_names_all_layers(self, site):
        page = Page((site / "index.html").read_text())

        for path in LAYERS:
            assert path in page.text
        links = [unquote(link) for link in page.values("href")]
        assert f"layer.html#{SCRIPT}" in links
        assert f"layer.html#{OUTSIDE}" in links
        assert "pool · GlobalAveragePooling2D" in page.text
        alts = page.values("alt")
        assert f"12 of the units of {OUTSIDE}" in alts

    def test_nothing_refers_to_other_hosts(self, site):
        for file in [*site.glob("*.html"), *site.glob("*.css"), *site.glob("*.js")]:
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http" not in text.replace("http-equiv", ""), file.name


class TestBuilding:
    def test_a_second_build_writes_nothing(self, site, parts):
        folder, examples, network = parts
        before = {f: f.stat().st_mtime_ns for f in site.rglob("*") if f.is_file()}
        options = {"judged": {"conv1:2": 0.8125}, "title": "Toys & <i>"}
        tfviz.build_atlas(
            *(site, folders(folder)), network=network, examples=examples, **options
        )
        after = {f: f.stat().st_mtime_ns for f in site.rglob("*") if f.is_file()}

        assert {f.name for f in after if after[f] != before.get(f)} == {RECORD}
        assert before.keys() == after.keys()

    def test_more_pictures_extend_it(self, tmp_path):
        write_pictures(tmp_path / "pictures", {"a": 3, "b": 3})
        tfviz.build_atlas(tmp_path / "site", [tmp_path / "pictures"])
        site = tmp_path / "site"
        before = {f: f.stat().st_mtime_ns for f in site.rglob("*") if f.is_file()}
        new = write_picture(tmp_path / "pictures", "b:3", colour_of(3))
        tfviz.build_atlas(site, [tmp_path / "pictures"])
        changed = {
            f.relative_to(site).as_posix()
            for f in site.rglob("*")
            if f.is_file() and f.stat().st_mtime_ns != before.get(f)
        }
        own = slug("b")
        (picture,) = [name for name in changed if name.startswith("pictures/")]

        assert picture.startswith(f"pictures/{own}/3-")
        assert changed - {picture} == {
            *(RECORD, "index.html", "data/site.js"),
            *(f"data/{own}.js", f"data/{own}-0.js"),
            *(f"sprites/{own}-0.webp", f"sprites/{own}-strip.webp"),
        }
        new.unlink()
        tfviz.build_atlas(site, [tmp_path / "pictures"])
        assert not (site / picture).exists()

    def test_pictures_alone_are_enough(self, tmp_path):
        write_pictures(tmp_path / "pictures", {"fire10": 2, "fire8": 2, "logit": 2})
        page = tfviz.build_atlas(tmp_path / "site", [tmp_path / "pictures"])

        assert page == tmp_path / "site/index.html"
        layers = data_of(page.parent, "site")["layers"]
        assert [layer["path"] for layer in layers] == ["fire8", "fire10", "logit"]
        assert data_of(page.parent, "site")["title"] == "toy"
        assert {*ASSETS, *(f"{name}.html" for name in PAGES)} < set(names(page.parent))
        assert not (page.parent / "images").exists()

    def test_examples_alone_are_enough(self, tmp_path, rng):
        examples = dataset_examples(tmp_path / "photos", rng, {"a": 4, ":logits": 2})
        page = tfviz.build_atlas(tmp_path / "site", examples=examples)
        layers = data_of(page.parent, "site")["layers"]

        assert [layer["path"] for layer in layers] == ["a", "logit"]
        assert [layer["pictured"] for layer in layers] == [[], []]
        assert data_of(page.parent, slug("a"))["activation"] == [None] * 4
        assert not (page.parent / "sprites").exists()

    def test_nothing_to_show_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="There is nothing to show. Give folders"):
            tfviz.build_atlas(tmp_path / "site")
        assert names(tmp_path) == []

    def test_parts_of_different_networks_are_refused(self, tmp_path, rng):
        write_pictures(tmp_path / "pictures", {"a": 1})
        folder = [tmp_path / "pictures"]
        facts = network_facts({"a": 1})
        other = type(facts)("b", None, "other", facts.layers)
        with pytest.raises(ValueError, match="the facts are of a network with other"):
            tfviz.build_atlas(tmp_path / "site", folder, network=other)
        examples = dataset_examples(tmp_path / "photos", rng, {"a": 1})
        with pytest.raises(ValueError, match="Gather both from one model"):
            tfviz.build_atlas(tmp_path / "site", network=other, examples=examples)

    def test_other_pictures_are_left_out_with_a_warning(self, tmp_path):
        write_pictures(tmp_path / "pictures", {"a": 1, "unknown": 1})
        write_picture(tmp_path / "pictures", "a:0@1,2")
        with pytest.warns(UserWarning, match="2 pictures of other units than single"):
            tfviz.build_atlas(
                *(tmp_path / "site", [tmp_path / "pictures"]),
                network=network_facts({"a": 1}),
            )

    def test_images_that_moved_are_found(self, tmp_path, rng):
        examples = dataset_examples(tmp_path / "photos", rng, {"a": 4})
        (tmp_path / "photos").rename(tmp_path / "moved")
        with pytest.raises(ValueError, match="None of 12 images that the examples"):
            tfviz.build_atlas(tmp_path / "site", examples=examples)
        tfviz.build_atlas(
            tmp_path / "site", examples=examples, images=tmp_path / "moved"
        )
        # The site has them now.
        tfviz.build_atlas(tmp_path / "site", examples=examples)

    def test_images_that_are_missing_are_left_out(self, tmp_path, rng):
        examples = dataset_examples(tmp_path / "photos", rng, {"a": 4})
        gone = int(examples.layers["a"].top.images[1, 0])
        (tmp_path / f"photos/photo {gone}.png").unlink()
        with pytest.warns(UserWarning, match="1 image of the examples cannot be read"):
            tfviz.build_atlas(tmp_path / "site", examples=examples)

        record = data_of(tmp_path / "site", f"{slug('a')}-0")[1]
        assert record["top"][0][0] is None

    def test_progress_counts_all_pictures(self, tmp_path):
        write_pictures(tmp_path / "pictures", {"a": 3})
        seen = []
        tfviz.build_atlas(
            *(tmp_path / "site", [tmp_path / "pictures"]),
            progress=lambda done, total, name: seen.append((done, total)),
        )
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_names_sort_by_their_numbers(self):
        paths = ["fire10", "fire8", "a", "fire8/x"]

        assert sorted(paths, key=natural_key) == ["a", "fire8", "fire8/x", "fire10"]
