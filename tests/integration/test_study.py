"""The script of the study, on a small network."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT
from PIL import Image

import tfviz
from tfviz import Contender, params
from tfviz.comparison.methods import ablations

PHOTOS = np.random.default_rng(0).random((24, 32, 32, 3))


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study():
    return script("study")


def test_units_are_drawn_once_and_for_all(study, squeezenet):
    units = study.units(squeezenet)

    assert units == study.units(squeezenet)
    assert len(set(units)) == 24
    assert [u.partition(":")[0] for u in units[16:]] == ["logit"] * 8
    few = [units[place] for place in study.FEW]
    assert len(set(few)) == 8
    assert sum(unit.startswith("logit") for unit in few) >= 5  # as intervals need


@pytest.mark.slow
def test_pictures_of_one_part_are_taken_over_by_another(
    study, toy_adapter, tmp_path, monkeypatch
):
    monkeypatch.setattr(study, "SEEDS", 1)
    pixels = {"pixels": Contender(params.pixels(32, 32))}
    settings = {"images": PHOTOS, "steps": 1, "seeds": 1}
    units = ["conv_b:1", "conv_b:4"]
    tfviz.compare(toy_adapter, units, pixels, folder=tmp_path / "steps", **settings)
    study.share(tmp_path, units[1:], pixels)

    told = []
    folder = tmp_path / "controls"
    methods = pixels | ablations("pixels", pixels["pixels"])
    found = tfviz.compare(
        toy_adapter,
        units[1:],
        methods,
        folder=folder,
        callbacks=[lambda at: told.append((at.method, at.done))],
        **settings,
    )

    assert told[0] == ("pixels without transforms", 2)  # the other one was there
    alone = tfviz.compare(toy_adapter, units[1:], methods, **settings)
    assert [r | {"seconds": 0} for r in found.table() if "seconds" in r] == [
        r | {"seconds": 0} for r in alone.table() if "seconds" in r
    ]


@pytest.mark.slow
def test_time_is_that_of_the_quickest_method_for_the_usual_steps(
    study, toy_adapter, tmp_path
):
    quick = Contender(params.pixels(32, 32))
    methods = {"quick": quick, "slow": replace(quick, candidates=64)}
    settings = {"images": PHOTOS, "steps": 2, "seeds": 1, "folder": tmp_path}
    found = tfviz.compare(toy_adapter, "conv_b:1", methods, **settings)
    took = {r["method"]: r["seconds"] for r in found.table() if "seconds" in r}

    assert took["quick"] < took["slow"]  # the choice of a start counts
    expected = round(took["quick"] * study.USUAL_STEPS / study.STEPS, 1)
    assert study.seconds_of(tmp_path) == expected


@pytest.mark.slow
def test_tables_and_sheets_are_of_what_is_there(
    toy_adapter, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jinja2")
    methods = {"pixels": Contender(params.pixels(32, 32))}
    units = ["conv_b:1", "conv_b:4", "conv_a:2"]
    settings = {"images": PHOTOS, "steps": 1, "seeds": 1, "title": "By steps"}
    folder = tmp_path / "steps"
    found = tfviz.compare(toy_adapter, units, methods, folder=folder, **settings)
    found.save()

    monkeypatch.setattr(sys, "argv", ["study_tables.py", str(tmp_path)])
    script("study_tables").main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in x.strip("|").split("|")] for x in lines if x[:1] == "|"]
    assert lines[0] == "## By steps"
    scores = [r["relative"] for r in found.table() if r["method"] == "pixels"]
    told = next(row for row in rows if row[0] == "pixels")
    assert told[1] == f"{np.median(scores):.2f}"
    assert ["pixels: best random"] in [row[:1] for row in rows]

    sheets = script("study_sheets")
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path)])
    sheets.main()
    assert [p.name for p in tmp_path.glob("*.webp")] == ["study-steps.webp"]
    with Image.open(tmp_path / "study-steps.webp") as sheet:  # a row of all three
        # A gap of 8 after each picture and before the first, and 18 for the names.
        assert sheet.size == (6 * (sheets.SIDE + 8) + 8, sheets.SIDE + 18 + 8 + 8)
