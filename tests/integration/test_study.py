"""Tests of the scripts of the study, with a small network."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from support import load_script
from PIL import Image

import tfviz
from tfviz import Contender, params
from tfviz.comparison.methods import ablations

PHOTOS = np.random.default_rng(0).random((24, 32, 32, 3))


@pytest.fixture(scope="module")
def study():
    return load_script("study")


def test_the_choice_of_units_is_fixed(study, squeezenet):
    units = study.choose_units(squeezenet)

    assert units == study.choose_units(squeezenet)
    assert len(set(units)) == 24
    assert [u.partition(":")[0] for u in units[16:]] == ["logit"] * 8
    few = [units[place] for place in study.FEW]
    assert len(set(few)) == 8
    assert sum(unit.startswith("logit") for unit in few) >= 5  # an interval needs five


@pytest.mark.slow
def test_one_comparison_reuses_the_pictures_of_another(
    study, toy_adapter, tmp_path, monkeypatch
):
    monkeypatch.setattr(study, "SEEDS", 1)
    pixels = {"pixels": Contender(params.pixels(32, 32))}
    settings = {"images": PHOTOS, "steps": 1, "seeds": 1}
    units = ["conv_b:1", "conv_b:4"]
    tfviz.compare(toy_adapter, units, pixels, folder=tmp_path / "steps", **settings)
    study.copy_pictures(tmp_path, units[1:], pixels)

    progress = []
    folder = tmp_path / "controls"
    methods = pixels | ablations("pixels", pixels["pixels"])
    comparison = tfviz.compare(
        toy_adapter,
        units[1:],
        methods,
        folder=folder,
        callbacks=[lambda at: progress.append((at.method, at.done))],
        **settings,
    )

    # The picture of the method itself existed already.
    assert progress[0] == ("pixels without transforms", 2)
    alone = tfviz.compare(toy_adapter, units[1:], methods, **settings)
    assert [r | {"seconds": 0} for r in comparison.table() if "seconds" in r] == [
        r | {"seconds": 0} for r in alone.table() if "seconds" in r
    ]


@pytest.mark.slow
def test_the_time_budget_is_that_of_the_fastest_method_for_the_default_steps(
    study, toy_adapter, tmp_path
):
    fast = Contender(params.pixels(32, 32))
    methods = {"fast": fast, "slow": replace(fast, candidates=64)}
    settings = {"images": PHOTOS, "steps": 2, "seeds": 1, "folder": tmp_path}
    comparison = tfviz.compare(toy_adapter, "conv_b:1", methods, **settings)
    seconds = {r["method"]: r["seconds"] for r in comparison.table() if "seconds" in r}

    assert seconds["fast"] < seconds["slow"]  # choosing a start takes time
    expected = round(seconds["fast"] * study.DEFAULT_STEPS / study.STEPS, 1)
    assert study.time_budget(tmp_path) == expected


@pytest.mark.slow
def test_tables_and_sheets_leave_out_missing_comparisons(
    toy_adapter, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jinja2")
    methods = {"pixels": Contender(params.pixels(32, 32))}
    units = ["conv_b:1", "conv_b:4", "conv_a:2"]
    settings = {"images": PHOTOS, "steps": 1, "seeds": 1, "title": "By steps"}
    folder = tmp_path / "steps"
    comparison = tfviz.compare(toy_adapter, units, methods, folder=folder, **settings)
    comparison.save()

    monkeypatch.setattr(sys, "argv", ["study_tables.py", str(tmp_path)])
    load_script("study_tables").main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in x.strip("|").split("|")] for x in lines if x[:1] == "|"]
    assert lines[0] == "## By steps"
    scores = [r["relative"] for r in comparison.table() if r["method"] == "pixels"]
    line = next(row for row in rows if row[0] == "pixels")
    assert line[1] == f"{np.median(scores):.2f}"
    assert ["pixels: best random"] in [row[:1] for row in rows]

    sheets = load_script("study_sheets")
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path)])
    sheets.main()
    assert [p.name for p in tmp_path.glob("*.webp")] == ["study-steps.webp"]
    with Image.open(tmp_path / "study-steps.webp") as sheet:  # all three in a row
        # There are 8 pixels around each picture, and 18 for the names below.
        assert sheet.size == (6 * (sheets.SIDE + 8) + 8, sheets.SIDE + 18 + 8 + 8)
