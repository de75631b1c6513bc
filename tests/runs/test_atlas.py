"""The recipe of an atlas: what it makes, how it goes on, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import build_overflowing, build_toy, manifest, names, pictures, written

import tfviz
from tfviz.analysis.network import network_facts
from tfviz.runs.lock import lock_folder
from tfviz.runs.recipe import Recipe
from tfviz.runs.run import make_batches

UNITS = ["conv_a:0-4"]
FEW = {"steps": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of six photos, one of them in a subfolder."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        noise = Image.fromarray(rng.integers(0, 256, (36, 40, 3)).astype(np.uint8))
        noise.save(folder / ("more" if i == 4 else ".") / f"{i}.png")
    return folder


def site_files(site):
    """Return the bytes of the files of a site, without what it is made from."""
    return {
        str(file.relative_to(site)): file.read_bytes()
        for file in sorted(site.rglob("*"))
        if file.is_file() and "source" not in file.relative_to(site).parts
    }


def shown_units(site):
    """Return how many pictures the site has of each layer."""
    return {
        folder.name.rpartition("-")[0]: len(names(folder))
        for folder in sorted((site / "pictures").iterdir())
    }


def stop_after(count):
    """What makes batches as usual, and is interrupted after so many of one run."""

    def make(work, model, callbacks):
        for number, batch in enumerate(make_batches(work, model, callbacks), 1):
            yield batch
            if number == count:
                raise KeyboardInterrupt

    return make


@pytest.mark.slow
def test_the_site_is_built_after_each_part(toy_adapter, photos, tmp_path):
    calls = []
    page = tfviz.atlas(
        toy_adapter, tmp_path / "site", ["conv_a:0-2", "logit:bee"], images=photos,
        params=("fourier", "pixels"), title="Mine", progress=lambda *c: calls.append(c),
        **FEW,
    )  # fmt: skip

    assert page == tmp_path / "site/index.html"
    assert "<h1>Mine</h1>" in page.read_text()
    parts = list(dict.fromkeys(part for part, *_ in calls))
    assert parts == ["examples", "site", "positive", "negative", "pixels"]
    last = {part: call for part, *call in calls}
    assert last["examples"] == [6, 6, "6 images"]
    assert last["positive"] == [4, 4, "logit:bee"]
    assert last["negative"] == [3, 3, "-conv_a:pre:2"]
    assert last["site"][:2] == [6 + 4 + 3 + 4, 6 + 4 + 3 + 4]
    done = [total for part, _, total, _ in calls if part == "site"]
    assert list(dict.fromkeys(done)) == [6, 10, 13, 17]
    # A class has no negative: what it responds to least says nothing about it.
    assert shown_units(tmp_path / "site") == {"conv-a": 9, "logit": 2}
    source = tmp_path / "site/source"
    runs = ["negative", "network.json", "pixels", "positive"]
    assert names(source) == ["examples.npz", *runs]
    found = tfviz.load_examples(source / "examples.npz")
    assert list(found.layers) == ["conv_a", ":logits"]


def test_it_goes_on_after_interruptions_in_and_between_runs(toy_adapter, tmp_path):
    whole, site = tmp_path / "whole", tmp_path / "site"
    tfviz.atlas(toy_adapter, whole, UNITS, **FEW)
    before, shown = {}, []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tfviz.atlas(toy_adapter, site, UNITS, batches=stop_after(2), **FEW)
        shown.append(shown_units(site)["conv-a"])
        after = {f: written(f) for f in (site / "source").rglob("*.png")}
        assert {file: after[file] for file in before} == before
        before = after
    tfviz.atlas(toy_adapter, site, UNITS, **FEW)

    assert shown == [4, 5 + 4]  # in the first run, and in the second
    assert {file: written(file) for file in before} == before
    for name in ("positive", "negative"):
        made = pictures(whole / "source" / name)
        assert len(made) == 5
        assert pictures(site / "source" / name) == made
    assert site_files(site) == site_files(whole)


def test_nothing_is_made_again(toy_adapter, photos, tmp_path, monkeypatch):
    def arguments():
        return (toy_adapter, tmp_path / "site", UNITS), {"images": photos} | FEW

    (positional, options) = arguments()
    tfviz.atlas(*positional, **options)
    before = {file: written(file) for file in tmp_path.rglob("*.*p*")}
    monkeypatch.setattr(
        "tfviz.runs.recipe.dataset_examples", lambda *_, **__: pytest.fail("again")
    )
    calls = []
    tfviz.atlas(*positional, progress=lambda *c: calls.append(c), **options)

    pages = {file for file in before if "source/network" not in file.as_posix()}
    assert {file: written(file) for file in pages} == {f: before[f] for f in pages}
    assert {part for part, *_ in calls} == {"site"}


@pytest.mark.slow
def test_it_is_extended_by_units_images_and_params(toy_adapter, photos, tmp_path):
    site = tmp_path / "site"
    options = {"negative": False} | FEW
    tfviz.atlas(toy_adapter, site, "conv_a:0-1", **options)
    first = {f: written(f) for f in (site / "source").rglob("*.png")}
    assert not (site / "images").exists()
    tfviz.atlas(toy_adapter, site, "conv_a:1-2", images=photos, **options)
    assert len(names(site / "images")) == 6
    tfviz.atlas(
        toy_adapter, site, "logit:3", params=["fourier", "pixels"], images=photos,
        **options,
    )  # fmt: skip

    assert {file: written(file) for file in first} == first
    files = [line["file"] for line in manifest(site / "source/positive")]
    assert files == [*(f"conv_a-{i}.png" for i in range(3)), "logit-dog.png"]
    assert names(site / "source/pixels") == ["logit-dog.png", "manifest.jsonl"]
    assert shown_units(site) == {"conv-a": 3, "logit": 2}
    # What is there of earlier calls stays: params, and the examples of other layers.
    tfviz.atlas(toy_adapter, site, "logit:3", **options)
    assert shown_units(site) == {"conv-a": 3, "logit": 2}
    found = tfviz.load_examples(site / "source/examples.npz")
    assert set(found.layers) == {"conv_a", ":logits"}


def test_changed_images_are_looked_at_again(toy_adapter, photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "0.png").write_bytes((photos / "0.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    call = {"images": folder, "negative": False} | FEW
    for count in (1, 2):
        tfviz.atlas(toy_adapter, tmp_path / "site", "conv_a:0", **call)
        found = tfviz.load_examples(tmp_path / "site/source/examples.npz")
        assert found.count == count
        (folder / "1.png").write_bytes((photos / "1.png").read_bytes())


def test_by_default_all_channels_and_classes_are_shown(toy_adapter, tmp_path):
    """The pool passes on the channels of conv_b, and the head computes the classes."""
    works = Recipe(toy_adapter, tmp_path).works
    units = [
        *(f"conv_a:{i}" for i in range(8)),
        *(f"conv_b:{i}" for i in range(12)),
    ]

    assert list(works) == ["positive", "negative"]
    classes = [f"logit:{i}" for i in range(5)]
    assert [text for text, _ in works["positive"].keys] == [*units, *classes]
    negative = [f"-{unit.replace(':', ':pre:')}" for unit in units]
    assert [text for text, _ in works["negative"].keys] == negative
    assert names(tmp_path) == []


def test_units_are_shown_once(toy_adapter, tmp_path):
    units = ["conv_a:1-2", "conv_a:2", "logit:bee", "logit:1"]
    works = Recipe(toy_adapter, tmp_path, units, negative=False).works

    assert works["positive"].keys == [
        (text, 0) for text in ("conv_a:1", "conv_a:2", "logit:1")
    ]


def test_learned_priors_have_their_own_size(toy_adapter, tmp_path):
    """The inverter makes pictures of 64 pixels only, whatever the size of others."""
    given = tfviz.params.pixels(40, 30)
    params = ("maco", "inverter", given, "pixels")
    recipe = Recipe(toy_adapter, tmp_path, UNITS, params=params, size=(24, 20))

    shapes = {name: work.job.param.shape for name, work in recipe.works.items()}
    assert shapes == {
        "positive": (24, 20, 3),
        "negative": (24, 20, 3),
        "inverter": (64, 64, 3),
        "pixels": (40, 30, 3),
        "pixels_2": (24, 20, 3),
    }


def test_failures_are_left_out_and_told(tmp_path):
    adapter = tfviz.adapt(build_overflowing(), (0, 1))
    options = {"negative": False, "steps": 1}
    with pytest.warns(UserWarning, match="1 of 5 pictures .* could not be made: far:3"):
        tfviz.atlas(adapter, tmp_path / "site", "far:0-4", **options)
    assert shown_units(tmp_path / "site") == {"far": 4}
    with pytest.warns(UserWarning, match=r"`retry_failed` tries them again"):
        tfviz.atlas(adapter, tmp_path / "site", "far:0-4", **options)

    with (
        pytest.warns(UserWarning, match="2 of 2 pictures"),
        pytest.raises(RuntimeError, match="None of the pictures could be made, so th"),
    ):
        tfviz.atlas(adapter, tmp_path / "none", "far:10-11", **options)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (
            "conv_a",
            "single channels and classes, .* Received: conv_a. Write 'conv_a:.'",
        ),
        ("conv_a:3@1,2", "single channels and classes, .* Received: conv_a:3@1,2.$"),
        ("conv_a:0+conv_b:1", "single channels and classes"),
        ("neg:conv_a:3", "what conv_a:pre:3 responds to least beside .* the sign"),
        ("conv_c:3", "no layer 'conv_c'"),
        ("conv_a:8", "has the channels 0 to 7. Received: 8"),
    ],
)
def test_units_that_cannot_be_shown_are_refused(toy_adapter, tmp_path, units, message):
    with pytest.raises(ValueError, match=message):
        tfviz.atlas(toy_adapter, tmp_path / "site", ["conv_b:0", units])

    assert names(tmp_path / "site") == []


def test_folders_without_images_are_refused(toy_adapter, tmp_path):
    def make(folder):
        tfviz.atlas(toy_adapter, tmp_path / "site", UNITS, images=folder)

    with pytest.raises(ValueError, match="'none' is not a folder of images"):
        make("none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty' holds no images: no file in it"):
        make(tmp_path / "empty")


def test_what_belongs_to_another_network_is_refused(toy_adapter, photos, tmp_path):
    other = tfviz.adapt(build_toy(size=28), (-1, 1))
    other.model.get_layer("conv_a").kernel.assign_add(
        0.1 * np.ones(other.model.get_layer("conv_a").kernel.shape)
    )
    source = tmp_path / "site/source"
    source.mkdir(parents=True)
    network_facts(toy_adapter).save(source / "network.json")
    tfviz.dataset_examples(other, photos, "conv_a", output=source / "examples.npz")
    call = (tmp_path / "site", UNITS)
    with pytest.raises(ValueError, match="examples.npz' does not belong to this atlas"):
        tfviz.atlas(toy_adapter, *call)
    with pytest.raises(ValueError, match="holds the atlas of the network 'toy', whose"):
        tfviz.atlas(other, *call)


def test_a_folder_that_holds_something_else_is_refused(toy_adapter, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no atlas"):
        tfviz.atlas(toy_adapter, tmp_path, UNITS)

    assert names(tmp_path) == ["notes.txt"]


def test_other_settings_are_refused(toy_adapter, tmp_path):
    call = (toy_adapter, tmp_path, "conv_a:0")
    tfviz.atlas(*call, steps=1, negative=False)
    with pytest.raises(
        ValueError,
        match="positive' holds .* is 1 there and 2 here.*, or delete the folder",
    ):
        tfviz.atlas(*call, steps=2)
    for params in ((), ("fourier", "fourier")):
        with pytest.raises(ValueError, match="at least one param, and none twice"):
            tfviz.atlas(*call, params=params)


def test_a_second_process_is_refused(toy_adapter, tmp_path):
    pytest.importorskip("fcntl")
    with (
        lock_folder(tmp_path),
        pytest.raises(RuntimeError, match="is in use by another tfviz"),
    ):
        tfviz.atlas(toy_adapter, tmp_path, UNITS)


def test_the_first_build_of_a_killed_call_is_no_obstacle(toy_adapter, tmp_path):
    """It had written the facts about the network, but no page."""
    (tmp_path / "source").mkdir()
    network_facts(toy_adapter).save(tmp_path / "source/network.json")
    page = tfviz.atlas(toy_adapter, tmp_path, "conv_a:0", negative=False, steps=1)

    facts = json.loads(Path(tmp_path, "source/network.json").read_text())
    assert (page.name, facts["name"]) == ("index.html", "toy")
