import json
import sys
import types

import pytest
from atlas_parts import dataset_examples, network_facts, write_picture, write_pictures
from support import error_of, names


def test_a_site_is_built_from_pictures(run, tmp_path):
    write_pictures(tmp_path / "a", {"fire8": 3})
    result = run("atlas", "--pictures", "a", "--title", "Mine", "-o", "site")

    assert result.stdout == "site/index.html\n"
    assert "<h1>Mine</h1>" in (tmp_path / "site/index.html").read_text()
    again = run("atlas", "--pictures", "a", "--title", "Mine", "-o", "site")
    assert again.stdout == "site/index.html\n"


def test_facts_are_read_from_the_usual_file(run, tmp_path):
    write_pictures(tmp_path / "a", {"fire8": 3})
    network_facts({"fire8": 9}).save(tmp_path / "a/network.json")
    run("atlas", "--pictures", "a", "-o", "site")

    text = (tmp_path / "site/index.html").read_text()
    assert "9 units, 3 with pictures · Conv2D" in text


def test_examples_and_judgements_are_read(run, tmp_path, rng, monkeypatch):
    examples = dataset_examples(tmp_path / "photos", rng, {"fire8": 3})
    module = types.ModuleType("examples_file")
    module.load_examples = lambda file: examples if file.name == "e.npz" else None
    monkeypatch.setitem(sys.modules, "tfviz.analysis.examples_file", module)
    (tmp_path / "e.npz").write_bytes(b"")
    (tmp_path / "photos").rename(tmp_path / "moved")
    (tmp_path / "judged.json").write_text(json.dumps({"fire8:1": 0.5}))
    options = ("--images", "moved", "--judged", "judged.json")
    run("atlas", "--examples", "e.npz", *options, "-o", "site")

    (file,) = (tmp_path / "site/data").glob("fire8-????????.js")
    assert '"judged":[null,0.5,null]' in file.read_text()
    assert len(names(tmp_path / "site/images")) > 3


@pytest.mark.usefixtures("_short")
def test_facts_are_gathered_from_a_model(run, tmp_path):
    """Pictures and facts of one model belong together."""
    run("render", "fire8:0-1", "-o", "a", "--size", "64", "--steps", "1")
    run("atlas", "--pictures", "a", "-m", "squeezenet", "-o", "site")

    facts = json.loads((tmp_path / "a/network.json").read_text())
    assert facts["readout"]["layer"] == "fire9"
    text = (tmp_path / "site/index.html").read_text()
    assert "512 units, 2 with pictures" in text
    assert "1,000 classes" in text


def test_mistakes_are_explained(run, tmp_path):
    result = run("atlas", "-o", "site", code=2)
    assert "Give what to show: --pictures DIR, --examples FILE" in result.output
    write_picture(tmp_path / "layers", "fire8")
    result = run("atlas", "--pictures", "layers", "-o", "site", code=1)
    assert "contains no pictures of channels or classes" in error_of(result)
    write_pictures(tmp_path / "a", {"fire8": 1})
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    result = run("atlas", "--pictures", "a", "-o", "full", code=1)
    assert "'full' is not empty and holds no atlas" in error_of(result)
    assert names(tmp_path / "full") == ["notes.txt"]
    options = ("--pictures", "a", "-o", "site")
    result = run("atlas", *options, "--network", "no.json", code=1)
    assert "There is no file 'no.json'" in result.output
    (tmp_path / "judged.json").write_text('{"fire8:0": "high"}')
    result = run("atlas", *options, "--judged", "judged.json", code=1)
    assert "does not hold a number for each unit" in error_of(result)
